//! What a batch takes on one device: `t = a + b · rows + c · bytes`, learned while the stage runs.
//!
//! Recursive least squares with forgetting (Ljung, System Identification, 11.2), in four departures:
//! - Errors are relative: a batch of a thousand rows counts as much as one of a million, since what is wanted is which of two
//!   devices is faster at every size.
//! - What is forgotten falls back to the prior and not to nothing (stabilised forgetting, Kulhavý and Zarrop 1993). Bytes nearly
//!   always follow rows, and plain forgetting would lose the direction in which they do not.
//! - A batch that took much longer than expected counts as if it had been three deviations off (Huber 1964); four such in a
//!   row are no accident: everything now takes so many times as long, and what was observed before is forgotten.
//! - No term is negative, so that more rows never take less time.

/// How much of an observation is left after the next one.
const FORGETTING: f64 = 0.98;
/// How much of it is left after a batch of which nothing was learned, as it ran elsewhere.
const AGEING: f64 = 0.998;
/// How far a term of the prior may be off: its standard deviation, relative.
const PRIOR_DEVIATION: f64 = 0.5;
/// Relative deviation of single batches that is assumed before any is seen, and the bounds of what is learned of it.
const NOISE: f64 = 0.15;
const NOISE_MIN: f64 = 0.01;
const NOISE_MAX: f64 = 1.0;
/// Weight of a new residual in the residual variance.
const NOISE_GAIN: f64 = 0.05;
/// Deviations beyond which an observation is cut.
const OUTLIER: f64 = 3.0;
/// So many surprises of one sign in a row are a change, if the last one is of so much. Smaller ones are followed anyway.
const CHANGE: i32 = 4;
const CHANGE_MIN: f64 = 0.2;

type Vector = [f64; 3];

/// See the module. Times are in µs.
#[derive(Clone, Debug)]
pub struct CostModel {
    /// What `a`, `b` and `c` were thought to be.
    prior: Vector,
    /// `a`, `b` and `c` as multiples of the prior's.
    factors: Vector,
    /// What is known of the factors: the information matrix, in units of one observation.
    information: [Vector; 3],
    /// The information times the factors.
    moment: Vector,
    /// Relative variance of observations about the prediction.
    variance: f64,
    /// Observations that the model rests on, older ones counting less.
    weight: f64,
    /// Surprises in a row, with their sign.
    surprises: i32,
}

impl CostModel {
    /// Before anything is observed: `a` in µs, `b` in µs a row, `c` in µs a byte.
    pub fn new(a: f64, b: f64, c: f64) -> Self {
        let mut model = CostModel {
            prior: [a.max(0.01), b.max(1e-6), c.max(0.0)],
            factors: [1.0; 3],
            information: [[0.0; 3]; 3],
            moment: [0.0; 3],
            variance: NOISE * NOISE,
            weight: 0.0,
            surprises: 0,
        };
        model.keep(0.0);
        model
    }

    /// What a batch will take; µs, never below 0.
    pub fn predict(&self, rows: usize, bytes: usize) -> f64 {
        let terms = self.terms(rows, bytes);
        (0..3).map(|i| self.factors[i] * terms[i]).sum::<f64>().max(1e-3)
    }

    /// `a`, `b` and `c` as they are thought to be now: µs, µs a row, µs a byte.
    pub fn coefficients(&self) -> [f64; 3] {
        std::array::from_fn(|i| self.factors[i] * self.prior[i])
    }

    /// How far the prediction may be off: its standard deviation, as a part of it.
    pub fn uncertainty(&self, rows: usize, bytes: usize) -> f64 {
        (self.variance * self.leverage(&self.shares(rows, bytes))).sqrt()
    }

    /// Standard deviation of single batches about their predictions, as a part of these.
    pub fn noise(&self) -> f64 {
        self.variance.sqrt()
    }

