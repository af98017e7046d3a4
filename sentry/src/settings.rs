//! The numbers of /proc/sys that are the whole kernel's (`man 5 proc_sys`): those that the kernel goes by, each with its range,
//! and the texts of those that are only kept, since programs set them and read them back.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::Errno;

/// The largest number of those that the kernel keeps as an `int`.
const INT_MAX: i64 = i32::MAX as i64;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $default:expr, $range:expr;)*) => {
        /// A number that the kernel goes by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum KernelNumber {
            $($(#[$doc])* $name),*
        }

        impl KernelNumber {
            const COUNT: usize = [$(Self::$name),*].len();
            const DEFAULTS: [i64; Self::COUNT] = [$($default),*];

            /// What it may be.
            pub fn range(self) -> RangeInclusive<i64> {
                match self {
                    $(Self::$name => $range),*
                }
            }
        }
    };
}

numbers! {
    /// fs.aio-max-nr: how many events the contexts of asynchronous input and output may hold.
    AioMaxEvents = 65536, 0..=i64::MAX;
    /// fs.dir-notify-enable: whether F_NOTIFY is served.
    DirNotifyEnable = 1, 0..=1;
    /// fs.epoll.max_user_watches: how many files an epoll may watch.
    EpollMaxWatches = 262_144, 0..=i64::MAX;
    /// fs.leases-enable: whether F_SETLEASE is served.
    LeasesEnable = 1, 0..=1;
    /// fs.mount-max: how many mounts a namespace may have.
    MountMax = 10_000, 1..=INT_MAX;
    /// fs.nr_open: what RLIMIT_NOFILE can be raised to.
    MaxDescriptors = 1 << 20, 64..=INT_MAX & !63;
    /// fs.pipe-max-size: how many bytes of room an unprivileged user gives a pipe.
    PipeMaxBytes = 1 << 20, 4096..=1 << 31;
    /// fs.pipe-user-pages-hard: how many pages of unprivileged users' pipes there may be; 0 for any number.
    PipePagesHard = 0, 0..=i64::MAX;
    /// fs.pipe-user-pages-soft: beyond which pages unprivileged users' pipes are small and do not grow; 0 for never.
    PipePagesSoft = 16384, 0..=i64::MAX;
    /// kernel.dmesg_restrict: whether the log is for who has CAP_SYSLOG alone.
    DmesgRestrict = 1, 0..=1;
    /// kernel.io_uring_disabled: 1 leaves it to the privileged and a group, 2 to nobody.
    IoUringDisabled = 0, 0..=2;
    /// kernel.io_uring_group: the group that may use it though it is disabled; -1 for none.
    IoUringGroup = -1, -1..=INT_MAX;
    /// kernel.kptr_restrict: whether addresses of the kernel, of which none is ever shown, would be.
    KptrRestrict = 1, 0..=2;
    /// kernel.perf_event_paranoid: what the unprivileged may not count: above 0 processors, above 1 the kernel.
    PerfEventParanoid = 2, -INT_MAX..=INT_MAX;
    /// kernel.pid_max: one past the largest number of a task.
    PidMax = 65536, 301..=1 << 22;
    /// kernel.pty.max: how many pseudoterminals there may be.
    PtyMax = 4096, 0..=INT_MAX;
    /// kernel.sched_rr_timeslice_ms: the turn of a task of SCHED_RR, in milliseconds.
    RoundRobinMs = 100, -INT_MAX..=INT_MAX;
    /// The level of the console before syslog(2) turned it off; -1 if it has not.
    SavedConsoleLevel = -1, -1..=INT_MAX;
    /// kernel.threads-max: how many tasks there may be.
    ThreadsMax = 65536, 1..=INT_MAX;
    /// vm.max_map_count: how many mappings an address space may have.
    MaxMapCount = 65530, 0..=INT_MAX;
    /// vm.overcommit_memory: promises of memory are guessed at (0), always made (1), or never made beyond a limit (2).
    OvercommitMemory = 0, 0..=2;
    /// vm.overcommit_ratio: that limit as hundredths of all memory.
    OvercommitRatio = 50, -INT_MAX..=INT_MAX;
    /// vm.overcommit_kbytes: that limit, unless it is 0.
    OvercommitKbytes = 0, 0..=i64::MAX;
    /// vm.memfd_noexec: whether files of memfd_create(2) are executable unless asked for (0), only if asked for (1), or never (2).
    MemfdNoexec = 0, 0..=2;
}

/// The settings of a kernel.
#[derive(Debug)]
pub struct KernelSettings {
    numbers: [AtomicI64; KernelNumber::COUNT],
    kept: Mutex<BTreeMap<&'static str, Vec<u8>>>,
    attributes: Mutex<BTreeMap<u64, [u32; 3]>>,
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self {
            numbers: KernelNumber::DEFAULTS.map(AtomicI64::new),
            kept: Mutex::default(),
            attributes: Mutex::default(),
        }
    }
}

impl KernelSettings {
    /// What `number` is.
    pub fn get(&self, number: KernelNumber) -> i64 {
        self.numbers.get(number as usize).map_or(0, |value| value.load(Ordering::Relaxed))
    }

    /// What `number` is, as a bound on how many there may be.
    pub fn bound(&self, number: KernelNumber) -> usize {
        usize::try_from(self.get(number)).unwrap_or(0)
    }

    /// Whether `number` is another than 0.
    pub fn is_on(&self, number: KernelNumber) -> bool {
        self.get(number) != 0
    }

    /// Sets `number`.
    ///
    /// # Errors
    /// EINVAL: it cannot be this.
    pub fn set(&self, number: KernelNumber, value: i64) -> Result<(), Errno> {
        if !number.range().contains(&value) {
            return Err(Errno::EINVAL);
        }
        if let Some(kept) = self.numbers.get(number as usize) {
            kept.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The text that was written to the setting called `key`; `None` if none was.
    pub fn kept(&self, key: &'static str) -> Option<Vec<u8>> {
        self.kept.lock().get(key).cloned()
    }

    /// Keeps a text: there is one for each `key`, which are known beforehand.
    pub fn keep(&self, key: &'static str, text: Vec<u8>) {
        self.kept.lock().insert(key, text);
    }

    /// Mode, owner and group of the file of procfs with this number, if they are not what they were at first.
    pub fn attributes(&self, ino: u64) -> Option<[u32; 3]> {
        self.attributes.lock().get(&ino).copied()
    }

    /// Keeps them, for all instances of procfs: the system's files are always the same ones, so that there are not many.
    pub fn set_attributes(&self, ino: u64, attributes: [u32; 3]) {
        self.attributes.lock().insert(ino, attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_one_that_can_be_set() {
        let settings = KernelSettings::default();
        for number in [KernelNumber::AioMaxEvents, KernelNumber::PidMax, KernelNumber::MemfdNoexec] {
            assert_eq!(settings.set(number, settings.get(number)), Ok(()), "{number:?}");
        }
        assert_eq!(settings.set(KernelNumber::MemfdNoexec, 3), Err(Errno::EINVAL));
        assert_eq!(settings.set(KernelNumber::PidMax, 300), Err(Errno::EINVAL));
        assert_eq!(settings.get(KernelNumber::PidMax), 65536);
    }

    #[test]
    fn texts_are_kept_by_their_keys() {
        let settings = KernelSettings::default();
        assert_eq!(settings.kept("vm.swappiness"), None);
        settings.keep("vm.swappiness", b"10\n".to_vec());
        assert_eq!(settings.kept("vm.swappiness").as_deref(), Some(&b"10\n"[..]));
    }
}
