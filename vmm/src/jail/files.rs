//! Landlock (`man 7 landlock`): nothing of the file system but reading below the image, no network, no signals to others.
//!
//! Descriptors that are open already keep working: Landlock judges the opening.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest interface whose restrictions are asked for; older hosts apply those that they know.
const NEWEST: ABI = ABI::V6;

/// What Landlock is to enforce.
#[derive(Debug)]
pub(super) struct FileRules(RulesetCreated);

impl FileRules {
    /// Allows reading below `image`, and nothing else.
    ///
    /// # Errors
    /// None for a host that lacks Landlock or knows less of it: it restricts what it can.
    pub(super) fn new(image: Option<BorrowedFd<'_>>) -> Result<Self, RulesetError> {
        let reading: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        let rules = image.map(|directory| Ok::<_, RulesetError>(PathBeneath::new(directory, reading)));
        Ok(Self(ruleset.add_rules(rules)?))
    }

    /// Restricts the calling thread and those that it will start, and denies them new privileges.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn enforce(self) -> Result<(), RulesetError> {
        match self.0.restrict_self()?.ruleset {
            RulesetStatus::FullyEnforced => {}
            RulesetStatus::PartiallyEnforced => {
                log::info!("the host's Landlock restricts less than was asked for");
            }
            RulesetStatus::NotEnforced => {
                log::warn!("the host has no Landlock: the sandbox keeps access to files");
            }
        }
        Ok(())
    }
}
