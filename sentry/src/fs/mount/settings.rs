//! What can be changed of a mount (`man 2 mount` on MS_REMOUNT | MS_BIND, `man 2 mount_setattr`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::propagation::Propagation;
use super::topology::Change;
use super::{Mount, MountFlags};
use crate::Errno;

/// A change of the settings of mounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Flags that are cleared.
    pub clear: MountFlags,
    /// Flags that are set after that.
    pub set: MountFlags,
    /// What they give and receive from now on.
    pub propagation: Option<Propagation>,
}

impl Settings {
    /// That the flags are these.
    pub fn flags(flags: MountFlags) -> Self {
        Self { clear: MountFlags::all(), set: flags, propagation: None }
    }

    /// Changes all of `mounts`, or none.
    pub(super) fn apply(self, change: &mut Change<'_>, mounts: &[Arc<Mount>]) -> Result<(), Errno> {
        mounts.iter().try_for_each(|mount| self.check(mount))?;
        self.make_read_only(mounts)?;
        for mount in mounts {
            mount.flags.store(self.flags_of(mount).bits(), Ordering::SeqCst);
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

    /// Makes those of `mounts` read-only that are to be, or none.
    fn make_read_only(self, mounts: &[Arc<Mount>]) -> Result<(), Errno> {
        const READ_ONLY: MountFlags = MountFlags::RDONLY;
        let becomes_so = |mount: &&Arc<Mount>| {
            self.flags_of(mount).contains(READ_ONLY) && !mount.flags().contains(READ_ONLY)
        };
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

    fn flags_of(self, mount: &Mount) -> MountFlags {
        (mount.flags() - self.clear) | self.set
    }

    /// Fails if it would undo what a more privileged namespace has set.
    fn check(self, mount: &Mount) -> Result<(), Errno> {
        let (old, new) = (mount.flags(), self.flags_of(mount));
        let locked = mount.links.lock().locked_flags;
        let is_undone = !new.contains(locked & MountFlags::LOCKABLE);
        let has_other_times = locked.contains(MountFlags::ACCESS_TIMES)
            && (old & MountFlags::ACCESS_TIMES) != (new & MountFlags::ACCESS_TIMES);
        if is_undone || has_other_times { Err(Errno::EPERM) } else { Ok(()) }
    }
}
