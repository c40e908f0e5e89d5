//! `Number`: an integer times a power of two, on its way to a double or to saved bytes.

use num_bigint::{BigInt, BigUint, Sign};
use num_traits::ToPrimitive;

/// `±limbs · 2^exponent`, limbs lowest first. Zero has all limbs zero; its sign means nothing.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    /// Whether the value is below zero.
    pub negative: bool,
    /// The magnitude, lowest limb first. High limbs may be zero.
    pub limbs: &'a [u64],
    /// The power of two of the lowest bit.
    pub exponent: i32,
}

/// A [`Number`] that owns its limbs: what [`Number::decode`] gives.
#[derive(Clone, Debug, Default)]
pub struct OwnedNumber {
    negative: bool,
    limbs: Vec<u64>,
    exponent: i32,
}

impl OwnedNumber {
    /// The number, to be read.
    pub fn view(&self) -> Number<'_> {
        Number { negative: self.negative, limbs: &self.limbs, exponent: self.exponent }
    }
}

impl<'a> Number<'a> {
    /// Whether the value is zero.
    pub fn is_zero(&self) -> bool {
        self.limbs.iter().all(|&limb| limb == 0)
    }

    /// Bits of the magnitude without leading zeros; 0 for zero.
    pub fn bits(&self) -> u32 {
        match self.limbs.iter().rposition(|&limb| limb != 0) {
            Some(top) => top as u32 * 64 + 64 - self.limbs[top].leading_zeros(),
            None => 0,
        }
    }

    /// Zero bits below the lowest one bit; 0 for zero.
    pub fn trailing_zeros(&self) -> u32 {
        match self.limbs.iter().position(|&limb| limb != 0) {
            Some(low) => low as u32 * 64 + self.limbs[low].trailing_zeros(),
            None => 0,
        }
    }

    /// The nearest double, ties to even; past the largest double ±inf, and zero is +0.0.
    pub fn to_f64(self) -> f64 {
        round(self.negative, self.limbs, self.exponent, false)
    }

    /// The nearest double to this number divided by `divisor`: one rounding.
    ///
    /// # Panics
    /// If `divisor` is 0.
    pub fn divided_by(&self, divisor: u64) -> f64 {
        let used = self.limbs.iter().rposition(|&limb| limb != 0).map_or(0, |top| top + 1);
        if used == 0 {
            return 0.0;
        }
        if used <= 2 {
            // Shifted to the top of 128 bits, the quotient by 64 bits keeps 64 bits: enough for one rounding.
            let magnitude = self.limbs[0] as u128 | if used == 2 { (self.limbs[1] as u128) << 64 } else { 0 };
            let room = magnitude.leading_zeros();
            let shifted = magnitude << room;
            let (quotient, rest) = (shifted / divisor as u128, shifted % divisor as u128);
            return round_u128(self.negative, quotient, self.exponent - room as i32, rest != 0);
        }
        // Two more limbs below, for the same reason.
        let mut quotient = vec![0u64; used + 2];
        let mut rest = 0u128;
        for place in (0..used + 2).rev() {
            let limb = if place >= 2 { self.limbs[place - 2] } else { 0 };
            let part = rest << 64 | limb as u128;
            quotient[place] = (part / divisor as u128) as u64;
            rest = part % divisor as u128;
        }
        round(self.negative, &quotient, self.exponent - 128, rest != 0)
    }

    /// The value, if it is an integer of 128 bits.
    pub fn to_i128(self) -> Option<i128> {
        if self.is_zero() {
            return Some(0);
        }
        let low = self.exponent + self.trailing_zeros() as i32;
        if low < 0 || self.exponent + self.bits() as i32 > 128 {
            return None;
        }
        let mut magnitude = 0u128;
        for (place, &limb) in self.limbs.iter().enumerate().filter(|(_, limb)| **limb != 0) {
            let shift = self.exponent + place as i32 * 64;
            magnitude |= if shift >= 0 { (limb as u128) << shift } else { limb as u128 >> -shift };
        }
        if self.negative { 0i128.checked_sub_unsigned(magnitude) } else { i128::try_from(magnitude).ok() }
    }

