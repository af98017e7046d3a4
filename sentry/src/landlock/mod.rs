//! Restrictions that tasks put on themselves (`man 7 landlock`).
//!
//! A [`Ruleset`] is what landlock_create_ruleset(2) makes and landlock_add_rule(2) fills. landlock_restrict_self(2) adds a copy
//! of it, a layer, to the [`Domain`] of the task's credentials. What is asked for must be allowed by a rule of every layer that
//! handles it. Which files lie below which is for those to know who walk them ([`LayerMasks::unmask`]).
//!
//! Locks: a ruleset's rules, a leaf.

mod masks;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

pub use self::masks::LayerMasks;
use crate::Errno;
use crate::heap::HeapCharge;

/// The version of the interface that landlock_create_ruleset(2) tells.
pub const ABI_VERSION: usize = 7;
/// The errata of Linux that are dealt with here, bit N-1 for erratum N.
pub const ERRATA: usize = 0b111;
/// Layers that a domain has at most (`LANDLOCK_MAX_NUM_LAYERS`).
const MAX_LAYERS: usize = 16;
/// What a rule takes.
const RULE_BYTES: usize = 128;
/// What a layer takes beside its rules.
const LAYER_BYTES: usize = 512;

bitflags::bitflags! {
    /// What is done with files (`LANDLOCK_ACCESS_FS_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct FileAccess: u64 {
        /// Execute a file.
        const EXECUTE = 1 << 0;
        /// Open a file for writing.
        const WRITE_FILE = 1 << 1;
        /// Open a file for reading.
        const READ_FILE = 1 << 2;
        /// Open a directory.
        const READ_DIR = 1 << 3;
        /// Remove or rename an empty directory.
        const REMOVE_DIR = 1 << 4;
        /// Remove or rename anything else.
        const REMOVE_FILE = 1 << 5;
        /// Make a character device.
        const MAKE_CHAR = 1 << 6;
        /// Make a directory.
        const MAKE_DIR = 1 << 7;
        /// Make a regular file.
        const MAKE_REG = 1 << 8;
        /// Make a unix socket's name.
        const MAKE_SOCK = 1 << 9;
        /// Make a FIFO.
        const MAKE_FIFO = 1 << 10;
        /// Make a block device.
        const MAKE_BLOCK = 1 << 11;
        /// Make a symbolic link.
        const MAKE_SYM = 1 << 12;
        /// Link or rename from one directory to another.
        const REFER = 1 << 13;
        /// Change the length of a file.
        const TRUNCATE = 1 << 14;
        /// ioctl(2) on devices.
        const IOCTL_DEV = 1 << 15;
    }
}

impl FileAccess {
    /// What can be done with what is not a directory.
    pub const OF_FILES: Self = Self::EXECUTE
        .union(Self::WRITE_FILE)
        .union(Self::READ_FILE)
        .union(Self::TRUNCATE)
        .union(Self::IOCTL_DEV);
}

bitflags::bitflags! {
    /// What is done with TCP ports (`LANDLOCK_ACCESS_NET_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct PortAccess: u64 {
        /// Bind a socket to it.
        const BIND_TCP = 1 << 0;
        /// Connect a socket to it.
        const CONNECT_TCP = 1 << 1;
    }
}

bitflags::bitflags! {
    /// What does not leave the domain (`LANDLOCK_SCOPE_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Scopes: u64 {
        /// Connections and messages to abstract unix sockets.
        const ABSTRACT_UNIX_SOCKET = 1 << 0;
        /// Signals.
        const SIGNAL = 1 << 1;
    }
}

/// What a ruleset restricts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Handled {
    /// What with files.
    pub files: FileAccess,
    /// What with ports.
    pub ports: PortAccess,
    /// What stays in the domain.
    pub scopes: Scopes,
}

impl Handled {
    /// Whether it restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.ports.is_empty() && self.scopes.is_empty()
    }
}

/// An inode, by the numbers that no other has while somebody refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileKey {
    /// The file system's device.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
}

#[derive(Clone)]
struct FileRule {
    access: FileAccess,
    /// What keeps the numbers in use.
    _object: Arc<dyn Any + Send + Sync>,
}

#[derive(Clone, Default)]
struct Rules {
    files: BTreeMap<FileKey, FileRule>,
    ports: BTreeMap<u16, PortAccess>,
}

impl Rules {
    fn heap_bytes(&self) -> usize {
        (self.files.len() + self.ports.len()) * RULE_BYTES
    }
}

