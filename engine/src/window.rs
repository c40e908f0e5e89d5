//! Windows over event time: what they are.

use std::fmt;

/// How rows are put into windows. All lengths are microseconds; offsets shift the window starts from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WindowSpec {
    /// Windows of one size, one after the other.
    Tumble {
        /// Length of a window.
        size_us: i64,
        /// Shift of the starts.
        offset_us: i64,
    },
    /// Windows of one size that start every `slide`.
    Hop {
        /// Distance from start to start.
        slide_us: i64,
        /// Length of a window.
        size_us: i64,
        /// Shift of the starts.
        offset_us: i64,
    },
    /// Windows with a common start that grow by `step` up to `size`.
    Cumulate {
        /// Distance from end to end.
        step_us: i64,
        /// Greatest length; a multiple of the step.
        size_us: i64,
        /// Shift of the starts.
        offset_us: i64,
    },
    /// Runs of rows no further apart than the gap.
    Session {
        /// Greatest distance between neighbours.
        gap_us: i64,
    },
}

impl WindowSpec {
    /// True if the windows of TIMESTAMP_LTZ are cut by what the clocks of `pelton.time-zone` show. Windows that follow one
    /// another within the hour are not: they are the same for all, and no hour counts twice when clocks are put back.
    pub fn is_cut_by_clock(&self) -> bool {
        const HOUR: i64 = 3_600_000_000;
        let every = match *self {
            WindowSpec::Tumble { size_us, .. } | WindowSpec::Cumulate { size_us, .. } => size_us,
            WindowSpec::Hop { slide_us, .. } => slide_us,
            WindowSpec::Session { .. } => return false,
        };
        HOUR % every != 0
    }
}

impl fmt::Display for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset =
            |f: &mut fmt::Formatter<'_>, us: i64| if us == 0 { Ok(()) } else { write!(f, " offset={}", Length(us)) };
        match *self {
            WindowSpec::Tumble { size_us, offset_us } => {
                write!(f, "TUMBLE size={}", Length(size_us))?;
                offset(f, offset_us)
            }
            WindowSpec::Hop { slide_us, size_us, offset_us } => {
                write!(f, "HOP slide={} size={}", Length(slide_us), Length(size_us))?;
                offset(f, offset_us)
            }
            WindowSpec::Cumulate { step_us, size_us, offset_us } => {
                write!(f, "CUMULATE step={} size={}", Length(step_us), Length(size_us))?;
                offset(f, offset_us)
            }
            WindowSpec::Session { gap_us } => write!(f, "SESSION gap={}", Length(gap_us)),
        }
    }
}

/// Microseconds printed in the greatest unit that divides them: `90s`, `1h`, `250ms`.
pub(crate) struct Length(pub(crate) i64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 5] =
            [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms")];
        match UNITS.iter().find(|(us, _)| self.0 != 0 && self.0 % us == 0) {
            Some((us, unit)) => write!(f, "{}{unit}", self.0 / us),
            None => write!(f, "{}us", self.0),
        }
    }
}
