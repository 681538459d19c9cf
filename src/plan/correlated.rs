//! Sub-queries that refer to the query around them and that DataFusion leaves as they are: with
//! LIMIT or a window inside, in a union, with comparisons below a group, unnesting an outer list.
//!
//! An expression or a lateral relation with such a sub-query flows in; a join flows out, of the
//! query around it with the sub-query computed for every combination of outer values ([`Domain`]).
//! `IN` is first said by `EXISTS`.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, JoinType, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::logical_plan::{Filter, Join, Projection, Subquery};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit, not, when};
use datafusion::optimizer::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::domain::{Domain, join};
use super::reference::Reach;

type Result<T> = std::result::Result<T, DataFusionError>;

/// The rule that turns what is left of correlated sub-queries into joins. DataFusion's own rules
/// mistake references further out for columns at hand, so sub-queries with such come before them.
#[derive(Debug)]
pub(super) struct JoinCorrelated(pub Reach);

impl OptimizerRule for JoinCorrelated {
    fn name(&self) -> &str {
        match self.0 {
            Reach::Any => "join_correlated",
            Reach::Beyond => "join_correlated_beyond",
        }
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let joined = match &plan {
            LogicalPlan::Join(join) => lateral(join, self.0, config)?,
            LogicalPlan::Filter(filter) => in_filter(filter, self.0, config)?,
            LogicalPlan::Projection(projection) => in_projection(projection, self.0, config)?,
            _ => None,
        };
        Ok(match joined {
            Some(joined) => Transformed::yes(joined),
            None => Transformed::no(plan),
        })
    }
}

/// The rule that says `NOT IN` with a correlated sub-query by `NOT EXISTS`, where only what is true
/// counts: no row may be equal, and none may be such that nobody knows.
#[derive(Debug)]
pub(super) struct NotInAsNotExists;

impl OptimizerRule for NotInAsNotExists {
    fn name(&self) -> &str {
        "not_in_as_not_exists"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return Ok(Transformed::no(plan));
        };
        let schema = filter.input.schema();
        let conjuncts = datafusion::logical_expr::utils::split_conjunction(&filter.predicate);
        let mut is_found = false;
        let mut kept = Vec::with_capacity(conjuncts.len());
        for conjunct in conjuncts {
            kept.push(match conjunct {
                Expr::InSubquery(inside)
                    if inside.negated && !inside.subquery.outer_ref_columns.is_empty() =>
                {
                    is_found = true;
                    not(exists(inside, schema, |same| same.is_not_false())?)
                }
                other => other.clone(),
            });
        }
        if !is_found {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let predicate = datafusion::logical_expr::utils::conjunction(kept);
        let predicate = predicate.unwrap_or_else(|| lit(true));
        let input = filter.input;
        Filter::try_new(predicate, input)
            .map(|filter| Transformed::yes(LogicalPlan::Filter(filter)))
    }
}

/// That the sub-query of an `IN` has a row whose equality with the expression is such.
fn exists(inside: &InSubquery, schema: &DFSchema, such: impl Fn(Expr) -> Expr) -> Result<Expr> {
    let mut outer = inside.subquery.outer_ref_columns.clone();
    let needle = inside
        .expr
        .as_ref()
        .clone()
        .transform_up(|part| match &part {
            Expr::Column(column) => {
                let (_, field) = schema.qualified_field_from_column(column)?;
                let reference = Expr::OuterReferenceColumn(field.clone(), column.clone());
                if !outer.contains(&reference) {
                    outer.push(reference.clone());
                }
                Ok(Transformed::yes(reference))
            }
            _ => Ok(Transformed::no(part)),
        });
    let rows = LogicalPlan::clone(&inside.subquery.subquery);
    let value = rows.schema().columns().into_iter().next();
    let value = value.map_or_else(|| lit(ScalarValue::Null), Expr::Column);
    let found = LogicalPlanBuilder::from(rows)
        .filter(such(needle.data()?.eq(value)))?
        .build()?;
    let subquery = Subquery {
        subquery: found.into(),
        outer_ref_columns: outer,
        spans: inside.subquery.spans.clone(),
    };
    Ok(Expr::Exists(Exists::new(subquery, false)))
}

