//! The steps of a running query, one file each.
//!
//! An operator never reads a clock, opens a file or spawns a task. Workers push batches at the same time, each with a
//! slot of its own; the watermark is announced by one caller at a time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{
    DataType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use pelton_kernels::Rows;
use pelton_kernels::numbers::range;

use crate::batch::{MicroBatch, internal};
use crate::checkpoint::piece::{Cut, SavedStep};
use crate::connector::DeadLetter;
use crate::error::Result;
use crate::expr::Compiled;
use crate::lineage::Lineage;

mod enrich;
mod expand;
pub mod learn;
mod merger;
mod on_device;
pub mod over;
mod select;
mod session;
mod sort;
mod waiting;
mod window_aggregate;

pub use enrich::{Enrich, JoinKind, LookupTable};
pub use expand::WindowExpand;
pub use learn::{About, LearnRows, LearnStage, Question};
pub use on_device::{Before, Chooser, Runs};
pub use over::{OverStage, OverWindows};
pub use select::SelectStep;
pub use session::{SessionAggregate, Sessions};
pub use sort::Sort;
pub use window_aggregate::{Assign, FoldPanes, GroupColumn, MergeWindows, View, WindowAggregate};

/// What a step hands on.
#[derive(Default)]
pub struct Emit {
    /// Batches for the steps that follow.
    pub batches: Vec<MicroBatch>,
    /// Rows that were refused.
    pub letters: Vec<DeadLetter>,
    /// Source rows that were late for at least one of their windows.
    pub late: u64,
    /// There is more at the same watermark: [`Operator::advance`] is to be called again once these rows are handed on, so that not all
    /// of them are in memory together.
    pub more: bool,
}

/// One step of a running query. Workers share it.
pub trait Operator: Send + Sync {
    /// Takes the next batch. Several workers push at once, each with its own `slot`; the order in which batches of
    /// different slots arrive must not be visible in what comes out (the law).
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()>;

    /// Hears that all micro-batches whose turn is before this one have been pushed, and takes their rows in the order of turns, if it
    /// [`takes_turns`](Self::takes_turns). Called before [`advance`](Self::advance), by the same thread.
    fn arrive(&self, before: u64, out: &mut Emit) -> Result<()> {
        let _ = (before, out);
        Ok(())
    }

    /// True if what comes out depends on the order in which micro-batches of several partitions were given out, which is then
    /// kept with their rows.
    fn takes_turns(&self) -> bool {
        false
    }

    /// True if rows that are pushed are kept as they are until the watermark passes them. Few of them are then read before it is heard.
    fn keeps_rows(&self) -> bool {
        false
    }

    /// Hears that the watermark of its input is `mark`: every batch with a row that is not later than `mark` has been
    /// pushed. Emits what is thereby final and answers the watermark that holds for its output. Called by one thread at
    /// a time with ascending marks, and again with the same as long as it says [`Emit::more`]; [`crate::batch::MARK_MAX`] says that the
    /// input has ended.
    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        let _ = out;
        Ok(mark)
    }

    /// One line for `EXPLAIN`.
    fn describe(&self) -> String;

    /// True if it keeps no state: its output for a batch can follow the batch in partition order.
    fn is_stateless(&self) -> bool {
        false
    }

    /// What its input rows must satisfy for it to do anything with them, if that is all it looks at first.
    fn predicate(&self) -> Option<&Compiled> {
        None
    }

    /// True once nothing that comes in can change what came out: its `LIMIT` is reached.
    fn has_enough(&self) -> bool {
        false
    }

    /// What tells its state from that of other steps, as text: a checkpoint of a step with the same text can be loaded. `None` if it
    /// has nothing to keep. The first line is what the step is, the others how it keeps it. `input`: what its rows are made of.
    fn state_schema(&self, input: &Lineage) -> Option<String> {
        let _ = input;
        None
    }

    /// What the columns that it hands on are made of.
    fn lineage(&self, input: &Lineage) -> Lineage {
        Lineage::of_step(&self.state_schema(input).unwrap_or_else(|| format!("{} {input:?}", self.describe())))
    }

    /// Says what it holds, while no worker pushes and nobody advances. Must be quick: what is large is moved aside, to be
    /// written later.
    fn save(&self, cut: &mut Cut) -> Result<()> {
        let _ = cut;
        Ok(())
    }

    /// Takes up what [`save`](Self::save) has said of a step with the same schema, before the first row.
    fn load(&self, saved: SavedStep) -> Result<()> {
        let _ = saved;
        Ok(())
    }

    /// Called now and then, by one thread and beside the workers, once what was moved aside is written: time to put it in order.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Bytes of state held, for progress and tests.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// Event times of a timestamp column in µs (ns are floored). NULL lanes hold anything.
