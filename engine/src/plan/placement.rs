//! Which device a stage runs on: what `pelton.device` asks for.
//!
//! `auto` is the processor: nothing is measured yet, and a guess would cost more than it wins. A device that is named runs every
//! `GROUP BY` of the script, or the script is refused with everything that stands in the way.

use std::sync::Arc;

use pelton_devices::{Cuda, Limits, Wgpu};
use pelton_kernels::program::{Cpu, Device, Program};

use crate::error::{Error, Result, Span};
use crate::sql::Settings;

/// See the module.
pub(super) struct Placement {
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
            "cuda" => {
                let cuda = Cuda::open().map_err(|error| {
                    Error::world(format!("'pelton.device' = 'cuda': {error}"))
                        .hint("see pelton doctor for what is missing, or leave the setting out")
                })?;
                let most = |key: &str, most: u64| settings.number(key).unwrap_or(most);
                let limits = cuda.limits();
                Some(cuda.within(Limits {
                    device_bytes: most("pelton.device.memory-max", limits.device_bytes),
                    pinned_bytes: most("pelton.pinned.memory-max", limits.pinned_bytes),
                    patient: true,
                }))
            }
            _ => None,
        };
        Ok(Placement { named, stops: vec![], at: None })
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
