//! Which of DataFusion's rules rewrite a query, and what has to hold them to the truth.
//!
//! The rules of the analyser and the optimiser flow out. A few of the optimiser's are left out, one
//! is asked only where it can do its work. One forgets the types of decimals: it makes `0 * x` to
//! the nought that was written, and `x % 1` to a nought of the type of `x`, where `x` is never
//! null. These are noughts of fewer digits than the product had, and do not compare with what was
//! given the product's type. So the analyser writes the types down ([`PinDecimals`]), and where a
//! comparison has lost them on the way, its sides are made to agree again ([`CoerceAgain`]).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::optimizer::analyzer::{Analyzer, AnalyzerRule};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

use super::clock;
use super::correlated::{JoinCorrelated, NotInAsNotExists};
use super::first::NumberDistinctOn;
use super::reference::Reach;
use super::sets::CountOccurrences;

type Result<T> = std::result::Result<T, DataFusionError>;

/// Rules of DataFusion's optimiser that are left out, and why.
const OMITTED: [&str; 3] = [
    // Moves a limit away from the ORDER BY that says which rows it keeps.
    "push_down_limit",
    // [`NumberDistinctOn`] does it: this one splits DISTINCT ON into one `first_value` a column, which
    // may take its values from several rows where the order leaves rows equal.
    "replace_distinct_aggregate",
    // Turns a distinct aggregate into two levels of groups; the engine keeps distinct ones itself,
    // and sums partial sums only where that is exact.
    "single_distinct_aggregation_to_group_by",
];

/// The rule that computes a key from the other keys of a group once the groups are made.
const DEPENDENT_KEYS: &str = "eliminate_group_by_constant";

/// The rule that rewrites expressions one by one.
const SIMPLIFICATION: &str = "simplify_expressions";

/// The rule that computes what several expressions have in common once.
const COMMON: &str = "common_sub_expression_eliminate";

/// The last of DataFusion's rules that make joins of sub-queries.
const LAST_DECORRELATION: &str = "decorrelate_lateral_join";

/// The rule that puts joins in another order, so that fewer of them pair every row with every other.
const JOIN_ORDER: &str = "eliminate_cross_join";

/// The analyser's rules.
pub(super) fn analyzer() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = batch_analyzer();
    rules.push(Arc::new(PinDecimals));
    rules
}

/// The analyser's rules of a batch session.
pub(super) fn batch_analyzer() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(CountOccurrences));
    rules
}

/// The optimiser's rules.
pub(super) fn optimizer() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let kept = Optimizer::new()
        .rules
        .into_iter()
        .filter(|rule| !OMITTED.contains(&rule.name()));
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(NumberDistinctOn),
        Arc::new(NotInAsNotExists),
        Arc::new(JoinCorrelated(Reach::Beyond)),
    ];
    for rule in kept {
        let is_last = rule.name() == LAST_DECORRELATION;
        rules.push(match rule.name() {
            DEPENDENT_KEYS => Arc::new(WhereKeysHaveNames(rule)),
            SIMPLIFICATION => Arc::new(CoerceAgain(rule)),
            COMMON => Arc::new(WithoutClock(rule)),
            JOIN_ORDER => Arc::new(WhereKeysAreOfTwo(rule)),
            _ => rule,
        });
        if is_last {
            rules.push(Arc::new(JoinCorrelated(Reach::Any)));
        }
    }
    rules
}

/// The optimiser's rules of a batch session: DataFusion's, and one that makes joins of the
/// correlated sub-queries that these leave.
pub(super) fn batch_optimizer() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let last = rules
        .iter()
        .position(|rule| rule.name() == LAST_DECORRELATION);
    let last = last.map_or(0, |last| last + 1);
    rules.insert(last, Arc::new(JoinCorrelated(Reach::Any)));
    rules.insert(0, Arc::new(JoinCorrelated(Reach::Beyond)));
    rules
}

