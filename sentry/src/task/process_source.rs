//! What procfs shows of tasks.

use std::sync::{Arc, Weak};

use super::id::{GroupId, Tid};
use super::tree::Tree;
use super::{PidNamespace, ResourceUsage, Task};
use crate::Errno;
use crate::core_settings::CoreSettings;
use crate::cred::{Capabilities, Credentials, Namespace, NamespaceKind, UserNamespace};
use crate::fs::block::BlockDevices;
use crate::fs::inotify::InotifyLimits;
use crate::fs::proc::{
    IoCounts, MappingStatus, MemoryStatus, Process, ProcessSource, ProcessStatus, SystemNames, SystemStatus,
    WaitingPlace,
};
use crate::fs::{DescriptorTable, DeviceNumber, FsView, Network, OpenFiles, Path, Protections, Viewer};
use crate::ipc::IpcNamespace;
use crate::kernel::{Kernel, RELEASE, VERSION};
use crate::keys::Keys;
use crate::landlock::Domain;
use crate::limits::{RESOURCE_COUNT, Resource};
use crate::memory::{FrameAllocator, MappingFlags, MemoryManager, MemoryPolicy};
use crate::platform::{PAGE_SHIFT, VirtualAddress};
use crate::settings::KernelSettings;
use crate::time::{ClockOffsets, PosixTimerOrigin};

/// The processes that one PID namespace sees.
pub struct TaskSource {
    kernel: Weak<Kernel>,
    namespace: Arc<PidNamespace>,
}

/// One task, as that namespace sees it.
struct TaskView {
    task: Arc<Task>,
    namespace: Arc<PidNamespace>,
    /// It stands for itself, not for its process.
    is_thread: bool,
}

impl TaskSource {
    /// The tasks of `kernel` that `namespace` sees.
    pub fn new(kernel: &Arc<Kernel>, namespace: Arc<PidNamespace>) -> Arc<Self> {
        Arc::new(Self { kernel: Arc::downgrade(kernel), namespace })
    }

    fn view(&self, task: Arc<Task>) -> Arc<dyn Process> {
        Arc::new(TaskView { task, namespace: self.namespace.clone(), is_thread: false })
    }

    /// The task that looks; viewers are numbered by the root namespace.
    fn viewer(&self, viewer: &Viewer) -> Option<Arc<Task>> {
        let kernel = self.kernel.upgrade()?;
        kernel.tasks().task(kernel.tasks().root(), Tid(viewer.thread_id))
    }

    /// The viewer's own PID namespace, which need not be the one that is shown.
    fn namespace_of(&self, viewer: &Viewer) -> Arc<PidNamespace> {
        let viewer = self.viewer(viewer);
        viewer.map_or_else(|| self.namespace.clone(), |task| task.group.pid_namespace().clone())
    }
}

impl ProcessSource for TaskSource {
    fn process_ids(&self) -> Vec<i32> {
        let Some(kernel) = self.kernel.upgrade() else { return Vec::new() };
        kernel.tasks().thread_groups(&self.namespace).into_iter().map(|(tid, _)| tid.0).collect()
    }

    fn process(&self, id: i32) -> Option<Arc<dyn Process>> {
        let task = self.kernel.upgrade()?.tasks().task(&self.namespace, Tid(id))?;
        Some(self.view(task))
    }

    fn viewer_ids(&self, viewer: &Viewer) -> Option<(i32, i32)> {
        let task = self.viewer(viewer)?;
        let tasks = task.kernel.tasks();
        let process = tasks.group_number(&task.group, &self.namespace);
        let thread = tasks.number_of(&task, &self.namespace);
        (process.0 != 0).then_some((process.0, thread.0))
    }

    fn list_keys(&self, viewer: &Viewer) -> Vec<u8> {
        let task = self.viewer(viewer);
        task.map_or(Vec::new(), |task| task.with_keys(&viewer.credentials, |caller| caller.list()))
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        Some(self.kernel.upgrade()?.keys().clone())
    }

