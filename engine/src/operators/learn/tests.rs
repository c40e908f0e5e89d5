//! Every answer against its definition: a plain loop over all rows in the order of time, whatever the batches, workers and checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use pelton_models::{Learning, Loss, Online};

use super::{About, LearnRows, LearnStage, Question};
use crate::batch::{DERIVED, MARK_MAX, Marks, MicroBatch, Offsets, Watermarks};
use crate::checkpoint::piece::{Cut, PieceId, SavedPiece, SavedStep, of_bytes, to_bytes};
use crate::dice::Dice;
use crate::operators::{Emit, Operator};

const MS: i64 = 1000;

/// A row to be answered, or one with a label. Times in ms; a feature may be missing.
#[derive(Clone, Debug)]
struct Event {
    time: i64,
    id: i64,
    features: [Option<f64>; 2],
    label: Option<f64>,
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn input() -> SchemaRef {
    let doubles = ["x", "y"].map(|name| Field::new(name, DataType::Float64, true));
    let lessons = ["$x", "$y", "$label"].map(|name| Field::new(name, DataType::Float64, true));
    let fields = [Field::new("t", timestamp(), true), Field::new("id", DataType::Int64, true)];
    let fields = fields.into_iter().chain(doubles).chain([Field::new("$known_at", timestamp(), true)]).chain(lessons);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn stage(how: Learning) -> LearnStage {
    let abouts = [About::Answer, About::Margin, About::Contributions, About::Version];
    let features = |about| if about == About::Version { vec![] } else { vec![2, 3] };
    let calls: Vec<Question> = abouts.map(|about| Question { about, features: features(about) }).into();
    let passed = 4;
    let fields = input().fields()[..passed].iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
    let answers = abouts.iter().enumerate().map(|(at, about)| Field::new(format!("a{at}"), about.data_type(), true));
    let schema = Arc::new(Schema::new(fields.into_iter().chain(answers).collect::<Vec<_>>()));
    let features = vec!["x".to_string(), "y".to_string()];
    LearnStage {
        model: "m".into(),
        how,
        features,
        input: input(),
        passed,
        time: 0,
        tick: MS,
        calls,
        schema,
        ordered: true,
    }
}

fn batch(events: &[Event]) -> RecordBatch {
    let row = |event: &&Event| event.label.is_none();
    let of = |wanted: bool, get: &dyn Fn(&Event) -> Option<f64>| -> ArrayRef {
        Arc::new(events.iter().map(|e| get(e).filter(|_| row(&e) == wanted)).collect::<Float64Array>())
    };
    let times = |wanted: bool| -> ArrayRef {
        let times = events.iter().map(|e| (row(&e) == wanted).then_some(e.time));
        Arc::new(times.collect::<TimestampMillisecondArray>())
    };
    let ids: Int64Array = events.iter().map(|e| row(&e).then_some(e.id)).collect();
    let [x, y] = [0, 1].map(|at| of(true, &|e: &Event| e.features[at]));
    let [lx, ly] = [0, 1].map(|at| of(false, &|e: &Event| e.features[at]));
    let label = of(false, &|e: &Event| e.label);
    let columns = vec![times(true), Arc::new(ids) as ArrayRef, x, y, times(false), lx, ly, label];
    RecordBatch::try_new(input(), columns).unwrap()
}

/// Events of one partition; times ascend but for a disorder of some ms.
fn events(dice: &mut Dice, partition: usize, n: usize, odd: bool) -> Vec<Event> {
    let mut clock = 0;
    let mut event = |at: usize| {
        clock += dice.below(4) as i64;
        let mut feature = || match (odd, dice.below(40)) {
            (_, 0..4) => None,
            (true, 4) => Some(f64::NAN),
            (true, 5) => Some(f64::INFINITY),
            (true, 6) => Some(1e300),
            _ => Some((dice.below(2000) as f64 - 700.0) / 100.0),
        };
        let features = [feature(), feature()];
        let label =
            (dice.below(3) == 0).then(|| if odd && dice.below(20) == 0 { f64::NAN } else { dice.below(2) as f64 });
        Event { time: clock - dice.below(6) as i64, id: (partition * 10_000 + at) as i64, features, label }
    };
    (0..n).map(&mut event).collect()
}

/// A model as it is defined, without any care for speed.
struct Plain {
    how: Learning,
    /// Weight, rows that had the feature, mean, sum of squared distances.
    features: [[f64; 4]; 2],
    bias: f64,
    learnt: usize,
}

impl Plain {
    fn scaled(&self, features: &[[f64; 4]; 2], row: &[f64; 2]) -> [f64; 2] {
        [0, 1].map(|at| {
            let [_, seen, mean, squares] = features[at];
            match (row[at].is_nan(), self.how.standardize, (squares / seen).sqrt()) {
                (true, ..) => 0.0,
                (_, false, _) => row[at],
                (_, _, deviation) if deviation > 0.0 => (row[at] - mean) / deviation,
                _ => 0.0,
            }
        })
    }

    fn margin(&self, features: &[[f64; 4]; 2], row: &[f64; 2]) -> f64 {
        let z = self.scaled(features, row);
        self.bias + features[0][0] * z[0] + features[1][0] * z[1]
    }

    fn link(&self, margin: f64) -> f64 {
        Online::new(self.how, 2).answer(margin)
    }

    /// False if the row is refused.
    fn learn(&mut self, row: &[f64; 2], label: f64) -> bool {
        if row.iter().any(|x| x.is_infinite()) {
            return false;
        }
        let mut features = self.features;
        if self.how.standardize {
            for at in 0..2 {
                if !row[at].is_nan() {
                    let [_, seen, mean, squares] = &mut features[at];
                    *seen += 1.0;
                    let before = row[at] - *mean;
                    *mean += before / *seen;
                    *squares += before * (row[at] - *mean);
                }
            }
        }
        let (z, misses) = (self.scaled(&features, row), self.link(self.margin(&features, row)) - label);
        for at in 0..2 {
            features[at][0] -= self.how.rate * (misses * z[at] + self.how.l2 * features[at][0]);
        }
        let bias = self.bias - self.how.rate * misses;
        if !bias.is_finite() || features.iter().flatten().any(|number| !number.is_finite()) {
            return false;
        }
        (self.features, self.bias, self.learnt) = (features, bias, self.learnt + 1);
        true
    }
}

/// Id, answer, margin, contributions and version of every row that has an answer, in order; and how many have none or teach nothing.
type Told = (Vec<(i64, Vec<u64>, String)>, usize);

fn told(how: Learning, partitions: &[Vec<Event>]) -> Told {
    let mut order: Vec<(i64, bool, usize, usize)> = vec![];
    for (p, events) in partitions.iter().enumerate() {
        order.extend(events.iter().enumerate().map(|(at, event)| (event.time, event.label.is_some(), p, at)));
    }
    order.sort_unstable();
    let mut model = Plain { how, features: [[0.0; 4]; 2], bias: 0.0, learnt: 0 };
    let (mut rows, mut letters) = (vec![], 0);
    for (_, _, p, at) in order {
        let event = &partitions[p][at];
        let row = event.features.map(|x| x.unwrap_or(f64::NAN));
        match event.label {
            Some(label) if label.is_nan() => {}
            Some(label) => letters += usize::from(!model.learn(&row, label)),
            None => {
                let margin = model.margin(&model.features, &row);
                if row.iter().any(|x| x.is_infinite()) || !margin.is_finite() {
                    letters += 1;
                    continue;
                }
                let z = model.scaled(&model.features, &row);
                let parts = [model.features[0][0] * z[0], model.features[1][0] * z[1], model.bias];
                let numbers = [model.link(margin), margin].into_iter().chain(parts).map(f64::to_bits).collect();
                rows.push((event.id, numbers, model.learnt.to_string()));
            }
        }
    }
    (rows, letters)
}

fn read(batches: &[RecordBatch], schema: &SchemaRef) -> Vec<(i64, Vec<u64>, String)> {
    let all = concat_batches(schema, batches).unwrap();
    let ids = all.column(1).as_primitive::<Int64Type>();
    let number = |at: usize| all.column(at).as_primitive::<Float64Type>();
    let versions: &StringArray = all.column(7).as_string();
    let row = |row: usize| {
        let parts = all.column(6).as_map().value(row);
        let keys: Vec<&str> = parts.column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(keys, ["x", "y", "bias"]);
        let parts = parts.column(1).as_primitive::<Float64Type>().values().to_vec();
        let numbers = [number(4).value(row), number(5).value(row)].into_iter().chain(parts);
        (ids.value(row), numbers.map(f64::to_bits).collect(), versions.value(row).to_string())
    };
    (0..all.num_rows()).map(row).collect()
}

/// What a checkpoint has of a step, read back.
fn saved(step: &LearnRows, epoch: u64) -> SavedStep {
    let mut next = 0;
    let mut cut = Cut::new(epoch, &mut next);
    step.save(&mut cut).unwrap();
    let cut = cut.done();
    let facts = serde_json::from_str(&cut.facts.to_string()).unwrap();
    let mut there: BTreeMap<PieceId, Vec<RecordBatch>> = BTreeMap::new();
    let pieces = cut.pieces.into_iter().map(|piece| {
        let bytes = to_bytes(&piece.fresh.expect("what waits is written anew").encode().unwrap()).unwrap();
        there.insert(piece.id, of_bytes(&bytes).unwrap());
        SavedPiece { id: piece.id, tag: piece.tag, batches: there[&piece.id].clone() }
    });
    SavedStep { facts, pieces: pieces.collect() }
}

/// Runs a stage over events cut at random, and goes on with another from a checkpoint now and then.
fn run(dice: &mut Dice, how: Learning, partitions: &[Vec<Event>], checkpoints: bool) -> Told {
    let stage = stage(how);
    let mut step = LearnRows::new(stage.clone(), 2).unwrap();
    let mut at = vec![0; partitions.len()];
    let (mut emit, mut epoch) = (Emit::default(), 0);
    while at.iter().zip(partitions).any(|(at, events)| *at < events.len()) {
        let p = dice.below(partitions.len() as u64) as usize;
        let n = (1 + dice.below(30) as usize).min(partitions[p].len() - at[p]);
        if n > 0 {
            let batch = MicroBatch {
                columns: batch(&partitions[p][at[p]..at[p] + n]),
                selection: None,
                partition: p as u32,
                offsets: Offsets::Run(at[p] as u64),
                marks: Marks::NONE,
                origin: None,
                turn: 0,
            };
            at[p] += n;
            step.push(dice.below(2) as usize, batch, &mut emit).unwrap();
        }
        if dice.below(3) == 0 {
            // No row to come is below the watermark.
            let to_come = partitions.iter().zip(&at).flat_map(|(events, at)| events[*at..].iter().map(|e| e.time * MS));
            step.advance(to_come.min().unwrap_or(MARK_MAX - 1), &mut emit).unwrap();
        }
        if checkpoints && dice.below(6) == 0 {
            epoch += 1;
            let saved = saved(&step, epoch);
            step = LearnRows::new(stage.clone(), 2).unwrap();
            step.load(saved).unwrap();
        }
    }
    step.advance(MARK_MAX, &mut emit).unwrap();
    let batches: Vec<RecordBatch> = emit.batches.into_iter().map(|batch| batch.columns).collect();
    (read(&batches, &stage.schema), emit.letters.len())
}

#[test]
fn answers_are_those_of_a_plain_loop() {
    let mut refused = 0;
    for seed in 0..120 {
        let mut dice = Dice(seed);
        let odd = seed % 3 == 0;
        let how = Learning {
            loss: if dice.below(2) == 0 { Loss::Logistic } else { Loss::Squared },
            rate: [0.01, 0.1][dice.below(2) as usize],
            l2: [0.0, 0.01][dice.below(2) as usize],
            standardize: dice.below(2) == 0,
        };
        let count = 1 + dice.below(3) as usize;
        let partitions: Vec<Vec<Event>> = (0..count).map(|p| events(&mut dice, p, 200, odd)).collect();
        let want = told(how, &partitions);
        refused += want.1;
        for checkpoints in [false, true] {
            let got = run(&mut dice, how, &partitions, checkpoints);
            assert_eq!(got.1, want.1, "letters of seed {seed}");
            for (got, want) in got.0.iter().zip(&want.0) {
                assert_eq!(got, want, "seed {seed}, checkpoints {checkpoints}, {how:?}");
            }
            assert_eq!(got.0.len(), want.0.len(), "rows of seed {seed}");
        }
    }
    assert!(refused > 100, "only {refused} rows were refused");
}

fn event(time: i64, x: f64, label: Option<f64>) -> Event {
    Event { time, id: time, features: [Some(x), None], label }
}

const LINE: Learning = Learning { loss: Loss::Squared, rate: 0.5, l2: 0.0, standardize: false };

fn pushed(events: &[Event], marks: Marks) -> MicroBatch {
    MicroBatch { marks, partition: 0, offsets: Offsets::Run(0), ..MicroBatch::derived(batch(events)) }
}

/// A label of a row's own time is of its future.
#[test]
fn a_row_knows_labels_of_earlier_times_only() {
    let step = LearnRows::new(stage(LINE), 1).unwrap();
    let events = [event(10, 1.0, None), event(5, 1.0, Some(4.0)), event(5, 1.0, None), event(6, 1.0, None)];
    let mut emit = Emit::default();
    step.push(0, pushed(&events, Marks::NONE), &mut emit).unwrap();
    assert_eq!(step.advance(10 * MS, &mut emit).unwrap(), 9 * MS);
    let margins = |emit: &Emit| -> Vec<(i64, f64)> {
        let batches: Vec<RecordBatch> = emit.batches.iter().map(|batch| batch.columns.clone()).collect();
        let read = read(&batches, &stage(LINE).schema);
        read.iter().map(|(id, numbers, _)| (*id, f64::from_bits(numbers[1]))).collect()
    };
    // The label is 4 where 0 was said: weight and bias are 2.
    assert_eq!(margins(&emit), [(5, 0.0), (6, 4.0)]);
    step.advance(MARK_MAX, &mut emit).unwrap();
    assert_eq!(margins(&emit), [(5, 0.0), (6, 4.0), (10, 4.0)]);
}

#[test]
fn late_rows_and_late_labels_are_letters() {
    let step = LearnRows::new(stage(LINE), 1).unwrap();
    let events = [event(20, 1.0, None), event(5, 1.0, Some(4.0)), event(19, 1.0, None), event(20, 1.0, Some(1.0))];
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(events.iter().map(|event| event.time)));
    let mut emit = Emit::default();
    step.push(0, pushed(&events, Marks::of(0, Some(Watermarks::of(times)))), &mut emit).unwrap();
    let letters: Vec<(u64, &str)> =
        emit.letters.iter().map(|letter| (letter.offset, letter.operator.as_str())).collect();
    assert_eq!((letters, emit.late), (vec![(2, "PREDICT"), (1, "LEARN")], 2));
    step.advance(MARK_MAX, &mut emit).unwrap();
    assert_eq!(emit.batches.iter().map(MicroBatch::rows).sum::<usize>(), 1);
}

/// A letter says why, and shows what taught nothing; the weights stay.
#[test]
fn a_step_too_far_is_a_letter() {
    let step = LearnRows::new(stage(LINE), 1).unwrap();
    let events = [event(1, 1.0, Some(4.0)), event(2, 1e300, Some(1.0)), event(3, 1.0, None)];
    let mut emit = Emit::default();
    step.push(0, pushed(&events, Marks::NONE), &mut emit).unwrap();
    step.advance(MARK_MAX, &mut emit).unwrap();
    let [letter] = emit.letters.as_slice() else { panic!("{:?}", emit.letters) };
    assert!(letter.reason.contains("not finite"), "{}", letter.reason);
    assert!(letter.row.as_ref().unwrap().contains("\"$label\":1.0"), "{:?}", letter.row);
    let read = read(&[emit.batches[0].columns.clone()], &stage(LINE).schema);
    assert_eq!((f64::from_bits(read[0].1[1]), read[0].2.as_str()), (4.0, "1"));
}

/// Labels of equal time that have no order of their own teach in the order of their values.
#[test]
fn labels_without_an_order_have_one() {
    let mut dice = Dice(7);
    let stage = LearnStage { ordered: false, ..stage(LINE) };
    let labels: Vec<Event> =
        (0..60).map(|n| event(n / 20, dice.below(9) as f64 / 10.0, Some((n % 7) as f64))).collect();
    let words = |dice: &mut Dice| {
        let step = LearnRows::new(stage.clone(), 1).unwrap();
        let mut order: Vec<u32> = (0..60).collect();
        order.sort_by_cached_key(|_| dice.next());
        let rows = take_record_batch(&batch(&labels), &UInt32Array::from(order)).unwrap();
        let rows = MicroBatch { partition: DERIVED, ..MicroBatch::derived(rows) };
        step.push(0, rows, &mut Emit::default()).unwrap();
        step.advance(MARK_MAX, &mut Emit::default()).unwrap();
        step.state.lock().unwrap().model.words()
    };
    let first = words(&mut dice);
    assert_eq!(first[0], 60);
    (0..10).for_each(|_| assert_eq!(words(&mut dice), first));
}

#[test]
fn a_checkpoint_of_another_model_is_refused() {
    let saved = saved(&LearnRows::new(stage(LINE), 1).unwrap(), 1);
    let mut other = stage(LINE);
    other.features.push("z".into());
    assert!(LearnRows::new(other, 1).unwrap().load(saved).is_err());
}
