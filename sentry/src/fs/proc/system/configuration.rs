//! /proc/config.gz: what a kernel that does as the sentry does would have been built with. Programs look there for what they can
//! expect, and test suites for what they may test.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is there.
const BUILT_IN: &[&str] = &[
    "64BIT",
    "X86_64",
    "X86",
    "MMU",
    "SMP",
    "MULTIUSER",
    "SYSVIPC",
    "SYSVIPC_SYSCTL",
    "POSIX_MQUEUE",
    "POSIX_MQUEUE_SYSCTL",
    "POSIX_TIMERS",
    "CROSS_MEMORY_ATTACH",
    "IKCONFIG",
    "IKCONFIG_PROC",
    "CGROUPS",
    "CGROUP_PIDS",
    "CGROUP_FREEZER",
    "CGROUP_SCHED",
    "FAIR_GROUP_SCHED",
    "SCHED_AUTOGROUP",
    "PSI",
    "CFS_BANDWIDTH",
    "MEMCG",
    "NAMESPACES",
    "UTS_NS",
    "TIME_NS",
    "IPC_NS",
    "USER_NS",
    "PID_NS",
    "NET_NS",
    "CHECKPOINT_RESTORE",
    "KCMP",
    "SYSFS_SYSCALL",
    "FHANDLE",
    "PRINTK",
    "ELF_CORE",
    "FUTEX",
    "FUTEX_PI",
    "EPOLL",
    "SIGNALFD",
    "TIMERFD",
    "EVENTFD",
    "SHMEM",
    "AIO",
    "IO_URING",
    "ADVISE_SYSCALLS",
    "MEMBARRIER",
    "USERFAULTFD",
    "RSEQ",
    "CACHESTAT_SYSCALL",
    "NUMA",
    "HIGH_RES_TIMERS",
    "POSIX_CPU_TIMERS_TASK_WORK",
    "SECCOMP",
    "SECCOMP_FILTER",
    "SECURITY",
    "SECURITY_LANDLOCK",
    "BINFMT_ELF",
    "BINFMT_SCRIPT",
    "BINFMT_MISC",
    "COREDUMP",
    "NET",
    "UNIX",
    "UNIX_DIAG",
    "INET",
    "INET_DIAG",
    "IPV6",
    "NETDEVICES",
    "VETH",
    "BRIDGE",
    "DUMMY",
    "DEVTMPFS",
    "BLOCK",
    "BLK_DEV",
    "BLK_DEV_LOOP",
    "BLK_DEV_RAM",
    "TTY",
    "UNIX98_PTYS",
    "EXT4_FS",
    "FILE_LOCKING",
    "FSNOTIFY",
    "FANOTIFY",
    "FANOTIFY_ACCESS_PERMISSIONS",
    "DNOTIFY",
    "INOTIFY_USER",
    "FUSE_FS",
    "OVERLAY_FS",
    "PROC_FS",
    "PROC_SYSCTL",
    "PROC_PAGE_MONITOR",
    "PROC_CHILDREN",
    "SYSFS",
    "TMPFS",
    "TMPFS_XATTR",
    "HUGETLBFS",
    "HUGETLB_PAGE",
    "MEMFD_CREATE",
    "KEYS",
    "PERSISTENT_KEYRINGS",
];

/// What is not, though programs ask for it.
const LEFT_OUT: &[&str] = &[
    "AUDIT",
    "BSD_PROCESS_ACCT",
    "HIBERNATION",
    "KEXEC",
    "KEXEC_FILE",
    "KSM",
    "LATENCYTOP",
    "LOCALVERSION_AUTO",
    "MEM_SOFT_DIRTY",
    "MODIFY_LDT_SYSCALL",
    "MODULES",
    "PREEMPT_RT",
    "RT_GROUP_SCHED",
    "SECURITY_SELINUX",
    "SWAP",
    "TRANSPARENT_HUGEPAGE",
    "UPROBES",
    "X86_IOPL_IOPERM",
    "X86_X32_ABI",
    "IA32_EMULATION",
    "KASAN",
    "KCSAN",
    "DEBUG_KMEMLEAK",
    "PROVE_LOCKING",
    "LOCKDEP",
    "FAULT_INJECTION",
];

fn text() -> String {
    let head = "#\n# Linux/x86 6.12 Kernel Configuration, as far as it tells of Palisade\n#\n".to_string();
    let set = BUILT_IN.iter().map(|name| format!("CONFIG_{name}=y\n"));
    let unset = LEFT_OUT.iter().map(|name| format!("# CONFIG_{name} is not set\n"));
    let numbers = "CONFIG_HZ=100\nCONFIG_NODES_SHIFT=6\nCONFIG_NR_CPUS=64\n".to_string();
    std::iter::once(head).chain(set).chain(unset).chain(std::iter::once(numbers)).collect()
}

/// The file, compressed as the kernel's is.
pub(super) fn compressed() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(text().as_bytes());
    encoder.finish().unwrap_or_default()
}
