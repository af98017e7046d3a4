//! Users, groups and capabilities (`man 7 credentials`, `man 7 capabilities`). Users and groups are numbered by the
//! caller's user namespace (`man 7 user_namespaces`).

use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::Handler;
use super::arguments::{UserPointer, handlers, unsigned};
use super::resource::find;
use crate::Errno;
use crate::abi::{CapabilityData, CapabilityHeader, UserObject};
use crate::cred::{Capabilities, Credentials, Gid, Groups, KernelGid, KernelUid, Uid};
use crate::heap::HeapCharge;
use crate::task::{CurrentTask, Tid};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    getuid, geteuid, getgid, getegid, getresuid, getresgid, setuid, setgid, setreuid, setregid, setresuid,
    setresgid, setfsuid, setfsgid, getgroups, setgroups, capget, capset,
];

/// Most supplementary groups (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;
/// `_LINUX_CAPABILITY_VERSION_3`: two words a set.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The user of `credentials` as their own namespace numbers it.
fn shown_uid(credentials: &Credentials, id: fn(&Credentials) -> KernelUid) -> Uid {
    credentials.user_namespace.from_kernel_uid(id(credentials))
}

/// The group of `credentials` as their own namespace numbers it.
fn shown_gid(credentials: &Credentials, id: fn(&Credentials) -> KernelGid) -> Gid {
    credentials.user_namespace.from_kernel_gid(id(credentials))
}

fn getuid(task: &mut CurrentTask) -> Result<Uid, Errno> {
    Ok(shown_uid(&task.credentials(), |own| own.real_uid))
}

fn geteuid(task: &mut CurrentTask) -> Result<Uid, Errno> {
    Ok(shown_uid(&task.credentials(), |own| own.effective_uid))
}

fn getgid(task: &mut CurrentTask) -> Result<Gid, Errno> {
    Ok(shown_gid(&task.credentials(), |own| own.real_gid))
}

fn getegid(task: &mut CurrentTask) -> Result<Gid, Errno> {
    Ok(shown_gid(&task.credentials(), |own| own.effective_gid))
}

fn getresuid(
    task: &mut CurrentTask,
    real: UserPointer<Uid>,
    effective: UserPointer<Uid>,
    saved: UserPointer<Uid>,
) -> Result<(), Errno> {
    let own = task.credentials();
    let shown = [own.real_uid, own.effective_uid, own.saved_uid];
    write_ids(task, [real, effective, saved], shown.map(|uid| own.user_namespace.from_kernel_uid(uid)))
}

fn getresgid(
    task: &mut CurrentTask,
    real: UserPointer<Gid>,
    effective: UserPointer<Gid>,
    saved: UserPointer<Gid>,
) -> Result<(), Errno> {
    let own = task.credentials();
    let shown = [own.real_gid, own.effective_gid, own.saved_gid];
    write_ids(task, [real, effective, saved], shown.map(|gid| own.user_namespace.from_kernel_gid(gid)))
}

fn write_ids<T: UserObject>(
    task: &CurrentTask,
    places: [UserPointer<T>; 3],
    ids: [T; 3],
) -> Result<(), Errno> {
    places.into_iter().zip(ids).try_for_each(|(place, id)| place.write(task, &id))
}

fn setuid(task: &mut CurrentTask, uid: Uid) -> Result<(), Errno> {
    let old = task.credentials();
    let uid = old.user_namespace.to_kernel_uid(uid).ok_or(Errno::EINVAL)?;
    let mut new = (*old).clone();
    if old.has_in_own(Capabilities::SETUID) {
        (new.real_uid, new.effective_uid, new.saved_uid) = (uid, uid, uid);
    } else if uid == old.real_uid || uid == old.saved_uid {
        new.effective_uid = uid;
    } else {
        return Err(Errno::EPERM);
    }
    change_user(task, &old, new)
}

fn setgid(task: &mut CurrentTask, gid: Gid) -> Result<(), Errno> {
    let mut new = (*task.credentials()).clone();
    let gid = new.user_namespace.to_kernel_gid(gid).ok_or(Errno::EINVAL)?;
    if new.has_in_own(Capabilities::SETGID) {
        (new.real_gid, new.effective_gid, new.saved_gid) = (gid, gid, gid);
    } else if gid == new.real_gid || gid == new.saved_gid {
        new.effective_gid = gid;
    } else {
        return Err(Errno::EPERM);
    }
    change_group(task, new)
}

/// The user to change to, if there is to be a change.
fn wanted_uid(credentials: &Credentials, uid: Option<Uid>) -> Result<Option<KernelUid>, Errno> {
    uid.map(|uid| credentials.user_namespace.to_kernel_uid(uid).ok_or(Errno::EINVAL)).transpose()
}

/// The group to change to, if there is to be a change.
fn wanted_gid(credentials: &Credentials, gid: Option<Gid>) -> Result<Option<KernelGid>, Errno> {
    gid.map(|gid| credentials.user_namespace.to_kernel_gid(gid).ok_or(Errno::EINVAL)).transpose()
}

