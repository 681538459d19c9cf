//! The read side: what every view answered, one epoch at a time.
//!
//! Changes of complete epochs flow in from the workers; [`Snapshot`]s flow out. A snapshot never
//! changes and shows all views at one epoch; whoever reads one waits for nobody. A replay keeps its
//! answers in `shards` and makes one snapshot at its end. An engine that goes on publishes one an
//! epoch through a [`Catalog`], which also remembers the snapshots and changes of late, so that a
//! reader can ask for an epoch by its number and follow a view without reading it again.

mod changing;
mod codec;
mod cursor;
mod kept;
mod publish;
mod recent;
mod shape;
mod shards;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;

use crate::calendar::now_ms;
use crate::delta::{Diff, Time};
use crate::plan::Output;
use codec::ViewCodec;
use kept::Kept;
use shards::Shard;

pub use cursor::Cursor;
pub use recent::{Catalog, Keep};

pub(crate) use kept::RowKey;
pub(crate) use publish::{Delivery, EpochChanges, publish};
pub(crate) use shape::{Shape, Shown};
pub(crate) use shards::Shards;

/// The view that counts what was read.
const INPUTS_VIEW: &str = "tillrace.inputs";

/// What every view answered at one epoch.
pub struct Snapshot {
    epoch: Time,
    closed_at_ms: i64,
    shape: Arc<Shape>,
    answers: Vec<Arc<Answer>>,
    newest: OnceLock<HashMap<String, i64>>,
}

/// One view's rows: kept from epoch to epoch, or in shards that no longer change.
enum Answer {
    Kept(Kept),
    Frozen {
        shards: Vec<Mutex<Shard>>,
        rows: OnceLock<RecordBatch>,
    },
}

impl Answer {
    fn frozen(shards: Vec<Mutex<Shard>>) -> Answer {
        let rows = OnceLock::new();
        Answer::Frozen { shards, rows }
    }
}

impl Snapshot {
    fn new(epoch: Time, shape: Arc<Shape>, answers: Vec<Arc<Answer>>) -> Snapshot {
        Snapshot {
            epoch,
            closed_at_ms: i64::try_from(now_ms()).unwrap_or(i64::MAX),
            shape,
            answers,
            newest: OnceLock::new(),
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When it was published, in milliseconds since the Unix epoch.
    pub fn closed_at_ms(&self) -> i64 {
        self.closed_at_ms
    }

    /// The views, the system's included.
    pub fn views(&self) -> impl Iterator<Item = &Output> {
        self.shape.all().filter(|output| output.table.is_none())
    }

    /// The tables whose rows are held, as if each were a view.
    pub fn held_tables(&self) -> impl Iterator<Item = &Output> {
        self.shape.all().filter(|output| output.table.is_some())
    }

    /// When a view was dropped that has not been made anew: the first epoch without it.
    pub fn dropped_at(&self, name: &str) -> Option<u64> {
        self.shape.gone(name)
    }

    /// A view, or a table whose rows are held, at this epoch; `None` if there is none of that name.
    pub fn view(&self, name: &str) -> Option<ViewAt<'_>> {
        let view = self.shape.place(name)?;
        Some(ViewAt {
            snapshot: self,
            view,
        })
    }

    /// A view's rows, in the order of its `ORDER BY`, then of its columns; `None` if there is no
    /// such view.
    pub fn rows(&self, view: &str) -> Option<RecordBatch> {
        Some(self.view(view)?.rows())
    }

    /// How a view's rows changed in the epoch, and by how much each; empty after a replay, whose
    /// epochs are of no interest by themselves. `None` if there is no such view.
    pub fn changes(&self, view: &str) -> Option<(RecordBatch, Vec<i64>)> {
        Some(self.view(view)?.changes())
    }

    /// The newest event time of each table, in nanoseconds since the Unix epoch.
    fn newest(&self) -> &HashMap<String, i64> {
        self.newest.get_or_init(|| {
            let Some(inputs) = self.rows(INPUTS_VIEW) else {
                return HashMap::new();
            };
            let (Some(tables), Some(times)) = (
                inputs.column_by_name("table"),
                inputs.column_by_name("newest_event_time"),
            ) else {
                return HashMap::new();
            };
            let tables = tables.as_string::<i32>().iter().flatten();
            let times = times.as_primitive::<TimestampNanosecondType>().iter();
            let mut newest: HashMap<String, i64> = HashMap::new();
            for (table, time) in tables.zip(times) {
                if let Some(time) = time {
                    let known = newest.entry(table.to_owned()).or_insert(time);
                    *known = time.max(*known);
                }
            }
            newest
        })
    }
}

/// A view at the epoch of a snapshot.
#[derive(Clone, Copy)]
pub struct ViewAt<'a> {
    snapshot: &'a Snapshot,
    view: usize,
}

