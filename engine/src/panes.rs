//! Windows as runs of panes: which windows hold a time, and the slices that windows share.
//!
//! Every window of a kind is a run of equally wide panes, aligned alike, so that a row is folded into one pane and a
//! window is merged from its panes when it closes. `TUMBLE`: the pane is the window. `HOP`: panes of gcd(size, slide).
//! `CUMULATE`: panes of one step.
//!
//! Panes and windows are in the time that they are cut in: instants, or what the clocks of a zone show. [`Panes::cut_time`]
//! leads there, [`Panes::start_of`] and [`Panes::end_of`] back.

use std::sync::Arc;

use crate::window::WindowSpec;
use crate::zone::Zone;

/// A window `[start, end)` in µs of cut time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First instant.
    pub start: i64,
    /// First instant after it.
    pub end: i64,
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Window {
    /// By (end, start): the order in which windows come out.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.end, self.start).cmp(&(other.end, other.start))
    }
}

/// The arithmetic of one window specification (all but sessions).
#[derive(Clone, Debug, PartialEq)]
pub struct Panes {
    width: i64,
    offset: i64,
    kind: Kind,
    /// Set if the windows are cut by what this zone's clocks show.
    zone: Option<Arc<Zone>>,
}

/// What windows that follow one another have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// No pane.
    Nothing,
    /// All panes of the window before, until the next start.
    Grow,
    /// All but the first `slide` panes of the window before.
    Slide {
        /// Panes of a window.
        size: i64,
        /// Panes from start to start.
        slide: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Tumble,
    Hop { slide: i64, size: i64 },
    Cumulate { size: i64 },
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Whether the window of `CUMULATE` before this one, with the same start, ends at the same instant: clocks were put forward
/// over both ends.
fn is_repeated(zone: &Zone, window: &Window, step: i64) -> bool {
    let before = window.end - step;
    before > window.start && zone.after_all_before(before) == zone.after_all_before(window.end)
}

/// The greatest multiple of `step` (shifted by `offset`) that is not above `t`.
#[inline]
pub fn floor_to(t: i64, step: i64, offset: i64) -> i64 {
    t - (t - offset).rem_euclid(step)
}

impl Panes {
    /// The arithmetic of `spec`, cut in a zone if one is given; `None` for sessions, which have no panes.
    pub fn of(spec: &WindowSpec, zone: Option<Arc<Zone>>) -> Option<Self> {
        let (width, offset, kind) = match *spec {
            WindowSpec::Tumble { size_us, offset_us } => (size_us, offset_us, Kind::Tumble),
            WindowSpec::Hop { slide_us, size_us, offset_us } => {
                (gcd(size_us, slide_us), offset_us, Kind::Hop { slide: slide_us, size: size_us })
            }
            WindowSpec::Cumulate { step_us, size_us, offset_us } => {
                (step_us, offset_us, Kind::Cumulate { size: size_us })
            }
            WindowSpec::Session { .. } => return None,
        };
        Some(Panes { width, offset, kind, zone })
    }

    /// The time in which windows are cut, of an instant.
    #[inline]
    pub fn cut_time(&self, instant: i64) -> i64 {
        self.zone.as_ref().map_or(instant, |zone| zone.wall(instant))
    }

    /// The same for many.
    pub fn cut_times(&self, instants: Arc<[i64]>) -> Arc<[i64]> {
        match &self.zone {
            None => instants,
            Some(zone) => instants.iter().map(|t| zone.wall(*t)).collect(),
        }
    }

    /// The pane that holds every instant from `low` to `high`, if it surely is one.
    pub fn only_pane(&self, low: i64, high: i64) -> Option<i64> {
        // Within a stretch of one offset, cut time only grows.
        if self.zone.as_ref().is_some_and(|zone| zone.stretch(low) != zone.stretch(high)) {
            return None;
        }
        let pane = self.pane_of(self.cut_time(low));
        (pane == self.pane_of(self.cut_time(high))).then_some(pane)
    }

    /// The first instant of a window that starts at `start` in cut time.
    pub fn start_of(&self, start: i64) -> i64 {
        self.zone.as_ref().map_or(start, |zone| zone.first_at(start))
    }

    /// The first instant after a window that ends at `end` in cut time.
    #[inline]
    pub fn end_of(&self, end: i64) -> i64 {
        self.zone.as_ref().map_or(end, |zone| zone.after_all_before(end))
    }

    /// What windows that follow one another have in common.
    pub fn sharing(&self) -> Sharing {
        match self.kind {
            Kind::Hop { slide, size } if slide < size => {
                Sharing::Slide { size: size / self.width, slide: slide / self.width }
            }
            Kind::Cumulate { .. } => Sharing::Grow,
            Kind::Tumble | Kind::Hop { .. } => Sharing::Nothing,
        }
    }

    /// Windows after `window` read no pane that starts before this.
    pub fn needed_after(&self, window: Window) -> i64 {
        match self.kind {
            Kind::Tumble => window.end,
            Kind::Hop { slide, .. } => window.start + slide,
            Kind::Cumulate { size } if self.last_window(window.start) == Some(window) => window.start + size,
            Kind::Cumulate { .. } => window.start,
        }
    }

    /// Start of the last window that may hold the pane.
    pub fn last_start(&self, pane: i64) -> i64 {
        match self.kind {
            Kind::Tumble => pane,
            Kind::Hop { slide, .. } => floor_to(pane, slide, self.offset),
            Kind::Cumulate { size } => floor_to(pane, size, self.offset),
        }
    }

    /// Width of a pane in µs.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// Start of the pane that holds `t`.
    #[inline]
    pub fn pane_of(&self, t: i64) -> i64 {
        floor_to(t, self.width, self.offset)
    }

    /// End of the earliest-closing window that holds `t`; `None` if no window does (slide above size).
    #[inline]
    pub fn first_end(&self, t: i64) -> Option<i64> {
        let pane = self.pane_of(t);
        match self.kind {
            Kind::Tumble | Kind::Cumulate { .. } => Some(pane + self.width),
            Kind::Hop { slide, size } => {
                // The earliest start above `pane - size` that is a multiple of the slide.
                let start = floor_to(pane + self.width - size + slide - 1, slide, self.offset);
                (start <= pane).then_some(start + size)
            }
        }
    }

    /// All windows that hold the pane starting at `pane`, by (end, start).
    pub fn windows(&self, pane: i64) -> Vec<Window> {
        self.windows_after(pane, i64::MIN).collect()
    }

    /// Those of them that end after `end` (in cut time), in the same order. Costs nothing for those before.
    pub fn windows_after(&self, pane: i64, end: i64) -> impl Iterator<Item = Window> + use<> {
        // The first window, how far it is to the next, and how many there are.
        let (first, start_step, end_step, last) = match self.kind {
            Kind::Tumble => (Window { start: pane, end: pane + self.width }, 0, self.width, pane + self.width),
            Kind::Hop { slide, size } => {
                let start = floor_to(pane + self.width - size + slide - 1, slide, self.offset);
                let last = floor_to(pane, slide, self.offset);
                (Window { start, end: start + size }, slide, slide, last + size)
            }
            Kind::Cumulate { size } => {
                let start = floor_to(pane, size, self.offset);
                (Window { start, end: pane + self.width }, 0, self.width, start + size)
            }
        };
        let missed = if end < first.end { 0 } else { end.saturating_sub(first.end) / end_step + 1 };
        let count = (last - first.end).div_euclid(end_step) + 1;
        let all =
            (missed..count).map(move |k| Window { start: first.start + k * start_step, end: first.end + k * end_step });
        let cumulates = matches!(self.kind, Kind::Cumulate { .. });
        let (zone, width) = (self.zone.clone().filter(|_| cumulates), self.width);
        all.filter(move |w| zone.as_ref().is_none_or(|zone| !is_repeated(zone, w, width)))
    }

    /// The last window that holds the pane, if one does.
    pub fn last_window(&self, pane: i64) -> Option<Window> {
        let start = self.last_start(pane);
        match self.kind {
            Kind::Tumble => Some(Window { start, end: start + self.width }),
            Kind::Hop { size, .. } => (start + size > pane).then_some(Window { start, end: start + size }),
            Kind::Cumulate { size } => {
                let mut last = Window { start, end: start + size };
                while self.zone.as_ref().is_some_and(|zone| is_repeated(zone, &last, self.width)) {
                    last.end -= self.width;
                }
                Some(last)
            }
        }
    }

    /// A time before which no window ends that ends after `instant`, in cut time.
    pub fn ends_after(&self, instant: i64) -> i64 {
        // Clocks are never put back by more than a day.
        const DAY: i64 = 86_400_000_000;
        self.zone.as_ref().map_or(instant, |zone| zone.wall(instant).saturating_sub(DAY))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn brute(spec: &WindowSpec, t: i64) -> Vec<Window> {
        let mut all = vec![];
        match *spec {
            WindowSpec::Tumble { size_us, offset_us } => {
                let start = floor_to(t, size_us, offset_us);
                all.push(Window { start, end: start + size_us });
            }
            WindowSpec::Hop { slide_us, size_us, offset_us } => {
                for k in -200..200 {
                    let start = k * slide_us + offset_us;
                    if start <= t && t < start + size_us {
                        all.push(Window { start, end: start + size_us });
                    }
                }
            }
            WindowSpec::Cumulate { step_us, size_us, offset_us } => {
                let start = floor_to(t, size_us, offset_us);
                for k in 1..=size_us / step_us {
                    if start + k * step_us > t {
                        all.push(Window { start, end: start + k * step_us });
                    }
                }
            }
            WindowSpec::Session { .. } => {}
        }
        all.sort();
        all
    }

    #[test]
    fn windows_are_those_that_hold_the_time() {
        let specs = [
            WindowSpec::Tumble { size_us: 10, offset_us: 3 },
            WindowSpec::Hop { slide_us: 6, size_us: 10, offset_us: 0 },
            WindowSpec::Hop { slide_us: 5, size_us: 10, offset_us: 2 },
            WindowSpec::Hop { slide_us: 10, size_us: 4, offset_us: 1 },
            WindowSpec::Hop { slide_us: 7, size_us: 3, offset_us: 0 },
            WindowSpec::Cumulate { step_us: 5, size_us: 20, offset_us: 1 },
        ];
        for spec in specs {
            let panes = Panes::of(&spec, None).unwrap();
            for t in -100..100 {
                let want = brute(&spec, t);
                assert_eq!(panes.windows(panes.pane_of(t)), want, "{spec:?} at {t}");
                assert_eq!(panes.first_end(t), want.first().map(|w| w.end), "{spec:?} at {t}");
                assert_eq!(panes.last_window(panes.pane_of(t)), want.last().copied(), "{spec:?} at {t}");
                for end in -100..100 {
                    let after: Vec<Window> = want.iter().copied().filter(|w| w.end > end).collect();
                    let got: Vec<Window> = panes.windows_after(panes.pane_of(t), end).collect();
                    assert_eq!(got, after, "{spec:?} at {t} after {end}");
                }
            }
            let all: BTreeSet<Window> = (-100..100).flat_map(|t| brute(&spec, t)).collect();
            for (window, later) in all.iter().zip(1..all.len()) {
                let first = all.iter().skip(later).map(|w| w.start).min();
                assert_eq!(Some(panes.needed_after(*window)), first, "{spec:?} after {window:?}");
            }
        }
    }
}
