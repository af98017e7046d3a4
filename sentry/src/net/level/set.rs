//! What setsockopt(2) changes.

use std::sync::Arc;
use std::time::Duration;

use linux_raw_sys::general::CLOCK_MONOTONIC;
use linux_raw_sys::net as uapi;
use zerocopy::FromBytes;

use super::int;
use super::time::{decode_timestamping, set_switch};
use crate::Errno;
use crate::abi::{Linger, Timeval};
use crate::cred::Capabilities;
use crate::fs::Caller;
use crate::net::filter::PacketFilter;
use crate::net::options::{RECEIVE_BUFFER_LOCK, SEND_BUFFER_LOCK};
use crate::net::{Socket, SocketOptions};
use crate::time::duration_from_timeval;

/// The highest SO_PRIORITY that anybody may set.
const MAX_FREE_PRIORITY: u32 = 6;
/// `SOF_TXTIME_*`.
const ALL_SEND_TIME_FLAGS: u32 = 3;

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
    check_value(socket, option, number)?;
    match option {
        uapi::SO_PEEK_OFF => socket.set_peek_offset(usize::try_from(number).ok()),
        uapi::SO_RESERVE_MEM => Err(Errno::EOPNOTSUPP),
        // Long gone, or an advice that no route here needs.
        uapi::SO_BSDCOMPAT | uapi::SO_CNX_ADVICE => Ok(()),
        uapi::SO_ATTACH_FILTER => {
            check_filter_lock(socket)?;
            socket.common().set_filter(Some(Arc::new(PacketFilter::read(value, caller)?)))
        }
        uapi::SO_DETACH_FILTER => socket.common().set_filter(None),
        // No program of the extended kind can be loaded.
        uapi::SO_ATTACH_BPF | uapi::SO_ATTACH_REUSEPORT_EBPF => {
            check_filter_lock(socket)?;
            Err(if value.len() == size_of::<u32>() { Errno::EBADF } else { Errno::EINVAL })
        }
        uapi::SO_ATTACH_REUSEPORT_CBPF => {
            check_filter_lock(socket)?;
            socket.common().set_spreading(Some(Arc::new(PacketFilter::read(value, caller)?)))
        }
        uapi::SO_DETACH_REUSEPORT_BPF => socket.common().set_spreading(None),
        uapi::SO_BINDTOIFINDEX => bind_to_index(socket, number.cast_unsigned(), caller),
        uapi::SO_RCVTIMEO_OLD | uapi::SO_RCVTIMEO_NEW => {
            let timeout = decode_timeout(value)?;
            change(socket, |options| options.timeouts.receive = timeout)
        }
        uapi::SO_SNDTIMEO_OLD | uapi::SO_SNDTIMEO_NEW => {
            let timeout = decode_timeout(value)?;
            change(socket, |options| options.timeouts.send = timeout)
        }
        uapi::SO_LINGER => {
            let (linger, _) = Linger::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
            // Who turns it off leaves the time as it is.
            change(socket, |options| match linger.l_onoff {
                0 => options.linger.0 = false,
                _ => options.linger = (true, linger.l_linger),
            })
        }
        uapi::SO_TIMESTAMPING_OLD | uapi::SO_TIMESTAMPING_NEW => {
            let timestamping = decode_timestamping(option, value)?;
            if timestamping.keeps_ids() {
                socket.check_stamp_ids()?;
            }
            change(socket, |options| options.timestamping = timestamping)
        }
        uapi::SO_MAX_PACING_RATE => {
            let rate = pacing_rate(value, number);
            change(socket, |options| options.max_pacing_rate = rate)
        }
        uapi::SO_TXTIME => set_send_time(socket, value, caller),
        option => set_number(socket, option, number),
    }
}

fn change(socket: &dyn Socket, change: impl FnOnce(&mut SocketOptions)) -> Result<(), Errno> {
    socket.change_options(|options| {
        change(options);
        Ok(())
    })
}

fn check_filter_lock(socket: &dyn Socket) -> Result<(), Errno> {
    let is_locked = socket.common().options().switch(uapi::SO_LOCK_FILTER)?;
    if is_locked { Err(Errno::EPERM) } else { Ok(()) }
}

/// 64 bits, or the 32 of old programs, of which all set are no bound at all.
fn pacing_rate(value: &[u8], number: i32) -> u64 {
    match (value.first_chunk(), number) {
        (Some(bytes), _) => u64::from_ne_bytes(*bytes),
        (None, -1) => u64::MAX,
        (None, number) => number.cast_unsigned().into(),
    }
}

