//! A file of an overlay, as the virtual file system asks for it.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::file::LowerContents;
use super::listing::DirectoryFile;
use super::lookup::{Found, LowerFile};
use super::marks::Opacity;
use super::{Key, Overlay};
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::FileFlags;
use crate::fs::acl::{Acl, AclKind};
use crate::fs::inode::{Attachment, Inode, LinkTarget, NodeCreation, RenameMode, Viewer};
use crate::fs::inotify::WatchList;
use crate::fs::locks::FileLocks;
use crate::fs::metadata::{AttributeChanges, DeviceNumber, FileKind, Metadata};
use crate::fs::permission::{check_access, permits};
use crate::fs::{Access, Dentry, File, OpenFlags, WriteCount, sleeper};
use crate::heap::HeapCharge;

/// What one takes beside the dentries of layers that it keeps.
const INODE_BYTES: usize = 640;

/// A file of an overlay.
pub(super) struct OverlayInode {
    pub(super) overlay: Arc<Overlay>,
    pub(super) this: Weak<Self>,
    kind: FileKind,
    /// Its file of the upper layer, from when it has one on.
    upper: OnceLock<Arc<Dentry>>,
    /// Those of lower layers, from the top down: of a file that is no directory the one that it was or is copied from.
    pub(super) lower: Vec<LowerFile>,
    /// What stat(2) tells, if that stays: not if it is one of several names, of which each is copied by itself.
    numbers: Option<(DeviceNumber, u64)>,
    /// Where it is, for when it is copied.
    pub(super) place: Mutex<Place>,
    /// Held while it is copied, or its name is changed.
    copying: Mutex<()>,
    pub(super) is_unlinked: AtomicBool,
    locks: FileLocks,
    writers: WriteCount,
    watches: WatchList,
    _heap_charge: HeapCharge,
}

/// A name of a file.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// `None` for the root of the overlay.
    pub(super) directory: Option<Arc<OverlayInode>>,
    pub(super) name: Vec<u8>,
}

impl OverlayInode {
    /// The inode for what was `found` at `place`, or the one that there is already.
    ///
    /// # Errors
    /// ENOMEM, and those of the layers.
    pub(super) fn new(
        overlay: &Arc<Overlay>,
        found: Found,
        place: Option<Place>,
    ) -> Result<Arc<Self>, Errno> {
        let Found { upper, lower } = found;
        let top = upper.as_ref().or(lower.first().map(|lower| &lower.dentry)).ok_or(Errno::ENOENT)?;
        let kind = top.inode().kind();
        let key = match (&upper, lower.first()) {
            (Some(upper), _) => overlay.key_of_upper(upper)?,
            (None, Some(lower)) => overlay.key_of_lower(lower)?,
            (None, None) => return Err(Errno::ENOENT),
        };
        if let Some(known) = overlay.known(key) {
            return Ok(known);
        }
        let numbers = overlay.numbers_of(kind, upper.as_ref(), &lower)?;
        let _heap_charge = HeapCharge::new(INODE_BYTES)?;
        let inode = Arc::new_cyclic(|this| Self {
            overlay: overlay.clone(),
            this: this.clone(),
            kind,
            upper: upper.map(OnceLock::from).unwrap_or_default(),
            lower,
            numbers,
            place: Mutex::new(place.unwrap_or_default()),
            copying: Mutex::default(),
            is_unlinked: AtomicBool::new(false),
            locks: FileLocks::default(),
            writers: WriteCount::default(),
            watches: WatchList::default(),
            _heap_charge,
        });
        Ok(overlay.remember(key, inode))
    }

    /// The inode behind `inode`, if it is one of an overlay.
    pub(super) fn of(inode: &Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        inode.as_any().downcast_ref::<Self>().and_then(|inode| inode.this.upgrade()).ok_or(Errno::EXDEV)
    }

