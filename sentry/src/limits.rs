//! Resource limits (`man 2 getrlimit`) and the counters that are charged against them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use crate::Errno;
use crate::cred::KernelUid;

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// A resource that can be limited: one of `RLIMIT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource(usize);

/// How many resources there are.
pub const RESOURCE_COUNT: usize = 16;

macro_rules! resources {
    ($($name:ident = $number:ident, $soft:expr, $hard:expr;)*) => {
        impl Resource {
            $(
                #[doc = concat!("`", stringify!($number), "`.")]
                pub const $name: Self = Self(uapi::$number as usize);
            )*
        }

        /// What a new sandbox starts with: Linux's own defaults for init.
        const DEFAULTS: [Limit; RESOURCE_COUNT] = {
            let mut limits = [Limit { soft: INFINITY, hard: INFINITY }; RESOURCE_COUNT];
            $(limits[uapi::$number as usize] = Limit { soft: $soft, hard: $hard };)*
            limits
        };
    };
}

resources! {
    CPU = RLIMIT_CPU, INFINITY, INFINITY;
    FILE_SIZE = RLIMIT_FSIZE, INFINITY, INFINITY;
    DATA = RLIMIT_DATA, INFINITY, INFINITY;
    STACK = RLIMIT_STACK, 8 << 20, INFINITY;
    CORE = RLIMIT_CORE, 0, INFINITY;
    RESIDENT = RLIMIT_RSS, INFINITY, INFINITY;
    PROCESSES = RLIMIT_NPROC, 65_536, 65_536;
    OPEN_FILES = RLIMIT_NOFILE, 1024, 1 << 20;
    LOCKED_MEMORY = RLIMIT_MEMLOCK, 8 << 20, 8 << 20;
    ADDRESS_SPACE = RLIMIT_AS, INFINITY, INFINITY;
    LOCKS = RLIMIT_LOCKS, INFINITY, INFINITY;
    PENDING_SIGNALS = RLIMIT_SIGPENDING, 65_536, 65_536;
    MESSAGE_QUEUES = RLIMIT_MSGQUEUE, 819_200, 819_200;
    NICE = RLIMIT_NICE, 0, 0;
    REAL_TIME_PRIORITY = RLIMIT_RTPRIO, 0, 0;
    REAL_TIME = RLIMIT_RTTIME, INFINITY, INFINITY;
}

impl Resource {
    /// The resource numbered so by user code.
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub fn new(number: u32) -> Result<Self, Errno> {
        let number = number as usize;
        if number < RESOURCE_COUNT { Ok(Self(number)) } else { Err(Errno::EINVAL) }
    }

    /// RLIMIT_*, which getrlimit(2) takes.
    pub fn number(self) -> usize {
        self.0
    }
}

/// A soft and a hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// How far the soft limit may be raised.
    pub hard: u64,
}

/// The limits of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits([Limit; RESOURCE_COUNT]);

impl Default for Limits {
    fn default() -> Self {
        Self(DEFAULTS)
    }
}

impl Limits {
    /// Soft and hard limit of one resource.
    pub fn get(&self, resource: Resource) -> Limit {
        self.0[resource.0]
    }

    /// The soft limit of one resource.
    pub fn soft(&self, resource: Resource) -> u64 {
        self.0[resource.0].soft
    }

    /// Sets a limit. `may_raise`: the caller has CAP_SYS_RESOURCE.
    ///
    /// # Errors
    /// EINVAL if soft exceeds hard, EPERM if it raises a hard limit without leave.
    pub fn set(&mut self, resource: Resource, limit: Limit, may_raise: bool) -> Result<(), Errno> {
        if limit.soft > limit.hard {
            return Err(Errno::EINVAL);
        }
        if limit.hard > self.0[resource.0].hard && !may_raise {
            return Err(Errno::EPERM);
        }
        self.0[resource.0] = limit;
        Ok(())
    }
}

/// Files that a user without privileges may have on their way through sockets, however high RLIMIT_NOFILE is: a part of those
/// that there may be in all, so that some are left for others.
const MAX_FILES_IN_FLIGHT: u64 = 16_384;

