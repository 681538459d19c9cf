//! What one worker adds up before anything is sent.
//!
//! Deltas flow in; for each time that is complete, the sums of the groups that it touched flow out,
//! sorted by the workers that own the groups. Which groups there are is remembered from time to
//! time, their keys encoded, so that a group that comes again costs no more than finding it.
//! Groups that are many are forgotten now and then; what is forgotten is only their numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use timely::dataflow::operators::Capability;

use super::RenderError;
use super::accumulate::{AccumulateError, Accumulators, Layout};
use super::epoch::{Messages, Timed, waiting};
use super::flow::Flow;
use super::group::Grouping;
use super::keys::KeyGroups;
use crate::delta::{Delta, Time};
use crate::row::{RowCodec, Rows, key_hash, owner};

/// So many groups are remembered.
const MOST_GROUPS: usize = 1 << 19;

/// Partial sums on their way to the worker that owns their groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Partials {
    /// The worker.
    pub(super) to: usize,
    time: Time,
    /// The keys of the groups, with their hashes.
    pub(super) keys: Rows,
    sums: Parcel,
}

impl Partials {
    /// The sums, a group a key.
    ///
    /// # Errors
    ///
    /// If they come from another process and are of another layout.
    pub(super) fn into_sums(self, layout: &Layout) -> Result<Accumulators, AccumulateError> {
        match self.sums {
            Parcel::Open(sums) => Ok(sums),
            Parcel::Sealed(bytes) => Accumulators::decode(layout, &bytes),
        }
    }
}

impl Timed for Partials {
    fn time(&self) -> Time {
        self.time
    }
}

/// Accumulators in memory, or as the bytes that came from another process.
#[derive(Debug, Clone)]
enum Parcel {
    Open(Accumulators),
    Sealed(Vec<u8>),
}

impl Serialize for Parcel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Parcel::Open(sums) => {
                let groups: Vec<usize> = (0..sums.len()).collect();
                sums.encode(&groups).serialize(serializer)
            }
            Parcel::Sealed(bytes) => bytes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Parcel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(Parcel::Sealed)
    }
}

/// Groups the rows that one worker has.
pub(super) struct Partial {
    grouping: Arc<Grouping>,
    layout: Arc<Layout>,
    codec: Arc<RowCodec>,
    key_schema: SchemaRef,
    peers: usize,
    known: Known,
    /// The sums of times that are not complete.
    pending: BTreeMap<Time, Touched>,
    /// Sums that were taken before their time was complete.
    early: BTreeMap<Time, Vec<Partials>>,
    /// The groups of each row of the delta at hand.
    slots: Vec<usize>,
    /// Memory of a time that is over.
    spare: Option<Touched>,
}

/// The groups that are remembered.
struct Known {
    /// Absent without keys: then there is one group.
    groups: Option<KeyGroups>,
    /// Their keys, with hashes.
    keys: Rows,
}

/// The sums of one time, by group, and which groups have any.
struct Touched {
    sums: Accumulators,
    groups: Vec<usize>,
    is_touched: Vec<bool>,
}

impl Partial {
    /// Nothing yet.
    ///
    /// # Errors
    ///
    /// If rows cannot be grouped by keys of these types.
    pub(super) fn new(
        grouping: Arc<Grouping>,
        layout: Arc<Layout>,
        codec: Arc<RowCodec>,
        key_schema: SchemaRef,
        peers: usize,
    ) -> Result<Self, RenderError> {
        let known = Known::new(&key_schema, &codec)?;
        Ok(Partial {
            grouping,
            layout,
            codec,
            key_schema,
            peers,
            known,
            pending: BTreeMap::new(),
            early: BTreeMap::new(),
            slots: Vec::new(),
            spare: None,
        })
    }

