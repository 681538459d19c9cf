//! Window functions: any function `OVER (...)` as [`Op::Window`], numbers alone as [`Op::TopK`].
//!
//! The functions of one query that have partition and order in common become one node. A filter
//! right above that bounds a rank from above goes into the node, which then reads no further into
//! a partition than the bound.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::logical_plan::Window;
use datafusion::logical_expr::{Expr, WindowFrame, WindowFunctionDefinition};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::windows::create_window_expr;

use super::graph::{Graph, Rel};
use super::lower::{Lowering, refuse_subqueries, unalias};
use super::numbering::lowest_bound;
use super::refuse::Trouble;
use super::{NodeId, Op, SortKey, text};

/// The function that numbers rows.
const ROW_NUMBER: &str = "row_number";

/// A function of [`Op::Window`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowCall {
    /// The function, as DataFusion names and types it.
    pub function: WindowFunctionDefinition,
    /// Its arguments.
    pub args: Vec<Arc<dyn PhysicalExpr>>,
    /// A predicate: rows that do not meet it are left out; of aggregates only.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Which rows of the partition it sees from each row.
    pub frame: WindowFrame,
    /// Whether equal argument values count once.
    pub distinct: bool,
    /// Whether null arguments are passed over (`IGNORE NULLS`), for functions that ask.
    pub ignore_nulls: bool,
    /// The result's name.
    pub name: String,
}

/// How far into each partition [`Op::Window`] has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RankLimit {
    /// Up to the last row whose `rank()` is no greater.
    Rank(usize),
    /// Up to the last row whose `dense_rank()` is no greater.
    DenseRank(usize),
}

impl WindowCall {
    /// The function over the rows of one partition, which have a schema and come in an order.
    ///
    /// # Errors
    /// If DataFusion cannot run it over such columns.
    pub fn expr(
        &self,
        order: &[SortKey],
        schema: &SchemaRef,
    ) -> Result<Arc<dyn WindowExpr>, DataFusionError> {
        let order: Vec<_> = order
            .iter()
            .map(|key| PhysicalSortExpr::new(Arc::clone(&key.expr), key.options))
            .collect();
        create_window_expr(
            &self.function,
            self.name.clone(),
            &self.args,
            &[],
            &order,
            Arc::new(self.frame.clone()),
            Arc::clone(schema),
            self.ignore_nulls,
            self.distinct,
            self.filter.clone(),
        )
    }
}

/// The nodes of window functions.
pub(super) fn lower(lowering: &mut Lowering<'_>, window: &Window) -> Result<Rel, Trouble> {
    let input = lowering.lower(&window.input)?;
    let input = lowering.graph.narrow(input)?;
    let graph = &mut *lowering.graph;
    let mut specs: Vec<Spec> = Vec::new();
    for (position, expr) in window.window_expr.iter().enumerate() {
        let (partition, order, call) = bind(graph, expr, &input)?;
        let same = |spec: &&mut Spec| spec.partition == partition && spec.order == order;
        match specs.iter_mut().find(same) {
            Some(spec) => spec.calls.push((position, call)),
            None => specs.push(Spec {
                partition,
                order,
                calls: vec![(position, call)],
            }),
        }
    }
    let mut node = input.node;
    let mut columns = input.columns.clone();
    columns.resize(columns.len() + window.window_expr.len(), 0);
    for spec in specs {
        let width = graph.width(node);
        for (at, (position, _)) in spec.calls.iter().enumerate() {
            columns[input.columns.len() + position] = width + at;
        }
        node = graph.add(spec.op(node))?;
    }
    Ok(Rel {
        node,
        schema: Arc::clone(&window.schema),
        columns,
        order: Vec::new(),
    })
}

/// Functions over one partition in one order, each with its position in the query.
struct Spec {
    partition: Vec<Arc<dyn PhysicalExpr>>,
    order: Vec<SortKey>,
    calls: Vec<(usize, WindowCall)>,
}

