//! Random stages over random batches: what a device keeps by pane is what the processor has, to the last bit; the device is
//! played on the processor, and where there is one, is one. Then the bad days: no memory, a lost device, late kernels.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::*;
use arrow::datatypes::*;
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Cpu, Device, GroupState, Program};
use pelton_kernels::select::{Comparable, Comparison, Members};
use pelton_kernels::stage::{Among, Folded, PaneOf, Stage, Test};

use super::emulated::Emulated;
use super::source::Wire;
use super::*;
use crate::tests::{Dice, Random, Values, answers, coded_text, column, program};

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
struct RandomStage {
    stage: Arc<Stage>,
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

fn stage(dice: &mut Dice) -> RandomStage {
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

fn batch(dice: &mut Dice, random: &RandomStage, rows: usize) -> Vec<ArrayRef> {
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

type Panes = BTreeMap<i64, Box<dyn GroupState>>;

/// Folds rows as the stage says, on the processor.
fn fold_reference(random: &RandomStage, panes: &mut Panes, columns: &[ArrayRef], rows: Rows<'_>) {
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

fn add(panes: &mut Panes, taken: Vec<(i64, Box<dyn GroupState>)>) {
    for (pane, state) in taken {
        match panes.get_mut(&pane) {
            Some(there) => there.merge(state.as_ref()).unwrap(),
            None => drop(panes.insert(pane, state)),
        }
    }
}

fn shown(panes: &Panes) -> BTreeMap<i64, Result<BTreeMap<String, String>, String>> {
    panes.iter().map(|(pane, state)| (*pane, answers(state.as_ref()))).collect()
}

/// Runs random stages on a device, with panes taken at random times.
fn compare(device: &Cuda, seeds: Range<u64>) {
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
            let mut folded = table.fold(&columns, rows).unwrap();
            if folded == Folded::Full {
                add(&mut got, table.take(i64::MAX).unwrap());
                folded = table.fold(&columns, rows).unwrap();
            }
            match folded {
                Folded::Done => {}
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
}

pub(crate) fn emulated() -> (Arc<Emulated>, Cuda) {
    let emulated = Emulated::new(1 << 30);
    (emulated.clone(), Cuda::over(emulated, "emulated".into(), 1 << 30))
}

#[test]
fn random_stages_give_the_bits_of_the_processor() {
    let (driver, device) = emulated();
    compare(&device, 0..60);
    let rows = device.rows();
    let refused: u64 = rows.refused.iter().map(|(_, rows)| rows).sum();
    assert!(rows.folded > 3 * refused, "the device has folded rows: {rows}");
    assert_eq!(driver.used(), 0, "everything was given back");
}

/// The GPU, where there is one.
fn gpu() -> Option<Arc<Cuda>> {
    Cuda::open().inspect_err(|error| eprintln!("not run: {error}")).ok()
}

#[test]
#[ignore = "needs an NVIDIA GPU: benches/gpu/run.sh"]
fn random_stages_give_the_bits_of_the_processor_on_a_gpu() {
    let device = gpu().expect("an NVIDIA GPU");
    let range = seeds_on_a_gpu();
    compare(&device, range.clone());
    println!("stages {range:?}: {}", device.rows());
}

/// What `PELTON_STAGES` says, as `FROM..TO`, so that several processes can share the work.
pub(crate) fn seeds_on_a_gpu() -> Range<u64> {
    let range = std::env::var("PELTON_STAGES").unwrap_or("0..10000".into());
    let (from, to) = range.split_once("..").expect("FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn measurements_compare_answers() {
    let (_, device) = emulated();
    let mut figures = vec![];
    measure::measure(&Arc::new(device), measure::Size::Tiny, &mut |figure| figures.push(figure)).unwrap();
    let told = |what: &str| figures.iter().any(|figure| figure.what.starts_with(what));
    assert!(
        told("f1 from the device")
            && told("20 trees, singles from the device")
            && told("20 trees, doubles from the host")
    );
}

#[test]
#[ignore = "needs an NVIDIA GPU: benches/gpu/run.sh"]
fn measurements_on_a_gpu() {
    let device = gpu().expect("an NVIDIA GPU");
    measure::measure(&device, measure::Size::Full, &mut |figure| println!("{figure}")).unwrap();
}

fn spec(kind: AggregateKind, arg_type: DataType) -> AggregateSpec {
    AggregateSpec { kind, distinct: false, arg_types: vec![arg_type], fast_float: false }
}

/// Sum, least and variance of doubles by a key, in panes of ten ticks.
fn sums() -> RandomStage {
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

fn keys_and_doubles(keys: Range<i64>, value: f64) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int64Array::from_iter_values(keys.clone())),
        Arc::new(Float64Array::from_iter_values(keys.clone().map(|key| key as f64 * value))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(keys.map(|key| key.rem_euclid(40)))),
    ]
}

/// Folds batches on a device and on the processor, which takes what the device refuses; compares, and gives what was said.
fn fold_both(device: &Cuda, batches: &[Vec<ArrayRef>]) -> Vec<Folded> {
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

#[test]
fn a_table_grows_with_its_groups() {
    let (_, device) = emulated();
    let said = fold_both(
        &device,
        &[
            keys_and_doubles(0..10, 0.5),
            keys_and_doubles(-500..9000, 0.25),
            keys_and_doubles(5000..30_000, 1.0),
            keys_and_doubles(0..3, 1.0),
        ],
    );
    assert_eq!(said, vec![Folded::Done; 4]);
    assert_eq!(device.rows().folded, 10 + 9500 + 25_000 + 3);
}

#[test]
fn several_workers_fold_into_one_table() {
    let (driver, device) = emulated();
    // Room for a few batches at a time, so that workers wait for each other.
    for pinned_bytes in [device.limits().pinned_bytes, 3 << 15] {
        let device = device.within(Limits { pinned_bytes, ..device.limits() });
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
    assert_eq!(driver.used(), 0, "everything was given back");
}

#[test]
fn blocks_merge_what_they_have_room_for_and_hand_on_the_rest() {
    // Several panes of more groups than a block has room for, and sums whose digits are handed on many times.
    let (_, device) = emulated();
    let random = sums();
    let n = 1 << 15;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..n).map(|row| row * 7919 % 500))),
        Arc::new(Float64Array::from_iter_values((0..n).map(|row| (row % 1000) as f64 - 300.5))),
        Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|row| row / 250))),
    ];
    let (mut want, mut got) = (Panes::new(), Panes::new());
    let table = device.panes(&random.stage).unwrap();
    for _ in 0..3 {
        fold_reference(&random, &mut want, &columns, Rows::All(n as usize));
        assert_eq!(table.fold(&columns, Rows::All(n as usize)).unwrap(), Folded::Done);
    }
    add(&mut got, table.take(i64::MAX).unwrap());
    assert_eq!(shown(&got), shown(&want));
}

