//! What is done to accumulators between updates: merged, copied, taken back, written and read.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal32Array, Decimal128Array, DurationSecondArray,
    Float64Array, Int64Array, StringArray, UInt64Array,
};
use arrow::datatypes::{DataType, Schema};
use proptest::prelude::*;
use tillrace::plan::Aggregate;
use tillrace::render::accumulate::{AccumulateError, Accumulators, Layout};

use crate::support::{accumulate, aggregate, evaluated, layout, schema};

/// One aggregate for each kind of component.
fn aggregates() -> Vec<Aggregate> {
    vec![
        aggregate("count", &["label"], None),
        aggregate("sum", &["number"], None),
        aggregate("sum", &["vast"], Some("flag")),
        aggregate("avg", &["x"], None),
        aggregate("corr", &["y", "x"], Some("flag")),
        aggregate("bool_or", &["flag"], None),
    ]
}

type Row = (Option<i64>, Option<i128>, Option<f64>, Option<bool>);

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let decimal = || rows.iter().map(|row| row.1.map(|v| v % 10i128.pow(38)));
    vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|_| 0))),
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.0.map(i64::unsigned_abs))
                .collect::<UInt64Array>(),
        ),
        Arc::new(
            Decimal128Array::from_iter(decimal().map(|v| v.map(|v| v % 1_000)))
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new(
            Decimal128Array::from_iter(decimal())
                .with_precision_and_scale(38, 36)
                .unwrap(),
        ),
        Arc::new(
            Decimal32Array::from_iter(rows.iter().map(|_| Some(1)))
                .with_precision_and_scale(5, 1)
                .unwrap(),
        ),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.2.map(|x| x.abs().sqrt()))
                .collect::<Float64Array>(),
        ),
        Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
        Arc::new(
            rows.iter()
                .map(|row| row.0.map(|n| n.to_string()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            rows.iter()
                .map(|row| row.0)
                .collect::<DurationSecondArray>(),
        ),
    ]
}

fn rows() -> impl Strategy<Value = Vec<(usize, i64, Row)>> {
    let double = prop_oneof![
        any::<u64>().prop_map(|bits| Some(f64::from_bits(bits))),
        any::<i16>().prop_map(|value| Some(f64::from(value) / 100.0)),
        Just(None),
    ];
    let row = (
        any::<Option<i64>>(),
        any::<Option<i128>>(),
        double,
        any::<Option<bool>>(),
    );
    prop::collection::vec((0usize..5, -3i64..4, row), 0..40)
}

fn accumulated(rows: &[(usize, i64, Row)]) -> (Layout, Accumulators) {
    let groups: Vec<usize> = rows.iter().map(|row| row.0).collect();
    let diffs: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let values: Vec<Row> = rows.iter().map(|row| row.2).collect();
    accumulate(&aggregates(), &columns(&values), &groups, Some(&diffs), 5)
}

