//! Sending and receiving messages.

use std::mem::offset_of;
use std::sync::Arc;
use std::time::Instant;

use linux_raw_sys::general::UIO_MAXIOV;
use linux_raw_sys::net as uapi;

use super::address::{UserAddress, UserAddressRoom};
use super::control::{self, Encoder, Sent};
use super::{OpenSocket, seen_from};
use crate::Errno;
use crate::abi::{Mmsghdr, Msghdr, Timespec};
use crate::fs::{Fd, FileDescription};
use crate::net::{Outgoing, Received, Receiving, SocketAddress, SocketKind};
use crate::platform::VirtualAddress;
use crate::slices;
use crate::syscall::arguments::{Argument, Registers, UserPointer, UserSlice};
use crate::syscall::poll::{deadline_after, read_timeout};
use crate::syscall::readwrite::raise_broken_pipe;
use crate::syscall::user_buffers::UserBuffers;
use crate::task::{CurrentTask, Patience};
use crate::wait::Events;
use crate::width::{u64_from, usize_from};

/// Bytes of a stream that are moved at a time.
const STREAM_STEP_BYTES: usize = 64 * 1024;
/// recvmmsg(2): do not wait once a message is there.
const MSG_WAITFORONE: u32 = 0x10000;

/// Send without a copy, and tell when that is done.
const MSG_ZEROCOPY: u32 = 0x400_0000;
/// Connect to the address, then send (`man 7 tcp`).
const MSG_FASTOPEN: u32 = 0x2000_0000;

bitflags::bitflags! {
    /// The flags of a call that mean something here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct MessageFlags: u32 {
        const OOB = uapi::MSG_OOB;
        const CTRUNC = uapi::MSG_CTRUNC;
        const PEEK = uapi::MSG_PEEK;
        const TRUNC = uapi::MSG_TRUNC;
        const DONTWAIT = uapi::MSG_DONTWAIT;
        const WAITALL = uapi::MSG_WAITALL;
        const ERRQUEUE = uapi::MSG_ERRQUEUE;
        const MORE = uapi::MSG_MORE;
        const NOSIGNAL = uapi::MSG_NOSIGNAL;
        const CMSG_CLOEXEC = uapi::MSG_CMSG_CLOEXEC;
        const WAITFORONE = MSG_WAITFORONE;
        const FASTOPEN = MSG_FASTOPEN;
        const ZEROCOPY = MSG_ZEROCOPY;
    }
}

impl Argument for MessageFlags {
    /// Unknown flags are ignored, as Linux ignores them.
    fn decode(registers: &mut Registers) -> Result<Self, Errno> {
        u32::decode(registers).map(Self::from_bits_truncate)
    }
}

/// `struct msghdr`, decoded.
struct Header {
    /// Where it is, for the fields that are written back.
    place: UserPointer<Msghdr>,
    name: UserAddress,
    buffers: UserBuffers,
    control: UserPointer<u8>,
    control_len: usize,
}

impl Header {
    fn read(task: &CurrentTask, place: UserPointer<Msghdr>) -> Result<Self, Errno> {
        let raw = place.read(task)?;
        if raw.msg_iovlen > u64::from(UIO_MAXIOV) {
            return Err(Errno::EMSGSIZE);
        }
        if raw.msg_namelen < 0 {
            return Err(Errno::EINVAL);
        }
        let name = UserAddress { place: UserPointer::new(raw.msg_name), len_bytes: raw.msg_namelen };
        let control = UserPointer::<u8>::new(raw.msg_control);
        let control_len = if control.is_null() { 0 } else { raw.msg_controllen };
        Ok(Self {
            place,
            name,
            buffers: UserBuffers::vector(task, UserPointer::new(raw.msg_iov), raw.msg_iovlen)?,
            control,
            control_len: usize::try_from(control_len).map_err(|_| Errno::ENOBUFS)?,
        })
    }

