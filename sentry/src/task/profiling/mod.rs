//! Recording where the time of tasks goes, while somebody asks (see [`crate::profile`]).
//!
//! While nobody does, a task looks at one number each time that it enters user code. Else it has a [`TaskProfile`], made by its own
//! thread when it next enters user code, and hands over a lap each time. A call that another thread serves is a lap
//! of the same task, handed over by that thread; what it did for the call is counted, and sampled, there.

mod images;
mod laps;
mod sampler;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

pub use images::ProfileImages;
pub(super) use laps::TaskProfile;

use super::Task;
use crate::kernel::Kernel;
use crate::platform::CallCounts;
use crate::profile::data::{Dispatch, Profile};
use crate::profile::{HostStacks, ImageSource, Options, Recording, TaskRecord};

/// Why nothing is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfilerError {
    /// There is a recording already.
    #[error("it is being profiled already")]
    Busy,
    /// The host has no thread for the sampler.
    #[error("the host has no thread left")]
    NoThread,
}

/// What a kernel records of its tasks.
#[derive(Default)]
pub struct Profiler {
    /// The number of the recording; 0 while there is none.
    generation: AtomicU64,
    last_generation: AtomicU64,
    session: Mutex<Option<Arc<Session>>>,
}

/// A recording while it goes on.
pub(super) struct Session {
    generation: u64,
    pub(super) recording: Arc<Recording>,
    /// Tasks whose stacks are sampled.
    sampled: Mutex<Vec<(Arc<Task>, Arc<TaskRecord>)>>,
    /// Threads that serve calls of others.
    helpers: Mutex<Vec<Arc<Helper>>>,
    is_over: Mutex<bool>,
    ended: Condvar,
    /// What the platform had counted at the beginning.
    counts: CallCounts,
}

/// A thread that serves calls of others.
struct Helper {
    host_thread_id: i32,
    stacks: Arc<HostStacks>,
    /// The call that it serves, and -1 between calls.
    serving: AtomicI32,
    sampled_ns: AtomicU64,
}

impl Profiler {
    /// Whether there is a recording.
    pub(super) fn is_on(&self) -> bool {
        self.generation.load(Ordering::Relaxed) != 0
    }

    /// Begins to record what tasks of `kernel` do. The process has installed the handler of
    /// [`sampling_signal`](crate::profile::sampling_signal).
    ///
    /// # Errors
    /// There is a recording already, or the host is out of threads.
    pub fn begin(&self, kernel: &Arc<Kernel>, options: Options) -> Result<(), ProfilerError> {
        let mut current = self.session.lock();
        if current.is_some() {
            return Err(ProfilerError::Busy);
        }
        let generation = self.last_generation.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Arc::new(Session {
            generation,
            recording: Recording::new(options),
            sampled: Mutex::default(),
            helpers: Mutex::default(),
            is_over: Mutex::new(false),
            ended: Condvar::new(),
            counts: kernel.platform().call_counts(),
        });
        sampler::start(&session, kernel).map_err(|_| ProfilerError::NoThread)?;
        *current = Some(session);
        self.generation.store(generation, Ordering::Release);
        Ok(())
    }

    /// Ends the recording, and returns what it comes to; `None` if there is none. Tasks that run are not waited for: what they have not
    /// finished is left out.
    pub fn end(&self, kernel: &Kernel, images: &dyn ImageSource) -> Option<Profile> {
        let session = self.session.lock().take()?;
        self.generation.store(0, Ordering::Release);
        *session.is_over.lock() = true;
        session.ended.notify_all();
        session.note_point(kernel);
        let dispatch = difference(kernel.platform().call_counts(), session.counts);
        let profile = session.recording.summary(dispatch, images);
        session.sampled.lock().clear();
        Some(profile)
    }

    /// The recording, unless it is of this generation or there is none.
    fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().clone()
    }
}

fn difference(now: CallCounts, then: CallCounts) -> Dispatch {
    Dispatch {
        served: now.served.saturating_sub(then.served),
        handed_back: now.handed_back.saturating_sub(then.handed_back),
        unseen: now.unseen.saturating_sub(then.unseen),
        sites: now.sites.saturating_sub(then.sites),
        polling_ns: now.polling_ns.saturating_sub(then.polling_ns),
    }
}
