//! The read side: what every view answered at one epoch.
//!
//! Changes of closed epochs flow in, from each worker into a shard of its own; a [`Snapshot`]
//! flows out. Rows are kept encoded in the order in which the view shows them.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::delta::{Delta, Diff, Time};
use crate::plan::{Output, Plan};
use crate::row::{KeyTable, RowCodec, key_bytes};

/// What every view answered at one epoch.
pub struct Snapshot {
    epoch: Time,
    views: Vec<ViewState>,
}

/// One view's answer.
struct ViewState {
    output: Output,
    answer: Answer,
    changes: (RecordBatch, Vec<Diff>),
}

/// A view's rows: in hand, or to be read from shards that no longer change.
enum Answer {
    Rows(RecordBatch),
    Frozen {
        shards: Vec<Mutex<Shard>>,
        codec: ViewCodec,
        rows: OnceLock<RecordBatch>,
    },
}

impl Snapshot {
    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The views, the system's included.
    pub fn views(&self) -> impl Iterator<Item = &Output> {
        self.views.iter().map(|view| &view.output)
    }

    /// A view's rows, in the order of its `ORDER BY`, then of its columns; `None` if there is no
    /// such view.
    pub fn rows(&self, view: &str) -> Option<RecordBatch> {
        Some(match &self.view(view)?.answer {
            Answer::Rows(rows) => rows.clone(),
            Answer::Frozen {
                shards,
                codec,
                rows,
            } => rows
                .get_or_init(|| codec.read(shards.iter().map(lock).collect()))
                .clone(),
        })
    }

    /// How a view's rows changed in the epoch, and by how much each; empty after a replay, whose
    /// epochs are of no interest by themselves. `None` if there is no such view.
    pub fn changes(&self, view: &str) -> Option<(RecordBatch, Vec<i64>)> {
        Some(self.view(view)?.changes.clone())
    }

    fn view(&self, name: &str) -> Option<&ViewState> {
        self.views.iter().find(|view| view.output.view.name == name)
    }
}

/// Collects what the workers find.
pub(crate) struct Catalog {
    views: Vec<View>,
    keep_changes: bool,
}

struct View {
    output: Output,
    codec: ViewCodec,
    shards: Vec<Mutex<Shard>>,
}

/// What one worker holds of a view: rows and how often each is there.
#[derive(Default)]
struct Shard {
    table: KeyTable,
    counts: Vec<Diff>,
    /// What the last epoch changed.
    changed: Vec<Delta>,
}

impl Catalog {
    /// An empty catalog of a plan's outputs.
    ///
    /// # Errors
    ///
    /// If an output has columns of a type that cannot be kept.
    pub(crate) fn new(plan: &Plan, workers: usize, keep_changes: bool) -> Result<Self, ArrowError> {
        let views = plan.outputs.iter().map(|output| {
            let shards = (0..workers).map(|_| Mutex::default()).collect();
            Ok(View {
                output: output.clone(),
                codec: ViewCodec::new(output)?,
                shards,
            })
        });
        Ok(Catalog {
            views: views.collect::<Result<_, ArrowError>>()?,
            keep_changes,
        })
    }

    /// Takes over what a worker found a view to have changed by since [`Catalog::begin_epoch`].
    pub(crate) fn apply(&self, view: usize, worker: usize, deltas: Vec<Delta>) {
        let view = &self.views[view];
        let mut shard = lock(&view.shards[worker]);
        for delta in &deltas {
            let keys = view.codec.encode(&delta.batch);
            for (row, key) in keys.iter().enumerate() {
                shard.add(key, delta.diff(row));
            }
        }
        if self.keep_changes {
            shard.changed.extend(deltas);
        }
    }

    /// Forgets what earlier epochs changed in a worker's shards.
    pub(crate) fn begin_epoch(&self, worker: usize) {
        self.views
            .iter()
            .for_each(|view| lock(&view.shards[worker]).changed.clear());
    }

    /// What all views answer now. No worker may be applying an epoch meanwhile.
    pub(crate) fn snapshot(&self, epoch: Time) -> Snapshot {
        let views = self.views.iter().map(|view| {
            let shards: Vec<MutexGuard<'_, Shard>> = view.shards.iter().map(lock).collect();
            let changed: Vec<Delta> = shards
                .iter()
                .flat_map(|shard| shard.changed.iter().cloned())
                .collect();
            ViewState {
                output: view.output.clone(),
                changes: view.codec.consolidate(&changed),
                answer: Answer::Rows(view.codec.read(shards)),
            }
        });
        Snapshot {
            epoch,
            views: views.collect(),
        }
    }

