//! A sandbox, built from a description and run to its end.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use platform_kvm::{Config, Exitless, KvmPlatform};
use rustix::fs::Mode;
use sentry::boot::{Description, Image, Machine, Sandbox, Volumes};
use sentry::fs::MountNamespace;
use sentry::fs::host_stdio::HostNotifier;
use sentry::fs::volume::VolumeRoot;
use sentry::host::HostCpus;
use sentry::platform::Platform;
use sentry::signal::Signal;
use sentry::syscall::{Table, Tracer};
use sentry::task::{Dispatcher, ExitStatus};

use crate::control::{About, ControlSocket, Ending, Served};
use crate::diff::DiffPlace;
use crate::exec::Executor;
use crate::failure::Failure;
use crate::forward::{Forwarder, Stop, TimeLimit};
use crate::front::Front;
use crate::jail::{Access, Jail, JailUser, Rules};
use crate::network::{Network, OpenDoor};
use crate::output::{Output, Outputs};
use crate::profile::{OwnProgram, ProfileFile, ProfileSource, Wanted};

/// The least guest memory that a program can be loaded into.
const MIN_MEMORY_BYTES: u64 = 8 << 20;

/// The session of the guest's first process, and its process group.
pub(crate) const FIRST_SESSION: i32 = 1;

/// How vmm keeps a sandbox, which is nothing that the guest knows of.
#[derive(Clone, Debug)]
pub struct Custody {
    /// A host without Landlock, or with one that is too old, runs nothing.
    pub is_landlock_required: bool,
    /// Who vmm becomes if it is started by root; if left out, a user that no other process is.
    pub jail_user: Option<JailUser>,
    /// What asks the first process to end when vmm gets a SIGTERM.
    pub stop_signal: Signal,
    /// How long the first process has to end after that, before it is killed.
    pub stop_timeout: Duration,
    /// How long the first process may run; after that it is stopped as by a SIGTERM, and the status is
    /// [`Failure::TIMED_OUT`].
    pub timeout: Option<Duration>,
    /// What is copied out when the program has ended, whatever its status.
    pub outputs: Vec<Output>,
    /// The file that gets a layer of what was changed in the root file system, when the program has ended.
    pub diff: Option<PathBuf>,
    /// Where a profile of the whole run goes.
    pub profile: Option<Wanted>,
    /// When system calls are served without leaving the guest.
    pub exitless: Exitless,
    /// The program never sees its text changed.
    pub keeps_text: bool,
    /// The first program is on a terminal of the guest's own, which is relayed to the caller's streams.
    pub has_terminal: bool,
    /// The first program reads the caller's standard input; else its own is empty.
    pub has_input: bool,
    /// What of the outside the sandbox reaches, and what reaches it.
    pub network: Network,
    /// What the image is called outside.
    pub image_name: String,
    /// A pipe that is written a zero to once the first program runs.
    pub started: Option<Arc<OwnedFd>>,
}

impl Default for Custody {
    /// All layers of the jail, and docker's ten seconds.
    fn default() -> Self {
        Self {
            is_landlock_required: true,
            jail_user: None,
            stop_signal: Signal::SIGTERM,
            stop_timeout: Duration::from_secs(10),
            timeout: None,
            outputs: Vec::new(),
            diff: None,
            profile: None,
            exitless: Exitless::Auto,
            keeps_text: false,
            has_terminal: false,
            has_input: true,
            network: Network::default(),
            image_name: "/".to_owned(),
            started: None,
        }
    }
}

impl Custody {
    fn stop(&self) -> Stop {
        Stop { signal: self.stop_signal, timeout: self.stop_timeout }
    }

    fn rules(&self) -> Rules {
        Rules {
            is_landlock_required: self.is_landlock_required,
            user: self.jail_user,
            has_broker: self.network.has_door(),
        }
    }
}

/// Builds the sandbox out of a description and the image that it names, runs it, and returns the status to exit with. The
/// process is confined for good, and what the sandbox was stays until it ends.
///
/// # Errors
/// What keeps the program from running, with the status that says whose fault it is.
pub fn run(description: Description, image: Image, custody: Custody) -> Result<u8, Failure> {
    raise_open_files_limit();
    // Before anything else: what it is forked from should be as little as can be.
    let door = OpenDoor::open(&custody.network, custody.rules())?;
    let signals = Forwarder::new()?;
    survive_size_limits()?;
    let control = ControlSocket::open(description.name.as_deref())?;
    let profile = custody.profile.as_ref().map(|wanted| ProfileFile::open(&wanted.file)).transpose()?;
    let program = OwnProgram::open();
    let mut jail = Jail::begin(custody.rules())?;
    // Each has a thread of its own from here on: first the one that takes longest.
    let platform = begin_platform(&description, &custody)?;
    jail.make_ahead();
    let parts = Parts { door, signals, control, profile, program, jail, platform: platform.clone() };
    // What there is no microVM for counts for more than what else is wrong.
    parts.run(description, image, custody).map_err(|failure| match platform.finish() {
        Err(error) => anyhow::Error::from(error).into(),
        Ok(()) => failure,
    })
}

