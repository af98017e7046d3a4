//! What procfs asks of the rooms above it: processes and the machine, as one PID namespace sees them.

use std::sync::Arc;
use std::time::Duration;

use crate::Errno;
use crate::core_settings::CoreSettings;
use crate::cred::{KernelGid, KernelUid, Namespace, UserNamespace};
use crate::fs::block::BlockDevices;
use crate::fs::inotify::InotifyLimits;
use crate::fs::{DescriptorTable, DeviceNumber, FsView, Network, OpenFiles, Path, Protections, Viewer};
use crate::ipc::IpcNamespace;
use crate::keys::Keys;
use crate::landlock::Domain;
use crate::memory::{FrameAllocator, HugePageCounts, MappingFlags, MemoryManager, MemoryPolicy};
use crate::settings::KernelSettings;
use crate::time::{ClockOffsets, PosixTimerOrigin};
use crate::wait::News;

/// The processes of a PID namespace, and the machine. Numbers are that namespace's throughout.
pub trait ProcessSource: Send + Sync {
    /// The processes, by ascending number.
    fn process_ids(&self) -> Vec<i32>;
    /// The process with this number, or the process of the thread with it.
    fn process(&self, id: i32) -> Option<Arc<dyn Process>>;
    /// The viewer's process and thread; `None` if they are not in the namespace.
    fn viewer_ids(&self, viewer: &Viewer) -> Option<(i32, i32)>;
    /// The machine, now.
    fn system(&self) -> SystemStatus;
    /// The lines of /proc/keys for the viewer.
    fn list_keys(&self, viewer: &Viewer) -> Vec<u8>;
    /// All keys; `None` if the kernel is gone.
    fn keys(&self) -> Option<Arc<Keys>>;
    /// What is forbidden in directories that many may write to; `None` if the viewer is gone.
    fn protections(&self, _viewer: &Viewer) -> Option<Arc<Protections>> {
        None
    }
    /// Random bits that stay the same for as long as the sandbox lives.
    ///
    /// # Errors
    /// ESRCH if the kernel is gone; the host's.
    fn boot_id(&self) -> Result<u128, Errno>;
    /// The block devices; `None` if the kernel is gone.
    fn block_devices(&self) -> Option<Arc<BlockDevices>> {
        None
    }
    /// Where memory comes from; `None` if the kernel is gone.
    fn frames(&self) -> Option<Arc<FrameAllocator>> {
        None
    }
    /// What all descriptor tables share; `None` if the kernel is gone.
    fn open_files(&self) -> Option<Arc<OpenFiles>> {
        None
    }
    /// How many events the contexts of asynchronous input and output may hold.
    fn aio_events(&self) -> u64 {
        0
    }
    /// How much of fanotify each user may have; `None` if the kernel is gone.
    fn fanotify_limits(&self) -> Option<Arc<InotifyLimits>> {
        None
    }

