//! Opening: from a path to a [`FileDescription`] (`man 2 open`).

use std::any::Any;
use std::sync::Arc;

use super::names::lock_vacant;
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::acl::{CreationMode, InheritedAcls};
use crate::fs::file_capabilities;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::inode::{NewNode, NodeCreation, Viewer};
use crate::fs::inotify::{EntryChild, WatchMask};
use crate::fs::landlock::{check_open, check_path, check_truncate};
use crate::fs::leases::break_leases;
use crate::fs::metadata::FileKind;
use crate::fs::mount::MountFlags;
use crate::fs::permission::{Access, check_owner};
use crate::fs::resolve::{LastComponent, Resolved, Resolver};
use crate::fs::write_count::{ContentsWriter, WriteLeave};
use crate::fs::{Dentry, File, FileDescription, Inode, Metadata, OpenFlags, Path};
use crate::landlock::FileAccess;

/// What open(2) is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenRequest {
    /// O_* as open(2) was given them.
    pub flags: OpenFlags,
    /// Permission bits of a file that is created.
    pub mode: CreationMode,
}

/// Times that a file may vanish between the moment it was found and the moment it is created or opened, before open gives up.
const MAX_RACES: u32 = 64;

/// Opens what `path` names.
///
/// # Errors
/// Those of open(2). EAGAIN never: a FIFO is opened at once, and [`File::finish_open`] says whether to wait.
pub fn open(
    resolver: &Resolver<'_>,
    start: &Path,
    path: &[u8],
    request: OpenRequest,
) -> Result<Arc<FileDescription>, Errno> {
    begin_open(resolver, start, path, request)?.finish(resolver.viewer)
}

/// A file that has been found, or made, and opened; nothing has been done to it, and nobody has been told.
pub struct Opening {
    description: Arc<FileDescription>,
    truncates: bool,
}

impl Opening {
    fn new(description: Arc<FileDescription>) -> Self {
        Self { description, truncates: false }
    }

    /// What was opened.
    pub fn description(&self) -> &Arc<FileDescription> {
        &self.description
    }

    /// Nobody is to hear of it: it does not come to be opened.
    pub fn refuse(self) {
        self.description.silence();
    }

    /// Does what O_TRUNC asks for, and tells who watches the file.
    ///
    /// # Errors
    /// ETXTBSY, and those of truncating.
    pub fn finish(self, viewer: &Viewer) -> Result<Arc<FileDescription>, Errno> {
        let Self { description, truncates } = self;
        if description.flags().contains(OpenFlags::DIRECT)
            && !description.flags().contains(OpenFlags::PATH)
            && !description.file().takes_direct_io()
        {
            description.silence();
            return Err(Errno::EINVAL);
        }
        description.announce(WatchMask::OPEN);
        if let (Some(path), true) = (description.path(), truncates) {
            // Linux truncates even what is opened for reading.
            check_truncate(&description)?;
            let _writer = ContentsWriter::begin(path.inode())?;
            file_capabilities::drop_with_contents(&**path.inode(), &viewer.credentials)?;
            description.file().truncate_at_open()?;
            path.dentry.announce(WatchMask::MODIFY);
        }
        Ok(description)
    }
}

/// As [`open`], up to where somebody may still have a say.
///
/// # Errors
/// Those of [`open`].
pub fn begin_open(
    resolver: &Resolver<'_>,
    start: &Path,
    path: &[u8],
    request: OpenRequest,
) -> Result<Opening, Errno> {
    for _ in 0..MAX_RACES {
        match open_once(resolver, start, path, request) {
            // The host has put something else there since it was found.
            Err(Errno::ESTALE) => {}
            result => return result,
        }
    }
    Err(Errno::ESTALE)
}

