//! Who may look into whom (`man 2 ptrace`, "Ptrace access mode checking").

use std::sync::Arc;

use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::task::Task;

/// Whether `caller` may attach to `target`, or read and write its memory: PTRACE_MODE_ATTACH_REALCREDS.
///
/// # Errors
/// EPERM.
pub(crate) fn check_access(caller: &Task, target: &Task) -> Result<(), Errno> {
    if Arc::ptr_eq(caller.thread_group(), target.thread_group()) {
        return Ok(());
    }
    let group = target.thread_group();
    let (caller, target) = (caller.credentials(), target.credentials());
    let may_see = group.is_dumpable() || caller.has_in(&group.executed_in(), Capabilities::SYS_PTRACE);
    let is_within = caller.landlock.as_ref().is_none_or(|domain| domain.is_around(target.landlock.as_ref()));
    if may_see && is_allowed(&caller, &target) && is_within { Ok(()) } else { Err(Errno::EPERM) }
}

fn is_allowed(caller: &Credentials, target: &Credentials) -> bool {
    let is_same_user = [target.real_uid, target.effective_uid, target.saved_uid] == [caller.real_uid; 3]
        && [target.real_gid, target.effective_gid, target.saved_gid] == [caller.real_gid; 3];
    let is_contained =
        caller.user_namespace == target.user_namespace && caller.permitted.contains(target.permitted);
    is_same_user && is_contained || caller.has_in(&target.user_namespace, Capabilities::SYS_PTRACE)
}

#[cfg(test)]
mod tests;
