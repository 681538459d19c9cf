//! Adds batches to accumulators: one loop a component, over columns.
//!
//! Each loop is compiled for its type of value, for whether rows are left out and for whether the
//! rows come with diffs, so that the common case has nothing to decide in it.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use super::layout::{Addend, Selection};
use super::{AccumulateError, Accumulators, Column, Layout, Wide};

/// A batch's rows as a component sees them.
#[derive(Clone, Copy)]
struct Rows<'a> {
    groups: &'a [usize],
    selection: Option<&'a BooleanBuffer>,
    diffs: Option<&'a [i64]>,
}

impl Rows<'_> {
    /// Calls `add(group, row, diff)` for every selected row.
    #[inline]
    fn for_each(self, mut add: impl FnMut(usize, usize, i64)) {
        let groups = self.groups;
        match (self.selection, self.diffs) {
            (None, None) => {
                for (row, group) in groups.iter().enumerate() {
                    add(*group, row, 1);
                }
            }
            (None, Some(diffs)) => {
                for (row, (group, diff)) in groups.iter().zip(diffs).enumerate() {
                    add(*group, row, *diff);
                }
            }
            (Some(selection), None) => for_each_set(selection, |row| add(groups[row], row, 1)),
            (Some(selection), Some(diffs)) => {
                for_each_set(selection, |row| add(groups[row], row, diffs[row]));
            }
        }
    }
}

/// Calls `visit` with the position of every bit that is set, ascending.
#[inline]
fn for_each_set(bits: &BooleanBuffer, mut visit: impl FnMut(usize)) {
    for (word, mut chunk) in bits.bit_chunks().iter_padded().enumerate() {
        let start = word * 64;
        if chunk == u64::MAX {
            (start..start + 64).for_each(&mut visit);
            continue;
        }
        while chunk != 0 {
            visit(start + chunk.trailing_zeros() as usize);
            chunk &= chunk - 1;
        }
    }
}

impl Accumulators {
    /// Adds a batch: row `i` belongs to group `groups[i]` and counts `diffs[i]` times, once without
    /// `diffs`. `args` are the evaluated arguments, by aggregate, and `filters` the evaluated
    /// predicates; those that the layout does not read may be anything.
    ///
    /// # Errors
    /// If the arrays do not have the groups' length or the types that the layout was made for. The
    /// accumulators are unchanged then.
    ///
    /// # Panics
    /// If there is no such group, or the layout is another one.
    pub fn update(
        &mut self,
        layout: &Layout,
        groups: &[usize],
        args: &[Vec<ArrayRef>],
        filters: &[Option<BooleanArray>],
        diffs: Option<&[i64]>,
    ) -> Result<(), AccumulateError> {
        let sources = checked_sources(layout, groups.len(), args)?;
        check_length(groups.len(), diffs.map_or(groups.len(), <[i64]>::len))?;
        let mut selections = Vec::with_capacity(layout.selections.len());
        for selection in &layout.selections {
            selections.push(selected(
                selection,
                layout,
                groups.len(),
                &sources,
                filters,
            )?);
        }
        for (component, column) in layout.components.iter().zip(&mut self.columns) {
            let selection = selections[component.selection].as_ref();
            let rows = Rows {
                groups,
                selection,
                diffs,
            };
            add_component(component.addend, column, &sources, rows);
        }
        Ok(())
    }
}

/// The arrays of the layout's sources, after checks that allow the loops to rely on them.
fn checked_sources<'a>(
    layout: &Layout,
    rows: usize,
    args: &'a [Vec<ArrayRef>],
) -> Result<Vec<&'a ArrayRef>, AccumulateError> {
    let mut sources = Vec::with_capacity(layout.sources.len());
    for source in &layout.sources {
        let array = &args[source.aggregate][source.argument];
        check_length(rows, array.len())?;
        if !is_read_alike(&source.data_type, array.data_type()) {
            return Err(AccumulateError::WrongType {
                expected: source.data_type.clone(),
                found: array.data_type().clone(),
            });
        }
        if !source.nullable && array.logical_null_count() > 0 {
            return Err(AccumulateError::UnexpectedNull);
        }
        sources.push(array);
    }
    Ok(sources)
}

/// Whether values of the type `found` are read as those of `expected`: decimals of one scale are,
/// whatever their precision, and of types that are not added up only nulls are read.
fn is_read_alike(expected: &DataType, found: &DataType) -> bool {
    match (expected, found) {
        (DataType::Decimal32(_, a), DataType::Decimal32(_, b))
        | (DataType::Decimal64(_, a), DataType::Decimal64(_, b))
        | (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) => a == b,
        (DataType::Boolean | DataType::Duration(_), _) => expected == found,
        _ => expected == found || !(expected.is_numeric() || found.is_numeric()),
    }
}

fn check_length(rows: usize, found: usize) -> Result<(), AccumulateError> {
    if rows == found {
        Ok(())
    } else {
        Err(AccumulateError::WrongLength { rows, found })
    }
}

