//! Lowered views against DataFusion's batch answers, over random small tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use futures::executor::block_on;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tillrace::plan::{batch_context, define_views};
use tillrace::script::{Script, Table};

use super::evaluate::{Rows, consolidate, evaluate, rows_of};
use super::planned;

/// Compares the answer of one query with the batch answer, for several random contents.
fn check(query: &str) {
    check_views(&format!("CREATE MATERIALIZED VIEW v AS {query};"));
}

fn check_views(views: &str) {
    let plan = planned(views);
    for seed in 0..12 {
        let tables = contents(&plan.script, seed);
        let nodes = evaluate(&plan, &tables);
        for output in &plan.outputs {
            let name = &output.view.name;
            if name.starts_with("tillrace.") {
                continue;
            }
            let expected = batch_answer(&plan.script, &tables, name);
            let found = nodes[output.node.0].clone();
            assert_eq!(
                shown(found),
                shown(expected),
                "seed {seed}, view {name} of {views}"
            );
        }
    }
}

fn batch_answer(script: &Script, tables: &BTreeMap<String, RecordBatch>, view: &str) -> Rows {
    let context = batch_context().unwrap();
    for (name, rows) in tables {
        let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
        context
            .register_table(name.as_str(), Arc::new(table))
            .unwrap();
    }
    define_views(&context, script).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer =
        runtime.block_on(async { context.table(view).await.unwrap().collect().await.unwrap() });
    answer.iter().flat_map(rows_of).collect()
}

/// Rows as sorted text, which is what a failed test shows.
fn shown(rows: Rows) -> Vec<String> {
    let mut lines: Vec<String> = consolidate(rows)
        .into_iter()
        .map(|(row, diff)| {
            let values: Vec<_> = row.iter().map(|value| format!("{value}")).collect();
            format!("{} x{diff}", values.join(" | "))
        })
        .collect();
    lines.sort();
    lines
}

fn contents(script: &Script, seed: u64) -> BTreeMap<String, RecordBatch> {
    let mut random = StdRng::seed_from_u64(seed);
    let fill = |table: &Table| (table.name.clone(), rows(table, &mut random));
    script.tables.iter().map(fill).collect()
}

/// Up to twelve rows, sometimes none, of few values and many nulls; keys are unique.
fn rows(table: &Table, random: &mut StdRng) -> RecordBatch {
    let schema = table.schema();
    let count = if random.random_bool(0.15) {
        0
    } else {
        random.random_range(1..12)
    };
    let columns = schema.fields().iter().enumerate().map(|(position, field)| {
        let is_key = table.primary_key.contains(&position);
        let values: Vec<ScalarValue> = (0..count)
            .map(|row| match is_key {
                true => ScalarValue::from(
                    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"][row],
                ),
                false => value(field, random),
            })
            .collect();
        match values.is_empty() {
            true => arrow::array::new_empty_array(field.data_type()),
            false => ScalarValue::iter_to_array(values).unwrap(),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn value(field: &Field, random: &mut StdRng) -> ScalarValue {
    if field.is_nullable() && random.random_bool(0.2) {
        return ScalarValue::try_from(field.data_type()).unwrap();
    }
    let few = random.random_range(0..5_i64);
    match field.data_type() {
        DataType::Utf8 => ScalarValue::from(["a", "b", "c", "d", "e"][few as usize]),
        DataType::Int64 => ScalarValue::Int64(Some(few - 1)),
        DataType::Int32 => ScalarValue::Int32(Some(few as i32)),
        DataType::Float64 => ScalarValue::Float64(Some(few as f64 / 4.0)),
        DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(few.into()), *p, *s),
        DataType::Timestamp(..) => {
            ScalarValue::TimestampNanosecond(Some(few * 1_800_000_000_000), None)
        }
        DataType::List(element) => {
            let length = random.random_range(0..3);
            let values: Vec<_> = (0..length).map(|_| value(element, random)).collect();
            ScalarValue::List(ScalarValue::new_list(&values, element.data_type(), true))
        }
        other => panic!("no values of type {other}"),
    }
}

#[test]
fn look() {
    let Ok(path) = std::env::var("LOOK") else {
        return;
    };
    let mut failed = 0;
    for query in std::fs::read_to_string(path).unwrap().split(';') {
        if query.trim().is_empty() {
            continue;
        }
        if let Err(e) = std::panic::catch_unwind(|| check(query.trim())) {
            failed += 1;
            println!(
                "FAILED {}\n{}",
                query.trim(),
                e.downcast_ref::<String>().cloned().unwrap_or_default()
            );
        }
    }
    let _ = block_on(async {});
    assert_eq!(failed, 0);
}
