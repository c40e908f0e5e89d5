//! CUDA C++ to machine code of one architecture, by NVRTC, which comes with the CUDA toolkit or as a Python wheel, and is looked
//! for when the first text is to be compiled. Contraction of products and sums is off: each operation rounds by itself.

use std::ffi::CString;
use std::sync::OnceLock;

use cudarc::nvrtc::{result, sys};

/// NVRTC, if it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaCompiler {
    /// Its version: major, minor.
    pub version: (i32, i32),
}

/// Machine code, and what the compiler says of it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The code: a cubin.
    pub cubin: Vec<u8>,
    /// The compiler's log: registers, own memory and spills of each kernel where they were asked for.
    pub log: String,
}

/// Options of every text.
pub(crate) const OPTIONS: [&str; 4] =
    ["--fmad=false", "--std=c++17", "-default-device", "--extra-device-vectorization"];

impl CudaCompiler {
    /// The compiler, looked for once; or where it was looked for.
    pub fn find() -> Result<CudaCompiler, String> {
        static FOUND: OnceLock<Result<CudaCompiler, String>> = OnceLock::new();
        FOUND.get_or_init(CudaCompiler::look).clone()
    }

    fn look() -> Result<CudaCompiler, String> {
        // SAFETY: it opens a library of NVIDIA, whose initialisers do nothing of note.
        if !unsafe { sys::is_culib_present() } {
            return Err("NVRTC was not found: no libnvrtc.so, .so.13, .so.12 where libraries are looked for (LD_LIBRARY_PATH); it \
                        comes with the CUDA toolkit and as the Python package nvidia-cuda-nvrtc"
                .into());
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: two places for two numbers.
        let told = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
        match told.result() {
            Ok(()) => Ok(CudaCompiler { version: (major, minor) }),
            Err(error) => Err(format!("NVRTC does not tell its version: {error:?}")),
        }
    }

    /// Compiles for an architecture such as `sm_90`.
    pub fn compile(&self, text: &str, architecture: &str, verbose: bool) -> Result<Compiled, String> {
        let source = CString::new(text).map_err(|_| "the text has a zero byte")?;
        let program = result::create_program(&source, None).map_err(|error| format!("NVRTC: {error:?}"))?;
        let mut options: Vec<String> = OPTIONS.iter().map(ToString::to_string).collect();
        options.push(format!("--gpu-architecture={architecture}"));
        if verbose {
            options.push("--ptxas-options=--verbose".into());
        }
        // SAFETY: `program` was just created and is destroyed once, below.
        let compiled = unsafe { result::compile_program(program, &options) };
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).take_while(|byte| *byte != 0).collect();
        let log = String::from_utf8_lossy(&log).into_owned();
        let cubin = compiled.map_err(|error| format!("NVRTC refuses a kernel ({error:?}): {log}")).and_then(|()| {
            let mut size = 0;
            // SAFETY: as above; the second call writes as many bytes as the first has told.
            unsafe {
                sys::nvrtcGetCUBINSize(program, &mut size).result().map_err(|error| format!("NVRTC: {error:?}"))?;
                let mut cubin = vec![0u8; size];
                let bytes = cubin.as_mut_ptr().cast();
                sys::nvrtcGetCUBIN(program, bytes).result().map_err(|error| format!("NVRTC: {error:?}"))?;
                Ok(cubin)
            }
        });
        // SAFETY: as above.
        let _ = unsafe { result::destroy_program(program) };
        Ok(Compiled { cubin: cubin?, log })
    }
}
