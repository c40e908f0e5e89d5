//! Chooses, batch by batch, who folds a stage: one [`StagePlacement`] a stage, shared by all workers.
//!
//! Each size of batch (by powers of two of its rows) has a home, so that load alone moves work: small batches stay on the
//! processor, where large ones go to the device. A home changes when the other side's predicted gains have added up (a sum
//! that forgets losses: CUSUM, Page 1954): 15 % of gain for four batches do, and so do 5 % for seventeen. A threshold of 15 % alone would leave a
//! stage up to 15 % slower than it could be. Nor does a home change before the gains have paid for the state that then has to be read
//! back and merged (rent or buy, Karlin et al. 1988).
//!
//! The side that is not home is tried now and then, where it could be faster for all that is known: at most 1 % of the stage's
//! time goes into trying, and never a batch that is smaller than the break-even, taken as favourably as the prediction's
//! uncertainty allows, but at most twice as fast.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use pelton_kernels::costs::{DeviceProfile, ProcessorProfile};
use pelton_kernels::program::Program;

use super::calibration::{device_model, processor_model, row_bytes};
use super::report::{Reason, SideReport, StageReport, Typical};
use super::{Batch, Choice, CostModel, Mode};

/// Relative gains that have to add up before a home changes.
const SCORE: f64 = 0.5;
/// A gain below this changes nothing, however long it lasts; above it, the excess is added up.
const DRIFT: f64 = 0.02;
/// A home changes after so many batches in a row for which the other side was predicted to be faster.
const WINS: u32 = 3;
/// What the device must gain to be the first home of a size.
const FIRST_GAIN: f64 = 0.15;
/// Part of the stage's time that trying may take.
const EXPLORED_MAX: f64 = 0.01;
/// How much faster than predicted the other side may be thought to be when it is to be tried.
const OPTIMISM_MAX: f64 = 0.5;
/// A prediction rests on measurement if it rests on so much of an observation. (One that never had one rests on calibration.)
const MEASURED: f64 = 0.5;
/// The first batch of a stage is the processor's, so that it is known too; unless the device is so many times faster.
const OBVIOUS: f64 = 4.0;
/// Sizes of batches: powers of two.
const SIZES: usize = 40;

/// The device that could take a stage.
pub enum Candidate {
    /// There is one.
    Gpu(Gpu),
    /// There is none, and why: the end of a sentence.
    None(String),
}

/// See [`Candidate`].
#[derive(Clone, Debug)]
pub struct Gpu {
    /// `cuda:0`, `wgpu:0`.
    pub name: String,
    /// What it costs; `None` if nobody has measured it, and then it is not chosen.
    pub profile: Option<DeviceProfile>,
    /// All that it can not run of the stage, with the expressions.
    pub stops: Vec<String>,
}

/// See the module.
pub struct StagePlacement {
    stage: String,
    mode: Mode,
    device: Option<Gpu>,
    row_bytes: f64,
    inner: Mutex<Inner>,
}

struct Inner {
    /// The processor's, the device's.
    sides: [Side; 2],
    homes: [Home; SIZES],
    /// What keeps every batch from the device.
    stops: Vec<Reason>,
    /// The last batch found the device ready.
    ready: bool,
    /// µs, of all workers.
    spent_us: f64,
    explored_us: f64,
    /// Who is being tried: one batch at a time.
    exploring: Option<Choice>,
}

struct Side {
    model: CostModel,
    /// Closing windows: what it took, and of how many rows they were, older ones counting less.
    closing_us: f64,
    closed_rows: f64,
    batches: u64,
    rows: u64,
    bytes: u64,
    took_us: f64,
}

#[derive(Clone, Copy, Default)]
struct Home {
    at: Option<Choice>,
    /// Gains of the other side that have added up: as parts of the time, and in µs.
    score: f64,
    owed_us: f64,
    wins: u32,
}

impl Side {
    fn new(model: CostModel) -> Self {
        Side { model, closing_us: 0.0, closed_rows: 0.0, batches: 0, rows: 0, bytes: 0, took_us: 0.0 }
    }

    /// µs, with the rows' share of what closing their windows will take.
    fn predict(&self, rows: usize, bytes: usize) -> f64 {
        let closing = if self.closed_rows > 0.0 { self.closing_us / self.closed_rows } else { 0.0 };
        self.model.predict(rows, bytes) + closing * rows as f64
    }

    fn report(&self, rows: usize, bytes: usize) -> SideReport {
        let batches = self.batches.max(1) as f64;
        SideReport {
            batches: self.batches,
            rows: self.rows,
            predicted_us: self.predict(rows, bytes),
            measured_us: (self.batches > 0).then_some(self.took_us / batches),
            noise: self.model.noise(),
        }
    }
}

