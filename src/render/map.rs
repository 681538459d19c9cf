//! Row by row: filters, projections, unnest, and turning diffs round.
//!
//! Everything here is stateless and vectorised. An expression that fails on a batch is evaluated
//! again row by row; the rows that fail become rejects with the reason, the others go on.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;

use super::flow::Flow;
use super::{Outcome, Outcomes, reject};
use crate::delta::{Delta, Diff};
use crate::plan::Step;

/// Applies `logic` to each delta as it comes.
pub(super) fn each<'scope, L>(
    rows: impl Into<Flow<'scope>>,
    name: &'static str,
    logic: L,
) -> Outcomes<'scope>
where
    L: FnMut(Delta, &mut Vec<Outcome>) + 'static,
{
    Outcomes::of_stage(rows, name, logic)
}

/// Renders a map's steps.
pub(super) fn map<'scope>(
    rows: impl Into<Flow<'scope>>,
    steps: Vec<Step>,
    views: Vec<String>,
) -> Outcomes<'scope> {
    each(rows, "Map", move |delta, outcomes| {
        apply(&steps, &views, delta, outcomes)
    })
}

fn apply(steps: &[Step], views: &[String], delta: Delta, outcomes: &mut Vec<Outcome>) {
    match apply_steps(steps, &delta) {
        Ok(mapped) if mapped.is_empty() => {}
        Ok(mapped) => outcomes.push(Ok(mapped)),
        Err(_) => apply_by_row(steps, views, &delta, outcomes),
    }
}

pub(super) fn apply_steps(steps: &[Step], delta: &Delta) -> Result<Delta> {
    let mut delta = delta.clone();
    for step in steps {
        if delta.is_empty() {
            break;
        }
        delta = match step {
            Step::Filter(predicate) => {
                let mask = predicate.evaluate(&delta.batch)?.into_array(delta.len())?;
                delta.filter(&true_only(mask.as_boolean()))?
            }
            Step::Project { exprs, schema } => {
                let columns = evaluate(exprs, &delta.batch)?;
                delta.with_batch(batch(schema, columns, delta.len())?)
            }
        };
    }
    Ok(delta)
}

/// A mask in which nulls are false.
fn true_only(mask: &BooleanArray) -> BooleanArray {
    match mask.nulls() {
        Some(nulls) if nulls.null_count() > 0 => {
            BooleanArray::new(mask.values() & nulls.inner(), None)
        }
        _ => mask.clone(),
    }
}

fn apply_by_row(steps: &[Step], views: &[String], delta: &Delta, outcomes: &mut Vec<Outcome>) {
    let mut failed: Vec<(String, String, Diff)> = Vec::new();
    for row in 0..delta.len() {
        let diff = delta.diff(row);
        let single = Delta::new(delta.batch.slice(row, 1), vec![diff], delta.time);
        match apply_steps(steps, &single) {
            Ok(mapped) if mapped.is_empty() => {}
            Ok(mapped) => outcomes.push(Ok(mapped)),
            Err(error) => failed.push((reason(&error), reject::describe(&delta.batch, row), diff)),
        }
    }
    if !failed.is_empty() {
        outcomes.push(Err(reject::of_rows(views, &failed, delta.time)));
    }
}

/// The rejects of rows of a delta, each by its position and with what went wrong.
pub(super) fn refusals(
    views: &[String],
    delta: &Delta,
    failed: Vec<(usize, DataFusionError)>,
) -> Option<Outcome> {
    let rejects: Vec<(String, String, Diff)> = failed
        .into_iter()
        .map(|(row, error)| {
            let described = reject::describe(&delta.batch, row);
            (reason(&error), described, delta.diff(row))
        })
        .collect();
    (!rejects.is_empty()).then(|| Err(reject::of_rows(views, &rejects, delta.time)))
}

/// What went wrong, in one line and without the library's prefixes.
pub(super) fn reason(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::ArrowError(error, _) => error.to_string(),
        other => other.strip_backtrace(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// The values of some expressions over a batch.
pub(super) fn evaluate(
    exprs: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>> {
    exprs
        .iter()
        .map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows()))
        .collect()
}

/// A batch of columns that may be none, and whose nullability is that of the schema.
pub(super) fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// Renders an unnest: one row per element of the list columns, side by side.
pub(super) fn unnest<'scope>(
    rows: impl Into<Flow<'scope>>,
    columns: Vec<usize>,
    keep_empty: bool,
    schema: SchemaRef,
) -> Outcomes<'scope> {
    each(rows, "Unnest", move |delta, outcomes| {
        let unnested = unnest_delta(&delta, &columns, keep_empty, &schema)
            .expect("the plan unnests list columns only");
        if !unnested.is_empty() {
            outcomes.push(Ok(unnested));
        }
    })
}

fn unnest_delta(
    delta: &Delta,
    columns: &[usize],
    keep_empty: bool,
    schema: &SchemaRef,
) -> Result<Delta> {
    let mut lists: Vec<ListArray> = Vec::with_capacity(columns.len());
    for column in columns {
        let list = delta.batch.column(*column);
        lists.push(list.as_list_opt::<i32>().cloned().ok_or_else(|| {
            DataFusionError::Internal(format!("cannot unnest {}", list.data_type()))
        })?);
    }
    let length = |list: &ListArray, row: usize| {
        if list.is_null(row) {
            0
        } else {
            list.value_length(row) as usize
        }
    };
    let mut parents: Vec<u32> = Vec::new();
    let mut elements: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
    for row in 0..delta.len() {
        let longest = lists
            .iter()
            .map(|list| length(list, row))
            .max()
            .unwrap_or(0);
        let rows = if longest == 0 && keep_empty {
            1
        } else {
            longest
        };
        let parent = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
        parents.extend(std::iter::repeat_n(parent, rows));
        for (list, elements) in lists.iter().zip(&mut elements) {
            let start = list.value_offsets()[row] as u32;
            let filled = length(list, row);
            elements.extend((0..rows).map(|at| (at < filled).then_some(start + at as u32)));
        }
    }
    let repeated = delta.take(&parents)?;
    let mut arrays = repeated.batch.columns().to_vec();
    for ((column, list), elements) in columns.iter().zip(&lists).zip(elements) {
        arrays[*column] = take(list.values(), &UInt32Array::from(elements), None)?;
    }
    Ok(repeated.with_batch(batch(schema, arrays, parents.len())?))
}

/// Renders a negation.
pub(super) fn negate<'scope>(rows: impl Into<Flow<'scope>>) -> Outcomes<'scope> {
    each(rows, "Negate", |delta, outcomes| {
        outcomes.push(Ok(delta.negate()))
    })
}

/// Renders the rows of some flows together, whose columns are of the same types. The rows take over
/// the names and nullability of a schema.
pub(super) fn union<'scope>(flows: Vec<Flow<'scope>>, schema: SchemaRef) -> Outcomes<'scope> {
    each(Flow::together(flows), "Union", move |delta, outcomes| {
        let delta = if delta.batch.schema_ref() == &schema {
            delta
        } else {
            let columns = delta.batch.columns().to_vec();
            let rows = batch(&schema, columns, delta.len());
            delta.with_batch(rows.expect("a relabelled batch keeps its types"))
        };
        outcomes.push(Ok(delta));
    })
}

/// A schema with chosen columns of another.
pub(super) fn project_schema(schema: &Schema, columns: &[usize]) -> SchemaRef {
    Arc::new(schema.project(columns).expect("columns of the schema"))
}
