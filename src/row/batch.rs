//! The batches of arrangements, and how updates become one.
//!
//! [`Updates`] flow in as they come; whenever a time is complete, [`RowBatcher`] sorts its updates,
//! adds up those that are equal, and hands over one [`RowBatch`].

use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::batcher::{Batcher, Extract};
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, OrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use serde::{Deserialize, Serialize};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::{Rows, key_hash};
use crate::delta::{Diff, Time};

/// Updates on their way into an arrangement, all at one time and for one worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Updates {
    /// The worker they are for.
    pub to: usize,
    /// When.
    pub time: Time,
    /// The keys, with their hashes.
    pub keys: Rows,
    /// The values, one a key.
    pub values: Rows,
    /// The diffs; `None` stands for +1 each.
    pub diffs: Option<Vec<Diff>>,
}

impl Updates {
    #[inline]
    fn diff(&self, index: usize) -> Diff {
        self.diffs.as_ref().map_or(1, |diffs| diffs[index])
    }
}

/// Keys, values, times and diffs in flat buffers.
pub type RowLayout = (Rows, Rows, Vec<Time>, Vec<Diff>, OffsetList);
/// The updates of some times, by key and value.
pub type RowBatch = OrdValBatch<RowLayout>;
/// An arrangement's storage.
pub type RowSpine = Spine<Rc<RowBatch>>;

/// Collects updates until their time is complete, then sorts them into a batch.
#[derive(Default)]
pub struct RowBatcher {
    pending: BTreeMap<Time, Vec<Updates>>,
    lower: Antichain<Time>,
}

impl Extract for RowBatcher {
    type Time = Time;
    type Output = Rc<RowBatch>;

    fn extract<'a>(
        &'a mut self,
        upper: AntichainRef<'_, Time>,
    ) -> (Option<Self::Output>, AntichainRef<'a, Time>) {
        let later = match upper.first() {
            Some(upper) => self.pending.split_off(upper),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut self.pending, later);
        self.lower = self.pending.keys().next().copied().into_iter().collect();
        let due: Vec<Updates> = due.into_values().flatten().collect();
        (build_batch(&due), self.lower.borrow())
    }
}

impl Batcher<Vec<Updates>> for RowBatcher {
    fn insert(&mut self, container: &mut Vec<Updates>) {
        for updates in container.drain(..) {
            self.pending.entry(updates.time).or_default().push(updates);
        }
    }
}

/// A reference to one update, with the head of its key for quick comparison.
#[derive(Clone, Copy)]
struct UpdateRef {
    hash: u64,
    chunk: u32,
    index: u32,
}

/// Sorts and consolidates updates; `None` if they cancel out.
fn build_batch(chunks: &[Updates]) -> Option<Rc<RowBatch>> {
    let total = chunks.iter().map(|chunk| chunk.keys.len()).sum();
    let mut refs: Vec<UpdateRef> = Vec::with_capacity(total);
    for (chunk_number, chunk) in chunks.iter().enumerate() {
        let chunk_number =
            u32::try_from(chunk_number).expect("an epoch has fewer than 2^32 chunks");
        for index in 0..chunk.keys.len() {
            refs.push(UpdateRef {
                hash: key_hash(chunk.keys.get(index)),
                chunk: chunk_number,
                index: u32::try_from(index).expect("a chunk has fewer than 2^32 rows"),
            });
        }
    }
    let key = |r: &UpdateRef| chunks[r.chunk as usize].keys.get(r.index as usize);
    let value = |r: &UpdateRef| chunks[r.chunk as usize].values.get(r.index as usize);
    let time = |r: &UpdateRef| chunks[r.chunk as usize].time;
    refs.sort_unstable_by_key(|r| r.hash);
    // Keys of equal hashes are nearly always equal: then only values and times are left to compare.
    for run in refs.chunk_by_mut(|a, b| a.hash == b.hash) {
        let first = run[0];
        if run.iter().all(|r| key(r) == key(&first)) {
            run.sort_unstable_by(|a, b| (value(a), time(a)).cmp(&(value(b), time(b))));
        } else {
            let whole = |r: &UpdateRef| (key(r), value(r), time(r));
            run.sort_unstable_by(|a, b| whole(a).cmp(&whole(b)));
        }
    }

    // OrdValBuilder's storage is filled directly: its own entry point would have each row owned.
    let mut builder = OrdValBuilder::<RowLayout, ()>::with_capacity(total, total, total);
    let storage = &mut builder.result;
    let mut updates = 0;
    let mut begin = 0;
    while begin < refs.len() {
        let this_key = key(&refs[begin]);
        let values_before = storage.vals.vals.len();
        while begin < refs.len() && key(&refs[begin]) == this_key {
            let this_value = value(&refs[begin]);
            let first_update = storage.upds.times.len();
            let mut seen = 0;
            while begin < refs.len()
                && key(&refs[begin]) == this_key
                && value(&refs[begin]) == this_value
            {
                let this_time = time(&refs[begin]);
                let mut sum: Diff = 0;
                while begin < refs.len()
                    && time(&refs[begin]) == this_time
                    && key(&refs[begin]) == this_key
                    && value(&refs[begin]) == this_value
                {
                    let r = refs[begin];
                    sum += chunks[r.chunk as usize].diff(r.index as usize);
                    begin += 1;
                }
                if sum != 0 {
                    seen += 1;
                    storage.upds.times.push(this_time);
                    storage.upds.diffs.push(sum);
                }
            }
            if seen == 0 {
                continue;
            }
            updates += seen;
            repeat_single_update(storage, first_update);
            storage.upds.offs.push_ref(storage.upds.times.len());
            storage.vals.vals.push(this_value);
        }
        if storage.vals.vals.len() > values_before {
            storage.keys.push(this_key);
            storage.vals.offs.push_ref(storage.vals.vals.len());
        }
    }
    (updates > 0).then(|| {
        Rc::new(RowBatch {
            storage: builder.result,
            updates,
        })
    })
}

/// Drops a value's only update if it equals the update before it: an empty range of updates is
/// differential's sign for "as before".
fn repeat_single_update(
    storage: &mut differential_dataflow::trace::implementations::ord_neu::val_batch::OrdValStorage<
        RowLayout,
    >,
    first: usize,
) {
    let upds = &mut storage.upds;
    let single = upds.times.len() == first + 1;
    let repeats = first > 0
        && single
        && upds.times[first] == upds.times[first - 1]
        && upds.diffs[first] == upds.diffs[first - 1];
    if repeats {
        upds.times.pop();
        upds.diffs.pop();
    }
}
