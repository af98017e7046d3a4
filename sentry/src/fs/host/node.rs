//! One file of a host directory.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxFlags, StatxTimestamp, fgetxattr,
    flistxattr, openat2, readlinkat, statx,
};
use rustix::io::pread;

use super::handles::HandleSlot;
use super::{HostOwners, HostTree, device_of, open_beneath};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::FileFlags;
use crate::fs::acl::AclKind;
use crate::fs::lower::{LowerEntry, LowerFile, LowerStatus};
use crate::fs::metadata::{DeviceNumber, FileKind, Timestamp};
use crate::heap::HeapCharge;
use crate::host::{HostCall, count_call};
use crate::memory::HostExtent;

/// The longest extended attribute (`XATTR_SIZE_MAX`).
const MAX_XATTR_LEN: usize = 64 * 1024;

/// A file below a [`HostTree`], by its path.
pub struct HostNode {
    tree: Arc<HostTree>,
    /// Relative to the tree's root, without a leading slash; empty for the root.
    path: Box<[u8]>,
    /// The device of the host's file system on which it lay when it was looked up.
    device: u64,
    /// It belongs to an interface of the host's kernel: a directory has no entries, a file no contents.
    is_hidden: bool,
    handle: Arc<HandleSlot>,
    /// For the path, which may be long.
    _heap_charge: HeapCharge,
}

fn status_of(tree: &HostTree, status: &Statx) -> LowerStatus {
    let (uid, gid) = tree.owners.of_file((status.stx_uid, status.stx_gid));
    let mode = u32::from(status.stx_mode);
    let has_creation = status.stx_mask & StatxFlags::BTIME.bits() != 0;
    LowerStatus {
        identity: (device_of(status), status.stx_ino),
        kind: FileKind::from_mode(mode).unwrap_or(FileKind::Regular),
        mode,
        links: status.stx_nlink,
        uid,
        gid,
        special_device: DeviceNumber::new(status.stx_rdev_major, status.stx_rdev_minor),
        size_bytes: status.stx_size,
        blocks: status.stx_blocks,
        accessed: timestamp(&status.stx_atime),
        modified: timestamp(&status.stx_mtime),
        changed: timestamp(&status.stx_ctime),
        created: has_creation.then(|| timestamp(&status.stx_btime)),
        link_text: None,
        file_flags: FileFlags::empty(),
    }
}

/// What is told in place of a file that is hidden: devices are the guest's own or none, and anything else is empty.
fn hidden(status: &LowerStatus) -> LowerStatus {
    let (kind, permissions) = match status.kind {
        FileKind::Directory => (FileKind::Directory, 0o755),
        FileKind::CharacterDevice | FileKind::BlockDevice => (status.kind, status.mode & 0o777),
        _ => (FileKind::Regular, 0o444),
    };
    LowerStatus {
        identity: status.identity,
        kind,
        mode: kind.mode_bits() | permissions,
        links: if kind == FileKind::Directory { 2 } else { 1 },
        uid: KernelUid::ROOT,
        gid: KernelGid::ROOT,
        special_device: status.special_device,
        size_bytes: 0,
        blocks: 0,
        accessed: Timestamp::default(),
        modified: Timestamp::default(),
        changed: Timestamp::default(),
        created: None,
        link_text: None,
        file_flags: FileFlags::empty(),
    }
}

