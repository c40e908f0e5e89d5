//! `LearnRows`: rows with labels teach a model, and rows without are answered by it, each as of its own time.
//!
//! Both wait until the watermark has passed their time. Then they are taken one by one, in the order of time: a row is answered by what all
//! labels of an earlier time have taught, and by nothing else. Labels of one time teach in the order of partition and offset. So weights
//! and answers depend on the rows alone, whatever the batches, and on no row of the future.
//!
//! A label that teaches nothing, or would make weights that are not finite, and a row that has no answer become letters.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, MapArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{filter_record_batch, is_not_null, not};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, SchemaRef};
use pelton_models::{Learning, Loss, Online, Refused};
use serde_json::json;

use super::waiting::{Due, Waiting};
use super::{Emit, Operator};
use crate::batch::{MARK_MAX, MicroBatch, Offsets, internal};
use crate::checkpoint::piece::{Cut, Rows as RowsPiece, SavedStep, fact, misfit};
use crate::error::Result;
use crate::lineage::Lineage;

/// What a [`LearnRows`] does.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnStage {
    /// The model's name.
    pub model: String,
    /// How it learns.
    pub how: Learning,
    /// Its features' names.
    pub features: Vec<String>,
    /// The columns that come in: those of rows to be answered, and behind them a label's event time, features and label (DOUBLE). A row has
    /// the ones or the others; it is a label if that has a time.
    pub input: SchemaRef,
    /// How many of them are of rows to be answered; they go on as they are.
    pub passed: usize,
    /// The column with the event time of these.
    pub time: usize,
    /// One tick of it in µs.
    pub tick: i64,
    /// What is asked.
    pub calls: Vec<Question>,
    /// The columns that go out: those that go on, then the answers.
    pub schema: SchemaRef,
    /// Labels of equal time come in the order of partition and offset; otherwise of all their columns.
    pub ordered: bool,
}

/// A question to the model about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub about: About,
    /// The columns of the features (DOUBLE), if it is about a row.
    pub features: Vec<usize>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// The answer: a probability, or a number.
    Answer,
    /// The margin.
    Margin,
    /// What each feature adds to the margin.
    Contributions,
    /// How many rows the model has learnt from, as text.
    Version,
}

impl About {
    /// The type of the answer.
    pub fn data_type(self) -> DataType {
        match self {
            About::Answer | About::Margin => DataType::Float64,
            About::Contributions => {
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry()), false)), false)
            }
            About::Version => DataType::Utf8,
        }
    }
}

/// A feature's name and what it adds.
fn entry() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Float64, true)])
}

/// See the module.
pub struct LearnRows {
    stage: LearnStage,
    rows: Waiting,
    labels: Waiting,
    state: Mutex<State>,
}

struct State {
    model: Online,
    /// Rows handed on.
    emitted: u64,
}

/// What letters call the step.
const ROWS: &str = "PREDICT";
/// The same of labels.
const LABELS: &str = "LEARN";

/// About so many rows are handed on at once.
const AT_ONCE: usize = 16_384;

impl LearnRows {
    /// `slots`: how many threads may push at once.
    pub fn new(stage: LearnStage, slots: usize) -> Result<Self> {
        let width = stage.input.fields().len();
        let part = |columns: Range<usize>| stage.input.project(&columns.collect::<Vec<_>>()).map(Arc::new);
        let (rows, labels) = (part(0..stage.passed), part(stage.passed..width));
        let rows = Waiting::new(rows.map_err(internal)?, stage.time, ROWS, slots);
        let labels = Waiting::new(labels.map_err(internal)?, 0, LABELS, slots);
        let state = State { model: Online::new(stage.how, stage.features.len()), emitted: 0 };
        Ok(LearnRows { stage, rows, labels, state: Mutex::new(state) })
    }

    /// Puts the rows of a batch for which `keep` is true where they wait, with some of their columns.
    fn wait(
        &self,
        (slot, batch): (usize, &MicroBatch),
        keep: &BooleanArray,
        to: &Waiting,
        columns: Range<usize>,
        out: &mut Emit,
    ) -> Result<()> {
        if keep.true_count() == 0 {
            return Ok(());
        }
        let rows = batch.filter(keep)?;
        let own = rows.columns.project(&columns.collect::<Vec<_>>()).map_err(internal)?;
        to.push(slot, rows.with_columns(own), out)
    }

