//! Accumulators as bytes, for other workers and for checkpoints.
//!
//! The form is the version, the kinds of the components, the number of groups, then the components
//! one after the other. Counts are zigzag varints; integers are trimmed of the bytes that only
//! repeat the sign. Equal accumulators have equal bytes, and the bytes do not depend on the machine.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::exact::ExactSum;
use super::wide::Wide;
use super::{AccumulateError, Accumulators, Column, Layout};

const VERSION: u8 = 1;

/// Kinds of components as they are written; the numbers are part of the format.
const COUNT: u8 = 0;
const INTEGER: u8 = 1;
const DECIMAL: u8 = 2;
const FLOAT: u8 = 3;

/// Appends to bytes.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Writes a two's complement integer, least significant byte first.
    pub(super) fn integer(&mut self, bytes: &[u8]) {
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let sign = if negative { 0xff } else { 0 };
        let mut length = bytes
            .iter()
            .rposition(|byte| *byte != sign)
            .map_or(0, |last| last + 1);
        // The last byte that is kept must still tell the sign.
        let kept = length.checked_sub(1).map_or(0, |last| bytes[last]);
        if (kept & 0x80 != 0) != negative {
            length += 1;
        }
        self.0.push(length as u8);
        self.0.extend_from_slice(&bytes[..length]);
    }
}

/// Takes from bytes.
pub(super) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], AccumulateError> {
        let (taken, left) = self
            .0
            .split_at_checked(count)
            .ok_or(AccumulateError::Malformed("its length"))?;
        self.0 = left;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, AccumulateError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, AccumulateError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(AccumulateError::Malformed("a number"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, AccumulateError> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Reads an integer of `N` bytes, of which the first `start` are zero and were not written.
    pub(super) fn integer<const N: usize>(
        &mut self,
        start: usize,
    ) -> Result<[u8; N], AccumulateError> {
        let length = usize::from(self.byte()?);
        if start + length > N {
            return Err(AccumulateError::Malformed("the length of an integer"));
        }
        let written = self.take(length)?;
        let negative = written.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut bytes = [0; N];
        bytes[start..start + length].copy_from_slice(written);
        bytes[start + length..].fill(if negative { 0xff } else { 0 });
        Ok(bytes)
    }

    fn end(&self) -> Result<(), AccumulateError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(AccumulateError::Malformed("its length"))
        }
    }
}

impl Accumulators {
    /// The bytes of the chosen groups, in the order of `groups`.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn encode(&self, groups: &[usize]) -> Vec<u8> {
        let mut writer = Writer(Vec::with_capacity(
            16 + groups.len() * self.columns.len() * 8,
        ));
        writer.byte(VERSION);
        writer.unsigned(self.columns.len() as u64);
        for column in &self.columns {
            writer.byte(kind(column));
        }
        writer.unsigned(groups.len() as u64);
        for column in &self.columns {
            match column {
                Column::Count(counts) => groups.iter().for_each(|g| writer.signed(counts[*g])),
                Column::Integer(sums) => {
                    groups
                        .iter()
                        .for_each(|g| writer.integer(&sums[*g].to_le_bytes()));
                }
                Column::Decimal(sums) => {
                    groups
                        .iter()
                        .for_each(|g| writer.integer(&sums[*g].to_le_bytes()));
                }
                Column::Float(sums) => groups.iter().for_each(|g| sums[*g].write(&mut writer)),
            }
        }
        writer.0
    }

    /// The groups that [`Accumulators::encode`] wrote under the same layout.
    ///
    /// # Errors
    /// If the bytes are of another version or layout, or damaged.
    pub fn decode(layout: &Layout, bytes: &[u8]) -> Result<Accumulators, AccumulateError> {
        let decoded = Accumulators::decode_any(bytes)?;
        let expected = layout.new_accumulators();
        if decoded
            .columns
            .iter()
            .map(kind)
            .eq(expected.columns.iter().map(kind))
        {
            Ok(decoded)
        } else {
            Err(AccumulateError::OtherLayout)
        }
    }

    fn decode_any(bytes: &[u8]) -> Result<Accumulators, AccumulateError> {
        let mut reader = Reader(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(AccumulateError::OtherVersion(version));
        }
        let components = reader.unsigned()? as usize;
        let kinds = reader.take(components)?.to_vec();
        let groups = reader.unsigned()? as usize;
        // Every group takes at least a byte a component.
        if kinds.is_empty() || groups.saturating_mul(kinds.len()) > reader.0.len() {
            return Err(AccumulateError::Malformed("the number of groups"));
        }
        let mut columns = Vec::with_capacity(kinds.len());
        for kind in kinds {
            columns.push(read_column(kind, groups, &mut reader)?);
        }
        reader.end()?;
        Ok(Accumulators { groups, columns })
    }
}

fn kind(column: &Column) -> u8 {
    match column {
        Column::Count(_) => COUNT,
        Column::Integer(_) => INTEGER,
        Column::Decimal(_) => DECIMAL,
        Column::Float(_) => FLOAT,
    }
}

fn read_column(kind: u8, groups: usize, reader: &mut Reader) -> Result<Column, AccumulateError> {
    let rows = 0..groups;
    Ok(match kind {
        COUNT => Column::Count(rows.map(|_| reader.signed()).collect::<Result<_, _>>()?),
        INTEGER => Column::Integer(
            rows.map(|_| Ok(i128::from_le_bytes(reader.integer(0)?)))
                .collect::<Result<_, AccumulateError>>()?,
        ),
        DECIMAL => Column::Decimal(
            rows.map(|_| Ok(Wide::from_le_bytes(&reader.integer(0)?)))
                .collect::<Result<_, AccumulateError>>()?,
        ),
        FLOAT => Column::Float(
            rows.map(|_| ExactSum::read(reader))
                .collect::<Result<_, _>>()?,
        ),
        _ => return Err(AccumulateError::Malformed("the kind of a component")),
    })
}

impl Serialize for Accumulators {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let groups: Vec<usize> = (0..self.len()).collect();
        self.encode(&groups).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Accumulators {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Accumulators, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Accumulators::decode_any(&bytes).map_err(de::Error::custom)
    }
}
