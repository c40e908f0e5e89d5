//! Rows times a matrix: 64 rows at once, eight columns of the matrix at a time.
//!
//! Plain idea, which is the law as well: a sum begins with 0, and products are added in the order of the matrix's rows, each rounded,
//! each sum rounded. A row is a lane, so nothing depends on the rows beside it. Departure: the sums of a register of rows and eight
//! columns stay in registers, as the next product waits for the last sum. Columns that are left take four registers of rows each.
//! Never a product and a sum in one rounding: that is another number.

use pelton_kernels::cpu::{self, Level};

use super::functions::{Lane, Real};
use super::program::{LANES, Lanes};
use super::registers::{Plain, Register};

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
    /// # Panics
    /// If the processor does not have the level, or the numbers are not as many.
    pub fn times(&self, level: Level, rows: &[Lanes<T>], into: &mut [Lanes<T>])
    where
        T: Real,
    {
        assert!(level <= cpu::level() && rows.len() == self.height);
        match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the instructions.
            Level::Avx512 => unsafe { self.avx512(rows, into) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: likewise.
            Level::Avx2 => unsafe { self.avx2(rows, into) },
            // SAFETY: it needs none.
            _ => unsafe { self.by::<Plain<T>>(rows, into) },
        }
        if let Some(scale) = self.scale {
            into.iter_mut().for_each(|into| into.iter_mut().for_each(|sum| *sum = sum.times(scale)));
        }
        for (into, bias) in into.iter_mut().zip(&self.bias) {
            into.iter_mut().for_each(|sum| *sum = sum.plus(*bias));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn avx512(&self, rows: &[Lanes<T>], into: &mut [Lanes<T>])
    where
        T: Real,
    {
        // SAFETY: this function has the instructions.
        unsafe { self.by::<T::Avx512>(rows, into) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(&self, rows: &[Lanes<T>], into: &mut [Lanes<T>])
    where
        T: Real,
    {
        // SAFETY: this function has the instructions.
        unsafe { self.by::<T::Avx2>(rows, into) }
    }

    /// # Safety
    /// The caller has the instructions of `R`.
    #[inline(always)]
    unsafe fn by<R: Register<T>>(&self, rows: &[Lanes<T>], into: &mut [Lanes<T>]) {
        let (eights, ones) = into.split_at_mut(self.eights.len() / self.height * TOGETHER);
        for (weights, into) in self.eights.chunks_exact(self.height).zip(eights.chunks_exact_mut(TOGETHER)) {
            // SAFETY: the caller has the instructions.
            unsafe { tile::<T, R>(rows, weights, into) };
        }
        for (weights, into) in self.ones.chunks_exact(self.height).zip(ones) {
            // SAFETY: likewise.
            unsafe { strip::<T, R>(rows, weights, into) };
        }
    }
}

/// Eight columns, a register of rows at a time.
///
/// # Safety
/// The caller has the instructions of `R`.
#[inline(always)]
unsafe fn tile<T: Lane, R: Register<T>>(rows: &[Lanes<T>], weights: &[[T; TOGETHER]], into: &mut [Lanes<T>]) {
    for first in (0..LANES).step_by(R::WIDE) {
        // SAFETY: lanes are a multiple of a register's, and the caller has the instructions.
        unsafe {
            let mut sums = [R::zero(); TOGETHER];
            for (row, weights) in rows.iter().zip(weights) {
                let x = R::load(row.as_ptr().add(first));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = sum.plus_product(x, *weight);
                }
            }
            for (into, sum) in into.iter_mut().zip(sums) {
                sum.store(into.as_mut_ptr().add(first));
            }
        }
    }
}

/// One column, four registers of rows at a time.
///
/// # Safety
/// The caller has the instructions of `R`.
#[inline(always)]
unsafe fn strip<T: Lane, R: Register<T>>(rows: &[Lanes<T>], weights: &[[T; 1]], into: &mut Lanes<T>) {
    for first in (0..LANES).step_by(4 * R::WIDE) {
        // SAFETY: lanes are a multiple of four registers', and the caller has the instructions.
        unsafe {
            let mut sums = [R::zero(); 4];
            for (row, [weight]) in rows.iter().zip(weights) {
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.plus_product(R::load(row.as_ptr().add(first + part * R::WIDE)), *weight);
                }
            }
            for (part, sum) in sums.into_iter().enumerate() {
                sum.store(into.as_mut_ptr().add(first + part * R::WIDE));
            }
        }
    }
}