pub fn times_us(column: &ArrayRef) -> Arc<[i64]> {
    let values = ticks(column);
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => values.into(),
        data_type => values.iter().map(|v| in_us(*v, data_type)).collect(),
    }
}

/// The latest of the times in a timestamp column, in µs; `None` if there is none.
pub fn max_us(column: &ArrayRef) -> Option<i64> {
    use arrow::compute::max;
    if column.null_count() == 0 {
        return range_us(column, Rows::All(column.len())).map(|(_, high)| high);
    }
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => max(column.as_primitive::<TimestampSecondType>()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => max(column.as_primitive::<TimestampMillisecondType>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => max(column.as_primitive::<TimestampMicrosecondType>()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => max(column.as_primitive::<TimestampNanosecondType>()),
        other => unreachable!("the planner lets only timestamps be event times, not {other}"),
    }
    .map(|value| in_us(value, column.data_type()))
}

/// A value of a timestamp type in µs.
pub(crate) fn in_us(value: i64, data_type: &DataType) -> i64 {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => value.saturating_mul(1_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => value.saturating_mul(1000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => value.div_euclid(1000),
        _ => value,
    }
}

/// The first and the last of some rows' times, in µs; `None` without rows.
fn range_us(column: &ArrayRef, rows: Rows<'_>) -> Option<(i64, i64)> {
    let values = ticks(column);
    let (low, high) = match rows {
        Rows::All(n) => range(&values[..n])?,
        Rows::List([]) => return None,
        Rows::List(rows) => rows.iter().fold((i64::MAX, i64::MIN), |(low, high), &row| {
            let value = values[row as usize];
            (low.min(value), high.max(value))
        }),
    };
    Some((in_us(low, column.data_type()), in_us(high, column.data_type())))
}

/// The same for a run of rows.
pub(crate) fn range_of(column: &ArrayRef, start: usize, len: usize) -> Option<(i64, i64)> {
    let (low, high) = range(&ticks(column)[start..start + len])?;
    Some((in_us(low, column.data_type()), in_us(high, column.data_type())))
}

/// The values of a timestamp column, of any unit. NULL lanes hold anything.
pub(crate) fn ticks(column: &ArrayRef) -> &[i64] {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => column.as_primitive::<TimestampSecondType>().values(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => column.as_primitive::<TimestampMillisecondType>().values(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => column.as_primitive::<TimestampMicrosecondType>().values(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => column.as_primitive::<TimestampNanosecondType>().values(),
        other => unreachable!("the planner lets only timestamps be event times, not {other}"),
    }
}

/// What gives the rows of a source a total order, for `FIRST_VALUE` and `LAST_VALUE`: event time in µs (0 in tables without
/// one), partition, offset; for all rows of the columns.
fn order_columns(batch: &MicroBatch) -> [ArrayRef; 3] {
    let n = batch.columns.num_rows();
    let times: Vec<i64> = match batch.origin.as_ref().and_then(|origin| Some((origin, origin.time.as_ref()?))) {
        Some((origin, column)) => {
            let (ticks, unit) = (ticks(column), column.data_type());
            let time = |i| origin.index_of(batch.offsets.get(i)).map_or(0, |row| in_us(ticks[row], unit));
            (0..n).map(time).collect()
        }
        None => vec![0; n],
    };
    [
        Arc::new(Int64Array::from(times)),
        Arc::new(UInt32Array::from(vec![batch.partition; n])),
        Arc::new(Int64Array::from_iter_values((0..n).map(|i| batch.offsets.get(i) as i64))),
    ]
}

/// `n` rows of closed windows, in the types of the output.
fn closed_rows(columns: Vec<ArrayRef>, schema: &SchemaRef, n: usize) -> Result<MicroBatch> {
    let columns = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(c, f)| if c.data_type() == f.data_type() { Ok(c) } else { arrow::compute::cast(&c, f.data_type()) })
        .collect::<Result<Vec<_>, _>>()
        .map_err(internal)?;
    let options = RecordBatchOptions::new().with_row_count(Some(n));
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(internal)?;
    Ok(MicroBatch::derived(rows))
}

/// A timestamp column of type `data_type` (second to microsecond) from times in µs.
pub fn timestamps(values: Vec<i64>, data_type: &DataType) -> Result<ArrayRef> {
    let scaled: Vec<i64> = match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => values.into_iter().map(|v| v.div_euclid(1_000_000)).collect(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => values.into_iter().map(|v| v.div_euclid(1000)).collect(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => values,
        other => unreachable!("window bounds are timestamps of at most microseconds, not {other}"),
    };
    arrow::compute::cast(&Int64Array::from(scaled), data_type).map_err(crate::batch::internal)
}

/// A time in µs as people write it.
pub fn show_time(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |t| t.format("%Y-%m-%d %H:%M:%S%.f").to_string())
}
