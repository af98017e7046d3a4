//! A pseudoterminal: a line discipline between a master and its slave (`man 7 pty`).

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use linux_raw_sys::ioctl as requests;
use parking_lot::Mutex;

use super::discipline::Discipline;
use super::master::Master;
use super::slave::{Line, Slave};
use super::{FIRST_SLAVE_INODE, PtsFileSystem};
use crate::Errno;
use crate::cred::{Capabilities, Credentials, KernelGid, KernelUid};
use crate::fs::terminal::{JobControl, Termios, WindowSize};
use crate::fs::{Caller, DeviceNumber, File, FileKind, Inode, Metadata, OpenFlags};
use crate::heap::HeapCharge;
use crate::memory::MemoryManager;
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// The length of a `struct serial_struct`.
const SERIAL_BYTES: usize = 72;
/// The line discipline that there is (`linux/tty.h`).
const N_TTY: u32 = 0;
/// Major number of slaves.
pub(super) const SLAVE_MAJOR: u32 = 136;

/// What a pair takes, with full buffers: what was typed, what waits to be, what is shown, and echoes.
const PAIR_BYTES: usize = 64 << 10;

/// A master and a slave.
pub(super) struct Pair {
    pub(super) number: u32,
    pub(super) state: Mutex<State>,
    pub(super) job_control: JobControl,
    pub(super) master_queue: WaitQueue,
    pub(super) slave_queue: WaitQueue,
    /// Of the slave's node.
    attributes: Arc<Mutex<Metadata>>,
    file_system: Arc<PtsFileSystem>,
    _heap_charge: HeapCharge,
}

pub(super) struct State {
    pub(super) discipline: Discipline,
    window: WindowSize,
    /// Which settings stay as they are (TIOCSLCKTRMIOS).
    lock: Termios,
    /// Slaves cannot be opened until unlockpt(3).
    pub(super) is_locked: bool,
    /// The slave is opened no more but by the privileged (TIOCEXCL).
    pub(super) is_exclusive: bool,
    /// The master was asked to be: nothing comes of it, since it cannot be opened again.
    pub(super) is_master_exclusive: bool,
    pub(super) is_master_closed: bool,
    /// Those that are open, dead ones among them.
    pub(super) slaves: usize,
    /// How often the line was hung up: slaves that were open then are dead.
    pub(super) hang_ups: u64,
    /// A slave has been open: from then on, none is a hang-up.
    has_been_open: bool,
}

impl State {
    /// Whether the master has lost its last slave.
    pub(super) fn is_left(&self) -> bool {
        self.has_been_open && self.slaves == 0
    }

    /// What a read of the master gets.
    ///
    /// # Errors
    /// EAGAIN if it has to wait, EIO once the last slave is gone and all has been read.
    pub(super) fn take_shown(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let is_packet = self.discipline.packet_mode().is_on();
        let (header, rest) = buffer.split_at_mut(usize::from(is_packet));
        if self.discipline.packet_mode().has_status() {
            header.fill(self.discipline.packet_mode().take_status());
            return Ok(header.len());
        }
        if self.discipline.shown_bytes() == 0 {
            return Err(if self.is_left() { Errno::EIO } else { Errno::EAGAIN });
        }
        header.fill(uapi::TIOCPKT_DATA as u8);
        Ok(header.len() + self.discipline.take_shown(rest))
    }
}

