//! How mounts and unmounts spread (`man 7 mount_namespaces`, "Shared subtrees").
//!
//! Shared mounts form a [`PeerGroup`]: what is mounted below one is mounted below all. A slave receives from its
//! master group and gives nothing back; it may be shared at the same time, and so pass on what it receives.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::copy::{Copying, Kinship};
use super::topology::{Change, tree};
use super::{Mount, MountTable};
use crate::Errno;
use crate::fs::dentry::Dentry;

/// What a mount gives and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// It gives and receives (MS_SHARED).
    Shared,
    /// Neither (MS_PRIVATE).
    Private,
    /// It only receives (MS_SLAVE).
    Slave,
    /// Neither, and it cannot be bind-mounted (MS_UNBINDABLE).
    Unbindable,
}

/// Mounts that give each other what is mounted below them.
pub(super) struct PeerGroup {
    id: u32,
    table: Arc<MountTable>,
    lists: Mutex<Lists>,
}

/// A copy of a tree, and the mount that receives it.
pub(super) struct Delivery {
    pub(super) copy: Arc<Mount>,
    pub(super) receiver: Arc<Mount>,
}

/// By the mounts' numbers.
#[derive(Default)]
struct Lists {
    members: BTreeMap<u64, Weak<Mount>>,
    slaves: BTreeMap<u64, Weak<Mount>>,
}

impl PeerGroup {
    pub(super) fn new(table: &Arc<MountTable>) -> Arc<Self> {
        Arc::new(Self { id: table.take_group_id(), table: table.clone(), lists: Mutex::default() })
    }

    /// Its number, as in /proc/PID/mountinfo.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn members(&self) -> Vec<Arc<Mount>> {
        self.lists.lock().members.values().filter_map(Weak::upgrade).collect()
    }

    fn slaves(&self) -> Vec<Arc<Mount>> {
        self.lists.lock().slaves.values().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for PeerGroup {
    fn drop(&mut self) {
        self.table.give_group_id_back(self.id);
    }
}

impl Change<'_> {
    /// Makes `mount` what MS_SHARED and its like ask for.
    pub(super) fn set_propagation(&mut self, mount: &Arc<Mount>, propagation: Propagation) {
        if propagation == Propagation::Shared {
            let is_shared = mount.links.lock().group.is_some();
            if !is_shared {
                join(mount, PeerGroup::new(self.table()));
            }
            mount.links.lock().is_unbindable = false;
            return;
        }
        if let Some(group) = leave(mount)
            && !group.lists.lock().members.is_empty()
        {
            set_master(mount, Some(group));
        }
        if propagation != Propagation::Slave {
            set_master(mount, None);
            mount.links.lock().is_unbindable = propagation == Propagation::Unbindable;
        }
    }

    /// Makes copies of `tree`, which is to be attached to `dentry` of `parent`, for all who receive from `parent`. The tree itself becomes shared if `parent` is.
    ///
    /// # Errors
    /// ENOSPC, and EINVAL if the tree holds what cannot be copied.
    pub(super) fn propagate(
        &mut self,
        tree: &[Arc<Mount>],
        parent: &Arc<Mount>,
        dentry: &Arc<Dentry>,
    ) -> Result<Vec<Delivery>, Errno> {
        let (Some(group), Some(source)) = (parent.group(), tree.first()) else { return Ok(Vec::new()) };
        let newly_shared: Vec<_> = tree.iter().filter(|mount| mount.group().is_none()).cloned().collect();
        newly_shared.iter().for_each(|mount| join(mount, PeerGroup::new(self.table())));
        let mut copies = Vec::new();
        match self.copy_for_group(group, source, parent, dentry, &mut copies) {
            Ok(()) => {
                tree.iter().for_each(|mount| mount.links.lock().is_unbindable = false);
                Ok(copies)
            }
            Err(error) => {
                copies.iter().for_each(|delivery| self.dissolve(&delivery.copy));
                newly_shared.iter().for_each(|mount| drop(leave(mount)));
                Err(error)
            }
        }
    }

    fn copy_for_group(
        &mut self,
        group: Arc<PeerGroup>,
        source: &Arc<Mount>,
        parent: &Arc<Mount>,
        dentry: &Arc<Dentry>,
        copies: &mut Vec<Delivery>,
    ) -> Result<(), Errno> {
        // Mounts that are new themselves, and those that do not show the place, receive nothing.
        let receives = |mount: &Arc<Mount>| mount.namespace().is_some() && mount.root.is_ancestor_of(dentry);
        let mut met = HashSet::from([group.id]);
        let mut served = HashSet::from([parent.id]);
        let mut work = vec![(group, source.clone())];
        while let Some((group, source)) = work.pop() {
            for member in group.members() {
                if receives(&member) && served.insert(member.id) {
                    let copy = self.copy(&source, Kinship::Peer)?;
                    copies.push(Delivery { copy, receiver: member });
                }
            }
            for slave in group.slaves() {
                match slave.group() {
                    None if receives(&slave) => {
                        let copy = self.copy(&source, Kinship::Slave { is_shared: false })?;
                        copies.push(Delivery { copy, receiver: slave });
                    }
                    None => {}
                    Some(own) if !met.insert(own.id) => {}
                    Some(own) => {
                        let first = own.members().into_iter().find(receives);
                        let mut given = source.clone();
                        if let Some(first) = first {
                            given = self.copy(&source, Kinship::Slave { is_shared: true })?;
                            served.insert(first.id);
                            copies.push(Delivery { copy: given.clone(), receiver: first });
                        }
                        work.push((own, given));
                    }
                }
            }
        }
        Ok(())
    }

    fn copy(&mut self, source: &Arc<Mount>, kinship: Kinship) -> Result<Arc<Mount>, Errno> {
        let copying = Copying { kinship, keeps_unbindable: true, keeps_namespace_files: false };
        Ok(self.copy_tree(source, &source.root, copying)?.root)
    }
}

