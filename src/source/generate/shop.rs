//! The shop itself: its catalogue, its clock, and the loop that lets its visitors in.

use super::line::Line;
use super::live::Live;
use super::random::Random;
use super::schedule::{Schedule, Task};
use super::sink::EventSink;
use super::stock::Stock;
use super::{GenerateError, GenerateOptions, Generated, Table};

/// How many categories there are.
pub(super) const CATEGORIES: u32 = 100;

const DEPARTMENTS: [&str; 10] = [
    "women", "men", "kids", "home", "garden", "sports", "office", "travel", "outdoor", "vintage",
];
const KINDS: [&str; 10] = [
    "shoes", "shirts", "jackets", "bags", "lamps", "toys", "books", "tools", "watches", "gifts",
];

/// How many visitors come in each hour of the day, beside 1,000 on average.
const VISITORS_BY_HOUR: [u64; 24] = [
    380, 240, 160, 130, 140, 220, 430, 720, 960, 1130, 1220, 1270, 1330, 1290, 1230, 1210, 1260,
    1390, 1580, 1760, 1830, 1640, 1190, 1290,
];

/// How many lines a visit and all that follows from it come to, on average; measured.
const LINES_A_VISIT: u64 = 11;

/// When the generator stops even if too few lines were wanted of what happened: end of 2250.
const END_OF_TIME_MS: u64 = 8_867_404_800_000;

/// A faster pace does not make pauses shorter than this on average.
const SHORTEST_MEAN_MS: u32 = 2000;

/// A visitor in so many does not come to the site but buys in a store, out of ten thousand.
const IN_STORES: u32 = 300;
/// After so many visits out of ten thousand somebody in the back office does something.
const ERRANDS: u32 = 500;
/// So many visitors lie between two reports of metrics.
const VISITS_A_REPORT: u64 = 100;
/// A line in so many out of ten thousand is sent a second time, a little later.
const REPEATED: u32 = 40;
/// How many lines may come between a line and its repetition.
const LINES_TO_REPETITION: u32 = 200;

/// A product as the catalogue has it now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) category: u8,
    pub(super) price_cents: i64,
}

/// Numbers that have been given out.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) events: u64,
    pub(super) visitors: u64,
    pub(super) orders: u64,
    pub(super) refunds: u64,
    pub(super) movements: u64,
    pub(super) transfers: u64,
    pub(super) bots: u64,
    pub(super) attacks: u64,
    pub(super) feedback: u64,
    pub(super) answers: u64,
}

/// A line that will be sent again.
#[derive(Debug)]
struct Repetition {
    table: Table,
    line: Vec<u8>,
    /// After how many lines; zero if there is none to repeat.
    after: u32,
}

/// Everything that there is.
pub(super) struct Shop<'a> {
    pub(super) options: &'a GenerateOptions,
    out: &'a mut dyn EventSink,
    pub(super) random: Random,
    pub(super) line: Line,
    pub(super) schedule: Schedule,
    pub(super) now_ms: u64,
    pub(super) catalogue: Vec<Product>,
    pub(super) stock: Stock,
    pub(super) numbers: Numbers,
    pub(super) live: Live,
    /// Sales in euro cents by category since the last report.
    pub(super) unreported_cents: Vec<i64>,
    /// Sales in euro cents of the day so far.
    pub(super) booked_cents: i64,
    repetition: Repetition,
    generated: Generated,
    /// Lines, without the catalogue and the opening stock.
    counted: u64,
    /// How many lines are enough.
    enough: u64,
}

