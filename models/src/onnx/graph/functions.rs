//! The functions of single numbers, with the same bits on every machine.
//!
//! Sums, products, quotients and roots are rounded once, as IEEE 754 says, and are never fused. What has no such law is computed here
//! and not by the C library. Single precision: `exp`, and what is made of it, in doubles, by plain products and sums, so that the
//! compiler makes vectors of it, and rounded once at the end; that is the nearest number for all but a few in a hundred thousand, and then the next one (`tests.rs`). The others,
//! and those of doubles, come from `libm`, which is Rust's, and from [`crate::exp`].

use crate::exp::exp;

#[cfg(target_arch = "x86_64")]
use super::registers::Register;

/// What a number of a graph can do; whole numbers wrap.
pub trait Lane: Copy + PartialOrd + Default + std::fmt::Debug + 'static {
    const ONE: Self;
    /// The nearest. As a whole number NaN is the least, which is nobody's category, and what is too great is the greatest.
    fn of(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// A whole number divided by 0 is 0.
    fn over(self, other: Self) -> Self;

    /// The greater; NaN if either is.
    #[inline(always)]
    fn most(self, other: Self) -> Self {
        if self > other || !self.is_number() { self } else { other }
    }

    /// The lesser; NaN if either is.
    #[inline(always)]
    fn least(self, other: Self) -> Self {
        if self < other || !self.is_number() { self } else { other }
    }

    /// No NaN?
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "NaN alone is not equal to itself")]
    fn is_number(self) -> bool {
        self == self
    }

    #[inline(always)]
    fn negative(self) -> Self {
        Self::default().minus(self)
    }
}

/// What has fractions.
pub trait Real: Lane {
    /// Several of them.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Register<Self>;
    /// More of them.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Register<Self>;

    fn exp(self) -> Self;
    fn sigmoid(self) -> Self;
    fn tanh(self) -> Self;
    fn root(self) -> Self;
    fn size(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    /// To even where two are as near.
    fn round(self) -> Self;

    /// One of `libm`'s, for what is asked more seldom.
    #[inline(always)]
    fn by(self, function: fn(f64) -> f64) -> Self {
        Self::of(function(self.to_f64()))
    }

    #[inline(always)]
    fn power(self, to: Self) -> Self {
        Self::of(libm::pow(self.to_f64(), to.to_f64()))
    }
}

macro_rules! lane {
    ($T:ty) => {
        impl Lane for $T {
            const ONE: Self = 1.0;

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $T
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }

            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }

            #[inline(always)]
            fn negative(self) -> Self {
                -self
            }
        }
    };
}
lane!(f32);
lane!(f64);

impl Lane for i64 {
    const ONE: Self = 1;

    #[inline(always)]
    fn of(value: f64) -> Self {
        if value.is_nan() { i64::MIN } else { value as i64 }
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        if other == 0 { 0 } else { self.wrapping_div(other) }
    }
}

/// What makes a whole number of a double, in its lowest bits, when it is added.
const WHOLE: f64 = 6_755_399_441_055_744.0;

/// `exp` as single precision needs it: some 45 bits. NaN may be any; `x` is at most 1000 in size.
#[inline(always)]
fn rough_exp(x: f64) -> f64 {
    let shifted = x * std::f64::consts::LOG2_E + WHOLE;
    let r = x - (shifted - WHOLE) * std::f64::consts::LN_2;
    // Taylor's; |r| is below 0.3466.
    let mut sum = 1.0 / 39_916_800.0;
    for term in [3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = sum * r + 1.0 / term;
    }
    // Times a power of two, by its exponent.
    f64::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 52))
}

/// `x`, but no more than this in size; NaN stays.
#[inline(always)]
fn within(x: f64, most: f64) -> f64 {
    let x = if x > most { most } else { x };
    if x < -most { -most } else { x }
}

impl Real for f32 {
    #[cfg(target_arch = "x86_64")]
    type Avx2 = std::arch::x86_64::__m256;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = std::arch::x86_64::__m512;

