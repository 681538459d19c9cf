//! How fast blocks become batches, on one core: rows a second for JSON lines and CSV with few and
//! many wanted columns, beside the rate at which memchr finds the line ends of the same text, and
//! beside arrow-json.
//!
//! `cargo bench --bench decode -- [rows]`; a million rows by default. Each figure is the best of
//! several rounds over text in memory, cut into blocks as files are.

use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tillrace::decode::Decoder;
use tillrace::script::{Column, Table, TableOptions};
use tillrace::source::{Block, CsvOptions, Format, OpenInput};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const BLOCK_BYTES: usize = 1 << 20;
const NAMES: [&str; 7] = [
    "event",
    "user_id",
    "product_id",
    "category",
    "price",
    "quantity",
    "timestamp",
];
/// The wanted columns of each figure.
const WANTED: [(&str, &[usize]); 5] = [
    ("2 columns (category, price)", &[3, 4]),
    ("3 columns (category, price, quantity)", &[3, 4, 5]),
    ("4 columns (those and event)", &[0, 3, 4, 5]),
    ("5 columns (those and timestamp)", &[0, 3, 4, 5, 6]),
    ("7 columns", &[0, 1, 2, 3, 4, 5, 6]),
];

fn main() {
    let number = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let rows: usize = number.unwrap_or(1_000_000);
    let (json, csv) = texts(rows);
    let csv_options = CsvOptions {
        header: false,
        ..CsvOptions::default()
    };
    for (name, format, text) in [
        ("JSON lines", Format::Json, json),
        ("CSV", Format::Csv(csv_options), csv),
    ] {
        println!("{name}: {rows} rows of {} bytes", text.len() / rows);
        let limit = line_end_rate(&text);
        report("memchr of line ends", limit, limit, text.len() / rows);
        for (wanted, columns) in WANTED {
            let rate = decode_rate(&table(), columns, &format, &text);
            report(wanted, rate, limit, text.len() / rows);
        }
        if format == Format::Json {
            let rate = peer_rate(&[0, 3, 4, 5], &text);
            report("arrow-json, 4 columns", rate, limit, text.len() / rows);
        }
    }
    let text = orders(rows / 4);
    println!(
        "JSON lines with lists: {} rows of {} bytes",
        rows / 4,
        text.len() / (rows / 4)
    );
    let limit = line_end_rate(&text);
    report("memchr of line ends", limit, limit, text.len() / (rows / 4));
    let rate = decode_rate(&orders_table(), &[0, 1], &Format::Json, &text);
    report(
        "order_id, items[] of three fields",
        rate,
        limit,
        text.len() / (rows / 4),
    );
}

/// Lines a second that memchr finds.
fn line_end_rate(text: &[u8]) -> f64 {
    let lines = memchr::memchr_iter(b'\n', text).count();
    rate(lines, || {
        // Summing the places keeps memchr from merely counting.
        let ends = memchr::memchr_iter(b'\n', black_box(text));
        black_box(ends.fold(0, |sum: usize, end| sum.wrapping_add(end)));
    })
}

/// Rows a second that are decoded.
fn decode_rate(table: &Table, columns: &[usize], format: &Format, text: &[u8]) -> f64 {
    let rows = memchr::memchr_iter(b'\n', text).count();
    let blocks = blocks(text);
    let input = OpenInput::pushed("memory", &table.name, format.clone());
    let mut decoder = Decoder::new(table, columns, &input, 0).expect("decodable");
    rate(rows, || {
        let mut decoded = 0;
        for block in &blocks {
            decoded += decoder.decode(block).expect("decodable").batch.num_rows();
        }
        assert_eq!(decoded, rows);
    })
}

/// Rows a second that the general decoder of arrow-json makes of the same text.
fn peer_rate(columns: &[usize], text: &[u8]) -> f64 {
    let rows = memchr::memchr_iter(b'\n', text).count();
    let schema = table()
        .schema()
        .project(columns)
        .expect("columns of the table");
    let builder = arrow::json::ReaderBuilder::new(Arc::new(schema)).with_batch_size(8192);
    let mut decoder = builder.build_decoder().expect("decodable");
    rate(rows, || {
        let (mut rest, mut decoded) = (text, 0);
        while !rest.is_empty() {
            let read = decoder.decode(rest).expect("well-formed");
            rest = &rest[read..];
            decoded += decoder
                .flush()
                .expect("decodable")
                .map_or(0, |batch| batch.num_rows());
        }
        assert_eq!(decoded, rows);
    })
}

