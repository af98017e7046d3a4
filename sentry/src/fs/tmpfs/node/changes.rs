//! What a node tells to who looks for differences from the layer below.

use std::sync::Arc;

use super::{Body, Node};
use crate::Errno;
use crate::fs::lower::LowerStatus;
use crate::fs::metadata::{FileKind, Timestamp};
use crate::fs::tmpfs::directory::Target;
use crate::fs::tmpfs::lower::Identity;

/// The names in a directory.
pub(in crate::fs::tmpfs) struct Listing {
    pub(in crate::fs::tmpfs) entries: Vec<Listed>,
    /// They are those of the layer, which still answers.
    pub(in crate::fs::tmpfs) is_untouched: bool,
}

/// A name in a directory.
pub(in crate::fs::tmpfs) struct Listed {
    pub(in crate::fs::tmpfs) name: Box<[u8]>,
    /// It leads to the layer's file of the same name.
    pub(in crate::fs::tmpfs) is_lower: bool,
}

impl Node {
    pub(in crate::fs::tmpfs) fn handle(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Which file of the layer it began as.
    pub(in crate::fs::tmpfs) fn identity(&self) -> Option<Identity> {
        self.lower.as_ref().map(|lower| lower.identity)
    }

    /// Tells this state of it from others, and from other files.
    pub(in crate::fs::tmpfs) fn version(&self) -> (u64, Timestamp) {
        (self.ino, self.attributes.lock().changed)
    }

    /// How many names lead to changed files of the layer.
    pub(in crate::fs::tmpfs) fn changed_names_below(&self) -> u64 {
        let Some(table) = &self.volume.lower else { return 0 };
        let names = |node: &Arc<Node>| match node.kind {
            FileKind::Directory => 1,
            _ => u64::from(node.attributes.lock().links),
        };
        table.changed().iter().map(names).sum()
    }

    /// The names in this directory.
    ///
    /// # Errors
    /// ENOTDIR, and what keeps the layer from being read.
    pub(in crate::fs::tmpfs) fn listing(&self) -> Result<Listing, Errno> {
        let Body::Directory(entries) = &self.body else { return Err(Errno::ENOTDIR) };
        let entries = entries.lock();
        if entries.is_untouched() {
            drop(entries);
            let listed = |name| Listed { name, is_lower: true };
            let entries = self.lower_names()?.into_iter().map(listed).collect();
            return Ok(Listing { entries, is_untouched: true });
        }
        let listed = |(name, target): (&[u8], &Target)| Listed {
            name: name.into(),
            is_lower: matches!(target, Target::Lower { .. }),
        };
        Ok(Listing { entries: entries.targets().map(listed).collect(), is_untouched: false })
    }

    /// The names that the layer has in this directory.
    ///
    /// # Errors
    /// What keeps the layer from being read.
    pub(in crate::fs::tmpfs) fn lower_names(&self) -> Result<Vec<Box<[u8]>>, Errno> {
        let listed = self.lower.as_ref().map_or(Ok(Vec::new()), |lower| lower.file.list())?;
        Ok(listed.into_iter().map(|entry| entry.name).collect())
    }

    /// What the layer has in this directory as `name`; `None` for nothing.
    ///
    /// # Errors
    /// What keeps the layer from being read.
    pub(in crate::fs::tmpfs) fn lower_status(&self, name: &[u8]) -> Result<Option<LowerStatus>, Errno> {
        match self.lower.as_ref().map(|lower| lower.file.lookup(name)) {
            Some(Ok((_, status))) => Ok(Some(status)),
            None | Some(Err(Errno::ENOENT)) => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }
}
