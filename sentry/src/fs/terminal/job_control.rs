//! Job control: which session a terminal controls and which of its process groups is in the foreground
//! (`man 7 credentials`, `man 2 ioctl_tty`).
//!
//! Sessions and groups are numbered as the root PID namespace numbers them. `JobControl::state` is taken before
//! `ControllingTerminals::by_session`, and that before `cut_off`; signals are sent with neither held.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use linux_raw_sys::general::{SIGCONT, SIGHUP, SIGTTIN, SIGTTOU};
use linux_raw_sys::ioctl::{TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP};
use parking_lot::Mutex;

use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::{Caller, DeviceNumber, File};
use crate::platform::VirtualAddress;
use crate::settings::{KernelNumber, KernelSettings};

/// The process groups of the sandbox, as terminals need them.
pub trait ProcessGroups: Send + Sync {
    /// Sends `signal` to the process.
    fn signal_process(&self, process_id: i32, signal: i32);
    /// Sends `signal` to each process of the group.
    fn signal_process_group(&self, process_group_id: i32, signal: i32);
    /// The session of the group; `None` if there is no such group.
    fn session_of_process_group(&self, process_group_id: i32) -> Option<i32>;
}

/// A process, as terminals know it: it has its session's terminal if it leads the session, or if it was made by one that had
/// it and has not given it up since (`man 2 ioctl_tty`, TIOCNOTTY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionMember {
    /// Its number in the root PID namespace.
    pub process_id: i32,
    /// Its session's, there.
    pub session_id: i32,
    /// Which [association](ControllingTerminals::association_of) of a terminal with a session it was made in; 0 for none.
    pub association: u64,
}

impl SessionMember {
    fn is_leader(&self) -> bool {
        self.process_id == self.session_id && self.process_id != 0
    }
}

/// Which terminal controls which session.
#[derive(Default)]
pub struct ControllingTerminals {
    by_session: Mutex<BTreeMap<i32, Arc<dyn ControllingTerminal>>>,
    /// The foreground of each session at the time when its terminal was hung up, until the leader exits or has another one.
    cut_off: Mutex<BTreeMap<i32, i32>>,
    groups: OnceLock<Arc<dyn ProcessGroups>>,
    /// How many pseudoterminals there are, of all instances of devpts.
    pairs: AtomicUsize,
    settings: Arc<KernelSettings>,
    /// How often a terminal came to control a session.
    associations: AtomicU64,
}

/// A terminal that can control a session.
pub(crate) trait ControllingTerminal: Send + Sync {
    fn job_control(&self) -> &JobControl;
    /// Opens it once more, for /dev/tty.
    fn open_again(&self) -> Arc<dyn File>;
    fn device(&self) -> DeviceNumber;
    /// Hangs it up: its session is without a terminal.
    fn hang_up(&self) {
        self.job_control().hang_up();
    }
}

impl ControllingTerminals {
    /// None yet; `settings` bound the pseudoterminals.
    pub fn new(settings: &Arc<KernelSettings>) -> Arc<Self> {
        Arc::new(Self { settings: settings.clone(), ..Self::default() })
    }

    /// How many pseudoterminals there are (`kernel.pty.nr`).
    pub fn pairs(&self) -> usize {
        self.pairs.load(Ordering::Relaxed)
    }

    /// Counts a new pseudoterminal.
    ///
    /// # Errors
    /// ENOSPC: there are as many as there may be (`kernel.pty.max`).
    pub(in crate::fs) fn add_pair(&self) -> Result<(), Errno> {
        /// Whatever the setting says.
        const END: usize = 4096;
        let end = self.settings.bound(KernelNumber::PtyMax).min(END);
        let one_more = |pairs: usize| (pairs < end).then_some(pairs + 1);
        let added = self.pairs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        added.map(drop).map_err(|_| Errno::ENOSPC)
    }

    /// One fewer.
    pub(in crate::fs) fn remove_pair(&self) {
        self.pairs.fetch_sub(1, Ordering::Relaxed);
    }

    /// Says where process groups are found; the first one said counts.
    pub fn set_process_groups(&self, groups: Arc<dyn ProcessGroups>) {
        // A second kernel for the same terminals does not happen; the first one stays.
        let _ = self.groups.set(groups);
    }

    /// The terminal that a process has.
    fn of_member(&self, member: SessionMember) -> Option<Arc<dyn ControllingTerminal>> {
        let terminal = self.by_session.lock().get(&member.session_id).cloned()?;
        let has_it = member.is_leader() || terminal.job_control().is_association(member.association);
        has_it.then_some(terminal)
    }

    /// What a child of the process is to have as [`SessionMember::association`], that it has the same terminal.
    pub fn association_of(&self, member: SessionMember) -> u64 {
        let terminal = self.of_member(member);
        terminal.map_or(0, |terminal| terminal.job_control().state.lock().association)
    }

    /// A new open file of the terminal that a process has, for /dev/tty.
    ///
    /// # Errors
    /// ENXIO if it has none.
    pub fn open_of(&self, member: SessionMember) -> Result<Arc<dyn File>, Errno> {
        Ok(self.of_member(member).ok_or(Errno::ENXIO)?.open_again())
    }

