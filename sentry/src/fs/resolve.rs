//! Path resolution (`man 7 path_resolution`, `man 2 openat2`).

use std::borrow::Cow;

use linux_raw_sys::general as uapi;

use super::inode::{LinkTarget, Viewer};
use super::metadata::FileKind;
use super::path::{MAX_NAME_LEN, MAX_PATH_LEN, Path};
use super::permission::Access;
use super::{FsView, MountFlags};
use crate::Errno;

/// Symbolic links that one resolution follows.
const MAX_LINKS: u32 = 40;

bitflags::bitflags! {
    /// The restrictions of openat2(2), in its bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ResolveFlags: u64 {
        /// Do not cross mount points.
        const NO_XDEV = uapi::RESOLVE_NO_XDEV as u64;
        /// Do not follow magic links.
        const NO_MAGICLINKS = uapi::RESOLVE_NO_MAGICLINKS as u64;
        /// Do not follow symbolic links.
        const NO_SYMLINKS = uapi::RESOLVE_NO_SYMLINKS as u64;
        /// Fail where the path leaves the starting directory.
        const BENEATH = uapi::RESOLVE_BENEATH as u64;
        /// Treat the starting directory as the root.
        const IN_ROOT = uapi::RESOLVE_IN_ROOT as u64;
        /// Fail with EAGAIN rather than ask a device; here, nothing does.
        const CACHED = uapi::RESOLVE_CACHED as u64;
    }
}

/// Resolves paths for one viewer.
pub struct Resolver<'a> {
    /// The mounts, and the root directory.
    pub view: &'a FsView,
    /// Who asks.
    pub viewer: &'a Viewer,
    /// Restrictions.
    pub flags: ResolveFlags,
}

/// The directory that holds, or would hold, the last component of a path.
#[derive(Clone)]
pub struct LastComponent {
    /// Where the last component is looked up.
    pub directory: Path,
    /// The name in it; `.` and `..` are possible, and it is empty for the root.
    pub name: Vec<u8>,
    /// Whether slashes followed: the name must be a directory's.
    pub has_trailing_slash: bool,
}

/// Where a path that may not exist yet leads.
pub enum Resolved {
    /// To something; with it comes the directory that holds the name, unless it is reached by no name.
    Found(Path, Option<Path>),
    /// To a free name in an existing directory.
    Missing(LastComponent),
}

/// One name of a path.
struct Component {
    name: Vec<u8>,
    has_trailing_slash: bool,
    is_last: bool,
}

/// What to do with the last component.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Find { follows_link: bool },
    FindOrMissing { follows_link: bool },
    Leave,
}

enum Outcome {
    Found(Path, Option<Path>),
    Last(LastComponent),
}

impl<'a> Resolver<'a> {
    /// A resolver without restrictions.
    pub fn new(view: &'a FsView, viewer: &'a Viewer) -> Self {
        Self { view, viewer, flags: ResolveFlags::empty() }
    }

    /// The place that `path` names, beginning at `start` if it is relative. A final symbolic link is followed
    /// if `follows_link` says so or a slash comes after it.
    ///
    /// # Errors
    /// Those of `man 7 path_resolution`.
    pub fn resolve(&self, start: &Path, path: &[u8], follows_link: bool) -> Result<Path, Errno> {
        match self.walk(start, path, Last::Find { follows_link })? {
            Outcome::Found(path, _) => Ok(path),
            Outcome::Last(_) => Err(Errno::ENOENT),
        }
    }

    /// As [`Resolver::resolve`], but the last component need not exist: where it (or the end of the links that
    /// it begins) would be made.
    ///
    /// # Errors
    /// Those of `man 7 path_resolution`.
    pub fn resolve_or_missing(
        &self,
        start: &Path,
        path: &[u8],
        follows_link: bool,
    ) -> Result<Resolved, Errno> {
        Ok(match self.walk(start, path, Last::FindOrMissing { follows_link })? {
            Outcome::Found(path, directory) => Resolved::Found(path, directory),
            Outcome::Last(last) => Resolved::Missing(last),
        })
    }

    /// The directory and name that `path` ends in; the name itself is not looked at.
    ///
    /// # Errors
    /// Those of `man 7 path_resolution`.
    pub fn resolve_parent(&self, start: &Path, path: &[u8]) -> Result<LastComponent, Errno> {
        match self.walk(start, path, Last::Leave)? {
            Outcome::Last(last) => Ok(last),
            Outcome::Found(directory, _) => {
                Ok(LastComponent { directory, name: Vec::new(), has_trailing_slash: false })
            }
        }
    }

    fn walk(&self, start: &Path, path: &[u8], last: Last) -> Result<Outcome, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() > MAX_PATH_LEN {
            return Err(Errno::ENAMETOOLONG);
        }
        let is_scoped = self.flags.intersects(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT);
        let root = if is_scoped { start } else { &self.view.root };
        let mut walk = Walk {
            resolver: self,
            root,
            current: start.clone(),
            rest: Cow::Borrowed(path),
            next: 0,
            links_left: MAX_LINKS,
            holder: None,
        };
        walk.enter_text()?;
        walk.run(last)
    }
}

struct Walk<'a> {
    resolver: &'a Resolver<'a>,
    root: &'a Path,
    current: Path,
    /// The text being walked, and the position in it.
    rest: Cow<'a, [u8]>,
    next: usize,
    links_left: u32,
    /// The directory that holds the last component, once that has been found to exist.
    holder: Option<Path>,
}

