//! Arguments that need more than their value: strings, buffers, vectors, addresses of sockets.

use std::net::{Ipv4Addr, Ipv6Addr};

use linux_raw_sys::{general as uapi, net};

use super::call::{Call, MAX_ELEMENTS};
use super::line::Line;
use super::structures::{self, Fields};
use super::{symbols, value};
use crate::syscall::arguments::unsigned;
use crate::width::{u64_from, usize_from};

/// The most bytes that are shown of a buffer, and of the strings of a vector; strace's own default.
const MAX_SHOWN_BYTES: usize = 32;
/// The longest address of a socket (`sockaddr_storage`).
const MAX_ADDRESS_BYTES: usize = 128;

/// A path, or another short string, whole.
pub(super) fn path(line: &mut Line, call: &Call<'_>, index: usize) {
    string(line, call, call.argument(index), usize_from(uapi::PATH_MAX) - 1);
}

fn string(line: &mut Line, call: &Call<'_>, address: u64, max_bytes: usize) {
    match call.read_string(address, max_bytes) {
        Some((bytes, is_whole)) => {
            line.string(&bytes);
            line.text(if is_whole { "" } else { "..." });
        }
        None => value::pointer(line, address),
    }
}

/// Bytes that the call reads; the next argument is how many.
pub(super) fn buffer_in(line: &mut Line, call: &Call<'_>, index: usize) {
    buffer(line, call, call.argument(index), call.argument(index + 1));
}

/// Bytes that the call has written; the result is how many.
pub(super) fn buffer_out(line: &mut Line, call: &Call<'_>, index: usize) {
    match call.value() {
        Some(len_bytes) => buffer(line, call, call.argument(index), u64_from(len_bytes)),
        None => value::pointer(line, call.argument(index)),
    }
}

/// As [`buffer_out`], of a message that may have been longer than its buffer.
pub(super) fn message_out(line: &mut Line, call: &Call<'_>, index: usize) {
    match call.value() {
        Some(len_bytes) => {
            buffer(line, call, call.argument(index), (u64_from(len_bytes)).min(call.argument(index + 1)));
        }
        None => value::pointer(line, call.argument(index)),
    }
}

/// A path that the call has written with its NUL; the result is its length.
pub(super) fn path_out(line: &mut Line, call: &Call<'_>, index: usize) {
    match call.value() {
        Some(_) => path(line, call, index),
        None => value::pointer(line, call.argument(index)),
    }
}

/// The text of a symbolic link, which has no NUL.
pub(super) fn link_out(line: &mut Line, call: &Call<'_>, index: usize) {
    let address = call.argument(index);
    match call.value().and_then(|len_bytes| call.read(address, len_bytes)) {
        Some(bytes) => line.string(&bytes),
        None => value::pointer(line, address),
    }
}

fn buffer(line: &mut Line, call: &Call<'_>, address: u64, len_bytes: u64) {
    let shown = usize_from(len_bytes.min(u64_from(MAX_SHOWN_BYTES)));
    match call.read(address, shown) {
        Some(bytes) => {
            line.string(&bytes);
            line.text(if len_bytes > u64_from(shown) { "..." } else { "" });
        }
        None => value::pointer(line, address),
    }
}

/// The strings of an argument vector.
pub(super) fn strings(line: &mut Line, call: &Call<'_>, index: usize) {
    let start = call.argument(index);
    if call.read_word(start).is_none() {
        return value::pointer(line, start);
    }
    line.text("[");
    for (index, text) in words(call, start).take(MAX_ELEMENTS + 1).enumerate() {
        line.separate(index);
        if index == MAX_ELEMENTS {
            line.text("...");
        } else {
            string(line, call, text, MAX_SHOWN_BYTES);
        }
    }
    line.text("]");
}

/// The words at `address`, up to a zero or to what cannot be read.
fn words<'a>(call: &'a Call<'_>, start: u64) -> impl Iterator<Item = u64> + 'a {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let address = next?;
        next = address.checked_add(8);
        call.read_word(address).filter(|word| *word != 0)
    })
    .fuse()
}

/// An environment: where it is, and how many variables it has.
pub(super) fn environment(line: &mut Line, call: &Call<'_>, index: usize) {
    const MAX_VARIABLES: usize = 1024;
    let start = call.argument(index);
    value::pointer(line, start);
    let count = words(call, start).take(MAX_VARIABLES).count();
    if start != 0 {
        line.put(format_args!(" /* {count} var{} */", if count == 1 { "" } else { "s" }));
    }
}

