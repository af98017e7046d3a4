//! getsockopt(2) and setsockopt(2).

use std::time::Duration;

use linux_raw_sys::net as uapi;

use super::{OpenSocket, seen_from};
use crate::Errno;
use crate::cred::Capabilities;
use crate::net::unix::UnixSocket;
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::time::{duration_from_timeval, timeval};

/// SOCK_SNDBUF_LOCK and SOCK_RCVBUF_LOCK.
const ALL_BUFFERS: u32 = 3;
/// The highest SO_PRIORITY that anybody may set.
const MAX_FREE_PRIORITY: u32 = 6;
/// The longest option value.
const MAX_VALUE_BYTES: usize = 64;

pub(super) fn getsockopt(
    task: &mut CurrentTask,
    [descriptor, level, option, value, len_address, _]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let room: i32 = task.memory().read_object(VirtualAddress(len_address))?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    if level as u32 != uapi::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let bytes = match option as u32 {
        uapi::SO_PEERGROUPS => peer_groups(task, open.socket()?, (room, len_address))?,
        uapi::SO_PEERNAME => {
            let name = open.socket()?.peer_address()?.to_bytes();
            // Unlike elsewhere, a buffer that is too long is refused.
            if name.len() < room {
                return Err(Errno::EINVAL);
            }
            name
        }
        uapi::SO_COOKIE if room < size_of::<u64>() => return Err(Errno::EINVAL),
        option => get(task, open.socket()?, option)?,
    };
    let (shown, _) = bytes.split_at(room.min(bytes.len()));
    task.memory().write_bytes(VirtualAddress(value), shown)?;
    task.memory().write_object(VirtualAddress(len_address), &(shown.len() as i32))?;
    Ok(0)
}

/// The supplementary groups of the peer; if there is no `room` for them, their length is told instead.
fn peer_groups(
    task: &CurrentTask,
    socket: &UnixSocket,
    (room, len_address): (usize, u64),
) -> Result<Vec<u8>, Errno> {
    let peer = socket.peer_credentials().ok_or(Errno::ENODATA)?;
    let user_namespace = task.credentials().user_namespace.clone();
    let groups: Vec<u32> = peer.groups.iter().map(|group| user_namespace.from_kernel_gid(*group)).collect();
    let bytes = words(&groups);
    if room < bytes.len() {
        task.memory().write_object(VirtualAddress(len_address), &(bytes.len() as i32))?;
        return Err(Errno::ERANGE);
    }
    Ok(bytes)
}

/// An option's value, encoded.
fn get(task: &CurrentTask, socket: &UnixSocket, option: u32) -> Result<Vec<u8>, Errno> {
    let options = socket.options();
    let number = match option {
        uapi::SO_TYPE => socket.kind().raw(),
        uapi::SO_DOMAIN => uapi::AF_UNIX,
        uapi::SO_PROTOCOL | uapi::SO_REUSEPORT | uapi::SO_ZEROCOPY | uapi::SO_RESERVE_MEM => 0,
        // Long gone, and still taken.
        uapi::SO_BSDCOMPAT => 0,
        uapi::SO_TXREHASH => return Err(Errno::EOPNOTSUPP),
        uapi::SO_BUF_LOCK => options.locked_buffers,
        uapi::SO_PRIORITY => options.priority,
        uapi::SO_MARK => options.mark,
        uapi::SO_BUSY_POLL => options.busy_poll,
        uapi::SO_INCOMING_CPU => options.incoming_cpu,
        uapi::SO_PEEK_OFF => peek_offset(socket),
        uapi::SO_ERROR => socket.take_error().map_or(0, |error| error.raw().into()),
        uapi::SO_ACCEPTCONN => socket.is_listening().into(),
        uapi::SO_SNDBUF => options.send_buffer_bytes,
        uapi::SO_RCVBUF => options.receive_buffer_bytes,
        uapi::SO_RCVLOWAT => options.receive_low_water,
        uapi::SO_SNDLOWAT => 1,
        // No device, in a namespace that has none.
        uapi::SO_BINDTODEVICE => return Ok(Vec::new()),
        uapi::SO_COOKIE => return Ok(socket.cookie().to_ne_bytes().to_vec()),
        uapi::SO_LINGER => {
            let (is_on, seconds) = options.linger;
            return Ok(words(&[is_on.into(), seconds]));
        }
        uapi::SO_PEERCRED => {
            return Ok(match socket.peer_credentials() {
                Some(peer) => words(&seen_from(task, &peer)),
                None => words(&[0, u32::MAX, u32::MAX]),
            });
        }
        uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW => return Ok(encode_timeout(options.timeouts.receive)),
        uapi::SO_SNDTIMEO_OLD | uapi::SO_SNDTIMEO_NEW => return Ok(encode_timeout(options.timeouts.send)),
        option => options.switch(option)?.into(),
    };
    Ok(words(&[number]))
}

