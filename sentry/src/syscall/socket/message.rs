//! Sending and receiving messages.

use std::sync::Arc;
use std::time::Instant;

use linux_raw_sys::general::UIO_MAXIOV;
use linux_raw_sys::net as uapi;

use super::control::{self, Encoder};
use super::{OpenSocket, Patience, find_target, read_address, seen_from, write_address};
use crate::Errno;
use crate::net::unix::{Outgoing, Received, SocketKind, UnixAddress, UnixSocket};
use crate::platform::VirtualAddress;
use crate::signal::{Signal, SignalInfo};
use crate::slices;
use crate::syscall::arguments::{UserPointer, UserSlice};
use crate::syscall::poll::{deadline_after, read_timeout};
use crate::syscall::user_buffers::UserBuffers;
use crate::task::CurrentTask;
use crate::wait::Events;

/// Bytes of a stream that are moved at a time.
const STREAM_STEP_BYTES: usize = 64 * 1024;
/// No datagram is longer than a send buffer can be made.
const MAX_DATAGRAM_BYTES: usize = 512 * 1024;
/// Bytes of `struct mmsghdr`, and where the message's length is in it.
const MULTIPLE_HEADER_BYTES: u64 = 64;
const MULTIPLE_LEN_OFFSET: u64 = 56;
/// recvmmsg(2): do not wait once a message is there.
const MSG_WAITFORONE: u32 = 0x10000;

bitflags::bitflags! {
    /// The flags of a call that mean something here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct MessageFlags: u32 {
        const OUT_OF_BAND = uapi::MSG_OOB;
        const PEEK = uapi::MSG_PEEK;
        const TRUNCATE = uapi::MSG_TRUNC;
        const DONT_WAIT = uapi::MSG_DONTWAIT;
        const WAIT_ALL = uapi::MSG_WAITALL;
        const NO_SIGNAL = uapi::MSG_NOSIGNAL;
        const CLOSE_ON_EXEC = uapi::MSG_CMSG_CLOEXEC;
        const WAIT_FOR_ONE = MSG_WAITFORONE;
    }
}

impl MessageFlags {
    /// Unknown flags are ignored, as Linux ignores them.
    fn decode(flags: u64) -> Result<Self, Errno> {
        let flags = Self::from_bits_truncate(flags as u32);
        if flags.contains(Self::OUT_OF_BAND) { Err(Errno::EOPNOTSUPP) } else { Ok(flags) }
    }
}

/// `struct msghdr`, decoded.
struct Header {
    /// Where it is, for the fields that are written back.
    place: u64,
    name: u64,
    name_len: u32,
    buffers: UserBuffers,
    control: u64,
    control_len: usize,
}

impl Header {
    fn read(task: &CurrentTask, place: u64) -> Result<Self, Errno> {
        let [name, name_len, vector, count, control, control_len, _flags]: [u64; 7] =
            task.memory().read_object(VirtualAddress(place))?;
        if count > u64::from(UIO_MAXIOV) {
            return Err(Errno::EMSGSIZE);
        }
        let name_len = name_len as u32;
        if i32::try_from(name_len).is_err() {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            place,
            name,
            name_len: if name == 0 { 0 } else { name_len },
            buffers: UserBuffers::vector(task, UserPointer::new(vector), count)?,
            control,
            control_len: if control == 0 {
                0
            } else {
                usize::try_from(control_len).map_err(|_| Errno::ENOBUFS)?
            },
        })
    }

    /// Writes back what a receive has to tell.
    fn write_results(
        &self,
        task: &CurrentTask,
        name_len: usize,
        control_len: usize,
        flags: u32,
    ) -> Result<(), Errno> {
        const NAME_LEN_OFFSET: u64 = 8;
        const CONTROL_LEN_OFFSET: u64 = 40;
        const FLAGS_OFFSET: u64 = 48;
        let field = |offset: u64| VirtualAddress(self.place.wrapping_add(offset));
        if self.name != 0 {
            task.memory().write_object(field(NAME_LEN_OFFSET), &(name_len as u32))?;
        }
        task.memory().write_object(field(CONTROL_LEN_OFFSET), &(control_len as u64))?;
        task.memory().write_object(field(FLAGS_OFFSET), &flags)
    }
}

