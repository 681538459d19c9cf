//! What the nodes of a plan mean, in the plainest way: each as a multiset of rows, computed anew.
//!
//! Slow and without state. It says what an incremental rendering must arrive at, so that the
//! lowering can be compared with DataFusion's batch answers without one.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use tillrace::plan::{Aggregate, Op, Plan, RankLimit, Relation, SortKey, Step, WindowCall};

/// Rows with their multiplicities.
pub type Rows = Vec<(Vec<ScalarValue>, i64)>;

/// The rows of every node, for tables of which all columns are given.
pub fn evaluate(plan: &Plan, tables: &BTreeMap<String, RecordBatch>) -> Vec<Rows> {
    let mut nodes: Vec<Rows> = Vec::new();
    for node in &plan.nodes {
        let read = |id: &tillrace::plan::NodeId| (&nodes[id.0], &plan.nodes[id.0].schema);
        let rows = match &node.op {
            Op::Input(input) => {
                let input = &plan.inputs[*input];
                match input.relation {
                    Relation::Table(table) => {
                        let name = &plan.script.tables[table].name;
                        rows_of(&tables[name].project(&input.columns).unwrap())
                    }
                    Relation::Kept(_) | Relation::Rejects | Relation::Blocks | Relation::Clock => {
                        Rows::new()
                    }
                }
            }
            Op::Constant(rows) => rows_of(&rows.0),
            Op::Map { input, steps } => {
                let (mut rows, mut schema) = (read(input).0.clone(), read(input).1.clone());
                for step in steps {
                    rows = apply(step, rows, &mut schema);
                }
                rows
            }
            Op::Unnest {
                input,
                columns,
                keep_empty,
            } => unnest(read(input).0, columns, *keep_empty),
            Op::Reduce {
                input,
                keys,
                aggregates,
            } => {
                let (rows, schema) = read(input);
                reduce(rows, schema, keys, aggregates)
            }
            Op::Join {
                left,
                right,
                left_keys,
                right_keys,
                null_equal,
                residual,
            } => {
                let left_values = values(left_keys, read(left).0, read(left).1);
                let right_values = values(right_keys, read(right).0, read(right).1);
                let mut pairs = Rows::new();
                for (l, (left_row, left_diff)) in read(left).0.iter().enumerate() {
                    for (r, (right_row, right_diff)) in read(right).0.iter().enumerate() {
                        let is_known = *null_equal || !left_values[l].iter().any(|v| v.is_null());
                        if is_known && left_values[l] == right_values[r] {
                            let row = left_row.iter().chain(right_row).cloned().collect();
                            pairs.push((row, left_diff * right_diff));
                        }
                    }
                }
                match residual {
                    Some(residual) => keep(residual, pairs, &node.schema),
                    None => pairs,
                }
            }
            Op::TopK {
                input,
                partition,
                order,
                skip,
                limit,
                number,
            } => {
                let (rows, schema) = read(input);
                top(rows, schema, partition, order, *skip, *limit, *number)
            }
            Op::Window {
                input,
                partition,
                order,
                functions,
                limit,
            } => {
                let (rows, schema) = read(input);
                windows(rows, schema, (partition, order), functions, *limit)
            }
            Op::Temporal { .. } | Op::AsOf { .. } | Op::Work { .. } | Op::Recursive { .. } => {
                unreachable!("the engine's own oracle looks at these")
            }
            Op::Union { inputs } => inputs
                .iter()
                .flat_map(|input| read(input).0.clone())
                .collect(),
            Op::Negate { input } => read(input)
                .0
                .iter()
                .map(|(row, diff)| (row.clone(), -diff))
                .collect(),
        };
        let rows = consolidate(rows);
        // Building a batch checks types and nullability against the node's schema.
        batch(&node.schema, &rows);
        nodes.push(rows);
    }
    nodes
}

/// Adds up the multiplicities of equal rows.
pub fn consolidate(rows: Rows) -> Rows {
    let mut sums: HashMap<Vec<ScalarValue>, i64> = HashMap::new();
    for (row, diff) in rows {
        *sums.entry(row).or_default() += diff;
    }
    sums.into_iter().filter(|(_, diff)| *diff != 0).collect()
}

/// The rows of a batch.
pub fn rows_of(batch: &RecordBatch) -> Rows {
    let row = |row| {
        let columns = batch.columns().iter();
        (
            columns
                .map(|column| ScalarValue::try_from_array(column, row).unwrap())
                .collect(),
            1,
        )
    };
    (0..batch.num_rows()).map(row).collect()
}