/// What each user has, across the sandbox.
#[derive(Default)]
pub struct Users {
    counters: Mutex<HashMap<KernelUid, Arc<UserCounters>>>,
}

impl Users {
    /// What is charged to `uid`.
    pub fn counters(&self, uid: KernelUid) -> Arc<UserCounters> {
        let mut counters = self.counters.lock();
        // Users that nobody runs as any more are forgotten, so that setuid in a loop costs nothing.
        if counters.len() > 1024 && !counters.contains_key(&uid) {
            counters.retain(|_, counters| Arc::strong_count(counters) > 1);
        }
        counters.entry(uid).or_default().clone()
    }
}

/// What one user has.
#[derive(Default, Debug)]
pub struct UserCounters {
    processes: AtomicU64,
    message_queue_bytes: AtomicU64,
    files_in_flight: AtomicU64,
}

impl UserCounters {
    /// Charges one task. `limit`: RLIMIT_NPROC, unless the creator is exempt.
    ///
    /// # Errors
    /// EAGAIN if the user already has `limit` tasks.
    pub fn charge_process(self: &Arc<Self>, limit: Option<u64>) -> Result<ProcessCharge, Errno> {
        let limit = limit.unwrap_or(u64::MAX);
        self.processes
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| (count < limit).then_some(count + 1))
            .map_err(|_| Errno::EAGAIN)?;
        Ok(ProcessCharge(self.clone()))
    }

    /// Charges the bytes of a POSIX message queue. `limit`: RLIMIT_MSGQUEUE.
    ///
    /// # Errors
    /// EMFILE if the user's queues would have more than `limit`.
    pub fn charge_message_queue(
        self: &Arc<Self>,
        len_bytes: u64,
        limit: u64,
    ) -> Result<MessageQueueCharge, Errno> {
        let has_room = |charged: u64| charged.checked_add(len_bytes).filter(|sum| *sum <= limit);
        self.message_queue_bytes
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, has_room)
            .map_err(|_| Errno::EMFILE)?;
        Ok(MessageQueueCharge { user: self.clone(), len_bytes })
    }

    /// Charges files that are sent through sockets. `limit`: RLIMIT_NOFILE, unless the sender is privileged.
    ///
    /// # Errors
    /// ETOOMANYREFS if the user has more than `limit` on their way already, as Linux counts them.
    pub fn charge_files_in_flight(
        self: &Arc<Self>,
        count: u64,
        limit: Option<u64>,
    ) -> Result<InFlightCharge, Errno> {
        let limit = limit.map_or(u64::MAX, |limit| limit.min(MAX_FILES_IN_FLIGHT));
        let has_room = |in_flight: u64| (in_flight <= limit).then(|| in_flight.saturating_add(count));
        self.files_in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, has_room)
            .map_err(|_| Errno::ETOOMANYREFS)?;
        Ok(InFlightCharge { user: self.clone(), count })
    }

    /// How many tasks are charged.
    pub fn processes(&self) -> u64 {
        self.processes.load(Ordering::Acquire)
    }
}

/// One charged task; dropping it takes the charge back.
#[derive(Debug)]
pub struct ProcessCharge(Arc<UserCounters>);

impl ProcessCharge {
    /// Whose charge it is.
    pub fn user(&self) -> &Arc<UserCounters> {
        &self.0
    }
}

impl Drop for ProcessCharge {
    fn drop(&mut self) {
        self.0.processes.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The bytes of a POSIX message queue; dropping it takes the charge back.
#[derive(Debug)]
pub struct MessageQueueCharge {
    user: Arc<UserCounters>,
    len_bytes: u64,
}

impl Drop for MessageQueueCharge {
    fn drop(&mut self) {
        self.user.message_queue_bytes.fetch_sub(self.len_bytes, Ordering::AcqRel);
    }
}

/// Files on their way through sockets; dropping it takes the charge back.
#[derive(Debug)]
pub struct InFlightCharge {
    user: Arc<UserCounters>,
    count: u64,
}

impl Drop for InFlightCharge {
    fn drop(&mut self) {
        self.user.files_in_flight.fetch_sub(self.count, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
