//! `scan`: which exponents a run of doubles uses.

#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};

/// The exponents of a run of doubles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exponents {
    /// Only zeros, or nothing.
    Zeros,
    /// All finite. The powers of two of the last mantissa bit of the smallest and the largest value that is not zero.
    Finite {
        /// Of the smallest magnitude.
        finest: i32,
        /// Of the largest magnitude.
        coarsest: i32,
    },
    /// An infinity or a NaN is among them.
    Special,
}

/// The exponents of `values`: one pass, 8 bytes read a row, vectorised.
pub fn scan(values: &[f64]) -> Exponents {
    let (least, most) = extremes(values);
    if most == 0 {
        Exponents::Zeros
    } else if most >= 0x7ff << 52 {
        Exponents::Special
    } else {
        Exponents::Finite { finest: unit((least + 1) as u64), coarsest: unit(most as u64) }
    }
}

/// The power of two of the last mantissa bit of a double given by its bits.
#[inline(always)]
pub fn unit(bits: u64) -> i32 {
    ((bits >> 52 & 0x7ff) as i32).max(1) - 1075
}

fn extremes(values: &[f64]) -> (i64, i64) {
    #[cfg(target_arch = "x86_64")]
    {
        if level() >= Level::Avx512 {
            // SAFETY: the processor has the feature.
            return unsafe { extremes_avx512(values) };
        }
        if level() >= Level::Avx2 {
            // SAFETY: the processor has the feature.
            return unsafe { extremes_avx2(values) };
        }
    }
    extremes_plain(values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn extremes_avx512(values: &[f64]) -> (i64, i64) {
    extremes_plain(values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn extremes_avx2(values: &[f64]) -> (i64, i64) {
    extremes_plain(values)
}

/// The smallest (magnitude bits − 1) and the largest magnitude bits. Zero wraps round to the top, out of the
/// minimum's way.
#[inline(always)]
fn extremes_plain(values: &[f64]) -> (i64, i64) {
    let (mut least, mut most) = (i64::MAX, 0);
    for value in values {
        let magnitude = (value.to_bits() & i64::MAX as u64) as i64;
        least = least.min((magnitude - 1) & i64::MAX);
        most = most.max(magnitude);
    }
    (least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_is_there() {
        assert_eq!(scan(&[]), Exponents::Zeros);
        assert_eq!(scan(&[0.0, -0.0]), Exponents::Zeros);
        assert_eq!(scan(&[0.0, 1.0, f64::NAN]), Exponents::Special);
        assert_eq!(scan(&[f64::NEG_INFINITY]), Exponents::Special);
        assert_eq!(scan(&[-1.0, 0.0, 2.0]), Exponents::Finite { finest: -52, coarsest: -51 });
        assert_eq!(scan(&[5e-324, f64::MAX]), Exponents::Finite { finest: -1074, coarsest: 971 });
        let long: Vec<f64> = (0..100).map(|i| if i == 77 { 0.25 } else { 8.0 }).collect();
        assert_eq!(scan(&long), Exponents::Finite { finest: -54, coarsest: -49 });
    }
}
