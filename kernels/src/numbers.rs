//! Passes over 64-bit integers (times, watermarks), compiled for each level of instructions.

use crate::cpu::{Level, level};

macro_rules! for_each_level {
    ($(#[$doc:meta])* $name:ident, $plain:ident, ($($arg:ident: $type:ty),*) -> $answer:ty) => {
        $(#[$doc])*
        pub fn $name($($arg: $type),*) -> $answer {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) -> $answer {
                    $plain($($arg),*)
                }
                #[target_feature(enable = "avx2,bmi2")]
                fn avx2($($arg: $type),*) -> $answer {
                    $plain($($arg),*)
                }
                match level() {
                    // SAFETY: the level says that the processor has the instructions.
                    Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the level says that the processor has the instructions.
                    Level::Avx2 => return unsafe { avx2($($arg),*) },
                    Level::Scalar => {}
                }
            }
            $plain($($arg),*)
        }
    };
}

for_each_level! {
    /// The least and the greatest of some numbers; `None` of none.
    range, range_plain, (values: &[i64]) -> Option<(i64, i64)>
}

for_each_level! {
    /// The numbers with `by` added; `None` if one of the sums overflows.
    shifted, shifted_plain, (values: &[i64], by: i64) -> Option<Vec<i64>>
}

for_each_level! {
    /// The remainders by a divisor that is neither 0 nor -1; their signs are the numbers'.
    remainders, remainders_plain, (values: &[i64], by: i64) -> Vec<i64>
}

for_each_level! {
    /// The products with a number.
    products, products_plain, (values: &[i64], by: i64) -> Vec<i128>
}

/// Plain idea: `value % by`. Departure: doubles divide faster, and up to 2^51 their quotient is at most one off.
#[inline(always)]
fn remainders_plain(values: &[i64], by: i64) -> Vec<i64> {
    const EXACT: u64 = 1 << 51;
    let largest = values.iter().fold(0, |largest, value| largest | value.unsigned_abs());
    if largest >= EXACT || by.unsigned_abs() >= EXACT {
        return values.iter().map(|value| value % by).collect();
    }
    let (by, inverse) = (by.abs(), 1.0 / by.abs() as f64);
    let remainder = |value: &i64| {
        let magnitude = value.abs();
        // SAFETY: a finite double below 2^52.
        let quotient = unsafe { (magnitude as f64 * inverse).to_int_unchecked::<i64>() };
        let rest = magnitude - quotient * by;
        let rest = if rest < 0 { rest + by } else { rest };
        let rest = if rest >= by { rest - by } else { rest };
        if *value < 0 { -rest } else { rest }
    };
    values.iter().map(remainder).collect()
}

#[inline(always)]
fn products_plain(values: &[i64], by: i64) -> Vec<i128> {
    values.iter().map(|value| i128::from(*value) * i128::from(by)).collect()
}

#[inline(always)]
fn range_plain(values: &[i64]) -> Option<(i64, i64)> {
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for &value in values {
        low = low.min(value);
        high = high.max(value);
    }
    (low <= high).then_some((low, high))
}

#[inline(always)]
fn shifted_plain(values: &[i64], by: i64) -> Option<Vec<i64>> {
    let mut overflow = 0;
    let sums = values.iter().map(|&value| {
        let sum = value.wrapping_add(by);
        // The sign of both has changed.
        overflow |= (value ^ sum) & (by ^ sum);
        sum
    });
    let sums: Vec<i64> = sums.collect();
    (overflow >= 0).then_some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_says_what_the_library_says(
            values in prop::collection::vec(prop_oneof![any::<i64>(), -3_i64..3], 0..200),
            by in prop_oneof![any::<i64>(), -3_i64..3],
        ) {
            let want = values.iter().min().zip(values.iter().max()).map(|(low, high)| (*low, *high));
            prop_assert_eq!(range(&values), want);
            prop_assert_eq!(range_plain(&values), want);
            let want: Option<Vec<i64>> = values.iter().map(|v| v.checked_add(by)).collect();
            prop_assert_eq!(shifted(&values, by), want.clone());
            prop_assert_eq!(shifted_plain(&values, by), want);
            let products_want: Vec<i128> = values.iter().map(|v| i128::from(*v) * i128::from(by)).collect();
            prop_assert_eq!(products(&values, by), products_want);
        }

        #[test]
        fn remainders_are_those_of_division(
            values in prop::collection::vec(prop_oneof![any::<i64>(), -(1_i64 << 51)..1 << 51, -300_i64..300], 0..50),
            small in any::<bool>(),
            by in prop_oneof![1_i64..1000, -1000_i64..-1, any::<i64>(), (1_i64 << 50)..1 << 51],
        ) {
            let values: Vec<i64> = values.into_iter().map(|v| if small { v % (1 << 51) } else { v }).collect();
            prop_assume!(by != 0 && by != -1);
            let want: Vec<i64> = values.iter().map(|v| v % by).collect();
            prop_assert_eq!(remainders(&values, by), want.clone());
            prop_assert_eq!(remainders_plain(&values, by), want);
        }
    }
}
