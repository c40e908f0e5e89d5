//! `WindowExpand`: a row per window that holds it, with `window_start`, `window_end` and `window_time` as columns.
//!
//! Used where a window table function is read other than by grouping on its windows. Keeps no state and drops no row:
//! lateness is judged where windows are aggregated.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};

use super::{Emit, Operator, times_us, timestamps};
use crate::batch::{MicroBatch, internal};
use crate::error::Result;
use crate::lineage::Lineage;
use crate::panes::Panes;

/// See the module.
pub struct WindowExpand {
    /// Window arithmetic.
    pub panes: Panes,
    /// Column with the event time.
    pub time: usize,
    /// One tick of the event time in µs.
    pub tick: i64,
    /// Type of the three window columns.
    pub bound_type: DataType,
    /// Input columns, then the three window columns.
    pub schema: SchemaRef,
    /// How the query writes the window.
    pub text: String,
}

impl Operator for WindowExpand {
    fn push(&self, _slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let batch = batch.dense()?;
        let times = times_us(batch.columns.column(self.time));
        let (mut rows, mut starts, mut ends) = (vec![], vec![], vec![]);
        for (row, &t) in times.iter().enumerate() {
            for window in self.panes.windows(self.panes.pane_of(self.panes.cut_time(t))) {
                rows.push(row as u32);
                starts.push(self.panes.start_of(window.start));
                ends.push(self.panes.end_of(window.end));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let taken = batch.take(&UInt32Array::from(rows))?;
        let last: Vec<i64> = ends.iter().map(|e| e - self.tick).collect();
        let mut columns: Vec<ArrayRef> = taken.columns.columns().to_vec();
        for bound in [starts, ends, last] {
            columns.push(timestamps(bound, &self.bound_type)?);
        }
        out.batches.push(taken.with_columns(RecordBatch::try_new(self.schema.clone(), columns).map_err(internal)?));
        Ok(())
    }

    fn describe(&self) -> String {
        format!("WindowExpand {}", self.text)
    }

    fn lineage(&self, input: &Lineage) -> Lineage {
        input.and(&format!("{} over {}", self.text, input.column(self.time)), 3)
    }

    fn is_stateless(&self) -> bool {
        true
    }
}