fn open_once(
    resolver: &Resolver<'_>,
    start: &Path,
    path: &[u8],
    request: OpenRequest,
) -> Result<Opening, Errno> {
    let flags = request.flags;
    if flags.contains(OpenFlags::PATH) {
        let found = resolver.resolve(start, path, !flags.contains(OpenFlags::NOFOLLOW))?;
        return begin_open_path(&found, flags, resolver.viewer);
    }
    if flags.contains(OpenFlags::TMPFILE) {
        return open_unnamed(resolver, start, path, request).map(Opening::new);
    }
    if !flags.contains(OpenFlags::CREAT) {
        let found = resolver.resolve(start, path, !flags.contains(OpenFlags::NOFOLLOW))?;
        return begin_open_path(&found, flags, resolver.viewer);
    }
    if flags.contains(OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    let follows_link = !flags.intersects(OpenFlags::NOFOLLOW | OpenFlags::EXCL);
    for _ in 0..MAX_RACES {
        match resolver.resolve_or_missing(start, path, follows_link)? {
            Resolved::Found(..) if flags.contains(OpenFlags::EXCL) => return Err(Errno::EEXIST),
            Resolved::Found(found, _) if found.is_directory() => return Err(Errno::EISDIR),
            Resolved::Found(found, directory) => {
                if let Some(directory) = directory {
                    check_may_create(&found, &directory, resolver)?;
                }
                return begin_open_path(&found, flags, resolver.viewer);
            }
            Resolved::Missing(last) => match create(&last, request, resolver.viewer) {
                Err(Errno::EEXIST) if !flags.contains(OpenFlags::EXCL) => continue,
                result => return result.map(Opening::new),
            },
        }
    }
    Err(Errno::EAGAIN)
}

/// Fails if `found` must not be opened by who asked to create it in `directory`.
fn check_may_create(found: &Path, directory: &Path, resolver: &Resolver<'_>) -> Result<(), Errno> {
    let protections = resolver.view.namespace.protections();
    protections.check_create(found, directory, &resolver.viewer.credentials)
}

fn create(
    last: &LastComponent,
    request: OpenRequest,
    viewer: &Viewer,
) -> Result<Arc<FileDescription>, Errno> {
    let directory = &last.directory;
    let inode = directory.inode();
    let child = {
        let mut locked = lock_vacant(last)?;
        directory.mount.check_writable()?;
        directory.check_access(Access::WRITE | Access::EXECUTE, &viewer.credentials)?;
        check_path(&viewer.credentials, directory, FileAccess::MAKE_REG)?;
        let mut acls = InheritedAcls::default();
        let creation = creation(directory, NewNode::Regular, request.mode, viewer, &mut acls)?;
        let created = inode.create(&last.name, &creation)?;
        locked.adopt(&last.name, created)
    };
    directory.dentry.announce_entry(WatchMask::CREATE, &last.name, EntryChild::of(&child), 0);
    // Whoever creates a file may open it, whatever its permissions forbid from then on.
    let path = Path::new(directory.mount.clone(), child);
    let description = open_inode(path, request.flags, viewer)?;
    description.set_made_file();
    Ok(description)
}

/// The request for a new inode of `viewer` in `directory`; `acls` is where the lists are kept that it inherits.
///
/// # Errors
/// EOVERFLOW: the user namespace that the file system was mounted in has no number for the viewer, or the mount has none.
pub(super) fn creation<'a>(
    directory: &Path,
    node: NewNode<'a>,
    mode: CreationMode,
    viewer: &Viewer,
    acls: &'a mut InheritedAcls,
) -> Result<NodeCreation<'a>, Errno> {
    let (uid, gid) = (viewer.credentials.fs_uid, viewer.credentials.fs_gid);
    directory.mount.instance().owner().ok_or(Errno::EPERM)?;
    let (uid, gid) = directory.mount.kept_owner((uid, gid))?;
    let permissions;
    (*acls, permissions) = InheritedAcls::of_directory(&**directory.inode(), node.kind(), mode)?;
    let permissions = match node {
        NewNode::Directory => permissions,
        _ => without_foreign_set_gid(directory, permissions, viewer)?,
    };
    Ok(NodeCreation { node, permissions, uid, gid, acls: Some(acls) })
}

/// The permissions of a new file without the set-group-ID bit, if it is to get the group of its directory, and `viewer` is
/// not in that and could not set the bit (`man 7 inode`).
fn without_foreign_set_gid(directory: &Path, permissions: u32, viewer: &Viewer) -> Result<u32, Errno> {
    const SET_GID: u32 = 0o2000;
    const GROUP_EXECUTE: u32 = 0o010;
    let executes_as_group = SET_GID | GROUP_EXECUTE;
    if permissions & executes_as_group != executes_as_group {
        return Ok(permissions);
    }
    let metadata = directory.metadata()?;
    let may_set = metadata.mode & SET_GID == 0
        || viewer.credentials.is_in_group(metadata.gid)
        || viewer.credentials.has_over(metadata.uid, metadata.gid, Capabilities::FSETID);
    Ok(if may_set { permissions } else { permissions & !SET_GID })
}

