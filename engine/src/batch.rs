//! The micro-batch: Arrow columns plus what the engine knows of each row (partition, offset, watermark before it).

use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::filter;
use pelton_kernels::Rows;
use pelton_kernels::gather::gather;
use pelton_kernels::numbers::range;

use crate::error::{Error, Result};
use crate::operators;

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
    /// Row `i` is that row of others.
    Of(Arc<Offsets>, UInt32Array),
}

impl Offsets {
    /// Offset of row `i`.
    pub fn get(&self, i: usize) -> u64 {
        match self {
            Offsets::Run(first) => first + i as u64,
            Offsets::List(list) => list[i],
            Offsets::Of(others, rows) => others.get(rows.value(i) as usize),
        }
    }

    pub(crate) fn slice(&self, start: usize, len: usize) -> Self {
        match self {
            Offsets::Run(first) => Offsets::Run(first + start as u64),
            Offsets::List(list) => Offsets::List(Arc::new(list[start..start + len].to_vec())),
            Offsets::Of(others, rows) => Offsets::Of(others.clone(), rows.slice(start, len)),
        }
    }

    fn take(&self, rows: &UInt32Array) -> Self {
        match self {
            Offsets::Of(others, before) => Offsets::Of(others.clone(), through(before, rows)),
            others => Offsets::Of(Arc::new(others.clone()), rows.clone()),
        }
    }
}

/// `rows` of those that `before` took.
fn through(before: &UInt32Array, rows: &UInt32Array) -> UInt32Array {
    UInt32Array::from_iter_values(rows.values().iter().map(|&i| before.value(i as usize)))
}

/// The watermark of its own partition just before each row: the greater of `carry` (rows of earlier batches) and the
/// running maximum of the batch's own watermarks. That maximum is computed when somebody asks for a row's mark: where
/// [`Marks::max`] shows that no row can be late, nobody does.
#[derive(Clone, Debug)]
pub struct Marks {
    carry: i64,
    top: i64,
    local: Option<Arc<Local>>,
    /// Which rows of `local` these are; `None` for all of them.
    rows: Option<UInt32Array>,
}

/// The watermark of each row alone: times, and how many of their ticks the watermarks are off them.
#[derive(Clone, Debug)]
pub struct Watermarks {
    times: ArrayRef,
    ticks: i64,
    /// Least and greatest of the times, in ticks, if known.
    range: Option<(i64, i64)>,
}

impl Watermarks {
    /// Watermarks that are written down. NULL says nothing.
    pub fn of(watermarks: ArrayRef) -> Self {
        Watermarks { times: watermarks, ticks: 0, range: None }
    }

    /// Watermarks `ticks` off the times, of which none is NULL; `None` if one of them would leave the type.
    pub fn off(times: ArrayRef, ticks: i64) -> Option<Self> {
        debug_assert_eq!(times.null_count(), 0, "rows without an event time are refused before");
        let (low, high) = range(operators::ticks(&times))?;
        low.checked_add(ticks)?;
        high.checked_add(ticks)?;
        Some(Watermarks { times, ticks, range: Some((low, high)) })
    }

    /// Those of a run of rows.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        let range = self.range.filter(|_| len == self.times.len());
        Watermarks { times: self.times.slice(start, len), range, ..*self }
    }

    /// Those of some of the rows.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let times = filter(&self.times, keep).map_err(internal)?;
        let range = if times.is_empty() { None } else { self.range.and_then(|_| range(operators::ticks(&times))) };
        Ok(Watermarks { times, range, ..*self })
    }

    /// A number of ticks as a watermark in µs.
    fn us(&self, time: i64) -> i64 {
        operators::in_us(time + self.ticks, self.times.data_type())
    }

    /// The greatest, in µs.
    fn max(&self) -> Option<i64> {
        match self.range {
            Some((_, high)) => Some(self.us(high)),
            None if self.times.null_count() > 0 => operators::max_us(&self.times),
            None => range(operators::ticks(&self.times)).map(|(_, high)| self.us(high)),
        }
    }
}

