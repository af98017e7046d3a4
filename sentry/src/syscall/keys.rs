//! Keys and keyrings (`man 2 add_key`, `man 2 request_key`, `man 2 keyctl`).

use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::keys::{Caller, KeyType, Restriction, Serial};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    &[(Sysno::add_key, add_key), (Sysno::request_key, request_key), (Sysno::keyctl, keyctl)];

/// Room for a type's name, with its NUL.
const TYPE_BYTES: usize = 32;
/// Room for a description, with its NUL.
const DESCRIPTION_BYTES: usize = 4096;
/// Longest payload that is looked at.
const MAX_PAYLOAD_BYTES: u64 = (1 << 20) - 1;

/// `KEYCTL_*` (linux/keyctl.h).
pub(super) mod command {
    pub(in crate::syscall) const GET_KEYRING_ID: u32 = 0;
    pub(in crate::syscall) const JOIN_SESSION_KEYRING: u32 = 1;
    pub(in crate::syscall) const UPDATE: u32 = 2;
    pub(in crate::syscall) const REVOKE: u32 = 3;
    pub(in crate::syscall) const CHOWN: u32 = 4;
    pub(in crate::syscall) const SETPERM: u32 = 5;
    pub(in crate::syscall) const DESCRIBE: u32 = 6;
    pub(in crate::syscall) const CLEAR: u32 = 7;
    pub(in crate::syscall) const LINK: u32 = 8;
    pub(in crate::syscall) const UNLINK: u32 = 9;
    pub(in crate::syscall) const SEARCH: u32 = 10;
    pub(in crate::syscall) const READ: u32 = 11;
    pub(in crate::syscall) const INSTANTIATE: u32 = 12;
    pub(in crate::syscall) const NEGATE: u32 = 13;
    pub(in crate::syscall) const SET_REQKEY_KEYRING: u32 = 14;
    pub(in crate::syscall) const SET_TIMEOUT: u32 = 15;
    pub(in crate::syscall) const ASSUME_AUTHORITY: u32 = 16;
    pub(in crate::syscall) const GET_SECURITY: u32 = 17;
    pub(in crate::syscall) const SESSION_TO_PARENT: u32 = 18;
    pub(in crate::syscall) const REJECT: u32 = 19;
    pub(in crate::syscall) const INSTANTIATE_IOV: u32 = 20;
    pub(in crate::syscall) const INVALIDATE: u32 = 21;
    pub(in crate::syscall) const GET_PERSISTENT: u32 = 22;
    pub(in crate::syscall) const RESTRICT_KEYRING: u32 = 29;
    pub(in crate::syscall) const MOVE: u32 = 30;
    pub(in crate::syscall) const CAPABILITIES: u32 = 31;
}

/// What KEYCTL_CAPABILITIES tells: CAPABILITIES, PERSISTENT_KEYRINGS, INVALIDATE, RESTRICT_KEYRING and MOVE; and in the second byte
/// NS_KEYRING_NAME.
const CAPABILITIES: [u8; 2] = [0x01 | 0x02 | 0x20 | 0x40 | 0x80, 0x01];

