//! Surviving the loss of what a file had: the host raises SIGBUS at a touch of a page that the mapped file has no longer.
//!
//! User code's touches fail in KVM, and raise nothing. The sentry's own are rare (what it reads of a file it reads with
//! pread), and none of them knows beforehand. So the handler puts a page of zeroes in the place, counts, and lets the access
//! go on; who cares compares the count.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::platform::PAGE_SIZE;

/// What the handler looks after; a length of 0 for nothing.
struct Guarded {
    start: AtomicUsize,
    len_bytes: AtomicUsize,
    losses: AtomicU64,
    previous: OnceLock<libc::sigaction>,
}

static GUARDED: Guarded = Guarded {
    start: AtomicUsize::new(0),
    len_bytes: AtomicUsize::new(0),
    losses: AtomicU64::new(0),
    previous: OnceLock::new(),
};

/// How often the sentry has touched what a file had no longer, and read zeroes.
pub fn losses() -> u64 {
    GUARDED.losses.load(Ordering::Acquire)
}

/// The handler looks after a range of addresses, for as long as this lives.
#[derive(Debug)]
pub(super) struct LossGuard(());

impl LossGuard {
    /// Looks after `len_bytes` from `start` on.
    ///
    /// # Errors
    /// AlreadyExists: it looks after others. And the host's.
    pub(super) fn new(start: usize, len_bytes: u64) -> io::Result<Self> {
        let len_bytes = usize::try_from(len_bytes).map_err(io::Error::other)?;
        let taken = GUARDED.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire);
        taken.map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
        let guard = Self(());
        install_handler()?;
        GUARDED.len_bytes.store(len_bytes, Ordering::Release);
        Ok(guard)
    }
}

impl Drop for LossGuard {
    fn drop(&mut self) {
        GUARDED.len_bytes.store(0, Ordering::Release);
        GUARDED.start.store(0, Ordering::Release);
    }
}

/// Installs the handler, once in a process.
fn install_handler() -> io::Result<()> {
    if GUARDED.previous.get().is_some() {
        return Ok(());
    }
    // SAFETY: all zeroes are a valid sigaction, with an empty mask.
    let (mut action, mut previous): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_bus_error as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both are valid, and the handler makes only calls that are async-signal-safe.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, &raw mut previous) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let _ = GUARDED.previous.set(previous);
    Ok(())
}

/// Runs between two instructions of any thread: it allocates nothing and takes no lock.
extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: Linux hands a handler with SA_SIGINFO a valid siginfo_t, which has an address for SIGBUS.
    let address = unsafe { (*info).si_addr() } as usize;
    if !replace_lost(address) {
        hand_on(signal, info, context);
    }
}

/// Puts a page of zeroes at `address`, if that is looked after.
fn replace_lost(address: usize) -> bool {
    let (start, len_bytes) =
        (GUARDED.start.load(Ordering::Acquire), GUARDED.len_bytes.load(Ordering::Acquire));
    if address.checked_sub(start).is_none_or(|offset| offset >= len_bytes) {
        return false;
    }
    let page = PAGE_SIZE as usize;
    let place = ptr::with_exposed_provenance_mut(address - address % page);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the page lies in guest memory, which holds no Rust object: every access to it expects other contents at any time.
    let replaced = unsafe { mmap_anonymous(place, page, ProtFlags::READ | ProtFlags::WRITE, flags) };
    GUARDED.losses.fetch_add(1, Ordering::AcqRel);
    replaced.is_ok()
}

/// Leaves the signal to who handled it before.
fn hand_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    let previous = GUARDED.previous.get();
    match previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction) {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: abort(3) may be called at any time.
            unsafe { libc::abort() }
        }
        handler => {
            // SAFETY: it is the handler that was installed for this signal. One without SA_SIGINFO ignores what is more than it takes.
            let handler: Handler = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
    }
}
