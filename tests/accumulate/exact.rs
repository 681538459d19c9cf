//! `ExactSum` against a plain fixed-point number wide enough for every product of doubles.
//!
//! The reference knows nothing of rounding: a sum is right if no neighbouring double is nearer to
//! the reference's value, and of two equally near ones it is the even one.

use proptest::prelude::*;
use tillrace::render::accumulate::ExactSum;

/// The reference's last bit weighs two to this: the least product of doubles.
const LOWEST: i32 = -2 * 1074;

/// Enough bits for 2^2048, a sign, and 2^63 of them.
const LIMBS: usize = 134;

/// A two's complement integer in units of `2^LOWEST`, in limbs of 32 bits.
#[derive(Clone, PartialEq, Debug)]
struct Reference([u32; LIMBS]);

impl Reference {
    fn zero() -> Reference {
        Reference([0; LIMBS])
    }

    fn of(values: &[f64]) -> Reference {
        let mut sum = Reference::zero();
        values.iter().for_each(|value| sum.add(*value, 1.0));
        sum
    }

    /// Adds `x * y`, bit by bit of y's significand.
    fn add(&mut self, x: f64, y: f64) {
        let (a, a_exponent) = parts(x);
        let (b, b_exponent) = parts(y);
        let negative = x.is_sign_negative() != y.is_sign_negative();
        for bit in (0..53).filter(|bit| b >> bit & 1 == 1) {
            self.add_shifted(
                a,
                (a_exponent + b_exponent + bit - LOWEST) as usize,
                negative,
            );
        }
    }

    fn add_shifted(&mut self, value: u64, shift: usize, negative: bool) {
        let mut wide = u128::from(value) << (shift % 32);
        let mut carry = 0i64;
        for limb in &mut self.0[shift / 32..] {
            let part = i64::from(wide as u32);
            wide >>= 32;
            let total = i64::from(*limb) + if negative { -part } else { part } + carry;
            *limb = total as u32;
            carry = total >> 32;
        }
    }

    fn minus(&self, value: f64) -> Reference {
        let mut difference = self.clone();
        difference.add(-value, 1.0);
        difference
    }

    fn is_negative(&self) -> bool {
        self.0[LIMBS - 1] >> 31 == 1
    }

    fn absolute(self) -> Reference {
        if !self.is_negative() {
            return self;
        }
        let mut carry = true;
        Reference(self.0.map(|limb| {
            let (limb, overflow) = (!limb).overflowing_add(u32::from(carry));
            carry = overflow;
            limb
        }))
    }

    fn cmp(&self, other: &Reference) -> std::cmp::Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

/// Significand and exponent of a finite double's absolute value.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.abs().to_bits();
    match (bits >> 52) as i32 {
        0 => (bits, -1074),
        exponent => ((bits & ((1 << 52) - 1)) | 1 << 52, exponent - 1075),
    }
}

/// Whether `answer` is the reference's value, rounded to nearest, ties to even.
fn is_rounded(answer: f64, reference: &Reference) -> bool {
    let limit = reference.minus(f64::MAX).minus(2f64.powi(970));
    if answer == f64::INFINITY {
        return !limit.is_negative();
    }
    if answer == f64::NEG_INFINITY {
        let mut beyond = reference.clone();
        beyond.add(f64::MAX, 1.0);
        beyond.add(2f64.powi(970), 1.0);
        return beyond.is_negative() || beyond == Reference::zero();
    }
    let error = reference.minus(answer).absolute();
    [answer.next_up(), answer.next_down()]
        .into_iter()
        .filter(|n| n.is_finite())
        .all(
            |neighbour| match error.cmp(&reference.minus(neighbour).absolute()) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => answer.to_bits() & 1 == 0,
                std::cmp::Ordering::Greater => false,
            },
        )
}

fn sum_of(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::default();
    values.iter().for_each(|value| sum.add(*value, 1));
    sum
}

/// Any finite double: all exponents, money, subnormals, and near the greatest.
fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
        4 => (-10_000_000i64..10_000_000).prop_map(|cents| cents as f64 / 100.0),
        2 => (0u64..1 << 53, any::<bool>()).prop_map(|(bits, negative)| {
            let value = f64::from_bits(bits);
            if negative { -value } else { value }
        }),
        1 => (0u64..1 << 20).prop_map(|below| f64::from_bits(f64::MAX.to_bits() - below)),
        1 => (-1100i32..1024).prop_map(|exponent| 2f64.powi(exponent)),
        1 => Just(-0.0),
    ]
}

