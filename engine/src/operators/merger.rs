//! `Merger`: panes that get no more rows, and how windows are merged from them as they close.
//!
//! Windows close in the order of their ends. There are four ways, the same to the last bit because merging is exact and
//! commutative; they differ in what a window costs:
//!
//! - *Anew*: all panes of the window. `TUMBLE`, and `HOP` with few panes a window.
//! - *Growing*: the panes that came since the window before of the same start. `CUMULATE`, and `TUMBLE` of several panes.
//! - *Sliding*: the panes that came and those that left. `HOP` of counts and exact sums, which can be taken out again.
//! - *Stacks*: about three states of the window's size. Every other `HOP` with many panes a window; see [`Stacks`].
//!
//! The windows and the aggregates decide which. Where sliding meets a sum that can not be taken out (infinities, NaN,
//! values of very different size), stacks take over for the length of a window.
//!
//! Several mergers, one for each kind of window, can read the same panes ([`Held`]).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use pelton_kernels::program::{GroupState, Program, ProgramError};

use serde_json::{Value, json};

use crate::checkpoint::piece::{Cut, Encode, PieceId, SharedGroups};
use crate::panes::{Panes, Sharing};

/// Groups and their aggregates.
pub(super) type State = Box<dyn GroupState>;

/// A state that a checkpoint may be writing.
pub(super) struct Kept {
    state: Arc<State>,
    /// The piece that is the same, once there is one.
    piece: Option<PieceId>,
}

impl Kept {
    pub(super) fn new(state: State) -> Self {
        Kept { state: Arc::new(state), piece: None }
    }

    /// One that may be being written, as part of what it will be.
    pub(super) fn shared(SharedGroups(state): SharedGroups) -> Self {
        Kept { state, piece: None }
    }

    /// One that was read from a piece.
    pub(super) fn loaded(state: State, piece: PieceId) -> Self {
        Kept { state: Arc::new(state), piece: Some(piece) }
    }

    pub(super) fn get(&self) -> &dyn GroupState {
        self.state.as_ref().as_ref()
    }

    /// The state itself; a copy, if it is being written.
    pub(super) fn take(self, fresh: Fresh) -> Result<State, ProgramError> {
        Arc::try_unwrap(self.state).or_else(|state| copy(state.as_ref().as_ref(), fresh))
    }

    /// With another state merged in.
    pub(super) fn merge(self, other: &dyn GroupState, fresh: Fresh) -> Result<Self, ProgramError> {
        let mut state = self.take(fresh)?;
        state.merge(other)?;
        Ok(Kept::new(state))
    }

    /// Names it in a checkpoint, which writes it unless an earlier one has.
    pub(super) fn save(&mut self, cut: &mut Cut, tag: Value) {
        let fresh: Option<Arc<dyn Encode>> = match self.piece {
            Some(_) => None,
            None => Some(Arc::new(SharedGroups(self.state.clone()))),
        };
        let piece = *self.piece.get_or_insert_with(|| cut.id());
        cut.piece(piece, tag, fresh);
    }
}

/// Makes an empty state.
pub(super) type Fresh<'a> = &'a dyn Fn() -> Result<State, ProgramError>;

/// Panes that get no more rows, and are read by one merger or several.
pub(super) struct Held {
    panes: BTreeMap<i64, Kept>,
    /// Each merger needs no pane that starts before this.
    from: Vec<i64>,
}

impl Held {
    pub(super) fn new(mergers: usize) -> Self {
        Held { panes: BTreeMap::new(), from: vec![i64::MIN; mergers] }
    }

    /// Adds rows of a pane of which no window has closed yet.
    pub(super) fn add(&mut self, pane: i64, kept: Kept, fresh: Fresh) -> Result<(), ProgramError> {
        let kept = match self.panes.remove(&pane) {
            Some(there) => there.merge(kept.get(), fresh)?,
            None => kept,
        };
        self.panes.insert(pane, kept);
        Ok(())
    }

    /// Says in a checkpoint what is held.
    pub(super) fn save(&mut self, cut: &mut Cut) {
        self.panes.iter_mut().for_each(|(pane, kept)| kept.save(cut, json!({ "held": pane })));
    }

    /// Puts back a pane, as it was held.
    pub(super) fn load(&mut self, pane: i64, kept: Kept) {
        self.panes.insert(pane, kept);
    }

