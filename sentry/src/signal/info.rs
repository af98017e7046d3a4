//! What a signal carries (`man 2 sigaction`, siginfo_t): typed inside the sentry, a union in user memory.

use linux_raw_sys::general::{SI_ASYNCNL, SI_DETHREAD, SI_KERNEL, SI_TIMER, SI_TKILL, SI_USER};

use super::Signal;
use crate::abi::Siginfo;
use crate::cred::Uid;

/// The largest code of each signal that has its own (`asm-generic/siginfo.h`, `NSIGILL` and so on).
const OWN_CODES: [(Signal, i32); 8] = [
    (Signal::SIGILL, 11),
    (Signal::SIGFPE, 15),
    (Signal::SIGSEGV, 10),
    (Signal::SIGBUS, 5),
    (Signal::SIGTRAP, 6),
    (Signal::SIGCHLD, 6),
    (Signal::SIGIO, 6),
    (Signal::SIGSYS, 2),
];

impl Signal {
    /// Whether its positive codes mean something else than those of other signals.
    pub fn has_own_codes(self) -> bool {
        OWN_CODES.iter().any(|(signal, _)| *signal == self)
    }
}

/// A signal with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// Which signal (`si_signo`).
    pub signal: Signal,
    /// An error number, nearly always 0 (`si_errno`).
    pub errno: i32,
    /// Why it was sent (`si_code`).
    pub code: i32,
    /// What comes with that reason.
    pub detail: SignalDetail,
}

/// What the signal of a POSIX timer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerExpiration {
    /// The timer, as timer_create(2) numbered it.
    pub id: i32,
    /// How often the timer had been set: what it was set to before is of no interest any more.
    pub sequence: u32,
    /// Expirations beyond the first.
    pub overrun: i32,
    /// `si_value`.
    pub value: u64,
}

/// The part of siginfo_t that depends on the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalDetail {
    /// The kernel sent it, and says no more.
    None,
    /// A process sent it: kill(2), tgkill(2).
    Kill {
        /// The sender's process, as the receiver sees it.
        pid: i32,
        /// The sender's real user.
        uid: Uid,
    },
    /// A message queue or asynchronous I/O sent it.
    Queue {
        /// The sender's process.
        pid: i32,
        /// The sender's real user.
        uid: Uid,
        /// `si_value`.
        value: u64,
    },
    /// A POSIX timer expired.
    Timer(TimerExpiration),
    /// A child changed its state.
    Child {
        /// The child.
        pid: i32,
        /// Its real user.
        uid: Uid,
        /// Its exit status or the signal.
        status: i32,
        /// User time that it used, in clock ticks.
        user_ticks: i64,
        /// System time that it used, in clock ticks.
        system_ticks: i64,
    },
    /// The processor raised an exception.
    Fault {
        /// The instruction or the byte that was touched.
        address: u64,
    },
    /// A descriptor became ready.
    Poll {
        /// The events.
        band: i64,
        /// The descriptor.
        fd: i32,
    },
    /// A system call was refused by a filter.
    SystemCall {
        /// The instruction after the call.
        address: u64,
        /// The call's number.
        number: i32,
        /// `AUDIT_ARCH_*`.
        architecture: u32,
    },
    /// A process composed it itself: rt_sigqueueinfo(2). The bytes after the header, as words.
    Composed([u64; 4]),
}

impl SignalInfo {
    /// Words of its union that any layout uses.
    pub(crate) const USED_WORDS: usize = 4;

    /// From the kernel, without detail (SI_KERNEL).
    pub const fn from_kernel(signal: Signal) -> Self {
        Self { signal, errno: 0, code: SI_KERNEL as i32, detail: SignalDetail::None }
    }

    /// From kill(2) by process `pid` of user `uid`.
    pub const fn from_kill(signal: Signal, pid: i32, uid: Uid) -> Self {
        Self { signal, errno: 0, code: SI_USER as i32, detail: SignalDetail::Kill { pid, uid } }
    }

    /// Whether the receiver does not see the sender: the kernel, or a process of a namespace around the receiver's.
    pub fn is_from_outside(&self) -> bool {
        !matches!(self.detail, SignalDetail::Kill { pid, .. } if pid != 0)
            && !matches!(self.detail, SignalDetail::Composed(_))
    }

    /// From tkill(2) or tgkill(2) by process `pid` of user `uid`.
    pub const fn from_tkill(signal: Signal, pid: i32, uid: Uid) -> Self {
        Self { signal, errno: 0, code: SI_TKILL, detail: SignalDetail::Kill { pid, uid } }
    }

    /// From a POSIX timer.
    pub const fn from_timer(signal: Signal, expiration: TimerExpiration) -> Self {
        Self { signal, errno: 0, code: SI_TIMER, detail: SignalDetail::Timer(expiration) }
    }

