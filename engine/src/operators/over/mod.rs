//! `OverWindows`: each row with aggregates over rows of its key before it.
//!
//! Rows wait until the watermark has passed their time, since peers and rows out of order may still come. Then they are taken in
//! the order of time, partition and offset, and each is answered from the rows before it; so the answers depend on the rows and
//! on nothing else. In the order of arrival nobody waits: rows are taken in the turns of their micro-batches (`arrival`).
//!
//! `spec` says what is computed, `keyed` keeps the rows of one `PARTITION BY`, `lanes` what is kept of an argument, `answers` makes
//! columns of both.
//!
//! Plain idea: the law is `merge` only, and two stacks a frame (Tangwongsan, Hirzel, Schneider, *Low-Latency Sliding-Window
//! Aggregation in Worst-Case Constant Time*, DEBS 2017). Departure: sums are exact here, so that a frame's sum is a difference of
//! running sums that all frames of a key share, and costs neither a stack nor a step back.

mod answers;
mod arrival;
mod keyed;
mod lanes;
mod saved;
mod spec;
#[cfg(test)]
mod tests;
mod totals;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use serde_json::{Value, json};

use self::answers::Failed;
use self::keyed::Keyed;
pub use self::lanes::is_kept;
pub use self::spec::{Call, Frame, Function, Keys};
use super::waiting::{Due, Parts, Waiting};
use super::{Emit, Operator};
use crate::batch::{MARK_MAX, MicroBatch, Offsets, internal};
use crate::checkpoint::piece::{Cut, PieceId, Rows as RowsPiece, SavedStep, batch_of, fact, misfit};
use crate::error::{Error, Result};
use crate::lineage::Lineage;
use crate::predicate::Predicate;

/// What an [`OverWindows`] does.
#[derive(Clone, Debug, PartialEq)]
pub struct OverStage {
    /// The columns that come in: first those that go on as they are, then keys and arguments.
    pub input: SchemaRef,
    /// How many go on.
    pub passed: usize,
    /// The column with the event time.
    pub time: usize,
    /// One tick of the event time in µs.
    pub tick: i64,
    /// What is computed, one for each `PARTITION BY`.
    pub keys: Vec<Keys>,
    /// The columns that go out: those that go on, then the answers.
    pub schema: SchemaRef,
    /// Rows of equal time come in the order of partition and offset; otherwise of all their columns.
    pub ordered: bool,
    /// Rows are answered as they arrive, each from those that have arrived before it.
    pub arrival: bool,
}

/// See the module.
pub struct OverWindows {
    stage: OverStage,
    /// Rows that are answered, by the columns that go on. The others are kept, since these look at them, and do not go on.
    asked: Option<Predicate>,
    waiting: Waiting,
    state: Mutex<State>,
    /// Checkpoints are taken, so what they need is written down.
    logs: bool,
    /// How far back frames look, µs; `None` if one has no bound in time.
    lookback: Option<i64>,
}

struct State {
    /// One for each `PARTITION BY`.
    keyed: Vec<Shared>,
    /// Threads for all `PARTITION BY` but the first, where several may be used.
    helpers: Option<Helpers>,
    /// Rows that are due and not taken yet.
    due: Option<Parts>,
    /// Those that are being answered.
    begun: Option<Taken>,
    /// Rows handed on.
    emitted: u64,
    /// What checkpoints have of the rows that frames look at: where these have no bound in time, first all state, then rows.
    pieces: Vec<LogPiece>,
    /// Rows in the pieces behind the first state.
    logged: usize,
    /// The rows since.
    log: Vec<RecordBatch>,
    mark: i64,
}

/// What a checkpoint has.
#[derive(Clone, Copy)]
struct LogPiece {
    id: PieceId,
    /// The greatest time among the rows; `None` if it is all state.
    last: Option<i64>,
    rows: usize,
}

/// What letters call the step.
const OPERATOR: &str = "OVER";

/// So many rows are written down before all state is, where that must be.
#[cfg(not(test))]
const LOGGED_MIN: usize = 1 << 16;
#[cfg(test)]
const LOGGED_MIN: usize = 40;

/// About so many rows are answered at once. The more, the more rows of a key follow each other while its block is in the caches, and the
/// more memory they and their answers need (`benches/NOTES.md`).
#[cfg(not(test))]
const AT_ONCE: usize = 120_000;
#[cfg(test)]
const AT_ONCE: usize = 50;

/// Rows are handed on in parts of this size: several workers compute what follows, and what they make is small enough to be used again.
const HANDED_ON: usize = 16_384;

