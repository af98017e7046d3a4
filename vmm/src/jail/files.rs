//! Landlock (`man 7 landlock`): nothing of the file system but what has been admitted, no network, no signals to others.
//!
//! Descriptors that are open already keep working: Landlock judges the opening.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::Access;

/// The newest interface whose restrictions are asked for; older hosts apply those that they know.
const NEWEST: ABI = ABI::V6;

/// The oldest that holds: the one that knows of truncation (Linux 6.2).
const OLDEST_ABI: u32 = 3;

/// The oldest that knows of TCP ports (Linux 6.7).
const OLDEST_NETWORK_ABI: u32 = 4;

/// What the host's Landlock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landlock {
    /// The host has none, or it is turned off.
    Missing,
    /// The version of its interface.
    Abi(u32),
}

impl Landlock {
    /// The host's.
    pub(super) fn of_host() -> Self {
        const VERSION: u32 = 1;
        // SAFETY: with this flag the call takes no pointer and returns the version (`man 2 landlock_create_ruleset`).
        let version = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION)
        };
        u32::try_from(version).ok().filter(|version| *version > 0).map_or(Self::Missing, Self::Abi)
    }

    /// Whether it keeps a process from every file that it has no business with.
    pub(super) fn is_enough(self) -> bool {
        matches!(self, Self::Abi(version) if version >= OLDEST_ABI)
    }

    /// Whether it has rules for TCP ports.
    pub(super) fn knows_ports(self) -> bool {
        matches!(self, Self::Abi(version) if version >= OLDEST_NETWORK_ABI)
    }

    /// What of it concerns the network, for a person.
    pub(super) fn describe_network(self) -> String {
        match self {
            known if known.knows_ports() => "files, and TCP ports".to_owned(),
            Self::Abi(_) => "files, and no ports: Linux 6.7 has rules for those".to_owned(),
            Self::Missing => "none".to_owned(),
        }
    }

    /// What it is, for a person.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Missing => "none".to_owned(),
            Self::Abi(version) if self.is_enough() => format!("ABI {version}"),
            Self::Abi(version) => format!("ABI {version}, which knows less than ABI {OLDEST_ABI}"),
        }
    }
}

/// What Landlock is to enforce.
#[derive(Debug)]
pub(super) struct FileRules(RulesetCreated);

impl FileRules {
    /// Allows nothing.
    ///
    /// # Errors
    /// None for a host that lacks Landlock or knows less of it: it restricts what it can.
    pub(super) fn new() -> Result<Self, RulesetError> {
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        Ok(Self(ruleset))
    }

    /// Allows no file, no TCP port to be bound to, and connections to `ports` alone, or to all.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_broker(ports: Option<&[u16]>) -> Result<Self, RulesetError> {
        let network = match ports {
            Some(_) => AccessNet::from_all(NEWEST),
            None => AccessNet::BindTcp.into(),
        };
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(network)?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        let mut rules = Self(ruleset);
        for port in ports.unwrap_or_default() {
            (&mut rules.0).add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        Ok(rules)
    }

    /// Allows `access` to what lies below `directory`, too.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn allow(&mut self, directory: BorrowedFd<'_>, access: Access) -> Result<(), RulesetError> {
        let reading: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let access = match access {
            Access::Read | Access::Share => reading,
            Access::Write => reading | writing(),
        };
        (&mut self.0).add_rule(PathBeneath::new(directory, access)).map(drop)
    }

    /// Restricts the calling thread and those that it will start, denies them new privileges, and tells whether the host
    /// restricts anything.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn enforce(self) -> Result<bool, RulesetError> {
        Ok(self.0.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
    }
}

/// What is done below a writable volume: everything but executing, and making or using devices.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::from_all(NEWEST)
        & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)
}

#[cfg(test)]
mod tests;