#[derive(Debug)]
struct Local {
    watermarks: Watermarks,
    /// Running maximum of blocks of [`BLOCK`] rows, NULLs' values included.
    blocks: OnceLock<Vec<i64>>,
    /// Exclusive running maximum, block by block: rows are asked for one by one where a window ends in their block.
    before: Vec<OnceLock<Vec<i64>>>,
}

/// Rows that are looked at together where one answer may do for all.
pub const BLOCK: usize = 1024;

impl Local {
    fn new(watermarks: Watermarks) -> Self {
        let blocks = watermarks.times.len().div_ceil(BLOCK);
        Local { watermarks, blocks: OnceLock::new(), before: (0..blocks).map(|_| OnceLock::new()).collect() }
    }

    /// At least the marks before every row up to `row`.
    fn bound(&self, row: usize) -> i64 {
        let blocks = self.blocks.get_or_init(|| {
            let mut top = MARK_MIN;
            let highest = |times: &[i64]| {
                let (_, high) = range(times)?;
                top = top.max(self.watermarks.us(high));
                Some(top)
            };
            operators::ticks(&self.watermarks.times).chunks(BLOCK).map_while(highest).collect()
        });
        blocks[row / BLOCK]
    }

    /// The greatest watermark of the rows before `row`.
    fn before(&self, row: usize) -> i64 {
        let (block, nulls) = (row / BLOCK, self.watermarks.times.nulls());
        if row.is_multiple_of(BLOCK) && nulls.is_none() {
            return if block == 0 { MARK_MIN } else { self.bound(row - 1) };
        }
        let exclusive = self.before[block].get_or_init(|| {
            let first = block * BLOCK;
            let mut top = match block.checked_sub(1) {
                None => MARK_MIN,
                Some(_) if nulls.is_none() => self.bound(first - 1),
                Some(_) => self.before(first - 1).max(self.own(first - 1)),
            };
            let last = (first + BLOCK).min(self.watermarks.times.len());
            let mut before = |row| {
                let highest = top;
                top = top.max(self.own(row));
                highest
            };
            (first..last).map(&mut before).collect()
        });
        exclusive[row % BLOCK]
    }

    /// The watermark of a row alone. NULL says nothing.
    fn own(&self, row: usize) -> i64 {
        match self.watermarks.times.is_valid(row) {
            true => self.watermarks.us(operators::ticks(&self.watermarks.times)[row]),
            false => MARK_MIN,
        }
    }
}

impl Marks {
    /// Marks under which no row is late.
    pub const NONE: Marks = Marks { carry: MARK_MIN, top: MARK_MIN, local: None, rows: None };

    /// Marks of rows with these watermarks, in a partition that stands at `carry`.
    pub fn of(carry: i64, watermarks: Option<Watermarks>) -> Self {
        let highest = watermarks.as_ref().and_then(Watermarks::max).unwrap_or(MARK_MIN);
        // Where no row raises the watermark, one number says all.
        let local = watermarks.filter(|_| highest > carry);
        let local = local.map(|watermarks| Arc::new(Local::new(watermarks)));
        Marks { carry, top: carry.max(highest), local, rows: None }
    }

    /// The least and the greatest of the times in `column`, in µs, if the watermarks are off just these.
    pub fn range_of(&self, column: &ArrayRef) -> Option<(i64, i64)> {
        let watermarks = &self.local.as_ref()?.watermarks;
        let (low, high) = watermarks.range.filter(|_| watermarks.times.data_type() == column.data_type())?;
        let (ours, theirs) = (operators::ticks(&watermarks.times), operators::ticks(column));
        let same = std::ptr::eq(ours, theirs);
        same.then(|| (operators::in_us(low, column.data_type()), operators::in_us(high, column.data_type())))
    }

    /// Watermark of the partition before the batch, in µs.
    pub fn carry(&self) -> i64 {
        self.carry
    }