/// From so many rows on, several `PARTITION BY` are worth a thread each.
#[cfg(not(test))]
const HELPED_ROWS: usize = 4096;
#[cfg(test)]
const HELPED_ROWS: usize = 30;

impl OverWindows {
    /// `asked`: the rows that go on, a predicate over the columns that go on; without it all do. `slots`: how many threads may push at
    /// once. `logs`: checkpoints are taken.
    pub fn new(stage: OverStage, asked: Option<Predicate>, slots: usize, logs: bool) -> Result<Self> {
        let types: Vec<DataType> = stage.input.fields().iter().map(|field| field.data_type().clone()).collect();
        let keyed = |keys: &Keys| Ok(Arc::new(Mutex::new(Keyed::new(keys.clone(), &types, stage.arrival)?)));
        let keyed = stage.keys.iter().map(keyed).collect::<Result<Vec<Shared>>>()?;
        let lookback = stage.keys.iter().map(Keys::lookback).try_fold(0, |longest, of| Some(of?.max(longest)));
        let helpers = (slots > 1 && keyed.len() > 1).then(|| Helpers::new(&keyed[1..])).transpose()?;
        let (pieces, log) = (vec![], vec![]);
        let state =
            State { keyed, helpers, due: None, begun: None, emitted: 0, pieces, logged: 0, log, mark: i64::MIN };
        let waiting = Waiting::new(stage.input.clone(), stage.time, OPERATOR, slots);
        Ok(OverWindows { stage, asked, waiting, state: Mutex::new(state), logs, lookback })
    }

