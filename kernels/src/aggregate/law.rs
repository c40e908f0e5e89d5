//! The law: any cut of the rows, in any order, merged in any tree, gives the same values and the same saved bytes.

use super::*;
use arrow::array::*;
use arrow::compute::{cast, take};
use arrow::datatypes::*;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRng, TestRunner};
use std::sync::Arc;

/// Random cases a spec.
const CASES: u32 = 24;

/// A small generator of its own, so that one seed is one case.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

fn double(dice: &mut Dice) -> f64 {
    const EDGES: [f64; 14] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        5e-324,
        -5e-324,
        1e-310,
        1e308,
        -1e308,
        f64::MAX,
        9007199254740993.0,
        0.1,
        f64::MIN_POSITIVE,
        1e16,
    ];
    match dice.below(40) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3..12 => EDGES[dice.below(EDGES.len())],
        12..18 => Some(f64::from_bits(dice.next())).filter(|x| x.is_finite()).unwrap_or(2.5),
        _ => dice.below(1_000_000) as f64 / 100.0,
    }
}

fn integer(dice: &mut Dice) -> i128 {
    match dice.below(10) {
        0 => i64::MAX as i128,
        1 => i64::MIN as i128,
        2 => u64::MAX as i128,
        3 => dice.next() as i64 as i128,
        _ => dice.below(200) as i128 - 100,
    }
}

fn text(dice: &mut Dice) -> String {
    const WORDS: [&str; 7] = ["", "a", "ab", "é", "z\0", "long enough to leave a view", "β"];
    if dice.below(3) == 0 { format!("{}", dice.below(2000)) } else { WORDS[dice.below(WORDS.len())].into() }
}

/// A random column of any type that aggregates take.
fn column(dice: &mut Dice, data_type: &DataType, rows: usize) -> ArrayRef {
    let nulls = dice.below(3);
    let mut valid: Vec<bool> = (0..rows).map(|_| nulls == 0 || dice.below(4) > 0).collect();
    if nulls == 2 {
        valid.fill(true);
    }
    macro_rules! primitive {
        ($t:ty, $value:expr) => {
            Arc::new(valid.iter().map(|&valid| valid.then(|| $value)).collect::<PrimitiveArray<$t>>()) as ArrayRef
        };
    }
    match data_type {
        DataType::Float64 => primitive!(Float64Type, double(dice)),
        DataType::Float32 => primitive!(Float32Type, {
            let value = double(dice) as f32;
            if value.is_nan() { f32::NAN } else { value }
        }),
        DataType::Int8 => primitive!(Int8Type, integer(dice) as i8),
        DataType::Int16 => primitive!(Int16Type, integer(dice) as i16),
        DataType::Int32 => primitive!(Int32Type, integer(dice) as i32),
        DataType::Int64 => primitive!(Int64Type, integer(dice) as i64),
        DataType::UInt8 => primitive!(UInt8Type, integer(dice) as u8),
        DataType::UInt16 => primitive!(UInt16Type, integer(dice) as u16),
        DataType::UInt32 => primitive!(UInt32Type, integer(dice) as u32),
        DataType::UInt64 => primitive!(UInt64Type, integer(dice) as u64),
        DataType::Decimal128(precision, scale) => {
            let limit = 10i128.pow(*precision as u32);
            let value = |dice: &mut Dice| match dice.below(4) {
                0 => limit - 1 - dice.below(3) as i128,
                1 => -limit + 1 + dice.below(3) as i128,
                _ => integer(dice) % limit,
            };
            let values: Decimal128Array = valid.iter().map(|&valid| valid.then(|| value(dice))).collect();
            Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Boolean => {
            Arc::new(valid.iter().map(|&valid| valid.then(|| dice.below(3) > 0)).collect::<BooleanArray>())
        }
        DataType::Date32 | DataType::Time32(_) => {
            cast(&primitive!(Int32Type, dice.below(86_400) as i32), data_type).unwrap()
        }
        DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) => {
            cast(&primitive!(Int64Type, dice.below(86_400_000) as i64), data_type).unwrap()
        }
        other => {
            let texts: StringArray = valid.iter().map(|&valid| valid.then(|| text(dice))).collect();
            cast(&texts, other).unwrap()
        }
    }
}

