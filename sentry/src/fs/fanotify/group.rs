//! A group: its marks, its queue of events, which is read as a file, and the answers that are written to it.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use linux_raw_sys::ioctl::FIONREAD;
use parking_lot::Mutex;

use super::event::{About, Event, NO_FD, PIDFD_ERROR, Question};
use super::mark::{Holder, Mark};
use super::{FanMask, InitFlags, MarkChange, MarkFlags, MarkPlace};
use crate::Errno;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::inotify::{Account, InotifyLimits};
use crate::fs::operations::open_silently;
use crate::fs::{
    Caller, File, LongText, Metadata, OpenFiles, OpenFlags, Path, Splicing, TransferUnit, Viewer,
};
use crate::heap::{HeapCharge, shrink_queue};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// What a group takes.
const GROUP_BYTES: usize = 1024;
/// How far back in the queue is looked for an event that a new one goes with.
const MAX_MERGE_DEPTH: usize = 128;
/// Length of an answer (`struct fanotify_response`), and what it can be.
const RESPONSE_LEN: usize = 8;
const ALLOW: u32 = 1;
const DENY: u32 = 2;
const AUDIT: u32 = 0x10;

/// A group.
pub struct FanotifyFile {
    flags: InitFlags,
    /// How descriptors of events are opened.
    event_flags: OpenFlags,
    /// Whoever made it may hear of what he could see anyway, and of nobody else.
    is_unprivileged: bool,
    viewer: Viewer,
    state: Mutex<State>,
    queue: WaitQueue,
    inode: AnonymousInode,
    account: Account,
    max_events: usize,
    own: Weak<Self>,
}

#[derive(Default)]
struct State {
    marks: Vec<(Arc<Mark>, Holder)>,
    events: VecDeque<Event>,
    /// Whether that events were lost waits among the events.
    says_overflow: bool,
    /// Questions that have been read, by the descriptors that were made for them.
    asked: Vec<(i32, Arc<Question>)>,
    heap_charge: HeapCharge,
}

impl FanotifyFile {
    /// A group without marks, of `viewer`.
    ///
    /// # Errors
    /// EMFILE: the user has too many groups. ENOMEM.
    pub fn new(
        limits: &Arc<InotifyLimits>,
        (flags, event_flags): (InitFlags, OpenFlags),
        is_unprivileged: bool,
        viewer: &Viewer,
        files: &OpenFiles,
    ) -> Result<Arc<Self>, Errno> {
        let account = Account::open(limits, viewer.credentials.effective_uid)?;
        let heap_charge = HeapCharge::new(GROUP_BYTES)?;
        let is_unlimited = flags.contains(InitFlags::UNLIMITED_QUEUE);
        Ok(Arc::new_cyclic(|own| Self {
            flags,
            event_flags,
            is_unprivileged,
            viewer: Viewer::kernel(&viewer.credentials.user_namespace),
            state: Mutex::new(State { heap_charge, ..State::default() }),
            queue: WaitQueue::default(),
            inode: AnonymousInode::new(files),
            max_events: if is_unlimited { usize::MAX } else { account.max_queued_events() },
            account,
            own: own.clone(),
        }))
    }

    /// How it was made.
    pub fn flags(&self) -> InitFlags {
        self.flags
    }

    /// Whether whoever made it lacked the privilege.
    pub fn is_unprivileged(&self) -> bool {
        self.is_unprivileged
    }

    fn counts_marks(&self) -> bool {
        !self.flags.contains(InitFlags::UNLIMITED_MARKS)
    }

