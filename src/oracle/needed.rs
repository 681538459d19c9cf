//! The one rewriting of expressions that the batch engine cannot do without.
//!
//! Some functions (`coalesce`, `nvl2`, `arrow_cast`) exist only as what DataFusion's simplifier makes
//! of them: run as they stand, they fail. The simplifier as a whole is what the planner uses too, so
//! a mistake of its would be made on both sides; here each such function is replaced by its own
//! definition, and nothing else is touched.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The functions that cannot be run as they stand.
const DEFINED_BY_OTHERS: [&str; 5] = ["coalesce", "nvl2", "arrow_cast", "arrow_try_cast", "nvl"];

/// Replaces each of them by its definition.
#[derive(Debug)]
pub(super) struct ByDefinition;

impl OptimizerRule for ByDefinition {
    fn name(&self) -> &'static str {
        "by_definition"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let schema = match plan.inputs()[..] {
            [] => DFSchema::empty(),
            ref inputs => merge_schema(inputs),
        };
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema))
            .with_config_options(config.options())
            .with_query_execution_start_time(config.query_execution_start_time())
            .build();
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            let replaced = expression.transform_up(|part| replace(part, &context))?;
            Ok(replaced.update_data(|expression| name.restore(expression)))
        })
    }
}

fn replace(part: Expr, context: &SimplifyContext) -> Result<Transformed<Expr>> {
    match part {
        Expr::ScalarFunction(call) if DEFINED_BY_OTHERS.contains(&call.func.name()) => {
            let ScalarFunction { func, args } = call;
            match func.simplify(args, context)? {
                ExprSimplifyResult::Simplified(definition) => Ok(Transformed::yes(definition)),
                ExprSimplifyResult::Original(args) => {
                    let call = ScalarFunction::new_udf(func, args);
                    Ok(Transformed::no(Expr::ScalarFunction(call)))
                }
            }
        }
        other => Ok(Transformed::no(other)),
    }
}
