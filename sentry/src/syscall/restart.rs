//! restart_syscall(2): what a signal interrupted goes on.

use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::{futex, poll, time};
use crate::Errno;
use crate::task::{CurrentTask, RestartBlock};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![restart_syscall];

fn restart_syscall(task: &mut CurrentTask) -> Result<usize, Errno> {
    match task.restart.take().ok_or(Errno::EINTR)? {
        RestartBlock::Nanosleep { clock, until, remaining } => {
            time::sleep_on(task, clock, until, UserPointer::new(remaining.0)).map(|()| 0)
        }
        RestartBlock::FutexWait { address, is_private, expected, bitset, until } => {
            let deadline = task.kernel().timekeeper().instant(until);
            futex::wait(task, &futex::Word::new(task, address, is_private), expected, bitset, deadline)
        }
        RestartBlock::Poll { address, count, until } => {
            let deadline = until.and_then(|until| task.kernel().timekeeper().instant(until));
            poll::poll_until(task, UserPointer::new(address.0), count, deadline)
        }
    }
}
