//! Generated traffic at the pace of the wall clock, for demos.
//!
//! Each table of the shop is an input of its own, but the shop is one: inputs of equal preset and
//! seed that are opened together share it, so that an order's products are in the catalogue and its
//! buyer was on the site. The shop has a thread, which waits when any of its inputs does; time that
//! it lost like this it does not catch up with.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};

use super::options::Options;
use super::{Outlet, PIECE_BYTES, Piece, Source};
use crate::calendar::now_ms;
use crate::source::generate::{EventSink, GenerateError, GenerateOptions, Preset, Table, generate};
use crate::source::{InputSpec, SourceError};

/// Lines a second of all tables together, if nothing else is said.
const RATE: u64 = 100;
/// More than this no machine makes.
const MOST_RATE: u64 = 10_000_000;
/// How many times as fast as in a real shop orders go on: two hours are a minute.
const PACE: u64 = 120;
/// So many users there are for each line a second, so that most have gone before they come again.
const USERS_A_LINE: u64 = 600;
/// How many texts of one table may wait to be taken.
const WAITING_TEXTS: usize = 4;
const LOOK: Duration = Duration::from_millis(50);
/// Lines of less time than this are not handed over one by one.
const TICK: Duration = Duration::from_millis(10);
/// How far the shop's clock may be behind before it is set anew.
const MOST_BEHIND_MS: u64 = 1000;

/// The tables of a script that generated traffic can feed, with the location that feeds each.
pub fn generated_tables() -> impl Iterator<Item = (&'static str, String)> {
    let own = Preset::Shop.tables().iter().map(|table| table.name());
    // The history of the catalogue is made of the same records as the catalogue.
    let tables = own.map(|name| (name, name));
    let tables = tables.chain([("product_history", Table::Products.name())]);
    tables.map(|(table, kind)| (table, format!("generate:{kind}")))
}

/// The shops of inputs that are opened together.
#[derive(Clone, Default)]
pub(super) struct Shops(Arc<Mutex<Vec<Weak<Shop>>>>);

/// A shop, before and while it is open.
struct Shop {
    preset: Preset,
    seed: u64,
    said: Said,
    /// Inputs that want lines from now on.
    joining: Mutex<Vec<Subscriber>>,
    is_open: Mutex<bool>,
}

/// What inputs of one shop must agree upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    rate: u64,
    users: u64,
    products: u64,
    history_s: u64,
    pace: u64,
}

/// An input that wants the lines of a table.
struct Subscriber {
    table: Table,
    text: Vec<u8>,
    sender: Sender<Vec<u8>>,
    /// Whether it is still there.
    there: Weak<()>,
}

/// Lines of one table of a shop.
pub(super) struct TrafficSource {
    shop: Arc<Shop>,
    receiver: Receiver<Vec<u8>>,
    name: Arc<PathBuf>,
    /// Tells the shop that it is there.
    _there: Arc<()>,
}

impl Shops {
    /// An input of a table of the shop that its options tell.
    pub(super) fn open(&self, spec: &InputSpec, kind: &str) -> Result<TrafficSource, SourceError> {
        let options = Options::new(spec);
        let table = Table::named(kind).ok_or_else(|| bad_kind(spec))?;
        let preset = match options.text("preset") {
            None if table == Table::Events => Preset::Bench,
            None | Some("shop") => Preset::Shop,
            Some("bench") => Preset::Bench,
            Some(other) => return Err(options.bad("preset", other, "shop or bench")),
        };
        if !preset.tables().contains(&table) {
            return Err(bad_kind(spec));
        }
        let said = Said::read(&options, preset)?;
        let seed = options.number("seed", 0, "a whole number")?.unwrap_or(1);
        let shop = self.shop(spec, preset, seed, said)?;
        let (sender, receiver) = bounded(WAITING_TEXTS);
        let there = Arc::new(());
        lock(&shop.joining).push(Subscriber {
            table,
            text: Vec::new(),
            sender,
            there: Arc::downgrade(&there),
        });
        Ok(TrafficSource {
            shop,
            receiver,
            name: Arc::new(PathBuf::from(&spec.location)),
            _there: there,
        })
    }

    /// The shop of a preset and seed; a new one if there is none.
    fn shop(
        &self,
        spec: &InputSpec,
        preset: Preset,
        seed: u64,
        said: Said,
    ) -> Result<Arc<Shop>, SourceError> {
        let mut shops = lock(&self.0);
        shops.retain(|shop| shop.strong_count() > 0);
        let mut open = shops.iter().filter_map(Weak::upgrade);
        if let Some(shop) = open.find(|shop| (shop.preset, shop.seed) == (preset, seed)) {
            said.check_agrees(&shop.said, spec)?;
            return Ok(shop);
        }
        let shop = Arc::new(Shop {
            preset,
            seed,
            said,
            joining: Mutex::default(),
            is_open: Mutex::new(false),
        });
        shop.options().check().map_err(|_| {
            let expected = "at most 1000000000 users, 100000000 products and ten years of history";
            let value = format!("{} and {}", said.users, said.products);
            Options::new(spec).bad("users and products", &value, expected)
        })?;
        shops.push(Arc::downgrade(&shop));
        Ok(shop)
    }
}