fn open_unnamed(
    resolver: &Resolver<'_>,
    start: &Path,
    path: &[u8],
    request: OpenRequest,
) -> Result<Arc<FileDescription>, Errno> {
    let has_directory = request.flags.contains(OpenFlags::DIRECTORY);
    let is_created = request.flags.contains(OpenFlags::CREAT);
    if !has_directory || is_created || !request.flags.is_writable() {
        return Err(Errno::EINVAL);
    }
    let is_linkable = !request.flags.contains(OpenFlags::EXCL);
    let directory = resolver.resolve(start, path, !request.flags.contains(OpenFlags::NOFOLLOW))?;
    if !directory.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    directory.mount.check_writable()?;
    let viewer = resolver.viewer;
    directory.check_viewer_access(Access::WRITE | Access::EXECUTE, viewer)?;
    let mut acls = InheritedAcls::default();
    let creation = creation(&directory, NewNode::Regular, request.mode, viewer, &mut acls)?;
    let inode = directory.inode().create_unnamed(&creation, is_linkable)?;
    let name = format!("#{}", inode.metadata()?.inode);
    let dentry = Dentry::new_unnamed(inode, Some(&directory.dentry), name.as_bytes());
    let path = Path::new(directory.mount, dentry);
    open_inode(path, request.flags, viewer)
}

/// Opens `path`, which has been resolved.
///
/// # Errors
/// Those of open(2).
pub fn open_path(path: &Path, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<FileDescription>, Errno> {
    begin_open_path(path, flags, viewer)?.finish(viewer)
}

/// As [`open_path`], up to where somebody may still have a say.
///
/// # Errors
/// Those of open(2).
pub fn begin_open_path(path: &Path, flags: OpenFlags, viewer: &Viewer) -> Result<Opening, Errno> {
    let kind = path.kind();
    if flags.contains(OpenFlags::DIRECTORY) && kind != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    if flags.contains(OpenFlags::PATH) {
        let kept = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
        let handle = Arc::new(PathHandle(path.inode().clone()));
        return Ok(Opening::new(FileDescription::new(handle, Some(path.clone()), flags & kept)));
    }
    let mut access = Access::empty();
    access.set(Access::READ, !flags.contains(OpenFlags::WRONLY) || flags.contains(OpenFlags::RDWR));
    access.set(Access::WRITE, flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR | OpenFlags::TRUNC));
    let mount_flags = path.mount.flags();
    match kind {
        FileKind::Symlink => return Err(Errno::ELOOP),
        FileKind::Directory if access.contains(Access::WRITE) => return Err(Errno::EISDIR),
        FileKind::Regular | FileKind::Directory if access.contains(Access::WRITE) => {
            path.mount.check_writable()?;
        }
        FileKind::CharacterDevice | FileKind::BlockDevice if mount_flags.contains(MountFlags::NODEV) => {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    path.check_viewer_access(access, viewer)?;
    if kind == FileKind::Socket {
        return Err(Errno::ENXIO);
    }
    let only_appends = flags.contains(OpenFlags::APPEND) || !flags.is_writable();
    if !only_appends || flags.contains(OpenFlags::TRUNC) {
        check_without(&**path.inode(), FileFlags::APPEND)?;
    }
    if flags.contains(OpenFlags::NOATIME) {
        check_owner(&path.metadata()?, &viewer.credentials)?;
    }
    let truncates = flags.contains(OpenFlags::TRUNC) && kind == FileKind::Regular;
    Ok(Opening { description: open_inode(path.clone(), flags, viewer)?, truncates })
}

/// Opens `path` for one who hears of what others do: nobody hears of what he does.
///
/// # Errors
/// EROFS, ETXTBSY, and those of the file system.
pub(in crate::fs) fn open_silently(
    path: &Path,
    flags: OpenFlags,
    viewer: &Viewer,
) -> Result<Arc<FileDescription>, Errno> {
    let description = open_inode(path.clone(), flags, viewer)?;
    description.silence();
    Ok(description)
}

/// Opens the inode at `path`, whatever its permissions say.
fn open_inode(path: Path, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<FileDescription>, Errno> {
    let denied = check_open(&viewer.credentials, &path, flags)?;
    let is_kept_in_mount = matches!(path.kind(), FileKind::Regular | FileKind::Directory);
    let writes = flags.is_writable() && is_kept_in_mount;
    let write_leave = writes.then(|| WriteLeave::take(&path)).transpose()?;
    let mut own_flags = flags;
    // What the mount says of access times counts as if the caller had said it.
    if !path.mount.moves_access_times(path.is_directory()) {
        own_flags |= OpenFlags::NOATIME;
    }
    if path.kind() == FileKind::Regular {
        break_leases(&path, flags.is_writable())?;
    }
    let file = path.inode().clone().open(own_flags, viewer)?;
    let only_for_open =
        OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::NOCTTY | OpenFlags::TRUNC | OpenFlags::CLOEXEC;
    let kept = (flags - only_for_open) | OpenFlags::LARGEFILE;
    Ok(FileDescription::with_leave(file, Some(path), kept, write_leave, denied))
}

/// What an O_PATH descriptor refers to: a place, and nothing that could be read or written.
struct PathHandle(Arc<dyn Inode>);

impl File for PathHandle {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.0.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
