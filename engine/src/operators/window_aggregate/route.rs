//! Which panes the rows of a batch go to, and which rows are late for what.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::ArrayRef;
use pelton_kernels::Rows;

use super::super::{in_us, range_of, range_us, ticks};
use super::{Assign, Folding};
use crate::batch::{BLOCK, MARK_MAX, MicroBatch};
use crate::panes::{Panes, Window};

/// Rows of a batch sorted by where they go.
#[derive(Default)]
pub(super) struct Routed {
    pub(super) panes: Vec<(i64, Piece)>,
    pub(super) sides: BTreeMap<(Window, usize), Vec<u32>>,
    /// Rows late for at least one window of a view, with the windows missed.
    pub(super) late: Vec<(u32, usize, Vec<Window>)>,
    by_pane: hashbrown::HashMap<i64, usize>,
    /// The pane that got rows last.
    current: usize,
}

/// Some of a batch's selected rows.
pub(super) enum Piece {
    /// So many from this one on.
    Run(usize, usize),
    /// These.
    List(Vec<u32>),
}

impl Routed {
    fn piece(&mut self, pane: i64) -> &mut Piece {
        if self.panes.get(self.current).is_none_or(|(last, _)| *last != pane) {
            let next = self.panes.len();
            self.current = *self.by_pane.entry(pane).or_insert(next);
            if self.current == next {
                self.panes.push((pane, Piece::List(vec![])));
            }
        }
        &mut self.panes[self.current].1
    }

    /// Puts a run of the selected rows into a pane.
    fn run(&mut self, pane: i64, rows: Rows<'_>, start: usize, len: usize) {
        let piece = self.piece(pane);
        match piece {
            Piece::Run(first, n) if *first + *n == start => *n += len,
            Piece::List(list) if list.is_empty() => *piece = Piece::Run(start, len),
            _ => piece.list(rows).extend((start..start + len).map(|i| rows.get(i) as u32)),
        }
    }
}

impl Piece {
    fn list(&mut self, rows: Rows<'_>) -> &mut Vec<u32> {
        if let Piece::Run(first, n) = *self {
            *self = Piece::List((first..first + n).map(|i| rows.get(i) as u32).collect());
        }
        let Piece::List(list) = self else { unreachable!("made above") };
        list
    }
}

impl Folding {
    /// Sorts rows by pane, and late ones out. Block by block, since nearly always a block's rows go to one pane and none
    /// of them is late.
    pub(super) fn route(&self, batch: &MicroBatch) -> Routed {
        let mut routed = Routed::default();
        let rows = batch.selected();
        // Where there are several views, these are the panes of all of them.
        let (column, add, panes) = match &self.views[0].assign {
            Assign::Whole => {
                routed.run(0, rows, 0, rows.len());
                return routed;
            }
            Assign::Panes { panes, time } => (batch.columns.column(*time), 0, Some(panes)),
            Assign::Carried { column, add } => (batch.columns.column(*column), *add, None),
        };
        // Whether no row under a mark can be late for what reads the pane.
        let is_open = |pane: i64, mark: i64| self.last_tick(self.first_end(pane)) > mark;
        let only = |(low, high): (i64, i64)| match panes {
            Some(panes) => panes.only_pane(low, high).filter(|pane| self.first_end(*pane) != MARK_MAX),
            None => (low == high).then_some(low + add),
        };
        if let Some(pane) = batch.marks.range_of(column).or_else(|| range_us(column, rows)).and_then(only)
            && is_open(pane, batch.marks.max())
        {
            routed.run(pane, rows, 0, rows.len());
            return routed;
        }
        for start in (0..rows.len()).step_by(BLOCK) {
            let len = BLOCK.min(rows.len() - start);
            let range = match rows {
                Rows::All(_) => range_of(column, start, len),
                Rows::List(list) => range_us(column, Rows::List(&list[start..start + len])),
            };
            let last = rows.get(start + len - 1);
            match range.and_then(only) {
                Some(pane) if is_open(pane, batch.marks.bound(last)) => routed.run(pane, rows, start, len),
                _ => self.route_rows(batch, (column, add, panes), start..start + len, &mut routed),
            }
        }
        routed
    }

    /// The same row by row.
    fn route_rows(
        &self,
        batch: &MicroBatch,
        (column, add, panes): (&ArrayRef, i64, Option<&Panes>),
        block: Range<usize>,
        routed: &mut Routed,
    ) {
        let rows = batch.selected();
        let (ticks, data_type) = (ticks(column), column.data_type());
        // The pane a row goes to is nearly always that of the row before.
        let mut stretch = (i64::MAX, i64::MIN);
        let (mut pane, mut is_open) = (0, false);
        let bound = batch.marks.bound(rows.get(block.end - 1));
        for row in block.map(|i| rows.get(i)) {
            let instant = in_us(ticks[row], data_type) + add;
            let t = panes.map_or(instant, |panes| panes.cut_time(instant));
            if t < stretch.0 || t >= stretch.1 {
                stretch = (i64::MAX, i64::MIN);
                let first_end = match panes {
                    Some(panes) => {
                        pane = panes.pane_of(t);
                        let end = self.first_end(pane);
                        // In no window at all: not late, not counted.
                        if end == MARK_MAX {
                            continue;
                        }
                        stretch = (pane, pane + panes.width());
                        end
                    }
                    None => {
                        (pane, stretch) = (t, (t, t + 1));
                        t
                    }
                };
                is_open = self.last_tick(first_end) > bound;
            }
            if is_open || self.last_tick(self.first_end(pane)) > batch.marks.before(row) {
                routed.piece(pane).list(rows).push(row as u32);
                continue;
            }
            let mark = batch.marks.before(row);
            for (index, view) in self.views.iter().enumerate() {
                let (in_time, missed): (Vec<Window>, Vec<Window>) =
                    view.windows_of(pane).into_iter().partition(|w| self.last_tick(w.end) > mark);
                for window in in_time {
                    routed.sides.entry((window, index)).or_default().push(row as u32);
                }
                if !missed.is_empty() {
                    routed.late.push((row as u32, index, missed));
                }
            }
        }
    }
}
