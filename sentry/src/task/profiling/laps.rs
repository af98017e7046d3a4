//! Laps: from one entry of user code to the next.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::{Helper, Session};
use crate::host::{HOST_CALL_KINDS, HostCallCounts, own_call_counts};
use crate::memory::{FaultError, FaultKind, Served};
use crate::platform::{Exit, Registers};
use crate::profile::{
    EventKind, ExitKind, Frame, GuestFrame, HostStacks, Lap, Recording, TaskRecord, Way, walk,
};
use crate::task::cpu_time::{Noted, VtimeState};
use crate::task::{CurrentTask, ExitStatus};

/// What a task's thread, or whoever has it lent, keeps for the recording.
pub(in crate::task) struct TaskProfile {
    session: Arc<Session>,
    record: Arc<TaskRecord>,
    /// When user code was entered.
    entered: Noted,
    /// When it was left, and why: until the lap is over.
    left: Option<(Noted, ExitKind)>,
    is_error: bool,
    /// What the task's own thread had asked of the host when the lap began.
    host_calls: HostCallCounts,
}

/// A call that another thread serves.
pub(in crate::task) struct LentLap {
    left: Noted,
    host_calls: HostCallCounts,
}

thread_local! {
    /// What the calling thread is to a recording, if it serves calls of others.
    static HELPER: RefCell<Option<(u64, Arc<Helper>)>> = const { RefCell::new(None) };
}

impl TaskProfile {
    /// Hands over the lap that ends now.
    fn finish_lap(&mut self, now: Noted) {
        let host_calls = own_call_counts();
        if let Some((left, kind)) = self.left.take() {
            let lap = Lap { is_error: std::mem::take(&mut self.is_error), ..lap(self.entered, left, now) };
            let calls = difference(&host_calls, &self.host_calls);
            self.record.note_stay(lap.user_ns);
            self.session.recording.add(&self.record, kind, Way::Exit, &lap, &calls);
        }
        (self.entered, self.host_calls) = (now, host_calls);
    }

    fn recording(&self) -> &Recording {
        &self.session.recording
    }

    /// The outermost frame of all stacks of the task.
    fn outermost(&self) -> Frame {
        self.recording().label(&self.record.name())
    }

    fn guest_frames(&self, task: &CurrentTask, registers: &Registers) -> Vec<Frame> {
        let number = |frame: GuestFrame| match frame {
            GuestFrame::Unknown => Frame::Unknown,
            GuestFrame::Image { key, name, file, offset } => {
                let path = || file.map_or_else(|| name.as_bytes().to_vec(), |file| file.path());
                Frame::Guest { image: self.recording().image(key, path), offset }
            }
        };
        let mut frames: Vec<Frame> = walk(task.memory(), registers).into_iter().map(number).collect();
        frames.push(self.outermost());
        frames.reverse();
        frames
    }
}

fn lap(entered: Noted, left: Noted, now: Noted) -> Lap {
    let handler_ns = now.system_ns.saturating_sub(left.system_ns);
    let awake_ns = handler_ns.saturating_add(now.user_ns.saturating_sub(left.user_ns));
    Lap {
        user_ns: left.user_ns.saturating_sub(entered.user_ns),
        crossing_ns: left.system_ns.saturating_sub(entered.system_ns),
        handler_ns,
        asleep_ns: now.at_ns.saturating_sub(left.at_ns).saturating_sub(awake_ns),
        is_error: false,
    }
}

fn difference(now: &HostCallCounts, then: &HostCallCounts) -> HostCallCounts {
    let mut counts = [0; HOST_CALL_KINDS];
    for (count, (now, then)) in counts.iter_mut().zip(now.iter().zip(then)) {
        *count = now.wrapping_sub(*then);
    }
    counts
}

impl CurrentTask {
    /// The task begins. For its own thread.
    pub(in crate::task) fn profile_start(&mut self) {
        if !self.kernel().profiler().is_on() {
            return;
        }
        self.attach_profile();
        let parent =
            self.kernel().tasks().parent_number_in(self.thread_group(), self.kernel().tasks().root());
        self.profile_event(EventKind::Start(parent.0));
    }

