//! Parquet's hybrid of runs and bit-packed numbers: definition levels and ids of dictionaries.

use bytes::{Buf, Bytes};
#[cfg(target_arch = "x86_64")]
use pelton_kernels::cpu::{Level, level};

/// Numbers of `width` bits, read from the front on.
///
/// Format: <https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE>. A run is one number and how often it
/// comes, or groups of eight numbers, packed from the lowest bit on.
pub struct Hybrid {
    bytes: Bytes,
    width: u32,
    run: Run,
}

enum Run {
    Same {
        value: u32,
        left: usize,
    },
    /// Numbers in `bytes`, from bit `at` on.
    Packed {
        bytes: Bytes,
        at: usize,
        left: usize,
    },
}

impl Hybrid {
    /// Numbers of at most 32 bits.
    pub fn new(bytes: Bytes, width: u32) -> Result<Self, String> {
        if width > 32 {
            return Err(format!("numbers of {width} bits"));
        }
        Ok(Hybrid { bytes, width, run: Run::Same { value: 0, left: 0 } })
    }

    /// Whether the next `count` numbers are surely all `value`: they are one run.
    pub fn begins_with(&mut self, value: u32, count: usize) -> bool {
        let is_over = matches!(self.run, Run::Same { left: 0, .. } | Run::Packed { left: 0, .. });
        (!is_over || self.next_run().is_ok())
            && matches!(self.run, Run::Same { value: v, left } if v == value && left >= count)
    }

    /// The next numbers. Fails if there are not so many.
    pub fn read(&mut self, mut into: &mut [u32]) -> Result<(), String> {
        while !into.is_empty() {
            let count = match &mut self.run {
                Run::Same { value, left } => {
                    let count = into.len().min(*left);
                    into[..count].fill(*value);
                    *left -= count;
                    count
                }
                Run::Packed { bytes, at, left } => {
                    let count = into.len().min(*left);
                    unpack(bytes, *at, self.width as usize, &mut into[..count]);
                    *at += count * self.width as usize;
                    *left -= count;
                    count
                }
            };
            into = &mut into[count..];
            if !into.is_empty() {
                self.next_run()?;
            }
        }
        Ok(())
    }

    fn next_run(&mut self) -> Result<(), String> {
        let (mut head, mut shift) = (0u64, 0);
        loop {
            if self.bytes.is_empty() || shift > 28 {
                return Err("the numbers of a page end too early".into());
            }
            let byte = self.bytes.get_u8();
            head |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let count = (head >> 1) as usize;
        self.run = if head & 1 == 0 {
            let size = self.width.div_ceil(8) as usize;
            if self.bytes.len() < size {
                return Err("the numbers of a page end too early".into());
            }
            let mut value = [0; 4];
            value[..size].copy_from_slice(&self.bytes.split_to(size));
            Run::Same { value: u32::from_le_bytes(value), left: count }
        } else {
            // Some writers leave out the end of the last group.
            let bytes = self.bytes.split_to(self.bytes.len().min(count * self.width as usize));
            let there = if self.width == 0 { count * 8 } else { bytes.len() * 8 / self.width as usize };
            Run::Packed { left: there.min(count * 8), bytes, at: 0 }
        };
        match &self.run {
            Run::Same { left: 0, .. } | Run::Packed { left: 0, .. } => Err("an empty run of numbers".into()),
            _ => Ok(()),
        }
    }
}

/// Numbers of `width` bits, from bit `at` on. All of them lie in `bytes`.
fn unpack(bytes: &[u8], at: usize, width: usize, into: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if width <= 25 && level() >= Level::Avx512 && is_x86_feature_detected!("avx512vbmi") {
        // SAFETY: the processor has the features.
        return unsafe { unpack_avx512(bytes, at, width, into) };
    }
    unpack_plain(bytes, at, width, into)
}

/// The same, sixteen numbers at a time: each is shuffled into a lane of four bytes, then shifted. For up to 25 bits, so that
/// no number lies across five bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack_avx512(bytes: &[u8], at: usize, width: usize, into: &mut [u32]) {
    use std::arch::x86_64::*;
    let (first, bit) = (at / 8, at % 8);
    let place = |number: usize| bit + number * width;
    let shuffle: [u8; 64] = std::array::from_fn(|byte| (place(byte / 4) / 8 + byte % 4) as u8);
    let shift: [u32; 16] = std::array::from_fn(|number| place(number) as u32 % 8);
    // SAFETY: arrays of 64 bytes.
    let (shuffle, shift) =
        unsafe { (_mm512_loadu_si512(shuffle.as_ptr().cast()), _mm512_loadu_si512(shift.as_ptr().cast())) };
    let mask = _mm512_set1_epi32((1 << width) - 1);
    for (block, into) in into.chunks_mut(16).enumerate() {
        let rest = bytes.get(first + block * 2 * width..).unwrap_or_default();
        let there = u64::MAX.checked_shr(64 - rest.len().min(64) as u32).unwrap_or(0);
        let wanted = u16::MAX >> (16 - into.len());
        // SAFETY: of memory, only the bytes of `rest` are read and the numbers of `into` written.
        unsafe {
            let bytes = _mm512_maskz_loadu_epi8(there, rest.as_ptr().cast());
            let numbers = _mm512_srlv_epi32(_mm512_permutexvar_epi8(shuffle, bytes), shift);
            _mm512_mask_storeu_epi32(into.as_mut_ptr().cast(), wanted, _mm512_and_si512(numbers, mask));
        }
    }
}

