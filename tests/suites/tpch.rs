//! TPC-H: the 22 queries as materialised views over generated tables, loaded in epochs and then
//! changed by the two refresh functions; after every epoch each answer equals that of a batch.
//!
//! The texts are those of the crate `tpchgen`, with the substitution parameters that the
//! specification names for validation (TPC-H 3.0.1, 2.4.x.3) and its limits on rows (2.4.x.1). Two
//! things differ: q1 says `INTERVAL '90' day` without a precision, and the view of q15 stays.

use std::collections::HashSet;
use std::fmt::Display;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen::q_and_a::queries;

use crate::support::{Batch, Suite, parse};

const TABLES: &str = include_str!("tpch/tables.sql");

/// 15,000 orders.
const SCALE: f64 = 0.01;

/// In how many epochs the tables are loaded.
const LOADS: usize = 4;

/// How often both refresh functions run.
const REFRESHES: usize = 3;

/// How many orders a refresh adds, and how many it deletes: SF * 1500 (TPC-H 3.0.1, 5.3.6).
const REFRESHED_ORDERS: usize = 15;

/// The validation parameters of a query, `:1` first, and how many rows it asks for.
const PARAMETERS: [(&[&str], Option<usize>); 22] = [
    (&["90"], None),
    (&["15", "BRASS", "EUROPE"], Some(100)),
    (&["BUILDING", "1995-03-15"], Some(10)),
    (&["1993-07-01"], None),
    (&["ASIA", "1994-01-01"], None),
    (&["1994-01-01", "0.06", "24"], None),
    (&["FRANCE", "GERMANY"], None),
    (&["BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"], None),
    (&["green"], None),
    (&["1993-10-01"], Some(20)),
    // The fraction is 0.0001 / SF.
    (&["GERMANY", "0.01"], None),
    (&["MAIL", "SHIP", "1994-01-01"], None),
    (&["special", "requests"], None),
    (&["1995-09-01"], None),
    (&["1996-01-01"], None),
    (
        &[
            "Brand#45",
            "MEDIUM POLISHED",
            "49",
            "14",
            "23",
            "45",
            "19",
            "3",
            "36",
            "9",
        ],
        None,
    ),
    (&["Brand#23", "MED BOX"], None),
    // At this scale no order has more than 300 pieces.
    (&["250"], Some(100)),
    (&["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"], None),
    (&["forest", "1994-01-01", "CANADA"], None),
    (&["SAUDI ARABIA"], Some(100)),
    (&["13", "31", "23", "29", "30", "18", "17"], None),
];

#[test]
fn all_queries_equal_batch_on_one_worker() {
    load_and_refresh(1);
}

#[test]
fn all_queries_equal_batch_on_four_workers() {
    load_and_refresh(4);
}

fn load_and_refresh(workers: usize) {
    let views: Vec<String> = (1..=22).map(view).collect();
    let mut suite = Suite::start(&format!("{TABLES}\n{}", views.join("\n")), workers);
    let tables = generate();
    // Orders come last in their table; those that are added later are kept back.
    let kept_back = REFRESHES * REFRESHED_ORDERS;
    for load in 0..LOADS {
        for table in &tables {
            let rows = table.loaded(kept_back);
            let part = |place| rows * place / LOADS;
            let rows = table.rows.slice(part(load), part(load + 1) - part(load));
            suite.insert(table.name, rows);
        }
        suite.check(Batch::Optimised, &format!("after load {load}"));
    }
    for refresh in 0..REFRESHES {
        for table in tables.iter().filter(|table| table.by_order) {
            let from = |number| table.loaded(kept_back - number * REFRESHED_ORDERS);
            let rows = table
                .rows
                .slice(from(refresh), from(refresh + 1) - from(refresh));
            assert!(rows.num_rows() > 0);
            suite.insert(table.name, rows);
        }
        suite.check(Batch::Optimised, &format!("after insert {refresh}"));
        // From the front of the orders, and spread, so that groups lose some of their rows.
        let orders = suite.contents("orders").column(0);
        let orders = orders.as_primitive::<Int64Type>();
        let old: HashSet<i64> = (0..REFRESHED_ORDERS)
            .map(|number| orders.value(number * 7))
            .collect();
        for table in ["orders", "lineitem"] {
            let keys = suite.contents(table).column(0).as_primitive::<Int64Type>();
            let marked: BooleanArray = keys
                .values()
                .iter()
                .map(|key| Some(old.contains(key)))
                .collect();
            suite.delete(table, &marked);
        }
        suite.check(Batch::Optimised, &format!("after delete {refresh}"));
    }
    let checks = LOADS + 2 * REFRESHES;
    assert_eq!(suite.compared, 22 * checks);
    // Few answers have no rows, so that there is something to compare.
    assert!(
        suite.with_rows > 20 * checks,
        "{} with rows",
        suite.with_rows
    );
    suite.stop();
}

