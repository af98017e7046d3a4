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

use anyhow::{Context, ensure};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use self::files::{FileRules, Landlock};

/// A jail that nobody is in yet.
#[derive(Debug)]
pub(crate) struct Jail {
    files: FileRules,
    is_landlock_required: bool,
}

impl Jail {
    /// A jail in which nothing can be opened but what lies below `image`.
    ///
    /// # Errors
    /// The host has no Landlock, or one that knows too little, and it is required. The host is out of descriptors or memory.
    pub(crate) fn around(image: Option<BorrowedFd<'_>>, is_landlock_required: bool) -> anyhow::Result<Self> {
        if is_landlock_required {
            ensure!(!lacks_landlock(), "missing: {}", missing_landlock());
        }
        Ok(Self { files: FileRules::new(image).context("prepare Landlock")?, is_landlock_required })
    }

    /// Confines the process, for good.
    ///
    /// # Errors
    /// The host cannot filter system calls, or does not enforce a Landlock that is required.
    pub(crate) fn enter(self) -> anyhow::Result<()> {
        leave_no_dump().context("go without core dumps")?;
        let is_enforced = self.files.enforce().context("confine the sandbox with Landlock")?;
        ensure!(is_enforced || !self.is_landlock_required, "missing: {}", missing_landlock());
        violation::install_handler().context("handle SIGSYS")?;
        // Looked at before the filter, which has no use for looking at Landlock.
        let (layers, lacks_landlock) = (layers()?, lacks_landlock());
        filter::install().context("confine the sandbox with seccomp")?;
        for (layer, text) in layers {
            log::info!("{layer}: {text}");
        }
        if lacks_landlock {
            log::warn!("the host's Landlock is missing or too old: the sandbox keeps access to files");
        }
        Ok(())
    }
}

/// The layers of the jail on this host: a name, and what it is.
///
/// # Errors
/// The filter cannot be compiled.
pub(crate) fn layers() -> anyhow::Result<[(&'static str, String); 2]> {
    Ok([("Landlock", Landlock::of_host().describe()), ("seccomp", filter::describe()?)])
}

/// Whether the host has no Landlock that holds.
pub(crate) fn lacks_landlock() -> bool {
    !Landlock::of_host().is_enough()
}

/// What is missing without Landlock, and how to get it or go without.
pub(crate) fn missing_landlock() -> String {
    format!(
        "Landlock, which keeps the sandbox from the host's files (here: {}): use Linux 6.2 or newer with `landlock` among its \
         security modules (`lsm=`), or go without this layer with --insecure-no-landlock",
        Landlock::of_host().describe()
    )
}

/// The process's memory holds the guest's: it goes to no file, and to no other process of the same user.
fn leave_no_dump() -> rustix::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
