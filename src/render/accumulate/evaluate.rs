//! Answers of groups, from their components, as DataFusion 55 would give them.
//!
//! Nulls, empty groups and rounding are DataFusion's (averages of decimals are cut off after the
//! last digit; see `datafusion-functions-aggregate`). It lets a sum wrap around that does not fit
//! its type; here such a group has no answer, with the reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, DecimalType,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Int64Type, TimeUnit, UInt64Type, i256,
};

use super::layout::Answer;
use super::question::Question;
use super::{Accumulators, Column, ExactSum, Layout, Wide};

/// The groups without an answer: positions in the groups that were asked for, and the reason.
type Failures = Vec<(usize, String)>;

impl Accumulators {
    /// The answers of the groups: an array an aggregate, a row a group, in the order of `groups`;
    /// and the positions in `groups`, ascending, of those that have no answer, with the reason.
    /// Their rows hold nulls where the answer would be.
    ///
    /// A group of no rows answers as an empty input does: zero for counts, else null.
    ///
    /// # Panics
    /// If there is no such group, or the layout is another one.
    pub fn evaluate(
        &self,
        layout: &Layout,
        groups: &[usize],
    ) -> (Vec<ArrayRef>, Vec<(usize, String)>) {
        let mut failures = Failures::new();
        let answers = layout.answers.iter();
        let arrays = answers
            .map(|answer| self.answer(answer, groups, &mut failures))
            .collect();
        failures.sort_by_key(|(position, _)| *position);
        failures.dedup_by_key(|(position, _)| *position);
        (arrays, failures)
    }

    fn answer(&self, answer: &Answer, groups: &[usize], failures: &mut Failures) -> ArrayRef {
        match answer.question {
            Question::Count { count } => {
                let counts = groups
                    .iter()
                    .map(|group| Some(i128::from(self.count(count, *group))));
                integers(counts, answer, "count", failures)
            }
            Question::Sum { count, sum } => self.sum(count, sum, answer, groups, failures),
            Question::Average { count, sum, scale } => {
                self.average(count, sum, scale, answer, groups, failures)
            }
            Question::All { count, trues } => self.truth(groups, count, |group| {
                self.count(trues, group) == self.count(count, group)
            }),
            Question::Any { count, trues } => {
                self.truth(groups, count, |group| self.count(trues, group) > 0)
            }
            Question::Statistic { count, statistic } => {
                let answers = groups.iter().map(|group| {
                    statistic.of(self.count(count, *group), |component| {
                        &self.floats(component)[*group]
                    })
                });
                Arc::new(Float64Array::from_iter(answers))
            }
        }
    }

    fn sum(
        &self,
        count: usize,
        sum: usize,
        answer: &Answer,
        groups: &[usize],
        failures: &mut Failures,
    ) -> ArrayRef {
        match &self.columns[sum] {
            Column::Integer(sums) => {
                let sums = self.of_some(groups, count, |group| sums[group]);
                integers(sums, answer, "sum", failures)
            }
            Column::Decimal(sums) => {
                let sums = self.of_some(groups, count, |group| Some(sums[group].to_i256()));
                decimals(sums, answer, "sum", failures)
            }
            Column::Float(sums) => {
                let sums = self.of_some(groups, count, |group| sums[group].to_f64());
                Arc::new(Float64Array::from_iter(sums))
            }
            Column::Count(_) => unreachable!("a sum is not a count"),
        }
    }

    fn average(
        &self,
        count: usize,
        sum: usize,
        scale: i8,
        answer: &Answer,
        groups: &[usize],
        failures: &mut Failures,
    ) -> ArrayRef {
        match &self.columns[sum] {
            Column::Integer(sums) if answer.data_type == DataType::Float64 => {
                let averages = self.of_some(groups, count, |group| {
                    sums[group] as f64 / self.count(count, group) as f64
                });
                Arc::new(Float64Array::from_iter(averages))
            }
            Column::Integer(sums) => {
                let averages = self.of_some(groups, count, |group| {
                    sums[group] / i128::from(self.count(count, group))
                });
                integers(averages, answer, "avg", failures)
            }
            Column::Decimal(sums) => {
                let factor = decimal_factor(&answer.data_type, scale);
                let averages = self.of_some(groups, count, |group| {
                    average_of(sums[group], factor?, self.count(count, group))
                });
                decimals(averages, answer, "avg", failures)
            }
            Column::Float(sums) => {
                let averages = self.of_some(groups, count, |group| {
                    sums[group].to_f64() / self.count(count, group) as f64
                });
                Arc::new(Float64Array::from_iter(averages))
            }
            Column::Count(_) => unreachable!("a sum is not a count"),
        }
    }

    fn truth(&self, groups: &[usize], count: usize, of: impl Fn(usize) -> bool) -> ArrayRef {
        Arc::new(self.of_some(groups, count, of).collect::<BooleanArray>())
    }

