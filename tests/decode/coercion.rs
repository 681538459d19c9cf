//! What each type of column accepts, refuses, and says of what it refuses.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, TimestampNanosecondType};
use tillrace::script::TimeUnit;
use tillrace::source::Format;

use crate::support::*;

/// What becomes of a JSON value in a column of a type: the value shown, or the reason without the
/// name of the column, which is `v`.
fn coerce(data_type: DataType, json: &str) -> String {
    let table = table(vec![column("v", data_type)]);
    let decoded = decode(&table, &Format::Json, format!("{{\"v\":{json}}}\n"));
    match (&rows(&decoded.batch)[..], &decoded.rejects[..]) {
        ([row], []) => row.clone(),
        ([], [reject]) => {
            let reason = reject.reason.strip_prefix("column \"v\"");
            reason
                .expect("the column is named")
                .trim_start_matches(':')
                .trim()
                .to_owned()
        }
        other => panic!("one record became {other:?}"),
    }
}

#[track_caller]
fn check(data_type: DataType, cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        assert_eq!(
            &coerce(data_type.clone(), json),
            expected,
            "{json} as {data_type}"
        );
    }
}

#[test]
fn text_takes_anything_as_written() {
    check(
        DataType::Utf8,
        &[
            (r#""a""#, "a"),
            (r#""""#, ""),
            (r#""a\"\u00e9\n""#, "a\"é\n"),
            ("1.50e3", "1.50e3"),
            ("true", "true"),
            ("null", "∅"),
            (r#"{"a": [1, 2]}"#, r#"{"a": [1, 2]}"#),
        ],
    );
}

#[test]
fn integers_take_whole_numbers() {
    check(
        DataType::Int8,
        &[
            ("-128", "-128"),
            ("127.000", "127"),
            ("\" 12 \"", "12"),
            ("\"+5\"", "5"),
            ("128", "128 is out of range for TINYINT"),
            ("1e300", "1e300 is out of range for TINYINT"),
            ("0.5", "0.5 is not a whole number"),
            ("\"\"", "\"\" is not a TINYINT"),
            ("true", "true is not a TINYINT"),
        ],
    );
    check(
        DataType::Int64,
        &[
            ("17850.0", "17850"),
            ("1e3", "1000"),
            ("1200E-2", "12"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            (
                "9223372036854775808",
                "9223372036854775808 is out of range for BIGINT",
            ),
            ("[1]", "[1] is not a BIGINT"),
        ],
    );
}

#[test]
fn decimals_are_exact() {
    check(
        MONEY,
        &[
            ("19.99", "19.99"),
            ("\"-0.1\"", "-0.10"),
            ("5", "5.00"),
            ("1.500", "1.50"),
            ("150e-2", "1.50"),
            ("0.000", "0.00"),
            ("9007199254740993.01", "9007199254740993.01"),
            ("9999999999999999.99", "9999999999999999.99"),
            (
                "10000000000000000",
                "10000000000000000 is out of range for DECIMAL(18,2)",
            ),
            (
                "1.005",
                "1.005 has more than 2 digits after the point, too many for DECIMAL(18,2)",
            ),
            ("\"abc\"", "\"abc\" is not a DECIMAL(18,2)"),
            ("\"1.2.3\"", "\"1.2.3\" is not a DECIMAL(18,2)"),
            ("\"-\"", "\"-\" is not a DECIMAL(18,2)"),
            ("\".\"", "\".\" is not a DECIMAL(18,2)"),
            ("\"1e\"", "\"1e\" is not a DECIMAL(18,2)"),
        ],
    );
    let nines = "9".repeat(38);
    check(
        DataType::Decimal128(38, 0),
        &[
            (&nines, &nines),
            (&format!("{nines}.0000"), &nines),
            (
                &format!("{nines}.0001"),
                &format!("{nines}.0001 is not a whole number"),
            ),
            ("0.0000000000000000000000000000000000000000000000e99", "0"),
            ("1e38", "1e38 is out of range for DECIMAL(38,0)"),
            ("1e-2147483649", "1e-2147483649 is not a whole number"),
            (
                "1e99999999999999999999",
                "1e99999999999999999999 is out of range for DECIMAL(38,0)",
            ),
        ],
    );
}

#[test]
fn floats_and_booleans() {
    check(
        DataType::Float64,
        &[
            ("0.1", "0.1"),
            ("\"1e3\"", "1000.0"),
            ("1e999", "1e999 is out of range for DOUBLE"),
            ("\"x\"", "\"x\" is not a DOUBLE"),
        ],
    );
    check(
        DataType::Boolean,
        &[
            ("true", "true"),
            ("\"FALSE\"", "false"),
            ("1", "true"),
            ("\"0\"", "false"),
            ("2", "2 is not a BOOLEAN"),
            ("\"yes\"", "\"yes\" is not a BOOLEAN"),
        ],
    );
}

#[test]
fn dates_and_times() {
    check(
        DataType::Date32,
        &[
            ("\"2021-09-01\"", "2021-09-01"),
            ("\"2021-09-01T23:30:00-02:00\"", "2021-09-02"),
            ("\"2023-02-29\"", "\"2023-02-29\" is not a DATE"),
            ("20210901", "20210901 is not a DATE"),
        ],
    );
    check(
        TIMESTAMP,
        &[
            ("\"2023-10-01T12:34:56Z\"", "2023-10-01T12:34:56"),
            ("\"2023-10-01t12:34:56.789z\"", "2023-10-01T12:34:56.789"),
            ("\"2019-10-01 00:00:00 UTC\"", "2019-10-01T00:00:00"),
            ("\"2010-12-01 08:26:00\"", "2010-12-01T08:26:00"),
            ("\"2010-12-01 08:26\"", "2010-12-01T08:26:00"),
            ("\"2024-02-29\"", "2024-02-29T00:00:00"),
            (
                "\"2023-10-01T12:34:56.123456789+05:30\"",
                "2023-10-01T07:04:56.123456789",
            ),
            ("\"2023-10-01 12:34:56 -0800\"", "2023-10-01T20:34:56"),
            ("\"2023-10-01 12:34:56+02\"", "2023-10-01T10:34:56"),
            ("1696163696789", "2023-10-01T12:34:56.789"),
            ("\"1696163696789\"", "2023-10-01T12:34:56.789"),
            ("-1", "1969-12-31T23:59:59.999"),
            (
                "\"12/1/2010 8:26\"",
                "\"12/1/2010 8:26\" is not a TIMESTAMP",
            ),
            (
                "\"2023-10-01T24:00:00Z\"",
                "\"2023-10-01T24:00:00Z\" is not a TIMESTAMP",
            ),
            (
                "\"2023-10-01T12:34:5xZ\"",
                "\"2023-10-01T12:34:5xZ\" is not a TIMESTAMP",
            ),
            ("\"2023-13-01\"", "\"2023-13-01\" is not a TIMESTAMP"),
            (
                "\"9999-12-31\"",
                "\"9999-12-31\" is out of range for TIMESTAMP",
            ),
            (
                "\"2023-10-01T12:34:56.1234567891Z\"",
                "\"2023-10-01T12:34:56.1234567891Z\" is finer than a nanosecond",
            ),
            ("true", "true is not a TIMESTAMP"),
        ],
    );
}

#[test]
fn every_day_from_1678_to_2261_is_its_own() {
    let first = chrono::NaiveDate::from_ymd_opt(1678, 1, 1).expect("a day");
    let days: Vec<_> = first.iter_days().take(213_000).collect();
    let text: String = days
        .iter()
        .map(|day| format!("{{\"v\":\"{day}T00:00:01Z\"}}\n"))
        .collect();
    let decoded = decode(&table(vec![column("v", TIMESTAMP)]), &Format::Json, text);
    let read = decoded
        .batch
        .column(0)
        .as_primitive::<TimestampNanosecondType>();
    let expected = days.iter().map(|day| {
        day.and_hms_opt(0, 0, 1)
            .expect("a time")
            .and_utc()
            .timestamp_nanos_opt()
            .expect("in range")
    });
    assert!(read.values().iter().copied().eq(expected));
}

#[test]
fn numbers_are_times_in_the_tables_unit() {
    for (unit, number) in [
        (TimeUnit::Seconds, "1696163696.789"),
        (TimeUnit::Milliseconds, "1696163696789"),
        (TimeUnit::Microseconds, "1696163696789000"),
        (TimeUnit::Nanoseconds, "1696163696789000000"),
    ] {
        let mut table = table(vec![column("v", TIMESTAMP)]);
        table.options.time_unit = unit;
        let decoded = decode(&table, &Format::Json, format!("{{\"v\":{number}}}"));
        assert_eq!(
            rows(&decoded.batch),
            ["2023-10-01T12:34:56.789"],
            "{unit:?}"
        );
    }
}

#[test]
fn a_missing_event_time_is_the_time_of_reading() {
    let text = "{}\n{\"at\":null}\n{\"at\":\"2020-01-01\"}\n";
    let mut by_time = table(vec![required(column("at", TIMESTAMP))]);
    by_time.options.event_time = Some(0);
    let decoded = decode(&by_time, &Format::Json, text);
    let read_at = "2023-11-14T22:13:20";
    assert_eq!(
        rows(&decoded.batch),
        [read_at, read_at, "2020-01-01T00:00:00"]
    );
    assert_eq!(decoded.newest_event_time, Some(READ_TIME));

    let mut by_day = table(vec![column("at", DataType::Date32)]);
    by_day.options.event_time = Some(0);
    let decoded = decode(&by_day, &Format::Json, text);
    assert_eq!(
        rows(&decoded.batch),
        ["2023-11-14", "2023-11-14", "2020-01-01"]
    );
}

#[test]
fn lists_and_structs() {
    let item = structure(&[
        ("product_id", DataType::Utf8),
        ("quantity", DataType::Int32),
    ]);
    check(
        list(item.clone()),
        &[
            ("null", "∅"),
            ("[]", "[]"),
            (
                r#"[ {"product_id": "67890", "quantity": 1},{"quantity":2.0,"x":[1,{}]} ]"#,
                "[{product_id: 67890, quantity: 1}, {product_id: ∅, quantity: 2}]",
            ),
            (
                r#"[{"product_id":"a\nb","quantity":1,"quantity":3}, null]"#,
                "[{product_id: a\nb, quantity: 3}, ∅]",
            ),
            (
                r#"[{"quantity":1},{"quantity":"many"}]"#,
                "at [1].quantity: \"many\" is not an INT",
            ),
            (r#"{"quantity":1}"#, "{\"quantity\":1} is not a STRUCT[]"),
            (r#"[1]"#, "at [0]: 1 is not a STRUCT"),
            (r#""[{\"quantity\": 7}]""#, "[{product_id: ∅, quantity: 7}]"),
            (r#""[{""#, "\"[{\" is not a STRUCT[]"),
        ],
    );
    check(
        structure(&[("a", list(DataType::Int64)), ("b", MONEY)]),
        &[
            (r#"{"\u0061":[1,2],"b":"3"}"#, "{a: [1, 2], b: 3.00}"),
            (r#"{"b":1,"c":"]}"}"#, "{a: ∅, b: 1.00}"),
            (r#"{"a":[1,0.5]}"#, "at a[1]: 0.5 is not a whole number"),
        ],
    );
}

#[test]
fn a_reject_in_a_list_does_not_shift_its_neighbours() {
    let table = table(vec![
        column("v", list(DataType::Int8)),
        column("w", DataType::Utf8),
    ]);
    let text =
        "{\"v\":[1,2],\"w\":\"a\"}\n{\"v\":[3,999,4],\"w\":\"b\"}\n{\"v\":[5],\"w\":\"c\"}\n";
    let decoded = decode(&table, &Format::Json, text);
    assert_eq!(rows(&decoded.batch), ["[1, 2]|a", "[5]|c"]);
    assert_eq!(
        reasons(&decoded),
        ["column \"v\" at [1]: 999 is out of range for TINYINT"]
    );
    assert_eq!(decoded.rejects[0].position, 20);
}