    fn system(&self) -> SystemStatus {
        let Some(kernel) = self.kernel.upgrade() else { return SystemStatus::default() };
        let uptime = kernel.uptime();
        let (running, tasks) = kernel.tasks().running_count();
        let memory = kernel.frames().statistics();
        let usage = kernel.tasks().usage();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let cpus = kernel.cpu_count();
        let busy = usage.user_time + usage.system_time;
        SystemStatus {
            cpus,
            uptime,
            boot_time_seconds: now.saturating_sub(uptime).as_secs(),
            cpu_times: [
                usage.user_time,
                usage.system_time,
                (uptime * u32::try_from(cpus).unwrap_or(1)).saturating_sub(busy),
            ],
            created: kernel.tasks().created_count(),
            running,
            tasks,
            context_switches: usage.voluntary_switches,
            faults: usage.minor_faults,
            cgroups: kernel.cgroups().descendants(kernel.cgroups().root()) + 1,
            load: kernel.tasks().load_averages().map(|average| average as f64 / f64::from(1 << 11)),
            memory_bytes: memory.total_bytes,
            huge_pages: kernel.frames().huge_pages(),
            free_bytes: memory.free_bytes,
            heap_bytes: memory.heap_bytes,
            cached_bytes: memory.cached_bytes + memory.shared_bytes,
            shared_bytes: memory.shared_bytes,
            commit_limit_bytes: kernel.frames().commit_limit() << PAGE_SHIFT,
            committed_bytes: kernel.frames().committed() << PAGE_SHIFT,
            anonymous_bytes: memory.total_bytes.saturating_sub(
                memory.free_bytes
                    + memory.cached_bytes
                    + memory.shared_bytes
                    + memory.heap_bytes
                    + memory.huge_bytes,
            ),
        }
    }

    fn protections(&self, viewer: &Viewer) -> Option<Arc<Protections>> {
        Some(self.viewer(viewer)?.try_task_fs()?.namespace().protections().clone())
    }

    fn frames(&self) -> Option<Arc<FrameAllocator>> {
        Some(self.kernel.upgrade()?.frames().clone())
    }

    fn settings(&self) -> Arc<KernelSettings> {
        self.kernel.upgrade().map_or_else(Arc::default, |kernel| kernel.settings().clone())
    }

    fn pseudoterminals(&self) -> usize {
        self.kernel.upgrade().map_or(0, |kernel| kernel.terminals().pairs())
    }

    fn check_may_number(&self, viewer: &Viewer) -> Result<(), Errno> {
        let may = [Capabilities::CHECKPOINT_RESTORE, Capabilities::SYS_ADMIN]
            .into_iter()
            .any(|capability| viewer.credentials.has_over_namespace(&*self.namespace_of(viewer), capability));
        if may { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn last_number(&self, viewer: &Viewer) -> i32 {
        let kernel = self.kernel.upgrade();
        kernel.map_or(0, |kernel| kernel.tasks().last_number(&self.namespace_of(viewer)).0)
    }

    fn set_last_number(&self, viewer: &Viewer, number: i32) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.tasks().set_last_number(&self.namespace_of(viewer), Tid(number));
        }
    }

    fn boot_id(&self) -> Result<u128, Errno> {
        self.kernel.upgrade().ok_or(Errno::ESRCH)?.boot_id()
    }

    fn aio_events(&self) -> u64 {
        self.kernel.upgrade().map_or(0, |kernel| kernel.aio_budget().used())
    }

    fn block_devices(&self) -> Option<Arc<BlockDevices>> {
        Some(self.kernel.upgrade()?.file_systems().memory.block.clone())
    }

    fn open_files(&self) -> Option<Arc<OpenFiles>> {
        Some(self.kernel.upgrade()?.open_files().clone())
    }

    fn fanotify_limits(&self) -> Option<Arc<InotifyLimits>> {
        Some(self.kernel.upgrade()?.fanotify_limits().clone())
    }

    fn inotify_limits(&self) -> Option<Arc<InotifyLimits>> {
        Some(self.kernel.upgrade()?.inotify_limits().clone())
    }

    fn clock_offsets(&self, viewer: &Viewer) -> ClockOffsets {
        self.viewer(viewer).map_or_else(ClockOffsets::default, |task| task.time_namespace().offsets())
    }

    fn names(&self, viewer: &Viewer) -> SystemNames {
        let namespace = match (self.viewer(viewer), self.kernel.upgrade()) {
            (Some(task), _) => task.uts_namespace(),
            (None, Some(kernel)) => kernel.initial_namespaces().uts.clone(),
            (None, None) => return SystemNames::default(),
        };
        SystemNames {
            host: String::from_utf8_lossy(&namespace.host_name()).into_owned(),
            domain: String::from_utf8_lossy(&namespace.domain_name()).into_owned(),
            host_news: namespace.host_news(),
            domain_news: namespace.domain_news(),
            release: RELEASE.into(),
            version: VERSION.into(),
        }
    }