    /// How much of inotify each user may have; `None` if the kernel is gone.
    fn inotify_limits(&self) -> Option<Arc<InotifyLimits>> {
        None
    }
    /// How far the clocks are ahead that the viewer sees.
    fn clock_offsets(&self, _viewer: &Viewer) -> ClockOffsets {
        ClockOffsets::default()
    }
    /// Host and domain name in the viewer's UTS namespace.
    fn names(&self, viewer: &Viewer) -> SystemNames;
    /// The numbers of /proc/sys.
    fn settings(&self) -> Arc<KernelSettings> {
        Arc::default()
    }
    /// How many pseudoterminals there are.
    fn pseudoterminals(&self) -> usize {
        0
    }
    /// Whether the viewer may say which number the next task gets.
    ///
    /// # Errors
    /// EPERM.
    fn check_may_number(&self, _viewer: &Viewer) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// The number that was given last in the viewer's PID namespace.
    fn last_number(&self, _viewer: &Viewer) -> i32 {
        0
    }
    /// Has the next task of the viewer's PID namespace get a number after `number`.
    fn set_last_number(&self, _viewer: &Viewer, _number: i32) {}
    /// How core dumps are made; `None` if the kernel is gone.
    fn core_settings(&self) -> Option<Arc<CoreSettings>>;
    /// The viewer's network namespace.
    fn network(&self, _viewer: &Viewer) -> Option<Arc<dyn Network>> {
        None
    }
    /// The viewer's IPC namespace.
    fn ipc_namespace(&self, viewer: &Viewer) -> Option<Arc<IpcNamespace>>;
    /// The serial number of the PID namespace whose numbers these are.
    fn pid_namespace(&self) -> u64;
    /// Sets the host name in the viewer's UTS namespace.
    ///
    /// # Errors
    /// EPERM, EINVAL.
    fn set_host_name(&self, viewer: &Viewer, name: &[u8]) -> Result<(), Errno>;
    /// Sets the domain name in the viewer's UTS namespace.
    ///
    /// # Errors
    /// EPERM, EINVAL.
    fn set_domain_name(&self, _viewer: &Viewer, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
}

/// A process, or one thread of it. Everything here is a snapshot; what is gone is `None` or ESRCH.
pub trait Process: Send + Sync {
    /// What /proc/PID/stat and status tell.
    fn status(&self) -> ProcessStatus;
    /// Sizes of the address space; `None` once it is gone.
    fn memory(&self) -> Option<MemoryStatus>;
    /// The address space itself; `None` once it is gone.
    fn address_space(&self) -> Option<Arc<MemoryManager>> {
        None
    }
    /// The mappings, by ascending address.
    ///
    /// # Errors
    /// ESRCH.
    fn mappings(&self) -> Result<Vec<MappingStatus>, Errno>;
    /// The first `max_count` of them that end past `address`.
    ///
    /// # Errors
    /// ESRCH.
    fn mappings_from(&self, address: u64, max_count: usize) -> Result<Vec<MappingStatus>, Errno> {
        let mappings = self.mappings()?.into_iter();
        Ok(mappings.filter(|mapping| mapping.end > address).take(max_count).collect())
    }
    /// The memory that held the arguments at execve, as it is now, from byte `from` on: `max_len` bytes, fewer at the end. Each
    /// ends with NUL.
    ///
    /// # Errors
    /// ESRCH, EFAULT.
    fn arguments(&self, from: u64, max_len: usize) -> Result<Vec<u8>, Errno>;
    /// The same of the environment.
    ///
    /// # Errors
    /// ESRCH, EFAULT.
    fn environment(&self, from: u64, max_len: usize) -> Result<Vec<u8>, Errno>;
    /// The auxiliary vector, with its AT_NULL.
    ///
    /// # Errors
    /// ESRCH.
    fn auxiliary_vector(&self) -> Result<Vec<u8>, Errno>;
    /// Which mappings a core dump holds.
    fn core_filter(&self) -> u32;
    /// Sets which mappings a core dump holds.
    fn set_core_filter(&self, filter: u32);
    /// The executed file.
    fn executable(&self) -> Option<Path>;
    /// Root, working directory and mounts.
    fn fs_view(&self) -> Option<FsView>;
    /// The open files.
    fn descriptors(&self) -> Option<Arc<DescriptorTable>>;
    /// The threads of the process, by ascending number.
    fn thread_ids(&self) -> Vec<i32>;
    /// By its tid in the reader's PID namespace; `None` if there is no such thread.
    fn thread(&self, id: i32) -> Option<Arc<dyn Process>>;
    /// Children of this thread.
    fn children(&self) -> Vec<i32>;
    /// Soft and hard limits by `RLIMIT_*`; `u64::MAX` is unlimited.
    fn limits(&self) -> [(u64, u64); 16];
    /// The namespace that /proc/PID/ns calls `name`; `None` once it is gone, or before it has begun.
    fn namespace(&self, name: &str) -> Option<Arc<dyn Namespace>>;
    /// Whose ids its credentials are of.
    fn user_namespace(&self) -> Arc<UserNamespace>;
    /// The user namespace that it executed its program in.
    fn executed_in(&self) -> Arc<UserNamespace>;
    /// What it has restricted itself to.
    fn landlock(&self) -> Option<Arc<Domain>> {
        None
    }
    /// How far the clocks of its children to come are ahead; `None` once it is gone.
    fn clock_offsets(&self) -> Option<ClockOffsets> {
        None
    }
    /// Sets that.
    ///
    /// # Errors
    /// ESRCH; EPERM, ERANGE, EACCES (`man 7 time_namespaces`).
    fn set_clock_offsets(&self, _viewer: &Viewer, _offsets: ClockOffsets) -> Result<(), Errno> {
        Err(Errno::ESRCH)
    }
    /// Its network namespace; `None` once it is gone.
    fn network(&self) -> Option<Arc<dyn Network>> {
        None
    }
    /// The lines of /proc/PID/cgroup, as `viewer`'s cgroup namespace has them.
    fn cgroup(&self, viewer: &Viewer) -> String;
    /// What it has read and written: a thread alone, a process with its children that were waited for.
    fn io_counts(&self) -> IoCounts {
        IoCounts::default()
    }
    /// Where the thread sleeps; `None` while it runs.
    fn waits_in(&self) -> Option<WaitingPlace> {
        None
    }
    /// What timer_create(2) has made for the process, by number.
    fn posix_timers(&self) -> Vec<(i32, PosixTimerOrigin)> {
        Vec::new()
    }
    /// The serial number of its session, and the niceness that this was given against others.
    fn autogroup(&self) -> Option<(u64, i32)> {
        None
    }
    /// Gives the process's session a niceness.
    fn set_autogroup_niceness(&self, _niceness: i32) {}
    /// The lowest niceness that RLIMIT_NICE allows.
    fn lowest_niceness(&self) -> i32 {
        0
    }
    /// Where the thread's memory is to come from.
    fn memory_policy(&self) -> MemoryPolicy {
        MemoryPolicy::default()
    }
    /// How much later than asked for timers may fire, in nanoseconds.
    fn timer_slack_ns(&self) -> u64 {
        0
    }
    /// Sets that; 0 is what its creator had.
    fn set_timer_slack_ns(&self, _slack_ns: u64) {}
    /// Sets the thread's name (write to `comm`).
    fn set_name(&self, name: &[u8]);
    /// Sets the adjustment of the out-of-memory score, -1000 to 1000.
    fn set_out_of_memory_adjustment(&self, adjustment: i32);
}

/// Where a thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingPlace {
    /// The number of the system call and its arguments; `None` outside of one.
    pub call: Option<(u64, [u64; 6])>,
    /// RSP.
    pub stack_pointer: u64,
    /// RIP.
    pub instruction_pointer: u64,
}

