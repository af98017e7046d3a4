//! One control group: its identity, its counters, its settings.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bandwidth::Bandwidth;
use super::pids::PidsCounter;
use super::xattrs::Xattrs;
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::heap::{HeapAccount, HeapCharge, HeapPayer};
use crate::memory::MemoryAccount;
use crate::wait::News;

/// What a group takes, with its settings and its directory.
pub(super) const HEAP_BYTES: usize = 8 << 10;

/// A control group. Where it is in the tree never changes; what is in it is in the [`Hierarchy`](super::Hierarchy).
pub struct Cgroup {
    pub(super) id: u64,
    pub(super) parent: Option<Arc<Cgroup>>,
    name: Vec<u8>,
    pub(super) depth: usize,
    pub(super) pids: PidsCounter,
    /// Who pays for the memory of its tasks; nobody for those of the root.
    pub(super) memory: Option<Arc<MemoryAccount>>,
    /// What the sentry's heap holds for processes that have ended.
    heap: Arc<HeapAccount>,
    /// How much processor time its tasks may use.
    pub(super) bandwidth: Bandwidth,
    pub(super) is_removed: AtomicBool,
    /// How often it has been killed, or a group above it.
    pub(super) kills: AtomicU64,
    /// Changes of cgroup.events.
    pub(super) events: News,
    /// Changes of memory.events.
    pub(super) memory_events: News,
    settings: Mutex<Settings>,
    _heap_charge: HeapCharge,
}

/// Limits on what is below a group; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How deep groups may lie below it.
    pub max_depth: Option<u64>,
    /// How many groups may lie below it.
    pub max_descendants: Option<u64>,
}

/// Owner and permissions of a group's directory or of a file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwner {
    /// The user.
    pub uid: KernelUid,
    /// The group.
    pub gid: KernelGid,
    /// Permission bits.
    pub permissions: u32,
}

/// What is written to files and only read back, or looked at elsewhere.
struct Settings {
    limits: Limits,
    /// Those of files that were changed; the others are their maker's.
    owners: HashMap<&'static str, FileOwner>,
    maker: FileOwner,
    directory: FileOwner,
    values: HashMap<&'static str, String>,
    xattrs: Xattrs,
    kills_group: bool,
}

impl Cgroup {
    pub(super) fn new(
        id: u64,
        parent: Option<Arc<Self>>,
        name: &[u8],
        memory: Option<Arc<MemoryAccount>>,
        heap: Arc<HeapAccount>,
        directory: FileOwner,
    ) -> Arc<Self> {
        heap.set_payer(memory.clone().map(|payer| payer as Arc<dyn HeapPayer>), None);
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        Arc::new(Self {
            id,
            parent,
            name: name.to_vec(),
            depth,
            pids: PidsCounter::default(),
            memory,
            heap,
            bandwidth: Bandwidth::default(),
            is_removed: AtomicBool::new(false),
            kills: AtomicU64::new(0),
            events: News::default(),
            memory_events: News::default(),
            settings: Mutex::new(Settings {
                limits: Limits::default(),
                owners: HashMap::new(),
                maker: directory,
                directory,
                values: HashMap::new(),
                xattrs: Xattrs::default(),
                kills_group: false,
            }),
            _heap_charge: HeapCharge::forced(HEAP_BYTES),
        })
    }

    /// What the sentry's heap holds for processes of it that have ended.
    pub fn heap(&self) -> &Arc<HeapAccount> {
        &self.heap
    }

