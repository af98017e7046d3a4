//! vmm confines itself before the first guest instruction may run.
//!
//! The guest is hostile, and a defect in the sentry may hand it this process. So the process gives up, for good, what
//! running a guest does not need: privileges by executing (no_new_privs), files and the network (Landlock), and all
//! system calls but those that the sentry and the platform make (seccomp). Nothing outside this folder depends on it:
//! with it, a sound sentry makes the same calls as without it.
//!
//! Landlock holds for the calling thread and those that it starts, so that [`Jail::enter`] comes before the threads of the
//! guest; seccomp holds for all.

mod files;
mod filter;
mod program;
mod requests;
#[cfg(test)]
mod tests;
mod violation;

use std::os::fd::BorrowedFd;

use anyhow::Context;

use self::files::FileRules;

/// A jail that nobody is in yet.
#[derive(Debug)]
pub(crate) struct Jail {
    files: FileRules,
}

impl Jail {
    /// A jail in which nothing can be opened but what lies below `image`.
    ///
    /// # Errors
    /// The host is out of descriptors or memory. One without Landlock, or with an old one, is put up with.
    pub(crate) fn around(image: Option<BorrowedFd<'_>>) -> anyhow::Result<Self> {
        Ok(Self { files: FileRules::new(image).context("prepare Landlock")? })
    }

    /// Confines the process, for good.
    ///
    /// # Errors
    /// The host cannot filter system calls.
    pub(crate) fn enter(self) -> anyhow::Result<()> {
        self.files.enforce().context("confine the sandbox with Landlock")?;
        violation::install_handler().context("handle SIGSYS")?;
        filter::install().context("confine the sandbox with seccomp")
    }
}