    /// The columns that keys and calls read, which a checkpoint keeps.
    fn used(&self) -> Vec<usize> {
        let mut used: Vec<usize> =
            self.stage.keys.iter().flat_map(|keys| keys.keys.iter().chain(&keys.args)).copied().collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// Begins to answer rows: helpers start at once, behind what they were given before.
    fn begin(&self, state: &State, rows: Rows) -> Result<Begun> {
        let helped = match &state.helpers {
            Some(helpers) if rows.times.len() >= HELPED_ROWS => helpers.send(&rows).map(|()| true)?,
            _ => false,
        };
        Ok(Begun { rows, helped })
    }

    /// The answers of every call for the rows that are asked for, one column each; and the rows that one has no answer for. Rows are
    /// answered in the order in which they were begun.
    fn answer(&self, state: &State, begun: &Begun) -> Result<(Vec<ArrayRef>, Vec<Failed>)> {
        let all = match &state.helpers {
            Some(helpers) if begun.helped => {
                let own = push(&state.keyed[0], &begun.rows);
                std::iter::once(Ok(own)).chain(helpers.receive()).collect::<Result<Vec<_>>>()?
            }
            _ => state.keyed.iter().map(|keyed| push(keyed, &begun.rows)).collect(),
        };
        let (mut answers, mut failed) = (vec![], vec![]);
        for part in all {
            let (columns, rows) = part?;
            answers.extend(columns);
            failed.extend(rows);
        }
        let outs = self.stage.keys.iter().flat_map(|keys| &keys.calls).map(|call| call.out);
        let mut outs: Vec<(usize, ArrayRef)> = outs.zip(answers).collect();
        outs.sort_unstable_by_key(|(out, _)| *out);
        Ok((outs.into_iter().map(|(_, column)| column).collect(), failed))
    }

    /// Takes rows in this order, and begins to answer them.
    fn take(&self, state: &mut State, due: Due) -> Result<Taken> {
        if self.logs {
            state.log.push(self.write_down(&due)?);
        }
        let passed = due.rows.project(&(0..self.stage.passed).collect::<Vec<_>>()).map_err(internal)?;
        let broken = |e| Error::bug("a filter that can not fail has failed").because(e);
        let asked = self.asked.as_ref().map(|asked| asked.rows(&passed)).transpose().map_err(broken)?.flatten();
        let is_asked = asked.as_ref().map(|asked| {
            let mut is_asked = vec![false; passed.num_rows()];
            asked.values().iter().for_each(|row| is_asked[*row as usize] = true);
            is_asked.into()
        });
        let rows = Rows {
            times: due.times.clone(),
            columns: due.rows.columns().into(),
            asked: is_asked,
            settled: self.stage.arrival.then_some(state.mark),
        };
        Ok(Taken { begun: self.begin(state, rows)?, due, passed, asked })
    }

    /// Answers rows that were taken, and hands them on.
    fn hand_on(&self, state: &mut State, taken: Taken, out: &mut Emit) -> Result<()> {
        let Taken { begun, due, passed, asked } = taken;
        let (answers, failed) = self.answer(state, &begun)?;
        let passed = match &asked {
            None => passed.columns().to_vec(),
            Some(asked) => keyed::taken(passed.columns(), asked)?,
        };
        let columns = passed.into_iter().chain(answers).collect();
        let mut rows = RecordBatch::try_new(self.stage.schema.clone(), columns).map_err(internal)?;
        if !failed.is_empty() {
            let mut keep = vec![true; rows.num_rows()];
            for Failed { row, reason } in failed {
                let place = match &asked {
                    None => row as usize,
                    Some(asked) => asked.values().partition_point(|asked| *asked < row),
                };
                // A row that two calls have no answer for is one letter.
                if std::mem::replace(&mut keep[place], false) {
                    out.letters.push(due.letter(row as usize, self.stage.passed, OPERATOR, reason)?);
                }
            }
            rows = filter_record_batch(&rows, &keep.into()).map_err(internal)?;
        }
        for from in (0..rows.num_rows()).step_by(HANDED_ON) {
            let part = rows.slice(from, HANDED_ON.min(rows.num_rows() - from));
            let offsets = Offsets::Run(state.emitted);
            state.emitted += part.num_rows() as u64;
            out.batches.push(MicroBatch { offsets, turn: due.turn, ..MicroBatch::derived(part) });
        }
        Ok(())
    }

    /// Begins with the next rows, if there are any, and then answers those before them and hands them on: meanwhile helpers have the
    /// next ones.
    fn follow(&self, state: &mut State, next: Option<Due>, out: &mut Emit) -> Result<()> {
        // Helpers would be ahead of rows that they do not get.
        if let Some(before) = state.begun.take_if(|before| !before.begun.helped) {
            self.hand_on(state, before, out)?;
        }
        let taken = next.map(|due| self.take(state, due)).transpose()?;
        std::mem::replace(&mut state.begun, taken).map_or(Ok(()), |before| self.hand_on(state, before, out))
    }

    /// Answers rows that are due, as many as are handed on together. True once that is all.
    fn answer_due(&self, state: &mut State, out: &mut Emit) -> Result<bool> {
        while out.batches.is_empty() {
            let Some(parts) = &mut state.due else { return Ok(true) };
            let next = parts.next()?;
            if next.is_none() {
                state.due = None;
            }
            let ordered = |due: Due| if self.stage.ordered { Ok(due) } else { due.by_values(self.stage.passed) };
            let next = next.map(ordered).transpose()?;
            self.follow(state, next, out)?;
        }
        Ok(state.due.is_none())
    }

    /// What it answers, in terms of what its rows are made of.
    fn said(&self, input: &Lineage) -> String {
        let time = input.column(self.stage.time);
        let arrival = if self.stage.arrival { " in the order of arrival" } else { "" };
        format!("OVER by {time}{arrival}\n{}", self.stage.text(&|column| input.column(column)))
    }

    /// Writes rows down for the next checkpoint: their times, and the columns that keys and calls read.
    fn write_down(&self, due: &Due) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(due.times.to_vec()))];
        for at in self.used() {
            let column = due.rows.column(at);
            columns.push(match column.data_type() {
                DataType::Dictionary(_, values) => cast(column, values).map_err(internal)?,
                _ => column.clone(),
            });
        }
        batch_of(columns, due.times.len())
    }

    /// Does again what was done with rows that a checkpoint has; nothing comes out.
    fn repeat(&self, state: &mut State, log: &RecordBatch) -> Result<()> {
        let used = self.used();
        if log.num_columns() != used.len() + 1 || log.column(0).data_type() != &DataType::Int64 {
            return Err(misfit("rows of another OVER"));
        }
        let times = log.column(0).as_primitive::<Int64Type>().values().to_vec();
        let mut columns: Vec<ArrayRef> = vec![];
        for (at, field) in self.stage.input.fields().iter().enumerate() {
            columns.push(match used.binary_search(&at) {
                Ok(kept) => cast(log.column(kept + 1), field.data_type())
                    .map_err(|e| misfit("rows of another OVER").because(e))?,
                Err(_) => new_null_array(field.data_type(), log.num_rows()),
            });
        }
        let rows = Rows {
            asked: Some(vec![false; times.len()].into()),
            times: times.into(),
            columns: columns.into(),
            // The mark is that of the checkpoint: among these rows are some that came before it and are older.
            settled: self.stage.arrival.then_some(i64::MIN),
        };
        let begun = self.begin(state, rows)?;
        self.answer(state, &begun).map(|_| ())
    }
}

