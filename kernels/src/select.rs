//! Selection: comparisons to bit masks, bit masks to row numbers.
//!
//! A mask has bit `i % 64` of word `i / 64` for row `i`; bits beyond the last row are 0. Each comparison *keeps* the rows
//! that satisfy it, so that a conjunction goes over the columns one after the other. The plain loops are the reference.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use crate::cpu::Level;
use crate::cpu::level;

/// How a value is compared with the constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// A mask of `rows` rows, all kept.
pub fn all_rows(rows: usize) -> Vec<u64> {
    let mut mask = vec![u64::MAX; rows.div_ceil(64)];
    if let (Some(last), 1..) = (mask.last_mut(), rows % 64) {
        *last = (1 << (rows % 64)) - 1;
    }
    mask
}

/// A type of values that can be compared with a constant.
pub trait Comparable: Copy + Send + Sync + 'static {
    /// `self` `op` `other`, in the order of the engine.
    fn compare(self, op: Comparison, other: Self) -> bool;

    /// Keeps the rows of whole words.
    ///
    /// # Safety
    /// The processor has the instructions of [`Level::Avx512`].
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    unsafe fn keep_avx512(values: &[Self], op: Comparison, constant: Self, mask: &mut [u64]);

    /// Keeps the rows of whole words.
    ///
    /// # Safety
    /// The processor has the instructions of [`Level::Avx2`].
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    unsafe fn keep_avx2(values: &[Self], op: Comparison, constant: Self, mask: &mut [u64]);
}

macro_rules! ordered {
    (
        $type:ty,
        $lanes:literal, $load:ident, $set:ident, $compare:ident,
        $half:literal, $set_half:ident, $equal:ident, $greater:ident, $cast:ident, $bits:ident
    ) => {
        impl Comparable for $type {
            #[inline(always)]
            fn compare(self, op: Comparison, other: Self) -> bool {
                match op {
                    Comparison::Eq => self == other,
                    Comparison::NotEq => self != other,
                    Comparison::Lt => self < other,
                    Comparison::LtEq => self <= other,
                    Comparison::Gt => self > other,
                    Comparison::GtEq => self >= other,
                }
            }

            #[cfg(target_arch = "x86_64")]
            unsafe fn keep_avx512(values: &[Self], op: Comparison, constant: Self, mask: &mut [u64]) {
                use std::arch::x86_64::*;
                #[target_feature(enable = "avx512f")]
                fn run<const OP: i32>(values: &[$type], constant: $type, mask: &mut [u64]) {
                    let constant = $set(constant);
                    for (chunk, word) in values.chunks_exact(64).zip(mask) {
                        let mut bits = 0;
                        for (at, lanes) in chunk.chunks_exact($lanes).enumerate() {
                            // SAFETY: `lanes` is as long as a vector.
                            let vector = unsafe { $load(lanes.as_ptr().cast()) };
                            bits |= u64::from($compare::<OP>(vector, constant)) << (at * $lanes);
                        }
                        *word &= bits;
                    }
                }
                // SAFETY: the caller has asked for the level.
                unsafe {
                    match op {
                        Comparison::Eq => run::<_MM_CMPINT_EQ>(values, constant, mask),
                        Comparison::NotEq => run::<_MM_CMPINT_NE>(values, constant, mask),
                        Comparison::Lt => run::<_MM_CMPINT_LT>(values, constant, mask),
                        Comparison::LtEq => run::<_MM_CMPINT_LE>(values, constant, mask),
                        Comparison::Gt => run::<_MM_CMPINT_NLE>(values, constant, mask),
                        Comparison::GtEq => run::<_MM_CMPINT_NLT>(values, constant, mask),
                    }
                }
            }

            #[cfg(target_arch = "x86_64")]
            unsafe fn keep_avx2(values: &[Self], op: Comparison, constant: Self, mask: &mut [u64]) {
                use std::arch::x86_64::*;
                const EQUAL: u8 = 0;
                const GREATER: u8 = 1;
                const LESS: u8 = 2;
                #[target_feature(enable = "avx2")]
                fn run<const OP: u8, const NOT: bool>(values: &[$type], constant: $type, mask: &mut [u64]) {
                    let constant = $set_half(constant);
                    for (chunk, word) in values.chunks_exact(64).zip(mask) {
                        let mut bits = 0;
                        for (at, lanes) in chunk.chunks_exact($half).enumerate() {
                            // SAFETY: `lanes` is as long as a vector.
                            let vector = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
                            let truths = match OP {
                                EQUAL => $equal(vector, constant),
                                GREATER => $greater(vector, constant),
                                _ => $greater(constant, vector),
                            };
                            bits |= u64::from($bits($cast(truths)) as u32) << (at * $half);
                        }
                        *word &= if NOT { !bits } else { bits };
                    }
                }
                // SAFETY: the caller has asked for the level.
                unsafe {
                    match op {
                        Comparison::Eq => run::<EQUAL, false>(values, constant, mask),
                        Comparison::NotEq => run::<EQUAL, true>(values, constant, mask),
                        Comparison::Lt => run::<LESS, false>(values, constant, mask),
                        Comparison::LtEq => run::<GREATER, true>(values, constant, mask),
                        Comparison::Gt => run::<GREATER, false>(values, constant, mask),
                        Comparison::GtEq => run::<LESS, true>(values, constant, mask),
                    }
                }
            }
        }
    };
}

