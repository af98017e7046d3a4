//! A file that a server serves.

use std::any::Any;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::connection::{Connection, Features};
use super::directory::DirectoryFile;
use super::file::{Handle, RegularFile};
use super::names::end_of;
use super::pages::Pages;
use super::wire::{Attributes, Body, Entry, Operation, Reader, Validity};
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::inode::{Attachment, Inode, LinkTarget, NewNode, NodeCreation, RenameMode, Viewer};
use crate::fs::inotify::WatchList;
use crate::fs::locks::FileLocks;
use crate::fs::metadata::{AttributeChanges, FileKind, Metadata, TimeChange};
use crate::fs::sleeper::UntilKilled;
use crate::fs::{Access, File, OpenFlags, WriteCount};
use crate::heap::HeapCharge;
use crate::memory::PageCache;
use crate::time::MonotonicTime;

/// What one takes.
const INODE_BYTES: usize = 1024;
/// The longest value or list of extended attributes.
const MAX_XATTR_BYTES: u32 = 64 << 10;
/// The server's number of the root directory.
pub(super) const ROOT: u64 = 1;

/// A file that a server serves.
pub(super) struct FuseInode {
    pub(super) connection: Arc<Connection>,
    /// The server's number.
    pub(super) node: u64,
    kind: FileKind,
    /// How often the server has told of it.
    lookups: AtomicU64,
    attributes: Mutex<Known>,
    /// It was opened as it was made.
    created: Mutex<Option<Handle>>,
    /// Once it has been mapped.
    pages: OnceLock<(Arc<PageCache>, Arc<Pages>)>,
    attachment: Attachment,
    locks: FileLocks,
    writers: WriteCount,
    watches: WatchList,
    _heap_charge: HeapCharge,
}

/// What is known of the attributes, and until when.
struct Known {
    metadata: Metadata,
    end: Option<MonotonicTime>,
}

impl FuseInode {
    /// The root directory, of which nothing is known yet.
    pub(super) fn root(connection: &Arc<Connection>) -> Result<Arc<Self>, Errno> {
        let kind = FileKind::from_mode(connection.options.root_mode).ok_or(Errno::EINVAL)?;
        let metadata = Metadata::new(kind, connection.options.root_mode, connection.device, ROOT);
        let (uid, gid) = (connection.options.user, connection.options.group);
        let metadata = Metadata { uid, gid, ..metadata };
        Self::make(connection, ROOT, Known { metadata, end: None }, 0)
    }

    fn make(connection: &Arc<Connection>, node: u64, known: Known, lookups: u64) -> Result<Arc<Self>, Errno> {
        let _heap_charge = HeapCharge::new(INODE_BYTES)?;
        let inode = Arc::new(Self {
            connection: connection.clone(),
            node,
            kind: known.metadata.kind(),
            lookups: AtomicU64::new(lookups),
            attributes: Mutex::new(known),
            created: Mutex::default(),
            pages: OnceLock::new(),
            attachment: Attachment::default(),
            locks: FileLocks::default(),
            writers: WriteCount::default(),
            watches: WatchList::default(),
            _heap_charge,
        });
        connection.inodes.lock().insert(node, Arc::downgrade(&inode));
        Ok(inode)
    }

