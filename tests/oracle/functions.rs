//! Functions of a program's own, called from views.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, ColumnarValue, Volatility, create_udaf, create_udf};
use tillrace::engine::{Config, Engine};
use tillrace::oracle;
use tillrace::plan::{explain, plan};
use tillrace::script::Functions;

use crate::trial::parse;

/// The longest text; it cannot take a text back.
#[derive(Debug, Default)]
struct Longest(String);

impl Accumulator for Longest {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for text in values[0].as_string::<i32>().iter().flatten() {
            if (text.len(), text) > (self.0.len(), self.0.as_str()) {
                self.0 = text.to_owned();
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::from(self.0.as_str()))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.capacity()
    }
}

fn functions() -> Functions {
    let text = DataType::Utf8;
    let longest = create_udaf(
        "variety",
        vec![text.clone()],
        Arc::new(text.clone()),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::<Longest>::default())),
        Arc::new(vec![text.clone()]),
    );
    let twice = |args: &[ColumnarValue]| {
        let texts = ColumnarValue::values_to_arrays(args)?.remove(0);
        let texts = texts.as_string::<i32>().iter();
        let texts = texts.map(|text| text.map(|text| format!("{text}{text}")));
        Ok(ColumnarValue::Array(Arc::new(StringArray::from_iter(
            texts,
        ))))
    };
    let twice = create_udf(
        "twice",
        vec![text.clone()],
        text,
        Volatility::Immutable,
        Arc::new(twice),
    );
    Functions::default()
        .with_aggregate(longest)
        .with_scalar(twice)
}

#[test]
fn a_program_brings_its_functions() {
    let sql = "CREATE TABLE t (k TEXT, s TEXT);
        CREATE MATERIALIZED VIEW v AS SELECT k, variety(s) AS l, variety(DISTINCT twice(s)) AS d,
          variety(s) FILTER (WHERE s <> 'bb') AS f, count(*) AS c FROM t GROUP BY k;
        CREATE MATERIALIZED VIEW w AS SELECT s, variety(s) OVER (PARTITION BY k ORDER BY s) AS l
          FROM t;";
    let mut script = parse(sql).expect("a script");
    script.functions = functions();
    let plan = Arc::new(plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{faults}")));
    assert!(explain::text(&plan, &[]).contains("computes variety anew over all rows of its group"));
    let engine = Engine::start(plan.clone(), Config::default()).expect("the engine starts");
    let row = |k: &str, s: &str| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![k])),
            Arc::new(StringArray::from(vec![s])),
        ];
        RecordBatch::try_new(plan.script.tables[0].schema(), columns).expect("a row")
    };
    let events = [
        ("a", "x", 1),
        ("a", "bb", 1),
        ("b", "bb", 1),
        ("a", "ccc", 1),
        ("a", "ccc", -1),
        ("a", "bb", -1),
    ];
    let mut there: Vec<(&str, &str)> = Vec::new();
    for (k, s, diff) in events {
        engine
            .update("t", row(k, s), vec![diff])
            .expect("the row fits");
        match there.iter().position(|other| *other == (k, s)) {
            Some(at) if diff < 0 => drop(there.remove(at)),
            _ => there.push((k, s)),
        }
        let snapshot = engine.advance().expect("the epoch closes");
        let schema = plan.script.tables[0].schema();
        let rows: Vec<RecordBatch> = there.iter().map(|(k, s)| row(k, s)).collect();
        let rows = arrow::compute::concat_batches(&schema, &rows).expect("rows of one table");
        let answers = oracle::answers(&plan.script, &[rows]).expect("batch answers");
        for view in ["v", "w"] {
            let expected = answers[view].as_ref().expect("a batch answer");
            let found = snapshot.rows(view).expect("the view exists");
            let difference = oracle::compare(expected, &found).expect("rows compare");
            assert!(difference.is_none(), "{view}: {}", difference.expect("one"));
        }
    }
    engine.stop().expect("the engine stops");
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let mut script = parse("CREATE TABLE t (k TEXT);").expect("a script");
    let text = DataType::Utf8;
    let upper = create_udf(
        "upper",
        vec![text.clone()],
        text,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| Ok(args[0].clone())),
    );
    script.functions = Functions::default().with_scalar(upper);
    let faults = plan(Arc::new(script)).expect_err("the plan is refused");
    assert!(faults.to_string().contains("upper"), "{faults}");
}
