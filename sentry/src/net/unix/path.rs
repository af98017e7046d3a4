//! Unix sockets that are files: binding to a path, and finding who is bound to one.

use std::sync::Arc;

use super::{BoundName, UnixAddress, UnixSocket};
use crate::Errno;
use crate::fs::CreationMode;
use crate::fs::operations::create_node;
use crate::fs::{Access, FileKind, FsView, NewNode, Path, ResolveFlags, Resolver, Viewer};
use crate::landlock::{Domain, Scopes};
use crate::net::SocketCaller;

/// Where a caller's paths begin, and who it is.
struct Scope {
    view: FsView,
    viewer: Viewer,
}

impl Scope {
    fn of(caller: &dyn SocketCaller) -> Self {
        Self { view: caller.task_fs().view(), viewer: caller.viewer() }
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver { view: &self.view, viewer: &self.viewer, flags: ResolveFlags::empty() }
    }

    fn start(&self, path: &[u8]) -> Result<&Path, Errno> {
        match path.first() {
            None => Err(Errno::ENOENT),
            Some(b'/') => Ok(&self.view.root),
            Some(_) => Ok(&self.view.working_directory),
        }
    }

    /// What a socket that is bound already learns of another path: whether that is taken.
    fn check_name(&self, path: &[u8]) -> Result<(), Errno> {
        match self.resolver().resolve(self.start(path)?, path, false) {
            Ok(_) => Err(Errno::EADDRINUSE),
            Err(Errno::ENOENT) => Err(Errno::EINVAL),
            Err(error) => Err(error),
        }
    }

    /// Makes the inode of a socket's path.
    fn make_name(&self, path: &[u8], umask: u32, name: Arc<BoundName>) -> Result<Path, Errno> {
        let made = create_node(
            &self.resolver(),
            self.start(path)?,
            path,
            NewNode::Socket,
            CreationMode::exact(0o777 & !umask),
        );
        let place = made.map_err(|error| if error == Errno::EEXIST { Errno::EADDRINUSE } else { error })?;
        place.inode().attachment().ok_or(Errno::EPERM)?.set(Some(name));
        Ok(place)
    }

    /// The socket bound to `path`, whatever its kind.
    fn find(&self, path: &[u8]) -> Result<Arc<UnixSocket>, Errno> {
        let place = self.resolver().resolve(self.start(path)?, path, true)?;
        place.check_access(Access::WRITE, &self.viewer.credentials)?;
        if place.kind() != FileKind::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        let name = place.inode().attachment().and_then(|attachment| attachment.get::<BoundName>());
        name.ok_or(Errno::ECONNREFUSED)?.socket()
    }
}

impl UnixSocket {
    /// Binds to `path`, as `caller` names it.
    pub(super) fn bind_at(self: &Arc<Self>, path: &[u8], caller: &dyn SocketCaller) -> Result<(), Errno> {
        let scope = Scope::of(caller);
        if self.address() != UnixAddress::Unnamed {
            return scope.check_name(path);
        }
        let umask = caller.task_fs().umask();
        self.bind_path(path, |name| scope.make_name(path, umask, name))
    }

    /// The socket of this one's kind at `address`.
    pub(super) fn find_socket(
        &self,
        address: &UnixAddress,
        caller: &dyn SocketCaller,
    ) -> Result<Arc<Self>, Errno> {
        match address {
            UnixAddress::Unnamed => Err(Errno::EINVAL),
            UnixAddress::Abstract(name) => {
                let found = self.home.find(self.common.kind(), name)?;
                let scope = |own: &Arc<Domain>| {
                    !self.is_connected_to(&found)
                        && own.is_scoped_from(found.common.landlock(), Scopes::ABSTRACT_UNIX_SOCKET)
                };
                let is_denied = caller.credentials().landlock.as_ref().is_some_and(scope);
                if is_denied { Err(Errno::EPERM) } else { Ok(found) }
            }
            UnixAddress::Path(path) => {
                let found = Scope::of(caller).find(path)?;
                if found.common.kind() == self.common.kind() { Ok(found) } else { Err(Errno::EPROTOTYPE) }
            }
        }
    }
}
