//! Filters in their order, and what they say of a call.

use std::sync::Arc;

use linux_raw_sys::ptrace as uapi;
use zerocopy::transmute;

use super::listener::Listener;
use crate::Errno;
use crate::abi::{SeccompData, SockFilter};
use crate::bpf::{Part, Program};

/// Most instructions of all filters of a task (`MAX_INSNS_PER_PATH`).
const MAX_PATH_LEN: usize = 32768;
/// What each filter costs besides its instructions.
const PATH_OVERHEAD: usize = 4;

/// System calls of which a filter remembers that it lets them pass whatever their arguments.
const REMEMBERED: usize = 512;
/// Instructions after which it has taken too long to find that out: a filter of usual length needs a tenth.
const STEPS_MAX: usize = 512;

/// Where `struct seccomp_data` has its words.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
/// How long it is.
const DATA_BYTES: usize = size_of::<SeccompData>();

bitflags::bitflags! {
    /// `SECCOMP_FILTER_FLAG_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct FilterFlags: u64 {
        /// The process's other threads get the filter, too.
        const TSYNC = uapi::SECCOMP_FILTER_FLAG_TSYNC as u64;
        /// Every answer but SECCOMP_RET_ALLOW is logged.
        const LOG = uapi::SECCOMP_FILTER_FLAG_LOG as u64;
        /// Speculation is the host's to guard.
        const SPEC_ALLOW = uapi::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u64;
        /// Returns a descriptor that is told of SECCOMP_RET_USER_NOTIF.
        const NEW_LISTENER = uapi::SECCOMP_FILTER_FLAG_NEW_LISTENER as u64;
        /// A thread that cannot get the filter is ESRCH, not the result.
        const TSYNC_ESRCH = uapi::SECCOMP_FILTER_FLAG_TSYNC_ESRCH as u64;
        /// Once the listener has received a call, only a fatal signal ends its wait.
        const WAIT_KILLABLE_RECV = uapi::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as u64;
    }
}

/// What is to happen to a call: `SECCOMP_RET_*`, the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    KillProcess,
    KillThread,
    Trap,
    Errno,
    UserNotif,
    Trace,
    Log,
    Allow,
}

impl Action {
    /// The action that `value` names, if there is one.
    pub(crate) fn from_value(value: u32) -> Option<Self> {
        Some(match value {
            uapi::SECCOMP_RET_KILL_PROCESS => Self::KillProcess,
            uapi::SECCOMP_RET_KILL_THREAD => Self::KillThread,
            uapi::SECCOMP_RET_TRAP => Self::Trap,
            uapi::SECCOMP_RET_ERRNO => Self::Errno,
            uapi::SECCOMP_RET_USER_NOTIF => Self::UserNotif,
            uapi::SECCOMP_RET_TRACE => Self::Trace,
            uapi::SECCOMP_RET_LOG => Self::Log,
            uapi::SECCOMP_RET_ALLOW => Self::Allow,
            _ => return None,
        })
    }
}

/// What all filters together say of a call.
pub(crate) struct Verdict {
    /// A value that names no action kills the process.
    pub(crate) action: Action,
    /// The lower half of the value (`SECCOMP_RET_DATA`).
    pub(crate) data: u16,
    /// Whether the filter that decided wants it logged.
    pub(crate) is_logged: bool,
    /// Who listens to that filter.
    pub(crate) listener: Option<Arc<Listener>>,
}

/// A program in front of the filters that were there before.
pub(crate) struct Filter {
    program: Arc<Program>,
    is_logged: bool,
    listener: Option<Arc<Listener>>,
    previous: Option<Arc<Filter>>,
    /// Instructions and overhead of this filter and those before it.
    path_len: usize,
    /// Bit N: call N passes this filter and those before it, whatever its arguments.
    always_allowed: [u64; REMEMBERED / 64],
}