    /// Bytes of all states held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.panes.values().map(|kept| kept.get().memory_bytes()).sum()
    }

    /// The start of the panes that others than this merger need.
    fn others_need(&self, merger: usize) -> i64 {
        let others = self.from.iter().enumerate().filter(|(other, _)| *other != merger);
        others.map(|(_, from)| *from).min().unwrap_or(i64::MAX)
    }

    /// Merges panes, which this merger reads no more, into `into`, or into the first of them.
    fn take(
        &mut self,
        merger: usize,
        panes: Range<i64>,
        mut into: Option<State>,
        fresh: Fresh,
    ) -> Result<Option<State>, ProgramError> {
        let others = self.others_need(merger);
        let mut from = panes.start;
        while let Some((&pane, kept)) = self.panes.range(from..panes.end).next() {
            from = pane + 1;
            match &mut into {
                Some(into) => into.merge(kept.get())?,
                None if pane < others => {}
                None => into = Some(copy(kept.get(), fresh)?),
            }
            if pane < others {
                let kept = self.panes.remove(&pane).expect("found above");
                if into.is_none() {
                    into = Some(kept.take(fresh)?);
                }
            }
        }
        Ok(into)
    }

    /// A merger needs no pane before `from`. Those that none needs are dropped.
    fn let_go(&mut self, merger: usize, from: i64) {
        self.from[merger] = from;
        let least = self.from.iter().copied().min().unwrap_or(from);
        while self.panes.first_key_value().is_some_and(|(pane, _)| *pane < least) {
            self.panes.pop_first();
        }
    }
}

/// See the module.
pub(super) struct Merger {
    /// Which one it is, of those that read the same panes.
    index: usize,
    /// Windows still to close read no pane that starts before this.
    from: i64,
    way: Way,
}

enum Way {
    Anew,
    /// The last window or the one that is open, if its start has more.
    Growing {
        windows: Panes,
        grown: Option<Grown>,
    },
    /// The last window, unless the stacks have taken over.
    Sliding {
        running: Option<Running>,
        stacks: Option<Stacks>,
    },
    Stacks(Stacks),
}

/// All panes from `start` to `end`.
struct Grown {
    start: i64,
    end: i64,
    /// No window that closes before the ones of this pane has rows.
    first: i64,
    state: Kept,
}

/// The rows of a closed window.
pub(super) enum Closed<'a> {
    /// There are none.
    Nothing,
    /// Nobody else needs the state.
    Own(State),
    /// Later windows are made of it.
    Kept(&'a dyn GroupState),
}

impl Closed<'_> {
    /// With rows that belong to this window alone.
    pub(super) fn and(self, side: Option<State>) -> Result<Self, ProgramError> {
        let Some(mut side) = side else { return Ok(self) };
        if let Some(state) = self.state() {
            side.merge(state)?;
        }
        Ok(Closed::Own(side))
    }

    /// Their state.
    pub(super) fn state(&self) -> Option<&dyn GroupState> {
        match self {
            Closed::Nothing => None,
            Closed::Own(state) => Some(state.as_ref()),
            Closed::Kept(state) => Some(*state),
        }
    }
}

impl Merger {
    /// Nothing merged yet. Without `panes` no two windows share one.
    pub(super) fn new(panes: Option<&Panes>, program: &Program, index: usize) -> Self {
        let is_invertible = program.aggregates.iter().all(|call| call.spec.is_invertible());
        let way = match panes.map(|panes| (panes, panes.sharing())) {
            Some((panes, Sharing::Grow)) => Way::Growing { windows: panes.clone(), grown: None },
            Some((panes, Sharing::Slide { size, slide })) => {
                // Merges a window: anew `size`; with stacks `slide` panes twice, a stop made and copied, and the back.
                let stacks = (size > 2 * slide + 3).then(|| Stacks::new(panes.clone()));
                match stacks {
                    stacks if is_invertible && size > 2 => Way::Sliding { running: None, stacks },
                    Some(stacks) => Way::Stacks(stacks),
                    None => Way::Anew,
                }
            }
            Some((_, Sharing::Nothing)) | None => Way::Anew,
        };
        Merger { index, from: i64::MIN, way }
    }

    /// True if what [`close`](Self::close) gives may have groups without rows: the program then has to count rows.
    pub(super) fn slides(&self) -> bool {
        matches!(self.way, Way::Sliding { .. })
    }

