//! Exact, order-free sums: every row is an integer times a power of two, and integers add without rounding.
//!
//! - [`ExactColumn`] holds one sum per group (and one sum of squares, with [`MomentCell`]) at one scale per column.
//! - [`Number`] is what comes out: an integer times a power of two, to be rounded or saved once.
//! - [`reference`] says what the right answer is, slowly.
//!
//! Method and cost: `exact-sums.md` of the research notes. Sources: Kulisch, *Computer Arithmetic and Validity* (2013);
//! Demmel & Nguyen, *Parallel Reproducible Summation* (2015); *Reproducible Floating-Point Aggregation in RDBMSs*
//! (ICDE 2018).

mod cells;
mod column;
mod lanes;
mod number;
pub mod reference;
mod scan;
mod wide;

pub use cells::{Cell, ExtremeCell, MomentCell, SumCell};
pub use column::{ExactColumn, Specials};
pub use number::{Number, OwnedNumber, big_decimal_mean, decimal_mean};
pub use scan::{Exponents, scan};
