//! Stock: what is counted, sold, reserved, received and moved between locations.

use super::schedule::Task;
use super::shop::{Currency, Shop};
use super::{GenerateError, Table};

/// Where goods lie.
pub(super) const LOCATIONS: [&str; 5] = [
    "warehouse_001",
    "warehouse_002",
    "store_berlin",
    "store_london",
    "store_new_york",
];
/// The locations that ship: the one that ships most, then the other.
pub(super) const WAREHOUSES: [usize; 2] = [0, 1];
/// The locations that sell over the counter, and for what money.
pub(super) const STORES: [(usize, Currency); 3] =
    [(2, Currency::Eur), (3, Currency::Gbp), (4, Currency::Usd)];

/// Below how many units at the main warehouse more is ordered.
const REORDER_BELOW: i32 = 25;
/// How long the supplier takes on average, in milliseconds.
const SUPPLY_MS: u32 = 5 * 3_600_000;
/// How long goods are on the way between locations on average, in milliseconds.
const TRANSFER_MS: u32 = 3 * 3_600_000;
/// Transfers out of ten thousand that never arrive, and that arrive with fewer units.
const LOST: u32 = 800;
const SHORT: u32 = 1000;
/// Products that are offered on the marketplace as well.
const ON_MARKETPLACE: u32 = 50;

/// How many units of each product lie at each location.
#[derive(Debug)]
pub(super) struct Stock {
    levels: Vec<[i32; LOCATIONS.len()]>,
    ordered: Vec<bool>,
}

impl Stock {
    pub(super) fn new(products: u32) -> Stock {
        let products = products as usize;
        Stock {
            levels: vec![[0; LOCATIONS.len()]; products],
            ordered: vec![false; products],
        }
    }
}

