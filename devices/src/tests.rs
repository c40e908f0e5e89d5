//! Random programs over random batches: the device's answers are the processor's, to the last bit; and every shader is valid
//! for the back ends that are not here.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Cpu, Device, GroupState, Program, ProgramError};

use super::*;
use crate::shader;

/// SplitMix64: the same programs on every machine.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

pub(crate) fn coded_text() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn key_types() -> Vec<DataType> {
    use DataType::*;
    let micros = Timestamp(TimeUnit::Microsecond, None);
    vec![Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Date32, micros, Decimal128(20, 2)]
        .into_iter()
        .chain([Utf8, coded_text(), Float32, Float64])
        .collect()
}

fn number_types() -> Vec<DataType> {
    use DataType::*;
    vec![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Decimal128(38, 4), Float32, Float64, Float64]
}

/// What the values of a column are like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// Few different ones.
    Few,
    /// Of a size that money has.
    Plain,
    /// The ends of the type, infinities and NaN among them.
    Extreme,
    /// Any bits at all.
    Any,
}

fn double(dice: &mut Dice, values: Values) -> f64 {
    match values {
        Values::Few => dice.pick(&[0.0, -0.0, 1.5, f64::NAN, -2.25]),
        Values::Plain => (dice.below(2_000_001) as f64 - 1e6) / 100.0,
        Values::Extreme => dice.pick(&[
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            -5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            -0.0,
            0.1,
            1e15,
        ]),
        Values::Any => f64::from_bits(dice.next()),
    }
}

fn integer(dice: &mut Dice, values: Values, least: i128, most: i128) -> i128 {
    let any = |dice: &mut Dice| {
        let bits = (dice.next() as u128) << 64 | dice.next() as u128;
        least.wrapping_add((bits % (most.wrapping_sub(least) as u128).max(1)) as i128)
    };
    match values {
        Values::Few => i128::from(dice.below(5)),
        Values::Plain => (i128::from(dice.below(2001)) - 1000).clamp(least, most),
        Values::Extreme => dice.pick(&[least, least + 1, most, most - 1, 0, 1, (-1).max(least)]),
        Values::Any => any(dice),
    }
}

