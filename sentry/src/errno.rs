//! Linux error numbers (`man 3 errno`).

use std::fmt;

/// An error number as a system call returns it.
///
/// Beside Linux's public numbers there are the four that never leave the kernel: they tell the run loop how
/// an interrupted call is to be restarted (`man 7 signal`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`, see `man 3 errno`.")]
                pub const $name: Self = Self(linux_raw_sys::errno::$name as u16);
            )*

            /// The symbolic name, as strace prints it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::ERESTARTSYS => "ERESTARTSYS",
                    Self::ERESTARTNOINTR => "ERESTARTNOINTR",
                    Self::ERESTARTNOHAND => "ERESTARTNOHAND",
                    Self::ERESTART_RESTARTBLOCK => "ERESTART_RESTARTBLOCK",
                    _ => "E???",
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP
    ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL
    ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV
    ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD
    ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE
    EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT
    EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN
    ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY
    EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE
    ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL
    EHWPOISON
}

impl Errno {
    /// Restart the call if the handler has SA_RESTART, else EINTR. Never reaches user code.
    pub const ERESTARTSYS: Self = Self(512);
    /// Restart the call always. Never reaches user code.
    pub const ERESTARTNOINTR: Self = Self(513);
    /// Restart the call only if no handler runs. Never reaches user code.
    pub const ERESTARTNOHAND: Self = Self(514);
    /// Restart through restart_syscall(2) if no handler runs, else EINTR. Never reaches user code.
    pub const ERESTART_RESTARTBLOCK: Self = Self(516);

    /// A lease on the file is still to be given up: who asked waits, or is told EAGAIN. Never reaches user code.
    pub const ELEASED: Self = Self(530);

    /// The positive number.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// The number as the host reported it; EIO for what is no error number.
    pub fn from_raw(raw: i32) -> Self {
        match u16::try_from(raw) {
            Ok(raw @ 1..=4095) => Self(raw),
            _ => Self::EIO,
        }
    }

    /// What a system call leaves in `rax`: the negated number.
    pub const fn as_return_value(self) -> u64 {
        (self.0 as u64).wrapping_neg()
    }

    /// Whether this is one of the numbers that ask for a restart.
    pub const fn is_restart(self) -> bool {
        matches!(
            self,
            Self::ERESTARTSYS | Self::ERESTARTNOINTR | Self::ERESTARTNOHAND | Self::ERESTART_RESTARTBLOCK
        )
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Errno {}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Self {
        Self::from_raw(error.raw_os_error())
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or(Self::EIO, Self::from_raw)
    }
}

#[cfg(test)]
mod tests;
