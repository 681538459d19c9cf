//! CSV: quotes, nulls, headers, and agreement with csv-core.

use std::fs;

use arrow::datatypes::DataType;
use proptest::prelude::*;
use tillrace::decode::{DecodeError, Decoder};
use tillrace::script::Table;
use tillrace::source::{CsvOptions, Format};

use crate::support::*;

fn sales() -> Table {
    table(vec![
        required(column("id", DataType::Utf8)),
        column("price", MONEY),
        column("note", DataType::Utf8),
    ])
}

fn without_header() -> Format {
    Format::Csv(CsvOptions {
        header: false,
        ..CsvOptions::default()
    })
}

#[test]
fn the_header_maps_fields_to_columns() {
    let text = "\u{FEFF}note,\"id\",extra, price \r\nx,1,?,2.50\r\n\"\",2,?,\n,3,?,1\n";
    let decoded = decode(&sales(), &csv(), text);
    assert_eq!(rows(&decoded.batch), ["1|2.50|x", "2|∅|", "3|1.00|∅"]);
    assert_eq!(decoded.positions, [28, 40, 48]);
}

#[test]
fn quotes_hold_delimiters_quotes_and_line_breaks() {
    let text = concat!(
        "a,1,\"x, \"\"y\"\"\r\nz\"\r\n",
        "\"b\",\"2\",5\" disk\n",
        "\n",
        "c,3,\"q\"tail\n",
        "d,4,\"\"\"\"\n",
        "e,5,é\r",
    );
    let decoded = decode(&sales(), &without_header(), text);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let expected = [
        "a|1.00|x, \"y\"\r\nz",
        "b|2.00|5\" disk",
        "c|3.00|qtail",
        "d|4.00|\"",
        "e|5.00|é",
    ];
    assert_eq!(rows(&decoded.batch), expected);
}

#[test]
fn bad_records_are_rejected_alone() {
    let text = "id,price,note\na,1,x\nb,1\nc,1,x,\nd,much,x\n,1,x\n\"e,1,x\nf,1,x\n";
    let decoded = decode(&sales(), &csv(), text);
    assert_eq!(rows(&decoded.batch), ["a|1.00|x", "f|1.00|x"]);
    assert_eq!(
        reasons(&decoded),
        [
            "2 fields, but the header has 3",
            "4 fields, but the header has 3",
            "column \"price\": \"much\" is not a DECIMAL(18,2)",
            "column \"id\": null, but the column is NOT NULL",
            "a quote is never closed",
        ]
    );
    assert_eq!(decoded.rejects[2].text, "d,much,x");
    let decoded = decode(
        &sales(),
        &csv(),
        b"id,price,note\na,1,\xFF\nb,1,\"x\n\xFF\"\nc,1,x".to_vec(),
    );
    assert_eq!(rows(&decoded.batch), ["c|1.00|x"]);
    assert_eq!(reasons(&decoded), ["not valid UTF-8"; 2]);
}

#[test]
fn a_header_without_a_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sales.csv");
    fs::write(&path, "id,remark\n1,x\n").expect("written");
    assert_eq!(read(&sales(), &[&input(&path, "")], 64).rows, ["1|∅|∅"]);

    fs::write(&path, "key,price\n1,2\n").expect("written");
    let blocks = open(&[&input(&path, "")], 64).expect("it opens");
    let error = Decoder::new(&sales(), &[0, 1], &blocks.inputs()[0], 0)
        .err()
        .expect("no column");
    assert!(matches!(error, DecodeError::MissingColumn { .. }));
    let expected = "has no field \"id\" for column \"id\" of table \"events\", which is NOT NULL; its \
                    fields are \"key\", \"price\"";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn paths_into_objects_are_refused() {
    let table = table(vec![from(column("a", DataType::Utf8), &["c.d", "c.e"])]);
    let input = tillrace::source::OpenInput::pushed("text", "events", csv());
    let error = Decoder::new(&table, &[0], &input, 0)
        .err()
        .expect("a path of two");
    assert_eq!(
        error.to_string(),
        "column \"a\" of table \"events\" is read from c.d, but CSV has no nesting"
    );
}

