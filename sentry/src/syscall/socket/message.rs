//! Sending and receiving messages.

use std::sync::Arc;
use std::time::Instant;

use linux_raw_sys::general::UIO_MAXIOV;
use linux_raw_sys::net as uapi;

use super::control::{self, Encoder};
use super::{MAX_ADDRESS_BYTES, OpenSocket, find_target, read_raw_address, seen_from, write_address};
use crate::Errno;
use crate::fs::FileDescription;
use crate::net::unix::{Outgoing, Received, Receiving, SocketKind, UnixAddress};
use crate::platform::VirtualAddress;
use crate::slices;
use crate::syscall::arguments::{UserPointer, UserSlice};
use crate::syscall::poll::{deadline_after, read_timeout};
use crate::syscall::readwrite::raise_broken_pipe;
use crate::syscall::user_buffers::UserBuffers;
use crate::task::{CurrentTask, Patience};
use crate::wait::Events;

/// Bytes of a stream that are moved at a time.
const STREAM_STEP_BYTES: usize = 64 * 1024;
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
    fn decode(flags: u64) -> Self {
        Self::from_bits_truncate(flags as u32)
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
    let buffers = UserBuffers::single(UserSlice { address: VirtualAddress(buffer), len_bytes: len })?;
    let target = match address {
        0 => Vec::new(),
        address => read_raw_address(task, address, address_len)?,
    };
    let sent = control::decode(task, &[])?;
    send(task, &open, MessageFlags::decode(flags), buffers, &target, sent)
}