impl Filter {
    /// `program` in front of `previous`.
    ///
    /// # Errors
    /// ENOMEM: all together are too long. EBUSY: a filter before it has a listener as well.
    pub(crate) fn new(
        program: Arc<Program>,
        previous: Option<Arc<Self>>,
        flags: FilterFlags,
        listener: Option<Arc<Listener>>,
    ) -> Result<Arc<Self>, Errno> {
        let before = previous.as_ref().map_or(0, |previous| previous.path_len);
        let path_len = before + program.translated_len() + PATH_OVERHEAD;
        if path_len > MAX_PATH_LEN + PATH_OVERHEAD {
            return Err(Errno::ENOMEM);
        }
        let is_heard = |filter: &Self| filter.listener.as_ref().is_some_and(|other| !other.is_closed());
        if listener.is_some() && previous.iter().flat_map(|previous| previous.with_previous()).any(is_heard) {
            return Err(Errno::EBUSY);
        }
        let always_allowed = always_allowed(&program, previous.as_deref());
        let is_logged = flags.contains(FilterFlags::LOG);
        Ok(Arc::new(Self { program, is_logged, listener, previous, path_len, always_allowed }))
    }

    /// What this filter and those before it say of the call.
    pub(crate) fn judge(&self, call: &SeccompData) -> Verdict {
        if self.always_allows(call.nr) {
            return Verdict { action: Action::Allow, data: 0, is_logged: false, listener: None };
        }
        let words: [u32; DATA_BYTES / 4] = transmute!(*call);
        let load = |part: Part| words.get(part.offset as usize / 4).copied();
        let mut strictest = (uapi::SECCOMP_RET_ALLOW, self);
        for filter in self.with_previous() {
            let value = filter.program.run(DATA_BYTES as u32, load).unwrap_or(uapi::SECCOMP_RET_KILL_THREAD);
            if strictness(value) < strictness(strictest.0) {
                strictest = (value, filter);
            }
        }
        let (value, filter) = strictest;
        Verdict {
            action: Action::from_value(value & uapi::SECCOMP_RET_ACTION_FULL).unwrap_or(Action::KillProcess),
            data: (value & uapi::SECCOMP_RET_DATA) as u16,
            is_logged: filter.is_logged,
            listener: filter.listener.clone(),
        }
    }

    /// Whether its answers are logged (SECCOMP_FILTER_FLAG_LOG).
    pub(crate) fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// Its own instructions.
    pub(crate) fn source(&self) -> &[SockFilter] {
        self.program.source()
    }

    /// This filter or the one before it that was the `index`th to be installed; the first is 0.
    pub(crate) fn installed(&self, index: u64) -> Option<&Self> {
        let count = self.with_previous().count() as u64;
        let after = count.checked_sub(index)?.checked_sub(1)?;
        self.with_previous().nth(usize::try_from(after).ok()?)
    }

    /// This filter and those before it, newest first.
    pub(crate) fn with_previous(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |filter| filter.previous.as_deref())
    }

    /// Whether `self` is `other` or was there before it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        other.with_previous().any(|filter| std::ptr::eq(filter, self))
    }

    fn always_allows(&self, number: i32) -> bool {
        let Ok(number) = usize::try_from(number) else { return false };
        self.always_allowed.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

/// A long chain goes filter by filter: a filter's drop must not recurse.
impl Drop for Filter {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abandon();
        }
        let mut previous = self.previous.take();
        while let Some(mut filter) = previous.and_then(Arc::into_inner) {
            previous = filter.previous.take();
        }
    }
}

/// The order of answers: a signed comparison of the action, with SECCOMP_RET_KILL_PROCESS the smallest.
fn strictness(value: u32) -> i32 {
    (value & uapi::SECCOMP_RET_ACTION_FULL).cast_signed()
}

/// The calls that `program` and the filters before it let pass without a look at more than their number.
fn always_allowed(program: &Program, previous: Option<&Filter>) -> [u64; REMEMBERED / 64] {
    let passes = |number: usize| {
        let answer = program.run_within(STEPS_MAX, DATA_BYTES as u32, |part| match part.offset {
            NUMBER_OFFSET => u32::try_from(number).ok(),
            ARCHITECTURE_OFFSET => Some(super::ARCHITECTURE),
            _ => None,
        });
        answer.is_some_and(|value| value & uapi::SECCOMP_RET_ACTION_FULL == uapi::SECCOMP_RET_ALLOW)
    };
    let before = |word: usize| previous.map_or(u64::MAX, |previous| previous.always_allowed[word]);
    std::array::from_fn(|word| {
        let bits = (0..64).filter(|bit| before(word) >> bit & 1 == 1 && passes(word * 64 + bit));
        bits.fold(0, |set, bit| set | 1 << bit)
    })
}
