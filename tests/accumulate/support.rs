//! Aggregates over a fixed schema, and DataFusion's own answers for them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::scalar::ScalarValue;
use tillrace::plan::Aggregate;
use tillrace::render::accumulate::{Accumulators, Layout};

/// A column of [`schema`] by name, or `1`.
pub fn argument(name: &str, schema: &Schema) -> Arc<dyn PhysicalExpr> {
    match name {
        "1" => lit(1i64),
        _ => Arc::new(Column::new_with_schema(name, schema).unwrap()),
    }
}

/// The columns that the tests aggregate, all but `required` nullable.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("required", DataType::Int64, false),
        Field::new("number", DataType::Int64, true),
        Field::new("natural", DataType::UInt64, true),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("vast", DataType::Decimal128(38, 36), true),
        Field::new("small", DataType::Decimal32(5, 1), true),
        Field::new("x", DataType::Float64, true),
        Field::new("y", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("label", DataType::Utf8, true),
        Field::new(
            "span",
            DataType::Duration(arrow::datatypes::TimeUnit::Second),
            true,
        ),
    ]))
}

/// An aggregate of the function by that name or alias.
pub fn aggregate(function: &str, arguments: &[&str], filter: Option<&str>) -> Aggregate {
    let schema = schema();
    let function = all_default_aggregate_functions()
        .into_iter()
        .find(|f| f.name() == function || f.aliases().iter().any(|alias| alias == function))
        .unwrap_or_else(|| panic!("DataFusion has no {function}"));
    Aggregate {
        name: format!("{}({})", function.name(), arguments.join(", ")),
        function,
        args: arguments
            .iter()
            .map(|name| argument(name, &schema))
            .collect(),
        distinct: false,
        filter: filter.map(|name| argument(name, &schema)),
        order: Vec::new(),
        ignore_nulls: false,
    }
}

pub fn expr(aggregate: &Aggregate) -> AggregateFunctionExpr {
    AggregateExprBuilder::new(Arc::clone(&aggregate.function), aggregate.args.clone())
        .schema(schema())
        .alias("answer")
        .build()
        .unwrap()
}

pub fn out_types(aggregates: &[Aggregate]) -> Vec<DataType> {
    aggregates
        .iter()
        .map(|aggregate| expr(aggregate).field().data_type().clone())
        .collect()
}

pub fn layout(aggregates: &[Aggregate]) -> Layout {
    Layout::try_new(aggregates, &schema(), &out_types(aggregates)).unwrap()
}

/// The columns that the aggregates' arguments and filters name. Literals become arrays.
pub struct Evaluated {
    pub args: Vec<Vec<ArrayRef>>,
    pub filters: Vec<Option<BooleanArray>>,
}

pub fn evaluated(aggregates: &[Aggregate], columns: &[ArrayRef]) -> Evaluated {
    let batch = arrow::array::RecordBatch::try_new(schema(), columns.to_vec()).unwrap();
    let evaluate = |expr: &Arc<dyn PhysicalExpr>| {
        expr.evaluate(&batch)
            .unwrap()
            .into_array(batch.num_rows())
            .unwrap()
    };
    Evaluated {
        args: aggregates
            .iter()
            .map(|a| a.args.iter().map(evaluate).collect())
            .collect(),
        filters: aggregates
            .iter()
            .map(|a| {
                a.filter
                    .as_ref()
                    .map(|f| BooleanArray::from(evaluate(f).to_data()))
            })
            .collect(),
    }
}

/// Accumulates a batch into new accumulators of `groups` groups.
pub fn accumulate(
    aggregates: &[Aggregate],
    columns: &[ArrayRef],
    groups: &[usize],
    diffs: Option<&[i64]>,
    group_count: usize,
) -> (Layout, Accumulators) {
    let layout = layout(aggregates);
    let Evaluated { args, filters } = evaluated(aggregates, columns);
    let mut accumulators = layout.new_accumulators();
    accumulators.resize(group_count);
    accumulators
        .update(&layout, groups, &args, &filters, diffs)
        .unwrap();
    (layout, accumulators)
}

/// DataFusion's answer over the chosen rows, those of the filter only.
pub fn reference(aggregate: &Aggregate, columns: &[ArrayRef], rows: &[usize]) -> ScalarValue {
    let evaluated = evaluated(std::slice::from_ref(aggregate), columns);
    let kept = rows.iter().filter(|row| match &evaluated.filters[0] {
        Some(filter) => filter.iter().nth(**row).unwrap() == Some(true),
        None => true,
    });
    let indices = UInt64Array::from_iter_values(kept.map(|row| *row as u64));
    let values: Vec<ArrayRef> = evaluated.args[0]
        .iter()
        .map(|array| take(array, &indices, None).unwrap())
        .collect();
    let mut accumulator = expr(aggregate).create_accumulator().unwrap();
    accumulator.update_batch(&values).unwrap();
    accumulator.evaluate().unwrap()
}