impl<'a> Shop<'a> {
    pub(super) fn new(options: &'a GenerateOptions, out: &'a mut dyn EventSink) -> Shop<'a> {
        Shop {
            options,
            out,
            random: Random::new(options.seed),
            line: Line::new(),
            schedule: Schedule::default(),
            now_ms: options.start_ms.unsigned_abs(),
            catalogue: Vec::new(),
            stock: Stock::new(options.products),
            numbers: Numbers::default(),
            live: Live::default(),
            unreported_cents: vec![0; CATEGORIES as usize],
            booked_cents: 0,
            repetition: Repetition {
                table: Table::Behavior,
                line: Vec::new(),
                after: 0,
            },
            generated: Generated::default(),
            counted: 0,
            enough: u64::MAX,
        }
    }

    /// Opens the shop and lets visitors in until enough lines are written.
    pub(super) fn run(mut self) -> Result<Generated, GenerateError> {
        self.open_catalogue()?;
        self.open_stock()?;
        (self.counted, self.enough) = (0, self.options.events);
        self.plan_live();
        let mut visits = 0_u64;
        let mut next_ns = self.now_ms * 1_000_000;
        while self.counted < self.enough && self.now_ms < END_OF_TIME_MS {
            // Whoever was kept waiting does not come all at once later.
            next_ns = next_ns.max(self.now_ms * 1_000_000) + self.pause_ns();
            while let Some((at_ms, task)) = self.schedule.next_before(next_ns / 1_000_000) {
                self.advance(at_ms)?;
                self.go_on(task)?;
            }
            self.advance(next_ns / 1_000_000)?;
            self.arrive()?;
            visits += 1;
            if visits.is_multiple_of(VISITS_A_REPORT) {
                self.report()?;
            }
        }
        let failed = |source| GenerateError::Write {
            table: Table::Behavior.name(),
            source,
        };
        self.out.finish().map_err(failed)?;
        Ok(self.generated)
    }

    /// How long until the next visitor, in nanoseconds.
    fn pause_ns(&mut self) -> u64 {
        let visitors = match self.options.evenly {
            true => 1000,
            false => VISITORS_BY_HOUR[(self.now_ms / 3_600_000 % 24) as usize],
        };
        let mean = u128::from(self.options.duration_ms) * 1_000_000 * u128::from(LINES_A_VISIT);
        let mean = mean * 1000 / u128::from(visitors * self.options.events.max(1));
        (mean * u128::from(self.random.below(2_000_001)) / 1_000_000) as u64
    }

    /// A time span in milliseconds around `mean_ms`, at the shop's pace.
    pub(super) fn around_ms(&mut self, mean_ms: u32) -> u64 {
        let shortest_ms = mean_ms.min(SHORTEST_MEAN_MS);
        let mean_ms = (mean_ms / self.options.pace.max(1)).max(shortest_ms);
        self.random.around_ms(mean_ms)
    }

    fn advance(&mut self, at_ms: u64) -> Result<(), GenerateError> {
        const MS_A_DAY: u64 = 86_400_000;
        let failed = |source| GenerateError::Write {
            table: Table::Behavior.name(),
            source,
        };
        let at_ms = self.out.reach(at_ms).map_err(failed)?;
        let day = self.now_ms / MS_A_DAY;
        if at_ms / MS_A_DAY > day {
            self.line
                .begin()
                .day("date", day.cast_signed())
                .cents("sales", self.booked_cents);
            self.line.text("currency", "EUR");
            self.emit(Table::DailySales)?;
            self.booked_cents = 0;
        }
        self.now_ms = self.now_ms.max(at_ms);
        Ok(())
    }

    fn arrive(&mut self) -> Result<(), GenerateError> {
        if self.random.chance(IN_STORES) {
            self.buy_in_store()?;
        } else {
            self.begin_visit()?;
        }
        if self.random.chance(ERRANDS) {
            self.errand()?;
        }
        Ok(())
    }

    fn go_on(&mut self, task: Task) -> Result<(), GenerateError> {
        match task {
            Task::Visit(visit) => self.go_on_visiting(visit),
            Task::Order(order) => self.go_on_with_order(order),
            Task::Attack(attack) => self.go_on_attacking(attack),
            Task::Live => self.begin_or_end_live(),
            Task::Receipt { product } => self.receive(product),
            Task::Arrival {
                transfer,
                product,
                location,
                units,
            } => self.arrive_from_transfer(transfer, product, location, units),
            Task::BotFound { bot } => {
                self.line
                    .begin()
                    .id("user_id", "bot", bot)
                    .text("reason", "bot");
                self.emit(Table::RemovedUsers)
            }
            Task::MergeTakenBack { visitor, user } => {
                self.line
                    .begin()
                    .id("anonymous_id", "a", visitor)
                    .id("user_id", "u", user);
                self.line.yes("is_deleted");
                self.emit(Table::Identities)
            }
        }
    }

    fn open_catalogue(&mut self) -> Result<(), GenerateError> {
        for product in 0..self.options.products {
            let category = self.any_category();
            self.catalogue.push(Product {
                category,
                price_cents: base_price_cents(product),
            });
            self.write_product(product)?;
        }
        Ok(())
    }

    fn write_product(&mut self, product: u32) -> Result<(), GenerateError> {
        let Product {
            category,
            price_cents,
        } = self.catalogue[product as usize];
        let department = DEPARTMENTS[usize::from(category) / KINDS.len()];
        self.line.begin().id("product_id", "p", product.into());
        self.line
            .id("name", &format!("{department} no. "), product.into());
        write_category(&mut self.line, category);
        self.line
            .cents("price", price_cents)
            .text("currency", "EUR")
            .time("timestamp", self.now_ms);
        self.emit(Table::Products)
    }

    /// Somebody in the back office does something: counts, moves, re-files, reprices, publishes.
    fn errand(&mut self) -> Result<(), GenerateError> {
        match self.random.below(10) {
            0 => {
                let product = self.random.below(self.options.products);
                self.catalogue[product as usize].category = self.any_category();
                self.write_product(product)
            }
            1 | 2 => {
                let product = self.any_product();
                let percent = i64::from(self.random.between(80, 120));
                let price = &mut self.catalogue[product as usize].price_cents;
                *price = (*price * percent / 100).max(99);
                self.write_product(product)
            }
            3 | 4 => self.count_stock(),
            5 | 6 => self.publish_stock(),
            _ => self.transfer(),
        }
    }

    /// What other systems report now and then.
    fn report(&mut self) -> Result<(), GenerateError> {
        for category in 0..CATEGORIES as u8 {
            let cents = std::mem::take(&mut self.unreported_cents[usize::from(category)]);
            if cents > 0 {
                self.line
                    .begin()
                    .text("metric", "sales")
                    .cents("value", cents);
                self.line.time("timestamp", self.now_ms);
                write_category(&mut self.line, category);
                self.emit(Table::Metrics)?;
            }
        }
        if self.random.chance(2000) {
            let errors = i64::from(self.random.between(1, 9));
            self.line
                .begin()
                .text("metric", "errors")
                .number("value", errors);
            self.line.time("timestamp", self.now_ms);
            self.emit(Table::Metrics)?;
        }
        Ok(())
    }

    /// A category: one for each 24 products, spread over the departments.
    fn any_category(&mut self) -> u8 {
        let categories = (self.options.products / 24).clamp(1, CATEGORIES);
        let apart = if categories <= 10 { 11 } else { 1 };
        (self.random.below(categories) * apart) as u8
    }

    /// A product, the popular ones more often.
    pub(super) fn any_product(&mut self) -> u32 {
        self.random
            .flattened_zipf(self.options.products, self.options.products / 32)
    }

    /// A user, the busy ones more often.
    pub(super) fn any_user(&mut self) -> u32 {
        self.random
            .flattened_zipf(self.options.users, self.options.users / 16)
    }

    /// The price that the shop asks in a currency now.
    pub(super) fn price_cents(&self, product: u32, currency: Currency) -> i64 {
        self.catalogue[product as usize].price_cents * currency.percent() / 100
    }

    /// Ends the line that is under construction and writes it.
    pub(super) fn emit(&mut self, table: Table) -> Result<(), GenerateError> {
        let line = self.line.end();
        if !self.options.wants(table) || self.counted == self.enough {
            return Ok(());
        }
        self.generated.lines += 1;
        self.generated.bytes += line.len() as u64;
        self.counted += 1;
        let failed = |source| GenerateError::Write {
            table: table.name(),
            source,
        };
        self.out.line(table, line).map_err(failed)?;
        if self.repetition.after > 0 {
            self.repeat()?;
        }
        Ok(())
    }

    /// As [`Shop::emit`], for lines with an id of their own: now and then one is sent twice.
    pub(super) fn emit_perhaps_twice(&mut self, table: Table) -> Result<(), GenerateError> {
        let twice = self.random.chance(REPEATED);
        self.emit(table)?;
        if twice && self.repetition.after == 0 && self.options.wants(table) {
            self.repetition.table = table;
            self.repetition.line.clear();
            self.repetition.line.extend_from_slice(self.line.ended());
            self.repetition.after = self.random.between(1, LINES_TO_REPETITION);
        }
        Ok(())
    }

    fn repeat(&mut self) -> Result<(), GenerateError> {
        self.repetition.after -= 1;
        if self.repetition.after > 0 || self.counted == self.enough {
            return Ok(());
        }
        let Repetition { table, line, .. } = &self.repetition;
        self.generated.lines += 1;
        self.generated.bytes += line.len() as u64;
        self.counted += 1;
        let failed = |source| GenerateError::Write {
            table: table.name(),
            source,
        };
        self.out.line(*table, line).map_err(failed)
    }
}