/// SO_PEEK_OFF as it is told: -1 for none.
fn peek_offset(socket: &UnixSocket) -> u32 {
    socket.peek_offset().map_or(u32::MAX, |offset| u32::try_from(offset).unwrap_or(i32::MAX as u32))
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn encode_timeout(timeout: Option<Duration>) -> Vec<u8> {
    timeval(timeout.unwrap_or_default()).iter().flat_map(|word| word.to_ne_bytes()).collect()
}

pub(super) fn setsockopt(
    task: &mut CurrentTask,
    [descriptor, level, option, value, len, _]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    if level as u32 != uapi::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let len = usize::try_from(len as i32).map_err(|_| Errno::EINVAL)?;
    let mut bytes = vec![0; len.min(MAX_VALUE_BYTES)];
    if option as u32 == uapi::SO_BINDTODEVICE {
        task.memory().read_bytes(VirtualAddress(value), &mut bytes)?;
        // No namespace has a device.
        return if bytes.first().is_none_or(|byte| *byte == 0) { Ok(0) } else { Err(Errno::ENODEV) };
    }
    if len < size_of::<i32>() {
        return Err(Errno::EINVAL);
    }
    task.memory().read_bytes(VirtualAddress(value), &mut bytes)?;
    check_privilege(task, open.socket()?, option as u32, first_word(&bytes)?)?;
    set(open.socket()?, option as u32, &bytes)?;
    Ok(0)
}

/// Fails for values that only the privileged may set (`man 7 socket`).
fn check_privilege(task: &CurrentTask, socket: &UnixSocket, option: u32, number: u32) -> Result<(), Errno> {
    let credentials = task.credentials();
    let administers = credentials.has(Capabilities::NET_ADMIN);
    let is_raw = administers || credentials.has(Capabilities::NET_RAW);
    match option {
        uapi::SO_DEBUG if number != 0 && !administers => Err(Errno::EACCES),
        uapi::SO_SNDBUFFORCE | uapi::SO_RCVBUFFORCE if !administers => Err(Errno::EPERM),
        uapi::SO_PRIORITY if number > MAX_FREE_PRIORITY && !is_raw => Err(Errno::EPERM),
        uapi::SO_MARK if !is_raw => Err(Errno::EPERM),
        uapi::SO_BUSY_POLL if (number as i32) > socket.options().busy_poll as i32 && !administers => {
            Err(Errno::EPERM)
        }
        uapi::SO_PREFER_BUSY_POLL if number != 0 && !administers => Err(Errno::EPERM),
        _ => Ok(()),
    }
}

/// The `int` that a value begins with.
fn first_word(bytes: &[u8]) -> Result<u32, Errno> {
    bytes.first_chunk().map(|word| u32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)
}

fn set(socket: &UnixSocket, option: u32, bytes: &[u8]) -> Result<(), Errno> {
    let number = first_word(bytes)?;
    match option {
        uapi::SO_PEEK_OFF => {
            socket.set_peek_offset(usize::try_from(number as i32).ok());
            Ok(())
        }
        uapi::SO_BUSY_POLL if (number as i32) < 0 => Err(Errno::EINVAL),
        uapi::SO_REUSEPORT if number == 0 => Ok(()),
        uapi::SO_RESERVE_MEM if (number as i32) < 0 => Err(Errno::EINVAL),
        uapi::SO_REUSEPORT | uapi::SO_ZEROCOPY | uapi::SO_TXREHASH | uapi::SO_RESERVE_MEM => {
            Err(Errno::EOPNOTSUPP)
        }
        uapi::SO_BSDCOMPAT => Ok(()),
        uapi::SO_BUF_LOCK if number & !ALL_BUFFERS != 0 => Err(Errno::EINVAL),
        uapi::SO_DETACH_FILTER => Err(Errno::ENOENT),
        uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW | uapi::SO_SNDTIMEO_OLD | uapi::SO_SNDTIMEO_NEW => {
            let timeout = decode_timeout(bytes)?;
            let is_receive = matches!(option, uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW);
            socket.change_options(|options| {
                let timeouts = &mut options.timeouts;
                *if is_receive { &mut timeouts.receive } else { &mut timeouts.send } = timeout;
                Ok(())
            })
        }
        uapi::SO_LINGER => {
            let linger = (number != 0, first_word(bytes.get(4..).unwrap_or_default())?);
            socket.change_options(|options| {
                options.linger = linger;
                Ok(())
            })
        }
        option => socket.change_options(|options| {
            match option {
                uapi::SO_SNDBUF | uapi::SO_SNDBUFFORCE => options.set_send_buffer(number),
                uapi::SO_RCVBUF | uapi::SO_RCVBUFFORCE => options.set_receive_buffer(number),
                // A negative one is as large as can be.
                uapi::SO_RCVLOWAT => options.receive_low_water = number.clamp(1, i32::MAX as u32),
                uapi::SO_BUF_LOCK => options.locked_buffers = number,
                uapi::SO_PRIORITY => options.priority = number,
                uapi::SO_MARK => options.mark = number,
                uapi::SO_BUSY_POLL => options.busy_poll = number,
                uapi::SO_INCOMING_CPU => options.incoming_cpu = number,
                option => options.set_switch(option, number != 0)?,
            }
            Ok(())
        }),
    }
}

/// A `struct timeval`; zero is no time-out.
fn decode_timeout(bytes: &[u8]) -> Result<Option<Duration>, Errno> {
    let word = |index: usize| {
        bytes.get(index * 8..).and_then(|rest| rest.first_chunk()).map(|word| i64::from_ne_bytes(*word))
    };
    let (Some(seconds), Some(microseconds)) = (word(0), word(1)) else { return Err(Errno::EINVAL) };
    if !(0..1_000_000).contains(&microseconds) {
        return Err(Errno::EDOM);
    }
    // A negative time-out has passed already; the shortest one comes closest.
    let timeout = duration_from_timeval([seconds, microseconds]).unwrap_or(Duration::from_nanos(1));
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}
