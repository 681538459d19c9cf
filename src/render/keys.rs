//! The groups of a batch's rows, found column by column.
//!
//! Key columns flow in, the number of each row's group flows out; numbers begin at nought and are
//! given out in the order in which groups are first met. DataFusion's grouping by one column does
//! the work for each column; where there are several, the numbers of their values are brought
//! together two at a time. Keys as long as they are then compared once by column, close together in
//! memory, and what is looked up for a pair is twelve bytes: several times as fast as comparing
//! rows of strings by group.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use hashbrown::HashTable;

/// Finds groups by one or several columns.
pub(super) struct KeyGroups {
    schema: SchemaRef,
    columns: Vec<Box<dyn GroupValues>>,
    /// One fewer than the columns.
    levels: Vec<Level>,
    ids: Vec<usize>,
}

impl KeyGroups {
    /// No groups yet, of keys with a schema of at least one column.
    ///
    /// # Errors
    ///
    /// If rows cannot be grouped by a column of these types.
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let fields = schema.fields();
        let single = |field| new_values(Arc::new(Schema::new(vec![Arc::clone(field)])));
        let columns = if fields.iter().all(|field| is_plain(field.data_type())) {
            fields.iter().map(single).collect::<Result<Vec<_>>>()?
        } else {
            vec![new_values(Arc::clone(&schema))?]
        };
        let levels = columns.iter().skip(1).map(|_| Level::default()).collect();
        Ok(KeyGroups {
            schema,
            columns,
            levels,
            ids: Vec::new(),
        })
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        match self.levels.last() {
            Some(level) => level.pairs.len(),
            None => self.columns[0].len(),
        }
    }

    /// Puts the number of each row's group into `groups`.
    ///
    /// # Errors
    ///
    /// If the columns are not of the schema's types.
    pub(super) fn intern(&mut self, keys: &[ArrayRef], groups: &mut Vec<usize>) -> Result<()> {
        if self.levels.is_empty() {
            return self.columns[0].intern(keys, groups);
        }
        self.columns[0].intern(&keys[..1], groups)?;
        let rest = self.columns[1..].iter_mut().zip(&mut self.levels);
        for ((column, level), key) in rest.zip(&keys[1..]) {
            column.intern(std::slice::from_ref(key), &mut self.ids)?;
            for (group, id) in groups.iter_mut().zip(&self.ids) {
                *group = level.intern((narrow(*group), narrow(*id))) as usize;
            }
        }
        Ok(())
    }

    /// Takes all groups out; their keys, by number.
    ///
    /// # Errors
    ///
    /// If a column cannot be read back.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let fresh = KeyGroups::new(Arc::clone(&self.schema))?;
        let mut taken = std::mem::replace(self, fresh);
        let values = taken
            .columns
            .iter_mut()
            .map(|column| column.emit(EmitTo::All))
            .collect::<Result<Vec<_>>>()?;
        let mut keys: Vec<ArrayRef> = values.into_iter().flatten().collect();
        if taken.levels.is_empty() {
            return Ok(keys);
        }
        let count = narrow(taken.len());
        // From the last column to the first: each level says where in the level before it a group is.
        let mut groups: Vec<u32> = (0..count).collect();
        for (at, level) in taken.levels.iter().enumerate().rev() {
            let pairs = || groups.iter().map(|group| level.pairs[*group as usize]);
            let ids = UInt32Array::from_iter_values(pairs().map(|(_, id)| id));
            keys[at + 1] = take(&keys[at + 1], &ids, None)?;
            groups = pairs().map(|(group, _)| group).collect();
        }
        keys[0] = take(&keys[0], &UInt32Array::from(groups), None)?;
        Ok(keys)
    }
}

fn new_values(schema: SchemaRef) -> Result<Box<dyn GroupValues>> {
    new_group_values(schema, &GroupOrdering::None)
}

/// Whether equal values of a type are equal bytes, so that grouping by column and by row agree.
fn is_plain(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::Boolean
                | DataType::Date32
                | DataType::Timestamp(_, _)
                | DataType::Decimal128(_, _)
        )
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("an epoch has fewer than 2^32 groups")
}

/// Pairs of numbers, each with a number of its own.
#[derive(Default)]
struct Level {
    index: HashTable<(u32, u32, u32)>,
    pairs: Vec<(u32, u32)>,
}

impl Level {
    #[inline]
    fn intern(&mut self, pair: (u32, u32)) -> u32 {
        let same = |entry: &(u32, u32, u32)| (entry.0, entry.1) == pair;
        if let Some(entry) = self.index.find(hash(pair), same) {
            return entry.2;
        }
        let number = narrow(self.pairs.len());
        self.pairs.push(pair);
        self.index
            .insert_unique(hash(pair), (pair.0, pair.1, number), |entry| {
                hash((entry.0, entry.1))
            });
        number
    }
}

/// Spreads a pair over all bits: Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4),
/// the upper half folded onto the lower, where the table looks.
#[inline]
fn hash((group, id): (u32, u32)) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let product = (u64::from(group) << 32 | u64::from(id)).wrapping_mul(GOLDEN);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, StringArray};
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    #[test]
    fn groups_by_three_columns_with_nulls_come_back_in_order() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("b", DataType::Int32, true),
            Field::new("c", DataType::Utf8, true),
        ]));
        let mut groups = KeyGroups::new(schema).unwrap();
        let keys: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![
                Some("x"),
                None,
                Some("x"),
                Some("x"),
                None,
            ])),
            Arc::new(Int32Array::from(vec![
                Some(1),
                Some(1),
                None,
                Some(1),
                Some(1),
            ])),
            Arc::new(StringArray::from(vec!["p", "p", "p", "q", "p"])),
        ];
        let mut numbers = Vec::new();
        for _ in 0..2 {
            groups.intern(&keys, &mut numbers).unwrap();
            assert_eq!(numbers, [0, 1, 2, 3, 1]);
        }
        assert_eq!(groups.len(), 4);
        let taken = groups.take().unwrap();
        let a: Vec<_> = taken[0].as_string::<i32>().iter().collect();
        assert_eq!(a, [Some("x"), None, Some("x"), Some("x")]);
        let b: Vec<_> = taken[1].as_primitive::<Int32Type>().iter().collect();
        assert_eq!(b, [Some(1), Some(1), None, Some(1)]);
        let c: Vec<_> = taken[2].as_string::<i32>().iter().flatten().collect();
        assert_eq!(c, ["p", "p", "p", "q"]);
        // What comes after is counted from nought again.
        groups.intern(&keys, &mut numbers).unwrap();
        assert_eq!(
            (numbers.as_slice(), groups.len()),
            (&[0, 1, 2, 3, 1][..], 4)
        );
    }
}
