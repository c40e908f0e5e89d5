//! Which device a stage runs on: what `pelton.device` asks for.
//!
//! Under `auto` a stage that an NVIDIA GPU can run asks [`crate::placement`] for each batch who takes it; all others are the
//! processor's. A device that is named runs every `GROUP BY` of the script, or the script is refused with everything that stands
//! in the way. Models are scored there as far as it walks their trees; who scores the others can not be seen in the answer.

use std::sync::Arc;

use pelton_devices::{Cuda, Limits, Wgpu, adapters};
use pelton_kernels::costs::DeviceProfile;
use pelton_kernels::program::{Cpu, Device, Program};
use pelton_models::ForestDevice;

use super::models::ModelPlace;
use crate::connector::Registry;
use crate::error::{Error, Result, Span};
use crate::operators::Chooser;
use crate::placement::calibration::{measure_device, row_bytes, scoring_model};
use crate::placement::{Calibration, Candidate, Choice, CostModel, Gpu, Mode, StagePlacement};
use crate::scoring::Scorer;
use crate::sql::{Call, ModelCall, Settings};

/// The first NVIDIA GPU under the limits of the settings.
fn cuda(settings: &Settings, patient: bool) -> Result<Arc<Cuda>, String> {
    let cuda = Cuda::open()?;
    let limits = cuda.limits();
    let most = |key: &str, most: u64| settings.number(key).unwrap_or(most);
    Ok(cuda.within(Limits {
        device_bytes: most("pelton.device.memory-max", limits.device_bytes),
        pinned_bytes: most("pelton.pinned.memory-max", limits.pinned_bytes),
        patient,
    }))
}

/// What the processor takes for a batch, µs, for a tree of a row, ns, and for a device's byte of a value, ns: first guesses, which the first
/// batches correct. (A tree of depth 6 has taken 1.1 ns with AVX-512, 2.4 with AVX2: benches/NOTES.md.)
const SCORE_US: f64 = 5.0;
const TREE_NS: f64 = 2.0;
const VALUE_NS: f64 = 2.0;

/// A device and what it costs, if that is known; or why there is none.
pub(super) type Found = Result<(Arc<dyn Device>, Option<DeviceProfile>), String>;

/// See the module.
pub(super) struct Placement {
    mode: Mode,
    /// What was named.
    named: Option<Arc<dyn Device>>,
    /// What `auto` may take; whose kernels nobody waits for.
    offered: Option<Arc<Cuda>>,
    /// Either of them, as what scores rows.
    forests: Option<Arc<dyn ForestDevice>>,
    /// What stops it, in the words of the query.
    stops: Vec<String>,
    /// Where the first of it stands.
    at: Option<Span>,
}

impl Placement {
    /// Opens the device that the settings name.
    pub(super) fn of(settings: &Settings) -> Result<Self> {
        type Named = Option<(Arc<dyn Device>, Arc<dyn ForestDevice>)>;
        let named: Named = match settings.device() {
            "wgpu" => Some(Wgpu::open().map(|wgpu| (wgpu.clone() as _, wgpu.forests())).map_err(|error| {
                Error::world(format!("'pelton.device' = 'wgpu': {error}")).hint(
                    "install the driver of the GPU and its Vulkan loader (on Debian mesa-vulkan-drivers and libvulkan1) and see \
                     pelton devices, or leave the setting out",
                )
            })?),
            "cuda" => Some(cuda(settings, true).map(|cuda| (cuda.clone() as _, cuda.forests())).map_err(|error| {
                Error::world(format!("'pelton.device' = 'cuda': {error}"))
                    .hint("see pelton doctor for what is missing, or leave the setting out")
            })?),
            _ => None,
        };
        let mode = match settings.device() {
            "auto" => Mode::Auto,
            "cpu" => Mode::Only(Choice::Cpu),
            _ => Mode::Only(Choice::Device),
        };
        let offered =
            if mode == Mode::Auto { cuda(settings, false).ok().filter(|cuda| !cuda.is_played()) } else { None };
        let (named, forests) = named.unzip();
        let forests = forests.or_else(|| offered.as_ref().map(|cuda| cuda.forests()));
        Ok(Placement { mode, named, offered, forests, stops: vec![], at: None })
    }

    /// Who may be chosen.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// The device that was named or, for `auto`, the one that there is. Opens it, and measures it where that was not done
    /// before.
    pub(super) fn candidate(&self, registry: &Registry) -> Found {
        if self.mode == Mode::Only(Choice::Cpu) {
            return Err("none was looked for".into());
        }
        let named = self.named.as_ref().map(|device| device.name());
        if named.is_none_or(|name| name.starts_with("cuda"))
            && let Ok(cuda) = Cuda::open()
        {
            let profile = registry.machine().and_then(|machine| {
                let name = format!("{} {}", cuda.name(), cuda.model());
                Calibration::device(machine.as_ref(), &name, &cuda.driver(), |now| cuda.profile(now))
            });
            return Ok((cuda, profile));
        }
        let wgpu = Wgpu::open()?;
        let profile = registry.machine().and_then(|machine| {
            let driver = adapters().into_iter().next().map(|adapter| adapter.driver).unwrap_or_default();
            let name = format!("{} {}", wgpu.name(), wgpu.adapter());
            Calibration::device(machine.as_ref(), &name, &driver, |now| measure_device(wgpu.as_ref(), now))
        });
        Ok((wgpu, profile))
    }

