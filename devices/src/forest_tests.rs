//! Random ensembles on devices: their scores and leaves are the processor's, to the last bit, on wgpu and on CUDA played on the
//! processor, and where there is one, on a GPU. Then what devices do not walk, and the bad days.

use std::ops::Range;
use std::sync::Arc;

use pelton_models::{ForestDevice, Model, Scores};

use crate::ensembles::{Shape, model, rows};
use crate::tests::Dice;
use crate::{Unfit, Wgpu};

fn bits(scores: &Scores) -> Vec<u64> {
    match scores {
        Scores::Single(scores) => scores.iter().map(|score| u64::from(score.to_bits())).collect(),
        Scores::Double(scores) => scores.iter().map(|score| score.to_bits()).collect(),
    }
}

/// Compares all that a device says of rows with what the model says. False if it leaves the model to the processor.
fn same(device: &dyn ForestDevice, digest: &str, model: &Model, columns: &[Vec<f64>], what: &str) -> bool {
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    if let Some(stop) = device.stop(digest, model) {
        assert!(device.raw(digest, model, &columns).is_none(), "{what}: {stop}");
        return false;
    }
    let raw = device.raw(digest, model, &columns).unwrap_or_else(|| panic!("{what}: refused"));
    assert_eq!(bits(&raw), bits(&model.raw(&columns)), "{what}: raw");
    let predicted = device.predict(digest, model, &columns).unwrap_or_else(|| panic!("{what}: refused"));
    assert_eq!(bits(&predicted), bits(&model.predict(&columns)), "{what}: predicted");
    assert_eq!(device.leaves(digest, model, &columns), Some(model.leaves(&columns)), "{what}: leaves");
    true
}

fn shape(dice: &mut Dice) -> Shape {
    Shape {
        double: dice.one_in(2),
        features: dice.pick(&[1, 3, 7, 30, 140]),
        trees: dice.pick(&[1, 2, 5, 30, 90]),
        depth: dice.pick(&[0, 1, 3, 6, 6, 8, 12]),
        early: dice.pick(&[0, 4, 9]),
        classes: dice.pick(&[1, 1, 3]),
        thresholds: dice.pick(&[2, 30, 200, 600]),
        dart: dice.one_in(3),
        categories: dice.pick(&[0, 0, 0, 0, 9]),
        missing: dice.pick(&[0, 6]),
        huge: dice.one_in(8),
    }
}

/// Random ensembles over random rows. Gives how many the device has walked.
fn compare(device: &dyn ForestDevice, seeds: Range<u64>) -> u64 {
    let mut walked = 0;
    for seed in seeds {
        let mut dice = Dice(seed);
        let shape = shape(&mut dice);
        // Deep trees are many nodes.
        let shape = Shape { trees: if shape.depth > 8 { shape.trees.min(5) } else { shape.trees }, ..shape };
        let model = model(&shape, &mut |n| dice.below(n));
        let count = dice.pick(&[1, 63, 64, 65, 300, 700]);
        let columns = rows(&shape, count, &mut |n| dice.below(n));
        let what = format!("seed {seed}: {shape:?}");
        walked += u64::from(same(device, &format!("random {seed}"), &model, &columns, &what));
    }
    walked
}

/// Models of the libraries, over values beside all thresholds: those that devices walk.
fn compare_fixtures(device: &dyn ForestDevice) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures");
    let (mut walked, mut dice) = (0, Dice(5));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if !name.contains(".model.") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let model = Model::read(&bytes, pelton_models::Format::of_bytes(&bytes).unwrap()).unwrap();
        let mut value = || match dice.below(9) {
            0 => f64::NAN,
            1 => 0.0,
            2 => dice.below(5) as f64,
            _ => (dice.below(2001) as f64 - 1000.0) / 150.0,
        };
        let columns: Vec<Vec<f64>> = (0..model.features).map(|_| (0..200).map(|_| value()).collect()).collect();
        walked += u64::from(same(device, &name, &model, &columns, &name));
    }
    assert!(walked >= 25, "{walked}");
}

/// The models of the project's data over the rows for which their libraries have answered, where they are at hand.
fn compare_data(device: &dyn ForestDevice) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = std::env::var_os("PELTON_DATA").unwrap_or("../shared/data".into());
    let folder = root.join(data).join("models");
    if !folder.is_dir() {
        eprintln!("not run: there is no {}", folder.display());
        return;
    }
    for file in ["xgb_full.json", "xgb_full.ubj", "xgb_velocity.json", "lgb_full.txt", "xgb_full.onnx"] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let model = Model::read(&bytes, pelton_models::Format::of_bytes(&bytes).unwrap()).unwrap();
        for table in ["reference_1000.parquet", "reference_edge.parquet"] {
            let columns = columns_of(&folder.join(table), &model);
            let what = format!("{file} over {table}");
            assert!(same(device, file, &model, &columns, &what), "{what}: {:?}", device.stop(file, &model));
        }
    }
}