#[test]
fn without_memory_the_processor_takes_rows() {
    // Room for the batches and a table of the smallest size, and for no larger one.
    let driver = Emulated::new(4 << 20);
    let device = Cuda::over(driver.clone(), "emulated".into(), 1 << 20);
    let said = fold_both(&device, &[keys_and_doubles(0..100, 0.5), keys_and_doubles(0..20_000, 0.5)]);
    assert_eq!(said[0], Folded::Done);
    let rows = device.rows();
    let refused: u64 = rows.refused.iter().map(|(_, rows)| rows).sum();
    assert!(refused > 0 && rows.folded + refused == 20_100, "{rows}");
    // No pinned memory for a batch.
    let (_, device) = emulated();
    let device = device.within(Limits { pinned_bytes: 1 << 10, ..device.limits() });
    assert!(matches!(&fold_both(&device, &[keys_and_doubles(0..100, 0.5)])[..], [Folded::Refused(_)]));
    // Not even that.
    let device = Cuda::over(Emulated::new(1 << 10), "emulated".into(), 1 << 10);
    let said = fold_both(&device, &[keys_and_doubles(0..100, 0.5)]);
    assert!(matches!(&said[..], [Folded::Refused(_)]), "{said:?}");
    assert_eq!(driver.used(), 0);
}

#[test]
fn doubles_too_far_apart_empty_the_table_or_are_refused() {
    let (_, device) = emulated();
    let mixed = {
        let mut columns = keys_and_doubles(0..2, 1.0);
        columns[1] = Arc::new(Float64Array::from(vec![1e300, 1e-300]));
        columns
    };
    let said = fold_both(&device, &[keys_and_doubles(1..9, 1.0), keys_and_doubles(1..9, 1e200), mixed]);
    assert!(
        matches!(&said[..], [Folded::Done, Folded::Full, Folded::Done, Folded::Full, Folded::Refused(_)]),
        "{said:?}"
    );
}