    /// Answers some of the rows that are due, after the labels before each, and hands them on.
    fn hand_on(&self, state: &mut State, due: &Due, lessons: &mut Lessons, out: &mut Emit) -> Result<()> {
        let mut asked: Vec<Asked> = self.stage.calls.iter().map(|question| Asked::of(question, &due.rows)).collect();
        let mut keep = vec![true; due.rows.num_rows()];
        for (row, keep) in keep.iter_mut().enumerate() {
            lessons.teach(&mut state.model, Some(due.times[row]), out)?;
            let answered = asked.iter_mut().try_for_each(|asked| asked.answer(&state.model, row));
            if let Err(refused) = answered {
                *keep = false;
                asked.iter_mut().for_each(|asked| asked.fill(row));
                let reason = self.stage.reason(refused);
                out.letters.push(due.letter(row, self.stage.passed, ROWS, reason)?);
            }
        }
        let answers = asked.into_iter().map(|asked| asked.column(&self.stage.features));
        let columns = due.rows.columns().iter().cloned().chain(answers).collect();
        let mut rows = RecordBatch::try_new(self.stage.schema.clone(), columns).map_err(internal)?;
        if keep.contains(&false) {
            rows = filter_record_batch(&rows, &keep.into()).map_err(internal)?;
        }
        if rows.num_rows() > 0 {
            let first = state.emitted;
            state.emitted += rows.num_rows() as u64;
            out.batches.push(MicroBatch { offsets: Offsets::Run(first), ..MicroBatch::derived(rows) });
        }
        Ok(())
    }
}

impl LearnStage {
    /// What it learns and answers, with its columns named by `column`.
    pub fn text(&self, column: &dyn Fn(usize) -> String) -> String {
        let question = |question: &Question| {
            let features: Vec<String> = question.features.iter().map(|at| column(*at)).collect();
            let about = match question.about {
                About::Answer => "predict",
                About::Margin => "predict_raw",
                About::Contributions => "explain_predict",
                About::Version => "model_version",
            };
            format!("{about}({})", features.join(", "))
        };
        let calls: Vec<String> = self.calls.iter().map(question).collect();
        format!("{} {}: {}", self.model, self.how_text(), calls.join(", "))
    }

    fn how_text(&self) -> String {
        let Learning { loss, rate, l2, standardize } = self.how;
        let loss = match loss {
            Loss::Logistic => "logistic",
            Loss::Squared => "linear",
        };
        let standardize = if standardize { " standardized" } else { "" };
        format!("{loss}({}) rate={rate} l2={l2}{standardize}", self.features.join(", "))
    }

    /// In words, for letters.
    fn reason(&self, refused: Refused) -> String {
        match refused {
            Refused::Infinite(at) => format!("the feature {} is infinite", self.features[at]),
            Refused::Label(label) if self.how.loss == Loss::Logistic => format!("the label is {label}, wanted 0 or 1"),
            Refused::Label(label) => format!("the label is {label}"),
            Refused::Diverges => {
                "learning from it would make a weight that is not finite: learn.rate may be too high".into()
            }
            Refused::Margin => "its score is not finite".into(),
        }
    }
}

/// Labels that are due, of which the first ones have taught.
struct Lessons<'a> {
    stage: &'a LearnStage,
    due: Option<Due>,
    next: usize,
    row: Vec<f64>,
}

impl Lessons<'_> {
    /// Teaches what is known before `time`, or all.
    fn teach(&mut self, model: &mut Online, time: Option<i64>, out: &mut Emit) -> Result<()> {
        let Some(due) = &self.due else { return Ok(()) };
        let n = self.stage.features.len();
        while self.next < due.times.len() && time.is_none_or(|time| due.times[self.next] < time) {
            let (at, columns) = (self.next, due.rows.columns());
            self.next += 1;
            let label = value(doubles(&columns[n + 1]), at);
            if label.is_nan() {
                continue;
            }
            self.row.clear();
            self.row.extend(columns[1..=n].iter().map(|column| value(doubles(column), at)));
            if let Err(refused) = model.learn(&self.row, label) {
                out.letters.push(due.letter(at, n + 2, LABELS, self.stage.reason(refused))?);
            }
        }
        Ok(())
    }
}

fn doubles(column: &ArrayRef) -> &Float64Array {
    column.as_primitive::<Float64Type>()
}

/// A feature; what is NULL is missing, as NaN is.
fn value(column: &Float64Array, row: usize) -> f64 {
    if column.is_valid(row) { column.value(row) } else { f64::NAN }
}

/// A question and its answers so far.
struct Asked {
    about: About,
    features: Vec<Float64Array>,
    row: Vec<f64>,
    numbers: Vec<f64>,
    texts: Vec<String>,
}

impl Asked {
    fn of(question: &Question, rows: &RecordBatch) -> Self {
        let features = question.features.iter().map(|at| doubles(rows.column(*at)).clone()).collect();
        Asked { about: question.about, features, row: vec![], numbers: vec![], texts: vec![] }
    }

    fn answer(&mut self, model: &Online, row: usize) -> Result<(), Refused> {
        if self.about == About::Version {
            self.texts.push(model.learnt().to_string());
            return Ok(());
        }
        self.row.clear();
        self.row.extend(self.features.iter().map(|column| value(column, row)));
        let margin = model.margin(&self.row)?;
        match self.about {
            About::Contributions => model.contributions(&self.row, &mut self.numbers),
            About::Margin => self.numbers.push(margin),
            _ => self.numbers.push(model.answer(margin)),
        }
        Ok(())
    }

