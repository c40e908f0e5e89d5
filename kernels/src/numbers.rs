//! Passes over 64-bit integers (times, watermarks), compiled for each level of instructions.

#[cfg(target_arch = "x86_64")]
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

/// One side of [`arithmetic`].
#[derive(Clone, Copy, Debug)]
pub enum Side<'a> {
    /// A number a row.
    Column(&'a [f64]),
    /// The same for all rows.
    Constant(f64),
}

/// An operation on doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

for_each_level! {
    /// The results of an operation, and whether a NaN is among them: seen while they are in the first-level cache. One side
    /// at least is a column, and two are of one length.
    arithmetic, arithmetic_plain, (op: Arithmetic, left: Side<'_>, right: Side<'_>) -> (Vec<f64>, bool)
}

for_each_level! {
    /// Whether a NaN is among some doubles.
    has_nan, has_nan_plain, (values: &[f64]) -> bool
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
fn arithmetic_plain(op: Arithmetic, left: Side<'_>, right: Side<'_>) -> (Vec<f64>, bool) {
    match op {
        Arithmetic::Add => by_chunks(left, right, |a, b| a + b),
        Arithmetic::Subtract => by_chunks(left, right, |a, b| a - b),
        Arithmetic::Multiply => by_chunks(left, right, |a, b| a * b),
        Arithmetic::Divide => by_chunks(left, right, |a, b| a / b),
    }
}

#[inline(always)]
fn by_chunks(left: Side<'_>, right: Side<'_>, op: impl Fn(f64, f64) -> f64) -> (Vec<f64>, bool) {
    const CHUNK: usize = 1024;
    let (mut results, mut found) = (vec![], false);
    match (left, right) {
        (Side::Column(left), Side::Column(right)) => {
            assert_eq!(left.len(), right.len(), "two columns of one batch");
            results.reserve_exact(left.len());
            for (left, right) in left.chunks(CHUNK).zip(right.chunks(CHUNK)) {
                results.extend(left.iter().zip(right).map(|(a, b)| op(*a, *b)));
                found |= has_nan_plain(&results[results.len() - left.len()..]);
            }
        }
        (Side::Column(left), Side::Constant(b)) => {
            results.reserve_exact(left.len());
            for left in left.chunks(CHUNK) {
                results.extend(left.iter().map(|a| op(*a, b)));
                found |= has_nan_plain(&results[results.len() - left.len()..]);
            }
        }
        (Side::Constant(a), Side::Column(right)) => {
            results.reserve_exact(right.len());
            for right in right.chunks(CHUNK) {
                results.extend(right.iter().map(|b| op(a, *b)));
                found |= has_nan_plain(&results[results.len() - right.len()..]);
            }
        }
        (Side::Constant(_), Side::Constant(_)) => unreachable!("one side is a column"),
    }
    (results, found)
}

#[inline(always)]
fn has_nan_plain(values: &[f64]) -> bool {
    // No exit inside a chunk, so that it is vectorised.
    values.chunks(1024).any(|chunk| chunk.iter().fold(false, |found, value| found | value.is_nan()))
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
        fn arithmetic_is_that_of_doubles(
            pairs in prop::collection::vec((any::<f64>(), prop_oneof![any::<f64>(), -2.0_f64..2.0]), 1..2500),
            constant in prop_oneof![any::<f64>(), Just(0.0), Just(f64::NAN), -2.0_f64..2.0],
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let bits = |values: &[f64]| values.iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect::<Vec<_>>();
            for (op, apply) in [
                (Arithmetic::Add, (|a, b| a + b) as fn(f64, f64) -> f64),
                (Arithmetic::Subtract, |a, b| a - b),
                (Arithmetic::Multiply, |a, b| a * b),
                (Arithmetic::Divide, |a, b| a / b),
            ] {
                for (left, right, want) in [
                    (Side::Column(&a), Side::Column(&b), a.iter().zip(&b).map(|(a, b)| apply(*a, *b)).collect::<Vec<_>>()),
                    (Side::Column(&a), Side::Constant(constant), a.iter().map(|a| apply(*a, constant)).collect()),
                    (Side::Constant(constant), Side::Column(&b), b.iter().map(|b| apply(constant, *b)).collect()),
                ] {
                    for (got, nan) in [arithmetic(op, left, right), arithmetic_plain(op, left, right)] {
                        prop_assert_eq!(bits(&got), bits(&want));
                        prop_assert_eq!(nan, want.iter().any(|v| v.is_nan()));
                    }
                }
            }
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