impl Said {
    fn read(options: &Options<'_>, preset: Preset) -> Result<Said, SourceError> {
        let number = |name, default| {
            let number = options.number(name, 1, "a whole number of at least one")?;
            Ok(number.unwrap_or(default))
        };
        let rate = number("rate", RATE)?.min(MOST_RATE);
        let (users, products) = match preset {
            Preset::Shop => (
                rate.saturating_mul(USERS_A_LINE).clamp(1200, 10_000_000),
                GenerateOptions::default().products,
            ),
            Preset::Bench => {
                let bench = GenerateOptions::bench();
                (bench.users.into(), bench.products)
            }
        };
        Ok(Said {
            rate,
            users: number("users", users)?,
            products: number("products", products.into())?,
            history_s: options.seconds("history")?.unwrap_or_default().as_secs(),
            pace: number("pace", PACE)?,
        })
    }

    fn check_agrees(&self, other: &Said, spec: &InputSpec) -> Result<(), SourceError> {
        let options = [
            ("rate", self.rate, other.rate),
            ("users", self.users, other.users),
            ("products", self.products, other.products),
            ("history", self.history_s, other.history_s),
            ("pace", self.pace, other.pace),
        ];
        match options.into_iter().find(|(_, one, other)| one != other) {
            None => Ok(()),
            Some((option, value, other)) => Err(SourceError::Contradiction {
                table: spec.table.clone(),
                location: spec.location.clone(),
                option,
                value,
                other,
            }),
        }
    }
}

impl Shop {
    fn options(&self) -> GenerateOptions {
        let Said {
            rate,
            users,
            products,
            history_s,
            pace,
        } = self.said;
        let start_ms = now_ms().saturating_sub(history_s.saturating_mul(1000));
        let start_ms = i64::try_from(start_ms).unwrap_or(i64::MAX);
        // What does not fit is refused as being too many.
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let options = GenerateOptions {
            preset: self.preset,
            seed: self.seed,
            start_ms,
            users: count(users),
            products: count(products),
            evenly: true,
            pace: count(pace),
            ..GenerateOptions::default()
        };
        options.endless(rate)
    }

    /// Opens the shop, unless it is open.
    fn open(self: &Arc<Self>) -> io::Result<()> {
        let mut is_open = lock(&self.is_open);
        if std::mem::replace(&mut *is_open, true) {
            return Ok(());
        }
        let mut sink = Till {
            shop: Arc::downgrade(self),
            subscribers: Vec::new(),
            is_live: false,
        };
        sink.join();
        let options = self.options();
        let run = move || match generate(&options, &mut sink) {
            // The sink refuses lines once all inputs have ended.
            Ok(_) | Err(GenerateError::Write { .. }) => {}
            Err(error) => tracing::error!("generated traffic ends: {error}"),
        };
        let thread = thread::Builder::new().name("shop".to_owned());
        thread.spawn(run).map(|_detached| ())
    }
}

/// Hands the shop's lines to its inputs, when it is time.
struct Till {
    shop: Weak<Shop>,
    subscribers: Vec<Subscriber>,
    /// Whether the shop's clock has reached the wall clock.
    is_live: bool,
}

impl Till {
    /// Takes in the inputs that were opened since the last call, and lets go of those that ended.
    fn join(&mut self) {
        if let Some(shop) = self.shop.upgrade() {
            self.subscribers.append(&mut lock(&shop.joining));
        }
        self.subscribers
            .retain(|subscriber| subscriber.there.strong_count() > 0);
    }

    /// Hands over all lines that wait.
    fn flush(&mut self) -> io::Result<()> {
        self.join();
        if self.subscribers.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.subscribers.iter_mut().for_each(Subscriber::flush);
        Ok(())
    }
}

impl Subscriber {
    /// Hands over what waits; waits while the input does.
    fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        while self.there.strong_count() > 0 {
            match self.sender.send_timeout(text, LOOK) {
                Err(SendTimeoutError::Timeout(back)) => text = back,
                Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return,
            }
        }
    }
}

impl EventSink for Till {
    fn line(&mut self, table: Table, line: &[u8]) -> io::Result<()> {
        let wants = |subscriber: &&mut Subscriber| subscriber.table == table;
        for subscriber in self.subscribers.iter_mut().filter(wants) {
            subscriber.text.extend_from_slice(line);
            if subscriber.text.len() >= PIECE_BYTES {
                subscriber.flush();
            }
        }
        Ok(())
    }

    fn reach(&mut self, at_ms: u64) -> io::Result<u64> {
        if now_ms() < at_ms {
            self.is_live = true;
            self.flush()?;
            thread::sleep(TICK);
        }
        loop {
            let left_ms = at_ms.saturating_sub(now_ms());
            if left_ms == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(left_ms).min(LOOK));
            self.flush()?;
        }
        let behind_ms = now_ms() - at_ms;
        match self.is_live && behind_ms > MOST_BEHIND_MS {
            true => Ok(now_ms()),
            false => Ok(at_ms),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

impl Source for TrafficSource {
    fn run(self: Box<Self>, outlet: &Outlet) -> io::Result<()> {
        self.shop.open()?;
        let mut start = 0;
        while !outlet.is_closed() {
            match self.receiver.recv_timeout(2 * LOOK) {
                Ok(text) => {
                    let length = text.len() as u64;
                    let piece = Piece::of_text(Arc::clone(&self.name), start, text);
                    start += length;
                    if outlet.send(piece).is_err() {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }
}

fn bad_kind(spec: &InputSpec) -> SourceError {
    SourceError::BadLocation {
        table: spec.table.clone(),
        location: spec.location.clone(),
        expected: "generate:orders; the kinds are products, behavior, identities, removed_users, \
                   orders, transactions, refunds, stock_movements, channel_stock, metrics, ratings, \
                   rating_answers, live_sessions, decision_feedback, daily_sales and events",
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
