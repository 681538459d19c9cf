//! A hash table from keys to small numbers, its keys in one flat buffer.
//!
//! Keys (with their hashes before them, see [`crate::row`]) flow in; slots flow out. A slot keeps
//! its number until its key is removed; numbers of removed keys are given out again, so state kept
//! by slot stays dense.

use hashbrown::HashTable;

use super::{ByteStore, key_hash};

/// Keys, each with a slot of its own.
#[derive(Debug, Default)]
pub struct KeyTable {
    index: HashTable<u32>,
    keys: ByteStore,
    free: Vec<u32>,
}

impl KeyTable {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// One more than the greatest slot ever given out.
    pub fn slots(&self) -> usize {
        self.keys.slots()
    }

    /// A slot's key; empty if the slot is free.
    #[inline]
    pub fn key(&self, slot: usize) -> &[u8] {
        self.keys.get(slot)
    }

    /// The slot of a key, if it has one.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let same = |slot: &u32| self.keys.get(*slot as usize) == key;
        self.index
            .find(key_hash(key), same)
            .map(|slot| *slot as usize)
    }

    /// The slot of a key, given out now if it had none; whether it is new.
    ///
    /// # Panics
    ///
    /// If there are 2^32 keys.
    pub fn intern(&mut self, key: &[u8]) -> (usize, bool) {
        if let Some(slot) = self.find(key) {
            return (slot, false);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.keys.slots()).expect("a table has fewer than 2^32 keys")
        });
        self.keys.set(slot as usize, key);
        let keys = &self.keys;
        let rehash = |other: &u32| key_hash(keys.get(*other as usize));
        self.index.insert_unique(key_hash(key), slot, rehash);
        (slot as usize, true)
    }

    /// Takes out the key of a slot.
    ///
    /// # Panics
    ///
    /// If the slot is free.
    pub fn remove(&mut self, slot: usize) {
        let hash = key_hash(self.keys.get(slot));
        let entry = self.index.find_entry(hash, |other| *other as usize == slot);
        let (number, _) = entry.expect("a slot in use is in the index").remove();
        self.keys.clear(slot);
        self.free.push(number);
    }

    /// The slots in use, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.slots()).filter(|slot| !self.key(*slot).is_empty())
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.keys.heap_bytes()
            + self.index.capacity() * (size_of::<u32>() + 1)
            + self.free.capacity() * size_of::<u32>()
    }
}
