//! The groups of a batch's rows, found column by column.
//!
//! Key columns flow in, the number of each row's group flows out; numbers begin at nought and are
//! given out in the order in which groups are first met. A column of text is numbered by
//! [`super::texts`], another by DataFusion's grouping by one column; where there are several, the
//! numbers of their values are paired, and each pair has a number again. So a value is compared
//! within its own column, and a group is found by twelve bytes; comparing whole rows touches as many
//! places in memory as there are columns. Where a column is nested, whole rows are numbered by their
//! bytes: those tell a null list from an empty one, which DataFusion's grouping does not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::cast::as_string_array;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use hashbrown::HashTable;

use super::texts::Texts;
use crate::row::{KeyTable, RowCodec};

/// Finds groups by one or several columns.
pub(super) struct KeyGroups {
    columns: Vec<Values>,
    /// One fewer than the columns.
    levels: Vec<Level>,
    ids: Vec<usize>,
}

/// Numbers the values of a column, or of several at once.
enum Values {
    Texts(Texts),
    Rows { codec: RowCodec, table: KeyTable },
    Any(Box<dyn GroupValues>),
}

impl Values {
    fn new(schema: SchemaRef) -> Result<Self> {
        if let [field] = schema.fields().as_ref()
            && *field.data_type() == DataType::Utf8
        {
            return Ok(Values::Texts(Texts::default()));
        }
        if schema
            .fields()
            .iter()
            .any(|field| field.data_type().is_nested())
        {
            let codec = RowCodec::for_fields(schema.fields())?;
            let table = KeyTable::default();
            return Ok(Values::Rows { codec, table });
        }
        let values = new_group_values(schema, &GroupOrdering::None)?;
        Ok(Values::Any(values))
    }

    fn len(&self) -> usize {
        match self {
            Values::Texts(texts) => texts.len(),
            Values::Rows { table, .. } => table.len(),
            Values::Any(values) => values.len(),
        }
    }

    fn intern(&mut self, keys: &[ArrayRef], numbers: &mut Vec<usize>) -> Result<()> {
        match self {
            Values::Texts(texts) => {
                texts.intern(as_string_array(&keys[0])?, numbers);
                Ok(())
            }
            Values::Rows { codec, table } => {
                let rows = codec.encode_keys(keys, keys[0].len())?;
                numbers.clear();
                numbers.extend(rows.iter().map(|row| table.intern(row).0));
                Ok(())
            }
            Values::Any(values) => values.intern(keys, numbers),
        }
    }
}

impl KeyGroups {
    /// No groups yet, of keys with a schema of at least one column.
    ///
    /// # Errors
    ///
    /// If rows cannot be grouped by a column of these types.
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let fields = schema.fields();
        let single = |field| Values::new(Arc::new(Schema::new(vec![Arc::clone(field)])));
        let columns = if fields.iter().all(|field| is_plain(field.data_type())) {
            fields.iter().map(single).collect::<Result<Vec<_>>>()?
        } else {
            vec![Values::new(Arc::clone(&schema))?]
        };
        let levels = columns.iter().skip(1).map(|_| Level::default()).collect();
        Ok(KeyGroups {
            columns,
            levels,
            ids: Vec::new(),
        })
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        match self.levels.last() {
            Some(level) => level.index.len(),
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
}

/// Whether equal values of a type are equal bytes, so that grouping by column and by row agree.
pub(super) fn is_plain(data_type: &DataType) -> bool {
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
}

impl Level {
    #[inline]
    fn intern(&mut self, pair: (u32, u32)) -> u32 {
        let same = |entry: &(u32, u32, u32)| (entry.0, entry.1) == pair;
        if let Some(entry) = self.index.find(hash(pair), same) {
            return entry.2;
        }
        let number = narrow(self.index.len());
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
