//! What can be changed of a mount (`man 2 mount` on MS_REMOUNT | MS_BIND, `man 2 mount_setattr`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::propagation::Propagation;
use super::topology::Change;
use super::{IdMapping, Mount, MountFlags};
use crate::Errno;

/// A change of the settings of mounts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Flags that are cleared.
    pub clear: MountFlags,
    /// Flags that are set after that.
    pub set: MountFlags,
    /// What they give and receive from now on.
    pub propagation: Option<Propagation>,
    /// How they show owners from now on.
    pub id_mapping: Option<IdMapping>,
}

impl Settings {
    /// That the flags are these.
    pub fn flags(flags: MountFlags) -> Self {
        Self { clear: MountFlags::all(), set: flags, ..Self::default() }
    }

    /// Changes all of `mounts`, or none.
    pub(super) fn apply(&self, change: &mut Change<'_>, mounts: &[Arc<Mount>]) -> Result<(), Errno> {
        mounts.iter().try_for_each(|mount| self.check(mount))?;
        let new_flags: Vec<_> = mounts.iter().map(|mount| self.flags_of(mount)).collect();
        self.stop_writers(mounts)?;
        for (mount, flags) in mounts.iter().zip(new_flags) {
            if let Some(mapping) = &self.id_mapping {
                mapping.apply(mount);
            }
            mount.flags.store(flags.bits(), Ordering::SeqCst);
            if let Some(propagation) = self.propagation {
                change.set_propagation(mount, propagation);
            }
            // What a mount passes on is no news to who polls /proc/PID/mounts.
            let is_shown = !(self.clear | self.set).is_empty();
            if let Some(core) = mount.namespace().filter(|_| is_shown) {
                change.touch(&core);
            }
        }
        Ok(())
    }

    /// Makes those of `mounts` read-only that are to be, or none; nobody writes through one that is to show other owners.
    fn stop_writers(&self, mounts: &[Arc<Mount>]) -> Result<(), Errno> {
        const READ_ONLY: MountFlags = MountFlags::RDONLY;
        let is_to_be =
            |mount: &&Arc<Mount>| self.id_mapping.is_some() || self.flags_of(mount).contains(READ_ONLY);
        let becomes_so = |mount: &&Arc<Mount>| is_to_be(mount) && !mount.flags().contains(READ_ONLY);
        let changing: Vec<_> = mounts.iter().filter(becomes_so).collect();
        // First the mark, then the count: a writer does it the other way round.
        for mount in &changing {
            mount.flags.fetch_or(READ_ONLY.bits(), Ordering::SeqCst);
        }
        if changing.iter().all(|mount| mount.writers.load(Ordering::SeqCst) == 0) {
            return Ok(());
        }
        for mount in &changing {
            mount.flags.fetch_and(!READ_ONLY.bits(), Ordering::SeqCst);
        }
        Err(Errno::EBUSY)
    }

    fn flags_of(&self, mount: &Mount) -> MountFlags {
        (mount.flags() - self.clear) | self.set
    }

    /// Fails if it would undo what a more privileged namespace has set, or show owners as it must not.
    fn check(&self, mount: &Mount) -> Result<(), Errno> {
        let (old, new) = (mount.flags(), self.flags_of(mount));
        let locked = mount.links.lock().locked_flags;
        let is_undone = !new.contains(locked & MountFlags::LOCKABLE);
        let has_other_times = locked.contains(MountFlags::ACCESS_TIMES)
            && (old & MountFlags::ACCESS_TIMES) != (new & MountFlags::ACCESS_TIMES);
        if is_undone || has_other_times {
            return Err(Errno::EPERM);
        }
        self.id_mapping.as_ref().map_or(Ok(()), |mapping| mapping.check(mount))
    }
}
