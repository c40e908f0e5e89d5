//! Every answer against its definition: the aggregate of the rows that the frame has, one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_physical_expr::expressions::{Column, IsNotNullExpr};
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};

use super::{Call, Frame, Function, Keys, OverStage, OverWindows};
use crate::batch::{MARK_MAX, Marks, MicroBatch, Offsets};
use crate::checkpoint::piece::{Cut, PieceId, SavedPiece, SavedStep};
use crate::dice::Dice;
use crate::operators::{Emit, Operator, times_us};
use crate::predicate::Predicate;

const MS: i64 = 1000;
/// Columns that go on: time, two keys, an argument of each kind. Behind them none.
const TIME: usize = 0;
const KEYS: [usize; 2] = [1, 2];
const ARGS: [usize; 5] = [3, 4, 5, 6, 7];
/// The column that says which rows are asked for.
const ASKED: usize = 3;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("k", DataType::Utf8, true),
        Field::new("j", DataType::Int64, true),
        Field::new("i", DataType::Int64, true),
        Field::new("d", DataType::Float64, true),
        Field::new("m", DataType::Decimal128(12, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("u", DataType::UInt64, true),
    ]))
}

/// Rows of one partition; times ascend but for a disorder of some ms.
fn rows(dice: &mut Dice, n: usize, keys: u64, odd: bool) -> RecordBatch {
    // Before 1970, too.
    let mut clock = if odd { -1_000_000_000 } else { 0i64 };
    let mut times = vec![];
    for _ in 0..n {
        clock += dice.below(4) as i64;
        times.push(clock - dice.below(6) as i64);
    }
    let k: StringArray = (0..n).map(|_| Some(format!("k{}", dice.below(keys))).filter(|_| dice.below(9) > 0)).collect();
    let j: Int64Array = (0..n).map(|_| Some(dice.below(3) as i64)).collect();
    let i: Int64Array = (0..n).map(|_| Some(dice.below(40) as i64 - 20).filter(|_| dice.below(5) > 0)).collect();
    let double = |dice: &mut Dice| match (odd, dice.below(60)) {
        (true, 0) => f64::NAN,
        (true, 1) => f64::INFINITY,
        (true, 2) => 1e300,
        (true, 3) => -1e-300,
        (_, 4) => -0.0,
        _ => (dice.below(2_000_000) as f64 - 1e6) / 100.0 * if dice.below(7) == 0 { 1e-4 } else { 1.0 },
    };
    let d: Float64Array = (0..n).map(|_| Some(double(dice)).filter(|_| dice.below(6) > 0)).collect();
    let m: Decimal128Array =
        (0..n).map(|_| Some(dice.below(100_000) as i128 - 50_000).filter(|_| dice.below(6) > 0)).collect();
    let m = m.with_precision_and_scale(12, 2).unwrap();
    let s: StringArray =
        (0..n).map(|_| Some("abcdefgh"[..dice.below(9) as usize].to_string()).filter(|_| dice.below(4) > 0)).collect();
    let u: UInt64Array = (0..n).map(|_| Some((1 << 50) + dice.below(50)).filter(|_| dice.below(3) > 0)).collect();
    let t = TimestampMillisecondArray::from(times);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(t), Arc::new(k), Arc::new(j), Arc::new(i), Arc::new(d), Arc::new(m), Arc::new(s), Arc::new(u)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn spec(kind: AggregateKind, distinct: bool, arg: Option<usize>) -> AggregateSpec {
    let mut arg_types: Vec<DataType> = arg.iter().map(|arg| schema().field(*arg).data_type().clone()).collect();
    if matches!(kind, AggregateKind::FirstValue | AggregateKind::LastValue) {
        arg_types.extend([DataType::Int64, DataType::UInt32, DataType::Int64]);
    }
    AggregateSpec { kind, distinct, arg_types, fast_float: false }
}

fn frame(dice: &mut Dice) -> Frame {
    let to = if dice.below(3) == 0 { dice.below(12) } else { 0 };
    let from = (dice.below(4) > 0).then(|| to + dice.below(40));
    match dice.below(3) {
        0 => Frame::Rows { from: from.map(|rows| rows as u32), to: to as u32 },
        _ => Frame::Range { from: from.map(|ms| ms as i64 * MS), to: to as i64 * MS },
    }
}

/// Some calls; of frames with a beginning in time only, if `timed`.
fn stage(dice: &mut Dice, timed: bool) -> OverStage {
    use AggregateKind::*;
    let mut fields: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut all: Vec<Keys> = vec![];
    let mut out = 0;
    for keys in [vec![KEYS[0]], vec![KEYS[1], KEYS[0]], vec![]] {
        let mut keys = Keys { keys, ..Keys::default() };
        for _ in 0..1 + dice.below(6) {
            let mut frame = frame(dice);
            while timed && !matches!(frame, Frame::Range { from: Some(_), .. }) {
                frame = self::frame(dice);
            }
            keys.frames.push(frame);
            let arg = *dice.pick(&ARGS);
            let kind =
                *dice.pick(&[Count, Count, Sum, Sum, Avg, Min, Max, FirstValue, LastValue, StddevSamp, ApproxDistinct]);
            let distinct = kind == Count && dice.below(2) == 0;
            let mut function =
                Function::Aggregate { spec: spec(kind, distinct, Some(arg)), respect_nulls: dice.below(4) == 0 };
            if spec(kind, distinct, Some(arg)).output_type().is_err() || dice.below(12) == 0 {
                function = Function::Aggregate { spec: spec(Count, false, None), respect_nulls: false };
            } else if !timed && dice.below(8) == 0 {
                let data_type = schema().field(arg).data_type().clone();
                function = Function::Lag { back: dice.below(5) as u32, default: new_null_array(&data_type, 1) };
            } else if !timed && dice.below(12) == 0 {
                function = Function::RowNumber;
            }
            let no_arg = matches!(&function, Function::RowNumber)
                || matches!(&function, Function::Aggregate { spec, .. } if spec.arg_types.is_empty());
            let data_type = match &function {
                Function::Aggregate { spec, .. } => spec.output_type().unwrap(),
                Function::RowNumber => DataType::Int64,
                Function::Lag { default, .. } => default.data_type().clone(),
            };
            let arg = (!no_arg).then(|| {
                keys.args.iter().position(|there| *there == arg).unwrap_or_else(|| {
                    keys.args.push(arg);
                    keys.args.len() - 1
                })
            });
            keys.calls.push(Call { function, frame: keys.frames.len() - 1, arg, out });
            fields.push(Field::new(format!("a{out}"), data_type, true));
            out += 1;
        }
        all.push(keys);
    }
    let schema_out = Arc::new(Schema::new(fields));
    OverStage {
        input: schema(),
        passed: 8,
        time: TIME,
        tick: MS,
        keys: all,
        schema: schema_out,
        ordered: true,
        arrival: false,
    }
}

/// What the stage should answer: rows in order, each call by going through all rows of the key.
fn reference(stage: &OverStage, partitions: &[RecordBatch]) -> RecordBatch {
    let all = concat_batches(&schema(), partitions).unwrap();
    let times = times_us(all.column(TIME));
    let mut order: Vec<(i64, u32, u64, u32)> = vec![];
    for (p, rows) in partitions.iter().enumerate() {
        let before: usize = partitions[..p].iter().map(RecordBatch::num_rows).sum();
        order.extend((0..rows.num_rows()).map(|r| (times[before + r], p as u32, r as u64, (before + r) as u32)));
    }
    order.sort_unstable();
    defined(stage, &all, &order)
}

/// What it should answer if rows have arrived in this order.
fn reference_of_arrival(stage: &OverStage, arrived: &RecordBatch) -> RecordBatch {
    let times = times_us(arrived.column(TIME));
    let order: Vec<_> = times.iter().enumerate().map(|(row, time)| (*time, 0, row as u64, row as u32)).collect();
    defined(stage, arrived, &order)
}

/// Every answer by its definition. `order`: time, partition, offset and row of `all`, in the order in which rows are answered.
fn defined(stage: &OverStage, all: &RecordBatch, order: &[(i64, u32, u64, u32)]) -> RecordBatch {
    let picked = UInt32Array::from_iter_values(order.iter().map(|o| o.3));
    let mut columns: Vec<ArrayRef> = all.columns().iter().map(|c| take(c, &picked, None).unwrap()).collect();
    let rows = RecordBatch::try_new(schema(), columns.clone()).unwrap();
    let mut answers: BTreeMap<usize, ArrayRef> = BTreeMap::new();
    for keys in &stage.keys {
        let shown = |row: usize| -> Vec<String> {
            let of = |key: &usize| arrow::util::display::array_value_to_string(rows.column(*key), row).unwrap();
            keys.keys.iter().map(|key| format!("{}{}", rows.column(*key).is_null(row), of(key))).collect()
        };
        let key_of: Vec<Vec<String>> = (0..rows.num_rows()).map(shown).collect();
        for call in &keys.calls {
            let parts: Vec<ArrayRef> = (0..rows.num_rows())
                .map(|row| {
                    let there = if stage.arrival { row + 1 } else { rows.num_rows() };
                    let mut of_key: Vec<usize> = (0..there).filter(|r| key_of[*r] == key_of[row]).collect();
                    of_key.sort_by_key(|row| order[*row].0);
                    let own = of_key.iter().position(|r| *r == row).unwrap() as i64;
                    let in_frame = |number: i64, time: i64| match keys.frames[call.frame] {
                        Frame::Range { from, to } => {
                            time <= order[row].0 - to && from.is_none_or(|from| time >= order[row].0 - from)
                        }
                        Frame::Rows { from, to } => {
                            number <= own - i64::from(to) && from.is_none_or(|from| number >= own - i64::from(from))
                        }
                    };
                    let frame: Vec<u32> = (0..of_key.len())
                        .filter(|n| in_frame(*n as i64, order[of_key[*n]].0))
                        .map(|n| of_key[n] as u32)
                        .collect();
                    one(call, call.arg.map(|arg| rows.column(keys.args[arg])), order, &frame, own, &of_key)
                })
                .collect();
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            answers.insert(call.out, arrow::compute::concat(&parts).unwrap());
        }
    }
    columns.extend(answers.into_values());
    RecordBatch::try_new(stage.schema.clone(), columns).unwrap()
}

fn one(
    call: &Call,
    arg: Option<&ArrayRef>,
    order: &[(i64, u32, u64, u32)],
    frame: &[u32],
    own: i64,
    of_key: &[usize],
) -> ArrayRef {
    match &call.function {
        Function::RowNumber => Arc::new(Int64Array::from(vec![own + 1])),
        Function::Lag { back, default } => match own - i64::from(*back) {
            before if before < 0 => default.clone(),
            before => arg.unwrap().slice(of_key[before as usize], 1),
        },
        Function::Aggregate { spec, respect_nulls } => {
            let mut state = spec.build().unwrap();
            state.resize(1);
            let mut frame = frame.to_vec();
            let is_ordered = matches!(spec.kind, AggregateKind::FirstValue | AggregateKind::LastValue);
            if is_ordered && !respect_nulls {
                frame.retain(|row| arg.unwrap().is_valid(*row as usize));
            }
            let picked = UInt32Array::from(frame.clone());
            let mut args: Vec<ArrayRef> = arg.iter().map(|arg| take(arg, &picked, None).unwrap()).collect();
            if is_ordered {
                let of = |row: &u32| order[*row as usize];
                args.push(Arc::new(Int64Array::from_iter_values(frame.iter().map(|row| of(row).0))));
                args.push(Arc::new(UInt32Array::from_iter_values(frame.iter().map(|row| of(row).1))));
                args.push(Arc::new(Int64Array::from_iter_values(frame.iter().map(|row| of(row).2 as i64))));
            }
            state.update(&args, Rows::All(frame.len()), &vec![0; frame.len()]).unwrap();
            state.finish().unwrap()
        }
    }
}

/// Hears a watermark until everything is handed on.
fn advance(over: &OverWindows, mark: i64, out: &mut Emit) {
    let mut emit = Emit { more: true, ..Emit::default() };
    while emit.more {
        emit = Emit::default();
        over.advance(mark, &mut emit).unwrap();
        out.batches.append(&mut emit.batches);
        out.letters.append(&mut emit.letters);
    }
}

/// What a checkpoint has of a step, read back.
fn saved(over: &OverWindows, epoch: u64, there: &mut BTreeMap<PieceId, Vec<RecordBatch>>) -> SavedStep {
    let mut next = 0;
    let mut cut = Cut::new(epoch, &mut next);
    over.save(&mut cut).unwrap();
    let cut = cut.done();
    let pieces = cut.pieces.into_iter().map(|piece| {
        if let Some(fresh) = piece.fresh {
            let bytes = crate::checkpoint::piece::to_bytes(&fresh.encode().unwrap()).unwrap();
            there.insert(piece.id, crate::checkpoint::piece::of_bytes(&bytes).unwrap());
        }
        SavedPiece { id: piece.id, tag: piece.tag, batches: there[&piece.id].clone() }
    });
    SavedStep { facts: cut.facts, pieces: pieces.collect() }
}

/// Runs a stage over rows cut at random, and goes on with another from a checkpoint now and then.
fn run(
    dice: &mut Dice,
    stage: &OverStage,
    is_asked: bool,
    partitions: &[RecordBatch],
    checkpoints: bool,
) -> RecordBatch {
    let mut over = OverWindows::new(stage.clone(), asked(is_asked), 2, true).unwrap();
    let mut at = vec![0; partitions.len()];
    let (mut out, mut pieces, mut epoch) = (vec![], BTreeMap::new(), 0);
    while at.iter().zip(partitions).any(|(at, rows)| *at < rows.num_rows()) {
        let p = dice.below(partitions.len() as u64) as usize;
        let n = (1 + dice.below(30) as usize).min(partitions[p].num_rows() - at[p]);
        if n > 0 {
            let batch = MicroBatch {
                columns: partitions[p].slice(at[p], n),
                selection: None,
                partition: p as u32,
                offsets: Offsets::Run(at[p] as u64),
                marks: Marks::NONE,
                origin: None,
                turn: 0,
            };
            at[p] += n;
            over.push(dice.below(2) as usize, batch, &mut Emit::default()).unwrap();
        }
        if dice.below(3) == 0 {
            // No row to come is below the watermark.
            let to_come = partitions.iter().zip(&at).flat_map(|(rows, at)| times_us(rows.column(TIME))[*at..].to_vec());
            let mut emit = Emit::default();
            advance(&over, to_come.min().unwrap_or(MARK_MAX - 1), &mut emit);
            out.extend(emit.batches.into_iter().map(|batch| batch.columns));
        }
        if checkpoints && dice.below(6) == 0 {
            epoch += 1;
            let saved = saved(&over, epoch, &mut pieces);
            if dice.below(2) == 0 {
                over = OverWindows::new(stage.clone(), asked(is_asked), 2, true).unwrap();
                over.load(saved).unwrap();
            }
        }
    }
    let mut emit = Emit::default();
    advance(&over, MARK_MAX, &mut emit);
    out.extend(emit.batches.into_iter().map(|batch| batch.columns));
    concat_batches(&stage.schema, &out).unwrap()
}

/// Lets rows arrive in a random order of partitions, by threads that are done in another; the rows as they arrived, and the answers.
fn arrive(
    dice: &mut Dice,
    stage: &OverStage,
    is_asked: bool,
    partitions: &[RecordBatch],
    checkpoints: bool,
) -> (RecordBatch, RecordBatch) {
    let mut over = OverWindows::new(stage.clone(), asked(is_asked), 2, true).unwrap();
    let mut at = vec![0; partitions.len()];
    let least = |of: std::ops::Range<usize>, at: &[usize]| {
        let times = of.flat_map(|p| times_us(partitions[p].column(TIME))[at[p]..].to_vec());
        times.min().unwrap_or(MARK_MAX - 1)
    };
    let (mut arrived, mut out, mut pieces, mut epoch) = (vec![], vec![], BTreeMap::new(), 0);
    let (mut pending, mut turn): (Vec<MicroBatch>, u64) = (vec![], 0);
    loop {
        let p = dice.below(partitions.len() as u64) as usize;
        let n = (1 + dice.below(30) as usize).min(partitions[p].num_rows() - at[p]);
        let at_end = at.iter().zip(partitions).all(|(at, rows)| *at == rows.num_rows());
        if n > 0 {
            let columns = partitions[p].slice(at[p], n);
            arrived.push(columns.clone());
            let (offsets, marks) = (Offsets::Run(at[p] as u64), Marks::of(least(p..p + 1, &at), None));
            pending.push(MicroBatch { partition: p as u32, offsets, marks, turn, ..MicroBatch::derived(columns) });
            (at[p], turn) = (at[p] + n, turn + 1);
        }
        let all = at_end || dice.below(5) == 0;
        while !pending.is_empty() && (all || dice.below(2) == 0) {
            let one = pending.swap_remove(dice.below(pending.len() as u64) as usize);
            over.push(dice.below(2) as usize, one, &mut Emit::default()).unwrap();
        }
        let before = pending.iter().map(|batch| batch.turn).min().unwrap_or(turn);
        let mut emit = Emit::default();
        over.arrive(before, &mut emit).unwrap();
        // Batches that have been pushed count as done, wherever their turn is.
        let to_come = pending.iter().map(|batch| batch.marks.carry()).min().unwrap_or(MARK_MAX - 1);
        advance(&over, to_come.min(least(0..partitions.len(), &at)), &mut emit);
        out.extend(emit.batches.into_iter().map(|batch| batch.columns));
        if checkpoints && pending.is_empty() && dice.below(2) == 0 {
            epoch += 1;
            let saved = saved(&over, epoch, &mut pieces);
            if dice.below(2) == 0 {
                over = OverWindows::new(stage.clone(), asked(is_asked), 2, true).unwrap();
                over.load(saved).unwrap();
            }
        }
        if at_end && pending.is_empty() {
            break;
        }
    }
    (concat_batches(&schema(), &arrived).unwrap(), concat_batches(&stage.schema, &out).unwrap())
}

/// Rows that are asked for, where only some are.
fn asked(only_some: bool) -> Option<Predicate> {
    only_some.then(|| Predicate::new(Arc::new(IsNotNullExpr::new(Arc::new(Column::new("i", ASKED))))))
}

/// Those of all.
fn wanted(only_some: bool, rows: &RecordBatch) -> RecordBatch {
    let keep = arrow::compute::is_not_null(rows.column(ASKED)).unwrap();
    if only_some { filter_record_batch(rows, &keep).unwrap() } else { rows.clone() }
}

fn check(seed: u64, n: usize, keys: u64) {
    let mut dice = Dice(seed);
    let (odd, timed) = (dice.below(3) == 0, dice.below(2) == 0);
    let partitions: Vec<RecordBatch> = (0..1 + dice.below(3)).map(|_| rows(&mut dice, n, keys, odd)).collect();
    let of_time = stage(&mut dice, timed);
    let want = reference(&of_time, &partitions);
    let of_arrival = OverStage { arrival: true, ..stage(&mut dice, timed) };
    for (checkpoints, is_asked) in [(false, false), (true, false), (false, true), (true, true)] {
        let text = format!("seed {seed}, checkpoints {checkpoints}, only some rows {is_asked}");
        let got = run(&mut dice, &of_time, is_asked, &partitions, checkpoints);
        compare(&text, &of_time, &wanted(is_asked, &want), &got);
        let (arrived, got) = arrive(&mut dice, &of_arrival, is_asked, &partitions, checkpoints);
        let want = wanted(is_asked, &reference_of_arrival(&of_arrival, &arrived));
        compare(&format!("{text}, by arrival"), &of_arrival, &want, &got);
    }
}

fn compare(text: &str, stage: &OverStage, want: &RecordBatch, got: &RecordBatch) {
    for (at, field) in stage.schema.fields().iter().enumerate() {
        let (want, got) = (want.column(at), got.column(at));
        if bits(want) != bits(got) {
            let row = (0..want.len()).find(|row| bits(&want.slice(*row, 1)) != bits(&got.slice(*row, 1)));
            let row = row.unwrap_or(0);
            panic!(
                "{text}: {field}, row {row}: {:?} instead of {:?}\n{}",
                got.slice(row, 1),
                want.slice(row, 1),
                stage.text(&|at| schema().field(at).name().clone()),
            );
        }
    }
}

/// A column that equals others of the same bits only, one NaN aside.
fn bits(column: &ArrayRef) -> ArrayRef {
    match column.as_any().downcast_ref::<Float64Array>() {
        Some(doubles) => {
            let bits = doubles.iter().map(|d| d.map(|d| if d.is_nan() { u64::MAX } else { d.to_bits() }));
            Arc::new(bits.collect::<UInt64Array>())
        }
        None => column.clone(),
    }
}

#[test]
fn answers_are_those_of_the_definition() {
    // In the last one a value is kept for a frame without a beginning alone, and another takes its place in the same batch.
    for seed in (0..150).chain([1809]) {
        check(seed, 120, 5);
    }
}

#[test]
fn keys_that_are_many_and_gone_are_let_go() {
    let mut dice = Dice(7);
    let count = Call {
        function: Function::Aggregate { spec: spec(AggregateKind::Sum, false, Some(3)), respect_nulls: false },
        frame: 0,
        arg: Some(0),
        out: 0,
    };
    let frames = vec![Frame::Range { from: Some(50 * MS), to: 0 }];
    let keys = Keys { keys: vec![2], frames, args: vec![3], calls: vec![count] };
    let mut fields: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("a", DataType::Int64, true));
    let stage = OverStage {
        input: schema(),
        passed: 8,
        time: TIME,
        tick: MS,
        keys: vec![keys],
        schema: Arc::new(Schema::new(fields)),
        ordered: true,
        arrival: false,
    };
    let over = OverWindows::new(stage, None, 1, false).unwrap();
    let mut most = 0;
    for round in 0..200i64 {
        let n = 1000;
        let mut columns = rows(&mut dice, n, 2, false).columns().to_vec();
        columns[0] = Arc::new(TimestampMillisecondArray::from_iter_values((0..n as i64).map(|i| round * 100 + i / 10)));
        columns[2] = Arc::new(Int64Array::from_iter_values((0..n as i64).map(|i| round * 1000 + i)));
        let columns = RecordBatch::try_new(schema(), columns).unwrap();
        over.push(0, MicroBatch::derived(columns), &mut Emit::default()).unwrap();
        advance(&over, round * 100 * MS, &mut Emit::default());
        most = most.max(over.memory_bytes());
    }
    assert!(most < 3 << 20, "{most} bytes for some two thousand rows that frames look at");
}