    /// The file that `entry` tells of, which counts as told once more.
    fn of_entry(connection: &Arc<Connection>, entry: &Entry) -> Result<Arc<Self>, Errno> {
        let refuse = |error| {
            connection.forget(entry.node, 1);
            Err(error)
        };
        if entry.node <= ROOT {
            return Err(Errno::EIO);
        }
        let metadata = match entry.attributes.metadata(connection.device, &connection.user_namespace) {
            Ok(metadata) => metadata,
            Err(error) => return refuse(error),
        };
        let known = connection.inodes.lock().get(&entry.node).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.kind == metadata.kind()) {
            known.lookups.fetch_add(1, Ordering::Relaxed);
            known.learn(metadata, entry.validity);
            return Ok(known);
        }
        let known = Known { metadata, end: end_of(entry.validity, connection.now()) };
        Self::make(connection, entry.node, known, 1).or_else(refuse)
    }

    /// Takes over what the server has told of the file.
    fn learn(&self, metadata: Metadata, validity: Validity) {
        let mut known = self.attributes.lock();
        let has_changed =
            (metadata.size_bytes, metadata.modified) != (known.metadata.size_bytes, known.metadata.modified);
        *known = Known { metadata, end: end_of(validity, self.connection.now()) };
        drop(known);
        if has_changed && let Some((cache, pages)) = self.pages.get() {
            pages.set_size(metadata.size_bytes);
            if cache.mapping_count() == 0 {
                cache.source_changed(0..u64::MAX, metadata.size_bytes);
            }
        }
    }

    /// What is known of the attributes is no longer true.
    pub(super) fn forget_attributes(&self) {
        self.attributes.lock().end = None;
    }

    /// The contents have changed where nobody here has written them.
    pub(super) fn contents_changed(&self, bytes: Range<u64>) {
        if let Some((cache, pages)) = self.pages.get() {
            cache.source_changed(bytes, pages.size());
        }
    }

    /// What was written by a call, and is `end` long at least from now on.
    pub(super) fn written(&self, bytes: Range<u64>) {
        let mut known = self.attributes.lock();
        known.metadata.size_bytes = known.metadata.size_bytes.max(bytes.end);
        let size = known.metadata.size_bytes;
        known.end = None;
        drop(known);
        if let Some((cache, pages)) = self.pages.get() {
            pages.set_size(size);
            cache.source_changed(bytes, size);
        }
    }

    /// What mappings have changed goes to the server.
    pub(super) fn write_back(&self) -> Result<(), Errno> {
        match self.pages.get() {
            Some((cache, _)) if cache.has_changes() => cache.write_back(0..u64::MAX, &UntilKilled),
            _ => Ok(()),
        }
    }

    /// The pages for mappings by who has it open by `handle`.
    pub(super) fn page_cache(&self, handle: &Arc<Handle>) -> Result<Arc<PageCache>, Errno> {
        let size = self.fresh_metadata()?.size_bytes;
        let (cache, pages) = self.pages.get_or_init(|| {
            let pages = Pages::new();
            let source = Box::new(pages.clone());
            (PageCache::new(self.connection.frames(), Some(source), size), pages)
        });
        pages.set_size(size);
        pages.use_handle(handle);
        if cache.mapping_count() == 0 {
            cache.write_back(0..u64::MAX, &UntilKilled)?;
            cache.source_changed(0..u64::MAX, size);
        } else if cache.size() != size {
            cache.source_changed(0..0, size);
        }
        Ok(cache.clone())
    }

    pub(super) fn ask(&self, operation: Operation, body: Body) -> Result<Vec<u8>, Errno> {
        self.connection.ask(operation, self.node, body)
    }

    /// The attributes, as the server tells them now.
    pub(super) fn fresh_metadata(&self) -> Result<Metadata, Errno> {
        let answer = self.ask(Operation::GetAttributes, Body::default().u32(0).u32(0).u64(0))?;
        self.learn_answer(&answer)
    }

    fn learn_answer(&self, answer: &[u8]) -> Result<Metadata, Errno> {
        let mut reader = Reader(answer);
        let (seconds, nanoseconds, _padding) = (reader.u64()?, reader.u32()?, reader.u32()?);
        let attributes = Attributes::read(&mut reader)?;
        let metadata = attributes.metadata(self.connection.device, &self.connection.user_namespace)?;
        if metadata.kind() != self.kind {
            return Err(Errno::EIO);
        }
        self.learn(metadata, Validity { seconds, nanoseconds });
        Ok(metadata)
    }

    /// The file that an answer to the making of `name` tells of.
    fn made(&self, name: &[u8], reader: &mut Reader<'_>, kind: FileKind) -> Result<Arc<Self>, Errno> {
        let entry = Entry::read(reader)?;
        self.forget_name(name);
        self.forget_attributes();
        let inode = Self::of_entry(&self.connection, &entry)?;
        self.know_name(name, &inode, entry.name_validity);
        if inode.kind == kind { Ok(inode) } else { Err(Errno::EIO) }
    }

    fn know_name(&self, name: &[u8], inode: &Arc<Self>, validity: Validity) {
        if let Some(end) = end_of(validity, self.connection.now()) {
            let forgotten = self.connection.names.lock().insert(self.node, name, inode, end);
            drop(forgotten);
        }
    }

    fn forget_name(&self, name: &[u8]) {
        let forgotten = self.connection.names.lock().remove(self.node, name);
        drop(forgotten);
    }

    /// Makes a regular file, and opens it, by one request; by two where the server does not know that.
    fn create_regular(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<Self>, Errno> {
        let flags = OpenFlags::RDWR | OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::LARGEFILE;
        let mode = FileKind::Regular.mode_bits() | creation.permissions;
        let body = Body::default().u32(flags.bits()).u32(mode).u32(0).u32(0).name(name);
        let answer = match self.ask(Operation::Create, body) {
            Err(Errno::ENOSYS) => return self.make_node(name, creation),
            answer => answer?,
        };
        let mut reader = Reader(&answer);
        let inode = self.made(name, &mut reader, FileKind::Regular)?;
        let handle = Handle::read(&self.connection, inode.node, &mut reader, (OpenFlags::RDWR, false))?;
        *inode.created.lock() = Some(handle);
        Ok(inode)
    }

    fn make_node(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<Self>, Errno> {
        let kind = creation.node.kind();
        let mode = kind.mode_bits() | creation.permissions;
        let (operation, body) = match creation.node {
            NewNode::Directory => {
                (Operation::MakeDirectory, Body::default().u32(creation.permissions).u32(0).name(name))
            }
            NewNode::Symlink(text) => (Operation::Symlink, Body::default().name(name).name(text)),
            node => {
                let device = match node {
                    NewNode::CharacterDevice(device) | NewNode::BlockDevice(device) => device.as_u64() as u32,
                    _ => 0,
                };
                let body = Body::default().u32(mode).u32(device).u32(0).u32(0).name(name);
                (Operation::MakeNode, body)
            }
        };
        let answer = self.ask(operation, body)?;
        self.made(name, &mut Reader(&answer), kind)
    }

    fn remove(&self, operation: Operation, name: &[u8]) -> Result<(), Errno> {
        self.ask(operation, Body::default().name(name))?;
        let known = self.connection.names.lock().remove(self.node, name);
        known.iter().for_each(|inode| inode.forget_attributes());
        self.forget_attributes();
        Ok(())
    }

    fn of(inode: &Arc<dyn Inode>) -> Result<&Self, Errno> {
        inode.as_any().downcast_ref::<Self>().ok_or(Errno::EXDEV)
    }

    fn open_handle(&self, flags: OpenFlags) -> Result<Handle, Errno> {
        let created = self.created.lock().take();
        if let Some(created) = created {
            return Ok(created);
        }
        let has_truncation = self.connection.has(Features::ATOMIC_TRUNCATE);
        let mut sent = flags - (OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::NOCTTY | OpenFlags::CLOEXEC);
        sent.set(OpenFlags::TRUNC, has_truncation && flags.contains(OpenFlags::TRUNC));
        let is_directory = self.kind == FileKind::Directory;
        let operation = if is_directory { Operation::OpenDirectory } else { Operation::Open };
        let without = if is_directory { Features::NO_OPEN_DIRECTORY } else { Features::NO_OPEN };
        match self.ask(operation, Body::default().u32(sent.bits()).u32(0)) {
            Err(Errno::ENOSYS) if self.connection.has(without) => {
                Ok(Handle::none(&self.connection, self.node))
            }
            answer => {
                let handle =
                    Handle::read(&self.connection, self.node, &mut Reader(&answer?), (flags, is_directory))?;
                if sent.contains(OpenFlags::TRUNC) {
                    self.attributes.lock().metadata.size_bytes = 0;
                    self.written(0..0);
                }
                Ok(handle)
            }
        }
    }
}

impl Drop for FuseInode {
    fn drop(&mut self) {
        let mut inodes = self.connection.inodes.lock();
        if inodes.get(&self.node).is_some_and(|known| known.strong_count() == 0) {
            inodes.remove(&self.node);
        }
        drop(inodes);
        // What is open is released before the file is forgotten.
        drop(self.created.get_mut().take());
        if let Some((_, pages)) = self.pages.get() {
            pages.let_go();
        }
        self.connection.forget(self.node, *self.lookups.get_mut());
    }
}

/// The body of FUSE_SETATTR for `changes`, with the bits that say what of it counts.
fn changes_body(connection: &Connection, changes: &AttributeChanges) -> Body {
    const MODE: u32 = 1 << 0;
    const UID: u32 = 1 << 1;
    const GID: u32 = 1 << 2;
    const SIZE: u32 = 1 << 3;
    const ACCESSED: u32 = 1 << 4;
    const MODIFIED: u32 = 1 << 5;
    const ACCESSED_NOW: u32 = 1 << 7;
    const MODIFIED_NOW: u32 = 1 << 8;
    let namespace = &connection.user_namespace;
    let time = |change: Option<TimeChange>, bit, now_bit| match change {
        None => (0, 0, 0),
        Some(change) => {
            let stamp = change.timestamp();
            let bits = if change == TimeChange::Now { bit | now_bit } else { bit };
            (bits, stamp.seconds.cast_unsigned(), stamp.nanoseconds)
        }
    };
    let (accessed_bits, accessed, accessed_nanoseconds) = time(changes.accessed, ACCESSED, ACCESSED_NOW);
    let (modified_bits, modified, modified_nanoseconds) = time(changes.modified, MODIFIED, MODIFIED_NOW);
    let mut valid = accessed_bits | modified_bits;
    let given = [
        (changes.permissions.is_some(), MODE),
        (changes.uid.is_some(), UID),
        (changes.gid.is_some(), GID),
        (changes.size_bytes.is_some(), SIZE),
    ];
    valid |= given.iter().filter(|(is_given, _)| *is_given).fold(0, |bits, (_, bit)| bits | bit);
    let body = Body::default().u32(valid).u32(0).u64(0).u64(changes.size_bytes.unwrap_or(0)).u64(0);
    let body = body.u64(accessed).u64(modified).u64(0);
    let body = body.u32(accessed_nanoseconds).u32(modified_nanoseconds).u32(0);
    let body = body.u32(changes.permissions.unwrap_or(0)).u32(0);
    let uid = changes.uid.map_or(0, |uid| namespace.from_kernel_uid(uid).0);
    let gid = changes.gid.map_or(0, |gid| namespace.from_kernel_gid(gid).0);
    body.u32(uid).u32(gid).u32(0)
}

impl Inode for FuseInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn may_sleep(&self) -> bool {
        true
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let known = self.attributes.lock();
        let holds = known.end.is_some_and(|end| self.connection.now() < end);
        // Nobody can ask where nobody can wait.
        if holds || crate::fs::sleeper::viewer().is_none() {
            return Ok(known.metadata);
        }
        drop(known);
        self.fresh_metadata()
    }

    fn permits(&self, access: Access, _credentials: &Credentials) -> Option<Result<bool, Errno>> {
        if self.connection.options.checks_permissions {
            return None;
        }
        if self.kind == FileKind::Directory || !access.contains(Access::EXECUTE) {
            return Some(Ok(true));
        }
        Some(self.metadata().map(|metadata| metadata.mode & 0o111 != 0))
    }

    fn confirm_access(&self, access: Access) -> Result<(), Errno> {
        if self.connection.options.checks_permissions {
            return Ok(());
        }
        let body = Body::default().u32(access.bits()).u32(0);
        match self.connection.ask(Operation::Access, self.node, body) {
            Ok(_) | Err(Errno::ENOSYS) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check_viewer(&self, viewer: &Viewer) -> Result<(), Errno> {
        let options = &self.connection.options;
        let credentials = &viewer.credentials;
        let is_inside = credentials.user_namespace.is_within(&self.connection.user_namespace);
        let (user, group) = (options.user, options.group);
        let users = [credentials.real_uid, credentials.effective_uid, credentials.saved_uid];
        let groups = [credentials.real_gid, credentials.effective_gid, credentials.saved_gid];
        let is_mounter =
            users.iter().all(|other| *other == user) && groups.iter().all(|other| *other == group);
        let may = if options.allows_others { is_inside } else { is_mounter };
        if may { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.write_back()?;
        let answer = self.ask(Operation::SetAttributes, changes_body(&self.connection, changes))?;
        self.learn_answer(&answer)?;
        if let Some(size) = changes.size_bytes
            && let Some((cache, pages)) = self.pages.get()
        {
            pages.set_size(size);
            cache.source_changed(size..u64::MAX, size);
        }
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let known = self.connection.names.lock().find(self.node, name, self.connection.now());
        if let Some(known) = known {
            return Ok(known);
        }
        let answer = self.ask(Operation::Lookup, Body::default().name(name))?;
        let entry = Entry::read(&mut Reader(&answer))?;
        if entry.node == 0 {
            return Err(Errno::ENOENT);
        }
        let inode = Self::of_entry(&self.connection, &entry)?;
        self.know_name(name, &inode, entry.name_validity);
        Ok(inode)
    }

    fn has_stable_names(&self) -> bool {
        false
    }

    fn revalidates_names(&self) -> bool {
        true
    }

    fn create(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        match creation.node {
            NewNode::Regular => Ok(self.create_regular(name, creation)?),
            _ => Ok(self.make_node(name, creation)?),
        }
    }

    fn create_unnamed(
        &self,
        creation: &NodeCreation<'_>,
        _is_linkable: bool,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let flags = OpenFlags::RDWR | OpenFlags::TMPFILE | OpenFlags::DIRECTORY | OpenFlags::LARGEFILE;
        let mode = FileKind::Regular.mode_bits() | creation.permissions;
        let body = Body::default().u32(flags.bits()).u32(mode).u32(0).u32(0).name(b"/");
        let answer = self.ask(Operation::MakeUnnamed, body);
        let answer =
            answer.map_err(|error| if error == Errno::ENOSYS { Errno::EOPNOTSUPP } else { error })?;
        let mut reader = Reader(&answer);
        let inode = Self::of_entry(&self.connection, &Entry::read(&mut reader)?)?;
        *inode.created.lock() =
            Some(Handle::read(&self.connection, inode.node, &mut reader, (OpenFlags::RDWR, false))?);
        Ok(inode)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = Self::of(target)?;
        let answer = self.ask(Operation::Link, Body::default().u64(target.node).name(name));
        let answer = answer.map_err(|error| if error == Errno::ENOSYS { Errno::EPERM } else { error })?;
        // By another name the server may call it by another number.
        target.forget_attributes();
        self.made(name, &mut Reader(&answer), target.kind)?;
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove(Operation::Unlink, name)
    }

    fn rmdir(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove(Operation::RemoveDirectory, name)
    }

    fn rename(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let new = Self::of(new_directory)?;
        let flags = match mode {
            RenameMode::Replace => 0,
            RenameMode::NoReplace => linux_raw_sys::general::RENAME_NOREPLACE,
            RenameMode::Exchange => linux_raw_sys::general::RENAME_EXCHANGE,
            RenameMode::Whiteout { replaces: true, .. } => linux_raw_sys::general::RENAME_WHITEOUT,
            RenameMode::Whiteout { replaces: false, .. } => {
                linux_raw_sys::general::RENAME_WHITEOUT | linux_raw_sys::general::RENAME_NOREPLACE
            }
        };
        let done = if flags == 0 {
            self.ask(Operation::Rename, Body::default().u64(new.node).name(name).name(new_name))
        } else {
            let body = Body::default().u64(new.node).u32(flags).u32(0).name(name).name(new_name);
            self.ask(Operation::Rename2, body)
        };
        done.map_err(|error| if error == Errno::ENOSYS { Errno::EINVAL } else { error })?;
        for (directory, name) in [(self, name), (new, new_name)] {
            let known = directory.connection.names.lock().remove(directory.node, name);
            known.iter().for_each(|inode| inode.forget_attributes());
            directory.forget_attributes();
        }
        Ok(())
    }

    fn follow_link(&self, _viewer: &Viewer) -> Result<LinkTarget, Errno> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        let mut text = self.ask(Operation::ReadLink, Body::default())?;
        text.truncate(crate::fs::path::MAX_PATH_LEN);
        Ok(LinkTarget::Text(text))
    }

    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        match self.kind {
            FileKind::Regular => {
                let handle = self.open_handle(flags)?;
                Ok(Arc::new(RegularFile::new(self, handle, flags)))
            }
            FileKind::Directory => {
                let handle = self.open_handle(flags)?;
                Ok(Arc::new(DirectoryFile::new(self, handle)))
            }
            FileKind::Symlink => Err(Errno::ELOOP),
            FileKind::Socket => Err(Errno::ENXIO),
            kind => {
                let device = self.metadata()?.special_device;
                let specials = self.connection.resources.specials.clone();
                let inode: Arc<dyn Inode> = self;
                specials.open(kind, device, &inode, flags, viewer)
            }
        }
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let body = Body::default().u32(MAX_XATTR_BYTES).u32(0).name(name);
        let value = self.ask(Operation::GetXattr, body);
        value.map_err(not_supported)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], must_exist: Option<bool>) -> Result<(), Errno> {
        let flags = match must_exist {
            None => 0,
            Some(false) => linux_raw_sys::general::XATTR_CREATE,
            Some(true) => linux_raw_sys::general::XATTR_REPLACE,
        };
        let body = Body::default().u32(value.len() as u32).u32(flags).name(name).bytes(value);
        self.ask(Operation::SetXattr, body).map_err(not_supported)?;
        self.forget_attributes();
        Ok(())
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let answer = self.ask(Operation::ListXattr, Body::default().u32(MAX_XATTR_BYTES).u32(0));
        let names = answer.map_err(not_supported)?;
        let names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(<[u8]>::to_vec).collect())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.ask(Operation::RemoveXattr, Body::default().name(name)).map_err(not_supported)?;
        self.forget_attributes();
        Ok(())
    }

    fn attachment(&self) -> Option<&Attachment> {
        Some(&self.attachment)
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

fn not_supported(error: Errno) -> Errno {
    if error == Errno::ENOSYS { Errno::EOPNOTSUPP } else { error }
}
