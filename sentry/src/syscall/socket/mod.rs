//! Sockets: making, naming and connecting them. Messages and options have files of their own.

mod control;
pub(super) mod message;
mod options;

use std::sync::Arc;

use linux_raw_sys::net as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{ReturnValue, UserPointer};
use super::pipe::install_pair;
use super::place::Scope;
use crate::Errno;
use crate::fs::operations::create_node;
use crate::fs::{Access, Caller, Fd, FileDescription, FileKind, NewNode, OpenFlags, check_access};
use crate::net::unix::{BoundName, PeerCredentials, Shutdown, SocketKind, UnixAddress, UnixSocket};
use crate::platform::VirtualAddress;
use crate::task::{CurrentTask, Patience};
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::socket, socket),
    (Sysno::socketpair, socketpair),
    (Sysno::bind, bind),
    (Sysno::listen, listen),
    (Sysno::connect, connect),
    (Sysno::accept, |task, [descriptor, address, len, ..]| accept(task, descriptor, [address, len], 0)),
    (Sysno::accept4, |task, [descriptor, address, len, flags, ..]| {
        accept(task, descriptor, [address, len], flags as u32)
    }),
    (Sysno::getsockname, getsockname),
    (Sysno::getpeername, getpeername),
    (Sysno::shutdown, shutdown),
    (Sysno::sendto, message::sendto),
    (Sysno::recvfrom, message::recvfrom),
    (Sysno::sendmsg, message::sendmsg),
    (Sysno::recvmsg, message::recvmsg),
    (Sysno::sendmmsg, message::sendmmsg),
    (Sysno::recvmmsg, message::recvmmsg),
    (Sysno::getsockopt, options::getsockopt),
    (Sysno::setsockopt, options::setsockopt),
];

/// Flags in socket(2)'s type argument.
const SOCK_NONBLOCK: u32 = OpenFlags::NONBLOCK.bits();
const SOCK_CLOEXEC: u32 = OpenFlags::CLOEXEC.bits();
/// `sizeof(struct sockaddr_storage)`: the longest address that is taken.
const MAX_ADDRESS_BYTES: usize = 128;

/// An open socket: the description and the socket in it.
struct OpenSocket {
    description: Arc<FileDescription>,
}

impl OpenSocket {
    /// # Errors
    /// EBADF, ENOTSOCK.
    fn find(task: &CurrentTask, descriptor: u64) -> Result<Self, Errno> {
        let description = task.file(descriptor as i32)?;
        if description.flags().contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        description.downcast::<UnixSocket>().ok_or(Errno::ENOTSOCK)?;
        Ok(Self { description })
    }

    fn socket(&self) -> Result<&UnixSocket, Errno> {
        self.description.downcast().ok_or(Errno::ENOTSOCK)
    }

    /// The socket as a value of its own, for the lists that it is kept in.
    fn shared(&self) -> Result<Arc<UnixSocket>, Errno> {
        self.socket()?.shared().ok_or(Errno::ENOTSOCK)
    }
}

/// What the caller sees of a sender or a peer.
fn seen_from(task: &CurrentTask, credentials: &PeerCredentials) -> [u32; 3] {
    let pid_namespace = task.thread_group().pid_namespace().serial();
    credentials.seen_from(pid_namespace, &task.credentials().user_namespace)
}

/// Who a connection's other end sees (SO_PEERCRED).
fn peer_credentials(task: &CurrentTask) -> PeerCredentials {
    let credentials = task.credentials();
    PeerCredentials {
        process: task.thread_group().identity(),
        uid: credentials.effective_uid,
        gid: credentials.effective_gid,
        groups: credentials.groups.clone(),
    }
}

/// Decodes family, type and protocol.
fn decode_kind(family: u64, kind: u64, protocol: u64) -> Result<(SocketKind, OpenFlags), Errno> {
    let kind = kind as u32;
    let (number, flags) = (kind & 0xf, kind & !0xf);
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    if family as u32 != uapi::AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol as u32 != 0 && protocol as u32 != uapi::AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok((SocketKind::from_raw(number)?, OpenFlags::from_bits_retain(flags)))
}

