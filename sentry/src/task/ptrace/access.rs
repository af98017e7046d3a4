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
    let is_dumpable = target.thread_group().is_dumpable();
    if is_allowed(&caller.credentials(), &target.credentials(), is_dumpable) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn is_allowed(caller: &Credentials, target: &Credentials, is_dumpable: bool) -> bool {
    let is_same_user = [target.real_uid, target.effective_uid, target.saved_uid] == [caller.real_uid; 3]
        && [target.real_gid, target.effective_gid, target.saved_gid] == [caller.real_gid; 3];
    let is_contained = caller.permitted.contains(target.permitted);
    is_same_user && is_dumpable && is_contained || caller.has(Capabilities::SYS_PTRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_may_look_into_one_s_own_processes_and_with_a_capability_into_all() {
        let (user, other) = (Credentials::of_user(1000, 1000), Credentials::of_user(1001, 1001));
        assert!(is_allowed(&user, &user, true));
        assert!(!is_allowed(&user, &user, false));
        assert!(!is_allowed(&user, &other, true));
        assert!(is_allowed(&Credentials::root(), &other, false));
        let set_uid = Credentials { effective_uid: 0, saved_uid: 0, ..user.clone() };
        assert!(!is_allowed(&user, &set_uid, true));
        let capable = Credentials { permitted: Capabilities::KILL, ..user.clone() };
        assert!(!is_allowed(&user, &capable, true));
        assert!(is_allowed(&capable, &user, true));
    }
}