/// Buffers that the call reads; the next argument counts them.
pub(super) fn vector_in(line: &mut Line, call: &Call<'_>, index: usize) {
    vector(line, call, call.argument(index), call.argument(index + 1), u64::MAX);
}

/// Buffers that the call has filled; the next argument counts them, the result is how many bytes it has written.
pub(super) fn vector_out(line: &mut Line, call: &Call<'_>, index: usize) {
    let filled = u64_from(call.value().unwrap_or_default());
    vector(line, call, call.argument(index), call.argument(index + 1), filled);
}

fn vector(line: &mut Line, call: &Call<'_>, address: u64, count: u64, filled: u64) {
    const LEN: usize = 16;
    let shown = usize_from(count.min(u64_from(MAX_ELEMENTS)));
    let Some(bytes) = call.read(address, shown * LEN) else {
        return value::pointer(line, address);
    };
    let mut left = filled;
    line.text("[");
    for (index, piece) in bytes.chunks_exact(LEN).enumerate() {
        let (base, len_bytes) = (Fields(piece).u64(0), Fields(piece).u64(8));
        line.separate(index);
        line.text("{iov_base=");
        if left == 0 && len_bytes > 0 {
            value::pointer(line, base);
        } else {
            buffer(line, call, base, len_bytes.min(left));
        }
        left = left.saturating_sub(len_bytes);
        line.put(format_args!(", iov_len={len_bytes}}}"));
    }
    line.text(if count > u64_from(shown) { ", ...]" } else { "]" });
}

/// The header of a message that is sent (`man 2 sendmsg`).
pub(super) fn message_header_in(line: &mut Line, call: &Call<'_>, index: usize) {
    message_header(line, call, call.argument(index), u64::MAX);
}

/// The header of a message that was received.
pub(super) fn message_header_out(line: &mut Line, call: &Call<'_>, index: usize) {
    match call.value() {
        Some(filled) => message_header(line, call, call.argument(index), u64_from(filled)),
        None => value::pointer(line, call.argument(index)),
    }
}

fn message_header(line: &mut Line, call: &Call<'_>, address: u64, filled: u64) {
    const LEN: usize = 56;
    let Some(bytes) = call.read(address, LEN) else {
        return value::pointer(line, address);
    };
    let fields = Fields(&bytes);
    line.text("{msg_name=");
    socket_address(line, call, fields.u64(0), fields.u32(8).into());
    line.put(format_args!(", msg_namelen={}, msg_iov=", fields.u32(8)));
    vector(line, call, fields.u64(16), fields.u64(24), filled);
    line.put(format_args!(", msg_iovlen={}, msg_controllen={}, msg_flags=", fields.u64(24), fields.u64(40)));
    symbols::MESSAGE_FLAGS.flags(line, fields.u32(48).into());
    line.text("}");
}

/// An address of a socket that the call reads; the next argument is its length.
pub(super) fn address_in(line: &mut Line, call: &Call<'_>, index: usize) {
    socket_address(line, call, call.argument(index), u64::from(unsigned(call.argument(index + 1))));
}

/// An address of a socket that the call has written; the next argument points to its length.
pub(super) fn address_out(line: &mut Line, call: &Call<'_>, index: usize) {
    let address = call.argument(index);
    let len_bytes = call.value().and_then(|_| call.read(call.argument(index + 1), 4));
    match len_bytes {
        Some(bytes) => socket_address(line, call, address, Fields(&bytes).u32(0).into()),
        None => value::pointer(line, address),
    }
}

