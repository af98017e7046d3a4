//! Long operations.
//!
//! How long a system call takes is often the caller's choice: gigabytes to move, a million descriptors to close. Between two
//! steps of such a call, with no lock held that others need, its task may be wanted for something else: to stand still, or to end.

use crate::Errno;

/// Whoever does a long operation.
pub trait Pace {
    /// A step has been done, and no lock is held: stands still for as long as it has to.
    ///
    /// # Errors
    /// EINTR: the task is to end, and so is the operation, where it is. Nobody will see what it returns.
    fn keep_going(&self) -> Result<(), Errno>;

    /// Whether it is wanted for something else: for who cannot let go of a lock in the midst, but can begin again.
    fn is_wanted(&self) -> bool;
}

/// Nobody who could be wanted for something else.
#[derive(Clone, Copy, Debug)]
pub struct Unhurried;

impl Pace for Unhurried {
    fn keep_going(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        false
    }
}