    /// A new open file of the session's controlling terminal.
    ///
    /// # Errors
    /// ENXIO if it has none.
    pub fn open(&self, session_id: i32) -> Result<Arc<dyn File>, Errno> {
        let terminal = self.by_session.lock().get(&session_id).cloned().ok_or(Errno::ENXIO)?;
        Ok(terminal.open_again())
    }

    /// The terminal that a process has, and its foreground process group, -1 without one: /proc/PID/stat's `tty_nr` and
    /// `tpgid`.
    pub fn device_and_foreground(&self, member: SessionMember) -> (Option<DeviceNumber>, i32) {
        let Some(terminal) = self.of_member(member) else { return (None, -1) };
        (Some(terminal.device()), terminal.job_control().foreground().unwrap_or(-1))
    }

    /// The foreground process group of the session's terminal, -1 without one.
    pub fn foreground_of_session(&self, session_id: i32) -> i32 {
        let terminal = self.by_session.lock().get(&session_id).cloned();
        terminal.and_then(|terminal| terminal.job_control().foreground()).unwrap_or(-1)
    }

    /// Sends `signal` to the foreground of the session's terminal. Returns whether there is one.
    pub fn signal_foreground(&self, session_id: i32, signal: u32) -> bool {
        let foreground = self.foreground_of_session(session_id);
        if foreground > 0 {
            self.signal(foreground, signal);
        }
        foreground > 0
    }

    /// Hangs up the terminal that a process has (`man 2 vhangup`).
    pub fn hang_up(&self, member: SessionMember) {
        if let Some(terminal) = self.of_member(member) {
            terminal.hang_up();
        }
    }

    /// A session's leader has exited: its terminal is free, and the foreground hears SIGHUP; SIGCONT, too, if the terminal
    /// was hung up before.
    pub fn session_leader_exited(&self, session_id: i32) {
        let terminal = self.by_session.lock().remove(&session_id);
        let cut_off = self.cut_off.lock().remove(&session_id);
        if let Some(foreground) = terminal.and_then(|terminal| terminal.job_control().release()) {
            self.signal(foreground, SIGHUP);
        } else if let Some(foreground) = cut_off {
            self.signal(foreground, SIGHUP);
            self.signal(foreground, SIGCONT);
        }
    }

    /// A session's leader gives its terminal up: the foreground hears SIGHUP and SIGCONT.
    fn give_up(&self, session_id: i32) {
        let terminal = self.by_session.lock().remove(&session_id);
        if let Some(foreground) = terminal.and_then(|terminal| terminal.job_control().release()) {
            self.signal(foreground, SIGHUP);
            self.signal(foreground, SIGCONT);
        }
    }

    fn signal(&self, process_group_id: i32, signal: u32) {
        if let Some(groups) = self.groups.get() {
            groups.signal_process_group(process_group_id, signal.cast_signed());
        }
    }
}

/// The job control state of one terminal.
pub struct JobControl {
    terminals: Arc<ControllingTerminals>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    session: Option<i32>,
    foreground: Option<i32>,
    /// Which of all associations with sessions this is; 0 for none.
    association: u64,
}

impl State {
    fn is_of(&self, member: &SessionMember) -> bool {
        let has_it = member.is_leader() || self.association != 0 && self.association == member.association;
        self.session == Some(member.session_id) && has_it
    }
}

impl JobControl {
    /// Of a terminal that controls no session.
    pub fn new(terminals: Arc<ControllingTerminals>) -> Self {
        Self { terminals, state: Mutex::default() }
    }

    /// The foreground process group.
    pub fn foreground(&self) -> Option<i32> {
        self.state.lock().foreground
    }

    /// The session that the terminal controls.
    pub fn session(&self) -> Option<i32> {
        self.state.lock().session
    }

    /// Sends `signal` to the foreground process group.
    pub fn signal_foreground(&self, signal: u32) {
        if let Some(foreground) = self.foreground() {
            self.terminals.signal(foreground, signal);
        }
    }

    /// The line was cut: the session's leader hears SIGHUP and SIGCONT, and the session is without a terminal. The
    /// foreground hears of it when the leader exits.
    pub(crate) fn hang_up(&self) {
        let old = std::mem::take(&mut *self.state.lock());
        let Some(session) = old.session else { return };
        self.terminals.by_session.lock().remove(&session);
        if let Some(foreground) = old.foreground {
            self.terminals.cut_off.lock().insert(session, foreground);
        }
        if let Some(groups) = self.terminals.groups.get() {
            // The leader is numbered like the session.
            for signal in [SIGHUP, SIGCONT] {
                groups.signal_process(session, signal.cast_signed());
            }
        }
    }

    /// Controls no session any more. Returns what was the foreground.
    fn release(&self) -> Option<i32> {
        std::mem::take(&mut *self.state.lock()).foreground
    }