fn numbers() -> Vec<DataType> {
    use DataType::*;
    let decimals = [Decimal128(9, 2), Decimal128(38, 10), Decimal128(38, 38), Decimal128(20, -2)];
    let numbers = [Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float32, Float64, Float64, Float64];
    decimals.into_iter().chain(numbers).collect()
}

fn anything() -> Vec<DataType> {
    use DataType::*;
    let mut types = numbers();
    types.extend([Boolean, Date32, Date64, Time32(TimeUnit::Second), Time64(TimeUnit::Microsecond)]);
    types.extend([Timestamp(TimeUnit::Microsecond, None), Timestamp(TimeUnit::Second, Some("+02:00".into()))]);
    types.extend([Utf8, LargeUtf8, Utf8View, Binary, LargeBinary, BinaryView]);
    types.push(Dictionary(Box::new(Int32), Box::new(Utf8)));
    types.push(Dictionary(Box::new(UInt16), Box::new(LargeUtf8)));
    types
}

/// Every kind with every type it takes.
fn specs() -> Vec<AggregateSpec> {
    use AggregateKind::*;
    let spec = |kind, distinct, arg_types| AggregateSpec { kind, distinct, arg_types, fast_float: false };
    let mut specs = vec![spec(Count, false, vec![])];
    for distinct in [false, true] {
        for kind in [Count, Min, Max, ApproxDistinct] {
            specs.extend(anything().into_iter().map(|t| spec(kind, distinct, vec![t])));
        }
        let percentiles = [0.0, 0.5, 0.99].map(|p| ApproxPercentile { p });
        for kind in [Sum, Avg, VarSamp, VarPop, StddevSamp, StddevPop].into_iter().chain(percentiles) {
            specs.extend(numbers().into_iter().map(|t| spec(kind, distinct, vec![t])));
        }
        specs.extend([BoolAnd, BoolOr].map(|kind| spec(kind, distinct, vec![DataType::Boolean])));
    }
    for kind in [FirstValue, LastValue] {
        let order = [DataType::Int64, DataType::UInt32, DataType::Int64];
        let args = |t| [t].into_iter().chain(order.clone()).collect();
        specs.extend(anything().into_iter().map(|t| spec(kind, false, args(t))));
    }
    specs
}

fn arguments(dice: &mut Dice, spec: &AggregateSpec, rows: usize) -> Vec<ArrayRef> {
    let mut args: Vec<ArrayRef> = spec.arg_types.iter().take(1).map(|t| column(dice, t, rows)).collect();
    if spec.arg_types.len() == 4 {
        // Few different origins, so that ties come.
        args.push(Arc::new(Int64Array::from_iter_values((0..rows).map(|_| dice.below(5) as i64 - 2))));
        args.push(Arc::new(UInt32Array::from_iter_values((0..rows).map(|_| dice.below(2) as u32))));
        args.push(Arc::new(Int64Array::from_iter_values((0..rows).map(|_| dice.below(4) as i64))));
    }
    args
}

/// Values, to be compared by their bits, or the error.
fn finished(aggregate: &dyn Aggregate) -> Result<ArrayData, String> {
    let array = aggregate.finish().map_err(|error| error.to_string())?;
    assert_eq!(array.data_type(), &aggregate.output_type());
    Ok(array.to_data())
}

