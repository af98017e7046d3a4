//! The kernel: what all tasks of a sandbox share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use syscalls::Sysno;

use crate::Errno;
use crate::aio::AioBudget;
use crate::cgroup::Hierarchy;
use crate::core_settings::CoreSettings;
use crate::cred::UserNamespace;
use crate::fs::async_io::AsyncSignals;
use crate::fs::file_systems::FileSystems;
use crate::fs::inotify::InotifyLimits;
use crate::fs::terminal::ControllingTerminals;
use crate::fs::{OpenFiles, Viewer};
use crate::futex::FutexTable;
use crate::host::{CpuFeatures, HostCpus};
use crate::keys::Keys;
use crate::limits::Users;
use crate::loader::ProgramHost;
use crate::memory::{Frame, FrameAllocator, FutexKey, MemoryAccount, MemoryManager, Protection};
use crate::net::KernelSockets;
use crate::platform::{PAGE_SIZE, Platform};
use crate::settings::KernelSettings;
use crate::task::{CgroupTasks, Dispatcher, ExitStatus, Namespaces, Profiler, Task, TaskGroups, TaskSet};
use crate::time::vdso::{VvarPage, vdso_image};
use crate::time::{MonotonicTime, ShiftedVdso, TimeNamespace, Timekeeper, TimerQueue};
use crate::wait::WaitQueue;

/// The release that uname(2) tells: what the sentry offers lives up to it.
pub const RELEASE: &str = "6.12.0-palisade";
/// The version that uname(2) tells.
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC Palisade";

/// What /proc/PID/maps calls the vDSO.
const VDSO_NAME: &str = "[vdso]";

/// What a sandbox is.
pub struct KernelConfig {
    /// The machine.
    pub platform: Arc<dyn Platform>,
    /// The guest's frames.
    pub frames: Arc<FrameAllocator>,
    /// The host's CPUs that the guest gets.
    pub cpus: HostCpus,
    /// What uname(2) calls `nodename` at first.
    pub host_name: Vec<u8>,
    /// Who serves system calls: [`syscall::Table`](crate::syscall::Table), or one that writes them down too.
    pub dispatcher: Arc<dyn Dispatcher>,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The vDSO does not fit into guest memory.
    #[error("no guest memory for the vDSO ({0}); give the guest more with --memory")]
    Vdso(Errno),
}

/// The kernel of a sandbox.
pub struct Kernel {
    platform: Arc<dyn Platform>,
    frames: Arc<FrameAllocator>,
    tasks: TaskSet,
    users: Users,
    inotify_limits: Arc<InotifyLimits>,
    fanotify_limits: Arc<InotifyLimits>,
    open_files: Arc<OpenFiles>,
    futexes: FutexTable<FutexKey>,
    keys: Arc<Keys>,
    timers: Arc<TimerQueue>,
    async_signals: Arc<AsyncSignals>,
    aio_budget: Arc<AioBudget>,
    timekeeper: Arc<Timekeeper>,
    /// The vvar page and the code.
    vdso: Arc<[Frame]>,
    user_namespace: Arc<UserNamespace>,
    namespaces: Namespaces,
    terminals: Arc<ControllingTerminals>,
    empty_memory: Arc<MemoryManager>,
    cgroups: Arc<Hierarchy>,
    core_settings: Arc<CoreSettings>,
    settings: Arc<KernelSettings>,
    file_systems: OnceLock<FileSystems>,
    cpus: HostCpus,
    /// Known once a program is loaded: the platform may still be made before.
    cpu_features: OnceLock<CpuFeatures>,
    /// A signal was sent to somebody: those who wait for signalfds look again. They are few.
    signal_arrivals: WaitQueue,
    boot_time: MonotonicTime,
    boot_id: OnceLock<u128>,
    /// A bit for each system call number whose absence has been logged.
    missing_syscalls: [AtomicU64; 8],
    profiler: Profiler,
}

