//! The first rows of a sub-query for each row beside it: `LATERAL (... ORDER BY ... LIMIT k)`, and
//! with it the join with what held at a time (as-of join).
//!
//! A plan as it was written flows in; one without such sub-queries, which DataFusion cannot unnest,
//! flows out, in one of two spellings. To be kept up to date, the rows are looked up once for each
//! different combination of the outer columns that the sub-query looks at, and joined with the rows
//! that have it. A batch answer numbers the outer rows instead and takes the first partners of each:
//! so a mistake in the one is not made in the other.

use std::collections::HashMap;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{
    Column, DFSchemaRef, DataFusionError, JoinType, NullEquality, Result, TableReference,
};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::Sort as SortKey;
use datafusion::logical_expr::logical_plan::{FetchType, Join, SkipType, SubqueryAlias};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, SortExpr, lit,
    when,
};

use super::asof::AsOf;
use super::lower::unalias;

/// How such a sub-query is spelled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// So that it can be kept up to date.
    Kept,
    /// So that a batch engine can answer it.
    Batch,
}

/// Prefixes of the names that columns have in between.
const OUTER: &str = "__outer_";
const INNER: &str = "__inner_";
const VALUE: &str = "__value_";
const NUMBER: &str = "__number";
const ROW: &str = "__row";
const FOUND: &str = "__found";

/// The plan without lateral sub-queries that keep first rows; others are left to DataFusion.
pub(super) fn spell_out(plan: LogicalPlan, spelling: Spelling) -> Result<LogicalPlan> {
    let spelled = plan.transform_up_with_subqueries(|part| {
        let LogicalPlan::Join(join) = &part else {
            return Ok(Transformed::no(part));
        };
        match Lateral::of(join)? {
            None => Ok(Transformed::no(part)),
            Some(lateral) => Ok(Transformed::yes(match spelling {
                Spelling::Kept => lateral.kept()?,
                Spelling::Batch => lateral.batch()?,
            })),
        }
    });
    spelled.data()
}

/// A relation, and for each of its rows the first rows of another.
struct Lateral<'a> {
    join: &'a Join,
    /// The other relation, its columns named `INNER` and their number.
    inner: LogicalPlan,
    /// What outer and inner rows must meet, over outer and inner columns.
    conditions: Vec<Expr>,
    /// The outer columns that the conditions look at.
    outer: Vec<Column>,
    order: Vec<SortExpr>,
    limit: usize,
    /// What the sub-query yields, over inner columns.
    values: Vec<Expr>,
    /// The columns of the sub-query as the query around it names them.
    names: Vec<(Option<TableReference>, String)>,
}