/// `struct sock_txtime`: a clock and flags.
fn set_send_time(socket: &dyn Socket, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
    let [clock, flags] = <[u32; 2]>::read_from_bytes(value).map_err(|_| Errno::EINVAL)?;
    if flags & !ALL_SEND_TIME_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if clock != CLOCK_MONOTONIC && !has_over_network(socket, caller, Capabilities::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    change(socket, |options| options.send_time = (clock.cast_signed(), flags))
}

/// SO_BINDTODEVICE: to the link with that name, or to none.
fn bind_to_device(socket: &dyn Socket, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
    let value = value.get(..uapi::IFNAMSIZ as usize - 1).unwrap_or(value);
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    let index = match (name, socket.network()) {
        ([], _) => 0,
        (name, Some(network)) => {
            network.configuration().look(|found| found.find_link(name).map(|link| link.index))?
        }
        (_, None) => return Err(Errno::ENODEV),
    };
    bind_to_index(socket, index, caller)
}

/// SO_BINDTOIFINDEX; 0 for none. Who is bound already may change it only if privileged.
fn bind_to_index(socket: &dyn Socket, index: u32, caller: &dyn Caller) -> Result<(), Errno> {
    let is_bound = socket.common().options().bound_device.is_some();
    if is_bound && !has_over_network(socket, caller, Capabilities::NET_RAW) {
        return Err(Errno::EPERM);
    }
    change(socket, |options| options.bound_device = Some(index).filter(|index| *index != 0))
}

/// Whether the caller is privileged in the user namespace that the socket's network belongs to.
fn has_over_network(socket: &dyn Socket, caller: &dyn Caller, capability: Capabilities) -> bool {
    let credentials = caller.credentials();
    match socket.network_namespace() {
        Some(network) => credentials.has_over_namespace(&*network, capability),
        None => credentials.has(capability),
    }
}

/// Fails for values that only the privileged may set (`man 7 socket`).
fn check_privilege(socket: &dyn Socket, option: u32, number: i32, caller: &dyn Caller) -> Result<(), Errno> {
    let administers = || caller.credentials().has(Capabilities::NET_ADMIN);
    let may_mark = || {
        let has = |capability| has_over_network(socket, caller, capability);
        has(Capabilities::NET_ADMIN) || has(Capabilities::NET_RAW)
    };
    let options = socket.common().options();
    match option {
        uapi::SO_DEBUG if number != 0 && !administers() => Err(Errno::EACCES),
        uapi::SO_SNDBUFFORCE | uapi::SO_RCVBUFFORCE if !administers() => Err(Errno::EPERM),
        uapi::SO_PRIORITY if number.cast_unsigned() > MAX_FREE_PRIORITY && !may_mark() => Err(Errno::EPERM),
        uapi::SO_MARK | uapi::SO_RCVMARK if !may_mark() => Err(Errno::EPERM),
        uapi::SO_BUSY_POLL if number > options.busy_poll.cast_signed() && !administers() => Err(Errno::EPERM),
        uapi::SO_PREFER_BUSY_POLL if number != 0 && !administers() => Err(Errno::EPERM),
        uapi::SO_BUSY_POLL_BUDGET if number > options.busy_poll_budget.into() && !administers() => {
            Err(Errno::EPERM)
        }
        _ => Ok(()),
    }
}

/// Fails for values that an option cannot have, and for options that the socket has not.
fn check_value(socket: &dyn Socket, option: u32, number: i32) -> Result<(), Errno> {
    let is_missing = match option {
        uapi::SO_REUSEPORT => number != 0 && !socket.has_option(option),
        uapi::SO_ZEROCOPY | uapi::SO_TXREHASH | uapi::SO_PEEK_OFF => !socket.has_option(option),
        _ => false,
    };
    if is_missing {
        return Err(Errno::EOPNOTSUPP);
    }
    let is_valid = match option {
        uapi::SO_BUSY_POLL | uapi::SO_RESERVE_MEM | uapi::SO_BINDTOIFINDEX => number >= 0,
        uapi::SO_BUSY_POLL_BUDGET => u16::try_from(number).is_ok(),
        uapi::SO_ZEROCOPY => (0..=1).contains(&number),
        uapi::SO_TXREHASH => (-1..=1).contains(&number),
        uapi::SO_BUF_LOCK => number.cast_unsigned() & !(SEND_BUFFER_LOCK | RECEIVE_BUFFER_LOCK) == 0,
        _ => true,
    };
    if !is_valid {
        return Err(Errno::EINVAL);
    }
    let unlocks = option == uapi::SO_LOCK_FILTER && number == 0;
    if unlocks { check_filter_lock(socket) } else { Ok(()) }
}

fn set_number(socket: &dyn Socket, option: u32, number: i32) -> Result<(), Errno> {
    let word = number.cast_unsigned();
    let buffers = socket.common().buffers();
    socket.change_options(|options| {
        match option {
            uapi::SO_SNDBUF => options.set_send_buffer(word, buffers),
            uapi::SO_SNDBUFFORCE => options.force_send_buffer(number.max(0).cast_unsigned()),
            uapi::SO_RCVBUF => options.set_receive_buffer(word, buffers),
            uapi::SO_RCVBUFFORCE => options.force_receive_buffer(number.max(0).cast_unsigned()),
            // A negative one is as large as can be.
            uapi::SO_RCVLOWAT => {
                let most = socket.max_low_water(options).min(i32::MAX.cast_unsigned());
                options.receive_low_water = word.min(most).max(1);
            }
            uapi::SO_REUSEPORT => options.reuses_port = number != 0,
            uapi::SO_ZEROCOPY => options.is_zero_copy = number != 0,
            uapi::SO_TXREHASH => options.rehashes = number != 0,
            uapi::SO_BUF_LOCK => options.locked_buffers = word,
            uapi::SO_PRIORITY => options.priority = word,
            uapi::SO_MARK => options.mark = word,
            uapi::SO_BUSY_POLL => options.busy_poll = word,
            uapi::SO_BUSY_POLL_BUDGET => options.busy_poll_budget = u16::try_from(number).unwrap_or(0),
            uapi::SO_INCOMING_CPU => options.incoming_cpu = word,
            option if set_switch(options, option, number != 0) => {}
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