/// The columns of a file that a model asks for; by their order, where it does not know their names.
fn columns_of(path: &std::path::Path, model: &Model) -> Vec<Vec<f64>> {
    use arrow::array::AsArray;
    let file = std::fs::File::open(path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batch = reader.with_batch_size(1 << 20).build().unwrap().next().unwrap().unwrap();
    let names = batch.schema();
    let of = |feature: usize| {
        let column = match model.feature_names.get(feature) {
            Some(name) => batch.column_by_name(name).unwrap_or_else(|| panic!("{name}")),
            None => batch.column(names.index_of("amount").unwrap() + feature),
        };
        let doubles = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64).unwrap();
        doubles.as_primitive::<arrow::datatypes::Float64Type>().iter().map(|v| v.unwrap_or(f64::NAN)).collect()
    };
    (0..model.features).map(of).collect()
}

fn compare_all(device: &dyn ForestDevice, seeds: Range<u64>) {
    let walked = compare(device, seeds.clone());
    assert!(walked > (seeds.end - seeds.start) / 2, "{walked} of {seeds:?}");
    compare_fixtures(device);
    compare_data(device);
}

/// wgpu, unless there is no adapter; in CI there has to be one.
fn wgpu_device() -> Option<Arc<Wgpu>> {
    match Wgpu::open_anew() {
        Ok(device) => Some(Arc::new(device)),
        Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("not run: {error}");
            None
        }
    }
}

#[test]
fn random_ensembles_on_wgpu_give_the_bits_of_the_processor() {
    let Some(device) = wgpu_device() else { return };
    compare_all(device.forests().as_ref(), 0..60);
    let rows = device.rows();
    assert!(rows.scored > 10_000 && rows.refused.is_empty(), "{rows}");
    assert!(rows.to_string().starts_with("0 rows folded, "), "{rows}");
}

#[test]
fn large_batches_are_cut() {
    let Some(device) = wgpu_device() else { return };
    let shape = Shape { double: false, depth: 4, trees: 6, ..shape(&mut Dice(1)) };
    let shape = Shape { categories: 0, ..shape };
    let mut dice = Dice(3);
    let ensemble = model(&shape, &mut |n| dice.below(n));
    let columns = rows(&shape, 1000, &mut |n| dice.below(n));
    // Room for nodes, and for two tiles of rows.
    device.gpu.narrow(16 + 2 * 64 * ensemble.byte_forest().unwrap().columns().max(8) as u64);
    assert!(same(device.forests().as_ref(), "cut", &ensemble, &columns, "cut"));
    // Not even for the nodes.
    let Some(device) = wgpu_device() else { return };
    device.gpu.narrow(4);
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    assert!(device.forests().raw("cut", &ensemble, &columns).is_none());
    assert_eq!(device.rows().refused, [(Unfit::Memory, 1000)]);
}

#[test]
fn a_lost_device_leaves_rows_to_the_processor() {
    let Some(device) = wgpu_device() else { return };
    let shape = Shape { categories: 0, depth: 3, trees: 5, ..shape(&mut Dice(1)) };
    let mut dice = Dice(3);
    let ensemble = model(&shape, &mut |n| dice.below(n));
    let columns = rows(&shape, 100, &mut |n| dice.below(n));
    assert!(same(device.forests().as_ref(), "lost", &ensemble, &columns, "before"));
    device.gpu.device.destroy();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    for _ in 0..2 {
        assert!(device.forests().raw("lost", &ensemble, &columns).is_none());
    }
    assert_eq!(device.rows().refused, [(Unfit::Failed, 200)]);
}

#[test]
fn what_devices_do_not_walk_is_said() {
    let Some(device) = wgpu_device() else { return };
    let forests = device.forests();
    let plain = Shape {
        double: true,
        features: 1,
        trees: 2,
        depth: 3,
        early: 0,
        classes: 1,
        thresholds: 30,
        dart: false,
        categories: 0,
        missing: 0,
        huge: false,
    };
    let stop = |shape: Shape, name: &str| {
        let mut dice = Dice(3);
        forests.stop(name, &model(&shape, &mut |n| dice.below(n)))
    };
    assert_eq!(stop(plain, "plain"), None);
    assert_eq!(stop(Shape { categories: 1, ..plain }, "categories").as_deref(), Some("tree 0 asks for categories"));
    let wide = Shape { depth: 10, thresholds: 4000, ..plain };
    assert_eq!(
        stop(wide, "wide").as_deref(),
        Some("tree 0 has more thresholds of a feature than the 254 that a byte counts")
    );
    assert_eq!(stop(Shape { depth: 16, ..plain }, "deep").as_deref(), Some("tree 0 has more than 65535 nodes"));
    let many = Shape { depth: 10, features: 400, ..plain };
    let stop = stop(many, "many").unwrap();
    assert!(stop.starts_with("tree 0 asks for ") && stop.ends_with(" columns, 256 can be told apart"), "{stop}");
    // The last sixteen are kept.
    for number in 0..20 {
        let mut dice = Dice(3);
        let (ensemble, digest) = (model(&plain, &mut |n| dice.below(n)), format!("{number}"));
        assert!(forests.raw(&digest, &ensemble, &[&[1.0, 2.0]]).is_some());
    }
}