proptest! {
    #[test]
    fn partition_and_order_leave_no_trace(
        (rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        at in 0usize..40,
    ) {
        let (_, expected) = accumulated(&rows);
        let (left, right) = shuffled.split_at(at.min(shuffled.len()));
        let (_, mut merged) = accumulated(left);
        merged.merge(&accumulated(right).1, (0..5).map(|group| (group, group)));
        prop_assert_eq!(&merged, &expected);
        let all = [0, 1, 2, 3, 4];
        prop_assert_eq!(merged.encode(&all), expected.encode(&all));

        let back: Vec<_> = rows.iter().map(|(group, diff, row)| (*group, -diff, *row)).collect();
        merged.merge(&accumulated(&back).1, (0..5).map(|group| (group, group)));
        for group in all {
            prop_assert!(merged.is_zero(group));
            prop_assert_eq!(merged.rows(group), 0);
        }
    }

    #[test]
    fn what_is_written_is_read(rows in rows()) {
        let (layout, accumulators) = accumulated(&rows);
        let chosen = [4, 0, 2];
        let taken = accumulators.take(&chosen);
        let read = Accumulators::decode(&layout, &accumulators.encode(&chosen)).unwrap();
        prop_assert_eq!(&read, &taken);
        prop_assert_eq!(read.len(), 3);
        let json = serde_json::to_vec(&taken).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Accumulators>(&json).unwrap(), taken);
    }

    #[test]
    fn damaged_bytes_are_refused(rows in rows(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (layout, accumulators) = accumulated(&rows);
        let mut bytes = accumulators.encode(&[0, 1, 2, 3, 4]);
        prop_assert!(Accumulators::decode(&layout, &bytes[..at.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(Accumulators::decode(&layout, &bytes).is_err());
        bytes.pop();
        // Any other damage may pass for other values, but must not panic.
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Accumulators::decode(&layout, &bytes);
    }

    #[test]
    fn groups_are_copied_reset_and_dropped(rows in rows()) {
        let (layout, accumulators) = accumulated(&rows);
        let mut others = layout.new_accumulators();
        others.resize(2);
        others.copy_group(&accumulators, 3, 1);
        prop_assert!(others.is_zero(0));
        prop_assert_eq!(others.take(&[1]), accumulators.take(&[3]));
        others.reset(1);
        prop_assert!(others.is_zero(1));

        let mut fewer = accumulators.clone();
        fewer.swap_remove(1);
        prop_assert_eq!(fewer, accumulators.take(&[0, 4, 2, 3]));
    }
}

#[test]
fn bytes_of_other_layouts_and_versions_are_refused() {
    let mut accumulators = layout(&aggregates()).new_accumulators();
    accumulators.resize(1);
    let mut bytes = accumulators.encode(&[0]);
    let other = layout(&[aggregate("sum", &["x"], None)]);
    assert!(matches!(
        Accumulators::decode(&other, &bytes),
        Err(AccumulateError::OtherLayout)
    ));
    bytes[0] = 77;
    assert!(matches!(
        Accumulators::decode(&layout(&aggregates()), &bytes),
        Err(AccumulateError::OtherVersion(77))
    ));
}

#[test]
fn a_group_of_small_sums_takes_few_bytes() {
    let row: Row = (Some(1_999), Some(5), Some(19.99), Some(true));
    let (_, accumulators) = accumulated(&[(0, 1, row)]);
    let bytes = accumulators.encode(&[0]).len();
    assert!(bytes < 120, "{bytes} bytes");
}

#[test]
fn equal_needs_are_kept_once() {
    let shared = [
        aggregate("count", &["x"], None),
        aggregate("sum", &["x"], None),
        aggregate("avg", &["x"], None),
        aggregate("stddev", &["x"], None),
        aggregate("count", &["1"], None),
    ];
    let layout = layout(&shared);
    assert!(layout.reads_argument(0, 0));
    for (position, aggregate) in shared.iter().enumerate().skip(1) {
        assert!(!layout.reads_argument(position, 0), "{}", aggregate.name);
    }
    let mut one = layout.new_accumulators();
    one.resize(1);
    // Version, number of components, their kinds, number of groups, then: the rows, the count of x,
    // the sum of x and the sum of x*x.
    assert_eq!(one.encode(&[0]).len(), 1 + 1 + 4 + 1 + 1 + 1 + 2 + 2);

    let filtered = [
        aggregate("count", &["1"], Some("flag")),
        aggregate("sum", &["required"], Some("flag")),
    ];
    let layout = crate::support::layout(&filtered);
    assert!(layout.reads_filter(0) && !layout.reads_filter(1));
}

#[test]
fn other_aggregates_are_refused() {
    let distinct = Aggregate {
        distinct: true,
        ..aggregate("count", &["x"], None)
    };
    let refused = [
        distinct,
        aggregate("min", &["x"], None),
        aggregate("median", &["x"], None),
        aggregate("array_agg", &["x"], None),
        aggregate("sum", &["label"], None),
        aggregate("corr", &["x", "label"], None),
    ];
    for aggregate in &refused {
        assert!(
            !Layout::is_accumulable(aggregate, &schema()),
            "{}",
            aggregate.name
        );
    }
    assert!(Layout::is_accumulable(
        &aggregate("count", &["label"], Some("flag")),
        &schema()
    ));
    let sum = [aggregate("sum", &["x"], None)];
    assert!(matches!(
        Layout::try_new(&sum, &schema(), &[DataType::Utf8]),
        Err(AccumulateError::WrongResult { .. })
    ));
    assert!(!Layout::is_accumulable(&sum[0], &Schema::empty()));
}

#[test]
fn a_batch_that_does_not_fit_changes_nothing() {
    let aggregates = [
        aggregate("sum", &["required"], None),
        aggregate("sum", &["x"], None),
    ];
    let layout = layout(&aggregates);
    let row: Row = (Some(1), None, Some(1.0), None);
    let fine = evaluated(&aggregates, &columns(&[row]));
    let mut accumulators = layout.new_accumulators();
    accumulators.resize(1);
    let mut refuse = |args: &[Vec<ArrayRef>], groups: &[usize], diffs: Option<&[i64]>| {
        let refused = accumulators.update(&layout, groups, args, &fine.filters, diffs);
        assert!(accumulators.is_zero(0));
        refused.unwrap_err()
    };
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let null = refuse(&[vec![nulls], fine.args[1].clone()], &[0], None);
    assert!(matches!(null, AccumulateError::UnexpectedNull));
    let text = refuse(&[fine.args[0].clone(), vec![texts]], &[0], None);
    assert!(matches!(text, AccumulateError::WrongType { .. }));
    let length = refuse(&fine.args, &[0, 0], None);
    assert!(matches!(
        length,
        AccumulateError::WrongLength { rows: 2, found: 1 }
    ));
    let diffs = refuse(&fine.args, &[0], Some(&[1, 1]));
    assert!(matches!(
        diffs,
        AccumulateError::WrongLength { rows: 1, found: 2 }
    ));
}

#[test]
fn a_filter_that_was_not_evaluated_is_an_error() {
    let aggregates = [aggregate("count", &["1"], Some("flag"))];
    let layout = layout(&aggregates);
    let args = evaluated(&aggregates, &columns(&[(None, None, None, None)])).args;
    let mut accumulators = layout.new_accumulators();
    accumulators.resize(1);
    let refused = accumulators.update(&layout, &[0], &args, &[None], None);
    assert!(matches!(refused, Err(AccumulateError::MissingFilter)));
}

#[test]
fn long_and_sliced_batches_are_their_rows() {
    let rows: Vec<Row> = (0..400)
        .map(|i| {
            // Long runs with and without nulls, and both mixed.
            let some = (130..280).contains(&i) || (i % 3 != 0 && i < 350);
            let number = some.then_some(i);
            (
                number,
                number.map(i128::from),
                number.map(|n| n as f64),
                Some((140..270).contains(&i) || i % 2 == 0),
            )
        })
        .collect();
    let (start, length) = (3, 390);
    let columns = columns(&rows);
    let slice = |start, length| -> Vec<ArrayRef> {
        columns
            .iter()
            .map(|array| array.slice(start, length))
            .collect()
    };
    let groups: Vec<usize> = (0..length).map(|row| row % 5).collect();
    let diffs: Vec<i64> = (0..length as i64).map(|row| row % 4 - 1).collect();
    for diffs in [None, Some(&diffs[..])] {
        let (_, at_once) = accumulate(&aggregates(), &slice(start, length), &groups, diffs, 5);
        let mut one_by_one = layout(&aggregates()).new_accumulators();
        one_by_one.resize(5);
        for (row, group) in groups.iter().enumerate() {
            let diff = diffs.map(|diffs| &diffs[row..=row]);
            let (_, one) = accumulate(&aggregates(), &slice(start + row, 1), &[0], diff, 1);
            one_by_one.merge(&one, [(0, *group)].into_iter());
        }
        assert_eq!(at_once, one_by_one);
    }
}