fn setreuid(task: &mut CurrentTask, real: Option<Uid>, effective: Option<Uid>) -> Result<(), Errno> {
    let old = task.credentials();
    let new_ids = change_real_and_effective(
        [old.real_uid, old.effective_uid, old.saved_uid],
        [wanted_uid(&old, real)?, wanted_uid(&old, effective)?],
        old.has_in_own(Capabilities::SETUID),
    )?;
    let mut new = (*old).clone();
    [new.real_uid, new.effective_uid, new.saved_uid] = new_ids;
    change_user(task, &old, new)
}

fn setregid(task: &mut CurrentTask, real: Option<Gid>, effective: Option<Gid>) -> Result<(), Errno> {
    let mut new = (*task.credentials()).clone();
    [new.real_gid, new.effective_gid, new.saved_gid] = change_real_and_effective(
        [new.real_gid, new.effective_gid, new.saved_gid],
        [wanted_gid(&new, real)?, wanted_gid(&new, effective)?],
        new.has_in_own(Capabilities::SETGID),
    )?;
    change_group(task, new)
}

/// The rules of `man 2 setreuid`, for users and groups alike: old and new are (real, effective, saved).
fn change_real_and_effective<T: Copy + PartialEq>(
    [old_real, old_effective, old_saved]: [T; 3],
    [real, effective]: [Option<T>; 2],
    is_privileged: bool,
) -> Result<[T; 3], Errno> {
    let may_be_real = real.is_none_or(|real| [old_real, old_effective].contains(&real));
    let may_be_effective =
        effective.is_none_or(|effective| [old_real, old_effective, old_saved].contains(&effective));
    if !(is_privileged || may_be_real && may_be_effective) {
        return Err(Errno::EPERM);
    }
    let new_effective = effective.unwrap_or(old_effective);
    let saves = real.is_some() || effective.is_some_and(|effective| effective != old_real);
    Ok([real.unwrap_or(old_real), new_effective, if saves { new_effective } else { old_saved }])
}

fn setresuid(
    task: &mut CurrentTask,
    real: Option<Uid>,
    effective: Option<Uid>,
    saved: Option<Uid>,
) -> Result<(), Errno> {
    let old = task.credentials();
    let mut new = (*old).clone();
    [new.real_uid, new.effective_uid, new.saved_uid] = change_all(
        [old.real_uid, old.effective_uid, old.saved_uid],
        [wanted_uid(&old, real)?, wanted_uid(&old, effective)?, wanted_uid(&old, saved)?],
        old.has_in_own(Capabilities::SETUID),
    )?;
    change_user(task, &old, new)
}

fn setresgid(
    task: &mut CurrentTask,
    real: Option<Gid>,
    effective: Option<Gid>,
    saved: Option<Gid>,
) -> Result<(), Errno> {
    let mut new = (*task.credentials()).clone();
    [new.real_gid, new.effective_gid, new.saved_gid] = change_all(
        [new.real_gid, new.effective_gid, new.saved_gid],
        [wanted_gid(&new, real)?, wanted_gid(&new, effective)?, wanted_gid(&new, saved)?],
        new.has_in_own(Capabilities::SETGID),
    )?;
    change_group(task, new)
}

/// The rules of `man 2 setresuid`.
fn change_all<T: Copy + PartialEq>(
    old: [T; 3],
    wanted: [Option<T>; 3],
    is_privileged: bool,
) -> Result<[T; 3], Errno> {
    if !is_privileged && wanted.iter().flatten().any(|id| !old.contains(id)) {
        return Err(Errno::EPERM);
    }
    Ok(std::array::from_fn(|index| wanted[index].unwrap_or(old[index])))
}

/// Swaps in credentials whose user IDs have changed, and adjusts capabilities.
fn change_user(task: &mut CurrentTask, old: &Credentials, mut new: Credentials) -> Result<(), Errno> {
    new.fs_uid = new.effective_uid;
    new.adjust_to_user_change(old);
    if new.real_uid != old.real_uid {
        task.task().charge_to(&task.kernel().users().counters(new.real_uid));
    }
    task.task().set_credentials(new);
    Ok(())
}

/// Swaps in credentials whose group IDs have changed.
fn change_group(task: &mut CurrentTask, mut new: Credentials) -> Result<(), Errno> {
    new.fs_gid = new.effective_gid;
    task.task().set_credentials(new);
    Ok(())
}

fn setfsuid(task: &mut CurrentTask, uid: Uid) -> Result<Uid, Errno> {
    let old = task.credentials();
    let is_own = |uid| [old.real_uid, old.effective_uid, old.saved_uid, old.fs_uid].contains(&uid);
    let wanted = old.user_namespace.to_kernel_uid(uid);
    if let Some(uid) = wanted.filter(|uid| is_own(*uid) || old.has_in_own(Capabilities::SETUID)) {
        let mut new = (*old).clone();
        new.fs_uid = uid;
        new.adjust_to_fs_user_change(&old);
        task.task().set_credentials(new);
    }
    Ok(shown_uid(&old, |old| old.fs_uid))
}