fn check(spec: &AggregateSpec, seed: u64) -> Result<(), TestCaseError> {
    let dice = &mut Dice(seed);
    // One group has loops of its own.
    let groups = [1, 3, 3][dice.below(3)];
    let rows = if spec.kind == AggregateKind::ApproxDistinct { dice.below(3000) } else { dice.below(60) };
    let args = arguments(dice, spec, rows);
    let ids: Vec<u32> = (0..rows).map(|_| dice.below(groups) as u32).collect();
    let new = || {
        let mut states = spec.build().unwrap();
        states.resize(groups);
        states
    };

    // Row by row is what the states mean.
    let mut want = new();
    for (row, &id) in (0..).zip(&ids) {
        want.update(&args, Rows::List(&[row]), &[id]).unwrap();
    }

    // Rows shuffled, cut, each part folded in one of three ways with groups under other ids, merged in a random tree.
    let mut order: Vec<u32> = (0..rows as u32).collect();
    for i in (1..rows).rev() {
        order.swap(i, dice.below(i + 1));
    }
    let mut parts: Vec<Box<dyn Aggregate>> = vec![new()];
    let mut rest = &order[..];
    while !rest.is_empty() {
        let (part, tail) = rest.split_at(1 + dice.below(rest.len()));
        rest = tail;
        let turn = dice.below(groups) as u32;
        let part_ids: Vec<u32> = part.iter().map(|&row| (ids[row as usize] + turn) % groups as u32).collect();
        let mut states = new();
        match dice.below(3) {
            0 => states.update(&args, Rows::List(part), &part_ids).unwrap(),
            1 => {
                let picks = UInt32Array::from(part.to_vec());
                let args: Vec<_> = args.iter().map(|arg| take(arg, &picks, None).unwrap()).collect();
                states.update(&args, Rows::All(part.len()), &part_ids).unwrap();
            }
            _ => {
                // A slice with an offset, padded by rows that do not take part.
                let picks: UInt32Array = [part[0]].iter().chain(part).copied().collect();
                let args: Vec<_> =
                    args.iter().map(|arg| take(arg, &picks, None).unwrap().slice(1, part.len())).collect();
                states.update(&args, Rows::All(part.len()), &part_ids).unwrap();
            }
        }
        let back: Vec<u32> = (0..groups as u32).map(|id| (id + groups as u32 - turn) % groups as u32).collect();
        let mut straight = new();
        straight.merge(&*states, &back).unwrap();
        if dice.below(3) == 0 {
            let mut loaded = spec.build().unwrap();
            loaded.load(&straight.save()).unwrap();
            straight = loaded;
        }
        parts.push(straight);
    }
    let map: Vec<u32> = (0..groups as u32).collect();
    while parts.len() > 1 {
        let from = parts.swap_remove(dice.below(parts.len()));
        let into = dice.below(parts.len());
        parts[into].merge(&*from, &map).unwrap();
    }
    let got = parts.pop().unwrap();

    let what = || format!("{spec:?}, seed {seed}");
    prop_assert_eq!(finished(&*got), finished(&*want), "{}", what());
    prop_assert_eq!(got.save(), want.save(), "{}", what());
    let mut loaded = spec.build().unwrap();
    loaded.load(&want.save()).unwrap();
    prop_assert_eq!(finished(&*loaded), finished(&*want), "{} loaded", what());
    prop_assert_eq!(loaded.save(), want.save(), "{} loaded", what());
    loaded.resize(groups + 1);
    prop_assert_eq!(loaded.save().slice(groups, 1), new().save().slice(0, 1));

    // Taking out what was merged in leaves what was there.
    let (mut rest, mut other) = (new(), new());
    let half = rows / 2;
    let (before, after): (Vec<u32>, Vec<u32>) = ((0..half as u32).collect(), (half as u32..rows as u32).collect());
    rest.update(&args, Rows::List(&before), &ids[..half]).unwrap();
    other.update(&args, Rows::List(&after), &ids[half..]).unwrap();
    let mut both = new();
    both.merge(&*rest, &map).unwrap();
    both.merge(&*other, &map).unwrap();
    if both.can_unmerge(&*other) {
        prop_assert!(spec.is_invertible(), "{}", what());
        both.unmerge(&*other, &map);
        prop_assert_eq!(both.save(), rest.save(), "{} taken out", what());
    }

    // What else these states can answer is what states of its own would say.
    use AggregateKind::*;
    for kind in [Count, Sum, Avg, VarSamp, VarPop, StddevSamp, StddevPop] {
        let other = AggregateSpec { kind, ..spec.clone() };
        if spec.covers(&other) {
            let mut own = other.build().unwrap();
            own.resize(groups);
            own.update(&args, Rows::All(rows), &ids).unwrap();
            let answer = got.answer(&other).map(|array| array.to_data()).map_err(|error| error.to_string());
            prop_assert_eq!(answer, finished(&*own), "{} of {}", kind, what());
        }
    }
    Ok(())
}

