//! What happens when the process makes a system call that its jail forbids: it says which one, and ends.
//!
//! Such a call means that the sentry has a defect, or is no longer itself. It has not been made; the signal that is
//! raised in its place (`man 2 seccomp`, SECCOMP_RET_TRAP) ends the process whatever becomes of this handler, because
//! SIGSYS kills where it is blocked or has none.

use std::ffi::{c_int, c_void};
use std::io::{self, Cursor, Write};
use std::ptr;

use sentry::syscall::Sysno;

use crate::failure::Failure;
use crate::terminal::restore_raw;

/// Handles SIGSYS from now on.
///
/// # Errors
/// None that Linux documents for valid arguments.
pub(super) fn install_handler() -> io::Result<()> {
    // SAFETY: all zeroes are a valid sigaction, with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_violation as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `action` is valid, and the handler makes only calls that are async-signal-safe.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs between two instructions of any thread: it allocates nothing and takes no lock.
extern "C" fn on_violation(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: Linux hands a handler with SA_SIGINFO a valid ucontext_t.
    let registers = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let [number, first, second, third] = [libc::REG_RAX, libc::REG_RDI, libc::REG_RSI, libc::REG_RDX]
        .map(|register| usize::try_from(register).ok().and_then(|index| registers.get(index)).copied())
        .map(|value| value.unwrap_or_default());
    let name = usize::try_from(number).ok().and_then(Sysno::new).map_or("?", |number| number.name());
    let mut text = Cursor::new([0_u8; 256]);
    // A text that does not fit is cut.
    let _ = writeln!(
        text,
        "vmm: killed: the sandbox made the host system call {name}({first:#x}, {second:#x}, {third:#x}), number \
         {number}, which its jail forbids"
    );
    let length = usize::try_from(text.position()).unwrap_or_default();
    restore_raw();
    let _ = rustix::io::write(rustix::stdio::stderr(), text.get_ref().get(..length).unwrap_or_default());
    // SAFETY: _exit(2) takes any status.
    unsafe { libc::_exit(Failure::VMM.into()) }
}
