//! What an aggregate asks of its group's components.
//!
//! A function's name and the types of its arguments flow in; a [`Question`] comes out, and the
//! [`Layout`] gets the components that the question needs. Names are those that DataFusion 55 gives
//! its functions; it resolves aliases (`mean`, `var_samp`, `stddev_samp`, `covar`) before.

use arrow::datatypes::DataType;

use super::Layout;
use super::layout::Addend;

/// A question, by the components that answer it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    Count {
        count: usize,
    },
    Sum {
        count: usize,
        sum: usize,
    },
    /// The scale is that of the decimals summed.
    Average {
        count: usize,
        sum: usize,
        scale: i8,
    },
    /// Whether all are true.
    All {
        count: usize,
        trues: usize,
    },
    /// Whether any is true.
    Any {
        count: usize,
        trues: usize,
    },
    Statistic {
        count: usize,
        statistic: Statistic,
    },
}

/// The sum of the products of deviations of a and b from their means, by its components.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deviation {
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) products: usize,
}

/// Statistics of doubles; y comes before x in SQL's argument lists.
#[derive(Debug, Clone, Copy)]
pub(super) enum Statistic {
    Covariance {
        xy: Deviation,
        sample: bool,
    },
    StandardDeviation {
        xx: Deviation,
        sample: bool,
    },
    Correlation {
        xy: Deviation,
        xx: Deviation,
        yy: Deviation,
    },
    Slope {
        xy: Deviation,
        xx: Deviation,
    },
    Intercept {
        xy: Deviation,
        xx: Deviation,
    },
    Determination {
        xy: Deviation,
        xx: Deviation,
        yy: Deviation,
    },
    /// `regr_sxx` and its like.
    Deviations {
        of: Deviation,
    },
}

impl Layout {
    /// What a function of one argument asks about a source; `None` if it is not accumulable.
    pub(super) fn question_of_one(
        &mut self,
        function: &str,
        selection: usize,
        x: usize,
    ) -> Option<Question> {
        let data_type = self.sources[x].data_type.clone();
        let count = self.component(selection, Addend::One);
        let is_float = data_type == DataType::Float64;
        match function {
            "sum" => {
                let sum = self.component(selection, addend(&data_type, x)?);
                Some(Question::Sum { count, sum })
            }
            "avg" => {
                let sum = self.component(selection, addend(&data_type, x)?);
                Some(Question::Average {
                    count,
                    sum,
                    scale: scale(&data_type),
                })
            }
            "bool_and" | "bool_or" if data_type == DataType::Boolean => {
                let trues = self.component(selection, Addend::True(x));
                let all = function == "bool_and";
                Some(if all {
                    Question::All { count, trues }
                } else {
                    Question::Any { count, trues }
                })
            }
            "var" | "var_pop" if is_float => {
                let (xx, sample) = (self.deviation(selection, x, x), function == "var");
                let statistic = Statistic::Covariance { xy: xx, sample };
                Some(Question::Statistic { count, statistic })
            }
            "stddev" | "stddev_pop" if is_float => {
                let (xx, sample) = (self.deviation(selection, x, x), function == "stddev");
                let statistic = Statistic::StandardDeviation { xx, sample };
                Some(Question::Statistic { count, statistic })
            }
            _ => None,
        }
    }

    /// What a function of two arguments asks about two sources; `None` if it is not accumulable.
    pub(super) fn question_of_two(
        &mut self,
        function: &str,
        selection: usize,
        y: usize,
        x: usize,
    ) -> Option<Question> {
        if [x, y]
            .iter()
            .any(|source| self.sources[*source].data_type != DataType::Float64)
        {
            return None;
        }
        let count = self.component(selection, Addend::One);
        let statistic = match function {
            "regr_count" => return Some(Question::Count { count }),
            "regr_avgx" | "regr_avgy" => {
                let source = if function == "regr_avgx" { x } else { y };
                let sum = self.component(selection, Addend::Float(source));
                return Some(Question::Average {
                    count,
                    sum,
                    scale: 0,
                });
            }
            "covar_samp" | "covar_pop" => Statistic::Covariance {
                xy: self.deviation(selection, x, y),
                sample: function == "covar_samp",
            },
            "corr" => Statistic::Correlation {
                xy: self.deviation(selection, x, y),
                xx: self.deviation(selection, x, x),
                yy: self.deviation(selection, y, y),
            },
            "regr_slope" => Statistic::Slope {
                xy: self.deviation(selection, x, y),
                xx: self.deviation(selection, x, x),
            },
            "regr_intercept" => Statistic::Intercept {
                xy: self.deviation(selection, x, y),
                xx: self.deviation(selection, x, x),
            },
            "regr_r2" => Statistic::Determination {
                xy: self.deviation(selection, x, y),
                xx: self.deviation(selection, x, x),
                yy: self.deviation(selection, y, y),
            },
            "regr_sxx" => Statistic::Deviations {
                of: self.deviation(selection, x, x),
            },
            "regr_syy" => Statistic::Deviations {
                of: self.deviation(selection, y, y),
            },
            "regr_sxy" => Statistic::Deviations {
                of: self.deviation(selection, x, y),
            },
            _ => return None,
        };
        Some(Question::Statistic { count, statistic })
    }

    fn deviation(&mut self, selection: usize, a: usize, b: usize) -> Deviation {
        let product = Addend::Product(a.min(b), a.max(b));
        Deviation {
            a: self.component(selection, Addend::Float(a)),
            b: self.component(selection, Addend::Float(b)),
            products: self.component(selection, product),
        }
    }

    /// Whether the answer can be of a type.
    pub(super) fn can_yield(&self, question: Question, data_type: &DataType) -> bool {
        use DataType::{
            Boolean, Decimal32, Decimal64, Decimal128, Duration, Float64, Int64, UInt64,
        };
        match question {
            Question::Count { .. } => matches!(data_type, Int64 | UInt64),
            Question::All { .. } | Question::Any { .. } => *data_type == Boolean,
            Question::Statistic { .. } => *data_type == Float64,
            Question::Sum { sum, .. } => match self.components[sum].addend {
                Addend::Integer(_) => matches!(data_type, Int64 | UInt64 | Duration(_)),
                Addend::Decimal(x) => {
                    matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..))
                        && scale(data_type) == scale(&self.sources[x].data_type)
                }
                _ => *data_type == Float64,
            },
            Question::Average {
                sum,
                scale: sum_scale,
                ..
            } => match self.components[sum].addend {
                Addend::Integer(x) => match self.sources[x].data_type {
                    Duration(_) => *data_type == self.sources[x].data_type,
                    _ => *data_type == Float64,
                },
                Addend::Decimal(_) => {
                    matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..))
                        && scale(data_type) >= sum_scale
                }
                _ => *data_type == Float64,
            },
        }
    }
}

/// What a row adds to the sum of a source of this type.
fn addend(data_type: &DataType, source: usize) -> Option<Addend> {
    use DataType::{Decimal32, Decimal64, Decimal128, Duration};
    match data_type {
        Decimal32(..) | Decimal64(..) | Decimal128(..) => Some(Addend::Decimal(source)),
        Duration(_) => Some(Addend::Integer(source)),
        _ if data_type.is_integer() => Some(Addend::Integer(source)),
        DataType::Float64 => Some(Addend::Float(source)),
        _ => None,
    }
}

fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}
