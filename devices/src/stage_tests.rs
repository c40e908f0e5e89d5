//! Random stages over random batches: what a device keeps by pane is what the processor has, to the last bit. For
//! CUDA, whose own tests are `cuda/tests.rs`, and for wgpu, whose bad days are here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Cpu, Device, GroupState, Program};
use pelton_kernels::select::{Comparable, Comparison, Members};
use pelton_kernels::stage::{Among, Folded, PaneOf, Stage, Test};

use crate::layout::Layout;
use crate::tests::{Dice, Random, Values, answers, coded_text, column, device, own_device, program, validate};
use crate::{RowCounts, shader};

/// True of some texts.
#[derive(Debug)]
struct OneOf(Vec<&'static str>);

impl OneOf {
    fn holds(&self, value: &str) -> bool {
        self.0.contains(&value)
    }
}

impl Among for OneOf {
    fn members(&self, column: &ArrayRef) -> Option<Members> {
        let values = column.as_any_dictionary_opt()?.values().clone();
        let values = values.as_string::<i32>();
        Some(Members::new((0..values.len()).map(|i| values.is_valid(i) && self.holds(values.value(i)))))
    }
}

const OPS: [Comparison; 6] =
    [Comparison::Eq, Comparison::NotEq, Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq];

/// A stage, what its columns are like, and its times: where they begin and how far they go.
pub(crate) struct RandomStage {
    pub stage: Arc<Stage>,
    columns: Vec<(DataType, Values)>,
    times: Option<(i64, u64)>,
    tests: Vec<Reference>,
}

/// What a test is to mean.
type Reference = Box<dyn Fn(&[ArrayRef], usize) -> bool>;

fn test(dice: &mut Dice, columns: &mut Vec<(DataType, Values)>) -> (Test, Reference) {
    let op = dice.pick(&OPS);
    let column = columns.len();
    match dice.below(4) {
        0 => {
            columns.push((DataType::Float64, dice.pick(&[Values::Plain, Values::Extreme])));
            let constant = dice.pick(&[0.0, -0.0, 17.5, f64::INFINITY, f64::NEG_INFINITY, 0.1]);
            let holds = move |columns: &[ArrayRef], row: usize| {
                let array = columns[column].as_primitive::<Float64Type>();
                array.is_valid(row) && Comparable::compare(array.value(row), op, constant)
            };
            (Test::Double { column, op, constant }, Box::new(holds))
        }
        1 => {
            columns.push((DataType::Int32, dice.pick(&[Values::Plain, Values::Extreme])));
            let constant = dice.pick(&[0, 7, -300]);
            let holds = move |columns: &[ArrayRef], row: usize| {
                let array = columns[column].as_primitive::<Int32Type>();
                array.is_valid(row) && Comparable::compare(i64::from(array.value(row)), op, constant)
            };
            (Test::Integer { column, op, constant }, Box::new(holds))
        }
        2 => {
            columns.push((DataType::Int64, dice.pick(&[Values::Plain, Values::Any])));
            let constant = dice.pick(&[0, 500, i64::MIN, i64::MAX]);
            let holds = move |columns: &[ArrayRef], row: usize| {
                let array = columns[column].as_primitive::<Int64Type>();
                array.is_valid(row) && Comparable::compare(array.value(row), op, constant)
            };
            (Test::Integer { column, op, constant }, Box::new(holds))
        }
        _ => {
            let known = columns.iter().position(|(data_type, _)| *data_type == coded_text());
            let column = known.unwrap_or_else(|| {
                columns.push((coded_text(), Values::Few));
                column
            });
            let values = Arc::new(OneOf(dice.pick(&[vec!["a", "ü"], vec![], vec!["", "a", "b"]])));
            let of = values.clone();
            let holds = move |columns: &[ArrayRef], row: usize| {
                let array = columns[column].as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
                array.is_valid(row) && of.holds(array.value(row))
            };
            (Test::Among { column, values }, Box::new(holds))
        }
    }
}

pub(crate) fn stage(dice: &mut Dice) -> RandomStage {
    let Random { program, mut columns } = program(dice);
    let mut times = None;
    let panes = (!dice.one_in(4)).then(|| {
        columns.push((DataType::Timestamp(TimeUnit::Microsecond, None), Values::Plain));
        let width = dice.pick(&[1, 7, 1000, 60_000_000, 6_000_000_000]);
        let spread = dice.pick(&[1u64, 50, 5_000, 3_000_000_000, 90_000_000_000_000]);
        times = Some((dice.pick(&[0, -12_345_678, 1_700_000_000_000_000]), spread));
        PaneOf { column: columns.len() - 1, width, offset: dice.pick(&[0, 3, -5]) }
    });
    let count = dice.pick(&[0, 0, 1, 2]);
    let (tests, references) = (0..count).map(|_| test(dice, &mut columns)).unzip();
    RandomStage { stage: Arc::new(Stage { program, tests, panes }), columns, times, tests: references }
}

pub(crate) fn batch(dice: &mut Dice, random: &RandomStage, rows: usize) -> Vec<ArrayRef> {
    let time = random.stage.panes.map(|panes| panes.column);
    let of = |(place, (data_type, values)): (usize, &(DataType, Values))| match random.times {
        Some((from, spread)) if Some(place) == time => {
            let at = |_| from + dice.below(spread) as i64;
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(at))) as ArrayRef
        }
        _ => column(dice, data_type, *values, rows),
    };
    random.columns.iter().enumerate().map(of).collect()
}

