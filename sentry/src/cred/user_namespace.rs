//! User namespaces (`man 7 user_namespaces`): who owns what, where a capability holds, and how users and groups are
//! numbered.
//!
//! The sentry keeps the initial namespace's numbers everywhere, "kernel" numbers. A system call turns those that it
//! is given, and those that it shows, into them and back by the maps of the caller's namespace.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::user_map::{self, Extent, IdMap};
use super::{Capabilities, Credentials, Gid, Identity, KernelGid, KernelUid, Namespace, NamespaceKind, Uid};
use crate::Errno;

/// How deep user namespaces nest: Linux refuses a namespace to one that is deeper than this.
const MAX_LEVEL: u32 = 32;
/// Namespaces of one kind that a user may have in the initial user namespace and those within it, unless
/// /proc/sys/user says otherwise.
const DEFAULT_LIMIT: u32 = 4096;
/// What all users may have at most, whatever /proc/sys/user says: each costs the sentry memory.
const MAX_LIMIT: u32 = 1 << 16;
/// The largest limit that can be written, which is what a new namespace begins with.
const UNLIMITED: u32 = i32::MAX as u32;
/// The number of the first namespace that is not there from the start: past those of the initial ones.
const FIRST_NUMBER: u64 = 0xF000_0100;

/// What a map of a user namespace numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// Users: uid_map.
    User,
    /// Groups: gid_map.
    Group,
    /// Projects, for quotas: projid_map.
    Project,
}

impl IdKind {
    const COUNT: usize = 3;

    /// The capability that allows any map; projects need none.
    fn capability(self) -> Option<Capabilities> {
        match self {
            Self::User => Some(Capabilities::SETUID),
            Self::Group => Some(Capabilities::SETGID),
            Self::Project => None,
        }
    }
}

/// `struct user_namespace`: how ids inside translate, and whose capabilities count (`man 7 user_namespaces`).
#[derive(Debug)]
pub struct UserNamespace {
    identity: Identity,
    level: u32,
    /// The effective user and group of who made it.
    owner: (KernelUid, KernelGid),
    /// Whether who made it had CAP_SETFCAP: only then may it map the user 0 around it by itself.
    creator_sets_file_capabilities: bool,
    /// Written once.
    maps: [OnceLock<IdMap>; IdKind::COUNT],
    /// Whether setgroups(2) is allowed. Held while a map is written.
    allows_setgroups: Mutex<bool>,
    /// What each user has here, by kernel number, and all of them.
    counts: Mutex<BTreeMap<KernelUid, Counts>>,
    totals: [AtomicU32; NamespaceKind::COUNT],
    limits: [AtomicU32; NamespaceKind::COUNT],
    /// The number of the next namespace of any kind: one counter for a kernel.
    next_number: Arc<AtomicU64>,
}

impl UserNamespace {
    /// Makes the namespace that the first task of a kernel is in, whose numbers are those that the kernel keeps everywhere.
    pub fn initial() -> Arc<Self> {
        Arc::new(Self {
            identity: Identity::initial_user(),
            level: 0,
            owner: Default::default(),
            creator_sets_file_capabilities: true,
            maps: std::array::from_fn(|_| OnceLock::from(IdMap::identity())),
            allows_setgroups: Mutex::new(true),
            counts: Default::default(),
            totals: Default::default(),
            limits: std::array::from_fn(|_| AtomicU32::new(DEFAULT_LIMIT)),
            next_number: Arc::new(AtomicU64::new(FIRST_NUMBER)),
        })
    }

