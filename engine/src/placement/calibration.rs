//! What folding costs on this machine, before a stage has run: measured once, kept in the user's cache.
//!
//! Plain data, and functions that take a clock: whoever has files and clocks is a [`Machine`]. Figures are kept by what they
//! depend on: those of the processor by its model; those of a device by its name, its driver and the processor's model, because
//! the processor packs for it. Measuring takes less than [`MEASURE_MAX`] beside the preparation of a device's kernel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::costs::{DeviceProfile, ProcessorProfile};
use pelton_kernels::program::{AggregateCall, Cpu, Device, Program, ProgramError};
use serde::{Deserialize, Serialize};

use super::CostModel;

/// No measurement goes on for longer.
pub const MEASURE_MAX: Duration = Duration::from_millis(100);

/// The machine, as the outside tells it.
pub trait Machine: Send + Sync {
    /// Model of the processor.
    fn processor(&self) -> String;
    /// The calibration that was kept last; `None` if there is none that can be read.
    fn recall(&self) -> Option<String>;
    /// Keeps a calibration. If it can't, the next run measures again.
    fn keep(&self, calibration: &str);
    /// Time since some moment, never going back.
    fn now(&self) -> Duration;
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// By model.
    #[serde(default)]
    pub processors: BTreeMap<String, ProcessorProfile>,
    /// By name, driver and model of the processor, separated by ` | `.
    #[serde(default)]
    pub devices: BTreeMap<String, DeviceProfile>,
}

