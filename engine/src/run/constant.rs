//! Rows that are in the plan itself, as a partition.

use arrow::array::RecordBatch;

use crate::batch::Offsets;
use crate::connector::{BadRecord, Chunk, Decoded, DecodedBatch, Next, PartitionReader};
use crate::error::Result;
use crate::intake::PreparedChunk;

/// Constant rows need no intake.
pub(super) fn constant_chunk(decoded: Decoded) -> PreparedChunk {
    let batches = decoded.batches.into_iter().map(|b| crate::intake::Prepared {
        columns: b.batch,
        raw: None,
        shown: None,
        offsets: Offsets::Run(0),
        watermarks: None,
    });
    PreparedChunk { records: decoded.records, batches: batches.collect(), broken: decoded.broken, ..Default::default() }
}

/// Reads rows that are in the plan itself.
pub(super) struct ConstantRows(pub(super) Option<RecordBatch>);

impl PartitionReader for ConstantRows {
    fn next(&mut self) -> Result<Next> {
        Ok(match self.0.take() {
            Some(rows) => Next::Chunk(Box::new(ConstantChunk(rows))),
            None => Next::End,
        })
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        let left = self.0.take().map(|rows| {
            let offset = (offset as usize).min(rows.num_rows());
            rows.slice(offset, rows.num_rows() - offset)
        });
        self.0 = left.filter(|rows| rows.num_rows() > 0);
        Ok(())
    }
}

struct ConstantChunk(RecordBatch);

impl Chunk for ConstantChunk {
    fn decode(self: Box<Self>) -> Decoded {
        let records = self.0.num_rows() as u64;
        let bad: Vec<BadRecord> = vec![];
        Decoded { batches: vec![DecodedBatch { batch: self.0, records: None }], records, bad, ..Default::default() }
    }
}
