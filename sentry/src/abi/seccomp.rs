//! Structures of seccomp(2) (`linux/seccomp.h`, `linux/filter.h`).

use linux_raw_sys::ptrace as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct sock_filter`: an instruction of classic BPF.
    SockFilter {
        code: u16,
        jt: u8,
        jf: u8,
        k: u32,
    }

    /// `struct sock_fprog`: where a program lies.
    SockFprog {
        len: u16,
        padding: [u16; 3],
        filter: u64,
    }

    /// `struct seccomp_data`: a system call, as a filter sees it.
    SeccompData {
        nr: i32,
        arch: u32,
        instruction_pointer: u64,
        args: [u64; 6],
    }

    /// `struct seccomp_notif_sizes`, bytes.
    SeccompNotifSizes {
        seccomp_notif: u16,
        seccomp_notif_resp: u16,
        seccomp_data: u16,
    }

    /// `struct seccomp_notif`: a call that waits for its listener.
    SeccompNotif {
        id: u64,
        pid: u32,
        flags: u32,
        data: SeccompData,
    }

    /// `struct seccomp_notif_resp`: what the listener says of it.
    SeccompNotifResp {
        id: u64,
        val: i64,
        error: i32,
        flags: u32,
    }

    /// `struct seccomp_notif_addfd`: a descriptor for the task that waits.
    SeccompNotifAddfd {
        id: u64,
        flags: u32,
        srcfd: u32,
        newfd: u32,
        newfd_flags: u32,
    }
}

same_layout! { SockFilter, uapi::sock_filter: code jt jf k }
same_layout! { SockFprog, uapi::sock_fprog: len filter }
same_layout! { SeccompData, uapi::seccomp_data: nr arch instruction_pointer args }
same_layout! { SeccompNotifSizes, uapi::seccomp_notif_sizes: seccomp_notif seccomp_notif_resp seccomp_data }
same_layout! { SeccompNotif, uapi::seccomp_notif: id pid flags data }
same_layout! { SeccompNotifResp, uapi::seccomp_notif_resp: id val error flags }
same_layout! { SeccompNotifAddfd, uapi::seccomp_notif_addfd: id flags srcfd newfd newfd_flags }