mod cuda {
    //! The same on CUDA, played on the processor.

    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::cuda::tests::{compiler, emulated, seeds_on_a_gpu};
    use crate::cuda::{Cuda, Limits, source};

    #[test]
    fn random_ensembles_give_the_bits_of_the_processor() {
        let (driver, device) = emulated();
        let device = Arc::new(device);
        compare_all(device.forests().as_ref(), 0..40);
        let rows = device.rows();
        assert!(rows.scored > 10_000 && rows.refused.is_empty(), "{rows}");
        drop(device);
        assert_eq!(driver.used(), 0, "everything was given back");
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU: benches/gpu/run.sh"]
    fn random_ensembles_give_the_bits_of_the_processor_on_a_gpu() {
        let device = Cuda::open().expect("an NVIDIA GPU");
        // One for ten random stages.
        let Range { start, end } = seeds_on_a_gpu();
        compare(device.forests().as_ref(), start / 10..end / 10);
        println!("random ensembles: {}", device.rows());
        assert!(device.rows().refused.is_empty(), "{}", device.rows());
    }

    fn some() -> (Model, Vec<Vec<f64>>) {
        let shape = Shape { categories: 0, depth: 5, trees: 40, huge: false, ..shape(&mut Dice(1)) };
        let mut dice = Dice(3);
        (model(&shape, &mut |n| dice.below(n)), rows(&shape, 1000, &mut |n| dice.below(n)))
    }

    #[test]
    fn memory_bounds_cut_batches_or_leave_them_to_the_processor() {
        let (model, columns) = some();
        let (_, device) = emulated();
        let narrow = device.within(Limits { pinned_bytes: 600_000, ..device.limits() });
        assert!(same(narrow.forests().as_ref(), "narrow", &model, &columns, "narrow"));
        let (_, device) = emulated();
        let none = device.within(Limits { pinned_bytes: 1000, ..device.limits() });
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        assert!(none.forests().predict("none", &model, &columns).is_none());
        assert_eq!(none.rows().refused, [(Unfit::Memory, 1000)]);
    }

    #[test]
    fn late_kernels_and_lost_devices_leave_rows_to_the_processor() {
        let (model, columns) = some();
        let (driver, device) = emulated();
        let device = device.within(Limits { patient: false, ..device.limits() });
        let (forests, plain) = (device.forests(), columns.iter().map(Vec::as_slice).collect::<Vec<&[f64]>>());
        driver.slow.store(true, Ordering::Relaxed);
        assert!(forests.raw("m", &model, &plain).is_none());
        driver.slow.store(false, Ordering::Relaxed);
        assert!(same(forests.as_ref(), "m", &model, &columns, "compiled"));
        driver.lost.store(true, Ordering::Relaxed);
        assert!(forests.raw("m", &model, &plain).is_none());
        driver.lost.store(false, Ordering::Relaxed);
        assert!(forests.raw("m", &model, &plain).is_none(), "it is not asked again");
        assert_eq!(device.rows().refused, [(Unfit::Compiling, 1000), (Unfit::Failed, 2000)]);
        driver.broken.store(true, Ordering::Relaxed);
        let (driver, device) = emulated();
        driver.broken.store(true, Ordering::Relaxed);
        assert!(Arc::new(device).forests().raw("m", &model, &plain).is_none());
    }

    #[test]
    fn kernels_compile_for_hopper_without_spills() {
        let Some(compiler) = compiler() else { return };
        for single in [true, false] {
            let text = source::forest_text(single);
            let compiled = compiler.compile(&text, "sm_90", true).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(compiled.cubin.starts_with(b"\x7fELF"));
            let is_spill = |line: &&str| {
                line.contains("spill stores") && !line.contains(" 0 bytes spill stores, 0 bytes spill loads")
            };
            let spills: Vec<&str> = compiled.log.lines().filter(is_spill).collect();
            assert!(spills.is_empty(), "{spills:?}\n{}", compiled.log);
            if std::env::var_os("PELTON_PTXAS").is_some() {
                println!("{}", compiled.log);
            }
        }
    }
}
