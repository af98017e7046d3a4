//! A host terminal: its settings are the host's, its job control is the guest's.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};

use linux_raw_sys::general::SIGTTOU;
use linux_raw_sys::ioctl as requests;
use parking_lot::Mutex;

use super::HostFile;
use crate::Errno;
use crate::abi::{Termio, Termios, Termios2};
use crate::fs::terminal::{ControllingTerminal, ControllingTerminals, JobControl};
use crate::fs::{Caller, DeviceNumber, File};
use crate::platform::VirtualAddress;

/// Which way an ioctl's argument travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    /// The host fills in so many bytes.
    Out(usize),
    /// The host reads so many bytes.
    In(usize),
    /// The argument is a number.
    Number,
}

/// /dev/console: what the caller's terminal is to the guest.
pub(super) const CONSOLE: DeviceNumber = DeviceNumber::new(5, 1);

/// The largest argument of a passed ioctl.
const MAX_ARGUMENT_BYTES: usize = 64;

/// The requests that the host answers, and the direction and size of their arguments.
fn passage(request: u32) -> Option<Passage> {
    Some(match request {
        requests::TCGETA => Passage::Out(size_of::<Termio>()),
        requests::TCGETS => Passage::Out(size_of::<Termios>()),
        requests::TCGETS2 => Passage::Out(size_of::<Termios2>()),
        requests::TIOCGWINSZ => Passage::Out(8),
        requests::FIONREAD | requests::TIOCOUTQ | requests::TIOCGETD => Passage::Out(4),
        requests::TCSETA | requests::TCSETAW | requests::TCSETAF => Passage::In(size_of::<Termio>()),
        requests::TCSETS | requests::TCSETSW | requests::TCSETSF => Passage::In(size_of::<Termios>()),
        requests::TCSETS2 | requests::TCSETSW2 | requests::TCSETSF2 => Passage::In(size_of::<Termios2>()),
        requests::TIOCSWINSZ => Passage::In(8),
        requests::TCSBRK | requests::TCSBRKP | requests::TCXONC | requests::TCFLSH => Passage::Number,
        _ => return None,
    })
}

/// The terminal behind one or more standard streams.
pub(super) struct HostTerminal {
    host_device: u64,
    job_control: JobControl,
    /// The streams on it; /dev/tty opens the first.
    streams: Mutex<Vec<Weak<HostFile>>>,
    me: Weak<Self>,
}

impl HostTerminal {
    pub(super) fn new(host_device: u64, terminals: Arc<ControllingTerminals>) -> Arc<Self> {
        let job_control = JobControl::new(terminals);
        Arc::new_cyclic(|me| Self { host_device, job_control, streams: Mutex::default(), me: me.clone() })
    }

    /// The host's device number, by which streams on one terminal are told.
    pub(super) fn host_device(&self) -> u64 {
        self.host_device
    }

    pub(super) fn add_stream(&self, file: &Arc<HostFile>) {
        self.streams.lock().push(Arc::downgrade(file));
    }

    fn stream(&self) -> Option<Arc<HostFile>> {
        self.streams.lock().iter().find_map(Weak::upgrade)
    }

    pub(super) fn control_session(&self, session_id: i32, foreground: i32) -> Result<(), Errno> {
        let stream = self.stream().ok_or(Errno::EIO)?;
        self.job_control.control(
            Arc::new(ControllingStream { terminal: self.arc()?, stream }),
            session_id,
            foreground,
        )
    }

    fn arc(&self) -> Result<Arc<Self>, Errno> {
        self.me.upgrade().ok_or(Errno::EIO)
    }

    pub(super) fn check_foreground(&self, caller: &dyn Caller, signal: u32) -> Result<(), Errno> {
        self.job_control.check_foreground(caller, signal)
    }

    pub(super) fn ioctl(
        &self,
        descriptor: BorrowedFd<'_>,
        request: u32,
        argument: u64,
        caller: &dyn Caller,
    ) -> Result<usize, Errno> {
        let stream = self.stream().ok_or(Errno::EIO)?;
        let controlling: Arc<dyn ControllingTerminal> =
            Arc::new(ControllingStream { terminal: self.arc()?, stream });
        if let Some(result) = self.job_control.ioctl(&controlling, request, argument, caller) {
            return result;
        }
        match passage(request).ok_or(Errno::ENOTTY)? {
            Passage::Out(len_bytes) => {
                let bytes = host_ioctl(descriptor, request, [0; MAX_ARGUMENT_BYTES])?;
                caller.memory().write_bytes(VirtualAddress(argument), &bytes[..len_bytes])?;
            }
            Passage::In(len_bytes) => {
                self.check_foreground(caller, SIGTTOU)?;
                let mut bytes = [0; MAX_ARGUMENT_BYTES];
                caller.memory().read_bytes(VirtualAddress(argument), &mut bytes[..len_bytes])?;
                host_ioctl(descriptor, request, bytes)?;
            }
            Passage::Number => {
                self.check_foreground(caller, SIGTTOU)?;
                host_number_ioctl(descriptor, request, argument)?;
            }
        }
        Ok(0)
    }
}

/// A session's hold on the terminal: it keeps a stream open for /dev/tty.
struct ControllingStream {
    terminal: Arc<HostTerminal>,
    stream: Arc<HostFile>,
}

impl ControllingTerminal for ControllingStream {
    fn job_control(&self) -> &JobControl {
        &self.terminal.job_control
    }

    fn open_again(&self) -> Arc<dyn File> {
        self.stream.clone()
    }

    fn device(&self) -> DeviceNumber {
        CONSOLE
    }
}

/// An ioctl of which [`passage`] says that the argument is a structure of at most [`MAX_ARGUMENT_BYTES`].
struct StructureIoctl {
    request: u32,
    bytes: [u8; MAX_ARGUMENT_BYTES],
}

// SAFETY: the buffer is at least as large as every structure that `passage` admits, and all byte patterns are valid for it.
unsafe impl rustix::ioctl::Ioctl for StructureIoctl {
    type Output = [u8; MAX_ARGUMENT_BYTES];

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        self.request
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.bytes.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(
        _output: rustix::ioctl::IoctlOutput,
        pointer: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: rustix hands back the pointer of `as_ptr`, whose buffer is still alive.
        Ok(unsafe { pointer.cast::<Self::Output>().read() })
    }
}

/// An ioctl of which [`passage`] says that the argument is a number.
struct NumberIoctl {
    request: u32,
    number: usize,
}

// SAFETY: the host does not take these requests' argument for a pointer.
unsafe impl rustix::ioctl::Ioctl for NumberIoctl {
    type Output = ();

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        self.request
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.number)
    }

    unsafe fn output_from_ptr(
        _output: rustix::ioctl::IoctlOutput,
        _pointer: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        Ok(())
    }
}

fn host_ioctl(
    descriptor: BorrowedFd<'_>,
    request: u32,
    bytes: [u8; MAX_ARGUMENT_BYTES],
) -> Result<[u8; MAX_ARGUMENT_BYTES], Errno> {
    // SAFETY: the request is one of `passage`'s with a structure for its argument.
    Ok(unsafe { rustix::ioctl::ioctl(descriptor, StructureIoctl { request, bytes }) }?)
}

fn host_number_ioctl(descriptor: BorrowedFd<'_>, request: u32, argument: u64) -> Result<(), Errno> {
    let number = usize::try_from(argument).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the request is one of `passage`'s with a number for its argument.
    Ok(unsafe { rustix::ioctl::ioctl(descriptor, NumberIoctl { request, number }) }?)
}
