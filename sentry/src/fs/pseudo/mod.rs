//! File systems whose contents are made up when they are read: procfs and sysfs.
//!
//! A tree is described by static tables of [`Entry`]s whose functions are given a [`Subject`]: what the files tell
//! about. Directories may have further children, made up too (one for each process, say).

mod directory;
mod inode;
#[cfg(test)]
mod tests;
mod text_file;
mod text_pieces;

use std::sync::Arc;

pub(super) use inode::PseudoInode;
pub(super) use text_pieces::TextPieces;

use super::{
    Access, Caller, DeviceNumber, File, FileKind, LinkTarget, Metadata, NewNode, Path, Splicing, Viewer,
};
use crate::Errno;
use crate::cred::{Credentials, KernelGid, KernelUid};
use crate::wait::News;

/// What the files of a tree tell about.
pub(super) trait Subject: Clone + Send + Sync + 'static {
    /// The device number of the file system.
    fn device(&self) -> DeviceNumber;
    /// Whether names found in directories without made-up children stay true: then they can be mounted on.
    fn has_stable_names(&self) -> bool {
        false
    }

    /// Whether a directory's links tell how many directories are in it; else it has one.
    fn counts_links(&self, _directory: &'static Directory<Self>) -> bool {
        true
    }

    /// Why a name that is not there cannot come to be. In most file systems the failed lookup is what is reported.
    fn creation_error(&self, _node: NewNode<'_>) -> Errno {
        Errno::ENOENT
    }

    /// Which ways splice(2) and its kin move data through the file that tells of it.
    fn splicing(&self) -> Splicing {
        Splicing::all()
    }

    /// Whether each write to a file stands for itself, wherever it is; else those behind the first have no effect
    /// (kernel.sysctl_writes_strict).
    fn writes_begin_anew(&self) -> bool {
        true
    }

    /// Fails if what a directory tells of is there no longer.
    fn check_alive(&self, _directory: &'static Directory<Self>) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether there is no such name in a directory, though its table has it.
    fn hides(&self, _directory: &'static Directory<Self>, _name: &[u8]) -> bool {
        false
    }

    /// Whether directories may not be there for some viewers.
    fn hides_some(&self) -> bool {
        false
    }

    /// Fails if a directory is not there for a viewer.
    ///
    /// # Errors
    /// ENOENT.
    fn check_visible(&self, _directory: &'static Directory<Self>, _viewer: &Viewer) -> Result<(), Errno> {
        Ok(())
    }

    /// Fails if a viewer may not look into a directory, whatever its mode says.
    ///
    /// # Errors
    /// EPERM, ENOENT.
    fn check_viewer(&self, _directory: &'static Directory<Self>, _viewer: &Viewer) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether texts are what Linux calls sequence files.
    fn has_sequences(&self) -> bool {
        false
    }

    /// Whether nobody may change a directory, whatever its mode says, nor its attributes.
    fn is_immutable(&self, _directory: &'static Directory<Self>) -> bool {
        false
    }

    /// Fails if a directory cannot be listed.
    fn check_listable(&self, directory: &'static Directory<Self>) -> Result<(), Errno> {
        self.check_alive(directory).map_err(|_| Errno::ENOENT)
    }

    /// Mode, owner and group of the file with this number, if somebody has changed them.
    fn changed_attributes(&self, _ino: u64) -> Option<FileAttributes> {
        None
    }

    /// Whether files have modes that can be changed.
    fn may_change_mode(&self) -> bool {
        true
    }

    /// Gives the file with this number another mode, owner or group.
    ///
    /// # Errors
    /// EPERM.
    fn change_attributes(&self, _node: &Node<Self>, _ino: u64, _new: FileAttributes) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// How each write fails to a file that nothing can be written to, though it is opened for writing by who may; `None` if
    /// nobody may.
    fn write_refusal(&self) -> Option<Errno> {
        None
    }

    /// What poll(2) answers; `None` if the files are none to wait for.
    fn polling(&self) -> Option<Polling> {
        None
    }

    /// Owner and group of the files.
    fn owner(&self) -> (KernelUid, KernelGid);

    /// The permissions of a directory below the root that everybody may look into.
    fn permissions_of_public_directory(&self) -> u32 {
        PUBLIC_DIRECTORY
    }

    /// Owner and group of a directory that everybody may look into.
    fn owner_of_public_directory(&self) -> (KernelUid, KernelGid) {
        self.owner()
    }
}

/// What a table says of a directory that everybody may look into.
const PUBLIC_DIRECTORY: u32 = 0o555;

/// What chmod(2) and chown(2) change of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileAttributes {
    pub(super) permissions: u32,
    pub(super) uid: KernelUid,
    pub(super) gid: KernelGid,
}