    /// The address that it names. Longer ones are cut to what an address can be at most.
    fn target(&self, task: &CurrentTask) -> Result<Option<SocketAddress>, Errno> {
        let len_bytes = self.name.len_bytes.min(SocketAddress::MAX_BYTES as i32);
        let target = UserAddress { len_bytes, ..self.name }.read_unless_null(task)?;
        Ok(target.filter(|target| !target.bytes().is_empty()))
    }

    /// Writes the sender's address, cut to the room for it. Returns its whole length.
    fn write_sender(&self, task: &CurrentTask, sender: Option<&SocketAddress>) -> Result<i32, Errno> {
        let sender = sender.map(SocketAddress::bytes).unwrap_or_default();
        let room = usize::try_from(self.name.len_bytes).map_err(|_| Errno::EINVAL)?;
        if !self.name.place.is_null() {
            let (shown, _) = sender.split_at(sender.len().min(room));
            task.memory().write_bytes(self.name.place.address(), shown)?;
        }
        i32::try_from(sender.len()).map_err(|_| Errno::EINVAL)
    }

    /// Writes back what a receive has to tell.
    fn write_results(
        &self,
        task: &CurrentTask,
        name_len: i32,
        control_len: usize,
        msg_flags: u32,
    ) -> Result<(), Errno> {
        if !self.name.place.is_null() {
            self.field(offset_of!(Msghdr, msg_namelen)).write(task, &name_len)?;
        }
        self.field(offset_of!(Msghdr, msg_controllen)).write(task, &(u64_from(control_len)))?;
        self.field(offset_of!(Msghdr, msg_flags)).write(task, &msg_flags)
    }

    /// Where the field at `offset` is.
    fn field<T>(&self, offset: usize) -> UserPointer<T> {
        UserPointer::new(self.place.address().0.wrapping_add(u64_from(offset)))
    }
}

pub(super) fn sendto(
    task: &mut CurrentTask,
    descriptor: Fd,
    buffer: UserSlice,
    flags: MessageFlags,
    address: UserAddress,
) -> Result<usize, Errno> {
    let buffers = UserBuffers::message(buffer)?;
    let open = OpenSocket::find(task, descriptor)?;
    let needs_length =
        matches!(open.socket.common().family(), uapi::AF_INET | uapi::AF_INET6 | uapi::AF_PACKET);
    // To some, an address of no length is one that is too short.
    let target = address.read_unless_null(task)?.filter(|target| needs_length || !target.bytes().is_empty());
    let sent = Sent::plain(task);
    send(task, &open, flags, buffers, target, sent)
}

pub(super) fn sendmsg(
    task: &mut CurrentTask,
    descriptor: Fd,
    header: UserPointer<Msghdr>,
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    send_header(task, &open, header, flags)
}

/// The header of one message of several, and where its length goes.
fn message_at(headers: UserPointer<Mmsghdr>, index: u32) -> (UserPointer<Msghdr>, UserPointer<u32>) {
    let place = headers.element(usize_from(index)).address().0;
    let len_place = place.wrapping_add(u64_from(offset_of!(Mmsghdr, msg_len)));
    (UserPointer::new(place), UserPointer::new(len_place))
}

