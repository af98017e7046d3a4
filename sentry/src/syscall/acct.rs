//! acct(2): where records of ended processes go.

use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, handlers};
use super::scope::Scope;
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::operations::{self, OpenRequest};
use crate::fs::{CreationMode, Fd, FileKind, OpenFlags};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![acct];

fn acct(task: &mut CurrentTask, path: UserPath) -> Result<(), Errno> {
    if !task.credentials().has(Capabilities::SYS_PACCT) {
        return Err(Errno::EPERM);
    }
    let namespace = task.thread_group().pid_namespace().clone();
    if path.is_null() {
        drop(namespace.set_accounting(None));
        return Ok(());
    }
    let flags = OpenFlags::WRONLY | OpenFlags::APPEND | OpenFlags::LARGEFILE;
    let path = path.read(task)?;
    let scope = Scope::new(task);
    let start = scope.start(task, Fd::WORKING_DIRECTORY, &path)?;
    let request = OpenRequest { flags, mode: CreationMode { permissions: 0, umask: 0 } };
    let file = operations::open(&scope.resolver(), &start, &path, request)?;
    if file.metadata()?.kind() != FileKind::Regular {
        return Err(Errno::EACCES);
    }
    drop(namespace.set_accounting(Some(file)));
    Ok(())
}
