//! A pseudoterminal: a line discipline between a master and its slave (`man 7 pty`).

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::general as uapi;
use linux_raw_sys::ioctl as requests;
use parking_lot::Mutex;

use super::discipline::Discipline;
use super::{PtsFileSystem, PtsNode};
use crate::Errno;
use crate::fs::terminal::{ControllingTerminal, JobControl, TERMIOS_BYTES, TERMIOS2_BYTES, WindowSize};
use crate::fs::{Caller, DeviceNumber, File, FileDescription, Inode, Metadata, OpenFlags};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// Major number of slaves.
pub(super) const SLAVE_MAJOR: u32 = 136;

/// A master and a slave.
pub(super) struct Pair {
    pub(super) number: u32,
    pub(super) owner: (u32, u32),
    state: Mutex<State>,
    job_control: JobControl,
    master_queue: WaitQueue,
    slave_queue: WaitQueue,
    file_system: Arc<PtsFileSystem>,
}

struct State {
    discipline: Discipline,
    window: WindowSize,
    /// Slaves cannot be opened until unlockpt(3).
    is_locked: bool,
    is_master_closed: bool,
    slaves: usize,
    /// A slave has been open: from then on, none is a hang-up.
    has_been_open: bool,
}

impl Pair {
    pub(super) fn new(number: u32, owner: (u32, u32), file_system: &Arc<PtsFileSystem>) -> Arc<Self> {
        Arc::new(Self {
            number,
            owner,
            state: Mutex::new(State {
                discipline: Discipline::default(),
                window: WindowSize::default(),
                is_locked: true,
                is_master_closed: false,
                slaves: 0,
                has_been_open: false,
            }),
            job_control: JobControl::new(file_system.terminals().clone()),
            master_queue: WaitQueue::default(),
            slave_queue: WaitQueue::default(),
            file_system: file_system.clone(),
        })
    }

    pub(super) fn open_master(self: &Arc<Self>, inode: Arc<dyn Inode>) -> Arc<dyn File> {
        Arc::new(Master { pair: self.clone(), inode })
    }

    /// Opens the slave.
    ///
    /// # Errors
    /// EIO if it is locked or the master is closed.
    pub(super) fn open_slave(self: &Arc<Self>) -> Result<Arc<dyn File>, Errno> {
        let mut state = self.state.lock();
        if state.is_locked || state.is_master_closed {
            return Err(Errno::EIO);
        }
        Ok(self.add_slave(&mut state))
    }

    fn add_slave(self: &Arc<Self>, state: &mut State) -> Arc<dyn File> {
        state.slaves += 1;
        state.has_been_open = true;
        Arc::new(Slave { pair: self.clone() })
    }

    pub(super) fn file_system(&self) -> &PtsFileSystem {
        &self.file_system
    }

    /// unlockpt(3): lets the slave be opened.
    pub(super) fn unlock(&self) {
        self.state.lock().is_locked = false;
    }

    /// A session leader without a terminal has opened the slave without O_NOCTTY.
    pub(super) fn offer(self: &Arc<Self>, process_id: i32, session_id: i32) {
        self.job_control.opened(Arc::new(Line(self.clone())), process_id, session_id);
    }

    /// Announces what a change of the discipline has made possible.
    fn announce(&self) {
        let (is_shown, has_room, is_readable, takes) = {
            let state = self.state.lock();
            let discipline = &state.discipline;
            (
                discipline.shown_bytes() > 0,
                discipline.has_output_room(),
                discipline.is_readable(),
                discipline.has_input_room(),
            )
        };
        let events = |reads: bool, writes: bool| {
            let mut events = Events::empty();
            events.set(Events::IN | Events::RDNORM, reads);
            events.set(Events::OUT | Events::WRNORM, writes);
            events
        };
        self.master_queue.notify(events(is_shown, takes));
        self.slave_queue.notify(events(is_readable, has_room));
    }

