//! Which device a stage runs on: what `pelton.device` asks for.
//!
//! `auto` is the processor: stages do not ask [`crate::placement`] yet who takes a batch. A device that is named runs every
//! `GROUP BY` of the script, or the script is refused with everything that stands in the way.

use std::sync::Arc;

use pelton_devices::{Wgpu, adapters};
use pelton_kernels::costs::DeviceProfile;
use pelton_kernels::program::{Cpu, Device, Program};

use crate::connector::Registry;
use crate::error::{Error, Result, Span};
use crate::placement::calibration::measure_device;
use crate::placement::{Calibration, Choice, Mode};
use crate::sql::Settings;

/// A device and what it costs, if that is known; or why there is none.
pub(super) type Found = Result<(Arc<dyn Device>, Option<DeviceProfile>), String>;

/// See the module.
pub(super) struct Placement {
    mode: Mode,
    /// What was named.
    named: Option<Arc<dyn Device>>,
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
            _ => None,
        };
        let mode = match settings.device() {
            "auto" => Mode::Auto,
            "cpu" => Mode::Only(Choice::Cpu),
            _ => Mode::Only(Choice::Device),
        };
        Ok(Placement { mode, named, stops: vec![], at: None })
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
        (self.mode == Mode::Auto).then_some(
            "'auto' is the CPU in this version: SET 'pelton.device' = 'wgpu' folds every GROUP BY of the script on the device",
        )
    }

    /// Where every `GROUP BY` runs.
    pub(super) fn device(&self) -> Arc<dyn Device> {
        self.named.clone().unwrap_or_else(|| Arc::new(Cpu))
    }

    /// Notes what stops a `GROUP BY` whose aggregates the query writes as `calls`.
    pub(super) fn note(&mut self, program: &Program, calls: &[String], at: Span) {
        for stop in self.device().stops(program) {
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
