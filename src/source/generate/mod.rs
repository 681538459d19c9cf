//! Commerce traffic out of a seed: what a shop's systems would log, at any size and rate.
//!
//! [`GenerateOptions`] flow in; lines of JSON flow out to an [`EventSink`], in the order in which
//! they would arrive. Two kinds: a whole shop over all tables of `dataflows/`, with the mistakes
//! that real logs have (late, doubled, cancelled, never arriving), and the flat events of the speed
//! benchmark.
//!
//! Equal options yield equal bytes on every machine: the only randomness is ChaCha8, money is
//! counted in cents, no floating-point number and no hash order is involved. Memory is bounded by
//! the number of users and products and by what is under way at one time, not by the number of
//! events.

mod flat;
mod line;
mod live;
mod orders;
mod payments;
mod random;
mod schedule;
mod shop;
mod sink;
mod stock;
mod visits;

use std::io;

pub use sink::{EventSink, FolderSink, MemorySink, TableSink};

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Which traffic.
    pub preset: Preset,
    /// Equal seeds, and equal other options, yield equal bytes.
    pub seed: u64,
    /// How many lines. For [`Preset::Shop`] these are the lines of all wanted tables together,
    /// without the catalogue and the opening stock; for [`Preset::Bench`] the lines of `events`.
    pub events: u64,
    /// When the first event happens, in milliseconds since the Unix epoch, UTC.
    pub start_ms: i64,
    /// Over how long the events are spread, in milliseconds. Late events lie before the start.
    pub duration_ms: u64,
    /// How many different users there are, between one and a billion.
    pub users: u32,
    /// How many different products there are, between one and a hundred million.
    pub products: u32,
    /// The tables that are wanted; `None` for all that the preset has.
    pub tables: Option<Vec<Table>>,
    /// Whether as many visitors come at night as in the evening.
    pub evenly: bool,
    /// How many times as fast as in a real shop things go on between visitors' clicks, and between
    /// the states of orders; at least one. Pauses are not shortened below two seconds.
    pub pace: u32,
}

impl Default for GenerateOptions {
    /// A day of a small shop.
    fn default() -> Self {
        GenerateOptions {
            preset: Preset::Shop,
            seed: 1,
            events: 18_000,
            start_ms: 1_767_225_600_000,
            duration_ms: 86_400_000,
            users: 1_200,
            products: 240,
            tables: None,
            evenly: false,
            pace: 1,
        }
    }
}

impl GenerateOptions {
    /// The flat events of the benchmark: 10 million of 100,000 users and 10,000 products in a day.
    pub fn bench() -> Self {
        GenerateOptions {
            preset: Preset::Bench,
            events: 10_000_000,
            users: 100_000,
            products: 10_000,
            ..GenerateOptions::default()
        }
    }

    /// Spreads the events so that `events_per_second` happen on average.
    pub fn at_rate(mut self, events_per_second: u64) -> Self {
        let duration = u128::from(self.events) * 1000 / u128::from(events_per_second.max(1));
        self.duration_ms = u64::try_from(duration).unwrap_or(u64::MAX).max(1);
        self
    }

    /// Goes on for ten years with `events_per_second` on average.
    pub fn endless(mut self, events_per_second: u64) -> Self {
        self.duration_ms = MAX_DURATION_MS;
        self.events = events_per_second.saturating_mul(MAX_DURATION_MS / 1000);
        self
    }

    /// Whether they can be followed.
    ///
    /// # Errors
    /// If they contradict themselves.
    pub fn check(&self) -> Result<(), GenerateError> {
        if !(1..=MAX_USERS).contains(&self.users) || !(1..=MAX_PRODUCTS).contains(&self.products) {
            return Err(GenerateError::Crowd);
        }
        if self.duration_ms == 0 || self.duration_ms > MAX_DURATION_MS {
            return Err(GenerateError::Duration {
                max_ms: MAX_DURATION_MS,
            });
        }
        if !(MIN_START_MS..=MAX_START_MS).contains(&self.start_ms) {
            return Err(GenerateError::Start);
        }
        let has = self.preset.tables();
        match self
            .tables
            .iter()
            .flatten()
            .find(|table| !has.contains(table))
        {
            Some(table) => Err(GenerateError::NoSuchTable {
                table: table.name(),
            }),
            None => Ok(()),
        }
    }

    fn wants(&self, table: Table) -> bool {
        self.tables
            .as_ref()
            .is_none_or(|tables| tables.contains(&table))
    }
}