    /// From an exception at `address`, with a `SEGV_*`, `BUS_*`, `FPE_*`, `ILL_*` or `TRAP_*` code.
    pub const fn from_fault(signal: Signal, code: i32, address: u64) -> Self {
        Self { signal, errno: 0, code, detail: SignalDetail::Fault { address } }
    }

    /// As a process composed it, sent as `signal` whatever it says itself.
    pub(crate) fn from_user(signal: Signal, info: &Siginfo) -> Self {
        let [first, second, third, fourth, ..] = info.fields;
        let detail = SignalDetail::Composed([first, second, third, fourth]);
        Self { signal, errno: info.si_errno, code: info.si_code, detail }
    }

    /// The siginfo_t in user memory's layout.
    pub(crate) fn to_user(self) -> Siginfo {
        let mut fields = [0; 14];
        fields[..Self::USED_WORDS].copy_from_slice(&self.words());
        let si_signo = self.signal.number().into();
        Siginfo { si_signo, si_errno: self.errno, si_code: self.code, padding: 0, fields }
    }

    /// The detail as the words after siginfo_t's header.
    fn words(self) -> [u64; Self::USED_WORDS] {
        let pair = |low: i32, high: u32| u64::from(low as u32) | u64::from(high) << 32;
        match self.detail {
            SignalDetail::None => [0; 4],
            SignalDetail::Kill { pid, uid } => [pair(pid, uid.0), 0, 0, 0],
            SignalDetail::Queue { pid, uid, value } => [pair(pid, uid.0), value, 0, 0],
            SignalDetail::Timer(TimerExpiration { id, overrun, value, .. }) => {
                [pair(id, overrun as u32), value, 0, 0]
            }
            SignalDetail::Child { pid, uid, status, user_ticks, system_ticks } => {
                [pair(pid, uid.0), u64::from(status as u32), user_ticks as u64, system_ticks as u64]
            }
            SignalDetail::Fault { address } => [address, 0, 0, 0],
            SignalDetail::Poll { band, fd } => [band as u64, u64::from(fd as u32), 0, 0],
            SignalDetail::SystemCall { address, number, architecture } => {
                [address, pair(number, architecture), 0, 0]
            }
            SignalDetail::Composed(words) => words,
        }
    }

    /// `si_pid` and `si_uid`, if the cause has them.
    pub fn sender(self) -> Option<(i32, Uid)> {
        match self.detail {
            SignalDetail::Kill { pid, uid }
            | SignalDetail::Queue { pid, uid, .. }
            | SignalDetail::Child { pid, uid, .. } => Some((pid, uid)),
            SignalDetail::Composed([sender, ..]) => Some((sender as i32, Uid((sender >> 32) as u32))),
            _ => None,
        }
    }

    /// This, with `translate` applied to `si_uid`, if the cause has one.
    pub fn with_uid(mut self, translate: impl FnOnce(Uid) -> Uid) -> Self {
        match &mut self.detail {
            SignalDetail::Kill { uid, .. }
            | SignalDetail::Queue { uid, .. }
            | SignalDetail::Child { uid, .. } => *uid = translate(*uid),
            // What a process queues itself has a negative code and is laid out as sigqueue(3) does it.
            SignalDetail::Composed([sender, ..]) if self.code < 0 && self.code != SI_TIMER => {
                *sender = *sender & 0xffff_ffff | u64::from(translate(Uid((*sender >> 32) as u32)).0) << 32;
            }
            _ => {}
        }
        self
    }

    /// `si_value`, if the cause has one.
    pub fn value(self) -> Option<u64> {
        match self.detail {
            SignalDetail::Queue { value, .. } | SignalDetail::Timer(TimerExpiration { value, .. }) => {
                Some(value)
            }
            SignalDetail::Composed([_, value, ..]) => Some(value),
            _ => None,
        }
    }

    /// Whether another process must not be told this: only the kernel, kill and tgkill may send it
    /// (`man 2 rt_sigqueueinfo`).
    pub const fn is_kernel_only(self) -> bool {
        self.code >= 0 || self.code == SI_TKILL
    }

    /// Whether Linux knows what lies behind the code, so that the rest of a siginfo_t does not matter
    /// (`known_siginfo_layout`).
    pub fn has_known_layout(self) -> bool {
        const MAX_POLL_CODE: i32 = 6;
        let own = OWN_CODES.iter().find(|(signal, _)| *signal == self.signal).map(|(_, max)| *max);
        let is_named = SI_DETHREAD <= self.code && self.code <= own.unwrap_or(MAX_POLL_CODE);
        is_named || self.code == SI_KERNEL as i32 || self.code == SI_ASYNCNL
    }

    /// Whether the kernel itself or kill(2) sent it: a full queue is not their fault.
    pub const fn is_from_kernel_or_kill(self) -> bool {
        self.code >= 0
    }
}

#[cfg(test)]
mod tests;
