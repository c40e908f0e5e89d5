//! Windows as runs of panes: which windows hold a time, and the slices that windows share.
//!
//! Every window of a kind is a run of equally wide panes, aligned alike, so that a row is folded into one pane and a
//! window is merged from its panes when it closes. `TUMBLE`: the pane is the window. `HOP`: panes of gcd(size, slide).
//! `CUMULATE`: panes of one step. Windows of several kinds can have narrower panes in common ([`Panes::in_common`]).
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
    /// All panes of the window before, until the next start; or windows of many panes that have none in common.
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
    Tumble { size: i64 },
    Hop { slide: i64, size: i64 },
    Cumulate { step: i64, size: i64 },
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
            WindowSpec::Tumble { size_us, offset_us } => (size_us, offset_us, Kind::Tumble { size: size_us }),
            WindowSpec::Hop { slide_us, size_us, offset_us } => {
                (gcd(size_us, slide_us), offset_us, Kind::Hop { slide: slide_us, size: size_us })
            }
            WindowSpec::Cumulate { step_us, size_us, offset_us } => {
                (step_us, offset_us, Kind::Cumulate { step: step_us, size: size_us })
            }
            WindowSpec::Session { .. } => return None,
        };
        Some(Panes { width, offset, kind, zone })
    }

    /// The same windows in panes that all of them are runs of; `None` where there are none, or so many to a window that merging
    /// them would take longer than folding the rows once for each kind.
    pub fn in_common(all: &[Panes]) -> Option<Vec<Panes>> {
        let first = all.first()?;
        let width = all.iter().fold(0, |width, p| gcd(gcd(width, p.width), (p.offset - first.offset).abs()));
        let fits = |p: &Panes| p.zone == first.zone && p.width / width <= p.narrowed_max() && p.windows_max() <= 60;
        all.iter().all(fits).then(|| all.iter().map(|p| Panes { width, ..p.clone() }).collect())
    }

    /// So many times narrower than they need be, panes may be made for the sake of other windows. A `HOP` holds its panes and
    /// merges each twice; others merge each once as it comes.
    fn narrowed_max(&self) -> i64 {
        match self.kind {
            Kind::Tumble { .. } | Kind::Cumulate { .. } => 60,
            Kind::Hop { .. } => 5,
        }
    }

    /// So many windows hold a row. One that is late for a window of another kind is folded for each of them.
    fn windows_max(&self) -> i64 {
        match self.kind {
            Kind::Tumble { .. } => 1,
            Kind::Hop { slide, size } => size / slide,
            Kind::Cumulate { step, size } => size / step,
        }
    }

    /// Width and offset of the panes, where they are cut by instants and every one of them is read by some window.
    pub fn grid(&self) -> Option<(i64, i64)> {
        let gaps = matches!(self.kind, Kind::Hop { slide, size } if slide > size);
        (self.zone.is_none() && !gaps).then_some((self.width, self.offset))
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
            Kind::Tumble { size } if self.width < size => Sharing::Grow,
            Kind::Tumble { .. } | Kind::Hop { .. } => Sharing::Nothing,
        }
    }

    /// Windows after `window` read no pane that starts before this.
    pub fn needed_after(&self, window: Window) -> i64 {
        match self.kind {
            Kind::Tumble { .. } => window.end,
            Kind::Hop { slide, .. } => window.start + slide,
            Kind::Cumulate { size, .. } if self.last_window(window.start) == Some(window) => window.start + size,
            Kind::Cumulate { .. } => window.start,
        }
    }

    /// Start of the last window that may hold the pane.
    pub fn last_start(&self, pane: i64) -> i64 {
        match self.kind {
            Kind::Hop { slide, .. } => floor_to(pane, slide, self.offset),
            Kind::Tumble { size } | Kind::Cumulate { size, .. } => floor_to(pane, size, self.offset),
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
            Kind::Tumble { size: step } | Kind::Cumulate { step, .. } => Some(floor_to(t, step, self.offset) + step),
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
            Kind::Tumble { size } => {
                let start = floor_to(pane, size, self.offset);
                (Window { start, end: start + size }, 0, size, start + size)
            }
            Kind::Hop { slide, size } => {
                let start = floor_to(pane + self.width - size + slide - 1, slide, self.offset);
                let last = floor_to(pane, slide, self.offset);
                (Window { start, end: start + size }, slide, slide, last + size)
            }
            Kind::Cumulate { step, size } => {
                let start = floor_to(pane, size, self.offset);
                (Window { start, end: floor_to(pane, step, self.offset) + step }, 0, step, start + size)
            }
        };
        let missed = if end < first.end { 0 } else { end.saturating_sub(first.end) / end_step + 1 };
        let count = (last - first.end).div_euclid(end_step) + 1;
        let all =
            (missed..count).map(move |k| Window { start: first.start + k * start_step, end: first.end + k * end_step });
        let grows = match self.kind {
            Kind::Cumulate { step, .. } => self.zone.clone().map(|zone| (zone, step)),
            Kind::Tumble { .. } | Kind::Hop { .. } => None,
        };
        all.filter(move |w| grows.as_ref().is_none_or(|(zone, step)| !is_repeated(zone, w, *step)))
    }

    /// The last window that holds the pane, if one does.
    pub fn last_window(&self, pane: i64) -> Option<Window> {
        let start = self.last_start(pane);
        match self.kind {
            Kind::Tumble { size } => Some(Window { start, end: start + size }),
            Kind::Hop { size, .. } => (start + size > pane).then_some(Window { start, end: start + size }),
            Kind::Cumulate { step, size } => {
                let mut last = Window { start, end: start + size };
                while self.zone.as_ref().is_some_and(|zone| is_repeated(zone, &last, step)) {
                    last.end -= step;
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

    const SPECS: [WindowSpec; 6] = [
        WindowSpec::Tumble { size_us: 10, offset_us: 3 },
        WindowSpec::Hop { slide_us: 6, size_us: 10, offset_us: 0 },
        WindowSpec::Hop { slide_us: 5, size_us: 10, offset_us: 2 },
        WindowSpec::Hop { slide_us: 10, size_us: 4, offset_us: 1 },
        WindowSpec::Hop { slide_us: 7, size_us: 3, offset_us: 0 },
        WindowSpec::Cumulate { step_us: 5, size_us: 20, offset_us: 1 },
    ];

    #[test]
    fn common_panes_are_as_wide_as_they_can_be() {
        let tumble = |size_us, offset_us| WindowSpec::Tumble { size_us, offset_us };
        let hop = |slide_us, size_us| WindowSpec::Hop { slide_us, size_us, offset_us: 0 };
        let width = |specs: &[WindowSpec]| {
            let all: Vec<Panes> = specs.iter().map(|spec| Panes::of(spec, None).unwrap()).collect();
            Panes::in_common(&all).map(|all| all.iter().map(Panes::width).collect::<BTreeSet<_>>())
        };
        for (specs, want) in [
            (vec![tumble(60, 0), tumble(300, 0), hop(60, 300)], Some(60)),
            (vec![tumble(60, 0), tumble(60, 20)], Some(20)),
            (vec![tumble(60, 80), tumble(60, 0)], Some(20)),
            (vec![tumble(60, 0), tumble(3600, 0)], Some(60)),
            (vec![tumble(60, 0), tumble(7200, 0)], None),
            (vec![tumble(60, 0), hop(300, 600)], Some(60)),
            (vec![tumble(10, 0), hop(300, 600)], None),
            (vec![tumble(60, 0), hop(60, 6000)], None),
        ] {
            assert_eq!(width(&specs), want.map(|width| [width].into()), "{specs:?}");
        }
    }

    #[test]
    fn windows_are_those_that_hold_the_time() {
        let natural = SPECS.map(|spec| (spec, Panes::of(&spec, None).unwrap()));
        let narrow = natural.clone().map(|(spec, panes)| (spec, Panes { width: 1, ..panes }));
        for (spec, panes) in natural.into_iter().chain(narrow) {
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