/// What is there before the sandbox is.
struct Parts {
    door: Option<OpenDoor>,
    signals: Forwarder,
    control: ControlSocket,
    profile: Option<ProfileFile>,
    program: Arc<OwnProgram>,
    jail: Jail,
    platform: Arc<KvmPlatform>,
}

impl Parts {
    /// Builds the sandbox, runs it, and returns the status to exit with.
    fn run(self, description: Description, image: Image, custody: Custody) -> Result<u8, Failure> {
        let Self { mut door, signals, control, profile, program, mut jail, platform } = self;
        let image = admit(image, &description.root, &mut jail)?;
        let volumes = Volumes::open(&description.mounts).map_err(anyhow::Error::from)?;
        let volumes = admit_volumes(volumes, &mut jail)?;
        let outputs = Outputs::open(&custody.outputs, &mut jail)?;
        let diff = custody.diff.as_deref().map(|file| DiffPlace::open(file, &mut jail)).transpose()?;
        let image_volumes = description.anonymous_volumes.clone();
        let machine = machine(platform.clone(), &description)?;
        let (root, owner) = (description.root.clone(), jail.caller());
        let about = about(&description, &custody);
        let sandbox = Sandbox::new(description, image, volumes, machine).map_err(anyhow::Error::from)?;
        let (kernel, mounts, later) =
            (sandbox.kernel().clone(), sandbox.mounts().clone(), sandbox.later_programs());
        let diff = diff.map(|place| place.begin(&mounts, &image_volumes)).transpose()?;
        let network = kernel.initial_namespaces().network.clone();
        door.as_mut().map_or(Ok(()), |door| door.attach(&network))?;
        let notifier = HostNotifier::new();
        let mut front = Front::new(&custody, &sandbox, &root, &notifier)?;
        // The thread that makes the microVM ends before all are confined.
        let confined = jail.confine_thread()?;
        platform.finish().map_err(anyhow::Error::from)?;
        for (layer, text) in confined.seal()? {
            log::info!("{layer}: {text}");
        }
        front.begin()?;
        let source = ProfileSource::new(&kernel, &mounts, &about.command, &program);
        custody.profile.as_ref().map_or(Ok(()), |wanted| source.begin(wanted.hz))?;
        let init = sandbox.start(front.descriptors()).map_err(Failure::of_program)?;
        signals.start(kernel.clone(), init.thread_group().clone(), custody.stop(), front.window())?;
        door.map_or(Ok(()), |door| door.serve(network))?;
        let time_limit = TimeLimit::start(custody.timeout, init.thread_group(), custody.stop())?;
        let ending = Arc::<Ending>::default();
        let executor = Executor::new(init.clone(), later, notifier);
        let (profile_source, told) = (source.clone(), ending.clone());
        control.serve(Served { owner, about, executor, profile_source, ending: told })?;
        if let Some(started) = custody.started {
            // Who does not wait for it any more has no use for it.
            let _ = rustix::io::write(&started, &[0]);
        }
        let status: ExitStatus = kernel.wait_for_init(&init);
        platform.log_counts();
        front.finish();
        write_back(&mounts);
        let status = if time_limit.has_passed() { Failure::TIMED_OUT } else { status.shell_status() };
        let viewer = kernel.viewer();
        let profiled = profile.map_or(Ok(()), |file| source.write(file));
        let changes = diff.as_ref().map_or(Ok(()), |diff| diff.write(&viewer));
        let copied = outputs.copy(&mounts, &viewer).and(changes).and(profiled).map_err(Failure::from);
        ending.come(copied.as_ref().err().filter(|_| status == 0).map_or(status, |failure| failure.status));
        tell(copied, status)?;
        // Who called is to end the process, and the host takes all of it back faster than we would.
        std::mem::forget((kernel, init, mounts, outputs, diff));
        Ok(status)
    }
}

