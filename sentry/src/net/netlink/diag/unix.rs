//! Unix sockets (`linux/unix_diag.h`).

use std::collections::BTreeSet;
use std::sync::Arc;

use linux_raw_sys::net::AF_UNIX;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::reply::attribute;
use super::{Asker, gather};
use crate::Errno;
use crate::net::Socket;
use crate::net::unix::{UnixAddress, UnixSocket};

/// What is wanted beside the socket itself, and the attributes that tell it.
const SHOW_NAME: u32 = 1;
const SHOW_PEER: u32 = 1 << 2;
const SHOW_QUEUES: u32 = 1 << 4;
const SHOW_MEMORY: u32 = 1 << 5;
const SHOW_UID: u32 = 1 << 6;
const NAME: u16 = 0;
const PEER: u16 = 2;
const QUEUES: u16 = 4;
const MEMORY: u16 = 5;
const SHUTDOWN: u16 = 6;
const UID: u16 = 7;
/// `TCP_ESTABLISHED`, `TCP_CLOSE` and `TCP_LISTEN`, which unix sockets have as well.
const ESTABLISHED: u8 = 1;
const CLOSED: u8 = 7;
const LISTENS: u8 = 10;
/// A cookie that names no socket.
const NO_COOKIE: [u32; 2] = [u32::MAX; 2];

/// `struct unix_diag_req`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Question {
    family: u8,
    protocol: u8,
    padding: u16,
    /// States that are wanted: bit N for state N.
    states: u32,
    inode: u32,
    show: u32,
    cookie: [u32; 2],
}

/// `struct unix_diag_msg`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Answer {
    family: u8,
    kind: u8,
    state: u8,
    padding: u8,
    inode: u32,
    cookie: [u32; 2],
}

/// All that a question is about.
///
/// # Errors
/// ENOMEM; EINTR: who asks is ending.
pub(super) fn list(asker: &Asker<'_>, question: &Question) -> Result<Vec<Vec<u8>>, Errno> {
    let sockets = asker.namespace.unix_sockets().all();
    let inodes = inodes(question, &sockets);
    // One that nobody has accepted has no inode.
    let is_wanted = |one: &&Arc<UnixSocket>| one.is_accepted() && question.states >> state_of(one) & 1 == 1;
    gather(sockets.iter().filter(is_wanted).map(|one| answer(asker, question, one, &inodes)))
}

/// The one socket that a question names.
///
/// # Errors
/// EINVAL: it names none. ENOENT; ESTALE: the cookie is another's.
pub(super) fn find(asker: &Asker<'_>, question: &Question) -> Result<Vec<u8>, Errno> {
    if question.inode == 0 {
        return Err(Errno::EINVAL);
    }
    let sockets = asker.namespace.unix_sockets().all();
    let is_it =
        |one: &&Arc<UnixSocket>| one.is_accepted() && one.common().inode().ino() as u32 == question.inode;
    let found = sockets.iter().find(is_it).ok_or(Errno::ENOENT)?;
    let is_same = question.cookie == NO_COOKIE || question.cookie == cookie_of(found);
    if is_same { Ok(answer(asker, question, found, &inodes(question, &sockets))) } else { Err(Errno::ESTALE) }
}

/// The inodes of sockets that have been accepted, if peers are asked for.
fn inodes(question: &Question, sockets: &[Arc<UnixSocket>]) -> BTreeSet<u64> {
    if question.show & SHOW_PEER == 0 {
        return BTreeSet::new();
    }
    sockets.iter().filter(|one| one.is_accepted()).map(|one| one.common().inode().ino()).collect()
}

fn state_of(one: &UnixSocket) -> u8 {
    match one.connection_state() {
        (true, _) => LISTENS,
        (_, true) => ESTABLISHED,
        _ => CLOSED,
    }
}

fn cookie_of(one: &UnixSocket) -> [u32; 2] {
    let inode = one.common().inode().ino();
    [inode as u32, (inode >> 32) as u32]
}

fn answer(asker: &Asker<'_>, question: &Question, one: &UnixSocket, inodes: &BTreeSet<u64>) -> Vec<u8> {
    let metadata = one.common().inode().metadata();
    let answer = Answer {
        family: AF_UNIX as u8,
        kind: one.common().kind().raw() as u8,
        state: state_of(one),
        padding: 0,
        inode: one.common().inode().ino() as u32,
        cookie: cookie_of(one),
    };
    let mut told = answer.as_bytes().to_vec();
    let name = match one.address() {
        UnixAddress::Unnamed => Vec::new(),
        UnixAddress::Path(path) => path.to_vec(),
        UnixAddress::Abstract(name) => [&[0], &*name].concat(),
    };
    if question.show & SHOW_NAME != 0 && !name.is_empty() {
        told.extend(attribute(NAME, name));
    }
    // A peer that nobody has accepted is told of without an inode.
    if let Some(peer) = one.peer_inode().filter(|_| question.show & SHOW_PEER != 0) {
        let inode = if inodes.contains(&peer) { peer as u32 } else { 0 };
        told.extend(attribute(PEER, inode.as_bytes().to_vec()));
    }
    let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let (received, sent) = one.queues();
    let (received, sent) = (count(received), count(sent));
    if question.show & SHOW_QUEUES != 0 {
        told.extend(attribute(QUEUES, [received, sent].as_bytes().to_vec()));
    }
    if question.show & SHOW_MEMORY != 0 {
        let options = one.common().options();
        let is_listener = state_of(one) == LISTENS;
        let (received, sent) = if is_listener { (0, 0) } else { (received, sent) };
        let (room, send_room) = (options.receive_buffer_bytes, options.send_buffer_bytes);
        let memory = [received, room, sent, send_room, 0, 0, 0, 0, 0];
        told.extend(attribute(MEMORY, memory.as_bytes().to_vec()));
    }
    if question.show & SHOW_UID != 0 {
        told.extend(attribute(UID, asker.users.from_kernel_uid(metadata.uid).0.as_bytes().to_vec()));
    }
    told.extend(attribute(SHUTDOWN, vec![one.shut_halves()]));
    told
}
