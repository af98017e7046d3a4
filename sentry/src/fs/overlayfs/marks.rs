//! The marks that layers bear: whiteouts, and attributes that only an overlay sees.

use std::sync::Arc;

use super::Overlay;
use crate::Errno;
use crate::fs::metadata::{DeviceNumber, FileKind, Metadata};
use crate::fs::{Dentry, Inode};

/// The longest text of a redirect mark.
const MAX_REDIRECT_LEN: usize = 256;
/// Head of an origin mark: version, magic number and length of Linux's `ovl_fb`, no flags, a type of handle.
const ORIGIN_HEAD: [u8; 5] = [0, 0xfb, 29, 0, 0x81];
/// Length of that: behind the head, which file system (16 bytes) and the number of the inode.
const ORIGIN_LEN: usize = 29;

/// What a mark says of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opacity {
    /// What lies below is seen.
    Merged,
    /// The same, and some of its files are marked as whiteouts by an attribute.
    WithMarkedWhiteouts,
    /// What lies below is not seen.
    Opaque,
}

impl Overlay {
    fn mark(&self, name: &str) -> Vec<u8> {
        [self.mark_prefix(), name.as_bytes()].concat()
    }

    /// What the names of all marks begin with.
    pub(super) fn mark_prefix(&self) -> &'static [u8] {
        if self.options.uses_user_attributes { b"user.overlay." } else { b"trusted.overlay." }
    }

    /// The name on a layer of an attribute that the overlay shows as `name`: what looks like a mark is told from one.
    pub(super) fn name_on_layer(&self, name: &[u8]) -> Vec<u8> {
        match name.strip_prefix(self.mark_prefix()) {
            Some(rest) => [self.mark_prefix(), b"overlay.", rest].concat(),
            None => name.to_vec(),
        }
    }

    /// The reverse; `None` for a mark.
    pub(super) fn name_from_layer(&self, name: Vec<u8>) -> Option<Vec<u8>> {
        match name.strip_prefix(self.mark_prefix()) {
            Some(rest) => Some([self.mark_prefix(), rest.strip_prefix(b"overlay.")?].concat()),
            None => Some(name),
        }
    }

    fn read_mark(&self, inode: &Arc<dyn Inode>, name: &str) -> Option<Vec<u8>> {
        inode.get_xattr(&self.mark(name)).ok()
    }

    fn set_mark(&self, inode: &Arc<dyn Inode>, name: &str, value: &[u8]) -> Result<(), Errno> {
        if !self.may_mark {
            return Err(Errno::EOPNOTSUPP);
        }
        inode.set_xattr(&self.mark(name), value, None)
    }

    /// What is said of `directory`.
    pub(super) fn opacity(&self, directory: &Dentry) -> Opacity {
        match self.read_mark(directory.inode(), "opaque").as_deref() {
            Some(b"y") => Opacity::Opaque,
            Some(b"x") => Opacity::WithMarkedWhiteouts,
            _ => Opacity::Merged,
        }
    }

    /// Hides what lies below `directory`.
    ///
    /// # Errors
    /// EIO: its file system keeps no such attributes.
    pub(super) fn set_opaque(&self, directory: &Dentry) -> Result<(), Errno> {
        let result = self.set_mark(directory.inode(), "opaque", b"y");
        result.map_err(|error| if error == Errno::EOPNOTSUPP { Errno::EIO } else { error })
    }

    /// Whether `file` says that there is nothing of its name; `marked` as in [`Opacity::WithMarkedWhiteouts`].
    pub(super) fn is_whiteout(&self, file: &Dentry, marked: bool) -> Result<bool, Errno> {
        let inode = file.inode();
        match inode.kind() {
            FileKind::CharacterDevice => Ok(is_whiteout_device(&inode.metadata()?)),
            FileKind::Regular if marked => {
                Ok(inode.metadata()?.size_bytes == 0 && self.read_mark(inode, "whiteout").is_some())
            }
            _ => Ok(false),
        }
    }

    /// Where `directory` was before it was renamed: a name of the same directory, or a path from the top.
    ///
    /// # Errors
    /// EIO: the mark makes no sense.
    pub(super) fn redirect(&self, directory: &Dentry) -> Result<Option<Vec<u8>>, Errno> {
        let Some(text) = self.read_mark(directory.inode(), "redirect") else { return Ok(None) };
        let is_path = text.first() == Some(&b'/');
        let mut names = text.split(|&byte| byte == b'/').skip(usize::from(is_path));
        let has_good_names = names.clone().all(|name| !matches!(name, b"" | b"." | b".."));
        let is_one = names.clone().count() == 1;
        if has_good_names && (is_path || is_one) && names.next().is_some() {
            Ok(Some(text))
        } else {
            Err(Errno::EIO)
        }
    }

    /// Says where `directory` was.
    ///
    /// # Errors
    /// EXDEV: that cannot be kept.
    pub(super) fn set_redirect(&self, directory: &Dentry, text: &[u8]) -> Result<(), Errno> {
        if text.len() > MAX_REDIRECT_LEN {
            return Err(Errno::EXDEV);
        }
        self.set_mark(directory.inode(), "redirect", text).map_err(|_| Errno::EXDEV)
    }

    /// Says that `directory` holds files that were copied from below, so that listing it must look for their numbers.
    pub(super) fn set_impure(&self, directory: &Dentry) {
        // Without it only the numbers in listings differ.
        let _ = self.set_mark(directory.inode(), "impure", b"y");
    }

    /// Whether `directory` is so marked.
    pub(super) fn is_impure(&self, directory: &Dentry) -> bool {
        self.read_mark(directory.inode(), "impure").is_some()
    }

    /// Whether the contents of `file` lie below, for it is a copy of the attributes alone.
    pub(super) fn lacks_contents(&self, file: &Dentry) -> bool {
        file.inode().kind() == FileKind::Regular && self.read_mark(file.inode(), "metacopy").is_some()
    }

    /// Says that `copy` was copied from a file numbered `number` of a file system numbered `device`.
    pub(super) fn set_origin(&self, copy: &Dentry, device: DeviceNumber, ino: u64) {
        let mut mark = ORIGIN_HEAD.to_vec();
        mark.extend(device.major.to_le_bytes());
        mark.extend(device.minor.to_le_bytes());
        mark.extend([0; 8]);
        mark.extend(ino.to_le_bytes());
        // As on Linux: where it cannot be kept, the file gets another number with the next mount.
        let _ = self.set_mark(copy.inode(), "origin", &mark);
    }

    /// What [`Self::set_origin`] said.
    pub(super) fn origin(&self, copy: &Dentry) -> Option<(DeviceNumber, u64)> {
        let mark = self.read_mark(copy.inode(), "origin")?;
        if mark.len() != ORIGIN_LEN || !mark.starts_with(&ORIGIN_HEAD) {
            return None;
        }
        let word = |at: usize| mark.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let ino = mark.get(21..29)?.try_into().ok().map(u64::from_le_bytes)?;
        Some((DeviceNumber::new(word(5)?, word(9)?), ino))
    }
}

fn is_whiteout_device(metadata: &Metadata) -> bool {
    metadata.special_device == DeviceNumber::default()
}