impl<'a> ViewAt<'a> {
    /// The view's place among all views; the same at every epoch.
    pub fn place(&self) -> usize {
        self.view
    }

    /// The view's name, comment, options, columns and order.
    pub fn output(&self) -> &'a Output {
        &self.snapshot.shape.at(self.view).output
    }

    /// The tables that the view reads, through whatever other views, by name.
    pub fn tables(&self) -> &'a [String] {
        &self.snapshot.shape.at(self.view).tables
    }

    /// The newest event time among the tables that it reads, in nanoseconds since the Unix epoch.
    pub fn newest_event_time(&self) -> Option<i64> {
        let newest = self.snapshot.newest();
        let tables = self.tables().iter();
        tables.filter_map(|table| newest.get(table)).copied().max()
    }

    /// How many rows there are.
    pub fn total(&self) -> usize {
        match self.answer() {
            Answer::Kept(kept) => kept.total(),
            Answer::Frozen { .. } => self.rows().num_rows(),
        }
    }

    /// The last epoch that changed the view; `None` if none has, or after a replay.
    pub fn changed_at(&self) -> Option<u64> {
        match self.answer() {
            Answer::Kept(kept) => kept.changed_at,
            Answer::Frozen { .. } => None,
        }
    }

    /// All rows, in the order of the view's `ORDER BY`, then of its columns.
    pub fn rows(&self) -> RecordBatch {
        let codec = self.codec();
        match self.answer() {
            Answer::Kept(kept) => kept.batch(codec),
            Answer::Frozen { shards, rows } => rows
                .get_or_init(|| shards::read(shards, |rows| codec.decode(rows.into_iter())))
                .clone(),
        }
    }

    /// The rows from `skip` on, at most `take` of them, in order. Costs what is passed over and
    /// taken, not what the view has.
    pub fn some_rows(&self, skip: usize, take: usize) -> RecordBatch {
        match self.answer() {
            Answer::Kept(kept) => kept.head(self.codec(), skip, take),
            Answer::Frozen { .. } => {
                let rows = self.rows();
                let skip = skip.min(rows.num_rows());
                rows.slice(skip, take.min(rows.num_rows() - skip))
            }
        }
    }

    /// The rows that have given values in given columns, by an index; `None` if there is no index
    /// by them, in which case [`Catalog::want_index`] makes one. The columns ascend; each value is
    /// an array of one element of its column's type.
    pub fn find(&self, columns: &[usize], values: &[ArrayRef]) -> Option<RecordBatch> {
        match self.answer() {
            Answer::Kept(kept) => kept.find(self.codec(), columns, values),
            Answer::Frozen { .. } => None,
        }
    }

    /// All different rows, encoded and in order, with how often each is there; for whoever goes
    /// through a view a part at a time.
    pub(crate) fn counted(&self) -> Vec<(RowKey, Diff)> {
        match self.answer() {
            Answer::Kept(kept) => kept.counted(),
            Answer::Frozen { .. } => unreachable!("a catalog's snapshots are kept, not frozen"),
        }
    }

    /// Encoded rows of the view as columns.
    pub(crate) fn decode(&self, rows: &[(RowKey, Diff)]) -> RecordBatch {
        self.codec().decode(rows.iter().map(|(row, _)| &**row))
    }

    /// How the rows changed in this very epoch, and by how much each.
    pub fn changes(&self) -> (RecordBatch, Vec<Diff>) {
        let changes = match self.answer() {
            Answer::Kept(kept) if kept.changed_at == Some(self.snapshot.epoch) => {
                kept.changes.as_slice()
            }
            _ => &[],
        };
        decode_changes(self.codec(), changes)
    }

    fn answer(&self) -> &'a Answer {
        &self.snapshot.answers[self.view]
    }

    fn codec(&self) -> &'a ViewCodec {
        &self.snapshot.shape.at(self.view).codec
    }
}

fn decode_changes(codec: &ViewCodec, changes: &[(kept::RowKey, Diff)]) -> (RecordBatch, Vec<Diff>) {
    let rows = codec.decode(changes.iter().map(|(row, _)| &**row));
    (rows, changes.iter().map(|(_, diff)| *diff).collect())
}

/// Shows a snapshot by its epoch and the views it has.
impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let views = self.shape.all().map(|output| output.view.name.as_str());
        let views: Vec<&str> = views.collect();
        f.debug_struct("Snapshot")
            .field("epoch", &self.epoch)
            .field("views", &views)
            .finish()
    }
}
