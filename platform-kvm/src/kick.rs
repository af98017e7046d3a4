//! Ending KVM_RUN from another thread: `immediate_exit` for a run that has not begun, and a signal for one
//! that has (KVM api.rst, `kvm_run.immediate_exit`).
//!
//! The signal is the first real-time signal. Threads that run contexts must not block it, whatever mask the process was
//! started with.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use kvm_ioctls::VcpuFd;
use rustix::process::{Pid, getpid};
use rustix::thread::gettid;
use vmm_sys_util::errno;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler, unblock_signal};

/// A thread that is (about to be) in KVM_RUN, and how to get it out.
#[derive(Debug)]
pub(crate) struct Kick {
    immediate_exit: NonNull<AtomicU8>,
    thread: Pid,
}

// SAFETY: `immediate_exit` is only touched atomically, and the thread's id is a number.
unsafe impl Send for Kick {}

impl Kick {
    /// For the calling thread, `thread`, about to run `vcpu`.
    ///
    /// # Safety
    /// `vcpu` and the calling thread outlive the value.
    pub(crate) unsafe fn new(vcpu: &mut VcpuFd, thread: Pid) -> Self {
        let immediate_exit = NonNull::from(&mut vcpu.get_kvm_run().immediate_exit).cast();
        Self { immediate_exit, thread }
    }

    /// Ends the run.
    pub(crate) fn send(&self) {
        // SAFETY: the creator promised that the vCPU, and with it the mapping of its `kvm_run`, is still
        // there. An AtomicU8 is laid out as the u8 is.
        unsafe { self.immediate_exit.as_ref() }.store(1, Ordering::SeqCst);
        let process = getpid().as_raw_nonzero().get();
        let thread = self.thread.as_raw_nonzero().get();
        // SAFETY: tgkill(2) takes three numbers; the handler was installed before any vCPU was made. It can
        // fail only if the thread has ended, and then there is nothing to do.
        let _ = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, SIGRTMIN()) };
    }
}

/// The calling thread, without asking the host each time: its number never changes.
pub(crate) fn own_thread() -> Pid {
    thread_local! {
        static OWN: Pid = gettid();
    }
    OWN.with(|own| *own)
}

/// Installs the handler, once in a process: a signal without one would kill it. The calling thread, and so those that it
/// starts from now on, no longer block the signal.
pub(crate) fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<errno::Result<()>> = OnceLock::new();
    (*INSTALLED.get_or_init(|| register_signal_handler(SIGRTMIN(), on_kick))).map_err(io::Error::from)?;
    unblock_signal(SIGRTMIN()).map_err(|error| io::Error::other(error.to_string()))
}

/// Does nothing: the signal's arrival is what ends KVM_RUN.
extern "C" fn on_kick(_: i32, _: *mut libc::siginfo_t, _: *mut c_void) {}