    /// User code is entered now, as the CPU clock has noted. For the task's own thread.
    #[inline]
    pub(in crate::task) fn profile_entering(&mut self) {
        if self.kernel().profiler().is_on() || self.profile.is_some() {
            self.begin_lap();
        }
    }

    fn begin_lap(&mut self) {
        let now = self.task.cpu_time.noted();
        let generation = self.kernel().profiler().generation.load(Ordering::Relaxed);
        if self.profile.as_ref().is_none_or(|profile| profile.session.generation != generation) {
            return self.attach_profile();
        }
        if self.profile.as_ref().is_some_and(|profile| profile.record.host_stacks.is_filled()) {
            self.take_host_stacks();
        }
        if let Some(profile) = &mut self.profile {
            profile.finish_lap(now);
        }
    }

    /// Begins to record for the recording that there is, or for none.
    fn attach_profile(&mut self) {
        HostStacks::detach();
        let entered = self.task.cpu_time.noted();
        self.profile = self.kernel().profiler().session().map(|session| {
            let record = session.add_task(&self.task);
            if Recording::is_own(&record) {
                record.host_stacks.attach();
            }
            let (left, is_error, host_calls) = (None, false, own_call_counts());
            Box::new(TaskProfile { session, record, entered, left, is_error, host_calls })
        });
    }

    /// User code has been left, as the CPU clock has noted. For the task's own thread.
    #[inline]
    pub(in crate::task) fn profile_leaving(&mut self, exit: &Exit) {
        if self.profile.is_some() {
            self.note_exit(exit);
        }
    }

    fn note_exit(&mut self, exit: &Exit) {
        let kind = match exit {
            Exit::Syscall => ExitKind::of_call(self.registers.rax),
            Exit::Fault { .. } => ExitKind::Fault(FaultKind::Refused),
            Exit::Exception { vector, .. } => ExitKind::Exception(*vector),
            Exit::Interrupted | Exit::Lost | Exit::Broken(_) => ExitKind::Interruption,
        };
        let now = self.task.cpu_time.noted();
        let Some(profile) = &mut self.profile else { return };
        profile.left = Some((now, kind));
        let wanted_ns = profile.record.take_wanted();
        if wanted_ns > 0
            && let Some(profile) = &self.profile
        {
            profile.recording().add_stack(profile.guest_frames(self, &self.registers), wanted_ns);
        }
    }

    /// The fault that user code was left by has been served so.
    pub(in crate::task) fn profile_fault(&mut self, fault: &Result<Served, FaultError>) {
        if let Some(profile) = &mut self.profile
            && let (Some((_, kind)), Ok(served)) = (&mut profile.left, fault)
        {
            *kind = ExitKind::Fault(served.kind);
        }
    }

    /// The call that user code was left by has failed, or not.
    pub(in crate::task) fn profile_result(&mut self, is_error: bool) {
        if let Some(profile) = &mut self.profile {
            profile.is_error = is_error;
        }
    }

    /// Takes the stacks that its thread has sampled in the sentry: they are of the exit that it has just dealt with.
    fn take_host_stacks(&self) {
        let Some(profile) = &self.profile else { return };
        let kind = profile.left.map(|(_, kind)| kind);
        let label = profile.recording().label(&kind.map_or_else(|| "sentry".to_owned(), ExitKind::label));
        let outer = profile.guest_frames(self, &self.registers);
        profile.record.host_stacks.drain(|addresses, weight_ns| {
            let inner = addresses.into_iter().rev().map(Frame::Host);
            let frames = outer.iter().copied().chain([label]).chain(inner);
            profile.recording().add_stack(frames.collect(), weight_ns);
        });
    }

