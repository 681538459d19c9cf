//! Tables, decoders and readable rows for the tests of this binary.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tillrace::decode::{Decoded, Decoder, Reject};
use tillrace::script::{Column, Table, TableOptions};
use tillrace::source::{
    Block, Blocks, CsvOptions, Format, InputSpec, Next, OpenInput, OpenOptions, SourceErrors,
};

/// The time of reading, where a test does not care.
pub const READ_TIME: i64 = 1_700_000_000_000_000_000;

pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);
pub const MONEY: DataType = DataType::Decimal128(18, 2);

/// A nullable column that is read from the field of its own name.
pub fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.to_owned(),
        data_type,
        nullable: true,
        paths: vec![vec![name.to_owned()]],
        comment: None,
    }
}

/// The column with other places to be read from; dots go into objects.
pub fn from(mut column: Column, paths: &[&str]) -> Column {
    column.paths = paths
        .iter()
        .map(|path| path.split('.').map(str::to_owned).collect())
        .collect();
    column
}

/// The column as one that no row may lack.
pub fn required(mut column: Column) -> Column {
    column.nullable = false;
    column
}

pub fn table(columns: Vec<Column>) -> Table {
    Table {
        name: "events".to_owned(),
        columns,
        primary_key: Vec::new(),
        options: TableOptions::default(),
        comment: None,
        origin: Default::default(),
    }
}

pub fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

pub fn structure(fields: &[(&str, DataType)]) -> DataType {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    DataType::Struct(Fields::from_iter(fields.iter().map(field)))
}

pub fn csv() -> Format {
    Format::Csv(CsvOptions::default())
}

/// A decoder of all columns for text that is pushed.
pub fn decoder(table: &Table, format: &Format) -> Decoder {
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let input = OpenInput::pushed("text", &table.name, format.clone());
    Decoder::new(table, &columns, &input, READ_TIME).expect("the table is decodable")
}

pub fn block(text: impl Into<Vec<u8>>) -> Block {
    Block::pushed(0, Arc::new(PathBuf::from("text")), 0, text.into())
}

/// Decodes a text with all columns.
pub fn decode(table: &Table, format: &Format, text: impl Into<Vec<u8>>) -> Decoded {
    decoder(table, format)
        .decode(&block(text))
        .expect("the text is decodable")
}

/// The rows, each as `value|value`; null is `∅`.
pub fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let formatter = |array| ArrayFormatter::try_new(array, &options).expect("the type is shown");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|array| formatter(array))
        .collect();
    let row = |row| {
        columns
            .iter()
            .map(|c| c.value(row).to_string())
            .collect::<Vec<_>>()
            .join("|")
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The reasons of the rejects.
pub fn reasons(decoded: &Decoded) -> Vec<&str> {
    decoded
        .rejects
        .iter()
        .map(|reject| reject.reason.as_str())
        .collect()
}

/// All that a set of inputs yields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Everything {
    pub rows: Vec<String>,
    pub positions: Vec<u64>,
    pub rejects: Vec<Reject>,
    /// Offset and reason of files that broke off.
    pub broken: Vec<(u64, String)>,
}

pub fn open(inputs: &[&str], block_bytes: usize) -> Result<Blocks, SourceErrors> {
    let specs: Vec<_> = inputs
        .iter()
        .map(|text| InputSpec::parse(text).expect("the input parses"))
        .collect();
    Blocks::open(&specs, &OpenOptions { block_bytes })
}

/// Reads and decodes inputs of one table to the end, checking what holds for all blocks.
pub fn read(table: &Table, inputs: &[&str], block_bytes: usize) -> Everything {
    let blocks = open(inputs, block_bytes).expect("the inputs open");
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let decoder = |input| Decoder::new(table, &columns, input, READ_TIME).expect("decodable");
    let mut decoders: Vec<Decoder> = blocks.inputs().iter().map(decoder).collect();
    let mut all = Everything::default();
    let (mut expected, mut bytes) = (0, 0);
    loop {
        match blocks.next() {
            Next::Block(block) => {
                assert_eq!(block.number, expected);
                expected += 1;
                bytes += block.bytes;
                let decoded = decoders[block.input]
                    .decode(&block)
                    .expect("the block is decodable");
                assert_eq!(decoded.positions.len(), decoded.batch.num_rows());
                assert!(decoded.positions.is_sorted());
                all.rows.extend(rows(&decoded.batch));
                all.positions.extend(decoded.positions);
                all.rejects.extend(decoded.rejects);
            }
            Next::Broken {
                number,
                offset,
                reason,
                ..
            } => {
                assert_eq!(number, expected);
                expected += 1;
                all.broken.push((offset, reason));
            }
            Next::Wait => std::thread::yield_now(),
            Next::End => break,
        }
    }
    assert!(matches!(blocks.next(), Next::End));
    let total = blocks.total_bytes();
    assert!(
        total.is_none_or(|total| bytes <= total),
        "no byte counts twice"
    );
    all
}

/// `events=<path><options>`
pub fn input(path: &Path, options: &str) -> String {
    format!("events={}{options}", path.display())
}

pub fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("writing to memory works");
    encoder.finish().expect("writing to memory works")
}

pub fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).expect("writing to memory works")
}
