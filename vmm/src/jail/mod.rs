//! vmm confines itself before the first guest instruction may run.
//!
//! The guest is hostile, and a defect in the sentry may hand it this process. So the process gives up, for good, what
//! running a guest does not need, in layers that hold without each other:
//!
//! | layer | leaves |
//! |---|---|
//! | namespaces | an empty root directory, and the trees that were admitted |
//! | user | one to whom nothing belongs, and no capability but for reading the image and changing volumes |
//! | limits | so many descriptors and threads, no core dump |
//! | Landlock | reading below the trees that were admitted, and writing below those that are writable volumes |
//! | seccomp | the system calls that the sentry and the platform make |
//!
//! What a host refuses of the first three is told, and the rest holds. Nothing outside this folder depends on the jail: with
//! it, a sound sentry makes the same calls as without it.
//!
//! All but seccomp hold for the calling thread and those that it starts, so that [`Jail::enter`] comes before the threads of
//! the guest; seccomp holds for all.

mod ahead;
mod broker;
mod empty_root;
mod files;
mod filter;
mod limits;
mod namespaces;
mod privileges;
mod program;
mod requests;
#[cfg(test)]
mod tests;
mod violation;

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, ensure};
use rustix::process::{Uid, getuid};
use rustix::thread::CapabilitySet;
use sentry::fs::host::HostOwners;

pub(crate) use self::broker::{BrokerRules, confine_broker, describe_broker_jail};
use self::files::{FileRules, Landlock};
use self::filter::Filter;
use self::namespaces::Namespaces;
pub use self::privileges::JailUser;
use self::privileges::Privileges;

// The layers that hold each other up, by name.
const NAMESPACES: &str = "namespaces";
const USER: &str = "user";
const LANDLOCK: &str = "Landlock";
const SECCOMP: &str = "seccomp";

/// What may be done below a directory that is admitted into the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Files and directories are read.
    Read,
    /// They are read, and locked as others see.
    Share,
    /// They are made, changed and removed, too.
    Write,
}

impl Access {
    /// The capabilities that it takes where files belong to others (`man 7 capabilities`).
    fn capabilities(self) -> CapabilitySet {
        match self {
            Self::Read | Self::Share => CapabilitySet::DAC_READ_SEARCH,
            Self::Write => {
                CapabilitySet::DAC_READ_SEARCH
                    | CapabilitySet::DAC_OVERRIDE
                    | CapabilitySet::CHOWN
                    | CapabilitySet::FOWNER
                    | CapabilitySet::FSETID
            }
        }
    }
}

/// What a jail is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A host without Landlock, or with one that is too old, has no jail.
    pub(crate) is_landlock_required: bool,
    /// Who vmm becomes if it is root; if left out, a user that no other process is.
    pub(crate) user: Option<JailUser>,
    /// A broker hands sockets over: then the sentry may use what it was handed.
    pub(crate) has_broker: bool,
}

