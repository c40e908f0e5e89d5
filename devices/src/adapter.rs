//! Adapters: which GPUs there are, which of them Pelton can use, and which it takes.

use wgpu::{Backends, DeviceType, Instance, InstanceDescriptor};

use crate::gpu::{BINDINGS, Gpu};
use crate::shader::WORKGROUP;

/// A GPU as its driver describes it, or what plays one.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// What it is called.
    pub name: String,
    /// `vulkan`, `metal` or `dx12`.
    pub back_end: String,
    /// Its driver, with the version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub kind: &'static str,
    /// Bytes of a buffer that a shader sees, at most.
    pub buffer_max: u64,
    /// Why Pelton can not use it, if it can not.
    pub unusable: Option<String>,
}

impl Adapter {
    fn of(adapter: &wgpu::Adapter) -> Adapter {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => "discrete",
            DeviceType::IntegratedGpu => "integrated",
            DeviceType::VirtualGpu => "virtual",
            DeviceType::Cpu => "cpu",
            DeviceType::Other => "other",
        };
        Adapter {
            name: info.name,
            back_end: info.backend.to_string(),
            driver: [info.driver, info.driver_info].join(" ").trim().to_string(),
            kind,
            buffer_max: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
            unusable: unusable(adapter),
        }
    }
}

/// What a shader of ours needs and an adapter does not have.
fn unusable(adapter: &wgpu::Adapter) -> Option<String> {
    let limits = adapter.limits();
    if !adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some("it has no compute shaders".into());
    }
    if limits.max_storage_buffers_per_shader_stage < BINDINGS as u32 {
        let there = limits.max_storage_buffers_per_shader_stage;
        return Some(format!("a shader sees {there} buffers, {BINDINGS} are needed"));
    }
    if limits.max_compute_invocations_per_workgroup < WORKGROUP || limits.max_compute_workgroup_size_x < WORKGROUP {
        return Some(format!("its workgroups are smaller than {WORKGROUP}"));
    }
    None
}

/// All adapters, the one that Pelton would take first, with their places among those of the same name in wgpu.
fn found() -> Vec<wgpu::Adapter> {
    let mut wanted = InstanceDescriptor::new_without_display_handle();
    wanted.backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    let mut adapters = pollster::block_on(Instance::new(wanted).enumerate_adapters(Backends::all()));
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    };
    adapters.sort_by_key(|adapter| (unusable(adapter).is_some(), rank(adapter)));
    adapters
}

/// All adapters of this machine, the one that Pelton would take first.
pub fn adapters() -> Vec<Adapter> {
    found().iter().map(Adapter::of).collect()
}

/// Opens the first adapter that can be used, or says what was looked for.
pub(crate) fn open_best() -> Result<Gpu, String> {
    let adapters = found();
    let Some(best) = adapters.first() else {
        return Err("no GPU was found by Vulkan, Metal or DX12".into());
    };
    match unusable(best) {
        None => Gpu::open(best, "wgpu:0".into()),
        Some(_) => {
            let all: Vec<String> = adapters
                .iter()
                .map(|adapter| format!("{}: {}", adapter.get_info().name, unusable(adapter).unwrap_or_default()))
                .collect();
            Err(format!("no GPU here can be used: {}", all.join("; ")))
        }
    }
}
