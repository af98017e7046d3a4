//! Options of the socket level, SOL_SOCKET (`man 7 socket`): decoded, checked and told as Linux does, for all families.

use std::time::Duration;

use linux_raw_sys::net as uapi;
use zerocopy::{FromBytes, IntoBytes};

use super::Socket;
use super::options::{RECEIVE_BUFFER_LOCK, SEND_BUFFER_LOCK};
use crate::Errno;
use crate::abi::{Linger, Timeval};
use crate::cred::Capabilities;
use crate::fs::Caller;
use crate::time::{duration_from_timeval, timeval};

/// The highest SO_PRIORITY that anybody may set.
const MAX_FREE_PRIORITY: u32 = 6;

/// The `int` that an option's value begins with.
///
/// # Errors
/// EINVAL if it is shorter.
pub fn int(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|word| i32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)
}

/// The value of `option`, encoded, for a caller with room for `room_bytes`.
///
/// # Errors
/// ENOPROTOOPT, EINVAL for too little room, and those of the option.
pub fn get(socket: &dyn Socket, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    let (common, options) = (socket.common(), socket.common().options());
    let number = match option {
        uapi::SO_TYPE => common.kind().raw(),
        uapi::SO_DOMAIN => common.family(),
        uapi::SO_PROTOCOL => common.protocol(),
        // Long gone, and still taken.
        uapi::SO_BSDCOMPAT | uapi::SO_RESERVE_MEM => 0,
        uapi::SO_REUSEPORT => options.reuses_port.into(),
        uapi::SO_ZEROCOPY => options.is_zero_copy.into(),
        uapi::SO_TXREHASH if socket.has_option(option) => options.rehashes.into(),
        uapi::SO_TXREHASH => return Err(Errno::EOPNOTSUPP),
        uapi::SO_BUF_LOCK => options.locked_buffers,
        uapi::SO_PRIORITY => options.priority,
        uapi::SO_MARK => options.mark,
        uapi::SO_BUSY_POLL => options.busy_poll,
        uapi::SO_INCOMING_CPU => options.incoming_cpu,
        uapi::SO_PEEK_OFF => told_offset(socket.peek_offset()),
        uapi::SO_ERROR => socket.take_error().map_or(0, |error| error.raw().into()),
        uapi::SO_ACCEPTCONN => socket.is_listening().into(),
        uapi::SO_SNDBUF => options.send_buffer_bytes,
        uapi::SO_RCVBUF => options.receive_buffer_bytes,
        uapi::SO_RCVLOWAT => options.receive_low_water,
        uapi::SO_SNDLOWAT => 1,
        uapi::SO_BINDTODEVICE => return device_name(socket, room_bytes),
        uapi::SO_COOKIE if room_bytes < size_of::<u64>() => return Err(Errno::EINVAL),
        uapi::SO_COOKIE => return Ok(common.inode().number().as_bytes().to_vec()),
        uapi::SO_LINGER => {
            let (is_on, l_linger) = options.linger;
            return Ok(Linger { l_onoff: is_on.into(), l_linger }.as_bytes().to_vec());
        }
        uapi::SO_PEERNAME => return peer_name(socket, room_bytes),
        uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW => return Ok(encode_timeout(options.timeouts.receive)),
        uapi::SO_SNDTIMEO_OLD | uapi::SO_SNDTIMEO_NEW => return Ok(encode_timeout(options.timeouts.send)),
        option => options.switch(option)?.into(),
    };
    Ok(number.as_bytes().to_vec())
}

/// SO_PEEK_OFF as it is told: -1 for none.
fn told_offset(offset: Option<usize>) -> u32 {
    offset.map_or(u32::MAX, |offset| u32::try_from(offset).unwrap_or(i32::MAX.cast_unsigned()))
}

/// Unlike elsewhere, a buffer that is too long for the name is refused.
fn peer_name(socket: &dyn Socket, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    let name = socket.peer_name()?;
    if name.bytes().len() < room_bytes { Err(Errno::EINVAL) } else { Ok(name.bytes().to_vec()) }
}

fn encode_timeout(timeout: Option<Duration>) -> Vec<u8> {
    timeval(timeout.unwrap_or_default()).as_bytes().to_vec()
}

/// Sets `option` to the encoded `value`, as `caller`.
///
/// # Errors
/// ENOPROTOOPT, EINVAL, EPERM, EACCES, and those of the option.
pub fn set(socket: &dyn Socket, option: u32, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
    if option == uapi::SO_BINDTODEVICE {
        return bind_to_device(socket, value, caller);
    }
    let number = int(value)?;
    check_privilege(socket, option, number, caller)?;
    match option {
        uapi::SO_PEEK_OFF => socket.set_peek_offset(usize::try_from(number).ok()),
        uapi::SO_BUSY_POLL | uapi::SO_RESERVE_MEM if number < 0 => Err(Errno::EINVAL),
        uapi::SO_REUSEPORT if number == 0 => set_number(socket, option, 0),
        uapi::SO_REUSEPORT | uapi::SO_ZEROCOPY | uapi::SO_TXREHASH if !socket.has_option(option) => {
            Err(Errno::EOPNOTSUPP)
        }
        uapi::SO_RESERVE_MEM => Err(Errno::EOPNOTSUPP),
        uapi::SO_BSDCOMPAT => Ok(()),
        uapi::SO_ZEROCOPY if !(0..=1).contains(&number) => Err(Errno::EINVAL),
        uapi::SO_TXREHASH if !(-1..=1).contains(&number) => Err(Errno::EINVAL),
        uapi::SO_BUF_LOCK if number.cast_unsigned() & !(SEND_BUFFER_LOCK | RECEIVE_BUFFER_LOCK) != 0 => {
            Err(Errno::EINVAL)
        }
        uapi::SO_DETACH_FILTER => Err(Errno::ENOENT),
        uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW | uapi::SO_SNDTIMEO_OLD | uapi::SO_SNDTIMEO_NEW => {
            set_timeout(socket, matches!(option, uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW), value)
        }
        uapi::SO_LINGER => {
            let (linger, _) = Linger::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
            socket.change_options(|options| {
                options.linger = (linger.l_onoff != 0, linger.l_linger);
                Ok(())
            })
        }
        option => set_number(socket, option, number),
    }
}

