//! Random numbers by address: draw `row` of a stream is a pure function of (seed, name of the stream, row).
//!
//! A generator that keeps state would tie a row to the rows before it. Here a row can be made alone, on any thread, after
//! any restart, and is always the same. Nothing below uses the platform's math library: integers, and float operations
//! that IEEE 754 rounds exactly (`+ - * / sqrt`), so a seed means the same rows on every machine.
//!
//! The mixer is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014), whose
//! n-th output can be computed without the n − 1 before it.

/// The odd number that SplitMix64 counts by: 2⁶⁴ divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Maps a draw to `0..n`, by the upper half of their product. `n` of 0 gives 0.
pub(crate) fn below(draw: u64, n: u64) -> u64 {
    ((u128::from(draw) * u128::from(n)) >> 64) as u64
}

/// Maps a draw to `[0, 1)`, in steps of 2⁻⁵³.
pub(crate) fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Maps a draw to a bell curve of mean 0 and deviation 1 that ends at ±3.46: the sum of four uniform numbers of 16 bits.
pub(crate) fn bell(draw: u64) -> f64 {
    let sum: u32 = (0..4).map(|i| (draw >> (16 * i)) as u32 & 0xffff).sum();
    // A sum of four uniform numbers on [0, 1) has mean 2 and variance 1/3.
    (f64::from(sum) / 65536.0 - 2.0 + 2.0 / 65536.0) * 3f64.sqrt()
}

/// A named stream of draws, addressed by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// The stream called `name` under this seed. Streams of other names are independent of it.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name: any hash would do, the mixer spreads it.
        let name =
            name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Dice { state: mix(mix(seed.wrapping_add(GAMMA)) ^ name) }
    }

    /// The draw of one row.
    pub(crate) fn at(&self, row: u64) -> u64 {
        mix(self.state.wrapping_add(row.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// As many draws as wanted for one row.
    pub(crate) fn roll(&self, row: u64) -> Roll {
        Roll { state: self.at(row) }
    }
}

/// The draws of one row, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Roll {
    state: u64,
}

impl Roll {
    /// The next draw.
    pub(crate) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// The next draw, in `0..n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        below(self.draw(), n)
    }
}

/// A shuffle of `0..n` that needs no table: multiplication by a number without a factor in common with `n`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scatter {
    n: u64,
    factor: u64,
    shift: u64,
}

impl Scatter {
    /// The shuffle of `0..n` that `dice` picks; `n` must not be 0.
    pub(crate) fn new(n: u64, dice: Dice) -> Self {
        let gcd = |mut a: u64, mut b: u64| {
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        // Starting near n divided by the golden ratio keeps neighbours far apart.
        let mut factor = ((u128::from(n) * u128::from(GAMMA)) >> 64) as u64;
        factor = factor.max(1);
        while gcd(factor, n) != 1 {
            factor += 1;
        }
        Scatter { n, factor, shift: below(dice.at(0), n) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.n
    }

    /// Where `i` goes.
    pub(crate) fn at(&self, i: u64) -> u64 {
        ((u128::from(i) * u128::from(self.factor) + u128::from(self.shift)) % u128::from(self.n)) as u64
    }
}

/// Powers of ten with fractional exponents, from multiplications and square roots alone.
#[derive(Debug)]
pub(crate) struct PowersOfTen {
    /// `10^(i / 1024)` for the digits of the exponent above 2⁻¹⁰.
    coarse: Vec<f64>,
    /// `10^(i / 2²⁰)` for those below.
    fine: Vec<f64>,
}

impl PowersOfTen {
    /// Tables for exponents in `[0, below)`.
    pub(crate) fn new(below: usize) -> Self {
        // roots[k] = 10^(2^-k)
        let roots: Vec<f64> = std::iter::successors(Some(10f64), |x| Some(x.sqrt())).take(21).collect();
        let power = |i: usize, first: usize| {
            (0..10).filter(|bit| i >> (9 - bit) & 1 == 1).map(|bit| roots[first + bit]).product()
        };
        let fraction: Vec<f64> = (0..1024).map(|i| power(i, 1)).collect();
        let mut coarse = Vec::with_capacity(below * 1024);
        let mut whole = 1.0;
        for _ in 0..below {
            coarse.extend(fraction.iter().map(|f| f * whole));
            whole *= 10.0;
        }
        PowersOfTen { coarse, fine: (0..1024).map(|i| power(i, 11)).collect() }
    }

    /// `10^(steps / 2²⁰)`.
    pub(crate) fn at(&self, steps: u64) -> f64 {
        self.coarse[(steps >> 10) as usize] * self.fine[(steps & 1023) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_name_and_row_alone() {
        let dice = Dice::new(7, "price");
        assert_eq!(dice.at(3), Dice::new(7, "price").at(3));
        assert_ne!(dice.at(3), dice.at(4));
        assert_ne!(dice.at(3), Dice::new(8, "price").at(3));
        assert_ne!(dice.at(3), Dice::new(7, "rice").at(3));
    }

    #[test]
    fn splitmix64_gives_its_published_first_output() {
        // First output for state 0, as in the reference implementation by Sebastiano Vigna.
        assert_eq!(Dice { state: 0 }.at(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(Roll { state: 0 }.draw(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn draws_fill_their_range_evenly() {
        let dice = Dice::new(1, "x");
        let mut counts = [0; 10];
        let (mut sum, mut squares) = (0.0, 0.0);
        for row in 0..100_000 {
            counts[below(dice.at(row), 10) as usize] += 1;
            let z = bell(dice.at(row));
            sum += z;
            squares += z * z;
        }
        assert!(counts.iter().all(|c| (9_600..10_400).contains(c)), "{counts:?}");
        assert!((sum / 1e5).abs() < 0.02, "{sum}");
        assert!((squares / 1e5 - 1.0).abs() < 0.02, "{squares}");
        assert_eq!(below(u64::MAX, 0), 0);
        assert!(unit(u64::MAX) < 1.0);
    }

    #[test]
    fn scatter_is_a_shuffle() {
        for n in [1, 2, 3, 10, 1000, 1023] {
            let scatter = Scatter::new(n, Dice::new(5, "ids"));
            let mut seen: Vec<u64> = (0..n).map(|i| scatter.at(i)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn powers_of_ten() {
        let powers = PowersOfTen::new(6);
        assert_eq!(powers.at(0), 1.0);
        assert_eq!(powers.at(3 << 20), 1000.0);
        for steps in [1, 1023, 1024, 524_288, 1_048_577, (6 << 20) - 1] {
            let want = 10f64.powf(steps as f64 / 1_048_576.0);
            assert!((powers.at(steps) / want - 1.0).abs() < 1e-13, "{steps}");
        }
    }
}