fn describe(socket: Arc<UnixSocket>, flags: OpenFlags) -> Arc<FileDescription> {
    FileDescription::new(socket, None, OpenFlags::RDWR | flags & OpenFlags::NONBLOCK)
}

fn install(task: &CurrentTask, socket: Arc<UnixSocket>, flags: OpenFlags) -> Result<usize, Errno> {
    let description = describe(socket, flags);
    let descriptor = task.install_descriptor(description, flags.contains(OpenFlags::CLOEXEC))?;
    Ok(descriptor.encode())
}

fn socket(task: &mut CurrentTask, [family, kind, protocol, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (kind, flags) = decode_kind(family, kind, protocol)?;
    let (credentials, network) = (task.credentials(), task.task().network_namespace());
    install(
        task,
        UnixSocket::new(kind, credentials.fs_uid, credentials.fs_gid, network.unix_sockets()),
        flags,
    )
}

fn socketpair(
    task: &mut CurrentTask,
    [family, kind, protocol, address, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let (kind, flags) = decode_kind(family, kind, protocol)?;
    let (first, second) =
        UnixSocket::pair(kind, peer_credentials(task), task.task().network_namespace().unix_sockets());
    let files = [describe(first, flags), describe(second, flags)];
    install_pair(task, files, flags.contains(OpenFlags::CLOEXEC), UserPointer::new(address))
        .map(ReturnValue::encode)
}

/// Copies an address from user memory, still encoded.
fn read_raw_address(task: &CurrentTask, address: u64, len: u64) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len as i32).map_err(|_| Errno::EINVAL)?;
    if len > MAX_ADDRESS_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len];
    task.memory().read_bytes(VirtualAddress(address), &mut bytes)?;
    Ok(bytes)
}

/// Writes an address, cut to the room that `[address, length's address]` tell of, and its whole length.
fn write_address(task: &CurrentTask, [address, len_address]: [u64; 2], value: &[u8]) -> Result<(), Errno> {
    if address == 0 {
        return Ok(());
    }
    let room: i32 = task.memory().read_object(VirtualAddress(len_address))?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let (shown, _) = value.split_at(room.min(value.len()));
    task.memory().write_bytes(VirtualAddress(address), shown)?;
    let len = i32::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    task.memory().write_object(VirtualAddress(len_address), &len)
}

fn bind(task: &mut CurrentTask, [descriptor, address, len, ..]: [u64; 6]) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let socket = open.shared()?;
    match UnixAddress::from_bytes(&read_raw_address(task, address, len)?)? {
        UnixAddress::Unnamed => socket.bind_abstract(None)?,
        UnixAddress::Abstract(name) => socket.bind_abstract(Some(name))?,
        UnixAddress::Path(path) if socket.address() != UnixAddress::Unnamed => check_name(task, &path)?,
        UnixAddress::Path(path) => socket.bind_path(&path, |name| make_name(task, &path, name))?,
    }
    Ok(0)
}

/// What a socket that is bound already learns of another path: whether that is taken.
fn check_name(task: &CurrentTask, path: &[u8]) -> Result<(), Errno> {
    let scope = Scope::new(task);
    let start = scope.start(task, Fd::WORKING_DIRECTORY, path)?;
    match scope.resolver().resolve(&start, path, false) {
        Ok(_) => Err(Errno::EADDRINUSE),
        Err(Errno::ENOENT) => Err(Errno::EINVAL),
        Err(error) => Err(error),
    }
}

/// Makes the inode of a socket's path.
fn make_name(task: &CurrentTask, path: &[u8], name: Arc<BoundName>) -> Result<(), Errno> {
    let scope = Scope::new(task);
    let start = scope.start(task, Fd::WORKING_DIRECTORY, path)?;
    let permissions = 0o777 & !task.task_fs().umask();
    let made = create_node(&scope.resolver(), &start, path, NewNode::Socket, permissions);
    let place = made.map_err(|error| if error == Errno::EEXIST { Errno::EADDRINUSE } else { error })?;
    place.inode().attachment().ok_or(Errno::EPERM)?.set(Some(name));
    Ok(())
}