impl OverStage {
    /// What it computes, with its columns named by `column`.
    pub fn text(&self, column: &dyn Fn(usize) -> String) -> String {
        let keys: Vec<String> = self.keys.iter().map(|keys| keys.text(column)).collect();
        keys.join(" | ")
    }
}

impl Operator for OverWindows {
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        self.waiting.push(slot, batch, out)
    }

    fn takes_turns(&self) -> bool {
        self.stage.arrival
    }

    fn keeps_rows(&self) -> bool {
        !self.stage.arrival
    }

    fn arrive(&self, before: u64, out: &mut Emit) -> Result<()> {
        let mut state = self.state.lock().expect("no panic holds this lock");
        for due in self.waiting.turns(before)? {
            self.follow(&mut state, Some(due), out)?;
        }
        self.follow(&mut state, None, out)
    }

    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        let mut guard = self.state.lock().expect("no panic holds this lock");
        let state = &mut *guard;
        // Rows that have come before it was their turn still have the time before them.
        let mark = if self.stage.arrival { mark.min(self.waiting.least_mark()).max(state.mark) } else { mark };
        state.mark = mark;
        // Rows of exactly the watermark's time may still come, and go out later.
        let passed_on = if mark == MARK_MAX { MARK_MAX } else { mark.saturating_sub(self.stage.tick) };
        if !self.stage.arrival {
            if state.due.is_none() {
                state.due = Some(self.waiting.due(mark, AT_ONCE)?);
            }
            if !self.answer_due(state, out)? {
                out.more = true;
                return Ok(passed_on);
            }
        }
        for keyed in &state.keyed {
            lock(keyed).sweep(mark)?;
        }
        Ok(passed_on)
    }

    fn describe(&self) -> String {
        let arrival = if self.stage.arrival { "in the order of arrival " } else { "" };
        let asked = self.asked.as_ref().map_or(String::new(), |asked| format!(" for rows where {asked}"));
        let text = self.stage.text(&|column| self.stage.input.field(column).name().clone());
        format!("OverWindows {arrival}{text}{asked}")
    }

    fn state_schema(&self, input: &Lineage) -> Option<String> {
        let text = self.said(input);
        // Rows that wait are kept with all columns that go on; in the order of arrival none do.
        let columns = (0..if self.stage.arrival { 0 } else { self.stage.passed }).map(|at| input.column(at));
        Some(format!("{text}; rows of {}", columns.collect::<Vec<_>>().join(", ")))
    }

    fn lineage(&self, input: &Lineage) -> Lineage {
        let answers = self.stage.schema.fields().len() - self.stage.passed;
        input.first(self.stage.passed).and(&self.said(input), answers)
    }

    fn save(&self, cut: &mut Cut) -> Result<()> {
        let mut guard = self.state.lock().expect("no panic holds this lock");
        let state = &mut *guard;
        let rows: usize = state.log.iter().map(RecordBatch::num_rows).sum();
        let size = || state.keyed.iter().map(|keyed| lock(keyed).size()).sum::<usize>();
        if self.lookback.is_none() && state.logged + rows > LOGGED_MIN && state.logged + rows > size() {
            let mut batches = vec![];
            for keyed in &state.keyed {
                batches.extend(lock(keyed).snapshot()?);
            }
            let piece = LogPiece { id: cut.id(), last: None, rows: 0 };
            cut.piece(piece.id, piece.tag(), Some(Arc::new(RowsPiece(batches))));
            state.pieces = vec![piece];
            state.logged = 0;
            state.log.clear();
        } else {
            // Rows to come look at those from here on.
            let oldest = self.lookback.map_or(i64::MIN, |lookback| state.mark.saturating_sub(lookback));
            state.pieces.retain(|piece| piece.last.is_none_or(|last| last >= oldest));
            for piece in &state.pieces {
                cut.piece(piece.id, piece.tag(), None);
            }
            if !state.log.is_empty() {
                let log = concat_batches(&state.log[0].schema(), &state.log).map_err(internal)?;
                state.log.clear();
                state.logged += rows;
                let last = log.column(0).as_primitive::<Int64Type>().values().iter().max().copied();
                let piece = LogPiece { id: cut.id(), last, rows };
                state.pieces.push(piece);
                cut.piece(piece.id, piece.tag(), Some(Arc::new(RowsPiece(vec![log]))));
            }
        }
        let waiting = self.waiting.saved()?;
        if !waiting.is_empty() {
            let id = cut.id();
            cut.piece(id, json!({ "waiting": true }), Some(Arc::new(RowsPiece(waiting))));
        }
        cut.facts(json!({ "emitted": state.emitted, "mark": state.mark }));
        Ok(())
    }

    fn load(&self, saved: SavedStep) -> Result<()> {
        let mut guard = self.state.lock().expect("no panic holds this lock");
        let state = &mut *guard;
        (state.emitted, state.mark) = (fact(&saved.facts, "emitted")?, fact(&saved.facts, "mark")?);
        let mut pieces = saved.pieces;
        pieces.sort_by_key(|piece| piece.id);
        for piece in pieces {
            if piece.tag.get("waiting").is_some() {
                self.waiting.load(&piece.batches)?;
                continue;
            }
            let (last, rows) = (fact(&piece.tag, "last")?, fact(&piece.tag, "rows")?);
            match last {
                Some(_) => piece.batches.iter().try_for_each(|log| self.repeat(state, log))?,
                None => {
                    let mut batches = piece.batches.as_slice();
                    for keyed in &state.keyed {
                        batches = &batches[lock(keyed).restore(batches)?..];
                    }
                }
            }
            state.logged += rows;
            state.pieces.push(LogPiece { id: piece.id, last, rows });
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let state = self.state.lock().expect("no panic holds this lock");
        self.waiting.memory_bytes()
            + state.keyed.iter().map(|keyed| lock(keyed).memory_bytes()).sum::<usize>()
            + state.log.iter().map(RecordBatch::get_array_memory_size).sum::<usize>()
    }
}

