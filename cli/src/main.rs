//! The `pelton` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pelton_cli::sys::keep_freed_memory();
    ExitCode::from(pelton_cli::main(std::env::args_os()))
}
