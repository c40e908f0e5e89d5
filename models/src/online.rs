//! Linear models that learn row by row: stochastic gradient descent (Robbins, Monro: *A Stochastic Approximation Method*, 1951).
//!
//! A row with a label is one step: `w ← w − rate · (g · z + l2 · w)`, `b ← b − rate · g`, where `z` are the features, `b + Σ w · z` is the
//! margin, and `g` what the label misses: `1 / (1 + exp(−margin)) − label` of log loss, `margin − label` of half the squared error.
//! With `standardize` a feature's `z` is its distance from the mean in standard deviations, both of all rows up to this one (Welford,
//! 1962), the row itself among them when it is learnt.
//!
//! All of it is doubles in a fixed order, one rounding an operation, so that equal rows in equal order give equal bits on every machine.

use crate::exp::exp;

/// What a label is, and what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Labels are 0 or 1; the answer is the probability of 1.
    Logistic,
    /// Labels are numbers, and so is the answer.
    Squared,
}

/// How to learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    /// What is learnt.
    pub loss: Loss,
    /// How far a step goes; above 0.
    pub rate: f64,
    /// How much weights are drawn to 0; the bias is not. 0 is none.
    pub l2: f64,
    /// Features count in standard deviations from their mean.
    pub standardize: bool,
}

/// Why a row teaches nothing, or has no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refused {
    /// The feature of this number is infinite.
    Infinite(usize),
    /// The label is no label of this loss.
    Label(f64),
    /// After this step a number of the model would not be finite.
    Diverges,
    /// The margin is not finite.
    Margin,
}

/// A model that learns. Features are doubles; NaN is a missing one, and counts as the mean (as 0 without `standardize`).
#[derive(Clone, Debug, PartialEq)]
pub struct Online {
    how: Learning,
    state: State,
    /// Where a step is tried: it is taken only if all numbers stay finite.
    next: State,
}

#[derive(Clone, Debug, PartialEq)]
struct State {
    /// Rows that it has learnt from.
    learnt: u64,
    bias: f64,
    features: Vec<Feature>,
}

/// What is known of a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Feature {
    weight: f64,
    /// Of so many rows that had it: the mean, and the sum of squared distances from it.
    seen: u64,
    mean: f64,
    squares: f64,
}

impl Feature {
    fn see(&mut self, value: f64) {
        self.seen += 1;
        let before = value - self.mean;
        self.mean += before / self.seen as f64;
        self.squares += before * (value - self.mean);
    }

    /// The value that the weight is for.
    fn scaled(&self, value: f64, standardize: bool) -> f64 {
        if value.is_nan() {
            return 0.0;
        }
        if !standardize {
            return value;
        }
        let deviation = (self.squares / self.seen as f64).sqrt();
        // Before its second value a feature says nothing, nor does one that is always the same.
        if deviation > 0.0 { (value - self.mean) / deviation } else { 0.0 }
    }

    fn is_finite(&self) -> bool {
        self.weight.is_finite() && self.mean.is_finite() && self.squares.is_finite()
    }
}

impl State {
    fn margin(&self, row: &[f64], standardize: bool) -> f64 {
        let terms = self.features.iter().zip(row).map(|(feature, x)| feature.weight * feature.scaled(*x, standardize));
        terms.fold(self.bias, |sum, term| sum + term)
    }
}

impl Online {
    /// A model of so many features that has learnt nothing: all weights are 0.
    pub fn new(how: Learning, features: usize) -> Self {
        let state = State { learnt: 0, bias: 0.0, features: vec![Feature::default(); features] };
        Online { how, next: state.clone(), state }
    }

    /// Rows that it has learnt from.
    pub fn learnt(&self) -> u64 {
        self.state.learnt
    }

    /// Takes one step. A row that is refused leaves the model as it was.
    ///
    /// - `row`: a value for each feature.
    pub fn learn(&mut self, row: &[f64], label: f64) -> Result<(), Refused> {
        infinite(row)?;
        let Learning { loss, rate, l2, standardize } = self.how;
        if !label.is_finite() || (loss == Loss::Logistic && label != 0.0 && label != 1.0) {
            return Err(Refused::Label(label));
        }
        let next = &mut self.next;
        next.clone_from(&self.state);
        if standardize {
            let known = next.features.iter_mut().zip(row).filter(|(_, value)| !value.is_nan());
            known.for_each(|(feature, value)| feature.see(*value));
        }
        let misses = answer(loss, next.margin(row, standardize)) - label;
        for (feature, value) in next.features.iter_mut().zip(row) {
            let slope = misses * feature.scaled(*value, standardize) + l2 * feature.weight;
            feature.weight -= rate * slope;
        }
        next.bias -= rate * misses;
        next.learnt += 1;
        if !next.bias.is_finite() || !next.features.iter().all(Feature::is_finite) {
            return Err(Refused::Diverges);
        }
        std::mem::swap(&mut self.state, &mut self.next);
        Ok(())
    }