impl Calibration {
    /// What a machine has kept; nothing, if it can't be read.
    pub fn recall(machine: &dyn Machine) -> Calibration {
        machine.recall().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// The processor's profile: the one kept, or a new one, which is kept.
    pub fn processor(machine: &dyn Machine) -> ProcessorProfile {
        let mut calibration = Calibration::recall(machine);
        let model = machine.processor();
        if let Some(known) = calibration.processors.get(&model) {
            return *known;
        }
        let Ok(measured) = measure_processor(&|| machine.now()) else { return ProcessorProfile::default() };
        calibration.processors.insert(model, measured);
        calibration.keep(machine);
        measured
    }

    /// A device's profile: the one kept, or what `measure` finds, which is kept. `driver`: with its version.
    pub fn device(
        machine: &dyn Machine,
        name: &str,
        driver: &str,
        measure: impl FnOnce(&dyn Fn() -> Duration) -> Option<DeviceProfile>,
    ) -> Option<DeviceProfile> {
        let mut calibration = Calibration::recall(machine);
        let key = format!("{name} | {driver} | {}", machine.processor());
        if let Some(known) = calibration.devices.get(&key) {
            return Some(*known);
        }
        let measured = measure(&|| machine.now())?;
        calibration.devices.insert(key, measured);
        calibration.keep(machine);
        Some(measured)
    }

    fn keep(&self, machine: &dyn Machine) {
        machine.keep(&serde_json::to_string_pretty(self).expect("plain numbers under text keys"));
    }
}

/// What a row of a program brings over the bus, in bytes: each column once, in words of 32 bits, as devices take them. Text
/// and other values without a word of their own go as ids.
pub fn row_bytes(program: &Program) -> usize {
    let mut columns: Vec<(usize, Option<usize>, usize)> =
        program.keys.iter().map(|(at, data_type)| (*at, None, words(data_type))).collect();
    let (states, _) = program.states();
    for call in states.iter().map(|at| &program.aggregates[*at]) {
        let counts = call.spec.kind == AggregateKind::Count;
        let (Some(at), Some(data_type)) = (call.args.first(), call.spec.arg_types.first()) else { continue };
        let column = (*at, call.filter, if counts { 0 } else { words(data_type) });
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns.iter().map(|(_, _, words)| 4 * words).sum()
}

fn words(data_type: &DataType) -> usize {
    match data_type {
        DataType::Dictionary(..) | DataType::Boolean => 1,
        // Sums of floats are taken of doubles.
        DataType::Float16 | DataType::Float32 => 2,
        other => other.primitive_width().map_or(1, |bytes| bytes.div_ceil(4)),
    }
}

/// What the processor will take for a program.
pub(super) fn processor_model(costs: &ProcessorProfile, program: &Program) -> CostModel {
    let states = program.states().0.len() as f64;
    let key_ns = if program.keys.is_empty() { 0.0 } else { costs.key_ns };
    CostModel::new(costs.batch_us, (key_ns + states * costs.state_ns) / 1000.0, 0.0)
}

/// What a device will take for a program.
pub(super) fn device_model(costs: &DeviceProfile) -> CostModel {
    CostModel::new(costs.launch_us + costs.copy_t0_us, costs.row_ns / 1000.0, 0.001 / costs.copy_gb_s.max(1e-3))
}

/// What a device will take to score rows for whose bytes the processor needs so many ns each: scores come back with every batch.
pub fn scoring_model(costs: &DeviceProfile, bytes_ns: f64) -> CostModel {
    let first_us = costs.launch_us + costs.copy_t0_us + costs.read_t0_us;
    CostModel::new(first_us, bytes_ns / 1000.0, 0.001 / costs.copy_gb_s.max(1e-3))
}

/// A program with a key (or none) and some sums, each of a column of its own.
fn sums(keyed: bool, count: usize) -> Arc<Program> {
    let call = |at| {
        let arg_types = vec![DataType::Int64];
        let spec = AggregateSpec { kind: AggregateKind::Sum, distinct: false, arg_types, fast_float: false };
        AggregateCall { spec, args: vec![at], filter: None }
    };
    let keys = if keyed { vec![(0, DataType::Int64)] } else { vec![] };
    Arc::new(Program { keys, aggregates: (1..=count).map(call).collect() })
}

/// Columns for it: keys of so many groups, and numbers.
fn columns(rows: usize, groups: usize, count: usize) -> Vec<ArrayRef> {
    let column = |at: usize| -> ArrayRef {
        let of_row = |row: usize| match at {
            // Keys in no order that a cache would like, nor any that repeats soon.
            0 => (row * 2_654_435_761 % groups) as i64,
            _ => (row * at % 1000) as i64,
        };
        Arc::new(Int64Array::from_iter_values((0..rows).map(of_row)))
    };
    (0..=count).map(column).collect()
}

/// What the processor costs, by folding a few thousand rows into few groups, several times over.
pub fn measure_processor(now: &dyn Fn() -> Duration) -> Result<ProcessorProfile, ProgramError> {
    const ROWS: usize = 16_384;
    const GROUPS: usize = 1_000;
    let until = now() + MEASURE_MAX / 2;
    let fold_us = |keyed: bool, count: usize, rows: usize| -> Result<f64, ProgramError> {
        let (program, columns) = (sums(keyed, count), columns(rows, GROUPS, count));
        let mut state = Cpu.state(&program, GROUPS)?;
        let mut best = f64::MAX;
        for round in 0..20 {
            let start = now();
            state.update(&columns, Rows::All(rows))?;
            best = best.min((now() - start).as_nanos() as f64 / 1000.0);
            if round >= 2 && now() > until {
                break;
            }
        }
        Ok(best)
    };
    let batch_us = fold_us(true, 1, 1)?;
    let (one, four) = (fold_us(false, 1, ROWS)?, fold_us(false, 4, ROWS)?);
    let (keyed, keyed_four) = (fold_us(true, 1, ROWS)?, fold_us(true, 4, ROWS)?);
    let per_row = |us: f64| (1000.0 * us / ROWS as f64).max(0.05);
    // Of grouped states; those of one group are sums of a column, which says little.
    let state_ns = per_row((keyed_four - keyed) / 3.0).max(per_row((four - one) / 3.0));
    let key_ns = (per_row(keyed) - state_ns).max(0.05);
    Ok(ProcessorProfile { batch_us: batch_us.max(0.1), key_ns, state_ns })
}

/// What a device costs, through nothing but what every device does: batches of two sizes, and a reading of few and of many
/// groups. What grows with the rows is charged to their bytes. `None` if it can not be measured. A device that can look
/// closer should say [`DeviceProfile`]s of its own.
pub fn measure_device(device: &dyn Device, now: &dyn Fn() -> Duration) -> Option<DeviceProfile> {
    const FEW: usize = 1_024;
    const MANY: usize = 131_072;
    let program = sums(true, 1);
    if !device.stops(&program).is_empty() {
        return None;
    }
    // The time of some batches and of reading what came of them, after one that is not timed.
    let fold = |columns: &[ArrayRef], rows: usize, batches: usize| -> Result<f64, ProgramError> {
        let mut state = device.state(&program, rows)?;
        state.update(columns, Rows::All(rows))?;
        state.parts()?;
        let mut state = device.state(&program, rows)?;
        let start = now();
        for _ in 0..batches {
            state.update(columns, Rows::All(rows))?;
        }
        state.parts()?;
        Ok((now() - start).as_nanos() as f64 / 1000.0)
    };
    let measured = || -> Result<DeviceProfile, ProgramError> {
        let groups = 256;
        let (few, many) = (columns(FEW, groups, 1), columns(MANY, groups, 1));
        // The first call prepares the kernel.
        fold(&few, FEW, 1)?;
        let until = now() + MEASURE_MAX;
        let mut best = [f64::MAX; 5];
        for round in 0..3 {
            let spread = columns(FEW * 16, FEW * 16, 1);
            let once = [
                fold(&few, FEW, 1)?,
                fold(&few, FEW, 5)?,
                fold(&many, MANY, 1)?,
                fold(&many, MANY, 3)?,
                fold(&spread, FEW * 16, 1)?,
            ];
            best = std::array::from_fn(|at| best[at].min(once[at]));
            if round > 0 || now() > until {
                break;
            }
        }
        let [few_once, few_five, many_once, many_thrice, spread_once] = best;
        let few_us = ((few_five - few_once) / 4.0).max(1.0);
        let many_us = ((many_thrice - many_once) / 2.0).max(few_us);
        let row_us = ((many_us - few_us) / (MANY - FEW) as f64).max(1e-6);
        let fixed_us = (few_us - row_us * FEW as f64).max(1.0);
        let read_us = (few_once - few_us).max(1.0);
        let folded_us = fixed_us + row_us * (FEW * 16) as f64;
        let merge_us = (spread_once - folded_us - read_us).max(0.0) / (FEW * 16) as f64;
        let copy_gb_s = row_bytes(&program) as f64 / (1000.0 * row_us);
        Ok(DeviceProfile {
            launch_us: fixed_us,
            copy_t0_us: 0.0,
            copy_gb_s,
            row_ns: 0.0,
            read_t0_us: read_us,
            read_gb_s: copy_gb_s,
            merge_ns: 1000.0 * merge_us,
        })
    };
    measured().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;

    /// A machine whose clock is the real one and whose cache is in memory.
    struct Here {
        start: Instant,
        kept: Mutex<Option<String>>,
    }

    impl Machine for Here {
        fn processor(&self) -> String {
            "a core".into()
        }
        fn recall(&self) -> Option<String> {
            self.kept.lock().unwrap().clone()
        }
        fn keep(&self, calibration: &str) {
            *self.kept.lock().unwrap() = Some(calibration.into());
        }
        fn now(&self) -> Duration {
            self.start.elapsed()
        }
    }

    #[test]
    fn what_was_measured_is_kept() {
        let here = Here { start: Instant::now(), kept: Mutex::new(Some("no JSON".into())) };
        let first = Calibration::processor(&here);
        assert!(first.batch_us > 0.0 && first.key_ns > 0.0 && first.state_ns > 0.0, "{first:?}");
        assert!(first.key_ns + first.state_ns < 5_000.0, "{first:?}");
        assert_eq!(Calibration::processor(&here), first, "the second time it is read");
        let device = DeviceProfile { launch_us: 12.0, ..DeviceProfile::default() };
        assert_eq!(Calibration::device(&here, "cuda:0 H200", "570.1", |_| Some(device)), Some(device));
        assert_eq!(Calibration::device(&here, "cuda:0 H200", "570.1", |_| None), Some(device));
        assert_eq!(Calibration::device(&here, "cuda:0 H200", "580.2", |_| None), None, "another driver");
        let kept = Calibration::recall(&here);
        assert_eq!((kept.processors.len(), kept.devices.len()), (1, 1));
        assert!(kept.devices.contains_key("cuda:0 H200 | 570.1 | a core"));
    }

    /// The processor is a device like others: what is found through the trait must be near to what it takes.
    #[test]
    fn a_device_is_measured_through_its_trait() {
        let start = Instant::now();
        let profile = measure_device(&Cpu, &|| start.elapsed()).unwrap();
        assert!(profile.launch_us >= 1.0 && profile.copy_gb_s > 0.01 && profile.merge_ns >= 0.0, "{profile:?}");
        let model = device_model(&profile);
        let a_million = model.predict(1_000_000, 16_000_000);
        assert!((100.0..1_000_000.0).contains(&a_million), "{a_million} µs for a million rows");
    }

    #[test]
    fn columns_go_over_the_bus_once() {
        let call = |kind, arg: Option<(usize, DataType)>, filter| {
            let (args, arg_types) = arg.map(|(at, t)| (vec![at], vec![t])).unwrap_or_default();
            AggregateCall { spec: AggregateSpec { kind, distinct: false, arg_types, fast_float: false }, args, filter }
        };
        use AggregateKind::*;
        let aggregates = vec![
            call(Count, None, None),
            call(Sum, Some((1, DataType::Float64)), None),
            call(Max, Some((1, DataType::Float64)), None),
            call(Sum, Some((1, DataType::Float64)), Some(3)),
            call(Count, Some((2, DataType::Utf8)), None),
            call(Min, Some((4, DataType::Int16)), None),
        ];
        let program = Program { keys: vec![(0, DataType::Utf8)], aggregates };
        assert_eq!(row_bytes(&program), 4 + 8 + 8 + 4, "an id, a double, the double with a filter, a short");
        assert_eq!(row_bytes(&Program { keys: vec![], aggregates: vec![] }), 0);
    }
}