/// What poll(2) answers of files that are always ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polling {
    /// That they are.
    Ready,
    /// The same, and that there is news until they have been read.
    NewsUntilRead,
}

/// Makes up the contents of a file.
pub(super) type Read<S> = fn(&S, &Viewer) -> Result<Vec<u8>, Errno>;
/// Decides at the opening of a file who may read it, and what the reads will find.
pub(super) type OpenText<S> = fn(&S, &Viewer) -> Result<Reader<S>, Errno>;
/// Makes up a piece of the contents of an open file: the first one from 0 on, each other from where the one before it says.
pub(super) type Reader<S> = Box<dyn Fn(&S, &Viewer, u64) -> Result<Piece, Errno> + Send + Sync>;

/// A piece of a text.
pub(super) struct Piece {
    pub(super) text: Vec<u8>,
    /// Where the next one begins, in whatever the text is made of; `None` after the last.
    pub(super) next: Option<u64>,
}

impl Piece {
    /// All of a text.
    pub(super) fn whole(text: Vec<u8>) -> Self {
        Self { text, next: None }
    }
}

/// A reader that makes up all at once.
pub(super) fn read_whole<S: 'static>(read: Read<S>) -> Reader<S> {
    Box::new(move |subject, viewer, _| read(subject, viewer).map(Piece::whole))
}
/// Where changes of a setting are announced.
pub(super) type NewsOf<S> = fn(&S, &Viewer) -> Arc<News>;
/// Serves ioctl(2) on an open file: the request, its argument, and who calls.
pub(super) type Ioctl<S> = fn(&S, &Viewer, u32, u64, &dyn Caller) -> Result<usize, Errno>;

/// A file that knows no request.
pub(super) fn no_ioctl<S>(_: &S, _: &Viewer, _: u32, _: u64, _: &dyn Caller) -> Result<usize, Errno> {
    Err(Errno::ENOTTY)
}

/// Takes what is written to a file.
pub(super) type Write<S> = fn(&S, &Viewer, &[u8]) -> Result<(), Errno>;

/// Opens a file, which has this metadata.
pub(super) type Open<S> = fn(&S, &Viewer, Metadata) -> Result<Arc<dyn File>, Errno>;

/// Whether somebody may access a file that has this metadata: a rule of its own, in the place of the usual one.
pub(super) type Guard<S> = fn(&S, &Metadata, Access, &Credentials) -> Result<bool, Errno>;

/// A name in a directory.
pub(super) struct Entry<S: 'static> {
    pub(super) name: &'static str,
    pub(super) permissions: u32,
    pub(super) node: Node<S>,
}

/// What a name stands for.
pub(super) enum Node<S: 'static> {
    Text(Read<S>),
    /// A text with a rule of its own about writers: each write fails with the error; without one nobody opens it for that.
    Table(OpenText<S>, Option<Errno>),
    Setting(Read<S>, Write<S>),
    /// A setting that is a sequence file.
    SequenceSetting(Read<S>, Write<S>),
    /// The same, whose changes poll(2) tells of, once each.
    AnnouncedSetting(Read<S>, Write<S>, NewsOf<S>),
    /// A text that is refused at its opening, or bound then to what it tells of.
    OpenedText(OpenText<S>, Ioctl<S>),
    /// Bytes as they are in memory: no sequence file.
    Bytes(OpenText<S>),
    Link(fn(&S, &Viewer) -> Result<LinkTarget, Errno>),
    /// A link straight to a place, and the text that readlink(2) shows for it.
    MagicLink(fn(&S, &Viewer) -> Result<Path, Errno>, Read<S>),
    /// A file with a behaviour of its own.
    File(Open<S>),
    Directory(&'static Directory<S>),
    /// A file with a rule of its own about who may access it.
    Guarded(Guard<S>, &'static Self),
}

// By hand: deriving asks for `S: Copy`.
impl<S> Clone for Node<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Node<S> {}

impl<S> Node<S> {
    fn kind(&self) -> FileKind {
        match self {
            Self::Text(_)
            | Self::Table(..)
            | Self::Bytes(_)
            | Self::Setting(..)
            | Self::SequenceSetting(..)
            | Self::AnnouncedSetting(..)
            | Self::OpenedText(..)
            | Self::File(_) => FileKind::Regular,
            Self::Link(_) | Self::MagicLink(..) => FileKind::Symlink,
            Self::Directory(_) => FileKind::Directory,
            Self::Guarded(_, node) => node.kind(),
        }
    }
}

/// A directory: its fixed names, and where the others come from.
pub(super) struct Directory<S: 'static> {
    pub(super) entries: &'static [Entry<S>],
    pub(super) children: Option<&'static dyn Children<S>>,
}