impl Pair {
    /// A new one, whose slave has this owner and these permission bits, with empty buffers that it has paid for as if they were full.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(
        number: u32,
        ((uid, gid), permissions): ((KernelUid, KernelGid), u32),
        file_system: &Arc<PtsFileSystem>,
    ) -> Result<Arc<Self>, Errno> {
        let _heap_charge = HeapCharge::new(PAIR_BYTES)?;
        let inode = FIRST_SLAVE_INODE + u64::from(number);
        let fresh = Metadata::new(FileKind::CharacterDevice, permissions, file_system.device, inode);
        let special_device = slave_device(number);
        let attributes = Metadata { uid, gid, special_device, block_size_bytes: 1024, ..fresh };
        Ok(Arc::new(Self {
            number,
            state: Mutex::new(State {
                discipline: Discipline::default(),
                window: WindowSize::default(),
                lock: Termios::no_lock(),
                is_locked: true,
                is_exclusive: false,
                is_master_exclusive: false,
                is_master_closed: false,
                slaves: 0,
                hang_ups: 0,
                has_been_open: false,
            }),
            job_control: JobControl::new(file_system.terminals().clone()),
            master_queue: WaitQueue::default(),
            slave_queue: WaitQueue::default(),
            attributes: Arc::new(Mutex::new(attributes)),
            file_system: file_system.clone(),
            _heap_charge,
        }))
    }

    pub(super) fn open_master(self: &Arc<Self>, inode: Arc<dyn Inode>) -> Arc<dyn File> {
        Arc::new(Master::new(self.clone(), inode))
    }

    /// Opens the slave.
    ///
    /// # Errors
    /// EIO if it is locked or the master is closed; EBUSY if it is exclusive and the opener not privileged.
    pub(super) fn open_slave(
        self: &Arc<Self>,
        flags: OpenFlags,
        credentials: &Credentials,
    ) -> Result<Arc<dyn File>, Errno> {
        let mut state = self.state.lock();
        if state.is_locked || state.is_master_closed {
            return Err(Errno::EIO);
        }
        if state.is_exclusive && !credentials.has(Capabilities::SYS_ADMIN) {
            return Err(Errno::EBUSY);
        }
        Ok(self.add_slave(&mut state, flags.is_readable()))
    }

    /// One more open slave.
    pub(super) fn add_slave(self: &Arc<Self>, state: &mut State, is_readable: bool) -> Arc<dyn File> {
        state.slaves += 1;
        state.has_been_open = true;
        Arc::new(Slave::new(self.clone(), state.hang_ups, is_readable))
    }

    /// Hangs the line up: its session is without a terminal, slaves that are open are dead, what was typed is lost, and the
    /// settings are those of a new line.
    pub(super) fn hang_up(&self) {
        {
            let mut state = self.state.lock();
            state.hang_ups += 1;
            state.discipline.flush_input();
            state.discipline.set_termios(Discipline::default().termios());
        }
        self.job_control.hang_up();
        self.slave_queue.notify(Events::all());
        self.announce();
    }

    /// The attributes of the slave's node.
    pub(super) fn attributes(&self) -> &Arc<Mutex<Metadata>> {
        &self.attributes
    }

    pub(super) fn file_system(&self) -> &PtsFileSystem {
        &self.file_system
    }

    /// Whether the slave is kept from being opened, until unlockpt(3).
    pub(super) fn set_locked(&self, is_locked: bool) {
        self.state.lock().is_locked = is_locked;
    }

    /// A session leader without a terminal has opened the slave without O_NOCTTY.
    pub(super) fn offer(self: &Arc<Self>, process_id: i32, session_id: i32) {
        self.job_control.opened(Arc::new(Line::new(self.clone())), process_id, session_id);
    }

    /// Receives what waited for room that a change of the discipline has made, and announces what has become possible.
    pub(super) fn announce(&self) {
        let (signals, of_master, of_slave) = {
            let mut state = self.state.lock();
            let discipline = &mut state.discipline;
            let signals = discipline.receive_backlog();
            let mut of_master = events(discipline.is_shown(), discipline.has_input_room());
            of_master.set(Events::PRI, discipline.packet_mode().has_status());
            (signals, of_master, events(discipline.has_input(), discipline.has_output_room()))
        };
        self.signal_all(signals);
        self.master_queue.notify(of_master);
        self.slave_queue.notify(of_slave);
    }

    /// Sends the signals that typed characters cause.
    pub(super) fn signal_all(&self, signals: Vec<u32>) {
        for signal in signals {
            self.job_control.signal_foreground(signal);
        }
    }

    /// The ioctls that both ends answer.
    pub(super) fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let (memory, place) = (caller.memory(), VirtualAddress(argument));
        match request {
            requests::TIOCSLCKTRMIOS => self.lock_termios(place, caller)?,
            requests::TIOCGWINSZ => {
                let window = self.state.lock().window;
                memory.write_object(place, &window.fields)?;
            }
            requests::TIOCSWINSZ => {
                self.set_window(WindowSize { fields: memory.read_object(place)? });
            }
            requests::TIOCGDEV => {
                let device = slave_device(self.number).as_u64();
                let device = u32::try_from(device).map_err(|_| Errno::EOVERFLOW)?;
                memory.write_object(place, &device)?;
            }
            requests::TCXONC => self.control_flow(argument)?,
            // There is no line to set up.
            requests::TIOCSSERIAL => {
                caller.memory().read_object::<[u8; SERIAL_BYTES]>(VirtualAddress(argument))?;
                return Err(Errno::ENOTTY);
            }
            // Output is never on its way: it is with the master at once. There is no wire to break.
            requests::TCSBRK | requests::TCSBRKP | requests::TIOCSBRK | requests::TIOCCBRK => {}
            requests::TIOCGETD => memory.write_object(place, &N_TTY)?,
            requests::TIOCSETD => {
                let number: u32 = memory.read_object(place)?;
                if number != N_TTY {
                    return Err(Errno::EINVAL);
                }
            }
            _ => self.settings_ioctl(request, place, memory)?,
        }
        Ok(0)
    }

    /// Has the window be of this size; the foreground hears of a change.
    pub(super) fn set_window(&self, window: WindowSize) {
        let old = std::mem::replace(&mut self.state.lock().window, window);
        if old != window {
            self.job_control.signal_foreground(uapi::SIGWINCH);
        }
    }

    /// Those that show or change settings (`man 2 TCSETS`).
    fn settings_ioctl(
        &self,
        request: u32,
        place: VirtualAddress,
        memory: &MemoryManager,
    ) -> Result<(), Errno> {
        let termios = || self.state.lock().discipline.termios();
        match request {
            requests::TCGETS => memory.write_object(place, &termios().to_user().termios),
            requests::TCGETS2 => memory.write_object(place, &termios().to_user()),
            requests::TCGETA => memory.write_object(place, &termios().to_termio()),
            requests::TCSETS | requests::TCSETSW | requests::TCSETSF => {
                let user = memory.read_object(place)?;
                self.set_termios(request == requests::TCSETSF, |old| old.updated_from(&user));
                Ok(())
            }
            requests::TCSETS2 | requests::TCSETSW2 | requests::TCSETSF2 => {
                let user = memory.read_object(place)?;
                self.set_termios(request == requests::TCSETSF2, |_| Termios::from_user(&user));
                Ok(())
            }
            requests::TCSETA | requests::TCSETAW | requests::TCSETAF => {
                let user = memory.read_object(place)?;
                self.set_termios(request == requests::TCSETAF, |old| old.updated_from_termio(&user));
                Ok(())
            }
            requests::TIOCGLCKTRMIOS => {
                let lock = self.state.lock().lock;
                memory.write_object(place, &lock.to_user().termios)
            }
            requests::TIOCGSOFTCAR => {
                memory.write_object(place, &i32::from(termios().control & uapi::CLOCAL != 0))
            }
            requests::TIOCSSOFTCAR => {
                let is_local: i32 = memory.read_object(place)?;
                let flag = if is_local != 0 { uapi::CLOCAL } else { 0 };
                self.set_termios(false, |old| Termios { control: old.control & !uapi::CLOCAL | flag, ..old });
                Ok(())
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    /// New settings, made of the old ones; `forgets_input` if what was typed is not to be read under them.
    fn set_termios(&self, forgets_input: bool, change: impl FnOnce(Termios) -> Termios) {
        {
            let mut state = self.state.lock();
            if forgets_input {
                state.discipline.flush_input();
            }
            let old = state.discipline.termios();
            let settings = change(old).on_pseudoterminal().locked(&state.lock, &old);
            state.discipline.set_termios(settings);
        }
        self.announce();
    }

    fn lock_termios(&self, place: VirtualAddress, caller: &dyn Caller) -> Result<(), Errno> {
        if !caller.credentials().has(Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let user = caller.memory().read_object(place)?;
        self.state.lock().lock = Termios::no_lock().updated_from(&user);
        Ok(())
    }

    fn control_flow(&self, what: u64) -> Result<(), Errno> {
        match u32::try_from(what) {
            Ok(uapi::TCOOFF) => self.state.lock().discipline.stop_by_call(true),
            Ok(uapi::TCOON) => self.state.lock().discipline.stop_by_call(false),
            Ok(uapi::TCIOFF) => self.state.lock().discipline.send_flow_character(uapi::VSTOP),
            Ok(uapi::TCION) => self.state.lock().discipline.send_flow_character(uapi::VSTART),
            _ => return Err(Errno::EINVAL),
        }
        self.announce();
        Ok(())
    }

    /// Answers a request for a count of bytes.
    pub(super) fn number_of_bytes(
        &self,
        caller: &dyn Caller,
        argument: u64,
        count: usize,
    ) -> Result<usize, Errno> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &count)?;
        Ok(0)
    }
}

/// What there is to wait for at an end that can be read or written.
fn events(is_readable: bool, is_writable: bool) -> Events {
    let mut events = Events::empty();
    events.set(Events::IN | Events::RDNORM, is_readable);
    events.set(Events::OUT | Events::WRNORM, is_writable);
    events
}

pub(super) fn slave_device(number: u32) -> DeviceNumber {
    DeviceNumber::new(SLAVE_MAJOR, number)
}

/// The byte that TIOCSTI types.
///
/// # Errors
/// EIO without privilege, as where `dev.tty.legacy_tiocsti` is 0; EFAULT.
pub(super) fn byte_to_type(place: VirtualAddress, caller: &dyn Caller) -> Result<u8, Errno> {
    if !caller.credentials().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EIO);
    }
    caller.memory().read_object(place)
}
