//! Rows times a matrix: 64 rows at once, eight columns of the matrix at a time.
//!
//! Plain idea, which is the law as well: a sum begins with 0, and products are added in the order of the matrix's rows, each rounded,
//! each sum rounded. A row is a lane, so nothing depends on the rows beside it. Departure: the sums of a register of rows and eight
//! columns stay in registers, as the next product waits for the last sum. Columns that are left take four registers of rows each. Never a product and a sum in one rounding: that is another number.

use pelton_kernels::cpu::Level;

use super::functions::Lane;
use super::program::{LANES, Lanes};

/// Columns that are computed together.
const TOGETHER: usize = 8;

/// A matrix, by columns that are computed together.
pub struct Matrix<T> {
    /// Its rows: what a row of the graph has numbers for.
    height: usize,
    /// Eight columns, row by row; then the next eight.
    eights: Vec<[T; TOGETHER]>,
    /// Columns that are left.
    ones: Vec<[T; 1]>,
    /// What each sum is multiplied by, if that is not one.
    scale: Option<T>,
    /// Is added to each sum at last.
    bias: Vec<T>,
}

impl<T: Lane> Matrix<T> {
    /// Of numbers that lie row by row, of which there is one at least; `bias` has one for each column, or none.
    pub fn new(height: usize, numbers: &[T], scale: Option<T>, bias: Vec<T>) -> Self {
        let width = numbers.len().checked_div(height).unwrap_or(bias.len());
        let eights = width / TOGETHER;
        let at = |row: usize, column: usize| numbers[row * width + column];
        let eight = |place: usize| std::array::from_fn(|part| at(place % height, place / height * TOGETHER + part));
        let left = (eights * TOGETHER..width).flat_map(|column| (0..height).map(move |row| [(row, column)]));
        Matrix {
            height,
            eights: (0..eights * height).map(eight).collect(),
            ones: left.map(|[(row, column)]| [at(row, column)]).collect(),
            scale,
            bias,
        }
    }

    /// Rows of the graph, as many numbers each as the matrix has rows, times it.
    ///
    /// The processor must have the level.
    pub fn times(&self, level: Level, rows: &[Lanes<T>], into: &mut [Lanes<T>]) {
        match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller has made sure of the level.
            Level::Avx512 => unsafe { self.avx512(rows, into) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: likewise.
            Level::Avx2 => unsafe { self.avx2(rows, into) },
            _ if size_of::<T>() == 4 => self.plain::<4>(rows, into),
            _ => self.plain::<2>(rows, into),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn avx512(&self, rows: &[Lanes<T>], into: &mut [Lanes<T>]) {
        if size_of::<T>() == 4 { self.plain::<16>(rows, into) } else { self.plain::<8>(rows, into) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(&self, rows: &[Lanes<T>], into: &mut [Lanes<T>]) {
        if size_of::<T>() == 4 { self.plain::<8>(rows, into) } else { self.plain::<4>(rows, into) }
    }

    /// `WIDE` is how many rows are in a register.
    #[inline(always)]
    fn plain<const WIDE: usize>(&self, rows: &[Lanes<T>], into: &mut [Lanes<T>]) {
        let (eights, ones) = into.split_at_mut(self.eights.len() / self.height * TOGETHER);
        for (weights, into) in self.eights.chunks_exact(self.height).zip(eights.chunks_exact_mut(TOGETHER)) {
            tile::<T, WIDE, TOGETHER>(rows, weights, into);
        }
        for (weights, into) in self.ones.chunks_exact(self.height).zip(ones) {
            strip::<T, WIDE>(rows, weights, into);
        }
        if let Some(scale) = self.scale {
            into.iter_mut().for_each(|into| into.iter_mut().for_each(|sum| *sum = sum.times(scale)));
        }
        for (into, bias) in into.iter_mut().zip(&self.bias) {
            into.iter_mut().for_each(|sum| *sum = sum.plus(*bias));
        }
    }
}

/// One column.
#[inline(always)]
fn strip<T: Lane, const WIDE: usize>(rows: &[Lanes<T>], weights: &[[T; 1]], into: &mut Lanes<T>) {
    for (part, into) in into.chunks_exact_mut(4 * WIDE).enumerate() {
        let first = part * 4 * WIDE;
        let mut sums = [[T::default(); WIDE]; 4];
        for (row, [weight]) in rows.iter().zip(weights) {
            let row = row[first..first + 4 * WIDE].as_chunks::<WIDE>().0;
            for (sums, row) in sums.iter_mut().zip(row) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum = sum.plus(x.times(*weight));
                }
            }
        }
        for (into, sums) in into.chunks_exact_mut(WIDE).zip(&sums) {
            into.copy_from_slice(sums);
        }
    }
}

#[inline(always)]
fn tile<T: Lane, const WIDE: usize, const COLUMNS: usize>(
    rows: &[Lanes<T>],
    weights: &[[T; COLUMNS]],
    into: &mut [Lanes<T>],
) {
    for first in (0..LANES).step_by(WIDE) {
        let mut sums = [[T::default(); WIDE]; COLUMNS];
        for (row, weights) in rows.iter().zip(weights) {
            let row: &[T; WIDE] = row[first..first + WIDE].try_into().expect("lanes are a multiple");
            for (sums, weight) in sums.iter_mut().zip(weights) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum = sum.plus(x.times(*weight));
                }
            }
        }
        for (into, sums) in into.iter_mut().zip(&sums) {
            into[first..first + WIDE].copy_from_slice(sums);
        }
    }
}
