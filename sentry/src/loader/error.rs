//! Why a program cannot be loaded.

use std::borrow::Cow;

use crate::Errno;

/// Why a program cannot be loaded: what execve(2) returns, and what a person wants to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct LoadError {
    /// What execve(2) returns.
    pub errno: Errno,
    /// What is wrong, in words.
    pub reason: Cow<'static, str>,
    /// Whether Linux finds out when the old program is gone already: whoever executes is ended by SIGSEGV.
    pub is_late: bool,
}

impl LoadError {
    /// An error with a reason.
    pub fn new(errno: Errno, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { errno, reason: reason.into(), is_late: false }
    }

    /// The same, found out when there is no way back.
    pub fn late(self) -> Self {
        Self { is_late: true, ..self }
    }

    /// A file that is not what it claims to be.
    pub fn not_executable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Errno::ENOEXEC, reason)
    }
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        let reason = match errno {
            Errno::EACCES => "permission denied: it is not an executable regular file for this user",
            Errno::ENOENT => "it, or the interpreter that it names, does not exist",
            Errno::ENOEXEC => "it is neither a script nor an ELF executable",
            Errno::ENOMEM => "there is not enough guest memory to load it; give the guest more with --memory",
            Errno::E2BIG => "its arguments and environment are too long",
            Errno::ELOOP => "too many interpreters, or symbolic links, behind one another",
            Errno::ENAMETOOLONG => "its path is too long",
            Errno::ENOTDIR => "its path leads through something that is not a directory",
            errno => return Self::new(errno, format!("it cannot be read ({errno})")),
        };
        Self::new(errno, reason)
    }
}
