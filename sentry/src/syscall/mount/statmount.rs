//! statmount(2) and listmount(2): mounts by numbers that are never used again.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use zerocopy::{FromBytes, IntoBytes};

use super::descriptors::attributes_of;
use crate::Errno;
use crate::abi::{MntIdReq, Statmount};
use crate::cred::{Capabilities, Namespace};
use crate::fs::{FsView, Mount, MountNamespace, SuperFlags, Viewer};
use crate::platform::{PAGE_SIZE, VirtualAddress};
use crate::syscall::arguments::UserPointer;
use crate::syscall::scope::Scope;
use crate::task::CurrentTask;
use crate::width::{u64_from, usize_from};

/// The first numbers are those of mountinfo, so that nobody takes one for the other (`MNT_UNIQUE_ID_OFFSET`).
const UNIQUE_OFFSET: u64 = 1 << 31;
/// Stands for the caller's root (`LSMT_ROOT`).
const ROOT: u64 = u64::MAX;

const SB_BASIC: u64 = 0x1;
const MNT_BASIC: u64 = 0x2;
const PROPAGATE_FROM: u64 = 0x4;
const MNT_ROOT: u64 = 0x8;
const MNT_POINT: u64 = 0x10;
const FS_TYPE: u64 = 0x20;
const MNT_NS_ID: u64 = 0x40;
const MNT_OPTS: u64 = 0x80;
const FS_SUBTYPE: u64 = 0x100;
const SB_SOURCE: u64 = 0x200;
const STRINGS: u64 = MNT_ROOT | MNT_POINT | FS_TYPE | MNT_OPTS | FS_SUBTYPE | SB_SOURCE;

/// The number of a mount that no other ever has (STATX_MNT_ID_UNIQUE).
pub(in crate::syscall) fn unique_id(mount: &Mount) -> u64 {
    UNIQUE_OFFSET + mount.id()
}

/// Reads a request of any version.
fn read_request(task: &CurrentTask, request: UserPointer<u8>) -> Result<MntIdReq, Errno> {
    const FIRST_LEN: usize = 24;
    const KNOWN: usize = size_of::<MntIdReq>();
    let size: u32 = task.memory().read_object(request.address())?;
    let len = usize_from(size);
    if u64_from(len) > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if len < FIRST_LEN {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len.max(KNOWN)];
    task.memory().read_bytes(request.address(), bytes.get_mut(..len).unwrap_or_default())?;
    let (known, rest) = bytes.split_at(KNOWN);
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let request = MntIdReq::read_from_bytes(known).map_err(|_| Errno::EINVAL)?;
    let is_valid = request.spare == 0 && request.mnt_id > UNIQUE_OFFSET;
    if is_valid { Ok(request) } else { Err(Errno::EINVAL) }
}

/// The namespace that a request means: the caller's own, or one that it administers.
fn namespace_of(task: &CurrentTask, view: &FsView, request: &MntIdReq) -> Result<Arc<MountNamespace>, Errno> {
    let own = &view.namespace;
    if request.mnt_ns_id == 0 || request.mnt_ns_id == own.identity().ino() {
        return Ok(own.clone());
    }
    let other = own.table().namespace(request.mnt_ns_id).ok_or(Errno::ENOENT)?;
    if administers(task, &other) { Ok(other) } else { Err(Errno::ENOENT) }
}

fn administers(task: &CurrentTask, namespace: &MountNamespace) -> bool {
    let owner = namespace.identity().owner();
    owner.is_some_and(|owner| task.credentials().has_in(owner, Capabilities::SYS_ADMIN))
}

fn find(namespace: &MountNamespace, id: u64) -> Result<Arc<Mount>, Errno> {
    namespace.mounts().into_iter().find(|mount| unique_id(mount) == id).ok_or(Errno::ENOENT)
}