/// Does `one` for up to `count` messages, and writes the length of each. An error after the first comes with the next call.
fn for_each_message(
    task: &mut CurrentTask,
    headers: UserPointer<Mmsghdr>,
    count: u32,
    mut one: impl FnMut(&mut CurrentTask, UserPointer<Msghdr>) -> Result<(usize, bool), Errno>,
) -> Result<u32, Errno> {
    let count = count.min(UIO_MAXIOV);
    for index in 0..count {
        let (place, len_place) = message_at(headers, index);
        let moved = one(task, place).and_then(|(len, goes_on)| {
            len_place.write(task, &u32::try_from(len).unwrap_or(u32::MAX)).map(|()| goes_on)
        });
        match moved {
            Ok(true) => {}
            Ok(false) => return Ok(index + 1),
            Err(_) if index > 0 => return Ok(index),
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

pub(super) fn sendmmsg(
    task: &mut CurrentTask,
    descriptor: Fd,
    headers: UserPointer<Mmsghdr>,
    count: u32,
    flags: MessageFlags,
) -> Result<u32, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    for_each_message(task, headers, count, |task, place| {
        send_header(task, &open, place, flags).map(|len| (len, true))
    })
}

fn send_header(
    task: &mut CurrentTask,
    open: &OpenSocket,
    place: UserPointer<Msghdr>,
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let header = Header::read(task, place)?;
    if header.control_len > control::MAX_SENT_BYTES {
        return Err(Errno::ENOBUFS);
    }
    let control = header.control.read_array(task, header.control_len)?;
    let sent = control::decode(task, &*open.socket, &control)?;
    let target = header.target(task)?;
    send(task, open, flags, header.buffers, target, sent)
}

/// write(2) to a socket.
pub(in crate::syscall) fn write(
    task: &mut CurrentTask,
    description: &Arc<FileDescription>,
    buffers: UserBuffers,
    never_waits: bool,
) -> Result<usize, Errno> {
    let open = OpenSocket::of(description.clone())?;
    let flags = if never_waits { MessageFlags::DONTWAIT } else { MessageFlags::empty() };
    let sent = Sent::plain(task);
    send(task, &open, flags, buffers, None, sent)
}

fn patience(open: &OpenSocket, flags: MessageFlags, events: Events) -> Patience {
    Patience::of(&open.description, events).unless(flags.contains(MessageFlags::DONTWAIT))
}

/// Sends to the socket at `target`, or to the peer if there is none.
fn send(
    task: &mut CurrentTask,
    open: &OpenSocket,
    flags: MessageFlags,
    buffers: UserBuffers,
    target: Option<SocketAddress>,
    sent: Sent,
) -> Result<usize, Errno> {
    let is_urgent = flags.contains(MessageFlags::OOB);
    let patience = patience(open, flags, Events::OUT);
    let is_internet = matches!(open.socket.common().family(), uapi::AF_INET | uapi::AF_INET6);
    let is_stream = open.kind() == SocketKind::Stream;
    if is_stream && !is_internet && is_urgent && buffers.remaining() == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if is_stream && is_internet && flags.contains(MessageFlags::FASTOPEN) {
        let target = target.unwrap_or_default();
        if target.is_unspecified() {
            return Err(Errno::EOPNOTSUPP);
        }
        // The bytes go with the connection, or, as here, right after it.
        super::connect_open(task, open, &target, flags.contains(MessageFlags::DONTWAIT))?;
    }
    let target = open.socket.check_destination(target, is_urgent)?;
    let count = match is_stream {
        true => send_stream(task, open, (patience, flags), buffers, sent)?,
        false => send_message(task, open, (patience, flags), buffers, target, sent)?,
    };
    let is_told = flags.contains(MessageFlags::ZEROCOPY) && (count > 0 || !is_stream);
    if is_told && open.socket.common().options().is_zero_copy {
        open.socket.note_zero_copy();
    }
    Ok(count)
}

/// Sends all of a stream's bytes, waiting for room as often as it takes.
fn send_stream(
    task: &mut CurrentTask,
    open: &OpenSocket,
    (patience, flags): (Patience, MessageFlags),
    mut buffers: UserBuffers,
    mut sent: Sent,
) -> Result<usize, Errno> {
    let (socket, queue) = (&open.socket, [open.queue(Events::OUT)]);
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
            let refusal = patience.retry(task, &queue, |_| socket.check_send(0, false));
            return Err(fail_stream(task, open, flags, refusal.err().unwrap_or(Errno::EFAULT), false));
        }
        let mut rest = &step[..taken];
        loop {
            let is_urgent = flags.contains(MessageFlags::OOB) && buffers.remaining() == 0;
            let mut attempts = 0;
            let attempt = |task: &mut CurrentTask| {
                attempts += 1;
                let has_waited = attempts > 1;
                let has_more = flags.contains(MessageFlags::MORE) || buffers.remaining() > 0;
                socket.send(
                    Outgoing { has_waited, ..outgoing(rest, &sent, (is_urgent, has_more)) },
                    None,
                    task,
                )
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
    if flags.contains(MessageFlags::NOSIGNAL) {
        return error;
    }
    raise_broken_pipe(task, &open.description, error, has_waited)
}

fn outgoing<'a>(bytes: &'a [u8], sent: &'a Sent, (is_urgent, has_more): (bool, bool)) -> Outgoing<'a> {
    Outgoing {
        bytes,
        credentials: sent.credentials.clone(),
        shows_credentials: sent.shows_credentials,
        files: sent.files.clone(),
        control: &sent.others,
        is_urgent,
        has_more,
        has_waited: false,
    }
}

/// Sends one message with its bounds.
fn send_message(
    task: &mut CurrentTask,
    open: &OpenSocket,
    (patience, flags): (Patience, MessageFlags),
    mut buffers: UserBuffers,
    target: Option<SocketAddress>,
    sent: Sent,
) -> Result<usize, Errno> {
    let (socket, own_queue) = (&open.socket, open.queue(Events::OUT));
    let len_bytes = buffers.remaining();
    patience.retry(task, &[own_queue], |_| socket.check_send(len_bytes, target.is_some()))?;
    let mut bytes = vec![0; len_bytes];
    if buffers.take(task.memory(), &mut bytes) < bytes.len() {
        return Err(Errno::EFAULT);
    }
    let destination = target.map(|address| socket.find(&address, task)).transpose()?;
    let target = destination.as_ref().and_then(|destination| destination.socket.as_ref());
    let room = target.and_then(|target| target.room()).map(|queue| (queue, Events::OUT));
    let queues: Vec<_> = [own_queue].into_iter().chain(room).collect();
    let what = (false, flags.contains(MessageFlags::MORE));
    patience
        .retry(task, &queues, |task| socket.send(outgoing(&bytes, &sent, what), destination.as_ref(), task))
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
    let open = OpenSocket::of(description.clone())?;
    let flags = if never_waits { MessageFlags::DONTWAIT } else { MessageFlags::empty() };
    receive(task, &open, flags, &mut buffers).map(|received| received.len_bytes)
}

pub(super) fn recvfrom(
    task: &mut CurrentTask,
    descriptor: Fd,
    buffer: UserSlice,
    flags: MessageFlags,
    address: UserAddressRoom,
) -> Result<usize, Errno> {
    let mut buffers = UserBuffers::message(buffer)?;
    let open = OpenSocket::find(task, descriptor)?;
    let received = receive(task, &open, flags, &mut buffers)?;
    address.write(task, &received.sender.unwrap_or_default())?;
    Ok(received.reported_len(flags))
}

/// recv(2), for who has the flags as bits.
pub(in crate::syscall) fn receive_into(
    task: &mut CurrentTask,
    descriptor: Fd,
    buffer: UserSlice,
    flags: u32,
) -> Result<usize, Errno> {
    let flags = MessageFlags::from_bits_truncate(flags);
    let mut buffers = UserBuffers::message(buffer)?;
    let open = OpenSocket::find(task, descriptor)?;
    Ok(receive(task, &open, flags, &mut buffers)?.reported_len(flags))
}

pub(super) fn recvmsg(
    task: &mut CurrentTask,
    descriptor: Fd,
    header: UserPointer<Msghdr>,
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    receive_header(task, &open, header, flags)
}

pub(super) fn recvmmsg(
    task: &mut CurrentTask,
    descriptor: Fd,
    headers: UserPointer<Mmsghdr>,
    count: u32,
    mut flags: MessageFlags,
    timeout: UserPointer<Timespec>,
) -> Result<u32, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    // The time-out is looked at after each message only (`man 2 recvmmsg`, BUGS).
    let deadline = deadline_after(read_timeout(task, timeout)?);
    for_each_message(task, headers, count, |task, place| {
        let len = receive_header(task, &open, place, flags)?;
        if flags.contains(MessageFlags::WAITFORONE) {
            flags |= MessageFlags::DONTWAIT;
        }
        Ok((len, deadline.is_none_or(|deadline| Instant::now() < deadline)))
    })
}

impl Received {
    /// What the call returns: the whole length if MSG_TRUNC asks for it.
    fn reported_len(&self, flags: MessageFlags) -> usize {
        if flags.contains(MessageFlags::TRUNC) { self.message_bytes } else { self.len_bytes }
    }

    /// What `msg_flags` tells of a receive with `flags`, whose control messages were cut or not.
    fn told_flags(&self, flags: MessageFlags, is_control_cut: bool) -> MessageFlags {
        let mut told = flags & (MessageFlags::CMSG_CLOEXEC | MessageFlags::ERRQUEUE);
        told.set(MessageFlags::TRUNC, self.message_bytes > self.len_bytes);
        told.set(MessageFlags::CTRUNC, is_control_cut);
        told.set(MessageFlags::OOB, self.is_urgent);
        told
    }
}

/// recvmsg(2) into `buffer`, whatever the header says of that, for who has the flags as bits.
pub(in crate::syscall) fn receive_header_into(
    task: &mut CurrentTask,
    descriptor: Fd,
    place: UserPointer<Msghdr>,
    buffer: UserSlice,
    flags: u32,
) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let header = Header { buffers: UserBuffers::message(buffer)?, ..Header::read(task, place)? };
    receive_by_header(task, &open, header, MessageFlags::from_bits_truncate(flags))
}

fn receive_header(
    task: &mut CurrentTask,
    open: &OpenSocket,
    place: UserPointer<Msghdr>,
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let header = Header::read(task, place)?;
    receive_by_header(task, open, header, flags)
}

/// recvmsg(2) into `buffer` alone, for a request that receives again and again: what the header at `place` would be told comes
/// before the message, in the room that the header has for it (`struct io_uring_recvmsg_out`). Returns how much of the buffer is
/// filled, and whether that is a message.
pub(in crate::syscall) fn receive_packed(
    task: &mut CurrentTask,
    descriptor: Fd,
    place: UserPointer<Msghdr>,
    buffer: UserSlice,
    flags: u32,
) -> Result<(usize, bool), Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let raw = place.read(task)?;
    let out_len = u64_from(size_of::<[u32; 4]>());
    let name_room = u64::try_from(raw.msg_namelen).map_err(|_| Errno::EINVAL)?;
    let control_len = usize::try_from(raw.msg_controllen).map_err(|_| Errno::EOVERFLOW)?;
    let head = raw.msg_controllen.checked_add(out_len + name_room).ok_or(Errno::EOVERFLOW)?;
    let room = buffer.len_bytes.checked_sub(head).ok_or(Errno::EFAULT)?;
    let at = |offset: u64| buffer.address.0.wrapping_add(offset);
    let name_place = if name_room == 0 { 0 } else { at(out_len) };
    let mut header = Header {
        place,
        name: UserAddress { place: UserPointer::new(name_place), len_bytes: raw.msg_namelen },
        buffers: UserBuffers::message(UserSlice { address: VirtualAddress(at(head)), len_bytes: room })?,
        control: UserPointer::new(at(out_len + name_room)),
        control_len,
    };
    let told = receive_parts(task, &open, &mut header, MessageFlags::from_bits_truncate(flags))?;
    let name_len = if name_room == 0 { 0 } else { told.name_len.cast_unsigned() };
    let (control_len, message_len) = (u32::try_from(told.control_len), u32::try_from(told.len_bytes));
    let out = [name_len, control_len.unwrap_or(0), message_len.unwrap_or(u32::MAX), told.flags.bits()];
    task.memory().write_object(buffer.address, &out)?;
    Ok((usize_from(head + u64_from(told.len_bytes).min(room)), told.len_bytes != 0))
}

