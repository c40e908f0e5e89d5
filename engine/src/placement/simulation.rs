//! Worlds with known costs, and a chooser that has to find its way in them.
//!
//! What is held: over a run, `auto` takes at most 5 % longer than the better of the processor alone and the device alone, in every
//! world and at every size of batch; trying takes at most 1 % of the time; a batch far below the break-even is never the
//! device's. What is not: that the worlds are like the real one. They are lines with bends, noise, stalls and changes.

use std::time::Duration;

use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::costs::{DeviceProfile, ProcessorProfile};
use pelton_kernels::program::{AggregateCall, Program};
use proptest::prelude::*;

use super::{Batch, Candidate, Choice, Gpu, Mode, Reason, StagePlacement};

/// Dice that a seed decides (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Near to normal: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// True costs: µs a batch, ns a row, GB/s.
#[derive(Clone, Copy, Debug)]
struct Costs {
    cpu_batch_us: f64,
    cpu_row_ns: f64,
    device_batch_us: f64,
    device_row_ns: f64,
    gb_s: f64,
}

const ROW_BYTES: usize = 16;

impl Costs {
    fn us(&self, choice: Choice, rows: usize) -> f64 {
        let rows = rows as f64;
        match choice {
            // Beyond what a cache holds a row costs more.
            Choice::Cpu => self.cpu_batch_us + self.cpu_row_ns * rows / 1000.0 * if rows > 1e6 { 1.1 } else { 1.0 },
            Choice::Device => {
                self.device_batch_us + rows * (self.device_row_ns / 1000.0 + ROW_BYTES as f64 * 0.001 / self.gb_s)
            }
        }
    }
}

/// A world: costs, which change after a part of the run, and how uneven batches are.
#[derive(Clone, Copy, Debug)]
struct World {
    before: Costs,
    after: Costs,
    /// Relative deviation of single batches.
    noise: f64,
    /// One batch in so many takes ten times as long.
    stalls: Option<usize>,
    /// How far the device's calibration is off: a factor.
    off: f64,
}

/// Costs as on a core and an H200 (research, gpu-analytics 2c), at one core a GPU.
const PLAIN: Costs =
    Costs { cpu_batch_us: 3.0, cpu_row_ns: 3.0, device_batch_us: 30.0, device_row_ns: 0.05, gb_s: 50.0 };
/// A device that plays a GPU.
const SLOW: Costs = Costs { device_batch_us: 400.0, device_row_ns: 60.0, gb_s: 2.0, ..PLAIN };
/// Sixteen cores' worth of processor against one bus.
const EVEN: Costs = Costs { cpu_row_ns: 0.35, ..PLAIN };

impl World {
    fn steady(costs: Costs) -> World {
        World { before: costs, after: costs, noise: 0.0, stalls: None, off: 1.0 }
    }

    fn program() -> Program {
        let arg_types = vec![arrow::datatypes::DataType::Int64];
        let spec = AggregateSpec { kind: AggregateKind::Sum, distinct: false, arg_types, fast_float: false };
        let key = (0, arrow::datatypes::DataType::Int64);
        Program { keys: vec![key], aggregates: vec![AggregateCall { spec, args: vec![1], filter: None }] }
    }

    /// A stage that has been told the costs, more or less.
    fn stage(&self, mode: Mode) -> StagePlacement {
        let (costs, off) = (self.before, self.off);
        let cpu = ProcessorProfile {
            batch_us: costs.cpu_batch_us / off,
            key_ns: costs.cpu_row_ns / 2.0 / off,
            state_ns: costs.cpu_row_ns / 2.0 / off,
        };
        let profile = DeviceProfile {
            launch_us: costs.device_batch_us * off,
            copy_t0_us: 0.0,
            copy_gb_s: costs.gb_s / off,
            row_ns: costs.device_row_ns * off,
            ..DeviceProfile::default()
        };
        let gpu = Gpu { name: "gpu:0".into(), profile: Some(profile), stops: vec![] };
        StagePlacement::new("a sum".into(), &World::program(), mode, &cpu, Candidate::Gpu(gpu))
    }

    /// Runs batches of these sizes, in turn; the µs that they took, and the stage.
    fn run(&self, mode: Mode, sizes: &[usize], batches: usize) -> (f64, StagePlacement) {
        // Everyone has the same luck: a batch's is its own.
        let stage = self.stage(mode);
        let mut total = 0.0;
        for at in 0..batches {
            let rows = sizes[at % sizes.len()];
            let costs = if at < batches / 2 { &self.before } else { &self.after };
            let choice = stage.choose(Batch::new(rows, ROW_BYTES * rows));
            let mut dice = Dice(at as u64 * 7919 + 1);
            let luck = (1.0 + self.noise * dice.normal()).max(0.3);
            let stall = if self.stalls.is_some_and(|one_in| at % one_in == one_in / 2) { 10.0 } else { 1.0 };
            let took = costs.us(choice, rows) * luck * stall;
            stage.observe(choice, rows, ROW_BYTES * rows, Duration::from_nanos((1000.0 * took) as u64));
            total += took;
        }
        (total, stage)
    }

