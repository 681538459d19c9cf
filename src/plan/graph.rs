//! The graph while it is made: equal nodes are made once.
//!
//! [`Op`]s flow in; nodes with their schemas flow out. Two ops are equal if they compute the same
//! from the same nodes, whatever their columns are called: the names are those of the view that
//! asked first, and every later expression over the node uses these.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{
    DFSchema, DFSchemaRef, DataFusionError, internal_datafusion_err, plan_err,
};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};

use super::nameless::nameless;
use super::{
    Aggregate, Input, Node, NodeId, Op, SortKey, Step, asof, clock, join, recursion, temporal,
    unnest, window,
};

/// The column that [`Op::TopK`] appends.
pub(super) const NUMBER: &str = "row_number";

type Result<T> = std::result::Result<T, DataFusionError>;

/// The nodes made so far.
pub(super) struct Graph {
    pub inputs: Vec<Input>,
    pub nodes: Vec<Node>,
    known: HashMap<Op, NodeId>,
    pub facts: Vec<Facts>,
    recursions: usize,
    props: ExecutionProps,
}

/// What is known of the rows of an input.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Whether rows are only ever added.
    pub append_only: bool,
    /// The input's columns of which no two rows agree in all; empty if there are none such.
    pub key: Vec<usize>,
}

/// What a part of a query was lowered to: a node, and which of its columns the query means.
#[derive(Debug, Clone)]
pub(super) struct Rel {
    pub node: NodeId,
    /// The columns as the query names them.
    pub schema: DFSchemaRef,
    /// For each column of `schema` its position in the node.
    pub columns: Vec<usize>,
    /// The order that the query gave the rows, over the node's columns.
    pub order: Vec<SortKey>,
}

impl Rel {
    /// A node all of whose columns the query means, in their order.
    pub fn whole(node: NodeId, schema: DFSchemaRef) -> Rel {
        let columns = (0..schema.fields().len()).collect();
        Rel {
            node,
            schema,
            columns,
            order: Vec::new(),
        }
    }
}

impl Graph {
    /// An empty graph over some inputs.
    pub fn new(inputs: Vec<Input>, facts: Vec<Facts>, props: ExecutionProps) -> Graph {
        Graph {
            inputs,
            nodes: Vec::new(),
            known: HashMap::new(),
            facts,
            recursions: 0,
            props,
        }
    }

    pub fn schema(&self, node: NodeId) -> &SchemaRef {
        &self.nodes[node.0].schema
    }

    /// The number of columns of a node.
    pub fn width(&self, node: NodeId) -> usize {
        self.schema(node).fields().len()
    }

