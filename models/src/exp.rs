//! `exp` of doubles with the bits of GNU's C library, on every machine.
//!
//! LightGBM's probabilities are made by the `exp` of the C library that it runs on, nearly always GNU's. From version 2.28 on that is the
//! method of ARM's optimized routines (Szabolcs Nagy, 2018): 2^(i/128) from a table, a polynomial of degree 5 for the rest, multiplied and
//! added in one rounding as processors with FMA do. Method and coefficients are theirs, the code is ours; the table is computed. It is
//! right in all but one in some hundred last bits, which `nearest` in the tests is in all.

use std::sync::OnceLock;

/// A value as the sum of two doubles, the second below half a unit of the first.
#[derive(Clone, Copy)]
struct Pair(f64, f64);

/// The exact sum of two doubles, of which the first is not the smaller one.
fn fast_two_sum(a: f64, b: f64) -> Pair {
    let sum = a + b;
    Pair(sum, b - (sum - a))
}

/// The exact sum of two doubles (Knuth).
fn two_sum(a: f64, b: f64) -> Pair {
    let sum = a + b;
    let part = sum - a;
    Pair(sum, (a - (sum - part)) + (b - part))
}

/// The exact product of two doubles.
fn two_product(a: f64, b: f64) -> Pair {
    let product = a * b;
    Pair(product, a.mul_add(b, -product))
}

impl Pair {
    fn add(self, other: Pair) -> Pair {
        let Pair(high, low) = two_sum(self.0, other.0);
        fast_two_sum(high, low + (self.1 + other.1))
    }

    fn times(self, other: Pair) -> Pair {
        let Pair(high, low) = two_product(self.0, other.0);
        fast_two_sum(high, low + (self.0 * other.1 + self.1 * other.0))
    }

    fn divided(self, by: f64) -> Pair {
        let high = self.0 / by;
        let rest = (-high).mul_add(by, self.0) + self.1;
        fast_two_sum(high, rest / by)
    }
}

/// ln 2 in three parts: the first has 42 bits, so that its product with a number of 11 bits is exact.
const LN2: [f64; 3] = [
    f64::from_bits(0x3fe6_2e42_fefa_3800),
    f64::from_bits(0x3d2e_f357_93c7_6730),
    f64::from_bits(0x398f_97b5_7a07_9a19),
];
/// Parts of a power of two in the table.
const PARTS: i64 = 128;
/// Taylor's terms that 95 bits take after eight halvings.
const TERMS: u32 = 11;

/// `exp` of a pair of at most 1 in size, to some 95 bits: halved eight times, Taylor, squared eight times.
fn exp_of(x: Pair) -> Pair {
    let scale = 1.0 / 256.0;
    let x = Pair(x.0 * scale, x.1 * scale);
    // All but the 1, so that its bits are not lost to it: (1 + y)² − 1 = 2y + y².
    let mut y = Pair(0.0, 0.0);
    for term in (1..=TERMS).rev() {
        let inner = Pair(1.0, 0.0).add(y);
        y = x.times(inner).divided(f64::from(term));
    }
    for _ in 0..8 {
        let square = y.times(y);
        y = Pair(y.0 * 2.0, y.1 * 2.0).add(square);
    }
    Pair(1.0, 0.0).add(y)
}

/// 2^(i/128): the nearest double, and what share of it is missing.
fn table() -> &'static [(f64, f64); PARTS as usize] {
    static TABLE: OnceLock<[(f64, f64); PARTS as usize]> = OnceLock::new();
    let entry = |i: usize| {
        let part = i as f64 / PARTS as f64;
        let ln2 = Pair(LN2[0], LN2[1]);
        let Pair(top, rest) = exp_of(ln2.times(Pair(part, 0.0)).add(Pair(LN2[2] * part, 0.0)));
        (top, rest / top)
    };
    TABLE.get_or_init(|| std::array::from_fn(entry))
}

/// `value` · 2^`power`, rounded once.
fn scaled(value: Pair, power: i64) -> f64 {
    let two = |power: i64| f64::from_bits(((power + 1023) as u64) << 52);
    if power >= -1021 {
        // A result that is no double is infinite.
        let high = power.min(1023);
        return (value.0 + value.1) * two(high) * two(power - high);
    }
    // Below the normal numbers a double is so many times 2^-1074: rounded to that once.
    let unit = |part: f64| part * two(1000) * two(power + 1074 - 1000);
    let (high, low) = (unit(value.0), unit(value.1));
    let mut count = high.round_ties_even();
    let rest = (high - count) + low;
    if rest > 0.5 {
        count += 1.0;
    } else if rest < -0.5 {
        count -= 1.0;
    }
    f64::from_bits(count as u64)
}

/// Coefficients of exp(r) − 1 − r for |r| below ln 2 / 256.
const POLYNOMIAL: [f64; 4] = [
    f64::from_bits(0x3fdf_ffff_ffff_fdbd),
    f64::from_bits(0x3fc5_5555_5555_543c),
    f64::from_bits(0x3fa5_5555_cf17_2b91),
    f64::from_bits(0x3f81_1111_67a4_d017),
];
/// 128 / ln 2.
const PER_PART: f64 = f64::from_bits(0x3ff7_1547_652b_82fe) * PARTS as f64;
/// − ln 2 / 128 in two parts.
const PART: [f64; 2] = [f64::from_bits(0xbf76_2e42_fefa_0000), f64::from_bits(0xbd0c_f79a_bc9e_3b39)];
/// What makes a whole number of a double when it is added.
const WHOLE: f64 = 6_755_399_441_055_744.0;

