//! getsockopt(2) and setsockopt(2).

use std::time::Duration;

use linux_raw_sys::net as uapi;

use super::{OpenSocket, seen_from};
use crate::Errno;
use crate::net::SocketTimeouts;
use crate::net::unix::UnixSocket;
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::time::{duration_from_timeval, timeval};

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
    let bytes = get(task, open.socket()?, option as u32)?;
    let (shown, _) = bytes.split_at(room.min(bytes.len()));
    task.memory().write_bytes(VirtualAddress(value), shown)?;
    task.memory().write_object(VirtualAddress(len_address), &(shown.len() as i32))?;
    Ok(0)
}

/// An option's value, encoded.
fn get(task: &CurrentTask, socket: &UnixSocket, option: u32) -> Result<Vec<u8>, Errno> {
    let options = socket.options();
    let number = match option {
        uapi::SO_TYPE => socket.kind().raw(),
        uapi::SO_DOMAIN => uapi::AF_UNIX,
        uapi::SO_PROTOCOL | uapi::SO_PRIORITY | uapi::SO_MARK | uapi::SO_BUSY_POLL => 0,
        uapi::SO_ERROR => socket.take_error().map_or(0, |error| error.raw().into()),
        uapi::SO_ACCEPTCONN => socket.is_listening().into(),
        uapi::SO_SNDBUF => options.send_buffer_bytes,
        uapi::SO_RCVBUF => options.receive_buffer_bytes,
        uapi::SO_RCVLOWAT => options.receive_low_water,
        uapi::SO_SNDLOWAT => 1,
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
    task.memory().read_bytes(VirtualAddress(value), &mut bytes)?;
    set(open.socket()?, option as u32, &bytes)?;
    Ok(0)
}

fn set(socket: &UnixSocket, option: u32, bytes: &[u8]) -> Result<(), Errno> {
    let word = |index: usize| -> Result<u32, Errno> {
        let bytes = bytes.get(index * 4..).and_then(|rest| rest.first_chunk()).ok_or(Errno::EINVAL)?;
        Ok(u32::from_ne_bytes(*bytes))
    };
    match option {
        uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW => {
            let receive = decode_timeout(bytes)?;
            socket.change_options(|options| {
                options.timeouts = SocketTimeouts { receive, ..options.timeouts };
                Ok(())
            })
        }
        uapi::SO_SNDTIMEO_OLD | uapi::SO_SNDTIMEO_NEW => {
            let send = decode_timeout(bytes)?;
            socket.change_options(|options| {
                options.timeouts = SocketTimeouts { send, ..options.timeouts };
                Ok(())
            })
        }
        uapi::SO_LINGER => {
            let linger = (word(0)? != 0, word(1)?);
            socket.change_options(|options| {
                options.linger = linger;
                Ok(())
            })
        }
        uapi::SO_TYPE
        | uapi::SO_DOMAIN
        | uapi::SO_PROTOCOL
        | uapi::SO_ERROR
        | uapi::SO_ACCEPTCONN
        | uapi::SO_PEERCRED => Err(Errno::ENOPROTOOPT),
        option => {
            let number = word(0)?;
            socket.change_options(|options| {
                match option {
                    uapi::SO_SNDBUF | uapi::SO_SNDBUFFORCE => options.set_send_buffer(number),
                    uapi::SO_RCVBUF | uapi::SO_RCVBUFFORCE => options.set_receive_buffer(number),
                    uapi::SO_RCVLOWAT => options.receive_low_water = number.max(1),
                    uapi::SO_PRIORITY | uapi::SO_MARK | uapi::SO_BUSY_POLL => {}
                    option => options.set_switch(option, number != 0)?,
                }
                Ok(())
            })
        }
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