impl Kernel {
    /// Makes a kernel without tasks.
    ///
    /// # Errors
    /// Guest memory is too small even for the kernel's own pages.
    pub fn new(config: KernelConfig) -> Result<Arc<Self>, KernelError> {
        let KernelConfig { platform, frames, cpus, host_name, dispatcher } = config;
        let timekeeper = Arc::new(Timekeeper::default());
        let vdso = make_vdso(&frames, &timekeeper, &cpus).map_err(KernelError::Vdso)?;
        let empty_memory = MemoryManager::without_tables(&platform, &frames);
        let timers = TimerQueue::new(&timekeeper);
        let cgroups = Hierarchy::new(&frames, &timers);
        let settings = frames.settings().clone();
        let open_files = Arc::new(OpenFiles::new(&timekeeper, &settings));
        let user_namespace = UserNamespace::initial();
        let tasks = TaskSet::new(dispatcher, &user_namespace);
        let sockets = KernelSockets::new(&open_files, &timekeeper, &timers);
        let namespaces = Namespaces::initial(&host_name, &user_namespace, &tasks, sockets, cgroups.root());
        let boot_time = timekeeper.monotonic();
        let kernel = Arc::new(Self {
            cpu_features: OnceLock::new(),
            platform,
            frames,
            tasks,
            users: Users::default(),
            inotify_limits: Arc::default(),
            fanotify_limits: Arc::new(InotifyLimits::of_fanotify()),
            open_files,
            futexes: FutexTable::default(),
            keys: Keys::new(&timekeeper),
            async_signals: AsyncSignals::new(&timers),
            aio_budget: AioBudget::new(&settings),
            timers,
            timekeeper,
            vdso,
            user_namespace,
            namespaces,
            terminals: ControllingTerminals::new(&settings),
            empty_memory,
            cgroups,
            core_settings: Arc::default(),
            settings,
            file_systems: OnceLock::new(),
            cpus,
            signal_arrivals: WaitQueue::default(),
            boot_time,
            boot_id: OnceLock::new(),
            missing_syscalls: Default::default(),
            profiler: Profiler::default(),
        });
        kernel.terminals.set_process_groups(TaskGroups::new(&kernel));
        Ok(kernel)
    }

    /// The machine.
    pub fn platform(&self) -> &Arc<dyn Platform> {
        &self.platform
    }

    /// The guest's frames.
    pub fn frames(&self) -> &Arc<FrameAllocator> {
        &self.frames
    }

    /// All tasks.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// What records where the time of the tasks goes.
    pub fn profiler(&self) -> &Profiler {
        &self.profiler
    }

    /// What each user is charged with.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// How much of fanotify each user may have.
    pub fn fanotify_limits(&self) -> &Arc<InotifyLimits> {
        &self.fanotify_limits
    }

    /// How much of inotify each user may have.
    pub fn inotify_limits(&self) -> &Arc<InotifyLimits> {
        &self.inotify_limits
    }

    /// Random bits that stay the same for as long as the sandbox lives (`man 5 proc_sys_kernel`, random/boot_id).
    ///
    /// # Errors
    /// The host's on making them.
    pub fn boot_id(&self) -> Result<u128, Errno> {
        if let Some(id) = self.boot_id.get() {
            return Ok(*id);
        }
        let mut bytes = [0; 16];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(*self.boot_id.get_or_init(|| u128::from_be_bytes(bytes)))
    }

    /// What all descriptor tables share.
    pub fn open_files(&self) -> &Arc<OpenFiles> {
        &self.open_files
    }

    /// All keys.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Who waits for which futex.
    pub fn futexes(&self) -> &FutexTable<FutexKey> {
        &self.futexes
    }

    /// Timers of every kind.
    pub fn timers(&self) -> &Arc<TimerQueue> {
        &self.timers
    }

    /// What contexts of asynchronous input and output may hold.
    pub(crate) fn aio_budget(&self) -> &Arc<AioBudget> {
        &self.aio_budget
    }

    /// The signals of files with O_ASYNC that are to be sent.
    pub fn async_signals(&self) -> &Arc<AsyncSignals> {
        &self.async_signals
    }

    /// CPUs that the guest is told of.
    pub fn cpu_count(&self) -> usize {
        self.cpus.count()
    }

    /// The host's CPUs that the guest's are.
    pub fn cpus(&self) -> &HostCpus {
        &self.cpus
    }

    /// Where signals are announced, whoever they were sent to: signalfd(2) sleeps here.
    pub(crate) fn signal_arrivals(&self) -> &WaitQueue {
        &self.signal_arrivals
    }

    /// When the kernel was made.
    pub fn boot_time(&self) -> MonotonicTime {
        self.boot_time
    }

    /// How long ago that is.
    pub fn uptime(&self) -> Duration {
        self.timekeeper.monotonic().saturating_duration_since(self.boot_time)
    }

    /// The clocks that all tasks share.
    pub fn timekeeper(&self) -> &Arc<Timekeeper> {
        &self.timekeeper
    }

    /// The initial user namespace, whose numbers of users and groups the kernel keeps everywhere.
    pub fn user_namespace(&self) -> &Arc<UserNamespace> {
        &self.user_namespace
    }