    /// Changes the mark on what is at `path`.
    ///
    /// # Errors
    /// ENOENT: there is none to take from. EEXIST. ENOSPC: there are too many. ENOMEM.
    pub fn change_mark(&self, path: &Path, change: &MarkChange) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let holder = Holder::new(path, change.place);
        let known = holder.with_list(|list| list.of_group(&self.own)).flatten();
        if !change.flags.contains(MarkFlags::ADD) {
            let mark = known.ok_or(Errno::ENOENT)?;
            let is_empty = mark.remove(change);
            drop(state);
            if is_empty {
                holder.with_list(|list| list.remove(&mark));
                self.forget(&mark);
            }
            return Ok(());
        }
        if change.is_undone_by_writers() && has_writers(path) {
            return Ok(());
        }
        if let Some(mark) = known {
            return mark.add(change);
        }
        if self.counts_marks() {
            self.account.add_watch()?;
        }
        let made = Mark::new(self.own.clone(), change.place).and_then(|mark| mark.add(change).map(|()| mark));
        let mark = made.inspect_err(|_| self.account.remove_watches(usize::from(self.counts_marks())))?;
        // Now and then, so that adding many takes no more time for each.
        if state.marks.len() == state.marks.capacity() {
            let before = state.marks.len();
            state.marks.retain(|(_, holder)| holder.is_alive());
            let kept = state.marks.len();
            state.marks.reserve(kept + 1);
            if self.counts_marks() {
                self.account.remove_watches(before - kept);
            }
        }
        path.dentry.set_has_marks();
        holder.with_list(|list| list.add(mark.clone()));
        state.marks.push((mark, holder));
        Ok(())
    }

    /// Takes all marks on objects of a kind away.
    pub fn flush(&self, place: MarkPlace) {
        let marks: Vec<_> = {
            let mut state = self.state.lock();
            let (gone, kept) =
                std::mem::take(&mut state.marks).into_iter().partition(|(mark, _)| mark.place == place);
            state.marks = kept;
            gone
        };
        self.detach(marks);
    }

    fn detach(&self, marks: Vec<(Arc<Mark>, Holder)>) {
        if self.counts_marks() {
            self.account.remove_watches(marks.len());
        }
        for (mark, holder) in marks {
            holder.with_list(|list| list.remove(&mark));
        }
    }

    /// A mark is no longer on anything.
    pub(super) fn forget(&self, mark: &Arc<Mark>) {
        let mut state = self.state.lock();
        let index = state.marks.iter().position(|(own, _)| Arc::ptr_eq(own, mark));
        let removed = index.map(|index| state.marks.swap_remove(index));
        drop(state);
        if removed.is_some() && self.counts_marks() {
            self.account.remove_watches(1);
        }
        // Outside the lock: it may be the file's last use.
        drop(removed);
    }

    /// Puts an event into the queue; one about the same, lately, takes it in.
    pub(super) fn receive(&self, event: Event) {
        if self.state.lock().push(event, self.max_events, &self.account) {
            self.queue.notify(Events::IN | Events::RDNORM);
        }
    }

    /// What the reader is told of `event`: its bytes.
    ///
    /// # Errors
    /// Those of opening the file: the event is lost.
    fn tell(&self, event: &Event, caller: &dyn Caller) -> Result<Vec<u8>, Errno> {
        let opened = match &event.about {
            About::Place(path) | About::Question(path, _) => self.open(path, caller),
            About::Nothing | About::Handles(_) => Ok(NO_FD),
        };
        if let About::Question(_, question) = &event.about {
            match &opened {
                Ok(fd) => self.state.lock().note_asked(*fd, question),
                Err(_) => question.give(false),
            }
        }
        let fd = match opened {
            Err(error) if self.flags.contains(InitFlags::REPORT_FD_ERROR) => -i32::from(error.raw()),
            result => result?,
        };
        let (process, thread) = event.actor;
        let pid = match self.flags.contains(InitFlags::REPORT_TID) {
            _ if self.is_unprivileged && process != caller.process_id() => 0,
            true => caller.shown_thread(thread),
            false => caller.shown_process(process),
        };
        let pidfd =
            self.flags.contains(InitFlags::REPORT_PIDFD).then(|| match caller.open_process(process) {
                Ok(fd) => fd.0,
                Err(Errno::ESRCH) => NO_FD,
                Err(_) => PIDFD_ERROR,
            });
        Ok(event.encode(self.flags, fd, pid, pidfd))
    }

    fn open(&self, path: &Path, caller: &dyn Caller) -> Result<i32, Errno> {
        let description = open_silently(path, self.event_flags, &self.viewer)?;
        Ok(caller.install_descriptor(description, self.event_flags.contains(OpenFlags::CLOEXEC))?.0)
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// EINVAL: it makes no sense. ENOENT: nobody has asked with that descriptor.
    fn take_answer(&self, bytes: &[u8]) -> Result<(), Errno> {
        let (fd, rest) = bytes.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
        let answer = rest.first_chunk::<4>().ok_or(Errno::EINVAL)?;
        let (fd, answer) = (i32::from_le_bytes(*fd), u32::from_le_bytes(*answer));
        let may_audit = self.flags.contains(InitFlags::ENABLE_AUDIT);
        let is_known = matches!(answer & !AUDIT, ALLOW | DENY) && (answer & AUDIT == 0 || may_audit);
        if !is_known || fd < 0 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        let index = state.asked.iter().position(|(asked, _)| *asked == fd).ok_or(Errno::ENOENT)?;
        let (_, question) = state.asked.swap_remove(index);
        drop(state);
        question.give(answer & !AUDIT == ALLOW);
        Ok(())
    }
}

impl State {
    /// `question` has been read, with this descriptor. Those that nobody waits for any more are forgotten: each that is left is that
    /// of a task.
    fn note_asked(&mut self, fd: i32, question: &Arc<Question>) {
        self.asked.retain(|(_, asked)| Arc::strong_count(asked) > 1);
        self.asked.push((fd, question.clone()));
    }