#[test]
fn the_law() {
    for spec in specs() {
        // A runner counts its cases for good, so each spec has its own.
        let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
        let rng = TestRng::deterministic_rng(config.rng_algorithm);
        let checked = std::cell::Cell::new(0);
        let each = |seed| {
            checked.set(checked.get() + 1);
            check(&spec, seed)
        };
        TestRunner::new_with_rng(config, rng).run(&any::<u64>(), each).unwrap();
        assert_eq!(checked.get(), CASES);
    }
}

/// One state fed all of a column.
fn all(kind: AggregateKind, distinct: bool, array: ArrayRef) -> Result<ArrayRef, AggregateError> {
    let spec = AggregateSpec { kind, distinct, arg_types: vec![array.data_type().clone()], fast_float: false };
    let mut states = spec.build()?;
    states.resize(1);
    states.update(std::slice::from_ref(&array), Rows::All(array.len()), &vec![0; array.len()])?;
    states.finish()
}

fn double_of(kind: AggregateKind, distinct: bool, array: ArrayRef) -> Option<f64> {
    let value = all(kind, distinct, array).unwrap();
    let value = value.as_primitive::<Float64Type>();
    value.is_valid(0).then(|| value.value(0))
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap())
}

#[test]
fn means_and_variances_mean_reference() {
    use crate::exact::reference;
    use AggregateKind::*;
    let dice = &mut Dice(7);
    for case in 0..300 {
        let values: Vec<f64> = (0..2 + dice.below(40))
            .map(|_| if case % 2 == 0 { dice.below(1_000_000) as f64 / 100.0 + 1e9 } else { double(dice) })
            .filter(|value| value.is_finite())
            .collect();
        if values.len() < 2 {
            continue;
        }
        let got = |kind| double_of(kind, false, doubles(&values)).unwrap().to_bits();
        assert_eq!(got(Avg), reference::mean(&values).to_bits());
        assert_eq!(got(VarSamp), reference::variance(&values, 1).to_bits());
        assert_eq!(got(VarPop), reference::variance(&values, 0).to_bits());
        assert_eq!(got(StddevSamp), reference::variance(&values, 1).sqrt().to_bits());
    }
}

#[test]
fn variances_worked_out_by_hand() {
    use AggregateKind::*;
    assert_eq!(double_of(VarPop, false, doubles(&[1.0, 2.0, 3.0, 4.0])), Some(1.25));
    assert_eq!(double_of(VarSamp, false, doubles(&[1e15, 1e15 + 1.0])), Some(0.5));
    assert_eq!(double_of(VarSamp, false, doubles(&[3.0])), None);
    assert_eq!(double_of(VarPop, false, doubles(&[3.0])), Some(0.0));
    assert_eq!(double_of(VarPop, false, doubles(&[])), None);
    assert!(double_of(VarPop, false, doubles(&[1.0, f64::INFINITY])).unwrap().is_nan());
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN]));
    assert_eq!(double_of(VarPop, false, integers), Some(2f64.powi(126)));
    assert_eq!(double_of(VarPop, false, decimals(&[100, 300], 9, 2)), Some(1.0));
    assert_eq!(double_of(VarPop, false, decimals(&[1, 3], 9, -2)), Some(10_000.0));
    assert_eq!(double_of(StddevPop, false, doubles(&[1.0, 3.0, 1.0, 3.0])), Some(1.0));
    assert_eq!(double_of(VarPop, true, doubles(&[1.0, 3.0, 3.0, 3.0])), Some(1.0));
}