/// What was read and written by system calls, as /proc/PID/io has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// Bytes that calls have read, from caches, pipes and terminals as well.
    pub read_bytes: u64,
    /// Bytes that calls have written.
    pub written_bytes: u64,
    /// Calls that have read.
    pub reads: u64,
    /// Calls that have written.
    pub writes: u64,
}

impl std::ops::AddAssign for IoCounts {
    fn add_assign(&mut self, other: Self) {
        self.read_bytes = self.read_bytes.wrapping_add(other.read_bytes);
        self.written_bytes = self.written_bytes.wrapping_add(other.written_bytes);
        self.reads = self.reads.wrapping_add(other.reads);
        self.writes = self.writes.wrapping_add(other.writes);
    }
}

/// What /proc/PID/stat and status tell.
#[derive(Clone, Debug, Default)]
pub struct ProcessStatus {
    /// The thread's name.
    pub name: Vec<u8>,
    /// One of `RSDTtZX`.
    pub state: char,
    /// The thread.
    pub id: i32,
    /// tgid, seen from the reader's PID namespace.
    pub process_id: i32,
    /// The parent; 0 if it is outside the namespace.
    pub parent_id: i32,
    /// Who traces it; 0 for nobody.
    pub tracer_id: i32,
    /// pgrp, seen from the reader's PID namespace.
    pub process_group_id: i32,
    /// sid, seen from the reader's PID namespace.
    pub session_id: i32,
    /// The controlling terminal.
    pub terminal: Option<DeviceNumber>,
    /// Its foreground process group; -1 without a terminal.
    pub terminal_foreground: i32,
    /// Page faults without I/O: its own and its reaped children's.
    pub minor_faults: [u64; 2],
    /// Page faults with I/O: its own and its reaped children's.
    pub major_faults: [u64; 2],
    /// User time: its own and its reaped children's.
    pub user_time: [Duration; 2],
    /// System time: its own and its reaped children's.
    pub system_time: [Duration; 2],
    /// Niceness, -20 to 19.
    pub niceness: i32,
    /// `SCHED_*`.
    pub policy: u32,
    /// The priority under a real-time policy, 1 to 99; else 0.
    pub real_time_priority: u32,
    /// Threads of the process.
    pub threads: usize,
    /// When it began, since boot.
    pub start_time: Duration,
    /// Pending signals of the thread, bit N - 1 for signal N.
    pub pending: u64,
    /// Pending signals of the process.
    pub shared_pending: u64,
    /// Blocked signals.
    pub blocked: u64,
    /// Ignored signals.
    pub ignored: u64,
    /// Signals with handlers.
    pub caught: u64,
    /// Queued signals and their limit.
    pub queued_signals: (u64, u64),
    /// The signal sent to the parent at the end.
    pub exit_signal: i32,
    /// The CPU it ran on last.
    pub processor: usize,
    /// The exit status as wait(2) has it, for zombies.
    pub exit_code: i32,
    /// The umask; `None` for zombies.
    pub umask: Option<u32>,
    /// Real, effective, saved and file-system user.
    pub uids: [KernelUid; 4],
    /// Real, effective, saved and file-system group.
    pub gids: [KernelGid; 4],
    /// Supplementary groups.
    pub groups: Vec<KernelGid>,
    /// Inheritable, permitted, effective, bounding and ambient capabilities.
    pub capabilities: [u64; 5],
    /// PR_SET_NO_NEW_PRIVS.
    pub has_no_new_privs: bool,
    /// 0, 1 (strict) or 2 (filters).
    pub seccomp_mode: u32,
    /// How many filters its system calls pass.
    pub seccomp_filters: usize,
    /// Allowed CPUs, bit N for CPU N.
    pub allowed_cpus: u64,
    /// Switches away while waiting, and while running.
    pub context_switches: [u64; 2],
    /// The adjustment of the out-of-memory score.
    pub out_of_memory_adjustment: i32,
    /// personality(2).
    pub personality: u32,
    /// Whether others of the same user may look into it.
    pub is_dumpable: bool,
}

