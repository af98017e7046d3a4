//! Why a change was refused.

use crate::Errno;

/// An error, and what Linux says about it to who asks for more than a number (NLMSGERR_ATTR_MSG).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number.
    pub errno: Errno,
    /// The words, if there are any.
    pub message: Option<&'static str>,
}

impl Refusal {
    pub(in crate::net) fn new(errno: Errno, message: &'static str) -> Self {
        Self { errno, message: Some(message) }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, message: None }
    }
}

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Self {
        refusal.errno
    }
}