    /// Keeps others from copying it and from changing its name.
    pub(super) fn lock_copying(&self) -> MutexGuard<'_, ()> {
        match self.overlay.may_sleep {
            true => sleeper::wait_for_lock(|| self.copying.try_lock()),
            false => self.copying.lock(),
        }
    }

    /// Its file of the upper layer.
    pub(super) fn upper(&self) -> Option<&Arc<Dentry>> {
        self.upper.get()
    }

    /// It has been copied to `upper`.
    pub(super) fn set_upper(&self, upper: Arc<Dentry>) {
        let key = self.overlay.key_of_upper(&upper);
        if self.upper.set(upper).is_ok()
            && let (Ok(key), Some(this)) = (key, self.this.upgrade())
        {
            self.overlay.remember(key, this);
        }
    }

    /// The file that is seen.
    pub(super) fn real(&self) -> Result<&Arc<Dentry>, Errno> {
        self.upper().or(self.lower.first().map(|lower| &lower.dentry)).ok_or(Errno::EIO)
    }

    /// Whether it is made of directories of several layers.
    pub(super) fn is_merged(&self) -> bool {
        self.upper().is_some() && !self.lower.is_empty() || self.lower.len() > 1
    }

    /// Whether a lower layer has it, or a part of it.
    pub(super) fn has_lower(&self) -> bool {
        !self.lower.is_empty()
    }

    /// Who reads and writes layers.
    pub(super) fn mounter(&self) -> Viewer {
        let credentials = self.overlay.mounter.clone();
        Viewer { credentials, process_id: 0, thread_id: 0, session_id: 0, association: 0 }
    }

    /// The number of the device, and of the inode.
    pub(super) fn numbers(&self) -> Result<(DeviceNumber, u64), Errno> {
        if let Some(numbers) = self.numbers {
            return Ok(numbers);
        }
        let index = if self.upper().is_some() { None } else { self.lower.first().map(|lower| lower.layer) };
        let layer = self.overlay.layer(index).ok_or(Errno::EIO)?;
        Ok(self.overlay.shown_numbers(layer, self.real()?.inode().metadata()?.inode))
    }

    fn child(&self, name: &[u8], found: Found) -> Result<Arc<Self>, Errno> {
        let place = Place { directory: self.this.upgrade(), name: name.to_vec() };
        Self::new(&self.overlay, found, Some(place))
    }

    /// The inode for `upper`, which has just been made under `name`.
    pub(super) fn adopt(&self, name: &[u8], upper: Arc<Dentry>) -> Result<Arc<Self>, Errno> {
        self.child(name, Found { upper: Some(upper), lower: Vec::new() })
    }

    /// The inode called `name`, of which the virtual file system need not know.
    pub(super) fn look_up(&self, name: &[u8]) -> Result<Arc<Self>, Errno> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.child(name, self.find(name)?)
    }

    fn open_regular(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        let truncates = flags.contains(OpenFlags::TRUNC);
        if flags.is_writable() || truncates {
            self.copy_up(!truncates)?;
        }
        match self.upper() {
            Some(upper) => upper.inode().clone().open(flags, viewer),
            None => Ok(Arc::new(LowerContents::open(self, flags, viewer)?)),
        }
    }

    fn real_inode(&self) -> Result<&Arc<dyn Inode>, Errno> {
        Ok(self.real()?.inode())
    }

    fn changeable(&self) -> Result<&Arc<dyn Inode>, Errno> {
        Ok(self.copy_up(true)?.inode())
    }
}

impl Overlay {
    fn known(&self, key: Key) -> Option<Arc<OverlayInode>> {
        self.inodes.lock().get(&key)?.upgrade()
    }

    /// Has `inode` be found by `key`, or the one that has come to be found by it meanwhile.
    fn remember(&self, key: Key, inode: Arc<OverlayInode>) -> Arc<OverlayInode> {
        let mut inodes = self.inodes.lock();
        if let Some(known) = inodes.get(&key).and_then(Weak::upgrade) {
            drop(inodes);
            return known;
        }
        inodes.insert(key, Arc::downgrade(&inode));
        inode
    }