/// The socket at an address, as `socket` reaches it.
fn find_target(
    task: &CurrentTask,
    socket: &UnixSocket,
    address: &UnixAddress,
) -> Result<Arc<UnixSocket>, Errno> {
    match address {
        UnixAddress::Unnamed => Err(Errno::EINVAL),
        UnixAddress::Abstract(name) => socket.home().find(socket.kind(), name),
        UnixAddress::Path(path) => {
            let scope = Scope::new(task);
            let start = scope.start(task, Fd::WORKING_DIRECTORY, path)?;
            let place = scope.resolver().resolve(&start, path, true)?;
            check_access(&**place.inode(), Access::WRITE, &scope.viewer().credentials)?;
            if place.kind() != FileKind::Socket {
                return Err(Errno::ECONNREFUSED);
            }
            let name = place.inode().attachment().and_then(|attachment| attachment.get::<BoundName>());
            let found = name.ok_or(Errno::ECONNREFUSED)?.socket()?;
            if found.kind() == socket.kind() { Ok(found) } else { Err(Errno::EPROTOTYPE) }
        }
    }
}

fn listen(task: &mut CurrentTask, [descriptor, backlog, ..]: [u64; 6]) -> Result<usize, Errno> {
    let credentials = peer_credentials(task);
    OpenSocket::find(task, descriptor)?.socket()?.listen(backlog as i32, credentials)?;
    Ok(0)
}

fn connect(task: &mut CurrentTask, [descriptor, address, len, ..]: [u64; 6]) -> Result<usize, Errno> {
    let open = OpenSocket::find(task, descriptor)?;
    let raw = read_raw_address(task, address, len)?;
    let socket = open.socket()?;
    let is_unspecific = raw.starts_with(&(uapi::AF_UNSPEC as u16).to_ne_bytes());
    if is_unspecific && !socket.kind().is_connection_based() {
        socket.disconnect()?;
        return Ok(0);
    }
    let address = UnixAddress::named_from_bytes(&raw)?;
    open.shared()?.bind_if_named()?;
    let target = find_target(task, socket, &address)?;
    let credentials = peer_credentials(task);
    let room = [(target.room(), Events::OUT)];
    Patience::of(&open.description, Events::OUT)
        .retry(task, &room, |_| socket.connect(&target, credentials.clone()))?;
    Ok(0)
}

fn accept(task: &mut CurrentTask, descriptor: u64, address: [u64; 2], flags: u32) -> Result<usize, Errno> {
    let description = task.usable_file(descriptor as i32)?;
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    // A connection that gets no descriptor stays in the queue.
    task.descriptors().check_room(task.descriptor_bounds())?;
    let socket = description.downcast::<UnixSocket>().ok_or(Errno::ENOTSOCK)?;
    let patience = Patience::of(&description, Events::IN);
    let accepted = patience.retry_on(task, &description, Events::IN, |_| socket.accept(patience.waits()))?;
    let peer_address = accepted.peer_address().unwrap_or_default();
    write_address(task, address, &peer_address.to_bytes())?;
    install(task, accepted, OpenFlags::from_bits_retain(flags))
}

fn getsockname(task: &mut CurrentTask, [descriptor, address, len, ..]: [u64; 6]) -> Result<usize, Errno> {
    let own = OpenSocket::find(task, descriptor)?.socket()?.address();
    write_address(task, [address, len], &own.to_bytes())?;
    Ok(0)
}

fn getpeername(task: &mut CurrentTask, [descriptor, address, len, ..]: [u64; 6]) -> Result<usize, Errno> {
    let peer = OpenSocket::find(task, descriptor)?.socket()?.peer_address()?;
    write_address(task, [address, len], &peer.to_bytes())?;
    Ok(0)
}

fn shutdown(task: &mut CurrentTask, [descriptor, how, ..]: [u64; 6]) -> Result<usize, Errno> {
    const SHUT_RD: u32 = 0;
    const SHUT_WR: u32 = 1;
    const SHUT_RDWR: u32 = 2;
    let open = OpenSocket::find(task, descriptor)?;
    let how = how as u32;
    if how > SHUT_RDWR {
        return Err(Errno::EINVAL);
    }
    let halves = Shutdown { receiving: how != SHUT_WR, sending: how != SHUT_RD };
    open.socket()?.shut_down(halves);
    Ok(0)
}
