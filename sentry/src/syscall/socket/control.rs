//! Control messages: files and credentials beside the bytes (`man 3 cmsg`).

use std::sync::Arc;

use linux_raw_sys::net as uapi;
use zerocopy::{FromBytes, IntoBytes};

use crate::Errno;
use crate::abi::{Cmsghdr, Ucred};
use crate::cred::{Capabilities, Gid, Groups, Uid};
use crate::fs::Fd;
use crate::fs::{Caller, FileDescription};
use crate::io_uring::RingFile;
use crate::limits::Resource;
use crate::net::unix::{MAX_FILES, SentFiles};
use crate::net::{ControlMessage, PeerCredentials, Socket};
use crate::process_identity::ProcessIdentity;
use crate::task::{CurrentTask, Tid};
use crate::width::u64_from;

const HEADER_BYTES: usize = size_of::<Cmsghdr>();
/// Control messages begin at multiples of this.
const ALIGNMENT: usize = 8;
/// The longest control buffer that is taken (net.core.optmem_max).
pub(super) const MAX_SENT_BYTES: usize = 131_072;

/// What control messages ask to be sent along.
pub(super) struct Sent {
    pub(super) files: SentFiles,
    pub(super) credentials: PeerCredentials,
    /// They were asked for (SCM_CREDENTIALS).
    pub(super) shows_credentials: bool,
    /// All others.
    pub(super) others: Vec<ControlMessage>,
}

impl Sent {
    /// Nothing but who sends.
    pub(super) fn plain(task: &CurrentTask) -> Self {
        let credentials = PeerCredentials::of_sender(task);
        Self { files: SentFiles::default(), credentials, shows_credentials: false, others: Vec::new() }
    }

    fn add(&mut self, task: &CurrentTask, socket: &dyn Socket, message: ControlMessage) -> Result<(), Errno> {
        match (message.level, message.kind) {
            (uapi::SOL_SOCKET, uapi::SCM_RIGHTS) => add_files(task, &mut self.files.files, &message.data)?,
            (uapi::SOL_SOCKET, uapi::SCM_CREDENTIALS) => {
                (self.credentials, self.shows_credentials) = (check_credentials(task, &message.data)?, true);
            }
            _ => {
                socket.check_control(&message)?;
                self.others.push(message);
            }
        }
        Ok(())
    }
}

/// Decodes the control messages in `bytes`, to be sent by `socket`.
pub(super) fn decode(task: &CurrentTask, socket: &dyn Socket, bytes: &[u8]) -> Result<Sent, Errno> {
    let mut sent = Sent::plain(task);
    let mut rest = bytes;
    while let Some((message, next)) = split(rest)? {
        sent.add(task, socket, message)?;
        rest = next;
    }
    if !sent.files.files.is_empty() {
        charge_sender(task, &mut sent.files);
    }
    Ok(sent)
}

/// The first control message in `bytes`, and what follows it; `None` if not even a header is left.
///
/// # Errors
/// EINVAL: it has not the length that it claims.
pub(in crate::syscall) fn split(bytes: &[u8]) -> Result<Option<(ControlMessage, &[u8])>, Errno> {
    let Ok((header, body)) = Cmsghdr::read_from_prefix(bytes) else { return Ok(None) };
    let len = usize::try_from(header.cmsg_len).map_err(|_| Errno::EINVAL)?;
    let data = len.checked_sub(HEADER_BYTES).and_then(|len| body.get(..len)).ok_or(Errno::EINVAL)?;
    let message = ControlMessage { level: header.cmsg_level, kind: header.cmsg_type, data: data.to_vec() };
    Ok(Some((message, bytes.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or_default())))
}

/// Has the caller's user answer for `files` while they are on their way.
fn charge_sender(task: &CurrentTask, files: &mut SentFiles) {
    let credentials = task.credentials();
    let is_privileged =
        [Capabilities::SYS_RESOURCE, Capabilities::SYS_ADMIN].into_iter().any(|any| credentials.has(any));
    files.limit = (!is_privileged).then(|| task.thread_group().limits().soft(Resource::OPEN_FILES));
    files.user = task.kernel().users().counters(credentials.real_uid);
}

fn add_files(task: &CurrentTask, files: &mut Vec<Arc<FileDescription>>, data: &[u8]) -> Result<(), Errno> {
    for descriptor in data.chunks_exact(size_of::<i32>()).filter_map(|word| word.first_chunk()) {
        if files.len() >= MAX_FILES {
            return Err(Errno::EINVAL);
        }
        let file = task.file(Fd(i32::from_ne_bytes(*descriptor)))?;
        // A ring may hold the socket that it is sent through: nobody would ever see them go.
        if file.downcast::<RingFile>().is_some() {
            return Err(Errno::EINVAL);
        }
        files.push(file);
    }
    Ok(())
}

