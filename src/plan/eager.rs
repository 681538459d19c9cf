//! Groups below joins: an aggregate over a join with a keyed relation adds up before it joins.
//!
//! Of `SELECT p.category, sum(s.price) FROM sales s JOIN products p USING (product_id) GROUP BY 1`
//! the join would keep every sale. Grouped by product first, it keeps a row for each product, and
//! the second grouping adds up sums. This is done where it gives the very same answer: for counts,
//! extrema, and sums of integers and decimals, plain ones, of columns of one side; not for sums of
//! floats, which would be rounded twice. The other side must have at most one row for each key,
//! else there would be more to gain than to lose.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, JoinType, TableReference};
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::logical_plan::{Aggregate, Join};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when,
};

use super::graph::Rel;
use super::lower::{Lowering, unalias};
use super::refuse::Trouble;

/// The qualifier of the columns of the first grouping.
const PARTIAL: &str = "__partial";

/// An aggregate right over a join, everything in terms of the join's columns.
struct Shape<'a> {
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    filters: Vec<Expr>,
    join: &'a Join,
}

/// The side that is grouped before it is joined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The nodes of an aggregate that groups before it joins, if it is one that can and should.
pub(super) fn lower(lowering: &mut Lowering<'_>, plan: &Aggregate) -> Result<Option<Rel>, Trouble> {
    let Some(shape) = Shape::of(plan)? else {
        return Ok(None);
    };
    for side in [Side::Left, Side::Right] {
        if !shape.can_group(side)? {
            continue;
        }
        let grouping = Grouping::of(&shape, side)?;
        if !is_worthwhile(lowering, &shape, &grouping, side)? {
            continue;
        }
        let rewritten = grouping.rewrite(&shape, side, plan)?;
        let types = |plan: &LogicalPlan| -> Vec<DataType> {
            plan.schema()
                .fields()
                .iter()
                .map(|field| field.data_type().clone())
                .collect()
        };
        if types(&rewritten) == types(&LogicalPlan::Aggregate(plan.clone())) {
            return lowering.lower(&rewritten).map(Some);
        }
    }
    Ok(None)
}

