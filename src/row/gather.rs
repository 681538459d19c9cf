//! Equal updates added up on their way into an arrangement.
//!
//! Keys, values and diffs of one time flow in; each different pair of key and value flows out once,
//! with the sum of its diffs. Event logs repeat themselves (the same product at the same price), and
//! what is added up here is neither sent nor sorted.
//!
//! Looking for an equal update costs more than it saves where updates hardly repeat, so a
//! [`Gather`] watches how well it does and says when to stop.

use hashbrown::HashTable;

use super::{Rows, Updates, hash, key_hash};
use crate::delta::{Diff, Time};

/// After so many updates it is judged whether gathering is worth its while.
const TRIAL: usize = 16 * 1024;
/// So many different updates are handed on, complete or not.
const MOST: usize = 1 << 18;

/// The updates of one time for one worker, each pair of key and value once.
#[derive(Debug, Default)]
pub struct Gather {
    keys: Rows,
    values: Rows,
    diffs: Vec<Diff>,
    hashes: Vec<u64>,
    index: HashTable<u32>,
    added: usize,
}

impl Gather {
    /// Adds an update.
    ///
    /// # Panics
    ///
    /// If there are 2^32 different updates: see [`Gather::is_full`].
    pub fn add(&mut self, key: &[u8], value: &[u8], diff: Diff) {
        self.added += 1;
        let hash = key_hash(key).rotate_left(32) ^ hash(value);
        let (keys, values) = (&self.keys, &self.values);
        let same = |at: &u32| {
            let at = *at as usize;
            values.get(at) == value && keys.get(at) == key
        };
        if let Some(at) = self.index.find(hash, same) {
            self.diffs[*at as usize] += diff;
            return;
        }
        let at = u32::try_from(self.diffs.len()).expect("a full gathering is emptied");
        self.keys.push(key);
        self.values.push(value);
        self.diffs.push(diff);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.index
            .insert_unique(hash, at, |other| hashes[*other as usize]);
    }

    /// Whether it is time to hand on what there is.
    pub fn is_full(&self) -> bool {
        self.diffs.len() >= MOST
    }

    /// Whether so few updates were equal that gathering costs more than it saves.
    pub fn is_idle(&self) -> bool {
        self.added >= TRIAL && self.diffs.len() * 4 > self.added * 3
    }

    /// What has been gathered, without the updates that cancelled out; `None` if nothing is left.
    pub fn take(&mut self, to: usize, time: Time) -> Option<Updates> {
        let mut gathered = std::mem::take(self);
        if gathered.diffs.contains(&0) {
            gathered.drop_cancelled();
        }
        if gathered.diffs.is_empty() {
            return None;
        }
        let all_ones = gathered.diffs.iter().all(|diff| *diff == 1);
        Some(Updates {
            to,
            time,
            keys: gathered.keys,
            values: gathered.values,
            diffs: (!all_ones).then_some(gathered.diffs),
        })
    }

    fn drop_cancelled(&mut self) {
        let (mut keys, mut values) = (Rows::default(), Rows::default());
        for (at, diff) in self.diffs.iter().enumerate() {
            if *diff != 0 {
                keys.push(self.keys.get(at));
                values.push(self.values.get(at));
            }
        }
        self.keys = keys;
        self.values = values;
        self.diffs.retain(|diff| *diff != 0);
    }
}