fn socket_address(line: &mut Line, call: &Call<'_>, address: u64, len_bytes: u64) {
    let bytes = call.read(address, usize_from(len_bytes.min(u64_from(MAX_ADDRESS_BYTES))));
    let Some(bytes) = bytes.filter(|bytes| bytes.len() >= 2) else {
        return value::pointer(line, address);
    };
    let fields = Fields(&bytes);
    let family = u32::from(fields.u16(0));
    line.text("{sa_family=");
    symbols::ADDRESS_FAMILIES.choice(line, family.into());
    let port = fields.u16(2).swap_bytes();
    match (family, bytes.get(2..).unwrap_or_default()) {
        (net::AF_UNIX, []) => {}
        (net::AF_UNIX, [0, name @ ..]) => {
            line.text(", sun_path=@");
            line.string(name);
        }
        (net::AF_UNIX, path) => {
            line.text(", sun_path=");
            line.string(path.split(|&byte| byte == 0).next().unwrap_or_default());
        }
        (net::AF_INET, _) => {
            let host = Ipv4Addr::from_bits(fields.u32(4).swap_bytes());
            line.put(format_args!(", sin_port=htons({port}), sin_addr=inet_addr(\"{host}\")"));
        }
        (net::AF_INET6, rest) => {
            let octets: [u8; 16] = rest.get(6..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
            let host = Ipv6Addr::from(octets);
            line.put(format_args!(", sin6_port=htons({port}), inet_pton(AF_INET6, \"{host}\", &sin6_addr)"));
        }
        (net::AF_NETLINK, _) => {
            line.put(format_args!(", nl_pid={}, nl_groups={:#010x}", fields.u32(4), fields.u32(8)));
        }
        (_, data) => {
            line.text(", sa_data=");
            line.string(data);
        }
    }
    line.text("}");
}

/// The value of an option of a socket that the call reads; the next argument is its length.
pub(super) fn option_in(line: &mut Line, call: &Call<'_>, index: usize) {
    option(line, call, call.argument(index), call.argument(index + 1));
}

/// The value of an option of a socket that the call has written; the next argument points to its length.
pub(super) fn option_out(line: &mut Line, call: &Call<'_>, index: usize) {
    let address = call.argument(index);
    match call.value().and_then(|_| call.read(call.argument(index + 1), 4)) {
        Some(bytes) => option(line, call, address, Fields(&bytes).u32(0).into()),
        None => value::pointer(line, address),
    }
}

fn option(line: &mut Line, call: &Call<'_>, address: u64, len_bytes: u64) {
    match len_bytes {
        4 => structures::INT.show(line, call, address),
        _ => buffer(line, call, address, len_bytes),
    }
}

/// The name of an option of a socket; the argument before it is the level.
pub(super) fn option_name(line: &mut Line, call: &Call<'_>, index: usize) {
    let level = unsigned(call.argument(index.saturating_sub(1)));
    symbols::options_of(level).choice(line, u64::from(unsigned(call.argument(index))));
}

/// The descriptors of poll(2): how they were asked for, and what was found.
pub(super) fn polled(line: &mut Line, call: &Call<'_>, index: usize) {
    structures::POLL.show_array(line, call, call.argument(index), call.argument(index + 1));
}

/// A set of select(2); the first argument is one more than the highest descriptor.
pub(super) fn descriptor_set(line: &mut Line, call: &Call<'_>, index: usize) {
    const MAX_DESCRIPTORS: u64 = 1024;
    let address = call.argument(index);
    let count = usize_from(u64::from(unsigned(call.argument(0))).min(MAX_DESCRIPTORS));
    let Some(bytes) = call.read(address, count.div_ceil(64) * 8) else {
        return value::pointer(line, address);
    };
    let is_in = |number: &usize| bytes.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 != 0);
    line.text("[");
    for (index, number) in (0..count).filter(is_in).take(MAX_ELEMENTS).enumerate() {
        line.text(if index > 0 { " " } else { "" });
        line.put(format_args!("{number}"));
    }
    line.text("]");
}

/// A set of processors that the call reads; the argument before it is its length.
pub(super) fn processors_in(line: &mut Line, call: &Call<'_>, index: usize) {
    processors(line, call, call.argument(index), call.argument(index.saturating_sub(1)));
}

/// A set of processors that the call has written; the result is its length.
pub(super) fn processors_out(line: &mut Line, call: &Call<'_>, index: usize) {
    match call.value() {
        Some(len_bytes) => processors(line, call, call.argument(index), u64_from(len_bytes)),
        None => value::pointer(line, call.argument(index)),
    }
}

fn processors(line: &mut Line, call: &Call<'_>, address: u64, len_bytes: u64) {
    const MAX_BYTES: u64 = 128;
    let Some(bytes) = call.read(address, usize_from(len_bytes.min(MAX_BYTES))) else {
        return value::pointer(line, address);
    };
    let is_in = |number: &usize| bytes.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 != 0);
    line.text("[");
    for (index, number) in (0..bytes.len() * 8).filter(is_in).enumerate() {
        line.text(if index > 0 { " " } else { "" });
        line.put(format_args!("{number}"));
    }
    line.text("]");
}