    /// What keeps every stage from a device that nobody has named.
    pub(super) fn holds(&self) -> Option<&'static str> {
        (self.mode == Mode::Auto && self.offered.is_none()).then_some(
            "'auto' takes NVIDIA GPUs alone: SET 'pelton.device' = 'wgpu' folds every GROUP BY of the script on the device",
        )
    }

    /// What chooses for each batch of a stage, where there is a choice.
    pub(super) fn chooser(&self, registry: &Registry, stage: &str, program: &Program) -> Option<Chooser> {
        let cuda = self.offered.as_ref().filter(|cuda| cuda.keeps_panes(program))?;
        let machine = registry.machine()?.clone();
        let (device, profile) = self.candidate(registry).ok()?;
        let gpu = Gpu { name: device.name(), profile, stops: vec![] };
        let costs = Calibration::processor(machine.as_ref());
        debug_assert_eq!(cuda.name(), gpu.name);
        let placement = StagePlacement::new(stage.into(), program, Mode::Auto, &costs, Candidate::Gpu(gpu));
        Some(Chooser { placement, row_bytes: row_bytes(program), machine })
    }

    /// Whether there is a device that scores.
    pub(super) fn scores(&self) -> bool {
        self.forests.is_some()
    }

    /// What answers a call of a model in the processor's stead, if there is something.
    pub(super) fn scorer(&self, call: &ModelCall, registry: &Registry) -> Option<Scorer> {
        let forests = self.forests.clone()?;
        if call.call == Call::Explain || forests.stop(&call.def.version, &call.def.model).is_some() {
            return None;
        }
        if self.mode != Mode::Auto {
            return Some(Scorer::named(forests));
        }
        let machine = registry.machine()?.clone();
        Some(Scorer::chosen(forests, self.scoring(call, registry)?, machine))
    }

    /// What chooses who scores a batch: what either side is thought to take before there was one.
    fn scoring(&self, call: &ModelCall, registry: &Registry) -> Option<StagePlacement> {
        let forests = self.forests.as_ref()?;
        let (device, profile) = self.candidate(registry).ok()?;
        let model = &call.def.model;
        let row_bytes = forests.row_bytes(&call.def.version, model)?;
        let gpu = Gpu { name: device.name(), profile, stops: vec![] };
        let processor = CostModel::new(SCORE_US, TREE_NS * model.trees() as f64 / 1000.0, 0.0);
        let device = scoring_model(&profile.unwrap_or_default(), VALUE_NS * model.features as f64);
        Some(StagePlacement::over(call.name.clone(), self.mode, [processor, device], row_bytes, Candidate::Gpu(gpu)))
    }

    /// Where a call of a model is answered, and why.
    pub(super) fn model(&self, call: &ModelCall, registry: &Registry) -> ModelPlace {
        let on = |device: String, reasons: Vec<String>| ModelPlace {
            model: call.name.clone(),
            device,
            reasons,
            bytes_per_row: None,
        };
        let cpu = |reason: &str| on("cpu".into(), vec![reason.to_string()]);
        let Some(forests) = self.forests.as_ref() else {
            return match self.mode {
                Mode::Auto => {
                    cpu("'auto' takes NVIDIA GPUs alone: SET 'pelton.device' = 'wgpu' walks its trees on the device")
                }
                Mode::Only(_) => cpu("'pelton.device' says so"),
            };
        };
        if call.call == Call::Explain {
            return cpu("what features did to a score is computed on the CPU");
        }
        let (version, model) = (&call.def.version, &call.def.model);
        if let Some(stop) = forests.stop(version, model) {
            return cpu(&format!("{} does not walk its trees: {stop}", forests.name()));
        }
        let bytes_per_row = forests.row_bytes(version, model);
        let place = match self.scoring(call, registry).filter(|_| self.mode == Mode::Auto) {
            None => on(forests.name(), vec!["'pelton.device' says so".into()]),
            Some(placement) => {
                let report = placement.report();
                on(report.place(), report.reasons.iter().map(ToString::to_string).collect())
            }
        };
        ModelPlace { bytes_per_row, ..place }
    }

    /// Where every `GROUP BY` runs.
    pub(super) fn device(&self) -> Arc<dyn Device> {
        let offered = || self.offered.clone().map(|cuda| cuda as Arc<dyn Device>);
        self.named.clone().or_else(offered).unwrap_or_else(|| Arc::new(Cpu))
    }

    /// Notes what stops a `GROUP BY` whose aggregates the query writes as `calls`.
    pub(super) fn note(&mut self, program: &Program, calls: &[String], at: Span) {
        let Some(named) = self.named.clone() else { return };
        for stop in named.stops(program) {
            self.stop(format!("{}: {}", calls[stop.aggregate], stop.reason), at);
        }
    }

    /// Notes something that runs on the processor alone.
    pub(super) fn only_cpu(&mut self, what: &str, at: Span) {
        if self.named.is_some() {
            self.stop(format!("{what} runs on the processor"), at);
        }
    }

    /// With what was noted for a part of the script.
    pub(super) fn and(&mut self, part: &Placement) {
        part.stops.iter().for_each(|stop| self.stop(stop.clone(), part.at.unwrap_or_default()));
    }

    fn stop(&mut self, what: String, at: Span) {
        self.at.get_or_insert(at);
        if !self.stops.contains(&what) {
            self.stops.push(what);
        }
    }

    /// Refuses the script if anything stops the device that it names.
    pub(super) fn check(&self) -> Result<()> {
        let (Some(device), Some(at)) = (&self.named, self.at) else { return Ok(()) };
        Err(Error::user(format!("the device {} can not run this: {}", device.name(), self.stops.join("; ")))
            .at(at)
            .hint("SET 'pelton.device' = 'auto' runs it on the CPU"))
    }
}
