//! The ioctls that remain: KVM's, and those that a guest may make on vmm's own terminal.
//!
//! TIOCSTI and TIOCLINUX, which type into a terminal, are not among them.

use linux_raw_sys::ioctl;

/// Requests to a terminal (`man 2 ioctl_tty`), which the sentry passes on for standard streams; and the one by which vmm
/// learns whether it is in the foreground.
const TERMINAL: [u32; 22] = [
    ioctl::TCGETA,
    ioctl::TCSETA,
    ioctl::TCSETAW,
    ioctl::TCSETAF,
    ioctl::TCGETS,
    ioctl::TCGETS2,
    ioctl::TCSETS,
    ioctl::TCSETSW,
    ioctl::TCSETSF,
    ioctl::TCSETS2,
    ioctl::TCSETSW2,
    ioctl::TCSETSF2,
    ioctl::TCSBRK,
    ioctl::TCSBRKP,
    ioctl::TCXONC,
    ioctl::TCFLSH,
    ioctl::TIOCGWINSZ,
    ioctl::TIOCSWINSZ,
    ioctl::TIOCGETD,
    ioctl::TIOCGPGRP,
    ioctl::TIOCOUTQ,
    ioctl::FIONREAD,
];

/// What is asked of sockets that a broker has handed over, besides.
pub(super) const OF_HANDED_SOCKETS: [u32; 1] = [ioctl::SIOCATMARK];

/// All of them, the frequent ones first.
pub(super) fn allowed() -> Vec<u32> {
    platform_kvm::RUNNING_REQUESTS.into_iter().chain(TERMINAL).collect()
}