/// The rows of a selection; `None` for all.
fn selected(
    selection: &Selection,
    layout: &Layout,
    rows: usize,
    sources: &[&ArrayRef],
    filters: &[Option<BooleanArray>],
) -> Result<Option<BooleanBuffer>, AccumulateError> {
    let mut selected: Option<BooleanBuffer> = None;
    if let Some(filter) = selection.filter {
        let predicate = &filters[layout.filters[filter].aggregate];
        let predicate = predicate.as_ref().ok_or(AccumulateError::MissingFilter)?;
        check_length(rows, predicate.len())?;
        selected = Some(match predicate.nulls() {
            Some(nulls) => predicate.values() & nulls.inner(),
            None => predicate.values().clone(),
        });
    }
    for source in &selection.sources {
        let Some(nulls) = sources[*source].logical_nulls() else {
            continue;
        };
        selected = Some(match selected {
            Some(selected) => &selected & nulls.inner(),
            None => NullBuffer::into_inner(nulls),
        });
    }
    Ok(selected.filter(|selected| selected.count_set_bits() < rows))
}

fn add_component(addend: Addend, column: &mut Column, sources: &[&ArrayRef], rows: Rows) {
    match (addend, column) {
        (Addend::One, Column::Count(counts)) => {
            rows.for_each(|group, _, diff| counts[group] = counts[group].wrapping_add(diff));
        }
        (Addend::True(source), Column::Count(counts)) => {
            let values = sources[source].as_boolean().values();
            rows.for_each(|group, row, diff| {
                let addend = if values.value(row) { diff } else { 0 };
                counts[group] = counts[group].wrapping_add(addend);
            });
        }
        (Addend::Integer(source), Column::Integer(sums)) => {
            add_integers(sums, sources[source], rows);
        }
        (Addend::Decimal(source), Column::Decimal(sums)) => {
            add_decimals(sums, sources[source], rows);
        }
        (Addend::Float(source), Column::Float(sums)) => {
            let values = doubles(sources[source]);
            rows.for_each(|group, row, diff| sums[group].add(values[row], diff));
        }
        (Addend::Product(a, b), Column::Float(sums)) => {
            let (a, b) = (doubles(sources[a]), doubles(sources[b]));
            rows.for_each(|group, row, diff| {
                if a[row].is_finite() && b[row].is_finite() {
                    sums[group].add_product(a[row], b[row], diff);
                }
            });
        }
        _ => unreachable!("a component's column is of its kind"),
    }
}

fn doubles(array: &ArrayRef) -> &[f64] {
    array.as_primitive::<Float64Type>().values()
}

fn add_integers(sums: &mut [i128], array: &ArrayRef, rows: Rows) {
    match array.data_type() {
        DataType::Int8 => add_primitives::<Int8Type>(sums, array, rows),
        DataType::Int16 => add_primitives::<Int16Type>(sums, array, rows),
        DataType::Int32 => add_primitives::<Int32Type>(sums, array, rows),
        DataType::Int64 => add_primitives::<Int64Type>(sums, array, rows),
        DataType::UInt8 => add_primitives::<UInt8Type>(sums, array, rows),
        DataType::UInt16 => add_primitives::<UInt16Type>(sums, array, rows),
        DataType::UInt32 => add_primitives::<UInt32Type>(sums, array, rows),
        DataType::UInt64 => add_primitives::<UInt64Type>(sums, array, rows),
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => add_primitives::<DurationSecondType>(sums, array, rows),
            TimeUnit::Millisecond => add_primitives::<DurationMillisecondType>(sums, array, rows),
            TimeUnit::Microsecond => add_primitives::<DurationMicrosecondType>(sums, array, rows),
            TimeUnit::Nanosecond => add_primitives::<DurationNanosecondType>(sums, array, rows),
        },
        other => unreachable!("{other} is not an integer"),
    }
}

fn add_primitives<T: ArrowPrimitiveType<Native: Into<i128>>>(
    sums: &mut [i128],
    array: &ArrayRef,
    rows: Rows,
) {
    let values = array.as_primitive::<T>().values();
    rows.for_each(|group, row, diff| {
        let value: i128 = values[row].into();
        sums[group] = sums[group].wrapping_add(value.wrapping_mul(i128::from(diff)));
    });
}

fn add_decimals(sums: &mut [Wide], array: &ArrayRef, rows: Rows) {
    match array.data_type() {
        DataType::Decimal32(..) => add_wide::<Decimal32Type>(sums, array, rows),
        DataType::Decimal64(..) => add_wide::<Decimal64Type>(sums, array, rows),
        _ => add_wide::<Decimal128Type>(sums, array, rows),
    }
}

fn add_wide<T: ArrowPrimitiveType<Native: Into<i128>>>(
    sums: &mut [Wide],
    array: &ArrayRef,
    rows: Rows,
) {
    let values = array.as_primitive::<T>().values();
    if rows.diffs.is_none() {
        return rows.for_each(|group, row, _| sums[group].add(values[row].into()));
    }
    rows.for_each(|group, row, diff| sums[group].add_times(values[row].into(), diff));
}
