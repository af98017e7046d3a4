//! A sandbox, built from a description and run to its end.

use std::error::Error;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use platform_kvm::{Config, KvmPlatform};
use sentry::boot::{Description, Image, Machine, Sandbox};
use sentry::fs::host_stdio::{HostFile, HostNotifier};
use sentry::fs::terminal::ControllingTerminals;
use sentry::fs::{
    AttributeChanges, DescriptorTable, Fd, FileDescription, FileKind, FsContext, MountNamespace, OpenFlags,
    Resolver, Viewer,
};
use sentry::host::HostCpus;
use sentry::platform::Platform;
use sentry::syscall::{Table, Tracer};
use sentry::task::{Dispatcher, ExitStatus};

use crate::control::ControlSocket;
use crate::failure::Failure;
use crate::forward::Forwarder;
use crate::jail::Jail;
use crate::terminal::TerminalGuard;

/// The least guest memory that a program can be loaded into.
const MIN_MEMORY_BYTES: u64 = 8 << 20;

/// The session of the guest's first process, and its process group.
pub(crate) const FIRST_SESSION: i32 = 1;

/// Builds the sandbox, runs it, and returns the status to exit with. The process is confined for good.
///
/// # Errors
/// What keeps the program from running, with the status that says whose fault it is.
pub fn run(description: Description) -> Result<u8, Failure> {
    let signals = Forwarder::new()?;
    raise_open_files_limit();
    let image = open_image(&description.root)?;
    let machine = make_machine(&description)?;
    let _terminal = TerminalGuard::new();
    let jail = Jail::around(image.directory())?;
    let (owner, name) = (description.user.uid, description.name.clone());
    let sandbox = Sandbox::new(description, image, machine).map_err(anyhow::Error::from)?;
    let kernel = sandbox.kernel().clone();
    let console = find_console(sandbox.mounts(), owner);
    let descriptors = standard_streams(kernel.terminals(), console)?;
    let control = ControlSocket::open(name.as_deref())?;
    jail.enter()?;
    let init = sandbox.start(descriptors).map_err(Failure::of_program)?;
    signals.start(kernel.clone(), init.thread_group().clone())?;
    control.serve(kernel.clone())?;
    let status: ExitStatus = kernel.wait_for_init(&init);
    Ok(status.shell_status())
}

fn open_image(path: &Path) -> anyhow::Result<Image> {
    Image::open(path).map_err(|error| {
        let context = format!("image {}: {error}", path.display());
        match error.source() {
            Some(_) => anyhow::Error::from(error).context(context),
            None => anyhow::Error::msg(context),
        }
    })
}

fn make_machine(description: &Description) -> anyhow::Result<Machine> {
    let memory_bytes = match description.memory_bytes {
        Some(bytes) if bytes < MIN_MEMORY_BYTES => {
            bail!(
                "--memory {bytes} is too little to run anything: give the guest at least {} MiB",
                MIN_MEMORY_BYTES >> 20
            )
        }
        Some(bytes) => bytes,
        None => default_memory_bytes(),
    };
    let platform: Arc<dyn Platform> = KvmPlatform::new(Config { memory_bytes, ..Config::default() })?;
    let dispatcher: Arc<dyn Dispatcher> = match description.traces_system_calls {
        true => Arc::new(Tracer::new(Box::new(std::io::stderr()))),
        false => Arc::new(Table),
    };
    Ok(Machine { platform, memory_bytes, cpus: HostCpus::of_this_thread(), dispatcher })
}

/// Three quarters of the host's memory: a guest that takes all it gets leaves the host the rest, and is stopped by
/// its own bound before the host has to end something.
fn default_memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let host_bytes = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    host_bytes / 4 * 3
}

/// Files of the image are held open on the host: as many as it allows.
pub(crate) fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // With fewer, the cache of handles is smaller.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// /dev/console, given to user `uid`: what the caller's terminal is to the guest. `None` if the image has something else there.
fn find_console(mounts: &Arc<MountNamespace>, uid: u32) -> Option<sentry::fs::Path> {
    let (view, viewer) = (FsContext::new(mounts.clone()).view(), Viewer::kernel());
    let console = Resolver::new(&view, &viewer).resolve(&view.root, b"/dev/console", false).ok()?;
    let owner = AttributeChanges { uid: Some(uid), ..AttributeChanges::default() };
    console.inode().set_attributes(&owner).ok()?;
    (console.kind() == FileKind::CharacterDevice).then_some(console)
}

/// The caller's standard streams as the guest's descriptors 0, 1 and 2; terminals are at `console`. One that was closed is
/// /dev/null by now: Rust's runtime sees to that, lest a file of vmm's own get its number.
fn standard_streams(
    terminals: &Arc<ControllingTerminals>,
    console: Option<sentry::fs::Path>,
) -> anyhow::Result<Arc<DescriptorTable>> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let notifier = HostNotifier::new();
    let table = DescriptorTable::new();
    let files = HostFile::standard_streams(&streams, &notifier, terminals).context("standard streams")?;
    // The first process leads the first session, which the terminal controls if there is one.
    if let Some(terminal) = files.iter().find(|file| file.is_terminal()) {
        terminal.control_session(FIRST_SESSION, FIRST_SESSION).context("the controlling terminal")?;
    }
    for ((number, stream), file) in (0..).zip(streams).zip(files) {
        let access = rustix::fs::fcntl_getfl(stream).context("standard streams")?;
        let flags = OpenFlags::from_bits_truncate(access.bits() & (libc::O_ACCMODE | libc::O_APPEND) as u32);
        let path = console.clone().filter(|_| file.is_terminal());
        if let Some(path) = &path {
            file.set_node(path.inode().clone());
        }
        let description = FileDescription::new(file, path, flags);
        table.install_at(description, Fd(number), false, 3).context("standard streams")?;
    }
    Ok(table)
}