    /// A namespace within that of `creator`, still without maps.
    ///
    /// # Errors
    /// ENOSPC: too deep, or too many. EPERM: the effective user or group has no number in the creator's namespace.
    pub fn new(creator: &Credentials) -> Result<Arc<Self>, Errno> {
        let parent = &creator.user_namespace;
        if parent.level > MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        let identity = Identity::new(NamespaceKind::User, parent, creator.effective_uid)?;
        if !parent.maps_uid(creator.effective_uid) || !parent.maps_gid(creator.effective_gid) {
            return Err(Errno::EPERM);
        }
        Ok(Arc::new(Self {
            identity,
            level: parent.level + 1,
            owner: (creator.effective_uid, creator.effective_gid),
            creator_sets_file_capabilities: creator.has_in_own(Capabilities::SETFCAP),
            maps: Default::default(),
            allows_setgroups: Mutex::new(*parent.allows_setgroups.lock()),
            counts: Default::default(),
            totals: Default::default(),
            limits: std::array::from_fn(|_| AtomicU32::new(UNLIMITED)),
            next_number: parent.next_number.clone(),
        }))
    }

    /// A number that no namespace of the kernel has had.
    pub(super) fn new_namespace_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// The namespace around it; `None` for the initial one.
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.identity.owner()
    }

    /// How many namespaces are around it; 0 for the initial one.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The effective user of who made it, as a kernel number.
    pub fn owner_uid(&self) -> KernelUid {
        self.owner.0
    }

    /// The effective group of who made it, as a kernel number.
    pub fn owner_gid(&self) -> KernelGid {
        self.owner.1
    }

    /// The initial one of its kernel.
    pub fn outermost(self: &Arc<Self>) -> &Arc<Self> {
        let mut outermost = self;
        while let Some(parent) = outermost.parent() {
            outermost = parent;
        }
        outermost
    }

    /// Whether it is `other`, or has that around it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.with_ancestors().any(|namespace| namespace == other)
    }

    /// It and its ancestors, from the inside out.
    pub fn with_ancestors(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |namespace| namespace.parent().map(|parent| &**parent))
    }

    /// The kernel's number of the user that it numbers `uid`; `None` if it does not map it.
    pub fn to_kernel_uid(&self, uid: Uid) -> Option<KernelUid> {
        self.map(IdKind::User)?.to_kernel(uid.0).map(KernelUid)
    }

    /// The kernel's number of the group that it numbers `gid`; `None` if it does not map it.
    pub fn to_kernel_gid(&self, gid: Gid) -> Option<KernelGid> {
        self.map(IdKind::Group)?.to_kernel(gid.0).map(KernelGid)
    }

    /// What it shows of the user whom the kernel numbers `uid`: [`Uid::OVERFLOW`] if it does not map them.
    pub fn from_kernel_uid(&self, uid: KernelUid) -> Uid {
        self.to_own(IdKind::User, uid.0).map_or(Uid::OVERFLOW, Uid)
    }

    /// What it shows of the group that the kernel numbers `gid`: [`Gid::OVERFLOW`] if it does not map it.
    pub fn from_kernel_gid(&self, gid: KernelGid) -> Gid {
        self.to_own(IdKind::Group, gid.0).map_or(Gid::OVERFLOW, Gid)
    }

    /// Whether it has a number for the user whom the kernel numbers `uid`.
    pub fn maps_uid(&self, uid: KernelUid) -> bool {
        self.to_own(IdKind::User, uid.0).is_some()
    }

    /// Whether it has a number for the group that the kernel numbers `gid`.
    pub fn maps_gid(&self, gid: KernelGid) -> bool {
        self.to_own(IdKind::Group, gid.0).is_some()
    }

    /// The kernel's number of its root user, if it has one.
    pub fn root_uid(&self) -> Option<KernelUid> {
        self.to_kernel_uid(Uid::ROOT)
    }

    /// Whether it numbers users and groups.
    pub fn is_mapped(&self) -> bool {
        self.map(IdKind::User).is_some() && self.map(IdKind::Group).is_some()
    }

    fn map(&self, kind: IdKind) -> Option<&IdMap> {
        self.maps[kind as usize].get()
    }

    fn to_own(&self, kind: IdKind, id: u32) -> Option<u32> {
        self.map(kind)?.to_own(id)
    }

    /// What uid_map, gid_map or projid_map shows to a reader in `reader`: outside numbers are that namespace's, or the
    /// parent's for a reader within this one.
    pub fn show_map(&self, kind: IdKind, reader: &Self) -> String {
        let outside = match self.parent() {
            Some(parent) if self == reader => parent,
            _ => reader,
        };
        let extents = self.map(kind).map(IdMap::extents).unwrap_or_default();
        let line = |extent: &Extent| {
            let first = outside.to_own(kind, extent.outside).unwrap_or(u32::MAX);
            format!("{:10} {first:10} {:10}\n", extent.inside, extent.count)
        };
        extents.iter().map(line).collect()
    }

    /// Writes uid_map, gid_map or projid_map for `opener`, who opened the file.
    ///
    /// # Errors
    /// EPERM: there is a map already, or the opener may not write this one. EINVAL: the text is no map.
    pub fn write_map(&self, kind: IdKind, text: &[u8], opener: &Credentials) -> Result<(), Errno> {
        let parent = self.parent().ok_or(Errno::EPERM)?;
        if *opener.user_namespace != *self && opener.user_namespace != *parent {
            return Err(Errno::EPERM);
        }
        let allows_setgroups = self.allows_setgroups.lock();
        let map = &self.maps[kind as usize];
        let is_administrator = kind == IdKind::Project || opener.has_in(self, Capabilities::SYS_ADMIN);
        if map.get().is_some() || !is_administrator {
            return Err(Errno::EPERM);
        }
        let extents = user_map::parse(text)?;
        if !self.may_map(kind, &extents, opener, *allows_setgroups) {
            return Err(Errno::EPERM);
        }
        let outer = parent.map(kind).ok_or(Errno::EPERM)?;
        map.set(outer.nest(&extents)?).map_err(|_| Errno::EPERM)
    }

    /// Whether `opener` may set this map: one's own number alone, or with capabilities in the namespace around any.
    fn may_map(
        &self,
        kind: IdKind,
        extents: &[Extent],
        opener: &Credentials,
        allows_setgroups: bool,
    ) -> bool {
        let (Some(parent), Some(capability)) = (self.parent(), kind.capability()) else { return true };
        if kind == IdKind::User && !self.may_map_root(extents, opener) {
            return false;
        }
        if let [Extent { outside, count: 1, .. }] = *extents
            && self.owner_uid() == opener.effective_uid
        {
            let is_own = match kind {
                IdKind::User => parent.to_kernel_uid(Uid(outside)) == Some(opener.effective_uid),
                // Without its groups, one may be allowed what members of the group are not.
                _ => !allows_setgroups && parent.to_kernel_gid(Gid(outside)) == Some(opener.effective_gid),
            };
            if is_own {
                return true;
            }
        }
        opener.has_in(parent, capability)
    }

    /// Who maps the user 0 of the namespace around could give files capabilities that count there.
    fn may_map_root(&self, extents: &[Extent], opener: &Credentials) -> bool {
        let Some(parent) = self.parent().filter(|_| extents.iter().any(|extent| extent.outside == 0)) else {
            return true;
        };
        match *opener.user_namespace == *self {
            true => self.creator_sets_file_capabilities,
            false => opener.has_in(parent, Capabilities::SETFCAP),
        }
    }

    /// Whether setgroups(2) is allowed, as /proc/PID/setgroups shows it.
    pub fn allows_setgroups(&self) -> bool {
        *self.allows_setgroups.lock()
    }

    /// Whether setgroups(2) is allowed and there are groups to set.
    pub fn may_set_groups(&self) -> bool {
        self.allows_setgroups() && self.map(IdKind::Group).is_some()
    }

    /// Writes /proc/PID/setgroups.
    ///
    /// # Errors
    /// EPERM: it is denied for good, or the groups are mapped already.
    pub fn set_allows_setgroups(&self, is_allowed: bool) -> Result<(), Errno> {
        let mut allows_setgroups = self.allows_setgroups.lock();
        if is_allowed && !*allows_setgroups || !is_allowed && self.map(IdKind::Group).is_some() {
            return Err(Errno::EPERM);
        }
        *allows_setgroups = is_allowed;
        Ok(())
    }

    /// How many namespaces of `kind` a user may have in it and those within it (/proc/sys/user).
    pub fn limit(&self, kind: NamespaceKind) -> u32 {
        self.limits[kind as usize].load(Ordering::Relaxed)
    }

    /// Sets that limit.
    ///
    /// # Errors
    /// EINVAL if it is more than an `int` holds.
    pub fn set_limit(&self, kind: NamespaceKind, limit: u32) -> Result<(), Errno> {
        if limit > UNLIMITED {
            return Err(Errno::EINVAL);
        }
        self.limits[kind as usize].store(limit, Ordering::Relaxed);
        Ok(())
    }

    /// Counts one more namespace of `kind`, here for the user `uid` and in every ancestor for who made the namespace
    /// within it, or nowhere.
    ///
    /// # Errors
    /// ENOSPC.
    pub(super) fn charge(&self, kind: NamespaceKind, uid: KernelUid) -> Result<(), Errno> {
        for (depth, (namespace, charged_uid)) in self.charged(uid).enumerate() {
            if !namespace.count(kind, charged_uid) {
                self.uncharge_levels(kind, uid, depth);
                return Err(Errno::ENOSPC);
            }
        }
        Ok(())
    }

    /// Takes back [`UserNamespace::charge`].
    pub(super) fn uncharge(&self, kind: NamespaceKind, uid: KernelUid) {
        self.uncharge_levels(kind, uid, usize::MAX);
    }

    fn uncharge_levels(&self, kind: NamespaceKind, uid: KernelUid, levels: usize) {
        for (namespace, uid) in self.charged(uid).take(levels) {
            namespace.discount(kind, uid);
        }
    }

    /// Who is charged, and where, for what the user `uid` makes here.
    fn charged(&self, uid: KernelUid) -> impl Iterator<Item = (&Self, KernelUid)> {
        let makers = self.with_ancestors().map(Self::owner_uid);
        self.with_ancestors().zip(std::iter::once(uid).chain(makers))
    }

    /// Counts one more for `uid`; false if there are too many.
    fn count(&self, kind: NamespaceKind, uid: KernelUid) -> bool {
        let limit = self.limit(kind);
        let mut counts = self.counts.lock();
        let total = &self.totals[kind as usize];
        let own = counts.get(&uid).map_or(0, |counts| counts[kind as usize]);
        if own >= limit || total.load(Ordering::Relaxed) >= MAX_LIMIT {
            return false;
        }
        total.fetch_add(1, Ordering::Relaxed);
        counts.entry(uid).or_default()[kind as usize] += 1;
        true
    }

    fn discount(&self, kind: NamespaceKind, uid: KernelUid) {
        let mut counts = self.counts.lock();
        self.totals[kind as usize].fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut entry) = counts.entry(uid) {
            let own = &mut entry.get_mut()[kind as usize];
            *own = own.saturating_sub(1);
            if *entry.get() == Counts::default() {
                entry.remove();
            }
        }
    }
}

/// How many namespaces of each kind a user has.
type Counts = [u32; NamespaceKind::COUNT];

impl PartialEq for UserNamespace {
    /// Of two namespaces of one kernel.
    fn eq(&self, other: &Self) -> bool {
        self.identity.ino() == other.identity.ino()
    }
}

impl Eq for UserNamespace {}

impl Namespace for UserNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn parent(&self) -> Option<Arc<dyn Namespace>> {
        self.identity.owner().map(|parent| parent.clone() as Arc<dyn Namespace>)
    }
}

#[cfg(test)]
mod tests;