#[test]
fn sums_of_integers_and_decimals() {
    use AggregateKind::*;
    let sum = |values: Vec<i64>| all(Sum, false, Arc::new(Int64Array::from(values)));
    assert_eq!(sum(vec![i64::MAX, 1, -1]).unwrap().as_primitive::<Int64Type>().value(0), i64::MAX);
    let error = sum(vec![i64::MAX, 1]).unwrap_err();
    assert_eq!(error.to_string(), "group 0: the result does not fit Int64");
    assert!(sum(vec![]).unwrap().is_null(0));

    let most = 10i128.pow(38) - 1;
    let decimal = |kind, values: &[i128], scale| {
        Ok::<_, AggregateError>(
            all(kind, false, decimals(values, 38, scale))?.as_primitive::<Decimal128Type>().value(0),
        )
    };
    assert_eq!(decimal(Sum, &[most, most, -most], 0).unwrap(), most);
    assert!(matches!(decimal(Sum, &[most, 1], 0), Err(AggregateError::SumOverflow { group: 0, .. })));
    assert_eq!(decimal(Avg, &[100, 100, 101], 2).unwrap(), 1_003_333, "3.01 / 3 at six digits");
    assert_eq!(decimal(Avg, &[1, 0], 6).unwrap(), 1, "half a unit rounds up");
    assert_eq!(decimal(Avg, &[-1, 0], 6).unwrap(), -1, "and away from zero");
    assert_eq!(decimal(Avg, &[most, most], 10).unwrap(), most);
    assert!(decimal(Avg, &[most, most], 0).is_err());
    assert_eq!(double_of(Avg, false, Arc::new(Int64Array::from(vec![1, 2]))), Some(1.5));
    assert_eq!(double_of(Avg, true, Arc::new(Int64Array::from(vec![1, 2, 2, 2]))), Some(1.5));
    assert_eq!(
        double_of(Sum, false, Arc::new(Float32Array::from(vec![0.1f32, 0.2]))),
        Some(0.1f32 as f64 + 0.2f32 as f64)
    );
}

#[test]
fn extremes_order_nan_last() {
    use AggregateKind::*;
    assert_eq!(double_of(Min, false, doubles(&[f64::NAN, f64::INFINITY])), Some(f64::INFINITY));
    assert!(double_of(Max, false, doubles(&[f64::NAN, f64::INFINITY])).unwrap().is_nan());
    assert_eq!(double_of(Min, false, doubles(&[0.0, -0.0])).unwrap().to_bits(), (-0.0f64).to_bits());
    assert_eq!(double_of(Max, false, doubles(&[-1.0, -2.0])), Some(-1.0));
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("é"), Some("")]));
    let words = cast(&words, &DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8))).unwrap();
    assert_eq!(all(Max, false, words.clone()).unwrap().as_string::<i32>().value(0), "é");
    assert_eq!(all(Min, false, words).unwrap().as_string::<i32>().value(0), "");
    let zoned = Timestamp::array(&[5, 3]);
    assert_eq!(all(Min, false, zoned.clone()).unwrap().to_data(), zoned.slice(1, 1).to_data());
}

struct Timestamp;

impl Timestamp {
    fn array(micros: &[i64]) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("Europe/Vienna"))
    }
}

#[test]
fn distinct_counts() {
    use AggregateKind::*;
    let count = |array| all(Count, true, array).unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!(count(doubles(&[0.0, -0.0, f64::NAN, -f64::NAN, 1.0])), 3);
    assert_eq!(count(Arc::new(StringArray::from(vec![Some("a"), Some(""), None, Some("a")]))), 2);
    assert_eq!(count(decimals(&[1, 1, -1, i128::from(u64::MAX) + 2], 38, 0)), 3);
    assert_eq!(double_of(Sum, true, doubles(&[-0.0, 0.0, 0.5, 0.5])), Some(0.5));
}

