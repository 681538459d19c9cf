//! Functions of time that DataFusion lacks: windows of events, and intervals of many lengths.
//!
//! They are made known to every session in which views are planned or answered. `tumble` and `hop`
//! say to which windows an instant belongs, `session_start` where a session of a partition began,
//! and a number times an interval is an interval.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, ListArray, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimestampNanosecondType,
};
use datafusion::common::{DFSchema, DataFusionError, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, ExprSchemable, PartitionEvaluator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, WindowUDF, WindowUDFImpl, cast as cast_expr,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::clock::timestamp;

type Result<T> = std::result::Result<T, DataFusionError>;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// Makes the functions known to a session.
pub(super) fn register(context: &SessionContext) -> Result<()> {
    for kind in [Kind::Tumble, Kind::Hop, Kind::Times] {
        context.register_udf(ScalarUDF::from(OfTime::new(kind)));
    }
    context.register_udwf(WindowUDF::from(SessionStart::new()));
    let state = context.state_ref();
    let mut state = state.write();
    state.register_expr_planner(Arc::new(Intervals))
}

fn interval() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

/// Reads `number * interval` as the function that computes it.
#[derive(Debug)]
struct Intervals;

impl ExprPlanner for Intervals {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::Multiply {
            return Ok(PlannerResult::Original(expr));
        }
        let kinds = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        let (number, length) = match kinds {
            (number, DataType::Interval(_)) if number.is_integer() => (&expr.left, &expr.right),
            (DataType::Interval(_), number) if number.is_integer() => (&expr.right, &expr.left),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let args = vec![
            cast_expr(number.clone(), DataType::Int64),
            cast_expr(length.clone(), interval()),
        ];
        let times = ScalarUDF::from(OfTime::new(Kind::Times));
        Ok(PlannerResult::Planned(times.call(args)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// The start of the window of a length to which an instant belongs.
    Tumble,
    /// The starts of all windows of a length that begin every so often and hold an instant.
    Hop,
    /// An interval so many times.
    Times,
}

/// A scalar function of time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OfTime {
    kind: Kind,
    signature: Signature,
}

impl OfTime {
    fn new(kind: Kind) -> OfTime {
        let types = match kind {
            Kind::Tumble => vec![timestamp(), interval()],
            Kind::Hop => vec![timestamp(), interval(), interval()],
            Kind::Times => vec![DataType::Int64, interval()],
        };
        OfTime {
            kind,
            signature: Signature::exact(types, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for OfTime {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Tumble => "tumble",
            Kind::Hop => "hop",
            Kind::Times => "interval_times",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Tumble => timestamp(),
            Kind::Hop => DataType::List(instants()),
            Kind::Times => interval(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let answer: ArrayRef = match (self.kind, columns.as_slice()) {
            (Kind::Tumble, [times, sizes]) => tumble(times, sizes)?,
            (Kind::Hop, [times, slides, sizes]) => hop(times, slides, sizes)?,
            (Kind::Times, [numbers, lengths]) => times(numbers, lengths)?,
            _ => return exec_err!("{}() has other arguments than it takes", self.name()),
        };
        Ok(ColumnarValue::Array(answer))
    }
}

/// The field of the elements of `hop`.
fn instants() -> FieldRef {
    Arc::new(Field::new_list_field(timestamp(), true))
}

/// A length of time in nanoseconds; windows have a length that is the same everywhere.
fn nanoseconds(length: IntervalMonthDayNano) -> Result<i64> {
    let days = i64::from(length.days).checked_mul(NANOS_PER_DAY);
    let all = days.and_then(|days| days.checked_add(length.nanoseconds));
    match all {
        Some(all) if all > 0 && length.months == 0 => Ok(all),
        _ => exec_err!("the length of a window is a positive interval without months"),
    }
}

/// The last whole multiple of a length, counted from 1970, that does not lie after an instant.
fn floor(instant: i64, length: i64) -> Result<i64> {
    match instant.checked_sub(instant.rem_euclid(length)) {
        Some(start) => Ok(start),
        None => exec_err!("a window begins before all times"),
    }
}

fn tumble(times: &ArrayRef, sizes: &ArrayRef) -> Result<ArrayRef> {
    let times = times.as_primitive::<TimestampNanosecondType>();
    let sizes = sizes.as_primitive::<IntervalMonthDayNanoType>();
    let starts: TimestampNanosecondArray = times
        .iter()
        .zip(sizes)
        .map(|(time, size)| match (time, size) {
            (Some(time), Some(size)) => floor(time, nanoseconds(size)?).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(starts))
}

/// The most windows to which one instant may belong.
const MOST_WINDOWS: i64 = 100_000;

fn hop(times: &ArrayRef, slides: &ArrayRef, sizes: &ArrayRef) -> Result<ArrayRef> {
    let times = times.as_primitive::<TimestampNanosecondType>();
    let slides = slides.as_primitive::<IntervalMonthDayNanoType>();
    let sizes = sizes.as_primitive::<IntervalMonthDayNanoType>();
    let mut starts: Vec<i64> = Vec::new();
    let mut counts = Vec::with_capacity(times.len());
    let mut present = Vec::with_capacity(times.len());
    for row in 0..times.len() {
        let is_null = times.is_null(row) || slides.is_null(row) || sizes.is_null(row);
        present.push(!is_null);
        let before = starts.len();
        if !is_null {
            let (slide, size) = (
                nanoseconds(slides.value(row))?,
                nanoseconds(sizes.value(row))?,
            );
            if size / slide > MOST_WINDOWS {
                return exec_err!("an instant would belong to more than {MOST_WINDOWS} windows");
            }
            let time = times.value(row);
            let mut first = floor(time, slide)?;
            // Back to the first window that still holds the instant.
            while let Some(earlier) = first.checked_sub(slide)
                && time - earlier < size
            {
                first = earlier;
            }
            let mut start = first;
            while start <= time {
                // With a slide longer than the size there are instants in no window.
                if time - start < size {
                    starts.push(start);
                }
                match start.checked_add(slide) {
                    Some(next) => start = next,
                    None => break,
                }
            }
        }
        counts.push(starts.len() - before);
    }
    let offsets = OffsetBuffer::from_lengths(counts);
    let nulls = NullBuffer::from(present);
    let starts = Arc::new(TimestampNanosecondArray::from(starts));
    let list = ListArray::try_new(instants(), offsets, starts, Some(nulls))?;
    Ok(Arc::new(list))
}

fn times(numbers: &ArrayRef, lengths: &ArrayRef) -> Result<ArrayRef> {
    let numbers = numbers.as_primitive::<arrow::datatypes::Int64Type>();
    let lengths = lengths.as_primitive::<IntervalMonthDayNanoType>();
    let product = |(number, length): (Option<i64>, Option<IntervalMonthDayNano>)| {
        let (Some(number), Some(length)) = (number, length) else {
            return Ok(None);
        };
        let of = |part: i32| {
            let product = i64::from(part).checked_mul(number);
            product.and_then(|product| i32::try_from(product).ok())
        };
        match (
            of(length.months),
            of(length.days),
            length.nanoseconds.checked_mul(number),
        ) {
            (Some(months), Some(days), Some(nanoseconds)) => {
                Ok(Some(IntervalMonthDayNano::new(months, days, nanoseconds)))
            }
            _ => exec_err!("{number} times an interval is longer than an interval can be"),
        }
    };
    let products = numbers.iter().zip(lengths).map(product);
    let products: IntervalMonthDayNanoArray = products.collect::<Result<_>>()?;
    Ok(Arc::new(products))
}

/// `session_start(at, gap) OVER (PARTITION BY ... ORDER BY at)`: the first instant of the run of rows
/// to which a row belongs; a run ends where the next row is further away than the gap.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionStart {
    signature: Signature,
}

impl SessionStart {
    fn new() -> SessionStart {
        SessionStart {
            signature: Signature::exact(vec![timestamp(), interval()], Volatility::Immutable),
        }
    }
}

impl WindowUDFImpl for SessionStart {
    fn name(&self) -> &str {
        "session_start"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Sessions))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), timestamp(), true)))
    }
}

/// Finds the sessions of one partition.
#[derive(Debug)]
struct Sessions;

impl PartitionEvaluator for Sessions {
    fn evaluate_all(&mut self, values: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let [times, gaps] = values else {
            return exec_err!("session_start() takes a time and a gap");
        };
        let times = cast(times, &timestamp())?;
        let times = times.as_primitive::<TimestampNanosecondType>();
        let gaps = gaps.as_primitive::<IntervalMonthDayNanoType>();
        // By time, whatever the order of the window is.
        let mut order: Vec<usize> = (0..times.len())
            .filter(|row| times.is_valid(*row) && gaps.is_valid(*row))
            .collect();
        order.sort_by_key(|row| times.value(*row));
        let mut starts = vec![None; times.len()];
        let mut open: Option<(i64, i64)> = None;
        for row in order {
            let (time, gap) = (times.value(row), nanoseconds(gaps.value(row))?);
            let start = match open {
                Some((start, last)) if i128::from(time) - i128::from(last) <= i128::from(gap) => {
                    start
                }
                _ => time,
            };
            open = Some((start, time));
            starts[row] = Some(start);
        }
        Ok(Arc::new(TimestampNanosecondArray::from(starts)))
    }
}
