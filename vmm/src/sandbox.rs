//! A sandbox, built from a description and run to its end.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use platform_kvm::{Config, KvmPlatform};
use rustix::fs::{CWD, Mode, OFlags};
use sentry::cred::Credentials;
use sentry::fs::boot::{RootImage, mount_root};
use sentry::fs::dev::TerminalDevices;
use sentry::fs::host_stdio::{HostFile, HostNotifier};
use sentry::fs::proc::ProcFileSystem;
use sentry::fs::pts::PtsFileSystem;
use sentry::fs::terminal::ControllingTerminals;
use sentry::fs::tmpfs::MemoryResources;
use sentry::fs::{
    AttributeChanges, Dentry, DescriptorTable, Fd, FileDescription, FileKind, FsContext, Mount, MountFlags,
    MountNamespace, OpenFlags, Resolver, Viewer,
};
use sentry::host::HostCpus;
use sentry::kernel::{InitProgram, Kernel, KernelConfig};
use sentry::limits::Limits;
use sentry::memory::FrameAllocator;
use sentry::platform::Platform;
use sentry::syscall::{Table, Tracer};
use sentry::task::{Dispatcher, ExitStatus, TaskSource};

use crate::control::ControlSocket;
use crate::failure::Failure;
use crate::forward::Forwarder;
use crate::jail::Jail;
use crate::terminal::TerminalGuard;

/// What is run if no command is given.
const DEFAULT_COMMAND: &[u8] = b"/bin/sh";
/// What the sandbox makes in a root that is otherwise empty.
const OWN_DIRECTORIES: [&[u8]; 4] = [b"dev", b"proc", b"sys", b"tmp"];
/// The least guest memory that a program can be loaded into.
const MIN_MEMORY_BYTES: u64 = 8 << 20;

/// What a sandbox is to be.
#[derive(Debug)]
pub(crate) struct Description {
    /// A directory, or an ELF executable.
    pub(crate) image: PathBuf,
    /// The program and its arguments; empty for the image's own, or a shell.
    pub(crate) command: Vec<Vec<u8>>,
    /// `NAME=value` each.
    pub(crate) environment: Vec<Vec<u8>>,
    pub(crate) working_directory: Vec<u8>,
    pub(crate) user: User,
    pub(crate) host_name: Vec<u8>,
    /// The container's id.
    pub(crate) name: Option<String>,
    /// `None`: three quarters of the host's.
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) traces_system_calls: bool,
}

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The session of the guest's first process, and its process group.
pub(crate) const FIRST_SESSION: i32 = 1;

/// Builds the sandbox, runs it, and returns the status to exit with.
///
/// # Errors
/// What keeps the program from running, with the status that says whose fault it is.
pub(crate) fn run(description: Description) -> Result<u8, Failure> {
    let signals = Forwarder::new()?;
    raise_open_files_limit();
    let image = Image::open(&description.image)?;
    let kernel = make_kernel(&description)?;
    let _terminal = TerminalGuard::new();
    let terminals = kernel.terminals();
    let (command, arguments) = image.command(description.command);
    let jail = Jail::around(image.directory())?;
    let mounts = mount(&kernel, image, terminals)?;
    let console = find_console(&mounts, description.user);
    let descriptors = standard_streams(terminals, console)?;
    let control = ControlSocket::open(description.name.as_deref())?;
    jail.enter()?;
    let init = kernel
        .start_init(InitProgram {
            path: command,
            arguments,
            environment: description.environment,
            mounts,
            working_directory: description.working_directory,
            descriptors,
            credentials: description.user.credentials(),
            limits: Limits::default(),
            container_id: description.name.map(String::into_bytes),
        })
        .map_err(Failure::of_program)?;
    signals.start(kernel.clone(), init.thread_group().clone())?;
    control.serve(kernel.clone())?;
    let status: ExitStatus = kernel.wait_for_init(&init);
    Ok(status.shell_status())
}

impl User {
    fn credentials(self) -> Credentials {
        if self.uid == 0 {
            Credentials {
                real_gid: self.gid,
                effective_gid: self.gid,
                saved_gid: self.gid,
                fs_gid: self.gid,
                ..Credentials::root()
            }
        } else {
            Credentials::of_user(self.uid, self.gid)
        }
    }
}

