//! Sockets: making, naming and connecting them. Addresses, messages and options have files of their own.

mod address;
pub(super) mod control;
pub(super) mod message;
mod options;

use std::sync::Arc;

use syscalls::Sysno;

use self::address::{UserAddress, UserAddressRoom};
use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::pipe::install_pair;
use crate::Errno;
use crate::abi::Ucred;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::landlock::PortAccess;
use crate::net::inet::check_tcp;
use crate::net::{
    Family, PeerCredentials, Shutdown, Socket, SocketAddress, SocketFile, SocketKind, SocketRequest,
};
use crate::task::{CurrentTask, Patience, ProcessFile, Tid};
use crate::wait::{Events, WaitQueue};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    socket,
    socketpair,
    bind,
    listen,
    connect,
    accept,
    accept4,
    getsockname,
    getpeername,
    shutdown,
    sendto = message::sendto,
    recvfrom = message::recvfrom,
    sendmsg = message::sendmsg,
    recvmsg = message::recvmsg,
    sendmmsg = message::sendmmsg,
    recvmmsg = message::recvmmsg,
    getsockopt = options::getsockopt,
    setsockopt = options::setsockopt,
];

/// Flags in socket(2)'s type argument.
const SOCK_NONBLOCK: u32 = OpenFlags::NONBLOCK.bits();
const SOCK_CLOEXEC: u32 = OpenFlags::CLOEXEC.bits();
/// The bits of that argument that hold the type itself (`SOCK_TYPE_MASK`).
const TYPE_MASK: u32 = 0xf;

/// An open socket: the description and the socket in it.
struct OpenSocket {
    description: Arc<FileDescription>,
    socket: Arc<dyn Socket>,
}

impl OpenSocket {
    /// # Errors
    /// EBADF, ENOTSOCK.
    fn find(task: &CurrentTask, descriptor: Fd) -> Result<Self, Errno> {
        Self::of(task.usable_file(descriptor)?)
    }

    /// # Errors
    /// ENOTSOCK.
    fn of(description: Arc<FileDescription>) -> Result<Self, Errno> {
        let socket = description.downcast::<SocketFile>().ok_or(Errno::ENOTSOCK)?.socket().clone();
        Ok(Self { description, socket })
    }

    /// The queue to wait on for `events`.
    fn queue(&self, events: Events) -> (&WaitQueue, Events) {
        (self.socket.wait_queue(), events)
    }

    fn kind(&self) -> SocketKind {
        self.socket.common().kind()
    }
}

/// What the caller sees of a sender or a peer.
fn seen_from(task: &CurrentTask, credentials: &PeerCredentials) -> Ucred {
    let pid_namespace = task.thread_group().pid_namespace().serial();
    credentials.seen_from(pid_namespace, &task.credentials().user_namespace)
}

/// A new descriptor of the process that sent something, or made the other end of a connection (SCM_PIDFD, SO_PEERPIDFD).
///
/// # Errors
/// ESRCH: it is gone, or nowhere that the caller could see it. EMFILE.
fn process_descriptor(task: &CurrentTask, peer: &PeerCredentials) -> Result<Fd, Errno> {
    let namespace = task.thread_group().pid_namespace();
    let number = Tid(peer.process.number_in(namespace.serial()));
    let group = task.kernel().tasks().thread_group(namespace, number).ok_or(Errno::ESRCH)?;
    if group.identity() != peer.process {
        return Err(Errno::ESRCH);
    }
    let leader = task.kernel().tasks().task(namespace, number).ok_or(Errno::ESRCH)?;
    super::pidfd::install(task, ProcessFile::of_process(&leader), OpenFlags::empty())
}

/// What socket(2)'s arguments ask for.
fn decode_request(
    family: u32,
    kind: u32,
    protocol: i32,
) -> Result<(&'static Family, SocketRequest, OpenFlags), Errno> {
    let (number, flags) = (kind & TYPE_MASK, kind & !TYPE_MASK);
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let family = Family::find(family, number)?;
    // A negative protocol is beyond every family's.
    let request = SocketRequest { kind: SocketKind::from_raw(number), protocol: protocol.cast_unsigned() };
    Ok((family, request, OpenFlags::from_bits_retain(flags)))
}

fn install(task: &CurrentTask, socket: Arc<dyn Socket>, flags: OpenFlags) -> Result<Fd, Errno> {
    task.install_descriptor(SocketFile::open(socket, flags), flags.contains(OpenFlags::CLOEXEC))
}

fn socket(task: &mut CurrentTask, family: u32, kind: u32, protocol: i32) -> Result<Fd, Errno> {
    let (family, request, flags) = decode_request(family, kind, protocol)?;
    let socket = (family.create)(&task.task().network_namespace(), request, task)?;
    socket.common().set_landlock(task.credentials().landlock.clone());
    install(task, socket, flags)
}