/// In what somebody pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Currency {
    Eur,
    Usd,
    Gbp,
}

impl Currency {
    pub(super) fn of_user(user: u32) -> Currency {
        match user % 10 {
            0..=6 => Currency::Eur,
            7 | 8 => Currency::Usd,
            _ => Currency::Gbp,
        }
    }

    pub(super) fn code(self) -> &'static str {
        match self {
            Currency::Eur => "EUR",
            Currency::Usd => "USD",
            Currency::Gbp => "GBP",
        }
    }

    /// What the shop asks, in percent of the price in euro.
    fn percent(self) -> i64 {
        match self {
            Currency::Eur => 100,
            Currency::Usd => 110,
            Currency::Gbp => 85,
        }
    }
}

/// A product's first price in euro cents, between 1.99 and 199.98.
pub(super) fn base_price_cents(product: u32) -> i64 {
    199 + i64::from(product.wrapping_mul(2_654_435_761) >> 8) % 19_800
}

/// Writes the name of a category below [`CATEGORIES`].
#[inline]
pub(super) fn write_category(line: &mut Line, category: u8) {
    let (department, kind) = (
        usize::from(category) / KINDS.len(),
        usize::from(category) % KINDS.len(),
    );
    line.hyphenated("category", DEPARTMENTS[department], KINDS[kind]);
}