    /// Renders the partial sums of rows.
    pub(super) fn render(mut self, rows: Flow<'_>) -> Messages<'_, Partials> {
        let mut pending: BTreeMap<Time, Capability<Time>> = BTreeMap::new();
        waiting(rows, "GroupPartially", move |inlets, is_open, output| {
            inlets.each(|capability, delta| {
                let held = || capability.delayed(&delta.time, 0);
                pending.entry(delta.time).or_insert_with(held);
                self.add(&delta);
                for (time, parts) in std::mem::take(&mut self.early) {
                    let mut session = output.session(&pending[&time]);
                    session.give_iterator(parts.into_iter());
                }
            });
            while let Some(entry) = pending.first_entry() {
                if is_open(entry.key()) {
                    break;
                }
                let (time, capability) = entry.remove_entry();
                let parts = self.complete(time);
                output.session(&capability).give_iterator(parts.into_iter());
            }
        })
    }

    /// Adds rows to the sums of their time.
    pub(super) fn add(&mut self, delta: &Delta) {
        let time = delta.time;
        let mut touched = match self.pending.remove(&time) {
            Some(touched) => touched,
            None => self.untouched(),
        };
        self.add_to(&mut touched, delta);
        self.pending.insert(time, touched);
        if self.known.keys.len() >= MOST_GROUPS {
            for (time, mut touched) in std::mem::take(&mut self.pending) {
                let parts = self.take(&mut touched, time);
                self.early.entry(time).or_default().extend(parts);
            }
            self.forget();
        }
    }

    /// Takes the sums of a time to which nothing more is added.
    pub(super) fn complete(&mut self, time: Time) -> Vec<Partials> {
        let mut parts = self.early.remove(&time).unwrap_or_default();
        if let Some(mut touched) = self.pending.remove(&time) {
            parts.extend(self.take(&mut touched, time));
            self.spare = Some(touched);
        }
        parts
    }

    fn untouched(&mut self) -> Touched {
        self.spare.take().unwrap_or_else(|| Touched {
            sums: self.layout.new_accumulators(),
            groups: Vec::new(),
            is_touched: Vec::new(),
        })
    }

    /// Groups are numbered anew from here on. Nothing may be touched.
    fn forget(&mut self) {
        self.known = Known::new(&self.key_schema, &self.codec).expect("made once at the start");
        self.spare = None;
    }

    fn add_to(&mut self, touched: &mut Touched, delta: &Delta) {
        let column = |column: &usize| delta.batch.column(*column).clone();
        let keys: Vec<ArrayRef> = self.grouping.keys.iter().map(column).collect();
        self.known
            .find(&keys, delta.len(), &self.codec, &mut self.slots);
        let args: Vec<Vec<ArrayRef>> = self
            .grouping
            .args
            .iter()
            .map(|args| args.iter().map(column).collect())
            .collect();
        let filters: Vec<Option<BooleanArray>> = self
            .grouping
            .filters
            .iter()
            .map(|filter| filter.map(|at| delta.batch.column(at).as_boolean().clone()))
            .collect();
        let slots = self.slots.as_slice();
        touched.touch(slots, self.known.keys.len());
        touched
            .sums
            .update(&self.layout, slots, &args, &filters, delta.diffs.as_deref())
            .expect("arguments are of the layout's types");
    }

    /// Takes the sums of a time out, sorted by the workers that own their groups.
    fn take(&self, touched: &mut Touched, time: Time) -> Vec<Partials> {
        let mut sent: Vec<(Rows, Vec<usize>)> = vec![Default::default(); self.peers];
        for group in &touched.groups {
            if !touched.sums.is_zero(*group) {
                let key = self.known.keys.get(*group);
                let (keys, groups) = &mut sent[owner(key_hash(key), self.peers)];
                keys.push(key);
                groups.push(*group);
            }
        }
        let mut parts = Vec::new();
        for (to, (keys, groups)) in sent.into_iter().enumerate() {
            if !groups.is_empty() {
                let sums = Parcel::Open(touched.sums.take(&groups));
                parts.push(Partials {
                    to,
                    time,
                    keys,
                    sums,
                });
            }
        }
        touched.clear();
        parts
    }
}

impl Known {
    fn new(schema: &SchemaRef, codec: &RowCodec) -> Result<Self, RenderError> {
        if !schema.fields().is_empty() {
            let groups = Some(KeyGroups::new(Arc::clone(schema))?);
            let keys = Rows::default();
            return Ok(Known { groups, keys });
        }
        let keys = codec.encode_keys(&[], 1)?;
        Ok(Known { groups: None, keys })
    }

    /// Puts the group of each row into `slots`; groups that are new are remembered.
    fn find(&mut self, keys: &[ArrayRef], rows: usize, codec: &RowCodec, slots: &mut Vec<usize>) {
        let Some(groups) = &mut self.groups else {
            slots.clear();
            slots.resize(rows, 0);
            return;
        };
        groups
            .intern(keys, slots)
            .expect("keys are of the group's types");
        if groups.len() == self.keys.len() {
            return;
        }
        // Numbers are given out in the order in which groups are first met.
        let mut next = self.keys.len();
        let mut first_rows: Vec<u32> = Vec::with_capacity(groups.len() - next);
        for (row, group) in slots.iter().enumerate() {
            if *group == next {
                first_rows.push(u32::try_from(row).expect("a batch has fewer than 2^32 rows"));
                next += 1;
            }
        }
        let count = first_rows.len();
        let first_rows = UInt32Array::from(first_rows);
        let new: Vec<ArrayRef> = keys
            .iter()
            .map(|key| take(key, &first_rows, None).expect("rows of the batch"))
            .collect();
        let new = codec.encode_keys(&new, count);
        let new = new.expect("keys are of the codec's types");
        new.iter().for_each(|key| self.keys.push(key));
    }
}

impl Touched {
    /// Notes which of `count` groups have rows.
    fn touch(&mut self, slots: &[usize], count: usize) {
        self.sums.resize(count.max(self.sums.len()));
        self.is_touched
            .resize(count.max(self.is_touched.len()), false);
        for slot in slots {
            if !self.is_touched[*slot] {
                self.is_touched[*slot] = true;
                self.groups.push(*slot);
            }
        }
    }

    /// Makes every sum zero, and keeps the memory.
    fn clear(&mut self) {
        for group in self.groups.drain(..) {
            self.sums.reset(group);
            self.is_touched[group] = false;
        }
    }
}