    /// Who the kernel itself is to its file systems.
    pub fn viewer(&self) -> Viewer {
        Viewer::kernel(&self.user_namespace)
    }

    /// The namespaces of the first task.
    pub fn initial_namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Which terminal controls which session.
    pub fn terminals(&self) -> &Arc<ControllingTerminals> {
        &self.terminals
    }

    /// The control groups.
    pub fn cgroups(&self) -> &Arc<Hierarchy> {
        &self.cgroups
    }

    /// How core dumps are made.
    pub fn core_settings(&self) -> &Arc<CoreSettings> {
        &self.core_settings
    }

    /// The numbers of /proc/sys.
    pub fn settings(&self) -> &Arc<KernelSettings> {
        &self.settings
    }

    /// The file systems of which there is one instance, and what the others are made from.
    pub fn file_systems(self: &Arc<Self>) -> &FileSystems {
        self.file_systems.get_or_init(|| {
            let (cpus, tasks) = (self.cpu_count(), CgroupTasks::new(self));
            FileSystems::new(
                cpus,
                &self.frames,
                &self.open_files,
                &self.user_namespace,
                &self.terminals,
                &self.cgroups,
                tasks,
            )
        })
    }

    /// An address space with nothing in it: what an exited task's thread is left with.
    pub(crate) fn empty_memory(&self) -> &Arc<MemoryManager> {
        &self.empty_memory
    }

    /// Has the vDSO in `memory`, wherever it is by now, be the one that tasks of `namespace` see.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn switch_vdso(&self, memory: &MemoryManager, namespace: &TimeNamespace) -> Result<(), Errno> {
        memory.replace_special(&self.vdso_in(namespace)?, VDSO_NAME);
        Ok(())
    }

    /// The vDSO as tasks of `namespace` see it, whose offsets are settled from now on: its data page and its code.
    fn vdso_in(&self, namespace: &TimeNamespace) -> Result<Arc<[Frame]>, Errno> {
        let shifted = namespace.settle(|offsets| {
            let code = self.vdso.get(1).cloned().ok_or(Errno::ENOMEM)?;
            let vvar = self.frames.allocate()?;
            let _vvar = self.timekeeper.publish_shifted(VvarPage::new(vvar.clone()), offsets);
            Ok(ShiftedVdso { frames: [vvar, code].into(), _vvar })
        })?;
        Ok(shifted.map_or_else(|| self.vdso.clone(), |shifted| shifted.frames))
    }

    /// Logs that system call `number` is not served, the first time that it is asked for.
    pub(crate) fn note_missing_syscall(&self, number: u64) {
        let Some(word) = usize::try_from(number / 64).ok().and_then(|index| self.missing_syscalls.get(index))
        else {
            return;
        };
        let bit = 1 << (number % 64);
        if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let name = Sysno::new(number as usize).map_or("?", |name| name.name());
            log::warn!("system call {name} ({number}) is not there yet: ENOSYS");
        }
    }

    /// Waits until the process of `task`, the first one, has ended, and returns how.
    pub fn wait_for_init(&self, task: &Task) -> ExitStatus {
        self.tasks.wait_until_ended(task.thread_group())
    }
}

impl ProgramHost for Kernel {
    fn new_memory(&self, payer: Option<Arc<MemoryAccount>>) -> Result<Arc<MemoryManager>, Errno> {
        let memory = MemoryManager::new(&self.platform, &self.frames)?;
        memory.set_payer(payer);
        Ok(memory)
    }

    fn map_vdso(&self, memory: &MemoryManager, namespace: &TimeNamespace) -> Result<u64, Errno> {
        let frames = self.vdso_in(namespace)?;
        let protections = [Protection::READ, Protection::READ | Protection::EXECUTE];
        let start = memory.map_special(&frames, &protections, VDSO_NAME)?;
        Ok(start.0 + PAGE_SIZE)
    }

    fn cpu_features(&self) -> CpuFeatures {
        *self.cpu_features.get_or_init(|| CpuFeatures::of_host(self.platform.extended_state_len_bytes()))
    }
}

/// Fills the frames of the vDSO, data first, and has the data follow `timekeeper`.
fn make_vdso(
    frames: &Arc<FrameAllocator>,
    timekeeper: &Timekeeper,
    cpus: &HostCpus,
) -> Result<Arc<[Frame]>, Errno> {
    let vvar = frames.allocate()?;
    timekeeper.publish(VvarPage::new(vvar.clone()), if cpus.is_identity() { cpus.count() } else { 0 });
    let code = frames.allocate()?;
    code.slice().copy_from(vdso_image().as_slice());
    Ok([vvar, code].into())
}
