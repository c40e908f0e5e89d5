//! Rows that wait until the watermark has passed their time, and are then taken in the order of time, partition and offset.
//!
//! Or they wait for their turn only: until all micro-batches that were given out before theirs are here, too.
//!
//! Workers put rows into slots of their own; who hears the watermark takes those that are due. Until then rows out of order may still
//! come, so what is due depends on the rows and not on how they came.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{SortColumn, cast, interleave_record_batch, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type, UInt64Type};

use super::sort::sortable;
use super::{Emit, show_time, times_us};
use crate::batch::{MARK_MAX, MARK_MIN, MicroBatch, Offsets, internal, row_json};
use crate::checkpoint::piece::misfit;
use crate::connector::{DeadLetter, LetterKind};
use crate::error::{Error, Result};
use crate::expr::letter;

/// See the module.
pub(super) struct Waiting {
    /// The columns of the rows.
    input: SchemaRef,
    /// The column with the event time.
    time: usize,
    /// What letters call the step.
    operator: &'static str,
    /// Rows that came since the last look, per worker.
    slots: Vec<Mutex<Vec<Held>>>,
    /// Those from before.
    held: Mutex<Vec<Held>>,
}

/// Rows whose time has not come.
struct Held {
    rows: RecordBatch,
    times: Arc<[i64]>,
    /// Least and greatest time.
    range: (i64, i64),
    partition: u32,
    offsets: Offsets,
    /// Where they came from, for letters: table and partition in it.
    source: (Arc<str>, u32),
    /// When they arrived, and the watermark of their partition just before.
    turn: u64,
    mark: i64,
    /// Rows that went before these and whose memory is still held.
    ahead: usize,
}

/// Rows that are due, in order.
pub(super) struct Due {
    pub(super) rows: RecordBatch,
    /// Their times in µs.
    pub(super) times: Arc<[i64]>,
    /// Where each comes from: index into `sources`, and its offset there.
    origins: Vec<(u32, u64)>,
    sources: Arc<[(Arc<str>, u32)]>,
    /// When they arrived, if they were taken in that order.
    pub(super) turn: u64,
}

/// Rows that are due, taken part by part: what is in order already is merged, not sorted.
pub(super) struct Parts {
    runs: Vec<DueRun>,
    sources: Arc<[(Arc<str>, u32)]>,
    at_once: usize,
    /// Of the rows of a part: time, partition, offset, which run, and the row there.
    places: Vec<(i64, u32, u64, u32, u32)>,
}

/// The rows of a batch that are due.
struct DueRun {
    held: Held,
    /// Which they are, in the order of time and offset; the first ones if they are in that order.
    order: Option<Vec<u32>>,
    /// Those before it have been taken.
    next: usize,
    len: usize,
}

impl DueRun {
    fn row(&self, at: usize) -> u32 {
        self.order.as_ref().map_or(at as u32, |order| order[at])
    }

    fn time(&self, at: usize) -> i64 {
        self.held.times[self.row(at) as usize]
    }

