//! JSON lines: what is a row, what is rejected, and that shapes do not change the answer.

use arrow::datatypes::DataType;
use proptest::prelude::*;
use tillrace::decode::{Decoded, Decoder, REJECT_TEXT_BYTES};
use tillrace::script::Table;
use tillrace::source::{Format, OpenInput};

use crate::support::*;

fn people() -> Table {
    table(vec![
        required(column("name", DataType::Utf8)),
        column("age", DataType::Int32),
        from(
            column("city", DataType::Utf8),
            &["address.city", "city", "town"],
        ),
    ])
}

fn decode_people(text: impl Into<Vec<u8>>) -> Decoded {
    decode(&people(), &Format::Json, text)
}

#[test]
fn reads_lines_of_several_shapes() {
    let decoded = decode_people(concat!(
        "{\"name\":\"a\",\"age\":1,\"city\":\"x\"}\n",
        "{\"name\":\"b\",\"age\":2,\"city\":\"y\"}\r\n",
        "\n  \n",
        "{ \"age\" : 3 , \"name\" : \"c\" , \"address\" : { \"city\" : \"z\" } }\n",
        "{\"name\":\"d\",\"address\":{\"city\":null,\"more\":[1]},\"town\":\"t\"}\n",
        "{\"name\":\"e\",\"address\":\"nowhere\",\"extra\":{\"name\":\"no\"}}",
    ));
    assert_eq!(
        rows(&decoded.batch),
        ["a|1|x", "b|2|y", "c|3|z", "d|∅|t", "e|∅|∅"]
    );
    assert_eq!(decoded.positions, [0, 32, 69, 129, 188]);
    assert!(decoded.rejects.is_empty());
}

#[test]
fn the_last_of_fields_of_one_name_counts() {
    let decoded = decode_people(concat!(
        "{\"name\":\"a\",\"name\":\"b\"}\n",
        "{\"name\":\"a\",\"address\":{\"city\":\"x\"},\"address\":{}}\n",
    ));
    assert_eq!(rows(&decoded.batch), ["b|∅|∅", "a|∅|∅"]);
}

#[test]
fn bad_lines_are_rejected_with_reason_and_place() {
    let good = "{\"name\":\"a\",\"age\":1}\n";
    for (line, reason) in [
        (
            "{\"name\":\"a\",\"age\":1",
            "malformed JSON at byte 19: EOF while parsing an object",
        ),
        (
            "{\"name\":\"a\",\"age\":1}}",
            "malformed JSON at byte 21: trailing characters",
        ),
        (
            "{\"name\":\"a\",\"age\":01}",
            "malformed JSON at byte 20: invalid number",
        ),
        (
            "{\"name\":\"a\",\"x\":[1,}",
            "malformed JSON at byte 20: expected value",
        ),
        (
            "{\"name\":\"a\",\"x\":tru}",
            "malformed JSON at byte 20: expected ident",
        ),
        (
            "{\"name\":\"\\x\",\"age\":1}",
            "malformed JSON at byte 11: invalid escape",
        ),
        ("[1,2]", "not a JSON object"),
        ("\"name\"", "not a JSON object"),
        ("name,age", "malformed JSON at byte 2: expected ident"),
        (
            "{\"age\":1}",
            "column \"name\": missing, but the column is NOT NULL",
        ),
        (
            "{\"name\":null}",
            "column \"name\": null, but the column is NOT NULL",
        ),
        (
            "{\"name\":\"a\",\"age\":\"old\"}",
            "column \"age\": \"old\" is not an INT",
        ),
    ] {
        let decoded = decode_people(format!("{good}{good}{line}\n{good}"));
        assert_eq!(rows(&decoded.batch), ["a|1|∅"; 3], "{line}");
        assert_eq!(reasons(&decoded), [reason], "{line}");
        assert_eq!(decoded.rejects[0].position, 2 * good.len() as u64, "{line}");
        assert_eq!(decoded.rejects[0].text, line);
    }
}

#[test]
fn values_that_nobody_wants_are_checked_too() {
    let good = "{\"name\":\"a\",\"x\":\"y\",\"n\":1}\n";
    for bad in [
        "{\"name\":\"a\",\"x\":\"\t\",\"n\":1}",
        "{\"name\":\"a\",\"x\":\"\\u12x4\",\"n\":1}",
        "{\"name\":\"a\",\"x\":{\"k\" 1},\"n\":1}",
        "{\"name\":\"a\",\"x\":{\"k\":[1,2},\"n\":1}",
        "{\"name\":\"a\",\"x\":\"y\",\"n\":1.}",
        "{\"name\":\"a\",\"x\":\"y\",\"n\":-}",
    ] {
        let decoded = decode_people(format!("{good}{good}{bad}\n{good}"));
        assert_eq!(
            (decoded.batch.num_rows(), decoded.rejects.len()),
            (3, 1),
            "{bad}"
        );
    }
    let fine = "{\"name\":\"a\",\"x\":\"\\ud800\\/\",\"n\":-0.5E+999}\n";
    assert_eq!(
        decode_people(format!("{good}{fine}{fine}"))
            .batch
            .num_rows(),
        3
    );
}

