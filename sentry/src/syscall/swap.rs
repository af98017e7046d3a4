//! swapon(2) and swapoff(2). Memory is never swapped inside: there is nothing that could be turned on.

use linux_raw_sys::general::AT_FDCWD;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, handlers};
use super::scope::Scope;
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::Fd;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![swapon, swapoff];

/// `SWAP_FLAGS_VALID`: a priority, and how pages are discarded.
const KNOWN_FLAGS: u32 = 0x7ffff;

/// Fails as for a file that holds no swap area, if there is such a file.
fn refuse(task: &CurrentTask, path: UserPath) -> Result<(), Errno> {
    if !task.credentials().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let found = Scope::new(task).find_at(task, Fd(AT_FDCWD), path, 0)?;
    Err(if found.is_directory() { Errno::EISDIR } else { Errno::EINVAL })
}

fn swapon(task: &mut CurrentTask, path: UserPath, flags: u32) -> Result<(), Errno> {
    if flags & !KNOWN_FLAGS != 0 { Err(Errno::EINVAL) } else { refuse(task, path) }
}

fn swapoff(task: &mut CurrentTask, path: UserPath) -> Result<(), Errno> {
    refuse(task, path)
}
