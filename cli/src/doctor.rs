//! `pelton devices` and `pelton doctor`: what this machine has, by looking at files, asking the processor and the drivers of GPUs.

use std::path::{Path, PathBuf};

use pelton_devices::{Adapter, CudaCompiler, CudaDevice, cubin_folder, cuda_devices};
use pelton_io::machine::processor;
use serde_json::{Value, json};

use crate::report::{Answer, columns, say, say_json};

/// Instruction sets that kernels have paths for, or will have.
fn cpu_features() -> Vec<&'static str> {
    #[allow(unused_mut, reason = "processors without a list of their own have none")]
    let mut found = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! look {
            ($($name:tt),*) => { $( if std::arch::is_x86_feature_detected!($name) { found.push($name); } )* };
        }
        look!(
            "sse4.2", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2", "avx512f", "avx512bw", "avx512cd", "avx512dq",
            "avx512vl"
        );
        look!("avx512vbmi", "avx512vbmi2", "avx512vpopcntdq");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! look {
            ($($name:tt),*) => { $( if std::arch::is_aarch64_feature_detected!($name) { found.push($name); } )* };
        }
        look!("neon", "dotprod", "sve", "sve2");
    }
    found
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Lists the processor, and the GPUs in the order in which Pelton would take them.
pub fn devices(json: bool) -> Answer {
    let features = cpu_features();
    let (nvidia, adapters) = (cuda_devices(), pelton_devices::adapters());
    if json {
        let cuda = |(place, gpu): (usize, &CudaDevice)| {
            json!({ "device": cuda_name(place, gpu), "model": gpu.name, "back_end": "cuda",
                "architecture": gpu.architecture(), "multiprocessors": gpu.processors, "memory_bytes": gpu.memory_bytes,
                "driver": format!("CUDA {}", gpu.cuda()), "usable": gpu.unusable().is_none(), "why_not": gpu.unusable() })
        };
        let gpu = |(place, a): (usize, &Adapter)| {
            json!({ "device": device_name(place, a), "model": a.name, "back_end": a.back_end, "driver": a.driver,
                "type": a.kind, "buffer_max": a.buffer_max, "usable": a.unusable.is_none(), "why_not": a.unusable })
        };
        let cpu = json!({ "device": "cpu", "model": processor(), "threads": cores(), "features": features });
        let gpus = adapters.iter().enumerate().map(gpu);
        let all = std::iter::once(cpu).chain(nvidia.iter().flatten().enumerate().map(cuda)).chain(gpus);
        say_json(&json!({ "devices": all.collect::<Vec<Value>>(), "no_nvidia_gpu": no_nvidia(&nvidia) }));
        return Ok(0);
    }
    let row = vec!["cpu".to_string(), processor(), cores().to_string(), features.join(" ")];
    say(&columns(&["device", "model", "threads", "features"], &[row]));
    say("");
    match no_nvidia(&nvidia) {
        Some(why) => say(&format!("no NVIDIA GPU: {why}")),
        None => {
            let rows: Vec<Vec<String>> = nvidia.iter().flatten().enumerate().map(cuda_row).collect();
            say(&columns(&["device", "model", "architecture", "memory", "driver", "how to use it"], &rows));
        }
    }
    say("");
    if adapters.is_empty() {
        say(
            "no other GPU: Vulkan, Metal and DX12 have none (on Debian a driver is in mesa-vulkan-drivers, its loader in libvulkan1)",
        );
        return Ok(0);
    }
    let gpu = |(place, a): (usize, &Adapter)| {
        let use_it = a.unusable.clone().unwrap_or_else(|| match place {
            0 => "SET 'pelton.device' = 'wgpu'".to_string(),
            _ => "yes, but one before it is taken".to_string(),
        });
        let buffer = format!("{} MiB", a.buffer_max >> 20);
        vec![
            device_name(place, a),
            a.name.clone(),
            a.back_end.clone(),
            a.kind.to_string(),
            a.driver.clone(),
            buffer,
            use_it,
        ]
    };
    let rows: Vec<Vec<String>> = adapters.iter().enumerate().map(gpu).collect();
    say(&columns(&["device", "model", "back end", "type", "driver", "largest buffer", "how to use it"], &rows));
    Ok(0)
}

