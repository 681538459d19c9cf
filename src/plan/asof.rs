//! As-of joins: for each row of a relation the row of another that held at its time.
//!
//! A lateral sub-query that keeps one row, the last not after a time of the outer row (or the first
//! not before it), flows in as an [`AsOf`] in the middle of DataFusion's plan, through its optimiser;
//! an [`Op::AsOf`] flows out.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result};
use datafusion::logical_expr::{
    Expr, LogicalPlan, SortExpr, UserDefinedLogicalNodeCore, logical_plan::Extension,
};

use super::Op;
use super::graph::Rel;
use super::lower::{Lowering, refuse_subqueries};
use super::refuse::Trouble;

/// Rows of the left side with the columns of the right row that held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AsOf {
    pub left: LogicalPlan,
    pub right: LogicalPlan,
    /// Expressions of the left side that equal those of the right.
    pub left_keys: Vec<Expr>,
    pub right_keys: Vec<Expr>,
    /// The left row's time.
    pub time: Expr,
    /// Which right row is taken; first comes its time, descending if the last is meant that is not
    /// after the left row's, ascending if the first that is not before.
    pub order: Vec<SortExpr>,
    /// Whether equal times do not count.
    pub strict: bool,
    /// Whether left rows without a right row are kept.
    pub outer: bool,
    pub schema: DFSchemaRef,
}

impl AsOf {
    /// The columns of both sides.
    pub fn schema_of(left: &DFSchema, right: &DFSchema, outer: bool) -> Result<DFSchemaRef> {
        let columns = left
            .iter()
            .map(|(relation, field)| (relation.cloned(), Arc::clone(field)));
        let right = right.iter().map(|(relation, field)| {
            let nullable = field.is_nullable() || outer;
            let field = field.as_ref().clone().with_nullable(nullable);
            (relation.cloned(), Arc::new(field))
        });
        let columns = columns.chain(right).collect();
        Ok(Arc::new(DFSchema::new_with_metadata(
            columns,
            Default::default(),
        )?))
    }

    /// The same as a part of a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }
}

impl PartialOrd for AsOf {
    fn partial_cmp(&self, _other: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for AsOf {
    fn name(&self) -> &str {
        "AsOf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let order = self.order.iter().map(|key| &key.expr);
        let keys = self.left_keys.iter().chain(&self.right_keys);
        keys.chain([&self.time]).chain(order).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOf: {} by {:?}", self.time, self.order)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let [left, right]: [LogicalPlan; 2] = inputs
            .try_into()
            .map_err(|_| DataFusionError::Internal("an as-of join has two sides".to_owned()))?;
        let keys = self.left_keys.len();
        let mut exprs = exprs.into_iter();
        let left_keys = exprs.by_ref().take(keys).collect();
        let right_keys = exprs.by_ref().take(keys).collect();
        let time = exprs.next().unwrap_or_else(|| self.time.clone());
        let order = self.order.iter().zip(exprs);
        let order = order
            .map(|(key, expr)| SortExpr::new(expr, key.asc, key.nulls_first))
            .collect();
        Ok(AsOf {
            schema: AsOf::schema_of(left.schema(), right.schema(), self.outer)?,
            left,
            right,
            left_keys,
            right_keys,
            time,
            order,
            ..self.clone()
        })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let mut left: Vec<usize> = Vec::new();
        let mut right: Vec<usize> = Vec::new();
        for column in output_columns {
            match column.checked_sub(width) {
                None => left.push(*column),
                Some(column) => right.push(column),
            }
        }
        for column in self.expressions().iter().flat_map(Expr::column_refs) {
            left.extend(self.left.schema().maybe_index_of_column(column));
            right.extend(self.right.schema().maybe_index_of_column(column));
        }
        for columns in [&mut left, &mut right] {
            columns.sort_unstable();
            columns.dedup();
        }
        Some(vec![left, right])
    }
}

/// The columns of both sides of a node.
pub(super) fn joined(left: &Schema, right: &Schema, outer: bool) -> SchemaRef {
    let right = right.fields().iter().map(|field| {
        let nullable = field.is_nullable() || outer;
        Arc::new(field.as_ref().clone().with_nullable(nullable))
    });
    let fields = left.fields().iter().cloned().chain(right);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The node of an as-of join.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    extension: &Extension,
) -> std::result::Result<Rel, Trouble> {
    let join = extension.node.as_any().downcast_ref::<AsOf>();
    let join = join.expect("as-of joins are the only nodes of our own");
    let left = lowering.lower(&join.left)?;
    let left = lowering.graph.narrow(left)?;
    let right = lowering.lower(&join.right)?;
    let right = lowering.graph.narrow(right)?;
    for expr in &join.expressions() {
        refuse_subqueries(expr)?;
    }
    let graph = &mut *lowering.graph;
    let width = graph.width(left.node);
    let columns = right.columns.iter().map(|position| position + width);
    let columns = left.columns.iter().copied().chain(columns).collect();
    let node = graph.add(Op::AsOf {
        left: left.node,
        right: right.node,
        left_keys: graph.bind_all(&join.left_keys, &left)?,
        right_keys: graph.bind_all(&join.right_keys, &right)?,
        time: graph.bind(&join.time, &left)?,
        order: graph.bind_order(&join.order, &right)?,
        strict: join.strict,
        outer: join.outer,
    })?;
    Ok(Rel {
        node,
        schema: Arc::clone(&join.schema),
        columns,
        order: Vec::new(),
    })
}
