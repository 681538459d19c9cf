//! Variances, covariances, correlations and regressions, from exact sums.
//!
//! With exact sums of x, y and xy, the textbook formula `n*Σxy - Σx*Σy` is exact as well: it is
//! `n` times the sum of products of deviations from the means, with nothing cancelled. One rounding
//! a number and one an operation remain, so answers are within about two units in the last place;
//! the variance of equal values is zero, and it is never negative. The formulas of the regressions
//! are those of DataFusion's `regr_*`, which are Postgres's ("Aggregate Functions for Statistics").

use super::ExactSum;
use super::big::{Big, Scaled};
use super::question::{Deviation, Statistic};

/// A statistic's sums within one group.
struct Sums<'a, F: Fn(usize) -> &'a ExactSum> {
    count: i64,
    sum: F,
}

impl Statistic {
    /// The answer for a group of `count` rows, whose sums are looked up by component. `None` is
    /// null.
    pub(super) fn of<'a>(self, count: i64, sum: impl Fn(usize) -> &'a ExactSum) -> Option<f64> {
        let sums = Sums { count, sum };
        match self {
            Statistic::Covariance { xy, sample } => sums.covariance(xy, sample),
            Statistic::StandardDeviation { xx, sample } => sums.standard_deviation(xx, sample),
            Statistic::Correlation { xy, xx, yy } => sums.correlation(xy, xx, yy),
            Statistic::Slope { xy, xx } => sums.slope(xy, xx),
            Statistic::Intercept { xy, xx } => sums.intercept(xy, xx),
            Statistic::Determination { xy, xx, yy } => sums.determination(xy, xx, yy),
            Statistic::Deviations { of } => sums.deviations(of),
        }
    }
}

impl<'a, F: Fn(usize) -> &'a ExactSum> Sums<'a, F> {
    fn covariance(&self, xy: Deviation, sample: bool) -> Option<f64> {
        let pairs = self.pairs(sample)?;
        let Some(deviation) = self.times_count(xy) else {
            return Some(f64::NAN);
        };
        Some(deviation.to_scaled().div(pairs).to_f64())
    }

    fn standard_deviation(&self, xx: Deviation, sample: bool) -> Option<f64> {
        let pairs = self.pairs(sample)?;
        let Some(deviation) = self.times_count(xx) else {
            return Some(f64::NAN);
        };
        Some(deviation.to_scaled().div(pairs).sqrt().to_f64())
    }

    fn correlation(&self, xy: Deviation, xx: Deviation, yy: Deviation) -> Option<f64> {
        let x_is_nan = (self.sum)(xx.a).to_f64().is_nan();
        let y_is_nan = (self.sum)(yy.a).to_f64().is_nan();
        if x_is_nan && y_is_nan {
            return Some(f64::NAN);
        }
        if self.count < 2 || x_is_nan || y_is_nan {
            return None;
        }
        let (Some(xy), Some(xx), Some(yy)) = (
            self.times_count(xy),
            self.times_count(xx),
            self.times_count(yy),
        ) else {
            return Some(f64::NAN);
        };
        if xx.is_zero() || yy.is_zero() {
            return None;
        }
        let spread = xx.to_scaled().mul(yy.to_scaled()).sqrt();
        // Beyond one it is only by rounding (the Cauchy-Schwarz inequality).
        Some(xy.to_scaled().div(spread).to_f64().clamp(-1.0, 1.0))
    }

    fn slope(&self, xy: Deviation, xx: Deviation) -> Option<f64> {
        if self.is_flat(xx) {
            return None;
        }
        let (Some(xy), Some(xx)) = (self.times_count(xy), self.times_count(xx)) else {
            return Some(f64::NAN);
        };
        Some(xy.to_scaled().div(xx.to_scaled()).to_f64())
    }

    fn intercept(&self, xy: Deviation, xx: Deviation) -> Option<f64> {
        if self.is_flat(xx) {
            return None;
        }
        let (x, y) = if xy.a == xx.a {
            (xy.a, xy.b)
        } else {
            (xy.b, xy.a)
        };
        let (x, y) = ((self.sum)(x).finite(), (self.sum)(y).finite());
        let (Some(xy), Some(xx)) = (self.times_count(xy), self.times_count(xx)) else {
            return Some(f64::NAN);
        };
        // mean(y) - slope * mean(x), over one denominator.
        let numerator = y.mul(&xx).sub(&xy.mul(&x));
        let denominator = xx.mul(&Big::from_i128(self.count.into(), 0));
        Some(numerator.to_scaled().div(denominator.to_scaled()).to_f64())
    }

    fn determination(&self, xy: Deviation, xx: Deviation, yy: Deviation) -> Option<f64> {
        if self.is_flat(xx) || self.is_flat(yy) {
            return None;
        }
        let (Some(xy), Some(xx), Some(yy)) = (
            self.times_count(xy),
            self.times_count(xx),
            self.times_count(yy),
        ) else {
            return Some(f64::NAN);
        };
        let (xy, spread) = (xy.to_scaled(), xx.to_scaled().mul(yy.to_scaled()));
        Some(xy.mul(xy).div(spread).to_f64().min(1.0))
    }

    fn deviations(&self, of: Deviation) -> Option<f64> {
        if self.count < 1 {
            return None;
        }
        let Some(deviation) = self.times_count(of) else {
            return Some(f64::NAN);
        };
        let count = Big::from_i128(self.count.into(), 0).to_scaled();
        Some(deviation.to_scaled().div(count).to_f64())
    }

    /// Whether there are too few rows, or all values are equal: no line goes through them.
    fn is_flat(&self, xx: Deviation) -> bool {
        self.count <= 1
            || self
                .times_count(xx)
                .is_some_and(|deviation| deviation.is_zero())
    }

    /// By what `n` times a sum of deviations is divided for a mean; `None` if by zero.
    fn pairs(&self, sample: bool) -> Option<Scaled> {
        let count = i128::from(self.count);
        let others = if sample { count - 1 } else { count };
        (others > 0).then(|| Big::from_i128(count * others, 0).to_scaled())
    }

    /// The count times the sum of the products of deviations; `None` if a value is not finite.
    fn times_count(&self, deviation: Deviation) -> Option<Big> {
        let (a, b) = ((self.sum)(deviation.a), (self.sum)(deviation.b));
        if a.has_special() || b.has_special() {
            return None;
        }
        let products = (self.sum)(deviation.products).finite();
        let count = Big::from_i128(self.count.into(), 0);
        Some(count.mul(&products).sub(&a.finite().mul(&b.finite())))
    }
}
