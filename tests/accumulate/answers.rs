//! Answers against those of DataFusion's accumulators.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal32Array, Decimal128Array, DurationSecondArray,
    Float64Array, Int64Array, StringArray, UInt64Array,
};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;
use tillrace::plan::Aggregate;

use crate::support::{accumulate, aggregate, reference};

const GROUPS: usize = 4;

/// Every function with every type it takes, by DataFusion's names and aliases.
fn all_aggregates(filter: Option<&str>) -> Vec<Aggregate> {
    let of_one = [
        ("count", "1"),
        ("count", "required"),
        ("count", "number"),
        ("count", "label"),
        ("sum", "required"),
        ("sum", "number"),
        ("sum", "natural"),
        ("sum", "price"),
        ("sum", "vast"),
        ("sum", "small"),
        ("sum", "x"),
        ("sum", "span"),
        ("avg", "price"),
        ("mean", "vast"),
        ("avg", "x"),
        ("avg", "span"),
        ("bool_and", "flag"),
        ("bool_or", "flag"),
        ("var", "x"),
        ("var_samp", "x"),
        ("var_pop", "x"),
        ("stddev", "x"),
        ("stddev_samp", "x"),
        ("stddev_pop", "x"),
    ];
    let of_two = [
        "covar",
        "covar_samp",
        "covar_pop",
        "corr",
        "regr_slope",
        "regr_intercept",
        "regr_count",
        "regr_r2",
        "regr_avgx",
        "regr_avgy",
        "regr_sxx",
        "regr_syy",
        "regr_sxy",
    ];
    let ones = of_one
        .iter()
        .map(|(function, argument)| aggregate(function, &[argument], filter));
    let twos = of_two
        .iter()
        .map(|function| aggregate(function, &["y", "x"], filter));
    let several = aggregate("count", &["number", "label", "required"], filter);
    ones.chain(twos).chain([several]).collect()
}

#[derive(Debug, Clone)]
struct Row {
    group: usize,
    diff: i64,
    number: Option<i32>,
    cents: Option<i32>,
    x: Option<i16>,
    y: Option<i16>,
    flag: Option<bool>,
}

fn row() -> impl Strategy<Value = Row> {
    let value = || prop::option::weighted(0.8, any::<i16>());
    // The last group gets no rows.
    (
        0..GROUPS - 1,
        0i64..3,
        any::<Option<i32>>(),
        any::<Option<i32>>(),
        value(),
        value(),
        any::<Option<bool>>(),
    )
        .prop_map(|(group, diff, number, cents, x, y, flag)| {
            // Group 0 has nulls only.
            let some = group != 0;
            Row {
                group,
                diff,
                number: number.filter(|_| some),
                cents: cents.filter(|_| some),
                x: x.filter(|_| some),
                y: y.filter(|_| some),
                flag: flag.filter(|_| some),
            }
        })
}

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    fn collected<V, A: FromIterator<V>>(rows: &[Row], of: impl Fn(&Row) -> V) -> A {
        rows.iter().map(of).collect()
    }
    let price: Decimal128Array = collected(rows, |row| row.cents.map(i128::from));
    let vast: Decimal128Array = collected(rows, |row| {
        row.cents.map(|c| i128::from(c) * 10i128.pow(26) + 7)
    });
    let small: Decimal32Array = collected(rows, |row| row.cents.map(|c| c % 100_000));
    vec![
        Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|row| row.group as i64 - 1),
        )),
        Arc::new(collected::<_, Int64Array>(rows, |row| {
            row.number.map(i64::from)
        })),
        Arc::new(collected::<_, UInt64Array>(rows, |row| {
            row.number.map(|n| n.unsigned_abs().into())
        })),
        Arc::new(price.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(vast.with_precision_and_scale(38, 36).unwrap()),
        Arc::new(small.with_precision_and_scale(5, 1).unwrap()),
        Arc::new(collected::<_, Float64Array>(rows, |row| {
            row.x.map(|x| f64::from(x) / 100.0)
        })),
        Arc::new(collected::<_, Float64Array>(rows, |row| {
            row.y.map(|y| f64::from(y) / 7.0)
        })),
        Arc::new(collected::<_, BooleanArray>(rows, |row| row.flag)),
        Arc::new(collected::<_, StringArray>(rows, |row| {
            row.number.map(|n| n.to_string())
        })),
        Arc::new(collected::<_, DurationSecondArray>(rows, |row| {
            row.number.map(i64::from)
        })),
    ]
}

fn is_close(ours: f64, theirs: f64) -> bool {
    ours == theirs
        || (ours.is_nan() && theirs.is_nan())
        || (ours - theirs).abs() <= 1e-9 * ours.abs().max(theirs.abs()).max(1.0)
}