pub(crate) type Panes = BTreeMap<i64, Box<dyn GroupState>>;

/// Folds rows as the stage says, on the processor.
pub(crate) fn fold_reference(random: &RandomStage, panes: &mut Panes, columns: &[ArrayRef], rows: Rows<'_>) {
    let mut by_pane: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for row in (0..rows.len()).map(|i| rows.get(i)) {
        if random.tests.iter().all(|holds| holds(columns, row)) {
            let pane = random.stage.panes.map_or(0, |panes| {
                let time = columns[panes.column].as_primitive::<TimestampMicrosecondType>().value(row);
                (time - panes.offset).div_euclid(panes.width) * panes.width + panes.offset
            });
            by_pane.entry(pane).or_default().push(row as u32);
        }
    }
    for (pane, rows) in by_pane {
        let state = panes.entry(pane).or_insert_with(|| Cpu.state(&random.stage.program, 0).unwrap());
        state.update(columns, Rows::List(&rows)).unwrap();
    }
}

pub(crate) fn add(panes: &mut Panes, taken: Vec<(i64, Box<dyn GroupState>)>) {
    for (pane, state) in taken {
        match panes.get_mut(&pane) {
            Some(there) => there.merge(state.as_ref()).unwrap(),
            None => drop(panes.insert(pane, state)),
        }
    }
}

pub(crate) fn shown(panes: &Panes) -> BTreeMap<i64, Result<BTreeMap<String, String>, String>> {
    panes.iter().map(|(pane, state)| (*pane, answers(state.as_ref()))).collect()
}