    /// The first that is later than `time`, of those that are left.
    fn end(&self, time: i64) -> usize {
        let (mut low, mut high) = (self.next, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time(middle) <= time { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Parts {
    /// The next rows; `None` once all are taken.
    pub(super) fn next(&mut self) -> Result<Option<Due>> {
        let Some(last) = self.last_time() else { return Ok(None) };
        let places = &mut self.places;
        places.clear();
        // The batches that this part has rows of, and which of them each run's is.
        let (mut batches, mut batch_of) = (vec![], vec![0; self.runs.len()]);
        for (of, run) in self.runs.iter_mut().enumerate() {
            let end = run.end(last);
            if end == run.next {
                continue;
            }
            batch_of[of] = batches.len();
            batches.push(run.held.rows.clone());
            let held = &run.held;
            places.extend((run.next..end).map(|at| {
                let row = run.row(at);
                (held.times[row as usize], held.partition, held.offsets.get(row as usize), of as u32, row)
            }));
            run.next = end;
            if run.next == run.len {
                run.held.rows = RecordBatch::new_empty(run.held.rows.schema());
            }
        }
        // Few long runs that ascend, which this sort merges.
        if !places.is_sorted() {
            places.sort();
        }
        let follows = |two: &[(i64, u32, u64, u32, u32)]| two[0].3 == two[1].3 && two[0].4 + 1 == two[1].4;
        let rows = match places.windows(2).all(follows) {
            true => batches[batch_of[places[0].3 as usize]].slice(places[0].4 as usize, places.len()),
            false => {
                let indices: Vec<(usize, usize)> =
                    places.iter().map(|p| (batch_of[p.3 as usize], p.4 as usize)).collect();
                interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &indices).map_err(internal)?
            }
        };
        Ok(Some(Due {
            rows,
            times: places.iter().map(|place| place.0).collect(),
            origins: places.iter().map(|place| (place.3, place.2)).collect(),
            sources: self.sources.clone(),
            turn: 0,
        }))
    }

    /// Up to which time the next part goes: the least up to which there are enough rows.
    fn last_time(&self) -> Option<i64> {
        let left = || self.runs.iter().filter(|run| run.next < run.len);
        let (mut low, mut high) =
            (left().map(|run| run.time(run.next)).min()?, left().map(|run| run.time(run.len - 1)).max()?);
        if left().map(|run| run.len - run.next).sum::<usize>() <= self.at_once {
            return Some(high);
        }
        while low < high {
            // Rounded down, below 0 too: it never is `high`.
            let middle = low + (high.abs_diff(low) / 2) as i64;
            let rows: usize = left().map(|run| run.end(middle) - run.next).sum();
            if rows >= self.at_once { high = middle } else { low = middle + 1 }
        }
        Some(low)
    }
}

impl Waiting {
    /// For rows of these columns. `slots`: how many threads may push at once.
    pub(super) fn new(input: SchemaRef, time: usize, operator: &'static str, slots: usize) -> Self {
        let slots = (0..slots).map(|_| Mutex::new(vec![])).collect();
        Waiting { input, time, operator, slots, held: Mutex::new(vec![]) }
    }

    /// Takes rows in. Those below the watermark of their partition are late, and become letters.
    pub(super) fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let mut batch = batch.dense()?;
        let times = times_us(batch.columns.column(self.time));
        if times.iter().any(|time| *time < batch.marks.max()) {
            let mut on_time = Vec::with_capacity(times.len());
            for (row, &time) in times.iter().enumerate() {
                let mark = batch.marks.before(row);
                if time >= mark {
                    on_time.push(row as u32);
                    continue;
                }
                let reason = format!("late at {}: the watermark was {}", show_time(time), show_time(mark));
                out.late += 1;
                out.letters.push(letter(&batch, row, self.operator, LetterKind::Late, reason));
            }
            if on_time.len() < times.len() {
                batch = batch.take(&UInt32Array::from(on_time))?;
            }
        }
        if let Some(held) = Held::of(batch, self.time) {
            self.slots[slot].lock().expect("no panic holds this lock").push(held);
        }
        Ok(())
    }

    /// All that waits, out of the slots as well.
    fn gathered(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        let mut held = self.held.lock().expect("no panic holds this lock");
        for slot in &self.slots {
            held.append(&mut slot.lock().expect("no panic holds this lock"));
        }
        held
    }

    /// Takes the rows out that the watermark has passed, in the order of time, partition and offset: in parts of `at_once` rows and what
    /// rows of equal time they need to be whole.
    pub(super) fn due(&self, mark: i64, at_once: usize) -> Result<Parts> {
        let mut waiting = self.gathered();
        let (mut runs, mut left) = (vec![], vec![]);
        for held in waiting.drain(..) {
            if mark != MARK_MAX && held.range.0 >= mark {
                left.push(held);
                continue;
            }
            let is_due = |row: &u32| mark == MARK_MAX || held.times[*row as usize] < mark;
            let rows = 0..held.times.len() as u32;
            let offset = |row: u32| held.offsets.get(row as usize);
            let order = match held.times.is_sorted()
                && held
                    .times
                    .windows(2)
                    .zip(rows.clone())
                    .all(|(times, row)| times[0] < times[1] || offset(row) <= offset(row + 1))
            {
                true => None,
                false => {
                    let mut order: Vec<u32> = rows.clone().filter(is_due).collect();
                    order.sort_by_key(|row| (held.times[*row as usize], offset(*row)));
                    Some(order)
                }
            };
            let len = match &order {
                None => held.times.partition_point(|time| mark == MARK_MAX || *time < mark),
                Some(order) => order.len(),
            };
            if len < held.times.len() {
                left.push(match &order {
                    None => held.split_off(len)?,
                    Some(_) => held.take(&rows.filter(|row| !is_due(row)).collect::<Vec<_>>())?,
                });
            }
            runs.push(DueRun { held, order, next: 0, len });
        }
        *waiting = left;
        let sources = runs.iter().map(|run| run.held.source.clone()).collect();
        Ok(Parts { runs, sources, at_once, places: vec![] })
    }

    /// Takes the rows out whose turn is before this one, turn by turn.
    pub(super) fn turns(&self, before: u64) -> Result<Vec<Due>> {
        let mut waiting = self.gathered();
        let (mut due, left) = waiting.drain(..).partition::<Vec<Held>, _>(|held| held.turn < before);
        *waiting = left;
        due.sort_by_key(|held| held.turn);
        due.chunk_by(|a, b| a.turn == b.turn).map(Due::of_turn).collect()
    }

    /// The least watermark that rows which wait have before them.
    pub(super) fn least_mark(&self) -> i64 {
        self.gathered().iter().map(|held| held.mark).min().unwrap_or(MARK_MAX)
    }

    /// What waits, as the batches of a piece of a checkpoint.
    pub(super) fn saved(&self) -> Result<Vec<RecordBatch>> {
        self.gathered().iter().map(Held::saved).collect()
    }

    /// Takes up what [`saved`](Self::saved) has said of rows of the same columns.
    pub(super) fn load(&self, saved: &[RecordBatch]) -> Result<()> {
        let mut held = self.held.lock().expect("no panic holds this lock");
        for rows in saved {
            held.push(Held::load(rows, &self.input, self.operator)?);
        }
        Ok(())
    }

    /// Bytes of what waits.
    pub(super) fn memory_bytes(&self) -> usize {
        let of = |held: &Mutex<Vec<Held>>| -> usize {
            let held = held.lock().expect("no panic holds this lock");
            held.iter().map(|held| held.rows.get_array_memory_size() + held.times.len() * 16).sum()
        };
        self.slots.iter().chain([&self.held]).map(of).sum()
    }
}

impl Due {
    /// Rows of one turn, in the order of offsets: more than one batch of it is here where a `UNION ALL` has brought them.
    fn of_turn(taken: &[Held]) -> Result<Due> {
        let mut places: Vec<(u64, usize, usize)> = vec![];
        for (of, held) in taken.iter().enumerate() {
            places.extend((0..held.times.len()).map(|row| (held.offsets.get(row), of, row)));
        }
        places.sort_by_key(|(offset, ..)| *offset);
        let rows = match taken {
            [one] => one.rows.clone(),
            _ => {
                let batches: Vec<&RecordBatch> = taken.iter().map(|held| &held.rows).collect();
                let indices: Vec<(usize, usize)> = places.iter().map(|(_, of, row)| (*of, *row)).collect();
                interleave_record_batch(&batches, &indices).map_err(internal)?
            }
        };
        Ok(Due {
            rows,
            times: places.iter().map(|(_, of, row)| taken[*of].times[*row]).collect(),
            origins: places.iter().map(|(offset, of, _)| (*of as u32, *offset)).collect(),
            sources: taken.iter().map(|held| held.source.clone()).collect(),
            turn: taken[0].turn,
        })
    }

    /// Rows that have no order of their own: those of equal time in the order of their first columns, as far as these have one.
    pub(super) fn by_values(self, columns: usize) -> Result<Due> {
        let times: ArrayRef = Arc::new(Int64Array::from(self.times.to_vec()));
        let columns = self.rows.columns()[..columns].iter().filter(|column| sortable(column.data_type()));
        let columns = std::iter::once(&times).chain(columns);
        let columns: Vec<SortColumn> =
            columns.map(|values| SortColumn { values: values.clone(), options: None }).collect();
        let order = lexsort_to_indices(&columns, None).map_err(internal)?;
        let rows = take_record_batch(&self.rows, &order).map_err(internal)?;
        let order = order.values();
        let times = order.iter().map(|row| self.times[*row as usize]).collect();
        let origins = order.iter().map(|row| self.origins[*row as usize]).collect();
        Ok(Due { rows, times, origins, ..self })
    }

    /// A letter for a row that there is no answer for; it shows the row's first columns.
    pub(super) fn letter(&self, row: usize, columns: usize, operator: &str, reason: String) -> Result<DeadLetter> {
        let (source, offset) = self.origins[row];
        let (source, partition) = &self.sources[source as usize];
        let shown = self.rows.project(&(0..columns).collect::<Vec<_>>()).map_err(internal)?;
        Ok(DeadLetter {
            source: source.to_string(),
            partition: *partition,
            offset,
            operator: operator.to_string(),
            kind: LetterKind::Expression,
            reason,
            bytes: None,
            row: row_json(&shown, row),
        })
    }
}

impl Held {
    fn of(batch: MicroBatch, time: usize) -> Option<Self> {
        let times = times_us(batch.columns.column(time));
        let range = times.iter().fold(None, |range, &t| match range {
            None => Some((t, t)),
            Some((low, high)) => Some((t.min(low), t.max(high))),
        })?;
        let source = match &batch.origin {
            Some(origin) => (origin.source.clone(), origin.partition),
            None => (Arc::from(""), batch.partition),
        };
        let mark = batch.marks.carry();
        let MicroBatch { columns: rows, partition, offsets, turn, .. } = batch;
        Some(Held { rows, times, range, partition, offsets, source, turn, mark, ahead: 0 })
    }

    /// Some of the rows, at least one.
    fn take(&self, rows: &[u32]) -> Result<Self> {
        let times: Arc<[i64]> = rows.iter().map(|row| self.times[*row as usize]).collect();
        let range = (*times.iter().min().unwrap_or(&0), *times.iter().max().unwrap_or(&0));
        let offsets = rows.iter().map(|row| self.offsets.get(*row as usize)).collect();
        let taken = take_record_batch(&self.rows, &UInt32Array::from(rows.to_vec())).map_err(internal)?;
        Ok(Held {
            rows: taken,
            times,
            range,
            partition: self.partition,
            offsets: Offsets::List(Arc::new(offsets)),
            source: self.source.clone(),
            ahead: 0,
            ..*self
        })
    }

    /// The rows from this one on, at least one; the others stay. Where few stay, no row is copied: what they need of memory is little.
    fn split_off(&self, start: usize) -> Result<Self> {
        let times: Arc<[i64]> = self.times[start..].into();
        let n = times.len();
        if self.ahead + start > n {
            return self.take(&(start as u32..(start + n) as u32).collect::<Vec<_>>());
        }
        Ok(Held {
            rows: self.rows.slice(start, n),
            range: (times[0], times[n - 1]),
            times,
            offsets: self.offsets.slice(start, n),
            ahead: self.ahead + start,
            source: self.source.clone(),
            ..*self
        })
    }

    /// As a piece of a checkpoint: the rows, then times and offsets; who they are in the schema.
    fn saved(&self) -> Result<RecordBatch> {
        let mut fields: Vec<Arc<Field>> = self.rows.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("$time", DataType::Int64, false)));
        fields.push(Arc::new(Field::new("$offset", DataType::UInt64, false)));
        fields.push(Arc::new(Field::new("$partition", DataType::UInt32, false)));
        let mut columns = self.rows.columns().to_vec();
        let n = self.times.len();
        columns.push(Arc::new(Int64Array::from(self.times.to_vec())));
        columns.push(Arc::new(UInt64Array::from_iter_values((0..n).map(|row| self.offsets.get(row)))));
        columns.push(Arc::new(UInt32Array::from(vec![self.partition; n])));
        let source =
            [("source".to_string(), self.source.0.to_string()), ("partition".into(), self.source.1.to_string())];
        let schema = Schema::new_with_metadata(fields, source.into());
        RecordBatch::try_new(Arc::new(schema), columns).map_err(internal)
    }

