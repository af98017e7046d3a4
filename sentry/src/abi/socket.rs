//! Structures about sockets (`linux/socket.h`, `linux/net.h`).

use super::structures;

structures! {
    /// `struct msghdr` (`man 3type msghdr`).
    Msghdr {
        msg_name: u64,
        msg_namelen: i32,
        padding: u32,
        msg_iov: u64,
        msg_iovlen: u64,
        msg_control: u64,
        msg_controllen: u64,
        msg_flags: u32,
        tail_padding: u32,
    }

    /// `struct mmsghdr` (`man 2 sendmmsg`).
    Mmsghdr {
        msg_hdr: Msghdr,
        msg_len: u32,
        tail_padding: u32,
    }

    /// `struct cmsghdr` (`man 3 cmsg`).
    Cmsghdr {
        cmsg_len: u64,
        cmsg_level: u32,
        cmsg_type: u32,
    }

    /// `struct ucred` (`man 7 unix`, SCM_CREDENTIALS).
    Ucred {
        pid: i32,
        uid: u32,
        gid: u32,
    }

    /// `struct linger` (`man 7 socket`, SO_LINGER).
    Linger {
        l_onoff: i32,
        l_linger: i32,
    }
}