fn assert_same(aggregate: &Aggregate, ours: &ScalarValue, theirs: &ScalarValue) {
    let same = match (ours, theirs) {
        (ScalarValue::Float64(Some(ours)), ScalarValue::Float64(Some(theirs))) => {
            is_close(*ours, *theirs)
        }
        _ => ours == theirs,
    };
    assert!(
        same,
        "{}: {ours:?} is not DataFusion's {theirs:?}",
        aggregate.name
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn answers_are_datafusions(
        rows in prop::collection::vec(row(), 0..60),
        filtered in any::<bool>(),
        with_diffs in any::<bool>(),
    ) {
        let aggregates = all_aggregates(filtered.then_some("flag"));
        let columns = columns(&rows);
        let groups: Vec<usize> = rows.iter().map(|row| row.group).collect();
        let diffs: Vec<i64> = rows.iter().map(|row| row.diff).collect();
        let diffs = with_diffs.then_some(&diffs[..]);
        let (layout, accumulators) = accumulate(&aggregates, &columns, &groups, diffs, GROUPS);
        let asked = [3, 1, 0, 2];
        let (answers, failures) = accumulators.evaluate(&layout, &asked);
        prop_assert!(failures.is_empty(), "{failures:?}");
        for (aggregate, answers) in aggregates.iter().zip(&answers) {
            for (position, group) in asked.iter().enumerate() {
                let repeated = (0..rows.len()).filter(|row| rows[*row].group == *group).flat_map(|row| {
                    std::iter::repeat_n(row, diffs.map_or(1, |diffs| diffs[row] as usize))
                });
                let theirs = reference(aggregate, &columns, &repeated.collect::<Vec<_>>());
                let ours = ScalarValue::try_from_array(answers, position).unwrap();
                assert_same(aggregate, &ours, &theirs);
            }
        }
    }
}

/// The answer of one aggregate over doubles, in one group.
fn answer_of(function: &str, xs: &[f64], ys: &[f64]) -> Option<f64> {
    let mut columns = columns(&vec![blank(); xs.len()]);
    columns[6] = Arc::new(Float64Array::from(xs.to_vec()));
    columns[7] = Arc::new(Float64Array::from(ys.to_vec()));
    let arguments: &[&str] = if ys.len() == xs.len() {
        &["y", "x"]
    } else {
        &["x"]
    };
    columns[7] = if ys.len() == xs.len() {
        Arc::clone(&columns[7])
    } else {
        Arc::clone(&columns[6])
    };
    let aggregates = [aggregate(function, arguments, None)];
    let (layout, accumulators) = accumulate(&aggregates, &columns, &vec![0; xs.len()], None, 1);
    let (answers, _) = accumulators.evaluate(&layout, &[0]);
    let answers = answers[0].as_primitive::<Float64Type>();
    answers.is_valid(0).then(|| answers.value(0))
}

fn blank() -> Row {
    Row {
        group: 0,
        diff: 1,
        number: None,
        cents: None,
        x: None,
        y: None,
        flag: None,
    }
}

#[test]
fn statistics_do_not_cancel() {
    let far = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
    assert_eq!(answer_of("var", &far, &[]), Some(30.0));
    assert_eq!(answer_of("var_pop", &far, &[]), Some(22.5));
    assert_eq!(answer_of("stddev_pop", &[0.1; 7], &[]), Some(0.0));
    assert_eq!(answer_of("var", &[1e-200, 3e-200, 1e-200], &[]), Some(0.0));
    assert_eq!(
        answer_of("stddev", &[1e-200, 3e-200, 1e-200, 3e-200], &[]).map(|s| s > 1e-200),
        Some(true)
    );
    assert_eq!(answer_of("stddev_pop", &[1e300, 3e300], &[]), Some(1e300));
    assert_eq!(
        answer_of("var_pop", &[1e300, 3e300], &[]),
        Some(f64::INFINITY)
    );
    let lines = [1e12 + 1.0, 1e12 + 2.0, 1e12 + 3.0];
    assert_eq!(answer_of("corr", &lines, &[3.0, 5.0, 7.0]), Some(1.0));
    assert_eq!(answer_of("regr_slope", &lines, &[3.0, 5.0, 7.0]), Some(2.0));
    assert_eq!(
        answer_of("regr_intercept", &lines, &[3.0, 5.0, 7.0]),
        Some(1.0 - 2e12)
    );
    assert_eq!(answer_of("regr_r2", &lines, &[3.0, 5.0, 7.0]), Some(1.0));
    assert_eq!(answer_of("regr_slope", &[1.0, 1.0], &[3.0, 5.0]), None);
    assert_eq!(
        answer_of("corr", &[1e-170, 2e-170, 4e-170], &[1.0, 2.0, 4.0]),
        Some(1.0)
    );
}

#[test]
fn statistics_of_what_is_not_finite_are_nan() {
    let bad = [1.0, f64::NAN];
    let far = [1.0, f64::INFINITY];
    for function in ["var", "var_pop", "stddev", "avg", "sum"] {
        assert!(
            answer_of(function, &bad, &[]).unwrap().is_nan(),
            "{function}"
        );
    }
    assert!(answer_of("var", &far, &[]).unwrap().is_nan());
    assert_eq!(answer_of("avg", &far, &[]), Some(f64::INFINITY));
    assert_eq!(answer_of("corr", &bad, &[1.0, 2.0]), None);
    assert!(answer_of("corr", &bad, &bad).unwrap().is_nan());
    assert!(answer_of("covar_pop", &bad, &[1.0, 2.0]).unwrap().is_nan());
    assert!(answer_of("regr_slope", &[1.0, 2.0], &bad).unwrap().is_nan());
}

/// The answers and failures of `sum` and `avg` over one column, all of one group.
fn sums_of(column: usize, name: &str, array: ArrayRef) -> (Vec<ArrayRef>, Vec<(usize, String)>) {
    let rows = array.len();
    let mut columns = columns(&vec![blank(); rows]);
    columns[column] = array;
    let aggregates = [
        aggregate("sum", &[name], None),
        aggregate("count", &["1"], None),
    ];
    let (layout, accumulators) = accumulate(&aggregates, &columns, &vec![1; rows], None, 2);
    accumulators.evaluate(&layout, &[0, 1])
}

#[test]
fn integers_that_do_not_fit_are_failures() {
    let (answers, failures) = sums_of(1, "number", Arc::new(Int64Array::from(vec![i64::MAX, 1])));
    assert_eq!(
        failures,
        [(1, "sum overflows BIGINT in \"sum(number)\"".to_owned())]
    );
    assert!(answers[0].is_null(1));
    assert_eq!(answers[1].as_primitive::<Int64Type>().value(1), 2);

    let (_, failures) = sums_of(2, "natural", Arc::new(UInt64Array::from(vec![u64::MAX, 1])));
    assert_eq!(
        failures,
        [(
            1,
            "sum overflows BIGINT UNSIGNED in \"sum(natural)\"".to_owned()
        )]
    );

    let within = Int64Array::from(vec![i64::MAX, 1, i64::MIN]);
    let (answers, failures) = sums_of(1, "number", Arc::new(within));
    assert!(failures.is_empty());
    assert_eq!(answers[0].as_primitive::<Int64Type>().value(1), 0);
}

#[test]
fn decimals_never_wrap_inside() {
    let nines = 10i128.pow(38) - 1;
    let vast = |values: Vec<i128>| -> ArrayRef {
        Arc::new(
            Decimal128Array::from(values)
                .with_precision_and_scale(38, 36)
                .unwrap(),
        )
    };
    let (_, failures) = sums_of(4, "vast", vast(vec![nines; 1_000]));
    assert_eq!(
        failures,
        [(
            1,
            "sum overflows DECIMAL(38, 36) in \"sum(vast)\"".to_owned()
        )]
    );

    let mut values = vec![nines; 1_000];
    values.extend(vec![-nines; 999]);
    let (answers, failures) = sums_of(4, "vast", vast(values));
    assert!(failures.is_empty());
    assert_eq!(answers[0].as_primitive::<Decimal128Type>().value(1), nines);

    let (_, failures) = sums_of(4, "vast", vast(vec![-nines, -1]));
    assert_eq!(failures.len(), 1);
}

#[test]
fn integers_are_averaged_without_a_cast() {
    let mut columns = columns(&vec![blank(); 3]);
    columns[1] = Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MAX)]));
    let aggregates = [aggregate("avg", &["number"], None)];
    let (layout, accumulators) = accumulate(&aggregates, &columns, &[0, 0, 0], None, 1);
    let (answers, failures) = accumulators.evaluate(&layout, &[0]);
    assert!(failures.is_empty());
    assert_eq!(
        answers[0].as_primitive::<Float64Type>().value(0),
        i64::MAX as f64
    );
}

#[test]
fn averages_of_decimals_are_cut_off() {
    let columns = {
        let mut columns = columns(&vec![blank(); 3]);
        let cents = Decimal128Array::from(vec![-200, 100, -100]);
        columns[3] = Arc::new(cents.with_precision_and_scale(10, 2).unwrap());
        columns
    };
    let aggregates = [aggregate("avg", &["price"], None)];
    let (layout, accumulators) = accumulate(&aggregates, &columns, &[0, 0, 0], None, 1);
    let (answers, failures) = accumulators.evaluate(&layout, &[0]);
    assert!(failures.is_empty());
    // -2.00 / 3 with four more digits.
    assert_eq!(
        answers[0].as_primitive::<Decimal128Type>().value(0),
        -666_666
    );
    let theirs = reference(&aggregates[0], &columns, &[0, 1, 2]);
    assert_eq!(ScalarValue::try_from_array(&answers[0], 0).unwrap(), theirs);
}
