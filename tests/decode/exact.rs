//! Numbers and times against plain arithmetic: short cuts in reading them never change a value.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, TimestampNanosecondType};
use chrono::{DateTime, Duration};
use proptest::prelude::*;
use tillrace::source::Format;

use crate::support::*;

const SCALE: usize = 4;

/// A number as it is written: perhaps a sign, digits, perhaps a point and digits.
fn number() -> impl Strategy<Value = (bool, String, String)> {
    let whole = prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,17}"];
    (any::<bool>(), whole, "[0-9]{0,6}")
}

fn written((negative, whole, fraction): &(bool, String, String)) -> String {
    let sign = if *negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// The number in units of the last place, if it is one of so many places.
fn units((negative, whole, fraction): &(bool, String, String), scale: usize) -> Option<i128> {
    let (kept, surplus) = fraction.split_at(fraction.len().min(scale));
    if surplus.contains(|digit| digit != '0') {
        return None;
    }
    let digits = format!("{whole}{kept:0<scale$}");
    let units: i128 = digits.parse().expect("it is digits");
    Some(if *negative { -units } else { units })
}

/// A moment as it is written, with as much after the minute as there is.
fn moment() -> impl Strategy<Value = (i64, String)> {
    let minute = prop_oneof![4 => Just(27_913_451_i64), 1 => -80_000_000..120_000_000_i64];
    let fraction = prop_oneof![Just(String::new()), "[0-9]{3}", "[0-9]{1,9}"];
    let zone = prop::sample::select(vec![("", 0), ("Z", 0), ("+02:00", 7200), (" UTC", 0)]);
    let separator = prop::sample::select(vec!["T", " "]);
    (minute, 0..60_i64, fraction, zone, separator).prop_map(
        |(minute, second, fraction, (zone, ahead), separator)| {
            let time = DateTime::UNIX_EPOCH + Duration::minutes(minute) + Duration::seconds(second);
            let nanos: i64 = format!("{fraction:0<9}").parse().expect("it is digits");
            let point = if fraction.is_empty() { "" } else { "." };
            let format = format!("%Y-%m-%d{separator}%H:%M:%S");
            let text = format!("{}{point}{fraction}{zone}", time.format(&format));
            let seconds = time.timestamp() - ahead;
            (seconds * 1_000_000_000 + nanos, text)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn numbers_are_read_exactly(
        numbers in prop::collection::vec((number(), any::<bool>()), 1..12),
        last in number(),
    ) {
        let table = table(vec![
            column("d", DataType::Decimal128(38, SCALE as i8)),
            column("n", DataType::Int32),
        ]);
        // As a number and as text, at the end of the block and before.
        let mut text = String::new();
        for (number, quoted) in &numbers {
            let quote = if *quoted { "\"" } else { "" };
            let written = written(number);
            text += &format!("{{\"d\":{quote}{written}{quote},\"n\":{}}}\n", number.1.len());
        }
        text += &format!("{{\"n\":0,\"d\":{}}}", written(&last));
        let decoded = decode(&table, &Format::Json, text);
        let all = numbers.iter().map(|(number, _)| number).chain([&last]);
        let expected: Vec<Option<i128>> = all.map(|number| units(number, SCALE)).collect();
        let found = decoded.batch.column(0).as_primitive::<Decimal128Type>();
        let taken: Vec<i128> = expected.iter().flatten().copied().collect();
        prop_assert_eq!(found.values().to_vec(), taken);
        prop_assert_eq!(decoded.rejects.len(), expected.len() - found.len());
        prop_assert_eq!(decoded.batch.column(1).as_primitive::<Int32Type>().null_count(), 0);
    }

    #[test]
    fn times_are_read_exactly(moments in prop::collection::vec(moment(), 1..12)) {
        let lines = moments.iter().map(|(_, text)| format!("{{\"at\":\"{text}\"}}\n"));
        let decoded = decode(&table(vec![column("at", TIMESTAMP)]), &Format::Json, lines.collect::<String>());
        prop_assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
        let found = decoded.batch.column(0).as_primitive::<TimestampNanosecondType>();
        let expected: Vec<i64> = moments.iter().map(|(nanos, _)| *nanos).collect();
        prop_assert_eq!(found.values().to_vec(), expected);
    }
}

/// A minute that is none is told from the one before it, and nothing is taken for a minute at first.
#[test]
fn a_wrong_minute_is_no_minute() {
    let events = table(vec![
        column("at", TIMESTAMP),
        column("day", DataType::Date32),
    ]);
    let text = concat!(
        "{\"day\":\"\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\"}\n",
        "{\"at\":\"2026-01-31T12:34:56Z\"}\n",
        "{\"at\":\"2026-01-31T12:60:56Z\"}\n",
        "{\"at\":\"2026-02-31T12:34:56Z\"}\n",
        "{\"at\":\"2026-01-31T12:3\"}\n",
        "{\"at\":\"2026-01-31T12:34\"}\n",
        "{\"at\":\"2026-01-31T12:34:5\"}\n",
        "{\"at\":\"2026-01-31T12:34:561\"}\n",
        "{\"at\":\"2026-01-31T12:34:56.12xZ\"}\n",
        "{\"at\":\"2026-01-31\",\"day\":\"2026-01-31\"}\n",
    );
    let decoded = decode(&events, &Format::Json, text);
    assert_eq!(
        rows(&decoded.batch),
        [
            "2026-01-31T12:34:56|∅",
            "2026-01-31T12:34:00|∅",
            "2026-01-31T00:00:00|2026-01-31"
        ]
    );
    assert_eq!(decoded.rejects.len(), 7);
}