    /// The node that does this: a known one if there is one.
    pub fn add(&mut self, op: Op) -> Result<NodeId> {
        let key = nameless(&op)?;
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let schema = self.schema_of(&op)?;
        let append_only = self.is_append_only(&op);
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node {
            op,
            schema,
            append_only,
            views: Vec::new(),
        });
        self.known.insert(key, id);
        Ok(id)
    }

    /// An expression of the query over the columns of a node.
    pub fn bind(&self, expr: &Expr, rel: &Rel) -> Result<Arc<dyn PhysicalExpr>> {
        self.bind_to(expr, &rel.schema, &rel.columns, self.schema(rel.node))
    }

    /// An expression over named columns that lie at some positions of a schema.
    pub fn bind_to(
        &self,
        expr: &Expr,
        names: &DFSchema,
        columns: &[usize],
        schema: &SchemaRef,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        if clock::is_asked(expr)? {
            return plan_err!("{}", clock::MISPLACED);
        }
        let context = PhysicalPlanningContext::default();
        let bound = create_physical_expr(expr, names, &self.props, &context)?;
        move_columns(checked(bound)?, |position| columns[position], schema)
    }

    pub fn bind_all(&self, exprs: &[Expr], rel: &Rel) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        exprs.iter().map(|expr| self.bind(expr, rel)).collect()
    }

    pub fn bind_order(&self, order: &[SortExpr], rel: &Rel) -> Result<Vec<SortKey>> {
        let bind = |key: &SortExpr| {
            let options = SortOptions {
                descending: !key.asc,
                nulls_first: key.nulls_first,
            };
            Ok(SortKey {
                expr: self.bind(&key.expr, rel)?,
                options,
            })
        };
        order.iter().map(bind).collect()
    }

    /// A column of a node as an expression.
    pub fn column(&self, node: NodeId, position: usize) -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(
            self.schema(node).field(position).name(),
            position,
        ))
    }

    /// All columns of a node as expressions.
    pub fn all_columns(&self, node: NodeId) -> Vec<Arc<dyn PhysicalExpr>> {
        (0..self.width(node))
            .map(|position| self.column(node, position))
            .collect()
    }

    /// Keeps the rows that meet a predicate.
    pub fn filter(&mut self, input: NodeId, predicate: Arc<dyn PhysicalExpr>) -> Result<NodeId> {
        self.add(Op::Map {
            input,
            steps: vec![Step::Filter(predicate)],
        })
    }

    /// Replaces the columns; a name that is not given is the column's own or says what it is.
    pub fn project(
        &mut self,
        input: NodeId,
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        names: Option<Vec<String>>,
    ) -> Result<NodeId> {
        let is_identity = exprs.len() == self.width(input)
            && exprs
                .iter()
                .enumerate()
                .all(|(position, expr)| column_of(expr) == Some(position));
        if is_identity {
            return Ok(input);
        }
        let schema = self.schema(input);
        let mut fields = Vec::with_capacity(exprs.len());
        for (position, expr) in exprs.iter().enumerate() {
            let name = names.as_ref().map(|names| names[position].clone());
            fields.push(field(expr, schema, name)?);
        }
        let schema = Arc::new(Schema::new(fields));
        self.add(Op::Map {
            input,
            steps: vec![Step::Project { exprs, schema }],
        })
    }

    /// The rows with exactly the columns that the query means. A query that means none has one
    /// column all the same, since rows without columns cannot be stored.
    pub fn narrow(&mut self, rel: Rel) -> Result<Rel> {
        if rel.columns.is_empty() {
            if self.width(rel.node) == 1 {
                return Ok(rel);
            }
            let exprs = vec![truth()];
            let node = self.project(rel.node, exprs, Some(vec!["row".to_owned()]))?;
            return Ok(Rel {
                node,
                order: Vec::new(),
                ..rel
            });
        }
        let exprs: Vec<_> = rel
            .columns
            .iter()
            .map(|position| self.column(rel.node, *position))
            .collect();
        let order = through(&rel.order, &exprs);
        let names = rel
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let node = self.project(rel.node, exprs, Some(names))?;
        let columns = (0..rel.columns.len()).collect();
        Ok(Rel {
            node,
            schema: rel.schema,
            columns,
            order,
        })
    }

    /// One row for each different row of some expressions.
    pub fn distinct(&mut self, input: NodeId, keys: Vec<Arc<dyn PhysicalExpr>>) -> Result<NodeId> {
        let keys = if keys.is_empty() { vec![truth()] } else { keys };
        self.add(Op::Reduce {
            input,
            keys,
            aggregates: Vec::new(),
        })
    }

    /// A number that no recursion has had.
    pub fn new_recursion(&mut self) -> usize {
        self.recursions += 1;
        self.recursions
    }

    /// The rows of several nodes.
    pub fn union(&mut self, inputs: Vec<NodeId>) -> Result<NodeId> {
        let mut flat = Vec::with_capacity(inputs.len());
        for input in inputs {
            match &self.nodes[input.0].op {
                Op::Union { inputs } => flat.extend_from_slice(inputs),
                _ => flat.push(input),
            }
        }
        match flat.as_slice() {
            [one] => Ok(*one),
            _ => self.add(Op::Union { inputs: flat }),
        }
    }

    fn schema_of(&self, op: &Op) -> Result<SchemaRef> {
        Ok(match op {
            Op::Input(input) => Arc::clone(&self.inputs[*input].schema),
            Op::Constant(rows) => rows.0.schema(),
            Op::Map { input, steps } => {
                let projected = steps.iter().rev().find_map(|step| match step {
                    Step::Project { schema, .. } => Some(schema),
                    Step::Filter(_) => None,
                });
                Arc::clone(projected.unwrap_or(self.schema(*input)))
            }
            Op::Unnest { input, columns, .. } => unnest::schema(self.schema(*input), columns)?,
            Op::Reduce {
                input,
                keys,
                aggregates,
            } => self.reduced(*input, keys, aggregates)?,
            Op::Join { left, right, .. } => join::joined(self.schema(*left), self.schema(*right)),
            Op::AsOf {
                left, right, outer, ..
            } => asof::joined(self.schema(*left), self.schema(*right), *outer),
            Op::TopK {
                input,
                number: true,
                ..
            } => {
                let mut fields = self.schema(*input).fields().to_vec();
                fields.push(Arc::new(Field::new(NUMBER, DataType::UInt64, false)));
                Arc::new(Schema::new(fields))
            }
            Op::Window {
                input,
                order,
                functions,
                ..
            } => window::schema(self.schema(*input), order, functions)?,
            Op::TopK { input, .. } | Op::Negate { input } | Op::Temporal { input, .. } => {
                Arc::clone(self.schema(*input))
            }
            Op::Union { inputs } => self.united(inputs)?,
            Op::Work { schema, .. } => Arc::clone(schema),
            Op::Recursive { start, body, .. } => recursion::schema(self.schema(*start), body),
        })
    }

    fn reduced(
        &self,
        input: NodeId,
        keys: &[Arc<dyn PhysicalExpr>],
        aggregates: &[Aggregate],
    ) -> Result<SchemaRef> {
        let input = self.schema(input);
        let mut fields = Vec::with_capacity(keys.len() + aggregates.len());
        for key in keys {
            fields.push(field(key, input, None)?);
        }
        for aggregate in aggregates {
            fields.push(aggregate_field(aggregate, input)?);
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn united(&self, inputs: &[NodeId]) -> Result<SchemaRef> {
        let first = self.schema(inputs[0]);
        let mut fields = Vec::with_capacity(first.fields().len());
        for (position, field) in first.fields().iter().enumerate() {
            let mut nullable = false;
            for input in inputs {
                let other = self.schema(*input).field(position);
                if other.data_type() != field.data_type() {
                    return Err(internal_datafusion_err!(
                        "a union has column {} as {} and as {}",
                        field.name(),
                        field.data_type(),
                        other.data_type()
                    ));
                }
                nullable |= other.is_nullable();
            }
            fields.push(Field::new(
                field.name(),
                field.data_type().clone(),
                nullable,
            ));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn is_append_only(&self, op: &Op) -> bool {
        let of = |node: &NodeId| self.nodes[node.0].append_only;
        match op {
            Op::Input(input) => self.facts[*input].append_only,
            Op::Constant(_) => true,
            Op::Map { input, .. } | Op::Unnest { input, .. } => of(input),
            Op::Reduce {
                input, aggregates, ..
            } => aggregates.is_empty() && of(input),
            Op::Join { left, right, .. } => of(left) && of(right),
            Op::Union { inputs } => inputs.iter().all(of),
            Op::Temporal { input, bounds, .. } => of(input) && temporal::only_come(bounds),
            Op::Work { .. }
            | Op::Recursive { .. }
            | Op::AsOf { .. }
            | Op::TopK { .. }
            | Op::Window { .. }
            | Op::Negate { .. } => false,
        }
    }
}

/// The literal TRUE.
pub(super) fn truth() -> Arc<dyn PhysicalExpr> {
    datafusion::physical_expr::expressions::lit(true)
}

/// The position of the column that an expression is, if it is one.
pub(super) fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// An order over the columns of a node as an order over expressions computed from it, as far as
/// these hold what it compares.
pub(super) fn through(order: &[SortKey], exprs: &[Arc<dyn PhysicalExpr>]) -> Vec<SortKey> {
    let moved = order.iter().map_while(|key| {
        let position = exprs.iter().position(|expr| expr == &key.expr)?;
        let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new("", position));
        Some(SortKey {
            expr,
            options: key.options,
        })
    });
    moved.collect()
}

/// Replaces the positions in an expression's columns, and names them as the schema does to which
/// they then refer.
pub(super) fn move_columns(
    expr: Arc<dyn PhysicalExpr>,
    to: impl Fn(usize) -> usize,
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform(|part| {
        let Some(position) = column_of(&part) else {
            return Ok(Transformed::no(part));
        };
        let position = to(position);
        let column = Column::new(schema.field(position).name(), position);
        Ok(Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>))
    })
    .data()
}

/// The field that an expression yields.
pub(super) fn field(
    expr: &Arc<dyn PhysicalExpr>,
    input: &Schema,
    name: Option<String>,
) -> Result<Field> {
    let field = expr.return_field(input)?;
    let name = name.unwrap_or_else(|| match column_of(expr) {
        Some(position) => input.field(position).name().clone(),
        None => super::text::expression(expr),
    });
    Ok(Field::new(
        name,
        field.data_type().clone(),
        field.is_nullable(),
    ))
}

/// The field that an aggregate yields.
pub(super) fn aggregate_field(aggregate: &Aggregate, input: &SchemaRef) -> Result<Field> {
    let order = aggregate.order.iter().map(|key| {
        let expr = Arc::clone(&key.expr);
        datafusion::physical_expr::PhysicalSortExpr {
            expr,
            options: key.options,
        }
    });
    let built = AggregateExprBuilder::new(Arc::clone(&aggregate.function), aggregate.args.clone())
        .schema(Arc::clone(input))
        .alias(aggregate.name.as_str())
        .order_by(order.collect())
        .with_distinct(aggregate.distinct)
        .with_ignore_nulls(aggregate.ignore_nulls)
        .build()?;
    let field = built.field();
    Ok(Field::new(
        &aggregate.name,
        field.data_type().clone(),
        field.is_nullable(),
    ))
}

/// The same expression with integer arithmetic that fails on overflow; DataFusion's own wraps.
fn checked(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|part| match part.downcast_ref::<BinaryExpr>() {
        Some(binary) => {
            let binary = binary.clone().with_fail_on_overflow(true);
            Ok(Transformed::yes(Arc::new(binary) as Arc<dyn PhysicalExpr>))
        }
        None => Ok(Transformed::no(part)),
    })
    .data()
}
