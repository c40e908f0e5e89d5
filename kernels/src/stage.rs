//! A keyed stage in one piece: which rows of a batch count, in which pane each is, and what is folded there.
//!
//! A device that takes a [`Stage`] keeps the groups of all its panes together ([`PaneTable`]) and hands those of closing
//! panes back as states of the processor. The reference is the processor: its filter, one [`crate::program::GroupState`] a pane.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::Rows;
use crate::program::{GroupState, Program, ProgramError};
use crate::select::{Comparison, Members};

/// See the module.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Keys and aggregates over the columns of a batch.
    pub program: Arc<Program>,
    /// Tests that a row must pass, every one of them.
    pub tests: Vec<Test>,
    /// Where a row's pane comes from; `None` if all rows are in pane 0.
    pub panes: Option<PaneOf>,
}

/// The pane of a row: `floor((time − offset) / width) · width + offset`, in ticks of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaneOf {
    /// The column of the times: 64-bit integers, none NULL.
    pub column: usize,
    /// Ticks from pane to pane; above 0.
    pub width: i64,
    /// Where a pane begins.
    pub offset: i64,
}

impl PaneOf {
    /// The number of the pane of a time: panes are numbered in their order.
    pub fn number(&self, time: i64) -> i128 {
        (i128::from(time) - i128::from(self.offset)).div_euclid(i128::from(self.width))
    }

    /// The first tick of a pane.
    pub fn start(&self, number: i64) -> i64 {
        (i128::from(number) * i128::from(self.width) + i128::from(self.offset)) as i64
    }
}

/// What a row must satisfy.
#[derive(Clone, Debug)]
pub enum Test {
    /// A column of integers, or of what is stored as such, compared with a constant; NULL does not pass.
    Integer {
        /// The column.
        column: usize,
        /// How.
        op: Comparison,
        /// With what.
        constant: i64,
    },
    /// A column of doubles compared with a constant that is no NaN: NaN is the greatest value, −0.0 equals 0.0; NULL does not
    /// pass.
    Double {
        /// The column.
        column: usize,
        /// How.
        op: Comparison,
        /// With what.
        constant: f64,
    },
    /// A dictionary column whose value must be among some.
    Among {
        /// The column.
        column: usize,
        /// Which ones.
        values: Arc<dyn Among>,
    },
}

impl Test {
    /// The column that it looks at.
    pub fn column(&self) -> usize {
        match self {
            Test::Integer { column, .. } | Test::Double { column, .. } | Test::Among { column, .. } => *column,
        }
    }
}

/// A predicate over the values of a dictionary.
pub trait Among: Send + Sync + fmt::Debug {
    /// One bit a value of the dictionary that `column` has now, and one for NULL behind them; `None` where it has no dictionary,
    /// or the predicate can not be told from the values alone.
    fn members(&self, column: &ArrayRef) -> Option<Members>;
}

/// What became of rows that a device was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folded {
    /// They are in.
    Done,
    /// None is; the processor is to take them. Why.
    Refused(String),
    /// None is, for want of room: [`PaneTable::take`] everything, and try again.
    Full,
}

/// Panes that were taken from a device: the first tick of each, ascending, with its groups as states of the processor.
pub type Taken = Vec<(i64, Box<dyn GroupState>)>;

/// Groups of a [`Stage`] on a device, by pane. Several workers may fold batches in at a time; a batch is in when its call returns.
pub trait PaneTable: Send + Sync {
    /// Folds the selected rows of a batch in that pass the tests. Either all or none.
    fn fold(&self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<Folded, ProgramError>;

    /// At most the first tick of the first pane that has groups; `None` if there are no groups.
    fn first(&self) -> Option<i64>;

    /// Takes the groups of all panes that begin before `end`.
    fn take(&self, end: i64) -> Result<Taken, ProgramError>;

    /// Bytes held on the device and beside it.
    fn memory_bytes(&self) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_are_numbered_in_order() {
        let panes = PaneOf { column: 0, width: 10, offset: 3 };
        let first = |time| panes.start(panes.number(time) as i64);
        assert_eq!([3, 12, 13, 2, -7, -8].map(first), [3, 3, 13, -7, -7, -17]);
        let whole = PaneOf { column: 0, width: 1, offset: 0 };
        assert_eq!([i64::MIN, 0, i64::MAX].map(|time| whole.start(whole.number(time) as i64)), [i64::MIN, 0, i64::MAX]);
    }
}