    /// The panes that windows still to close read, ascending; those of a growing window as one.
    pub(super) fn pending(&self, held: &Held) -> impl Iterator<Item = i64> {
        let grown = match &self.way {
            Way::Growing { grown: Some(grown), .. } => Some(grown.first),
            _ => None,
        };
        grown.into_iter().chain(held.panes.range(self.from..).map(|(pane, _)| *pane))
    }

    /// Takes the panes of a growing window that is still open, for the sake of memory. All windows that are due are closed, so
    /// there are no panes after it.
    pub(super) fn grow(&mut self, held: &mut Held, fresh: Fresh) -> Result<(), ProgramError> {
        let Way::Growing { windows, grown } = &mut self.way else { return Ok(()) };
        let from = grown.as_ref().map_or(self.from, |grown| grown.end);
        let mut open = held.panes.range(from..).map(|(pane, _)| *pane);
        let Some(first) = open.next() else { return Ok(()) };
        let end = open.next_back().unwrap_or(first) + windows.width();
        let before = grown.take();
        let (start, first) =
            before.as_ref().map_or((windows.last_start(first), first), |grown| (grown.start, grown.first));
        let before = before.map(|grown| grown.state.take(fresh)).transpose()?;
        let state = held.take(self.index, from..end, before, fresh)?;
        *grown = state.map(|state| Grown { start, end, first, state: Kept::new(state) });
        held.let_go(self.index, end);
        Ok(())
    }

    /// The window over the panes that start in `reads`. Windows after it read no pane that starts before `from`.
    pub(super) fn close<'a>(
        &'a mut self,
        held: &'a mut Held,
        reads: Range<i64>,
        from: i64,
        fresh: Fresh,
    ) -> Result<Closed<'a>, ProgramError> {
        self.from = from;
        let index = self.index;
        Ok(match &mut self.way {
            Way::Anew => {
                let used_up = from.clamp(reads.start, reads.end);
                let is_alone = held.panes.range(reads.clone()).nth(1).is_none();
                if is_alone && held.others_need(index) <= reads.start {
                    held.let_go(index, from);
                    return Ok(kept(held.panes.range(reads).next().map(|(_, kept)| kept.get())));
                }
                let whole = held.take(index, reads.start..used_up, None, fresh)?;
                let whole = merged(whole, states(&held.panes, used_up..reads.end), fresh)?;
                held.let_go(index, from);
                own(whole)
            }
            Way::Growing { grown, .. } => {
                let before = grown.take().filter(|grown| grown.start == reads.start);
                let grown_to = before.as_ref().map_or(reads.start, |grown| grown.end);
                let before = before.map(|grown| grown.state.take(fresh)).transpose()?;
                let whole = held.take(index, grown_to..reads.end, before, fresh)?;
                held.let_go(index, from.max(reads.end));
                if from > reads.start {
                    return Ok(own(whole));
                }
                let (start, end) = (reads.start, reads.end);
                *grown = whole.map(|state| Grown { start, end, first: start, state: Kept::new(state) });
                kept(grown.as_ref().map(|grown| grown.state.get()))
            }
            Way::Sliding { running, stacks } => {
                let is_stuck = stacks.as_ref().is_some_and(|stacks| reads.start < stacks.turn);
                if !is_stuck && slide(running, &reads, &held.panes, fresh)? {
                    stacks.iter_mut().for_each(Stacks::clear);
                    // A pane is let go once the running window has slid past it.
                    held.let_go(index, running.as_ref().map_or(from, |running| running.panes.start));
                    return Ok(kept(running.as_ref().map(|running| running.state.as_ref())));
                }
                let whole = match stacks {
                    Some(stacks) => stacks.close(reads, from, &held.panes, fresh)?,
                    None => merged(None, states(&held.panes, reads), fresh)?,
                };
                held.let_go(index, from);
                own(whole)
            }
            Way::Stacks(stacks) => {
                let whole = stacks.close(reads, from, &held.panes, fresh)?;
                held.let_go(index, from);
                own(whole)
            }
        })
    }

    /// Which one it is, of those that read the same panes.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Says in a checkpoint what it holds. Running windows and stacks are made anew of the panes that are held.
    pub(super) fn save(&mut self, cut: &mut Cut) -> Value {
        let index = self.index;
        if let Way::Growing { grown: Some(Grown { start, end, first, state }), .. } = &mut self.way {
            state.save(cut, json!({ "grown": index, "start": start, "end": end, "first": first }));
        }
        json!(self.from)
    }

    /// Goes on where [`save`](Self::save) has said this.
    pub(super) fn load(&mut self, held: &mut Held, from: i64) {
        self.from = from;
        held.from[self.index] = from;
    }

    /// Puts back a growing window.
    pub(super) fn load_grown(&mut self, (start, end, first): (i64, i64, i64), state: Kept) {
        if let Way::Growing { grown, .. } = &mut self.way {
            *grown = Some(Grown { start, end, first, state });
        }
    }

    /// Bytes of the states that are its own.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.way {
            Way::Growing { grown: Some(grown), .. } => grown.state.get().memory_bytes(),
            Way::Sliding { running, stacks } => {
                let running = running.as_ref().map_or(0, |running| running.state.memory_bytes());
                running + stacks.as_ref().map_or(0, Stacks::memory_bytes)
            }
            Way::Stacks(stacks) => stacks.memory_bytes(),
            Way::Growing { grown: None, .. } | Way::Anew => 0,
        }
    }
}