ordered!(
    i32,
    16,
    _mm512_loadu_si512,
    _mm512_set1_epi32,
    _mm512_cmp_epi32_mask,
    8,
    _mm256_set1_epi32,
    _mm256_cmpeq_epi32,
    _mm256_cmpgt_epi32,
    _mm256_castsi256_ps,
    _mm256_movemask_ps
);
ordered!(
    i64,
    8,
    _mm512_loadu_si512,
    _mm512_set1_epi64,
    _mm512_cmp_epi64_mask,
    4,
    _mm256_set1_epi64x,
    _mm256_cmpeq_epi64,
    _mm256_cmpgt_epi64,
    _mm256_castsi256_pd,
    _mm256_movemask_pd
);

/// Runs one level's loop over doubles with the instruction's comparison for an operator.
#[cfg(target_arch = "x86_64")]
macro_rules! for_doubles {
    ($run:ident, $values:ident, $op:ident, $constant:ident, $mask:ident) => {
        // SAFETY: the caller has asked for the level.
        unsafe {
            match $op {
                Comparison::Eq => $run::<_CMP_EQ_OQ>($values, $constant, $mask),
                Comparison::NotEq => $run::<_CMP_NEQ_UQ>($values, $constant, $mask),
                Comparison::Lt => $run::<_CMP_LT_OQ>($values, $constant, $mask),
                Comparison::LtEq => $run::<_CMP_LE_OQ>($values, $constant, $mask),
                Comparison::Gt => $run::<_CMP_NLE_UQ>($values, $constant, $mask),
                Comparison::GtEq => $run::<_CMP_NLT_UQ>($values, $constant, $mask),
            }
        }
    };
}

