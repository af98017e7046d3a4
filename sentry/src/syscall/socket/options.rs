//! getsockopt(2) and setsockopt(2).

use linux_raw_sys::net as uapi;
use linux_raw_sys::net::IP_MSFILTER;
use zerocopy::IntoBytes;

use super::{OpenSocket, seen_from};
use crate::Errno;
use crate::abi::Ucred;
use crate::cred::Gid;
use crate::fs::Fd;
use crate::heap::HeapCharge;
use crate::net::xtables::{self, RuleTables};
use crate::net::{Socket, level};
use crate::syscall::arguments::UserPointer;
use crate::task::CurrentTask;

/// The level of packet sockets, and the option whose question is in the room for its answer.
const SOL_PACKET: u32 = 263;
const PACKET_HDRLEN: u32 = 11;
/// The longest option value that is looked at: a filter of a multicast group with as many sources as there may be.
const MAX_VALUE_BYTES: usize = 16 * 1024;

pub(super) fn getsockopt(
    task: &mut CurrentTask,
    descriptor: Fd,
    level: u32,
    option: u32,
    value: UserPointer<u8>,
    len_bytes: UserPointer<i32>,
) -> Result<(), Errno> {
    let socket = OpenSocket::find(task, descriptor)?.socket;
    if let Some(tables) = RuleTables::of(&*socket, level, option, false) {
        return get_rules(task, &tables, value, len_bytes);
    }
    if level != uapi::SOL_SOCKET {
        socket.check_option(level, option, false)?;
    }
    let room = match usize::try_from(len_bytes.read(task)?) {
        Ok(room) => room,
        // To IPv6 it is a large one, unless it asks for a filter.
        Err(_) if level == uapi::SOL_IPV6 && option != uapi::MCAST_MSFILTER => usize::MAX,
        Err(_) => return Err(Errno::EINVAL),
    };
    let bytes = match (level, option) {
        (uapi::SOL_SOCKET, uapi::SO_GET_FILTER) => {
            return write_filter(task, &*socket, value, (room, len_bytes));
        }
        (uapi::SOL_IP, IP_MSFILTER | uapi::MCAST_MSFILTER) | (uapi::SOL_IPV6, uapi::MCAST_MSFILTER) => {
            let asked = value.read_array(task, room.min(MAX_VALUE_BYTES))?;
            socket.group_filter(level, option, &asked)?
        }
        (SOL_PACKET, PACKET_HDRLEN) if socket.common().family() == uapi::AF_PACKET => {
            let asked = value.read_array(task, room.min(size_of::<u32>()))?;
            socket.asked_option(&asked)?
        }
        (uapi::SOL_SOCKET, uapi::SO_PEERGROUPS) => peer_groups(task, &*socket, room, len_bytes)?,
        (uapi::SOL_SOCKET, uapi::SO_PEERPIDFD) => {
            let peer = socket.peer_credentials().ok_or(Errno::ENODATA)?;
            super::process_descriptor(task, &peer)?.0.as_bytes().to_vec()
        }
        (uapi::SOL_SOCKET, uapi::SO_PEERCRED) => peer_credentials(task, &*socket).as_bytes().to_vec(),
        (uapi::SOL_SOCKET, option) => level::get(&*socket, option, room)?,
        (level, option) => socket.option(level, option, room)?,
    };
    let (shown, _) = bytes.split_at(room.min(bytes.len()));
    task.memory().write_bytes(value.address(), shown)?;
    len_bytes.write(task, &i32::try_from(shown.len()).map_err(|_| Errno::EINVAL)?)
}

/// An option of tables of rules, whose question is in the room for its answer.
fn get_rules(
    task: &CurrentTask,
    tables: &RuleTables,
    value: UserPointer<u8>,
    len_bytes: UserPointer<i32>,
) -> Result<(), Errno> {
    let room = usize::try_from(len_bytes.read(task)?).map_err(|_| Errno::EINVAL)?;
    let asked = value.read_array(task, room.min(tables.asked_bytes()))?;
    let told = tables.get(&asked, room, task)?;
    task.memory().write_bytes(value.address(), &told)?;
    len_bytes.write(task, &i32::try_from(told.len()).map_err(|_| Errno::EINVAL)?)
}

/// SO_GET_FILTER, whose lengths count instructions: without room for any, it tells how many there are.
fn write_filter(
    task: &CurrentTask,
    socket: &dyn Socket,
    value: UserPointer<u8>,
    (room, len): (usize, UserPointer<i32>),
) -> Result<(), Errno> {
    let filter = socket.common().filter();
    let source = filter.as_ref().map(|filter| filter.source()).unwrap_or_default();
    if room > 0 && room < source.len() {
        return Err(Errno::EINVAL);
    }
    if room > 0 {
        task.memory().write_bytes(value.address(), source.as_bytes())?;
    }
    len.write(task, &i32::try_from(source.len()).map_err(|_| Errno::EINVAL)?)
}

fn peer_credentials(task: &CurrentTask, socket: &dyn Socket) -> Ucred {
    match socket.peer_credentials() {
        Some(peer) => seen_from(task, &peer),
        None => Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX },
    }
}

/// The supplementary groups of the peer; if there is no `room` for them, their length is told instead.
fn peer_groups(
    task: &CurrentTask,
    socket: &dyn Socket,
    room: usize,
    len_bytes: UserPointer<i32>,
) -> Result<Vec<u8>, Errno> {
    let peer = socket.peer_credentials().ok_or(Errno::ENODATA)?;
    let user_namespace = task.credentials().user_namespace.clone();
    let groups: Vec<Gid> = peer.groups.iter().map(|group| user_namespace.from_kernel_gid(*group)).collect();
    let bytes = groups.as_bytes();
    if room < bytes.len() {
        len_bytes.write(task, &i32::try_from(bytes.len()).map_err(|_| Errno::EINVAL)?)?;
        return Err(Errno::ERANGE);
    }
    Ok(bytes.to_vec())
}

pub(super) fn setsockopt(
    task: &mut CurrentTask,
    descriptor: Fd,
    level: u32,
    option: u32,
    value: UserPointer<u8>,
    len_bytes: i32,
) -> Result<(), Errno> {
    let socket = OpenSocket::find(task, descriptor)?.socket;
    let len_bytes = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
    if let Some(tables) = RuleTables::of(&*socket, level, option, true) {
        let len_bytes = len_bytes.min(xtables::MAX_VALUE_BYTES);
        let _charge = HeapCharge::transient(len_bytes)?;
        return tables.set(&value.read_array(task, len_bytes)?, task);
    }
    let read = |task: &CurrentTask| value.read_array(task, len_bytes.min(MAX_VALUE_BYTES));
    if level != uapi::SOL_SOCKET {
        socket.check_option(level, option, true)?;
        // To IPv6 no value is zero, or nothing.
        let is_zero = level == uapi::SOL_IPV6 && value.is_null();
        let value = if is_zero { vec![0; len_bytes.min(size_of::<i32>())] } else { read(task)? };
        return socket.set_option(level, option, &value, task);
    }
    if len_bytes < size_of::<i32>() && option != uapi::SO_BINDTODEVICE {
        return Err(Errno::EINVAL);
    }
    let value = read(task)?;
    level::set(&*socket, option, &value, task)
}