    /// Watermark before row `i`.
    #[inline]
    pub fn before(&self, i: usize) -> i64 {
        match (&self.local, &self.rows) {
            (None, _) => self.carry,
            (Some(local), None) => self.carry.max(local.before(i)),
            (Some(local), Some(rows)) => self.carry.max(local.before(rows.value(i) as usize)),
        }
    }

    /// An upper bound of the marks of the rows up to row `i`, cheaper than [`Marks::before`].
    pub fn bound(&self, i: usize) -> i64 {
        match (&self.local, &self.rows) {
            (None, _) => self.carry,
            (Some(local), None) => self.carry.max(local.bound(i)),
            (Some(local), Some(rows)) => self.carry.max(local.bound(rows.value(i) as usize)),
        }
    }

    /// An upper bound of all rows' marks; of a whole batch the watermark after it.
    pub fn max(&self) -> i64 {
        self.top
    }

    fn take(&self, rows: &UInt32Array) -> Self {
        let rows = match &self.rows {
            Some(before) => through(before, rows),
            None => rows.clone(),
        };
        Marks { rows: self.local.is_some().then_some(rows), ..self.clone() }
    }

    /// Those of a run of rows.
    fn slice(&self, start: usize, len: usize) -> Self {
        match (&self.local, &self.rows) {
            (None, _) => self.clone(),
            (Some(_), _) if len == 0 => Marks { local: None, rows: None, ..self.clone() },
            (Some(local), None) => {
                let (carry, end) = (self.before(start), start + len);
                let top = if end == local.watermarks.times.len() { self.top } else { self.before(end) };
                // Where no row raises the watermark, one number says all.
                let local = (top > carry).then(|| Arc::new(Local::new(local.watermarks.slice(start, len))));
                Marks { carry, top, local, rows: None }
            }
            (Some(_), Some(rows)) => Marks { rows: Some(rows.slice(start, len)), ..self.clone() },
        }
    }

    /// The marks of two runs of rows, one behind the other.
    pub(crate) fn join(left: (&Marks, usize), right: (&Marks, usize)) -> Self {
        let halves = [left, right];
        let before: Vec<i64> = halves.iter().flat_map(|(marks, n)| (0..*n).map(|i| marks.before(i))).collect();
        let top = left.0.top.max(right.0.top);
        // A row's mark is the watermark of the row before it.
        let first = before.first().copied().unwrap_or(MARK_MIN);
        let watermarks = TimestampMicrosecondArray::from_iter_values(before.into_iter().skip(1).chain([top]));
        let local = Some(Arc::new(Local::new(Watermarks::of(Arc::new(watermarks)))));
        Marks { carry: left.0.carry.max(first), top, local, rows: None }
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
        let n = self.columns.num_rows();
        if let Offsets::Run(first) = &self.offsets {
            return usize::try_from(offset.checked_sub(*first)?).ok().filter(|i| *i < n);
        }
        let (mut low, mut high) = (0, n);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.offsets.get(middle) < offset { low = middle + 1 } else { high = middle }
        }
        (low < n && self.offsets.get(low) == offset).then_some(low)
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
    /// Which rows of the columns there are, ascending; `None` for all. A filter leaves the columns as they are and says
    /// here what is left: who needs the rows side by side asks for [`MicroBatch::dense`].
    pub selection: Option<UInt32Array>,
    /// Number of the partition, unique within the pipeline and ordered by (source, partition).
    pub partition: u32,
    /// Offsets of the columns' rows.
    pub offsets: Offsets,
    /// Watermark before each of the columns' rows.
    pub marks: Marks,
    /// The source rows behind them, for dead letters.
    pub origin: Option<Arc<Origin>>,
    /// When its rows arrived: its number among the micro-batches that were given out; 0 for rows of windows.
    pub turn: u64,
}

impl MicroBatch {
    /// Rows that came out of a window: never late, of no partition.
    pub fn derived(columns: RecordBatch) -> Self {
        MicroBatch {
            columns,
            selection: None,
            partition: DERIVED,
            offsets: Offsets::Run(0),
            marks: Marks::NONE,
            origin: None,
            turn: 0,
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.selection.as_ref().map_or(self.columns.num_rows(), |s| s.len())
    }

    /// The rows for kernels: indices into the columns.
    pub fn selected(&self) -> Rows<'_> {
        match &self.selection {
            None => Rows::All(self.columns.num_rows()),
            Some(selection) => Rows::List(selection.values()),
        }
    }