    /// On how many observations it rests, older ones counting less.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Learns what a batch took; µs.
    pub fn observe(&mut self, rows: usize, bytes: usize, took_us: f64) {
        let mut shares = self.shares(rows, bytes);
        let deviation = (self.variance * (1.0 + self.leverage(&shares))).sqrt();
        let ratio = took_us / self.predict(rows, bytes);
        let residual = (ratio - 1.0) / deviation;
        let mut cut = residual.clamp(-OUTLIER, OUTLIER);
        self.surprises = match residual {
            r if r > 2.0 => self.surprises.max(0) + 1,
            r if r < -2.0 => self.surprises.min(0) - 1,
            _ => 0,
        };
        if self.surprises.abs() >= CHANGE && (ratio - 1.0).abs() > CHANGE_MIN && ratio > 0.0 {
            self.restart(ratio);
            (shares, cut) = (self.shares(rows, bytes), 0.0);
        }
        self.keep(FORGETTING);
        let seen = 1.0 + cut * deviation;
        // Relative to what was seen, where the prediction is far too low: else one batch would count as many.
        let scale = if cut > 2.0 { seen } else { 1.0 };
        for i in 0..3 {
            for j in 0..3 {
                self.information[i][j] += shares[i] * shares[j] / (scale * scale);
            }
            self.moment[i] += shares[i] * seen / (scale * scale);
        }
        self.weight += 1.0;
        let variance = (1.0 - NOISE_GAIN) * self.variance + NOISE_GAIN * self.variance * cut * cut;
        self.variance = variance.clamp(NOISE_MIN * NOISE_MIN, NOISE_MAX * NOISE_MAX);
        self.factors = not_negative(&self.information, &self.moment);
    }

    /// A batch ran elsewhere: what is known here is one batch older.
    pub fn age(&mut self) {
        self.keep(AGEING);
        self.factors = not_negative(&self.information, &self.moment);
    }

    /// The rows from which on `other` takes less time, at so many bytes a row; `None` if it never does.
    pub fn break_even(&self, other: &CostModel, bytes_per_row: f64) -> Option<f64> {
        let ([a, b, c], [other_a, other_b, other_c]) = (self.coefficients(), other.coefficients());
        let won_per_row = (b + c * bytes_per_row) - (other_b + other_c * bytes_per_row);
        (won_per_row > 0.0).then(|| ((other_a - a) / won_per_row).max(0.0))
    }

    /// Forgets what was observed but for its proportions: everything takes `ratio` times as long.
    fn restart(&mut self, ratio: f64) {
        self.factors = self.factors.map(|factor| factor * ratio);
        (self.variance, self.weight, self.surprises) = (NOISE * NOISE, 0.0, 0);
        let of_guess = self.variance / (PRIOR_DEVIATION * PRIOR_DEVIATION);
        self.information = [0, 1, 2].map(|i| [0, 1, 2].map(|j| if i == j { of_guess } else { 0.0 }));
        self.moment = self.factors.map(|factor| of_guess * factor);
    }

    /// Keeps this part of what was observed, in the place of the rest there is the prior.
    fn keep(&mut self, part: f64) {
        // An observation's variance is the unit of information.
        let of_prior = (1.0 - part) * self.variance / (PRIOR_DEVIATION * PRIOR_DEVIATION);
        for i in 0..3 {
            for j in 0..3 {
                self.information[i][j] *= part;
            }
            self.information[i][i] += of_prior;
            self.moment[i] = part * self.moment[i] + of_prior;
        }
        self.weight *= part;
    }

    /// The prior's three terms for a batch; µs.
    fn terms(&self, rows: usize, bytes: usize) -> Vector {
        [self.prior[0], self.prior[1] * rows as f64, self.prior[2] * bytes as f64]
    }

    /// The same as parts of the prediction.
    fn shares(&self, rows: usize, bytes: usize) -> Vector {
        let predicted = self.predict(rows, bytes);
        self.terms(rows, bytes).map(|term| term / predicted)
    }

    /// Variance of a prediction in units of that of an observation.
    fn leverage(&self, shares: &Vector) -> f64 {
        let solved = solve(&self.information, shares, [true; 3]);
        (0..3).map(|i| shares[i] * solved[i]).sum::<f64>().max(0.0)
    }
}

/// The least squares solution of which nothing is below 0: what would be is left out, and the rest is solved again.
fn not_negative(information: &[Vector; 3], moment: &Vector) -> Vector {
    let mut used = [true; 3];
    loop {
        let factors = solve(information, moment, used);
        let least = (0..3).filter(|i| used[*i]).min_by(|a, b| factors[*a].total_cmp(&factors[*b]));
        match least {
            Some(least) if factors[least] < 0.0 => used[least] = false,
            _ => return factors,
        }
    }
}

