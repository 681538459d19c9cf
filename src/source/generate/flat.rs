//! The flat events of the speed benchmark: each event is drawn for itself.

use super::line::Line;
use super::random::Random;
use super::shop::{CATEGORIES, base_price_cents, write_category};
use super::sink::EventSink;
use super::{GenerateError, GenerateOptions, Generated, Table};

/// One re-filing of a product for so many events.
const EVENTS_A_REFILING: u64 = 1000;
/// One stock movement for so many events.
const EVENTS_A_MOVEMENT: u64 = 10;
/// How many warehouses movements are spread over.
const WAREHOUSES: u32 = 20;

/// Writes the catalogue, then events, with re-filings and stock movements between them.
pub(super) fn generate(
    options: &GenerateOptions,
    out: &mut dyn EventSink,
) -> Result<Generated, GenerateError> {
    let mut flat = Flat {
        options,
        out,
        random: Random::new(options.seed),
        line: Line::new(),
        categories: Vec::new(),
        generated: Generated::default(),
    };
    let failed = |source| GenerateError::Write {
        table: "events",
        source,
    };
    flat.catalogue()?;
    let mut start_ms = options.start_ms.unsigned_abs();
    for n in 0..options.events {
        let passed = u128::from(options.duration_ms) * u128::from(n) / u128::from(options.events);
        let planned_ms = start_ms + passed as u64;
        let at_ms = flat.out.reach(planned_ms).map_err(failed)?;
        start_ms += at_ms.saturating_sub(planned_ms);
        flat.event(at_ms)?;
        if n % EVENTS_A_MOVEMENT == EVENTS_A_MOVEMENT - 1 {
            flat.movement(at_ms)?;
        }
        if n % EVENTS_A_REFILING == EVENTS_A_REFILING - 1 {
            flat.refiling(at_ms)?;
        }
    }
    flat.out.finish().map_err(failed)?;
    Ok(flat.generated)
}

struct Flat<'a> {
    options: &'a GenerateOptions,
    out: &'a mut dyn EventSink,
    random: Random,
    line: Line,
    /// The category in which each product is filed now.
    categories: Vec<u8>,
    generated: Generated,
}

impl Flat<'_> {
    fn catalogue(&mut self) -> Result<(), GenerateError> {
        for product in 0..self.options.products {
            let category = self.random.below(CATEGORIES) as u8;
            self.categories.push(category);
            self.product(product, self.options.start_ms.unsigned_abs())?;
        }
        Ok(())
    }

    fn product(&mut self, product: u32, at_ms: u64) -> Result<(), GenerateError> {
        self.line.begin().id("product_id", "p", product.into());
        write_category(&mut self.line, self.categories[product as usize]);
        self.line
            .cents("price", base_price_cents(product))
            .time("timestamp", at_ms);
        self.emit(Table::Products)
    }

    fn refiling(&mut self, at_ms: u64) -> Result<(), GenerateError> {
        let product = self.random.below(self.options.products);
        self.categories[product as usize] = self.random.below(CATEGORIES) as u8;
        self.product(product, at_ms)
    }

    fn event(&mut self, at_ms: u64) -> Result<(), GenerateError> {
        let name = match self.random.below(10) {
            0 => "purchase",
            1 | 2 => "add_to_cart",
            _ => "view",
        };
        let user = self.random.below(self.options.users);
        let product = self.random.zipf(self.options.products);
        let quantity = 1 + i64::from(self.random.zipf(4));
        self.line
            .begin()
            .text("event", name)
            .id("user_id", "u", user.into());
        self.line.id("product_id", "p", product.into());
        write_category(&mut self.line, self.categories[product as usize]);
        self.line
            .cents("price", base_price_cents(product))
            .number("quantity", quantity);
        self.line.time("timestamp", at_ms);
        self.emit(Table::Events)
    }

    fn movement(&mut self, at_ms: u64) -> Result<(), GenerateError> {
        let product = self.random.zipf(self.options.products);
        let change = match self.random.below(10) {
            0 => i64::from(self.random.between(10, 50)),
            _ => -i64::from(self.random.between(1, 4)),
        };
        let warehouse = 1001 + self.random.below(WAREHOUSES);
        self.line
            .begin()
            .id("product_id", "p", product.into())
            .number("change", change);
        self.line
            .id("location", "warehouse_", warehouse.into())
            .time("timestamp", at_ms);
        self.emit(Table::StockMovements)
    }

    fn emit(&mut self, table: Table) -> Result<(), GenerateError> {
        let line = self.line.end();
        if !self.options.wants(table) {
            return Ok(());
        }
        self.generated.lines += 1;
        self.generated.bytes += line.len() as u64;
        let failed = |source| GenerateError::Write {
            table: table.name(),
            source,
        };
        self.out.line(table, line).map_err(failed)
    }
}