/// A layer's name, and what it is, for a person.
pub(crate) type Layer = (&'static str, String);

/// A jail around the process, still open.
#[derive(Debug)]
pub(crate) struct Jail {
    rules: Rules,
    /// Whom the host tells the process that its user is.
    caller: Uid,
    namespaces: Namespaces,
    files: FileRules,
    capabilities: CapabilitySet,
    /// The most that may be done below any tree.
    most: Access,
}

impl Jail {
    /// Begins to confine the process, which has one thread.
    ///
    /// # Errors
    /// The host has no Landlock, or one that knows too little, and it is required. A user is given, and the process is not
    /// root's. The host is out of descriptors or memory.
    pub(crate) fn begin(rules: Rules) -> anyhow::Result<Self> {
        if lacks_landlock() {
            ensure!(!rules.is_landlock_required, "missing: {}", missing_landlock());
            log::warn!("the host's Landlock is missing or too old: the sandbox keeps access to files");
        }
        ensure!(rules.user.is_none() || getuid().is_root(), "--jail-user: only root can become another user");
        let files = FileRules::new().context("prepare Landlock")?;
        let namespaces = if is_left_out(NAMESPACES) { Namespaces::default() } else { Namespaces::enter() };
        let caller = namespaces.own_user();
        Ok(Self {
            rules,
            caller,
            namespaces,
            files,
            capabilities: CapabilitySet::empty(),
            most: Access::Read,
        })
    }

    /// Begins to make, on a thread of its own, what takes long and will be needed later. Without this it is made when it is.
    pub(crate) fn make_ahead(&mut self) {
        self.namespaces.begin_others();
    }

    /// Who has started the process, by the number that the host tells it.
    pub(crate) fn caller(&self) -> Uid {
        self.caller
    }

    /// How the host tells the process of the owners of files.
    pub(crate) fn owners(&self) -> HostOwners {
        self.namespaces.owners()
    }

    /// Lets the tree below `directory` be seen from inside, by the handle that is returned.
    ///
    /// # Errors
    /// The host is out of descriptors or memory.
    pub(crate) fn admit(&mut self, directory: OwnedFd, access: Access) -> anyhow::Result<OwnedFd> {
        let tree = match is_left_out(NAMESPACES) {
            true => directory,
            false => self.namespaces.isolate(directory, access).context("take a tree of mounts")?,
        };
        self.files.allow(tree.as_fd(), access).context("prepare Landlock")?;
        self.permit(access);
        Ok(tree)
    }

    /// Lets files that are open already be used as `access` says.
    pub(crate) fn permit(&mut self, access: Access) {
        self.capabilities |= access.capabilities();
        self.most = self.most.max(access);
    }

    /// Confines the process, for good, and tells its layers.
    ///
    /// # Errors
    /// The host cannot filter system calls, does not enforce a Landlock that is required, or does not let vmm become the
    /// user that was given.
    pub(crate) fn enter(self) -> anyhow::Result<Vec<Layer>> {
        self.confine_thread()?.seal()
    }

    /// Confines the calling thread and those that it will start, for good, but for the filter of system calls: others go on
    /// as they are.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub(crate) fn confine_thread(mut self) -> anyhow::Result<ConfinedThread> {
        if !is_left_out(NAMESPACES) {
            self.namespaces.complete();
        }
        limits::lower().context("lower resource limits")?;
        let user = if is_left_out(USER) { String::new() } else { self.reduce_privileges()?.to_string() };
        limits::hide_memory().context("go without core dumps")?;
        let is_enforced =
            !is_left_out(LANDLOCK) && self.files.enforce().context("confine the sandbox with Landlock")?;
        ensure!(is_enforced || !self.rules.is_landlock_required, "missing: {}", missing_landlock());
        violation::install_handler().context("handle SIGSYS")?;
        let filter = Filter::of_sentry(self.most, self.rules.has_broker)?;
        // Looked at before the filter, which has no use for looking at Landlock.
        let layers = vec![
            (NAMESPACES, self.namespaces.describe()),
            (USER, user),
            ("resource limits", limits::describe()),
            (LANDLOCK, Landlock::of_host().describe()),
            (SECCOMP, filter.describe()),
        ];
        Ok(ConfinedThread { layers, filter, namespaces: self.namespaces })
    }

    fn reduce_privileges(&self) -> anyhow::Result<Privileges> {
        // In a user namespace the process is nobody else's equal, and its capabilities are of no use for the image.
        let (becomes_other, capabilities) = match self.owners() {
            HostOwners::Told => (self.caller.is_root(), self.capabilities),
            HostOwners::Mapped { .. } => (false, CapabilitySet::empty()),
        };
        let user = becomes_other.then(|| self.rules.user.unwrap_or_else(JailUser::of_this_process));
        let privileges = Privileges::reduce(user, capabilities).context("give up privileges")?;
        ensure!(
            self.rules.user.is_none() || privileges.is_other_user(),
            "--jail-user: the host refuses: {privileges}"
        );
        Ok(privileges)
    }
}

/// A thread that is confined, while the rest of the process is not yet.
pub(crate) struct ConfinedThread {
    layers: Vec<Layer>,
    filter: Filter,
    namespaces: Namespaces,
}

impl ConfinedThread {
    /// Confines the process, whose other threads have ended or come from this one, and tells the layers.
    ///
    /// # Errors
    /// The host cannot filter system calls.
    pub(crate) fn seal(mut self) -> anyhow::Result<Vec<Layer>> {
        self.namespaces.finish();
        if !is_left_out(SECCOMP) {
            self.filter.install().context("confine the sandbox with seccomp")?;
        }
        Ok(self.layers)
    }
}

/// Whether the jail goes without the layer: never, but in tests of the others.
#[cfg(not(test))]
const fn is_left_out(_layer: &str) -> bool {
    false
}
#[cfg(test)]
use tests::is_left_out;

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
