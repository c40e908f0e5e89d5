//! Exact sums of doubles as doubles, for columns of few groups: in vector lanes or small cells, in none of which anything is rounded.
//! `column` tests them against columns of one group and against the reference.

use super::cells::Cell;
#[cfg(target_arch = "x86_64")]
use super::column::CHUNK;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};

/// Adds a chunk of values, whose last bits lie between `finest` and `coarsest`, to cells of few groups. True if it was done.
///
/// Plain idea: a double a group. Departure: doubles must not be rounded. Each value is cut in two at the power of two `cut`
/// (Dekker 1971, by adding and subtracting a large number); either part has so few bits that the 512 of a lane or of a small
/// cell add up without rounding. At the end of the chunk these go into the column's cells as integers.
#[cfg(target_arch = "x86_64")]
pub fn fold_in_lanes<C: Cell>(
    cells: &mut [C],
    low: i32,
    finest: i32,
    coarsest: i32,
    values: &[f64],
    ids: &[u32],
) -> bool {
    let groups = cells.len();
    let few = (2..=CELL_GROUPS_MAX).contains(&groups) && values.len() >= ROWS_MIN.max(groups * COPIES);
    if C::PARTS != 1 || !few || level() < Level::Avx2 || coarsest - finest > 35 || finest.abs() > 800 {
        return false;
    }
    assert!(ids.iter().fold(0, |most, id| most.max(*id)) < groups as u32, "a group id past the groups");
    let cut = finest + 44;
    let mut sums = [(0, 0, 0); CELL_GROUPS_MAX];
    let sums = &mut sums[..groups];
    // SAFETY: the processor has the features.
    unsafe {
        match (level(), groups) {
            (Level::Avx512, 2) => lanes::<2>(values, ids, finest, cut, sums),
            (Level::Avx512, 3..=4) => lanes::<4>(values, ids, finest, cut, sums),
            (Level::Avx512, 5..=8) => lanes::<8>(values, ids, finest, cut, sums),
            _ => by_cell(values, ids, finest, cut, sums),
        }
    };
    for ((rows, upper, lower), cell) in sums.iter().zip(cells) {
        let sum = (upper << (cut - low)) + (lower << (finest - low));
        let magnitude = sum.unsigned_abs();
        let limbs = [magnitude as u64, (magnitude >> 64) as u64, 0, 0];
        cell.merge(&C::from_parts(*rows, [(sum < 0, limbs), Default::default()]));
    }
    true
}

#[cfg(not(target_arch = "x86_64"))]
pub fn fold_in_lanes<C: Cell>(_: &mut [C], _: i32, _: i32, _: i32, _: &[f64], _: &[u32]) -> bool {
    false
}

/// Of a group: its rows, the sum of the values' upper parts in units of 2^cut, that of the lower parts in units of 2^finest.
#[cfg(target_arch = "x86_64")]
type Sum = (u64, i128, i128);

/// The sums of at most [`CHUNK`] values, of `G` groups or less.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq")]
fn lanes<const G: usize>(values: &[f64], ids: &[u32], finest: i32, cut: i32, sums: &mut [Sum]) {
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
        in_units(&sums, unit)
    };
    for (group, sum) in sums.iter_mut().enumerate() {
        *sum = (rows[group], whole(uppers[group], cut), whole(lowers[group], finest));
    }
}

/// Columns of so many groups at most are summed in small cells of doubles, each of [`COPIES`] there.
#[cfg(target_arch = "x86_64")]
const CELL_GROUPS_MAX: usize = 31;

/// Fewer rows are not worth clearing cells for.
#[cfg(target_arch = "x86_64")]
const ROWS_MIN: usize = 128;

/// Rows take turns among copies of the cells, so that a row need not wait for the one before it where both are of one group.
#[cfg(target_arch = "x86_64")]
const COPIES: usize = 8;

