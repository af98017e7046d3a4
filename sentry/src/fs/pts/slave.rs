//! A pseudoterminal's slave: what programs have for a terminal (`man 7 pty`).

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::general as uapi;
use linux_raw_sys::ioctl as requests;

use super::PtsNode;
use super::pair::{Pair, State, byte_to_type, slave_device};
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::terminal::{ControllingTerminal, JobControl};
use crate::fs::{Caller, DeviceNumber, File, Inode, Metadata, ReadPace, TransferUnit};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// The slave's end.
pub(super) struct Slave {
    pair: Arc<Pair>,
    /// How often the line had been hung up when this was opened.
    hang_ups: u64,
    is_readable: bool,
}

impl Slave {
    pub(super) fn new(pair: Arc<Pair>, hang_ups: u64, is_readable: bool) -> Self {
        Self { pair, hang_ups, is_readable }
    }

    /// Whether `caller` may make it the controlling terminal: who may not read it would gain its signals alone.
    fn may_control(&self, caller: &dyn Caller) -> bool {
        let controls_already = self.pair.job_control.session() == Some(caller.session_id());
        self.is_readable || controls_already || caller.credentials().has(Capabilities::SYS_ADMIN)
    }

    /// Whether the line was hung up since this was opened.
    fn is_dead(&self, state: &State) -> bool {
        state.is_master_closed || state.hang_ups != self.hang_ups
    }

    fn flush(&self, what: u64) -> Result<(), Errno> {
        let mut state = self.pair.state.lock();
        match u32::try_from(what) {
            Ok(uapi::TCIFLUSH) => state.discipline.flush_input(),
            Ok(uapi::TCOFLUSH) => state.discipline.flush_output(),
            Ok(uapi::TCIOFLUSH) => {
                state.discipline.flush_input();
                state.discipline.flush_output();
            }
            _ => return Err(Errno::EINVAL),
        }
        drop(state);
        self.pair.announce();
        Ok(())
    }

    /// TIOCSTI: a byte that counts as typed.
    fn type_in(&self, byte: u8) {
        let (_, signals) = self.pair.state.lock().discipline.type_in(&[byte]);
        self.pair.signal_all(signals);
        self.pair.announce();
    }
}

impl File for Slave {
    fn prepare_io(&self, caller: &dyn Caller, is_write: bool) -> Result<(), Errno> {
        let job_control = &self.pair.job_control;
        {
            let state = self.pair.state.lock();
            let is_free = is_write && state.discipline.termios().local & uapi::TOSTOP == 0;
            if is_free || self.is_dead(&state) {
                return Ok(());
            }
        }
        if !is_write {
            return job_control.check_foreground(caller, uapi::SIGTTIN);
        }
        job_control.check_foreground(caller, uapi::SIGTTOU)
    }