/// Runs random stages on a device, with panes taken at random times. How many rows the device has taken, and how many
/// there were.
pub(crate) fn compare(device: &dyn Device, seeds: Range<u64>) -> (usize, usize) {
    let (mut taken_rows, mut all_rows) = (0, 0);
    for seed in seeds {
        let mut dice = Dice(seed);
        let random = stage(&mut dice);
        let Some(table) = device.panes(&random.stage) else {
            panic!("seed {seed}: {:?}", device.stops(&random.stage.program));
        };
        let (mut want, mut got) = (Panes::new(), Panes::new());
        for _ in 0..=dice.below(4) {
            let rows = 1 + dice.pick(&[30, 400, 3000]).min(1 + dice.below(3000) as usize);
            let columns = batch(&mut dice, &random, rows);
            let list: Vec<u32> = (0..dice.below(2 * rows as u64)).map(|_| dice.below(rows as u64) as u32).collect();
            let rows = if dice.one_in(2) { Rows::List(&list) } else { Rows::All(rows) };
            fold_reference(&random, &mut want, &columns, rows);
            all_rows += rows.len();
            let mut folded = table.fold(&columns, rows).unwrap();
            if folded == Folded::Full {
                add(&mut got, table.take(i64::MAX).unwrap());
                folded = table.fold(&columns, rows).unwrap();
            }
            match folded {
                Folded::Done => taken_rows += rows.len(),
                Folded::Refused(_) => fold_reference(&random, &mut got, &columns, rows),
                Folded::Full => panic!("seed {seed}: full, though it is empty"),
            }
            if let Some(first) = table.first()
                && dice.one_in(3)
            {
                assert!(want.keys().next().is_none_or(|pane| got.contains_key(pane) || first <= *pane), "seed {seed}");
                let end = first.saturating_add(dice.below(10_000) as i64);
                let taken = table.take(end).unwrap();
                assert!(taken.iter().all(|(pane, _)| *pane < end), "seed {seed}");
                add(&mut got, taken);
            }
        }
        add(&mut got, table.take(i64::MAX).unwrap());
        assert!(table.first().is_none(), "seed {seed}");
        assert_eq!(shown(&got), shown(&want), "seed {seed}: {:?}", random.stage);
    }
    (taken_rows, all_rows)
}

fn spec(kind: AggregateKind, arg_type: DataType) -> AggregateSpec {
    AggregateSpec { kind, distinct: false, arg_types: vec![arg_type], fast_float: false }
}

/// Sum, least and variance of doubles by a key, in panes of ten ticks.
pub(crate) fn sums() -> RandomStage {
    use AggregateKind::*;
    let call = |kind| AggregateCall { spec: spec(kind, DataType::Float64), args: vec![1], filter: None };
    let program = Program { keys: vec![(0, DataType::Int64)], aggregates: vec![call(Sum), call(Min), call(VarPop)] };
    let panes = Some(PaneOf { column: 2, width: 10, offset: 0 });
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    RandomStage {
        stage: Arc::new(Stage { program: Arc::new(program), tests: vec![], panes }),
        columns: vec![(DataType::Int64, Values::Any), (DataType::Float64, Values::Plain), (time, Values::Plain)],
        times: None,
        tests: vec![],
    }
}

pub(crate) fn keys_and_doubles(keys: Range<i64>, value: f64) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int64Array::from_iter_values(keys.clone())),
        Arc::new(Float64Array::from_iter_values(keys.clone().map(|key| key as f64 * value))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(keys.map(|key| key.rem_euclid(40)))),
    ]
}

/// Folds batches on a device and on the processor, which takes what the device refuses; compares, and gives what was
/// said.
pub(crate) fn fold_both(device: &dyn Device, batches: &[Vec<ArrayRef>]) -> Vec<Folded> {
    let random = sums();
    let table = device.panes(&random.stage).unwrap();
    let (mut want, mut got, mut said) = (Panes::new(), Panes::new(), vec![]);
    for columns in batches {
        let rows = Rows::All(columns[0].len());
        fold_reference(&random, &mut want, columns, rows);
        said.push(table.fold(columns, rows).unwrap());
        if *said.last().unwrap() == Folded::Full {
            add(&mut got, table.take(i64::MAX).unwrap());
            said.push(table.fold(columns, rows).unwrap());
        }
        if *said.last().unwrap() != Folded::Done {
            fold_reference(&random, &mut got, columns, rows);
        }
    }
    add(&mut got, table.take(i64::MAX).unwrap());
    assert_eq!(shown(&got), shown(&want));
    said
}

/// Folds more and more groups into a table, which has to grow; how many rows.
pub(crate) fn grows(device: &dyn Device) -> u64 {
    let said = fold_both(
        device,
        &[
            keys_and_doubles(0..10, 0.5),
            keys_and_doubles(-500..9000, 0.25),
            keys_and_doubles(5000..30_000, 1.0),
            keys_and_doubles(0..3, 1.0),
        ],
    );
    assert_eq!(said, vec![Folded::Done; 4]);
    10 + 9500 + 25_000 + 3
}