fn batch(schema: &SchemaRef, rows: &Rows) -> RecordBatch {
    let column = |position: usize| {
        let values: Vec<_> = rows.iter().map(|(row, _)| row[position].clone()).collect();
        array(schema.field(position).data_type(), values)
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap()
}

fn array(data_type: &DataType, values: Vec<ScalarValue>) -> ArrayRef {
    if values.is_empty() {
        return new_empty_array(data_type);
    }
    ScalarValue::iter_to_array(values).unwrap()
}

/// Per row the values of some expressions.
fn values(
    exprs: &[Arc<dyn PhysicalExpr>],
    rows: &Rows,
    schema: &SchemaRef,
) -> Vec<Vec<ScalarValue>> {
    let batch = batch(schema, rows);
    let evaluate = |expr: &Arc<dyn PhysicalExpr>| {
        expr.evaluate(&batch)
            .unwrap()
            .into_array(rows.len())
            .unwrap()
    };
    let columns: Vec<ArrayRef> = exprs.iter().map(evaluate).collect();
    let row = |row| {
        columns
            .iter()
            .map(|c| ScalarValue::try_from_array(c, row).unwrap())
            .collect()
    };
    (0..rows.len()).map(row).collect()
}

fn apply(step: &Step, rows: Rows, schema: &mut SchemaRef) -> Rows {
    match step {
        Step::Filter(predicate) => keep(predicate, rows, schema),
        Step::Project {
            exprs,
            schema: projected,
        } => {
            let projected_rows = values(exprs, &rows, schema);
            *schema = projected.clone();
            projected_rows
                .into_iter()
                .zip(rows)
                .map(|(row, (_, diff))| (row, diff))
                .collect()
        }
    }
}

fn keep(predicate: &Arc<dyn PhysicalExpr>, rows: Rows, schema: &SchemaRef) -> Rows {
    let kept = values(std::slice::from_ref(predicate), &rows, schema);
    let truth = ScalarValue::Boolean(Some(true));
    rows.into_iter()
        .zip(kept)
        .filter(|(_, kept)| kept[0] == truth)
        .map(|(row, _)| row)
        .collect()
}

fn unnest(rows: &Rows, columns: &[usize], keep_empty: bool) -> Rows {
    let mut all = Rows::new();
    for (row, diff) in rows {
        let elements = |column: &usize| -> (Vec<ScalarValue>, DataType) {
            let list = row[*column].to_array().unwrap();
            let list = arrow::array::as_list_array(&list).clone();
            let kind = list.value_type();
            let values = if list.is_null(0) {
                new_empty_array(&kind)
            } else {
                list.value(0)
            };
            let each =
                (0..values.len()).map(|at| ScalarValue::try_from_array(&values, at).unwrap());
            (each.collect(), kind)
        };
        let lists: Vec<_> = columns.iter().map(elements).collect();
        let longest = lists.iter().map(|(list, _)| list.len()).max().unwrap();
        for at in 0..longest.max(usize::from(keep_empty)) {
            let mut new = row.clone();
            for (column, (list, kind)) in columns.iter().zip(&lists) {
                let null = || ScalarValue::try_from(kind).unwrap();
                new[*column] = list.get(at).cloned().unwrap_or_else(null);
            }
            all.push((new, *diff));
        }
    }
    all
}

/// Rows by group, each row as often as it is there.
fn groups(
    rows: &Rows,
    schema: &SchemaRef,
    keys: &[Arc<dyn PhysicalExpr>],
) -> HashMap<Vec<ScalarValue>, Rows> {
    let mut groups: HashMap<_, Rows> = HashMap::new();
    for ((row, diff), key) in rows.iter().zip(values(keys, rows, schema)) {
        assert!(*diff > 0, "a row is there {diff} times");
        let group = groups.entry(key).or_default();
        group.extend((0..*diff).map(|_| (row.clone(), 1)));
    }
    groups
}

fn reduce(
    rows: &Rows,
    schema: &SchemaRef,
    keys: &[Arc<dyn PhysicalExpr>],
    aggregates: &[Aggregate],
) -> Rows {
    let mut groups = groups(rows, schema, keys);
    if keys.is_empty() {
        groups.entry(Vec::new()).or_default();
    }
    let answer = |(key, rows): (Vec<ScalarValue>, Rows)| {
        let answers = aggregates
            .iter()
            .map(|each| aggregate(each, rows.clone(), schema));
        (key.into_iter().chain(answers).collect(), 1)
    };
    groups.into_iter().map(answer).collect()
}

fn aggregate(aggregate: &Aggregate, rows: Rows, schema: &SchemaRef) -> ScalarValue {
    let mut rows = match &aggregate.filter {
        Some(filter) => keep(filter, rows, schema),
        None => rows,
    };
    sort(&mut rows, schema, &aggregate.order);
    let order = aggregate.order.iter().map(|key| PhysicalSortExpr {
        expr: key.expr.clone(),
        options: key.options,
    });
    let function = AggregateExprBuilder::new(aggregate.function.clone(), aggregate.args.clone())
        .schema(schema.clone())
        .alias(&aggregate.name)
        .order_by(order.collect())
        .with_distinct(aggregate.distinct)
        .with_ignore_nulls(aggregate.ignore_nulls)
        .build()
        .unwrap();
    let batch = batch(schema, &rows);
    let exprs = aggregate
        .args
        .iter()
        .chain(aggregate.order.iter().map(|key| &key.expr));
    let args: Vec<_> = exprs
        .map(|expr| {
            expr.evaluate(&batch)
                .unwrap()
                .into_array(rows.len())
                .unwrap()
        })
        .collect();
    let mut accumulator = function.create_accumulator().unwrap();
    accumulator.update_batch(&args).unwrap();
    accumulator.evaluate().unwrap()
}

fn top(
    rows: &Rows,
    schema: &SchemaRef,
    partition: &[Arc<dyn PhysicalExpr>],
    order: &[SortKey],
    skip: usize,
    limit: Option<usize>,
    number: bool,
) -> Rows {
    let mut all = Rows::new();
    for (_, mut rows) in groups(rows, schema, partition) {
        sort(&mut rows, schema, order);
        let kept = rows
            .into_iter()
            .enumerate()
            .skip(skip)
            .take(limit.unwrap_or(usize::MAX));
        all.extend(kept.map(|(at, (mut row, diff))| {
            if number {
                row.push(ScalarValue::UInt64(Some(at as u64 + 1)));
            }
            (row, diff)
        }));
    }
    all
}

fn windows(
    rows: &Rows,
    schema: &SchemaRef,
    (partition, order): (&[Arc<dyn PhysicalExpr>], &[SortKey]),
    functions: &[WindowCall],
    limit: Option<RankLimit>,
) -> Rows {
    let mut all = Rows::new();
    for (_, mut rows) in groups(rows, schema, partition) {
        sort(&mut rows, schema, order);
        let columns: Vec<ArrayRef> = functions
            .iter()
            .map(|call| call.expr(order, schema).unwrap())
            .map(|expr| expr.evaluate(&batch(schema, &rows)).unwrap())
            .collect();
        let keys: Vec<_> = order.iter().map(|key| key.expr.clone()).collect();
        let keys = values(&keys, &rows, schema);
        let (mut rank, mut dense) = (0, 0);
        for (at, (mut row, diff)) in rows.into_iter().enumerate() {
            if at == 0 || keys[at] != keys[at - 1] {
                (rank, dense) = (at + 1, dense + 1);
            }
            let is_within = match limit {
                None => true,
                Some(RankLimit::Rank(highest)) => rank <= highest,
                Some(RankLimit::DenseRank(highest)) => dense <= highest,
            };
            if is_within {
                let answers = columns.iter();
                row.extend(answers.map(|c| ScalarValue::try_from_array(c, at).unwrap()));
                all.push((row, diff));
            }
        }
    }
    all
}

/// Sorts by some keys, then by all columns.
fn sort(rows: &mut Rows, schema: &SchemaRef, order: &[SortKey]) {
    let exprs: Vec<_> = order.iter().map(|key| key.expr.clone()).collect();
    let keys = values(&exprs, rows, schema);
    let mut keyed: Vec<_> = keys.into_iter().zip(std::mem::take(rows)).collect();
    keyed.sort_by(|(a, a_row), (b, b_row)| {
        let by_keys = order
            .iter()
            .enumerate()
            .map(|(at, key)| compare(&a[at], &b[at], key.options));
        let by_all = a_row
            .0
            .iter()
            .zip(&b_row.0)
            .map(|(a, b)| compare(a, b, SortOptions::default()));
        by_keys
            .chain(by_all)
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    *rows = keyed.into_iter().map(|(_, row)| row).collect();
}

fn compare(a: &ScalarValue, b: &ScalarValue, options: SortOptions) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if options.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if options.nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
            if options.descending {
                order.reverse()
            } else {
                order
            }
        }
    }
}
