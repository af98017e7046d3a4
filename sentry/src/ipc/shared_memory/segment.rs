//! One shared memory segment.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::SharedMemory;
use crate::ipc::budget::Charge;
use crate::ipc::now_seconds;
use crate::ipc::permissions::Permissions;
use crate::ipc::registry::Object;
use crate::memory::{MappedFile, PageCache};
use crate::platform::PAGE_SIZE;
use crate::process_identity::ProcessIdentity;

/// Mode bit of a segment that goes with its last attachment (`man 2 shmctl`, SHM_DEST).
pub(super) const DESTROYED: u32 = 0o1000;
/// Mode bit of a segment that is locked in memory (SHM_LOCKED).
pub(super) const LOCKED: u32 = 0o2000;
/// The device that segments are on, as /proc/PID/maps shows it: Linux's internal tmpfs.
const DEVICE: (u32, u32) = (0, 1);

/// A segment. Mappings hold it; it stays in its registry until it is removed and nothing maps it.
pub(super) struct Segment {
    pub(super) id: i32,
    pub(super) size_bytes: u64,
    pub(super) cache: Arc<PageCache>,
    /// As /proc/PID/maps shows it.
    name: Vec<u8>,
    creator: ProcessIdentity,
    home: Weak<SharedMemory>,
    state: Mutex<State>,
    _charge: Charge,
}

/// What a segment's lock protects.
pub(super) struct State {
    pub(super) permissions: Permissions,
    pub(super) last_process: ProcessIdentity,
    pub(super) attached_seconds: i64,
    pub(super) detached_seconds: i64,
    pub(super) changed_seconds: i64,
    /// Calls of shmat(2) that have found the segment and not yet mapped it.
    pub(super) attaching: usize,
    /// The task that made it, while that lives: by its serial number.
    pub(super) creating_task: Option<u64>,
}

/// What shmctl(2) tells of a segment.
#[derive(Clone, Debug)]
pub struct SegmentStatus {
    /// Its identifier.
    pub id: i32,
    /// Who may do what.
    pub permissions: Permissions,
    /// Size in bytes, as it was asked for.
    pub size_bytes: u64,
    /// Last shmat(2), seconds since 1970; 0 for never.
    pub attached_seconds: i64,
    /// Last shmdt(2).
    pub detached_seconds: i64,
    /// Creation, or last change by shmctl(2).
    pub changed_seconds: i64,
    /// Who made it.
    pub creator: ProcessIdentity,
    /// Who attached or detached it last.
    pub last_process: ProcessIdentity,
    /// How many mappings there are.
    pub attachments: u64,
    /// Bytes in memory.
    pub resident_bytes: u64,
}

impl Segment {
    pub(super) fn new(
        id: i32,
        size_bytes: u64,
        cache: Arc<PageCache>,
        permissions: Permissions,
        creator: (ProcessIdentity, u64),
        home: (Weak<SharedMemory>, Charge),
    ) -> Self {
        Self {
            id,
            size_bytes,
            cache,
            name: format!("/SYSV{:08x} (deleted)", permissions.key).into_bytes(),
            creator: creator.0,
            home: home.0,
            state: Mutex::new(State {
                permissions,
                last_process: ProcessIdentity::default(),
                attached_seconds: 0,
                detached_seconds: 0,
                changed_seconds: now_seconds(),
                attaching: 0,
                creating_task: Some(creator.1),
            }),
            _charge: home.1,
        }
    }

    pub(super) fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Pages that it counts for in the namespace's total.
    pub(super) fn pages(&self) -> u64 {
        self.size_bytes.div_ceil(PAGE_SIZE)
    }

    /// How many mappings there are, or soon will be.
    pub(super) fn attachments(&self, state: &State) -> usize {
        self.cache.mapping_count() + state.attaching
    }

    pub(super) fn status(&self) -> SegmentStatus {
        let state = self.state();
        SegmentStatus {
            id: self.id,
            permissions: state.permissions,
            size_bytes: self.size_bytes,
            attached_seconds: state.attached_seconds,
            detached_seconds: state.detached_seconds,
            changed_seconds: state.changed_seconds,
            creator: self.creator.clone(),
            last_process: state.last_process.clone(),
            attachments: self.attachments(&state) as u64,
            resident_bytes: self.cache.pages() * PAGE_SIZE,
        }
    }

    /// Notes that `process` has mapped it.
    pub(super) fn note_attached(&self, process: &ProcessIdentity) {
        let mut state = self.state();
        state.attached_seconds = now_seconds();
        state.last_process = process.clone();
    }
}

impl Object for Segment {
    fn id(&self) -> i32 {
        self.id
    }

    fn permissions(&self) -> Permissions {
        self.state().permissions
    }
}

impl MappedFile for Segment {
    fn path(&self) -> Vec<u8> {
        self.name.clone()
    }

    fn device(&self) -> (u32, u32) {
        DEVICE
    }

    fn inode(&self) -> u64 {
        u64::try_from(self.id).unwrap_or(0)
    }

    fn is_segment(&self) -> bool {
        true
    }

    fn inherited(&self, process: &ProcessIdentity) {
        self.note_attached(process);
    }

    fn unmapped(&self, process: &ProcessIdentity) {
        {
            let mut state = self.state();
            state.detached_seconds = now_seconds();
            state.last_process = process.clone();
        }
        if let Some(home) = self.home.upgrade() {
            home.settle(self);
        }
    }
}
