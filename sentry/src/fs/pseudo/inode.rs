//! Inodes made from tables.

use std::any::Any;
use std::sync::Arc;

use super::directory::DirectoryFile;
use super::text_file::TextFile;
use super::{Child, Directory, Entry, FileAttributes, Node, PUBLIC_DIRECTORY, Reader, Subject, read_whole};
use crate::Errno;
use crate::cred::{Credentials, KernelGid, KernelUid};
use crate::fs::file_flags::FileFlags;
use crate::fs::{
    Access, AttributeChanges, File, FileKind, Inode, LinkTarget, Metadata, NewNode, NodeCreation, OpenFlags,
    Viewer,
};

/// An inode made from a table's entry, for one subject.
pub(in crate::fs) struct PseudoInode<S: Subject> {
    pub(super) subject: S,
    pub(super) ino: u64,
    pub(super) parent_ino: u64,
    permissions: u32,
    pub(super) node: Node<S>,
    /// It comes and goes, so that nothing can be mounted on it.
    is_fleeting: bool,
}

impl<S: Subject> PseudoInode<S> {
    /// The root directory of a file system.
    pub(in crate::fs) fn root(subject: S, root: &'static Entry<S>) -> Arc<Self> {
        Arc::new(Self {
            subject,
            ino: 1,
            parent_ino: 1,
            permissions: root.permissions,
            node: root.node,
            is_fleeting: false,
        })
    }

    /// The subject and the table of a directory.
    pub(in crate::fs) fn directory(&self) -> Option<(&S, &'static Directory<S>)> {
        match self.node {
            Node::Directory(directory) => Some((&self.subject, directory)),
            _ => None,
        }
    }

    pub(super) fn child_ino(&self, name: &[u8]) -> u64 {
        // FNV-1a over the parent's number and the name: the same name has the same number each time.
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let bytes = self.ino.to_le_bytes().into_iter().chain(name.iter().copied());
        let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        // Positive as a signed number, for those who print it so.
        hash >> 1
    }

    /// How many directories there are in `directory`, which is this one's table.
    fn directories_in(&self, directory: &'static Directory<S>) -> usize {
        let is_directory = |entry: &&Entry<S>| entry.node.kind() == FileKind::Directory;
        let fixed = directory.entries.iter().filter(is_directory).count();
        let children = directory.children.filter(|children| children.kind() == FileKind::Directory);
        let made_up = children.and_then(|children| children.list(&self.subject).ok());
        fixed + made_up.map_or(0, |made_up| made_up.len())
    }

    fn is_public_directory(&self) -> bool {
        self.node.kind() == FileKind::Directory && self.permissions == PUBLIC_DIRECTORY
    }

    fn owner(&self) -> (KernelUid, KernelGid) {
        match self.is_public_directory() {
            true => self.subject.owner_of_public_directory(),
            false => self.subject.owner(),
        }
    }

    /// Mode, owner and group.
    fn attributes(&self) -> FileAttributes {
        self.subject.changed_attributes(self.ino).unwrap_or_else(|| {
            let (uid, gid) = self.owner();
            let permissions = match self.is_public_directory() && self.ino != self.parent_ino {
                true => self.subject.permissions_of_public_directory(),
                false => self.permissions,
            };
            FileAttributes { permissions, uid, gid }
        })
    }

    /// An open file with the text that `read` makes up. Settings that a rule guards are no sequences, though nobody changes them.
    fn text(self: Arc<Self>, read: Reader<S>, viewer: &Viewer) -> TextFile<S> {
        let is_sequence = self.subject.has_sequences() && !matches!(self.node, Node::Guarded(..));
        TextFile::new(self, read, None, viewer.clone()).with_sequence(is_sequence)
    }

    fn child(&self, name: &[u8], child: Child<S>, is_fleeting: bool) -> Arc<dyn Inode> {
        let ino = self.child_ino(name);
        let Child { subject, permissions, node } = child;
        Arc::new(Self { subject, ino, parent_ino: self.ino, permissions, node, is_fleeting })
    }
}

impl<S: Subject> Inode for PseudoInode<S> {
    fn kind(&self) -> FileKind {
        self.node.kind()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let FileAttributes { permissions, uid, gid } = self.attributes();
        let mut metadata = Metadata::new(self.node.kind(), permissions, self.subject.device(), self.ino);
        (metadata.uid, metadata.gid) = (uid, gid);
        metadata.block_size_bytes = 1024;
        if let Node::Directory(directory) = self.node {
            metadata.links = match self.subject.counts_links(directory) {
                true => u32::try_from(self.directories_in(directory)).unwrap_or(0).saturating_add(2),
                false => 1,
            };
            metadata.size_bytes = directory.children.map_or(0, |children| children.size(&self.subject));
        }
        Ok(metadata)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        // O_TRUNC and truncate are accepted, as by Linux's own settings; nothing else can change.
        let owner = self.owner();
        let is_truncation = AttributeChanges {
            // An owner that it has already.
            uid: changes.uid.filter(|uid| *uid == owner.0),
            gid: changes.gid.filter(|gid| *gid == owner.1),
            size_bytes: changes.size_bytes,
            accessed: changes.accessed,
            modified: changes.modified,
            ..Default::default()
        } == *changes;
        let asks_for_owner = changes.uid.is_some() || changes.gid.is_some();
        if is_truncation && !(asks_for_owner && self.subject.has_sequences()) {
            return Ok(());
        }
        let old = self.attributes();
        let new = FileAttributes {
            permissions: changes.permissions.unwrap_or(old.permissions),
            uid: changes.uid.unwrap_or(old.uid),
            gid: changes.gid.unwrap_or(old.gid),
        };
        if changes.permissions.is_some() && !self.subject.may_change_mode() {
            return Err(Errno::EPERM);
        }
        self.subject.change_attributes(&self.node, self.ino, new)
    }