impl Shop<'_> {
    /// Counts everything before the doors open.
    pub(super) fn open_stock(&mut self) -> Result<(), GenerateError> {
        for product in 0..self.options.products {
            for location in 0..LOCATIONS.len() {
                let units = match location {
                    0 => self.random.between(60, 240),
                    1 => self.random.between(20, 80),
                    _ if self.random.chance(3500) => self.random.between(5, 40),
                    _ => continue,
                };
                self.stock.levels[product as usize][location] = units.cast_signed();
                self.write_count(product, location)?;
            }
            if product < ON_MARKETPLACE {
                self.write_offer(product)?;
            }
        }
        Ok(())
    }

    /// Moves units in or out, and orders more if few are left.
    pub(super) fn change_stock(
        &mut self,
        product: u32,
        location: usize,
        change: i64,
        kind: &str,
    ) -> Result<(), GenerateError> {
        self.apply(product, location, change);
        self.begin_movement(product, location, change, kind);
        self.emit_perhaps_twice(Table::StockMovements)?;
        let at = product as usize;
        if self.stock.levels[at][WAREHOUSES[0]] < REORDER_BELOW && !self.stock.ordered[at] {
            self.stock.ordered[at] = true;
            let at_ms = self.now_ms + self.around_ms(SUPPLY_MS);
            self.schedule.plan(at_ms, Task::Receipt { product });
        }
        Ok(())
    }

    /// Sets units aside for an order, or frees them.
    pub(super) fn write_reservation(
        &mut self,
        product: u32,
        location: usize,
        units: u32,
        kind: &str,
    ) -> Result<(), GenerateError> {
        let change = if kind == "release" {
            -i64::from(units)
        } else {
            i64::from(units)
        };
        self.begin_movement(product, location, change, kind);
        self.emit(Table::StockMovements)
    }

    pub(super) fn receive(&mut self, product: u32) -> Result<(), GenerateError> {
        self.stock.ordered[product as usize] = false;
        let units = i64::from(self.random.between(80, 240));
        self.change_stock(product, WAREHOUSES[0], units, "receipt")
    }

    /// Sends units from the main warehouse to another location.
    pub(super) fn transfer(&mut self) -> Result<(), GenerateError> {
        let product = self.any_product();
        let location = 1 + self.random.below(LOCATIONS.len() as u32 - 1) as usize;
        let units = self.random.between(4, 12);
        if self.stock.levels[product as usize][WAREHOUSES[0]] < units.cast_signed() {
            return Ok(());
        }
        self.numbers.transfers += 1;
        let transfer = self.numbers.transfers;
        self.apply(product, WAREHOUSES[0], -i64::from(units));
        self.begin_movement(product, WAREHOUSES[0], -i64::from(units), "transfer");
        self.line.id("transfer_id", "x", transfer);
        self.emit_perhaps_twice(Table::StockMovements)?;
        if self.random.chance(LOST) {
            return Ok(());
        }
        let units = if self.random.chance(SHORT) {
            units - 2
        } else {
            units
        };
        let at_ms = self.now_ms + self.around_ms(TRANSFER_MS);
        self.schedule.plan(
            at_ms,
            Task::Arrival {
                transfer,
                product,
                location,
                units,
            },
        );
        Ok(())
    }

    pub(super) fn arrive_from_transfer(
        &mut self,
        transfer: u64,
        product: u32,
        location: usize,
        units: u32,
    ) -> Result<(), GenerateError> {
        self.apply(product, location, units.into());
        self.begin_movement(product, location, units.into(), "transfer");
        self.line.id("transfer_id", "x", transfer);
        self.emit_perhaps_twice(Table::StockMovements)
    }

    /// Somebody counts a shelf and finds as many units as there should be, or a few fewer.
    pub(super) fn count_stock(&mut self) -> Result<(), GenerateError> {
        let product = self.any_product();
        let location = self.random.below(LOCATIONS.len() as u32) as usize;
        let missing = self.random.zipf(4).cast_signed();
        let level = &mut self.stock.levels[product as usize][location];
        *level = (*level - missing).max(0);
        self.write_count(product, location)
    }

    /// Tells the marketplace how much there is, now and then wrongly.
    pub(super) fn publish_stock(&mut self) -> Result<(), GenerateError> {
        let product = self.random.below(self.options.products.min(ON_MARKETPLACE));
        self.write_offer(product)
    }

    /// A product that somebody finds at a location; after a few empty shelves, one that is not there.
    pub(super) fn on_shelf(&mut self, location: usize) -> u32 {
        const SHELVES: usize = 8;
        let mut product = self.any_product();
        for _ in 1..SHELVES {
            if self.stock.levels[product as usize][location] > 0 {
                break;
            }
            product = self.any_product();
        }
        product
    }

    fn apply(&mut self, product: u32, location: usize, change: i64) {
        let level = &mut self.stock.levels[product as usize][location];
        *level = level.saturating_add(i32::try_from(change).unwrap_or(0));
    }

    fn begin_movement(&mut self, product: u32, location: usize, change: i64, kind: &str) {
        self.numbers.movements += 1;
        self.line
            .begin()
            .id("event_id", "m", self.numbers.movements);
        self.line
            .id("product_id", "p", product.into())
            .number("change", change);
        self.line
            .time("timestamp", self.now_ms)
            .text("location", LOCATIONS[location]);
        self.line.text("kind", kind);
    }

    fn write_count(&mut self, product: u32, location: usize) -> Result<(), GenerateError> {
        let units = self.stock.levels[product as usize][location];
        self.numbers.movements += 1;
        self.line
            .begin()
            .id("event_id", "m", self.numbers.movements);
        self.line
            .id("product_id", "p", product.into())
            .number("quantity", units.into());
        self.line
            .time("timestamp", self.now_ms)
            .text("location", LOCATIONS[location]);
        self.emit(Table::StockMovements)
    }

    fn write_offer(&mut self, product: u32) -> Result<(), GenerateError> {
        let units: i32 = self.stock.levels[product as usize].iter().sum();
        let wrong = self.random.zipf(4).cast_signed();
        let offered = units.max(0) + wrong;
        self.line
            .begin()
            .text("channel", "marketplace")
            .id("product_id", "p", product.into());
        self.line.number("quantity", offered.into());
        self.emit(Table::ChannelStock)
    }
}