impl Walk<'_> {
    fn has(&self, flags: ResolveFlags) -> bool {
        self.resolver.flags.contains(flags)
    }

    /// Goes to the root if the text at the current position is absolute.
    fn enter_text(&mut self) -> Result<(), Errno> {
        if self.rest.get(self.next) == Some(&b'/') {
            if self.has(ResolveFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            self.move_to(self.root.clone())?;
        }
        Ok(())
    }

    fn move_to(&mut self, path: Path) -> Result<(), Errno> {
        if self.has(ResolveFlags::NO_XDEV) && !std::sync::Arc::ptr_eq(&path.mount, &self.current.mount) {
            return Err(Errno::EXDEV);
        }
        self.current = path;
        Ok(())
    }

    /// Takes the next component off what is left of the path, if there is one.
    fn next_component(&mut self) -> Option<Component> {
        self.next += self.rest.iter().skip(self.next).take_while(|&&byte| byte == b'/').count();
        let rest = self.rest.get(self.next..).filter(|rest| !rest.is_empty())?;
        let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (name, after) = rest.split_at(len);
        let component = Component {
            name: name.to_vec(),
            has_trailing_slash: !after.is_empty(),
            is_last: after.iter().all(|&byte| byte == b'/'),
        };
        self.next += len;
        Some(component)
    }

    fn run(mut self, last: Last) -> Result<Outcome, Errno> {
        let mut must_be_directory = false;
        loop {
            let Some(Component { name, has_trailing_slash, is_last }) = self.next_component() else {
                if must_be_directory && !self.current.is_directory() {
                    return Err(Errno::ENOTDIR);
                }
                return Ok(Outcome::Found(self.current, self.holder));
            };
            if !self.current.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            self.current.check_viewer_access(Access::EXECUTE, self.resolver.viewer)?;
            if name.len() > MAX_NAME_LEN {
                return Err(Errno::ENAMETOOLONG);
            }
            if is_last && last == Last::Leave {
                return Ok(Outcome::Last(LastComponent {
                    directory: self.current,
                    name,
                    has_trailing_slash,
                }));
            }
            must_be_directory = has_trailing_slash;
            let may_be_missing = is_last && matches!(last, Last::FindOrMissing { .. });
            match &*name {
                b"." => continue,
                b".." => {
                    self.step_up()?;
                    continue;
                }
                _ => {}
            }
            // What is created is no directory.
            if may_be_missing && has_trailing_slash {
                return Err(Errno::EISDIR);
            }
            let child = match self.child(&name) {
                Err(Errno::ENOENT) if may_be_missing => {
                    return Ok(Outcome::Last(LastComponent {
                        directory: self.current,
                        name,
                        has_trailing_slash,
                    }));
                }
                found => found?,
            };
            let follows_link = match last {
                Last::Find { follows_link } | Last::FindOrMissing { follows_link } => follows_link,
                Last::Leave => true,
            };
            if may_be_missing {
                self.holder = Some(self.current.clone());
            }
            if child.kind() == FileKind::Symlink && (!is_last || follows_link || has_trailing_slash) {
                self.follow(&child, is_last)?;
            } else {
                self.move_to(child)?;
            }
        }
    }

    /// What `name` is in the directory where this is, or what is mounted there.
    fn child(&self, name: &[u8]) -> Result<Path, Errno> {
        let child = self.current.dentry.lookup(name)?;
        child.inode().check_visible(self.resolver.viewer)?;
        Ok(Path::new(self.current.mount.clone(), child).cross())
    }

    fn step_up(&mut self) -> Result<(), Errno> {
        if self.current == *self.root {
            return if self.has(ResolveFlags::BENEATH) { Err(Errno::EXDEV) } else { Ok(()) };
        }
        let parent = self.current.parent(self.root);
        if !parent.is_connected() {
            return Err(Errno::ENOENT);
        }
        self.move_to(parent.cross())
    }

    fn follow(&mut self, link: &Path, is_last: bool) -> Result<(), Errno> {
        self.links_left = self.links_left.checked_sub(1).ok_or(Errno::ELOOP)?;
        let Resolver { view, viewer, .. } = self.resolver;
        if is_last {
            let protections = view.namespace.protections();
            protections.check_follow(link, &self.current, &viewer.credentials)?;
        }
        if self.has(ResolveFlags::NO_SYMLINKS) || link.mount.flags().contains(MountFlags::NOSYMFOLLOW) {
            return Err(Errno::ELOOP);
        }
        link.link_accessed();
        match link.inode().follow_link(viewer)? {
            LinkTarget::Text(text) => {
                if text.is_empty() {
                    return Err(Errno::ENOENT);
                }
                let rest = self.rest.get(self.next..).unwrap_or_default();
                self.rest = Cow::Owned([&*text, rest].concat());
                self.next = 0;
                self.enter_text()
            }
            LinkTarget::Magic(path) => {
                if self.has(ResolveFlags::NO_MAGICLINKS) {
                    return Err(Errno::ELOOP);
                }
                if self.resolver.flags.intersects(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT) {
                    return Err(Errno::EXDEV);
                }
                self.move_to(path)
            }
        }
    }
}