    fn write_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(super::WRITE_UNIT_BYTES)
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = {
            let mut state = self.pair.state.lock();
            if self.is_dead(&state) {
                return Ok(0);
            }
            state.discipline.read(buffer).ok_or(Errno::EAGAIN)?
        };
        self.pair.announce();
        Ok(read)
    }

    fn read_pace(&self) -> Option<ReadPace> {
        let state = self.pair.state.lock();
        let termios = state.discipline.termios();
        let is_paced = !state.discipline.reads_lines() && !self.is_dead(&state);
        is_paced.then(|| termios.read_pace())
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let taken = {
            let mut state = self.pair.state.lock();
            if self.is_dead(&state) {
                return Err(Errno::EIO);
            }
            state.discipline.write(buffer)
        };
        self.pair.announce();
        if taken == 0 && !buffer.is_empty() { Err(Errno::EAGAIN) } else { Ok(taken) }
    }

    fn readiness(&self) -> Events {
        let state = self.pair.state.lock();
        let is_closed = self.is_dead(&state);
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, is_closed || state.discipline.is_readable());
        events.set(Events::OUT | Events::WRNORM, is_closed || state.discipline.has_output_room());
        events.set(Events::HUP | Events::ERR, is_closed);
        events
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.slave_queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        if self.is_dead(&self.pair.state.lock()) {
            return Err(if request == requests::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
        }
        if request == requests::TIOCSCTTY && !self.may_control(caller) {
            return Err(Errno::EPERM);
        }
        let line: Arc<dyn ControllingTerminal> = Arc::new(Line::new(self.pair.clone()));
        if let Some(result) = self.pair.job_control.ioctl(&line, request, argument, caller) {
            return result;
        }
        let place = VirtualAddress(argument);
        match request {
            requests::FIONREAD => {
                let readable = self.pair.state.lock().discipline.readable_bytes();
                return self.pair.number_of_bytes(caller, argument, readable);
            }
            // Only a master has a peer to be opened.
            requests::TIOCGPTPEER => return Err(Errno::EIO),
            // What is shown is with the master at once.
            requests::TIOCOUTQ => return self.pair.number_of_bytes(caller, argument, 0),
            requests::TIOCEXCL | requests::TIOCNXCL => {
                self.pair.state.lock().is_exclusive = request == requests::TIOCEXCL;
            }
            requests::TIOCGEXCL => {
                let is_exclusive = self.pair.state.lock().is_exclusive;
                caller.memory().write_object(place, &i32::from(is_exclusive))?;
            }
            requests::TIOCSTI => self.type_in(byte_to_type(place, caller)?),
            requests::TIOCVHANGUP => {
                if !caller.credentials().has(Capabilities::SYS_ADMIN) {
                    return Err(Errno::EPERM);
                }
                self.pair.hang_up();
            }
            requests::TCFLSH => {
                self.pair.job_control.check_foreground(caller, uapi::SIGTTOU)?;
                self.flush(argument)?;
            }
            _ => {
                if changes_the_terminal(request) {
                    self.pair.job_control.check_foreground(caller, uapi::SIGTTOU)?;
                }
                return self.pair.ioctl(request, argument, caller);
            }
        }
        Ok(0)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(*self.pair.attributes().lock())
    }

    fn nameless_inode(&self) -> Option<Arc<dyn Inode>> {
        // TIOCGPTPEER opens the node, too.
        Some(Arc::new(PtsNode::new(&self.pair)))
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
            state.slaves = state.slaves.saturating_sub(1);
            state.slaves == 0
        };
        if is_last {
            self.pair.master_queue.notify(Events::HUP | Events::IN | Events::OUT);
        }
    }
}

/// Whether an ioctl changes what the foreground sees of the terminal: it is for the foreground, then.
fn changes_the_terminal(request: u32) -> bool {
    use requests::{TCSBRK, TCSBRKP, TCXONC, TIOCCBRK, TIOCSBRK, TIOCSETD};
    changes_settings(request) || matches!(request, TIOCSETD | TCXONC | TCSBRK | TCSBRKP | TIOCSBRK | TIOCCBRK)
}

/// Whether an ioctl changes the slave's settings, at whichever end.
pub(super) fn changes_settings(request: u32) -> bool {
    use requests::{TCSETA, TCSETAF, TCSETAW, TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2};
    matches!(request, TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 | TCSETA | TCSETAW | TCSETAF)
}

/// The slave as a session's controlling terminal.
pub(super) struct Line(Arc<Pair>);

impl Line {
    pub(super) fn new(pair: Arc<Pair>) -> Self {
        Self(pair)
    }
}

impl ControllingTerminal for Line {
    fn job_control(&self) -> &JobControl {
        &self.0.job_control
    }

    fn open_again(&self) -> Arc<dyn File> {
        let mut state = self.0.state.lock();
        self.0.add_slave(&mut state, true)
    }

    fn device(&self) -> DeviceNumber {
        slave_device(self.0.number)
    }

    fn hang_up(&self) {
        self.0.hang_up();
    }
}
