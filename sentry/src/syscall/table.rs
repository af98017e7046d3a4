//! The system call table.

use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::task::{CurrentTask, Dispatcher};

/// One more than the largest number in the table.
const LEN: usize = 512;

/// The handlers of every subject.
const SUBJECTS: &[&[(Sysno, Handler)]] = &[
    super::acct::HANDLERS,
    super::aio::HANDLERS,
    super::attributes::HANDLERS,
    super::descriptor::HANDLERS,
    super::directory::HANDLERS,
    super::epoll::HANDLERS,
    super::eventfd::HANDLERS,
    super::fanotify::HANDLERS,
    super::file_attributes::HANDLERS,
    super::futex::HANDLERS,
    super::handle::HANDLERS,
    super::identity::HANDLERS,
    super::inotify::HANDLERS,
    super::io_uring::HANDLERS,
    super::ipc::MESSAGE_QUEUE_HANDLERS,
    super::ipc::SEMAPHORE_HANDLERS,
    super::ipc::SHARED_MEMORY_HANDLERS,
    super::kcmp::HANDLERS,
    super::keys::HANDLERS,
    super::landlock::HANDLERS,
    super::lock::HANDLERS,
    super::lsm::HANDLERS,
    super::machine::HANDLERS,
    super::memory::HANDLERS,
    super::mount::HANDLERS,
    super::mqueue::HANDLERS,
    super::namespace::HANDLERS,
    super::numa::HANDLERS,
    super::open::HANDLERS,
    super::path::HANDLERS,
    super::perf_event::HANDLERS,
    super::pidfd::HANDLERS,
    super::pipe::HANDLERS,
    super::poll::HANDLERS,
    super::process::HANDLERS,
    super::ptrace::HANDLERS,
    super::quota::HANDLERS,
    super::readwrite::HANDLERS,
    super::resource::HANDLERS,
    super::scheduling::HANDLERS,
    super::seccomp::HANDLERS,
    super::restart::HANDLERS,
    super::rseq::HANDLERS,
    super::signal::HANDLERS,
    super::signalfd::HANDLERS,
    super::socket::HANDLERS,
    super::allocate::HANDLERS,
    super::stat::HANDLERS,
    super::swap::HANDLERS,
    super::syslog::HANDLERS,
    super::system::HANDLERS,
    super::time::HANDLERS,
    super::timerfd::HANDLERS,
    super::transfer::HANDLERS,
    super::userfaultfd::HANDLERS,
    super::xattr::HANDLERS,
];

static TABLE: [Option<Handler>; LEN] = build();

const fn build() -> [Option<Handler>; LEN] {
    let mut table: [Option<Handler>; LEN] = [None; LEN];
    let mut subject = 0;
    while subject < SUBJECTS.len() {
        let handlers = SUBJECTS[subject];
        let mut index = 0;
        while index < handlers.len() {
            let (number, handler) = handlers[index];
            assert!(table[number as usize].is_none(), "a system call with two handlers");
            table[number as usize] = Some(handler);
            index += 1;
        }
        subject += 1;
    }
    table
}

/// Serves system calls by their handlers. One that is not there yet is ENOSYS, and is logged once by name.
pub struct Table;

impl Dispatcher for Table {
    fn dispatch(&self, task: &mut CurrentTask, number: u64, arguments: [u64; 6]) -> Result<usize, Errno> {
        let handler = usize::try_from(number).ok().and_then(|index| TABLE.get(index).copied().flatten());
        match handler {
            Some(handler) => handler(task, arguments),
            None => {
                task.kernel().note_missing_syscall(number);
                Err(Errno::ENOSYS)
            }
        }
    }

    fn serves_lent(&self, task: &CurrentTask, number: u64, arguments: [u64; 6]) -> bool {
        super::lent::is_served_lent(task, number, arguments)
    }
}

/// The numbers that have handlers.
#[cfg(test)]
pub(super) fn served() -> impl Iterator<Item = Sysno> {
    SUBJECTS.iter().flat_map(|handlers| handlers.iter()).map(|(number, _)| *number)
}