    /// Whether there is something more to read.
    fn push(&mut self, event: Event, max_events: usize, account: &Account) -> bool {
        let mut recent = self.events.iter_mut().rev().take(MAX_MERGE_DEPTH);
        if let Some(known) = recent.find(|known| known.merges_with(&event)) {
            known.mask |= event.mask;
            return false;
        }
        let len = event.kept_bytes();
        let charged = self.heap_charge.len_bytes() + len;
        if self.events.len() < max_events && self.heap_charge.resize(charged).is_ok() {
            if account.queue(len) {
                self.events.push_back(event);
                return true;
            }
            self.heap_charge.force(charged - len);
        }
        if let About::Question(_, question) = &event.about {
            question.give(true);
        }
        if std::mem::replace(&mut self.says_overflow, true) {
            return false;
        }
        self.events.push_back(Event { mask: FanMask::Q_OVERFLOW, actor: (0, 0), about: About::Nothing });
        true
    }

    /// Takes the first event out, if that is at most `room` bytes long when it is read.
    ///
    /// # Errors
    /// EAGAIN: there is none. EINVAL: it is longer.
    fn pop(&mut self, room: usize, flags: InitFlags, account: &Account) -> Result<Event, Errno> {
        let first = self.events.front().ok_or(Errno::EAGAIN)?;
        if first.len_bytes(flags) > room {
            return Err(Errno::EINVAL);
        }
        let event = self.events.pop_front().ok_or(Errno::EAGAIN)?;
        shrink_queue(&mut self.events);
        match &event.about {
            About::Nothing => self.says_overflow = false,
            _ => {
                let len = event.kept_bytes();
                account.unqueue(len);
                self.heap_charge.force(self.heap_charge.len_bytes().saturating_sub(len));
            }
        }
        Ok(event)
    }
}

impl Drop for FanotifyFile {
    fn drop(&mut self) {
        let State { marks, events, asked, .. } = std::mem::take(self.state.get_mut());
        self.detach(marks);
        let is_charged = |event: &&Event| !matches!(event.about, About::Nothing);
        self.account.unqueue(events.iter().filter(is_charged).map(Event::kept_bytes).sum());
        // Whoever waits for an answer need not wait any more.
        for event in events {
            if let About::Question(_, question) = event.about {
                question.give(true);
            }
        }
        asked.iter().for_each(|(_, question)| question.give(true));
    }
}

impl File for FanotifyFile {
    fn has_single_position(&self) -> bool {
        true
    }

    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Whole
    }

    fn read_by(&self, buffer: &mut [u8], _offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let mut done = 0;
        loop {
            let taken = self.state.lock().pop(buffer.len() - done, self.flags, &self.account);
            let told = taken.and_then(|event| self.tell(&event, caller));
            match told {
                Ok(bytes) => {
                    if let Some(place) = buffer.get_mut(done..done + bytes.len()) {
                        place.copy_from_slice(&bytes);
                    }
                    done += bytes.len();
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
        }
    }

    fn write_by(&self, buffer: &[u8], _offset: u64, _caller: &dyn Caller) -> Result<usize, Errno> {
        if self.flags & InitFlags::CLASSES == InitFlags::empty() {
            return Err(Errno::EINVAL);
        }
        self.take_answer(buffer)?;
        Ok(RESPONSE_LEN)
    }

    fn readiness(&self) -> Events {
        match self.state.lock().events.is_empty() {
            true => Events::empty(),
            false => Events::IN | Events::RDNORM,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let len: usize = self.state.lock().events.iter().map(|event| event.len_bytes(self.flags)).sum();
        caller.memory().write_object(VirtualAddress(argument), &(len as i32))?;
        Ok(0)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[fanotify]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        text.push(format!("fanotify flags:{:x} event-flags:{:x}\n", self.flags, self.event_flags))?;
        // Files are looked at without the lock.
        let (marks, _copy) = {
            let state = self.state.lock();
            let copy = HeapCharge::transient(size_of_val(&state.marks[..]))?;
            (state.marks.clone(), copy)
        };
        for (mark, holder) in &marks {
            let masks = mark.masks();
            let (mflags, mask, ignored) = (masks.flags.bits(), masks.mask.bits(), masks.ignored.bits());
            let rest = format!("mflags:{mflags:x} mask:{mask:x} ignored_mask:{ignored:x} ");
            if let Some(object) = holder.shown() {
                text.push(format!("fanotify {object} {rest}\n"))?;
            }
        }
        Ok(())
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whether somebody has the file at `path` open to write it.
fn has_writers(path: &Path) -> bool {
    path.inode().write_count().is_some_and(|count| count.writers() > 0)
}