    fn protecting_flags(&self) -> FileFlags {
        match self.node {
            Node::Directory(directory) if self.subject.is_immutable(directory) => FileFlags::IMMUTABLE,
            _ => FileFlags::empty(),
        }
    }

    fn check_vacant(&self) -> Result<(), Errno> {
        match self.subject.creation_error(NewNode::Regular) {
            Errno::ENOENT => Err(Errno::ENOENT),
            _ => Ok(()),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let Node::Directory(directory) = self.node else { return Err(Errno::ENOTDIR) };
        self.subject.check_alive(directory)?;
        let entry = directory.entries.iter().find(|entry| entry.name.as_bytes() == name);
        if let Some(entry) = entry.filter(|_| !self.subject.hides(directory, name)) {
            let (subject, permissions, node) = (self.subject.clone(), entry.permissions, entry.node);
            return Ok(self.child(name, Child { subject, permissions, node }, false));
        }
        let children = directory.children.ok_or(Errno::ENOENT)?;
        Ok(self.child(name, children.find(&self.subject, name)?, children.are_fleeting()))
    }

    fn has_stable_names(&self) -> bool {
        let is_fixed = matches!(self.node, Node::Directory(directory) if directory.children.is_none());
        is_fixed && self.subject.has_stable_names()
    }

    fn is_permanently_empty(&self) -> bool {
        let empty = |directory: &Directory<S>| directory.entries.is_empty() && directory.children.is_none();
        matches!(self.node, Node::Directory(directory) if empty(directory))
    }

    fn refuses_mounts(&self) -> bool {
        self.is_fleeting
    }

    fn create(&self, _name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Err(self.subject.creation_error(creation.node))
    }

    fn follow_link(&self, viewer: &Viewer) -> Result<LinkTarget, Errno> {
        match self.node {
            Node::Link(target) => target(&self.subject, viewer),
            Node::MagicLink(target, _) => target(&self.subject, viewer).map(LinkTarget::Magic),
            _ => Err(Errno::EINVAL),
        }
    }

    fn read_link(&self, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
        match self.node {
            Node::MagicLink(_, text) => text(&self.subject, viewer),
            _ => match self.follow_link(viewer)? {
                LinkTarget::Text(text) => Ok(text),
                LinkTarget::Magic(_) => Err(Errno::EINVAL),
            },
        }
    }

    fn permits(&self, access: Access, credentials: &Credentials) -> Option<Result<bool, Errno>> {
        let Node::Guarded(guard, _) = self.node else { return None };
        Some(self.metadata().and_then(|metadata| guard(&self.subject, &metadata, access, credentials)))
    }

    fn belongs_to(&self, viewer: &Viewer) -> bool {
        let Node::Directory(Directory { children: Some(children), .. }) = self.node else { return false };
        children.belong_to(&self.subject, viewer)
    }

    fn check_visible(&self, viewer: &Viewer) -> Result<(), Errno> {
        match self.node {
            Node::Directory(directory) => self.subject.check_visible(directory, viewer),
            _ => Ok(()),
        }
    }

    fn check_viewer(&self, viewer: &Viewer) -> Result<(), Errno> {
        let Node::Directory(directory) = self.node else { return Ok(()) };
        self.subject.check_viewer(directory, viewer)?;
        directory.children.map_or(Ok(()), |children| children.check_viewer(&self.subject, viewer))
    }

    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        let node = match self.node {
            Node::Guarded(_, node) => *node,
            node => node,
        };
        match node {
            Node::Directory(directory) => Ok(Arc::new(DirectoryFile::new(self, directory, viewer))),
            Node::Text(_) | Node::OpenedText(..)
                if flags.is_writable() && self.subject.write_refusal().is_none() =>
            {
                Err(Errno::EACCES)
            }
            Node::Table(_, None) if flags.is_writable() => Err(Errno::EACCES),
            Node::Text(read) => Ok(Arc::new(self.text(read_whole(read), viewer))),
            Node::Table(open, refusal) => {
                let read = open(&self.subject, viewer)?;
                let file = self.text(read, viewer);
                Ok(Arc::new(match refusal {
                    Some(refusal) => file.with_refusal(refusal),
                    None => file,
                }))
            }
            Node::OpenedText(open, ioctl) => {
                let read = open(&self.subject, viewer)?;
                Ok(Arc::new(self.text(read, viewer).with_ioctl(ioctl)))
            }
            Node::Bytes(open) => {
                let read = open(&self.subject, viewer)?;
                Ok(Arc::new(TextFile::new(self, read, None, viewer.clone())))
            }
            Node::SequenceSetting(read, write) => {
                let file = TextFile::new(self, read_whole(read), Some(write), viewer.clone());
                Ok(Arc::new(file.with_sequence(true)))
            }
            Node::Setting(read, write) => {
                Ok(Arc::new(TextFile::new(self, read_whole(read), Some(write), viewer.clone())))
            }
            Node::AnnouncedSetting(read, write, news) => {
                let file = TextFile::new(self, read_whole(read), Some(write), viewer.clone());
                Ok(Arc::new(file.with_news(news)))
            }
            Node::File(open) => open(&self.subject, viewer, self.metadata()?),
            Node::Link(_) | Node::MagicLink(..) | Node::Guarded(..) => Err(Errno::ELOOP),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
