//! Threads of the host, made so that nothing but an error comes of it where the host has none left.
//!
//! A thread of the standard library maps a signal stack for itself when it begins, and knows no way out if the host refuses that but
//! to end the process. One that is made here maps nothing: all that it needs is there before it is.

use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;

use super::calls::{HostCall, count_call};

/// What a thread does.
type Work = Box<dyn FnOnce() + Send>;

/// Starts a thread with a stack of `stack_bytes` that does `work`; nobody waits for it.
///
/// # Errors
/// The host has no thread left, or no memory for its stack. `work` is dropped.
pub fn start_thread(stack_bytes: usize, work: Work) -> io::Result<()> {
    count_call(HostCall::Thread);
    let argument = Box::into_raw(Box::new(work));
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes are initialised before they are used and destroyed afterwards. `begin` is a function of the type that
    // is wanted, and takes over the box that `argument` points to if there is a thread, and only then.
    let error = unsafe {
        match libc::pthread_attr_init(attributes.as_mut_ptr()) {
            0 => {
                let attributes = attributes.as_mut_ptr();
                let prepared = [
                    libc::pthread_attr_setstacksize(attributes, stack_bytes),
                    libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED),
                ];
                let error = match prepared.into_iter().find(|error| *error != 0) {
                    Some(error) => error,
                    None => libc::pthread_create(thread.as_mut_ptr(), attributes, begin, argument.cast()),
                };
                libc::pthread_attr_destroy(attributes);
                error
            }
            error => error,
        }
    };
    if error == 0 {
        return Ok(());
    }
    // SAFETY: there is no thread, so that the box is still nobody else's.
    drop(unsafe { Box::from_raw(argument) });
    Err(io::Error::from_raw_os_error(error))
}

/// Where a thread begins. A panic ends the process before it could unwind out of here.
extern "C" fn begin(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `start_thread` made the box for this thread alone.
    let work = unsafe { Box::from_raw(argument.cast::<Work>()) };
    work();
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests;
