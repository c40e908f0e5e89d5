//! Computing: a micro-batch goes through the part of the graph that keeps no order.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use pelton_kernels::digest::Digest;

#[cfg(test)]
use super::poison;
use super::{Done, Runner, SinkRows};
use crate::batch::MicroBatch;
use crate::by_window::WindowDigests;
use crate::error::Result;
use crate::graph::{Graph, Output};
use crate::operators::Emit;
use crate::profile::Part;

/// A micro-batch that would take so long makes columns on its way, which should not leave the caches of the core that makes and reads
/// them: it is pushed so many rows at a time. Quicker ones make few columns, and would pay for the steps.
const PIECE_NANOS_MIN: f64 = 5e5;
const PIECE_ROWS: usize = 16_384;

/// Whether batches may be pushed in pieces: nothing is gained where steps keep rows, and devices want many at once.
pub(super) fn in_pieces(graph: &Graph) -> bool {
    !graph.on_device && !graph.keeps_rows() && !graph.takes_turns()
}

/// A batch cut after so many rows, and then behind a record: if its rows are late, that counts once.
fn pieces(batch: &MicroBatch, rows: usize) -> impl Iterator<Item = MicroBatch> {
    let (n, mut start) = (batch.rows(), 0);
    std::iter::from_fn(move || {
        let begins = |at: &usize| batch.offsets.get(*at) != batch.offsets.get(*at - 1);
        let end = (start + rows..n).find(begins).unwrap_or(n);
        let piece = (start < n).then(|| batch.slice(start, end - start));
        start = end;
        piece
    })
}

impl Runner<'_> {
    /// Pushes a micro-batch whose rows are thought to take so long each.
    pub(super) fn compute(&self, slot: usize, batch: MicroBatch, nanos_per_row: f64) -> Result<Done> {
        let mut done = Done::default();
        let source = self.source_of.read().unwrap_or_else(PoisonError::into_inner)[batch.partition as usize];
        self.execution.counters.batches.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        poison::simulated_bug(&batch);
        let outputs = &self.graph.sources[source].outputs;
        let rows = batch.rows();
        if !self.in_pieces || rows as f64 * nanos_per_row < PIECE_NANOS_MIN {
            self.push(slot, outputs, batch, &mut done)?;
            return Ok(done);
        }
        pieces(&batch, PIECE_ROWS).try_for_each(|piece| self.push(slot, outputs, piece, &mut done))?;
        Ok(done)
    }

    pub(super) fn push(&self, slot: usize, outputs: &[Output], batch: MicroBatch, done: &mut Done) -> Result<()> {
        for output in outputs {
            match output {
                Output::Sink(sink) => {
                    let start = self.clock();
                    let batch = batch.dense()?;
                    let end = self.graph.sinks[*sink].window_end.filter(|_| self.execution.by_window);
                    let (digest, windows) = match end {
                        Some((column, plus)) => WindowDigests::parts(&batch.columns, column, plus),
                        None => {
                            let mut digest = Digest::default();
                            if self.execution.digests {
                                digest.update(&batch.columns);
                            }
                            (digest, vec![])
                        }
                    };
                    self.timed(Part::Digest, start, batch.rows());
                    done.rows.push(SinkRows { sink: *sink, rows: batch.columns.clone(), digest, windows });
                }
                Output::Node(index) => {
                    let node = &self.graph.nodes[*index];
                    let mut emit = Emit::default();
                    let (start, rows) = (self.clock(), batch.rows());
                    node.operator.push(slot, batch.clone(), &mut emit)?;
                    self.timed(Part::Step(*index), start, rows);
                    self.take(slot, &node.outputs, emit, done)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn take(&self, slot: usize, outputs: &[Output], emit: Emit, done: &mut Done) -> Result<()> {
        self.execution.counters.late.fetch_add(emit.late, Ordering::Relaxed);
        self.execution.counters.letters.fetch_add(emit.letters.len() as u64, Ordering::Relaxed);
        done.letters.extend(emit.letters);
        for batch in emit.batches {
            self.push(slot, outputs, batch, done)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::batch::Offsets;

    #[test]
    fn pieces_have_all_rows_and_whole_records() {
        for (offsets, want) in [
            (vec![], vec![]),
            (vec![1, 2, 3], vec![3]),
            (vec![1, 2, 3, 4], vec![4]),
            (vec![1, 2, 3, 4, 5, 6, 7, 8, 9], vec![4, 4, 1]),
            (vec![1, 2, 3, 4, 4, 4, 5, 5, 5, 5, 5], vec![6, 5]),
            (vec![7; 10], vec![10]),
        ] {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..offsets.len() as i64));
            let columns = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
            let offsets_of = Offsets::List(Arc::new(offsets.clone()));
            let batch = MicroBatch { offsets: offsets_of, ..MicroBatch::derived(columns.clone()) };
            let all: Vec<MicroBatch> = pieces(&batch, 4).collect();
            assert_eq!(all.iter().map(MicroBatch::rows).collect::<Vec<_>>(), want);
            let rows: Vec<&RecordBatch> = all.iter().map(|piece| &piece.columns).collect();
            assert_eq!(arrow::compute::concat_batches(&columns.schema(), rows).unwrap(), columns);
            let shown: Vec<u64> =
                all.iter().flat_map(|piece| (0..piece.rows()).map(|i| piece.offsets.get(i))).collect();
            assert_eq!(shown, offsets);
        }
    }
}