/// So that ranks fit 32 bits.
const MAX_USERS: u32 = 1_000_000_000;
/// So that the stock of all fits memory.
const MAX_PRODUCTS: u32 = 100_000_000;
/// Ten years.
const MAX_DURATION_MS: u64 = 10 * 366 * 86_400_000;
/// 1970-01-05, so that nothing that is three days late lies before the epoch.
const MIN_START_MS: i64 = 4 * 86_400_000;
/// The end of 2200, so that years have four digits and nanoseconds fit 64 bits.
const MAX_START_MS: i64 = 7_289_568_000_000;

/// Kinds of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// A shop: visits that look, fill carts and order, some of them in live sessions; orders that are
    /// paid, shipped, cancelled, refunded and rated; payments, a few of them fraudulent; stock that is
    /// counted, sold, received and moved.
    Shop,
    /// Flat events, each alone and of one shape, about 147 bytes long, with a product table whose
    /// products are re-filed and stock movements by location.
    Bench,
}

impl Preset {
    /// The tables that it writes.
    pub fn tables(self) -> &'static [Table] {
        match self {
            Preset::Shop => &Table::ALL[1..],
            Preset::Bench => &[Table::Events, Table::Products, Table::StockMovements],
        }
    }
}

/// The tables that lines are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The flat events of [`Preset::Bench`].
    Events,
    /// The catalogue, its price changes and re-filings; also fills `product_history`.
    Products,
    /// What visitors do.
    Behavior,
    /// Anonymous visitors who sign in, and merges taken back.
    Identities,
    /// Bots, once they are found out.
    RemovedUsers,
    /// What happens to orders.
    Orders,
    /// Payments.
    Transactions,
    /// Money given back.
    Refunds,
    /// Stock counts and changes.
    StockMovements,
    /// What sales channels believe they can sell.
    ChannelStock,
    /// Figures that other systems report.
    Metrics,
    /// What customers say, and their edits.
    Ratings,
    /// What support answers.
    RatingAnswers,
    /// Live sessions as they begin.
    LiveSessions,
    /// What became of decisions: shown and clicked.
    DecisionFeedback,
    /// What the books say at the end of a day.
    DailySales,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 16] = [
        Table::Events,
        Table::Products,
        Table::Behavior,
        Table::Identities,
        Table::RemovedUsers,
        Table::Orders,
        Table::Transactions,
        Table::Refunds,
        Table::StockMovements,
        Table::ChannelStock,
        Table::Metrics,
        Table::Ratings,
        Table::RatingAnswers,
        Table::LiveSessions,
        Table::DecisionFeedback,
        Table::DailySales,
    ];

    /// The name, as scripts spell it.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Products => "products",
            Table::Behavior => "behavior",
            Table::Identities => "identities",
            Table::RemovedUsers => "removed_users",
            Table::Orders => "orders",
            Table::Transactions => "transactions",
            Table::Refunds => "refunds",
            Table::StockMovements => "stock_movements",
            Table::ChannelStock => "channel_stock",
            Table::Metrics => "metrics",
            Table::Ratings => "ratings",
            Table::RatingAnswers => "rating_answers",
            Table::LiveSessions => "live_sessions",
            Table::DecisionFeedback => "decision_feedback",
            Table::DailySales => "daily_sales",
        }
    }

    /// The table of a name.
    pub fn named(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// Why nothing, or not everything, was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// There is nobody to do anything, nothing to do it with, or too much of either.
    #[error(
        "traffic needs between 1 and {MAX_USERS} users and between 1 and {MAX_PRODUCTS} products"
    )]
    Crowd,
    /// The events cannot be spread over that time.
    #[error("the duration must lie between 1 and {max_ms} milliseconds")]
    Duration {
        /// The longest duration.
        max_ms: u64,
    },
    /// The events cannot start then.
    #[error("the start must lie between 1970-01-05 and 2200-12-31")]
    Start,
    /// A table was asked for that the preset does not write.
    #[error("the preset writes no table \"{table}\"")]
    NoSuchTable {
        /// Its name.
        table: &'static str,
    },
    /// The lines could not be written.
    #[error("could not write lines of table \"{table}\"")]
    Write {
        /// The table's name.
        table: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// What was generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generated {
    /// Lines of all tables.
    pub lines: u64,
    /// Their length in bytes, line ends included.
    pub bytes: u64,
}

/// Generates traffic.
///
/// # Errors
/// If the options contradict themselves, or the sink fails.
pub fn generate(
    options: &GenerateOptions,
    out: &mut dyn EventSink,
) -> Result<Generated, GenerateError> {
    options.check()?;
    match options.preset {
        Preset::Shop => shop::Shop::new(options, out).run(),
        Preset::Bench => flat::generate(options, out),
    }
}