    /// What all views answer at the end.
    pub(crate) fn finish(self, epoch: Time) -> Snapshot {
        let views = self.views.into_iter().map(
            |View {
                 output,
                 codec,
                 shards,
             }| ViewState {
                changes: codec.consolidate(&[]),
                output,
                answer: Answer::Frozen {
                    shards,
                    codec,
                    rows: OnceLock::new(),
                },
            },
        );
        Snapshot {
            epoch,
            views: views.collect(),
        }
    }
}

/// A shard is only ever left whole: what its holder's panic spoilt ends the process.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn add(&mut self, key: &[u8], diff: Diff) {
        let (slot, _) = self.table.intern(key);
        if slot >= self.counts.len() {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += diff;
        if self.counts[slot] == 0 {
            self.table.remove(slot);
        }
    }
}

/// Encodes a view's rows such that their order is the order in which they are shown.
struct ViewCodec {
    codec: RowCodec,
    /// The view's columns in the order in which they are encoded.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl ViewCodec {
    fn new(output: &Output) -> Result<Self, ArrowError> {
        let mut columns: Vec<(usize, SortOptions)> = output.order.clone();
        for column in 0..output.schema.fields().len() {
            if columns.iter().all(|(other, _)| *other != column) {
                columns.push((column, SortOptions::default()));
            }
        }
        let data_type =
            |column: usize| -> DataType { output.schema.field(column).data_type().clone() };
        let codec = RowCodec::with_order(
            columns
                .iter()
                .map(|(column, options)| (data_type(*column), *options)),
        )?;
        let columns = columns.into_iter().map(|(column, _)| column).collect();
        Ok(ViewCodec {
            codec,
            columns,
            schema: output.schema.clone(),
        })
    }

    fn encode(&self, batch: &RecordBatch) -> crate::row::Rows {
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|column| batch.column(*column).clone())
            .collect();
        self.codec
            .encode_keys(&columns, batch.num_rows())
            .expect("rows are of the view's types")
    }

    /// The rows of all shards, in order, each as often as it is there.
    fn read(&self, shards: Vec<MutexGuard<'_, Shard>>) -> RecordBatch {
        let counted = shards.iter().flat_map(|shard| {
            shard
                .table
                .iter()
                .map(|slot| (key_bytes(shard.table.key(slot)), shard.counts[slot]))
        });
        let counted = consolidate(counted.collect());
        let rows = counted.iter().flat_map(|(row, count)| {
            std::iter::repeat_n(*row, (*count).max(0).unsigned_abs() as usize)
        });
        self.decode(rows.collect())
    }

    /// The net changes of some deltas.
    fn consolidate(&self, deltas: &[Delta]) -> (RecordBatch, Vec<Diff>) {
        let encoded: Vec<_> = deltas
            .iter()
            .map(|delta| self.encode(&delta.batch))
            .collect();
        let changes = encoded.iter().zip(deltas).flat_map(|(rows, delta)| {
            rows.iter()
                .enumerate()
                .map(|(row, key)| (key_bytes(key), delta.diff(row)))
        });
        let changes = consolidate(changes.collect());
        let rows = self.decode(changes.iter().map(|(row, _)| *row).collect());
        (rows, changes.into_iter().map(|(_, diff)| diff).collect())
    }

    fn decode(&self, rows: Vec<&[u8]>) -> RecordBatch {
        let count = rows.len();
        let decoded = self
            .codec
            .decode(rows)
            .expect("rows are of the codec's making");
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.columns.len()];
        for (column, array) in self.columns.iter().zip(decoded) {
            columns[*column] = Some(array);
        }
        let columns = columns.into_iter().flatten().collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("decoded rows fit the view's schema")
    }
}

/// Sorts rows and adds up those that are equal; drops those that cancel out.
fn consolidate(mut rows: Vec<(&[u8], Diff)>) -> Vec<(&[u8], Diff)> {
    rows.sort_unstable_by(|a, b| a.0.cmp(b.0));
    let mut kept: Vec<(&[u8], Diff)> = Vec::with_capacity(rows.len());
    for (row, diff) in rows {
        match kept.last_mut() {
            Some(last) if last.0 == row => last.1 += diff,
            _ => kept.push((row, diff)),
        }
    }
    kept.retain(|(_, diff)| *diff != 0);
    kept
}

/// Shows a snapshot by its epoch and the views it has.
impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let views: Vec<&str> = self
            .views()
            .map(|output| output.view.name.as_str())
            .collect();
        f.debug_struct("Snapshot")
            .field("epoch", &self.epoch)
            .field("views", &views)
            .finish()
    }
}
