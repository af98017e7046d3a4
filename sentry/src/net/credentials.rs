//! Who is at the other end.

use crate::abi::Ucred;
use crate::cred::{Groups, KernelGid, KernelUid, UserNamespace};
use crate::fs::Caller;
use crate::process_identity::ProcessIdentity;

/// Who sent something, or made the other end of a connection (`struct ucred`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PeerCredentials {
    /// `pid` of struct ucred, whatever namespace it is seen from.
    pub process: ProcessIdentity,
    /// Its user.
    pub uid: KernelUid,
    /// Its group.
    pub gid: KernelGid,
    /// Its other groups, where a whole peer is told of (SO_PEERGROUPS).
    pub groups: Groups,
}

impl PeerCredentials {
    /// Those of nobody that can be told of.
    pub fn unknown() -> Self {
        Self { uid: KernelUid::INVALID, gid: KernelGid::INVALID, ..Self::default() }
    }

    /// Those that a message of `caller` tells of (SCM_CREDENTIALS).
    pub fn of_sender(caller: &dyn Caller) -> Self {
        let credentials = caller.credentials();
        let (uid, gid) = (credentials.real_uid, credentials.real_gid);
        Self { process: caller.process_identity(), uid, gid, groups: Groups::default() }
    }

    /// Those that the other end of a connection of `caller` sees (SO_PEERCRED).
    pub fn of_peer(caller: &dyn Caller) -> Self {
        let credentials = caller.credentials();
        Self {
            process: caller.process_identity(),
            uid: credentials.effective_uid,
            gid: credentials.effective_gid,
            groups: credentials.groups.clone(),
        }
    }

    /// What a task in these namespaces sees of them: of a PID namespace, its serial number.
    pub(crate) fn seen_from(&self, pid_namespace: u64, user_namespace: &UserNamespace) -> Ucred {
        Ucred {
            pid: self.process.number_in(pid_namespace),
            uid: user_namespace.from_kernel_uid(self.uid).0,
            gid: user_namespace.from_kernel_gid(self.gid).0,
        }
    }
}