/// What is told of a message beside its contents.
struct Told {
    name_len: i32,
    control_len: usize,
    flags: MessageFlags,
    /// What the call returns.
    len_bytes: usize,
}

fn receive_by_header(
    task: &mut CurrentTask,
    open: &OpenSocket,
    mut header: Header,
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let told = receive_parts(task, open, &mut header, flags)?;
    header.write_results(task, told.name_len, told.control_len, told.flags.bits())?;
    Ok(told.len_bytes)
}

/// Receives a message with its sender and its control messages, where the header has places for them.
fn receive_parts(
    task: &mut CurrentTask,
    open: &OpenSocket,
    header: &mut Header,
    flags: MessageFlags,
) -> Result<Told, Errno> {
    let mut received = receive(task, open, flags, &mut header.buffers)?;
    let name_len = header.write_sender(task, received.sender.as_ref())?;
    let mut encoder = Encoder::new(header.control_len);
    for message in &received.control {
        encoder.push(message.level, message.kind, &message.data);
    }
    let options = open.socket.common().options();
    let sender = received.credentials.take();
    if let Some(sender) = sender.as_ref().filter(|_| options.switch(uapi::SO_PASSCRED) == Ok(true)) {
        encoder.push_credentials(seen_from(task, sender));
    }
    let files = std::mem::take(&mut received.files);
    if !files.is_empty() {
        encoder.push_files(task, files, flags.contains(MessageFlags::CMSG_CLOEXEC));
    }
    if let Some(sender) = sender.filter(|_| options.switch(uapi::SO_PASSPIDFD) == Ok(true)) {
        encoder.push_process(task, &sender);
    }
    task.memory().write_bytes(header.control.address(), encoder.bytes())?;
    Ok(Told {
        name_len,
        control_len: encoder.bytes().len(),
        flags: received.told_flags(flags, encoder.is_cut),
        len_bytes: received.reported_len(flags),
    })
}