impl Spec {
    fn op(self, input: NodeId) -> Op {
        let Spec {
            partition,
            order,
            calls,
        } = self;
        if let [(_, call)] = calls.as_slice()
            && call.function.name() == ROW_NUMBER
        {
            return Op::TopK {
                input,
                partition,
                order,
                skip: 0,
                limit: None,
                number: true,
            };
        }
        Op::Window {
            input,
            partition,
            order,
            functions: calls.into_iter().map(|(_, call)| call).collect(),
            limit: None,
        }
    }
}

type Bound = (Vec<Arc<dyn PhysicalExpr>>, Vec<SortKey>, WindowCall);

fn bind(graph: &Graph, expr: &Expr, input: &Rel) -> Result<Bound, Trouble> {
    let Expr::WindowFunction(function) = unalias(expr) else {
        let message = format!("\"{expr}\" is not a window function");
        return Err(DataFusionError::Plan(message).into());
    };
    let WindowFunction { fun, params } = function.as_ref();
    let keys = params.order_by.iter().map(|key| &key.expr);
    let exprs = keys.chain(&params.partition_by).chain(&params.args);
    for expr in exprs.chain(params.filter.as_deref()) {
        refuse_subqueries(expr)?;
    }
    let filter = params.filter.as_deref();
    let filter = filter.map(|filter| graph.bind(filter, input)).transpose()?;
    let order = graph.bind_order(&params.order_by, input)?;
    let mut call = WindowCall {
        function: fun.clone(),
        args: graph.bind_all(&params.args, input)?,
        filter,
        frame: params.window_frame.clone(),
        distinct: params.distinct,
        ignore_nulls: params.null_treatment == Some(NullTreatment::IgnoreNulls),
        name: String::new(),
    };
    call.name = text::window_call(&call, !order.is_empty());
    Ok((graph.bind_all(&params.partition_by, input)?, order, call))
}

/// The schema of [`Op::Window`]: the input's columns, then one for each function.
pub(super) fn schema(
    input: &SchemaRef,
    order: &[SortKey],
    functions: &[WindowCall],
) -> Result<SchemaRef, DataFusionError> {
    let mut fields = input.fields().to_vec();
    for call in functions {
        let field = call.expr(order, input)?.field()?;
        let kind = field.data_type().clone();
        fields.push(Arc::new(Field::new(&call.name, kind, field.is_nullable())));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Filters ranked rows by a predicate that bounds a rank, so that no rows beyond the bound are
/// looked at; nothing if the node does not rank rows or the predicate does not bound the ranks.
pub(super) fn filter(
    graph: &mut Graph,
    node: NodeId,
    predicate: &Arc<dyn PhysicalExpr>,
) -> Result<Option<NodeId>, DataFusionError> {
    let Op::Window {
        input,
        functions,
        limit: None,
        ..
    } = &graph.nodes[node.0].op
    else {
        return Ok(None);
    };
    let looks_back = |call: &WindowCall| {
        let name = call.function.name();
        matches!(name, ROW_NUMBER | "rank" | "dense_rank")
    };
    if !functions.iter().all(looks_back) {
        return Ok(None);
    }
    let width = graph.width(*input);
    let bounds = functions.iter().enumerate().filter_map(|(at, call)| {
        let highest = lowest_bound(predicate, width + at)?;
        Some(match call.function.name() {
            "dense_rank" => RankLimit::DenseRank(highest),
            // A row's rank is never greater than its number.
            _ => RankLimit::Rank(highest),
        })
    });
    let Some(bound) = bounds.min_by_key(|bound| match bound {
        RankLimit::Rank(highest) => (0, *highest),
        RankLimit::DenseRank(highest) => (1, *highest),
    }) else {
        return Ok(None);
    };
    let mut limited = graph.nodes[node.0].op.clone();
    if let Op::Window { limit, .. } = &mut limited {
        *limit = Some(bound);
    }
    let limited = graph.add(limited)?;
    graph.filter(limited, Arc::clone(predicate)).map(Some)
}
