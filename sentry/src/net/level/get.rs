//! What getsockopt(2) tells.

use std::time::Duration;

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use super::time::told_switch;
use crate::Errno;
use crate::abi::Linger;
use crate::cred::Namespace;
use crate::net::{Socket, SocketOptions};
use crate::time::timeval;

/// What filters may ask beside a packet's bytes (SO_BPF_EXTENSIONS, `SKF_AD_MAX`).
const FILTER_EXTENSIONS: u32 = 64;

/// The value of `option`, encoded, for a caller with room for `room_bytes`.
///
/// # Errors
/// ENOPROTOOPT, EINVAL for too little room, and those of the option.
pub fn get(socket: &dyn Socket, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    match number(socket, option)? {
        Some(number) => Ok(number.as_bytes().to_vec()),
        None => structure(socket, option, room_bytes),
    }
}

/// The value of an option that is one number; `None` for others.
fn number(socket: &dyn Socket, option: u32) -> Result<Option<u32>, Errno> {
    let (common, options) = (socket.common(), socket.common().options());
    Ok(Some(match option {
        uapi::SO_TYPE => common.kind().raw(),
        uapi::SO_DOMAIN => common.family(),
        uapi::SO_PROTOCOL => common.protocol(),
        // Long gone, and still taken; and what no link here has.
        uapi::SO_BSDCOMPAT | uapi::SO_RESERVE_MEM | uapi::SO_INCOMING_NAPI_ID => 0,
        uapi::SO_REUSEPORT => options.reuses_port.into(),
        uapi::SO_ZEROCOPY => options.is_zero_copy.into(),
        uapi::SO_TXREHASH if socket.has_option(option) => options.rehashes.into(),
        uapi::SO_TXREHASH => return Err(Errno::EOPNOTSUPP),
        uapi::SO_BUF_LOCK => options.locked_buffers,
        uapi::SO_PRIORITY => options.priority,
        uapi::SO_MARK => options.mark,
        uapi::SO_BUSY_POLL => options.busy_poll,
        uapi::SO_INCOMING_CPU => options.incoming_cpu,
        uapi::SO_BPF_EXTENSIONS => FILTER_EXTENSIONS,
        uapi::SO_BINDTOIFINDEX => options.bound_device.unwrap_or(0),
        uapi::SO_PEEK_OFF if !socket.has_option(option) => return Err(Errno::EOPNOTSUPP),
        uapi::SO_PEEK_OFF => told_offset(socket.peek_offset()),
        uapi::SO_ERROR => socket.take_error().map_or(0, |error| error.raw().into()),
        uapi::SO_ACCEPTCONN => socket.is_listening().into(),
        uapi::SO_SNDBUF => options.send_buffer_bytes,
        uapi::SO_RCVBUF => options.receive_buffer_bytes,
        uapi::SO_RCVLOWAT => options.receive_low_water,
        uapi::SO_SNDLOWAT => 1,
        option => match told_switch(&options, option) {
            Some(is_on) => is_on.into(),
            None => return Ok(options.switch(option).ok().map(u32::from)),
        },
    }))
}

/// The value of an option that is more than a number.
fn structure(socket: &dyn Socket, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    let (common, options) = (socket.common(), socket.common().options());
    match option {
        uapi::SO_BINDTODEVICE => device_name(socket, room_bytes),
        uapi::SO_COOKIE if room_bytes < size_of::<u64>() => Err(Errno::EINVAL),
        uapi::SO_COOKIE => Ok(common.inode().ino().as_bytes().to_vec()),
        uapi::SO_NETNS_COOKIE if room_bytes != size_of::<u64>() => Err(Errno::EINVAL),
        uapi::SO_NETNS_COOKIE => {
            let namespace = socket.network_namespace().ok_or(Errno::ENOPROTOOPT)?;
            Ok(namespace.identity().ino().as_bytes().to_vec())
        }
        uapi::SO_LINGER => {
            let (is_on, l_linger) = options.linger;
            Ok(Linger { l_onoff: is_on.into(), l_linger }.as_bytes().to_vec())
        }
        uapi::SO_PEERNAME => peer_name(socket, room_bytes),
        uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW => Ok(encode_timeout(options.timeouts.receive)),
        uapi::SO_SNDTIMEO_OLD | uapi::SO_SNDTIMEO_NEW => Ok(encode_timeout(options.timeouts.send)),
        uapi::SO_TIMESTAMPING_OLD | uapi::SO_TIMESTAMPING_NEW => Ok(timestamping(&options, option)),
        uapi::SO_MAX_PACING_RATE => Ok(pacing_rate(options.max_pacing_rate, room_bytes)),
        uapi::SO_TXTIME => {
            let (clock, flags) = options.send_time;
            Ok([clock.cast_unsigned(), flags].as_bytes().to_vec())
        }
        uapi::SO_MEMINFO => Ok(memory(socket).as_bytes().to_vec()),
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// `struct so_timestamping`. The newer number tells only of what was set by it.
fn timestamping(options: &SocketOptions, option: u32) -> Vec<u8> {
    let set = options.timestamping;
    let is_told = option == uapi::SO_TIMESTAMPING_OLD || set.is_new;
    let told = if is_told { [set.flags, set.hardware_clock.cast_unsigned()] } else { [0; 2] };
    told.as_bytes().to_vec()
}

/// As many bits as there is room for; the old kernels' 32 cannot tell of more than all of them.
fn pacing_rate(rate: u64, room_bytes: usize) -> Vec<u8> {
    if room_bytes >= size_of::<u64>() {
        return rate.as_bytes().to_vec();
    }
    u32::try_from(rate).unwrap_or(u32::MAX).as_bytes().to_vec()
}

/// SO_MEMINFO: what is allocated for receiving, its bound, the same for sending, and four numbers of which the last is what was lost.
fn memory(socket: &dyn Socket) -> [u32; 9] {
    let options = socket.common().options();
    let (received, lost) = socket.received_memory();
    let received = u32::try_from(received).unwrap_or(u32::MAX);
    [received, options.receive_buffer_bytes, 0, options.send_buffer_bytes, 0, 0, 0, 0, lost]
}

/// SO_PEEK_OFF as it is told: -1 for none.
fn told_offset(offset: Option<usize>) -> u32 {
    offset.map_or(u32::MAX, |offset| u32::try_from(offset).unwrap_or(i32::MAX.cast_unsigned()))
}

/// Unlike elsewhere, a buffer that is too long for the name is refused, and whatever hinders is ENOTCONN.
fn peer_name(socket: &dyn Socket, room_bytes: usize) -> Result<Vec<u8>, Errno> {
    let name = socket.last_peer_name().map_err(|_| Errno::ENOTCONN)?;
    if name.bytes().len() < room_bytes { Err(Errno::EINVAL) } else { Ok(name.bytes().to_vec()) }
}

fn encode_timeout(timeout: Option<Duration>) -> Vec<u8> {
    timeval(timeout.unwrap_or_default()).as_bytes().to_vec()
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
