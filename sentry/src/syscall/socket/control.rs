//! Control messages: files and credentials beside the bytes (`man 3 cmsg`).

use std::sync::Arc;

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::{Caller, FileDescription};
use crate::limits::Resource;
use crate::net::unix::{MAX_FILES, PeerCredentials, SentFiles};
use crate::task::{CurrentTask, Tid};

/// Bytes of `struct cmsghdr`.
const HEADER_BYTES: usize = 16;
/// Bytes of `struct ucred`.
const CREDENTIALS_BYTES: usize = 12;
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
}

/// Decodes the control messages in `bytes`.
pub(super) fn decode(task: &CurrentTask, bytes: &[u8]) -> Result<Sent, Errno> {
    let credentials = own_credentials(task);
    let mut sent = Sent { files: SentFiles::default(), credentials, shows_credentials: false };
    let mut files = Vec::new();
    let mut rest = bytes;
    while let Some((header, body)) = rest.split_at_checked(HEADER_BYTES) {
        let len = header.first_chunk().map_or(0, |len| u64::from_ne_bytes(*len));
        let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        let data = len.checked_sub(HEADER_BYTES).and_then(|len| body.get(..len)).ok_or(Errno::EINVAL)?;
        let [level, kind] = words(&header[8..])[..] else { return Err(Errno::EINVAL) };
        // Messages for other levels are for nobody here, and passed over.
        if level as u32 == uapi::SOL_SOCKET {
            match kind as u32 {
                uapi::SCM_RIGHTS => add_files(task, &mut files, data)?,
                uapi::SCM_CREDENTIALS => {
                    (sent.credentials, sent.shows_credentials) = (check_credentials(task, data)?, true);
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        rest = rest.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    if !files.is_empty() {
        sent.files = charged_to_sender(task, files);
    }
    Ok(sent)
}

/// `files`, for which the caller's user answers while they are on their way.
fn charged_to_sender(task: &CurrentTask, files: Vec<Arc<FileDescription>>) -> SentFiles {
    let credentials = task.credentials();
    let is_privileged =
        [Capabilities::SYS_RESOURCE, Capabilities::SYS_ADMIN].into_iter().any(|any| credentials.has(any));
    let limit = (!is_privileged).then(|| task.thread_group().limits().soft(Resource::OPEN_FILES));
    SentFiles { files, user: task.kernel().users().counters(credentials.real_uid), limit }
}

fn words(bytes: &[u8]) -> Vec<i32> {
    bytes
        .chunks_exact(4)
        .filter_map(|word| word.first_chunk())
        .map(|word| i32::from_ne_bytes(*word))
        .collect()
}

fn add_files(task: &CurrentTask, files: &mut Vec<Arc<FileDescription>>, data: &[u8]) -> Result<(), Errno> {
    for descriptor in words(data) {
        if files.len() >= MAX_FILES {
            return Err(Errno::EINVAL);
        }
        files.push(task.file(descriptor)?);
    }
    Ok(())
}

fn own_credentials(task: &CurrentTask) -> PeerCredentials {
    let credentials = task.credentials();
    let process = task.thread_group().identity();
    let (uid, gid) = (credentials.real_uid, credentials.real_gid);
    PeerCredentials { process, uid, gid, groups: Arc::default() }
}

/// What a process claims to be: itself, unless it is privileged (`man 7 unix`, SCM_CREDENTIALS).
fn check_credentials(task: &CurrentTask, data: &[u8]) -> Result<PeerCredentials, Errno> {
    if data.len() != CREDENTIALS_BYTES {
        return Err(Errno::EINVAL);
    }
    let [process_id, uid, gid] = words(data)[..] else { return Err(Errno::EINVAL) };
    let (uid, gid) = (uid.cast_unsigned(), gid.cast_unsigned());
    let own = task.credentials();
    let uid = own.user_namespace.to_kernel_uid(uid).ok_or(Errno::EINVAL)?;
    let gid = own.user_namespace.to_kernel_gid(gid).ok_or(Errno::EINVAL)?;
    let pid_namespace = task.thread_group().pid_namespace();
    let may_be = process_id == task.thread_group().number()
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
    Ok(PeerCredentials { process: claimed.identity(), uid, gid, groups: Arc::default() })
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

    fn push(&mut self, kind: u32, data: &[u8]) {
        if self.room_left() < HEADER_BYTES {
            self.is_cut = true;
            return;
        }
        let (data, lost) = data.split_at(data.len().min(self.room_left() - HEADER_BYTES));
        self.is_cut |= !lost.is_empty();
        let len = (HEADER_BYTES + data.len()) as u64;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&uapi::SOL_SOCKET.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(data);
        let padded = self.bytes.len().next_multiple_of(ALIGNMENT).min(self.room);
        self.bytes.resize(padded, 0);
    }

    /// Tells who sent: the words of `struct ucred`.
    pub(super) fn push_credentials(&mut self, sender: [u32; 3]) {
        let data: Vec<u8> = sender.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.push(uapi::SCM_CREDENTIALS, &data);
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
            self.push(uapi::SCM_RIGHTS, &data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_one_aligned_message() {
        let mut encoder = Encoder::new(100);
        encoder.push_credentials([1, 2, 3]);
        let mut expected = vec![28, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
        expected.extend([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoder.bytes(), expected);
        assert!(!encoder.is_cut);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_told() {
        for (room, len) in [(0, 0), (15, 0), (16, 16), (20, 20), (28, 28)] {
            let mut encoder = Encoder::new(room);
            encoder.push_credentials([0; 3]);
            assert_eq!((encoder.bytes().len(), encoder.is_cut), (len, room < 28), "{room}");
        }
    }
}