    /// A number that no other group of the hierarchy has: its directory's inode number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name in its parent; empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The group that it is in.
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// It and those that it is in, from the inside out.
    pub fn with_ancestors(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |cgroup| cgroup.parent.as_ref())
    }

    /// Whether it is `other` or lies below it.
    pub fn is_within(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        self.with_ancestors().any(|ancestor| Arc::ptr_eq(ancestor, other))
    }

    /// Its path as one sees it whose root is `root`: `/` itself, `/..` for each level above.
    pub fn path_from(self: &Arc<Self>, root: &Arc<Self>) -> Vec<u8> {
        let mut common = root;
        let mut path = Vec::new();
        while !self.is_within(common) {
            path.extend_from_slice(b"/..");
            match &common.parent {
                Some(parent) => common = parent,
                None => break,
            }
        }
        let below: Vec<_> = self.with_ancestors().take_while(|level| !Arc::ptr_eq(level, common)).collect();
        for level in below.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(&level.name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }

    /// Whether it has been removed.
    pub fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }

    /// The pids controller's count.
    pub fn pids(&self) -> &PidsCounter {
        &self.pids
    }

    /// The memory controller's account; the root has none.
    pub fn memory(&self) -> Option<&Arc<MemoryAccount>> {
        self.memory.as_ref()
    }

    /// How much processor time its tasks may use.
    pub fn bandwidth(&self) -> &Bandwidth {
        &self.bandwidth
    }

    /// Changes of cgroup.events.
    pub fn events(&self) -> &News {
        &self.events
    }

    /// Changes of memory.events.
    pub fn memory_events(&self) -> &News {
        &self.memory_events
    }

    /// Limits on what is below.
    pub fn limits(&self) -> Limits {
        self.settings.lock().limits
    }

    /// Changes the limits on what is below; what is there stays.
    pub fn set_limits(&self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.settings.lock().limits);
    }

    /// Whether memory.oom.group is set: a shortage kills all of it.
    pub fn kills_group(&self) -> bool {
        self.settings.lock().kills_group
    }

    /// Sets memory.oom.group.
    pub fn set_kills_group(&self, kills_group: bool) {
        self.settings.lock().kills_group = kills_group;
    }

    /// Owner and permissions of the file called `file`, or of the directory; `permissions` are the file's at first.
    pub fn owner(&self, file: Option<&'static str>, permissions: u32) -> FileOwner {
        let settings = self.settings.lock();
        match file {
            None => settings.directory,
            Some(file) => match settings.owners.get(file) {
                Some(owner) => *owner,
                None => FileOwner { permissions, ..settings.maker },
            },
        }
    }

    /// Changes owner and permissions of the file called `file`, or of the directory.
    pub fn set_owner(&self, file: Option<&'static str>, owner: FileOwner) {
        let mut settings = self.settings.lock();
        match file {
            Some(file) => drop(settings.owners.insert(file, owner)),
            None => settings.directory = owner,
        }
    }

    /// The extended attribute `name` of the file called `file`, or of the directory.
    ///
    /// # Errors
    /// ENODATA.
    pub fn xattr(&self, file: Option<&'static str>, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.settings.lock().xattrs.get(file, name)
    }

    /// The names of all of them.
    pub fn xattr_names(&self, file: Option<&'static str>) -> Vec<Vec<u8>> {
        self.settings.lock().xattrs.names(file)
    }

    /// Sets one; `must_exist` is `Some(false)` for XATTR_CREATE, `Some(true)` for XATTR_REPLACE.
    ///
    /// # Errors
    /// EEXIST, ENODATA; ENOSPC: there may be no more. ENOMEM.
    pub fn set_xattr(
        &self,
        file: Option<&'static str>,
        name: &[u8],
        value: &[u8],
        must_exist: Option<bool>,
    ) -> Result<(), Errno> {
        self.settings.lock().xattrs.set(file, name, value, must_exist)
    }

    /// Removes one.
    ///
    /// # Errors
    /// ENODATA.
    pub fn remove_xattr(&self, file: Option<&'static str>, name: &[u8]) -> Result<(), Errno> {
        self.settings.lock().xattrs.remove(file, name)
    }

    /// What was written to a setting that is only read back.
    pub fn value(&self, name: &'static str) -> Option<String> {
        self.settings.lock().values.get(name).cloned()
    }

    /// Keeps what was written to a setting.
    pub fn set_value(&self, name: &'static str, value: String) {
        self.settings.lock().values.insert(name, value);
    }
}

impl fmt::Debug for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cgroup({}, {})", self.id, self.name.escape_ascii())
    }
}
