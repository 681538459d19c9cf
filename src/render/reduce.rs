//! Aggregation: each aggregate goes to the class that keeps it cheapest, and the classes' answers
//! are brought together.
//!
//! A node's input flows in; rows of (keys, answers) flow out. The classes are: what adds up
//! ([`super::group`]); what adds up over distinct values (the distinct rows first, then the same);
//! the least and greatest value ([`super::extremum`]); and whatever else DataFusion knows
//! ([`super::general`]). Only a node with aggregates of several classes pays for collating them.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{IsNotNullExpr, Literal};

use super::accumulate::Layout;
use super::arrange::{Arrangement, arrange};
use super::collate::{Part, collate};
use super::columns::{Columns, column};
use super::extremum::Extremum;
use super::flow::Flow;
use super::general::{General, general};
use super::group::{Grouping, group};
use super::sieve::sieve;
use super::{Builder, Deltas, RenderError, map};
use crate::plan::{self, Aggregate, Class, NodeId, SortKey, Step};
use crate::row::RowCodec;

/// The class of an aggregate over rows of the schema `input`.
fn class_of(aggregate: &Aggregate, input: &Schema) -> Class {
    let class = plan::class(aggregate);
    let adds_up = matches!(class, Class::Accumulable | Class::Distinct);
    let plain = Aggregate {
        distinct: false,
        order: Vec::new(),
        ..aggregate.clone()
    };
    if adds_up && !Layout::is_accumulable(&plain, input) {
        Class::General
    } else {
        class
    }
}

/// A reduction whose expressions have become columns of its input.
struct Prepared {
    input: SchemaRef,
    keys: Vec<usize>,
    aggregates: Vec<Aggregate>,
    args: Vec<Vec<usize>>,
    filters: Vec<Option<usize>>,
    views: Vec<String>,
}

/// Renders a reduction whose rows have `schema`.
pub(super) fn reduce<'scope>(
    builder: &mut Builder<'scope, '_>,
    input: NodeId,
    keys: &[Arc<dyn PhysicalExpr>],
    aggregates: &[Aggregate],
    node: NodeId,
) -> Result<Flow<'scope>, RenderError> {
    let schema = builder.plan.nodes[node.0].schema.clone();
    let (mut rows, prepared) = prepare(builder, input, keys, aggregates, node)?;
    let only_added = builder.only_added[input.0];
    if aggregates.is_empty() && only_added && !prepared.keys.is_empty() {
        let keys = prepared.keys.clone();
        let new = sieve(rows, &prepared.input, keys)?;
        rows = builder.rows(new);
    }
    let classes: Vec<Class> = prepared
        .aggregates
        .iter()
        .map(|aggregate| class_of(aggregate, &prepared.input))
        .collect();
    if classes.iter().all(|class| *class == Class::Accumulable) {
        let all: Vec<usize> = (0..aggregates.len()).collect();
        return accumulable(builder, rows, &prepared, &all, schema);
    }
    // Each class reads the rows.
    let stream = rows.realize();
    Collation {
        builder,
        only_added,
        stream,
        prepared,
        classes,
        schema,
        parts: Vec::new(),
        columns: Vec::new(),
    }
    .render()
}

