//! Unix sockets (`linux/unix_diag.h`).

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
const SHOW_QUEUES: u32 = 1 << 4;
const SHOW_UID: u32 = 1 << 6;
const NAME: u16 = 0;
const QUEUES: u16 = 4;
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
    let is_wanted = |one: &&Arc<UnixSocket>| question.states >> state_of(one) & 1 == 1;
    gather(sockets.iter().filter(is_wanted).map(|one| answer(asker, question, one)))
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
    let is_it = |one: &&Arc<UnixSocket>| one.common().inode().ino() as u32 == question.inode;
    let found = sockets.iter().find(is_it).ok_or(Errno::ENOENT)?;
    let is_same = question.cookie == NO_COOKIE || question.cookie == cookie_of(found);
    if is_same { Ok(answer(asker, question, found)) } else { Err(Errno::ESTALE) }
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

fn answer(asker: &Asker<'_>, question: &Question, one: &UnixSocket) -> Vec<u8> {
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
    if question.show & SHOW_QUEUES != 0 {
        told.extend(attribute(QUEUES, [0_u32; 2].as_bytes().to_vec()));
    }
    if question.show & SHOW_UID != 0 {
        told.extend(attribute(UID, asker.users.from_kernel_uid(metadata.uid).0.as_bytes().to_vec()));
    }
    told.extend(attribute(SHUTDOWN, vec![0]));
    told
}