#[test]
fn a_line_does_not_run_on_into_the_next() {
    let good = "{\"name\":\"a\",\"x\":[1],\"n\":1}\n";
    let decoded = decode_people(format!(
        "{good}{good}{{\"name\":\"a\",\"x\":[1,\n2],\"n\":1}}\n"
    ));
    assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (2, 2));
}

#[test]
fn bytes_that_are_not_utf8_reject_their_own_line_only() {
    let text =
        b"\xEF\xBB\xBF{\"name\":\"\xC3\xA4\"}\n{\"name\":\"\xFF\xFE\"}\n{\"name\":\"b\"}\n\xC3";
    let decoded = decode_people(text.to_vec());
    assert_eq!(rows(&decoded.batch), ["ä|∅|∅", "b|∅|∅"]);
    assert_eq!(reasons(&decoded), ["not valid UTF-8", "not valid UTF-8"]);
    assert_eq!(decoded.rejects[0].text, "{\"name\":\"\u{FFFD}\u{FFFD}\"}");
    assert_eq!(decoded.positions, [3, 31]);
}

#[test]
fn the_text_of_a_reject_is_cut() {
    let line = format!("{{\"name\":\"{}\"", "é".repeat(REJECT_TEXT_BYTES));
    let decoded = decode_people(line.clone());
    let text = &decoded.rejects[0].text;
    assert!(line.starts_with(text.as_str()));
    assert!((REJECT_TEXT_BYTES - 3..=REJECT_TEXT_BYTES).contains(&text.len()));
}

#[test]
fn rows_are_counted_when_no_column_is_wanted() {
    let input = OpenInput::pushed("text", "events", Format::Json);
    let mut decoder = Decoder::new(&people(), &[], &input, 0).expect("decodable");
    let decoded = decoder
        .decode(&block("{\"a\":1}\n{}\n{\"a\":2}\nx\n"))
        .expect("decodable");
    assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (3, 1));
}

#[test]
fn deep_nesting_is_no_trouble() {
    let deep = format!(
        "{{\"name\":\"a\",\"x\":{}1{}}}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(decode_people(deep.repeat(3)).batch.num_rows(), 3);
}

/// A table that wants strings, numbers, raw JSON, nested fields and alternatives.
fn everything() -> Table {
    table(vec![
        column("a", DataType::Utf8),
        column("b", MONEY),
        from(column("c", DataType::Int64), &["c", "o.c", "o.p.c"]),
        column("o", DataType::Utf8),
        from(column("q", DataType::Utf8), &["q.r", "q.s.t"]),
        column("l", list(DataType::Utf8)),
    ])
}

fn name() -> impl Strategy<Value = String> {
    let names = ["a", "b", "c", "o", "q", "l", "z", "é", "\\u0061", "b\\n"];
    prop::sample::select(names.to_vec()).prop_map(|name| format!("\"{name}\""))
}

fn inner_name() -> impl Strategy<Value = String> {
    let names = ["c", "p", "r", "s", "t", "x"];
    prop::sample::select(names.to_vec()).prop_map(|name| format!("\"{name}\""))
}

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "12",
    "12.5",
    "1e3",
    "1.25E-1",
    "99999999999999999999",
    "1234567",
    "12345678",
    "-1234567.8",
    "1234567.1234567",
    "12345678.12345678",
    "0.0000000",
    "0e0",
    "-0.0E+00",
    "7e",
    "7.5e+",
    "1E400",
    "-",
    "+1",
    ".5",
    "0x1F",
    "1_000",
    "NaN",
    "Infinity",
    "\"\"",
    "\"x\"",
    "\"long enough for several words\"",
    "\"12.50\"",
    "\"é\"",
    "\"a\\nb\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\u00zz\"",
    "\"\\ud83d\\ud83d\"",
    "\"\\ude00\"",
    "\"\\u0000\"",
    "\"\\/\\b\\f\\r\\t\\\\\"",
    "\"\\\"",
    "\"\\x41\"",
    "\"\u{7f}\u{2028}\u{10ffff}\"",
    "\"tab\there\"",
    "'x'",
    "[1,,2]",
    "[1 2]",
    "{\"c\":}",
    "{\"c\" 1}",
    "{c:1}",
    "{\"c\":1,}",
    "01",
    "1.",
    "nul",
];

