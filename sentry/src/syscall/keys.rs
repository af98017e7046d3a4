//! Keys and keyrings (`man 2 add_key`, `man 2 request_key`, `man 2 keyctl`).

use syscalls::Sysno;

use super::Handler;
use super::arguments::{ReturnValue, UserPointer, UserSlice, handlers, int, unsigned};
use crate::Errno;
use crate::cred::{Gid, Uid};
use crate::keys::{Caller, KeyType, Restriction, Serial};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![add_key, request_key, keyctl];

/// Room for a type's name, with its NUL.
const TYPE_BYTES: usize = 32;
/// Room for a description, with its NUL.
const DESCRIPTION_BYTES: usize = 4096;
/// Room for a rule of restriction, with its NUL.
const RULE_BYTES: usize = crate::platform::PAGE_SIZE as usize;
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
    kind: UserPointer<u8>,
    description: UserPointer<u8>,
    payload: UserSlice,
    ring: i32,
) -> Result<Serial, Errno> {
    if payload.len_bytes > MAX_PAYLOAD_BYTES {
        return Err(Errno::EINVAL);
    }
    let kind = read_type(task, kind)?;
    let description = match description.is_null() {
        true => Vec::new(),
        false => read_string(task, description, DESCRIPTION_BYTES)?,
    };
    if kind == KeyType::Keyring.name().as_bytes() && description.first() == Some(&b'.') {
        return Err(Errno::EPERM);
    }
    let payload = read_payload(task, payload)?;
    let kind = KeyType::from_name(&kind);
    with_keys(task, |caller| caller.add(kind, &description, payload, ring))
}

fn request_key(
    task: &mut CurrentTask,
    kind: UserPointer<u8>,
    description: UserPointer<u8>,
    callout: UserPointer<u8>,
    destination: i32,
) -> Result<Serial, Errno> {
    let kind = read_type(task, kind)?;
    let description = read_string(task, description, DESCRIPTION_BYTES)?;
    let asks = !callout.is_null();
    if asks {
        read_string(task, callout, DESCRIPTION_BYTES)?;
    }
    let kind = KeyType::from_name(&kind);
    with_keys(task, |caller| caller.request(kind, &description, asks, destination))
}

fn keyctl(task: &mut CurrentTask, operation: u32, a: u64, b: u64, c: u64, d: u64) -> Result<usize, Errno> {
    let id = int(a);
    match operation {
        command::GET_KEYRING_ID => {
            return with_keys(task, |caller| caller.keyring_serial(id, int(b) != 0)).map(Serial::encode);
        }
        command::JOIN_SESSION_KEYRING => return join_session_keyring(task, UserPointer::new(a)),
        command::UPDATE => update(task, id, UserSlice { address: VirtualAddress(b), len_bytes: c })?,
        command::REVOKE => with_keys(task, |caller| caller.revoke(id))?,
        command::CHOWN => change_owner(task, id, unsigned(b), unsigned(c))?,
        command::SETPERM => with_keys(task, |caller| caller.set_permissions(id, unsigned(b)))?,
        command::DESCRIBE => {
            let text = with_keys(task, |caller| caller.describe(id))?;
            return write_if_it_fits(task, &text, b, c);
        }
        command::CLEAR => with_keys(task, |caller| caller.clear(id))?,
        command::LINK => with_keys(task, |caller| caller.link(id, int(b)))?,
        command::UNLINK => with_keys(task, |caller| caller.unlink(id, int(b)))?,
        command::SEARCH => return search(task, id, UserPointer::new(b), UserPointer::new(c), int(d)),
        command::READ => {
            let room = usize::try_from(c).unwrap_or(usize::MAX);
            let content = with_keys(task, |caller| caller.read(id, room))?;
            return write_if_it_fits(task, &content, b, c);
        }
        command::SET_REQKEY_KEYRING => {
            return with_keys(task, |caller| caller.set_request_destination(id)).map(ReturnValue::encode);
        }
        command::SET_TIMEOUT => with_keys(task, |caller| caller.set_timeout(id, unsigned(b)))?,
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
            let uid = identity(unsigned(a), |uid| namespace.to_kernel_uid(Uid(uid)))?;
            return with_keys(task, |caller| caller.persistent(uid, int(b))).map(Serial::encode);
        }
        command::RESTRICT_KEYRING => restrict_keyring(task, id, UserPointer::new(b), UserPointer::new(c))?,
        command::MOVE => move_key(task, id, int(b), int(c), unsigned(d))?,
        command::CAPABILITIES => return capabilities(task, a, b),
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(0)
}

impl ReturnValue for Serial {
    fn encode(self) -> usize {
        self.0.encode()
    }
}