pub(crate) fn column(dice: &mut Dice, data_type: &DataType, values: Values, rows: usize) -> ArrayRef {
    let nulls = dice.pick(&[0, 0, 2, 9]);
    let mut there: Vec<bool> = (0..rows).map(|_| nulls == 0 || !dice.one_in(nulls)).collect();
    if dice.one_in(20) {
        there.fill(false);
    }
    macro_rules! integers {
        ($array:ty, $native:ty) => {{
            let (least, most) = (<$native>::MIN as i128, <$native>::MAX as i128);
            let value = |there: &bool| {
                let value = integer(dice, values, least, most) as $native;
                there.then_some(value)
            };
            Arc::new(there.iter().map(value).collect::<$array>())
        }};
    }
    match data_type {
        DataType::Boolean => Arc::new(there.iter().map(|t| t.then_some(dice.one_in(2))).collect::<BooleanArray>()),
        DataType::Int8 => integers!(Int8Array, i8),
        DataType::Int16 => integers!(Int16Array, i16),
        DataType::Int32 => integers!(Int32Array, i32),
        DataType::Int64 => integers!(Int64Array, i64),
        DataType::UInt8 => integers!(UInt8Array, u8),
        DataType::UInt16 => integers!(UInt16Array, u16),
        DataType::UInt32 => integers!(UInt32Array, u32),
        DataType::UInt64 => integers!(UInt64Array, u64),
        DataType::Date32 => integers!(Date32Array, i32),
        DataType::Timestamp(..) => integers!(TimestampMicrosecondArray, i64),
        DataType::Decimal128(precision, scale) => {
            let most = 10i128.pow(u32::from(*precision)) - 1;
            let value = |there: &bool| {
                let value = integer(dice, values, -most, most);
                there.then_some(value)
            };
            let array = there.iter().map(value).collect::<Decimal128Array>();
            Arc::new(array.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Float64 => {
            Arc::new(there.iter().map(|t| Some(double(dice, values)).filter(|_| *t)).collect::<Float64Array>())
        }
        DataType::Float32 => {
            Arc::new(there.iter().map(|t| Some(double(dice, values) as f32).filter(|_| *t)).collect::<Float32Array>())
        }
        text => {
            let word = |t: &bool| t.then(|| dice.pick(&["", "a", "b", "long enough to lie elsewhere", "ü"]));
            cast(&there.iter().map(word).collect::<StringArray>(), text).unwrap()
        }
    }
}

/// A program and what its columns are like.
pub(crate) struct Random {
    pub program: Arc<Program>,
    pub columns: Vec<(DataType, Values)>,
}

/// A random program.
pub(crate) fn program(dice: &mut Dice) -> Random {
    use AggregateKind::*;
    let mut columns: Vec<(DataType, Values)> = vec![];
    let keys = (0..dice.below(4)).map(|_| {
        let values = dice.pick(&[Values::Few, Values::Few, Values::Extreme, Values::Any]);
        columns.push((dice.pick(&key_types()), values));
        columns.len() - 1
    });
    let keys: Vec<usize> = keys.collect();
    let keys = keys.into_iter().map(|at| (at, columns[at].0.clone())).collect();
    let arguments = columns.len();
    for _ in 0..=dice.below(3) {
        let values = dice.pick(&[Values::Plain, Values::Plain, Values::Extreme, Values::Any]);
        columns.push((dice.pick(&number_types()), values));
    }
    if dice.one_in(4) {
        columns.push((dice.pick(&[DataType::Boolean, DataType::Date32]), Values::Plain));
    }
    let filter = columns.len();
    columns.push((DataType::Boolean, Values::Plain));
    let mut aggregates = vec![];
    for _ in 0..=dice.below(6) {
        let at = arguments + dice.below((filter - arguments) as u64) as usize;
        let data_type = columns[at].0.clone();
        let is_number = !matches!(data_type, DataType::Boolean | DataType::Date32);
        let kind = match is_number {
            true if dice.one_in(3) => dice.pick(&[VarSamp, VarPop, StddevSamp, StddevPop]),
            true => dice.pick(&[Count, Sum, Avg, Min, Max]),
            false => dice.pick(&[Count, Min, Max]),
        };
        let (args, arg_types) = match kind == Count && dice.one_in(2) {
            true => (vec![], vec![]),
            false => (vec![at], vec![data_type]),
        };
        let spec = AggregateSpec { kind, distinct: false, arg_types, fast_float: false };
        aggregates.push(AggregateCall { spec, args, filter: dice.one_in(4).then_some(filter) });
    }
    Random { program: Arc::new(Program { keys, aggregates }), columns }
}

/// Folds the same random rows into states of both devices, cut in the same ways.
fn folded(dice: &mut Dice, random: &Random, device: &Wgpu) -> [Box<dyn GroupState>; 2] {
    let fresh = || [Cpu.state(&random.program, 0).unwrap(), device.state(&random.program, 0).unwrap()];
    let (mut states, mut closed) = (fresh(), fresh());
    for _ in 0..=dice.below(4) {
        let rows = 1 + dice.below(400) as usize;
        let columns: Vec<ArrayRef> =
            random.columns.iter().map(|(data_type, values)| column(dice, data_type, *values, rows)).collect();
        let list: Vec<u32> = (0..dice.below(2 * rows as u64)).map(|_| dice.below(rows as u64) as u32).collect();
        let rows = if dice.one_in(2) { pelton_kernels::Rows::List(&list) } else { pelton_kernels::Rows::All(rows) };
        states.iter_mut().for_each(|state| state.update(&columns, rows).unwrap());
        if dice.one_in(4) {
            // A pane closes: what comes is folded into the next one.
            closed.iter_mut().zip(&states).for_each(|(closed, state)| closed.merge(state.as_ref()).unwrap());
            states = fresh();
        }
    }
    states.iter_mut().zip(&closed).for_each(|(state, closed)| state.merge(closed.as_ref()).unwrap());
    states
}

fn bits(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".into();
    }
    match column.data_type() {
        DataType::Float64 => format!("{:x}", column.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Float32 => format!("{:x}", column.as_primitive::<Float32Type>().value(row).to_bits()),
        _ => ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap().value(row).to_string(),
    }
}

/// Every group's answers by its key, or the failure.
pub(crate) fn answers(state: &dyn GroupState) -> Result<BTreeMap<String, String>, String> {
    let line = |columns: &[ArrayRef], row: usize| columns.iter().map(|c| bits(c, row)).collect::<Vec<_>>().join("|");
    let mut all = BTreeMap::new();
    for part in state.parts().unwrap() {
        let keys = part.keys().unwrap();
        let values = part.finish().map_err(|error| match error {
            // Which group it is depends on their order.
            ProgramError::Aggregate { index, .. } => format!("aggregate {index}"),
            other => other.to_string(),
        })?;
        for row in 0..part.groups() {
            assert!(all.insert(line(&keys, row), line(&values, row)).is_none(), "a key comes twice");
        }
    }
    Ok(all)
}

/// The device, unless there is none here; in CI there has to be one.
pub(crate) fn device() -> Option<Arc<Wgpu>> {
    match Wgpu::open() {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("not run: {error}");
            None
        }
    }
}

fn compare(seeds: std::ops::Range<u64>) {
    let Some(device) = device() else { return };
    let before = device.rows();
    for seed in seeds {
        let mut dice = Dice(seed);
        let random = program(&mut dice);
        assert_eq!(device.stops(&random.program), [], "seed {seed}");
        let [want, got] = folded(&mut dice, &random, &device);
        assert_eq!(answers(got.as_ref()), answers(want.as_ref()), "seed {seed}: {}", random.program);
    }
    assert!(device.rows().folded > before.folded, "the device has folded rows");
}

#[test]
fn random_programs_give_the_bits_of_the_processor() {
    compare(0..300);
}

#[test]
#[ignore = "minutes: ./x test --full"]
fn many_random_programs_give_the_bits_of_the_processor() {
    compare(1000..11_000);
}

/// A device of its own, whose limits and fate are the test's.
pub(crate) fn own_device() -> Option<Wgpu> {
    device().map(|_| Wgpu::open_anew().expect("it was opened before"))
}

fn sums_by_key() -> Arc<Program> {
    use AggregateKind::*;
    let call = |kind| {
        let spec = AggregateSpec { kind, distinct: false, arg_types: vec![DataType::Float64], fast_float: false };
        AggregateCall { spec, args: vec![1], filter: None }
    };
    let aggregates = vec![call(Sum), call(Min), call(Max)];
    Arc::new(Program { keys: vec![(0, DataType::Int64)], aggregates })
}

/// So many keys from `first` on, each twice, and doubles.
fn keys_and_doubles(first: i64, keys: i64, value: impl Fn(i64) -> f64) -> Vec<ArrayRef> {
    let both = || (first..first + keys).chain(first..first + keys);
    vec![
        Arc::new(Int64Array::from_iter_values(both())),
        Arc::new(Float64Array::from_iter_values(both().enumerate().map(|(i, key)| value(key + i as i64)))),
    ]
}

/// Folds batches of two rows a key on both devices; their answers, and the device's state.
fn fold_both(device: &Wgpu, batches: &[Vec<ArrayRef>]) -> Box<dyn GroupState> {
    let program = sums_by_key();
    let mut states = [Cpu.state(&program, 0).unwrap(), device.state(&program, 0).unwrap()];
    for batch in batches {
        let rows = pelton_kernels::Rows::All(batch[0].len());
        states.iter_mut().for_each(|state| state.update(batch, rows).unwrap());
    }
    let [want, got] = states;
    assert_eq!(answers(got.as_ref()), answers(want.as_ref()));
    got
}

#[test]
fn arenas_grow_with_the_groups() {
    let Some(device) = own_device() else { return };
    let batch = |first, keys| keys_and_doubles(first, keys, |i| i as f64 / 8.0);
    let state = fold_both(&device, &[batch(0, 10), batch(5, 3000), batch(1000, 20_000), batch(-7, 9)]);
    assert_eq!(state.groups(), 21_007);
    assert_eq!(device.rows(), RowCounts { folded: 2 * 23_019, scored: 0, refused: vec![] });
}

#[test]
fn what_does_not_fit_is_folded_beside_and_counted() {
    let Some(device) = own_device() else { return };
    let plain = || keys_and_doubles(0, 50, |i| i as f64 / 8.0);
    let huge = keys_and_doubles(40, 50, |i| i as f64 * 1e200);
    fold_both(&device, &[plain(), huge, plain()]);
    assert_eq!(device.rows(), RowCounts { folded: 200, scored: 0, refused: vec![(Unfit::Exponents, 100)] });
    assert!(device.rows().to_string().starts_with("200 rows folded, 100 on the processor (doubles too far apart"));
}

#[test]
fn small_buffers_cut_batches_and_end_in_the_processor() {
    let Some(device) = own_device() else { return };
    // Arenas for 256 groups, whose states are the widest, and no more.
    device.gpu.narrow(256 * 16 * 4);
    fold_both(&device, &[keys_and_doubles(0, 100, |i| i as f64), keys_and_doubles(50, 400, |i| i as f64)]);
    let rows = device.rows();
    let refused: u64 = rows.refused.iter().map(|(_, rows)| rows).sum();
    assert!(rows.folded >= 200 && refused > 0 && rows.folded + refused == 1000, "{rows}");
    // Not even the smallest state.
    let Some(device) = own_device() else { return };
    device.gpu.narrow(4);
    fold_both(&device, &[keys_and_doubles(0, 100, |i| i as f64)]);
    assert_eq!(device.rows().folded, 0, "{}", device.rows());
}

#[test]
fn a_lost_device_is_an_error() {
    let Some(device) = own_device() else { return };
    let mut state = device.state(&sums_by_key(), 0).unwrap();
    let batch = keys_and_doubles(0, 10, |i| i as f64);
    state.update(&batch, pelton_kernels::Rows::All(20)).unwrap();
    device.gpu.device.destroy();
    let error = state.parts().err().expect("the groups are gone");
    assert!(error.to_string().starts_with("the device wgpu:0 failed: "), "{error}");
    assert!(state.finish().is_err());
}

#[test]
fn every_shader_is_valid_for_every_back_end() {
    for seed in 0..100 {
        let random = program(&mut Dice(seed));
        validate(&shader::text(&Layout::of(&random.program).unwrap()), seed);
    }
    let nothing = Program { keys: vec![], aggregates: vec![] };
    validate(&shader::text(&Layout::of(&nothing).unwrap()), u64::MAX);
    validate(&shader::take_text(), u64::MAX);
    for ends_per_word in [2, 4] {
        validate(&shader::forest_text(ends_per_word), ends_per_word as u64);
    }
}

/// Checks a shader as naga does for an adapter that can nothing beyond what WebGPU asks of all, then writes it for each.
pub(crate) fn validate(text: &str, seed: u64) {
    use naga::back::{hlsl, msl, spv};
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("seed {seed}: {}\n{text}", error.emit_to_string(text)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| panic!("seed {seed}: {}\n{text}", error.emit_to_string(text)));
    spv::write_vec(&module, &info, &spv::Options::default(), None).unwrap();
    let options = msl::Options { fake_missing_bindings: true, ..msl::Options::default() };
    let (_, written) = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default()).unwrap();
    assert!(written.entry_point_names.iter().all(Result::is_ok), "seed {seed}: {:?}", written.entry_point_names);
    let (options, pipeline) = (hlsl::Options::default(), hlsl::PipelineOptions::default());
    let mut hlsl = String::new();
    let written = hlsl::Writer::new(&mut hlsl, &options, &pipeline).write(&module, &info, None).unwrap();
    assert!(written.entry_point_names.iter().all(Result::is_ok), "seed {seed}: {:?}", written.entry_point_names);
    for word in ["f64", "i64", "u64", "subgroup", "f32"] {
        assert!(!text.contains(word), "a shader of ours has {word}");
    }
}