/// Fails if the caller neither sees `mount` nor administers its namespace.
fn check_sees(
    task: &CurrentTask,
    view: &FsView,
    namespace: &MountNamespace,
    mount: &Arc<Mount>,
) -> Result<(), Errno> {
    let is_seen = mount.place_in(view).is_some() || administers(task, namespace);
    if is_seen { Ok(()) } else { Err(Errno::EPERM) }
}

pub(super) fn listmount(
    task: &mut CurrentTask,
    request: UserPointer<u8>,
    ids: UserPointer<u8>,
    max_count: u64,
    flags: u32,
) -> Result<usize, Errno> {
    const REVERSE: u32 = 1;
    const MAX_COUNT: u64 = 1_000_000;
    if flags & !REVERSE != 0 {
        return Err(Errno::EINVAL);
    }
    if max_count > MAX_COUNT {
        return Err(Errno::EOVERFLOW);
    }
    if !is_in_user_space(ids.address(), max_count * 8) {
        return Err(Errno::EFAULT);
    }
    let request = read_request(task, request)?;
    if request.param != 0 && request.param <= UNIQUE_OFFSET {
        return Err(Errno::EINVAL);
    }
    let scope = Scope::new(task);
    let view = scope.view();
    let namespace = namespace_of(task, view, &request)?;
    let below = match request.mnt_id {
        ROOT if Arc::ptr_eq(&namespace, &view.namespace) => view.root.clone(),
        ROOT => namespace.root(),
        id => {
            let parent = find(&namespace, id)?;
            check_sees(task, view, &namespace, &parent)?;
            parent.root_path()
        }
    };
    let is_listed = |mount: &Arc<Mount>| {
        let id = unique_id(mount);
        let is_next = match (flags & REVERSE, request.param) {
            (_, 0) => true,
            (0, last) => id > last,
            (_, last) => id < last,
        };
        let is_root = Arc::ptr_eq(mount, &below.mount);
        is_next && id != request.mnt_id && (is_root || mount.root_path().is_below(&below))
    };
    let mut listed: Vec<u64> =
        namespace.mounts().iter().filter(|mount| is_listed(mount)).map(|mount| unique_id(mount)).collect();
    if flags & REVERSE != 0 {
        listed.reverse();
    }
    listed.truncate(usize::try_from(max_count).unwrap_or(usize::MAX));
    task.memory().write_bytes(ids.address(), listed.as_bytes())?;
    Ok(listed.len())
}

/// Whether `len` bytes from `address` on are where user memory can be.
fn is_in_user_space(address: VirtualAddress, len: u64) -> bool {
    const END: u64 = 1 << 47;
    address.0.checked_add(len).is_some_and(|end| end <= END)
}

pub(super) fn statmount(
    task: &mut CurrentTask,
    request: UserPointer<u8>,
    buffer: UserPointer<u8>,
    len: u64,
    flags: u32,
) -> Result<(), Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let request = read_request(task, request)?;
    let scope = Scope::new(task);
    let view = scope.view();
    let namespace = namespace_of(task, view, &request)?;
    if !is_in_user_space(buffer.address(), len) {
        return Err(Errno::EFAULT);
    }
    let len = usize::try_from(len).map_err(|_| Errno::EFAULT)?;
    if request.param & STRINGS != 0 && len == size_of::<Statmount>() {
        return Err(Errno::EOVERFLOW);
    }
    let mount = find(&namespace, request.mnt_id)?;
    check_sees(task, view, &namespace, &mount)?;
    let mut answer = Answer { mount: &mount, view, fixed: Statmount::default(), strings: Vec::new() };
    answer.fill(&namespace, request.param, scope.viewer());
    let copied = len.min(size_of::<Statmount>());
    if !answer.strings.is_empty() && copied + answer.strings.len() > len {
        return Err(Errno::EOVERFLOW);
    }
    answer.fixed.size = (copied + answer.strings.len()) as u32;
    let fixed = answer.fixed.as_bytes().get(..copied).unwrap_or_default();
    task.memory().write_bytes(buffer.address(), &[fixed, &answer.strings].concat())
}