    /// How much longer `auto` takes than the better of both alone, as a part; and its stage.
    fn regret(&self, sizes: &[usize], batches: usize) -> (f64, StagePlacement) {
        let alone = |choice| self.run(Mode::Only(choice), sizes, batches).0;
        let (auto, stage) = self.run(Mode::Auto, sizes, batches);
        (auto / alone(Choice::Cpu).min(alone(Choice::Device)) - 1.0, stage)
    }
}

/// 1 K to 8 M.
fn all_sizes() -> impl Iterator<Item = usize> {
    (10..=23).map(|log| 1 << log)
}

#[track_caller]
fn check(name: &str, world: &World, batches: usize) {
    for rows in all_sizes() {
        let (regret, stage) = world.regret(&[rows], batches);
        assert!(regret <= 0.05, "{name}, {rows} rows: {:.1} % slower\n{}", 100.0 * regret, stage.report());
        // What is tried may take longer than was predicted, once.
        let explored = stage.report().explored;
        assert!(explored <= 0.02, "{name}, {rows} rows: {explored} of the time explored");
    }
    let (regret, stage) = world.regret(&[1_000, 4_000_000, 65_536, 500_000], batches);
    assert!(regret <= 0.05, "{name}, sizes in turn: {:.1} % slower\n{}", 100.0 * regret, stage.report());
}

#[test]
fn a_device_that_is_always_slower_is_left_alone() {
    check("slow", &World::steady(SLOW), 600);
    for rows in all_sizes() {
        let (_, stage) = World::steady(SLOW).run(Mode::Auto, &[rows], 2000);
        assert_eq!(stage.report().gpu.unwrap().batches, 0);
    }
}

#[test]
fn a_device_that_wins_above_a_break_even_wins_there() {
    check("plain", &World::steady(PLAIN), 600);
    let (_, stage) = World::steady(PLAIN).run(Mode::Auto, &[1_000, 1_000_000], 400);
    let report = stage.report();
    assert!(report.gpu.as_ref().unwrap().rows > 150_000_000 && report.cpu.batches >= 200, "{report}");
    assert!(matches!(report.reasons[..], [Reason::BreakEven(10_000..=10_700)]), "{report}");
}

#[test]
fn two_that_are_nearly_even_cost_nothing() {
    check("even", &World::steady(EVEN), 600);
}

#[test]
fn noise_and_stalls_are_borne() {
    for costs in [PLAIN, SLOW, EVEN] {
        check("noise", &World { noise: 0.2, ..World::steady(costs) }, 1000);
        check("stalls", &World { noise: 0.05, stalls: Some(31), ..World::steady(costs) }, 1000);
    }
}

#[test]
fn a_calibration_that_is_off_is_mended() {
    for (costs, off) in [(PLAIN, 1.5), (PLAIN, 0.67), (SLOW, 1.5), (SLOW, 0.67), (EVEN, 1.3), (EVEN, 0.77)] {
        check("off", &World { off, noise: 0.05, ..World::steady(costs) }, 4000);
    }
}

#[test]
fn costs_that_change_are_followed() {
    let busy = Costs { device_batch_us: 500.0, device_row_ns: 30.0, ..PLAIN };
    check("the device gets slow", &World { after: busy, noise: 0.05, ..World::steady(PLAIN) }, 2000);
    let throttled = Costs { cpu_row_ns: 9.0, ..PLAIN };
    check("the processor gets slow", &World { after: throttled, noise: 0.05, ..World::steady(PLAIN) }, 2000);
    let freed = Costs { cpu_row_ns: 0.2, ..PLAIN };
    check("the processor gets fast", &World { after: freed, noise: 0.05, ..World::steady(PLAIN) }, 4000);
}

#[test]
fn small_batches_are_never_tried() {
    let world = World { noise: 0.2, ..World::steady(PLAIN) };
    let (_, stage) = world.run(Mode::Auto, &[64, 500, 1_000, 2_500], 20_000);
    assert_eq!(stage.report().gpu.unwrap().batches, 0, "{}", stage.report());
}

#[test]
fn a_kernel_that_compiles_is_not_waited_for() {
    let stage = World::steady(PLAIN).stage(Mode::Auto);
    let rows = 4_000_000;
    let batch = Batch { ready: false, ..Batch::new(rows, ROW_BYTES * rows) };
    for _ in 0..50 {
        assert_eq!(stage.choose(batch), Choice::Cpu);
        stage.observe(Choice::Cpu, rows, ROW_BYTES * rows, Duration::from_micros(12_000));
    }
    assert!(stage.report().reasons.contains(&Reason::Compiling));
    assert_eq!(stage.choose(Batch { ready: true, ..batch }), Choice::Device, "at the first batch after it");
    stage.give_up("it was lost");
    assert_eq!(stage.choose(Batch { ready: true, ..batch }), Choice::Cpu);
    assert!(stage.report().to_string().contains("the device has failed: it was lost"));
}