/// Doubles whose half ulps are normal doubles.
fn ordinary() -> impl Strategy<Value = f64> {
    (100u64..1_990, 0u64..1 << 52, any::<bool>()).prop_map(|(exponent, fraction, negative)| {
        let value = f64::from_bits(exponent << 52 | fraction);
        if negative { -value } else { value }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn sums_are_correctly_rounded(values in prop::collection::vec(finite(), 0..40)) {
        let answer = sum_of(&values).to_f64();
        prop_assert!(is_rounded(answer, &Reference::of(&values)), "{answer:e}");
    }

    #[test]
    fn products_are_correctly_rounded(
        pairs in prop::collection::vec((finite(), finite()), 0..20),
    ) {
        let mut sum = ExactSum::default();
        let mut reference = Reference::zero();
        for (x, y) in &pairs {
            sum.add_product(*x, *y, 1);
            reference.add(*x, *y);
        }
        prop_assert!(is_rounded(sum.to_f64(), &reference), "{:e}", sum.to_f64());
    }

    #[test]
    fn ties_go_to_even(value in ordinary(), up in any::<bool>(), nudge in finite()) {
        let ulp = (value.next_up() - value).min(value - value.next_down());
        let half = if up { ulp / 2.0 } else { -ulp / 2.0 };
        for values in [vec![value, half], vec![half, nudge, value, -nudge]] {
            let sum = sum_of(&values).to_f64();
            prop_assert!(is_rounded(sum, &Reference::of(&values)));
        }
    }

    #[test]
    fn order_partition_and_retractions_leave_no_trace(
        (values, shuffled) in prop::collection::vec(finite(), 0..40)
            .prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle())),
        strangers in prop::collection::vec((finite(), -i64::MAX..i64::MAX), 0..10),
        at in 0usize..40,
    ) {
        let expected = sum_of(&values);
        let (left, right) = shuffled.split_at(at.min(shuffled.len()));
        let mut sum = sum_of(right);
        for (stranger, times) in &strangers {
            sum.add(*stranger, *times);
            sum.add_product(*stranger, 3.7, *times);
        }
        sum.merge(&sum_of(left));
        for (stranger, times) in &strangers {
            sum.add(*stranger, -times);
            sum.add_product(*stranger, -3.7, *times);
        }
        prop_assert_eq!(&sum, &expected);
        prop_assert_eq!(sum.to_f64().to_bits(), expected.to_f64().to_bits());
        for value in &values {
            sum.add(*value, -1);
        }
        prop_assert!(sum.is_zero());
        sum.normalize();
        prop_assert_eq!(sum.heap_bytes(), 0);
    }

    #[test]
    fn multiplicities_are_repetitions(
        value in finite(), other in finite(), times in -50i64..50, stray in any::<i32>(),
    ) {
        let mut at_once = ExactSum::default();
        at_once.add(value, times);
        at_once.add_product(value, other, times);
        let mut one_by_one = ExactSum::default();
        for _ in 0..times.abs() {
            one_by_one.add(value, times.signum());
            one_by_one.add_product(value, other, times.signum());
        }
        prop_assert_eq!(&at_once, &one_by_one);
        // Large multiplicities take another road.
        let stray = i64::from(stray) << 31;
        at_once.add(value, stray);
        at_once.add(value, times - stray);
        one_by_one.add(value, times);
        at_once.add_product(other, value, stray);
        at_once.add_product(value, other, -stray);
        prop_assert_eq!(at_once, one_by_one);
    }
}

#[test]
fn a_window_that_overflows_stays_exact() {
    let mut sum = ExactSum::default();
    let value = 2f64.powi(43).next_down();
    let mut reference = Reference::zero();
    for _ in 0..2_000 {
        sum.add(value, 1_000);
        sum.add_product(value, value, 1 << 19);
        reference.add(value, 1_000.0);
        for _ in 0..1 << 3 {
            reference.add(value, value * 65_536.0);
        }
    }
    assert!(is_rounded(sum.to_f64(), &reference));
    for _ in 0..2_000 {
        sum.add(-value, 1_000);
        sum.add_product(value, value, -(1 << 19));
    }
    assert!(sum.is_zero());
}

#[test]
fn specials_follow_ieee_and_can_be_taken_back() {
    let mut sum = sum_of(&[1.5, f64::INFINITY]);
    assert_eq!(sum.to_f64(), f64::INFINITY);
    sum.add(f64::NEG_INFINITY, 1);
    assert!(sum.to_f64().is_nan());
    sum.add(f64::INFINITY, -1);
    assert_eq!(sum.to_f64(), f64::NEG_INFINITY);
    sum.add(f64::NAN, 2);
    assert!(sum.to_f64().is_nan() && sum.has_special());
    sum.add(f64::NAN, -2);
    sum.add(f64::NEG_INFINITY, -1);
    assert_eq!(
        (sum.to_f64(), sum.has_special(), sum.heap_bytes()),
        (1.5, false, 0)
    );
}

#[test]
fn zeros_are_positive() {
    assert_eq!(sum_of(&[-0.0, -0.0]).to_f64().to_bits(), 0);
    assert_eq!(sum_of(&[-1e-320, 1e-320]).to_f64().to_bits(), 0);
}

#[test]
fn sums_beyond_the_greatest_double_are_infinite() {
    let half_ulp = 2f64.powi(970);
    assert_eq!(sum_of(&[f64::MAX, half_ulp]).to_f64(), f64::INFINITY);
    assert_eq!(sum_of(&[f64::MAX, half_ulp.next_down()]).to_f64(), f64::MAX);
    assert_eq!(sum_of(&[-f64::MAX, -f64::MAX]).to_f64(), f64::NEG_INFINITY);
    assert_eq!(sum_of(&[f64::MAX, f64::MAX, -f64::MAX]).to_f64(), f64::MAX);
}
