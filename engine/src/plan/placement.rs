//! Which device a stage runs on: what `pelton.device` asks for.
//!
//! Under `auto` a stage that an NVIDIA GPU can run asks [`crate::placement`] for each batch who takes it; all others are the
//! processor's. A device that is named runs every `GROUP BY` of the script, or the script is refused with everything that stands
//! in the way.

use std::sync::Arc;

use pelton_devices::{Cuda, Limits, Wgpu, adapters};
use pelton_kernels::costs::DeviceProfile;
use pelton_kernels::program::{Cpu, Device, Program};

use crate::connector::Registry;
use crate::error::{Error, Result, Span};
use crate::operators::Chooser;
use crate::placement::calibration::{measure_device, row_bytes};
use crate::placement::{Calibration, Candidate, Choice, Gpu, Mode, StagePlacement};
use crate::sql::Settings;

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

/// A device and what it costs, if that is known; or why there is none.
pub(super) type Found = Result<(Arc<dyn Device>, Option<DeviceProfile>), String>;

/// See the module.
pub(super) struct Placement {
    mode: Mode,
    /// What was named.
    named: Option<Arc<dyn Device>>,
    /// What `auto` may take; whose kernels nobody waits for.
    offered: Option<Arc<Cuda>>,
    /// What stops it, in the words of the query.
    stops: Vec<String>,
    /// Where the first of it stands.
    at: Option<Span>,
}

impl Placement {
    /// Opens the device that the settings name.
    pub(super) fn of(settings: &Settings) -> Result<Self> {
        let named: Option<Arc<dyn Device>> = match settings.device() {
            "wgpu" => Some(Wgpu::open().map_err(|error| {
                Error::world(format!("'pelton.device' = 'wgpu': {error}")).hint(
                    "install the driver of the GPU and its Vulkan loader (on Debian mesa-vulkan-drivers and libvulkan1) and see \
                     pelton devices, or leave the setting out",
                )
            })?),
            "cuda" => Some(cuda(settings, true).map_err(|error| {
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
        Ok(Placement { mode, named, offered, stops: vec![], at: None })
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
