//! Files on their way through sockets (SCM_RIGHTS).
//!
//! A socket can hold a message that holds the socket: such files are kept until the sandbox ends. So their number
//! is bounded. Chains of sockets within sockets are let go one after the other, not one within the other, however
//! long a guest makes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::Errno;
use crate::fs::FileDescription;

/// Files in one message (`SCM_MAX_FD`).
pub const MAX_FILES: usize = 253;
/// Files on their way in the whole sandbox.
const MAX_IN_FLIGHT: usize = 16_384;

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

static DOOMED: Mutex<Doomed> = Mutex::new(Doomed { files: Vec::new(), is_being_emptied: false });

struct Doomed {
    files: Vec<Arc<FileDescription>>,
    is_being_emptied: bool,
}

/// The files of one message.
pub struct Rights {
    files: Vec<Arc<FileDescription>>,
}

impl Rights {
    /// Files to be sent.
    ///
    /// # Errors
    /// EINVAL for too many in a message, ETOOMANYREFS for too many on their way.
    pub fn new(files: Vec<Arc<FileDescription>>) -> Result<Self, Errno> {
        if files.len() > MAX_FILES {
            return Err(Errno::EINVAL);
        }
        let count = files.len();
        let before = IN_FLIGHT.fetch_add(count, Ordering::Relaxed);
        // From here on, dropping takes the count back.
        let rights = Self { files };
        if before + count > MAX_IN_FLIGHT { Err(Errno::ETOOMANYREFS) } else { Ok(rights) }
    }

    /// The files, still on their way (MSG_PEEK).
    pub(super) fn peek(&self) -> Vec<Arc<FileDescription>> {
        self.files.clone()
    }

    /// The files, arrived.
    pub(super) fn into_files(mut self) -> Vec<Arc<FileDescription>> {
        let files = std::mem::take(&mut self.files);
        IN_FLIGHT.fetch_sub(files.len(), Ordering::Relaxed);
        files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(self.files.len(), Ordering::Relaxed);
        let mut doomed = DOOMED.lock();
        doomed.files.append(&mut self.files);
        if std::mem::replace(&mut doomed.is_being_emptied, true) {
            return;
        }
        while let Some(file) = doomed.files.pop() {
            drop(doomed);
            drop(file);
            doomed = DOOMED.lock();
        }
        doomed.is_being_emptied = false;
    }
}
