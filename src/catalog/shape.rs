//! Which views there are at an epoch, and how the rows of each are kept.
//!
//! A view has a place, which is the same at every epoch and never another's. Views come and go
//! between epochs; a snapshot keeps the shape that it was made with.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::codec::ViewCodec;
use crate::delta::Time;
use crate::plan::{Output, Plan};

/// A view, or a table whose rows are held.
pub(crate) struct Shown {
    pub(super) output: Output,
    pub(super) codec: ViewCodec,
    /// The tables that it reads, by name.
    pub(super) tables: Vec<String>,
}

impl Shown {
    /// An output that reads some tables, through whatever is between.
    ///
    /// # Errors
    /// If it has columns of a type that cannot be kept.
    pub(crate) fn new(output: Output, tables: Vec<String>) -> Result<Arc<Shown>, ArrowError> {
        Ok(Arc::new(Shown {
            codec: ViewCodec::new(&output)?,
            output,
            tables,
        }))
    }

    /// Encodes rows as the catalog keeps them.
    pub(crate) fn encode(&self, batch: &RecordBatch) -> crate::row::Rows {
        self.codec.encode(batch)
    }
}

/// Which views there are.
#[derive(Clone, Default)]
pub(crate) struct Shape {
    /// By place; `None` for one that was never shown.
    places: Vec<Option<Arc<Shown>>>,
    /// By place: the first epoch that shows it.
    since: Vec<Time>,
    by_name: HashMap<String, usize>,
    /// What has been dropped and not made anew, by name: when.
    gone: HashMap<String, Time>,
}

impl Shape {
    /// The shape of a plan's outputs.
    ///
    /// # Errors
    ///
    /// If an output has columns of a type that cannot be kept.
    pub(crate) fn new(plan: &Plan) -> Result<Arc<Self>, ArrowError> {
        let mut shape = Shape::default();
        for (place, output) in plan.outputs.iter().enumerate() {
            let tables = plan.tables_of(output.node);
            shape.add(place, Shown::new(output.clone(), tables)?, 0);
        }
        Ok(Arc::new(shape))
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// What is, or was, at a place that has been shown.
    pub(crate) fn at(&self, place: usize) -> &Arc<Shown> {
        self.places[place]
            .as_ref()
            .expect("places are asked for after they are shown")
    }

    /// The place of a view that there is.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The first epoch that shows a place.
    pub(super) fn since(&self, place: usize) -> Time {
        self.since.get(place).copied().unwrap_or(Time::MAX)
    }

    /// The last epoch without what had a name until then.
    pub(super) fn gone(&self, name: &str) -> Option<Time> {
        self.gone.get(name).copied()
    }

    /// Whether there is something at a place.
    pub(super) fn shows(&self, place: usize) -> bool {
        let shown = self.places.get(place).and_then(Option::as_ref);
        shown.is_some_and(|shown| self.place(&shown.output.view.name) == Some(place))
    }

    /// All that there is, in order of place.
    pub(super) fn all(&self) -> impl Iterator<Item = &Output> {
        let shown = self.places.iter().enumerate();
        let shown = shown.filter(|(place, _)| self.shows(*place));
        shown.filter_map(|(_, shown)| Some(&shown.as_ref()?.output))
    }

    /// Shows something at a new place.
    pub(super) fn add(&mut self, place: usize, shown: Arc<Shown>, epoch: Time) {
        let name = shown.output.view.name.clone();
        if self.places.len() <= place {
            self.places.resize(place + 1, None);
            self.since.resize(place + 1, Time::MAX);
        }
        self.places[place] = Some(shown);
        self.since[place] = epoch;
        self.gone.remove(&name);
        self.by_name.insert(name, place);
    }

    /// Shows something no more.
    pub(super) fn remove(&mut self, place: usize, epoch: Time) {
        let name = &self.at(place).output.view.name;
        if self.place(name) == Some(place) {
            let name = name.clone();
            self.by_name.remove(&name);
            self.gone.insert(name, epoch);
        }
    }
}
