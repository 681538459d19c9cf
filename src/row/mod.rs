//! Rows as ordered bytes in flat buffers, and the arrangements made of them.
//!
//! Arrow columns flow in; rows that compare as their values do flow out ([`RowCodec`], by
//! `arrow-row`), packed end to end in [`Rows`], so that no row is an allocation of its own. This is
//! the only room that names differential's spines and batchers: [`RowSpine`] holds
//! `(key, value, time, diff)`.
//!
//! A key carries the hash of its bytes before them ([`RowCodec::encode_keys`]). Keys are only ever
//! compared to be brought together, so their order is free; the hash decides nearly every
//! comparison in its first eight bytes, and the same hash routes a key to its worker. Values keep
//! the order of their columns.

mod batch;
mod gather;
mod store;
mod table;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef, Fields};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, RowParser, SortField};
use differential_dataflow::trace::implementations::BatchContainer;
use serde::{Deserialize, Serialize};

pub use batch::{RowBatch, RowBatcher, RowLayout, RowSpine, Updates};
pub use gather::Gather;
pub use store::ByteStore;
pub use table::KeyTable;

/// How many bytes of hash stand before a key.
pub const HASH_BYTES: usize = 8;

/// Byte strings packed end to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    bytes: Vec<u8>,
    ends: Ends,
}

/// Where each row ends; 32 bits each until the bytes outgrow them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Ends {
    Small(Vec<u32>),
    Large(Vec<u64>),
}

impl Default for Ends {
    fn default() -> Self {
        Ends::Small(Vec::new())
    }
}

impl Ends {
    fn push(&mut self, end: usize) {
        match self {
            Ends::Small(ends) => match u32::try_from(end) {
                Ok(end) => ends.push(end),
                Err(_) => {
                    let mut large: Vec<u64> = ends.iter().map(|end| u64::from(*end)).collect();
                    large.push(end as u64);
                    *self = Ends::Large(large);
                }
            },
            Ends::Large(ends) => ends.push(end as u64),
        }
    }

    #[inline]
    fn get(&self, index: usize) -> usize {
        match self {
            Ends::Small(ends) => ends[index] as usize,
            Ends::Large(ends) => ends[index] as usize,
        }
    }

    fn len(&self) -> usize {
        match self {
            Ends::Small(ends) => ends.len(),
            Ends::Large(ends) => ends.len(),
        }
    }
}

impl Rows {
    /// Room for rows and their bytes.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Rows {
            bytes: Vec::with_capacity(bytes),
            ends: Ends::Small(Vec::with_capacity(rows)),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row.
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 {
            0
        } else {
            self.ends.get(index - 1)
        };
        &self.bytes[start..self.ends.get(index)]
    }

    /// Adds a row at the end.
    #[inline]
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    /// Adds a row made of a hash and bytes.
    #[inline]
    fn push_hashed(&mut self, hash: u64, row: &[u8]) {
        self.bytes.extend_from_slice(&hash.to_be_bytes());
        self.push(row);
    }

    /// Takes all rows out, and keeps the memory for others.
    pub fn clear_rows(&mut self) {
        self.bytes.clear();
        match &mut self.ends {
            Ends::Small(ends) => ends.clear(),
            Ends::Large(ends) => ends.clear(),
        }
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let ends = match &self.ends {
            Ends::Small(ends) => ends.capacity() * 4,
            Ends::Large(ends) => ends.capacity() * 8,
        };
        self.bytes.capacity() + ends
    }
}

/// Takes the encoded bytes over as they lie, if their offsets are narrow enough.
impl From<arrow::row::Rows> for Rows {
    fn from(encoded: arrow::row::Rows) -> Self {
        if encoded.size() > i32::MAX as usize {
            let mut rows = Rows::with_capacity(encoded.num_rows(), encoded.lengths().sum());
            encoded.iter().for_each(|row| rows.push(row.data()));
            return rows;
        }
        let encoded = encoded.try_into_binary();
        let (offsets, bytes, _) = encoded.expect("offsets fit in 31 bits").into_parts();
        let bytes = bytes.into_vec::<u8>();
        let bytes = bytes.unwrap_or_else(|shared| shared.as_slice().to_vec());
        let ends = offsets[1..].iter().map(|end| end.cast_unsigned()).collect();
        Rows {
            bytes,
            ends: Ends::Small(ends),
        }
    }
}

impl BatchContainer for Rows {
    type Owned = Vec<u8>;
    type ReadItem<'a> = &'a [u8];