const ENDS: &[&str] = &[
    "\\n", "\\\"", "\\\\", "\\u00e9", "\\", "\"", "\u{1f}", "\t", "\u{80}",
];

fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        prop::sample::select(SCALARS).prop_map(str::to_owned),
        any::<i32>().prop_map(|number| number.to_string()),
        "[a-z]{0,20}".prop_map(|text| format!("\"{text}\"")),
        // What ends a string, at any place of the words in which it is looked for.
        ("[a-zé]{0,20}", prop::sample::select(ENDS), "[a-z😀]{0,9}")
            .prop_map(|(before, end, after)| format!("\"{before}{end}{after}\"")),
        "-?[0-9]{0,20}[.]?[0-9]{0,10}([eE][+-]?[0-9]{0,3})?",
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            items.prop_map(|items| format!("[{}]", items.join(","))),
            object(inner_name(), inner),
        ]
    })
}

fn object(
    names: impl Strategy<Value = String>,
    values: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    let separators = prop::sample::select(&[(":", ","), (": ", ", "), (" :\t", "\r,")][..]);
    let members = prop::collection::vec((names, values), 0..6);
    (members, separators).prop_map(|(members, (colon, comma))| {
        let member = |(name, value): &(String, String)| format!("{name}{colon}{value}");
        format!(
            "{{{}}}",
            members.iter().map(member).collect::<Vec<_>>().join(comma)
        )
    })
}

/// Lines of few shapes with changing values, so that shapes are learned and met again.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::collection::vec(name(), 1..6);
    let values = prop::collection::vec(prop::collection::vec(value(), 6), 1..8);
    let alike = (names, values).prop_map(|(names, lines)| {
        let line = |values: &Vec<String>| {
            let members = names
                .iter()
                .zip(values)
                .map(|(name, value)| format!("{name}:{value}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        };
        lines.iter().map(line).collect::<Vec<_>>()
    });
    let any = object(name(), value()).prop_map(|line| vec![line]);
    prop::collection::vec(prop_oneof![2 => alike, 1 => any], 1..5).prop_map(|groups| {
        groups
            .into_iter()
            .flatten()
            .flat_map(|line| format!("{line}\n").into_bytes())
            .collect()
    })
}

/// A change to a text: at a place, so many bytes become others.
type Change = (prop::sample::Index, usize, Vec<u8>);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let bytes = prop::sample::select(&b"{}[]\",:\\ \n\r\t019-+.eEtrufalsnc\x01\xC3\xA9\xFF"[..]);
    let change = (
        any::<prop::sample::Index>(),
        0..3_usize,
        prop::collection::vec(bytes, 0..3),
    );
    prop::collection::vec(change, 0..6)
}

fn changed(mut text: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for (place, removed, added) in changes {
        let start = place.index(text.len() + 1);
        let end = (start + removed).min(text.len());
        text.splice(start..end, added.iter().copied());
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Shapes are a short cut: they never change what a text decodes to.
    #[test]
    fn shapes_agree_with_the_full_parser(text in lines(), changes in changes()) {
        let table = everything();
        let mut by_shape = decoder(&table, &Format::Json);
        let mut in_full = decoder(&table, &Format::Json).without_shapes();
        // Once as it is, so that its shapes are known, then changed.
        for text in [text.clone(), changed(text, &changes)] {
            let block = block(text);
            let by_shape = by_shape.decode(&block).expect("decodable");
            let in_full = in_full.decode(&block).expect("decodable");
            prop_assert_eq!(by_shape.batch, in_full.batch);
            prop_assert_eq!(by_shape.positions, in_full.positions);
            prop_assert_eq!(by_shape.rejects, in_full.rejects);
        }
    }

    /// Where no value is wanted, a row is what serde_json takes for an object.
    #[test]
    fn rows_are_what_serde_json_takes(text in lines(), changes in changes()) {
        type Line = std::collections::HashMap<String, serde::de::IgnoredAny>;
        let mut decoder = decoder(&table(vec![column("no", DataType::Utf8)]), &Format::Json);
        decoder.decode(&block(text.clone())).expect("decodable");
        let text = changed(text, &changes);
        let decoded = decoder.decode(&block(text.clone())).expect("decodable");
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let is_row = |line: &&[u8]| {
            let text = std::str::from_utf8(line);
            text.is_ok_and(|text| serde_json::from_str::<Line>(text).is_ok())
        };
        prop_assert_eq!(decoded.batch.num_rows(), lines.filter(is_row).count());
    }
}
