//! Who vmm is once it is confined: a user to whom nothing of the host belongs, without privileges.

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getpid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    set_capabilities, set_capabilities_secure_bits, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// The first of the numbers that are users of jails, one for each process: beyond those that are given to people, to
/// services and to containers (systemd's UIDS-GIDS).
const FIRST_JAIL_USER: u32 = 0x7000_0000;

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JailUser {
    /// The user.
    pub uid: u32,
    /// Its only group.
    pub gid: u32,
}

impl JailUser {
    /// The one that no other process is: two sandboxes have no say over each other, and share no limit.
    pub fn of_this_process() -> Self {
        let id = FIRST_JAIL_USER + getpid().as_raw_nonzero().get().unsigned_abs();
        Self { uid: id, gid: id }
    }
}

/// What the process has become.
#[derive(Debug)]
pub(super) struct Privileges {
    user: Option<JailUser>,
    kept: CapabilitySet,
    refused: Vec<String>,
}

impl Privileges {
    /// Becomes `user`, if one is given and the host lets it, and keeps of its capabilities those in `wanted` alone.
    ///
    /// Concerns the calling thread and those that it will start.
    ///
    /// # Errors
    /// The host does not take capabilities away.
    pub(super) fn reduce(user: Option<JailUser>, wanted: CapabilitySet) -> Result<Self, Errno> {
        let permitted = capabilities(None)?.permitted;
        let mut privileges = Self { user: None, kept: choose(permitted, wanted), refused: Vec::new() };
        set_keep_capabilities(true)?;
        privileges.try_to("locked security bits", lock_secure_bits());
        privileges.try_to("an empty bounding set", empty_bounding_set());
        if let Some(user) = user {
            privileges.become_user(user);
        }
        clear_ambient_capability_set()?;
        let kept = privileges.kept;
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets)?;
        set_no_new_privs(true)?;
        Ok(privileges)
    }

    /// Whether the process has become another user.
    pub(super) fn is_other_user(&self) -> bool {
        self.user.is_some()
    }

    fn become_user(&mut self, user: JailUser) {
        let result = set_ids(user);
        if result.is_ok() {
            self.user = Some(user);
        }
        self.try_to("a user of its own", result);
    }

    fn try_to(&mut self, name: &str, result: Result<(), Errno>) {
        if let Err(error) = result {
            self.refused.push(format!("{name} ({error})"));
        }
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user {
            Some(user) => write!(f, "user {}, group {}, ", user.uid, user.gid)?,
            None => write!(f, "the caller's user, ")?,
        }
        let mut names = self.kept.iter_names().map(|(name, _)| format!("CAP_{name}")).peekable();
        match names.peek() {
            None => write!(f, "no capability")?,
            Some(_) => write!(f, "{}", names.collect::<Vec<_>>().join(", "))?,
        }
        if self.refused.is_empty() {
            Ok(())
        } else {
            write!(f, "; refused by the host: {}", self.refused.join(", "))
        }
    }
}

/// Those of `wanted` that are permitted. Containers have CAP_DAC_OVERRIDE without CAP_DAC_READ_SEARCH, which it comprises.
fn choose(permitted: CapabilitySet, wanted: CapabilitySet) -> CapabilitySet {
    let reads = CapabilitySet::DAC_READ_SEARCH;
    let lacks_reading = wanted.contains(reads) && !permitted.contains(reads);
    permitted & if lacks_reading { wanted | CapabilitySet::DAC_OVERRIDE } else { wanted }
}

/// Has no change of users, and no user, give or take capabilities, for good (`man 7 capabilities`). It ends keeping them,
/// which does for hosts that refuse this.
fn lock_secure_bits() -> Result<(), Errno> {
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )
}

/// Leaves nothing that executing a file could bring.
fn empty_bounding_set() -> Result<(), Errno> {
    for capability in 0..u64::BITS {
        // SAFETY: the call takes numbers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) } != 0 {
            let error = std::io::Error::last_os_error();
            return match Errno::from_io_error(&error) {
                // This one and those after it are not known.
                Some(Errno::INVAL) if capability > 0 => Ok(()),
                error => Err(error.unwrap_or(Errno::PERM)),
            };
        }
    }
    Ok(())
}

fn set_ids(JailUser { uid, gid }: JailUser) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}