    /// Answers a row that becomes a letter, if it has no answer yet.
    fn fill(&mut self, row: usize) {
        match self.about {
            About::Version => self.texts.resize(row + 1, String::new()),
            About::Contributions => self.numbers.resize((row + 1) * (self.features.len() + 1), 0.0),
            _ => self.numbers.resize(row + 1, 0.0),
        }
    }

    fn column(self, names: &[String]) -> ArrayRef {
        match self.about {
            About::Answer | About::Margin => Arc::new(Float64Array::from(self.numbers)),
            About::Version => Arc::new(StringArray::from(self.texts)),
            About::Contributions => {
                let names: Vec<&str> = names.iter().map(String::as_str).chain(["bias"]).collect();
                let rows = self.numbers.len() / names.len();
                let keys = StringArray::from_iter_values(names.iter().cycle().take(self.numbers.len()));
                let values = Float64Array::from(self.numbers);
                let entries = StructArray::new(entry(), vec![Arc::new(keys), Arc::new(values)], None);
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(names.len(), rows));
                let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
                Arc::new(MapArray::new(field, offsets, entries, None, false))
            }
        }
    }
}

impl Operator for LearnRows {
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let batch = batch.dense()?;
        let is_label = is_not_null(batch.columns.column(self.stage.passed)).map_err(internal)?;
        let is_row = not(&is_label).map_err(internal)?;
        self.wait((slot, &batch), &is_row, &self.rows, 0..self.stage.passed, out)?;
        self.wait((slot, &batch), &is_label, &self.labels, self.stage.passed..batch.columns.num_columns(), out)
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        let mut state = self.state.lock().expect("no panic holds this lock");
        let labels = match self.labels.due(mark, usize::MAX)?.next()? {
            Some(due) if !self.stage.ordered => Some(due.by_values(self.stage.features.len() + 2)?),
            due => due,
        };
        let mut lessons = Lessons { stage: &self.stage, due: labels, next: 0, row: vec![] };
        let mut parts = self.rows.due(mark, AT_ONCE)?;
        while let Some(due) = parts.next()? {
            self.hand_on(&mut state, &due, &mut lessons, out)?;
        }
        // Rows to come are not before the watermark, which is above these.
        lessons.teach(&mut state.model, None, out)?;
        // Rows of exactly the watermark's time may still come, and go out later.
        Ok(if mark == MARK_MAX { MARK_MAX } else { mark.saturating_sub(self.stage.tick) })
    }

    fn describe(&self) -> String {
        format!("LearnRows {}", self.stage.text(&|column| self.stage.input.field(column).name().clone()))
    }

    fn state_schema(&self, input: &Lineage) -> Option<String> {
        let LearnStage { model, time, passed, features, .. } = &self.stage;
        let all = |columns: Range<usize>| columns.map(|at| input.column(at)).collect::<Vec<_>>().join(", ");
        let (labels, rows) = (all(*passed..passed + features.len() + 2), all(0..*passed));
        let how = self.stage.how_text();
        Some(format!("LEARN {model} {how} from {labels}\nrows {rows} by {}", input.column(*time)))
    }

    fn lineage(&self, input: &Lineage) -> Lineage {
        let state = self.state_schema(input).unwrap_or_default();
        let text = format!("{state}\n{}", self.stage.text(&|column| input.column(column)));
        input.first(self.stage.passed).and(&text, self.stage.calls.len())
    }

    fn save(&self, cut: &mut Cut) -> Result<()> {
        let state = self.state.lock().expect("no panic holds this lock");
        for (what, waiting) in [("rows", &self.rows), ("labels", &self.labels)] {
            let waiting = waiting.saved()?;
            if !waiting.is_empty() {
                let id = cut.id();
                cut.piece(id, json!({ "waiting": what }), Some(Arc::new(RowsPiece(waiting))));
            }
        }
        cut.facts(json!({ "emitted": state.emitted, "model": state.model.words() }));
        Ok(())
    }

    fn load(&self, saved: SavedStep) -> Result<()> {
        let mut state = self.state.lock().expect("no panic holds this lock");
        state.emitted = fact(&saved.facts, "emitted")?;
        let words: Vec<u64> = fact(&saved.facts, "model")?;
        if !state.model.restore(&words) {
            return Err(misfit("a model of other features"));
        }
        for piece in &saved.pieces {
            match fact::<String>(&piece.tag, "waiting")?.as_str() {
                "rows" => self.rows.load(&piece.batches)?,
                "labels" => self.labels.load(&piece.batches)?,
                other => return Err(misfit(format!("'{other}' that wait"))),
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes() + self.labels.memory_bytes()
    }
}
