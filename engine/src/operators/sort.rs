//! `Sort`: `ORDER BY` and `LIMIT` where they are final: over a bounded input at its end, or within closed windows.
//!
//! Rows that compare equal are put in the order of all their columns, so that the answer is one answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use serde_json::{Value, json};

use super::{Emit, Operator};
use crate::batch::{MARK_MAX, MicroBatch, internal};
use crate::checkpoint::piece::{Cut, PieceId, Rows, SavedStep, fact};
use crate::error::Result;
use crate::expr::{Compiled, positive_zeros};
use crate::lineage::Lineage;

/// See the module.
pub struct Sort {
    keys: Vec<(Compiled, SortOptions)>,
    skip: usize,
    fetch: Option<usize>,
    /// True: rows are sorted window by window as they come; false: at the end of the input.
    by_window: bool,
    schema: SchemaRef,
    state: Mutex<State>,
    enough: AtomicBool,
}

/// Rows not yet put in order, and what of the limit is left.
struct State {
    held: Vec<RecordBatch>,
    /// Pieces that have the first of the rows held, and so many batches these are.
    pieces: Vec<(PieceId, usize)>,
    skip: usize,
    fetch: Option<usize>,
}

impl Sort {
    /// Sorts by `keys` and keeps `fetch` rows after `skip`.
    pub fn new(
        keys: Vec<(Compiled, SortOptions)>,
        skip: usize,
        fetch: Option<usize>,
        by_window: bool,
        schema: SchemaRef,
    ) -> Self {
        let state = Mutex::new(State { held: vec![], pieces: vec![], skip, fetch });
        Sort { keys, skip, fetch, by_window, schema, state, enough: AtomicBool::new(fetch == Some(0)) }
    }

    /// These rows in order; at most the first `limit`.
    fn sorted(&self, batches: &[RecordBatch], limit: Option<usize>) -> Result<RecordBatch> {
        let all = concat_batches(&self.schema, batches).map_err(internal)?;
        if all.num_rows() == 0 {
            return Ok(all);
        }
        let mut columns: Vec<SortColumn> = vec![];
        for (key, options) in &self.keys {
            let values =
                key.evaluate(&all).and_then(|v| v.into_array(all.num_rows())).map_err(crate::expr::plan_error)?;
            columns.push(SortColumn { values: positive_zeros(&values), options: Some(*options) });
        }
        let ties = all.columns().iter().filter(|c| sortable(c.data_type()));
        columns.extend(ties.map(|values: &ArrayRef| SortColumn { values: values.clone(), options: None }));
        if columns.is_empty() {
            return Ok(all.slice(0, limit.unwrap_or(usize::MAX).min(all.num_rows())));
        }
        let order = lexsort_to_indices(&columns, limit).map_err(internal)?;
        take_record_batch(&all, &order).map_err(internal)
    }
}

/// Types that Arrow can put in order.
pub(super) fn sortable(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::Interval(_) | DataType::Null)
}

impl Operator for Sort {
    fn push(&self, _slot: usize, batch: MicroBatch, _out: &mut Emit) -> Result<()> {
        let batch = batch.dense()?;
        let mut state = self.state.lock().expect("no panic holds this lock");
        if state.fetch != Some(0) {
            state.held.push(batch.columns);
        }
        // With a limit, rows that can no longer be among the first are let go.
        if let (false, Some(fetch)) = (self.by_window, self.fetch) {
            let limit = fetch.saturating_add(self.skip);
            let rows: usize = state.held.iter().map(|b| b.num_rows()).sum();
            if rows > limit.saturating_mul(4).saturating_add(65_536) {
                let best = self.sorted(&state.held, Some(limit))?;
                state.held = vec![best];
                state.pieces.clear();
            }
        }
        Ok(())
    }

    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        if !self.by_window && mark != MARK_MAX {
            return Ok(mark);
        }
        let mut state = self.state.lock().expect("no panic holds this lock");
        let held = std::mem::take(&mut state.held);
        state.pieces.clear();
        if held.is_empty() || state.fetch == Some(0) {
            return Ok(mark);
        }
        // What is held comes before everything that comes later, so limits count on from window to window.
        let sorted = self.sorted(&held, state.fetch.map(|f| f.saturating_add(state.skip)))?;
        let skip = state.skip.min(sorted.num_rows());
        let rows = sorted.slice(skip, sorted.num_rows() - skip);
        state.skip -= skip;
        state.fetch = state.fetch.map(|f| f - rows.num_rows());
        self.enough.store(state.fetch == Some(0), Ordering::Relaxed);
        if rows.num_rows() > 0 {
            out.batches.push(MicroBatch::derived(rows));
        }
        Ok(mark)
    }

    fn has_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    fn describe(&self) -> String {
        let keys: Vec<String> =
            self.keys.iter().map(|(k, o)| format!("{k}{}", if o.descending { " DESC" } else { "" })).collect();
        let limit = self.fetch.map(|f| format!(" limit {f}")).unwrap_or_default();
        format!("Sort [{}]{limit}{}", keys.join(", "), if self.by_window { " by window" } else { "" })
    }

    fn state_schema(&self, input: &Lineage) -> Option<String> {
        let keys: Vec<String> = self.keys.iter().map(|(key, _)| input.expr(key)).collect();
        let fields = self.schema.fields().iter().enumerate();
        let columns: Vec<String> = fields.map(|(at, f)| format!("{} {}", input.column(at), f.data_type())).collect();
        Some(format!("rows in the order of [{}]\n{}", keys.join(", "), columns.join(", ")))
    }

    fn save(&self, cut: &mut Cut) -> Result<()> {
        let mut state = self.state.lock().expect("no panic holds this lock");
        let written: usize = state.pieces.iter().map(|(_, batches)| batches).sum();
        state.pieces.iter().for_each(|(id, _)| cut.piece(*id, Value::Null, None));
        let fresh = state.held[written..].to_vec();
        if !fresh.is_empty() {
            let id = cut.id();
            state.pieces.push((id, fresh.len()));
            cut.piece(id, Value::Null, Some(Arc::new(Rows(fresh))));
        }
        cut.facts(json!({ "skip": state.skip, "fetch": state.fetch }));
        Ok(())
    }

    fn load(&self, saved: SavedStep) -> Result<()> {
        let mut state = self.state.lock().expect("no panic holds this lock");
        (state.skip, state.fetch) = (fact(&saved.facts, "skip")?, fact(&saved.facts, "fetch")?);
        self.enough.store(state.fetch == Some(0), Ordering::Relaxed);
        for piece in saved.pieces {
            state.pieces.push((piece.id, piece.batches.len()));
            for batch in piece.batches {
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let columns = batch.columns().to_vec();
                let named = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
                state.held.push(named.map_err(internal)?);
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.state.lock().expect("no panic holds this lock").held.iter().map(|b| b.get_array_memory_size()).sum()
    }
}
