//! What exact sums mean: rational arithmetic on big integers, and rounding by search. Slow, obvious, kept for ever.

use num_bigint::{BigInt, BigUint, Sign};
use num_traits::Zero;

/// The correctly rounded sum of finite doubles: Python's `math.fsum`, but ±inf past the largest double.
pub fn sum(values: &[f64]) -> f64 {
    round(&values.iter().map(|&x| exact(x)).sum(), &(BigUint::from(1u8) << 1074))
}

/// The correctly rounded mean of finite doubles; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    round(&values.iter().map(|&x| exact(x)).sum(), &(BigUint::from(values.len()) << 1074))
}

/// The correctly rounded variance of finite doubles with divisor n − `ddof`; NaN when that is not positive.
pub fn variance(values: &[f64], ddof: usize) -> f64 {
    let n = values.len();
    if n <= ddof {
        return f64::NAN;
    }
    let sum: BigInt = values.iter().map(|&x| exact(x)).sum();
    let squares: BigInt = values.iter().map(|&x| exact(x).pow(2)).sum();
    round(&(squares * n - &sum * &sum), &((BigUint::from(n) * (n - ddof)) << 2148))
}

/// A finite double as a multiple of 2^-1074.
fn exact(value: f64) -> BigInt {
    let bits = value.to_bits();
    let (field, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    assert!(field != 0x7ff, "{value} is not finite");
    let magnitude = if field == 0 { fraction.into() } else { BigUint::from(fraction | 1 << 52) << (field - 1) };
    BigInt::from_biguint(if value < 0.0 { Sign::Minus } else { Sign::Plus }, magnitude)
}

/// The double nearest to `numerator / denominator`, ties to the even mantissa: a binary search over all doubles.
pub fn round(numerator: &BigInt, denominator: &BigUint) -> f64 {
    if numerator.is_zero() {
        return 0.0;
    }
    let target = numerator.magnitude() << 1075; // in halves of 2^-1074
    // As if the exponent went one further: 2^1024 stands for infinity.
    let doubled = |bits: u64| {
        let (field, fraction) = (bits >> 52, bits & ((1 << 52) - 1));
        let magnitude = if field == 0 { fraction.into() } else { BigUint::from(fraction | 1 << 52) << (field - 1) };
        magnitude << 1u8
    };
    let (mut below, mut above) = (0, f64::INFINITY.to_bits());
    while below + 1 < above {
        let middle = (below + above) / 2;
        if doubled(middle) * denominator <= target { below = middle } else { above = middle }
    }
    let tie = (doubled(below) + doubled(above)) >> 1u8;
    let nearest = match target.cmp(&(tie * denominator)) {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Greater => above,
        std::cmp::Ordering::Equal => below + below % 2,
    };
    let magnitude = f64::from_bits(nearest);
    if numerator.sign() == Sign::Minus { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_worked_out_by_hand() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(sum(&[1e308, 1e308, -1e308]), 1e308);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[9007199254740992.0, 1.0]), 9007199254740992.0);
        assert_eq!(sum(&[9007199254740994.0, 1.0]), 9007199254740996.0);
        assert_eq!(mean(&[1.0, 2.0]), 1.5);
        assert_eq!(mean(&[5e-324, 0.0]), 0.0);
        assert_eq!(variance(&[1.0, 2.0, 3.0, 4.0], 0), 1.25);
        assert_eq!(variance(&[1e9, 1e9 + 1.0], 1), 0.5);
        assert!(variance(&[1.0], 1).is_nan());
    }
}
