//! Exact sums of doubles in vector lanes, for columns of few groups: many rows a step, and no rounding in any lane.
//! `column` tests them against columns of one group and against the reference.

use super::cells::Cell;
#[cfg(target_arch = "x86_64")]
use super::column::CHUNK;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};

/// Columns of few groups at most so many are summed in lanes of doubles.
#[cfg(target_arch = "x86_64")]
const LANE_GROUPS_MAX: usize = 8;

/// Adds a chunk of values, whose last bits lie between `finest` and `coarsest`, to cells of few groups. True if it was done.
///
/// Plain idea: a sum per group in a vector register. Departure: doubles must not be rounded. Each value is cut in two at
/// the power of two `cut` (Dekker 1971, by adding and subtracting a large number); either part has so few bits that the
/// 512 of a lane add up without rounding. At the end of the chunk the lanes go into the cells as integers.
#[cfg(target_arch = "x86_64")]
pub fn fold_in_lanes<C: Cell>(
    cells: &mut [C],
    low: i32,
    finest: i32,
    coarsest: i32,
    values: &[f64],
    ids: &[u32],
) -> bool {
    let few = (2..=LANE_GROUPS_MAX).contains(&cells.len());
    if C::PARTS != 1 || !few || level() < Level::Avx512 || coarsest - finest > 35 || finest.abs() > 800 {
        return false;
    }
    let cut = finest + 44;
    // SAFETY: the processor has the features.
    let sums = unsafe {
        match cells.len() {
            2 => lanes::<2>(values, ids, finest, cut),
            3..=4 => lanes::<4>(values, ids, finest, cut),
            _ => lanes::<8>(values, ids, finest, cut),
        }
    };
    assert_eq!(sums.iter().map(|(rows, ..)| rows).sum::<u64>(), values.len() as u64, "a group id past the groups");
    for ((rows, upper, lower), cell) in sums.into_iter().zip(cells) {
        let sum = (upper << (cut - low)) + (lower << (finest - low));
        let magnitude = sum.unsigned_abs();
        let limbs = [magnitude as u64, (magnitude >> 64) as u64, 0, 0];
        cell.merge(&C::from_parts(rows, [(sum < 0, limbs), Default::default()]));
    }
    true
}

#[cfg(not(target_arch = "x86_64"))]
pub fn fold_in_lanes<C: Cell>(_: &mut [C], _: i32, _: i32, _: i32, _: &[f64], _: &[u32]) -> bool {
    false
}

/// Of each group: its rows, the sum of the values' upper parts in units of 2^cut, that of the lower parts in units of
/// 2^finest. At most [`CHUNK`] values.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq")]
fn lanes<const G: usize>(values: &[f64], ids: &[u32], finest: i32, cut: i32) -> [(u64, i128, i128); LANE_GROUPS_MAX] {
    use std::arch::x86_64::*;
    debug_assert!(values.len() <= CHUNK);
    let large = _mm512_set1_pd(1.5 * power_of_two(52 + cut));
    let (mut uppers, mut lowers, mut rows) = ([_mm512_setzero_pd(); G], [_mm512_setzero_pd(); G], [0u64; G]);
    let (blocks, rest) = values.as_chunks::<8>();
    let (id_blocks, id_rest) = ids.as_chunks::<8>();
    let mut tail = [0.0; 8];
    let mut tail_ids = [u32::MAX; 8];
    tail[..rest.len()].copy_from_slice(rest);
    tail_ids[..rest.len()].copy_from_slice(id_rest);
    for (values, ids) in blocks.iter().zip(id_blocks).chain([(&tail, &tail_ids)]) {
        // SAFETY: both are arrays of eight.
        let (values, ids) = unsafe { (_mm512_loadu_pd(values.as_ptr()), _mm256_loadu_si256(ids.as_ptr().cast())) };
        let upper = _mm512_sub_pd(_mm512_add_pd(values, large), large);
        let lower = _mm512_sub_pd(values, upper);
        for group in 0..G {
            let mine = _mm256_cmpeq_epi32_mask(ids, _mm256_set1_epi32(group as i32));
            uppers[group] = _mm512_mask_add_pd(uppers[group], mine, uppers[group], upper);
            lowers[group] = _mm512_mask_add_pd(lowers[group], mine, lowers[group], lower);
            rows[group] += u64::from(mine.count_ones());
        }
    }
    let whole = |lanes: __m512d, unit: i32| {
        let mut sums = [0.0; 8];
        // SAFETY: an array of eight.
        unsafe { _mm512_storeu_pd(sums.as_mut_ptr(), lanes) };
        sums.iter().map(|sum| (sum * power_of_two(-unit)) as i64 as i128).sum()
    };
    let mut sums = [(0, 0, 0); LANE_GROUPS_MAX];
    for (group, sum) in sums.iter_mut().enumerate().take(G) {
        *sum = (rows[group], whole(uppers[group], cut), whole(lowers[group], finest));
    }
    sums
}

/// 2 to a power of a normal double.
pub fn power_of_two(power: i32) -> f64 {
    f64::from_bits(((power + 1023) as u64) << 52)
}

/// The sum of up to 2^32 doubles as integers at scale 2^low, for columns of one group.
pub fn total(values: &[f64], low: i32) -> i128 {
    #[cfg(target_arch = "x86_64")]
    {
        if level() >= Level::Avx512 {
            // SAFETY: the processor has the features.
            return unsafe { total_avx512(values, low) };
        }
        if level() >= Level::Avx2 {
            // SAFETY: the processor has the feature.
            return unsafe { total_avx2(values, low) };
        }
    }
    total_plain(values, low)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn total_avx512(values: &[f64], low: i32) -> i128 {
    total_plain(values, low)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn total_avx2(values: &[f64], low: i32) -> i128 {
    total_plain(values, low)
}

/// Plain idea: add [`fixed`] of each. Departure: 128-bit carries do not vectorise, so the two's complement of each row is
/// cut into four pieces of 32 bits, which add up in 64 bits without carries.
#[inline(always)]
fn total_plain(values: &[f64], low: i32) -> i128 {
    let base = (low + 1075) as u64;
    let (mut pieces, mut below_zero) = ([0u64; 4], 0u64);
    for value in values {
        let bits = value.to_bits();
        let field = bits >> 52 & 0x7ff;
        let subnormal = (field == 0) as u64;
        let mantissa = bits & ((1 << 52) - 1) | (1 - subnormal) << 52;
        let shift = (field + subnormal).wrapping_sub(base) & 63;
        let sign = ((bits as i64) >> 63) as u64;
        let (lower, upper) = ((mantissa << shift) ^ sign, (mantissa >> 1 >> (63 - shift)) ^ sign);
        pieces[0] += lower & u32::MAX as u64;
        pieces[1] += lower >> 32;
        pieces[2] += upper & u32::MAX as u64;
        pieces[3] += upper >> 32;
        below_zero += bits >> 63;
    }
    let mut total = below_zero as u128;
    for (place, piece) in pieces.into_iter().enumerate() {
        total = total.wrapping_add((piece as u128) << (32 * place));
    }
    total as i128
}
