//! What an `OVER` computes: keys, frames and calls, over columns by number.

use std::fmt;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};

use super::keyed::{Extra, Slot};
use super::lanes::Needs;

/// Which rows of its key a row looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Those whose time is in `[t - from, t - to]`, µs, peers of the row among them; without `from` all up to there.
    Range {
        /// How far back, µs.
        from: Option<i64>,
        /// Up to which time before the row's, µs.
        to: i64,
    },
    /// Those from `from` rows before it to `to` rows before it; without `from` all up to there.
    Rows {
        /// How many rows back.
        from: Option<u32>,
        /// Up to so many rows before it.
        to: u32,
    },
}

impl Frame {
    /// True if it has no beginning.
    pub fn is_open(self) -> bool {
        matches!(self, Frame::Range { from: None, .. } | Frame::Rows { from: None, .. })
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, from, to) = match self {
            Frame::Range { from, to } => {
                ("RANGE", from.map(|us| format!("{us} µs")), (*to > 0).then(|| format!("{to} µs")))
            }
            Frame::Rows { from, to } => ("ROWS", from.map(|rows| rows.to_string()), (*to > 0).then(|| to.to_string())),
        };
        let from = from.unwrap_or("UNBOUNDED".into());
        let to = to.map_or("CURRENT ROW".into(), |to| format!("{to} PRECEDING"));
        write!(f, "{kind} BETWEEN {from} PRECEDING AND {to}")
    }
}

/// What is computed of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// An aggregate. `FIRST_VALUE` and `LAST_VALUE` pass over NULLs unless told otherwise.
    Aggregate {
        /// Which; its arguments are the call's.
        spec: AggregateSpec,
        /// NULLs count as values.
        respect_nulls: bool,
    },
    /// The number of the row among those of its key, from 1.
    RowNumber,
    /// The value so many rows before.
    Lag {
        /// How many.
        back: u32,
        /// One value, for rows that have none so far back.
        default: ArrayRef,
    },
}

impl Function {
    fn kind(&self) -> Option<(AggregateKind, bool)> {
        match self {
            Function::Aggregate { spec, .. } => Some((spec.kind, spec.distinct)),
            _ => None,
        }
    }

    /// Whether a value is counted once only.
    pub(super) fn counts_different(&self) -> bool {
        matches!(self.kind(), Some((AggregateKind::Count, true)))
    }

    /// The better values that it looks for, if it does: the greatest or the least.
    pub(super) fn greatest(&self) -> Option<bool> {
        match self.kind()?.0 {
            AggregateKind::Min | AggregateKind::BoolAnd => Some(false),
            AggregateKind::Max | AggregateKind::BoolOr => Some(true),
            _ => None,
        }
    }

    /// Whether it is a difference of running sums. Those of doubles hold what is in a frame, not all there ever was.
    pub(super) fn adds(&self, open: bool) -> bool {
        let Function::Aggregate { spec, .. } = self else { return false };
        let floats = spec.arg_types.first().is_some_and(DataType::is_floating);
        matches!(spec.kind, AggregateKind::Sum | AggregateKind::Avg) && !spec.distinct && !(open && floats)
    }

    /// What it asks of its argument's lane.
    pub(super) fn ask(&self, open: bool, needs: &mut Needs) {
        match self {
            Function::RowNumber => {}
            Function::Lag { .. } => needs.values = true,
            Function::Aggregate { spec, respect_nulls } => match spec.kind {
                AggregateKind::Count if !spec.distinct => {}
                AggregateKind::Count if open => needs.values = true,
                AggregateKind::Count => needs.distinct = true,
                _ if self.adds(open) => needs.sums = true,
                AggregateKind::LastValue if !open && !respect_nulls => needs.last = true,
                _ => match self.greatest() {
                    Some(false) if !open => needs.least = true,
                    Some(true) if !open => needs.greatest = true,
                    _ => needs.values = true,
                },
            },
        }
    }

    /// Whether it has a place or a number for each key, besides the frame's places.
    pub(super) fn slot(&self, open: bool) -> Slot {
        if open {
            Slot::None
        } else if self.counts_different() {
            Slot::Counter(0)
        } else if self.greatest().is_some() {
            Slot::Position(0)
        } else {
            Slot::None
        }
    }

    /// What it keeps of each key, where its frame has no beginning.
    pub(super) fn extra(&self, open: bool) -> Extra {
        let Function::Aggregate { spec, .. } = self else { return Extra::Nothing };
        match spec.kind {
            _ if !open => Extra::Nothing,
            AggregateKind::Count if !spec.distinct => Extra::Nothing,
            AggregateKind::Count => Extra::Sets(vec![]),
            AggregateKind::FirstValue | AggregateKind::LastValue => Extra::Kept(vec![]),
            _ if self.greatest().is_some() => Extra::Kept(vec![]),
            _ if self.adds(open) => Extra::Nothing,
            _ => Extra::States(vec![]),
        }
    }

    /// How many rows it looks back.
    pub(super) fn back(&self) -> u32 {
        match self {
            Function::Lag { back, .. } => *back,
            _ => 0,
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::Aggregate { spec, respect_nulls } => {
                let distinct = if spec.distinct { " DISTINCT" } else { "" };
                let nulls = if *respect_nulls { " RESPECT NULLS" } else { "" };
                write!(f, "{}{distinct}{nulls}", spec.kind)
            }
            Function::RowNumber => f.write_str("ROW_NUMBER"),
            Function::Lag { back, .. } => write!(f, "LAG {back}"),
        }
    }
}

/// A call: of what, over which frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is computed.
    pub function: Function,
    /// Number of the frame.
    pub frame: usize,
    /// Number of the argument; `None` for `COUNT(*)` and `ROW_NUMBER()`.
    pub arg: Option<usize>,
    /// The place of its answers among those of all calls.
    pub out: usize,
}

/// All that is computed by one `PARTITION BY`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys {
    /// The columns of `PARTITION BY`.
    pub keys: Vec<usize>,
    /// The frames, each once.
    pub frames: Vec<Frame>,
    /// The columns that calls take, each once.
    pub args: Vec<usize>,
    /// The calls.
    pub calls: Vec<Call>,
}

impl Keys {
    /// How far back a row must be kept, µs; `None` if that is not bounded by time.
    pub fn lookback(&self) -> Option<i64> {
        let of_rows = |call: &Call| !matches!(call.function, Function::Aggregate { .. });
        if self.calls.iter().any(of_rows) {
            return None;
        }
        let of_frame = |frame: &Frame| match frame {
            Frame::Range { from, .. } => *from,
            Frame::Rows { .. } => None,
        };
        self.frames.iter().map(of_frame).try_fold(0, |longest, from| Some(from?.max(longest)))
    }

    /// As text, with the columns named by `column`.
    pub fn text(&self, column: &dyn Fn(usize) -> String) -> String {
        let call = |call: &Call| {
            let arg = call.arg.map_or("*".into(), |arg| column(self.args[arg]));
            format!("{}({arg}) {}", call.function, self.frames[call.frame])
        };
        let keys: Vec<String> = self.keys.iter().map(|key| column(*key)).collect();
        let calls: Vec<String> = self.calls.iter().map(call).collect();
        format!("PARTITION BY {}: {}", keys.join(", "), calls.join("; "))
    }
}