/// Makes every expression a column.
fn prepare<'scope>(
    builder: &mut Builder<'scope, '_>,
    input: NodeId,
    keys: &[Arc<dyn PhysicalExpr>],
    aggregates: &[Aggregate],
    node: NodeId,
) -> Result<(Flow<'scope>, Prepared), RenderError> {
    let views = builder.plan.nodes[node.0].views.clone();
    let mut columns = Columns::new(builder.plan.nodes[input.0].schema.clone());
    let key_columns: Vec<usize> = keys
        .iter()
        .map(|key| columns.add(key))
        .collect::<Result<_, _>>()?;
    let mut prepared = Vec::with_capacity(aggregates.len());
    let (mut args, mut filters) = (Vec::new(), Vec::new());
    for aggregate in aggregates {
        let arguments: Vec<usize> = aggregate
            .args
            .iter()
            .map(|arg| columns.add(arg))
            .collect::<Result<_, _>>()?;
        let filter = aggregate
            .filter
            .as_ref()
            .map(|filter| columns.add(filter))
            .transpose()?;
        let order: Vec<usize> = aggregate
            .order
            .iter()
            .map(|key| columns.add(&key.expr))
            .collect::<Result<_, _>>()?;
        prepared.push((aggregate, arguments.clone(), filter, order));
        args.push(arguments);
        filters.push(filter);
    }
    let (steps, schema) = columns.finish();
    let rows = builder.flow(input);
    let rows = match steps {
        Some(step) => builder.rows(map::map(rows, vec![step], views.clone())),
        None => rows,
    };
    let aggregates = prepared
        .into_iter()
        .map(|(aggregate, args, filter, order)| Aggregate {
            args: args
                .iter()
                .zip(&aggregate.args)
                .map(|(at, arg)| argument(aggregate, arg, column(&schema, *at)))
                .collect(),
            filter: filter.map(|at| column(&schema, at)),
            order: order
                .iter()
                .zip(&aggregate.order)
                .map(|(at, key)| SortKey {
                    expr: column(&schema, *at),
                    options: key.options,
                })
                .collect(),
            ..aggregate.clone()
        })
        .collect();
    let prepared = Prepared {
        input: schema,
        keys: key_columns,
        aggregates,
        args,
        filters,
        views,
    };
    Ok((rows, prepared))
}

/// An argument over the columns. Functions that are computed anew are told their constants as such:
/// `string_agg` takes its delimiter, `percentile_cont` its share, from nothing else.
fn argument(
    aggregate: &Aggregate,
    argument: &Arc<dyn PhysicalExpr>,
    column: Arc<dyn PhysicalExpr>,
) -> Arc<dyn PhysicalExpr> {
    let is_general = plan::class(aggregate) == Class::General;
    match argument.downcast_ref::<Literal>() {
        Some(_) if is_general => Arc::clone(argument),
        _ => column,
    }
}

/// Renders some aggregates of a reduction that all add up.
fn accumulable<'scope>(
    builder: &mut Builder<'scope, '_>,
    rows: Flow<'scope>,
    prepared: &Prepared,
    which: &[usize],
    schema: SchemaRef,
) -> Result<Flow<'scope>, RenderError> {
    let grouping = Grouping {
        keys: prepared.keys.clone(),
        aggregates: which
            .iter()
            .map(|at| prepared.aggregates[*at].clone())
            .collect(),
        args: which.iter().map(|at| prepared.args[*at].clone()).collect(),
        filters: which.iter().map(|at| prepared.filters[*at]).collect(),
        schema,
        views: prepared.views.clone(),
    };
    let (worker, peers) = (builder.worker, builder.peers);
    let outcomes = group(
        rows,
        &prepared.input,
        grouping,
        (worker, peers),
        builder.held(),
    )?;
    Ok(builder.rows(outcomes))
}

/// A reduction with aggregates of several classes.
struct Collation<'a, 'scope, 'plan> {
    builder: &'a mut Builder<'scope, 'plan>,
    /// Whether no row of the input is ever taken back.
    only_added: bool,
    stream: Deltas<'scope>,
    prepared: Prepared,
    classes: Vec<Class>,
    schema: SchemaRef,
    parts: Vec<Part<'scope>>,
    /// By aggregate: its part, and its place among the part's answers.
    columns: Vec<(usize, usize)>,
}