fn socketpair(
    task: &mut CurrentTask,
    family: u32,
    kind: u32,
    protocol: i32,
    descriptors: UserPointer<[Fd; 2]>,
) -> Result<(), Errno> {
    if kind & !(TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC) == 0 {
        // As on Linux the descriptors have their numbers before there are sockets.
        task.memory().check_writable(descriptors.address(), size_of::<[Fd; 2]>())?;
    }
    let (family, request, flags) = decode_request(family, kind, protocol)?;
    let network = task.task().network_namespace();
    let Some(create_pair) = family.create_pair else {
        // One is made, and then it turns out that it cannot be connected to another.
        return (family.create)(&network, request, task).and(Err(Errno::EOPNOTSUPP));
    };
    let sockets = create_pair(&network, request, task)?;
    sockets.iter().for_each(|socket| socket.common().set_landlock(task.credentials().landlock.clone()));
    let files = sockets.map(|socket| SocketFile::open(socket, flags));
    install_pair(task, files, flags.contains(OpenFlags::CLOEXEC), descriptors)
}

fn bind(task: &mut CurrentTask, descriptor: Fd, address: UserAddress) -> Result<(), Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let address = address.read(task)?;
    check_tcp(&*open.socket, &task.credentials(), &address, PortAccess::BIND_TCP)?;
    open.socket.bind(&address, task)
}

fn listen(task: &mut CurrentTask, descriptor: Fd, backlog: i32) -> Result<(), Errno> {
    OpenSocket::find(task, descriptor)?.socket.listen(backlog, task)
}

fn connect(task: &mut CurrentTask, descriptor: Fd, address: UserAddress) -> Result<(), Errno> {
    let description = task.usable_file(descriptor)?;
    let address = address.read(task)?;
    let open = OpenSocket::of(description)?;
    if address.family().is_none() {
        return Err(Errno::EINVAL);
    }
    check_tcp(&*open.socket, &task.credentials(), &address, PortAccess::CONNECT_TCP)?;
    if address.is_unspecified() {
        return open.socket.disconnect();
    }
    connect_open(task, &open, &address, false)
}

/// Connects a socket to an address; one that `never_waits` leaves the rest to the connection.
fn connect_open(
    task: &mut CurrentTask,
    open: &OpenSocket,
    address: &SocketAddress,
    never_waits: bool,
) -> Result<(), Errno> {
    check_tcp(&*open.socket, &task.credentials(), address, PortAccess::CONNECT_TCP)?;
    let destination = open.socket.find(address, task)?;
    let room = destination.socket.as_ref().and_then(|target| target.room());
    let queues: Vec<_> =
        room.into_iter().chain([open.socket.wait_queue()]).map(|queue| (queue, Events::OUT)).collect();
    let patience = Patience::of(&open.description, Events::OUT).unless(never_waits);
    let connected = patience.retry(task, &queues, |task| {
        open.socket.connect(&destination, patience.waits() || task.waits_always(), task)
    });
    connected.map_err(|error| match error {
        Errno::EAGAIN if patience.waits() => open.socket.unfinished_connect(),
        error => error,
    })
}

fn accept(task: &mut CurrentTask, descriptor: Fd, address: UserAddressRoom) -> Result<Fd, Errno> {
    accept4(task, descriptor, address, 0)
}

fn accept4(
    task: &mut CurrentTask,
    descriptor: Fd,
    address: UserAddressRoom,
    flags: u32,
) -> Result<Fd, Errno> {
    let description = task.usable_file(descriptor)?;
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    // A connection that gets no descriptor stays in the queue.
    task.descriptors().check_room(task.descriptor_bounds())?;
    let open = OpenSocket::of(description)?;
    let patience = Patience::of(&open.description, Events::IN);
    let accepted = patience.retry(task, &[open.queue(Events::IN)], |task| {
        open.socket.accept(patience.waits() || task.waits_always())
    });
    let (accepted, peer) = accepted?;
    address.write(task, &peer)?;
    install(task, accepted, OpenFlags::from_bits_retain(flags))
}

fn getsockname(task: &mut CurrentTask, descriptor: Fd, address: UserAddressRoom) -> Result<(), Errno> {
    let name = OpenSocket::find(task, descriptor)?.socket.name()?;
    address.write_always(task, &name)
}

fn getpeername(task: &mut CurrentTask, descriptor: Fd, address: UserAddressRoom) -> Result<(), Errno> {
    let name = OpenSocket::find(task, descriptor)?.socket.peer_name()?;
    address.write_always(task, &name)
}

fn shutdown(task: &mut CurrentTask, descriptor: Fd, how: u32) -> Result<(), Errno> {
    use linux_raw_sys::net::SHUT_RD;
    use linux_raw_sys::net::SHUT_RDWR;
    use linux_raw_sys::net::SHUT_WR;
    let open = OpenSocket::find(task, descriptor)?;
    if how > SHUT_RDWR {
        return Err(Errno::EINVAL);
    }
    open.socket.shut_down(Shutdown { receiving: how != SHUT_WR, sending: how != SHUT_RD })
}