#[test]
fn first_and_last_keep_nulls() {
    let order = [DataType::Int64, DataType::UInt32, DataType::Int64];
    let args: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("late"), None, Some("tie")])),
        Arc::new(Int64Array::from(vec![9, 1, 1])),
        Arc::new(UInt32Array::from(vec![0, 0, 1])),
        Arc::new(Int64Array::from(vec![1, 7, 2])),
    ];
    for (kind, want) in [(AggregateKind::FirstValue, None), (AggregateKind::LastValue, Some("late"))] {
        let arg_types = [DataType::Utf8].into_iter().chain(order.clone()).collect();
        let mut states = AggregateSpec { kind, distinct: false, arg_types, fast_float: false }.build().unwrap();
        states.resize(1);
        states.update(&args, Rows::All(3), &[0, 0, 0]).unwrap();
        assert_eq!(states.finish().unwrap().as_string::<i32>().iter().next().unwrap(), want);
    }
}

#[test]
fn what_is_not_there_is_refused() {
    use AggregateKind::*;
    let build =
        |kind, arg_types: Vec<DataType>| AggregateSpec { kind, distinct: false, arg_types, fast_float: false }.build();
    for kind in [Sum, Avg, VarPop, BoolAnd, ApproxPercentile { p: 0.5 }] {
        assert!(matches!(build(kind, vec![DataType::Utf8]), Err(AggregateError::Unsupported { .. })));
    }
    assert!(build(ApproxPercentile { p: 1.5 }, vec![DataType::Int64]).is_err());
    assert!(build(Min, vec![]).is_err());
    assert!(build(FirstValue, vec![DataType::Int64]).is_err());
    assert!(build(Sum, vec![DataType::Boolean]).is_err());
    let error = build(Sum, vec![DataType::Date32]).err().unwrap();
    assert_eq!(error.to_string(), "SUM does not take (Date32)");

    let mut sum = build(Sum, vec![DataType::Int64]).unwrap();
    sum.resize(1);
    let wrong: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert!(matches!(sum.update(&[wrong], Rows::All(1), &[0]), Err(AggregateError::WrongArgument { .. })));
    assert!(sum.merge(&*build(Avg, vec![DataType::Int64]).unwrap(), &[]).is_err());
    let bad = BinaryArray::from_iter_values([&[1u8, 1, 0][..]]);
    assert!(matches!(sum.load(&bad), Err(AggregateError::BadState { group: 0, .. })));
}

#[test]
fn fast_sums_are_plain() {
    let spec = |kind| AggregateSpec { kind, distinct: false, arg_types: vec![DataType::Float64], fast_float: true };
    let fast = |kind, values: &[f64]| {
        let mut states = spec(kind).build().unwrap();
        states.resize(1);
        states.update(&[doubles(values)], Rows::All(values.len()), &vec![0; values.len()]).unwrap();
        let mut loaded = spec(kind).build().unwrap();
        loaded.load(&states.save()).unwrap();
        loaded.finish().unwrap().as_primitive::<Float64Type>().iter().next().unwrap()
    };
    assert_eq!(fast(AggregateKind::Sum, &[1e16, 1.0, -1e16]), Some(0.0));
    assert_eq!(fast(AggregateKind::Avg, &[1.0, 2.0]), Some(1.5));
    assert_eq!(fast(AggregateKind::VarSamp, &[1.0, 3.0]), Some(2.0));
    assert_eq!(fast(AggregateKind::StddevPop, &[1.0, 3.0]), Some(1.0));
    assert_eq!(fast(AggregateKind::Sum, &[]), None);
    assert_eq!(fast(AggregateKind::VarSamp, &[1.0]), None);
}

