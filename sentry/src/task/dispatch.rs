//! Who serves the system calls of tasks.

use super::CurrentTask;
use crate::Errno;

/// The call that RAX names: Linux reads 32 bits of it (`do_syscall_64`), and keeps all for who looks at the registers.
pub(super) fn call_number(rax: u64) -> u64 {
    u64::from(rax as u32)
}

/// Serves system calls: what the run loop is handed, for it knows no handler.
pub trait Dispatcher: Send + Sync {
    /// Serves system call `number` of `task`; returns the value for `rax`.
    ///
    /// # Errors
    /// The call's own; ENOSYS if there is no such call.
    fn dispatch(&self, task: &mut CurrentTask, number: u64, arguments: [u64; 6]) -> Result<usize, Errno>;

    /// Whether that call may be served on another thread than the task's, while its context runs (see `lent`).
    fn serves_lent(&self, _task: &CurrentTask, _number: u64, _arguments: [u64; 6]) -> bool {
        false
    }
}
