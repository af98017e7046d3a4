//! A pseudoterminal's master: it types, and sees what is shown (`man 7 pty`).

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::general as uapi;
use linux_raw_sys::ioctl as requests;

use super::pair::{Pair, byte_to_type};
use super::slave::{Line, changes_settings};
use crate::Errno;
use crate::fs::terminal::ControllingTerminal;
use crate::fs::{Caller, File, FileDescription, Inode, LongText, Metadata, OpenFlags, TransferUnit};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// The master's end.
pub(super) struct Master {
    pair: Arc<Pair>,
    inode: Arc<dyn Inode>,
}

impl Master {
    pub(super) fn new(pair: Arc<Pair>, inode: Arc<dyn Inode>) -> Self {
        Self { pair, inode }
    }

    /// The pair that it is the master of.
    pub(super) fn pair(&self) -> &Arc<Pair> {
        &self.pair
    }

    /// The ioctls of the master about locks, packets and who may open what; `None` if `request` is none of them.
    fn modes(&self, request: u32, place: VirtualAddress, caller: &dyn Caller) -> Option<Result<(), Errno>> {
        let memory = caller.memory();
        Some(match request {
            requests::TIOCSPTLCK => {
                memory.read_object::<i32>(place).map(|lock| self.pair.set_locked(lock != 0))
            }
            requests::TIOCGPTLCK => {
                let is_locked = self.pair.state.lock().is_locked;
                memory.write_object(place, &i32::from(is_locked))
            }
            requests::TIOCPKT => memory.read_object::<i32>(place).map(|mode| {
                self.pair.state.lock().discipline.packet_mode().set(mode != 0);
            }),
            requests::TIOCGPKT => {
                let is_on = self.pair.state.lock().discipline.packet_mode().is_on();
                memory.write_object(place, &i32::from(is_on))
            }
            requests::TIOCEXCL | requests::TIOCNXCL => {
                self.pair.state.lock().is_master_exclusive = request == requests::TIOCEXCL;
                Ok(())
            }
            requests::TIOCGEXCL => {
                let is_exclusive = self.pair.state.lock().is_master_exclusive;
                memory.write_object(place, &i32::from(is_exclusive))
            }
            _ => return None,
        })
    }

    /// TIOCGPTPEER: opens the slave without its path.
    fn open_peer(&self, flags: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let flags = OpenFlags::from_bits_truncate(flags as u32);
        let slave = self.pair.open_slave(flags, &caller.credentials())?;
        if !flags.contains(OpenFlags::NOCTTY) && flags.is_readable() {
            self.pair.offer(caller.process_id(), caller.session_id());
        }
        let is_close_on_exec = flags.contains(OpenFlags::CLOEXEC);
        let status = flags - OpenFlags::CLOEXEC - OpenFlags::NOCTTY;
        let description = FileDescription::new(slave, None, status);
        let descriptor = caller.install_descriptor(description, is_close_on_exec)?;
        descriptor.index().ok_or(Errno::EMFILE)
    }

    /// TCFLSH: what was shown is the master's input; what it types and the slave has no room for is its output.
    fn flush(&self, what: u64) -> Result<(), Errno> {
        let mut state = self.pair.state.lock();
        match u32::try_from(what) {
            Ok(uapi::TCIFLUSH) => state.discipline.forget_shown(),
            Ok(uapi::TCOFLUSH) => state.discipline.forget_backlog(),
            Ok(uapi::TCIOFLUSH) => {
                state.discipline.forget_shown();
                state.discipline.forget_backlog();
            }
            _ => return Err(Errno::EINVAL),
        }
        drop(state);
        self.pair.announce();
        Ok(())
    }
}

impl File for Master {
    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        text.push(format!("tty-index:\t{}\n", self.pair.number))
    }

    fn write_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(super::WRITE_UNIT_BYTES)
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.pair.state.lock().take_shown(buffer)?;
        self.pair.announce();
        Ok(read)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let (taken, signals) = self.pair.state.lock().discipline.type_in(buffer);
        self.pair.signal_all(signals);
        self.pair.announce();
        if taken == 0 && !buffer.is_empty() { Err(Errno::EAGAIN) } else { Ok(taken) }
    }

    fn readiness(&self) -> Events {
        let mut state = self.pair.state.lock();
        let is_told = state.discipline.packet_mode().has_status();
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, state.discipline.is_shown());
        events.set(Events::PRI, is_told);
        events.set(Events::OUT | Events::WRNORM, state.discipline.has_input_room());
        events.set(Events::HUP, state.is_left());
        events
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.master_queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let (memory, place) = (caller.memory(), VirtualAddress(argument));
        if let Some(result) = self.modes(request, place, caller) {
            return result.map(|()| 0);
        }
        match request {
            requests::TIOCGPTN => memory.write_object(place, &self.pair.number)?,
            // The slave is the terminal that is meant.
            requests::TIOCSCTTY | requests::TIOCSPGRP => {
                let line: Arc<dyn ControllingTerminal> = Arc::new(Line::new(self.pair.clone()));
                let answer = self.pair.job_control.ioctl(&line, request, argument, caller);
                return answer.unwrap_or(Err(Errno::ENOTTY));
            }
            requests::TIOCGPTPEER => return self.open_peer(argument, caller),
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
            // What is typed is with the slave at once.
            requests::TIOCOUTQ => return self.pair.number_of_bytes(caller, argument, 0),
            // The flow character is typed.
            requests::TCXONC if matches!(argument as u32, uapi::TCIOFF | uapi::TCION) => {
                let termios = self.pair.state.lock().discipline.termios();
                let index = if argument as u32 == uapi::TCIOFF { uapi::VSTOP } else { uapi::VSTART };
                match termios.character(index) {
                    0 => {}
                    character => self.write_at(&[character], 0).map(drop)?,
                }
            }
            requests::TCFLSH => self.flush(argument)?,
            requests::TIOCSTI => {
                let byte = byte_to_type(place, caller)?;
                self.pair.state.lock().discipline.send_to_master(byte);
                self.pair.announce();
            }
            _ => {
                if changes_settings(request) {
                    self.pair.job_control.check_foreground(caller, uapi::SIGTTOU)?;
                }
                return self.pair.ioctl(request, argument, caller);
            }
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
        self.pair.file_system().remove(self.pair.number);
        self.pair.job_control.hang_up();
        self.pair.slave_queue.notify(Events::all());
    }
}