    /// The same rows with other columns.
    pub fn with_columns(&self, columns: RecordBatch) -> Self {
        debug_assert_eq!(columns.num_rows(), self.columns.num_rows());
        MicroBatch { columns, ..self.clone() }
    }

    /// The same rows side by side.
    pub fn dense(&self) -> Result<Self> {
        match &self.selection {
            None => Ok(self.clone()),
            Some(selection) => MicroBatch { selection: None, ..self.clone() }.take(selection),
        }
    }

    /// A run of rows. The batch is dense.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        debug_assert!(self.selection.is_none());
        MicroBatch {
            columns: self.columns.slice(start, len),
            selection: None,
            partition: self.partition,
            offsets: self.offsets.slice(start, len),
            marks: self.marks.slice(start, len),
            origin: self.origin.clone(),
            turn: self.turn,
        }
    }

    /// The rows for which `keep` is true (NULL counts as false), side by side. The batch is dense.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        debug_assert!(self.selection.is_none());
        let rows = selected(keep);
        if rows.len() == self.columns.num_rows() {
            return Ok(self.clone());
        }
        self.take(&rows)
    }

    /// Rows by index, repeats allowed, ascending (a join or a window assignment makes several of one). The batch is dense.
    pub fn take(&self, rows: &UInt32Array) -> Result<Self> {
        debug_assert!(self.selection.is_none());
        let gathered = gather(self.columns.columns(), rows).map_err(internal)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(MicroBatch {
            columns: RecordBatch::try_new_with_options(self.columns.schema(), gathered, &options).map_err(internal)?,
            selection: None,
            partition: self.partition,
            offsets: self.offsets.take(rows),
            marks: self.marks.take(rows),
            origin: self.origin.clone(),
            turn: self.turn,
        })
    }
}

/// Indices of the true lanes.
pub fn selected(keep: &BooleanArray) -> UInt32Array {
    let lanes = match keep.nulls() {
        None => keep.values().clone(),
        Some(nulls) => keep.values() & nulls.inner(),
    };
    let mut rows = Vec::with_capacity(lanes.count_set_bits());
    rows.extend(lanes.set_indices_u32());
    UInt32Array::from(rows)
}

/// An Arrow failure that no input should be able to cause.
pub(crate) fn internal(error: arrow::error::ArrowError) -> Error {
    Error::bug("internal error in a column operation").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slice_has_the_marks_of_its_rows(
            times in prop::collection::vec(prop::option::weighted(0.999, 0_i64..5000), 1..5000),
            carry in prop_oneof![Just(MARK_MIN), 0_i64..6000],
            (start, end) in (0.0_f64..=1.0, 0.0_f64..=1.0),
            aligned in any::<bool>(),
            taken in any::<bool>(),
        ) {
            let at = |share: f64| {
                let row = (share * times.len() as f64) as usize;
                if aligned { row / BLOCK * BLOCK } else { row }
            };
            let (start, end) = (at(start).min(at(end)).min(times.len() - 1), at(start).max(at(end)));
            let end = end.max(start + 1);
            let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.clone()));
            let mut marks = Marks::of(carry, Some(Watermarks::of(column)));
            if taken {
                marks = marks.take(&UInt32Array::from_iter_values(0..times.len() as u32));
            }
            let slice = marks.slice(start, end - start);
            let mut after = carry;
            for (row, time) in times.iter().enumerate().take(end) {
                if row >= start {
                    prop_assert_eq!(slice.before(row - start), after, "row {}", row);
                    prop_assert!(slice.bound(row - start) >= after);
                }
                after = after.max(time.unwrap_or(MARK_MIN));
            }
            prop_assert!(slice.max() >= after && (taken || slice.max() == after));
        }
    }
}
