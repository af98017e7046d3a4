//! Where the restrictions of landlock(7) meet files: paths are walked from a file up to the root, and what a rule allows for a
//! directory is allowed for all below it.

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::ioctl as requests;

use super::anonymous::AnonymousInode;
use super::dentry::Dentry;
use super::metadata::FileKind;
use super::{File, FileDescription, Metadata, OpenFiles, OpenFlags, Path, Splicing};
use crate::Errno;
use crate::cred::Credentials;
use crate::landlock::{Domain, FileAccess, FileKey, Handled, LayerMasks, Ruleset};

/// The domain of `credentials`, if it restricts what is done with files at all.
fn domain_of(credentials: &Credentials) -> Option<&Domain> {
    credentials.landlock.as_deref().filter(|domain| !domain.handled_files().is_empty())
}

/// How rules know the file behind `dentry`.
fn key_of(dentry: &Dentry) -> Option<FileKey> {
    let metadata = dentry.inode().metadata().ok()?;
    Some(FileKey { device: metadata.device.as_u64(), inode: metadata.inode })
}

/// `path`, and what it lies below, up to the root of all mounts; mount points that are hidden below their mounts are left out. What
/// does not lie below its mount's root counts as below it all the same, after what it lies below on its file system.
fn ancestry(path: &Path) -> impl Iterator<Item = Path> {
    std::iter::successors(Some(path.clone()), |path| {
        let mut path = path.clone();
        while Arc::ptr_eq(&path.dentry, path.mount.root()) {
            path = path.mount.mount_point()?;
        }
        path.dentry = path.dentry.parent().unwrap_or_else(|| path.mount.root().clone());
        Some(path)
    })
}

/// What of `request` is denied at `path`.
fn denied_at(domain: &Domain, path: &Path, request: FileAccess) -> FileAccess {
    if path.mount.is_internal() {
        return FileAccess::empty();
    }
    let (mut masks, handled) = LayerMasks::new(domain, request);
    let mut above = ancestry(path);
    let is_allowed = above.any(|path| masks.unmask(domain, key_of(&path.dentry), handled));
    if is_allowed { FileAccess::empty() } else { masks.denied() }
}

/// Fails unless `credentials` may do `access` at `path`.
///
/// # Errors
/// EACCES.
pub fn check_path(credentials: &Credentials, path: &Path, access: FileAccess) -> Result<(), Errno> {
    let Some(domain) = domain_of(credentials) else { return Ok(()) };
    if denied_at(domain, path, access).is_empty() { Ok(()) } else { Err(Errno::EACCES) }
}

/// Fails if the tree of mounts is not to be changed: paths would no longer lead where the rules were made for.
///
/// # Errors
/// EPERM.
pub fn check_topology(credentials: &Credentials) -> Result<(), Errno> {
    if domain_of(credentials).is_some() { Err(Errno::EPERM) } else { Ok(()) }
}

/// Fails unless `credentials` may open `path` with `flags`; else what they may not do with the open file later.
///
/// # Errors
/// EACCES.
pub(super) fn check_open(
    credentials: &Credentials,
    path: &Path,
    flags: OpenFlags,
) -> Result<FileAccess, Errno> {
    let mut wanted = FileAccess::empty();
    if flags.is_readable() {
        let is_directory = path.is_directory();
        wanted |= if is_directory { FileAccess::READ_DIR } else { FileAccess::READ_FILE };
    }
    if flags.is_writable() {
        wanted |= FileAccess::WRITE_FILE;
    }
    check_use(credentials, path, wanted)
}

/// Fails unless `credentials` may execute the file at `path`, which is read for that.
///
/// # Errors
/// EACCES.
pub fn check_execute(credentials: &Credentials, path: &Path) -> Result<(), Errno> {
    check_use(credentials, path, FileAccess::EXECUTE | FileAccess::READ_FILE).map(drop)
}

fn check_use(credentials: &Credentials, path: &Path, wanted: FileAccess) -> Result<FileAccess, Errno> {
    let Some(domain) = domain_of(credentials) else { return Ok(FileAccess::empty()) };
    let later = match path.kind() {
        FileKind::CharacterDevice | FileKind::BlockDevice => FileAccess::TRUNCATE | FileAccess::IOCTL_DEV,
        _ => FileAccess::TRUNCATE,
    };
    let denied = denied_at(domain, path, wanted | later);
    if denied.intersects(wanted) { Err(Errno::EACCES) } else { Ok(denied) }
}