#[test]
fn moving_has_to_be_paid_for() {
    let world = World { off: 1.5, ..World::steady(Costs { cpu_row_ns: 0.5, ..PLAIN }) };
    let rows = 1 << 20;
    let switched_after = |moving_us: f64| {
        let stage = world.stage(Mode::Auto);
        (0..10_000)
            .find(|_| {
                let choice = stage.choose(Batch { moving_us, ..Batch::new(rows, ROW_BYTES * rows) });
                let took = world.before.us(choice, rows);
                stage.observe(choice, rows, ROW_BYTES * rows, Duration::from_nanos((1000.0 * took) as u64));
                choice == Choice::Device
            })
            .unwrap_or(usize::MAX)
    };
    let (free, dear) = (switched_after(0.0), switched_after(3000.0));
    assert!(free < dear && dear < 1500, "{free}, {dear}");
}

#[test]
fn closing_windows_is_a_part_of_the_price() {
    let stage = World::steady(PLAIN).stage(Mode::Auto);
    let rows = 1 << 20;
    let mut choices = vec![];
    for _ in 0..200 {
        let choice = stage.choose(Batch::new(rows, ROW_BYTES * rows));
        let took = PLAIN.us(choice, rows);
        stage.observe(choice, rows, ROW_BYTES * rows, Duration::from_nanos((1000.0 * took) as u64));
        if choice == Choice::Device {
            // A million groups to read back after every batch.
            stage.observe_close(choice, rows, Duration::from_millis(20));
        }
        choices.push(choice);
    }
    assert!(choices.iter().filter(|choice| **choice == Choice::Device).count() < 20, "{}", stage.report());
}

#[test]
fn without_a_device_or_its_figures_all_is_the_processors() {
    let program = World::program();
    let none = Candidate::None("no driver".into());
    let gpu = |profile, stops: &[&str]| {
        let stops = stops.iter().map(|stop| stop.to_string()).collect();
        Candidate::Gpu(Gpu { name: "gpu:0".into(), profile, stops })
    };
    for (candidate, says) in [
        (none, &["no GPU here: no driver"][..]),
        (gpu(None, &[]), &["not measured"]),
        (
            gpu(None, &["STDDEV(x): is not computed there", "MAX(name): MAX of Utf8 is not computed there"]),
            &["STDDEV(x)", "MAX(name)", "not measured"],
        ),
    ] {
        let stage = StagePlacement::new("s".into(), &program, Mode::Auto, &ProcessorProfile::default(), candidate);
        for rows in all_sizes() {
            assert_eq!(stage.choose(Batch::new(rows, 16 * rows)), Choice::Cpu);
            // Even a processor that crawls does not make a guess of a measurement.
            stage.observe(Choice::Cpu, rows, 16 * rows, Duration::from_micros(10 * rows as u64));
        }
        let text = stage.report().to_string();
        assert!(says.iter().all(|word| text.contains(word)), "{text}");
        assert_eq!(stage.report().place(), "cpu");
    }
}

#[test]
fn a_stage_that_is_held_says_what_it_would_gain() {
    let stage = World::steady(PLAIN).stage(Mode::Auto);
    stage.hold("nobody moves it yet");
    assert_eq!(stage.choose(Batch::new(8_000_000, 128_000_000)), Choice::Cpu);
    let report = stage.report();
    assert!(matches!(&report.reasons[..], [Reason::Held(_), Reason::BreakEven(_)]), "{report}");
    assert!(report.place() == "cpu" && report.typical[2].device_us.unwrap() < report.typical[2].cpu_us, "{report}");
}

#[test]
fn workers_share_a_stage() {
    fn shared<T: Send + Sync>(_: &T) {}
    let stage = World::steady(PLAIN).stage(Mode::Auto);
    shared(&stage);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let choice = stage.choose(Batch::new(1_000_000, 16_000_000));
                    let took = PLAIN.us(choice, 1_000_000);
                    stage.observe(choice, 1_000_000, 16_000_000, Duration::from_nanos((1000.0 * took) as u64));
                }
            });
        }
    });
    let report = stage.report();
    assert_eq!(report.cpu.batches + report.gpu.as_ref().unwrap().batches, 2000);
    assert!(report.gpu.unwrap().batches > 1900);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The bar in any world whose calibration is not far off.
    #[test]
    fn auto_is_never_much_slower_than_the_better(
        cpu_batch_us in 0.5f64..10.0, cpu_row in -1.0f64..2.0, device_batch_us in 10.0f64..600.0, device_row in -2.0f64..2.0,
        gb_s in 1.0f64..60.0, noise in 0.0f64..0.15, off in 0.8f64..1.25, log in 10u32..24, spread in 0u32..5,
    ) {
        let costs = Costs {
            cpu_batch_us, cpu_row_ns: 10f64.powf(cpu_row), device_batch_us, device_row_ns: 10f64.powf(device_row), gb_s,
        };
        let world = World { noise, off, ..World::steady(costs) };
        let sizes = [1 << log, 1 << (log + spread).min(23)];
        let (regret, stage) = world.regret(&sizes, 2000);
        prop_assert!(regret <= 0.05, "{:.1} % slower\n{}", 100.0 * regret, stage.report());
        // Noise may make what is tried take longer than was predicted.
        prop_assert!(stage.report().explored <= 0.015);
    }
}