/// The same events as JSON lines and as CSV.
fn texts(rows: usize) -> (Vec<u8>, Vec<u8>) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut json, mut csv) = (String::new(), String::new());
    for row in 0..rows {
        let event = ["view", "cart", "purchase"][random.random_range(0..3)];
        let user = random.random_range(0..100_000);
        let product = random.random_range(0..10_000);
        let category = format!("category_{:02}", product % 100);
        let price = format!(
            "{}.{:02}",
            random.random_range(1..500),
            random.random_range(0..100)
        );
        let quantity = random.random_range(1..5);
        let second = row % 60;
        let (minute, hour) = (row / 60 % 60, row / 3600 % 24);
        let at = format!(
            "2024-03-{:02}T{hour:02}:{minute:02}:{second:02}Z",
            1 + row / 86_400 % 28
        );
        let written = writeln!(
            json,
            "{{\"event\":\"{event}\",\"user_id\":\"u{user}\",\"product_id\":\"p{product}\",\
             \"category\":\"{category}\",\"price\":{price},\"quantity\":{quantity},\
             \"timestamp\":\"{at}\"}}"
        );
        written.expect("writing to memory works");
        let written = writeln!(
            csv,
            "{event},u{user},p{product},{category},{price},{quantity},{at}"
        );
        written.expect("writing to memory works");
    }
    (json.into_bytes(), csv.into_bytes())
}

/// Orders of one to four items.
fn orders(rows: usize) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut text = String::new();
    for row in 0..rows {
        let mut items = String::new();
        for i in 0..random.random_range(1..=4) {
            let comma = if i > 0 { "," } else { "" };
            let product = random.random_range(0..10_000);
            let (quantity, price) = (random.random_range(1..5), random.random_range(1..500));
            let written = write!(
                items,
                "{comma}{{\"product_id\":\"p{product}\",\"quantity\":{quantity},\
                 \"price\":{price}.99}}"
            );
            written.expect("writing to memory works");
        }
        let written = writeln!(
            text,
            "{{\"order_id\":\"o{row}\",\"user_id\":\"u{}\",\"status\":\"created\",\
             \"timestamp\":\"2024-03-01T12:00:00Z\",\"items\":[{items}]}}",
            row % 1000
        );
        written.expect("writing to memory works");
    }
    text.into_bytes()
}

fn orders_table() -> Table {
    let fields = Fields::from(vec![
        Field::new("product_id", DataType::Utf8, true),
        Field::new("quantity", DataType::Int32, true),
        Field::new("price", DataType::Decimal128(18, 2), true),
    ]);
    let item = Field::new("item", DataType::Struct(fields), true);
    let items = DataType::List(Arc::new(item));
    let columns = vec![
        column(("order_id", DataType::Utf8)),
        column(("items", items)),
    ];
    Table {
        columns,
        options: TableOptions::default(),
        ..table()
    }
}

fn column((name, data_type): (&str, DataType)) -> Column {
    Column {
        name: name.to_owned(),
        data_type,
        nullable: true,
        paths: vec![vec![name.to_owned()]],
        comment: None,
    }
}

fn table() -> Table {
    let types = [
        DataType::Utf8,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Decimal128(18, 2),
        DataType::Int32,
        DataType::Timestamp(TimeUnit::Nanosecond, None),
    ];
    Table {
        name: "events".to_owned(),
        columns: NAMES.into_iter().zip(types).map(column).collect(),
        primary_key: Vec::new(),
        options: TableOptions {
            event_time: Some(6),
            ..TableOptions::default()
        },
        comment: None,
        origin: Default::default(),
    }
}

/// The text in blocks of whole lines.
fn blocks(mut text: &[u8]) -> Vec<Block> {
    let name = Arc::new(PathBuf::from("memory"));
    let mut blocks = Vec::new();
    while !text.is_empty() {
        let reach = text.len().min(BLOCK_BYTES);
        let end = memchr::memrchr(b'\n', &text[..reach]).map_or(text.len(), |newline| newline + 1);
        let (block, rest) = text.split_at(end);
        let number = blocks.len() as u64;
        blocks.push(Block::pushed(0, Arc::clone(&name), number, block.to_vec()));
        text = rest;
    }
    blocks
}

/// Rows a second of the best of several rounds.
fn rate(rows: usize, mut round: impl FnMut()) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64()
    };
    rows as f64 / (0..ROUNDS).map(seconds).fold(f64::INFINITY, f64::min)
}

fn report(what: &str, rate: f64, limit: f64, row_bytes: usize) {
    println!(
        "  {what:<40} {:>7.2} M rows/s {:>7.0} MB/s {:>5.1} % of memchr",
        rate / 1e6,
        rate * row_bytes as f64 / 1e6,
        100.0 * rate / limit
    );
}