    /// Has nothing be found by `key` that is gone.
    fn forget(&self, key: Key) {
        let mut inodes = self.inodes.lock();
        if inodes.get(&key).is_some_and(|known| known.strong_count() == 0) {
            inodes.remove(&key);
        }
    }

    /// The numbers of a file, if they stay when it is copied.
    fn numbers_of(
        &self,
        kind: FileKind,
        upper: Option<&Arc<Dentry>>,
        lower: &[LowerFile],
    ) -> Result<Option<(DeviceNumber, u64)>, Errno> {
        if kind == FileKind::Directory && !self.has_numbers_of_layers() {
            return Ok(Some((self.device, self.take_number())));
        }
        if let Some(first) = lower.first() {
            let metadata = first.dentry.inode().metadata()?;
            let is_one_of_several = kind != FileKind::Directory && metadata.links > 1;
            let layer = self.lower.get(first.layer).filter(|_| !is_one_of_several || self.upper.is_none());
            return Ok(layer.map(|layer| self.shown_numbers(layer, metadata.inode)));
        }
        Ok(upper.and_then(|upper| self.numbers_of_origin(upper)))
    }

    /// Those of what `copy` was copied from, as long as that is on one of the layers.
    pub(super) fn numbers_of_origin(&self, copy: &Dentry) -> Option<(DeviceNumber, u64)> {
        let (device, ino) = self.origin(copy)?;
        let layer = self.lower.iter().find(|layer| layer.mount().file_system().device() == device)?;
        Some(self.shown_numbers(layer, ino))
    }
}

impl Drop for OverlayInode {
    fn drop(&mut self) {
        let of_upper = self.upper.get().map(|upper| self.overlay.key_of_upper(upper));
        let of_lower = self.lower.first().map(|lower| self.overlay.key_of_lower(lower));
        of_upper.into_iter().chain(of_lower).flatten().for_each(|key| self.overlay.forget(key));
        // Not by recursion: a guest decides how deep its directories are.
        let mut above = self.place.get_mut().directory.take();
        while let Some(mut directory) = above.and_then(Arc::into_inner) {
            above = directory.place.get_mut().directory.take();
        }
    }
}