/// Solves `matrix · x = right` for the used ones, the others being 0; the matrix is positive definite.
fn solve(matrix: &[Vector; 3], right: &Vector, used: [bool; 3]) -> Vector {
    let (mut m, mut r) = (*matrix, *right);
    for i in (0..3).filter(|i| !used[*i]) {
        m[i] = [0.0; 3];
        m.iter_mut().for_each(|row| row[i] = 0.0);
        (m[i][i], r[i]) = (1.0, 0.0);
    }
    for pivot in 0..3 {
        let (of_pivot, right) = (m[pivot], r[pivot]);
        for row in pivot + 1..3 {
            let factor = m[row][pivot] / of_pivot[pivot];
            m[row] = std::array::from_fn(|column| m[row][column] - factor * of_pivot[column]);
            r[row] -= factor * right;
        }
    }
    let mut x = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| m[row][column] * x[column]).sum();
        x[row] = (r[row] - known) / m[row][row];
    }
    x
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZES: [usize; 5] = [1_000, 16_000, 65_536, 500_000, 4_000_000];

    fn is_near(got: f64, want: f64, part: f64) -> bool {
        (got / want - 1.0).abs() < part
    }

    #[test]
    fn a_prior_is_believed_until_something_is_seen() {
        let model = CostModel::new(10.0, 0.01, 0.001);
        assert!((model.predict(1000, 2000) - 22.0).abs() < 1e-9);
        assert!(model.uncertainty(1000, 2000) > 0.25 && model.uncertainty(1000, 2000) <= 0.5);
        assert_eq!(model.coefficients(), [10.0, 0.01, 0.001]);
    }

    #[test]
    fn outliers_move_it_little() {
        let mut model = CostModel::new(10.0, 0.01, 0.0);
        for batch in 0..400 {
            let took = if batch % 20 == 7 { 30.0 } else { 1.0 } * (10.0 + 0.01 * 65_536.0);
            model.observe(65_536, 0, took);
        }
        assert!(is_near(model.predict(65_536, 0), 665.36, 0.15), "{}", model.predict(65_536, 0));
    }

    #[test]
    fn a_change_is_followed_within_a_few_batches() {
        let mut model = CostModel::new(10.0, 0.01, 0.0);
        (0..500).for_each(|_| model.observe(100_000, 0, 1010.0));
        assert!(is_near(model.predict(100_000, 0), 1010.0, 0.01));
        (0..12).for_each(|_| model.observe(100_000, 0, 4040.0));
        assert!(is_near(model.predict(100_000, 0), 4040.0, 0.1), "{}", model.predict(100_000, 0));
    }

    #[test]
    fn what_is_not_looked_at_falls_back_to_the_prior() {
        let mut model = CostModel::new(100.0, 0.01, 0.0);
        (0..50).for_each(|_| model.observe(100_000, 0, 3300.0));
        assert!(is_near(model.predict(100_000, 0), 3300.0, 0.02) && model.uncertainty(100_000, 0) < 0.1);
        (0..10_000).for_each(|_| model.age());
        assert!(is_near(model.predict(100_000, 0), 1100.0, 0.02) && model.uncertainty(100_000, 0) > 0.2);
    }

    proptest! {
        /// Any line is found from any prior that is a few times off, at every size that is seen, bytes following rows or not.
        #[test]
        fn it_finds_the_line(a in 1.0f64..1000.0, b in -4.0f64..0.0, c in -6.0f64..-3.0,
                             off in prop::array::uniform3(-1.0f64..1.0), bytes_per_row in 4usize..64, follow: bool) {
            let (b, c) = (10f64.powf(b), 10f64.powf(c));
            let mut model = CostModel::new(a * 4f64.powf(off[0]), b * 4f64.powf(off[1]), c * 4f64.powf(off[2]));
            let bytes = |rows: usize, round: usize| rows * if follow { bytes_per_row } else { bytes_per_row + round % 7 };
            let truth = |rows: usize, bytes: usize| a + b * rows as f64 + c * bytes as f64;
            for round in 0..250 {
                let rows = SIZES[round % SIZES.len()];
                model.observe(rows, bytes(rows, round), truth(rows, bytes(rows, round)));
            }
            for rows in SIZES {
                let (got, want) = (model.predict(rows, rows * bytes_per_row), truth(rows, rows * bytes_per_row));
                prop_assert!(is_near(got, want, 0.05), "{rows} rows: {got} for {want}");
            }
        }

        /// Whatever is observed, predictions are numbers, and more rows never take less.
        #[test]
        fn it_stays_sane(seen in prop::collection::vec((1usize..10_000_000, 0.0f64..1e7), 1..200)) {
            let mut model = CostModel::new(20.0, 0.001, 0.0001);
            for (rows, took) in seen {
                model.observe(rows, 16 * rows, took);
                let line: Vec<f64> = SIZES.iter().map(|rows| model.predict(*rows, 16 * rows)).collect();
                prop_assert!(line.iter().all(|t| t.is_finite() && *t > 0.0), "{line:?}");
                prop_assert!(line.is_sorted(), "{line:?}");
                prop_assert!(model.uncertainty(rows, 16 * rows).is_finite());
            }
        }
    }
}