    /// The integer part of the form, for arithmetic at window close: `big() · 2^exponent` is the value.
    pub fn big(&self) -> BigInt {
        let digits = self.limbs.iter().flat_map(|&limb| [limb as u32, (limb >> 32) as u32]).collect();
        BigInt::from_biguint(if self.negative { Sign::Minus } else { Sign::Plus }, BigUint::new(digits))
    }

    /// Appends the one canonical form: equal values give equal bytes, whatever the exponent in use.
    ///
    /// One byte 0 for zero, 1 for plus, 2 for minus; after a sign an `i16` exponent, a `u16` length and the odd
    /// magnitude in that many bytes, lowest first and the last not 0; all little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Some(top) = self.limbs.iter().rposition(|&limb| limb != 0) else {
            out.push(0);
            return;
        };
        let zeros = self.trailing_zeros();
        let (skip, shift) = ((zeros / 64) as usize, zeros % 64);
        let length = (self.bits() - zeros).div_ceil(8) as usize;
        out.push(1 + self.negative as u8);
        out.extend_from_slice(&((self.exponent + zeros as i32) as i16).to_le_bytes());
        out.extend_from_slice(&(length as u16).to_le_bytes());
        let end = out.len() + length;
        for place in skip..=top {
            let above = if place < top { self.limbs[place + 1] } else { 0 };
            out.extend_from_slice(&((self.limbs[place] >> shift) | (above << 1 << (63 - shift))).to_le_bytes());
        }
        out.truncate(end);
    }

    /// Reads what [`Number::encode`] wrote and moves `bytes` past it; `None` if it is not that form.
    pub fn decode(bytes: &mut &[u8]) -> Option<OwnedNumber> {
        let (&sign, rest) = bytes.split_first()?;
        if sign == 0 {
            *bytes = rest;
            return Some(OwnedNumber::default());
        }
        let (exponent, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (magnitude, rest) = rest.split_at_checked(u16::from_le_bytes(*length) as usize)?;
        let canonical = sign <= 2 && magnitude.first()? & 1 == 1 && *magnitude.last()? != 0;
        let limbs = magnitude.chunks(8).map(|part| {
            let mut limb = [0; 8];
            limb[..part.len()].copy_from_slice(part);
            u64::from_le_bytes(limb)
        });
        let number =
            OwnedNumber { negative: sign == 2, limbs: limbs.collect(), exponent: i16::from_le_bytes(*exponent).into() };
        *bytes = rest;
        canonical.then_some(number)
    }
}

/// The nearest double to `numerator / denominator · 2^exponent`, ties to even.
///
/// # Panics
/// If `denominator` is zero.
pub fn ratio(numerator: &BigInt, denominator: &BigUint, exponent: i32) -> f64 {
    let magnitude = numerator.magnitude();
    // 66 bits of quotient and the word whether something is left decide any rounding.
    let shift = (denominator.bits() + 66).saturating_sub(magnitude.bits());
    let shifted = magnitude << shift;
    let quotient = &shifted / denominator;
    let exact = &quotient * denominator == shifted;
    round(numerator.sign() == Sign::Minus, &quotient.to_u64_digits(), exponent - shift as i32, !exact)
}

/// Rounds `±(limbs + tail) · 2^exponent`, where the tail is in (0, 1) if `tail`, else 0.
fn round(negative: bool, limbs: &[u64], exponent: i32, tail: bool) -> f64 {
    match limbs.iter().rposition(|&limb| limb != 0) {
        None => 0.0,
        Some(0) => round_u128(negative, limbs[0] as u128, exponent, tail),
        Some(top) => {
            let magnitude = (limbs[top] as u128) << 64 | limbs[top - 1] as u128;
            let tail = tail || limbs[..top - 1].iter().any(|&limb| limb != 0);
            round_u128(negative, magnitude, exponent + (top as i32 - 1) * 64, tail)
        }
    }
}