fn timestamp(stamp: &StatxTimestamp) -> Timestamp {
    Timestamp { seconds: stamp.tv_sec, nanoseconds: stamp.tv_nsec }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

impl HostNode {
    pub(super) fn root(tree: &Arc<HostTree>) -> Result<(Arc<Self>, LowerStatus), Errno> {
        count_call(HostCall::Stat);
        let status = statx(&tree.root, c"", AtFlags::EMPTY_PATH, wanted())?;
        let status = status_of(tree, &status);
        Ok((Self::new(tree, Box::new([]), status.identity.0, false), status))
    }

    fn new(tree: &Arc<HostTree>, path: Box<[u8]>, device: u64, is_hidden: bool) -> Arc<Self> {
        let _heap_charge = HeapCharge::forced(path.len());
        Arc::new(Self { tree: tree.clone(), path, device, is_hidden, handle: Arc::default(), _heap_charge })
    }

    /// The status of the entry `name`, which lies on another device, and whether it is hidden.
    fn cross(&self, directory: &OwnedFd, name: &[u8]) -> Result<(LowerStatus, bool), Errno> {
        let file = open_beneath(directory, name, OFlags::PATH)?;
        count_call(HostCall::Stat);
        let status = status_of(&self.tree, &statx(&file, c"", AtFlags::EMPTY_PATH, wanted())?);
        match self.tree.mounts.hold_files(&file, status.identity.0)? {
            true => Ok((status, false)),
            false => Ok((hidden(&status), true)),
        }
    }

    /// The path of the entry `name`.
    fn path_of(&self, name: &[u8]) -> Box<[u8]> {
        let separator: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
        [&*self.path, separator, name].concat().into()
    }

    fn directory_handle(&self) -> Result<Arc<OwnedFd>, Errno> {
        self.tree.handles.get(&self.handle, || {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            self.tree.open(&self.path, flags, self.device).map(|(directory, _)| directory)
        })
    }

    fn file_handle(&self) -> Result<Arc<OwnedFd>, Errno> {
        self.tree.handles.get(&self.handle, || {
            // The host may have put something else there since it was looked up.
            match self.tree.open(&self.path, OFlags::RDONLY, self.device)? {
                (file, FileType::RegularFile) => Ok(file),
                _ => Err(Errno::ESTALE),
            }
        })
    }
}

impl LowerFile for HostNode {
    fn lookup(&self, name: &[u8]) -> Result<(Arc<dyn LowerFile>, LowerStatus), Errno> {
        if self.is_hidden {
            return Err(Errno::ENOENT);
        }
        let directory = self.directory_handle()?;
        count_call(HostCall::Stat);
        let status = statx(&directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, wanted())?;
        let mut status = status_of(&self.tree, &status);
        let mut is_hidden = false;
        if status.identity.0 != self.device {
            (status, is_hidden) = self.cross(&directory, name)?;
        }
        if status.kind == FileKind::Symlink {
            count_call(HostCall::ReadLink);
            let text = readlinkat(&directory, name, Vec::new())?;
            status.link_text = Some(text.into_bytes().into());
        }
        Ok((Self::new(&self.tree, self.path_of(name), status.identity.0, is_hidden), status))
    }

    fn list(&self) -> Result<Vec<LowerEntry>, Errno> {
        if self.is_hidden {
            return Ok(Vec::new());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        count_call(HostCall::Open);
        let listing = openat2(self.directory_handle()?, c".", flags, Mode::empty(), ResolveFlags::BENEATH)?;
        let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
        let mut entries = Vec::new();
        let mut directory = RawDir::new(listing, &mut buffer);
        while let Some(entry) = directory.next() {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = kind_of(entry.file_type());
            entries.push(LowerEntry { name: name.to_bytes().into(), inode: entry.ino(), kind });
        }
        Ok(entries)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if self.is_hidden {
            return Ok(0);
        }
        let file = self.file_handle()?;
        loop {
            count_call(HostCall::ReadAt);
            match pread(&file, &mut *buffer, offset) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn host_extent(&self) -> Option<HostExtent> {
        let file = if self.is_hidden { None } else { self.file_handle().ok() };
        file.map(|file| HostExtent { file, start: 0 })
    }

    fn check_readable(&self) -> Result<(), Errno> {
        if self.is_hidden { Ok(()) } else { self.file_handle().map(drop) }
    }

    fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        if self.is_hidden {
            return Vec::new();
        }
        let Ok((file, _)) = self.tree.open(&self.path, OFlags::RDONLY, self.device) else {
            return Vec::new();
        };
        let names = read_attribute(|bytes| flistxattr(&file, bytes)).unwrap_or_default();
        // In a user namespace the host tells of users in lists by numbers that mean nobody here.
        let has_lists = self.tree.owners == HostOwners::Told;
        let is_kept = |name: &&[u8]| {
            let is_list = AclKind::of_attribute(name).is_some();
            name.starts_with(b"user.") || *name == b"security.capability" || is_list && has_lists
        };
        names
            .split(|&byte| byte == 0)
            .filter(is_kept)
            .filter_map(|name| Some((name.to_vec(), read_attribute(|bytes| fgetxattr(&file, name, bytes))?)))
            .collect()
    }
}

fn kind_of(file_type: FileType) -> Option<FileKind> {
    Some(match file_type {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => return None,
    })
}

/// What `read` finds, which tells how long that is if there is no room for it: mostly there is nothing.
fn read_attribute(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Option<Vec<u8>> {
    count_call(HostCall::Attribute);
    if read(&mut []).ok()? == 0 {
        return Some(Vec::new());
    }
    let mut bytes = vec![0; MAX_XATTR_LEN];
    let len = read(&mut bytes).ok()?;
    bytes.truncate(len);
    bytes.shrink_to_fit();
    Some(bytes)
}

#[cfg(test)]
mod tests;