/// Why there is no NVIDIA GPU, if there is none.
fn no_nvidia(found: &Result<Vec<CudaDevice>, String>) -> Option<String> {
    match found {
        Ok(all) if all.is_empty() => Some("NVIDIA's driver has no device".into()),
        Ok(_) => None,
        Err(why) => Some(why.clone()),
    }
}

/// The name that a stage's device has, for the NVIDIA GPU that is taken: the first.
fn cuda_name(place: usize, gpu: &CudaDevice) -> &'static str {
    if place == 0 && gpu.unusable().is_none() { "cuda:0" } else { "-" }
}

fn cuda_row((place, gpu): (usize, &CudaDevice)) -> Vec<String> {
    let use_it = gpu.unusable().unwrap_or_else(|| match (place, CudaCompiler::find()) {
        (0, Ok(_)) => "SET 'pelton.device' = 'cuda'".to_string(),
        (0, Err(_)) => "SET 'pelton.device' = 'cuda', but NVRTC is missing: see pelton doctor".to_string(),
        _ => "no, the first one is taken".to_string(),
    });
    vec![
        cuda_name(place, gpu).into(),
        gpu.name.clone(),
        gpu.architecture(),
        format!("{} MiB", gpu.memory_bytes >> 20),
        format!("CUDA {}", gpu.cuda()),
        use_it,
    ]
}

/// The name that a stage's device has, for the adapter that is taken.
fn device_name(place: usize, adapter: &Adapter) -> String {
    if place == 0 && adapter.unusable.is_none() { "wgpu:0".into() } else { "-".into() }
}

/// How a check came out.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Good,
    /// Something is not there that nobody needs today.
    Absent,
    /// Something will go wrong.
    Bad,
}

struct Check {
    what: &'static str,
    state: State,
    found: String,
    why: &'static str,
}

/// Looks at everything.
pub fn doctor(json: bool) -> Answer {
    let checks = checks();
    let bad = checks.iter().any(|c| c.state == State::Bad);
    let word = |state| match state {
        State::Good => "ok",
        State::Absent => "absent",
        State::Bad => "MISSING",
    };
    if json {
        let all =
            checks.iter().map(|c| json!({ "what": c.what, "state": word(c.state), "found": c.found, "why": c.why }));
        say_json(&json!({ "version": env!("CARGO_PKG_VERSION"), "ok": !bad, "checks": all.collect::<Vec<Value>>() }));
    } else {
        let rows: Vec<Vec<String>> = checks
            .into_iter()
            .map(|c| {
                let why = if c.state == State::Good { String::new() } else { c.why.to_string() };
                vec![c.what.to_string(), word(c.state).to_string(), c.found, why]
            })
            .collect();
        say(&columns(&["what", "state", "found", "why it matters"], &rows));
    }
    Ok(u8::from(bad))
}