impl<'scope> Collation<'_, 'scope, '_> {
    fn render(mut self) -> Result<Flow<'scope>, RenderError> {
        self.columns = vec![(0, 0); self.classes.len()];
        let of = |wanted: fn(Class) -> bool, classes: &[Class]| -> Vec<usize> {
            (0..classes.len())
                .filter(|at| wanted(classes[*at]))
                .collect()
        };
        // The part that adds up goes first, even if it has no aggregate: it knows the groups.
        let accumulable = of(|class| class == Class::Accumulable, &self.classes);
        self.accumulable_part(&accumulable)?;
        for at in of(|class| class == Class::Distinct, &self.classes) {
            self.distinct_part(at)?;
        }
        for at in 0..self.classes.len() {
            if self.classes[at] == Class::Extremum {
                let greatest = self.prepared.aggregates[at].function.name() == "max";
                self.extremum_part(at, greatest)?;
            }
        }
        let general = of(|class| class == Class::General, &self.classes);
        if !general.is_empty() {
            self.general_part(&general)?;
        }
        let keys = self.prepared.keys.len();
        let scope = self.builder.scope;
        let collated = collate(scope, self.parts, keys, self.columns, self.schema)?;
        Ok(self.builder.rows(collated))
    }

    fn keys(&self) -> usize {
        self.prepared.keys.len()
    }

    /// The schema of a part: the keys, then the answers of some aggregates.
    fn part_schema(&self, which: &[usize]) -> SchemaRef {
        let keys = self.keys();
        let columns: Vec<usize> = (0..keys).chain(which.iter().map(|at| keys + at)).collect();
        map::project_schema(&self.schema, &columns)
    }

    fn push(&mut self, which: &[usize], part: Part<'scope>) {
        for (place, at) in which.iter().enumerate() {
            self.columns[*at] = (self.parts.len(), place);
        }
        self.parts.push(part);
    }

    fn accumulable_part(&mut self, which: &[usize]) -> Result<(), RenderError> {
        let schema = self.part_schema(which);
        let rows = self.stream.clone().into();
        let rows = accumulable(self.builder, rows, &self.prepared, which, schema.clone())?;
        // No row of this part means no group: its answers for nothing are never asked for.
        self.push(
            which,
            Part {
                rows,
                schema,
                of_nothing: Vec::new(),
            },
        );
        Ok(())
    }

    /// The rows that count for an aggregate: its keys and arguments where its filter is true and
    /// no argument is null.
    fn rows_of(&mut self, at: usize) -> (Flow<'scope>, SchemaRef) {
        let prepared = &self.prepared;
        let mut steps: Vec<Step> = Vec::new();
        if let Some(filter) = prepared.filters[at] {
            steps.push(Step::Filter(column(&prepared.input, filter)));
        }
        for arg in &prepared.args[at] {
            if prepared.input.field(*arg).is_nullable() {
                let not_null = IsNotNullExpr::new(column(&prepared.input, *arg));
                steps.push(Step::Filter(Arc::new(not_null)));
            }
        }
        let columns: Vec<usize> = prepared
            .keys
            .iter()
            .chain(&prepared.args[at])
            .copied()
            .collect();
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(to, from)| {
                prepared
                    .input
                    .field(*from)
                    .clone()
                    .with_name(format!("c{to}"))
            })
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let exprs = columns
            .iter()
            .map(|from| column(&prepared.input, *from))
            .collect();
        steps.push(Step::Project {
            exprs,
            schema: schema.clone(),
        });
        let mapped = map::map(self.stream.clone(), steps, prepared.views.clone());
        (self.builder.rows(mapped), schema)
    }

    fn distinct_part(&mut self, at: usize) -> Result<(), RenderError> {
        let (mut rows, input) = self.rows_of(at);
        let width = input.fields().len();
        if self.only_added {
            let new = sieve(rows, &input, (0..width).collect())?;
            rows = self.builder.rows(new);
        }
        let values = Prepared {
            input: input.clone(),
            keys: (0..width).collect(),
            aggregates: Vec::new(),
            args: Vec::new(),
            filters: Vec::new(),
            views: self.prepared.views.clone(),
        };
        let distinct = accumulable(self.builder, rows, &values, &[], input.clone())?;
        let args: Vec<usize> = (self.keys()..width).collect();
        let aggregate = Aggregate {
            args: args.iter().map(|arg| column(&input, *arg)).collect(),
            distinct: false,
            filter: None,
            order: Vec::new(),
            ..self.prepared.aggregates[at].clone()
        };
        let schema = self.part_schema(&[at]);
        let out_type = schema.field(self.keys()).data_type().clone();
        let layout = Layout::try_new(std::slice::from_ref(&aggregate), &input, &[out_type])?;
        let mut nothing = layout.new_accumulators();
        nothing.resize(1);
        let (answers, _) = nothing.evaluate(&layout, &[0]);
        let prepared = Prepared {
            input,
            keys: (0..self.keys()).collect(),
            aggregates: vec![aggregate],
            args: vec![args],
            filters: vec![None],
            views: self.prepared.views.clone(),
        };
        let rows = accumulable(self.builder, distinct, &prepared, &[0], schema.clone())?;
        let of_nothing = encode_answers(&schema, self.keys(), &answers)?;
        self.push(
            &[at],
            Part {
                rows,
                schema,
                of_nothing,
            },
        );
        Ok(())
    }

    fn extremum_part(&mut self, at: usize, greatest: bool) -> Result<(), RenderError> {
        let (rows, input) = self.rows_of(at);
        let keys = self.keys();
        let schema = self.part_schema(&[at]);
        let extremum = Extremum {
            input,
            schema: schema.clone(),
            greatest,
            only_added: self.only_added,
        };
        let best = extremum.render(rows, self.builder.peers)?;
        let rows = self.builder.rows(best);
        let nothing = arrow::array::new_null_array(schema.field(keys).data_type(), 1);
        let of_nothing = encode_answers(&schema, keys, &[nothing])?;
        self.push(
            &[at],
            Part {
                rows,
                schema,
                of_nothing,
            },
        );
        Ok(())
    }

    fn general_part(&mut self, which: &[usize]) -> Result<(), RenderError> {
        let keys = self.keys();
        let input = self.prepared.input.clone();
        let arrangement =
            Arrangement::of_rows(self.prepared.keys.clone(), input.fields().len(), true);
        let stream = self.stream.clone();
        let arranged = arrange(stream, &input, &arrangement, self.builder.peers)?;
        let schema = self.part_schema(which);
        let aggregates = which
            .iter()
            .map(|at| self.prepared.aggregates[*at].clone())
            .collect();
        let logic = General::new(
            aggregates,
            input.clone(),
            schema.clone(),
            arrangement.key_codec(&input)?,
            arrangement.value_codec(&input)?,
            self.prepared.views.clone(),
        )?;
        let nothing = logic
            .of_nothing()?
            .iter()
            .map(|answer| answer.to_array())
            .collect::<datafusion::common::Result<Vec<ArrayRef>>>()?;
        let of_nothing = encode_answers(&schema, keys, &nothing)?;
        let rows = self.builder.rows(general(arranged, logic));
        self.push(
            which,
            Part {
                rows,
                schema,
                of_nothing,
            },
        );
        Ok(())
    }
}

/// One row of answers, encoded as a part's answers are.
fn encode_answers(
    schema: &SchemaRef,
    keys: usize,
    answers: &[ArrayRef],
) -> Result<Vec<u8>, RenderError> {
    let fields = &schema.fields()[keys..];
    let codec = RowCodec::new(fields.iter().map(|field| field.data_type()))?;
    let answers: Vec<ArrayRef> = answers
        .iter()
        .zip(fields)
        .map(|(answer, field)| arrow::compute::cast(answer.as_ref(), field.data_type()))
        .collect::<Result<_, _>>()?;
    Ok(codec.encode(&answers, 1)?.get(0).to_vec())
}
