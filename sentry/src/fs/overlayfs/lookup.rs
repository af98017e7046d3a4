//! From a name to the files of layers that are seen under it.

use std::sync::Arc;

use super::inode::OverlayInode;
use super::marks::Opacity;
use super::options::RedirectMode;
use super::{Overlay, layer};
use crate::Errno;
use crate::fs::Dentry;

/// A file of a lower layer.
#[derive(Clone)]
pub(super) struct LowerFile {
    /// Which layer.
    pub(super) layer: usize,
    pub(super) dentry: Arc<Dentry>,
}

/// What is seen under a name: a file, or the directories of several layers.
#[derive(Clone, Default)]
pub(super) struct Found {
    pub(super) upper: Option<Arc<Dentry>>,
    /// From the top down.
    pub(super) lower: Vec<LowerFile>,
}

/// A search that goes down the layers.
struct Search<'a> {
    overlay: &'a Overlay,
    found: Found,
    /// The name in the directories that are still to be looked in, or a path from the tops of their layers.
    name: Vec<u8>,
    is_over: bool,
}

impl OverlayInode {
    /// What this directory has under `name`.
    ///
    /// # Errors
    /// ENOENT, and those of the layers.
    pub(super) fn find(&self, name: &[u8]) -> Result<Found, Errno> {
        let overlay = &self.overlay;
        let mut search = Search { overlay, found: Found::default(), name: name.to_vec(), is_over: false };
        if let Some(upper) = self.upper()
            && let Some(file) = layer::find(upper, name)?
        {
            search.meet(None, file, overlay.opacity(upper) == Opacity::WithMarkedWhiteouts)?;
        }
        search.run(&self.lower)?;
        let found = search.found;
        if found.upper.is_none() && found.lower.is_empty() { Err(Errno::ENOENT) } else { Ok(found) }
    }

    /// Whether a layer below the upper one has something under `name` that would be seen without that.
    pub(super) fn is_in_lower(&self, name: &[u8]) -> Result<bool, Errno> {
        let overlay = &self.overlay;
        let mut search = Search { overlay, found: Found::default(), name: name.to_vec(), is_over: false };
        search.run(&self.lower)?;
        Ok(!search.found.lower.is_empty())
    }
}

impl Search<'_> {
    /// Looks in `directories`, the lower ones of a directory, from the top down; after a redirect to a path, in all layers
    /// below.
    fn run(&mut self, directories: &[LowerFile]) -> Result<(), Errno> {
        let mut next_layer = 0;
        for directory in directories {
            if self.is_over || self.is_path() {
                break;
            }
            next_layer = directory.layer + 1;
            self.look_in(directory.layer, &directory.dentry)?;
        }
        for layer in next_layer..self.overlay.lower.len() {
            if self.is_over || !self.is_path() {
                break;
            }
            self.look_from_top(layer)?;
        }
        Ok(())
    }

    fn is_path(&self) -> bool {
        self.name.first() == Some(&b'/')
    }

    /// Looks for `text` from now on, which a mark says: a path, or a name in the place of the last one.
    fn go_on_at(&mut self, text: Vec<u8>) {
        let last = self.name.iter().rposition(|&byte| byte == b'/').filter(|_| text.first() != Some(&b'/'));
        self.name.truncate(last.map_or(0, |last| last + 1));
        self.name.extend(text);
    }

    fn look_in(&mut self, layer: usize, directory: &Arc<Dentry>) -> Result<(), Errno> {
        if !directory.is_directory() {
            return Ok(());
        }
        let marked = self.overlay.opacity(directory) == Opacity::WithMarkedWhiteouts;
        match layer::find(directory, &self.name)? {
            Some(file) => self.meet(Some(layer), file, marked),
            None => Ok(()),
        }
    }

    fn look_from_top(&mut self, layer: usize) -> Result<(), Errno> {
        let Some(top) = self.overlay.lower.get(layer) else { return Ok(()) };
        let path = self.name.clone();
        let mut place = top.root().clone();
        let mut marked = false;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            if !place.is_directory() {
                return Ok(());
            }
            marked = self.overlay.opacity(&place) == Opacity::WithMarkedWhiteouts;
            let Some(file) = layer::find(&place, name)? else { return Ok(()) };
            if self.overlay.is_whiteout(&file, marked)? {
                return Ok(());
            }
            place = file;
        }
        self.meet(Some(layer), place, marked)
    }

    /// Takes `file` of a layer, unless it is hidden by what is above.
    fn meet(&mut self, layer: Option<usize>, file: Arc<Dentry>, marked: bool) -> Result<(), Errno> {
        if self.overlay.is_whiteout(&file, marked)? {
            self.is_over = true;
            return Ok(());
        }
        let is_first = self.found.upper.is_none() && self.found.lower.is_empty();
        if !file.is_directory() {
            self.is_over = true;
            if !is_first {
                return Ok(());
            }
            if self.overlay.lacks_contents(&file) {
                return Err(Errno::EIO);
            }
        } else {
            self.is_over = self.overlay.opacity(&file) == Opacity::Opaque;
            if !self.is_over
                && let Some(text) = self.overlay.redirect(&file)?
            {
                match self.overlay.options.redirect {
                    RedirectMode::NoFollow => return Err(Errno::EPERM),
                    RedirectMode::Follow | RedirectMode::On => self.go_on_at(text),
                }
            }
        }
        match layer {
            Some(layer) => self.found.lower.push(LowerFile { layer, dentry: file }),
            None => self.found.upper = Some(file),
        }
        Ok(())
    }
}