/// A join whose right side refers to its left one.
fn lateral(
    lateral: &Join,
    reach: Reach,
    config: &dyn OptimizerConfig,
) -> Result<Option<LogicalPlan>> {
    let subquery = match lateral.right.as_ref() {
        LogicalPlan::Subquery(subquery) => subquery,
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => subquery,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    if !matches!(lateral.join_type, JoinType::Inner | JoinType::Left) || !lateral.on.is_empty() {
        return Ok(None);
    }
    let names = config.alias_generator();
    let Some(domain) = Domain::of(&lateral.left, &subquery.subquery, reach, names)? else {
        return Ok(None);
    };
    let Some(right) = domain.push(&lateral.right)? else {
        return Ok(None);
    };
    let left = LogicalPlan::clone(&lateral.left);
    let filter = lateral.filter.clone();
    let joined = join(left, right, pairs(&domain), filter, lateral.join_type)?;
    let columns = lateral.schema.columns().into_iter().map(Expr::Column);
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(joined)
        .project(columns)?
        .build()
        .map(Some)
}

fn pairs(domain: &Domain<'_>) -> Vec<(Expr, Expr)> {
    let outer = domain.outer.iter().cloned().map(Expr::Column);
    let inner = domain.inner.iter().cloned().map(Expr::Column);
    outer.zip(inner).collect()
}

fn in_filter(
    filter: &Filter,
    reach: Reach,
    config: &dyn OptimizerConfig,
) -> Result<Option<LogicalPlan>> {
    let mut joining = Joining::over(&filter.input, reach, config);
    let predicate = joining.replace(&filter.predicate)?;
    if joining.count == 0 {
        return Ok(None);
    }
    let columns = filter.input.schema().columns();
    let columns: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::from(joining.rows)
        .filter(predicate)?
        .project(columns)?
        .build()
        .map(Some)
}

fn in_projection(
    projection: &Projection,
    reach: Reach,
    config: &dyn OptimizerConfig,
) -> Result<Option<LogicalPlan>> {
    let mut joining = Joining::over(&projection.input, reach, config);
    let mut exprs = Vec::with_capacity(projection.expr.len());
    for (expr, (qualifier, field)) in projection.expr.iter().zip(projection.schema.iter()) {
        let replaced = joining.replace(expr)?;
        exprs.push(match replaced == *expr {
            true => replaced,
            false => replaced
                .unalias()
                .alias_qualified(qualifier.cloned(), field.name()),
        });
    }
    if joining.count == 0 {
        return Ok(None);
    }
    LogicalPlanBuilder::from(joining.rows)
        .project(exprs)?
        .build()
        .map(Some)
}

/// A relation that is joined with what sub-queries about it yield.
struct Joining<'a> {
    rows: LogicalPlan,
    reach: Reach,
    config: &'a dyn OptimizerConfig,
    /// How many sub-queries have been joined.
    count: usize,
}

impl<'a> Joining<'a> {
    fn over(rows: &LogicalPlan, reach: Reach, config: &'a dyn OptimizerConfig) -> Joining<'a> {
        Joining {
            rows: rows.clone(),
            reach,
            config,
            count: 0,
        }
    }

    /// An expression with columns in the places of correlated sub-queries.
    fn replace(&mut self, expr: &Expr) -> Result<Expr> {
        let replaced = expr.clone().transform_up(|part| {
            let found = match &part {
                Expr::ScalarSubquery(subquery) => self.scalar(subquery)?,
                Expr::Exists(exists) => {
                    let found = self.exists(&exists.subquery)?;
                    found.map(|found| if exists.negated { not(found) } else { found })
                }
                Expr::InSubquery(inside) => self.inside(inside)?,
                _ => None,
            };
            Ok(match found {
                Some(found) => Transformed::yes(found),
                None => Transformed::no(part),
            })
        });
        replaced.data()
    }

    /// The sub-query's value, or null.
    fn scalar(&mut self, subquery: &Subquery) -> Result<Option<Expr>> {
        self.join(subquery, |plan| {
            let value = plan.schema().columns().into_iter().next();
            value.map(Expr::Column)
        })
    }

    /// Whether the sub-query has rows.
    fn exists(&mut self, subquery: &Subquery) -> Result<Option<Expr>> {
        let found = self.join(subquery, |_| Some(lit(true)))?;
        Ok(found.map(|found| found.is_not_null()))
    }

    /// `IN`: true if a row is equal; if none is, unknown if one may be.
    fn inside(&mut self, inside: &InSubquery) -> Result<Option<Expr>> {
        let names = self.config.alias_generator();
        let schema = self.rows.schema().clone();
        if Domain::of(&self.rows, &inside.subquery.subquery, self.reach, names)?.is_none() {
            return Ok(None);
        }
        let mut ask = |such: fn(Expr) -> Expr| match exists(inside, &schema, such)? {
            Expr::Exists(found) => self.exists(&found.subquery),
            _ => Ok(None),
        };
        let (Some(is_equal), Some(is_unknown)) = (ask(Expr::is_true)?, ask(Expr::is_unknown)?)
        else {
            return Ok(None);
        };
        let unknown = lit(ScalarValue::Boolean(None));
        let found = when(is_equal, lit(true))
            .when(is_unknown, unknown)
            .otherwise(lit(false))?;
        Ok(Some(if inside.negated { not(found) } else { found }))
    }

    /// Joins the rows with something of the sub-query's, once for each combination of values.
    fn join(
        &mut self,
        subquery: &Subquery,
        answer: impl Fn(&LogicalPlan) -> Option<Expr>,
    ) -> Result<Option<Expr>> {
        let names = self.config.alias_generator();
        let Some(domain) = Domain::of(&self.rows, &subquery.subquery, self.reach, names)? else {
            return Ok(None);
        };
        let Some(plan) = domain.push(&subquery.subquery)? else {
            return Ok(None);
        };
        let Some(value) = answer(&plan) else {
            return Ok(None);
        };
        let is_mark = matches!(value, Expr::Literal(..));
        let column = Column::from_name(names.next("__value"));
        let inner = domain.inner.iter().cloned().map(Expr::Column);
        let exprs: Vec<Expr> = inner.chain([value.alias(&column.name)]).collect();
        let mut answers = LogicalPlanBuilder::from(plan).project(exprs)?;
        if is_mark {
            answers = answers.distinct()?;
        }
        let rows = self.rows.clone();
        let pairs = pairs(&domain);
        self.rows = join(rows, answers.build()?, pairs, None, JoinType::Left)?;
        self.count += 1;
        Ok(Some(Expr::Column(column)))
    }
}