fn setfsgid(task: &mut CurrentTask, gid: Gid) -> Result<Gid, Errno> {
    let old = task.credentials();
    let is_own = |gid| [old.real_gid, old.effective_gid, old.saved_gid, old.fs_gid].contains(&gid);
    let wanted = old.user_namespace.to_kernel_gid(gid);
    if let Some(gid) = wanted.filter(|gid| is_own(*gid) || old.has_in_own(Capabilities::SETGID)) {
        let mut new = (*old).clone();
        new.fs_gid = gid;
        task.task().set_credentials(new);
    }
    Ok(shown_gid(&old, |old| old.fs_gid))
}

fn getgroups(task: &mut CurrentTask, size: i32, address: UserPointer<Gid>) -> Result<usize, Errno> {
    let own = task.credentials();
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size > 0 && size < own.groups.len() {
        return Err(Errno::EINVAL);
    }
    if size > 0 {
        let shown = own.groups.iter().map(|group| own.user_namespace.from_kernel_gid(*group));
        task.memory().write_bytes(address.address(), shown.collect::<Vec<Gid>>().as_bytes())?;
    }
    Ok(own.groups.len())
}

fn setgroups(task: &mut CurrentTask, size: u32, address: UserPointer<Gid>) -> Result<(), Errno> {
    let mut new = (*task.credentials()).clone();
    if !new.has_in_own(Capabilities::SETGID) || !new.user_namespace.may_set_groups() {
        return Err(Errno::EPERM);
    }
    // The size is an `int`, and more than there may be if it is negative.
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > MAX_GROUPS {
        return Err(Errno::EINVAL);
    }
    let _copy = HeapCharge::transient(2 * size * size_of::<Gid>())?;
    let mut groups = vec![Gid::ROOT; size];
    task.memory().read_bytes(address.address(), groups.as_mut_bytes())?;
    let groups: Option<Vec<KernelGid>> =
        groups.into_iter().map(|group| new.user_namespace.to_kernel_gid(group)).collect();
    let mut groups = groups.ok_or(Errno::EINVAL)?;
    groups.sort_unstable();
    new.groups = Groups::new(groups)?;
    task.task().set_credentials(new);
    Ok(())
}

/// Reads the header of capget(2) and capset(2): how many words a set has, and whose it is.
fn read_header(task: &CurrentTask, header: UserPointer<CapabilityHeader>) -> Result<(usize, Tid), Errno> {
    let CapabilityHeader { version, pid } = header.read(task)?;
    /// The first and the second version.
    const OLD_VERSIONS: [(u32, usize); 2] = [(0x1998_0330, 1), (0x2007_1026, 2)];
    let words = OLD_VERSIONS.iter().find(|(old, _)| *old == version).map(|(_, words)| *words);
    match words.or((version == CAPABILITY_VERSION_3).then_some(2)) {
        Some(words) => Ok((words, Tid(pid))),
        None => {
            UserPointer::new(header.address().0).write(task, &CAPABILITY_VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

fn capget(
    task: &mut CurrentTask,
    header: UserPointer<CapabilityHeader>,
    data: UserPointer<CapabilityData>,
) -> Result<(), Errno> {
    let (words, pid) = match read_header(task, header) {
        // With no place for the data, the call only asks for the version.
        Err(Errno::EINVAL) if data.is_null() => return Ok(()),
        header => header?,
    };
    let credentials = find(task, pid)?.credentials();
    if data.is_null() {
        return Ok(());
    }
    let sets = [credentials.effective, credentials.permitted, credentials.inheritable];
    for word in 0..words {
        let [effective, permitted, inheritable] = sets.map(|set| unsigned(set.bits() >> (32 * word)));
        data.element(word).write(task, &CapabilityData { effective, permitted, inheritable })?;
    }
    Ok(())
}

fn capset(
    task: &mut CurrentTask,
    header: UserPointer<CapabilityHeader>,
    data: UserPointer<CapabilityData>,
) -> Result<(), Errno> {
    let (words, pid) = read_header(task, header)?;
    if pid.0 != 0 && pid.0 != task.task().tid() {
        return Err(Errno::EPERM);
    }
    let mut sets = [0u64; 3];
    for word in 0..words {
        let CapabilityData { effective, permitted, inheritable } = data.element(word).read(task)?;
        for (set, value) in sets.iter_mut().zip([effective, permitted, inheritable]) {
            *set |= u64::from(value) << (32 * word);
        }
    }
    let [effective, permitted, inheritable] = sets.map(Capabilities::from_bits_truncate);
    let old = task.credentials();
    let may_inherit =
        old.inheritable | if old.has_in_own(Capabilities::SETPCAP) { old.bounding } else { old.permitted };
    if !old.permitted.contains(permitted)
        || !permitted.contains(effective)
        || !may_inherit.contains(inheritable)
        || !(old.inheritable | old.bounding).contains(inheritable)
    {
        return Err(Errno::EPERM);
    }
    let mut new = (*old).clone();
    (new.effective, new.permitted, new.inheritable) = (effective, permitted, inheritable);
    new.ambient &= permitted & inheritable;
    task.task().set_credentials(new);
    Ok(())
}

#[cfg(test)]
mod tests;