fn own<'a>(state: Option<State>) -> Closed<'a> {
    state.map_or(Closed::Nothing, Closed::Own)
}

fn kept(state: Option<&dyn GroupState>) -> Closed<'_> {
    state.map_or(Closed::Nothing, Closed::Kept)
}

/// The states of the panes that start in a stretch.
fn states(panes: &BTreeMap<i64, Kept>, stretch: Range<i64>) -> impl DoubleEndedIterator<Item = (i64, &dyn GroupState)> {
    panes.range(stretch).map(|(pane, kept)| (*pane, kept.get()))
}

/// Merges panes into `into`, or into a state of their own.
fn merged<'a>(
    mut into: Option<State>,
    panes: impl Iterator<Item = (i64, &'a dyn GroupState)>,
    fresh: Fresh,
) -> Result<Option<State>, ProgramError> {
    for (_, state) in panes {
        if into.is_none() {
            into = Some(fresh()?);
        }
        into.as_mut().expect("made above").merge(state)?;
    }
    Ok(into)
}

fn copy(state: &dyn GroupState, fresh: Fresh) -> Result<State, ProgramError> {
    let mut copy = fresh()?;
    copy.merge(state)?;
    Ok(copy)
}

/// A window kept to become the next. Groups whose rows have all left stay, with a count of 0.
struct Running {
    state: State,
    /// The panes that start in this stretch are in it.
    panes: Range<i64>,
    /// Their groups, added up.
    groups: usize,
}

/// Brings the running window to the panes in `wanted`: from where it is, or anew where that is cheaper. False, and no
/// running window, if a pane can not be taken out.
fn slide(
    running: &mut Option<Running>,
    wanted: &Range<i64>,
    panes: &BTreeMap<i64, Kept>,
    fresh: Fresh,
) -> Result<bool, ProgramError> {
    let groups_in = |stretch: Range<i64>| states(panes, stretch).map(|(_, pane)| pane.groups()).sum::<usize>();
    let before = running.take().filter(|r| r.panes.start <= wanted.start && wanted.start <= r.panes.end);
    if let Some(Running { mut state, panes: held, groups }) = before {
        let (left, new) = (groups_in(held.start..wanted.start), groups_in(held.end..wanted.end));
        let groups = groups - left + new;
        // Groups that have left make it dearer to emit.
        if left + new < groups && state.groups() <= 2 * groups {
            for (_, pane) in states(panes, held.start..wanted.start) {
                if !state.unmerge(pane)? {
                    return Ok(false);
                }
            }
            states(panes, held.end..wanted.end).try_for_each(|(_, pane)| state.merge(pane))?;
            *running = Some(Running { state, panes: wanted.clone(), groups });
            return Ok(true);
        }
    }
    let anew = merged(None, states(panes, wanted.clone()), fresh)?;
    *running = anew.map(|state| Running { state, panes: wanted.clone(), groups: groups_in(wanted.clone()) });
    Ok(true)
}