/// Has the task do something with keys.
fn with_keys<R>(task: &CurrentTask, action: impl FnOnce(&mut Caller<'_>) -> R) -> R {
    task.task().with_keys(&task.credentials(), action)
}

fn add_key(
    task: &mut CurrentTask,
    [kind, description, payload, len, ring, _]: [u64; 6],
) -> Result<usize, Errno> {
    if len > MAX_PAYLOAD_BYTES {
        return Err(Errno::EINVAL);
    }
    let kind = read_type(task, kind)?;
    let description = match description {
        0 => Vec::new(),
        address => read_string(task, address, DESCRIPTION_BYTES)?,
    };
    if kind == KeyType::Keyring.name().as_bytes() && description.first() == Some(&b'.') {
        return Err(Errno::EPERM);
    }
    let payload = read_payload(task, payload, len)?;
    let kind = KeyType::from_name(&kind);
    with_keys(task, |caller| caller.add(kind, &description, payload, ring as i32)).map(number)
}

fn request_key(
    task: &mut CurrentTask,
    [kind, description, callout, destination, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let kind = read_type(task, kind)?;
    let description = read_string(task, description, DESCRIPTION_BYTES)?;
    let asks = callout != 0;
    if asks {
        read_string(task, callout, DESCRIPTION_BYTES)?;
    }
    let kind = KeyType::from_name(&kind);
    with_keys(task, |caller| caller.request(kind, &description, asks, destination as i32)).map(number)
}

fn keyctl(task: &mut CurrentTask, [operation, a, b, c, d, _]: [u64; 6]) -> Result<usize, Errno> {
    let id = a as i32;
    match operation as u32 {
        command::GET_KEYRING_ID => {
            return with_keys(task, |caller| caller.keyring_serial(id, b as i32 != 0)).map(number);
        }
        command::JOIN_SESSION_KEYRING => return join_session_keyring(task, a),
        command::UPDATE => update(task, id, b, c)?,
        command::REVOKE => with_keys(task, |caller| caller.revoke(id))?,
        command::CHOWN => change_owner(task, id, b as u32, c as u32)?,
        command::SETPERM => with_keys(task, |caller| caller.set_permissions(id, b as u32))?,
        command::DESCRIBE => {
            let text = with_keys(task, |caller| caller.describe(id))?;
            return write_if_it_fits(task, &text, b, c);
        }
        command::CLEAR => with_keys(task, |caller| caller.clear(id))?,
        command::LINK => with_keys(task, |caller| caller.link(id, b as i32))?,
        command::UNLINK => with_keys(task, |caller| caller.unlink(id, b as i32))?,
        command::SEARCH => return search(task, id, b, c, d),
        command::READ => {
            let room = usize::try_from(c).unwrap_or(usize::MAX);
            let content = with_keys(task, |caller| caller.read(id, room))?;
            return write_if_it_fits(task, &content, b, c);
        }
        command::SET_REQKEY_KEYRING => {
            return with_keys(task, |caller| caller.set_request_destination(id)).map(|old| old as usize);
        }
        command::SET_TIMEOUT => with_keys(task, |caller| caller.set_timeout(id, b as u32))?,
        // Nobody is asked to make keys, so that nobody has the authority to.
        command::INSTANTIATE | command::NEGATE | command::INSTANTIATE_IOV => return Err(Errno::EPERM),
        command::REJECT => return Err(if is_errno(c) { Errno::EPERM } else { Errno::EINVAL }),
        command::ASSUME_AUTHORITY => match id {
            0 => {}
            ..0 => return Err(Errno::EINVAL),
            _ => return Err(Errno::ENOKEY),
        },
        command::GET_SECURITY => {
            with_keys(task, |caller| caller.check_viewable(id))?;
            return write_if_it_fits(task, &[0], b, c);
        }
        command::SESSION_TO_PARENT => task.give_session_keyring_to_parent()?,
        command::INVALIDATE => with_keys(task, |caller| caller.invalidate(id))?,
        command::GET_PERSISTENT => {
            let namespace = &task.credentials().user_namespace;
            let uid = identity(a as u32, |uid| namespace.to_kernel_uid(uid))?;
            return with_keys(task, |caller| caller.persistent(uid, b as i32)).map(number);
        }
        command::RESTRICT_KEYRING => restrict_keyring(task, id, b, c)?,
        command::MOVE => move_key(task, id, b as i32, c as i32, d as u32)?,
        command::CAPABILITIES => return capabilities(task, a, b),
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(0)
}

fn number(serial: Serial) -> usize {
    serial.0 as usize
}

/// A user or group that the caller numbers so; -1 is none.
///
/// # Errors
/// EINVAL: the caller's namespace does not know it.
fn identity(id: u32, to_kernel: impl Fn(u32) -> Option<u32>) -> Result<Option<u32>, Errno> {
    match id {
        u32::MAX => Ok(None),
        _ => to_kernel(id).map(Some).ok_or(Errno::EINVAL),
    }
}

fn change_owner(task: &CurrentTask, id: i32, uid: u32, gid: u32) -> Result<(), Errno> {
    let namespace = &task.credentials().user_namespace;
    let uid = identity(uid, |uid| namespace.to_kernel_uid(uid))?;
    let gid = identity(gid, |gid| namespace.to_kernel_gid(gid))?;
    with_keys(task, |caller| caller.change_owner(id, uid, gid))
}

/// Whether a word is an error that a request can be answered with.
fn is_errno(word: u64) -> bool {
    /// ERESTARTSYS to ERESTART_RESTARTBLOCK are the kernel's own.
    const OWN: [u32; 4] = [512, 513, 514, 516];
    (1..4095).contains(&(word as u32)) && !OWN.contains(&(word as u32))
}

fn join_session_keyring(task: &CurrentTask, name: u64) -> Result<usize, Errno> {
    let name = match name {
        0 => None,
        address => Some(read_string(task, address, DESCRIPTION_BYTES)?),
    };
    if name.as_ref().is_some_and(|name| name.first() == Some(&b'.')) {
        return Err(Errno::EPERM);
    }
    if name.as_ref().is_some_and(Vec::is_empty) {
        return Err(Errno::EINVAL);
    }
    with_keys(task, |caller| caller.join_session(name.as_deref())).map(number)
}

fn update(task: &CurrentTask, id: i32, payload: u64, len: u64) -> Result<(), Errno> {
    if len > crate::platform::PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let payload = read_payload(task, payload, len)?;
    with_keys(task, |caller| caller.update(id, payload))
}

fn search(
    task: &CurrentTask,
    ring: i32,
    kind: u64,
    description: u64,
    destination: u64,
) -> Result<usize, Errno> {
    let kind = read_type(task, kind)?;
    let description = read_string(task, description, DESCRIPTION_BYTES)?;
    let kind = KeyType::from_name(&kind);
    with_keys(task, |caller| caller.search_for(ring, kind, &description, destination as i32)).map(number)
}

fn restrict_keyring(task: &CurrentTask, id: i32, kind: u64, rule: u64) -> Result<(), Errno> {
    let kind = match kind {
        0 => None,
        address => Some(read_type(task, address)?),
    };
    if rule != 0 {
        read_string(task, rule, crate::platform::PAGE_SIZE as usize)?;
    }
    let restriction = match &kind {
        None if rule != 0 => return Err(Errno::EINVAL),
        None => Restriction::Closed,
        Some(_) if rule == 0 => return Err(Errno::EINVAL),
        Some(name) => Restriction::ByType(name),
    };
    with_keys(task, |caller| caller.restrict(id, restriction))
}

fn move_key(task: &CurrentTask, id: i32, from: i32, to: i32, flags: u32) -> Result<(), Errno> {
    /// KEYCTL_MOVE_EXCL.
    const EXCLUSIVE: u32 = 1;
    if flags & !EXCLUSIVE != 0 {
        return Err(Errno::EINVAL);
    }
    with_keys(task, |caller| caller.move_key(id, from, to, flags == EXCLUSIVE))
}

/// Writes as much as there is room for, and zeroes after it.
fn capabilities(task: &CurrentTask, address: u64, room: u64) -> Result<usize, Errno> {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let told = CAPABILITIES.len().min(room);
    task.memory().write_bytes(VirtualAddress(address), &CAPABILITIES[..told])?;
    if let Some(rest) = room.checked_sub(told).filter(|rest| *rest > 0) {
        task.memory().zero(VirtualAddress(address.wrapping_add(told as u64)), rest as u64)?;
    }
    Ok(CAPABILITIES.len())
}

/// Writes `bytes` if there is room for all of them. Returns how many they are.
fn write_if_it_fits(task: &CurrentTask, bytes: &[u8], address: u64, room: u64) -> Result<usize, Errno> {
    if address != 0 && bytes.len() as u64 <= room {
        task.memory().write_bytes(VirtualAddress(address), bytes)?;
    }
    Ok(bytes.len())
}

/// The name of a type. Those that begin with a dot are the kernel's own.
fn read_type(task: &CurrentTask, address: u64) -> Result<Vec<u8>, Errno> {
    let name = read_string(task, address, TYPE_BYTES)?;
    match name.first() {
        None => Err(Errno::EINVAL),
        Some(b'.') => Err(Errno::EPERM),
        Some(_) => Ok(name),
    }
}

/// A string of less than `room_bytes`.
fn read_string(task: &CurrentTask, address: u64, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    task.memory().read_c_string(VirtualAddress(address), room_bytes).map_err(|error| match error {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        error => error,
    })
}

fn read_payload(task: &CurrentTask, address: u64, len: u64) -> Result<Vec<u8>, Errno> {
    let mut payload = vec![0; usize::try_from(len).map_err(|_| Errno::EINVAL)?];
    task.memory().read_bytes(VirtualAddress(address), &mut payload)?;
    Ok(payload)
}
