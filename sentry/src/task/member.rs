//! Tasks as members of control groups, and the control groups of tasks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::id::{GroupId, TaskId, Tid};
use super::status::ExitStatus;
use super::tree::Tree;
use super::{CurrentTask, Task};
use crate::cgroup::{Cgroup, CgroupNamespace, CpuUsage, Member, MemberKey, PidsCharge};
use crate::fs::Viewer;
use crate::fs::cgroup::TaskDirectory;
use crate::heap::HeapPayer;
use crate::kernel::Kernel;
use crate::signal::Signal;
use crate::time::own_cpu_time;
use crate::wait::Events;

/// A task, as its control group deals with it.
pub(super) struct TaskMember(Weak<Task>);

impl TaskMember {
    pub(super) fn new(task: &Arc<Task>) -> Arc<Self> {
        Arc::new(Self(Arc::downgrade(task)))
    }
}

/// Processes whose pages differ by less are alike where the largest is looked for.
const ALIKE_PAGES: i64 = 256;

impl Member for TaskMember {
    fn kill(&self) {
        if let Some(task) = self.0.upgrade() {
            task.group.exit(ExitStatus::Signaled { signal: Signal::SIGKILL, has_dumped_core: false });
        }
    }

    fn is_dying(&self) -> bool {
        self.0.upgrade().is_some_and(|task| task.group.exiting().is_some())
    }

    fn interrupt(&self) {
        if let Some(task) = self.0.upgrade() {
            task.interrupt();
        }
    }

    fn kick(&self) {
        if let Some(task) = self.0.upgrade().filter(|task| !task.is_asleep()) {
            task.kick();
        }
    }

    fn set_payer(&self, cgroup: &Cgroup) {
        let Some(task) = self.0.upgrade() else { return };
        let payer = cgroup.memory().cloned().map(|payer| payer as Arc<dyn HeapPayer>);
        task.heap().set_payer(payer, Some(cgroup.heap().clone()));
        if let Some(memory) = task.memory() {
            memory.set_payer(cgroup.memory().cloned());
        }
    }

    /// As Linux rates processes: what is resident and no page of the host's, and oom_score_adj in thousandths of all memory. Where
    /// the sentry's heap holds more for it than that, this counts in its place: what little it holds for all does not decide
    /// between two that are alike.
    fn badness(&self, total_pages: u64) -> Option<i64> {
        let task = self.0.upgrade()?;
        let adjustment = i64::from(task.group.out_of_memory_adjustment());
        let is_first = task.group.pid_namespace().level() == 0 && task.group.tgid() == Tid::INIT.0;
        if is_first || adjustment == -1000 {
            return None;
        }
        let pages = |bytes: u64| i64::try_from(bytes >> crate::platform::PAGE_SHIFT).unwrap_or(i64::MAX);
        let thousandth = i64::try_from(total_pages / 1000).unwrap_or(i64::MAX);
        let used_bytes = task.memory()?.freeable_bytes().max(task.heap().used_bytes());
        let used_pages = pages(used_bytes);
        // Nor does less than a mebibyte: then it is the younger.
        let used_pages = used_pages - used_pages % ALIKE_PAGES;
        Some(used_pages.saturating_add(adjustment.saturating_mul(thousandth)))
    }

    fn cpu_usage(&self) -> CpuUsage {
        let times = self.0.upgrade().map(|task| task.cpu_time.total());
        times.map_or_else(CpuUsage::default, |(user, system)| CpuUsage { user, system })
    }
}

impl Task {
    /// Its name among the members of control groups.
    pub(super) fn member_key(&self) -> MemberKey {
        MemberKey { process: self.group.id().0, task: self.id.0 }
    }

    /// Its control group; that of an exited task is the one that it was in.
    pub fn cgroup(&self) -> Arc<Cgroup> {
        if let Some(membership) = &*self.membership.lock() {
            return membership.cgroup();
        }
        let charge = self.pids_charge.lock();
        charge.as_ref().map_or_else(|| self.kernel.cgroups().root().clone(), |charge| charge.cgroup().clone())
    }

    /// Has its control group pay for its address space, which is new and now the process's.
    pub(super) fn settle_memory(self: &Arc<Self>) {
        if let Some(memory) = self.memory() {
            memory.set_owner(self.group.identity());
        }
        self.kernel.cgroups().settle(self.member_key(), &TaskMember(Arc::downgrade(self)));
    }

    /// Takes it out of its control group; it stays charged until it is reaped.
    pub(super) fn leave_cgroup(&self) {
        // Whoever sees that it has left must find the charge, which tells the group that it was in.
        let mut charge = self.pids_charge.lock();
        let membership = self.membership.lock().take();
        *charge = membership.and_then(|membership| membership.leave());
    }