/// A user or group that the caller numbers so; -1 is none.
///
/// # Errors
/// EINVAL: the caller's namespace does not know it.
fn identity<T>(id: u32, to_kernel: impl Fn(u32) -> Option<T>) -> Result<Option<T>, Errno> {
    match id {
        u32::MAX => Ok(None),
        _ => to_kernel(id).map(Some).ok_or(Errno::EINVAL),
    }
}

fn change_owner(task: &CurrentTask, id: i32, uid: u32, gid: u32) -> Result<(), Errno> {
    let namespace = &task.credentials().user_namespace;
    let uid = identity(uid, |uid| namespace.to_kernel_uid(Uid(uid)))?;
    let gid = identity(gid, |gid| namespace.to_kernel_gid(Gid(gid)))?;
    with_keys(task, |caller| caller.change_owner(id, uid, gid))
}

/// Whether a word is an error that a request can be answered with.
fn is_errno(word: u64) -> bool {
    /// ERESTARTSYS to ERESTART_RESTARTBLOCK are the kernel's own.
    const OWN: [u32; 4] = [512, 513, 514, 516];
    let number = unsigned(word);
    (1..4095).contains(&number) && !OWN.contains(&number)
}

fn join_session_keyring(task: &CurrentTask, name: UserPointer<u8>) -> Result<usize, Errno> {
    let name = match name.is_null() {
        true => None,
        false => Some(read_string(task, name, DESCRIPTION_BYTES)?),
    };
    if name.as_ref().is_some_and(|name| name.first() == Some(&b'.')) {
        return Err(Errno::EPERM);
    }
    if name.as_ref().is_some_and(Vec::is_empty) {
        return Err(Errno::EINVAL);
    }
    with_keys(task, |caller| caller.join_session(name.as_deref())).map(Serial::encode)
}

fn update(task: &CurrentTask, id: i32, payload: UserSlice) -> Result<(), Errno> {
    if payload.len_bytes > crate::platform::PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let payload = read_payload(task, payload)?;
    with_keys(task, |caller| caller.update(id, payload))
}

fn search(
    task: &CurrentTask,
    ring: i32,
    kind: UserPointer<u8>,
    description: UserPointer<u8>,
    destination: i32,
) -> Result<usize, Errno> {
    let kind = read_type(task, kind)?;
    let description = read_string(task, description, DESCRIPTION_BYTES)?;
    let kind = KeyType::from_name(&kind);
    with_keys(task, |caller| caller.search_for(ring, kind, &description, destination)).map(Serial::encode)
}

fn restrict_keyring(
    task: &CurrentTask,
    id: i32,
    kind: UserPointer<u8>,
    rule: UserPointer<u8>,
) -> Result<(), Errno> {
    let kind = match kind.is_null() {
        true => None,
        false => Some(read_type(task, kind)?),
    };
    if !rule.is_null() {
        read_string(task, rule, RULE_BYTES)?;
    }
    let restriction = match &kind {
        None if !rule.is_null() => return Err(Errno::EINVAL),
        None => Restriction::Closed,
        Some(_) if rule.is_null() => return Err(Errno::EINVAL),
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
        task.memory().zero(UserPointer::<u8>::new(address).element(told).address(), u64_from(rest))?;
    }
    Ok(CAPABILITIES.len())
}

/// Writes `bytes` if there is room for all of them. Returns how many they are.
fn write_if_it_fits(task: &CurrentTask, bytes: &[u8], address: u64, room: u64) -> Result<usize, Errno> {
    if address != 0 && u64::try_from(bytes.len()).is_ok_and(|len| len <= room) {
        task.memory().write_bytes(VirtualAddress(address), bytes)?;
    }
    Ok(bytes.len())
}

/// The name of a type. Those that begin with a dot are the kernel's own.
fn read_type(task: &CurrentTask, name: UserPointer<u8>) -> Result<Vec<u8>, Errno> {
    let name = read_string(task, name, TYPE_BYTES)?;
    match name.first() {
        None => Err(Errno::EINVAL),
        Some(b'.') => Err(Errno::EPERM),
        Some(_) => Ok(name),
    }
}

/// A string of less than `room_bytes`.
fn read_string(task: &CurrentTask, string: UserPointer<u8>, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    task.memory().read_c_string(string.address(), room_bytes).map_err(|error| match error {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        error => error,
    })
}

fn read_payload(task: &CurrentTask, payload: UserSlice) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; usize::try_from(payload.len_bytes).map_err(|_| Errno::EINVAL)?];
    task.memory().read_bytes(payload.address, &mut bytes)?;
    Ok(bytes)
}