impl StagePlacement {
    /// A stage whose batches have not come yet. `stage` says what it is.
    pub fn new(stage: String, program: &Program, mode: Mode, processor: &ProcessorProfile, device: Candidate) -> Self {
        let profile = match &device {
            Candidate::Gpu(Gpu { profile: Some(measured), .. }) => *measured,
            _ => DeviceProfile::default(),
        };
        let models = [processor_model(processor, program), device_model(&profile)];
        StagePlacement::over(stage, mode, models, row_bytes(program), device)
    }

    /// Likewise of anything that takes batches: what the processor and the device are thought to take, and what a row brings over the bus.
    pub fn over(stage: String, mode: Mode, models: [CostModel; 2], row_bytes: usize, device: Candidate) -> Self {
        let (mut stops, mut gpu) = (vec![], None);
        match device {
            // Who names the processor asks for no device.
            Candidate::None(_) if mode == Mode::Only(Choice::Cpu) => {}
            Candidate::None(why) => stops.push(Reason::NoDevice(why)),
            Candidate::Gpu(candidate) => {
                stops.extend(candidate.stops.iter().cloned().map(Reason::Stop));
                if candidate.profile.is_none() {
                    stops.push(Reason::NotMeasured);
                }
                gpu = Some(candidate);
            }
        }
        let sides = models.map(Side::new);
        let inner = Inner {
            sides,
            homes: [Home::default(); SIZES],
            stops,
            ready: true,
            spent_us: 0.0,
            explored_us: 0.0,
            exploring: None,
        };
        StagePlacement { stage, mode, device: gpu, row_bytes: row_bytes as f64, inner: Mutex::new(inner) }
    }

    /// Who folds this batch. Takes well under a µs.
    pub fn choose(&self, batch: Batch) -> Choice {
        let mut inner = self.lock();
        inner.ready = batch.ready;
        match self.mode {
            Mode::Only(choice) => choice,
            Mode::Auto if !inner.stops.is_empty() || !batch.ready => Choice::Cpu,
            Mode::Auto => inner.choose(&batch),
        }
    }

    /// Learns how long a worker was held by a batch: from the call that folds it to the next batch that it could take.
    pub fn observe(&self, choice: Choice, rows: usize, bytes: usize, took: Duration) {
        let took_us = us(took);
        let mut inner = self.lock();
        inner.spent_us += took_us;
        if inner.exploring == Some(choice) {
            inner.exploring = None;
            inner.explored_us += took_us;
        }
        inner.sides[choice.other() as usize].model.age();
        let side = &mut inner.sides[choice as usize];
        side.model.observe(rows, bytes, took_us);
        side.batches += 1;
        side.rows += rows as u64;
        side.bytes += bytes as u64;
        side.took_us += took_us;
    }

    /// Learns how long it took to read back and merge what one side had folded, of so many rows: it is added to what rows of
    /// that side cost.
    pub fn observe_close(&self, choice: Choice, rows: usize, took: Duration) {
        const KEPT: f64 = 0.8;
        let mut inner = self.lock();
        let side = &mut inner.sides[choice as usize];
        side.closing_us = KEPT * side.closing_us + us(took);
        side.closed_rows = KEPT * side.closed_rows + rows as f64;
    }

    /// Keeps all batches on the processor. `why` is a sentence.
    pub fn hold(&self, why: impl Into<String>) {
        self.lock().stops.push(Reason::Held(why.into()));
    }

    /// The device can not go on: from now on all batches are the processor's. `why` is the end of a sentence.
    pub fn give_up(&self, why: impl Into<String>) {
        let mut inner = self.lock();
        inner.stops.push(Reason::GaveUp(why.into()));
        inner.exploring = None;
    }

    /// What one more state of so many groups costs when its window closes, µs: it is read back and merged. `group_bytes`: key
    /// and states of a group.
    pub fn moving_us(&self, groups: usize, group_bytes: usize) -> f64 {
        let profile = self.device.as_ref().and_then(|gpu| gpu.profile).unwrap_or_default();
        let groups = groups as f64;
        profile.read_t0_us + groups * (profile.merge_ns + group_bytes as f64 / profile.read_gb_s.max(1e-3)) / 1000.0
    }

