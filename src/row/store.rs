//! Byte strings by slot number, packed in one flat buffer.
//!
//! Setting a slot overwrites as many bytes as it held, else appends: then the bytes it held before
//! are dead, and are reclaimed once they are half of the buffer. An unset slot reads as the empty
//! string.

/// Byte strings, each in a numbered slot.
#[derive(Debug, Default)]
pub struct ByteStore {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    dead: usize,
}

/// Where a slot's bytes lie.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    start: usize,
    length: u32,
}

/// Below this many dead bytes a buffer is not worth compacting.
const COMPACT_FROM_BYTES: usize = 1 << 16;

impl ByteStore {
    /// One more than the greatest slot ever set.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// A slot's bytes; empty if it is not set.
    #[inline]
    pub fn get(&self, slot: usize) -> &[u8] {
        match self.slots.get(slot) {
            Some(slot) => &self.bytes[slot.start..slot.start + slot.length as usize],
            None => &[],
        }
    }

    /// Sets a slot's bytes.
    ///
    /// # Panics
    ///
    /// If there are 4 GiB of them or more.
    pub fn set(&mut self, slot: usize, bytes: &[u8]) {
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, Slot::default());
        }
        let length = u32::try_from(bytes.len()).expect("a row is shorter than 4 GiB");
        let held = self.slots[slot];
        if held.length == length {
            self.bytes[held.start..][..bytes.len()].copy_from_slice(bytes);
            return;
        }
        self.dead += self.slots[slot].length as usize;
        self.slots[slot] = Slot {
            start: self.bytes.len(),
            length,
        };
        self.bytes.extend_from_slice(bytes);
        if self.dead > COMPACT_FROM_BYTES && self.dead * 2 > self.bytes.len() {
            self.compact();
        }
    }

    /// Unsets a slot.
    pub fn clear(&mut self, slot: usize) {
        if slot < self.slots.len() {
            self.set(slot, &[]);
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.slots.capacity() * size_of::<Slot>()
    }

    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.dead);
        for slot in &mut self.slots {
            let start = bytes.len();
            bytes.extend_from_slice(&self.bytes[slot.start..slot.start + slot.length as usize]);
            slot.start = start;
        }
        self.bytes = bytes;
        self.dead = 0;
    }
}