    /// Takes back what it is charged with as a task: it has been reaped, and its descriptors hang up.
    pub(super) fn release(&self) {
        self.is_reaped.store(true, Ordering::Release);
        let charges: (_, Option<PidsCharge>) =
            (self.process_charge.lock().take(), self.pids_charge.lock().take());
        drop(charges);
        self.group.changes.notify(Events::HUP);
    }

    /// Whether its control group is to stand still.
    pub(super) fn is_to_freeze(&self) -> bool {
        self.membership.lock().as_ref().is_some_and(|membership| membership.is_to_freeze())
    }

    /// Tells its control group whether it stands still.
    pub(super) fn set_frozen(&self, is_frozen: bool) {
        if let Some(membership) = &mut *self.membership.lock() {
            membership.set_frozen(is_frozen);
        }
    }
}

impl CurrentTask {
    /// Before user code goes on: counts the processor time that the task has used, and waits while a control group
    /// around it has none left. Returns whether it waited, so that things may have changed.
    pub(super) fn wait_for_processor(&mut self) -> bool {
        let kernel = self.kernel().clone();
        if !kernel.cgroups().limits_processors() {
            self.charged_time = None;
            return false;
        }
        let now = own_cpu_time();
        // What was used before there was a limit does not count.
        let used = now.saturating_sub(self.charged_time.replace(now).unwrap_or(now));
        let Some(throttle) = kernel.cgroups().charge_processor(self.task.member_key(), used) else {
            return false;
        };
        // Signals end the wait early; that a task without time only deals with them is seen to here again.
        let queues = [(throttle.queue(), Events::IN)];
        let until = kernel.timekeeper().instant(throttle.until);
        let _ = self.block(&queues, until, || throttle.is_over().then_some(()));
        true
    }
}

impl CurrentTask {
    /// After memory may have been brought in: waits a while if a control group around the task has more than it should.
    pub(super) fn wait_above_high(&mut self) {
        if !self.kernel().cgroups().limits_memory_softly() {
            return;
        }
        let Some(payer) = self.memory.payer() else { return };
        let delay = self.kernel().cgroups().high_delay(&payer);
        // Linux does not bother with less either.
        const SHORTEST: std::time::Duration = std::time::Duration::from_millis(1);
        if let Some(delay) = delay.filter(|delay| *delay >= SHORTEST) {
            let _ = self.block::<()>(&[], Some(std::time::Instant::now() + delay), || None);
        }
    }
}

/// Finds tasks for the cgroup file system.
pub struct CgroupTasks(Weak<Kernel>);

impl CgroupTasks {
    /// The tasks of `kernel`.
    pub fn new(kernel: &Arc<Kernel>) -> Arc<Self> {
        Arc::new(Self(Arc::downgrade(kernel)))
    }

    fn viewer(kernel: &Kernel, viewer: &Viewer) -> Option<Arc<Task>> {
        kernel.tasks().task(kernel.tasks().root(), Tid(viewer.thread_id))
    }
}

impl TaskDirectory for CgroupTasks {
    fn find(&self, viewer: &Viewer, number: i32) -> Option<MemberKey> {
        let kernel = self.0.upgrade()?;
        let own = Self::viewer(&kernel, viewer);
        if number == 0 {
            return own.map(|task| task.member_key());
        }
        let namespace = own.map(|task| task.group.pid_namespace().clone());
        let namespace = namespace.as_ref().unwrap_or(kernel.tasks().root());
        kernel.tasks().task(namespace, Tid(number)).map(|task| task.member_key())
    }

    fn numbers(&self, viewer: &Viewer, keys: &[MemberKey], of_processes: bool) -> Vec<i32> {
        let Some(kernel) = self.0.upgrade() else { return Vec::new() };
        let namespace = Self::viewer(&kernel, viewer).map(|task| task.group.pid_namespace().id());
        let namespace = namespace.unwrap_or_else(|| kernel.tasks().root().id());
        let tree = kernel.tasks().tree.read();
        let number = |key: &MemberKey| match of_processes {
            true => tree.group_number_in(GroupId(key.process), namespace).0,
            false => {
                let node = tree.tasks.get(&TaskId(key.task));
                node.map_or(0, |node| Tree::number_in(&node.numbers, namespace).0)
            }
        };
        keys.iter().map(number).collect()
    }

    fn namespace_of(&self, viewer: &Viewer) -> Option<Arc<CgroupNamespace>> {
        Some(Self::viewer(&*self.0.upgrade()?, viewer)?.namespaces().cgroup)
    }
}
