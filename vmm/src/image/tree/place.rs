//! Where a member of an archive goes in the tree of its layer.
//!
//! Names are the image specification's: `.wh.NAME` hides `NAME` of the layers below, and `.wh..wh..opq` everything that they have in the
//! directory. A path leads through directories alone: not up, and not through a link, which could lead anywhere.

use anyhow::{Context, bail, ensure};
use sentry::fs::layers::format::{MAX_LINK_LEN, MAX_NAME_LEN};

use super::{Attributes, Content, Directory, Node, NodeId, Tree, implicit_directory};
use crate::image::tar::{OPAQUE_NAME, WHITEOUT_PREFIX, shown};

/// What aufs keeps for itself.
const RESERVED_PREFIX: &[u8] = b".wh..wh.";

impl Tree {
    /// Puts `node` at `path`, in the place of what has been there. A directory that is there keeps what is in it.
    ///
    /// # Errors
    /// The path leads up, through something that is no directory, or is too long.
    pub(crate) fn place(&mut self, path: &[u8], node: Node) -> anyhow::Result<()> {
        let Some((parent, name)) = self.parent_of(path)? else {
            return self.describe_root(node);
        };
        match name.strip_prefix(WHITEOUT_PREFIX) {
            Some(_) if name == OPAQUE_NAME => self.make_opaque(parent),
            Some(_) if name.starts_with(RESERVED_PREFIX) => Ok(()),
            Some(hidden) => self.hide(parent, hidden),
            None => self.enter(parent, name, node),
        }
    }

    /// Makes `path` another name of the file at `target`.
    ///
    /// # Errors
    /// As for [`Self::place`], for either; and the target is a directory.
    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) -> anyhow::Result<()> {
        let names = checked_names(target).context("a hard link")?;
        let (parent, name) = self.parent_of(path)?.context("a hard link without a name")?;
        match self.find(target).filter(|found| !self.is_whiteout(*found)) {
            Some(found) => {
                ensure!(self.directory(found).is_none(), "a hard link to a directory");
                self.entries(parent)?.insert(name.into(), found);
                Ok(())
            }
            None => {
                self.check_way(&names).context("a hard link")?;
                let content = Content::LinkBelow(names.join(&b'/').into());
                self.enter(parent, name, Node { attributes: Attributes::default(), content })
            }
        }
    }

    /// The directory that `path` is in, and its name there; `None` for the root. Directories that are missing are made.
    fn parent_of<'a>(&mut self, path: &'a [u8]) -> anyhow::Result<Option<(NodeId, &'a [u8])>> {
        let mut names = checked_names(path)?;
        let Some(name) = names.pop() else { return Ok(None) };
        let mut directory = NodeId::ROOT;
        for name in names {
            directory = match self.child(directory, name) {
                Some(child) if self.directory(child).is_some() => child,
                // It is hidden below, and is a directory now.
                Some(child) if self.is_whiteout(child) => {
                    let node = opaque(implicit_directory());
                    self.enter_new(directory, name, node)?
                }
                Some(_) => bail!("it goes through '{}', which is no directory", shown(name)),
                None => self.enter_new(directory, name, implicit_directory())?,
            };
        }
        Ok(Some((directory, name)))
    }

    /// Fails if a part of the way that `names` go is something else than a directory. What is not there may be below.
    fn check_way(&self, names: &[&[u8]]) -> anyhow::Result<()> {
        let mut directory = NodeId::ROOT;
        for name in names {
            match self.child(directory, name) {
                Some(child) if self.directory(child).is_some() => directory = child,
                Some(child) if self.is_whiteout(child) => return Ok(()),
                Some(_) => bail!("through '{}', which is no directory", shown(name)),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn describe_root(&mut self, node: Node) -> anyhow::Result<()> {
        ensure!(matches!(node.content, Content::Directory(_)), "it has no name");
        self.describe(NodeId::ROOT, node.attributes)
    }

    /// Gives attributes to a directory that is there.
    fn describe(&mut self, id: NodeId, attributes: Attributes) -> anyhow::Result<()> {
        self.node_mut(id).context("no such node")?.attributes = attributes;
        self.directory_mut(id).context("no directory")?.is_implicit = false;
        Ok(())
    }

    fn enter(&mut self, parent: NodeId, name: &[u8], node: Node) -> anyhow::Result<()> {
        let is_directory = matches!(node.content, Content::Directory(_));
        match self.child(parent, name) {
            Some(old) if is_directory && self.directory(old).is_some() => self.describe(old, node.attributes),
            Some(old) if is_directory && self.is_whiteout(old) => {
                self.enter_new(parent, name, opaque(node)).map(drop)
            }
            _ => self.enter_new(parent, name, node).map(drop),
        }
    }

    fn enter_new(&mut self, parent: NodeId, name: &[u8], node: Node) -> anyhow::Result<NodeId> {
        let id = self.add(node)?;
        self.entries(parent)?.insert(name.into(), id);
        Ok(id)
    }

    fn entries(
        &mut self,
        directory: NodeId,
    ) -> anyhow::Result<&mut std::collections::BTreeMap<Box<[u8]>, NodeId>> {
        Ok(&mut self.directory_mut(directory).context("no directory")?.entries)
    }

    fn make_opaque(&mut self, directory: NodeId) -> anyhow::Result<()> {
        self.directory_mut(directory).context("no directory")?.is_opaque = true;
        Ok(())
    }

    /// Hides `name` of the layers below. What this layer has of that name stays.
    fn hide(&mut self, parent: NodeId, name: &[u8]) -> anyhow::Result<()> {
        ensure!(!matches!(name, b"" | b"." | b".."), "it hides nothing that there can be");
        match self.child(parent, name) {
            Some(child) if self.directory(child).is_some() => self.make_opaque(child),
            Some(_) => Ok(()),
            None => {
                let node = Node { attributes: Attributes::default(), content: Content::Whiteout };
                self.enter_new(parent, name, node).map(drop)
            }
        }
    }

    fn is_whiteout(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.content == Content::Whiteout)
    }
}

fn opaque(mut node: Node) -> Node {
    if let Content::Directory(Directory { is_opaque, .. }) = &mut node.content {
        *is_opaque = true;
    }
    node
}

/// The components of a path.
fn checked_names(path: &[u8]) -> anyhow::Result<Vec<&[u8]>> {
    ensure!(path.len() <= MAX_LINK_LEN, "its path has {} bytes; Linux allows {MAX_LINK_LEN}", path.len());
    ensure!(!path.contains(&0), "there is a zero in its path");
    let names: Vec<_> =
        path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    for name in &names {
        ensure!(*name != b"..", "its path leads up, by '..'");
        ensure!(name.len() <= MAX_NAME_LEN, "a name of {} bytes; Linux allows {MAX_NAME_LEN}", name.len());
    }
    Ok(names)
}
