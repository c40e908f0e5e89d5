//! Random stages on CUDA, which is played on the processor, and where there is a GPU, is one. Then the bad days: no memory, a lost
//! device, late kernels.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::*;
use pelton_kernels::Rows;
use pelton_kernels::program::Device;
use pelton_kernels::stage::Folded;

use super::emulated::Emulated;
use super::source::Wire;
use super::*;
use crate::stage_tests::{
    self, Panes, add, batch, compare, fold_both, fold_reference, keys_and_doubles, shown, stage, sums,
};
use crate::tests::Dice;

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
    compare(&*device, range.clone());
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

#[test]
fn a_table_grows_with_its_groups() {
    let (_, device) = emulated();
    assert_eq!(stage_tests::grows(&device), device.rows().folded);
}

#[test]
fn several_workers_fold_into_one_table() {
    let (driver, device) = emulated();
    // Room for a few batches at a time, so that workers wait for each other.
    for pinned_bytes in [device.limits().pinned_bytes, 3 << 15] {
        stage_tests::several_workers(&*device.within(Limits { pinned_bytes, ..device.limits() }));
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
    assert!(matches!(&fold_both(&*device, &[keys_and_doubles(0..100, 0.5)])[..], [Folded::Refused(_)]));
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
        fold_both(&*device.within(Limits { patient: false, ..device.limits() }), &[keys_and_doubles(0..100, 0.5)]);
    assert_eq!(said, [Folded::Refused("its kernel was still being compiled".into())]);
    driver.slow.store(false, Ordering::Relaxed);
    driver.broken.store(true, Ordering::Relaxed);
    let impatient = device.within(Limits { patient: false, ..device.limits() });
    let said = fold_both(&*impatient, &[keys_and_doubles(0..100, 0.5)]);
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