    fn load(saved: &RecordBatch, input: &SchemaRef, operator: &str) -> Result<Self> {
        let n = input.fields().len();
        let other = || -> Error { misfit(format!("rows of another {operator}")) };
        if saved.num_columns() != n + 3 || saved.num_rows() == 0 {
            return Err(other());
        }
        let own = saved.columns()[..n].iter().zip(input.fields());
        let own = own.map(|(column, field)| cast(column, field.data_type())).collect::<Result<Vec<_>, _>>();
        let rows = RecordBatch::try_new(input.clone(), own.map_err(|e| other().because(e))?)
            .map_err(|e| other().because(e))?;
        let times: Arc<[i64]> =
            saved.column(n).as_primitive_opt::<Int64Type>().ok_or_else(other)?.values().to_vec().into();
        let offsets = saved.column(n + 1).as_primitive_opt::<UInt64Type>().ok_or_else(other)?.values().to_vec();
        let partition = saved.column(n + 2).as_primitive_opt::<UInt32Type>().ok_or_else(other)?.value(0);
        let schema = saved.schema();
        let said = |key: &str| schema.metadata().get(key).cloned().ok_or_else(other);
        let source = (Arc::from(said("source")?), said("partition")?.parse().map_err(|_| other())?);
        let range = (*times.iter().min().unwrap_or(&0), *times.iter().max().unwrap_or(&0));
        let offsets = Offsets::List(Arc::new(offsets));
        // What a checkpoint has waits for its time, not for its turn.
        Ok(Held { rows, times, range, partition, offsets, source, turn: 0, mark: MARK_MIN, ahead: 0 })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{TimestampMicrosecondArray, UInt64Array};

    use super::*;
    use crate::dice::Dice;

    #[test]
    fn parts_are_all_rows_that_are_due_in_order() {
        for seed in 0..300 {
            let mut dice = Dice(seed);
            let schema = Arc::new(Schema::new(vec![
                Field::new("t", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None), false),
                Field::new("id", DataType::UInt64, false),
            ]));
            let waiting = Waiting::new(schema.clone(), 0, "TEST", 1);
            // Before 1970, after it, and on both sides.
            let first = [-1_000_000, 1_000_000, -60][dice.below(3) as usize];
            let (mut all, mut next) = (vec![], [0u64; 2]);
            for _ in 0..dice.below(6) {
                let partition = dice.below(2) as usize;
                let rows = 1 + dice.below(40);
                let ascends = dice.below(2) == 0;
                let mut times: Vec<i64> = (0..rows).map(|_| first + dice.below(120) as i64).collect();
                if ascends {
                    times.sort_unstable();
                }
                let ids: Vec<u64> = (0..rows).map(|row| next[partition] + row).collect();
                all.extend(times.iter().zip(&ids).map(|(time, id)| (*time, partition as u32, *id)));
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(TimestampMicrosecondArray::from(times)), Arc::new(UInt64Array::from(ids))];
                let batch = MicroBatch::derived(RecordBatch::try_new(schema.clone(), columns).unwrap());
                let offsets = Offsets::Run(next[partition]);
                next[partition] += rows;
                let batch = MicroBatch { partition: partition as u32, offsets, ..batch };
                waiting.push(0, batch, &mut Emit::default()).unwrap();
            }
            all.sort_unstable();
            let mut found: Vec<(i64, u64)> = vec![];
            for mark in [first + 30, first + 31, first + 90, MARK_MAX] {
                let at_once = 1 + dice.below(30) as usize;
                let mut parts = waiting.due(mark, at_once).unwrap();
                while let Some(due) = parts.next().unwrap() {
                    let last = due.times[due.times.len() - 1];
                    assert!(mark == MARK_MAX || last < mark);
                    assert!(found.last().is_none_or(|(time, ..)| *time < due.times[0]), "peers come together");
                    assert!(due.times.iter().filter(|time| **time < last).count() < at_once, "no more than it takes");
                    let ids = due.rows.column(1).as_primitive::<UInt64Type>();
                    assert_eq!(times_us(due.rows.column(0)), due.times);
                    assert!(due.origins.iter().map(|(_, offset)| offset).eq(ids.values()));
                    found.extend(due.times.iter().copied().zip(ids.values().iter().copied()));
                }
                assert_eq!(found.len(), all.iter().filter(|(time, ..)| mark == MARK_MAX || *time < mark).count());
            }
            let want: Vec<(i64, u64)> = all.iter().map(|(time, _, id)| (*time, *id)).collect();
            assert_eq!(found, want, "seed {seed}");
        }
    }
}