impl Inode for OverlayInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn may_sleep(&self) -> bool {
        self.overlay.may_sleep
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let real = self.real_inode()?.metadata()?;
        let (device, inode) = self.numbers()?;
        let is_merged = self.kind == FileKind::Directory && self.is_merged();
        Ok(Metadata { device, inode, links: if is_merged { 1 } else { real.links }, ..real })
    }

    fn permits(&self, access: Access, credentials: &Credentials) -> Option<Result<bool, Errno>> {
        let mounter = &self.overlay.mounter;
        if mounter.has(Capabilities::DAC_OVERRIDE) {
            return None;
        }
        let check = || {
            let may = permits(&self.metadata()?, access, credentials);
            // What is below need only be read, to be copied.
            let needed = match self.upper() {
                None if access.contains(Access::WRITE) => (access - Access::WRITE) | Access::READ,
                _ => access,
            };
            Ok(may && check_access(&**self.real_inode()?, needed, mounter).is_ok())
        };
        Some(check())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let keeps_contents = changes.size_bytes != Some(0);
        self.copy_up(keeps_contents)?.inode().set_attributes(changes)
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.look_up(name)?)
    }

    fn create(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.create_child(name, creation)?)
    }

    fn create_unnamed(
        &self,
        creation: &NodeCreation<'_>,
        is_linkable: bool,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let directory = self.copy_up(true)?;
        let inode = directory.inode().create_unnamed(creation, is_linkable)?;
        let name = format!("#{}", inode.metadata()?.inode);
        let upper = Dentry::new_unnamed(inode, Some(directory), name.as_bytes());
        Ok(self.adopt(name.as_bytes(), upper)?)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = Self::of(target)?;
        self.link_child(name, &target)
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove_child(name)
    }

    fn rmdir(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove_child(name)
    }

    fn rename(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), Errno> {
        if matches!(mode, RenameMode::Whiteout { .. }) {
            return Err(Errno::EINVAL);
        }
        let new_directory = Self::of(new_directory)?;
        self.rename_child(name, &new_directory, new_name, mode)
    }

    fn follow_link(&self, viewer: &Viewer) -> Result<LinkTarget, Errno> {
        self.real_inode()?.follow_link(viewer)
    }

    fn stamp_link_accessed(&self) {
        if let Some(upper) = self.upper() {
            upper.inode().stamp_link_accessed();
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        match self.kind {
            FileKind::Regular => self.open_regular(flags, viewer),
            FileKind::Directory => Ok(Arc::new(DirectoryFile::new(self))),
            FileKind::Symlink => Err(Errno::ELOOP),
            FileKind::Socket => Err(Errno::ENXIO),
            kind => {
                let device = self.real_inode()?.metadata()?.special_device;
                let (overlay, inode): (_, Arc<dyn Inode>) = (self.overlay.clone(), self);
                overlay.specials.open(kind, device, &inode, flags, viewer)
            }
        }
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.real_inode()?.get_xattr(&self.overlay.name_on_layer(name))
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], must_exist: Option<bool>) -> Result<(), Errno> {
        let name = self.overlay.name_on_layer(name);
        // What would fail anyway copies nothing.
        if must_exist.is_some() || self.upper().is_none() {
            let has = self.real_inode()?.get_xattr(&name).map(|_| ());
            match (must_exist, has) {
                (Some(true), Err(error)) => return Err(error),
                (Some(false), Ok(())) => return Err(Errno::EEXIST),
                _ => {}
            }
        }
        self.changeable()?.set_xattr(&name, value, must_exist)
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let names = self.real_inode()?.list_xattrs()?;
        Ok(names.into_iter().filter_map(|name| self.overlay.name_from_layer(name)).collect())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let name = self.overlay.name_on_layer(name);
        self.real_inode()?.get_xattr(&name)?;
        self.changeable()?.remove_xattr(&name)
    }

    fn acl(&self, kind: AclKind) -> Result<Option<Acl>, Errno> {
        self.real_inode()?.acl(kind)
    }

    fn set_acl(&self, kind: AclKind, acl: Option<&Acl>, permissions: Option<u32>) -> Result<(), Errno> {
        self.changeable()?.set_acl(kind, acl, permissions)
    }

    fn file_flags(&self) -> Option<FileFlags> {
        self.real_inode().ok()?.file_flags()
    }

    fn possible_file_flags(&self) -> FileFlags {
        self.real_inode().map(|inode| inode.possible_file_flags()).unwrap_or_default()
    }

    fn set_file_flags(&self, flags: FileFlags) -> Result<(), Errno> {
        self.changeable()?.set_file_flags(flags)
    }

    fn attachment(&self) -> Option<&Attachment> {
        // That of the file that it began as: the object stays when the file is copied.
        let first = self.lower.first().map(|lower| &lower.dentry).or(self.upper());
        first.and_then(|first| first.inode().attachment())
    }

    fn locks(&self) -> Option<&FileLocks> {
        Some(&self.locks)
    }

    fn write_count(&self) -> Option<&WriteCount> {
        Some(&self.writers)
    }

    fn watches(&self) -> Option<&WatchList> {
        Some(&self.watches)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl OverlayInode {
    /// Whether files of this directory may be marked as whiteouts by an attribute.
    pub(super) fn has_marked_whiteouts(&self, directory: &Dentry) -> bool {
        self.overlay.opacity(directory) == Opacity::WithMarkedWhiteouts
    }

    /// It has lost its name: what is copied from now on gets none.
    pub(super) fn unlinked(&self) {
        self.is_unlinked.store(true, Ordering::Release);
    }
}
