//! Values as bytes: how many of its feature's thresholds a value has reached. To ask whether it is below a threshold is then to
//! compare two bytes, and the answer is the same.
//!
//! Plain idea: count the thresholds that are not above the value. Departure: two counts of 16 instead of one of 255: the last
//! threshold of each run says in which run the value ends, and that run how far it goes. No branch, and two loads.

use pelton_kernels::cpu::{self, Level};

use crate::tiles::{TILE, Tiled};

/// The most thresholds of a feature: a byte counts to 255.
pub(crate) const THRESHOLDS_MAX: usize = 255;

/// Thresholds that are compared at once.
pub(crate) const RUN: usize = 16;

/// The thresholds of a feature in runs; behind the last is NaN, which no value reaches.
#[derive(Debug)]
pub(crate) struct Bins<T> {
    /// The last of each run.
    coarse: [T; RUN],
    fine: Vec<[T; RUN]>,
}

impl<T: Tiled> Bins<T> {
    /// Of thresholds that go up.
    ///
    /// # Panics
    /// If there are more than [`THRESHOLDS_MAX`].
    pub fn new(thresholds: &[T]) -> Self {
        assert!(thresholds.len() <= THRESHOLDS_MAX, "a byte counts to {THRESHOLDS_MAX}");
        let never = [T::of(f64::NAN); RUN];
        let (mut coarse, mut fine) = (never, vec![]);
        for (at, run) in thresholds.chunks(RUN).enumerate() {
            let mut whole = never;
            whole[..run.len()].copy_from_slice(run);
            coarse[at] = whole[RUN - 1];
            fine.push(whole);
        }
        // A value that has reached the last of all is held against nothing more.
        fine.push(never);
        Bins { coarse, fine }
    }

    /// Writes how many thresholds each value has reached; NaN none.
    ///
    /// # Panics
    /// If the processor does not have the level.
    pub fn count(&self, level: Level, values: &[T; TILE], into: &mut [u8; TILE]) {
        assert!(level <= cpu::level(), "the processor has no {}", level.name());
        match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the level.
            Level::Avx512 => unsafe { self.count_avx512(values, into) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: likewise.
            Level::Avx2 => unsafe { self.count_avx2(values, into) },
            _ => self.count_by(values, into, reached),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,popcnt")]
    fn count_avx512(&self, values: &[T; TILE], into: &mut [u8; TILE]) {
        // SAFETY: who calls this has the instructions.
        self.count_by(values, into, |run, value| unsafe { T::reached_avx512(run, value) });
    }

    /// The plain loop, of which the compiler makes wider vectors here.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn count_avx2(&self, values: &[T; TILE], into: &mut [u8; TILE]) {
        self.count_by(values, into, reached);
    }

    #[inline(always)]
    fn count_by(&self, values: &[T; TILE], into: &mut [u8; TILE], reached: impl Fn(&[T; RUN], T) -> u32) {
        let is_one_run = self.fine.len() <= 2;
        for (value, into) in values.iter().zip(into) {
            let run = if is_one_run { 0 } else { reached(&self.coarse, *value) as usize };
            *into = (run * RUN) as u8 + reached(&self.fine[run], *value) as u8;
        }
    }
}

/// How many thresholds a value has reached.
#[inline(always)]
fn reached<T: Tiled>(run: &[T; RUN], value: T) -> u32 {
    run.iter().map(|threshold| u32::from(*threshold <= value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Tiled + std::fmt::Debug>(thresholds: &[T], near: impl Fn(T) -> Vec<T>) {
        let bins = Bins::new(thresholds);
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e300].map(T::of);
        let values: Vec<T> = thresholds.iter().flat_map(|threshold| near(*threshold)).chain(odd).collect();
        for level in cpu_levels() {
            for part in values.chunks(TILE) {
                let (mut tile, mut got) = ([T::of(0.0); TILE], [7; TILE]);
                tile[..part.len()].copy_from_slice(part);
                bins.count(level, &tile, &mut got);
                for (value, got) in tile.iter().zip(got) {
                    let want = thresholds.iter().filter(|threshold| *threshold <= value).count();
                    assert_eq!(usize::from(got), want, "{level:?}: {value:?} in {thresholds:?}");
                }
            }
        }
    }

    #[test]
    fn bytes_are_counts() {
        for count in [0, 1, 15, 16, 17, 31, 32, 33, 240, 254, 255] {
            let doubles: Vec<f64> = (0..count).map(|at| (f64::from(at) - 100.0) * 0.3).collect();
            check(&doubles, |t| vec![t, t.next_up(), t.next_down()]);
            let singles: Vec<f32> = doubles.iter().map(|t| *t as f32).collect();
            check(&singles, |t| vec![t, t.next_up(), t.next_down()]);
            check(&[vec![f32::NEG_INFINITY], singles, vec![f32::INFINITY]].concat()[..count as usize], |t| vec![t]);
        }
    }

    fn cpu_levels() -> impl Iterator<Item = Level> {
        [Level::Scalar, Level::Avx2, Level::Avx512].into_iter().filter(|level| *level <= cpu::level())
    }
}
