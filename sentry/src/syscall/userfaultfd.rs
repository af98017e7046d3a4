//! userfaultfd(2).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::handlers;
use super::scope::check_flags;
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::userfaultfd::{UserfaultDevice, UserfaultFile};
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![userfaultfd];

/// `UFFD_USER_MODE_ONLY`: touches by system calls are not told of.
const USER_MODE_ONLY: u32 = 1;

/// Who may not trace anybody may only have touches by user code told (`vm.unprivileged_userfaultfd` is 0).
fn userfaultfd(task: &mut CurrentTask, flags: u32) -> Result<Fd, Errno> {
    let is_user_only = flags & USER_MODE_ONLY != 0;
    if !is_user_only && !task.credentials().has(Capabilities::SYS_PTRACE) {
        return Err(Errno::EPERM);
    }
    create(task, flags)
}

/// What /dev/userfaultfd is asked for: whoever has opened it need not be privileged.
pub(super) fn ioctl(task: &mut CurrentTask, request: u32, argument: u64) -> Result<usize, Errno> {
    if request != UserfaultDevice::NEW {
        return Err(Errno::EINVAL);
    }
    // The flags are a C int.
    create(task, argument as u32).map(|descriptor| descriptor.0 as usize)
}

fn create(task: &mut CurrentTask, flags: u32) -> Result<Fd, Errno> {
    let is_user_only = flags & USER_MODE_ONLY != 0;
    check_flags(flags, uapi::O_CLOEXEC | uapi::O_NONBLOCK | USER_MODE_ONLY)?;
    let mut status = OpenFlags::empty();
    status.set(OpenFlags::NONBLOCK, flags & uapi::O_NONBLOCK != 0);
    let file = UserfaultFile::new(task.memory(), is_user_only, status, task.kernel().open_files());
    task.install_descriptor(FileDescription::new(file, None, status), flags & uapi::O_CLOEXEC != 0)
}
