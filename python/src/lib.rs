//! `pelton._pelton`: what the Python package stands on. Converts, gives the interpreter's lock away, calls, maps errors.
//!
//! Comes in: SQL, Arrow columns by their C interface, functions. Goes out: `pyarrow` batches and tables, exceptions of
//! `pelton.errors`. Stays outside: everything that decides an answer (`engine`, `io`), and how Python likes to be spoken to (the
//! package in `pelton/`).

mod attach;
mod columns;
mod errors;
mod function;
mod run;
mod session;
mod stream;
mod tables;

use std::ffi::OsString;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the `pelton` command with these arguments, its own name first. Answers the exit code.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| pelton_cli::main(arguments))
}

#[pymodule]
fn _pelton(module: &Bound<'_, PyModule>) -> PyResult<()> {
    pelton_cli::sys::keep_freed_memory();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<session::Core>()?;
    module.add_class::<session::Planned>()?;
    module.add_class::<run::Run>()?;
    module.add_class::<stream::Stream>()?;
    module.add_function(wrap_pyfunction!(main, module)?)
}
