//! Parquet: projection, conversion to the table's types, and rows whose values do not fit.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tillrace::decode::{DecodeError, Decoder};
use tillrace::source::Format;

use crate::support::*;

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, group: usize) {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let file = File::create(path).expect("created");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("opened");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

#[test]
fn row_groups_become_rows_of_the_tables_types() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    let tags: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("y")].into_iter().collect();
    let at = TimestampMillisecondArray::from(vec![0, 1000, 2500]).with_timezone("+02:00");
    write(
        &path,
        vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("tag", Arc::new(tags)),
            (
                "note",
                Arc::new(StringViewArray::from(vec![Some("a"), Some("b"), None])),
            ),
            ("price", Arc::new(Float64Array::from(vec![0.1, 2.5, 1e3]))),
            ("at", Arc::new(at)),
            ("unused", Arc::new(Int8Array::from(vec![0, 0, 0]))),
        ],
        2,
    );
    let table = table(vec![
        required(column("id", DataType::Int32)),
        column("tag", DataType::Utf8),
        from(column("both", DataType::Utf8), &["none", "tag", "note"]),
        column("price", MONEY),
        required(column("at", TIMESTAMP)),
        column("absent", DataType::Boolean),
    ]);
    let all = read(&table, &[&input(&path, "")], 64);
    assert_eq!(
        all.rows,
        [
            "1|x|x|0.10|1970-01-01T00:00:00|∅",
            "2|∅|b|2.50|1970-01-01T00:00:01|∅",
            "3|y|y|1000.00|1970-01-01T00:00:02.500|∅",
        ]
    );
    assert_eq!(all.positions, [0, 1, 2]);
}

#[test]
fn values_that_do_not_fit_reject_their_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    write(
        &path,
        vec![
            (
                "n",
                Arc::new(Int64Array::from(vec![
                    Some(1),
                    Some(300),
                    None,
                    Some(4),
                    Some(5),
                ])),
            ),
            (
                "price",
                Arc::new(Float64Array::from(vec![1.0, 1.0, 1.0, 1.005, f64::NAN])),
            ),
            (
                "day",
                Arc::new(StringArray::from(vec!["2020-01-01", "x", "x", "x", "x"])),
            ),
        ],
        100,
    );
    let table = table(vec![
        required(column("n", DataType::Int8)),
        column("price", MONEY),
        column("day", DataType::Date32),
    ]);
    let all = read(&table, &[&input(&path, "")], 64);
    assert_eq!(all.rows, ["1|1.00|2020-01-01"]);
    let reasons: Vec<_> = all
        .rejects
        .iter()
        .map(|reject| reject.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "column \"n\": 300 is out of range for TINYINT",
            "column \"n\": null, but the column is NOT NULL",
            "column \"price\": 1.005 has more than 2 digits after the point, too many for \
             DECIMAL(18,2)",
            "column \"price\": NaN is not a DECIMAL(18,2)",
        ]
    );
    assert_eq!(all.rejects[0].text, "n: 300, price: 1.0, day: x");
    assert_eq!(all.rejects[0].position, 1);
}

#[test]
fn floats_are_the_decimals_that_they_are_written_as() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    let written = [
        "0.1",
        "2.675",
        "-1.005",
        "1e3",
        "0",
        "-0.0",
        "123456789012.345",
        "999999999999999.9",
        "2251799813685249.5",
        "1e21",
    ];
    for texts in [&written[..7], &written[..]] {
        let floats = texts.iter().map(|text| text.parse().ok()).chain([None]);
        let floats: Float64Array = floats.collect();
        write(&path, vec![("v", Arc::new(floats))], 100);
        let table = table(vec![column("v", DataType::Decimal128(38, 3))]);
        let json: String = texts
            .iter()
            .map(|text| format!("{{\"v\":{text}}}\n"))
            .collect();
        let mut expected = rows(&decode(&table, &Format::Json, json).batch);
        expected.push("∅".to_owned());
        assert_eq!(read(&table, &[&input(&path, "")], 64).rows, expected);
    }
}

#[test]
fn nested_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    let items = Int64Array::from(vec![Some(1), Some(2), Some(400)]);
    let item = Arc::new(Field::new("element", DataType::Int64, true));
    let lengths = arrow::buffer::OffsetBuffer::from_lengths([2, 0, 1]);
    let items: ArrayRef = Arc::new(ListArray::new(item, lengths, Arc::new(items), None));
    let name: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let user = StructArray::try_from(vec![("name", name), ("n", items)]).expect("a struct");
    write(&path, vec![("user", Arc::new(user))], 100);
    let table = table(vec![
        from(column("name", DataType::Utf8), &["user.name"]),
        column(
            "user",
            structure(&[("n", list(DataType::Int8)), ("z", DataType::Utf8)]),
        ),
    ]);
    let all = read(&table, &[&input(&path, "")], 64);
    assert_eq!(all.rows, ["a|{n: [1, 2], z: ∅}", "b|{n: [], z: ∅}"]);
    assert_eq!(
        all.rejects[0].reason,
        "column \"user\" at n[0]: 400 is out of range for TINYINT"
    );
}

#[test]
fn columns_that_cannot_be_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    write(
        &path,
        vec![("a", Arc::new(StringArray::from(vec!["x"])))],
        1,
    );
    let decode = |table: &tillrace::script::Table| {
        let blocks = open(&[&input(&path, "")], 64).expect("opens");
        let tillrace::source::Next::Block(block) = blocks.next() else {
            panic!("a row group")
        };
        let mut decoder = Decoder::new(table, &[0], &blocks.inputs()[0], 0).expect("decodable");
        decoder.decode(&block)
    };
    let missing = decode(&table(vec![required(column("b", DataType::Utf8))]));
    assert!(matches!(missing, Err(DecodeError::MissingColumn { .. })));
    let wrong = decode(&table(vec![column("a", list(DataType::Utf8))]));
    // Text may hold a list as JSON; this one does not.
    assert_eq!(
        reasons(&wrong.expect("text converts")),
        ["column \"a\": \"x\" is not a TEXT[]"]
    );
}