/// What landlock_create_ruleset(2) makes.
pub struct Ruleset {
    handled: Handled,
    rules: Mutex<(Rules, HeapCharge)>,
}

impl Ruleset {
    /// One without rules.
    ///
    /// # Errors
    /// ENOMSG: it would restrict nothing. ENOMEM.
    pub fn new(handled: Handled) -> Result<Self, Errno> {
        if handled.is_empty() {
            return Err(Errno::ENOMSG);
        }
        Ok(Self { handled, rules: Mutex::new((Rules::default(), HeapCharge::new(LAYER_BYTES)?)) })
    }

    /// What it restricts.
    pub fn handled(&self) -> Handled {
        self.handled
    }

    /// Allows `access` to the file that is `key`, and below it. `object` keeps the numbers of `key` in use.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn allow_file(
        &self,
        key: FileKey,
        access: FileAccess,
        object: Arc<dyn Any + Send + Sync>,
    ) -> Result<(), Errno> {
        let (rules, charge) = &mut *self.rules.lock();
        charge.resize(LAYER_BYTES + rules.heap_bytes() + RULE_BYTES)?;
        let rule =
            rules.files.entry(key).or_insert(FileRule { access: FileAccess::empty(), _object: object });
        rule.access |= access;
        Ok(())
    }

    /// Allows `access` to a TCP port.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn allow_port(&self, port: u16, access: PortAccess) -> Result<(), Errno> {
        let (rules, charge) = &mut *self.rules.lock();
        charge.resize(LAYER_BYTES + rules.heap_bytes() + RULE_BYTES)?;
        *rules.ports.entry(port).or_default() |= access;
        Ok(())
    }
}

/// What a task has been restricted to: one layer, and those around it.
pub struct Domain {
    handled: Handled,
    rules: Rules,
    parent: Option<Arc<Domain>>,
    /// Layers, with this one.
    depth: usize,
    _charge: HeapCharge,
}

impl Domain {
    /// Adds `ruleset`, as it is now, to `parent`.
    ///
    /// # Errors
    /// E2BIG: there are as many layers as there may be. ENOMEM.
    pub fn within(parent: Option<&Arc<Self>>, ruleset: &Ruleset) -> Result<Arc<Self>, Errno> {
        let depth = parent.map_or(0, |parent| parent.depth) + 1;
        if depth > MAX_LAYERS {
            return Err(Errno::E2BIG);
        }
        let (rules, _) = &*ruleset.rules.lock();
        let _charge = HeapCharge::new(LAYER_BYTES + rules.heap_bytes())?;
        let domain =
            Self { handled: ruleset.handled, rules: rules.clone(), parent: parent.cloned(), depth, _charge };
        Ok(Arc::new(domain))
    }

    /// The layers, the innermost first, with their indices.
    fn layers(&self) -> impl Iterator<Item = (usize, &Self)> {
        let layers = std::iter::successors(Some(self), |domain| domain.parent.as_deref());
        layers.map(|domain| (domain.depth - 1, domain))
    }

    /// All that its layers restrict with files.
    pub fn handled_files(&self) -> FileAccess {
        self.layers().fold(FileAccess::empty(), |all, (_, layer)| all | layer.handled.files)
    }

    /// Whether `access` to a TCP port is allowed.
    ///
    /// # Errors
    /// EACCES.
    pub fn check_port(&self, port: u16, access: PortAccess) -> Result<(), Errno> {
        let allows = |layer: &Self| {
            !layer.handled.ports.intersects(access)
                || layer.rules.ports.get(&port).is_some_and(|allowed| allowed.contains(access))
        };
        if self.layers().all(|(_, layer)| allows(layer)) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether this is `other` or around it: whether who is in `other` is at least as restricted.
    pub fn is_around(&self, other: Option<&Arc<Self>>) -> bool {
        other.is_some_and(|other| other.layers().any(|(_, layer)| layer == self))
    }

    /// Whether what `scope` names stays within a layer that `other` is not in.
    pub fn is_scoped_from(&self, other: Option<&Arc<Self>>, scope: Scopes) -> bool {
        let mut scoped = self.layers().filter(|(_, layer)| layer.handled.scopes.intersects(scope));
        scoped.any(|(_, layer)| !layer.is_around(other))
    }
}

/// Each domain is its own.
impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Domain {}

impl std::fmt::Debug for Domain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Domain").field("handled", &self.handled).field("depth", &self.depth).finish()
    }
}
