//! `--strace`: each system call, decoded, on a line of its own.
//!
//! A line is written once the call has returned, so that lines of several threads never mix; what the call reads is
//! decoded before it, what the call writes after it. A call that never returns is written before it. The tables say
//! what each call's arguments are; a call that has no entry is shown in hexadecimal.
//!
//! Decoding reads user memory like any other access: bounded, and what cannot be read is shown as its address.

mod call;
mod decode;
mod line;
mod structures;
mod symbols;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod variants;

use std::io::Write;
use std::time::Instant;

use parking_lot::Mutex;
use syscalls::Sysno;

use self::call::{Argument, Call, Returns};
use self::line::Line;
use super::Table;
use crate::Errno;
use crate::task::{CurrentTask, Dispatcher};
use crate::width::u64_from;

/// Where system calls are written to.
pub struct Tracer {
    output: Mutex<Box<dyn Write + Send>>,
}

impl Tracer {
    /// A tracer that writes to `output`.
    pub fn new(output: Box<dyn Write + Send>) -> Self {
        Self { output: Mutex::new(output) }
    }

    fn write_line(&self, line: Line) {
        let mut text = line.into_text();
        text.push('\n');
        // Nobody can be told that the trace has nowhere to go.
        let _ = self.output.lock().write_all(text.as_bytes());
    }
}

/// Serves system calls and writes them down.
impl Dispatcher for Tracer {
    fn dispatch(&self, task: &mut CurrentTask, number: u64, arguments: [u64; 6]) -> Result<usize, Errno> {
        let entry = Entry::before(task, number, arguments);
        if entry.returns == Returns::Never {
            let mut line = entry.line(task, None);
            line.text(" = ?");
            self.write_line(line);
            return Table.dispatch(task, number, arguments);
        }
        let started = Instant::now();
        let result = Table.dispatch(task, number, arguments);
        let elapsed = started.elapsed();
        let mut line = entry.line(task, Some(result));
        line.text(" = ");
        show_result(&mut line, entry.returns, result);
        line.put(format_args!(" <{:.6}>", elapsed.as_secs_f64()));
        self.write_line(line);
        result
    }
}

/// A call as it was made.
struct Entry {
    task_number: i32,
    name: String,
    arguments: [u64; 6],
    shape: &'static [Argument],
    returns: Returns,
    /// The arguments that are decoded before the call; `None` for those that are decoded after it.
    before: Vec<Option<Line>>,
}

impl Entry {
    fn before(task: &CurrentTask, number: u64, arguments: [u64; 6]) -> Self {
        let sysno = usize::try_from(number).ok().and_then(Sysno::new);
        let name = sysno.map_or_else(|| format!("syscall_{number:#x}"), |sysno| sysno.name().to_owned());
        let (shape, returns) = table::find(number, &arguments);
        let call = Call { memory: &**task.memory(), arguments, result: None };
        let before = (0..shape.len()).map(|index| shape[index].before(&call, index)).collect();
        Self { task_number: task.task().root_tid(), name, arguments, shape, returns, before }
    }

    /// The line up to the closing parenthesis.
    fn line(&self, task: &CurrentTask, result: Option<Result<usize, Errno>>) -> Line {
        let call = Call { memory: &**task.memory(), arguments: self.arguments, result };
        let mut line = Line::default();
        line.put(format_args!("[{}] {}(", self.task_number, self.name));
        show_arguments(&mut line, self.shape, &self.before, &call);
        line.text(")");
        line
    }
}

fn show_arguments(line: &mut Line, shape: &[Argument], before: &[Option<Line>], call: &Call<'_>) {
    for (index, (argument, shown)) in shape.iter().zip(before).enumerate() {
        line.separate(index);
        match shown {
            Some(shown) => line.append(shown),
            None => argument.after(line, call, index),
        }
    }
}

fn show_result(line: &mut Line, returns: Returns, result: Result<usize, Errno>) {
    match result {
        Err(error) if error.is_restart() => {
            line.put(format_args!("? {} ({})", error.name(), restart_reason(error)));
        }
        Err(error) => line.put(format_args!("-1 {} ({})", error.name(), description(error))),
        Ok(value) => match returns {
            Returns::Address => value::pointer(line, u64_from(value)),
            Returns::Mode => value::mode(line, u64_from(value)),
            Returns::FileFlags => {
                line.put(format_args!("{value:#x} (flags "));
                value::open_flags(line, u64_from(value));
                line.text(")");
            }
            Returns::Ready if value == 0 => line.text("0 (Timeout)"),
            Returns::Number | Returns::Ready | Returns::Never => line.put(format_args!("{}", value as i64)),
        },
    }
}

fn restart_reason(error: Errno) -> &'static str {
    match error {
        Errno::ERESTARTSYS => "To be restarted if SA_RESTART is set",
        Errno::ERESTARTNOINTR => "To be restarted",
        Errno::ERESTARTNOHAND => "To be restarted if no handler",
        _ => "Interrupted by signal",
    }
}

/// What the C library calls the error.
fn description(error: Errno) -> String {
    let mut text = std::io::Error::from_raw_os_error(i32::from(error.raw())).to_string();
    if let Some(end) = text.rfind(" (os error") {
        text.truncate(end);
    }
    text
}
