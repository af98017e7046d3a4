//! `--strace`: each system call, decoded, on a line of its own.

use std::io::Write;

use parking_lot::Mutex;
use syscalls::Sysno;

use crate::Errno;
use crate::task::CurrentTask;

/// Where system calls are written to.
pub struct Tracer {
    output: Mutex<Box<dyn Write + Send>>,
}

impl Tracer {
    /// A tracer that writes to `output`.
    pub fn new(output: Box<dyn Write + Send>) -> Self {
        Self { output: Mutex::new(output) }
    }

    fn write_line(&self, line: &str) {
        // Nobody can be told that the trace has nowhere to go.
        let _ = self.output.lock().write_all(line.as_bytes());
    }
}

/// Serves a system call and writes it down.
pub(crate) fn dispatch_traced(
    task: &mut CurrentTask,
    number: u64,
    arguments: [u64; 6],
) -> Result<usize, Errno> {
    let started = std::time::Instant::now();
    let name = usize::try_from(number).ok().and_then(Sysno::new).map_or("?", |number| number.name());
    let id = task.task().root_number();
    let result = super::dispatch(task, number, arguments);
    let shown = match result {
        Ok(value) => format!("{value:#x}"),
        Err(error) => format!("-1 {error}"),
    };
    let [a, b, c, d, e, f] = arguments;
    let line = format!(
        "[{id}] {name}({a:#x}, {b:#x}, {c:#x}, {d:#x}, {e:#x}, {f:#x}) = {shown} <{:.6}>\n",
        started.elapsed().as_secs_f64()
    );
    if let Some(tracer) = task.kernel().tracer() {
        tracer.write_line(&line);
    }
    result
}