#[test]
fn files_may_order_their_columns_differently() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("1.csv"), "id,price\na,1\n").expect("written");
    fs::write(folder.path().join("2.csv"), "").expect("written");
    fs::write(folder.path().join("3.csv"), "price,id\n2,b\n").expect("written");
    fs::write(folder.path().join("4.csv"), "price\n3\n").expect("written");
    let all = read(&sales(), &[&input(folder.path(), "")], 64);
    assert_eq!(all.rows, ["a|1.00|∅", "b|2.00|∅"]);
    assert_eq!(
        all.rejects[0].reason,
        "column \"id\": missing, but the column is NOT NULL"
    );
}

#[test]
fn dialects() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sales.txt");
    fs::write(&path, "'a;b';1;x\n").expect("written");
    let options = "?delimiter=;&quote='&header=false";
    assert_eq!(
        read(&sales(), &[&input(&path, options)], 64).rows,
        ["a;b|1.00|x"]
    );
    let path = folder.path().join("sales.tsv");
    fs::write(&path, "note\tid\na,b\t1\n").expect("written");
    assert_eq!(read(&sales(), &[&input(&path, "")], 64).rows, ["1|∅|a,b"]);
}

/// The records of a text by csv-core. The text is given in one piece, so it has to end with a line
/// feed for csv-core to tell its last record in one piece too.
fn by_csv_core(text: &str) -> Vec<Vec<String>> {
    let text = if text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    };
    let text = text.as_bytes();
    let mut reader = csv_core::ReaderBuilder::new().build();
    let (mut records, mut rest) = (Vec::new(), text);
    let (mut output, mut ends) = (vec![0; text.len() + 1], vec![0; text.len() + 2]);
    loop {
        let (result, read, _, fields) = reader.read_record(rest, &mut output, &mut ends);
        rest = &rest[read..];
        match result {
            csv_core::ReadRecordResult::Record => {
                let mut start = 0;
                let field = |&end: &usize| {
                    let field = &output[std::mem::replace(&mut start, end)..end];
                    String::from_utf8(field.to_vec()).expect("the text is UTF-8")
                };
                records.push(ends[..fields].iter().map(field).collect());
            }
            csv_core::ReadRecordResult::End => return records,
            _ => {}
        }
    }
}

/// Pieces that CSV is made of; a carriage return only with its line feed.
fn garbage() -> impl Strategy<Value = String> {
    let pieces = [
        "\"",
        "\"",
        "\"\"",
        ",",
        ",",
        "\n",
        "\r\n",
        "a",
        "bc",
        "é",
        " ",
        "words of text",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..60).prop_map(|p| p.concat())
}

fn quoted_records() -> impl Strategy<Value = String> {
    let field = "[a-z\",\n é]{0,12}".prop_map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
    let field = prop_oneof!["([a-zé ][a-z\"]{0,9})?", field];
    let record = prop::collection::vec(field, 3).prop_map(|fields| fields.join(",") + "\n");
    prop::collection::vec(record, 0..20).prop_map(|records| records.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Records and fields are those of csv-core, however the file is cut into blocks.
    #[test]
    fn agrees_with_csv_core(
        text in prop_oneof![garbage(), quoted_records()],
        block_bytes in 16..200_usize,
    ) {
        let columns = ["a", "b", "c"].map(|name| column(name, DataType::Utf8));
        let table = table(columns.to_vec());
        let decoded = decode(&table, &without_header(), text.clone());
        if !reasons(&decoded).contains(&"a quote is never closed") {
            let (three, others): (Vec<_>, Vec<_>) =
                by_csv_core(&text).into_iter().partition(|fields| fields.len() == 3);
            let expected: Vec<_> = three.iter().map(|fields| fields.join("|")).collect();
            let read: Vec<_> =
                rows(&decoded.batch).iter().map(|row| row.replace('∅', "")).collect();
            prop_assert_eq!(read, expected);
            prop_assert_eq!(decoded.rejects.len(), others.len());
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("some.csv");
        fs::write(&path, &text).expect("written");
        let all = self::read(&table, &[&input(&path, "?header=false")], block_bytes);
        prop_assert_eq!(all.rows, rows(&decoded.batch));
        prop_assert_eq!(all.positions, decoded.positions);
        prop_assert_eq!(all.rejects, decoded.rejects);
    }
}