/// Names of a directory that are made up.
pub(super) trait Children<S>: Sync {
    /// All of them, by ascending key; the key is where reading the directory goes on.
    fn list(&self, subject: &S) -> Result<Vec<(u64, Vec<u8>)>, Errno>;
    /// The type of all of them.
    fn kind(&self) -> FileKind;
    /// The type of the one called `name`, where they are not all alike.
    fn kind_of(&self, _name: &[u8]) -> FileKind {
        self.kind()
    }
    /// The child called `name`; ENOENT if there is none.
    fn find(&self, subject: &S, name: &[u8]) -> Result<Child<S>, Errno>;
    /// The size that stat(2) tells of the directory.
    fn size(&self, _subject: &S) -> u64 {
        0
    }
    /// Whether they come and go, so that nothing can be mounted on them.
    fn are_fleeting(&self) -> bool {
        false
    }
    /// Whether `viewer` may always see them, whatever the directory's mode and owner say.
    fn belong_to(&self, _subject: &S, _viewer: &Viewer) -> bool {
        false
    }
    /// Fails for a viewer who may neither list nor search the directory, whatever its mode says.
    fn check_viewer(&self, _subject: &S, _viewer: &Viewer) -> Result<(), Errno> {
        Ok(())
    }
}

/// A made-up child.
pub(super) struct Child<S: 'static> {
    pub(super) subject: S,
    pub(super) permissions: u32,
    pub(super) node: Node<S>,
}

/// A file that anybody may read.
pub(super) const fn text<S>(name: &'static str, read: Read<S>) -> Entry<S> {
    Entry { name, permissions: 0o444, node: Node::Text(read) }
}

/// A file that only its owner may read.
pub(super) const fn private_text<S>(name: &'static str, read: Read<S>) -> Entry<S> {
    Entry { name, permissions: 0o400, node: Node::Text(read) }
}

/// A file that its owner may write too.
pub(super) const fn setting<S>(name: &'static str, read: Read<S>, write: Write<S>) -> Entry<S> {
    Entry { name, permissions: 0o644, node: Node::Setting(read, write) }
}

/// The same as a sequence file.
pub(super) const fn sequence_setting<S>(name: &'static str, read: Read<S>, write: Write<S>) -> Entry<S> {
    Entry { name, permissions: 0o644, node: Node::SequenceSetting(read, write) }
}

/// A directory that anybody may list.
pub(super) const fn directory<S>(name: &'static str, directory: &'static Directory<S>) -> Entry<S> {
    Entry { name, permissions: PUBLIC_DIRECTORY, node: Node::Directory(directory) }
}

/// A symbolic link.
pub(super) const fn link<S>(
    name: &'static str,
    target: fn(&S, &Viewer) -> Result<LinkTarget, Errno>,
) -> Entry<S> {
    Entry { name, permissions: 0o777, node: Node::Link(target) }
}

/// Why nothing can be made in a directory that its file system fills alone.
pub(super) fn refused_creation(node: NewNode<'_>) -> Errno {
    if node == NewNode::Regular { Errno::EACCES } else { Errno::EPERM }
}

/// A number as a canonical decimal name (no sign, no leading zero); `None` for other names.
pub(super) fn parse_number(name: &[u8]) -> Option<i32> {
    let is_canonical = name == b"0" || name.first().is_some_and(|first| (b'1'..=b'9').contains(first));
    let digits = std::str::from_utf8(name).ok().filter(|_| is_canonical)?;
    digits.parse().ok()
}