/// Receives into user memory: one message, or what a stream has; all that was asked for with MSG_WAITALL.
fn receive(
    task: &mut CurrentTask,
    open: &OpenSocket,
    flags: MessageFlags,
    buffers: &mut UserBuffers,
) -> Result<Received, Errno> {
    let (socket, queue) = (&open.socket, [open.queue(Events::IN)]);
    // Nobody waits for an error.
    let is_internet = matches!(socket.common().family(), uapi::AF_INET | uapi::AF_INET6);
    let never_waits = is_internet && flags.contains(MessageFlags::ERRQUEUE);
    let waiting = if never_waits { flags | MessageFlags::DONTWAIT } else { flags };
    let patience = patience(open, waiting, Events::IN);
    let is_stream = open.kind() == SocketKind::Stream;
    let how = Receiving {
        is_peek: flags.contains(MessageFlags::PEEK),
        is_urgent: flags.contains(MessageFlags::OOB),
        is_error_queue: flags.contains(MessageFlags::ERRQUEUE),
        discards: flags.contains(MessageFlags::TRUNC),
        waits: patience.waits(),
    };
    let mut missing = match flags.contains(MessageFlags::WAITALL) {
        true => buffers.remaining(),
        false => (usize_from(socket.common().options().receive_low_water)).min(buffers.remaining()),
    };
    let memory = task.memory().clone();
    let wanted = buffers.remaining();
    let mut total = Received::default();
    loop {
        let result = patience.retry(task, &queue, |_| {
            let left = wanted.saturating_sub(total.len_bytes);
            let max_bytes = if is_stream { left.min(STREAM_STEP_BYTES * 4) } else { left };
            let mut take = |piece: &[u8]| buffers.fill(&memory, piece) == piece.len();
            socket.receive(max_bytes, how, &mut take)
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
        total.control = received.control;
        total.sender = received.sender;
        total.is_urgent = received.is_urgent;
        if !is_stream || has_ended || missing == 0 {
            return Ok(total);
        }
    }
}
