//! Runs a Linux program inside a microVM that has no guest kernel.
//!
//! The command line: [`cli`] turns it into a [`vmm::Description`], and [`vmm::run`] does the rest.

mod cli;
#[cfg(feature = "deadlock-detection")]
mod deadlock;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use vmm::Failure;

#[global_allocator]
static HEAP: vmm::Heap = vmm::Heap;

fn main() -> ExitCode {
    close_inherited_descriptors();
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap prints help to standard output and mistakes to standard error; a pipe that is closed is no news.
            let is_told = error.print().map_or_else(|error| error.kind() == ErrorKind::BrokenPipe, |()| true);
            return ExitCode::from(if is_told && !error.use_stderr() { 0 } else { Failure::VMM });
        }
    };
    start_log(arguments.log);
    vmm::end_process_on_panic();
    let result = watch_for_deadlocks().map_err(Failure::from).and_then(|()| arguments.run());
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // Nothing can be done about a standard error that is closed or full.
            let _ = writeln!(std::io::stderr(), "vmm: {}", failure.text());
            ExitCode::from(failure.status)
        }
    }
}

/// Closes what the caller left open besides the standard streams: no business of vmm's, and somebody may wait for its end.
fn close_inherited_descriptors() {
    const FIRST: u32 = 3;
    // SAFETY: nothing in this process has opened a descriptor yet. Linux before 5.9, which has no such call, leaves them open.
    let _ = unsafe { libc::close_range(FIRST, u32::MAX, 0) };
}

fn start_log(level: log::LevelFilter) {
    env_logger::Builder::new()
        .filter_level(level)
        .format(|out, record| {
            writeln!(out, "vmm: {}: {}", record.level().as_str().to_lowercase(), record.args())
        })
        .init();
}

#[cfg(feature = "deadlock-detection")]
fn watch_for_deadlocks() -> anyhow::Result<()> {
    deadlock::watch()
}

#[cfg(not(feature = "deadlock-detection"))]
fn watch_for_deadlocks() -> anyhow::Result<()> {
    Ok(())
}