/// The sums of at most [`CHUNK`] values in cells of the two parts and a count, which are one vector: a load, an addition and a store a
/// row, whatever the number of groups.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_cell(values: &[f64], ids: &[u32], finest: i32, cut: i32, sums: &mut [Sum]) {
    use std::arch::x86_64::*;
    /// Cells of a copy; the last is nobody's.
    const CELLS: usize = CELL_GROUPS_MAX + 1;
    debug_assert!(values.len() <= CHUNK && sums.len() < CELLS);
    let large = _mm256_set1_pd(1.5 * power_of_two(52 + cut));
    let ones = _mm256_set1_pd(1.0);
    let mut cells = [_mm256_setzero_pd(); COPIES * CELLS];
    let (blocks, rest) = values.as_chunks::<COPIES>();
    let (id_blocks, id_rest) = ids.as_chunks::<COPIES>();
    let (mut tail, mut tail_ids) = ([0.0; COPIES], [CELL_GROUPS_MAX as u32; COPIES]);
    tail[..rest.len()].copy_from_slice(rest);
    tail_ids[..rest.len()].copy_from_slice(id_rest);
    for (values, ids) in blocks.iter().zip(id_blocks).chain([(&tail, &tail_ids)]) {
        for half in 0..2 {
            // SAFETY: half of eight.
            let values = unsafe { _mm256_loadu_pd(values[half * 4..].as_ptr()) };
            let upper = _mm256_sub_pd(_mm256_add_pd(values, large), large);
            let lower = _mm256_sub_pd(values, upper);
            let (even, odd) = (_mm256_unpacklo_pd(upper, lower), _mm256_unpackhi_pd(upper, lower));
            let rows = [
                _mm256_blend_pd::<0b1100>(even, ones),
                _mm256_blend_pd::<0b1100>(odd, ones),
                _mm256_permute2f128_pd::<0x21>(even, ones),
                _mm256_permute2f128_pd::<0x21>(odd, ones),
            ];
            for (at, row) in rows.into_iter().enumerate() {
                let copy = half * 4 + at;
                let cell = &mut cells[copy * CELLS + (ids[copy] as usize % CELLS)];
                *cell = _mm256_add_pd(*cell, row);
            }
        }
    }
    for (group, sum) in sums.iter_mut().enumerate() {
        let (mut rows, mut upper, mut lower) = (0.0, [0.0; COPIES], [0.0; COPIES]);
        for copy in 0..COPIES {
            let mut cell = [0.0; 4];
            // SAFETY: an array of four.
            unsafe { _mm256_storeu_pd(cell.as_mut_ptr(), cells[copy * CELLS + group]) };
            (upper[copy], lower[copy], rows) = (cell[0], cell[1], rows + cell[2]);
        }
        *sum = (rows as u64, in_units(&upper, cut), in_units(&lower, finest));
    }
}

/// The sum of lanes that are whole numbers of 2^unit.
#[cfg(target_arch = "x86_64")]
fn in_units(lanes: &[f64], unit: i32) -> i128 {
    lanes.iter().map(|sum| (sum * power_of_two(-unit)) as i64 as i128).sum()
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

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_of_every_width_add_up_to_the_same(
            rows in prop::collection::vec((-(1_i64 << 53)..1 << 53, 0_i32..36, 0_u32..100), 0..3 * CHUNK / 2),
            finest in -700_i32..700,
        ) {
            for rows in rows.chunks(CHUNK) {
                let values: Vec<f64> =
                    rows.iter().map(|(n, shift, _)| *n as f64 * power_of_two(finest) * power_of_two(*shift)).collect();
                for groups in [2, 3, 4, 8, CELL_GROUPS_MAX] {
                    let ids: Vec<u32> = rows.iter().map(|(.., id)| id % groups as u32).collect();
                    let mut want = vec![(0, 0); groups];
                    for ((n, shift, _), id) in rows.iter().zip(&ids) {
                        let sum: &mut (u64, i128) = &mut want[*id as usize];
                        *sum = (sum.0 + 1, sum.1 + (i128::from(*n) << shift));
                    }
                    let cut = finest + 44;
                    let whole = |sums: &[Sum]| -> Vec<(u64, i128)> {
                        sums.iter().map(|(rows, upper, lower)| (*rows, (upper << 44) + lower)).collect()
                    };
                    let mut sums = vec![(0, 0, 0); groups];
                    // SAFETY: the processor has the features.
                    unsafe {
                        if level() >= Level::Avx2 {
                            by_cell(&values, &ids, finest, cut, &mut sums);
                            prop_assert_eq!(whole(&sums), &want[..]);
                        }
                        if level() == Level::Avx512 && groups <= 8 {
                            match groups {
                                2 => lanes::<2>(&values, &ids, finest, cut, &mut sums),
                                3..=4 => lanes::<4>(&values, &ids, finest, cut, &mut sums),
                                _ => lanes::<8>(&values, &ids, finest, cut, &mut sums),
                            }
                            prop_assert_eq!(whole(&sums), &want[..]);
                        }
                    }
                }
            }
        }
    }
}
