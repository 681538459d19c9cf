//! From what DataFusion's optimiser yields to nodes that can be kept up to date.
//!
//! A logical plan flows in; a [`Rel`] over the graph's nodes flows out. A projection that only
//! chooses columns makes no node: it is remembered in the `Rel` and carried out where rows are
//! stored (joins, unions, top rows, answers), so that views which want different columns of one
//! relation can share what stands above it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchemaRef, ResolvedTableReference, ScalarValue, Span};
use datafusion::logical_expr::logical_plan::{
    Aggregate as LogicalAggregate, Distinct, EmptyRelation, FetchType, Limit, Projection, SkipType,
    Sort, TableScan, Union, Values,
};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::graph::{Graph, Rel, through};
use super::refuse::Trouble;
use super::{
    ConstantRows, NodeId, Op, aggregate, asof, building, eager, join, limit, numbering, recursion,
    temporal, unnest, window,
};

type Result<T> = std::result::Result<T, Trouble>;

/// What the name of a relation stands for.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// An input of the plan, as a position.
    Input(usize),
    /// The rows of a view.
    View {
        /// The node that has them.
        node: NodeId,
        /// The view's columns that the node has.
        columns: Vec<usize>,
    },
}

/// The lowering of one query.
pub(super) struct Lowering<'a> {
    pub graph: &'a mut Graph,
    pub sources: &'a HashMap<ResolvedTableReference, Source>,
    /// The recursive queries around the part at hand, and the rows that each has found so far.
    pub works: Vec<(String, Rel)>,
}

