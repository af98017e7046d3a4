//! /proc/PID/syscall: the system call in which a thread waits (`man 5 proc_pid_syscall`).

use crate::Errno;
use crate::fs::Viewer;
use crate::fs::proc::About;

pub(super) fn syscall(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    // Linux asks as for tracing, and says so.
    let process = about.inspect(viewer).map_err(|errno| match errno {
        Errno::EACCES => Errno::EPERM,
        other => other,
    })?;
    let Some(place) = process.waits_in() else { return Ok(b"running\n".into()) };
    let hex = |words: &[u64]| words.iter().map(|word| format!(" {word:#x}")).collect::<String>();
    let places = hex(&[place.stack_pointer, place.instruction_pointer]);
    Ok(match place.call {
        Some((number, arguments)) => format!("{number}{}{places}\n", hex(&arguments)),
        None => format!("-1{places}\n"),
    }
    .into_bytes())
}