/// What is told of a mount.
struct Answer<'a> {
    mount: &'a Arc<Mount>,
    view: &'a FsView,
    fixed: Statmount,
    strings: Vec<u8>,
}

impl Answer<'_> {
    fn fill(&mut self, namespace: &MountNamespace, mask: u64, viewer: &Viewer) {
        let (mount, file_system) = (self.mount, self.mount.file_system());
        if mask & SB_BASIC != 0 {
            let device = file_system.device();
            (self.fixed.sb_dev_major, self.fixed.sb_dev_minor) = (device.major, device.minor);
            self.fixed.sb_magic = file_system.info().magic;
            self.fixed.sb_flags = (mount.instance().flags() - SuperFlags::MANDLOCK).bits();
            self.fixed.mask |= SB_BASIC;
        }
        if mask & MNT_BASIC != 0 {
            self.fill_mount();
        }
        if mask & PROPAGATE_FROM != 0 {
            let is_visible =
                |other: &Arc<Mount>| namespace.holds(other) && other.place_in(self.view).is_some();
            self.fixed.propagate_from = mount.nearest_master(is_visible).unwrap_or(0);
            self.fixed.mask |= PROPAGATE_FROM;
        }
        if mask & MNT_NS_ID != 0 {
            self.fixed.mnt_ns_id = namespace.identity().ino();
            self.fixed.mask |= MNT_NS_ID;
        }
        if mask & FS_TYPE != 0 {
            self.fixed.fs_type = self.string(FS_TYPE, file_system.type_name().as_bytes());
        }
        if mask & FS_SUBTYPE != 0
            && let Some(subtype) = file_system.subtype()
        {
            self.fixed.fs_subtype = self.string(FS_SUBTYPE, subtype.as_bytes());
        }
        if mask & MNT_ROOT != 0 {
            self.fixed.mnt_root = self.string(MNT_ROOT, &mount.root_in_file_system(viewer));
        }
        if mask & MNT_POINT != 0
            && let Some(place) = mount.place_in(self.view)
        {
            self.fixed.mnt_point = self.string(MNT_POINT, &place);
        }
        if mask & MNT_OPTS != 0 {
            let options = file_system.options();
            let options = options.strip_prefix(',').unwrap_or(&options);
            self.fixed.mnt_opts = self.string(MNT_OPTS, options.as_bytes());
        }
        if mask & SB_SOURCE != 0 {
            self.fixed.sb_source = self.string(SB_SOURCE, mount.source().as_bytes());
        }
    }

    fn fill_mount(&mut self) {
        let mount = self.mount;
        let parent = mount.mount_point().map_or_else(|| mount.clone(), |place| place.mount);
        let old = |mount: &Mount| u32::try_from(mount.id()).unwrap_or(u32::MAX);
        let (group, master) = mount.group_ids();
        self.fixed.mnt_id = unique_id(mount);
        self.fixed.mnt_parent_id = unique_id(&parent);
        (self.fixed.mnt_id_old, self.fixed.mnt_parent_id_old) = (old(mount), old(&parent));
        self.fixed.mnt_attr = attributes_of(mount.flags());
        let mut propagation = 0;
        if group.is_some() {
            propagation |= uapi::MS_SHARED;
        }
        if master.is_some() {
            propagation |= uapi::MS_SLAVE;
        }
        if mount.is_unbindable() {
            propagation |= uapi::MS_UNBINDABLE;
        }
        self.fixed.mnt_propagation = if propagation == 0 { uapi::MS_PRIVATE } else { propagation }.into();
        self.fixed.mnt_peer_group = group.unwrap_or(0);
        self.fixed.mnt_master = master.unwrap_or(0);
        self.fixed.mask |= MNT_BASIC;
    }

    /// Adds a string; where it begins.
    fn string(&mut self, mask: u64, text: &[u8]) -> u32 {
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(text);
        self.strings.push(0);
        self.fixed.mask |= mask;
        offset
    }
}
