//! What is forbidden in directories that many may write to (`man 5 proc_sys_fs`, the files `protected_*`).

use std::sync::atomic::{AtomicU8, Ordering};

use super::metadata::FileKind;
use super::path::Path;
use super::permission::{Access, check_owner};
use crate::Errno;
use crate::cred::Credentials;

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const GROUP_WRITE: u32 = 0o020;
const GROUP_EXECUTE: u32 = 0o010;
const OTHERS_WRITE: u32 = 0o002;

/// One of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// protected_fifos: FIFOs of others are not opened with O_CREAT.
    Fifos,
    /// protected_hardlinks: only what one could have made is linked to.
    HardLinks,
    /// protected_regular: regular files of others are not opened with O_CREAT.
    RegularFiles,
    /// protected_symlinks: symbolic links of others are not followed.
    SymbolicLinks,
}

/// The settings, which all mount namespaces share.
pub struct Protections {
    fifos: AtomicU8,
    hard_links: AtomicU8,
    regular_files: AtomicU8,
    symbolic_links: AtomicU8,
}

impl Default for Protections {
    fn default() -> Self {
        Self {
            fifos: AtomicU8::new(0),
            hard_links: AtomicU8::new(1),
            regular_files: AtomicU8::new(0),
            symbolic_links: AtomicU8::new(1),
        }
    }
}

impl Protections {
    fn slot(&self, protection: Protection) -> &AtomicU8 {
        match protection {
            Protection::Fifos => &self.fifos,
            Protection::HardLinks => &self.hard_links,
            Protection::RegularFiles => &self.regular_files,
            Protection::SymbolicLinks => &self.symbolic_links,
        }
    }

    /// How strict it is: 0 is not at all.
    pub(super) fn level(&self, protection: Protection) -> u8 {
        self.slot(protection).load(Ordering::Relaxed)
    }

    /// Sets how strict it is.
    pub(super) fn set_level(&self, protection: Protection, level: u8) {
        self.slot(protection).store(level, Ordering::Relaxed);
    }

    /// Fails if `link`, a symbolic link in `directory`, must not be followed as the last component of a path.
    ///
    /// # Errors
    /// EACCES, and those of the file system.
    pub(super) fn check_follow(
        &self,
        link: &Path,
        directory: &Path,
        credentials: &Credentials,
    ) -> Result<(), Errno> {
        if self.level(Protection::SymbolicLinks) == 0 {
            return Ok(());
        }
        let directory = directory.metadata()?;
        let everybodys = STICKY | OTHERS_WRITE;
        if directory.mode & everybodys != everybodys {
            return Ok(());
        }
        let link = link.metadata()?;
        let is_trusted = link.uid == credentials.fs_uid || link.uid == directory.uid;
        if is_trusted { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Fails if `target` must not get a further name from `credentials`.
    ///
    /// # Errors
    /// EPERM, and those of the file system.
    pub(super) fn check_link(&self, target: &Path, credentials: &Credentials) -> Result<(), Errno> {
        if self.level(Protection::HardLinks) == 0 {
            return Ok(());
        }
        let metadata = target.metadata()?;
        let gives_group = SET_GID | GROUP_EXECUTE;
        let is_harmless = metadata.kind() == FileKind::Regular
            && metadata.mode & SET_UID == 0
            && metadata.mode & gives_group != gives_group
            && target.check_access(Access::READ | Access::WRITE, credentials).is_ok();
        if is_harmless { Ok(()) } else { check_owner(&metadata, credentials) }
    }

    /// Fails if `file`, which exists in `directory`, must not be opened by who would have created it.
    ///
    /// # Errors
    /// EACCES, and those of the file system.
    pub(super) fn check_create(
        &self,
        file: &Path,
        directory: &Path,
        credentials: &Credentials,
    ) -> Result<(), Errno> {
        let level = match file.kind() {
            FileKind::Regular => Some(self.level(Protection::RegularFiles)),
            FileKind::Fifo => Some(self.level(Protection::Fifos)),
            // For these there is no setting, but the rule.
            _ => None,
        };
        if level == Some(0) {
            return Ok(());
        }
        let directory = directory.metadata()?;
        if directory.mode & STICKY == 0 {
            return Ok(());
        }
        let owner = file.metadata()?.uid;
        if owner == directory.uid || owner == credentials.fs_uid {
            return Ok(());
        }
        let is_groups = directory.mode & GROUP_WRITE != 0 && level.is_some_and(|level| level >= 2);
        if directory.mode & OTHERS_WRITE != 0 || is_groups { Err(Errno::EACCES) } else { Ok(()) }
    }
}