    /// The bias and what the features add to it.
    pub fn margin(&self, row: &[f64]) -> Result<f64, Refused> {
        infinite(row)?;
        let margin = self.state.margin(row, self.how.standardize);
        if margin.is_finite() { Ok(margin) } else { Err(Refused::Margin) }
    }

    /// What is answered for a margin: a probability of log loss, otherwise itself.
    pub fn answer(&self, margin: f64) -> f64 {
        answer(self.how.loss, margin)
    }

    /// What each feature adds to the margin, and behind them the bias.
    pub fn contributions(&self, row: &[f64], into: &mut Vec<f64>) {
        let standardize = self.how.standardize;
        let each = self.state.features.iter().zip(row);
        into.extend(each.map(|(feature, value)| feature.weight * feature.scaled(*value, standardize)));
        into.push(self.state.bias);
    }

    /// All that it has learnt, as words: the count of rows, the bias, and four for each feature.
    pub fn words(&self) -> Vec<u64> {
        let State { learnt, bias, features } = &self.state;
        let of = |f: &Feature| [f.weight.to_bits(), f.seen, f.mean.to_bits(), f.squares.to_bits()];
        [*learnt, bias.to_bits()].into_iter().chain(features.iter().flat_map(of)).collect()
    }

    /// Takes up what [`words`](Self::words) has said of a model with as many features. False, and nothing is changed, if it can't be.
    pub fn restore(&mut self, words: &[u64]) -> bool {
        let [learnt, bias, features @ ..] = words else { return false };
        if features.len() != 4 * self.state.features.len() {
            return false;
        }
        let of = |words: &[u64]| Feature {
            weight: f64::from_bits(words[0]),
            seen: words[1],
            mean: f64::from_bits(words[2]),
            squares: f64::from_bits(words[3]),
        };
        let features = features.chunks_exact(4).map(of).collect();
        self.state = State { learnt: *learnt, bias: f64::from_bits(*bias), features };
        true
    }
}

fn infinite(row: &[f64]) -> Result<(), Refused> {
    row.iter().position(|value| value.is_infinite()).map_or(Ok(()), |at| Err(Refused::Infinite(at)))
}

