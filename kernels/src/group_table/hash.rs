//! The hash of keys and bytes: multiply to 128 bits and fold the halves.
//!
//! Tables index by the *top* bits of a hash, so that growing a table walks the old and the new one in the same order.
//! The seed is fixed: a run is repeatable, and nothing that leaves a table depends on the hash.

const SEEDS: [u64; 4] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89];

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Hash of a key of `W` words.
#[inline(always)]
pub fn of_words<const W: usize>(words: &[u64; W]) -> u64 {
    let mut hash = fold(words[0] ^ SEEDS[0], SEEDS[1]);
    for word in &words[1..] {
        hash = fold(hash ^ word, SEEDS[2]);
    }
    hash
}

#[inline(always)]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[inline(always)]
fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
}

/// Hash of a byte string. The length takes part, so zeros at the end count.
///
/// Plain idea: 16 bytes a step, the last step overlapping the one before it (as in wyhash and rapidhash).
#[inline]
pub fn of_bytes(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    let (a, b, mut state) = if n <= 16 {
        let (a, b) = match n {
            8.. => (u64_at(bytes, 0), u64_at(bytes, n - 8)),
            4.. => (u32_at(bytes, 0), u32_at(bytes, n - 4)),
            1.. => (u64::from(bytes[0]) << 8 | u64::from(bytes[n / 2]), u64::from(bytes[n - 1])),
            0 => (0, 0),
        };
        (a, b, SEEDS[0])
    } else {
        let mut state = SEEDS[0];
        for at in (0..n - 16).step_by(16) {
            state = fold(u64_at(bytes, at) ^ SEEDS[1], u64_at(bytes, at + 8) ^ state);
        }
        (u64_at(bytes, n - 16), u64_at(bytes, n - 8), state)
    };
    state ^= n as u64;
    fold(fold(a ^ SEEDS[1], b ^ state), SEEDS[3] ^ n as u64)
}

/// `a == b`, without a call for strings of up to 16 bytes.
#[inline(always)]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let n = a.len();
    if n != b.len() {
        return false;
    }
    match n {
        0 => true,
        1..4 => a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1],
        4..8 => u32_at(a, 0) == u32_at(b, 0) && u32_at(a, n - 4) == u32_at(b, n - 4),
        8..=16 => u64_at(a, 0) == u64_at(b, 0) && u64_at(a, n - 8) == u64_at(b, n - 8),
        _ => a == b,
    }
}

/// Asks the processor for the cache line at `slot`; does nothing where that is not known how to do.
#[inline(always)]
pub fn prefetch<T>(slot: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program can see, and the address is that of a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(slot).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys as they come in practice must spread over the top bits: no bucket of 4096 may take much more than its share.
    #[test]
    fn top_bits_spread() {
        let patterns: [fn(u64) -> u64; 6] =
            [|i| i, |i| i << 32, |i| i << 47, |i| i * 3600, |i| (i as f64).to_bits(), |i| i | (i << 32)];
        for (which, pattern) in patterns.iter().enumerate() {
            let mut counts = [0_u32; 4096];
            for i in 0..65_536 {
                counts[(of_words(&[pattern(i)]) >> 52) as usize] += 1;
            }
            assert!(counts.iter().all(|&count| count < 80), "pattern {which}: {:?}", counts.iter().max());
        }
        let mut counts = [0_u32; 4096];
        for i in 0..65_536 {
            counts[(of_bytes(format!("user-{i}").as_bytes()) >> 52) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| count < 50), "strings: {:?}", counts.iter().max());
    }

    #[test]
    fn same_bytes_means_equal() {
        for n in 0..40_usize {
            let a: Vec<u8> = (0..n as u8).collect();
            assert!(same_bytes(&a, &a.clone()));
            assert!(!same_bytes(&a, &[a.as_slice(), &[0]].concat()));
            for at in 0..n {
                let mut b = a.clone();
                b[at] ^= 0x80;
                assert!(!same_bytes(&a, &b), "length {n}, byte {at}");
            }
        }
    }

    #[test]
    fn length_takes_part() {
        let zeros = [0_u8; 64];
        let mut seen = std::collections::HashSet::new();
        for n in 0..=64 {
            assert!(seen.insert(of_bytes(&zeros[..n])), "length {n}");
        }
    }
}
