//! Addresses of unix sockets (`man 7 unix`, "Address format"), and the abstract ones in use.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use linux_raw_sys::net::AF_UNIX;
use parking_lot::Mutex;

use super::{FilesInFlight, UnixSocket};
use crate::Errno;
use crate::net::{KernelSockets, NetworkNamespace, SocketAddress, SocketKind};

/// Bytes of `sun_path`.
const PATH_BYTES: usize = 108;
/// Bytes of the family before it.
const FAMILY_BYTES: usize = 2;

/// Where a unix socket is bound.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum UnixAddress {
    /// Nowhere.
    #[default]
    Unnamed,
    /// At a path, as it was given.
    Path(Arc<[u8]>),
    /// At a name outside the file system, without its leading NUL.
    Abstract(Arc<[u8]>),
}

impl UnixAddress {
    /// Decodes `struct sockaddr_un`.
    ///
    /// # Errors
    /// EINVAL for another family or a length that does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Errno> {
        let (family, path) = bytes.split_at_checked(FAMILY_BYTES).ok_or(Errno::EINVAL)?;
        if family != (AF_UNIX as u16).to_ne_bytes() || path.len() > PATH_BYTES {
            return Err(Errno::EINVAL);
        }
        Ok(match path {
            [] => Self::Unnamed,
            [0, name @ ..] => Self::Abstract(name.into()),
            path => {
                let len = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                Self::Path(path[..len].into())
            }
        })
    }

    /// The same, of an address to connect or send to: one without a name is none.
    ///
    /// # Errors
    /// As [`UnixAddress::from_bytes`].
    pub fn named_from_bytes(bytes: &[u8]) -> Result<Self, Errno> {
        Some(Self::from_bytes(bytes)?).filter(|address| *address != Self::Unnamed).ok_or(Errno::EINVAL)
    }

    /// Encodes `struct sockaddr_un`, as long as Linux makes it: a path with its NUL, an abstract name without.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (AF_UNIX as u16).to_ne_bytes().to_vec();
        match self {
            Self::Unnamed => {}
            Self::Path(path) => {
                bytes.extend_from_slice(path);
                bytes.push(0);
            }
            Self::Abstract(name) => {
                bytes.push(0);
                bytes.extend_from_slice(name);
            }
        }
        bytes
    }
}

impl From<&UnixAddress> for SocketAddress {
    fn from(address: &UnixAddress) -> Self {
        // A path and its NUL are no longer than a `struct sockaddr_storage`.
        Self::new(&address.to_bytes()).unwrap_or_default()
    }
}

/// The unix sockets of a network namespace, and the abstract addresses that some of them have.
#[derive(Default)]
pub struct UnixSockets {
    names: Mutex<Names>,
    shared: KernelSockets,
    namespace: Weak<NetworkNamespace>,
}

#[derive(Default)]
struct Names {
    /// All of them, by inode number.
    all: BTreeMap<u64, Weak<UnixSocket>>,
    /// The bound ones, by kind and name: each kind has names of its own.
    sockets: BTreeMap<(u32, Arc<[u8]>), Weak<UnixSocket>>,
    next_automatic: u32,
}

/// Names that bind(2) without an address gives: five hexadecimal digits.
const AUTOMATIC_NAMES: u32 = 1 << 20;

impl UnixSockets {
    /// None yet, in `namespace`; `shared` is what they share with those of other namespaces of the kernel.
    pub fn new(shared: KernelSockets, namespace: Weak<NetworkNamespace>) -> Arc<Self> {
        Arc::new(Self { names: Mutex::default(), shared, namespace })
    }

    /// The namespace that they are in.
    pub(super) fn namespace(&self) -> Option<Arc<NetworkNamespace>> {
        self.namespace.upgrade()
    }

    /// How many messages a new socket queues from those that it is not connected to.
    pub(super) fn max_datagrams(&self) -> u32 {
        self.namespace.upgrade().map_or(u32::MAX, |namespace| namespace.settings().max_datagrams())
    }

    /// The files on their way, in all namespaces of the kernel.
    pub fn in_flight(&self) -> &Arc<FilesInFlight> {
        &self.shared.in_flight
    }

    /// What they share with all others of the kernel.
    pub(super) fn shared(&self) -> &KernelSockets {
        &self.shared
    }

    /// The socket of `kind` bound to `name`.
    ///
    /// # Errors
    /// ECONNREFUSED if there is none.
    pub fn find(&self, kind: SocketKind, name: &Arc<[u8]>) -> Result<Arc<UnixSocket>, Errno> {
        let key = (kind.raw(), name.clone());
        self.names.lock().sockets.get(&key).and_then(Weak::upgrade).ok_or(Errno::ECONNREFUSED)
    }

    pub(super) fn insert(&self, name: &Arc<[u8]>, socket: &Arc<UnixSocket>) -> Result<(), Errno> {
        let key = (socket.common.kind().raw(), name.clone());
        let mut names = self.names.lock();
        if names.sockets.get(&key).is_some_and(|socket| socket.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        names.sockets.insert(key, Arc::downgrade(socket));
        Ok(())
    }

    /// Gives `socket` a name that nobody has.
    pub(super) fn insert_automatic(&self, socket: &Arc<UnixSocket>) -> Result<Arc<[u8]>, Errno> {
        for _ in 0..AUTOMATIC_NAMES {
            let number = {
                let mut names = self.names.lock();
                names.next_automatic = (names.next_automatic + 1) % AUTOMATIC_NAMES;
                names.next_automatic
            };
            let name: Arc<[u8]> = format!("{number:05x}").into_bytes().into();
            if self.insert(&name, socket).is_ok() {
                return Ok(name);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// All of them, by inode number.
    pub fn all(&self) -> Vec<Arc<UnixSocket>> {
        let all: Vec<_> = self.names.lock().all.values().cloned().collect();
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes in a new socket.
    pub(super) fn register(&self, inode: u64, socket: Weak<UnixSocket>) {
        self.names.lock().all.insert(inode, socket);
    }

    /// Forgets a socket that is being dropped.
    pub(super) fn forget(&self, inode: u64) {
        self.names.lock().all.remove(&inode);
    }

    /// Frees `name`, if it is still that of `socket`, which is being dropped.
    pub(super) fn remove(&self, kind: SocketKind, name: &Arc<[u8]>, socket: &Weak<UnixSocket>) {
        let key = (kind.raw(), name.clone());
        let mut names = self.names.lock();
        if names.sockets.get(&key).is_some_and(|bound| bound.ptr_eq(socket)) {
            names.sockets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