/// What one `PARTITION BY` answers.
type Answered = Result<(Vec<ArrayRef>, Vec<Failed>)>;

/// Rows in the order of time, or of arrival, where none to come is older than `settled`.
#[derive(Clone)]
struct Rows {
    times: Arc<[i64]>,
    columns: Arc<[ArrayRef]>,
    /// Which of them are to be answered; all of them without.
    asked: Option<Arc<[bool]>>,
    settled: Option<i64>,
}

/// The rows and answers of one `PARTITION BY`: the helper that answers has them, or who looks at them meanwhile.
type Shared = Arc<Mutex<Keyed>>;

fn lock(keyed: &Shared) -> MutexGuard<'_, Keyed> {
    keyed.lock().expect("no panic holds this lock")
}

/// Rows that are being answered.
struct Begun {
    rows: Rows,
    /// The helpers have them.
    helped: bool,
}

/// Rows that were taken: with their columns that go on, and which of them are asked for.
struct Taken {
    begun: Begun,
    due: Due,
    passed: RecordBatch,
    asked: Option<UInt32Array>,
}

fn push(keyed: &Shared, rows: &Rows) -> Answered {
    let mut failed = vec![];
    let mut keyed = lock(keyed);
    let answers = match rows.settled {
        None => keyed.push(rows, &mut failed),
        Some(mark) => keyed.push_arrived(rows, mark, &mut failed),
    };
    answers.map(|answers| (answers, failed))
}

/// Threads that stay: one made for each batch would give its memory back to the system each time.
struct Helpers(Vec<Helper>);

/// Where a helper's rows go, and where its answers come from.
type Helper = (SyncSender<Rows>, Receiver<Answered>);

/// So many parts may be with a helper.
const BEGUN: usize = 2;

impl Helpers {
    fn new(keyed: &[Shared]) -> Result<Self> {
        let one = |keyed: &Shared| {
            let (sender, work) = sync_channel::<Rows>(BEGUN);
            let (done, receiver) = sync_channel(BEGUN);
            let thread = std::thread::Builder::new().name("pelton-over".into());
            let keyed = keyed.clone();
            thread
                .spawn(move || {
                    while let Ok(rows) = work.recv() {
                        let answered = push(&keyed, &rows);
                        drop(rows);
                        if done.send(answered).is_err() {
                            break;
                        }
                    }
                })
                .map_err(|e| Error::world("cannot start a thread for OVER").because(e))?;
            Ok((sender, receiver))
        };
        keyed.iter().map(one).collect::<Result<_>>().map(Helpers)
    }

    fn send(&self, rows: &Rows) -> Result<()> {
        self.0.iter().try_for_each(|(sender, _)| sender.send(rows.clone()).map_err(|_| gone()))
    }

    /// The answers of each to the rows that were sent first.
    fn receive(&self) -> impl Iterator<Item = Result<Answered>> {
        self.0.iter().map(|(_, receiver)| receiver.recv().map_err(|_| gone()))
    }
}

/// A helper that is gone has panicked over these rows; so would another.
fn gone() -> Error {
    Error::bug("a thread of OVER has ended")
}

impl LogPiece {
    fn tag(&self) -> Value {
        json!({ "last": self.last, "rows": self.rows })
    }
}
