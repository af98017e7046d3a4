//! The events that count what a task does (`man 2 perf_event_open`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Task;
use crate::Errno;
use crate::heap::HeapCharge;
use crate::kernel::Kernel;
use crate::perf::{Counted, Counts, Event};

/// What a task's note of an event takes.
const NOTE_BYTES: usize = 32;

/// The events of a task: those that watch it, and those that it has opened.
#[derive(Default)]
pub(super) struct TaskEvents {
    watching: Mutex<Notes>,
    opened: Mutex<Notes>,
}

/// Events for as long as somebody has them open.
#[derive(Default)]
struct Notes {
    events: Vec<Weak<Event>>,
    has_ended: bool,
    heap_charge: HeapCharge,
}

impl Notes {
    fn add(&mut self, event: &Arc<Event>) -> Result<(), Errno> {
        if self.has_ended {
            return Err(Errno::ESRCH);
        }
        if self.events.len() == self.events.capacity() {
            self.events.retain(|event| event.strong_count() > 0);
        }
        self.heap_charge.resize((self.events.len() + 1) * NOTE_BYTES)?;
        self.events.push(Arc::downgrade(event));
        Ok(())
    }

    fn all(&self) -> Vec<Arc<Event>> {
        self.events.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Counted for Task {
    fn counts(&self) -> Counts {
        let (user, system) = self.cpu_time.total();
        Counts {
            cpu_ns: u64::try_from((user + system).as_nanos()).unwrap_or(u64::MAX),
            switches: self.cpu_time.rests(),
            faults: self.faults.load(Ordering::Relaxed),
        }
    }
}

impl Task {
    /// By what events know it.
    pub(crate) fn number_for_events(&self) -> u64 {
        // 0 is nobody's.
        self.id.0 + 1
    }

    /// Has it remember an event that watches it.
    ///
    /// # Errors
    /// ESRCH: it has ended. ENOMEM.
    pub(crate) fn add_event(&self, event: &Arc<Event>) -> Result<(), Errno> {
        self.events.watching.lock().add(event)
    }

    /// Has it remember an event that it has opened.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn add_opened_event(&self, event: &Arc<Event>) -> Result<(), Errno> {
        self.events.opened.lock().add(event)
    }

    /// Switches what it has opened (PR_TASK_PERF_EVENTS_ENABLE and its counterpart).
    pub(crate) fn switch_opened_events(&self, is_enabled: bool) {
        let opened = self.events.opened.lock().all();
        opened.iter().for_each(|event| event.enable(is_enabled, false));
    }

    /// Has `child` inherit the events that are to be.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn hand_down_events(&self, child: &Arc<Self>, is_thread: bool) -> Result<(), Errno> {
        let source: Arc<dyn Counted> = child.clone();
        let watching = self.events.watching.lock().all();
        for event in watching.iter().filter(|event| event.is_inherited(is_thread)) {
            child.add_event(event)?;
            event.inherit(self.number_for_events(), child.number_for_events(), &source)?;
        }
        Ok(())
    }

    /// It executes a program, which is one that others may look into, or not.
    pub(super) fn execute_for_events(&self, may_be_watched: bool) {
        let (number, watching) = (self.number_for_events(), self.events.watching.lock().all());
        let stays = |event: &Arc<Event>| match may_be_watched {
            true => event.execute(number),
            false => {
                event.leave(number);
                false
            }
        };
        let gone: Vec<Arc<Event>> = watching.into_iter().filter(|event| !stays(event)).collect();
        if !gone.is_empty() {
            let is_gone =
                |note: &Weak<Event>| gone.iter().any(|event| std::ptr::eq(note.as_ptr(), &raw const **event));
            self.events.watching.lock().events.retain(|note| !is_gone(note));
        }
    }

    /// It has ended, or never was: no event counts it any more.
    pub(super) fn leave_events(&self) {
        let watching = {
            let mut notes = self.events.watching.lock();
            notes.has_ended = true;
            std::mem::take(&mut notes.events)
        };
        let number = self.number_for_events();
        watching.iter().filter_map(Weak::upgrade).for_each(|event| event.leave(number));
        *self.events.opened.lock() = Notes { has_ended: true, ..Notes::default() };
    }
}

/// What all tasks do. The first processor stands for the others, on which nothing but time is counted.
pub(crate) struct SystemCounts {
    kernel: Weak<Kernel>,
    counts_tasks: bool,
}

impl SystemCounts {
    /// What is done on the processor `cpu` of `kernel`.
    pub(crate) fn new(kernel: &Arc<Kernel>, cpu: u32) -> Arc<Self> {
        Arc::new(Self { kernel: Arc::downgrade(kernel), counts_tasks: cpu == 0 })
    }
}

impl Counted for SystemCounts {
    fn counts(&self) -> Counts {
        let Some(kernel) = self.kernel.upgrade() else { return Counts::default() };
        let usage = if self.counts_tasks { kernel.tasks().usage() } else { Default::default() };
        Counts {
            cpu_ns: u64::try_from(kernel.uptime().as_nanos()).unwrap_or(u64::MAX),
            switches: usage.voluntary_switches,
            faults: usage.minor_faults,
        }
    }
}
