//! A tree of files in memory: what one layer has, or what several make together.
//!
//! [`Tree`] is put together from the members of an archive ([`place`]), written down and read again as an index in the sentry's
//! format ([`encode`], [`decode`]), and merged with what is above it ([`merge`]).

mod decode;
mod encode;
mod merge;
mod place;

use std::collections::BTreeMap;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

/// A node's place in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

impl NodeId {
    const ROOT: Self = Self(0);

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Files, directories and marks. Nodes that no name leads to any more stay until the tree is written down.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

/// A file, directory or other object, or a mark for whoever merges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) attributes: Attributes,
    pub(crate) content: Content,
}

/// What is told of a node besides its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits, with set-ID and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Regular(Region),
    Directory(Directory),
    Symlink(Box<[u8]>),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    /// The name is gone from the layers below.
    Whiteout,
    /// Another name of the file of the layers below that has this path.
    LinkBelow(Box<[u8]>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Directory(Directory::default())
    }
}

/// Where the contents of a regular file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Region {
    /// Which layer's, counted from the lowest.
    pub(crate) layer: u32,
    /// Where in the layer's contents, in bytes.
    pub(crate) start: u64,
    pub(crate) size: u64,
    /// Bytes that are no holes.
    pub(crate) stored: u64,
}

/// The names in a directory, and what it does to the layers below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    entries: BTreeMap<Box<[u8]>, NodeId>,
    /// What the layers below have in it is hidden.
    is_opaque: bool,
    /// The archive has only what is in it, and does not describe it.
    is_implicit: bool,
}

impl Tree {
    /// A root directory that is not described, and nothing in it.
    pub(crate) fn new() -> Self {
        Self { nodes: vec![implicit_directory()] }
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.index())
    }

    fn directory(&self, id: NodeId) -> Option<&Directory> {
        match &self.node(id)?.content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn directory_mut(&mut self, id: NodeId) -> Option<&mut Directory> {
        match &mut self.node_mut(id)?.content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        self.directory(directory)?.entries.get(name).copied()
    }

    fn add(&mut self, node: Node) -> anyhow::Result<NodeId> {
        let id = u32::try_from(self.nodes.len()).map(NodeId)?;
        self.nodes.push(node);
        Ok(id)
    }

    /// The node at `path`, whose components are taken as they stand: no link is followed.
    fn find(&self, path: &[u8]) -> Option<NodeId> {
        let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        names.into_iter().try_fold(NodeId::ROOT, |directory, name| self.child(directory, name))
    }
}

/// A directory that an archive does not describe: docker makes it like this, too.
fn implicit_directory() -> Node {
    Node {
        attributes: Attributes { mode: 0o755, ..Attributes::default() },
        content: Content::Directory(Directory { is_implicit: true, ..Directory::default() }),
    }
}