    /// The ioctls that both ends answer.
    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let (memory, place) = (caller.memory(), VirtualAddress(argument));
        let settings_bytes = |is_second: bool| if is_second { TERMIOS2_BYTES } else { TERMIOS_BYTES };
        match request {
            requests::TCGETS | requests::TCGETS2 => {
                let bytes = self.state.lock().discipline.termios().to_bytes();
                memory.write_bytes(place, &bytes[..settings_bytes(request == requests::TCGETS2)])?;
            }
            requests::TCSETS
            | requests::TCSETSW
            | requests::TCSETSF
            | requests::TCSETS2
            | requests::TCSETSW2
            | requests::TCSETSF2 => {
                let is_second =
                    [requests::TCSETS2, requests::TCSETSW2, requests::TCSETSF2].contains(&request);
                let mut bytes = [0; TERMIOS2_BYTES];
                let bytes = &mut bytes[..settings_bytes(is_second)];
                memory.read_bytes(place, bytes)?;
                let mut state = self.state.lock();
                if [requests::TCSETSF, requests::TCSETSF2].contains(&request) {
                    state.discipline.flush_input();
                }
                let settings = state.discipline.termios().updated_from(bytes);
                state.discipline.set_termios(settings);
                drop(state);
                self.announce();
            }
            requests::TIOCGWINSZ => {
                let window = self.state.lock().window;
                memory.write_object(place, &window.fields)?;
            }
            requests::TIOCSWINSZ => {
                let window = WindowSize { fields: memory.read_object(place)? };
                let old = std::mem::replace(&mut self.state.lock().window, window);
                if old != window {
                    self.job_control.signal_foreground(uapi::SIGWINCH);
                }
            }
            requests::TCFLSH => self.flush(argument)?,
            requests::TCXONC => self.control_flow(argument)?,
            // Output is never on its way: it is with the master at once.
            requests::TCSBRK | requests::TCSBRKP => {}
            requests::TIOCGETD => memory.write_object(place, &0i32)?,
            requests::TIOCEXCL | requests::TIOCNXCL => {}
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn flush(&self, what: u64) -> Result<(), Errno> {
        let what = u32::try_from(what).map_err(|_| Errno::EINVAL)?;
        let mut state = self.state.lock();
        match what {
            uapi::TCIFLUSH => state.discipline.flush_input(),
            uapi::TCOFLUSH => state.discipline.flush_output(),
            uapi::TCIOFLUSH => {
                state.discipline.flush_input();
                state.discipline.flush_output();
            }
            _ => return Err(Errno::EINVAL),
        }
        drop(state);
        self.announce();
        Ok(())
    }

    fn control_flow(&self, what: u64) -> Result<(), Errno> {
        match u32::try_from(what) {
            Ok(uapi::TCOOFF) => self.state.lock().discipline.set_stopped(true),
            Ok(uapi::TCOON) => self.state.lock().discipline.set_stopped(false),
            Ok(uapi::TCIOFF | uapi::TCION) => {}
            _ => return Err(Errno::EINVAL),
        }
        self.announce();
        Ok(())
    }

    fn number_of_bytes(&self, caller: &dyn Caller, argument: u64, count: usize) -> Result<usize, Errno> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &count)?;
        Ok(0)
    }
}

/// The slave as a session's controlling terminal.
struct Line(Arc<Pair>);

impl ControllingTerminal for Line {
    fn job_control(&self) -> &JobControl {
        &self.0.job_control
    }

    fn open_again(&self) -> Arc<dyn File> {
        let mut state = self.0.state.lock();
        self.0.add_slave(&mut state)
    }

    fn device(&self) -> DeviceNumber {
        slave_device(self.0.number)
    }
}

/// The master's end.
struct Master {
    pair: Arc<Pair>,
    inode: Arc<dyn Inode>,
}

impl File for Master {
    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let read = {
            let mut state = self.pair.state.lock();
            match state.discipline.take_shown(buffer) {
                0 if buffer.is_empty() => return Ok(0),
                0 if state.has_been_open && state.slaves == 0 => return Err(Errno::EIO),
                0 => return Err(Errno::EAGAIN),
                read => read,
            }
        };
        self.pair.announce();
        Ok(read)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let (taken, signals) = self.pair.state.lock().discipline.type_in(buffer);
        for signal in signals {
            self.pair.job_control.signal_foreground(signal);
        }
        self.pair.announce();
        if taken == 0 && !buffer.is_empty() { Err(Errno::EAGAIN) } else { Ok(taken) }
    }

    fn readiness(&self) -> Events {
        let state = self.pair.state.lock();
        let is_hung_up = state.has_been_open && state.slaves == 0;
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, state.discipline.shown_bytes() > 0);
        events.set(Events::OUT | Events::WRNORM, state.discipline.has_input_room());
        events.set(Events::HUP, is_hung_up);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.master_queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let (memory, place) = (caller.memory(), VirtualAddress(argument));
        match request {
            requests::TIOCGPTN => memory.write_object(place, &self.pair.number)?,
            requests::TIOCSPTLCK => {
                let lock: i32 = memory.read_object(place)?;
                match lock {
                    0 => self.pair.unlock(),
                    _ => self.pair.state.lock().is_locked = true,
                }
            }
            requests::TIOCGPTLCK => {
                let is_locked = i32::from(self.pair.state.lock().is_locked);
                memory.write_object(place, &is_locked)?;
            }
            requests::TIOCGPTPEER => {
                let flags = OpenFlags::from_bits_truncate(argument as u32);
                let slave = self.pair.open_slave()?;
                if !flags.contains(OpenFlags::NOCTTY) {
                    self.pair.offer(caller.process_id(), caller.session_id());
                }
                let is_close_on_exec = flags.contains(OpenFlags::CLOEXEC);
                let status = flags - OpenFlags::CLOEXEC - OpenFlags::NOCTTY;
                let description = FileDescription::new(slave, None, status);
                let descriptor = caller.install_descriptor(description, is_close_on_exec)?;
                return usize::try_from(descriptor).map_err(|_| Errno::EMFILE);
            }
            requests::TIOCGPGRP => {
                let foreground = self.pair.job_control.foreground().unwrap_or(0);
                memory.write_object(place, &foreground)?;
            }
            requests::TIOCGSID => {
                let session = self.pair.job_control.session().ok_or(Errno::ENOTTY)?;
                memory.write_object(place, &session)?;
            }
            requests::TIOCSIG => {
                let signal = u32::try_from(argument).map_err(|_| Errno::EINVAL)?;
                if ![uapi::SIGINT, uapi::SIGQUIT, uapi::SIGTSTP].contains(&signal) {
                    return Err(Errno::EINVAL);
                }
                self.pair.job_control.signal_foreground(signal);
            }
            requests::FIONREAD => {
                let shown = self.pair.state.lock().discipline.shown_bytes();
                return self.pair.number_of_bytes(caller, argument, shown);
            }
            _ => return self.pair.ioctl(request, argument, caller),
        }
        Ok(0)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn anonymous_name(&self) -> String {
        "/dev/ptmx".into()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.pair.state.lock().is_master_closed = true;
        self.pair.file_system.remove(self.pair.number);
        self.pair.job_control.hang_up();
        self.pair.slave_queue.notify(Events::all());
    }
}