/// What a process claims to be: itself, unless it is privileged (`man 7 unix`, SCM_CREDENTIALS).
fn check_credentials(task: &CurrentTask, data: &[u8]) -> Result<PeerCredentials, Errno> {
    let Ucred { pid: process_id, uid, gid } = Ucred::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
    let own = task.credentials();
    let uid = own.user_namespace.to_kernel_uid(Uid(uid)).ok_or(Errno::EINVAL)?;
    let gid = own.user_namespace.to_kernel_gid(Gid(gid)).ok_or(Errno::EINVAL)?;
    let pid_namespace = task.thread_group().pid_namespace();
    let may_be = process_id == task.thread_group().tgid()
        || own.has_over_namespace(&**pid_namespace, Capabilities::SYS_ADMIN);
    let is_user = [own.real_uid, own.effective_uid, own.saved_uid].contains(&uid);
    let is_group = [own.real_gid, own.effective_gid, own.saved_gid].contains(&gid);
    let is_allowed = may_be
        && (is_user || own.has_in_own(Capabilities::SETUID))
        && (is_group || own.has_in_own(Capabilities::SETGID));
    if !is_allowed {
        return Err(Errno::EPERM);
    }
    let claimed = task.kernel().tasks().thread_group(pid_namespace, Tid(process_id)).ok_or(Errno::ESRCH)?;
    Ok(PeerCredentials { process: claimed.identity(), uid, gid, groups: Groups::default() })
}

/// Control messages for a receiver's buffer.
pub(super) struct Encoder {
    bytes: Vec<u8>,
    room: usize,
    /// Something did not fit (MSG_CTRUNC).
    pub(super) is_cut: bool,
}

impl Encoder {
    pub(super) fn new(room: usize) -> Self {
        Self { bytes: Vec::new(), room, is_cut: false }
    }

    /// What to write to the receiver's buffer.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn room_left(&self) -> usize {
        self.room.saturating_sub(self.bytes.len())
    }

    fn push_socket_level(&mut self, kind: u32, data: &[u8]) {
        self.push(uapi::SOL_SOCKET, kind, data);
    }

    /// Tells of something of `level` (`SOL_*`).
    pub(super) fn push(&mut self, level: u32, kind: u32, data: &[u8]) {
        if self.room_left() < HEADER_BYTES {
            self.is_cut = true;
            return;
        }
        let (data, lost) = data.split_at(data.len().min(self.room_left() - HEADER_BYTES));
        self.is_cut |= !lost.is_empty();
        let cmsg_len = u64_from(HEADER_BYTES + data.len());
        let header = Cmsghdr { cmsg_len, cmsg_level: level, cmsg_type: kind };
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(data);
        let padded = self.bytes.len().next_multiple_of(ALIGNMENT).min(self.room);
        self.bytes.resize(padded, 0);
    }

    /// Tells who sent.
    pub(super) fn push_credentials(&mut self, sender: Ucred) {
        self.push_socket_level(uapi::SCM_CREDENTIALS, sender.as_bytes());
    }

    /// Tells of the process that sent, by a descriptor, or by what is in the way of one (SCM_PIDFD).
    pub(super) fn push_process(&mut self, task: &CurrentTask, sender: &PeerCredentials) {
        const SCM_PIDFD: u32 = 4;
        // Nobody has sent the end of a stream.
        if sender.process == ProcessIdentity::default() {
            return;
        }
        if self.room_left() < HEADER_BYTES + size_of::<i32>() {
            self.is_cut = true;
            return;
        }
        let told = match super::process_descriptor(task, sender) {
            Ok(descriptor) => descriptor.0,
            Err(error) => -i32::from(error.raw()),
        };
        self.push_socket_level(SCM_PIDFD, told.as_bytes());
    }

    /// Installs as many of `files` as there is room to tell of, and tells of them.
    pub(super) fn push_files(
        &mut self,
        task: &CurrentTask,
        files: Vec<Arc<FileDescription>>,
        is_close_on_exec: bool,
    ) {
        let count = self.room_left().saturating_sub(HEADER_BYTES) / size_of::<i32>();
        self.is_cut |= count < files.len();
        let mut data = Vec::new();
        for file in files.into_iter().take(count) {
            match task.install_descriptor(file, is_close_on_exec) {
                Ok(descriptor) => data.extend_from_slice(descriptor.as_bytes()),
                Err(_) => {
                    self.is_cut = true;
                    break;
                }
            }
        }
        if !data.is_empty() {
            self.push_socket_level(uapi::SCM_RIGHTS, &data);
        }
    }
}

#[cfg(test)]
mod tests;