/// Rounds `±(magnitude + tail) · 2^exponent`. A tail needs a magnitude of at least 54 bits above it.
fn round_u128(negative: bool, magnitude: u128, exponent: i32, tail: bool) -> f64 {
    if magnitude == 0 {
        return 0.0;
    }
    let top = exponent + 127 - magnitude.leading_zeros() as i32;
    if top > 1023 {
        return if negative { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    // The power of two of the result's last bit; subnormals share the last one.
    let unit = (top - 52).max(-1074);
    let shift = unit - exponent;
    let kept = if shift <= 0 {
        debug_assert!(!tail, "a tail below a short magnitude would be lost");
        (magnitude << -shift) as u64
    } else if shift > 128 {
        0
    } else {
        let kept = if shift == 128 { 0 } else { magnitude >> shift };
        let half = magnitude >> (shift - 1) & 1 == 1;
        let below = tail || magnitude & ((1u128 << (shift - 1)) - 1) != 0;
        (kept + (half && (below || kept & 1 == 1)) as u128) as u64
    };
    // `kept` holds the hidden bit, so adding it to the field before carries into the exponent as rounding should;
    // from the largest double it carries into infinity.
    let bits = ((unit + 1074) as u64) << 52;
    f64::from_bits((bits + kept) | (negative as u64) << 63)
}

/// A sum of unscaled decimals divided by their count, with so many more digits, half away from zero; `None` if that does not fit.
///
/// # Panics
/// If `count` is 0.
pub fn decimal_mean(sum: i128, count: u64, digits: u32) -> Option<i128> {
    let scaled = 10i128.checked_pow(digits).and_then(|ten| sum.checked_mul(ten)?.checked_mul(2));
    match scaled.filter(|twice| twice.unsigned_abs() < 1 << 126) {
        Some(twice) => {
            let half_away = if twice < 0 { twice - count as i128 } else { twice + count as i128 };
            Some(half_away / (2 * count as i128))
        }
        None => big_decimal_mean(&sum.into(), count, digits),
    }
}

/// The same of any sum.
pub fn big_decimal_mean(sum: &BigInt, count: u64, digits: u32) -> Option<i128> {
    let twice = sum * BigInt::from(10).pow(digits) * 2;
    let half_away: BigInt = if twice < BigInt::ZERO { twice - count } else { twice + count };
    let mean: BigInt = half_away / (2 * count as i128);
    mean.to_i128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(limbs: &[u64], exponent: i32) -> Number<'_> {
        Number { negative: false, limbs, exponent }
    }

    #[test]
    fn ties_go_to_even() {
        assert_eq!(number(&[(1 << 53) + 1], 0).to_f64(), 9007199254740992.0);
        assert_eq!(number(&[(1 << 53) + 3], 0).to_f64(), 9007199254740996.0);
        assert_eq!(number(&[1, 1 << 53], -64).to_f64(), 9007199254740992.0, "just above an exact double");
        assert_eq!(number(&[1, (1 << 53) + 1], -64).to_f64(), 9007199254740994.0, "just above a tie");
    }

    #[test]
    fn edges_of_the_range() {
        assert_eq!(number(&[1], -1074).to_f64(), 5e-324);
        assert_eq!(number(&[1], -1075).to_f64(), 0.0, "a tie at the bottom goes to even zero");
        assert_eq!(number(&[3], -1076).to_f64(), 5e-324);
        assert_eq!(number(&[(1 << 53) - 1], 971).to_f64(), f64::MAX);
        assert_eq!(number(&[(1 << 54) - 1], 970).to_f64(), f64::INFINITY);
        assert_eq!(number(&[(1 << 52) - 1], -1074).to_f64(), f64::from_bits((1 << 52) - 1));
        assert_eq!(number(&[0, 0], 7).to_f64().to_bits(), 0);
    }

    #[test]
    fn division_rounds_once() {
        assert_eq!(number(&[1], 0).divided_by(3), 1.0 / 3.0);
        assert_eq!(number(&[1], -1074).divided_by(2), 0.0);
        assert_eq!(number(&[3], -1074).divided_by(2), 1e-323);
        assert_eq!(number(&[0, 0, 3], -128).divided_by(7), 3.0 / 7.0);
    }

    #[test]
    fn one_form_per_value() {
        let (mut a, mut b) = (vec![], vec![]);
        number(&[0, 0, 12], -70).encode(&mut a);
        number(&[3 << 40], 20).encode(&mut b);
        assert_eq!(a, b);
        assert_eq!(a, [1, 60, 0, 1, 0, 3]);
        let back = Number::decode(&mut &a[..]).unwrap();
        assert_eq!(back.view().to_f64(), number(&[3], 60).to_f64());
        assert!(Number::decode(&mut &[1, 0, 0, 1, 0, 2][..]).is_none(), "even magnitude");
        assert!(Number::decode(&mut &a[..5]).is_none());
    }
}
