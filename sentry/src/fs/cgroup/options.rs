//! Mount options of cgroup2: they belong to the hierarchy, whichever mount they are given to.

use crate::Errno;

bitflags::bitflags! {
    /// What mounts of cgroup2 have set (`man 7 cgroups`). Those without an effect are only shown.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct RootFlags: u32 {
        /// Cgroup namespaces are boundaries of delegation.
        const NSDELEGATE = 1 << 0;
        const FAVORDYNMODS = 1 << 1;
        const MEMORY_LOCALEVENTS = 1 << 2;
        const MEMORY_RECURSIVEPROT = 1 << 3;
        const MEMORY_HUGETLB_ACCOUNTING = 1 << 4;
        /// pids.events tells of the group's own limit alone.
        const PIDS_LOCALEVENTS = 1 << 5;
    }
}

/// As they are called, in the order in which they are shown.
const NAMES: [(&str, RootFlags); 6] = [
    ("nsdelegate", RootFlags::NSDELEGATE),
    ("favordynmods", RootFlags::FAVORDYNMODS),
    ("memory_localevents", RootFlags::MEMORY_LOCALEVENTS),
    ("memory_recursiveprot", RootFlags::MEMORY_RECURSIVEPROT),
    ("memory_hugetlb_accounting", RootFlags::MEMORY_HUGETLB_ACCOUNTING),
    ("pids_localevents", RootFlags::PIDS_LOCALEVENTS),
];

impl RootFlags {
    /// Those that `options`, with commas between, set.
    ///
    /// # Errors
    /// EINVAL for an option that there is not.
    pub(super) fn parse(options: &str) -> Result<Self, Errno> {
        let mut flags = Self::empty();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            if option == "nofavordynmods" {
                flags.remove(Self::FAVORDYNMODS);
                continue;
            }
            let (_, flag) = NAMES.iter().find(|(name, _)| *name == option).ok_or(Errno::EINVAL)?;
            flags.insert(*flag);
        }
        Ok(flags)
    }

    /// As /proc/PID/mounts shows them, a comma before each.
    pub(super) fn shown(self) -> String {
        let set = NAMES.iter().filter(|(_, flag)| self.contains(*flag));
        set.map(|(name, _)| format!(",{name}")).collect()
    }
}