/// Prints nanoseconds a row: `cargo test -p pelton-kernels --release -- --ignored --nocapture cost`.
#[test]
#[ignore = "a measurement, not a check"]
fn cost() {
    use AggregateKind::*;
    const ROWS: usize = 1 << 16;
    const BATCHES: usize = 64;
    let dice = &mut Dice(3);
    let money: ArrayRef =
        doubles(&(0..ROWS).map(|_| (dice.below(10_000_000) as f64 + 1.0) / 100.0).collect::<Vec<_>>());
    let small: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|_| dice.below(1000) as i64)));
    let large: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|_| dice.next() as i64)));
    let words: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| format!("word{}", dice.below(5000)))));
    let half: ArrayRef = {
        let money = money.as_primitive::<Float64Type>();
        Arc::new(money.iter().map(|x| x.filter(|_| dice.below(2) > 0)).collect::<Float64Array>())
    };
    let spread: ArrayRef = doubles(&(0..ROWS).map(|_| 10f64.powi(dice.below(200) as i32 - 100)).collect::<Vec<_>>());
    let decimal: ArrayRef = decimals(&(0..ROWS).map(|_| dice.below(10_000_000) as i128).collect::<Vec<_>>(), 12, 2);
    let cases = [
        ("SUM f64", Sum, false, &money),
        ("SUM f64 half NULL", Sum, false, &half),
        ("SUM f64 wide", Sum, false, &spread),
        ("AVG f64", Avg, false, &money),
        ("VAR f64", VarSamp, false, &money),
        ("SUM i64", Sum, false, &small),
        ("VAR i64", VarSamp, false, &small),
        ("SUM decimal", Sum, false, &decimal),
        ("COUNT", Count, false, &money),
        ("MIN f64", Min, false, &money),
        ("MAX utf8", Max, false, &words),
        ("COUNT DISTINCT few i64", Count, true, &small),
        ("COUNT DISTINCT many i64", Count, true, &large),
        ("COUNT DISTINCT utf8", Count, true, &words),
        ("APPROX_DISTINCT i64", ApproxDistinct, false, &large),
        ("APPROX_PERCENTILE", ApproxPercentile { p: 0.5 }, false, &money),
    ];
    println!(
        "{:28}{:>10}{:>10}{:>10}{:>10}{:>10}   ns a row, then bytes a group",
        "groups", 1, 4, 1000, 100_000, 1_000_000
    );
    for (name, kind, distinct, array) in cases {
        let mut line = format!("{name:28}");
        let mut bytes = 0;
        for groups in [1, 4, 1000, 100_000, 1_000_000] {
            if matches!(kind, ApproxDistinct) && groups > 1000 {
                continue;
            }
            let ids: Vec<Vec<u32>> = (0..8).map(|_| (0..ROWS).map(|_| dice.below(groups) as u32).collect()).collect();
            let spec = AggregateSpec { kind, distinct, arg_types: vec![array.data_type().clone()], fast_float: false };
            let mut states = spec.build().unwrap();
            states.resize(groups);
            let mut best = f64::MAX;
            for batch in 0..BATCHES {
                let start = std::time::Instant::now();
                states.update(std::slice::from_ref(array), Rows::All(ROWS), &ids[batch % 8]).unwrap();
                let took = start.elapsed().as_nanos() as f64 / ROWS as f64;
                best = best.min(took);
            }
            bytes = states.memory_bytes() / groups;
            line += &format!("{best:10.2}");
        }
        println!("{line}   {bytes}");
    }
    for (kind, array) in [(Sum, &money), (Avg, &money), (VarSamp, &money)] {
        let spec =
            AggregateSpec { kind, distinct: false, arg_types: vec![array.data_type().clone()], fast_float: false };
        let mut states = spec.build().unwrap();
        states.resize(1_000_000);
        let ids: Vec<u32> = (0..ROWS).map(|_| dice.below(1_000_000) as u32).collect();
        states.update(std::slice::from_ref(array), Rows::All(ROWS), &ids).unwrap();
        let map: Vec<u32> = (0..1_000_000).collect();
        let mut into = spec.build().unwrap();
        into.resize(1_000_000);
        let time = |what: &str, run: &mut dyn FnMut()| {
            let start = std::time::Instant::now();
            run();
            println!("{kind} {what}: {:.2} ns a group", start.elapsed().as_nanos() as f64 / 1e6);
        };
        time("merge", &mut || into.merge(&*states, &map).unwrap());
        time("merge again", &mut || into.merge(&*states, &map).unwrap());
        time("finish", &mut || drop(states.finish().unwrap()));
        let mut saved = None;
        time("save", &mut || saved = Some(states.save()));
        time("load", &mut || into.load(saved.as_ref().unwrap()).unwrap());
    }
}
