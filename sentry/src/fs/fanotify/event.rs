//! Events as they wait in a queue and are read, and questions that wait for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{FanMask, InitFlags};
use crate::Errno;
use crate::fs::Path;
use crate::fs::file_handle::FileHandle;
use crate::wait::{Events, WaitQueue};

/// The version of the format, and the length of what every event begins with (`struct fanotify_event_metadata`).
const VERSION: u8 = 3;
pub(super) const METADATA_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 4;
/// In place of a descriptor: there is none.
pub(super) const NO_FD: i32 = -1;
/// In place of a descriptor of a process: it could not be made.
pub(super) const PIDFD_ERROR: i32 = -2;

/// Types of records that follow (`FAN_EVENT_INFO_TYPE_*`).
const FID: u8 = 1;
const DFID_NAME: u8 = 2;
const DFID: u8 = 3;
const PIDFD: u8 = 4;
const OLD_DFID_NAME: u8 = 10;
const NEW_DFID_NAME: u8 = 12;

/// One who waits for an answer of a group.
#[derive(Default)]
pub struct Question {
    answer: AtomicU8,
    queue: WaitQueue,
}

const UNANSWERED: u8 = 0;
const ALLOWED: u8 = 1;
const DENIED: u8 = 2;

impl Question {
    /// The answer, once there is one.
    ///
    /// # Errors
    /// EPERM: no.
    pub fn answer(&self) -> Option<Result<(), Errno>> {
        match self.answer.load(Ordering::Acquire) {
            UNANSWERED => None,
            DENIED => Some(Err(Errno::EPERM)),
            _ => Some(Ok(())),
        }
    }

    /// Where an answer is announced.
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    pub(super) fn give(&self, is_allowed: bool) {
        self.answer.store(if is_allowed { ALLOWED } else { DENIED }, Ordering::Release);
        self.queue.notify(Events::IN);
    }
}

/// Handles and names of what an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Handles {
    pub(super) file_system: [i32; 2],
    pub(super) directory: Option<FileHandle>,
    pub(super) name: Box<[u8]>,
    /// Where an entry was renamed to.
    pub(super) new_directory: Option<FileHandle>,
    pub(super) new_name: Box<[u8]>,
    pub(super) object: Option<FileHandle>,
}

/// What an event is about.
pub(super) enum About {
    /// Lost events.
    Nothing,
    /// A file that can be opened.
    Place(Path),
    /// The same, of which somebody waits to hear whether he may.
    Question(Path, Arc<Question>),
    /// Handles.
    Handles(Box<Handles>),
}

/// An event.
pub(super) struct Event {
    pub(super) mask: FanMask,
    /// Who did it, as the root PID namespace numbers process and thread.
    pub(super) actor: (i32, i32),
    pub(super) about: About,
}

impl Event {
    /// What it takes of the sentry's memory.
    pub(super) fn kept_bytes(&self) -> usize {
        let handles = match &self.about {
            About::Handles(handles) => size_of::<Handles>() + handles.name.len() + handles.new_name.len(),
            _ => 0,
        };
        2 * size_of::<Self>() + handles
    }

    /// Whether the two can be one event.
    pub(super) fn merges_with(&self, other: &Self) -> bool {
        if self.actor != other.actor || (self.mask ^ other.mask).contains(FanMask::RENAME) {
            return false;
        }
        match (&self.about, &other.about) {
            (About::Place(one), About::Place(other)) => one == other,
            (About::Handles(one), About::Handles(other_handles)) => {
                one == other_handles && !(self.mask ^ other.mask).contains(FanMask::ONDIR)
            }
            _ => false,
        }
    }

    /// How long it is when it is read by a group made with `flags`.
    pub(super) fn len_bytes(&self, flags: InitFlags) -> usize {
        let process = if flags.contains(InitFlags::REPORT_PIDFD) { RECORD_HEADER_LEN + 4 } else { 0 };
        METADATA_LEN + self.records(flags).len() + process
    }

    /// The records with handles.
    fn records(&self, flags: InitFlags) -> Vec<u8> {
        let About::Handles(handles) = &self.about else { return Vec::new() };
        let mut records = Vec::new();
        let mut add = |kind, handle: &FileHandle, name: Option<&[u8]>| {
            append_record(&mut records, kind, handles.file_system, handle, name);
        };
        let is_rename = self.mask.contains(FanMask::RENAME);
        let name = Some(&*handles.name).filter(|name| !name.is_empty());
        let mut has_directory = false;
        if let Some(directory) = &handles.directory {
            let kind = match name {
                _ if is_rename => OLD_DFID_NAME,
                Some(_) => DFID_NAME,
                None => DFID,
            };
            add(kind, directory, name);
            has_directory = true;
        }
        if let Some(directory) = &handles.new_directory {
            add(NEW_DFID_NAME, directory, Some(&*handles.new_name));
            has_directory = true;
        }
        if let Some(object) = &handles.object {
            let is_directory = self.mask.contains(FanMask::ONDIR);
            if has_directory || flags & InitFlags::HANDLES == InitFlags::REPORT_FID {
                add(FID, object, None);
            } else if flags.contains(InitFlags::REPORT_NAME) && is_directory {
                add(DFID_NAME, object, Some(&b"."[..]));
            } else if is_directory || self.mask.intersects(FanMask::OF_ENTRIES) {
                add(DFID, object, None);
            } else {
                add(FID, object, None);
            }
        }
        records
    }

    /// The event as it is read: `fd` and `pid` as the reader has them, `pidfd` if he wants that.
    pub(super) fn encode(&self, flags: InitFlags, fd: i32, pid: i32, pidfd: Option<i32>) -> Vec<u8> {
        let len = self.len_bytes(flags) as u32;
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend([VERSION, 0]);
        bytes.extend((METADATA_LEN as u16).to_le_bytes());
        bytes.extend(self.mask.bits().to_le_bytes());
        bytes.extend(fd.to_le_bytes());
        bytes.extend(pid.to_le_bytes());
        bytes.extend(self.records(flags));
        if let Some(pidfd) = pidfd {
            bytes.extend([PIDFD, 0, RECORD_HEADER_LEN as u8 + 4, 0]);
            bytes.extend(pidfd.to_le_bytes());
        }
        bytes
    }
}

/// A record: its type and length, the file system, a handle, and a name with its NUL.
fn append_record(
    records: &mut Vec<u8>,
    kind: u8,
    file_system: [i32; 2],
    handle: &FileHandle,
    name: Option<&[u8]>,
) {
    const ALIGNMENT: usize = 4;
    let start = records.len();
    let mut record = vec![kind, 0, 0, 0];
    record.extend(file_system.iter().flat_map(|word| word.to_le_bytes()));
    record.extend((handle.bytes.len() as u32).to_le_bytes());
    record.extend(handle.kind.to_le_bytes());
    record.extend(handle.bytes);
    if let Some(name) = name {
        record.extend(name);
        record.push(0);
    }
    record.resize(record.len().next_multiple_of(ALIGNMENT), 0);
    let len = (record.len() as u16).to_le_bytes();
    if let Some(place) = record.get_mut(2..4) {
        place.copy_from_slice(&len);
    }
    records.truncate(start);
    records.append(&mut record);
}