    /// What `of` yields for each group in which `count` rows count; nothing for the others.
    fn of_some<'a, V>(
        &'a self,
        groups: &'a [usize],
        count: usize,
        of: impl Fn(usize) -> V + 'a,
    ) -> impl Iterator<Item = Option<V>> + 'a {
        groups
            .iter()
            .map(move |group| (self.count(count, *group) > 0).then(|| of(*group)))
    }

    fn count(&self, component: usize, group: usize) -> i64 {
        match &self.columns[component] {
            Column::Count(counts) => counts[group],
            _ => unreachable!("a count's component counts"),
        }
    }

    fn floats(&self, component: usize) -> &[ExactSum] {
        match &self.columns[component] {
            Column::Float(sums) => sums,
            _ => unreachable!("a statistic's components are sums of doubles"),
        }
    }
}

/// Ten to the number of digits that an average of this type has beyond `scale`.
fn decimal_factor(data_type: &DataType, scale: i8) -> Option<i256> {
    let (DataType::Decimal32(_, target)
    | DataType::Decimal64(_, target)
    | DataType::Decimal128(_, target)) = data_type
    else {
        return None;
    };
    let digits = u32::try_from(i32::from(*target) - i32::from(scale)).ok()?;
    i256::from_i128(10).checked_pow(digits)
}

fn average_of(sum: Wide, factor: i256, count: i64) -> Option<i256> {
    sum.to_i256()
        .checked_mul(factor)?
        .checked_div(i256::from(count))
}

fn integers(
    values: impl Iterator<Item = Option<i128>>,
    answer: &Answer,
    what: &str,
    failures: &mut Failures,
) -> ArrayRef {
    if answer.data_type == DataType::UInt64 {
        let to_u64 = |value| u64::try_from(value).ok();
        return Arc::new(narrowed::<_, UInt64Type>(
            values, to_u64, answer, what, failures,
        ));
    }
    let to_i64 = |value| i64::try_from(value).ok();
    let array: Int64Array = narrowed::<_, Int64Type>(values, to_i64, answer, what, failures);
    match answer.data_type {
        DataType::Duration(TimeUnit::Second) => {
            Arc::new(array.reinterpret_cast::<DurationSecondType>())
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            Arc::new(array.reinterpret_cast::<DurationMillisecondType>())
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            Arc::new(array.reinterpret_cast::<DurationMicrosecondType>())
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            Arc::new(array.reinterpret_cast::<DurationNanosecondType>())
        }
        _ => Arc::new(array),
    }
}

/// Decimals of the answer's type; a value that is missing inside was out of range before.
fn decimals(
    values: impl Iterator<Item = Option<Option<i256>>>,
    answer: &Answer,
    what: &str,
    failures: &mut Failures,
) -> ArrayRef {
    match answer.data_type {
        DataType::Decimal32(precision, _) => {
            let fit = |value: i128| i32::try_from(value).ok();
            decimals_of::<Decimal32Type>(values, precision, fit, answer, what, failures)
        }
        DataType::Decimal64(precision, _) => {
            let fit = |value: i128| i64::try_from(value).ok();
            decimals_of::<Decimal64Type>(values, precision, fit, answer, what, failures)
        }
        DataType::Decimal128(precision, _) => {
            decimals_of::<Decimal128Type>(values, precision, Some, answer, what, failures)
        }
        ref other => unreachable!("{other} is not a decimal that is summed"),
    }
}

fn decimals_of<T: DecimalType>(
    values: impl Iterator<Item = Option<Option<i256>>>,
    precision: u8,
    fit: impl Fn(i128) -> Option<T::Native>,
    answer: &Answer,
    what: &str,
    failures: &mut Failures,
) -> ArrayRef {
    let narrow = |value: Option<i256>| {
        let value = fit(value?.to_i128()?)?;
        T::is_valid_decimal_precision(value, precision).then_some(value)
    };
    let array = narrowed::<_, T>(values, narrow, answer, what, failures);
    Arc::new(array.with_data_type(answer.data_type.clone()))
}

/// The values in the answer's type; those that do not fit are null and become failures.
fn narrowed<V, T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<V>>,
    narrow: impl Fn(V) -> Option<T::Native>,
    answer: &Answer,
    what: &str,
    failures: &mut Failures,
) -> PrimitiveArray<T> {
    let narrowed = values.enumerate().map(|(position, value)| {
        let narrowed = narrow(value?);
        if narrowed.is_none() {
            failures.push((position, overflow(answer, what)));
        }
        narrowed
    });
    narrowed.collect()
}

fn overflow(answer: &Answer, what: &str) -> String {
    let type_name = match &answer.data_type {
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        other => other.to_string(),
    };
    format!("{what} overflows {type_name} in \"{}\"", answer.name)
}
