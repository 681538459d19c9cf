//! Which components the aggregates of a Reduce need, each once.
//!
//! Aggregates flow in; a [`Layout`] comes out: what is read of the batches (sources, filters), which
//! rows count for a component (selections), the components, and the question that each aggregate
//! asks of them. Equal sources, selections and components are made once, so that `count(x)`,
//! `sum(x)` and `avg(x)` share the count of `x`; where no argument can be null and nothing is
//! filtered, that count is the row count, which is always there.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::physical_expr::PhysicalExpr;

use crate::plan::Aggregate;

use super::question::Question;
use super::{AccumulateError, Accumulators, Column};

/// The component that counts the rows.
pub(super) const ROWS: usize = 0;

/// How the aggregates of a Reduce are kept, see the module's header.
#[derive(Debug, Clone)]
pub struct Layout {
    pub(super) sources: Vec<Source>,
    pub(super) filters: Vec<Filter>,
    pub(super) selections: Vec<Selection>,
    pub(super) components: Vec<Component>,
    pub(super) answers: Vec<Answer>,
}

/// An argument that is read, where it is first met.
#[derive(Debug, Clone)]
pub(super) struct Source {
    expr: Arc<dyn PhysicalExpr>,
    pub(super) aggregate: usize,
    pub(super) argument: usize,
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
}

/// A predicate that is read, where it is first met.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    expr: Arc<dyn PhysicalExpr>,
    pub(super) aggregate: usize,
}

/// The rows that count for a component: those that meet the filter and have none of the sources
/// null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) filter: Option<usize>,
    /// Ascending positions of sources that may be null.
    pub(super) sources: Vec<usize>,
}

/// What is added up over the rows of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) selection: usize,
    pub(super) addend: Addend,
}

/// The addend of a row, by the positions of the sources it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addend {
    /// One.
    One,
    /// One if the source is true.
    True(usize),
    /// An integer or a duration.
    Integer(usize),
    /// A decimal, without its scale.
    Decimal(usize),
    /// A double.
    Float(usize),
    /// The product of two doubles; nothing if one of them is not finite.
    Product(usize, usize),
}

/// What is asked for an aggregate.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) question: Question,
    pub(super) data_type: DataType,
}

impl Layout {
    /// Whether an aggregate over rows of the schema `input` can be accumulated.
    pub fn is_accumulable(aggregate: &Aggregate, input: &Schema) -> bool {
        Layout::empty().question(aggregate, 0, input).is_ok()
    }

    /// The layout of the aggregates over rows of the schema `input`, which yield `out_types`.
    ///
    /// # Errors
    /// If an aggregate cannot be accumulated or cannot yield its type.
    pub fn try_new(
        aggregates: &[Aggregate],
        input: &Schema,
        out_types: &[DataType],
    ) -> Result<Layout, AccumulateError> {
        let mut layout = Layout::empty();
        for (position, (aggregate, data_type)) in aggregates.iter().zip(out_types).enumerate() {
            let question = layout.question(aggregate, position, input)?;
            if !layout.can_yield(question, data_type) {
                return Err(AccumulateError::WrongResult {
                    name: aggregate.name.clone(),
                    data_type: data_type.clone(),
                });
            }
            let (name, data_type) = (aggregate.name.clone(), data_type.clone());
            layout.answers.push(Answer {
                name,
                question,
                data_type,
            });
        }
        Ok(layout)
    }

    /// Accumulators of this layout, of no groups.
    pub fn new_accumulators(&self) -> Accumulators {
        let columns = self
            .components
            .iter()
            .map(|component| match component.addend {
                Addend::One | Addend::True(_) => Column::Count(Vec::new()),
                Addend::Integer(_) => Column::Integer(Vec::new()),
                Addend::Decimal(_) => Column::Decimal(Vec::new()),
                Addend::Float(_) | Addend::Product(..) => Column::Float(Vec::new()),
            });
        Accumulators::new(columns.collect())
    }

    /// Whether an argument of an aggregate is read. What is not read (an argument met before, the
    /// one of `count(*)`) need not be evaluated: any array may stand in its place.
    pub fn reads_argument(&self, aggregate: usize, argument: usize) -> bool {
        self.sources
            .iter()
            .any(|s| (s.aggregate, s.argument) == (aggregate, argument))
    }

