//! A pseudoterminal whose master is held outside: by who relays the caller's terminal.

use std::sync::Arc;

use super::master::Master;
use super::pair::{Pair, slave_device};
use super::slave::Line;
use crate::Errno;
use crate::cred::KernelUid;
use crate::fs::terminal::WindowSize;
use crate::fs::{AttributeChanges, FileDescription, FsView, OpenFlags, Path, Resolver, Viewer, operations};
use crate::wait::{Events, WaitQueue};

/// Where terminals are made.
const MULTIPLEXER: &[u8] = b"/dev/pts/ptmx";

/// The master of a pseudoterminal. Dropping it hangs the line up.
pub struct HeldTerminal {
    pair: Arc<Pair>,
    master: Arc<FileDescription>,
    slave: Path,
    viewer: Viewer,
}

impl HeldTerminal {
    /// Makes a pseudoterminal in the devpts that `view` has at /dev/pts, for user `uid`.
    ///
    /// # Errors
    /// ENOENT or ENODEV if no devpts is there, ENOSPC if there are too many terminals.
    pub fn new(view: &FsView, viewer: Viewer, uid: u32) -> Result<Self, Errno> {
        let resolver = Resolver::new(view, &viewer);
        let multiplexer = resolver.resolve(&view.root, MULTIPLEXER, true)?;
        let master = operations::open_path(&multiplexer, OpenFlags::RDWR | OpenFlags::NOCTTY, &viewer)?;
        let pair = master.file().as_any().downcast_ref::<Master>().ok_or(Errno::ENODEV)?.pair().clone();
        pair.set_locked(false);
        let slave = resolver.resolve(&view.root, format!("/dev/pts/{}", pair.number).as_bytes(), false)?;
        if slave.inode().metadata()?.special_device != slave_device(pair.number) {
            return Err(Errno::ENODEV);
        }
        slave
            .inode()
            .set_attributes(&AttributeChanges { uid: Some(KernelUid(uid)), ..AttributeChanges::default() })?;
        Ok(Self { pair, master, slave, viewer })
    }

    /// Opens the slave: what a program has for its standard streams.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open_slave(&self) -> Result<Arc<FileDescription>, Errno> {
        operations::open_path(&self.slave, OpenFlags::RDWR | OpenFlags::NOCTTY, &self.viewer)
    }

    /// Makes it the controlling terminal of `session`, whose leader's group is in the foreground.
    ///
    /// # Errors
    /// EPERM if either is taken.
    pub fn control_session(&self, session: i32) -> Result<(), Errno> {
        self.pair.job_control.control(Arc::new(Line::new(self.pair.clone())), session, session)
    }

    /// Has the window be of this size; the foreground hears SIGWINCH if it was another.
    pub fn resize(&self, window: WindowSize) {
        self.pair.set_window(window);
    }

    /// Hangs the line up: the session's leader hears SIGHUP.
    pub fn hang_up(&self) {
        self.pair.hang_up();
    }

    /// Takes what is shown.
    ///
    /// # Errors
    /// EAGAIN while there is nothing, EIO if there is nothing and no slave is open.
    pub fn take_shown(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.master.file().read_at(buffer, 0)
    }

    /// Types `bytes`; returns how many were taken.
    ///
    /// # Errors
    /// EAGAIN while there is no room.
    pub fn type_in(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.master.file().write_at(bytes, 0)
    }

    /// Where it announces that there is something shown, or room to type.
    pub fn queue(&self) -> &WaitQueue {
        &self.pair.master_queue
    }
}

impl Drop for HeldTerminal {
    fn drop(&mut self) {
        // Who waits for room to type in vain hears of the end.
        self.pair.master_queue.notify(Events::HUP);
    }
}