impl ProcessStatus {
    /// The priority as the kernel counts it from 0: 0 to 39 by niceness, and below 0 under a real-time policy (`man 5
    /// proc_pid_stat`).
    pub fn priority(&self) -> i32 {
        match i32::try_from(self.real_time_priority) {
            Ok(0) | Err(_) => self.niceness + 20,
            Ok(priority) => -1 - priority,
        }
    }
}

/// Sizes and places of an address space, in bytes and addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStatus {
    /// The largest total so far.
    pub peak_bytes: u64,
    /// All mappings.
    pub total_bytes: u64,
    /// VmLck, in bytes.
    pub locked_bytes: u64,
    /// The largest resident size so far.
    pub peak_resident_bytes: u64,
    /// Resident anonymous memory.
    pub resident_anonymous_bytes: u64,
    /// Resident file pages.
    pub resident_file_bytes: u64,
    /// Resident shared memory.
    pub resident_shared_bytes: u64,
    /// Private writable mappings.
    pub data_bytes: u64,
    /// VmStk, in bytes.
    pub stack_bytes: u64,
    /// The program's code.
    pub code_bytes: u64,
    /// Libraries' code.
    pub library_bytes: u64,
    /// VmPTE, in bytes.
    pub page_table_bytes: u64,
    /// HugetlbPages, in bytes.
    pub huge_bytes: u64,
    /// Begin and end of the program's code.
    pub code: [u64; 2],
    /// Where the stack began.
    pub stack_start: u64,
    /// Begin and end of the program's data.
    pub data: [u64; 2],
    /// Where brk(2) began.
    pub break_start: u64,
    /// Begin and end of the arguments.
    pub arguments: [u64; 2],
    /// Begin and end of the environment.
    pub environment: [u64; 2],
}

