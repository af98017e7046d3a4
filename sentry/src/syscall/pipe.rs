//! pipe(2) and pipe2(2).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::fs::pipe::Pipe;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![pipe, pipe2];

fn pipe(task: &mut CurrentTask, place: UserPointer<[Fd; 2]>) -> Result<(), Errno> {
    pipe2(task, place, 0)
}

fn pipe2(task: &mut CurrentTask, place: UserPointer<[Fd; 2]>, flags: u32) -> Result<(), Errno> {
    // `O_NOTIFICATION_PIPE`: nothing is told through pipes here.
    let is_for_notifications = flags & uapi::O_EXCL != 0;
    let flags = OpenFlags::from_bits(flags & !uapi::O_EXCL).ok_or(Errno::EINVAL)?;
    let accepted = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    if !accepted.contains(flags) {
        return Err(Errno::EINVAL);
    }
    if is_for_notifications {
        return Err(Errno::ENOPKG);
    }
    let credentials = task.credentials();
    let (uid, gid) = (credentials.fs_uid, credentials.fs_gid);
    let (reader, writer) = Pipe::pair(task.kernel().open_files(), flags, uid, gid)?;
    let is_close_on_exec = flags.contains(OpenFlags::CLOEXEC);
    let status = flags - OpenFlags::CLOEXEC;
    // Packets are the writer's business.
    let read_end = FileDescription::new(reader, None, status - OpenFlags::DIRECT);
    let write_end = FileDescription::new(writer, None, status | OpenFlags::WRONLY);
    install_pair(task, [read_end, write_end], is_close_on_exec, place)
}

/// Installs two files and writes their descriptors to user memory; installs none if that fails.
pub(super) fn install_pair(
    task: &mut CurrentTask,
    files: [std::sync::Arc<FileDescription>; 2],
    is_close_on_exec: bool,
    place: UserPointer<[Fd; 2]>,
) -> Result<(), Errno> {
    let [first, second] = files;
    let first = task.install_descriptor(first, is_close_on_exec)?;
    let installed = task.install_descriptor(second, is_close_on_exec);
    let result = installed.and_then(|second| {
        place.write(task, &[first, second]).inspect_err(|_| drop(task.descriptors().remove(second)))
    });
    result.inspect_err(|_| drop(task.descriptors().remove(first)))
}