impl Lowering<'_> {
    /// The node for a plan.
    pub fn lower(&mut self, plan: &LogicalPlan) -> Result<Rel> {
        let rel = match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan)?,
            LogicalPlan::Projection(projection) => {
                let input = self.lower(&projection.input)?;
                self.project(projection, input)?
            }
            LogicalPlan::Filter(filter) => {
                let input = self.lower(&filter.input)?;
                self.keep(&filter.predicate, input)?
            }
            LogicalPlan::SubqueryAlias(alias) => self.lower(&alias.input)?,
            LogicalPlan::Subquery(subquery) => self.lower(&subquery.subquery)?,
            LogicalPlan::Repartition(repartition) => self.lower(&repartition.input)?,
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.lower(input)?;
                self.distinct(input)?
            }
            LogicalPlan::Join(join) => join::lower(self, join)?,
            LogicalPlan::Union(union) => self.union(union)?,
            LogicalPlan::Sort(sort) => self.sort(sort)?,
            LogicalPlan::Limit(limit) => self.limit(limit, &limit.input)?,
            LogicalPlan::Window(window) => window::lower(self, window)?,
            LogicalPlan::Unnest(unnest) => unnest::lower(self, unnest)?,
            LogicalPlan::Values(values) => self.values(values)?,
            LogicalPlan::EmptyRelation(empty) => {
                self.constant(plan, usize::from(empty.produce_one_row))?
            }
            LogicalPlan::Extension(extension) => asof::lower(self, extension)?,
            LogicalPlan::RecursiveQuery(query) => recursion::lower(self, query)?,
            other => {
                let name = other.display().to_string();
                return Err(Trouble::refused(
                    format!("a view cannot hold {name}"),
                    "write a SELECT over tables and views",
                ));
            }
        };
        // Names in a plan are qualified anew above an alias or a union; positions are kept.
        Ok(Rel {
            schema: Arc::clone(plan.schema()),
            ..rel
        })
    }

    /// The rows that meet a predicate.
    pub fn keep(&mut self, predicate: &Expr, input: Rel) -> Result<Rel> {
        refuse_subqueries(predicate)?;
        let (timed, plain) = temporal::split(predicate)?;
        if !timed.is_empty() {
            let input = match plain {
                Some(plain) => self.keep(&plain, input)?,
                None => input,
            };
            return temporal::keep(self.graph, &timed, input);
        }
        let predicate = self.graph.bind(predicate, &input)?;
        let limited = match numbering::filter(self.graph, input.node, &predicate)? {
            Some(node) => Some(node),
            None => window::filter(self.graph, input.node, &predicate)?,
        };
        let node = match limited {
            Some(node) => node,
            None => self.graph.filter(input.node, predicate)?,
        };
        Ok(Rel { node, ..input })
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Rel> {
        let mut works = self.works.iter().rev();
        if let Some((_, work)) = works.find(|(name, _)| *name == scan.table_name.to_string()) {
            let work = work.clone();
            return self.scan_found(scan, work);
        }
        let name = building::resolve(scan.table_name.clone());
        let Some(source) = self.sources.get(&name) else {
            return Err(Trouble::refused(
                format!("relation `{}` not found", scan.table_name),
                "read a table or view of the script",
            ));
        };
        let (node, kept) = match source {
            Source::View { node, columns } => (*node, columns),
            Source::Input(input) => {
                let node = self.graph.add(Op::Input(*input))?;
                (node, &self.graph.inputs[*input].columns)
            }
        };
        let all = scan.source.schema().fields().len();
        let wanted = scan
            .projection
            .clone()
            .unwrap_or_else(|| (0..all).collect());
        let find = |column| kept.iter().position(|kept| kept == column);
        let columns = wanted.iter().filter_map(find).collect();
        let schema = Arc::clone(&scan.projected_schema);
        let mut rel = Rel {
            node,
            schema,
            columns,
            order: Vec::new(),
        };
        for filter in &scan.filters {
            rel = self.keep(filter, rel)?;
        }
        Ok(rel)
    }

    /// The rows that a recursion has found so far.
    fn scan_found(&mut self, scan: &TableScan, work: Rel) -> Result<Rel> {
        let all = (0..work.columns.len()).collect();
        let wanted = scan.projection.clone().unwrap_or(all);
        let mut rel = Rel {
            columns: wanted.iter().map(|column| work.columns[*column]).collect(),
            schema: Arc::clone(&scan.projected_schema),
            ..work
        };
        for filter in &scan.filters {
            rel = self.keep(filter, rel)?;
        }
        Ok(rel)
    }

    /// Computes the columns of a projection.
    fn project(&mut self, projection: &Projection, input: Rel) -> Result<Rel> {
        let schema = Arc::clone(&projection.schema);
        for expr in &projection.expr {
            refuse_subqueries(expr)?;
        }
        let chosen: Option<Vec<usize>> = projection
            .expr
            .iter()
            .map(|expr| match unalias(expr) {
                Expr::Column(column) => {
                    let position = input.schema.maybe_index_of_column(column)?;
                    Some(input.columns[position])
                }
                _ => None,
            })
            .collect();
        if let Some(columns) = chosen {
            return Ok(Rel {
                schema,
                columns,
                ..input
            });
        }
        let exprs = self.graph.bind_all(&projection.expr, &input)?;
        let order = through(&input.order, &exprs);
        let names = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let node = self.graph.project(input.node, exprs, Some(names))?;
        Ok(Rel {
            order,
            ..Rel::whole(node, schema)
        })
    }

    fn aggregate(&mut self, plan: &LogicalAggregate) -> Result<Rel> {
        if let Some(rel) = eager::lower(self, plan)? {
            return Ok(rel);
        }
        let input = self.lower(&plan.input)?;
        aggregate::lower(self, plan, input)
    }

    fn distinct(&mut self, input: Rel) -> Result<Rel> {
        let keys: Vec<_> = input
            .columns
            .iter()
            .map(|position| self.graph.column(input.node, *position))
            .collect();
        let is_empty = keys.is_empty();
        let node = self.graph.distinct(input.node, keys)?;
        let rel = Rel::whole(node, input.schema);
        Ok(if is_empty {
            Rel {
                columns: Vec::new(),
                ..rel
            }
        } else {
            rel
        })
    }

    fn union(&mut self, union: &Union) -> Result<Rel> {
        let mut nodes = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            let input = self.lower(input)?;
            nodes.push(self.graph.narrow(input)?.node);
        }
        let node = self.graph.union(nodes)?;
        Ok(Rel::whole(node, Arc::clone(&union.schema)))
    }

    /// An order alone changes no rows; it is remembered for how an answer is shown.
    fn sort(&mut self, sort: &Sort) -> Result<Rel> {
        let input = self.lower(&sort.input)?;
        if let Some(limit) = sort.fetch {
            return self.top(sort, input, 0, Some(limit));
        }
        for key in &sort.expr {
            refuse_subqueries(&key.expr)?;
        }
        let order = self.graph.bind_order(&sort.expr, &input)?;
        Ok(Rel { order, ..input })
    }

    /// A limit over the order below it; projections between the two are computed of what is kept.
    fn limit(&mut self, limit: &Limit, input: &LogicalPlan) -> Result<Rel> {
        let skip = match limit.get_skip_type()? {
            SkipType::Literal(skip) => skip,
            SkipType::UnsupportedExpr => return Err(not_constant("OFFSET")),
        };
        let fetch = match limit.get_fetch_type()? {
            FetchType::Literal(fetch) => fetch,
            FetchType::UnsupportedExpr => return Err(not_constant("LIMIT")),
        };
        self.limited(input, skip, fetch)
    }

    fn limited(&mut self, plan: &LogicalPlan, skip: usize, fetch: Option<usize>) -> Result<Rel> {
        let rel = match plan {
            LogicalPlan::Sort(sort) => {
                let input = self.lower(&sort.input)?;
                let fetch = match (fetch, sort.fetch) {
                    (Some(outer), Some(inner)) => Some(outer.min(inner.saturating_sub(skip))),
                    (outer, inner) => outer.or(inner.map(|inner| inner.saturating_sub(skip))),
                };
                self.top(sort, input, skip, fetch)?
            }
            LogicalPlan::Projection(projection) => {
                let input = self.limited(&projection.input, skip, fetch)?;
                self.project(projection, input)?
            }
            LogicalPlan::SubqueryAlias(alias) => self.limited(&alias.input, skip, fetch)?,
            other
                if other
                    .max_rows()
                    .is_some_and(|rows| skip == 0 && fetch >= Some(rows)) =>
            {
                self.lower(other)?
            }
            other => {
                let sort = Sort {
                    expr: limit::by_all_columns(other),
                    input: Arc::new(other.clone()),
                    fetch: None,
                };
                let input = self.lower(other)?;
                self.top(&sort, input, skip, fetch)?
            }
        };
        Ok(Rel {
            schema: Arc::clone(plan.schema()),
            ..rel
        })
    }

    fn top(&mut self, sort: &Sort, input: Rel, skip: usize, limit: Option<usize>) -> Result<Rel> {
        for key in &sort.expr {
            refuse_subqueries(&key.expr)?;
        }
        let input = self.graph.narrow(input)?;
        let order = self.graph.bind_order(&sort.expr, &input)?;
        let order = self.graph.without_implied(order, input.node);
        let node = self.graph.add(Op::TopK {
            input: input.node,
            partition: Vec::new(),
            order: order.clone(),
            skip,
            limit,
            number: false,
        })?;
        Ok(Rel {
            node,
            order,
            ..input
        })
    }

    fn values(&mut self, values: &Values) -> Result<Rel> {
        let one_row = dummy_rows(1)?;
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); values.schema.fields().len()];
        let nothing = self
            .graph
            .add(Op::Constant(ConstantRows(one_row.clone())))?;
        let empty = Arc::new(datafusion::common::DFSchema::empty());
        let rel = Rel {
            node: nothing,
            schema: empty,
            columns: Vec::new(),
            order: Vec::new(),
        };
        for row in &values.values {
            for (column, expr) in columns.iter_mut().zip(row) {
                refuse_subqueries(expr)?;
                let bound = self.graph.bind(expr, &rel)?;
                column.push(bound.evaluate(&one_row)?.into_array(1)?);
            }
        }
        let mut arrays = Vec::with_capacity(columns.len());
        for column in &columns {
            let parts: Vec<_> = column.iter().map(|array| array.as_ref()).collect();
            arrays.push(concat(&parts).map_err(datafusion::common::DataFusionError::from)?);
        }
        let fields = values
            .schema
            .fields()
            .iter()
            .zip(&arrays)
            .map(|(field, array)| {
                Field::new(field.name(), array.data_type().clone(), field.is_nullable())
            });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(schema, arrays)
            .map_err(datafusion::common::DataFusionError::from)?;
        let node = self.graph.add(Op::Constant(ConstantRows(rows)))?;
        Ok(Rel::whole(node, Arc::clone(&values.schema)))
    }

    /// The one row that there always is.
    pub fn one_row(&mut self, schema: DFSchemaRef) -> Result<Rel> {
        let one_row = EmptyRelation {
            produce_one_row: true,
            schema,
        };
        self.lower(&LogicalPlan::EmptyRelation(one_row))
    }

    /// Rows of nulls, or of nothing.
    fn constant(&mut self, plan: &LogicalPlan, rows: usize) -> Result<Rel> {
        let schema = plan.schema();
        if schema.fields().is_empty() {
            let node = self
                .graph
                .add(Op::Constant(ConstantRows(dummy_rows(rows)?)))?;
            let schema = Arc::clone(schema);
            return Ok(Rel {
                node,
                schema,
                columns: Vec::new(),
                order: Vec::new(),
            });
        }
        let mut arrays = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            arrays.push(ScalarValue::try_from(field.data_type())?.to_array_of_size(rows)?);
        }
        let fields = schema.fields().iter().map(|field| {
            let nullable = field.is_nullable() || rows > 0;
            Field::new(field.name(), field.data_type().clone(), nullable)
        });
        let arrow = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(arrow, arrays)
            .map_err(datafusion::common::DataFusionError::from)?;
        let node = self.graph.add(Op::Constant(ConstantRows(rows)))?;
        Ok(Rel::whole(node, Arc::clone(schema)))
    }
}