    /// All that is known now.
    pub fn report(&self) -> StageReport {
        let inner = self.lock();
        let bytes_of = |rows: usize| (self.row_bytes * rows as f64) as usize;
        let break_even = inner.break_even(self.row_bytes);
        let batches: u64 = inner.sides.iter().map(|side| side.batches).sum();
        let rows: u64 = inner.sides.iter().map(|side| side.rows).sum();
        let mean = rows.checked_div(batches).map(|rows| rows as usize);
        let on_bus = &inner.sides[Choice::Device as usize];
        let bytes_per_row = if on_bus.rows > 0 { on_bus.bytes as f64 / on_bus.rows as f64 } else { self.row_bytes };
        let can_run = self.device.as_ref().is_some_and(|gpu| gpu.stops.is_empty());
        let is_measured = self.device.as_ref().is_some_and(|gpu| gpu.profile.is_some());
        let typical = [1_000, 65_536, 1_000_000].into_iter().map(|rows| {
            let [cpu_us, device_us] = inner.predict(rows, bytes_of(rows));
            let choice = match self.mode {
                Mode::Only(choice) => choice,
                Mode::Auto if inner.stops.is_empty() && device_us < cpu_us => Choice::Device,
                Mode::Auto => Choice::Cpu,
            };
            Typical { rows, cpu_us, device_us: can_run.then_some(device_us), choice }
        });
        let mut reasons = inner.stops.clone();
        match self.mode {
            Mode::Only(choice) => reasons.insert(0, Reason::Named(choice)),
            Mode::Auto if can_run && is_measured => {
                reasons.push(match break_even {
                    Some(rows) => Reason::BreakEven(rows.ceil() as u64),
                    None => Reason::Never,
                });
                if !inner.ready {
                    reasons.push(Reason::Compiling);
                }
            }
            Mode::Auto => {}
        }
        let rows_of_side = mean.unwrap_or(65_536);
        StageReport {
            stage: self.stage.clone(),
            device: self.device.as_ref().map(|gpu| gpu.name.clone()),
            mode: self.mode,
            reasons,
            cpu: inner.sides[Choice::Cpu as usize].report(rows_of_side, bytes_of(rows_of_side)),
            gpu: can_run.then(|| on_bus.report(rows_of_side, bytes_of(rows_of_side))),
            mean_rows: mean,
            bytes_per_row,
            typical: typical.collect(),
            explored: if inner.spent_us > 0.0 { inner.explored_us / inner.spent_us } else { 0.0 },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic holds this lock")
    }
}

impl Inner {
    fn predict(&self, rows: usize, bytes: usize) -> [f64; 2] {
        [0, 1].map(|side| self.sides[side].predict(rows, bytes))
    }

    /// The rows from which on the device is faster.
    fn break_even(&self, row_bytes: f64) -> Option<f64> {
        const MANY: usize = 1 << 30;
        // What closing costs is a part of a row's price.
        let line = |side: &Side| {
            let many = side.predict(MANY, (row_bytes * MANY as f64) as usize);
            let [a, ..] = side.model.coefficients();
            CostModel::new(a, (many - a) / MANY as f64, 0.0)
        };
        line(&self.sides[0]).break_even(&line(&self.sides[1]), 0.0)
    }

    fn choose(&mut self, batch: &Batch) -> Choice {
        let times = self.predict(batch.rows, batch.bytes);
        let [cpu_us, device_us] = times;
        if self.spent_us == 0.0 && cpu_us < OBVIOUS * device_us {
            return Choice::Cpu;
        }
        let size = (batch.rows.max(1).ilog2() as usize).min(SIZES - 1);
        let first = if device_us * (1.0 + FIRST_GAIN) < cpu_us { Choice::Device } else { Choice::Cpu };
        let home = *self.homes[size].at.get_or_insert(first);
        let other = home.other();
        let (stay_us, go_us) = (times[home as usize], times[other as usize]);
        let model = &self.sides[other as usize];
        let is_known = model.batches == 0 || model.model.weight() >= MEASURED;
        let gain = ((stay_us - go_us) / stay_us).max(-1.0);
        let counts = &mut self.homes[size];
        counts.score = (counts.score + gain - DRIFT).clamp(0.0, 2.0 * SCORE);
        if gain > 0.0 {
            counts.wins = counts.wins.saturating_add(1);
            counts.owed_us += stay_us - go_us;
        } else {
            (counts.wins, counts.owed_us) = (0, 0.0);
        }
        if is_known && counts.wins >= WINS && counts.score >= SCORE && counts.owed_us >= batch.moving_us {
            *counts = Home { at: Some(other), ..Home::default() };
            return other;
        }
        if self.may_explore(other, batch, stay_us, go_us) {
            self.exploring = Some(other);
            return other;
        }
        home
    }

    /// True if it is worth a batch to see how long it takes on the side that is not home.
    fn may_explore(&self, other: Choice, batch: &Batch, stay_us: f64, go_us: f64) -> bool {
        let uncertainty = self.sides[other as usize].model.uncertainty(batch.rows, batch.bytes);
        let at_best_us = go_us * (1.0 - (2.0 * uncertainty).min(OPTIMISM_MAX));
        let price_us = go_us + batch.moving_us;
        self.exploring.is_none()
            && at_best_us < stay_us
            && self.explored_us + price_us <= EXPLORED_MAX * (self.spent_us + price_us)
    }
}

fn us(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