/// The rule that orders joins anew, where no key of a join is made of columns of several relations:
/// such a key belongs to no join of two of them, and the rule forgets it.
#[derive(Debug)]
struct WhereKeysAreOfTwo(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for WhereKeysAreOfTwo {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        plan.transform_down_with_subqueries(|part| {
            if has_key_of_several(&part)? {
                return Ok(Transformed::no(part));
            }
            let ordered = self.0.rewrite(part, config)?;
            Ok(Transformed::new(
                ordered.data,
                ordered.transformed,
                TreeNodeRecursion::Jump,
            ))
        })
    }
}

/// Whether any join of a plan has a key one side of which has columns of several relations.
fn has_key_of_several(plan: &LogicalPlan) -> Result<bool> {
    let of_several = |side: &Expr| {
        let columns = side.column_refs();
        let relations: HashSet<_> = columns.iter().map(|column| &column.relation).collect();
        relations.len() > 1
    };
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node {
            found |= join.on.iter().any(|(a, b)| of_several(a) || of_several(b));
        }
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// Writes down the type of each product and remainder of decimals, as a cast to it. A cast that
/// changes nothing costs nothing: it is gone once the query is bound to columns.
#[derive(Debug)]
struct PinDecimals;

impl AnalyzerRule for PinDecimals {
    fn name(&self) -> &str {
        "pin_decimals"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(pin_in_plan).data()
    }
}

fn pin_in_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = readable(&plan)?;
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let pinned = expr.transform_up(|part| {
            let Expr::BinaryExpr(BinaryExpr { op, .. }) = &part else {
                return Ok(Transformed::no(part));
            };
            if !matches!(op, Operator::Multiply | Operator::Modulo) {
                return Ok(Transformed::no(part));
            }
            match part.get_type(&schema) {
                Ok(kind @ (DataType::Decimal128(..) | DataType::Decimal256(..))) => {
                    let pinned = Expr::Cast(Cast::new(Box::new(part), kind));
                    Ok(Transformed::yes(pinned))
                }
                _ => Ok(Transformed::no(part)),
            }
        })?;
        Ok(pinned.update_data(|expr| name.restore(expr)))
    })
}

/// The rule that simplifies expressions, and after it those types are made to agree that it left
/// different: it moves a cast from one side of a comparison to the other before it knows what the
/// cast is of.
#[derive(Debug)]
struct CoerceAgain(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for CoerceAgain {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let simplified = self.0.rewrite(plan, config)?;
        if !simplified.transformed {
            return Ok(simplified);
        }
        simplified.transform_data(|plan| {
            let schema = readable(&plan)?;
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let coerced = expr.rewrite(&mut TypeCoercionRewriter::new(&schema))?;
                Ok(coerced.update_data(|expr| name.restore(expr)))
            })
        })
    }
}

/// The columns that the expressions of a plan's topmost part may name.
fn readable(plan: &LogicalPlan) -> Result<DFSchema> {
    match plan {
        // A filter within a scan may look at columns that the scan does not yield.
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())
        }
        _ => Ok(merge_schema(&plan.inputs())),
    }
}

/// The rule for what expressions have in common, for queries that do not ask for the clock: it would
/// take `now()` out of the predicates that it bounds.
#[derive(Debug)]
struct WithoutClock(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for WithoutClock {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let mut is_asked = false;
        // The rule goes down the whole plan by itself.
        plan.apply_with_subqueries(|part| {
            part.apply_expressions(|expr| {
                is_asked |= clock::is_asked(expr)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        match is_asked {
            true => Ok(Transformed::no(plan)),
            false => self.0.rewrite(plan, config),
        }
    }
}

/// The rule for dependent keys, for groups whose keys have names that differ.
///
/// It puts all keys of a group into one projection, and a projection must not name two columns
/// alike. A cast is named as what it casts, so `GROUP BY x, CAST(x AS INT)` has two keys of one
/// name; as keys they are told apart by their relation.
#[derive(Debug)]
struct WhereKeysHaveNames(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for WhereKeysHaveNames {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Aggregate(aggregate) = &plan {
            let mut names = HashSet::new();
            let keys = aggregate.group_expr.iter();
            let mut columns = keys.chain(&aggregate.aggr_expr);
            if !columns.all(|column| names.insert(column.schema_name().to_string())) {
                return Ok(Transformed::no(plan));
            }
        }
        self.0.rewrite(plan, config)
    }
}