    fn into_owned(item: &[u8]) -> Vec<u8> {
        item.to_vec()
    }
    fn push_ref(&mut self, item: &[u8]) {
        self.push(item);
    }
    fn push_own(&mut self, item: &Vec<u8>) {
        self.push(item);
    }
    fn clear(&mut self) {
        *self = Rows::default();
    }
    fn with_capacity(size: usize) -> Self {
        Rows::with_capacity(size, 0)
    }
    fn merge_capacity(one: &Self, other: &Self) -> Self {
        Rows::with_capacity(one.len() + other.len(), one.bytes.len() + other.bytes.len())
    }
    fn reborrow<'b, 'a: 'b>(item: &'a [u8]) -> &'b [u8] {
        item
    }
    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
    }
    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Turns columns of given types into rows and back.
#[derive(Debug)]
pub struct RowCodec {
    converter: RowConverter,
    parser: RowParser,
    width: usize,
}

impl RowCodec {
    /// A codec for ascending columns, nulls first.
    ///
    /// # Errors
    ///
    /// If a type has no row form.
    pub fn new<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<Self, ArrowError> {
        Self::with_order(
            types
                .into_iter()
                .map(|t| (t.clone(), SortOptions::default())),
        )
    }

    /// A codec for columns each in its own order.
    ///
    /// # Errors
    ///
    /// If a type has no row form.
    pub fn with_order(
        columns: impl IntoIterator<Item = (DataType, SortOptions)>,
    ) -> Result<Self, ArrowError> {
        let fields: Vec<SortField> = columns
            .into_iter()
            .map(|(data_type, options)| SortField::new_with_options(data_type, options))
            .collect();
        let width = fields.len();
        let converter = RowConverter::new(fields)?;
        let parser = converter.parser();
        Ok(RowCodec {
            converter,
            parser,
            width,
        })
    }

    /// A codec for the columns of a schema, ascending.
    ///
    /// # Errors
    ///
    /// If a type has no row form.
    pub fn for_fields(fields: &Fields) -> Result<Self, ArrowError> {
        Self::new(fields.iter().map(|field: &FieldRef| field.data_type()))
    }

    /// The rows of some columns, `rows` of them.
    ///
    /// # Errors
    ///
    /// If the columns are not of the codec's types.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Rows, ArrowError> {
        if self.width == 0 {
            let mut out = Rows::default();
            (0..rows).for_each(|_| out.push(&[]));
            return Ok(out);
        }
        Ok(self.converter.convert_columns(columns)?.into())
    }

    /// The same with the hash of each row before it.
    ///
    /// # Errors
    ///
    /// If the columns are not of the codec's types.
    pub fn encode_keys(&self, columns: &[ArrayRef], rows: usize) -> Result<Rows, ArrowError> {
        let mut out = Rows::default();
        if self.width == 0 {
            (0..rows).for_each(|_| out.push_hashed(0, &[]));
            return Ok(out);
        }
        let encoded = self.converter.convert_columns(columns)?;
        out = Rows::with_capacity(rows, encoded.lengths().sum::<usize>() + rows * HASH_BYTES);
        for row in encoded.iter() {
            out.push_hashed(hash(row.data()), row.data());
        }
        Ok(out)
    }

    /// The columns of some rows, without their hashes.
    ///
    /// # Errors
    ///
    /// If the rows are not such as [`RowCodec::encode`] makes.
    pub fn decode<'a>(
        &'a self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        if self.width == 0 {
            return Ok(Vec::new());
        }
        self.converter
            .convert_rows(rows.into_iter().map(|row| self.parser.parse(row)))
    }
}

/// The hash that goes before a key's bytes. Fixed for ever: stored state is sharded by it.
#[inline]
pub fn hash(row: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(row)
}

/// The hash that stands before a key's bytes.
#[inline]
pub fn key_hash(key: &[u8]) -> u64 {
    let (hash, _) = key
        .split_first_chunk::<HASH_BYTES>()
        .expect("a key begins with its hash");
    u64::from_be_bytes(*hash)
}

/// A key's bytes without the hash.
#[inline]
pub fn key_bytes(key: &[u8]) -> &[u8] {
    &key[HASH_BYTES..]
}

/// The worker that a key belongs to.
#[inline]
pub fn owner(hash: u64, peers: usize) -> usize {
    // The upper half: hash tables use the lower bits.
    ((hash >> 32) as usize) % peers
}

/// A shared codec; workers keep one each, operators of one worker share it.
pub type SharedCodec = Arc<RowCodec>;