pub(super) fn sendmsg(
    task: &mut CurrentTask,
    [descriptor, header, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    send_header(task, &open, header, MessageFlags::decode(flags))
}

pub(super) fn sendmmsg(
    task: &mut CurrentTask,
    [descriptor, headers, count, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let flags = MessageFlags::decode(flags);
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
    // Longer names are cut to what an address can be at most.
    let name_len = u64::from(header.name_len).min(MAX_ADDRESS_BYTES as u64);
    let target = read_raw_address(task, header.name, name_len)?;
    send(task, open, flags, header.buffers, &target, sent)
}

/// write(2) to a socket.
pub(in crate::syscall) fn write(
    task: &mut CurrentTask,
    description: &Arc<FileDescription>,
    buffers: UserBuffers,
    never_waits: bool,
) -> Result<usize, Errno> {
    let open = OpenSocket { description: description.clone() };
    let flags = if never_waits { MessageFlags::DONT_WAIT } else { MessageFlags::empty() };
    let sent = control::decode(task, &[])?;
    send(task, &open, flags, buffers, &[], sent)
}

fn patience(open: &OpenSocket, flags: MessageFlags, events: Events) -> Patience {
    Patience::of(&open.description, events).unless(flags.contains(MessageFlags::DONT_WAIT))
}

/// Sends to the socket at the encoded address `target`, or to the peer if that is empty.
fn send(
    task: &mut CurrentTask,
    open: &OpenSocket,
    flags: MessageFlags,
    buffers: UserBuffers,
    target: &[u8],
    sent: control::Sent,
) -> Result<usize, Errno> {
    let socket = open.socket()?;
    let is_urgent = flags.contains(MessageFlags::OUT_OF_BAND);
    let patience = patience(open, flags, Events::OUT);
    match socket.kind() {
        SocketKind::Stream if is_urgent && buffers.remaining() == 0 => Err(Errno::EOPNOTSUPP),
        SocketKind::Stream if target.is_empty() => send_stream(task, open, (patience, flags), buffers, sent),
        SocketKind::Stream if socket.peer_address().is_ok() => Err(Errno::EISCONN),
        SocketKind::Stream => Err(Errno::EOPNOTSUPP),
        SocketKind::SequencedPacket if is_urgent => socket.check_connection().and(Err(Errno::EOPNOTSUPP)),
        // Linux ignores the address of a sequenced packet.
        SocketKind::SequencedPacket => send_message(task, open, patience, buffers, None, sent),
        SocketKind::Datagram if is_urgent => Err(Errno::EOPNOTSUPP),
        SocketKind::Datagram => {
            let target = if target.is_empty() { None } else { Some(UnixAddress::named_from_bytes(target)?) };
            open.shared()?.bind_if_named()?;
            send_message(task, open, patience, buffers, target, sent)
        }
    }
}

/// Sends all of a stream's bytes, waiting for room as often as it takes.
fn send_stream(
    task: &mut CurrentTask,
    open: &OpenSocket,
    (patience, flags): (Patience, MessageFlags),
    mut buffers: UserBuffers,
    mut sent: control::Sent,
) -> Result<usize, Errno> {
    let socket = open.socket()?;
    let queue = [(open.description.file().wait_queue().ok_or(Errno::ENOTSOCK)?, Events::OUT)];
    let mut total = 0;
    let mut step = vec![0; buffers.remaining().min(STREAM_STEP_BYTES)];
    loop {
        let taken = step.len().min(buffers.remaining());
        // What cannot be read as a whole is not sent in parts.
        if buffers.take(task.memory(), &mut step[..taken]) < taken {
            if total > 0 {
                return Ok(total);
            }
            // Only who could send learns that there is nothing to send.
            let refusal = patience.retry(task, &queue, |_| socket.check_message(0, false));
            return Err(fail_stream(task, open, flags, refusal.err().unwrap_or(Errno::EFAULT), false));
        }
        let mut rest = &step[..taken];
        loop {
            let is_urgent = flags.contains(MessageFlags::OUT_OF_BAND) && buffers.remaining() == 0;
            let mut attempts = 0;
            let attempt = |_: &mut CurrentTask| {
                attempts += 1;
                let has_waited = attempts > 1;
                socket.send(Outgoing { has_waited, ..outgoing(rest, &sent, is_urgent) }, None)
            };
            match patience.retry(task, &queue, attempt) {
                Ok(count) => {
                    total += count;
                    rest = slices::rest(rest, count)?;
                    // They go with the first bytes.
                    sent.files.files.clear();
                }
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(fail_stream(task, open, flags, error, attempts > 1)),
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

/// Raises the signal that comes with EPIPE, unless MSG_NOSIGNAL forbids. Returns the error.
fn fail_stream(
    task: &CurrentTask,
    open: &OpenSocket,
    flags: MessageFlags,
    error: Errno,
    has_waited: bool,
) -> Errno {
    if flags.contains(MessageFlags::NO_SIGNAL) {
        return error;
    }
    raise_broken_pipe(task, &open.description, error, has_waited)
}

fn outgoing<'a>(bytes: &'a [u8], sent: &control::Sent, is_urgent: bool) -> Outgoing<'a> {
    Outgoing {
        bytes,
        credentials: sent.credentials.clone(),
        shows_credentials: sent.shows_credentials,
        files: sent.files.clone(),
        is_urgent,
        has_waited: false,
    }
}

/// Sends one message with its bounds.
fn send_message(
    task: &mut CurrentTask,
    open: &OpenSocket,
    patience: Patience,
    mut buffers: UserBuffers,
    target: Option<UnixAddress>,
    sent: control::Sent,
) -> Result<usize, Errno> {
    let socket = open.socket()?;
    let own_queue = (open.description.file().wait_queue().ok_or(Errno::ENOTSOCK)?, Events::OUT);
    let (len_bytes, has_target) = (buffers.remaining(), target.is_some());
    patience.retry(task, &[own_queue], |_| socket.check_message(len_bytes, has_target))?;
    let mut bytes = vec![0; len_bytes];
    if buffers.take(task.memory(), &mut bytes) < bytes.len() {
        return Err(Errno::EFAULT);
    }
    let target = target.map(|address| find_target(task, socket, &address)).transpose()?;
    let queues: Vec<_> =
        [own_queue].into_iter().chain(target.as_ref().map(|target| (target.room(), Events::OUT))).collect();
    patience.retry(task, &queues, |_| socket.send(outgoing(&bytes, &sent, false), target.as_ref()))
}

/// read(2) from a socket.
pub(in crate::syscall) fn read(
    task: &mut CurrentTask,
    description: &Arc<FileDescription>,
    mut buffers: UserBuffers,
    never_waits: bool,
) -> Result<usize, Errno> {
    if buffers.remaining() == 0 {
        return Ok(0);
    }
    let open = OpenSocket { description: description.clone() };
    let flags = if never_waits { MessageFlags::DONT_WAIT } else { MessageFlags::empty() };
    receive(task, &open, flags, &mut buffers).map(|received| received.len_bytes)
}

pub(super) fn recvfrom(
    task: &mut CurrentTask,
    [descriptor, buffer, len, flags, address, address_len]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let flags = MessageFlags::decode(flags);
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
    receive_header(task, &open, header, MessageFlags::decode(flags))
}

pub(super) fn recvmmsg(
    task: &mut CurrentTask,
    [descriptor, headers, count, flags, timeout, _]: [u64; 6],
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let mut flags = MessageFlags::decode(flags);
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
    if received.is_urgent {
        told |= uapi::MSG_OOB;
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
    let patience = patience(open, flags, Events::IN);
    let queue = [(open.description.file().wait_queue().ok_or(Errno::ENOTSOCK)?, Events::IN)];
    let is_stream = socket.kind() == SocketKind::Stream;
    let how = Receiving {
        is_peek: flags.contains(MessageFlags::PEEK),
        is_urgent: flags.contains(MessageFlags::OUT_OF_BAND),
        waits: patience.waits(),
    };
    let mut missing = match flags.contains(MessageFlags::WAIT_ALL) {
        true => buffers.remaining(),
        false => (socket.options().receive_low_water as usize).min(buffers.remaining()),
    };
    let memory = task.memory().clone();
    let mut total = Received::default();
    loop {
        let result = patience.retry(task, &queue, |_| {
            let max_bytes =
                if is_stream { buffers.remaining().min(STREAM_STEP_BYTES * 4) } else { buffers.remaining() };
            let mut take = |piece: &[u8]| buffers.fill(&memory, piece) == piece.len();
            socket.receive_pieces(max_bytes, how, &mut take)
        });
        let received = match result {
            Ok(received) => received,
            Err(_) if total.len_bytes > 0 => return Ok(total),
            Err(error) => return Err(error),
        };
        let has_ended = received.len_bytes == 0 || !received.files.is_empty() || how.is_peek || how.is_urgent;
        missing = missing.saturating_sub(received.len_bytes);
        total.len_bytes += received.len_bytes;
        total.message_bytes += received.message_bytes;
        total.credentials = received.credentials;
        total.files.extend(received.files);
        total.sender = received.sender;
        total.is_urgent = received.is_urgent;
        if !is_stream || has_ended || missing == 0 {
            return Ok(total);
        }
    }
}