fn checks() -> Vec<Check> {
    let mut all = vec![Check {
        what: "pelton",
        state: State::Good,
        found: format!("{} for {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS),
        why: "",
    }];
    let features = cpu_features();
    let wide = ["avx2", "neon"].iter().any(|f| features.contains(f));
    all.push(Check {
        what: "cpu",
        state: if wide { State::Good } else { State::Absent },
        found: format!("{}, {} threads: {}", processor(), cores(), features.join(" ")),
        why: "without AVX2 or NEON the kernels run their plain versions: same answers, fewer rows a second",
    });
    all.push(memory());
    all.push(writable("temporary folder", &std::env::temp_dir(), "the shell and tests keep files there for a moment"));
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    all.push(writable(
        "working directory",
        &here,
        "relative paths in SQL start here, those of sinks and histories too",
    ));
    all.extend([driver(), compiler(), kernels()]);
    let vulkan = find_library(&["libvulkan.so.1", "libvulkan.so"]);
    all.push(Check {
        what: "libvulkan",
        state: if vulkan.is_some() { State::Good } else { State::Absent },
        found: vulkan.map_or_else(|| "no such file".to_string(), |p| p.display().to_string()),
        why: "the way to GPUs other than NVIDIA's; without it stages run on the CPU",
    });
    all
}

/// NVIDIA's driver and its GPUs.
fn driver() -> Check {
    let gpus = cuda_devices();
    let absent = no_nvidia(&gpus);
    let found = gpus.iter().flatten().map(|gpu| format!("{} with CUDA {}", gpu.name, gpu.cuda()));
    Check {
        what: "libcuda",
        state: if absent.is_none() { State::Good } else { State::Absent },
        found: absent.unwrap_or_else(|| found.collect::<Vec<_>>().join(", ")),
        why: "the way to NVIDIA's GPUs; without it 'cuda' is refused and 'auto' is the CPU",
    }
}

/// NVIDIA's compiler of kernels.
fn compiler() -> Check {
    let compiler = CudaCompiler::find();
    Check {
        what: "libnvrtc",
        state: if compiler.is_ok() { State::Good } else { State::Absent },
        found: match compiler {
            Ok(CudaCompiler { version: (major, minor) }) => format!("NVRTC {major}.{minor}"),
            Err(why) => why,
        },
        why: "compiles stages for NVIDIA's GPUs; without it only those run there whose kernels are kept already",
    }
}

/// The kernels that were compiled before.
fn kernels() -> Check {
    let folder = cubin_folder();
    let files = folder.as_ref().and_then(|folder| std::fs::read_dir(folder).ok());
    let is_kernel = |path: PathBuf| path.extension().is_some_and(|end| end == "cubin");
    let kept = files.map_or(0, |files| files.flatten().filter(|file| is_kernel(file.path())).count());
    Check {
        what: "CUDA kernels",
        state: if kept > 0 { State::Good } else { State::Absent },
        found: folder.map_or_else(
            || "no place to keep them: neither XDG_CACHE_HOME nor HOME is set".to_string(),
            |folder| format!("{kept} kept in {}", folder.display()),
        ),
        why: "kept kernels need no NVRTC, also where another machine has compiled them",
    }
}

fn memory() -> Check {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mib = |key: &str| -> Option<u64> {
        let line = info.lines().find(|l| l.starts_with(key))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
    };
    let (total, free) = (mib("MemTotal:"), mib("MemAvailable:"));
    Check {
        what: "memory",
        state: if free.is_some_and(|f| f < 512) { State::Absent } else { State::Good },
        found: match (total, free) {
            (Some(total), Some(free)) => format!("{free} of {total} MiB available"),
            _ => "this system does not say".to_string(),
        },
        why: "windows with many keys need memory: below 512 MiB a pipeline may be killed",
    }
}

fn writable(what: &'static str, folder: &Path, why: &'static str) -> Check {
    let probe = folder.join(format!(".pelton-doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
    Check {
        what,
        state: if written.is_ok() { State::Good } else { State::Bad },
        found: match written {
            Ok(()) => format!("{} can be written to", folder.display()),
            Err(e) => format!("{}: {e}", folder.display()),
        },
        why,
    }
}

/// Where the loader would find one of these libraries.
fn find_library(names: &[&str]) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = vec![];
    folders.extend(std::env::var_os("LD_LIBRARY_PATH").iter().flat_map(std::env::split_paths));
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    for folder in ["/usr/lib", "/lib", "/usr/local/lib", "/usr/lib64", "/lib64"] {
        folders.push(folder.into());
        folders.push(Path::new(folder).join(&triple));
    }
    folders.push("/run/opengl-driver/lib".into());
    folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name))).find(|path| path.exists())
}