    fn core_settings(&self) -> Option<Arc<CoreSettings>> {
        self.kernel.upgrade().map(|kernel| kernel.core_settings().clone())
    }

    fn network(&self, viewer: &Viewer) -> Option<Arc<dyn Network>> {
        match self.viewer(viewer) {
            Some(task) => Some(task.network_namespace()),
            None => Some(self.kernel.upgrade()?.initial_namespaces().network.clone()),
        }
    }

    fn ipc_namespace(&self, viewer: &Viewer) -> Option<Arc<IpcNamespace>> {
        match self.viewer(viewer) {
            Some(task) => Some(task.ipc_namespace()),
            None => self.kernel.upgrade().map(|kernel| kernel.initial_namespaces().ipc.clone()),
        }
    }

    fn pid_namespace(&self) -> u64 {
        self.namespace.serial()
    }

    fn set_host_name(&self, viewer: &Viewer, name: &[u8]) -> Result<(), Errno> {
        let namespace = self.viewer(viewer).ok_or(Errno::EPERM)?.uts_namespace();
        if !viewer.credentials.has_over_namespace(&*namespace, Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        namespace.set_host_name(name.to_vec())
    }

    fn set_domain_name(&self, viewer: &Viewer, name: &[u8]) -> Result<(), Errno> {
        let namespace = self.viewer(viewer).ok_or(Errno::EPERM)?.uts_namespace();
        if !viewer.credentials.has_over_namespace(&*namespace, Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        namespace.set_domain_name(name.to_vec())
    }
}

impl TaskView {
    fn memory(&self) -> Result<Arc<MemoryManager>, Errno> {
        self.task.memory().ok_or(Errno::ESRCH)
    }

    /// What is in a range of memory from byte `from` of it on, `max_len` bytes at most.
    fn read_range(
        &self,
        (start, end): (VirtualAddress, VirtualAddress),
        from: u64,
        max_len: usize,
    ) -> Result<Vec<u8>, Errno> {
        let start = start.0.saturating_add(from);
        let len = end.0.saturating_sub(start).min(max_len as u64);
        let mut bytes = vec![0; len as usize];
        self.memory()?.read_bytes(VirtualAddress(start), &mut bytes)?;
        Ok(bytes)
    }

    /// What the tree knows: (own number, process, parent, process group, session, threads, exit status).
    fn relations(&self, status: &mut ProcessStatus) {
        let tree = self.task.kernel.tasks().tree.read();
        let namespace = self.namespace.id();
        let Some(node) = tree.tasks.get(&self.task.id) else {
            status.state = 'X';
            return;
        };
        status.id = Tree::number_in(&node.numbers, namespace).0;
        let Some(group) = tree.groups.get(&node.group) else { return };
        status.process_id = tree.group_number_in(node.group, namespace).0;
        status.parent_id = group.parent.map_or(0, |parent| tree.group_number_in(parent, namespace).0);
        status.process_group_id = tree.process_group_number_in(group.process_group, namespace).0;
        status.session_id = tree.session_number_in(group.session, namespace).0;
        status.threads = group.live_tasks;
        status.exit_signal = group.exit_signal;
        if node.has_exited {
            status.state = 'Z';
        }
        if let Some(exit) = group.zombie {
            status.exit_code = exit.wait_status();
            status.threads = 1;
        }
    }

    /// Own usage, a thread's or its process's, and that of reaped children.
    fn usage(&self) -> [ResourceUsage; 2] {
        let group = &self.task.group;
        let own = if self.is_thread { self.task.usage() } else { group.usage() };
        [own, self.task.kernel.tasks().children_usage(group)]
    }

    fn children_ids(&self, group: GroupId) -> Vec<i32> {
        let tree = self.task.kernel.tasks().tree.read();
        let Some(node) = tree.groups.get(&group) else { return Vec::new() };
        let numbers = node.children.iter().map(|child| tree.group_number_in(*child, self.namespace.id()).0);
        numbers.filter(|number| *number != 0).collect()
    }
}

impl Process for TaskView {
    fn status(&self) -> ProcessStatus {
        let task = &self.task;
        // Before the credentials: those are what execve sets first.
        let is_dumpable = task.group.is_dumpable();
        let credentials: Arc<Credentials> = task.credentials();
        let [own, children] = self.usage();
        let (blocked, pending) = {
            let signals = task.signals.lock();
            (signals.mask.bits(), signals.pending.set().bits())
        };
        let shared_pending = task.group.state.lock().pending.set().bits();
        let (ignored, caught) = task.group.signal_actions().lock().ignored_and_caught();
        // Whom a signal calls is awake, even before its thread has got a processor.
        let state = match (task.has_stopped(), task.is_asleep() && !task.is_interrupted()) {
            _ if task.ptrace.is_stopped() => 't',
            (true, _) if !task.is_traced() => 'T',
            (_, true) => 'S',
            (_, false) => 'R',
        };
        let terminals = task.kernel.terminals();
        let tasks = task.kernel.tasks();
        let (terminal, terminal_foreground) = terminals.device_and_foreground(task.session_member());
        let mut status = ProcessStatus {
            name: task.name(),
            tracer_id: tasks.tracer_number(task, &self.namespace).0,
            state,
            terminal,
            terminal_foreground,
            minor_faults: [own.minor_faults, children.minor_faults],
            user_time: [own.user_time, children.user_time],
            system_time: [own.system_time, children.system_time],
            niceness: task.niceness(),
            policy: task.scheduling().policy,
            real_time_priority: task.scheduling().priority,
            start_time: task.start_time().saturating_duration_since(task.kernel.boot_time()),
            pending,
            shared_pending,
            blocked,
            ignored: ignored.bits(),
            caught: caught.bits(),
            queued_signals: (0, task.group.soft_limit(Resource::PENDING_SIGNALS)),
            umask: task.try_task_fs().map(|context| context.umask()),
            seccomp_mode: task.seccomp_mode() as u32,
            seccomp_filters: task.seccomp_filter().map_or(0, |filter| filter.with_previous().count()),
            allowed_cpus: task.allowed_cpus().0,
            processor: task.last_cpu() as usize,
            context_switches: [task.own_usage().voluntary_switches, 0],
            personality: task.group.personality.load(std::sync::atomic::Ordering::Relaxed),
            is_dumpable,
            out_of_memory_adjustment: task.group.out_of_memory_adjustment(),
            ..status_of_credentials(&credentials)
        };
        self.relations(&mut status);
        status
    }

    fn memory(&self) -> Option<MemoryStatus> {
        let memory = self.task.memory()?;
        let sizes = memory.sizes();
        let layout = memory.layout();
        let bytes = |pages: u64| pages << PAGE_SHIFT;
        let code_end = layout.code.1.page_up().unwrap_or(layout.code.1);
        let code_bytes = code_end.0.saturating_sub(layout.code.0.page_down().0);
        Some(MemoryStatus {
            peak_bytes: bytes(sizes.peak_total_pages),
            total_bytes: bytes(sizes.total_pages),
            locked_bytes: bytes(sizes.locked_pages),
            peak_resident_bytes: bytes(sizes.peak_resident_pages),
            resident_anonymous_bytes: bytes(sizes.private_pages),
            resident_file_bytes: bytes(sizes.resident_pages - sizes.private_pages.min(sizes.resident_pages)),
            data_bytes: bytes(sizes.data_pages),
            page_table_bytes: bytes(sizes.table_pages),
            stack_bytes: bytes(sizes.stack_pages),
            library_bytes: bytes(sizes.code_pages).saturating_sub(code_bytes),
            code: [layout.code.0.0, layout.code.1.0],
            code_bytes,
            stack_start: layout.strings.stack_start.0,
            huge_bytes: bytes(sizes.huge_pages),
            data: [layout.data.0.0, layout.data.1.0],
            break_start: layout.brk_start.0,
            arguments: [layout.strings.arguments.0.0, layout.strings.arguments.1.0],
            environment: [layout.strings.environment.0.0, layout.strings.environment.1.0],
            ..MemoryStatus::default()
        })
    }

    fn address_space(&self) -> Option<Arc<MemoryManager>> {
        self.task.memory()
    }

    fn mappings(&self) -> Result<Vec<MappingStatus>, Errno> {
        let memory = TaskView::memory(self)?;
        Ok(memory.mappings().into_iter().map(mapping_status).collect())
    }

    fn mappings_from(&self, address: u64, max_count: usize) -> Result<Vec<MappingStatus>, Errno> {
        let memory = TaskView::memory(self)?;
        let mappings = memory.mappings_from(VirtualAddress(address), max_count);
        Ok(mappings.into_iter().map(mapping_status).collect())
    }

    fn arguments(&self, from: u64, max_len: usize) -> Result<Vec<u8>, Errno> {
        self.read_range(TaskView::memory(self)?.layout().strings.arguments, from, max_len)
    }

    fn environment(&self, from: u64, max_len: usize) -> Result<Vec<u8>, Errno> {
        self.read_range(TaskView::memory(self)?.layout().strings.environment, from, max_len)
    }

    fn auxiliary_vector(&self) -> Result<Vec<u8>, Errno> {
        let vector = TaskView::memory(self)?.layout().strings.auxiliary_vector;
        Ok(vector.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    fn core_filter(&self) -> u32 {
        self.task.group.core_filter()
    }

    fn set_core_filter(&self, filter: u32) {
        self.task.group.set_core_filter(filter);
    }

    fn executable(&self) -> Option<Path> {
        self.task.executed_file().map(|file| file.path().clone())
    }

    fn fs_view(&self) -> Option<FsView> {
        self.task.try_task_fs().map(|context| context.view())
    }

    fn descriptors(&self) -> Option<Arc<DescriptorTable>> {
        self.task.try_task_fs().map(|_| self.task.descriptors())
    }

    fn thread_ids(&self) -> Vec<i32> {
        let tree = self.task.kernel.tasks().tree.read();
        let Some(group) = tree.groups.get(&self.task.group.id()) else { return Vec::new() };
        let nodes = group.tasks.iter().filter_map(|id| tree.tasks.get(id));
        let mut ids: Vec<i32> =
            nodes.map(|node| Tree::number_in(&node.numbers, self.namespace.id()).0).collect();
        ids.sort_unstable();
        ids
    }

    fn thread(&self, id: i32) -> Option<Arc<dyn Process>> {
        let task = self.task.kernel.tasks().task(&self.namespace, Tid(id))?;
        let is_member = task.group.id() == self.task.group.id();
        let view = Self { task, namespace: self.namespace.clone(), is_thread: true };
        is_member.then(|| Arc::new(view) as Arc<dyn Process>)
    }

    fn children(&self) -> Vec<i32> {
        self.children_ids(self.task.group.id())
    }

    fn limits(&self) -> [(u64, u64); RESOURCE_COUNT] {
        let limits = self.task.group.limits();
        std::array::from_fn(|number| {
            let resource = Resource::new(number as u32);
            resource.map_or((0, 0), |resource| (limits.get(resource).soft, limits.get(resource).hard))
        })
    }

    fn namespace(&self, name: &str) -> Option<Arc<dyn Namespace>> {
        match name {
            "pid_for_children" => {
                let namespace = self.task.try_namespaces()?.pid_for_children;
                // As on Linux, there is nothing to show before it has its init.
                self.task.kernel.tasks().has_begun(&namespace).then_some(namespace as Arc<dyn Namespace>)
            }
            "time_for_children" => Some(self.task.try_namespaces()?.time_for_children),
            _ => self.task.namespace(NamespaceKind::ALL.into_iter().find(|kind| kind.name() == name)?),
        }
    }

    fn user_namespace(&self) -> Arc<UserNamespace> {
        self.task.credentials().user_namespace.clone()
    }

    fn executed_in(&self) -> Arc<UserNamespace> {
        self.task.group.executed_in()
    }

    fn landlock(&self) -> Option<Arc<Domain>> {
        self.task.credentials().landlock.clone()
    }

    fn clock_offsets(&self) -> Option<ClockOffsets> {
        Some(self.task.try_namespaces()?.time_for_children.offsets())
    }

    fn set_clock_offsets(&self, viewer: &Viewer, offsets: ClockOffsets) -> Result<(), Errno> {
        let namespace = self.task.try_namespaces().ok_or(Errno::ESRCH)?.time_for_children;
        let owner = namespace.identity().owner().ok_or(Errno::EPERM)?;
        if !viewer.credentials.has_in(owner, Capabilities::SYS_TIME) {
            return Err(Errno::EPERM);
        }
        offsets.check(|clock| self.task.kernel.timekeeper().now(clock))?;
        namespace.set_offsets(offsets)
    }

    fn network(&self) -> Option<Arc<dyn Network>> {
        Some(self.task.try_namespaces()?.network)
    }

    fn cgroup(&self, viewer: &Viewer) -> String {
        let tasks = self.task.kernel.tasks();
        let viewer = tasks.task(tasks.root(), Tid(viewer.thread_id));
        let namespace = viewer.as_ref().unwrap_or(&self.task).namespaces().cgroup;
        let cgroup = self.task.cgroup();
        let path = cgroup.path_from(namespace.root());
        let deleted = if cgroup.is_removed() { " (deleted)" } else { "" };
        format!("0::{}{deleted}\n", String::from_utf8_lossy(&path))
    }

    fn io_counts(&self) -> IoCounts {
        let [own, children] = self.usage();
        let mut counts = own.io;
        if !self.is_thread {
            counts += children.io;
        }
        counts
    }

    fn waits_in(&self) -> Option<WaitingPlace> {
        self.task.is_asleep().then(|| *self.task.sleeps_in.lock()).flatten()
    }

    fn posix_timers(&self) -> Vec<(i32, PosixTimerOrigin)> {
        self.task.group.timers.posix.origins()
    }

    fn autogroup(&self) -> Option<(u64, i32)> {
        let tree = self.task.kernel.tasks().tree.read();
        let session = tree.groups.get(&self.task.group.id())?.session;
        Some((session.0, tree.sessions.get(&session)?.niceness))
    }

    fn set_autogroup_niceness(&self, niceness: i32) {
        let mut tree = self.task.kernel.tasks().tree.write();
        let session = tree.groups.get(&self.task.group.id()).map(|group| group.session);
        if let Some(session) = session.and_then(|session| tree.sessions.get_mut(&session)) {
            session.niceness = niceness;
        }
    }

    fn lowest_niceness(&self) -> i32 {
        20 - i32::try_from(self.task.group.soft_limit(Resource::NICE)).unwrap_or(i32::MAX).min(40)
    }

    fn memory_policy(&self) -> MemoryPolicy {
        self.task.memory_policy()
    }

    fn timer_slack_ns(&self) -> u64 {
        self.task.timer_slack_ns()
    }

    fn set_timer_slack_ns(&self, slack_ns: u64) {
        self.task.set_timer_slack_ns(slack_ns);
    }

    fn set_name(&self, name: &[u8]) {
        self.task.set_name(name);
    }

    fn set_out_of_memory_adjustment(&self, adjustment: i32) {
        self.task.group.set_out_of_memory_adjustment(adjustment);
    }
}

fn mapping_status(mapping: crate::memory::MappingInfo) -> MappingStatus {
    use crate::platform::Access;
    let accesses =
        |whole: Access| [Access::READ, Access::WRITE, Access::EXECUTE].map(|access| whole.contains(access));
    let (major, minor) = mapping.device;
    MappingStatus {
        start: mapping.range.start.0,
        end: mapping.range.end.0,
        access: accesses(mapping.protection),
        max_access: accesses(mapping.max_protection),
        flags: mapping.flags,
        is_shared: mapping.flags.contains(MappingFlags::SHARED),
        offset: mapping.offset,
        file: (DeviceNumber { major, minor }, mapping.inode),
        name: mapping.name,
        resident_bytes: [
            (mapping.resident_pages - mapping.private_pages.min(mapping.resident_pages)) << PAGE_SHIFT,
            mapping.private_pages << PAGE_SHIFT,
        ],
        exclusive_bytes: mapping.exclusive_pages << PAGE_SHIFT,
        is_locked: mapping.flags.contains(MappingFlags::LOCKED),
        policy: mapping.policy,
    }
}

impl super::TaskSet {
    /// What every process has used, those that have ended included.
    pub(crate) fn usage(&self) -> ResourceUsage {
        let tree = self.tree.read();
        let mut total = tree.past_usage;
        let groups: Vec<_> = tree.groups.values().map(|node| node.group.clone()).collect();
        drop(tree);
        for group in groups {
            total += group.usage();
        }
        total
    }
}

/// What credentials say of a process's status.
fn status_of_credentials(credentials: &Credentials) -> ProcessStatus {
    ProcessStatus {
        uids: [credentials.real_uid, credentials.effective_uid, credentials.saved_uid, credentials.fs_uid],
        gids: [credentials.real_gid, credentials.effective_gid, credentials.saved_gid, credentials.fs_gid],
        groups: credentials.groups.to_vec(),
        capabilities: [
            credentials.inheritable.bits(),
            credentials.permitted.bits(),
            credentials.effective.bits(),
            credentials.bounding.bits(),
            credentials.ambient.bits(),
        ],
        has_no_new_privs: credentials.no_new_privs,
        ..ProcessStatus::default()
    }
}