/// Folds batches of two workers into one table, of which both take panes meanwhile.
pub(crate) fn several_workers(device: &dyn Device) {
    let random = sums();
    let table = device.panes(&random.stage).unwrap();
    let batches: Vec<_> = (0..24i64).map(|n| keys_and_doubles(20 * n..20 * n + 400, 0.5)).collect();
    let (mut want, mut got) = (Panes::new(), Panes::new());
    batches.iter().for_each(|columns| fold_reference(&random, &mut want, columns, Rows::All(400)));
    let taken: Vec<_> = std::thread::scope(|scope| {
        let worker = |whose: &'static str, columns: Vec<Vec<ArrayRef>>| {
            let table = &table;
            scope.spawn(move || {
                let mut taken = vec![];
                for (n, columns) in columns.iter().enumerate() {
                    assert_eq!(table.fold(columns, Rows::All(400)).unwrap(), Folded::Done, "{whose}");
                    if n % 5 == 4 {
                        taken.extend(table.take(20).unwrap());
                    }
                }
                taken
            })
        };
        let (some, others) = batches.split_at(12);
        [worker("the first", some.to_vec()), worker("the others", others.to_vec())]
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    add(&mut got, taken);
    add(&mut got, table.take(i64::MAX).unwrap());
    assert_eq!(shown(&got), shown(&want));
}

#[test]
fn random_stages_on_wgpu_give_the_bits_of_the_processor() {
    let Some(device) = own_device() else { return };
    let (taken, all) = compare(&device, 0..300);
    assert!(4 * taken > 3 * all, "{taken} of {all}");
    assert_eq!(device.rows().folded, taken as u64);
}

#[test]
#[ignore = "minutes: ./x test --full"]
fn many_random_stages_on_wgpu_give_the_bits_of_the_processor() {
    let Some(device) = device() else { return };
    compare(&*device, 1000..11_000);
}

#[test]
fn tables_on_wgpu_grow_with_their_groups() {
    let Some(device) = own_device() else { return };
    let rows = grows(&device);
    assert_eq!(device.rows(), RowCounts { folded: rows, scored: 0, refused: vec![] });
}

#[test]
fn several_workers_fold_into_one_table_on_wgpu() {
    let Some(device) = own_device() else { return };
    several_workers(&device);
    assert_eq!(device.rows().folded, 24 * 400);
}

#[test]
fn what_wgpu_has_no_room_for_leaves_the_table_or_is_refused() {
    use Folded::{Done, Full, Refused};
    let Some(device) = own_device() else { return };
    // Arenas for 512 groups, whose states are the widest, and no more.
    let words = Layout::of(&sums().stage.program).unwrap().state_words;
    device.gpu.narrow(512 * 4 * u64::from(words));
    let batches = [0..100, 100..220, 200..400, 400..600].map(|keys| keys_and_doubles(keys, 0.5));
    let said = fold_both(&device, &batches);
    assert_eq!(said[..3], [Done, Done, Done]);
    assert!(matches!(&said[3..], [Full, Done]), "{said:?}");
    // More rows than a launch takes.
    assert!(matches!(&fold_both(&device, &[keys_and_doubles(0..5000, 0.5)])[..], [Refused(_)]));
    // Not even the smallest table.
    device.gpu.narrow(4);
    assert!(matches!(&fold_both(&device, &[keys_and_doubles(0..1, 0.5)])[..], [Refused(_)]));
    assert_eq!(device.rows(), RowCounts { folded: 100 + 120 + 200 + 200, scored: 0, refused: vec![] });
}

#[test]
fn doubles_and_times_too_far_apart_empty_the_table_or_are_refused() {
    let Some(device) = own_device() else { return };
    let mut mixed = keys_and_doubles(0..2, 1.0);
    mixed[1] = Arc::new(Float64Array::from(vec![1e300, 1e-300]));
    let said = fold_both(&device, &[keys_and_doubles(1..9, 1.0), keys_and_doubles(1..9, 1e200), mixed]);
    // What does not fit by itself does not empty the table.
    assert!(matches!(&said[..], [Folded::Done, Folded::Full, Folded::Done, Folded::Refused(_)]), "{said:?}");
    let at = |times: [i64; 2]| {
        let mut columns = keys_and_doubles(0..2, 1.0);
        columns[2] = Arc::new(TimestampMicrosecondArray::from(times.to_vec()));
        columns
    };
    let said =
        fold_both(&device, &[at([-1, 0]), at([1 << 50, -(1 << 32)]), at([1 << 34, 0]), at([1 << 50, (1 << 50) + 1])]);
    assert!(
        matches!(&said[..], [Folded::Done, Folded::Refused(_), Folded::Done, Folded::Full, Folded::Done]),
        "{said:?}"
    );
}

#[test]
fn panes_that_can_not_be_sorted_out_wait_beside_the_device() {
    let Some(device) = own_device() else { return };
    let (random, columns) = (sums(), keys_and_doubles(0..100, 0.5));
    let table = device.panes(&random.stage).unwrap();
    let (mut want, mut got) = (Panes::new(), Panes::new());
    fold_reference(&random, &mut want, &columns, Rows::All(100));
    assert_eq!(table.fold(&columns, Rows::All(100)).unwrap(), Folded::Done);
    device.gpu.narrow(4);
    let (first, of_all) = (table.take(20).unwrap(), table.memory_bytes());
    assert_eq!(first.iter().map(|(pane, _)| *pane).collect::<Vec<_>>(), [0, 10]);
    assert_eq!(table.first(), Some(20));
    device.gpu.narrow(u64::MAX);
    // A pane that is there twice.
    fold_reference(&random, &mut want, &columns, Rows::All(100));
    assert_eq!(table.fold(&columns, Rows::All(100)).unwrap(), Folded::Done);
    add(&mut got, first);
    add(&mut got, table.take(i64::MAX).unwrap());
    assert!(table.first().is_none() && table.memory_bytes() < of_all);
    assert_eq!(shown(&got), shown(&want));
}

#[test]
fn ids_of_groups_that_have_left_are_given_back() {
    let Some(device) = own_device() else { return };
    let mut random = sums();
    let mut program = random.stage.program.as_ref().clone();
    // Doubles have ids.
    program.keys = vec![(1, DataType::Float64)];
    random.stage = Arc::new(Stage { program: Arc::new(program), ..random.stage.as_ref().clone() });
    let table = device.panes(&random.stage).unwrap();
    let (mut want, mut got, mut bytes) = (Panes::new(), Panes::new(), vec![]);
    // In the second the ids become too many.
    for round in 0..3 {
        // All but one key are of the first pane.
        let mut columns = keys_and_doubles(1..50_000, 0.5 + f64::from(round) / 16.0);
        let times = (1..50_000).map(|key| if key == 7 { 25 } else { 5 });
        columns[2] = Arc::new(TimestampMicrosecondArray::from_iter_values(times));
        fold_reference(&random, &mut want, &columns, Rows::All(columns[0].len()));
        assert_eq!(table.fold(&columns, Rows::All(columns[0].len())).unwrap(), Folded::Done);
        add(&mut got, table.take(10).unwrap());
        assert_eq!(table.first(), Some(if round == 1 { 20 } else { 10 }), "{round}");
        bytes.push(table.memory_bytes());
    }
    assert!(bytes[1] < bytes[0], "{bytes:?}");
    add(&mut got, table.take(i64::MAX).unwrap());
    assert_eq!(shown(&got), shown(&want));
}

#[test]
fn a_table_of_a_lost_device_is_an_error() {
    let Some(device) = own_device() else { return };
    let table = device.panes(&sums().stage).unwrap();
    let columns = keys_and_doubles(0..100, 0.5);
    assert_eq!(table.fold(&columns, Rows::All(100)).unwrap(), Folded::Done);
    device.gpu.device.destroy();
    let error = table.take(20).err().expect("the groups are gone");
    assert!(error.to_string().starts_with("the device wgpu:0 failed: "), "{error}");
}

/// How many of the rows of a column pass a test on wgpu.
fn passing(device: &dyn Device, column: ArrayRef, test: Test) -> i64 {
    let spec = AggregateSpec { kind: AggregateKind::Count, distinct: false, arg_types: vec![], fast_float: false };
    let program = Program { keys: vec![], aggregates: vec![AggregateCall { spec, args: vec![], filter: None }] };
    let stage = Arc::new(Stage { program: Arc::new(program), tests: vec![test], panes: None });
    let table = device.panes(&stage).unwrap();
    let rows = Rows::All(column.len());
    assert_eq!(table.fold(&[column], rows).unwrap(), Folded::Done);
    let taken = table.take(i64::MAX).unwrap();
    let count = |state: &dyn GroupState| state.finish().unwrap()[0].as_primitive::<Int64Type>().value(0);
    taken.first().map_or(0, |(_, state)| count(state.as_ref()))
}

#[test]
fn tests_on_wgpu_mean_what_they_say() {
    let Some(device) = own_device() else { return };
    // Equal to, other than, below, at most, above, at least.
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![
        Some(f64::NAN),
        Some(-f64::NAN),
        Some(-0.0),
        Some(0.0),
        Some(5e-324),
        Some(-1.0),
        Some(f64::INFINITY),
        None,
    ]));
    for (constant, want) in [
        (0.0, [2, 5, 1, 3, 4, 6]),
        (-0.0, [2, 5, 1, 3, 4, 6]),
        (f64::INFINITY, [1, 6, 4, 5, 2, 3]),
        (f64::NEG_INFINITY, [0, 7, 0, 0, 7, 7]),
        (-1.0, [1, 6, 0, 1, 6, 7]),
    ] {
        let got = OPS.map(|op| passing(&device, doubles.clone(), Test::Double { column: 0, op, constant }));
        assert_eq!(got, want, "{constant}");
    }
    let integers: [(ArrayRef, i64, [i64; 6]); 6] = [
        (Arc::new(Int8Array::from(vec![Some(-128), Some(-1), Some(7), None])), -1, [1, 2, 1, 2, 1, 2]),
        (Arc::new(UInt16Array::from(vec![0, 65_535])), -1, [0, 2, 0, 0, 2, 2]),
        (Arc::new(UInt32Array::from(vec![0, u32::MAX])), i64::from(u32::MAX), [1, 1, 1, 2, 0, 1]),
        (Arc::new(Date32Array::from(vec![i32::MIN, i32::MAX])), 1 << 31, [0, 2, 2, 2, 0, 0]),
        (Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, i64::MAX])), i64::MIN, [1, 3, 0, 1, 3, 4]),
        (Arc::new(TimestampMicrosecondArray::from(vec![1 << 40, (1 << 40) + 1])), 1 << 40, [1, 1, 0, 1, 1, 2]),
    ];
    for (column, constant, want) in integers {
        let got = OPS.map(|op| passing(&device, column.clone(), Test::Integer { column: 0, op, constant }));
        assert_eq!(got, want, "{column:?} {constant}");
    }
    let texts: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::from_iter([Some("a"), None, Some("b"), Some("a")]));
    for (values, want) in [(vec!["a"], 2), (vec![], 0), (vec!["a", "b"], 3)] {
        assert_eq!(passing(&device, texts.clone(), Test::Among { column: 0, values: Arc::new(OneOf(values)) }), want);
    }
    let nothing = new_null_array(&coded_text(), 9);
    assert_eq!(passing(&device, nothing, Test::Among { column: 0, values: Arc::new(OneOf(vec!["a"])) }), 0);
}

#[test]
fn every_shader_of_a_stage_is_valid_for_every_back_end() {
    for seed in 0..100 {
        let random = stage(&mut Dice(seed));
        let types: Vec<DataType> = random.columns.iter().map(|(data_type, _)| data_type.clone()).collect();
        validate(&shader::text(&Layout::of_stage(&random.stage, &types).unwrap()), seed);
    }
}
