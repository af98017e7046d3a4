//! Signal numbers, their names and what each does by default (`man 7 signal`).

use std::fmt;

use crate::Errno;

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What a signal does to a process that neither handles nor ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultDisposition {
    /// The process ends.
    Terminate,
    /// The process ends, and is said to have dumped core.
    Core,
    /// The process stops.
    Stop,
    /// A stopped process continues.
    Continue,
    /// Nothing happens.
    Ignore,
}

macro_rules! signals {
    ($($name:ident = $number:literal $disposition:ident,)*) => {
        impl Signal {
            $(
                #[doc = concat!("`", stringify!($name), "`, see `man 7 signal`.")]
                pub const $name: Self = Self($number);
            )*

            /// The symbolic name of a standard signal; `None` for a real-time one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What the signal does by default.
            pub const fn default_disposition(self) -> DefaultDisposition {
                match self.0 {
                    $($number => DefaultDisposition::$disposition,)*
                    _ => DefaultDisposition::Terminate,
                }
            }
        }
    };
}

signals! {
    SIGHUP = 1 Terminate,
    SIGINT = 2 Terminate,
    SIGQUIT = 3 Core,
    SIGILL = 4 Core,
    SIGTRAP = 5 Core,
    SIGABRT = 6 Core,
    SIGBUS = 7 Core,
    SIGFPE = 8 Core,
    SIGKILL = 9 Terminate,
    SIGUSR1 = 10 Terminate,
    SIGSEGV = 11 Core,
    SIGUSR2 = 12 Terminate,
    SIGPIPE = 13 Terminate,
    SIGALRM = 14 Terminate,
    SIGTERM = 15 Terminate,
    SIGSTKFLT = 16 Terminate,
    SIGCHLD = 17 Ignore,
    SIGCONT = 18 Continue,
    SIGSTOP = 19 Stop,
    SIGTSTP = 20 Stop,
    SIGTTIN = 21 Stop,
    SIGTTOU = 22 Stop,
    SIGURG = 23 Ignore,
    SIGXCPU = 24 Core,
    SIGXFSZ = 25 Core,
    SIGVTALRM = 26 Terminate,
    SIGPROF = 27 Terminate,
    SIGWINCH = 28 Ignore,
    SIGIO = 29 Terminate,
    SIGPWR = 30 Terminate,
    SIGSYS = 31 Core,
}

impl Signal {
    /// How many signals there are; also the highest number.
    pub const COUNT: usize = 64;
    /// The lowest real-time signal, as the kernel counts (the C library keeps the first two for itself).
    pub const SIGRTMIN: Self = Self(32);
    /// The highest real-time signal.
    pub const SIGRTMAX: Self = Self(64);

    /// The signal of that number, as a system call's argument has it.
    ///
    /// # Errors
    /// EINVAL: not in 1..=64.
    pub const fn new(number: i32) -> Result<Self, Errno> {
        match number {
            1..=64 => Ok(Self(number as u8)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The signal of that number; `None` for 0, which only asks whether a signal could be sent (`man 2 kill`).
    ///
    /// # Errors
    /// EINVAL: not in 0..=64.
    pub const fn new_or_probe(number: i32) -> Result<Option<Self>, Errno> {
        match number {
            0 => Ok(None),
            _ => match Self::new(number) {
                Ok(signal) => Ok(Some(signal)),
                Err(errno) => Err(errno),
            },
        }
    }

    /// The number, 1 to 64.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The number less one: the place in tables and bit masks.
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Whether every instance queues on its own.
    pub const fn is_real_time(self) -> bool {
        self.0 >= Self::SIGRTMIN.0
    }

    /// Whether it can be neither blocked, handled nor ignored.
    pub const fn is_unblockable(self) -> bool {
        matches!(self, Self::SIGKILL | Self::SIGSTOP)
    }

    /// Whether it stops a process by default.
    pub const fn is_stop(self) -> bool {
        matches!(self.default_disposition(), DefaultDisposition::Stop)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "SIGRT_{}", self.0 - Self::SIGRTMIN.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
