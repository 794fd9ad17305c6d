//! The `supplant` command: runs the command line, prints an error chain once, sets the exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match supplant::cli::main() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            use std::io::Write;
            // Where standard error is gone there is nobody to tell.
            drop(writeln!(std::io::stderr(), "supplant: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
