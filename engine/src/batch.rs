//! The micro-batch: Arrow columns plus what the engine knows of each row (partition, offset, watermark before it).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};

use crate::error::{Error, Result};

/// "No watermark yet": below every event time.
pub const MARK_MIN: i64 = i64::MIN;
/// The watermark after the end of a bounded input: above every event time.
pub const MARK_MAX: i64 = i64::MAX;

/// Partition number of rows that no source partition can be named for (results of windows).
pub const DERIVED: u32 = u32::MAX;

/// Offsets of a batch's rows in their partition, ascending.
#[derive(Clone, Debug)]
pub enum Offsets {
    /// Row `i` has offset `first + i`.
    Run(u64),
    /// One by one.
    List(Arc<Vec<u64>>),
}

impl Offsets {
    /// Offset of row `i`.
    pub fn get(&self, i: usize) -> u64 {
        match self {
            Offsets::Run(first) => first + i as u64,
            Offsets::List(list) => list[i],
        }
    }
}

/// The watermark of its own partition just before each row: the greater of `carry` (rows of earlier batches) and the
/// running maximum within the batch.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Watermark of the partition before the batch, in µs.
    pub carry: i64,
    /// Exclusive running maximum over the batch's rows; `None` when no row of the batch raised it above `carry`.
    pub local: Option<Arc<Vec<i64>>>,
}

impl Marks {
    /// Marks under which no row is late.
    pub const NONE: Marks = Marks { carry: MARK_MIN, local: None };

    /// Watermark before row `i`.
    #[inline]
    pub fn before(&self, i: usize) -> i64 {
        match &self.local {
            None => self.carry,
            Some(local) => self.carry.max(local[i]),
        }
    }

    /// An upper bound of all rows' marks.
    pub fn max(&self) -> i64 {
        match &self.local {
            None => self.carry,
            // Exclusive running maxima ascend.
            Some(local) => self.carry.max(local.last().copied().unwrap_or(MARK_MIN)),
        }
    }
}

/// The typed rows as they left the source, kept so that a dead letter can show the whole row.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Name of the source table.
    pub source: Arc<str>,
    /// Partition within the source.
    pub partition: u32,
    /// The columns that were read, as the source has them (before computed columns) where letters are kept.
    pub columns: RecordBatch,
    /// Their offsets.
    pub offsets: Offsets,
    /// The event times, if the table has any.
    pub time: Option<ArrayRef>,
}

impl Origin {
    /// The row that has this offset.
    pub fn index_of(&self, offset: u64) -> Option<usize> {
        match &self.offsets {
            Offsets::Run(first) => {
                usize::try_from(offset.checked_sub(*first)?).ok().filter(|i| *i < self.columns.num_rows())
            }
            Offsets::List(list) => list.binary_search(&offset).ok(),
        }
    }

    /// Event times in µs, if the table has any.
    pub fn times(&self) -> Option<Arc<[i64]>> {
        self.time.as_ref().map(crate::operators::times_us)
    }

    /// The source row with this offset as a JSON object.
    pub fn row_json(&self, offset: u64) -> Option<String> {
        row_json(&self.columns, self.index_of(offset)?)
    }
}

/// Row `row` as a JSON object; NULL columns are left out.
pub fn row_json(columns: &RecordBatch, row: usize) -> Option<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(&columns.slice(row, 1)).ok()?;
    writer.finish().ok()?;
    Some(String::from_utf8(writer.into_inner()).ok()?.trim_end().to_string())
}

/// A record batch of one partition with what the engine knows of its rows.
#[derive(Clone, Debug)]
pub struct MicroBatch {
    /// The columns; their meaning is known to the plan.
    pub columns: RecordBatch,
    /// Number of the partition, unique within the pipeline and ordered by (source, partition).
    pub partition: u32,
    /// Offsets of the rows.
    pub offsets: Offsets,
    /// Watermark before each row.
    pub marks: Marks,
    /// The source rows behind them, for dead letters.
    pub origin: Option<Arc<Origin>>,
}

impl MicroBatch {
    /// Rows that came out of a window: never late, of no partition.
    pub fn derived(columns: RecordBatch) -> Self {
        MicroBatch { columns, partition: DERIVED, offsets: Offsets::Run(0), marks: Marks::NONE, origin: None }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.num_rows()
    }

    /// The same rows with other columns.
    pub fn with_columns(&self, columns: RecordBatch) -> Self {
        debug_assert_eq!(columns.num_rows(), self.rows());
        MicroBatch { columns, ..self.clone() }
    }

    /// A run of rows.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        MicroBatch {
            columns: self.columns.slice(start, len),
            partition: self.partition,
            offsets: match &self.offsets {
                Offsets::Run(first) => Offsets::Run(first + start as u64),
                Offsets::List(list) => Offsets::List(Arc::new(list[start..start + len].to_vec())),
            },
            marks: Marks {
                carry: self.marks.carry,
                local: self.marks.local.as_ref().map(|l| Arc::new(l[start..start + len].to_vec())),
            },
            origin: self.origin.clone(),
        }
    }

    /// The rows for which `keep` is true (NULL counts as false).
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let kept = keep.true_count();
        if kept == self.rows() {
            return Ok(self.clone());
        }
        let columns = filter_record_batch(&self.columns, keep).map_err(internal)?;
        let needs_rows =
            matches!(self.offsets, Offsets::List(_)) || self.marks.local.is_some() || self.partition != DERIVED;
        let rows: Vec<usize> = if needs_rows { selected(keep) } else { vec![] };
        Ok(MicroBatch {
            columns,
            partition: self.partition,
            offsets: if needs_rows {
                Offsets::List(Arc::new(rows.iter().map(|&i| self.offsets.get(i)).collect()))
            } else {
                self.offsets.clone()
            },
            marks: self.marks_of(&rows),
            origin: self.origin.clone(),
        })
    }

    /// Rows by index, repeats allowed, ascending (a join or a window assignment makes several of one).
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let rows: Vec<usize> = indices.values().iter().map(|&i| i as usize).collect();
        Ok(MicroBatch {
            columns: take_record_batch(&self.columns, indices).map_err(internal)?,
            partition: self.partition,
            offsets: Offsets::List(Arc::new(rows.iter().map(|&i| self.offsets.get(i)).collect())),
            marks: self.marks_of(&rows),
            origin: self.origin.clone(),
        })
    }

    fn marks_of(&self, rows: &[usize]) -> Marks {
        Marks {
            carry: self.marks.carry,
            local: self.marks.local.as_ref().map(|l| Arc::new(rows.iter().map(|&i| l[i]).collect())),
        }
    }
}

/// Indices of the true lanes.
pub fn selected(keep: &BooleanArray) -> Vec<usize> {
    match keep.nulls() {
        None => keep.values().set_indices().collect(),
        Some(nulls) => keep.values().set_indices().filter(|&i| nulls.is_valid(i)).collect(),
    }
}

/// An Arrow failure that no input should be able to cause.
pub(crate) fn internal(error: arrow::error::ArrowError) -> Error {
    Error::world("internal error in a column operation").because(error)
}