/// Makes `mount` a member of `group`.
pub(super) fn join(mount: &Arc<Mount>, group: Arc<PeerGroup>) {
    group.lists.lock().members.insert(mount.id, Arc::downgrade(mount));
    mount.links.lock().group = Some(group);
}

/// Takes `mount` out of its group. If it was the last, the group's slaves pass to the group's own master.
fn leave(mount: &Arc<Mount>) -> Option<Arc<PeerGroup>> {
    let (group, master) = {
        let mut links = mount.links.lock();
        (links.group.take()?, links.master.clone())
    };
    let orphans = {
        let mut lists = group.lists.lock();
        lists.members.remove(&mount.id);
        if lists.members.is_empty() { std::mem::take(&mut lists.slaves) } else { BTreeMap::new() }
    };
    for orphan in orphans.values().filter_map(Weak::upgrade) {
        set_master(&orphan, master.clone());
    }
    Some(group)
}

/// Makes `mount` a slave of `master`, or of nobody.
pub(super) fn set_master(mount: &Arc<Mount>, master: Option<Arc<PeerGroup>>) {
    if let Some(master) = &master {
        master.lists.lock().slaves.insert(mount.id, Arc::downgrade(mount));
    }
    let old = std::mem::replace(&mut mount.links.lock().master, master.clone());
    if let Some(old) = old.filter(|old| master.is_none_or(|master| !Arc::ptr_eq(old, &master))) {
        old.lists.lock().slaves.remove(&mount.id);
    }
}

/// All who receive what happens below a member of `group`, its members among them.
pub(super) fn receivers(group: &Arc<PeerGroup>) -> Vec<Arc<Mount>> {
    let mut met = HashSet::from([group.id]);
    let mut work = vec![group.clone()];
    let mut receivers = Vec::new();
    while let Some(group) = work.pop() {
        receivers.extend(group.members());
        for slave in group.slaves() {
            match slave.group() {
                Some(own) if met.insert(own.id) => work.push(own),
                Some(_) => {}
                None => receivers.push(slave),
            }
        }
    }
    receivers
}

/// Whether a mount of the tree cannot be bind-mounted.
pub(super) fn has_unbindable(top: &Arc<Mount>) -> bool {
    tree(top).iter().any(|mount| mount.links.lock().is_unbindable)
}

impl Mount {
    /// The optional fields of /proc/PID/mountinfo (`man 5 proc`), each with a space before it. `is_visible` says
    /// which mounts the reader sees.
    pub fn propagation_fields(&self, is_visible: impl Fn(&Arc<Mount>) -> bool) -> String {
        let (group, master, is_unbindable) = {
            let links = self.links.lock();
            (links.group.clone(), links.master.clone(), links.is_unbindable)
        };
        let mut fields = String::new();
        if let Some(group) = group {
            fields += &format!(" shared:{}", group.id());
        }
        if let Some(master) = master {
            fields += &format!(" master:{}", master.id());
            let nearest = nearest_visible(&master, is_visible);
            if let Some(group) = nearest.filter(|group| group.id() != master.id()) {
                fields += &format!(" propagate_from:{}", group.id());
            }
        }
        if is_unbindable {
            fields += " unbindable";
        }
        fields
    }

    /// The nearest group that it receives mounts from, be it through others, with a member that `is_visible`.
    pub fn nearest_master(&self, is_visible: impl Fn(&Arc<Mount>) -> bool) -> Option<u64> {
        let master = self.links.lock().master.clone()?;
        nearest_visible(&master, is_visible).map(|group| group.id() as u64)
    }
}

fn nearest_visible(
    master: &Arc<PeerGroup>,
    is_visible: impl Fn(&Arc<Mount>) -> bool,
) -> Option<Arc<PeerGroup>> {
    let mut nearest = Some(master.clone());
    while let Some(group) = nearest.take_if(|group| !group.members().iter().any(&is_visible)) {
        nearest = group.members().first().and_then(|member| member.links.lock().master.clone());
    }
    nearest
}
