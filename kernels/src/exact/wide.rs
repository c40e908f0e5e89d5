//! `Wide`: a two's-complement integer of as many limbs as it needs, for the few groups that leave the narrow form.

use super::number::Number;

/// An integer times 2^(64·base). Limbs lowest first; the highest is all sign bits, so a carry always has room.
///
/// At most 35 limbs for sums of doubles and 69 for their squares: 2^-2148 to 2^2048 and 64 bits of count.
#[derive(Clone, Debug, Default)]
pub struct Wide {
    base: i32,
    limbs: Vec<u64>,
}

impl Wide {
    /// Adds `±limbs · 2^exponent`.
    pub fn add(&mut self, number: Number<'_>) {
        let Some(top) = number.limbs.iter().rposition(|&limb| limb != 0) else { return };
        let magnitude = &number.limbs[..=top];
        let (place, shift) = (number.exponent.div_euclid(64), number.exponent.rem_euclid(64) as u32);
        // Shifted, the magnitude fills at most one limb more; one more still is the sign.
        self.cover(place, place + magnitude.len() as i32 + 2);
        let mut at = (place - self.base) as usize;
        let (mut below, mut carry) = (0u64, false);
        for &limb in magnitude.iter().chain(&[0]) {
            let word = limb << shift | below >> 1 >> (63 - shift);
            below = limb;
            (self.limbs[at], carry) = match number.negative {
                false => self.limbs[at].carrying_add(word, carry),
                true => self.limbs[at].borrowing_sub(word, carry),
            };
            at += 1;
        }
        while carry && at < self.limbs.len() {
            (self.limbs[at], carry) = match number.negative {
                false => self.limbs[at].overflowing_add(1),
                true => self.limbs[at].overflowing_sub(1),
            };
            at += 1;
        }
        // The old value and the addend were both below the sign limb, so their sum is at most one bit over.
        let highest = self.limbs[self.limbs.len() - 1];
        if highest != 0 && highest != u64::MAX {
            self.limbs.push(((highest as i64) >> 63) as u64);
        }
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &Wide) {
        let (negative, limbs) = other.magnitude();
        self.add(Number { negative, limbs: &limbs, exponent: other.base * 64 });
    }

    /// The value, to be read.
    pub fn with<R>(&self, read: impl FnOnce(Number<'_>) -> R) -> R {
        let (negative, limbs) = self.magnitude();
        read(Number { negative, limbs: &limbs, exponent: self.base * 64 })
    }

    /// Makes the limbs reach from `from` to below `to`, in limbs from 2^0.
    fn cover(&mut self, from: i32, to: i32) {
        if self.limbs.is_empty() {
            self.base = from;
        }
        if from < self.base {
            let zeros = (self.base - from) as usize;
            self.limbs.splice(0..0, std::iter::repeat_n(0, zeros));
            self.base = from;
        }
        let sign = self.limbs.last().copied().unwrap_or(0);
        let want = (to - self.base) as usize;
        if self.limbs.len() < want {
            self.limbs.resize(want, sign);
        }
    }

    fn magnitude(&self) -> (bool, Vec<u64>) {
        let mut limbs = self.limbs.clone();
        let negative = limbs.last().is_some_and(|&sign| sign != 0);
        if negative {
            let mut carry = true;
            for limb in &mut limbs {
                (*limb, carry) = (!*limb).overflowing_add(carry as u64);
            }
        }
        (negative, limbs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn adds_like_a_big_integer(
            rows in proptest::collection::vec((any::<bool>(), any::<[u64; 2]>(), -300i32..300), 0..40),
        ) {
            let (mut wide, mut left, mut right) = (Wide::default(), Wide::default(), Wide::default());
            let mut want = BigInt::ZERO;
            for (i, (negative, limbs, exponent)) in rows.iter().enumerate() {
                let number = Number { negative: *negative, limbs, exponent: *exponent };
                wide.add(number);
                if i % 3 == 0 { left.add(number) } else { right.add(number) }
                want += number.big() << (exponent + 300);
            }
            left.merge(&right);
            for sum in [wide, left] {
                let got = sum.with(|number| {
                    let shift = number.exponent + 320; // the base is a whole limb: -300 rounds down to -320
                    if number.is_zero() { BigInt::ZERO } else { number.big() << shift }
                });
                prop_assert_eq!(got, &want << 20);
            }
        }
    }
}