    /// Makes `terminal`, whose job control this is, the controlling one of `session`.
    ///
    /// # Errors
    /// EPERM if either is taken.
    pub(crate) fn control(
        &self,
        terminal: Arc<dyn ControllingTerminal>,
        session: i32,
        foreground: i32,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let mut by_session = self.terminals.by_session.lock();
        if state.session.is_some() || by_session.contains_key(&session) {
            return Err(Errno::EPERM);
        }
        by_session.insert(session, terminal);
        self.terminals.cut_off.lock().remove(&session);
        let association = self.terminals.associations.fetch_add(1, Ordering::Relaxed) + 1;
        *state = State { session: Some(session), foreground: Some(foreground), association };
        Ok(())
    }

    fn is_association(&self, association: u64) -> bool {
        association != 0 && self.state.lock().association == association
    }

    /// Whether it is the terminal that the caller has.
    fn is_controlling(&self, caller: &dyn Caller) -> bool {
        self.state.lock().is_of(&caller.session_member())
    }

    /// What a background process group gets for touching the terminal (`__signal` is SIGTTIN or SIGTTOU).
    ///
    /// # Errors
    /// ERESTARTSYS once the group has been signalled; EIO if it cannot be stopped.
    pub fn check_foreground(&self, caller: &dyn Caller, signal: u32) -> Result<(), Errno> {
        let state = *self.state.lock();
        let group = caller.process_group_id();
        let is_background = state.is_of(&caller.session_member())
            && state.foreground.is_some_and(|foreground| foreground != group);
        if !is_background {
            return Ok(());
        }
        if caller.is_signal_ignored_or_blocked(signal.cast_signed()) {
            return if signal == SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if caller.is_process_group_orphaned() {
            return Err(Errno::EIO);
        }
        caller.signal_process_group(group, signal.cast_signed());
        Err(Errno::ERESTARTSYS)
    }

    /// Opening a terminal without O_NOCTTY gives it to a session leader that has none.
    pub(crate) fn opened(&self, terminal: Arc<dyn ControllingTerminal>, process_id: i32, session_id: i32) {
        if process_id == session_id && process_id != 0 {
            // A terminal or a session that is taken stays as it is.
            let _ = self.control(terminal, session_id, session_id);
        }
    }

    /// The ioctls of job control on `terminal`; `None` if `request` is none of them.
    pub(crate) fn ioctl(
        &self,
        terminal: &Arc<dyn ControllingTerminal>,
        request: u32,
        argument: u64,
        caller: &dyn Caller,
    ) -> Option<Result<usize, Errno>> {
        let result = match request {
            TIOCSCTTY => self.set_controlling(terminal, argument, caller),
            TIOCNOTTY => self.give_up(caller),
            TIOCGPGRP => self.tell(argument, caller, |state| state.foreground),
            TIOCGSID => self.tell(argument, caller, |state| state.session),
            TIOCSPGRP => self.set_foreground(argument, caller),
            _ => return None,
        };
        Some(result.map(|()| 0))
    }

    fn set_controlling(
        &self,
        terminal: &Arc<dyn ControllingTerminal>,
        argument: u64,
        caller: &dyn Caller,
    ) -> Result<(), Errno> {
        let session = caller.session_id();
        if caller.process_id() != session {
            return Err(Errno::EPERM);
        }
        let controlled = self.session();
        if controlled == Some(session) {
            return Ok(());
        }
        if let Some(other) = controlled {
            if argument != 1 || !caller.credentials().has(Capabilities::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            self.terminals.by_session.lock().remove(&other);
            *self.state.lock() = State::default();
        }
        self.control(terminal.clone(), session, caller.process_group_id())
    }

    fn give_up(&self, caller: &dyn Caller) -> Result<(), Errno> {
        if !self.is_controlling(caller) {
            return Err(Errno::ENOTTY);
        }
        let member = caller.session_member();
        if member.is_leader() {
            self.terminals.give_up(member.session_id);
        } else {
            caller.forget_terminal();
        }
        Ok(())
    }

    fn tell(
        &self,
        argument: u64,
        caller: &dyn Caller,
        which: impl FnOnce(&State) -> Option<i32>,
    ) -> Result<(), Errno> {
        if !self.is_controlling(caller) {
            return Err(Errno::ENOTTY);
        }
        let number = which(&self.state.lock()).unwrap_or(0);
        caller.memory().write_object(VirtualAddress(argument), &number)
    }

    fn set_foreground(&self, argument: u64, caller: &dyn Caller) -> Result<(), Errno> {
        let checked = self.check_foreground(caller, SIGTTOU);
        checked.map_err(|error| if error == Errno::EIO { Errno::ENOTTY } else { error })?;
        let group: i32 = caller.memory().read_object(VirtualAddress(argument))?;
        if group < 0 {
            return Err(Errno::EINVAL);
        }
        if !self.is_controlling(caller) {
            return Err(Errno::ENOTTY);
        }
        let groups = self.terminals.groups.get().ok_or(Errno::ESRCH)?;
        let session = groups.session_of_process_group(group).ok_or(Errno::ESRCH)?;
        let mut state = self.state.lock();
        if state.session != Some(session) {
            return Err(Errno::EPERM);
        }
        state.foreground = Some(group);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
