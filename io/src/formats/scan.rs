//! Looks at 64 bytes of text at once: where strings and numbers end, and whether a piece is as expected.
//!
//! Every type answers the same; `Plain` is the meaning. Compares of AVX-512 were tried, and were no faster: most strings
//! and numbers are shorter than 32 bytes. There are no closures around vectors: a closure does not have the
//! instructions of the function that it stands in.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// What is asked of some bytes. In an answer the lowest bit set is that of the first such byte; those above mean nothing.
///
/// # Safety
/// The processor has the instructions of the type that implements it.
pub unsafe trait Scan {
    /// Bytes that no plain string holds: `"`, `\` and control characters.
    fn marks(bytes: &[u8; 32]) -> u32;
    /// Bytes of no number: all but digits and `+-.eE`.
    fn ends_number(bytes: &[u8; 32]) -> u32;
    /// True if the bytes whose bits are set in `mask` (the lowest ones) are equal.
    fn same(bytes: &[u8; 64], other: &[u8; 64], mask: u64) -> bool;
}

/// No special instructions.
pub struct Plain;

// SAFETY: it needs nothing.
unsafe impl Scan for Plain {
    #[inline(always)]
    fn marks(bytes: &[u8; 32]) -> u32 {
        first(bytes, |b| b == b'"' || b == b'\\' || b < b' ')
    }

    #[inline(always)]
    fn ends_number(bytes: &[u8; 32]) -> u32 {
        first(bytes, |b| !matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    }

    #[inline(always)]
    fn same(bytes: &[u8; 64], other: &[u8; 64], mask: u64) -> bool {
        let n = mask.count_ones() as usize;
        bytes[..n] == other[..n]
    }
}

/// The bit of the first byte that `is`.
#[inline(always)]
fn first(bytes: &[u8; 32], is: impl Fn(u8) -> bool) -> u32 {
    bytes.iter().position(|&b| is(b)).map_or(0, |at| 1 << at)
}

/// 32 bytes at once.
#[cfg(target_arch = "x86_64")]
pub struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// Half of the bytes.
    #[inline(always)]
    fn half(bytes: &[u8; 64], half: usize) -> __m256i {
        // SAFETY: the type is used where the processor has AVX2; either half is as long as a vector.
        unsafe { _mm256_loadu_si256(bytes.as_chunks::<32>().0[half].as_ptr().cast()) }
    }
}

#[cfg(target_arch = "x86_64")]
// SAFETY: it needs AVX2.
unsafe impl Scan for Avx2 {
    #[inline(always)]
    fn marks(bytes: &[u8; 32]) -> u32 {
        // SAFETY: the type is used where the processor has AVX2; `bytes` is as long as a vector.
        unsafe {
            let b = _mm256_loadu_si256(bytes.as_ptr().cast());
            let quote = _mm256_cmpeq_epi8(b, _mm256_set1_epi8(b'"' as i8));
            let escape = _mm256_cmpeq_epi8(b, _mm256_set1_epi8(b'\\' as i8));
            let last = _mm256_set1_epi8(0x1f);
            let control = _mm256_cmpeq_epi8(_mm256_max_epu8(b, last), last);
            _mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quote, escape), control)) as u32
        }
    }

    #[inline(always)]
    fn ends_number(bytes: &[u8; 32]) -> u32 {
        // SAFETY: the type is used where the processor has AVX2; `bytes` is as long as a vector.
        unsafe {
            let b = _mm256_loadu_si256(bytes.as_ptr().cast());
            let nine = _mm256_set1_epi8(9);
            let digit = _mm256_sub_epi8(b, _mm256_set1_epi8(b'0' as i8));
            let digit = _mm256_cmpeq_epi8(_mm256_max_epu8(digit, nine), nine);
            let plus = _mm256_cmpeq_epi8(b, _mm256_set1_epi8(b'+' as i8));
            let minus = _mm256_cmpeq_epi8(b, _mm256_set1_epi8(b'-' as i8));
            let point = _mm256_cmpeq_epi8(b, _mm256_set1_epi8(b'.' as i8));
            let small = _mm256_or_si256(b, _mm256_set1_epi8(0x20));
            let power = _mm256_cmpeq_epi8(small, _mm256_set1_epi8(b'e' as i8));
            let some = _mm256_or_si256(_mm256_or_si256(digit, plus), _mm256_or_si256(minus, point));
            !_mm256_movemask_epi8(_mm256_or_si256(some, power)) as u32
        }
    }

    #[inline(always)]
    fn same(bytes: &[u8; 64], other: &[u8; 64], mask: u64) -> bool {
        // SAFETY: the type is used where the processor has AVX2.
        unsafe {
            let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(Self::half(bytes, 0), Self::half(other, 0))) as u32;
            if !low & mask as u32 != 0 {
                return false;
            }
            let rest = (mask >> 32) as u32;
            rest == 0
                || !_mm256_movemask_epi8(_mm256_cmpeq_epi8(Self::half(bytes, 1), Self::half(other, 1))) as u32 & rest
                    == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place, at every level that this processor has.
    #[test]
    fn levels_agree() {
        fn check<S: Scan>(bytes: &[u8; 64], other: &[u8; 64]) {
            let start = bytes.first_chunk().unwrap();
            assert_eq!(S::marks(start).trailing_zeros(), Plain::marks(start).trailing_zeros());
            assert_eq!(S::ends_number(start).trailing_zeros(), Plain::ends_number(start).trailing_zeros());
            for n in [1, 2, 31, 32, 33, 63, 64] {
                let mask = u64::MAX >> (64 - n);
                assert_eq!(S::same(bytes, other, mask), bytes[..n] == other[..n]);
            }
        }
        for filler in [b'a', b'7'] {
            for at in 0..64 {
                for byte in 0..=255 {
                    let mut bytes = [filler; 64];
                    bytes[at] = byte;
                    bytes[63 - at / 2] = byte;
                    check::<Plain>(&bytes, &[filler; 64]);
                    #[cfg(target_arch = "x86_64")]
                    {
                        use pelton_kernels::cpu::{Level, level};
                        if level() >= Level::Avx2 {
                            check::<Avx2>(&bytes, &[filler; 64]);
                        }
                    }
                }
            }
        }
    }
}
