//! Why a sleep ended without what it waited for.

use crate::Errno;

/// Why a sleep ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// A signal, a stop or the task's end is to be dealt with first.
    Interrupted,
    /// The deadline has passed.
    TimedOut,
}

/// The usual meaning: an interrupted call is restarted if the handler wants it; a time-out is EAGAIN, as for socket time-outs.
impl From<Blocked> for Errno {
    fn from(blocked: Blocked) -> Self {
        match blocked {
            Blocked::Interrupted => Errno::ERESTARTSYS,
            Blocked::TimedOut => Errno::EAGAIN,
        }
    }
}
