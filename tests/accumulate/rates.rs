//! How many rows a second are accumulated:
//! `cargo test --release --test accumulate rates -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal32Array, Decimal128Array, DurationSecondArray, Float64Array,
    Int64Array, StringArray, UInt64Array,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{aggregate, evaluated, layout};

const ROWS: usize = 32 * 1024;
const ROUNDS: usize = 200;

fn columns(nulls: bool) -> Vec<ArrayRef> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut present = || !nulls || random.random_bool(0.9);
    let numbers: Vec<Option<i64>> = (0..ROWS as i64)
        .map(|i| present().then_some(i * 7_919 % 100_000))
        .collect();
    let decimals = |precision, scale| -> ArrayRef {
        let values = numbers.iter().map(|n| n.map(i128::from));
        Arc::new(
            Decimal128Array::from_iter(values)
                .with_precision_and_scale(precision, scale)
                .unwrap(),
        )
    };
    let doubles = || {
        numbers
            .iter()
            .map(|n| n.map(|n| n as f64 / 100.0))
            .collect::<Float64Array>()
    };
    vec![
        Arc::new(Int64Array::from_iter_values(
            numbers.iter().map(|n| n.unwrap_or(0)),
        )),
        Arc::new(numbers.iter().copied().collect::<Int64Array>()),
        Arc::new(
            numbers
                .iter()
                .map(|n| n.map(|n| n as u64))
                .collect::<UInt64Array>(),
        ),
        decimals(10, 2),
        decimals(38, 36),
        Arc::new(
            Decimal32Array::from(vec![1; ROWS])
                .with_precision_and_scale(5, 1)
                .unwrap(),
        ),
        Arc::new(doubles()),
        Arc::new(doubles()),
        Arc::new(
            (0..ROWS)
                .map(|i| Some(i % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(StringArray::from(vec![""; ROWS])),
        Arc::new(DurationSecondArray::from(vec![1; ROWS])),
    ]
}

#[test]
#[ignore = "measures, proves nothing"]
fn rates() {
    println!("million rows/s, each with the row count beside it");
    println!(
        "{:<24} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "1 group", "100", "100k", "nulls", "diffs"
    );
    let cases: [(&str, &[&str]); 9] = [
        ("count", &["1"]),
        ("count", &["number"]),
        ("sum", &["required"]),
        ("sum", &["number"]),
        ("sum", &["price"]),
        ("avg", &["price"]),
        ("sum", &["x"]),
        ("stddev", &["x"]),
        ("corr", &["y", "x"]),
    ];
    for (function, arguments) in cases {
        let rates = [
            (1, false, false),
            (100, false, false),
            (100_000, false, false),
            (100, true, false),
            (100, false, true),
        ]
        .map(|(groups, nulls, diffs)| rate(function, arguments, groups, nulls, diffs));
        let name = format!("{function}({})", arguments.join(", "));
        print!("{name:<24}");
        rates.iter().for_each(|rate| print!(" {rate:>8.0}"));
        println!();
    }
}

fn rate(function: &str, arguments: &[&str], groups: usize, nulls: bool, diffs: bool) -> f64 {
    let aggregates = [aggregate(function, arguments, None)];
    let layout = layout(&aggregates);
    let evaluated = evaluated(&aggregates, &columns(nulls));
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let of_row: Vec<usize> = (0..ROWS).map(|_| random.random_range(0..groups)).collect();
    let ones = vec![1; ROWS];
    let diffs = diffs.then_some(&ones[..]);
    let mut accumulators = layout.new_accumulators();
    accumulators.resize(groups);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        accumulators
            .update(&layout, &of_row, &evaluated.args, &evaluated.filters, diffs)
            .unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    ROWS as f64 / best / 1e6
}