fn unpack_plain(bytes: &[u8], at: usize, width: usize, into: &mut [u32]) {
    let mask = ((1u64 << width) - 1) as u32;
    let number = |word: [u8; 8], bit: usize| (u64::from_le_bytes(word) >> (bit & 7)) as u32 & mask;
    // Up to here, eight bytes are there from where a number begins.
    let whole = bytes.len().saturating_sub(7) * 8;
    let fast = if width == 0 { 0 } else { whole.saturating_sub(at).div_ceil(width).min(into.len()) };
    for (i, value) in into[..fast].iter_mut().enumerate() {
        let bit = at + i * width;
        *value = number(bytes[bit / 8..bit / 8 + 8].try_into().expect("eight bytes"), bit);
    }
    for (i, value) in into.iter_mut().enumerate().skip(fast) {
        let bit = at + i * width;
        let mut word = [0; 8];
        let rest = &bytes[(bit / 8).min(bytes.len())..];
        let count = rest.len().min(8);
        word[..count].copy_from_slice(&rest[..count]);
        *value = number(word, bit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain meaning: bit by bit.
    fn packed(numbers: &[u32], width: u32) -> Vec<u8> {
        let mut bytes = vec![0u8; (numbers.len() * width as usize).div_ceil(8)];
        for (i, number) in numbers.iter().enumerate() {
            for bit in (0..width as usize).filter(|bit| number >> bit & 1 == 1) {
                let at = i * width as usize + bit;
                bytes[at / 8] |= 1 << (at % 8);
            }
        }
        bytes
    }

    #[test]
    fn runs_and_packed_numbers_of_every_width() {
        for width in 0..=32u32 {
            let mask = ((1u64 << width) - 1) as u32;
            let numbers: Vec<u32> = (0..200u32).map(|i| i.wrapping_mul(2_654_435_761).rotate_left(7) & mask).collect();
            let mut bytes = vec![];
            bytes.extend([100 << 1 & 0x7f | 0x80, 1]);
            bytes.extend(&(5 & mask).to_le_bytes()[..width.div_ceil(8) as usize]);
            bytes.push(25 << 1 | 1);
            bytes.extend(packed(&numbers, width));
            let want: Vec<u32> = std::iter::repeat_n(5 & mask, 100).chain(numbers.iter().copied()).collect();
            for at in [0, 3 * width as usize, 32 * width as usize] {
                let (mut some, mut plain) = ([0; 150], [0; 150]);
                unpack(&packed(&numbers, width), at, width as usize, &mut some);
                unpack_plain(&packed(&numbers, width), at, width as usize, &mut plain);
                assert_eq!(some, plain, "width {width} from bit {at}");
            }
            for step in [1, 7, 64, 300] {
                let mut hybrid = Hybrid::new(bytes.clone().into(), width).unwrap();
                assert!(hybrid.begins_with(5 & mask, 100) && !hybrid.begins_with(5 & mask, 101));
                let mut got = vec![0; 300];
                got.chunks_mut(step).for_each(|part| hybrid.read(part).unwrap());
                assert_eq!(got, want, "width {width}, step {step}");
                assert!(hybrid.read(&mut [0]).is_err());
            }
        }
    }

    #[test]
    fn damaged_numbers_are_errors() {
        assert!(Hybrid::new(Bytes::new(), 33).is_err());
        for bytes in [&[][..], &[0x80], &[0xff; 9], &[2], &[0, 1], &[1]] {
            let mut hybrid = Hybrid::new(Bytes::copy_from_slice(bytes), 9).unwrap();
            assert!(hybrid.read(&mut [0; 16]).is_err(), "{bytes:?}");
        }
        // The last group may be cut where its numbers end.
        let mut cut = vec![3u8];
        cut.extend(packed(&[1, 2, 3, 4], 9));
        let mut hybrid = Hybrid::new(cut.into(), 9).unwrap();
        let mut got = [0; 4];
        hybrid.read(&mut got).unwrap();
        assert_eq!(got, [1, 2, 3, 4]);
        assert!(hybrid.read(&mut [0; 2]).is_err());
    }
}