    /// Something happens to the task.
    pub(in crate::task) fn profile_event(&self, kind: EventKind) {
        let Some(profile) = &self.profile else { return };
        let (task, tasks) = (&self.task, self.kernel().tasks());
        let pid = tasks.group_number(self.thread_group(), tasks.root()).0;
        if Recording::is_own(&profile.record) {
            profile.record.set_name(String::from_utf8_lossy(&task.name()).into_owned());
        }
        profile.recording().note_event(&profile.record, task.root_tid(), pid, kind);
    }

    /// The task ends with `status`. For its own thread.
    pub(in crate::task) fn profile_end(&mut self, status: ExitStatus) {
        if self.profile.is_none() {
            return;
        }
        self.task.cpu_time.mark(VtimeState::System);
        let now = self.task.cpu_time.noted();
        let text = match status {
            ExitStatus::Exited(code) => format!("status {code}"),
            ExitStatus::Signaled { signal, .. } => format!("signal {}", signal.number()),
        };
        self.profile_event(EventKind::Exit(text));
        HostStacks::detach();
        if let Some(mut profile) = self.profile.take() {
            profile.finish_lap(now);
            profile.session.remove_task(&self.task);
        }
    }

    /// User code has been told the answer to call `number` in advance, and taken it so often.
    pub(in crate::task) fn profile_answered(&self, number: u64, count: u32) {
        if let Some(profile) = &self.profile {
            profile.recording().add_answered(&profile.record, number, count);
        }
    }

    /// Another thread serves a call: user code waits, as the CPU clock has noted.
    #[inline]
    pub(in crate::task) fn profile_lent_call(&self, number: u64) -> Option<LentLap> {
        let profile = self.profile.as_ref()?;
        profile.session.with_helper(|helper| {
            helper.serving.store(i32::try_from(number).unwrap_or(i32::MAX), Ordering::Relaxed)
        });
        Some(LentLap { left: self.task.cpu_time.noted(), host_calls: own_call_counts() })
    }

    /// That call has been served, with this value if it was not handed back, and user code goes on.
    pub(in crate::task) fn profile_lent_end(&mut self, number: u64, lent: &LentLap, result: Option<u64>) {
        let now = self.task.cpu_time.noted();
        let Some(profile) = &mut self.profile else { return };
        let kind = ExitKind::of_call(number);
        profile.session.with_helper(|helper| {
            helper.serving.store(-1, Ordering::Relaxed);
            if helper.stacks.is_filled() {
                let outer = [profile.outermost(), profile.recording().label(&kind.label())];
                helper.stacks.drain(|addresses, weight_ns| {
                    let inner = addresses.into_iter().rev().map(Frame::Host);
                    profile.recording().add_stack(outer.into_iter().chain(inner).collect(), weight_ns);
                });
            }
        });
        let Some(value) = result else { return profile.recording().note_handed_back(number) };
        // -4095 to -1 (`man 2 intro`).
        let is_error = value.cast_signed() < 0 && value.cast_signed() >= -4095;
        let lap = Lap { is_error, ..lap(profile.entered, lent.left, now) };
        let calls = difference(&own_call_counts(), &lent.host_calls);
        profile.recording().add(&profile.record, kind, Way::Dispatcher, &lap, &calls);
        profile.entered = now;
    }
}

impl Session {
    /// Runs `action` on what the calling thread, which serves calls of others, is to the recording.
    fn with_helper(&self, action: impl FnOnce(&Helper)) {
        HELPER.with_borrow_mut(|own| {
            let is_known = own.as_ref().is_some_and(|(generation, _)| *generation == self.generation);
            if !is_known {
                *own = Some((self.generation, self.add_helper()));
            }
            if let Some((_, helper)) = own {
                action(helper);
            }
        });
    }

    fn add_helper(&self) -> Arc<Helper> {
        let helper = Arc::new(Helper {
            host_thread_id: rustix::thread::gettid().as_raw_nonzero().get(),
            stacks: Arc::default(),
            serving: AtomicI32::new(-1),
            sampled_ns: AtomicU64::new(0),
        });
        helper.stacks.attach();
        self.helpers.lock().push(helper.clone());
        helper
    }
}