/// The slave's end.
struct Slave {
    pair: Arc<Pair>,
}

impl File for Slave {
    fn prepare_io(&self, caller: &dyn Caller, is_write: bool) -> Result<(), Errno> {
        let job_control = &self.pair.job_control;
        if !is_write {
            return job_control.check_foreground(caller, uapi::SIGTTIN);
        }
        let settings = self.pair.state.lock().discipline.termios();
        if settings.local & uapi::TOSTOP == 0 {
            return Ok(());
        }
        job_control.check_foreground(caller, uapi::SIGTTOU)
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = {
            let mut state = self.pair.state.lock();
            match state.discipline.read(buffer) {
                Some(read) => read,
                None if state.is_master_closed => return Ok(0),
                None => return Err(Errno::EAGAIN),
            }
        };
        self.pair.announce();
        Ok(read)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let taken = {
            let mut state = self.pair.state.lock();
            if state.is_master_closed {
                return Err(Errno::EIO);
            }
            state.discipline.write(buffer)
        };
        self.pair.announce();
        if taken == 0 && !buffer.is_empty() { Err(Errno::EAGAIN) } else { Ok(taken) }
    }

    fn readiness(&self) -> Events {
        let state = self.pair.state.lock();
        let is_closed = state.is_master_closed;
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, is_closed || state.discipline.is_readable());
        events.set(Events::OUT | Events::WRNORM, is_closed || state.discipline.has_output_room());
        events.set(Events::HUP | Events::ERR, is_closed);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.slave_queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let line: Arc<dyn ControllingTerminal> = Arc::new(Line(self.pair.clone()));
        if let Some(result) = self.pair.job_control.ioctl(&line, request, argument, caller) {
            return result;
        }
        match request {
            requests::FIONREAD => {
                let readable = self.pair.state.lock().discipline.readable_bytes();
                self.pair.number_of_bytes(caller, argument, readable)
            }
            requests::TIOCOUTQ => {
                let shown = self.pair.state.lock().discipline.shown_bytes();
                self.pair.number_of_bytes(caller, argument, shown)
            }
            requests::TCGETS | requests::TCGETS2 | requests::TIOCGWINSZ | requests::TIOCGETD => {
                self.pair.ioctl(request, argument, caller)
            }
            _ => {
                // What changes the terminal is for the foreground.
                self.pair.job_control.check_foreground(caller, uapi::SIGTTOU)?;
                self.pair.ioctl(request, argument, caller)
            }
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(PtsNode::metadata_of(&self.pair))
    }

    fn anonymous_name(&self) -> String {
        format!("/dev/pts/{}", self.pair.number)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        let is_last = {
            let mut state = self.pair.state.lock();
            state.slaves -= 1;
            state.slaves == 0
        };
        if is_last {
            self.pair.master_queue.notify(Events::HUP | Events::IN | Events::OUT);
        }
    }
}

/// The device number of slave `number`.
pub(super) fn slave_device(number: u32) -> DeviceNumber {
    DeviceNumber::new(SLAVE_MAJOR, number)
}
