//! pipe(2) and pipe2(2).

use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::fs::pipe::Pipe;
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    &[(Sysno::pipe, |task, [address, ..]| pipe(task, address, 0)), (Sysno::pipe2, pipe2)];

fn pipe2(task: &mut CurrentTask, [address, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    pipe(task, address, flags as u32)
}

fn pipe(task: &mut CurrentTask, address: u64, flags: u32) -> Result<usize, Errno> {
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let accepted = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    if !accepted.contains(flags) {
        return Err(Errno::EINVAL);
    }
    Pipe::check_total()?;
    let credentials = task.credentials();
    let (reader, writer) = Pipe::pair(flags, credentials.fs_uid, credentials.fs_gid);
    let is_close_on_exec = flags.contains(OpenFlags::CLOEXEC);
    let status = flags - OpenFlags::CLOEXEC;
    let read_end = FileDescription::new(reader, None, status);
    let write_end = FileDescription::new(writer, None, status | OpenFlags::WRONLY);
    install_pair(task, [read_end, write_end], is_close_on_exec, address)
}

/// Installs two files and writes their descriptors to user memory; installs none if that fails.
pub(super) fn install_pair(
    task: &mut CurrentTask,
    files: [std::sync::Arc<FileDescription>; 2],
    is_close_on_exec: bool,
    address: u64,
) -> Result<usize, Errno> {
    let [first, second] = files;
    let first = task.install_descriptor(first, is_close_on_exec)?;
    let installed = task.install_descriptor(second, is_close_on_exec);
    let result = installed.and_then(|second| {
        let written = task.memory().write_object(VirtualAddress(address), &[first, second]);
        written.inspect_err(|_| drop(task.descriptors().remove(second)))
    });
    match result {
        Ok(()) => Ok(0),
        Err(error) => {
            drop(task.descriptors().remove(first));
            Err(error)
        }
    }
}
