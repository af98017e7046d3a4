//! unshare(2) and setns(2).

use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::cred::NamespaceKind;
use crate::fs::nsfs::NamespaceFile;
use crate::task::{CloneFlags, CurrentTask, ProcessFile};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[(Sysno::unshare, unshare), (Sysno::setns, setns)];

fn unshare(task: &mut CurrentTask, [flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    task.unshare(CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?)?;
    Ok(0)
}

fn setns(task: &mut CurrentTask, [descriptor, kinds, ..]: [u64; 6]) -> Result<usize, Errno> {
    let file = task.usable_file(descriptor as i32)?;
    let kinds = kinds as u32;
    if let Some(file) = file.downcast::<NamespaceFile>() {
        let namespace = file.namespace();
        if kinds != 0 && kinds != namespace.identity().kind().flag() {
            return Err(Errno::EINVAL);
        }
        task.enter_namespace(namespace)?;
        return Ok(0);
    }
    let process = file.downcast::<ProcessFile>().ok_or(Errno::EINVAL)?;
    let known = NamespaceKind::ALL.iter().fold(0, |known, kind| known | kind.flag());
    if kinds == 0 || kinds & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = CloneFlags::from_bits(kinds.into()).ok_or(Errno::EINVAL)?;
    task.enter_namespaces_of(process.task(), flags)?;
    Ok(0)
}
