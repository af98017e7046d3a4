//! The places that path arguments name.

use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::arguments::UserPath;
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::{Fd, FsView, Path, ResolveFlags, Resolver, Viewer};
use crate::task::CurrentTask;

/// Where a task's paths begin, and who it is, for one system call.
pub(super) struct Scope {
    view: FsView,
    viewer: Viewer,
    flags: ResolveFlags,
}

impl Scope {
    pub(super) fn new(task: &CurrentTask) -> Self {
        Self::restricted(task, ResolveFlags::empty())
    }

    pub(super) fn restricted(task: &CurrentTask, flags: ResolveFlags) -> Self {
        Self { view: task.task_fs().view(), viewer: task.viewer(), flags }
    }

    /// The same, for somebody else's permissions.
    pub(super) fn with_credentials(mut self, credentials: Arc<Credentials>) -> Self {
        self.viewer.credentials = credentials;
        self
    }

    pub(super) fn view(&self) -> &FsView {
        &self.view
    }

    pub(super) fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    pub(super) fn resolver(&self) -> Resolver<'_> {
        Resolver { view: &self.view, viewer: &self.viewer, flags: self.flags }
    }

    /// Where `path` begins: at the root, at the working directory, or at what `directory` refers to.
    pub(super) fn start(&self, task: &CurrentTask, directory: Fd, path: &[u8]) -> Result<Path, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let is_scoped = self.flags.intersects(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT);
        if path.first() == Some(&b'/') && !is_scoped {
            return Ok(self.view.root.clone());
        }
        if directory == Fd::WORKING_DIRECTORY {
            return Ok(self.view.working_directory.clone());
        }
        let description = task.file(directory)?;
        description.path().cloned().ok_or(Errno::ENOTDIR)
    }

    /// The place that `path`, relative to `directory`, names.
    pub(super) fn find(
        &self,
        task: &CurrentTask,
        directory: Fd,
        path: &[u8],
        follows_link: bool,
    ) -> Result<Path, Errno> {
        self.resolver().resolve(&self.start(task, directory, path)?, path, follows_link)
    }

    /// The place that `path` names, with AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH in `flags`.
    pub(super) fn find_at(
        &self,
        task: &CurrentTask,
        directory: Fd,
        path: UserPath,
        flags: u32,
    ) -> Result<Path, Errno> {
        let may_be_empty = flags & uapi::AT_EMPTY_PATH != 0;
        let path = path.read(task)?;
        if may_be_empty && path.is_empty() {
            return self.place_of(task, directory);
        }
        self.find(task, directory, &path, flags & uapi::AT_SYMLINK_NOFOLLOW == 0)
    }

    /// As [`Scope::find_at`]; with AT_EMPTY_PATH no path is as good as an empty one (`man 2 stat`, since Linux 6.11).
    pub(super) fn find_at_or_of(
        &self,
        task: &CurrentTask,
        directory: Fd,
        path: UserPath,
        flags: u32,
    ) -> Result<Path, Errno> {
        match path.is_null() && flags & uapi::AT_EMPTY_PATH != 0 {
            true => self.place_of(task, directory),
            false => self.find_at(task, directory, path, flags),
        }
    }

    /// What `descriptor` refers to, whatever it is; the working directory for AT_FDCWD.
    pub(super) fn place_of(&self, task: &CurrentTask, descriptor: Fd) -> Result<Path, Errno> {
        if descriptor == Fd::WORKING_DIRECTORY {
            return Ok(self.view.working_directory.clone());
        }
        Ok(Path::of_description(&task.file(descriptor)?))
    }
}

/// Fails with EINVAL if `flags` has bits that are not in `known`.
pub(super) fn check_flags(flags: u32, known: u32) -> Result<u32, Errno> {
    if flags & !known == 0 { Ok(flags) } else { Err(Errno::EINVAL) }
}