    /// Whether the filter of an aggregate is read; an equal one may have been met before.
    pub fn reads_filter(&self, aggregate: usize) -> bool {
        self.filters
            .iter()
            .any(|filter| filter.aggregate == aggregate)
    }

    fn empty() -> Layout {
        let rows = Component {
            selection: 0,
            addend: Addend::One,
        };
        Layout {
            sources: Vec::new(),
            filters: Vec::new(),
            selections: vec![Selection::default()],
            components: vec![rows],
            answers: Vec::new(),
        }
    }

    /// What an aggregate asks, after adding what it needs and is not there yet.
    fn question(
        &mut self,
        aggregate: &Aggregate,
        position: usize,
        input: &Schema,
    ) -> Result<Question, AccumulateError> {
        let refused = || AccumulateError::NotAccumulable(aggregate.name.clone());
        let function = aggregate.function.name();
        if aggregate.distinct {
            return Err(refused());
        }
        if function == "count" {
            let arguments = self.nullable_arguments(aggregate, position, input)?;
            let selection = self.selection(aggregate, position, arguments);
            return Ok(Question::Count {
                count: self.component(selection, Addend::One),
            });
        }
        let mut arguments = Vec::new();
        for argument in 0..aggregate.args.len() {
            arguments.push(self.source(aggregate, position, argument, input)?);
        }
        let nullable = arguments
            .iter()
            .copied()
            .filter(|s| self.sources[*s].nullable)
            .collect();
        let selection = self.selection(aggregate, position, nullable);
        let question = match arguments[..] {
            [x] => self.question_of_one(function, selection, x),
            [y, x] => self.question_of_two(function, selection, y, x),
            _ => None,
        };
        question.ok_or_else(refused)
    }

    /// The arguments that may be null, as sources; the others are not needed for a count.
    fn nullable_arguments(
        &mut self,
        aggregate: &Aggregate,
        position: usize,
        input: &Schema,
    ) -> Result<Vec<usize>, AccumulateError> {
        let mut sources = Vec::new();
        for (argument, expr) in aggregate.args.iter().enumerate() {
            if expr
                .nullable(input)
                .map_err(|source| untyped(aggregate, source))?
            {
                sources.push(self.source(aggregate, position, argument, input)?);
            }
        }
        Ok(sources)
    }

    fn source(
        &mut self,
        aggregate: &Aggregate,
        position: usize,
        argument: usize,
        input: &Schema,
    ) -> Result<usize, AccumulateError> {
        let expr = &aggregate.args[argument];
        if let Some(found) = self.sources.iter().position(|source| source.expr.eq(expr)) {
            return Ok(found);
        }
        self.sources.push(Source {
            expr: Arc::clone(expr),
            aggregate: position,
            argument,
            data_type: expr
                .data_type(input)
                .map_err(|source| untyped(aggregate, source))?,
            nullable: expr
                .nullable(input)
                .map_err(|source| untyped(aggregate, source))?,
        });
        Ok(self.sources.len() - 1)
    }

    fn selection(
        &mut self,
        aggregate: &Aggregate,
        position: usize,
        mut sources: Vec<usize>,
    ) -> usize {
        sources.sort_unstable();
        sources.dedup();
        let filter = aggregate.filter.as_ref().map(|expr| {
            position_or_push(
                &mut self.filters,
                |filter| filter.expr.eq(expr),
                || Filter {
                    expr: Arc::clone(expr),
                    aggregate: position,
                },
            )
        });
        let selection = Selection { filter, sources };
        position_or_push(
            &mut self.selections,
            |known| *known == selection,
            || selection.clone(),
        )
    }

    /// The component that adds up `addend` over a selection, after adding it if it is not there.
    pub(super) fn component(&mut self, selection: usize, addend: Addend) -> usize {
        let component = Component { selection, addend };
        position_or_push(
            &mut self.components,
            |known| *known == component,
            || component,
        )
    }
}

fn untyped(aggregate: &Aggregate, source: datafusion::error::DataFusionError) -> AccumulateError {
    AccumulateError::Argument {
        name: aggregate.name.clone(),
        source: Box::new(source),
    }
}

fn position_or_push<T>(
    items: &mut Vec<T>,
    is_it: impl Fn(&T) -> bool,
    make: impl FnOnce() -> T,
) -> usize {
    items.iter().position(is_it).unwrap_or_else(|| {
        items.push(make());
        items.len() - 1
    })
}