fn answer(loss: Loss, margin: f64) -> f64 {
    match loss {
        Loss::Logistic => 1.0 / (1.0 + exp(-margin)),
        Loss::Squared => margin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Learning = Learning { loss: Loss::Squared, rate: 0.5, l2: 0.0, standardize: false };
    const SCALED: Learning = Learning { loss: Loss::Logistic, rate: 0.05, l2: 0.0, standardize: true };

    /// SplitMix, as numbers from −1 to 1.
    struct Dice(u64);

    impl Dice {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        }
    }

    /// Worked out by hand.
    #[test]
    fn two_steps() {
        let mut model = Online::new(Learning { l2: 0.25, ..PLAIN }, 1);
        assert_eq!(model.margin(&[7.0]), Ok(0.0));
        // g = −3: w = 0.5 · 3 · 2, b = 0.5 · 3.
        model.learn(&[2.0], 3.0).unwrap();
        assert_eq!((model.margin(&[1.0]), model.margin(&[0.0])), (Ok(4.5), Ok(1.5)));
        // Margin 7.5, g = 6: w = 3 − 0.5 · (6 · 2 + 0.25 · 3), b = 1.5 − 0.5 · 6.
        model.learn(&[2.0], 1.5).unwrap();
        assert_eq!((model.margin(&[1.0]), model.margin(&[0.0])), (Ok(-4.875), Ok(-1.5)));
        assert_eq!(model.learnt(), 2);
        let mut parts = vec![];
        model.contributions(&[2.0], &mut parts);
        assert_eq!(parts, [-6.75, -1.5]);
    }

    /// 1 and 5 have mean 3 and deviation 2; the second row is learnt at one deviation above the mean.
    #[test]
    fn features_in_deviations() {
        let mut model = Online::new(Learning { loss: Loss::Squared, ..SCALED }, 1);
        model.learn(&[1.0], 0.0).unwrap();
        model.learn(&[5.0], 10.0).unwrap();
        assert_eq!(model.margin(&[3.0]), Ok(0.5));
        assert_eq!(model.margin(&[7.0]), Ok(0.5 + 0.5 * 2.0));
        // What is missing is the mean, and moves no mean.
        assert_eq!(model.margin(&[f64::NAN]), Ok(0.5));
        model.learn(&[f64::NAN], 0.5).unwrap();
        assert_eq!(model.margin(&[7.0]), Ok(0.5 + 0.5 * 2.0));
    }

    #[test]
    fn the_line_that_labels_lie_on() {
        let mut model = Online::new(Learning { loss: Loss::Squared, rate: 0.02, ..PLAIN }, 3);
        let mut dice = Dice(1);
        for _ in 0..20_000 {
            let row = [(); 3].map(|()| dice.next());
            model.learn(&row, 4.0 + 2.0 * row[0] - 3.0 * row[1]).unwrap();
        }
        let found = |row: [f64; 3]| model.margin(&row).unwrap();
        let (bias, slopes) = (found([0.0; 3]), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(found));
        assert!((bias - 4.0).abs() < 1e-9, "{bias}");
        for (slope, want) in slopes.into_iter().zip([2.0, -3.0, 0.0]) {
            assert!((slope - bias - want).abs() < 1e-9, "{slope} instead of {want}");
        }
    }

    /// Labels that fall by the probability of a known margin: the weights come near it, of features of any size.
    #[test]
    fn the_odds_that_labels_fall_by() {
        let mut model = Online::new(Learning { rate: 0.001, ..SCALED }, 2);
        let mut dice = Dice(2);
        for _ in 0..200_000 {
            let (a, b) = (dice.next(), dice.next());
            let truly = 1.0 / (1.0 + exp(-(1.0 + 2.0 * a - b)));
            let label = if (dice.next() + 1.0) / 2.0 < truly { 1.0 } else { 0.0 };
            model.learn(&[1e6 + 1e3 * a, 1e-6 * b], label).unwrap();
        }
        for (a, b) in [(0.0, 0.0), (0.8, -0.5), (-0.9, 0.3)] {
            let margin = model.margin(&[1e6 + 1e3 * a, 1e-6 * b]).unwrap();
            assert!((margin - (1.0 + 2.0 * a - b)).abs() < 0.1, "{margin} at {a}, {b}");
        }
    }

    #[test]
    fn a_row_that_is_refused_changes_nothing() {
        let mut model = Online::new(PLAIN, 2);
        model.learn(&[1.0, 2.0], 3.0).unwrap();
        let before = model.clone();
        assert_eq!(model.learn(&[1.0, f64::INFINITY], 3.0), Err(Refused::Infinite(1)));
        assert_eq!(model.learn(&[1e200, 1e200], 3.0), Err(Refused::Diverges));
        assert_eq!(model.learn(&[1.0, 1.0], f64::INFINITY), Err(Refused::Label(f64::INFINITY)));
        assert_eq!(model.margin(&[f64::NEG_INFINITY, 1.0]), Err(Refused::Infinite(0)));
        assert_eq!(model.margin(&[f64::MAX, f64::MAX]), Err(Refused::Margin));
        assert_eq!(model.words(), before.words());
        let mut odds = Online::new(SCALED, 1);
        assert_eq!(odds.learn(&[1.0], 0.5), Err(Refused::Label(0.5)));
        assert_eq!(odds.learnt(), 0);
    }

    #[test]
    fn words_are_all_there_is() {
        let mut dice = Dice(3);
        let row = |dice: &mut Dice| [dice.next(), if dice.next() > 0.5 { f64::NAN } else { dice.next() * 1e9 }];
        let mut model = Online::new(SCALED, 2);
        for step in 0..500 {
            let label = if dice.next() > 0.0 { 1.0 } else { 0.0 };
            model.learn(&row(&mut dice), label).unwrap();
            if step % 50 == 0 {
                let mut other = Online::new(SCALED, 2);
                assert!(other.restore(&model.words()));
                assert_eq!(other.words(), model.words());
                model = other;
            }
        }
        assert!(!model.restore(&model.words()[1..]));
        assert!(!Online::new(SCALED, 3).restore(&model.words()));
    }
}
