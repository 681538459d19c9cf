//! GROUPING SETS, ROLLUP and CUBE: one reduction for each set of keys, side by side.
//!
//! A row of a set holds nulls for the keys that are not of the set, and a number that says which
//! these are, from which `grouping()` is computed. The sets share what lies below them.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::logical_plan::Aggregate as LogicalAggregate;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Expr, GroupingSet};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use super::graph::Rel;
use super::lower::Lowering;
use super::refuse::Trouble;
use super::{Aggregate, NodeId, Op};

/// The nodes of an aggregate over several sets of keys.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    plan: &LogicalAggregate,
    sets: &GroupingSet,
    input: &Rel,
    aggregates: &[Aggregate],
) -> Result<Rel, Trouble> {
    let exprs = grouping_set_to_exprlist(&plan.group_expr)?;
    let keys = exprs.iter().map(|expr| lowering.graph.bind(expr, input));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = plan
        .schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let mut union = Union {
        lowering,
        input: input.node,
        keys: &keys,
        aggregates,
        names,
        number: plan.schema.field(keys.len()).data_type(),
    };
    let mut nodes = Vec::new();
    let mut seen: Vec<Vec<bool>> = Vec::new();
    for set in members(sets, &exprs) {
        // Equal sets are told apart by how many of them came before.
        let before = seen.iter().filter(|other| **other == set).count();
        nodes.push(union.set(&set, before)?);
        seen.push(set);
    }
    let node = lowering.graph.union(nodes)?;
    Ok(Rel::whole(node, Arc::clone(&plan.schema)))
}

/// For each set, which of the keys are of it.
fn members(sets: &GroupingSet, keys: &[&Expr]) -> Vec<Vec<bool>> {
    let holds = |set: &[Expr]| keys.iter().map(|key| set.contains(key)).collect();
    match sets {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| holds(set)).collect(),
        GroupingSet::Rollup(exprs) => {
            let lengths = (0..=exprs.len()).rev();
            lengths.map(|length| holds(&exprs[..length])).collect()
        }
        GroupingSet::Cube(exprs) => {
            let chosen = |mask: usize| -> Vec<Expr> {
                let exprs = exprs.iter().enumerate();
                let exprs = exprs.filter(|(at, _)| mask >> at & 1 == 1);
                exprs.map(|(_, expr)| expr.clone()).collect()
            };
            (0..1 << exprs.len())
                .map(|mask| holds(&chosen(mask)))
                .collect()
        }
    }
}

/// The sets on their way to a union.
struct Union<'a, 'b> {
    lowering: &'a mut Lowering<'b>,
    input: NodeId,
    keys: &'a [Arc<dyn PhysicalExpr>],
    aggregates: &'a [Aggregate],
    names: Vec<String>,
    /// The type of the number that tells sets apart.
    number: &'a DataType,
}

impl Union<'_, '_> {
    fn set(&mut self, set: &[bool], before: usize) -> Result<NodeId, Trouble> {
        let of_set = self.keys.iter().zip(set).filter(|(_, is_in)| **is_in);
        let keys: Vec<_> = of_set.map(|(key, _)| Arc::clone(key)).collect();
        let held = keys.len();
        let node = match keys.is_empty() && self.aggregates.is_empty() {
            // The set of no keys has its row, whatever there is.
            true => self.lowering.one_row(Arc::new(DFSchema::empty()))?.node,
            false => self.lowering.graph.add(Op::Reduce {
                input: self.input,
                keys,
                aggregates: self.aggregates.to_vec(),
            })?,
        };
        let graph = &mut *self.lowering.graph;
        let mut exprs = Vec::with_capacity(self.names.len());
        let mut next = 0;
        for (key, is_in) in self.keys.iter().zip(set) {
            exprs.push(match is_in {
                true => {
                    next += 1;
                    graph.column(node, next - 1)
                }
                false => {
                    let kind = key.data_type(graph.schema(self.input))?;
                    literal(ScalarValue::try_from(&kind)?)
                }
            });
        }
        // The first key is the highest bit; a bit that is set is a key that is left out.
        let left_out = set
            .iter()
            .fold(0_u64, |bits, is_in| bits << 1 | u64::from(!is_in));
        let number = left_out | (before as u64) << self.keys.len();
        exprs.push(literal(
            ScalarValue::UInt64(Some(number)).cast_to(self.number)?,
        ));
        let answers = (0..self.aggregates.len()).map(|at| graph.column(node, held + at));
        exprs.extend(answers);
        Ok(graph.project(node, exprs, Some(self.names.clone()))?)
    }
}

fn literal(value: ScalarValue) -> Arc<dyn PhysicalExpr> {
    Arc::new(Literal::new(value))
}
