//! The engine's clock in SQL: `now()`, what is named after it, and the relation `tillrace.clock`.
//!
//! To the planner `now()` is a name that nothing can compute: it is found again in predicates, out
//! of which [`super::temporal`] makes instants at which rows come and go. A batch session is told
//! what `now()` is and computes with it as with any value.

use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DataFusionError, ScalarValue, exec_err};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};

type Result<T> = std::result::Result<T, DataFusionError>;

/// The function whose value is the engine's clock.
pub(super) const NOW: &str = "now";

/// Every name under which a query asks for the clock.
pub(super) const NAMES: [&str; 4] = [NOW, "current_timestamp", "current_date", "today"];

/// The relation of one row that holds the clock's whole seconds.
pub(super) const CLOCK: &str = "clock";

/// What is said of a `now()` that no bound can be made of, and what to write instead.
pub(super) const MISPLACED: &str = "now() is kept up to date only where it bounds rows in WHERE";
/// See [`MISPLACED`].
pub(super) const INSTEAD: &str = "compare it with a time in WHERE or HAVING, as in \
     `at > now() - INTERVAL '5 minutes'`; to show it, join tillrace.clock, whose column now changes \
     every second";

/// How many nanoseconds lie between two values of `tillrace.clock`.
const TICK_NS: i64 = 1_000_000_000;

/// The type of `now()`.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

/// The columns of `tillrace.clock`.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(NOW, timestamp(), false)]))
}

/// The second to which a time belongs, both in nanoseconds since the Unix epoch.
pub fn clock_second(now: i64) -> i64 {
    now.div_euclid(TICK_NS).saturating_mul(TICK_NS)
}

/// The row of `tillrace.clock` at a time in nanoseconds since the Unix epoch; none before there is
/// a time.
pub fn clock_at(now: Option<i64>) -> RecordBatch {
    clock_reading(now.map(clock_second))
}

/// What the clock shows, in nanoseconds since the Unix epoch, to the nanosecond.
pub fn clock_reading(now: Option<i64>) -> RecordBatch {
    let column: TimestampNanosecondArray = now.into_iter().map(Some).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(column)]).expect("the clock fits its schema")
}

/// Makes the clock known to a session: without a time as a name alone, otherwise as that time, in
/// nanoseconds since the Unix epoch.
pub(super) fn register(context: &SessionContext, now: Known) {
    context.register_udf(ScalarUDF::from(Clock::new(NOW, now)));
    context.register_udf(ScalarUDF::from(Clock::new("current_date", now)));
}

/// What a session knows of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Known {
    /// Only that there is one.
    Name,
    /// What it shows, in nanoseconds since the Unix epoch; null before it shows anything.
    Time(Option<i64>),
}

/// Whether an expression asks for the clock.
pub(super) fn is_asked(expr: &Expr) -> Result<bool> {
    expr.exists(|part| Ok(is_now(part)))
}

/// Whether an expression is `now()`.
pub(super) fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if function.func.inner().is::<Clock>())
}

/// `now()`, or its day.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Clock {
    name: &'static str,
    now: Known,
    signature: Signature,
    aliases: Vec<String>,
}

impl Clock {
    fn new(name: &'static str, now: Known) -> Clock {
        let alias = if name == NOW {
            "current_timestamp"
        } else {
            "today"
        };
        Clock {
            name,
            now,
            signature: Signature::nullary(Volatility::Stable),
            aliases: vec![alias.to_owned()],
        }
    }

    fn is_day(&self) -> bool {
        self.name != NOW
    }
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(if self.is_day() {
            DataType::Date32
        } else {
            timestamp()
        })
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Known::Time(now) = self.now else {
            return exec_err!("{}() has no value while a query is planned", self.name);
        };
        let now = ScalarValue::TimestampNanosecond(now, None);
        Ok(ColumnarValue::Scalar(if self.is_day() {
            now.cast_to(&DataType::Date32)?
        } else {
            now
        }))
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if !self.is_day() {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let now = ScalarUDF::from(Clock::new(NOW, self.now)).call(Vec::new());
        Ok(ExprSimplifyResult::Simplified(cast(now, DataType::Date32)))
    }
}