impl MemoryStatus {
    /// Everything resident, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.resident_anonymous_bytes + self.resident_file_bytes + self.resident_shared_bytes
    }
}

/// One mapping, as /proc/PID/maps shows it.
#[derive(Clone, Debug, Default)]
pub struct MappingStatus {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Readable, writable, executable.
    pub access: [bool; 3],
    /// What mprotect(2) may ever make it, likewise.
    pub max_access: [bool; 3],
    /// All else that it is.
    pub flags: MappingFlags,
    /// MAP_SHARED.
    pub is_shared: bool,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// The file's device and inode; zero for anonymous memory.
    pub file: (DeviceNumber, u64),
    /// The file's path as the viewer's root has it, or `[heap]`, `[stack]`, `[vdso]`; empty for anonymous memory.
    pub name: Vec<u8>,
    /// Resident bytes: of the file, and anonymous.
    pub resident_bytes: [u64; 2],
    /// Of the anonymous ones, those that no other process has.
    pub exclusive_bytes: u64,
    /// `lo` of VmFlags: mlock(2) holds it.
    pub is_locked: bool,
    /// Where its memory is to come from.
    pub policy: MemoryPolicy,
}

/// The machine, now.
#[derive(Clone, Debug, Default)]
pub struct SystemStatus {
    /// How many CPUs the sandbox has.
    pub cpus: usize,
    /// Since boot.
    pub uptime: Duration,
    /// The time of boot, in seconds since 1970.
    pub boot_time_seconds: u64,
    /// User, system and idle time of all CPUs.
    pub cpu_times: [Duration; 3],
    /// Processes and threads made since boot.
    pub created: u64,
    /// Tasks that run or want to.
    pub running: usize,
    /// Tasks in all.
    pub tasks: usize,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// What the kernel's own heap holds for processes.
    pub heap_bytes: u64,
    /// Switches from one task to another.
    pub context_switches: u64,
    /// Page faults.
    pub faults: u64,
    /// Control groups.
    pub cgroups: usize,
    /// Memory in all.
    pub memory_bytes: u64,
    /// Huge pages.
    pub huge_pages: HugePageCounts,
    /// Unused memory.
    pub free_bytes: u64,
    /// Pages of files.
    pub cached_bytes: u64,
    /// Anonymous pages.
    pub anonymous_bytes: u64,
    /// Shared memory and tmpfs.
    pub shared_bytes: u64,
    /// The most that may be promised, where that is bounded.
    pub commit_limit_bytes: u64,
    /// What processes have been promised.
    pub committed_bytes: u64,
}

/// What the system is called.
#[derive(Clone, Debug, Default)]
pub struct SystemNames {
    /// The host name.
    pub host: String,
    /// The NIS domain name.
    pub domain: String,
    /// Where changes of host names are announced.
    pub host_news: Arc<News>,
    /// Where changes of domain names are announced.
    pub domain_news: Arc<News>,
    /// The release, as uname(2) has it.
    pub release: String,
    /// The version, likewise.
    pub version: String,
}
