//! What a checkpoint keeps of windows that are open: panes that may get rows, panes that are held for windows to come,
//! growing windows, and rows that belong to one window alone.

use serde_json::{Value, json};

use super::super::merger::Kept;
use super::{Closing, Folding, Shared};
use crate::batch::MARK_MIN;
use crate::checkpoint::piece::{Cut, SavedPiece, SavedStep, fact, groups_of, misfit};
use crate::error::Result;
use crate::lineage::Lineage;
use crate::panes::Window;

impl Folding {
    /// See [`super::super::Operator::state_schema`].
    pub(super) fn schema(&self, input: &Lineage) -> String {
        let selects = self.before.iter().flat_map(|before| &before.selects);
        let input = selects.fold(input.clone(), |input, select| input.select(select));
        let views: Vec<&str> = self.views.iter().map(|view| view.text.as_str()).collect();
        let views = views.join(", ");
        let width = self.views[0].panes().map_or(String::new(), |panes| format!(" in panes of {} µs", panes.width()));
        format!("windows {views}\n{}{width}", self.program.text(&|column| input.column(column)))
    }

    pub(super) fn save(&self, cut: &mut Cut) -> Result<()> {
        let mut shared = self.state.shared.lock().expect("no panic holds this lock");
        let Shared { held, views } = &mut *shared;
        self.state.sealed.save(cut);
        self.seal(cut, views)?;
        held.save(cut);
        let facts: Vec<Value> = views.iter_mut().map(|view| view.save(cut)).collect();
        cut.facts(json!({ "views": facts }));
        Ok(())
    }

    /// Takes from the workers and the device what they have folded into panes that may get more rows.
    fn seal(&self, cut: &mut Cut, views: &mut [Closing]) -> Result<()> {
        for slot in &self.state.slots {
            let mut slot = slot.lock().expect("no panic holds this lock");
            for (pane, state) in std::mem::take(&mut slot.panes) {
                // About as many will be touched until the next checkpoint. A device may not have told of any yet.
                slot.groups = state.groups().max(slot.groups / 2);
                self.state.sealed.add(pane, state, cut);
            }
            for ((window, index), state) in std::mem::take(&mut slot.sides) {
                self.keep_side(&mut views[index], (window, index), state)?;
            }
        }
        let on_device = self.on_device.as_ref().map(|table| table.take(crate::batch::MARK_MAX, |_| true));
        let on_device = on_device.transpose().map_err(|e| self.failed(e))?.unwrap_or_default();
        for (pane, state) in self.take_wide(|_| true).into_iter().chain(on_device) {
            self.state.sealed.add(pane, state, cut);
        }
        Ok(())
    }

    pub(super) fn load(&self, saved: SavedStep) -> Result<()> {
        let mut shared = self.state.shared.lock().expect("no panic holds this lock");
        let Shared { held, views } = &mut *shared;
        let facts: Vec<Value> = fact(&saved.facts, "views")?;
        if facts.len() != views.len() {
            return Err(misfit(format!("{} kinds of windows instead of {}", facts.len(), views.len())));
        }
        for (view, facts) in views.iter_mut().zip(&facts) {
            view.merger.load(held, fact(facts, "from")?);
            view.last = fact::<Option<(i64, i64)>>(facts, "last")?.map(|(start, end)| Window { start, end });
            view.closed = fact(facts, "closed")?;
            view.next = MARK_MIN;
        }
        for SavedPiece { id, tag, batches } in saved.pieces {
            let state = groups_of(&self.program, &batches)?;
            let number = |name: &str| fact::<i64>(&tag, name);
            if tag.get("pane").is_some() {
                self.state.sealed.load(number("pane")?, id, state);
            } else if tag.get("held").is_some() {
                held.load(number("held")?, Kept::loaded(state, id));
            } else if let Some(view) = tag.get("grown").and_then(|view| views.get_mut(view.as_u64()? as usize)) {
                let grown = (number("start")?, number("end")?, number("first")?);
                view.merger.load_grown(grown, Kept::loaded(state, id));
            } else if let Some(view) = tag.get("side").and_then(|view| views.get_mut(view.as_u64()? as usize)) {
                let window = Window { start: number("start")?, end: number("end")? };
                view.sides.insert(window, Kept::loaded(state, id));
            } else {
                return Err(misfit(format!("a piece {tag} of no known kind")));
            }
        }
        Ok(())
    }
}

impl Closing {
    fn save(&mut self, cut: &mut Cut) -> Value {
        // Rows that came from the workers may make another window the next.
        self.next = MARK_MIN;
        let from = self.merger.save(cut);
        let index = self.merger.index();
        for (window, side) in &mut self.sides {
            side.save(cut, json!({ "side": index, "start": window.start, "end": window.end }));
        }
        json!({ "from": from, "last": self.last.map(|last| (last.start, last.end)), "closed": self.closed })
    }
}