/// What making something of `kind` takes.
pub(super) fn access_to_make(kind: FileKind) -> FileAccess {
    match kind {
        FileKind::Regular => FileAccess::MAKE_REG,
        FileKind::Directory => FileAccess::MAKE_DIR,
        FileKind::Symlink => FileAccess::MAKE_SYM,
        FileKind::CharacterDevice => FileAccess::MAKE_CHAR,
        FileKind::BlockDevice => FileAccess::MAKE_BLOCK,
        FileKind::Fifo => FileAccess::MAKE_FIFO,
        FileKind::Socket => FileAccess::MAKE_SOCK,
    }
}

fn access_to_remove(dentry: &Dentry) -> FileAccess {
    if dentry.is_directory() { FileAccess::REMOVE_DIR } else { FileAccess::REMOVE_FILE }
}

/// A link or a rename, to be checked.
pub(super) struct Reference<'a> {
    /// Where the file has a name; without a directory if it is linked by a descriptor.
    pub(super) old_directory: Option<&'a Arc<Dentry>>,
    /// The file.
    pub(super) source: &'a Arc<Dentry>,
    /// Where it gets another.
    pub(super) new_directory: &'a Path,
    /// What has that name already.
    pub(super) target: Option<&'a Arc<Dentry>>,
    /// The old name goes away, or is the target's from then on.
    pub(super) is_rename: bool,
    /// Both change their names.
    pub(super) is_exchange: bool,
}

/// What is denied to one of the two directories of a [`Reference`], and what is asked for there.
struct Side {
    masks: LayerMasks,
    request: FileAccess,
    is_allowed: bool,
}

impl Side {
    /// With all that the rules allow from `directory` up to the root of its mount.
    fn collect(
        domain: &Domain,
        mount_root: &Arc<Dentry>,
        directory: &Arc<Dentry>,
        request: FileAccess,
    ) -> Self {
        let (mut masks, handled) = LayerMasks::new(domain, FileAccess::all());
        let mut current = directory.clone();
        let is_allowed = loop {
            if masks.unmask(domain, key_of(&current), handled) {
                break true;
            }
            match current.parent() {
                Some(parent) if !Arc::ptr_eq(&current, mount_root) => current = parent,
                _ => break false,
            }
        };
        Self { masks, request, is_allowed }
    }

    fn is_denied_more_than_reference(&self) -> bool {
        self.masks.denied().intersects(self.request - FileAccess::REFER)
    }
}

/// What the rules on `child` itself leave denied, and whether it is a directory.
fn child_masks(domain: &Domain, child: &Dentry) -> (LayerMasks, bool) {
    let (mut masks, handled) = LayerMasks::new(domain, FileAccess::all());
    masks.unmask(domain, key_of(child), handled);
    (masks, child.is_directory())
}