/// NaN is the greatest value and equals itself, -0.0 equals 0.0. The constant is no NaN.
impl Comparable for f64 {
    #[inline(always)]
    fn compare(self, op: Comparison, other: Self) -> bool {
        match op {
            Comparison::Eq => self == other,
            Comparison::NotEq => self != other,
            Comparison::Lt => self < other,
            Comparison::LtEq => self <= other,
            // Not `self > other`: NaN is greater.
            Comparison::Gt => self.partial_cmp(&other).is_none_or(|o| o.is_gt()),
            Comparison::GtEq => self.partial_cmp(&other).is_none_or(|o| o.is_ge()),
        }
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn keep_avx512(values: &[Self], op: Comparison, constant: Self, mask: &mut [u64]) {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f")]
        fn run<const OP: i32>(values: &[f64], constant: f64, mask: &mut [u64]) {
            let constant = _mm512_set1_pd(constant);
            for (chunk, word) in values.chunks_exact(64).zip(mask) {
                let mut bits = 0;
                for (at, lanes) in chunk.chunks_exact(8).enumerate() {
                    // SAFETY: `lanes` is as long as a vector.
                    let vector = unsafe { _mm512_loadu_pd(lanes.as_ptr()) };
                    bits |= u64::from(_mm512_cmp_pd_mask::<OP>(vector, constant)) << (at * 8);
                }
                *word &= bits;
            }
        }
        for_doubles!(run, values, op, constant, mask);
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn keep_avx2(values: &[Self], op: Comparison, constant: Self, mask: &mut [u64]) {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx2")]
        fn run<const OP: i32>(values: &[f64], constant: f64, mask: &mut [u64]) {
            let constant = _mm256_set1_pd(constant);
            for (chunk, word) in values.chunks_exact(64).zip(mask) {
                let mut bits = 0;
                for (at, lanes) in chunk.chunks_exact(4).enumerate() {
                    // SAFETY: `lanes` is as long as a vector.
                    let vector = unsafe { _mm256_loadu_pd(lanes.as_ptr()) };
                    bits |= u64::from(_mm256_movemask_pd(_mm256_cmp_pd::<OP>(vector, constant)) as u32) << (at * 4);
                }
                *word &= bits;
            }
        }
        for_doubles!(run, values, op, constant, mask);
    }
}

/// Keeps the rows whose value satisfies `value op constant`.
///
/// # Panics
/// If the mask is not one of as many rows as there are values.
pub fn keep<T: Comparable>(values: &[T], op: Comparison, constant: T, mask: &mut [u64]) {
    assert_eq!(mask.len(), values.len().div_ceil(64), "a mask for other rows");
    let done = keep_vectors(values, op, constant, mask);
    keep_words(&values[done * 64..], &mut mask[done..], |value| value.compare(op, constant));
}

/// The same for as many words of the mask as it says.
#[cfg(target_arch = "x86_64")]
fn keep_vectors<T: Comparable>(values: &[T], op: Comparison, constant: T, mask: &mut [u64]) -> usize {
    let whole = values.len() / 64;
    let (values, mask) = (&values[..whole * 64], &mut mask[..whole]);
    match level() {
        // SAFETY: the level says that the processor has the instructions.
        Level::Avx512 => unsafe { T::keep_avx512(values, op, constant, mask) },
        // SAFETY: the level says that the processor has the instructions.
        Level::Avx2 => unsafe { T::keep_avx2(values, op, constant, mask) },
        Level::Scalar => return 0,
    }
    whole
}

#[cfg(not(target_arch = "x86_64"))]
fn keep_vectors<T: Comparable>(_: &[T], _: Comparison, _: T, _: &mut [u64]) -> usize {
    0
}

/// The reference.
#[inline(always)]
fn keep_words<T: Copy>(values: &[T], mask: &mut [u64], test: impl Fn(T) -> bool) {
    for (chunk, word) in values.chunks(64).zip(mask) {
        let mut bits = 0;
        for (at, value) in chunk.iter().enumerate() {
            bits |= u64::from(test(*value)) << at;
        }
        *word &= bits;
    }
}

/// Values of a dictionary that satisfy a predicate, a bit each.
#[derive(Clone, Debug)]
pub struct Members {
    bits: Vec<u32>,
}

impl Members {
    /// From one truth a value.
    pub fn new(truths: impl ExactSizeIterator<Item = bool>) -> Self {
        let mut bits = vec![0; truths.len().div_ceil(32)];
        for (at, truth) in truths.enumerate() {
            bits[at / 32] |= u32::from(truth) << (at % 32);
        }
        Members { bits }
    }

    /// A bit each, the first in the lowest bit of the first word.
    pub fn bits(&self) -> &[u32] {
        &self.bits
    }

    #[inline(always)]
    fn has(&self, key: u32) -> bool {
        self.bits.get(key as usize / 32).is_some_and(|word| word >> (key % 32) & 1 == 1)
    }

    /// Keeps the rows whose key is a member; a key beyond the last value is none.
    ///
    /// # Panics
    /// If the mask is not one of as many rows as there are keys.
    pub fn keep(&self, keys: &[u32], mask: &mut [u64]) {
        assert_eq!(mask.len(), keys.len().div_ceil(64), "a mask for other rows");
        let done = self.keep_vectors(keys, mask);
        keep_words(&keys[done * 64..], &mut mask[done..], |key| self.has(key));
    }

    /// The same for as many words of the mask as it says.
    #[cfg(target_arch = "x86_64")]
    fn keep_vectors(&self, keys: &[u32], mask: &mut [u64]) -> usize {
        if level() < Level::Avx2 || self.bits.len() > 16 {
            return 0;
        }
        let mut table = [0; 16];
        table[..self.bits.len()].copy_from_slice(&self.bits);
        let done = keys.len() / 64;
        let (keys, mask) = (&keys[..done * 64], &mut mask[..done]);
        // SAFETY: the level says that the processor has the instructions.
        unsafe {
            match level() {
                Level::Avx512 => keep_members_avx512(&table, keys, mask),
                _ => keep_members_avx2(&table, keys, mask),
            }
        }
        done
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn keep_vectors(&self, _: &[u32], _: &mut [u64]) -> usize {
        0
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn keep_members_avx512(table: &[u32; 16], keys: &[u32], mask: &mut [u64]) {
    use std::arch::x86_64::*;
    // SAFETY: the table is as long as a vector.
    let table = unsafe { _mm512_loadu_si512(table.as_ptr().cast()) };
    let (low_five, one, end) = (_mm512_set1_epi32(31), _mm512_set1_epi32(1), _mm512_set1_epi32(512));
    for (chunk, word) in keys.chunks_exact(64).zip(mask) {
        let mut bits = 0;
        for (at, lanes) in chunk.chunks_exact(16).enumerate() {
            // SAFETY: `lanes` is as long as a vector.
            let keys = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
            let words = _mm512_permutexvar_epi32(_mm512_srli_epi32::<5>(keys), table);
            let shifted = _mm512_srlv_epi32(words, _mm512_and_si512(keys, low_five));
            let known = _mm512_cmplt_epu32_mask(keys, end);
            bits |= u64::from(_mm512_mask_test_epi32_mask(known, shifted, one)) << (at * 16);
        }
        *word &= bits;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn keep_members_avx2(table: &[u32; 16], keys: &[u32], mask: &mut [u64]) {
    use std::arch::x86_64::*;
    // SAFETY: the table is as long as two vectors.
    let (low, high) =
        unsafe { (_mm256_loadu_si256(table.as_ptr().cast()), _mm256_loadu_si256(table[8..].as_ptr().cast())) };
    let (low_five, zero) = (_mm256_set1_epi32(31), _mm256_setzero_si256());
    for (chunk, word) in keys.chunks_exact(64).zip(mask) {
        let mut bits = 0;
        for (at, lanes) in chunk.chunks_exact(8).enumerate() {
            // SAFETY: `lanes` is as long as a vector.
            let keys = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
            let index = _mm256_srli_epi32::<5>(keys);
            let halves = (_mm256_permutevar8x32_epi32(low, index), _mm256_permutevar8x32_epi32(high, index));
            // The fourth bit of the index says which half, as the sign of the lane.
            let which = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            let words = _mm256_blendv_ps(_mm256_castsi256_ps(halves.0), _mm256_castsi256_ps(halves.1), which);
            let shifted = _mm256_srlv_epi32(_mm256_castps_si256(words), _mm256_and_si256(keys, low_five));
            let known = _mm256_cmpeq_epi32(_mm256_srli_epi32::<9>(keys), zero);
            let truths = _mm256_and_si256(_mm256_slli_epi32::<31>(shifted), known);
            bits |= u64::from(_mm256_movemask_ps(_mm256_castsi256_ps(truths)) as u32) << (at * 8);
        }
        *word &= bits;
    }
}

/// The kept rows of a mask, ascending.
pub fn rows_of(mask: &[u64]) -> Vec<u32> {
    let count: usize = mask.iter().map(|word| word.count_ones() as usize).sum();
    // A vector is stored whole: room for one beyond the last row.
    let mut rows = Vec::with_capacity(count + 16);
    match level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has the instructions.
        Level::Avx512 => unsafe { rows_of_avx512(mask, &mut rows) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has the instructions.
        Level::Avx2 => unsafe { rows_of_avx2(mask, &mut rows) },
        _ => rows_of_words(mask, 0..mask.len(), &mut rows),
    }
    debug_assert_eq!(rows.len(), count);
    rows
}

/// The reference.
fn rows_of_words(mask: &[u64], words: Range<usize>, rows: &mut Vec<u32>) {
    for at in words {
        let mut bits = mask[at];
        while bits != 0 {
            rows.push((at * 64) as u32 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
}

/// `rows` is empty and has room for all kept rows and 16 more.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn rows_of_avx512(mask: &[u64], rows: &mut Vec<u32>) {
    use std::arch::x86_64::*;
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut len = 0;
    for (at, word) in mask.iter().enumerate().filter(|(_, word)| **word != 0) {
        for part in 0..4 {
            let bits = (word >> (part * 16)) as u16;
            let numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32((at * 64 + part * 16) as i32));
            // SAFETY: at most `len` rows are before this one, and there is room for 16 beyond the last.
            unsafe {
                let packed = _mm512_maskz_compress_epi32(bits, numbers);
                _mm512_storeu_si512(rows.as_mut_ptr().add(len).cast(), packed);
            }
            len += bits.count_ones() as usize;
        }
    }
    debug_assert!(len + 16 <= rows.capacity());
    // SAFETY: so many were written, and they fit.
    unsafe { rows.set_len(len) };
}

/// The places of the bits of a byte, the first ones first.
#[cfg(target_arch = "x86_64")]
static PLACES: [[u8; 8]; 256] = {
    let mut places = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut len) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                places[byte][len] = bit as u8;
                len += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    places
};

/// `rows` is empty and has room for all kept rows and 16 more.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rows_of_avx2(mask: &[u64], rows: &mut Vec<u32>) {
    use std::arch::x86_64::*;
    let mut len = 0;
    for (at, word) in mask.iter().enumerate().filter(|(_, word)| **word != 0) {
        for (part, byte) in word.to_le_bytes().into_iter().enumerate() {
            let first = _mm256_set1_epi32((at * 64 + part * 8) as i32);
            // SAFETY: the places are eight bytes; at most `len` rows are before this one, and there is room for 16 beyond the last.
            unsafe {
                let places = _mm_loadl_epi64(PLACES[byte as usize].as_ptr().cast());
                let numbers = _mm256_add_epi32(_mm256_cvtepu8_epi32(places), first);
                _mm256_storeu_si256(rows.as_mut_ptr().add(len).cast(), numbers);
            }
            len += byte.count_ones() as usize;
        }
    }
    debug_assert!(len + 8 <= rows.capacity());
    // SAFETY: so many were written, and they fit.
    unsafe { rows.set_len(len) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPS: [Comparison; 6] =
        [Comparison::Eq, Comparison::NotEq, Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq];

    fn agree<T: Comparable>(values: &[T], constant: T) {
        for op in OPS {
            let mut mask = all_rows(values.len());
            keep(values, op, constant, &mut mask);
            let want: Vec<u32> =
                (0..values.len() as u32).filter(|&i| values[i as usize].compare(op, constant)).collect();
            assert_eq!(rows_of(&mask), want, "{op:?}");
            #[cfg(target_arch = "x86_64")]
            if level() >= Level::Avx2 {
                let whole = values.len() / 64;
                let mut half = all_rows(whole * 64);
                // SAFETY: the processor has the instructions.
                unsafe { T::keep_avx2(&values[..whole * 64], op, constant, &mut half) };
                assert_eq!(half, mask[..whole], "{op:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn masks_are_those_of_the_reference(
            small in prop::collection::vec(-3_i32..3, 0..300),
            wide in prop::collection::vec(prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]), 0..300),
            floats in prop::collection::vec(
                prop::sample::select(vec![f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.5, f64::INFINITY, f64::NAN]), 0..300),
            keys in prop::collection::vec(0_u32..600, 0..300),
            truths in prop::collection::vec(any::<bool>(), 0..600),
            words in prop::collection::vec(any::<u64>(), 0..9),
        ) {
            agree(&small, 0);
            agree(&wide, 0);
            agree(&wide, i64::MAX);
            for constant in [-0.0, 0.0, 1.5, f64::INFINITY] {
                agree(&floats, constant);
            }
            let members = Members::new(truths.iter().copied());
            let mut mask = all_rows(keys.len());
            members.keep(&keys, &mut mask);
            let want: Vec<u32> = (0..keys.len() as u32)
                .filter(|&i| truths.get(keys[i as usize] as usize) == Some(&true))
                .collect();
            prop_assert_eq!(rows_of(&mask), want);
            let mut want = vec![];
            rows_of_words(&words, 0..words.len(), &mut want);
            prop_assert_eq!(rows_of(&words), &want[..]);
            #[cfg(target_arch = "x86_64")]
            if level() >= Level::Avx2 {
                let mut rows = Vec::with_capacity(want.len() + 16);
                // SAFETY: the processor has the instructions.
                unsafe { rows_of_avx2(&words, &mut rows) };
                prop_assert_eq!(rows, want);
                let mut table = [0; 16];
                let bits = &members.bits()[..members.bits().len().min(16)];
                table[..bits.len()].copy_from_slice(bits);
                let whole = keys.len() / 64;
                let mut half = all_rows(whole * 64);
                // SAFETY: the processor has the instructions.
                unsafe { keep_members_avx2(&table, &keys[..whole * 64], &mut half) };
                let member = |key: u32| bits.get(key as usize / 32).is_some_and(|word| word >> (key % 32) & 1 == 1);
                let want: Vec<u32> = (0..whole as u32 * 64).filter(|&i| member(keys[i as usize])).collect();
                prop_assert_eq!(rows_of(&half), want);
            }
        }
    }

    #[test]
    fn nan_is_the_greatest() {
        let values = [1.0, f64::NAN, -0.0];
        let kept = |op, constant| {
            let mut mask = all_rows(3);
            keep(&values, op, constant, &mut mask);
            rows_of(&mask)
        };
        assert_eq!(kept(Comparison::Gt, f64::INFINITY), [1]);
        assert_eq!(kept(Comparison::LtEq, f64::INFINITY), [0, 2]);
        assert_eq!(kept(Comparison::Eq, 0.0), [2]);
        assert_eq!(kept(Comparison::NotEq, 1.0), [1, 2]);
    }
}