impl<'a> Lateral<'a> {
    /// Nothing if the join is none with the first rows of a sub-query that looks at its left side.
    fn of(join: &'a Join) -> Result<Option<Lateral<'a>>> {
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) || !join.on.is_empty() {
            return Ok(None);
        }
        let subquery = match join.right.as_ref() {
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => input.as_ref(),
            other => other,
        };
        let LogicalPlan::Subquery(subquery) = subquery else {
            return Ok(None);
        };
        let Some(first) = First::of(&subquery.subquery)? else {
            return Ok(None);
        };
        let mut conditions = Vec::new();
        let mut own = Vec::new();
        for filter in first.filters {
            match filter.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..))))? {
                true => conditions.push(filter),
                false => own.push(filter),
            }
        }
        if conditions.is_empty() || looks_outside(first.input)? {
            return Ok(None);
        }
        let columns = first.input.schema().columns();
        let named: HashMap<Column, Expr> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| (column.clone(), column_of(INNER, at)))
            .collect();
        let names = columns.into_iter().enumerate();
        let names = names.map(|(at, column)| Expr::Column(column).alias(format!("{INNER}{at}")));
        let mut inner = LogicalPlanBuilder::from(first.input.clone());
        if let Some(own) = own.into_iter().reduce(Expr::and) {
            inner = inner.filter(own)?;
        }
        let inner = inner.project(names.collect::<Vec<_>>())?.build()?;
        let mut outer = Vec::new();
        let mut over = |expr: Expr| -> Result<Expr> {
            let expr = replace(expr, &named)?;
            expr.transform(|part| match part {
                Expr::OuterReferenceColumn(_, column) => {
                    if !outer.contains(&column) {
                        outer.push(column.clone());
                    }
                    Ok(Transformed::yes(Expr::Column(column)))
                }
                other => Ok(Transformed::no(other)),
            })
            .data()
        };
        let conditions = conditions
            .into_iter()
            .map(&mut over)
            .collect::<Result<_>>()?;
        let values = first.values.into_iter().map(&mut over);
        let values = values.collect::<Result<Vec<_>>>()?;
        let key = |key: SortExpr| Ok(SortKey::new(over(key.expr)?, key.asc, key.nulls_first));
        let order = first.order.into_iter().map(key).collect::<Result<_>>()?;
        if !outer
            .iter()
            .all(|column| join.left.schema().has_column(column))
        {
            return Ok(None);
        }
        Ok(Some(Lateral {
            join,
            inner,
            conditions,
            outer,
            order,
            limit: first.limit,
            values,
            names: qualified(join.right.schema()),
        }))
    }

    /// As an as-of join if it is one, otherwise looked up for each different combination of the
    /// outer columns.
    fn kept(&self) -> Result<LogicalPlan> {
        match self.as_of()? {
            Some(join) => self.found(LogicalPlanBuilder::from(join.into_plan())),
            None => self.looked_up(),
        }
    }

    /// The join with the last row that is not after a time, or the first that is not before.
    fn as_of(&self) -> Result<Option<AsOf>> {
        if self.limit != 1 || self.filter(|at| self.values[at].clone())?.is_some() {
            return Ok(None);
        }
        let is_inner = |expr: &Expr| {
            let columns = expr.column_refs();
            !columns.is_empty() && columns.iter().all(|column| !self.outer.contains(column))
        };
        let is_outer = |expr: &Expr| {
            let columns = expr.column_refs();
            columns.iter().all(|column| self.outer.contains(column))
        };
        let left = self.join.left.schema();
        let right = self.inner.schema();
        let (mut left_keys, mut right_keys, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for condition in &self.conditions {
            let Expr::BinaryExpr(comparison) = condition else {
                return Ok(None);
            };
            let (of_inner, op, of_outer) = if is_inner(&comparison.left) {
                (&comparison.left, Some(comparison.op), &comparison.right)
            } else {
                (&comparison.right, comparison.op.swap(), &comparison.left)
            };
            let fits = is_inner(of_inner)
                && is_outer(of_outer)
                && of_inner.get_type(right)? == of_outer.get_type(left)?;
            match op {
                Some(Operator::Eq) if fits => {
                    left_keys.push(of_outer.as_ref().clone());
                    right_keys.push(of_inner.as_ref().clone());
                }
                Some(op) if fits => times.push((of_inner.as_ref(), op, of_outer.as_ref())),
                _ => return Ok(None),
            }
        }
        let [(of_inner, op, of_outer)] = times.as_slice() else {
            return Ok(None);
        };
        let ascending = match op {
            Operator::Lt | Operator::LtEq => false,
            Operator::Gt | Operator::GtEq => true,
            _ => return Ok(None),
        };
        let is_by_time = |key: &SortExpr| key.asc == ascending && key.expr == **of_inner;
        let kind = of_outer.get_type(left)?;
        let has_one_width = kind.is_temporal() || kind.is_integer();
        if !self.order.first().is_some_and(is_by_time) || !has_one_width {
            return Ok(None);
        }
        let inner = self.with_mark()?;
        let outer = self.join.join_type == JoinType::Left;
        Ok(Some(AsOf {
            schema: AsOf::schema_of(left, inner.schema(), outer)?,
            left: self.join.left.as_ref().clone(),
            right: inner,
            left_keys,
            right_keys,
            time: (*of_outer).clone(),
            order: self.order.clone(),
            strict: matches!(op, Operator::Lt | Operator::Gt),
            outer,
        }))
    }

    /// The other relation with a column that is true of each row.
    fn with_mark(&self) -> Result<LogicalPlan> {
        let columns = self.inner.schema().columns().into_iter().map(Expr::Column);
        let columns: Vec<_> = columns.chain([lit(true).alias(FOUND)]).collect();
        LogicalPlanBuilder::from(self.inner.clone())
            .project(columns)?
            .build()
    }

    /// The values of marked rows; nulls where there are none.
    fn found(&self, pairs: LogicalPlanBuilder) -> Result<LogicalPlan> {
        self.named(pairs, |at| match &self.values[at] {
            Expr::Column(column) if column.name.starts_with(INNER) => Ok(self.values[at].clone()),
            value => when(Expr::Column(Column::new_unqualified(FOUND)), value.clone()).end(),
        })
    }

    /// Looked up for each different combination of the outer columns.
    fn looked_up(&self) -> Result<LogicalPlan> {
        let renamed: HashMap<Column, Expr> = self
            .outer
            .iter()
            .enumerate()
            .map(|(at, column)| (column.clone(), column_of(OUTER, at)))
            .collect();
        let over_renamed = |expr: &Expr| replace(expr.clone(), &renamed);
        let asked = self.outer.iter().enumerate();
        let asked: Vec<_> = asked
            .map(|(at, column)| Expr::Column(column.clone()).alias(format!("{OUTER}{at}")))
            .collect();
        let conditions = self.conditions.iter().map(over_renamed);
        let pairs = LogicalPlanBuilder::from(self.join.left.as_ref().clone())
            .project(asked)?
            .distinct()?
            .join_on(
                self.inner.clone(),
                JoinType::Inner,
                conditions.collect::<Result<Vec<_>>>()?,
            )?;
        let group: Vec<_> = (0..self.outer.len())
            .map(|at| column_of(OUTER, at))
            .collect();
        let mut order = Vec::new();
        for key in &self.order {
            order.push(SortKey::new(
                over_renamed(&key.expr)?,
                key.asc,
                key.nulls_first,
            ));
        }
        let first = self.first_of(pairs, group.clone(), order)?;
        let values = self.values.iter().enumerate();
        let values =
            values.map(|(at, value)| Ok(over_renamed(value)?.alias(format!("{VALUE}{at}"))));
        let values = values.collect::<Result<Vec<_>>>()?;
        let found = first.project(group.into_iter().chain(values).collect::<Vec<_>>())?;
        let keys = (0..self.outer.len()).map(|at| Column::new_unqualified(format!("{OUTER}{at}")));
        let joined = LogicalPlanBuilder::from(self.join.left.as_ref().clone()).join_detailed(
            found.build()?,
            self.join.join_type,
            (self.outer.clone(), keys.collect::<Vec<_>>()),
            self.filter(|at| column_of(VALUE, at))?,
            NullEquality::NullEqualsNull,
        )?;
        self.named(joined, |at| Ok(column_of(VALUE, at)))
    }

    /// Found among the partners of each outer row.
    fn batch(&self) -> Result<LogicalPlan> {
        let row = row_number().alias(ROW);
        let pairs = LogicalPlanBuilder::from(self.join.left.as_ref().clone())
            .window(vec![row])?
            .join_on(
                self.with_mark()?,
                self.join.join_type,
                self.conditions.clone(),
            )?;
        let group = vec![Expr::Column(Column::new_unqualified(ROW))];
        let mut first = self.first_of(pairs, group, self.order.clone())?;
        let value = |at: usize| -> Result<Expr> {
            let found = Expr::Column(Column::new_unqualified(FOUND));
            when(found, self.values[at].clone()).end()
        };
        let values = (0..self.values.len())
            .map(value)
            .collect::<Result<Vec<_>>>()?;
        if let Some(filter) = self.filter(|at| values[at].clone())? {
            first = first.filter(filter)?;
        }
        self.named(first, value)
    }

    /// The first pairs of each group.
    fn first_of(
        &self,
        pairs: LogicalPlanBuilder,
        group: Vec<Expr>,
        order: Vec<SortExpr>,
    ) -> Result<LogicalPlanBuilder> {
        let number = row_number().partition_by(group).order_by(order).build()?;
        let limit = u64::try_from(self.limit).unwrap_or(u64::MAX);
        pairs
            .window(vec![number.alias(NUMBER)])?
            .filter(Expr::Column(Column::new_unqualified(NUMBER)).lt_eq(lit(limit)))
    }

    /// The join's own condition over values by their number, unless it is always true.
    fn filter(&self, value: impl Fn(usize) -> Expr) -> Result<Option<Expr>> {
        let Some(filter) = self
            .join
            .filter
            .as_ref()
            .filter(|filter| **filter != lit(true))
        else {
            return Ok(None);
        };
        let named = self.names.iter().enumerate();
        let named: HashMap<Column, Expr> = named
            .map(|(at, (relation, name))| (Column::new(relation.clone(), name), value(at)))
            .collect();
        Ok(Some(replace(filter.clone(), &named)?))
    }

    /// The left columns and the values, under the names that the query knows.
    fn named(
        &self,
        plan: LogicalPlanBuilder,
        value: impl Fn(usize) -> Result<Expr>,
    ) -> Result<LogicalPlan> {
        let left = self.join.left.schema().columns();
        let mut columns: Vec<Expr> = left.into_iter().map(Expr::Column).collect();
        for (at, (relation, name)) in self.names.iter().enumerate() {
            columns.push(value(at)?.alias_qualified(relation.clone(), name));
        }
        plan.project(columns)?.build()
    }
}