/// e to the power of `x`.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 709.79 {
        return f64::INFINITY;
    }
    if x < -745.2 {
        return 0.0;
    }
    if x.abs() < f64::from_bits(0x3c90_0000_0000_0000) {
        return 1.0 + x;
    }
    let k = PER_PART.mul_add(x, WHOLE) - WHOLE;
    let r = k.mul_add(PART[1], k.mul_add(PART[0], x));
    let (power, part) = ((k as i64).div_euclid(PARTS), (k as i64).rem_euclid(PARTS));
    let (top, tail) = table()[part as usize];
    let [c2, c3, c4, c5] = POLYNOMIAL;
    let square = r * r;
    let rest = square.mul_add(r.mul_add(c3, c2), tail + r);
    let rest = (square * square).mul_add(r.mul_add(c5, c4), rest);
    if x <= -512.0 {
        // Here two roundings, since the product is wanted by itself too, for results with fewer bits.
        return scaled(if power >= -1021 { Pair(top + top * rest, 0.0) } else { fast_two_sum(top, top * rest) }, power);
    }
    scaled(Pair(top.mul_add(rest, top), 0.0), power)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x` − `k` ln 2.
    fn reduced(x: f64, k: f64) -> Pair {
        let high = (-k).mul_add(LN2[0], x);
        let Pair(c, d) = two_product(-k, LN2[1]);
        let Pair(high, low) = two_sum(high, c);
        fast_two_sum(high, low + (d + -k * LN2[2]))
    }

    /// The double that is nearest to the exact value, by some 95 bits.
    fn nearest(x: f64) -> f64 {
        let k = (x / std::f64::consts::LN_2).round();
        scaled(exp_of(reduced(x, k)), k as i64)
    }

    #[test]
    fn known_values() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(1.0), std::f64::consts::E);
        assert_eq!(exp(f64::INFINITY), f64::INFINITY);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(710.0), f64::INFINITY);
        assert_eq!(exp(-746.0), 0.0);
        assert!(exp(f64::NAN).is_nan());
        // By decimals of sixty digits, rounded.
        for (x, want) in [
            (-1.0, 0.36787944117144233),
            (0.5, 1.6487212707001282),
            (709.7, 1.6549840276802644e+308),
            (709.782712893384, 1.7976931348622732e+308),
            (-745.1332191019411, 5e-324),
            (-745.0, 5e-324),
            (-708.3964185322641, 2.2250738585072626e-308),
            (-708.4, 2.217119081664265e-308),
            (-720.25, 1.5827029403e-313),
            (1e-10, 1.0000000001),
            (-1e-17, 1.0),
            (37.5, 1.9321599304402836e+16),
            (-37.5, 5.175555005801869e-17),
            (88.7, 3.325986980250579e+38),
            (-103.9, 7.530144847827766e-46),
            (162.58455589517814, 4.069822495462447e+70),
            (334.84934743879694, 2.649865687258662e+145),
            (412.23547650469436, 1.0754561087022728e+179),
            (625.6104611929459, 5.0023159318154345e+271),
            (332.11303479815956, 1.7173482860189016e+144),
            (596.4489201681893, 1.0826168100403626e+259),
            (-697.9714242170422, 7.496558534361144e-304),
            (-65.31277380612539, 4.315416703128014e-29),
            (626.9238829305566, 1.860299760271285e+272),
            (200.36412749540318, 1.0400038394457297e+87),
            (565.4048125466522, 3.5660721896582537e+245),
            (-575.9645572175938, 7.273962010520487e-251),
            (-0.3093095221783626, 0.7339535599601043),
            (-2.5342716738016966, 0.07931946867904753),
            (0.4376085923593038, 1.5489984989028898),
            (0.7394118792810076, 2.0947032137989234),
            (-4.868858104110978, 0.007682132476828555),
            (-2.8327019953615187, 0.05885361643857226),
            (-2.205176339888897, 0.11023108545316321),
            (4.163453718085519, 64.29319014457008),
            (2.6572545162914176, 14.257092701020424),
            (-3.403957876419618, 0.033241443730154266),
            (2.9714699143120447, 19.52059211552533),
            (-3.6123258160109684, 0.026989002358493035),
        ] {
            assert_eq!(f64::to_bits(nearest(x)), f64::to_bits(want), "{x:?}");
        }
    }

    /// Where the C library is GNU's and the processor has FMA, it says the same.
    #[test]
    fn it_is_the_c_library_s() {
        let (mut dice, mut off) = (1u64, 0);
        let twin = cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"));
        let twin = twin && std::is_x86_feature_detected!("fma");
        for at in 0..400_000 {
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let x = ((dice >> 11) as f64 / (1u64 << 53) as f64 - 0.5) * if at % 2 == 0 { 1480.0 } else { 40.0 };
            if !(-745.0..=709.7).contains(&x) {
                continue;
            }
            let (got, want) = (exp(x), nearest(x));
            assert!(got.to_bits().abs_diff(want.to_bits()) <= 1, "{x:?}");
            off += u64::from(got != want);
            if twin && x > -708.0 {
                assert_eq!(got.to_bits(), x.exp().to_bits(), "{x:?}");
            }
        }
        assert!(off < 4000, "{off} are not the nearest");
    }
}
