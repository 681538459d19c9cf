//! The oracle: whatever the script, whatever arrives, in whatever order, on however many workers,
//! after every epoch every maintained answer equals DataFusion's batch answer over what the tables
//! hold then.
//!
//! Agreement of the engine with itself would prove little: it would agree with its own mistakes. So
//! the other side is another engine, and what a table holds is worked out in plain code.
//!
//! `PROPTEST_CASES` sets the number of cases, `PROPTEST_RNG_SEED` repeats a run; the seed is printed
//! at its start.

mod aggregate;
mod all_aggregates;
mod case;
mod choices;
mod expression;
mod fixed;
mod found;
mod functions;
mod lateral;
mod nested;
mod query;
mod recursion;
mod schema;
mod sets;
mod subqueries;
mod temporal;
mod trial;
mod window;
mod windows;

use std::sync::atomic::Ordering;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

/// Cases in an ordinary run: about half a minute's worth.
const CASES: u32 = 300;
/// The seed of an ordinary run, so that a change is not blamed for what it did not break.
const SEED: u64 = 2_026;

/// How long a case that fails is made smaller, in milliseconds.
const SHRINK_MS: u32 = 120_000;

#[test]
fn maintained_answers_equal_batch_answers() {
    let from_environment = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    let cases = from_environment("PROPTEST_CASES").map_or(CASES, |cases: u64| cases as u32);
    let seed = from_environment("PROPTEST_RNG_SEED").unwrap_or(SEED);
    eprintln!("PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases}");
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 4000,
        max_shrink_time: SHRINK_MS,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&case::seeds(), |seeds| {
        trial::run(seeds.case()).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        match error {
            TestError::Fail(reason, seeds) => {
                panic!("PROPTEST_RNG_SEED={seed}: {reason}\n{seeds:?}")
            }
            TestError::Abort(reason) => panic!("PROPTEST_RNG_SEED={seed}: {reason}"),
        }
    }
    let compared = trial::COMPARED.load(Ordering::Relaxed);
    let with_rows = trial::WITH_ROWS.load(Ordering::Relaxed);
    let without = trial::WITHOUT_BATCH_ANSWER.load(Ordering::Relaxed);
    eprintln!(
        "{compared} answers compared, {with_rows} of them with rows; {without} had no batch answer"
    );
    assert!(
        with_rows * 3 > compared,
        "most answers are empty: the grammar proves too little"
    );
    assert!(
        without * 4 < compared,
        "too many queries have no batch answer"
    );
}