/// Two stacks: the panes of a window in two parts, a front that windows leave and a back that they enter. The back is
/// one state; the front has *stops*, states over all of its panes from some start of a window on. A window is the first
/// stop in it, the panes before that stop, and the back. When windows have left the front, it is made anew of all
/// panes at hand, from the latest to the first.
///
/// A stop is made once the panes since the last one hold as many bytes as the stop itself. So the stops take no more
/// memory than the panes, and the panes before a stop no more time than the stop. Where every pane has all groups, that
/// is a stop at every start; where no group is in two panes it is none, and merging all panes then costs the groups.
///
/// Memory: the states of all panes, as much again for the stops, and as much for the back.
///
/// After the two stacks in Tangwongsan, Hirzel, Schneider: *Low-latency sliding-window aggregation in worst-case constant
/// time* (DEBS 2017); the thinning of the stops is ours.
struct Stacks {
    windows: Panes,
    /// From which start on, ascending; up to `turn`.
    stops: VecDeque<(i64, State)>,
    /// Where the front ends and the back begins.
    turn: i64,
    /// The panes from `turn` to `end`.
    back: Option<State>,
    end: i64,
}

impl Stacks {
    fn new(windows: Panes) -> Self {
        Stacks { windows, stops: VecDeque::new(), turn: i64::MIN, back: None, end: i64::MIN }
    }

    /// See [`Merger::close`].
    fn close(
        &mut self,
        reads: Range<i64>,
        from: i64,
        panes: &BTreeMap<i64, Kept>,
        fresh: Fresh,
    ) -> Result<Option<State>, ProgramError> {
        if reads.start >= self.turn {
            return self.turn(reads, from, panes, fresh);
        }
        self.back = merged(self.back.take(), states(panes, self.end..reads.end), fresh)?;
        self.end = reads.end;
        while self.stops.front().is_some_and(|(start, _)| *start < reads.start) {
            self.stops.pop_front();
        }
        let stop = self.stops.front().map_or(self.turn, |(start, _)| *start);
        // The last window that a stop is for may have it.
        let whole = match self.stops.front() {
            Some(_) if stop < from => self.stops.pop_front().map(|(_, state)| state),
            Some((_, state)) => Some(copy(state.as_ref(), fresh)?),
            None => None,
        };
        let whole = merged(whole, states(panes, reads.start..stop), fresh)?;
        merged(whole, self.back.iter().map(|back| (self.turn, back.as_ref())), fresh)
    }

    /// Makes the front of all panes of a window, and with it that window.
    fn turn(
        &mut self,
        reads: Range<i64>,
        from: i64,
        panes: &BTreeMap<i64, Kept>,
        fresh: Fresh,
    ) -> Result<Option<State>, ProgramError> {
        self.clear();
        (self.turn, self.end) = (reads.end, reads.end);
        let mut whole: Option<State> = None;
        // The bytes of panes since the last stop.
        let mut since = 0;
        let mut rest = states(panes, reads).rev().peekable();
        while let Some((pane, state)) = rest.next() {
            whole = merged(whole, std::iter::once((pane, state)), fresh)?;
            since += state.memory_bytes();
            let start = self.windows.last_start(pane);
            let has_all = rest.peek().is_none_or(|(before, _)| *before < start);
            if let Some(whole) = &whole
                && has_all
                && start >= from
                && since >= whole.memory_bytes()
            {
                self.stops.push_front((start, copy(whole.as_ref(), fresh)?));
                since = 0;
            }
        }
        Ok(whole)
    }

    fn clear(&mut self) {
        self.stops.clear();
        self.back = None;
    }