impl Reference<'_> {
    /// What each of the two directories has to allow, but for the reference itself.
    fn requests(&self) -> (FileAccess, FileAccess) {
        let mut at_new = access_to_make(self.source.inode().kind());
        let mut at_old = FileAccess::empty();
        if let Some(target) = self.target.filter(|_| self.is_exchange) {
            at_old |= access_to_make(target.inode().kind());
        }
        if self.is_rename {
            at_old |= access_to_remove(self.source);
            at_new |= self.target.map_or(FileAccess::empty(), |target| access_to_remove(target));
        }
        (at_old, at_new)
    }

    /// Fails unless `credentials` may do this: nobody gets a file to where he may do more with it.
    ///
    /// # Errors
    /// EACCES; EXDEV if only the reference from one directory to another is denied, so that who moves a file copies it.
    pub(super) fn check(&self, credentials: &Credentials) -> Result<(), Errno> {
        let Some(domain) = domain_of(credentials) else { return Ok(()) };
        let (at_old, at_new) = self.requests();
        let mount_root = self.new_directory.mount.root();
        let old_directory = self.old_directory.unwrap_or(self.source);
        if Arc::ptr_eq(old_directory, &self.new_directory.dentry) {
            return check_path(credentials, self.new_directory, at_old | at_new);
        }
        let collect =
            |directory, request| Side::collect(domain, mount_root, directory, request | FileAccess::REFER);
        let mut old = collect(old_directory, at_old);
        let mut new = collect(&self.new_directory.dentry, at_new);
        if old.is_allowed && new.is_allowed || self.is_allowed_above(domain, &mut old, &mut new) {
            return Ok(());
        }
        let is_denied = old.is_denied_more_than_reference() || new.is_denied_more_than_reference();
        Err(if is_denied { Errno::EACCES } else { Errno::EXDEV })
    }

    /// Walks on from the root of the mount that both directories are in.
    fn is_allowed_above(&self, domain: &Domain, old: &mut Side, new: &mut Side) -> bool {
        let source = child_masks(domain, self.source);
        let target = self.target.filter(|_| self.is_exchange).map(|target| child_masks(domain, target));
        let mount = &self.new_directory.mount;
        let top = Path::new(mount.clone(), mount.root().clone());
        if mount.is_internal() {
            return true;
        }
        (old.is_allowed, new.is_allowed) = (false, false);
        let mut request = (domain.handled_files(), domain.handled_files());
        let mut compares_domains = true;
        for path in ancestry(&top) {
            let grants_no_more = || {
                old.masks.is_at_most(&source.0, source.1, &new.masks)
                    && target
                        .as_ref()
                        .is_none_or(|target| new.masks.is_at_most(&target.0, target.1, &old.masks))
            };
            if compares_domains && grants_no_more() {
                compares_domains = false;
                request = (old.request, new.request);
                old.is_allowed |= old.masks.narrow(old.request);
                new.is_allowed |= new.masks.narrow(new.request);
                if old.is_allowed && new.is_allowed {
                    return true;
                }
            }
            let key = key_of(&path.dentry);
            old.is_allowed |= old.masks.unmask(domain, key, request.0);
            new.is_allowed |= new.masks.unmask(domain, key, request.1);
            if old.is_allowed && new.is_allowed {
                return true;
            }
        }
        false
    }
}

/// ioctl(2) requests that concern every file or its file system, and no device (`is_masked_device_ioctl` of Linux).
const COMMON_REQUESTS: &[u32] = &[
    requests::FIOCLEX,
    requests::FIONCLEX,
    requests::FIONBIO,
    requests::FIOASYNC,
    requests::FIOQSIZE,
    requests::FIFREEZE,
    requests::FITHAW,
    requests::FS_IOC_FIEMAP,
    requests::FIGETBSZ,
    requests::FICLONE,
    requests::FICLONERANGE,
    requests::FIDEDUPERANGE,
    FS_IOC_GETFSUUID,
    FS_IOC_GETFSSYSFSPATH,
];
const FS_IOC_GETFSUUID: u32 = 0x8011_1500;
const FS_IOC_GETFSSYSFSPATH: u32 = 0x8081_1501;

/// Fails if who opened `description` may not do `request` with it.
///
/// # Errors
/// EACCES.
pub fn check_ioctl(description: &FileDescription, request: u32) -> Result<(), Errno> {
    let is_denied = description.denied().contains(FileAccess::IOCTL_DEV);
    if is_denied && !COMMON_REQUESTS.contains(&request) { Err(Errno::EACCES) } else { Ok(()) }
}

/// Fails if who opened `description` may not change its length.
///
/// # Errors
/// EACCES.
pub fn check_truncate(description: &FileDescription) -> Result<(), Errno> {
    if description.denied().contains(FileAccess::TRUNCATE) { Err(Errno::EACCES) } else { Ok(()) }
}

/// What landlock_create_ruleset(2) opens.
pub struct RulesetFile {
    inode: AnonymousInode,
    ruleset: Ruleset,
}

impl RulesetFile {
    /// One of `files` without rules.
    ///
    /// # Errors
    /// As [`Ruleset::new`].
    pub fn new(handled: Handled, files: &OpenFiles) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self { inode: AnonymousInode::new(files), ruleset: Ruleset::new(handled)? }))
    }

    /// The ruleset.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Allows `access` to what is at `path` and below it.
    ///
    /// # Errors
    /// EINVAL: `access` is for directories, and this is none. EBADFD: no path leads to it. ENOMEM.
    pub fn allow(&self, path: &Path, access: FileAccess) -> Result<(), Errno> {
        if path.mount.is_internal() {
            return Err(Errno::EBADFD);
        }
        if !path.is_directory() && !FileAccess::OF_FILES.contains(access) {
            return Err(Errno::EINVAL);
        }
        let key = key_of(&path.dentry).ok_or(Errno::EIO)?;
        self.ruleset.allow_file(key, access, Arc::new(path.inode().clone()))
    }
}

impl File for RulesetFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[landlock-ruleset]".into()
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
