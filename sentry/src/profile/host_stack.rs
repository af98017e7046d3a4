//! Stacks of the sentry's own threads, taken by a signal's handler on the thread itself.
//!
//! The handler unwinds by the tables that every program has (`_Unwind_Backtrace`, which takes no lock and no memory where libgcc asks
//! the C library's `_dl_find_object`, since glibc 2.35), and writes into a buffer that the thread has attached. It is that of the task,
//! or of a thread that serves calls of others, and is emptied by the same thread at a place where it may take locks.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Stacks that wait to be fetched.
const STACKS: usize = 4;
/// Frames of each, from the innermost on.
const DEPTH: usize = 48;

/// Stacks of one thread, innermost frames first.
#[derive(Debug)]
pub struct HostStacks {
    /// Nanoseconds that the stack that was asked for stands for; 0 if none was.
    asked_ns: AtomicU64,
    filled: AtomicUsize,
    stacks: [HostStack; STACKS],
}

#[derive(Debug)]
struct HostStack {
    weight_ns: AtomicU64,
    len: AtomicUsize,
    frames: [AtomicU64; DEPTH],
}

impl Default for HostStack {
    fn default() -> Self {
        let frames = std::array::from_fn(|_| AtomicU64::new(0));
        Self { weight_ns: AtomicU64::new(0), len: AtomicUsize::new(0), frames }
    }
}

impl Default for HostStacks {
    fn default() -> Self {
        let (asked_ns, filled) = Default::default();
        Self { asked_ns, filled, stacks: Default::default() }
    }
}

thread_local! {
    /// The buffer of the calling thread: what the handler may look at.
    static BUFFER: Cell<*const HostStacks> = const { Cell::new(ptr::null()) };
    /// What keeps it.
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept(None)) };
}

/// The buffer that a thread has attached, until it ends.
struct Kept(Option<Arc<HostStacks>>);

impl Kept {
    fn replace(&mut self, stacks: Option<Arc<HostStacks>>) {
        BUFFER.set(ptr::null());
        self.0 = stacks;
        BUFFER.set(self.0.as_ref().map_or(ptr::null(), Arc::as_ptr));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        BUFFER.set(ptr::null());
    }
}

impl HostStacks {
    /// Stacks of the calling thread go here from now on.
    pub fn attach(self: &Arc<Self>) {
        KEPT.with_borrow_mut(|kept| kept.replace(Some(self.clone())));
    }

    /// Stacks of the calling thread go nowhere from now on.
    pub fn detach() {
        KEPT.with_borrow_mut(|kept| kept.replace(None));
    }

    /// Whether another stack has room.
    pub fn has_room(&self) -> bool {
        self.filled.load(Ordering::Relaxed) < STACKS
    }

    /// Whether a stack is to be fetched.
    pub fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed) > 0
    }

    /// The next stack is to stand for so much time.
    fn ask(&self, weight_ns: u64) {
        self.asked_ns.store(weight_ns, Ordering::Relaxed);
    }

    /// For the handler, on the thread whose buffer it is.
    fn fill(&self, innermost: u64) {
        let weight_ns = self.asked_ns.swap(0, Ordering::Relaxed);
        let filled = self.filled.load(Ordering::Relaxed);
        let Some(stack) = self.stacks.get(filled).filter(|_| weight_ns > 0) else { return };
        stack.len.store(0, Ordering::Relaxed);
        stack.push(innermost);
        unwind(&mut Unwinding { stack, innermost, has_begun: false });
        stack.weight_ns.store(weight_ns, Ordering::Relaxed);
        self.filled.store(filled + 1, Ordering::Release);
    }

    /// Hands all stacks to `take`, which gets the addresses and the weight of each. For the thread whose buffer it is.
    pub fn drain(&self, mut take: impl FnMut(Vec<u64>, u64)) {
        let filled = self.filled.load(Ordering::Acquire);
        if filled == 0 {
            return;
        }
        for stack in self.stacks.iter().take(filled) {
            let len = stack.len.load(Ordering::Relaxed);
            let frames = stack.frames.iter().take(len).map(|frame| frame.load(Ordering::Relaxed));
            take(frames.collect(), stack.weight_ns.load(Ordering::Relaxed));
        }
        // A stack that came meanwhile is overwritten: it may as well have come before the others.
        self.filled.store(0, Ordering::Release);
    }
}

impl HostStack {
    fn push(&self, address: u64) {
        let len = self.len.load(Ordering::Relaxed);
        if let Some(frame) = self.frames.get(len) {
            frame.store(address, Ordering::Relaxed);
            self.len.store(len + 1, Ordering::Relaxed);
        }
    }
}

/// The signal that asks for a stack.
pub fn sampling_signal() -> c_int {
    libc::SIGPROF
}

/// Has the handler answer [`sampling_signal`], which the calling thread, and those that it starts, no longer block. Once, before there
/// is a jail.
///
/// # Errors
/// The host's.
pub fn install_handler() -> io::Result<()> {
    // The first time the unwinder makes its tables.
    let nothing = HostStack::default();
    unwind(&mut Unwinding { stack: &nothing, innermost: 0, has_begun: false });
    // SAFETY: the structures are plain data that the calls fill or read; the handler has the signature that SA_SIGINFO wants.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sample as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, sampling_signal());
        if libc::sigaction(sampling_signal(), &raw const action, ptr::null_mut()) != 0
            || libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Has the host thread `host_thread_id`, whose buffer is `stacks`, take a stack that stands for `weight_ns`.
pub fn request(stacks: &HostStacks, host_thread_id: i32, weight_ns: u64) {
    stacks.ask(weight_ns);
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: tgkill(2) takes three numbers; the handler was installed before anything was recorded. It fails if the thread has
    // ended, and then there is nothing to do.
    let _ = unsafe { libc::syscall(libc::SYS_tgkill, process, host_thread_id, sampling_signal()) };
}

extern "C" fn on_sample(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let buffer = BUFFER.get();
    if buffer.is_null() {
        return;
    }
    // SAFETY: errno is the thread's own. The buffer is kept for as long as the thread has it attached, and the thread is here. The
    // kernel passes a `ucontext_t` to handlers with SA_SIGINFO.
    unsafe {
        let errno = *libc::__errno_location();
        let context = &*context.cast::<libc::ucontext_t>();
        (*buffer).fill(context.uc_mcontext.gregs[libc::REG_RIP as usize].cast_unsigned());
        *libc::__errno_location() = errno;
    }
}

/// A walk up the stack.
struct Unwinding<'a> {
    stack: &'a HostStack,
    /// The handler's own frames come before this one.
    innermost: u64,
    has_begun: bool,
}

unsafe extern "C" {
    fn _Unwind_Backtrace(
        trace: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

fn unwind(unwinding: &mut Unwinding<'_>) {
    // SAFETY: the function has the type that the unwinder wants (Itanium C++ ABI, "Exception Handling"), and the argument is what it
    // expects and outlives the call.
    unsafe { _Unwind_Backtrace(note_frame, ptr::from_mut(unwinding).cast()) };
}

/// # Safety
/// `context` is the unwinder's, and `argument` an [`Unwinding`].
unsafe extern "C" fn note_frame(context: *mut c_void, argument: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    // SAFETY: as the caller promises.
    let (address, unwinding) =
        unsafe { (_Unwind_GetIP(context) as u64, &mut *argument.cast::<Unwinding<'_>>()) };
    if unwinding.has_begun {
        // The instruction before is the call.
        unwinding.stack.push(address.saturating_sub(1));
    }
    unwinding.has_begun |= address == unwinding.innermost;
    GO_ON
}