#[test]
fn a_kernel_that_is_late_or_wrong() {
    let (driver, device) = emulated();
    driver.slow.store(true, Ordering::Relaxed);
    let said =
        fold_both(&device.within(Limits { patient: false, ..device.limits() }), &[keys_and_doubles(0..100, 0.5)]);
    assert_eq!(said, [Folded::Refused("its kernel was still being compiled".into())]);
    driver.slow.store(false, Ordering::Relaxed);
    driver.broken.store(true, Ordering::Relaxed);
    let impatient = device.within(Limits { patient: false, ..device.limits() });
    let said = fold_both(&impatient, &[keys_and_doubles(0..100, 0.5)]);
    assert_eq!(said, [Folded::Refused("its kernel could not be compiled".into())]);
    let table = device.panes(&sums().stage).unwrap();
    let error = table.fold(&keys_and_doubles(0..100, 0.5), Rows::All(100)).expect_err("the device was named");
    assert_eq!(error.to_string(), "the device cuda:emulated failed: there is no compiler");
    driver.broken.store(false, Ordering::Relaxed);
    let Compiled::Failed(message) = driver.compile("this is no kernel", &source::KERNELS, true) else {
        panic!("it compiled")
    };
    assert!(message.contains("error"), "{message}");
}

use super::api::Compiled;

#[test]
fn a_lost_device_is_an_error() {
    let (driver, device) = emulated();
    let random = sums();
    let table = device.panes(&random.stage).unwrap();
    let columns = keys_and_doubles(0..100, 0.5);
    assert_eq!(table.fold(&columns, Rows::All(100)).unwrap(), Folded::Done);
    driver.lost.store(true, Ordering::Relaxed);
    let error = table.take(i64::MAX).err().expect("the groups are gone");
    assert_eq!(error.to_string(), "the device cuda:emulated failed: it was lost");
    assert!(table.fold(&columns, Rows::All(100)).is_err());
}

/// NVRTC, unless it is not here; in CI it has to be.
pub(crate) fn compiler() -> Option<CudaCompiler> {
    match CudaCompiler::find() {
        Ok(compiler) => Some(compiler),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("not run: {error}");
            None
        }
    }
}

#[test]
fn every_kernel_compiles_for_hopper_without_spills() {
    let Some(compiler) = compiler() else { return };
    let some = |seed| {
        let mut dice = Dice(seed);
        let random = stage(&mut dice);
        let rows = 100 + dice.below(300) as usize;
        let columns = batch(&mut dice, &random, rows);
        (random.stage, columns)
    };
    for (number, (stage, columns)) in measure::stages(1 << 10).into_iter().chain((0..40).map(some)).enumerate() {
        let plan = Plan::of(&stage).unwrap();
        let mut memory = crate::pack::Memory::new(&plan.layout, &plan.key_types());
        let (narrowest, rows) = (super::wire::narrowest(&plan), Rows::All(columns[0].len()));
        let mut packed = super::wire::Packed::look(&plan, &columns, rows).unwrap();
        if packed.fit(&mut memory, &narrowest, None).is_err() {
            continue;
        }
        check(&compiler, &plan, packed.wire(), number);
    }
}

fn check(compiler: &CudaCompiler, plan: &Plan, wire: &Wire, number: usize) {
    // As much as a block of Hopper may have.
    let own = own::Own::of(plan, wire, 227 << 10);
    let text = source::text(plan, wire, &own);
    let compiled =
        compiler.compile(&text, "sm_90", true).unwrap_or_else(|error| panic!("stage {number}: {error}\n{text}"));
    assert!(compiled.cubin.starts_with(b"\x7fELF"), "stage {number}");
    if std::env::var_os("PELTON_PTXAS").is_some() {
        println!("stage {number}: {:?}\n{}", plan.stage.program.to_string(), compiled.log);
    }
    let spilled =
        |line: &&str| line.contains("spill stores") && !line.contains(" 0 bytes spill stores, 0 bytes spill loads");
    let spills: Vec<&str> = compiled.log.lines().filter(spilled).collect();
    assert!(spills.is_empty(), "stage {number}: {spills:?}\n{}", compiled.log);
}
