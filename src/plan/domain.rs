//! A sub-query computed for all values of the outer columns that it refers to, at once.
//!
//! A plan with outer references flows in, and the relation that these refer to; a plan without them
//! flows out, whose rows have the outer columns' values after their own columns. Those values, each
//! combination once, are the domain; it is brought down into the sub-query until nothing below
//! refers to it (Neumann and Kemper, "Unnesting Arbitrary Queries", BTW 2015). What lies above is
//! then done for each combination by itself: groups have the values as keys, windows and limits as
//! partitions, joins as conditions.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, JoinType, NullEquality};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::logical_plan::{
    Aggregate, Distinct, FetchType, Join, JoinConstraint, Limit, SkipType, Sort, Window,
};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit, when};

use super::limit::by_all_columns;
use super::reference::{Reach, each_reference, lies_below_join};

type Result<T> = std::result::Result<T, DataFusionError>;

/// The values of outer columns for which a sub-query is computed.
pub(super) struct Domain<'a> {
    values: LogicalPlan,
    /// The outer columns.
    pub outer: Vec<Column>,
    /// The columns of `values`, in the same order.
    pub inner: Vec<Column>,
    names: &'a AliasGenerator,
}

impl<'a> Domain<'a> {
    /// The domain of a sub-query over an outer relation. Nothing if it does not refer to that;
    /// nothing either if it refers to no query further out, and such is asked for.
    pub fn of(
        outer: &LogicalPlan,
        subquery: &LogicalPlan,
        reach: Reach,
        names: &'a AliasGenerator,
    ) -> Result<Option<Domain<'a>>> {
        let mut columns: Vec<Column> = Vec::new();
        let mut is_beyond = false;
        each_reference(subquery, &mut |column| {
            let is_here = outer.schema().has_column(column);
            is_beyond |= !is_here;
            if is_here && !columns.contains(column) {
                columns.push(column.clone());
            }
        })?;
        let is_wanted = match reach {
            Reach::Any => !columns.is_empty(),
            Reach::Beyond => is_beyond || lies_below_join(subquery)? && !columns.is_empty(),
        };
        if !is_wanted {
            return Ok(None);
        }
        if columns.is_empty() {
            return Ok(Some(Domain {
                values: outer.clone(),
                outer: Vec::new(),
                inner: Vec::new(),
                names,
            }));
        }
        let relation = names.next("__outer");
        let inner = (0..columns.len()).map(|at| Column::new(Some(&*relation), format!("c{at}")));
        let inner: Vec<Column> = inner.collect();
        let exprs = columns.iter().zip(&inner).map(|(outer, inner)| {
            Expr::Column(outer.clone()).alias_qualified(inner.relation.clone(), &inner.name)
        });
        let values = LogicalPlanBuilder::from(outer.clone())
            .project(exprs.collect::<Vec<_>>())?
            .distinct()?
            .build()?;
        Ok(Some(Domain {
            values,
            outer: columns,
            inner,
            names,
        }))
    }

    /// The plan for all values: its columns, then the domain's. Nothing if some part of it is of a
    /// kind that cannot be done for many values at once.
    pub fn push(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        if !self.is_referred_to(plan)? {
            return self.times(plan).map(Some);
        }
        match plan {
            LogicalPlan::Subquery(subquery) => self.push(&subquery.subquery),
            LogicalPlan::SubqueryAlias(alias) => self.renamed(&alias.input, plan.schema()),
            LogicalPlan::Projection(projection) => {
                let Some(input) = self.push(&projection.input)? else {
                    return Ok(None);
                };
                let exprs = projection.expr.iter().map(|expr| self.replace(expr));
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                self.project(input, exprs, plan.schema()).map(Some)
            }
            LogicalPlan::Filter(filter) => {
                let Some(input) = self.push(&filter.input)? else {
                    return Ok(None);
                };
                let predicate = self.replace(&filter.predicate)?;
                let kept = LogicalPlanBuilder::from(input).filter(predicate)?;
                kept.build().map(Some)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(input) = self.push(input)? else {
                    return Ok(None);
                };
                LogicalPlanBuilder::from(input)
                    .distinct()?
                    .build()
                    .map(Some)
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.push(&sort.input),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let mut inputs = union.inputs.iter();
                let Some(first) = inputs.next() else {
                    return Ok(None);
                };
                let Some(mut all) = self.push(first)? else {
                    return Ok(None);
                };
                for input in inputs {
                    let Some(next) = self.push(input)? else {
                        return Ok(None);
                    };
                    all = LogicalPlanBuilder::from(all).union(next)?.build()?;
                }
                self.relabelled(all, plan.schema()).map(Some)
            }
            LogicalPlan::Unnest(unnest) => {
                let Some(input) = self.push(&unnest.input)? else {
                    return Ok(None);
                };
                let columns = unnest.exec_columns.clone();
                LogicalPlanBuilder::from(input)
                    .unnest_columns_with_options(columns, unnest.options.clone())?
                    .build()
                    .map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether a plan refers to the outer columns.
    fn is_referred_to(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut found = false;
        each_reference(plan, &mut |column| found |= self.outer.contains(column))?;
        Ok(found)
    }

    /// An expression with the domain's columns in the place of the outer ones.
    pub fn replace(&self, expr: &Expr) -> Result<Expr> {
        let replaced = expr.clone().transform_up(|part| {
            let Expr::OuterReferenceColumn(_, column) = &part else {
                return Ok(Transformed::no(part));
            };
            match self.outer.iter().position(|outer| outer == column) {
                Some(at) => Ok(Transformed::yes(Expr::Column(self.inner[at].clone()))),
                None => Ok(Transformed::no(part)),
            }
        });
        replaced.data()
    }

    fn inner_exprs(&self) -> impl Iterator<Item = Expr> {
        self.inner.iter().cloned().map(Expr::Column)
    }

    /// Every row of a plan with every value.
    fn times(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        if self.inner.is_empty() {
            return Ok(plan.clone());
        }
        if let LogicalPlan::EmptyRelation(empty) = plan
            && empty.produce_one_row
            && empty.schema.fields().is_empty()
        {
            return Ok(self.values.clone());
        }
        LogicalPlanBuilder::from(plan.clone())
            .cross_join(self.values.clone())?
            .build()
    }

    /// Expressions under the names of a schema, and the domain's columns.
    fn project(
        &self,
        input: LogicalPlan,
        exprs: Vec<Expr>,
        schema: &DFSchema,
    ) -> Result<LogicalPlan> {
        let named = exprs.into_iter().zip(schema.iter());
        let named = named.map(|(expr, (qualifier, field))| {
            expr.unalias()
                .alias_qualified(qualifier.cloned(), field.name())
        });
        let exprs: Vec<Expr> = named.chain(self.inner_exprs()).collect();
        LogicalPlanBuilder::from(input).project(exprs)?.build()
    }

    /// The columns of a plan under other names.
    fn renamed(&self, plan: &LogicalPlan, schema: &DFSchema) -> Result<Option<LogicalPlan>> {
        let Some(input) = self.push(plan)? else {
            return Ok(None);
        };
        let columns = input.schema().columns().into_iter();
        let exprs = columns.take(schema.fields().len()).map(Expr::Column);
        let exprs = exprs.collect();
        self.project(input, exprs, schema).map(Some)
    }

    /// All columns of a plan under the names of a schema and of the domain.
    fn relabelled(&self, plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
        let columns = plan.schema().columns().into_iter().map(Expr::Column);
        let inner = self.inner.iter();
        let names = schema
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), field.name().clone()))
            .chain(inner.map(|column| (column.relation.clone(), column.name.clone())));
        let exprs = columns
            .zip(names)
            .map(|(expr, (qualifier, name))| expr.alias_qualified(qualifier, name));
        let exprs: Vec<Expr> = exprs.collect();
        LogicalPlanBuilder::from(plan).project(exprs)?.build()
    }

    /// The same plan with other names for the domain's columns, and these.
    fn apart(&self, plan: LogicalPlan) -> Result<(LogicalPlan, Vec<Column>)> {
        let relation = self.names.next("__outer");
        let columns = plan.schema().columns();
        let mut exprs: Vec<Expr> = Vec::with_capacity(columns.len());
        let mut renamed = vec![Column::from_name(""); self.inner.len()];
        for column in columns {
            match self.inner.iter().position(|inner| *inner == column) {
                Some(at) => {
                    let name = format!("c{at}");
                    let expr = Expr::Column(column);
                    exprs.push(expr.alias_qualified(Some(&*relation), &name));
                    renamed[at] = Column::new(Some(&*relation), name);
                }
                None => exprs.push(Expr::Column(column)),
            }
        }
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        Ok((plan, renamed))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
        let is_set = |expr: &Expr| matches!(expr, Expr::GroupingSet(_));
        if aggregate.group_expr.iter().any(is_set) {
            return Ok(None);
        }
        let Some(input) = self.push(&aggregate.input)? else {
            return Ok(None);
        };
        let keys = aggregate.group_expr.len();
        let mut groups = Vec::new();
        for (at, expr) in aggregate.group_expr.iter().enumerate() {
            groups.push(self.replace(expr)?.unalias().alias(format!("__key{at}")));
        }
        groups.extend(self.inner_exprs());
        let mut answers = Vec::new();
        for (at, expr) in aggregate.aggr_expr.iter().enumerate() {
            answers.push(self.replace(expr)?.unalias().alias(format!("__answer{at}")));
        }
        let grouped = LogicalPlanBuilder::from(input).aggregate(groups, answers)?;
        let grouped = grouped.build()?;
        let columns = grouped.schema().columns();
        let (of_keys, rest) = columns.split_at(keys);
        let of_answers = &rest[self.inner.len()..];
        let columns = of_keys.iter().chain(of_answers).cloned().map(Expr::Column);
        let columns = columns.collect();
        if keys > 0 {
            return self.project(grouped, columns, &aggregate.schema).map(Some);
        }
        self.with_nothing(aggregate, grouped, columns).map(Some)
    }

    /// An aggregate without keys has a row for every value, also where there is nothing to add up.
    fn with_nothing(
        &self,
        aggregate: &Aggregate,
        grouped: LogicalPlan,
        answers: Vec<Expr>,
    ) -> Result<LogicalPlan> {
        let columns = grouped.schema().columns().into_iter().map(Expr::Column);
        let found = Column::from_name(self.names.next("__found"));
        let columns = columns.chain([lit(true).alias(&found.name)]);
        let grouped = LogicalPlanBuilder::from(grouped)
            .project(columns.collect::<Vec<_>>())?
            .build()?;
        let (grouped, other) = self.apart(grouped)?;
        let on = self.inner_exprs().zip(other.into_iter().map(Expr::Column));
        let joined = join(
            self.values.clone(),
            grouped,
            on.collect(),
            None,
            JoinType::Left,
        )?;
        let mut exprs = Vec::with_capacity(answers.len());
        for ((answer, expr), field) in answers
            .into_iter()
            .zip(&aggregate.aggr_expr)
            .zip(aggregate.schema.fields())
        {
            let Expr::AggregateFunction(function) = expr.clone().unalias_nested().data else {
                exprs.push(answer);
                continue;
            };
            let nothing = function.func.default_value(field.data_type())?;
            exprs.push(match nothing.is_null() {
                true => answer,
                false => {
                    when(Expr::Column(found.clone()).is_null(), lit(nothing)).otherwise(answer)?
                }
            });
        }
        self.project(joined, exprs, &aggregate.schema)
    }

    fn window(&self, window: &Window) -> Result<Option<LogicalPlan>> {
        let Some(input) = self.push(&window.input)? else {
            return Ok(None);
        };
        let mut exprs = Vec::with_capacity(window.window_expr.len());
        for (at, expr) in window.window_expr.iter().enumerate() {
            let Expr::WindowFunction(mut function) = self.replace(expr)?.unalias_nested().data
            else {
                return Ok(None);
            };
            function.params.partition_by.extend(self.inner_exprs());
            exprs.push(Expr::WindowFunction(function).alias(format!("__window{at}")));
        }
        let count = exprs.len();
        let rows = LogicalPlanBuilder::from(input).window(exprs)?.build()?;
        let columns = rows.schema().columns();
        let own = window.input.schema().fields().len();
        let windows = columns.len() - count;
        let columns = columns[..own].iter().chain(&columns[windows..]);
        let columns = columns.cloned().map(Expr::Column).collect();
        self.project(rows, columns, &window.schema).map(Some)
    }

    fn limit(&self, limit: &Limit) -> Result<Option<LogicalPlan>> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Ok(None);
        };
        if let LogicalPlan::Projection(projection) = limit.input.as_ref()
            && let LogicalPlan::Sort(_) = projection.input.as_ref()
        {
            // The rows that are kept are the same before they are projected.
            let mut projection = projection.clone();
            projection.input = Arc::new(LogicalPlan::Limit(Limit {
                input: Arc::clone(&projection.input),
                ..limit.clone()
            }));
            return self.push(&LogicalPlan::Projection(projection));
        }
        let (input, order) = match limit.input.as_ref() {
            LogicalPlan::Sort(Sort {
                expr,
                input,
                fetch: None,
            }) => (input, expr.clone()),
            _ => (&limit.input, by_all_columns(&limit.input)),
        };
        let own = input.schema();
        let Some(input) = self.push(input)? else {
            return Ok(None);
        };
        let mut keys = Vec::with_capacity(order.len());
        for key in order {
            keys.push(self.replace(&key.expr)?.sort(key.asc, key.nulls_first));
        }
        let number = row_number()
            .partition_by(self.inner_exprs().collect())
            .order_by(keys)
            .build()?;
        let name = self.names.next("__number");
        let rows = LogicalPlanBuilder::from(input).window([number.alias(&name)])?;
        let number = || Expr::Column(Column::from_name(&name));
        let mut bounds = Vec::new();
        if skip > 0 {
            bounds.push(number().gt(lit(skip as u64)));
        }
        if let Some(fetch) = fetch {
            bounds.push(number().lt_eq(lit(skip.saturating_add(fetch) as u64)));
        }
        let rows = match conjunction(bounds) {
            Some(bounds) => rows.filter(bounds)?,
            None => rows,
        };
        let columns = own.columns().into_iter().map(Expr::Column).collect();
        self.project(rows.build()?, columns, own).map(Some)
    }

    fn join(&self, join: &Join) -> Result<Option<LogicalPlan>> {
        let on_exprs = join.on.iter().flat_map(|(left, right)| [left, right]);
        let mut in_condition = false;
        for expr in on_exprs.chain(&join.filter) {
            in_condition |= self.replace(expr)? != *expr;
        }
        let in_left = self.is_referred_to(&join.left)?;
        let in_right = self.is_referred_to(&join.right)?;
        let left_first = match join.join_type {
            JoinType::Inner => in_left || in_condition,
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti if !join.null_aware => true,
            _ => return Ok(None),
        };
        let left = match left_first {
            true => self.push(&join.left)?,
            false => Some(LogicalPlan::clone(&join.left)),
        };
        let right = match in_right {
            true => self.push(&join.right)?,
            false => Some(LogicalPlan::clone(&join.right)),
        };
        let (Some(left), Some(mut right)) = (left, right) else {
            return Ok(None);
        };
        let mut on = Vec::new();
        let mut filters = Vec::new();
        for (left, right) in &join.on {
            filters.push(match join.null_equality {
                NullEquality::NullEqualsNull => is_same(self.replace(left)?, self.replace(right)?),
                NullEquality::NullEqualsNothing => self.replace(left)?.eq(self.replace(right)?),
            });
        }
        if let Some(filter) = &join.filter {
            filters.push(self.replace(filter)?);
        }
        if left_first && in_right {
            let (renamed, other) = self.apart(right)?;
            right = renamed;
            on.extend(self.inner_exprs().zip(other.into_iter().map(Expr::Column)));
        }
        let joined = self::join(left, right, on, conjunction(filters), join.join_type)?;
        let columns = join.schema.columns().into_iter().map(Expr::Column);
        let columns = columns.collect();
        self.project(joined, columns, &join.schema).map(Some)
    }
}

/// That two values are equal, or both null.
fn is_same(left: Expr, right: Expr) -> Expr {
    datafusion::logical_expr::binary_expr(
        left,
        datafusion::logical_expr::Operator::IsNotDistinctFrom,
        right,
    )
}

/// A join on pairs of expressions of which nulls are equal.
pub(super) fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    kind: JoinType,
) -> Result<LogicalPlan> {
    let null_equality = match on.is_empty() {
        true => NullEquality::NullEqualsNothing,
        false => NullEquality::NullEqualsNull,
    };
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        kind,
        JoinConstraint::On,
        null_equality,
        false,
    )?))
}