pub(super) fn sendto(
    task: &mut CurrentTask,
    [descriptor, buffer, len, flags, address, address_len]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let target = match address {
        0 => None,
        address => Some(read_address(task, address, address_len)?),
    };
    let buffers = UserBuffers::single(UserSlice { address: VirtualAddress(buffer), len_bytes: len })?;
    let sent = control::decode(task, &[])?;
    send(task, &open, MessageFlags::decode(flags)?, buffers, target, sent)
}

pub(super) fn sendmsg(
    task: &mut CurrentTask,
    [descriptor, header, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    send_header(task, &open, header, MessageFlags::decode(flags)?)
}

pub(super) fn sendmmsg(
    task: &mut CurrentTask,
    [descriptor, headers, count, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let flags = MessageFlags::decode(flags)?;
    let count = (count as u32).min(UIO_MAXIOV);
    for index in 0..count {
        let place = headers.wrapping_add(u64::from(index) * MULTIPLE_HEADER_BYTES);
        let sent = send_header(task, &open, place, flags).and_then(|len| {
            let len_place = VirtualAddress(place.wrapping_add(MULTIPLE_LEN_OFFSET));
            task.memory().write_object(len_place, &(len as u32))
        });
        match sent {
            Ok(()) => {}
            // The error comes with the next call.
            Err(_) if index > 0 => return Ok(index as usize),
            Err(error) => return Err(error),
        }
    }
    Ok(count as usize)
}

fn send_header(
    task: &mut CurrentTask,
    open: &OpenSocket,
    place: u64,
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let header = Header::read(task, place)?;
    if header.control_len > control::MAX_SENT_BYTES {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; header.control_len];
    task.memory().read_bytes(VirtualAddress(header.control), &mut bytes)?;
    let sent = control::decode(task, &bytes)?;
    let target = match header.name_len {
        0 => None,
        len => Some(read_address(task, header.name, len.into())?),
    };
    send(task, open, flags, header.buffers, target, sent)
}

fn send(
    task: &mut CurrentTask,
    open: &OpenSocket,
    flags: MessageFlags,
    buffers: UserBuffers,
    target: Option<UnixAddress>,
    sent: control::Sent,
) -> Result<usize, Errno> {
    let socket = open.socket()?;
    let is_nonblocking = open.is_nonblocking() || flags.contains(MessageFlags::DONT_WAIT);
    let patience = Patience::new(is_nonblocking, socket.options().timeouts.send);
    let target = match (&target, socket.kind()) {
        // Linux ignores the address of a sequenced packet.
        (_, SocketKind::SequencedPacket) | (None, _) => None,
        (Some(_), SocketKind::Stream) if socket.peer_address().is_ok() => return Err(Errno::EISCONN),
        (Some(_), SocketKind::Stream) => return Err(Errno::EOPNOTSUPP),
        (Some(address), SocketKind::Datagram) => Some(find_target(task, socket, address)?),
    };
    let result = match socket.kind() {
        SocketKind::Stream => send_stream(task, open, patience, buffers, sent),
        _ => send_message(task, open, patience, buffers, target, sent),
    };
    if result == Err(Errno::EPIPE)
        && socket.kind() == SocketKind::Stream
        && !flags.contains(MessageFlags::NO_SIGNAL)
    {
        task.task().send_signal(SignalInfo::from_kernel(Signal::SIGPIPE));
    }
    result
}

/// Sends all of a stream's bytes, waiting for room as often as it takes.
fn send_stream(
    task: &mut CurrentTask,
    open: &OpenSocket,
    patience: Patience,
    mut buffers: UserBuffers,
    mut sent: control::Sent,
) -> Result<usize, Errno> {
    let socket = open.socket()?;
    let queue = open.description.file().wait_queue().ok_or(Errno::ENOTSOCK)?;
    let mut total = 0;
    let mut step = vec![0; buffers.remaining().min(STREAM_STEP_BYTES)];
    loop {
        let taken = step.len().min(buffers.remaining());
        // What cannot be read as a whole is not sent in parts.
        if buffers.take(task.memory(), &mut step[..taken]) < taken {
            return if total > 0 { Ok(total) } else { Err(Errno::EFAULT) };
        }
        let mut rest = &step[..taken];
        loop {
            let attempt = || {
                let files = sent.files.clone();
                socket.send(Outgoing { bytes: rest, credentials: sent.credentials.clone(), files }, None)
            };
            match patience.retry(task, (queue, Events::OUT), attempt) {
                Ok(count) => {
                    total += count;
                    rest = slices::rest(rest, count)?;
                    // They go with the first bytes.
                    sent.files.clear();
                }
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
            if rest.is_empty() {
                break;
            }
        }
        if buffers.remaining() == 0 {
            return Ok(total);
        }
    }
}

/// Sends one message with its bounds.
fn send_message(
    task: &mut CurrentTask,
    open: &OpenSocket,
    patience: Patience,
    mut buffers: UserBuffers,
    target: Option<Arc<UnixSocket>>,
    sent: control::Sent,
) -> Result<usize, Errno> {
    if buffers.remaining() > MAX_DATAGRAM_BYTES {
        return Err(Errno::EMSGSIZE);
    }
    let socket = open.socket()?;
    let mut bytes = vec![0; buffers.remaining()];
    if buffers.take(task.memory(), &mut bytes) < bytes.len() {
        return Err(Errno::EFAULT);
    }
    let own_queue = open.description.file().wait_queue().ok_or(Errno::ENOTSOCK)?;
    let queue = target.as_ref().map_or(own_queue, |target| target.room());
    patience.retry(task, (queue, Events::OUT), || {
        let files = sent.files.clone();
        socket.send(Outgoing { bytes: &bytes, credentials: sent.credentials.clone(), files }, target.as_ref())
    })
}

pub(super) fn recvfrom(
    task: &mut CurrentTask,
    [descriptor, buffer, len, flags, address, address_len]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let flags = MessageFlags::decode(flags)?;
    let mut buffers = UserBuffers::single(UserSlice { address: VirtualAddress(buffer), len_bytes: len })?;
    let received = receive(task, &open, flags, &mut buffers)?;
    write_address(task, [address, address_len], &sender_bytes(&open, &received)?)?;
    Ok(received.reported_len(flags))
}

pub(super) fn recvmsg(
    task: &mut CurrentTask,
    [descriptor, header, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    receive_header(task, &open, header, MessageFlags::decode(flags)?)
}

pub(super) fn recvmmsg(
    task: &mut CurrentTask,
    [descriptor, headers, count, flags, timeout, _]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let mut flags = MessageFlags::decode(flags)?;
    // The time-out is looked at after each message only (`man 2 recvmmsg`, BUGS).
    let deadline = deadline_after(read_timeout(task, UserPointer::new(timeout))?);
    let count = (count as u32).min(UIO_MAXIOV);
    for index in 0..count {
        let place = headers.wrapping_add(u64::from(index) * MULTIPLE_HEADER_BYTES);
        let received = receive_header(task, &open, place, flags).and_then(|len| {
            let len_place = VirtualAddress(place.wrapping_add(MULTIPLE_LEN_OFFSET));
            task.memory().write_object(len_place, &(len as u32))
        });
        match received {
            Ok(()) => {}
            Err(_) if index > 0 => return Ok(index as usize),
            Err(error) => return Err(error),
        }
        if flags.contains(MessageFlags::WAIT_FOR_ONE) {
            flags |= MessageFlags::DONT_WAIT;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(index as usize + 1);
        }
    }
    Ok(count as usize)
}

impl Received {
    /// What the call returns: the whole length if MSG_TRUNC asks for it.
    fn reported_len(&self, flags: MessageFlags) -> usize {
        if flags.contains(MessageFlags::TRUNCATE) { self.message_bytes } else { self.len_bytes }
    }
}

/// The sender's address as it is written: none for connections, whose peer is known.
fn sender_bytes(open: &OpenSocket, received: &Received) -> Result<Vec<u8>, Errno> {
    let is_named = open.socket()?.kind() == SocketKind::Datagram && received.sender != UnixAddress::Unnamed;
    Ok(if is_named { received.sender.to_bytes() } else { Vec::new() })
}

fn receive_header(
    task: &mut CurrentTask,
    open: &OpenSocket,
    place: u64,
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let mut header = Header::read(task, place)?;
    let mut received = receive(task, open, flags, &mut header.buffers)?;
    let sender = sender_bytes(open, &received)?;
    if header.name != 0 {
        let (shown, _) = sender.split_at(sender.len().min(header.name_len as usize));
        task.memory().write_bytes(VirtualAddress(header.name), shown)?;
    }
    let mut encoder = Encoder::new(header.control_len);
    if let Some(credentials) = &received.credentials {
        encoder.push_credentials(seen_from(task, credentials));
    }
    let files = std::mem::take(&mut received.files);
    if !files.is_empty() {
        encoder.push_files(task, files, flags.contains(MessageFlags::CLOSE_ON_EXEC));
    }
    task.memory().write_bytes(VirtualAddress(header.control), encoder.bytes())?;
    let mut told = flags.bits() & uapi::MSG_CMSG_CLOEXEC;
    if received.message_bytes > received.len_bytes {
        told |= uapi::MSG_TRUNC;
    }
    if encoder.is_cut {
        told |= uapi::MSG_CTRUNC;
    }
    header.write_results(task, sender.len(), encoder.bytes().len(), told)?;
    Ok(received.reported_len(flags))
}

/// Receives into user memory: one message, or what a stream has; all that was asked for with MSG_WAITALL.
fn receive(
    task: &mut CurrentTask,
    open: &OpenSocket,
    flags: MessageFlags,
    buffers: &mut UserBuffers,
) -> Result<Received, Errno> {
    let socket = open.socket()?;
    let is_nonblocking = open.is_nonblocking() || flags.contains(MessageFlags::DONT_WAIT);
    let patience = Patience::new(is_nonblocking, socket.options().timeouts.receive);
    let queue = open.description.file().wait_queue().ok_or(Errno::ENOTSOCK)?;
    let memory = task.memory().clone();
    let (is_stream, is_peek) = (socket.kind() == SocketKind::Stream, flags.contains(MessageFlags::PEEK));
    let mut total = Received::default();
    loop {
        let result = patience.retry(task, (queue, Events::IN), || {
            let max_bytes =
                if is_stream { buffers.remaining().min(STREAM_STEP_BYTES * 4) } else { buffers.remaining() };
            let mut take = |piece: &[u8]| buffers.fill(&memory, piece) == piece.len();
            socket.receive_pieces(max_bytes, is_peek, &mut take)
        });
        let received = match result {
            Ok(received) => received,
            Err(_) if total.len_bytes > 0 => return Ok(total),
            Err(error) => return Err(error),
        };
        let has_ended = received.len_bytes == 0 || !received.files.is_empty();
        total.len_bytes += received.len_bytes;
        total.message_bytes += received.message_bytes;
        total.credentials = received.credentials;
        total.files.extend(received.files);
        total.sender = received.sender;
        let goes_on = is_stream && !is_peek && flags.contains(MessageFlags::WAIT_ALL);
        if !goes_on || has_ended || buffers.remaining() == 0 {
            return Ok(total);
        }
    }
}
