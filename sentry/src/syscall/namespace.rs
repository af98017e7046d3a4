//! unshare(2) and setns(2).

use syscalls::Sysno;

use super::Handler;
use super::arguments::handlers;
use crate::Errno;
use crate::cred::NamespaceKind;
use crate::fs::Fd;
use crate::fs::nsfs::NamespaceFile;
use crate::task::{CloneFlags, CurrentTask, ProcessFile};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![unshare, setns];

fn unshare(task: &mut CurrentTask, flags: CloneFlags) -> Result<(), Errno> {
    task.unshare(flags)
}

fn setns(task: &mut CurrentTask, descriptor: Fd, kinds: u32) -> Result<(), Errno> {
    let file = task.usable_file(descriptor)?;
    if let Some(file) = file.downcast::<NamespaceFile>() {
        let namespace = file.namespace();
        if kinds != 0 && kinds != namespace.identity().kind().flag() {
            return Err(Errno::EINVAL);
        }
        return task.enter_namespace(namespace);
    }
    let process = file.downcast::<ProcessFile>().ok_or(Errno::EINVAL)?;
    let known = NamespaceKind::ALL.iter().fold(0, |known, kind| known | kind.flag());
    if kinds == 0 || kinds & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = CloneFlags::from_bits(kinds.into()).ok_or(Errno::EINVAL)?;
    task.enter_namespaces_of(process.task(), flags)
}