fn make_kernel(description: &Description) -> anyhow::Result<Arc<Kernel>> {
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
    let frames = FrameAllocator::new(&platform, memory_bytes);
    let dispatcher: Arc<dyn Dispatcher> = match description.traces_system_calls {
        true => Arc::new(Tracer::new(Box::new(std::io::stderr()))),
        false => Arc::new(Table),
    };
    let cpus = HostCpus::of_this_thread();
    let host_name = description.host_name.clone();
    Ok(Kernel::new(KernelConfig { platform, frames, cpus, host_name, dispatcher })?)
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

/// An image, opened and told apart.
enum Image {
    Directory(OwnedFd),
    Executable { file: OwnedFd, name: Vec<u8> },
}

impl Image {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file =
            rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
                .with_context(|| {
                    format!("image {shown}: cannot be opened; --image takes a directory or an ELF executable")
                })?;
        let mut file = File::from(file);
        let kind = file.metadata().with_context(|| format!("image {shown}"))?.file_type();
        if kind.is_dir() {
            return Ok(Self::Directory(file.into()));
        }
        let mut head = [0; 4];
        let is_elf = kind.is_file() && file.read_exact(&mut head).is_ok() && head == *b"\x7fELF";
        if !is_elf {
            bail!("image {shown}: neither a directory that holds a root file system nor an ELF executable");
        }
        let name = path.file_name().ok_or_else(|| anyhow!("image {shown}: has no name"))?.as_encoded_bytes();
        if OWN_DIRECTORIES.contains(&name) {
            bail!(
                "image {shown}: an executable needs another name, since the sandbox has a directory of that name"
            );
        }
        Ok(Self::Executable { file: file.into(), name: name.to_vec() })
    }

    /// The directory below which the image's files are; an executable is open already.
    fn directory(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Directory(root) => Some(root.as_fd()),
            Self::Executable { .. } => None,
        }
    }

    /// The program to run and its arguments, its own name first.
    fn command(&self, words: Vec<Vec<u8>>) -> (Vec<u8>, Vec<Vec<u8>>) {
        match self {
            Self::Directory(_) => {
                let words = if words.is_empty() { vec![DEFAULT_COMMAND.to_vec()] } else { words };
                (words.first().cloned().unwrap_or_default(), words)
            }
            Self::Executable { name, .. } => {
                let path = [b"/", name.as_slice()].concat();
                let names_itself = words.first().is_some_and(|word| *word == path || word == name);
                let own = if names_itself { Vec::new() } else { vec![path.clone()] };
                (path, own.into_iter().chain(words).collect())
            }
        }
    }

    fn into_root(self) -> RootImage {
        match self {
            Self::Directory(root) => {
                let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
                let half = limit.and_then(|limit| usize::try_from(limit / 2).ok());
                RootImage::Directory { root, max_handles: half.unwrap_or(usize::MAX).clamp(64, 1 << 16) }
            }
            Self::Executable { file, name } => RootImage::Executable { file, name },
        }
    }
}

fn mount(
    kernel: &Arc<Kernel>,
    image: Image,
    terminals: &Arc<ControllingTerminals>,
) -> anyhow::Result<Arc<MountNamespace>> {
    let resources = MemoryResources::new(kernel.frames().clone());
    let terminal_devices = TerminalDevices::new(terminals.clone());
    resources.specials.register(FileKind::CharacterDevice, 5, terminal_devices);
    let source = TaskSource::new(kernel, kernel.tasks().root().clone());
    let quiet =
        MountFlags::NO_SUID | MountFlags::NO_DEVICES | MountFlags::NO_EXEC | MountFlags::RELATIVE_ACCESS_TIME;
    let proc = ProcFileSystem::new(source);
    let proc_root = Dentry::new_root(proc.root());
    let proc = Mount::new(proc, proc_root, "proc", quiet);
    let file_systems = kernel.file_systems();
    let sys = Mount::of(file_systems.system.clone(), "sysfs", quiet | MountFlags::READ_ONLY);
    let pts = PtsFileSystem::new(terminals.clone());
    let pts_root = Dentry::new_root(pts.root());
    let pts = Mount::new(pts, pts_root, "devpts", MountFlags::NO_SUID | MountFlags::NO_EXEC);
    let cgroups = file_systems.cgroups.clone();
    let cgroups_root = Dentry::new_root(cgroups.root_for(&Viewer::kernel()));
    let cgroups = Mount::new(cgroups, cgroups_root, "cgroup2", quiet);
    let mounts = [("/proc", proc), ("/sys", sys), ("/sys/fs/cgroup", cgroups), ("/dev/pts", pts)];
    mount_root(&resources, image.into_root(), &mounts).context("the image cannot be mounted")
}

/// /dev/console, given to `user`: what the caller's terminal is to the guest. `None` if the image has something else there.
fn find_console(mounts: &Arc<MountNamespace>, user: User) -> Option<sentry::fs::Path> {
    let (view, viewer) = (FsContext::new(mounts.clone()).view(), Viewer::kernel());
    let console = Resolver::new(&view, &viewer).resolve(&view.root, b"/dev/console", false).ok()?;
    let owner = AttributeChanges { uid: Some(user.uid), ..AttributeChanges::default() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_s_words_are_its_arguments() {
        let image =
            Image::Executable { file: File::open("/dev/null").unwrap().into(), name: b"hello".to_vec() };
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        for given in [&["a"][..], &["/hello", "a"], &["hello", "a"]] {
            let (path, arguments) = image.command(words(given));
            assert_eq!(path, b"/hello");
            assert_eq!(arguments.last().unwrap(), b"a");
            assert_eq!(arguments.len(), 2);
        }
    }

    #[test]
    fn what_is_neither_directory_nor_elf_is_no_image() {
        for path in ["/dev/null", "/etc/passwd", "/does/not/exist"] {
            assert!(Image::open(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn an_executable_is_not_called_as_a_directory_of_the_sandbox() {
        let directory = tempfile::tempdir().unwrap();
        for (name, is_fine) in [("proc", false), ("tmp", false), ("process", true)] {
            let path = directory.path().join(name);
            std::fs::write(&path, b"\x7fELF and more").unwrap();
            assert_eq!(Image::open(&path).is_ok(), is_fine, "{name}");
        }
    }
}