    #[inline(always)]
    fn exp(self) -> Self {
        let e = rough_exp(within(f64::from(self), 200.0)) as f32;
        if self.is_number() { e } else { f32::NAN }
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = rough_exp(-within(f64::from(self).abs(), 200.0));
        let part = if self < 0.0 { e } else { 1.0 };
        let s = (part / (1.0 + e)) as f32;
        if self.is_number() { s } else { f32::NAN }
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        let x = f64::from(self);
        let e = rough_exp(-2.0 * within(x.abs(), 50.0));
        let far = (1.0 - e) / (1.0 + e);
        let far = if self < 0.0 { -far } else { far };
        // Near 0, where the other loses its bits.
        let near = x * (1.0 - x * x * (1.0 / 3.0));
        let t = if x.abs() < 1e-4 { near } else { far } as f32;
        if self.is_number() { t } else { f32::NAN }
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn size(self) -> Self {
        self.abs()
    }

    #[inline(always)]
    fn floor(self) -> Self {
        self.floor()
    }

    #[inline(always)]
    fn ceil(self) -> Self {
        self.ceil()
    }

    #[inline(always)]
    fn round(self) -> Self {
        self.round_ties_even()
    }
}

impl Real for f64 {
    #[cfg(target_arch = "x86_64")]
    type Avx2 = std::arch::x86_64::__m256d;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = std::arch::x86_64::__m512d;

    #[inline(always)]
    fn exp(self) -> Self {
        exp(self)
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = exp(-self.abs());
        let part = if self < 0.0 { e } else { 1.0 };
        part / (1.0 + e)
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        libm::tanh(self)
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn size(self) -> Self {
        self.abs()
    }

    #[inline(always)]
    fn floor(self) -> Self {
        self.floor()
    }

    #[inline(always)]
    fn ceil(self) -> Self {
        self.ceil()
    }

    #[inline(always)]
    fn round(self) -> Self {
        self.round_ties_even()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some numbers of every size, and odd ones.
    fn numbers() -> impl Iterator<Item = f32> {
        let spread = (0..60_000u32).map(|at| f32::from_bits(at.wrapping_mul(71_582_789)));
        let usual = (0..40_000).map(|at| (at - 20_000) as f32 * 0.0051);
        spread.chain(usual).chain([
            0.0,
            -0.0,
            88.72,
            88.73,
            -103.9,
            -104.0,
            1e-4,
            -1e-4,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ])
    }

    /// Single precision is the nearest to what `libm` says in doubles, but for what is next to the middle of two.
    #[test]
    fn single_precision_is_rounded_once() {
        let check = |name: &str, ours: fn(f32) -> f32, theirs: fn(f64) -> f64| {
            let mut off = 0;
            for x in numbers() {
                let (got, want) = (ours(x), theirs(f64::from(x)) as f32);
                assert_eq!(got.is_nan(), want.is_nan(), "{name} {x:?}");
                if got.to_bits() != want.to_bits() && !got.is_nan() {
                    assert!(got.to_bits().abs_diff(want.to_bits()) == 1, "{name} {x:?}: {got:?}, wanted {want:?}");
                    off += 1;
                }
            }
            assert!(off <= 1, "{name}: {off} are not the nearest");
        };
        check("exp", Real::exp, libm::exp);
        check("sigmoid", Real::sigmoid, |x| if x < 0.0 { exp(x) / (1.0 + exp(x)) } else { 1.0 / (1.0 + exp(-x)) });
        check("tanh", Real::tanh, libm::tanh);
    }

    #[test]
    fn known_values() {
        assert_eq!(Real::exp(0.0f32), 1.0);
        assert_eq!(Real::exp(1.0f32), std::f32::consts::E);
        assert_eq!(Real::exp(88.8f32), f32::INFINITY);
        assert_eq!(Real::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(Real::exp(-103.5f32), f32::from_bits(1));
        assert_eq!(Real::sigmoid(0.0f32), 0.5);
        assert_eq!(Real::sigmoid(-0.0f64), 0.5);
        assert_eq!(Real::sigmoid(f32::INFINITY), 1.0);
        assert_eq!(Real::sigmoid(f64::NEG_INFINITY), 0.0);
        assert_eq!(Real::tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(Real::tanh(-0.0f32).to_bits(), (-0.0f32).to_bits());
        assert_eq!((2.5f32.round(), Real::round(2.5f32)), (3.0, 2.0));
        assert!(Lane::most(f32::NAN, 1.0).is_nan() && Lane::most(1.0, f32::NAN).is_nan());
        assert!(Lane::least(f64::NAN, 1.0).is_nan() && Lane::least(1.0, f64::NAN).is_nan());
        assert_eq!((i64::MIN.over(-1), 7i64.over(0), <i64 as Lane>::of(f64::NAN)), (i64::MIN, 0, i64::MIN));
    }
}