    fn memory_bytes(&self) -> usize {
        self.stops.iter().map(|(_, state)| state).chain(&self.back).map(|state| state.memory_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{ArrayRef, Float64Array, Int64Array};
    use arrow::datatypes::DataType;
    use arrow::util::display::array_value_to_string;
    use pelton_kernels::Rows;
    use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
    use pelton_kernels::program::{AggregateCall, Cpu, Device};
    use proptest::prelude::*;

    use super::*;
    use crate::panes::Window;
    use crate::window::WindowSpec;

    /// Event time, key, value.
    type Row = (i64, i64, Option<f64>);

    fn program(aggregates: &[(AggregateKind, bool)]) -> Arc<Program> {
        let call = |(kind, distinct): &(AggregateKind, bool)| {
            let arg_types = vec![DataType::Float64];
            let spec = AggregateSpec { kind: *kind, distinct: *distinct, arg_types, fast_float: false };
            AggregateCall { spec, args: vec![1], filter: None }
        };
        let aggregates = aggregates.iter().map(call).collect();
        Arc::new(Program { keys: vec![(0, DataType::Int64)], aggregates })
    }

    fn state(program: &Arc<Program>, rows: &[Row]) -> State {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
        let values: ArrayRef = Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2)));
        let mut state = Cpu.state(program, 0).unwrap();
        state.update(&[keys, values], Rows::All(rows.len())).unwrap();
        state
    }

    /// The rows of a window as text, in an order of their own. Groups of which `COUNT`, the last aggregate, is 0 are none.
    fn shown(state: Option<&dyn GroupState>) -> Vec<String> {
        let Some(state) = state else { return vec![] };
        let columns: Vec<ArrayRef> = state.keys().unwrap().into_iter().chain(state.finish().unwrap()).collect();
        let show = |row| columns.iter().map(|c| array_value_to_string(c, row).unwrap()).collect::<Vec<_>>().join(" ");
        let mut rows: Vec<String> = (0..state.groups()).map(show).filter(|row| !row.ends_with(" 0")).collect();
        rows.sort();
        rows
    }

    /// Closes windows as the operator does: marks come, panes of which a window closes are added, windows follow in order.
    fn close_all(
        windows: &Panes,
        merger: (&mut Merger, &mut Held),
        pane_at: impl Fn(i64) -> Option<State>,
        marks: impl Iterator<Item = i64>,
        fresh: Fresh,
        mut each: impl FnMut(Window, Closed, usize),
    ) {
        let (merger, panes) = merger;
        let (mut last, mut pane) = (i64::MIN, windows.pane_of(-60));
        for mark in marks {
            while windows.first_end(pane).is_none_or(|end| end <= mark) {
                pane_at(pane).into_iter().for_each(|state| panes.add(pane, Kept::new(state), fresh).unwrap());
                pane += windows.width();
            }
            loop {
                let next = merger.pending(panes).find_map(|pane| windows.windows_after(pane, last).next());
                let Some(window) = next.filter(|window| window.end <= mark) else { break };
                last = window.end;
                let held = merger.memory_bytes() + panes.memory_bytes();
                let reads = window.start..window.end;
                let closed = merger.close(panes, reads, windows.needed_after(window), fresh).unwrap();
                each(window, closed, held);
            }
        }
    }

    /// Every way gives, for every window with rows and no other, what merging its rows gives; also next to rows that are
    /// in one window alone.
    fn check(spec: WindowSpec, program: &Arc<Program>, rows: &[Row], step: i64) {
        let windows = Panes::of(&spec, None).unwrap();
        let fresh = || Cpu.state(program, 0);
        let mut panes: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
        let mut wanted: BTreeMap<Window, Vec<Row>> = BTreeMap::new();
        for row in rows {
            let pane = windows.pane_of(row.0);
            for window in windows.windows(pane) {
                wanted.entry(window).or_default().push(*row);
                panes.entry(pane).or_default();
            }
            panes.entry(pane).and_modify(|rows| rows.push(*row));
        }
        let pane_at = |pane| panes.get(&pane).map(|rows| state(program, rows));
        let (mut merger, mut held) = (Merger::new(Some(&windows), program, 0), Held::new(1));
        let mut wanted = wanted.into_iter();
        close_all(
            &windows,
            (&mut merger, &mut held),
            pane_at,
            (-50..400).step_by(step as usize),
            &fresh,
            |window, closed, _| {
                let (want, mut rows) = wanted.next().unwrap();
                assert_eq!(window, want);
                let closed = if window.end % 3 == 0 {
                    let side: [Row; 2] = [(0, 1, Some(1000.0)), (0, 77, None)];
                    rows.extend(side);
                    closed.and(Some(state(program, &side))).unwrap()
                } else {
                    closed
                };
                assert_eq!(shown(closed.state()), shown(Some(state(program, &rows).as_ref())), "{spec:?} {window:?}");
            },
        );
        assert_eq!(wanted.next(), None, "{spec:?}");
        assert!(held.panes.len() <= 1 || merger.slides(), "{spec:?}");
    }

    /// The same for windows of several kinds, merged from panes in common.
    fn check_together(specs: &[WindowSpec], program: &Arc<Program>, rows: &[Row], step: i64) {
        let natural: Vec<Panes> = specs.iter().map(|spec| Panes::of(spec, None).unwrap()).collect();
        let Some(all) = Panes::in_common(&natural) else { return };
        let fresh = || Cpu.state(program, 0);
        let mut held = Held::new(all.len());
        let mut mergers: Vec<Merger> =
            all.iter().enumerate().map(|(index, windows)| Merger::new(Some(windows), program, index)).collect();
        let mut last = vec![i64::MIN; all.len()];
        let mut found: Vec<Vec<(Window, Vec<String>)>> = vec![vec![]; all.len()];
        let mut pane = all[0].pane_of(-60);
        for mark in (-50..400).step_by(step as usize) {
            while all.iter().filter_map(|windows| windows.first_end(pane)).min().is_none_or(|end| end <= mark) {
                let width = all[0].width();
                let of_pane: Vec<Row> =
                    rows.iter().filter(|row| (pane..pane + width).contains(&row.0)).copied().collect();
                let is_read = all.iter().any(|windows| windows.first_end(pane).is_some());
                if !of_pane.is_empty() && is_read {
                    held.add(pane, Kept::new(state(program, &of_pane)), &fresh).unwrap();
                }
                pane += width;
            }
            for (index, (windows, merger)) in all.iter().zip(&mut mergers).enumerate() {
                loop {
                    let next = merger.pending(&held).find_map(|pane| windows.windows_after(pane, last[index]).next());
                    let Some(window) = next.filter(|window| window.end <= mark) else { break };
                    last[index] = window.end;
                    let reads = window.start..window.end;
                    let closed = merger.close(&mut held, reads, windows.needed_after(window), &fresh).unwrap();
                    found[index].push((window, shown(closed.state())));
                }
                merger.grow(&mut held, &fresh).unwrap();
            }
        }
        for (windows, found) in natural.iter().zip(found) {
            let mut wanted: BTreeMap<Window, Vec<Row>> = BTreeMap::new();
            for row in rows {
                for window in windows.windows(windows.pane_of(row.0)) {
                    wanted.entry(window).or_default().push(*row);
                }
            }
            let wanted = wanted.iter().map(|(window, rows)| (*window, shown(Some(state(program, rows).as_ref()))));
            assert_eq!(found, wanted.collect::<Vec<_>>(), "{windows:?} of {specs:?}");
        }
    }

    fn spec() -> impl Strategy<Value = WindowSpec> {
        let hop = (1..13i64, 1..40i64, 0..5i64).prop_map(|(slide_us, size_us, offset_us)| {
            let size_us = size_us.max(slide_us);
            WindowSpec::Hop { slide_us, size_us, offset_us }
        });
        let cumulate = (1..5i64, 1..12i64, 0..5i64).prop_map(|(step_us, steps, offset_us)| {
            let size_us = step_us * steps;
            WindowSpec::Cumulate { step_us, size_us, offset_us }
        });
        prop_oneof![
            3 => hop,
            2 => (10..40i64).prop_map(|size_us| WindowSpec::Hop { slide_us: 1, size_us, offset_us: 0 }),
            2 => cumulate,
            1 => (1..20i64).prop_map(|size_us| WindowSpec::Tumble { size_us, offset_us: 2 }),
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        // Stretches with many rows, and none in between for longer than a window.
        let time = prop_oneof![0..60i64, 0..60i64, 130..135i64, 180..300i64];
        let value = prop_oneof![
            8 => (-50..50i64).prop_map(|v| Some(v as f64 / 8.0)),
            1 => Just(None),
            1 => prop_oneof![Just(1e300), Just(-1e300), Just(5e-324), Just(-0.0)].prop_map(Some),
        ];
        let rare = prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::NAN)].prop_map(Some);
        let row = (time.clone(), 0..6i64, value);
        (prop::collection::vec(row, 0..200), prop::collection::vec((time, 0..6i64, rare), 0..2))
            .prop_map(|(rows, rare)| rows.into_iter().chain(rare).collect())
    }

    proptest! {
        #[test]
        fn every_way_gives_what_the_rows_give(spec in spec(), rows in rows(), step in 1..60i64) {
            use AggregateKind::*;
            check(spec, &program(&[(Sum, false), (Avg, false), (Count, false)]), &rows, step);
            let others = [(Min, false), (Max, false), (Count, true), (Sum, false), (VarPop, false), (Count, false)];
            check(spec, &program(&others), &rows, step);
        }

        #[test]
        fn windows_of_several_kinds_give_what_the_rows_give(
            specs in prop::collection::vec(spec(), 2..5), rows in rows(), step in 1..60i64,
        ) {
            use AggregateKind::*;
            check_together(&specs, &program(&[(Sum, false), (Avg, false), (Count, false)]), &rows, step);
            check_together(&specs, &program(&[(Min, false), (Max, false), (Sum, false), (Count, false)]), &rows, step);
        }
    }

    /// A state that costs and holds what it has in it: the distinct values of groups. Counts what is merged.
    struct Values {
        pairs: BTreeSet<(i64, i64)>,
        spent: Arc<AtomicUsize>,
    }

    impl GroupState for Values {
        fn update(&mut self, _: &[ArrayRef], _: Rows<'_>) -> Result<(), ProgramError> {
            unreachable!("panes are made whole")
        }

        fn merge(&mut self, other: &dyn GroupState) -> Result<(), ProgramError> {
            let other = other.as_any().downcast_ref::<Values>().unwrap();
            self.spent.fetch_add(other.pairs.len(), Ordering::Relaxed);
            self.pairs.extend(&other.pairs);
            Ok(())
        }

        fn unmerge(&mut self, _: &dyn GroupState) -> Result<bool, ProgramError> {
            Ok(false)
        }

        fn groups(&self) -> usize {
            self.pairs.len()
        }

        fn keys(&self) -> Result<Vec<ArrayRef>, ProgramError> {
            Ok(vec![])
        }

        fn finish(&self) -> Result<Vec<ArrayRef>, ProgramError> {
            Ok(vec![])
        }

        fn parts(&self) -> Result<Vec<&dyn GroupState>, ProgramError> {
            Ok(vec![self])
        }

        fn memory_bytes(&self) -> usize {
            self.pairs.len()
        }

        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    /// What closing 1000 windows merges, in states of their size, and the most that was held, in panes of a window. Pane
    /// `n` holds `values(n)`.
    fn cost(spec: WindowSpec, values: impl Fn(i64) -> BTreeSet<(i64, i64)>) -> (f64, f64) {
        let windows = Panes::of(&spec, None).unwrap();
        let spent = Arc::new(AtomicUsize::new(0));
        let made = |pairs| -> State { Box::new(Values { pairs, spent: spent.clone() }) };
        let fresh = || Ok(made(BTreeSet::new()));
        let program = program(&[(AggregateKind::Max, false)]);
        let (mut merger, mut held) = (Merger::new(Some(&windows), &program, 0), Held::new(1));
        let (mut groups, mut held_max) = (0, 0);
        close_all(
            &windows,
            (&mut merger, &mut held),
            |pane| Some(made(values(pane))),
            0..1000,
            &fresh,
            |_, closed, held| {
                groups += closed.state().unwrap().groups();
                held_max = held_max.max(held);
            },
        );
        let panes: usize = (0..60).map(|pane| values(pane).len()).sum();
        (spent.load(Ordering::Relaxed) as f64 / groups as f64, held_max as f64 / panes as f64)
    }

    #[test]
    fn a_window_costs_its_groups_and_not_its_panes() {
        let same = |_| (0..50).map(|key| (key, 0)).collect::<BTreeSet<_>>();
        let all_different = |pane: i64| (0..50).map(|key| (pane * 50 + key, 0)).collect();
        let half = |pane: i64| (0..50).map(|key| if key % 2 == 0 { (key, 0) } else { (pane, key) }).collect();
        let more_values = |pane: i64| (0..50).map(|value| (0, (pane * 7 + value * 31) % 1000)).collect();
        let hop = |slide_us| WindowSpec::Hop { slide_us, size_us: 60, offset_us: 0 };
        let grow = WindowSpec::Cumulate { step_us: 1, size_us: 60, offset_us: 0 };
        for (name, (merges, memory)) in [
            ("same", cost(hop(1), same)),
            ("all different", cost(hop(1), all_different)),
            ("half", cost(hop(1), half)),
            ("more values", cost(hop(1), more_values)),
            ("growing", cost(grow, same)),
            ("growing, all different", cost(grow, all_different)),
        ] {
            println!("{name}: {merges:.2} states merged a window, {memory:.2} times the panes held");
            assert!(merges <= 4.0 && memory <= 3.0, "{name}: {merges} states merged, {memory} times the panes held");
        }
    }
}