/// SO_BINDTODEVICE, told: the name with its NUL, for which there has to be room in any case.
fn device_name(socket: &dyn Socket, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    let (Some(network), Some(index)) = (socket.network(), socket.common().options().bound_device) else {
        return Ok(Vec::new());
    };
    if room_bytes < uapi::IFNAMSIZ as usize {
        return Err(Errno::EINVAL);
    }
    let name =
        network.configuration().look(|found| found.link(index).map(|link| link.name.as_bytes().to_vec()));
    Ok([name?, vec![0]].concat())
}

/// SO_BINDTODEVICE: to the link with that name, or to none. Who is bound already may change it only if privileged.
fn bind_to_device(socket: &dyn Socket, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
    let value = value.get(..uapi::IFNAMSIZ as usize - 1).unwrap_or(value);
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_bound = socket.common().options().bound_device.is_some();
    if is_bound && !caller.credentials().has(Capabilities::NET_RAW) {
        return Err(Errno::EPERM);
    }
    let bound_device = match (name, socket.network()) {
        ([], _) => None,
        (name, Some(network)) => {
            Some(network.configuration().look(|found| found.find_link(name).map(|link| link.index))?)
        }
        (_, None) => return Err(Errno::ENODEV),
    };
    socket.change_options(|options| {
        options.bound_device = bound_device;
        Ok(())
    })
}

/// Fails for values that only the privileged may set (`man 7 socket`).
fn check_privilege(socket: &dyn Socket, option: u32, number: i32, caller: &dyn Caller) -> Result<(), Errno> {
    let credentials = caller.credentials();
    let administers = credentials.has(Capabilities::NET_ADMIN);
    let is_raw = administers || credentials.has(Capabilities::NET_RAW);
    let busy_poll = || socket.common().options().busy_poll.cast_signed();
    match option {
        uapi::SO_DEBUG if number != 0 && !administers => Err(Errno::EACCES),
        uapi::SO_SNDBUFFORCE | uapi::SO_RCVBUFFORCE if !administers => Err(Errno::EPERM),
        uapi::SO_PRIORITY if number.cast_unsigned() > MAX_FREE_PRIORITY && !is_raw => Err(Errno::EPERM),
        uapi::SO_MARK if !is_raw => Err(Errno::EPERM),
        uapi::SO_BUSY_POLL if number > busy_poll() && !administers => Err(Errno::EPERM),
        uapi::SO_PREFER_BUSY_POLL if number != 0 && !administers => Err(Errno::EPERM),
        _ => Ok(()),
    }
}

fn set_timeout(socket: &dyn Socket, is_receive: bool, value: &[u8]) -> Result<(), Errno> {
    let timeout = decode_timeout(value)?;
    socket.change_options(|options| {
        let timeouts = &mut options.timeouts;
        *if is_receive { &mut timeouts.receive } else { &mut timeouts.send } = timeout;
        Ok(())
    })
}

/// Sets an option that is one number.
fn set_number(socket: &dyn Socket, option: u32, number: i32) -> Result<(), Errno> {
    let word = number.cast_unsigned();
    socket.change_options(|options| {
        match option {
            uapi::SO_SNDBUF | uapi::SO_SNDBUFFORCE => options.set_send_buffer(word),
            uapi::SO_RCVBUF | uapi::SO_RCVBUFFORCE => options.set_receive_buffer(word),
            // A negative one is as large as can be.
            uapi::SO_RCVLOWAT => options.receive_low_water = word.clamp(1, i32::MAX.cast_unsigned()),
            uapi::SO_REUSEPORT => options.reuses_port = number != 0,
            uapi::SO_ZEROCOPY => options.is_zero_copy = number != 0,
            uapi::SO_TXREHASH => options.rehashes = number != 0,
            uapi::SO_BUF_LOCK => options.locked_buffers = word,
            uapi::SO_PRIORITY => options.priority = word,
            uapi::SO_MARK => options.mark = word,
            uapi::SO_BUSY_POLL => options.busy_poll = word,
            uapi::SO_INCOMING_CPU => options.incoming_cpu = word,
            option => options.set_switch(option, number != 0)?,
        }
        Ok(())
    })
}

/// A `struct timeval`; zero is no time-out.
fn decode_timeout(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let (timeval, _) = Timeval::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    if !(0..1_000_000).contains(&timeval[1]) {
        return Err(Errno::EDOM);
    }
    // A negative time-out has passed already; the shortest one comes closest.
    let timeout = duration_from_timeval(timeval).unwrap_or(Duration::from_nanos(1));
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}
