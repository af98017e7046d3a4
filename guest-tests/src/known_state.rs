//! A known state for the programs under test, whoever started the tests: what a child inherits and a shell, a service
//! manager or a tool of continuous integration may have changed.

use rustix::fs::Mode;
use rustix::process::umask;

/// The permissions that new files do not get.
const USUAL_MASK: Mode = Mode::WGRP.union(Mode::WOTH);

/// Gives this process, and so every program that it starts, the usual umask, no blocked signals and no ignored ones.
/// To be called before there are threads.
pub fn enter() {
    umask(USUAL_MASK);
    // The library ignores SIGPIPE here and restores it for children.
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| *signal != libc::SIGPIPE) {
        // SAFETY: the default action is no code of this process. Signals that cannot be changed are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is a local that sigemptyset fills in; the mask is this thread's alone.
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}