/// The groups that getgroups(2) has written; it counts them, unless it was only asked for the count.
pub(super) fn groups_out(line: &mut Line, call: &Call<'_>, index: usize) {
    let address = call.argument(index);
    match call.value() {
        Some(count) if unsigned(call.argument(0)) != 0 => {
            structures::ID.show_array(line, call, address, u64_from(count));
        }
        _ => value::pointer(line, address),
    }
}

/// The groups of setgroups(2); the first argument counts them.
pub(super) fn groups_in(line: &mut Line, call: &Call<'_>, index: usize) {
    structures::ID.show_array(line, call, call.argument(index), u64::from(unsigned(call.argument(0))));
}

/// The status of wait4(2), which it writes if a child was found.
pub(super) fn wait_status(line: &mut Line, call: &Call<'_>, index: usize) {
    match call.value() {
        Some(child) if child != 0 => structures::WAIT_STATUS.show(line, call, call.argument(index)),
        _ => value::pointer(line, call.argument(index)),
    }
}

/// Entries of a directory: how many bytes of them.
pub(super) fn directory_entries(line: &mut Line, call: &Call<'_>, index: usize) {
    value::pointer(line, call.argument(index));
    let (address, len_bytes) = (call.argument(index), call.value().unwrap_or_default());
    if let Some(count) = call.read(address, len_bytes).map(|bytes| count_entries(&bytes)) {
        line.put(format_args!(" /* {count} entr{} */", if count == 1 { "y" } else { "ies" }));
    }
}

/// `d_reclen` is the entry's length, in both kinds of entries.
fn count_entries(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let rest @ [_, ..] = bytes {
        let len_bytes = usize::from(Fields(rest).u16(16)).max(1);
        bytes = rest.get(len_bytes..).unwrap_or_default();
        count += 1;
    }
    count
}

/// The command and the flags of futex(2).
pub(super) fn futex_command(line: &mut Line, call: &Call<'_>, index: usize) {
    let operation = unsigned(call.argument(index));
    let flags = operation & !(uapi::FUTEX_CMD_MASK as u32);
    symbols::FUTEX_COMMANDS.choice(line, u64::from(operation & !flags));
    line.text(if flags & uapi::FUTEX_PRIVATE_FLAG != 0 { "_PRIVATE" } else { "" });
    line.text(if flags & uapi::FUTEX_CLOCK_REALTIME != 0 { "|FUTEX_CLOCK_REALTIME" } else { "" });
}

/// The arguments of clone3(2).
pub(super) fn clone_arguments(line: &mut Line, call: &Call<'_>, index: usize) {
    const LEN: usize = 64;
    let address = call.argument(index);
    let Some(bytes) = call.read(address, LEN) else {
        return value::pointer(line, address);
    };
    let fields = Fields(&bytes);
    line.text("{flags=");
    symbols::CLONE_FLAGS.flags(line, fields.u64(0));
    for (name, offset) in [("child_tid", 16), ("parent_tid", 24)] {
        if fields.u64(offset) != 0 {
            line.put(format_args!(", {name}={:#x}", fields.u64(offset)));
        }
    }
    line.text(", exit_signal=");
    value::signal(line, fields.u64(32));
    line.text(", stack=");
    value::pointer(line, fields.u64(40));
    line.put(format_args!(", stack_size={:#x}", fields.u64(48)));
    if fields.u64(56) != 0 {
        line.put(format_args!(", tls={:#x}", fields.u64(56)));
    }
    line.text("}");
}

/// A set of signals whose address comes with its size, as
/// pselect6(2) takes it.
pub(super) fn signal_mask_pair(line: &mut Line, call: &Call<'_>, index: usize) {
    let address = call.argument(index);
    match call.read(address, 16) {
        Some(bytes) => {
            line.text("{sigmask=");
            structures::SIGNAL_SET.show(line, call, Fields(&bytes).u64(0));
            line.put(format_args!(", sigsetsize={}}}", Fields(&bytes).u64(8)));
        }
        None => value::pointer(line, address),
    }
}