/// The first rows of a relation by an order, everything over that relation's columns.
struct First<'a> {
    input: &'a LogicalPlan,
    filters: Vec<Expr>,
    order: Vec<SortExpr>,
    limit: usize,
    values: Vec<Expr>,
}

impl<'a> First<'a> {
    fn of(plan: &'a LogicalPlan) -> Result<Option<First<'a>>> {
        let mut values: Vec<Expr> = plan
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let mut limit = None;
        let mut order: Option<Vec<SortExpr>> = None;
        let mut filters: Vec<Expr> = Vec::new();
        let mut input = plan;
        loop {
            let replaced: HashMap<Column, Expr> = match input {
                LogicalPlan::Limit(found) if limit.is_none() && order.is_none() => {
                    let (SkipType::Literal(0), FetchType::Literal(Some(fetch))) =
                        (found.get_skip_type()?, found.get_fetch_type()?)
                    else {
                        return Ok(None);
                    };
                    limit = Some(fetch);
                    input = &found.input;
                    continue;
                }
                LogicalPlan::Sort(sort) if order.is_none() && filters.is_empty() => {
                    let fetched = sort.fetch.or(limit);
                    limit = limit.min(fetched).or(fetched);
                    order = Some(sort.expr.clone());
                    input = &sort.input;
                    continue;
                }
                LogicalPlan::Filter(filter) if order.is_some() => {
                    filters.extend(split_conjunction(&filter.predicate).into_iter().cloned());
                    input = &filter.input;
                    continue;
                }
                LogicalPlan::Projection(projection) => {
                    input = &projection.input;
                    let exprs = projection.expr.iter().map(|expr| unalias(expr).clone());
                    projection.schema.columns().into_iter().zip(exprs).collect()
                }
                LogicalPlan::SubqueryAlias(alias) if order.is_some() && filters.is_empty() => {
                    input = &alias.input;
                    let below = input.schema().columns().into_iter().map(Expr::Column);
                    alias.schema.columns().into_iter().zip(below).collect()
                }
                _ => break,
            };
            for expr in values.iter_mut().chain(&mut filters) {
                *expr = replace(std::mem::take(expr), &replaced)?;
            }
            for key in order.iter_mut().flatten() {
                key.expr = replace(std::mem::take(&mut key.expr), &replaced)?;
            }
        }
        let (Some(limit), Some(order)) = (limit, order) else {
            return Ok(None);
        };
        Ok(Some(First {
            input,
            filters,
            order,
            limit,
            values,
        }))
    }
}

/// Whether some part of a plan looks at a query around it.
fn looks_outside(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|part| {
        found |= part.contains_outer_reference();
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

fn column_of(prefix: &str, at: usize) -> Expr {
    Expr::Column(Column::new_unqualified(format!("{prefix}{at}")))
}

fn qualified(schema: &DFSchemaRef) -> Vec<(Option<TableReference>, String)> {
    let fields = schema.iter();
    fields
        .map(|(relation, field)| (relation.cloned(), field.name().clone()))
        .collect()
}

/// An expression with columns replaced by what they stand for.
fn replace(expr: Expr, by: &HashMap<Column, Expr>) -> std::result::Result<Expr, DataFusionError> {
    expr.transform(|part| match &part {
        Expr::Column(column) => Ok(match by.get(column) {
            Some(value) => Transformed::yes(value.clone()),
            None => Transformed::no(part),
        }),
        _ => Ok(Transformed::no(part)),
    })
    .data()
}
