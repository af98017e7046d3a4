//! Layers, one over the other.

use std::collections::HashMap;

use anyhow::Context;

use super::{Content, NodeId, Tree};
use crate::image::tar::shown;

impl Tree {
    /// Puts `layer`, the one with number `number` from below, over this tree.
    ///
    /// # Errors
    /// A file of the layer is another name of one that is not there.
    pub(crate) fn merge(&mut self, layer: Self, number: u32) -> anyhow::Result<()> {
        // Before anything is hidden: a file that the layer has renamed is linked to, and hidden under its old name.
        let linked = self.find_linked(&layer)?;
        let first = u32::try_from(self.nodes.len())?;
        self.nodes.extend(layer.nodes);
        let moved = |id: NodeId| NodeId(id.0 + first);
        let mut pending = vec![(NodeId::ROOT, NodeId::ROOT)];
        while let Some((below, above)) = pending.pop() {
            let upper =
                self.node_mut(moved(above)).map(std::mem::take).context("a layer that makes no sense")?;
            let Content::Directory(upper_directory) = upper.content else { continue };
            let lower = self.node_mut(below).context("a tree that makes no sense")?;
            if !upper_directory.is_implicit {
                lower.attributes = upper.attributes;
            }
            if upper_directory.is_opaque {
                self.entries_of(below)?.clear();
            }
            for (name, child) in upper_directory.entries {
                self.put_over(below, &name, child, &linked, &mut pending, (first, number))?;
            }
        }
        Ok(())
    }

    /// Puts the layer's node `above` over what `directory` has as `name`. Two directories are `pending` then.
    fn put_over(
        &mut self,
        directory: NodeId,
        name: &[u8],
        above: NodeId,
        linked: &HashMap<NodeId, NodeId>,
        pending: &mut Vec<(NodeId, NodeId)>,
        (first, number): (u32, u32),
    ) -> anyhow::Result<()> {
        let moved = NodeId(above.0 + first);
        let old = self.child(directory, name).filter(|old| self.directory(*old).is_some());
        let placed = match &mut self.node_mut(moved).context("a layer that makes no sense")?.content {
            Content::Whiteout => {
                self.entries_of(directory)?.remove(name);
                return Ok(());
            }
            Content::LinkBelow(_) => *linked.get(&above).context("a link to nothing")?,
            Content::Directory(_) => {
                let below = match old {
                    Some(old) => old,
                    None => self.add(super::implicit_directory())?,
                };
                pending.push((below, above));
                below
            }
            Content::Regular(region) => {
                region.layer = number;
                moved
            }
            _ => moved,
        };
        self.entries_of(directory)?.insert(name.into(), placed);
        Ok(())
    }

    /// For each link of `layer` to a file below: that file.
    fn find_linked(&self, layer: &Self) -> anyhow::Result<HashMap<NodeId, NodeId>> {
        let mut found = HashMap::new();
        for (index, node) in layer.nodes.iter().enumerate() {
            let Content::LinkBelow(path) = &node.content else { continue };
            let target = self.find(path).filter(|target| self.directory(*target).is_none());
            let target = target.with_context(|| {
                format!("a hard link to '{}', which is no file of the image", shown(path))
            })?;
            found.insert(NodeId(u32::try_from(index)?), target);
        }
        Ok(found)
    }

    fn entries_of(
        &mut self,
        directory: NodeId,
    ) -> anyhow::Result<&mut std::collections::BTreeMap<Box<[u8]>, NodeId>> {
        Ok(&mut self.directory_mut(directory).context("a tree that makes no sense")?.entries)
    }

    /// Takes off the marks that were for merging, once nothing is left to merge with.
    pub(crate) fn settle(&mut self) {
        for node in &mut self.nodes {
            if let Content::Directory(directory) = &mut node.content {
                (directory.is_implicit, directory.is_opaque) = (false, false);
            }
        }
    }
}
