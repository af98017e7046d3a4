//! Structures about processes (`linux/resource.h`, `linux/sched.h`, `linux/sched/types.h`).

use linux_raw_sys::general as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct rusage` (`man 2 getrusage`).
    Rusage {
        ru_utime: [i64; 2],
        ru_stime: [i64; 2],
        ru_maxrss: u64,
        ru_ixrss: u64,
        ru_idrss: u64,
        ru_isrss: u64,
        ru_minflt: u64,
        ru_majflt: u64,
        ru_nswap: u64,
        ru_inblock: u64,
        ru_oublock: u64,
        ru_msgsnd: u64,
        ru_msgrcv: u64,
        ru_nsignals: u64,
        ru_nvcsw: u64,
        ru_nivcsw: u64,
    }

    /// `struct clone_args` (`man 2 clone3`).
    CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }

    /// `struct kcmp_epoll_slot` (linux/kcmp.h).
    KcmpEpollSlot {
        efd: u32,
        tfd: u32,
        toff: u32,
    }

    /// `struct futex_waitv` (`man 2 futex_waitv`).
    FutexWaitv {
        val: u64,
        uaddr: u64,
        flags: u32,
        reserved: u32,
    }

    /// The header of capget(2) and capset(2) (`struct __user_cap_header_struct`).
    CapabilityHeader {
        version: u32,
        pid: i32,
    }

    /// 32 capabilities of each set (`struct __user_cap_data_struct`).
    CapabilityData {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    /// `struct pidfd_info` (`linux/pidfd.h`), as it was first.
    PidfdInfo {
        mask: u64,
        cgroupid: u64,
        pid: u32,
        tgid: u32,
        ppid: u32,
        ruid: u32,
        rgid: u32,
        euid: u32,
        egid: u32,
        suid: u32,
        sgid: u32,
        fsuid: u32,
        fsgid: u32,
        exit_code: i32,
    }

    /// `struct sched_attr` (`man 2 sched_setattr`).
    SchedAttr {
        size: u32,
        sched_policy: u32,
        sched_flags: u64,
        sched_nice: i32,
        sched_priority: u32,
        sched_runtime: u64,
        sched_deadline: u64,
        sched_period: u64,
        sched_util_min: u32,
        sched_util_max: u32,
    }
}

same_layout! {
    Rusage, uapi::rusage:
    ru_utime ru_stime ru_maxrss ru_ixrss ru_idrss ru_isrss ru_minflt ru_majflt ru_nswap ru_inblock ru_oublock ru_msgsnd
    ru_msgrcv ru_nsignals ru_nvcsw ru_nivcsw
}
same_layout! { FutexWaitv, uapi::futex_waitv: val uaddr flags }
same_layout! {
    CloneArgs, uapi::clone_args:
    flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup
}