impl<'a> Shape<'a> {
    fn of(plan: &'a Aggregate) -> Result<Option<Shape<'a>>, DataFusionError> {
        let mut keys: Vec<Expr> = plan
            .group_expr
            .iter()
            .map(|key| unalias(key).clone())
            .collect();
        let mut aggregates: Vec<Expr> = plan
            .aggr_expr
            .iter()
            .map(|each| unalias(each).clone())
            .collect();
        let mut filters: Vec<Expr> = Vec::new();
        let mut input = plan.input.as_ref();
        loop {
            let replaced: HashMap<Column, Expr> = match input {
                LogicalPlan::Join(join) => {
                    return Ok(Some(Shape {
                        keys,
                        aggregates,
                        filters,
                        join,
                    }));
                }
                LogicalPlan::Filter(filter) => {
                    filters.extend(split_conjunction(&filter.predicate).into_iter().cloned());
                    input = &filter.input;
                    continue;
                }
                LogicalPlan::Projection(projection) => {
                    input = &projection.input;
                    let exprs = projection.expr.iter().map(|expr| unalias(expr).clone());
                    projection.schema.columns().into_iter().zip(exprs).collect()
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    input = &alias.input;
                    let below = input.schema().columns().into_iter().map(Expr::Column);
                    alias.schema.columns().into_iter().zip(below).collect()
                }
                _ => return Ok(None),
            };
            for expr in keys.iter_mut().chain(&mut aggregates).chain(&mut filters) {
                *expr = replace(expr.clone(), &replaced)?;
            }
        }
    }

    fn columns_of(&self, side: Side) -> HashSet<Column> {
        let input = match side {
            Side::Left => &self.join.left,
            Side::Right => &self.join.right,
        };
        input.schema().columns().into_iter().collect()
    }

    /// Whether grouping a side first gives the same answer.
    fn can_group(&self, side: Side) -> Result<bool, DataFusionError> {
        let join = self.join;
        let keeps_rows = match join.join_type {
            JoinType::Inner => true,
            JoinType::Left => side == Side::Left,
            JoinType::Right => side == Side::Right,
            _ => false,
        };
        if !keeps_rows || join.on.is_empty() {
            return Ok(false);
        }
        let columns = self.columns_of(side);
        let is_grouping_set = |key: &Expr| matches!(key, Expr::GroupingSet(_));
        if self.keys.iter().any(is_grouping_set) {
            return Ok(false);
        }
        for aggregate in &self.aggregates {
            let Expr::AggregateFunction(function) = aggregate else {
                return Ok(false);
            };
            let params = &function.params;
            let is_plain = !params.distinct
                && params.order_by.is_empty()
                && params.null_treatment.is_none()
                && aggregate
                    .column_refs()
                    .iter()
                    .all(|column| columns.contains(*column));
            let is_exact = match (function.func.name(), params.args.as_slice()) {
                ("count" | "min" | "max", [_]) => true,
                ("sum", [argument]) => {
                    let kind = argument.get_type(&join.schema)?;
                    kind.is_integer() || matches!(kind, DataType::Decimal128(..))
                }
                _ => false,
            };
            if !is_plain || !is_exact {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether the other side has at most one row a key, and the grouped side may have several.
fn is_worthwhile(
    lowering: &mut Lowering<'_>,
    shape: &Shape<'_>,
    grouping: &Grouping,
    side: Side,
) -> Result<bool, Trouble> {
    let (grouped, other) = match side {
        Side::Left => (&shape.join.left, &shape.join.right),
        Side::Right => (&shape.join.right, &shape.join.left),
    };
    let other_keys: Vec<Expr> = shape
        .join
        .on
        .iter()
        .map(|(left, right)| {
            if side == Side::Left {
                right.clone()
            } else {
                left.clone()
            }
        })
        .collect();
    let other = lowering.lower(other)?;
    let other_keys = lowering.graph.bind_all(&other_keys, &other)?;
    if !lowering.graph.is_unique(other.node, &other_keys) {
        return Ok(false);
    }
    let grouped = lowering.lower(grouped)?;
    let group = lowering.graph.bind_all(&grouping.exprs, &grouped)?;
    Ok(!lowering.graph.is_unique(grouped.node, &group))
}

/// The first grouping: the expressions of one side by which its rows stay apart.
struct Grouping {
    exprs: Vec<Expr>,
    /// The columns of the side.
    columns: HashSet<Column>,
    /// The different aggregates.
    aggregates: Vec<Expr>,
}

impl Grouping {
    fn of(shape: &Shape<'_>, side: Side) -> Result<Grouping, DataFusionError> {
        let mut seen = HashSet::new();
        let aggregates = shape
            .aggregates
            .iter()
            .filter(|each| seen.insert(*each))
            .cloned();
        let aggregates = aggregates.collect();
        let columns = shape.columns_of(side);
        let mut grouping = Grouping {
            exprs: Vec::new(),
            columns,
            aggregates,
        };
        for (left, right) in &shape.join.on {
            let key = if side == Side::Left { left } else { right };
            grouping.exprs.push(key.clone());
        }
        for key in &shape.keys {
            grouping.add(key);
        }
        // A condition is looked at where it stands: what is computed only if a case applies must
        // not be computed before.
        for condition in shape.filters.iter().chain(&shape.join.filter) {
            let columns = condition.column_refs().into_iter().cloned();
            columns.for_each(|column| grouping.add(&Expr::Column(column)));
        }
        let mut seen = HashSet::new();
        grouping.exprs.retain(|expr| seen.insert(expr.clone()));
        Ok(grouping)
    }

    /// Keeps rows apart by an expression if it is of this side, else by its columns that are.
    fn add(&mut self, expr: &Expr) {
        let used = expr.column_refs();
        if used.is_empty() {
            return;
        }
        if used.iter().all(|column| self.columns.contains(*column)) {
            self.exprs.push(expr.clone());
            return;
        }
        let mut columns: Vec<_> = used
            .into_iter()
            .filter(|column| self.columns.contains(*column))
            .cloned()
            .collect();
        columns.sort();
        self.exprs.extend(columns.into_iter().map(Expr::Column));
    }

    /// An expression over the join in terms of the grouped side's new columns.
    fn over_groups(&self, expr: &Expr) -> Result<Expr, DataFusionError> {
        let moved = expr.clone().transform_down(|part| {
            if !self.exprs.contains(&part) {
                return Ok(Transformed::no(part));
            }
            let column = Expr::Column(self.partial(&part));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        moved.data()
    }

    fn rewrite(
        &self,
        shape: &Shape<'_>,
        side: Side,
        plan: &Aggregate,
    ) -> Result<LogicalPlan, DataFusionError> {
        let join = shape.join;
        let (grouped, other) = match side {
            Side::Left => (&join.left, &join.right),
            Side::Right => (&join.right, &join.left),
        };
        let first = self.first_grouping(grouped)?;
        let mut on = Vec::with_capacity(join.on.len());
        for (left, right) in &join.on {
            on.push(match side {
                Side::Left => (self.over_groups(left)?, right.clone()),
                Side::Right => (left.clone(), self.over_groups(right)?),
            });
        }
        let (left, right) = match side {
            Side::Left => (Arc::new(first), Arc::clone(other)),
            Side::Right => (Arc::clone(other), Arc::new(first)),
        };
        let residual = join
            .filter
            .as_ref()
            .map(|filter| self.over_groups(filter))
            .transpose()?;
        let joined = Join::try_new(
            left,
            right,
            on,
            residual,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            false,
        )?;
        let mut builder = LogicalPlanBuilder::from(LogicalPlan::Join(joined));
        let filters = shape.filters.iter().map(|filter| self.over_groups(filter));
        if let Some(filter) = conjunction(filters.collect::<Result<Vec<_>, _>>()?) {
            builder = builder.filter(filter)?;
        }
        self.second_grouping(shape, plan, builder)
    }

    /// The grouped side: its grouping expressions, then a partial answer for each aggregate.
    fn first_grouping(&self, input: &Arc<LogicalPlan>) -> Result<LogicalPlan, DataFusionError> {
        let named = |expr: &Expr| expr.clone().alias(self.partial(expr).name);
        let exprs = self.exprs.iter().map(named).collect();
        let aggregates = self.aggregates.iter().map(named).collect();
        let grouped = Aggregate::try_new(Arc::clone(input), exprs, aggregates)?;
        LogicalPlanBuilder::from(LogicalPlan::Aggregate(grouped))
            .alias(PARTIAL)?
            .build()
    }

    /// The column that holds an expression after the first grouping. Names alone do not tell
    /// expressions apart: a cast is named as what it casts.
    fn partial(&self, expr: &Expr) -> Column {
        let mut all = self.exprs.iter().chain(&self.aggregates);
        let position = all.position(|each| each == expr).unwrap_or_default();
        let name = format!("{}#{position}", expr.schema_name());
        Column::new(Some(TableReference::bare(PARTIAL)), name)
    }

    /// The groups that were asked for, with the partial answers put together.
    fn second_grouping(
        &self,
        shape: &Shape<'_>,
        plan: &Aggregate,
        joined: LogicalPlanBuilder,
    ) -> Result<LogicalPlan, DataFusionError> {
        let mut keys = Vec::with_capacity(shape.keys.len());
        for (position, key) in shape.keys.iter().enumerate() {
            keys.push(self.over_groups(key)?.alias(format!("key_{position}")));
        }
        let mut totals = Vec::with_capacity(shape.aggregates.len());
        for (position, aggregate) in shape.aggregates.iter().enumerate() {
            let partial = Expr::Column(self.partial(aggregate));
            let total = match function_name(aggregate) {
                "min" => min(partial),
                "max" => max(partial),
                _ => sum(partial),
            };
            totals.push(total.alias(format!("total_{position}")));
        }
        let fields = plan.schema.iter();
        let mut answers = Vec::with_capacity(plan.schema.fields().len());
        for (position, (qualifier, field)) in fields.enumerate() {
            let answer = match position.checked_sub(shape.keys.len()) {
                None => col(format!("key_{position}")),
                Some(position) => {
                    let total = col(format!("total_{position}"));
                    match function_name(&shape.aggregates[position]) {
                        "count" => {
                            when(total.clone().is_not_null(), total).otherwise(lit(0_i64))?
                        }
                        "sum" => cast(total, field.data_type().clone()),
                        _ => total,
                    }
                }
            };
            answers.push(answer.alias_qualified(qualifier.cloned(), field.name()));
        }
        joined.aggregate(keys, totals)?.project(answers)?.build()
    }
}

fn function_name(aggregate: &Expr) -> &str {
    match aggregate {
        Expr::AggregateFunction(function) => function.func.name(),
        _ => "",
    }
}

/// An expression with other expressions in place of columns.
fn replace(expr: Expr, by: &HashMap<Column, Expr>) -> Result<Expr, DataFusionError> {
    let replaced = expr.transform_down(|part| {
        let found = match &part {
            Expr::Column(column) => by.get(column).cloned(),
            _ => None,
        };
        match found {
            Some(found) => Ok(Transformed::new(found, true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(part)),
        }
    });
    replaced.data()
}