/// A query as a materialised view `q1` to `q22`.
fn view(number: usize) -> String {
    let (parameters, rows) = PARAMETERS[number - 1];
    let text = queries::query(number as i32).expect("22 queries");
    let mut text = text
        .replace(" day (3)", " day")
        .replace("revenue:s", "revenue0")
        .replace("drop view revenue0;", "");
    // From the last: `:10` begins with `:1`.
    for (place, value) in parameters.iter().enumerate().rev() {
        text = text.replace(&format!(":{}", place + 1), value);
    }
    let text = text.trim().trim_end_matches(';');
    let (before, query) = text.rsplit_once(';').unwrap_or(("", text));
    let limit = rows.map_or_else(String::new, |rows| format!("\nlimit {rows}"));
    let end = if before.is_empty() { "" } else { ";\n" };
    format!("{before}{end}create materialized view q{number} as\n{query}{limit};")
}

/// A generated table.
struct Table {
    name: &'static str,
    rows: RecordBatch,
    /// Whether its first column is the key of an order, which refreshes add and delete.
    by_order: bool,
}

impl Table {
    /// How many of its rows are there while the last few orders are not.
    fn loaded(&self, orders_kept_back: usize) -> usize {
        let rows = self.rows.num_rows();
        if !self.by_order {
            return rows;
        }
        let keys = self.rows.column(0).as_primitive::<Int64Type>();
        let mut later = 0;
        let mut last = None;
        for row in (0..rows).rev() {
            if last != Some(keys.value(row)) {
                if later == orders_kept_back {
                    return row + 1;
                }
                later += 1;
                last = Some(keys.value(row));
            }
        }
        0
    }
}

fn generate() -> Vec<Table> {
    let script = parse(TABLES);
    let table = |name: &'static str, text: String| {
        let (_, table) = script.table(name).expect("a table of TPC-H");
        Table {
            name,
            rows: read(&table.schema(), text),
            by_order: matches!(name, "orders" | "lineitem"),
        }
    };
    let nations = NationGenerator::new(SCALE, 1, 1);
    let regions = RegionGenerator::new(SCALE, 1, 1);
    let parts = PartGenerator::new(SCALE, 1, 1);
    let suppliers = SupplierGenerator::new(SCALE, 1, 1);
    let supplies = PartSuppGenerator::new(SCALE, 1, 1);
    let customers = CustomerGenerator::new(SCALE, 1, 1);
    let orders = OrderGenerator::new(SCALE, 1, 1);
    let items = LineItemGenerator::new(SCALE, 1, 1);
    vec![
        table("nation", lines(nations.iter().map(NationCsv::new))),
        table("region", lines(regions.iter().map(RegionCsv::new))),
        table("part", lines(parts.iter().map(PartCsv::new))),
        table("supplier", lines(suppliers.iter().map(SupplierCsv::new))),
        table("partsupp", lines(supplies.iter().map(PartSuppCsv::new))),
        table("customer", lines(customers.iter().map(CustomerCsv::new))),
        table("orders", lines(orders.iter().map(OrderCsv::new))),
        table("lineitem", lines(items.iter().map(LineItemCsv::new))),
    ]
}

fn lines<T: Display>(rows: impl Iterator<Item = T>) -> String {
    rows.map(|row| format!("{row}\n")).collect()
}

fn read(schema: &SchemaRef, text: String) -> RecordBatch {
    let rows = text.lines().count();
    let reader = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows);
    let mut reader = reader.build(Cursor::new(text)).expect("CSV of the schema");
    let batch = reader.next().expect("rows").expect("rows of the schema");
    assert!(
        batch
            .schema()
            .fields()
            .iter()
            .all(|f| *f.data_type() != DataType::Null)
    );
    batch
}