/// Fails as `result` does, unless the program's `status` does: what that says counts for more.
fn tell(result: Result<(), Failure>, status: u8) -> Result<(), Failure> {
    match result {
        Err(failure) if status != 0 => {
            log::error!("{}", failure.text());
            Ok(())
        }
        result => result,
    }
}

/// What is told of the sandbox to who asks from outside.
fn about(description: &Description, custody: &Custody) -> About {
    let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let words = description.command.iter().map(|word| String::from_utf8_lossy(&word.0).into_owned());
    About {
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        name: description.name.clone(),
        image: custody.image_name.clone(),
        command: words.collect(),
        started_at: started_at.as_secs(),
        is_paused: false,
    }
}

/// Lets the image at `path` be read from inside the jail; an executable, or what holds layers, is open already.
fn admit(image: Image, path: &Path, jail: &mut Jail) -> anyhow::Result<Image> {
    Ok(match image {
        Image::Directory { root, .. } => {
            let root = jail.admit(root, Access::Read);
            let root = root.with_context(|| format!("image {}", path.display()))?;
            Image::Directory { root, owners: jail.owners() }
        }
        open => open,
    })
}

/// Lets the volumes be used from inside the jail; those that are files are open already. New files have the modes that the
/// guest says.
fn admit_volumes(volumes: Volumes, jail: &mut Jail) -> anyhow::Result<Volumes> {
    rustix::process::umask(Mode::empty());
    let owners = jail.owners();
    volumes.told_by(owners).map_roots(|root, is_read_only| {
        let access = if is_read_only { Access::Share } else { Access::Write };
        match root.into_directory() {
            Ok(directory) => Ok(VolumeRoot::new(jail.admit(directory, access)?)?),
            Err(file) => {
                jail.permit(access);
                Ok(file)
            }
        }
    })
}

/// What mappings have changed of volumes reaches the host's files, if it has not yet.
fn write_back(mounts: &MountNamespace) {
    for mount in mounts.mounts() {
        if let Err(error) = mount.file_system().write_back() {
            log::warn!("what a mapping changed could not be written to the host: {error}");
        }
    }
}

/// Begins to make the microVM, which takes as long as all else until it is needed.
fn begin_platform(description: &Description, custody: &Custody) -> anyhow::Result<Arc<KvmPlatform>> {
    let memory_bytes = memory_bytes(description)?;
    // Calls that are shown exit, one by one.
    let exitless = if description.traces_system_calls { Exitless::Off } else { custody.exitless };
    let keeps_text = custody.keeps_text;
    let window_bytes = window_bytes(memory_bytes);
    Ok(KvmPlatform::begin(Config { memory_bytes, window_bytes, exitless, keeps_text, ..Config::default() })?)
}

fn machine(platform: Arc<dyn Platform>, description: &Description) -> anyhow::Result<Machine> {
    let dispatcher: Arc<dyn Dispatcher> = match description.traces_system_calls {
        true => Arc::new(Tracer::new(Box::new(std::io::stderr()))),
        false => Arc::new(Table),
    };
    let memory_bytes = memory_bytes(description)?;
    Ok(Machine { platform, memory_bytes, cpus: HostCpus::of_this_thread(), dispatcher })
}

fn memory_bytes(description: &Description) -> anyhow::Result<u64> {
    match description.memory_bytes {
        Some(bytes) if bytes < MIN_MEMORY_BYTES => {
            bail!(
                "--memory {bytes} is too little to run anything: give the guest at least {} MiB",
                MIN_MEMORY_BYTES >> 20
            )
        }
        Some(bytes) => Ok(bytes),
        None => Ok(default_memory_bytes()),
    }
}

/// Room for the pages of files that programs map: they lie in the host's cache, and are no memory of the guest.
fn window_bytes(memory_bytes: u64) -> u64 {
    (memory_bytes / 2).clamp(256 << 20, 4 << 30)
}

/// Three quarters of the host's memory: a guest that takes all it gets leaves the host the rest, and is stopped by
/// its own bound before the host has to end something.
fn default_memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let host_bytes = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    host_bytes / 4 * 3
}

/// A file that may not grow further is the guest's affair: writing to it fails, and vmm goes on.
fn survive_size_limits() -> anyhow::Result<()> {
    signal_hook::flag::register(libc::SIGXFSZ, Arc::default()).context("catch SIGXFSZ")?;
    Ok(())
}

/// Files of the image are held open on the host: as many as it allows.
pub(crate) fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // With fewer, the cache of handles is smaller.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