/// Rows that hold nothing but their number.
fn dummy_rows(rows: usize) -> Result<RecordBatch> {
    let column: ArrayRef = Arc::new(BooleanArray::from(vec![true; rows]));
    let field = Field::new("row", column.data_type().clone(), false);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]);
    Ok(batch.map_err(datafusion::common::DataFusionError::from)?)
}

fn not_constant(clause: &str) -> Trouble {
    Trouble::refused(
        format!("{clause} is not a constant"),
        "write a number, or compare row_number() with the expression",
    )
}

/// An expression without the names given to it.
pub(super) fn unalias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unalias(&alias.expr),
        other => other,
    }
}

/// Refuses sub-queries that the optimiser could not turn into joins.
pub(super) fn refuse_subqueries(expr: &Expr) -> Result<()> {
    let mut found: Option<(&'static str, Option<Span>)> = None;
    expr.apply(|part| {
        use datafusion::common::tree_node::TreeNodeRecursion::{Continue, Stop};
        found = match part {
            Expr::ScalarSubquery(subquery) => Some(("sub-query", subquery.spans.first())),
            Expr::Exists(exists) => Some(("EXISTS", exists.subquery.spans.first())),
            Expr::InSubquery(inside) => Some(("IN sub-query", inside.subquery.spans.first())),
            Expr::SetComparison(set) => Some(("ANY or ALL", set.subquery.spans.first())),
            Expr::OuterReferenceColumn(_, column) => Some((
                "sub-query that refers to the outer query",
                column.spans().first(),
            )),
            _ => return Ok(Continue),
        };
        Ok(Stop)
    })?;
    match found {
        None => Ok(()),
        Some((what, span)) => Err(Trouble::refused(
            format!("this {what} cannot be kept up to date"),
            "write it as a join with a sub-query in FROM",
        )
        .at(span)),
    }
}
