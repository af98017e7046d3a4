//! The caller's standard streams, as the guest's descriptors 0, 1 and 2.
//!
//! A stream that the caller closed is closed inside. vmm itself keeps no other hold on the caller's input and output than
//! the guest's descriptors, so that who waits for their end sees it when the guest closes them; standard error stays
//! open for what vmm has to say.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path as HostPath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context;
use rustix::fs::FileType;
use sentry::boot::User;
use sentry::cred::KernelUid;
use sentry::fs::host_stdio::{HostFile, HostNotifier, HostStream, Opening, Owners, StorageStreams};
use sentry::fs::pts::HeldTerminal;
use sentry::fs::terminal::ControllingTerminals;
use sentry::fs::{
    AttributeChanges, DescriptorTable, DeviceNumber, Fd, FileDescription, FileKind, MountNamespace,
    OpenFiles, OpenFlags, Path, Resolver, TaskFs, Viewer, operations,
};
use sentry::memory::FrameAllocator;

/// Which of the descriptors 0, 1 and 2 were closed when the process began, a bit each.
static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

/// Looks before Rust's runtime does, which opens /dev/null wherever a standard stream is closed.
// SAFETY: the section holds functions that C's runtime calls before `main`; this one needs nothing that is made later.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_AT_START: extern "C" fn() = look_at_start;

extern "C" fn look_at_start() {
    for number in 0..3 {
        // SAFETY: the call takes numbers, and only looks.
        let is_closed = unsafe { libc::fcntl(number, libc::F_GETFD) } < 0;
        if is_closed {
            CLOSED_AT_START.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

/// The process's streams are open, whatever they were when it began.
pub(crate) fn are_open() {
    CLOSED_AT_START.store(0, Ordering::Relaxed);
}

/// The devices that the guest has as well, by their minor numbers.
const MEMORY_DEVICES: [(u32, &[u8]); 6] = [
    (3, b"/dev/null"),
    (5, b"/dev/zero"),
    (7, b"/dev/full"),
    (8, b"/dev/random"),
    (9, b"/dev/urandom"),
    (11, b"/dev/kmsg"),
];
const MEMORY_MAJOR: u32 = 1;

/// A stream of a program that is to begin.
pub(crate) struct Stream {
    /// The program's number for it.
    pub(crate) number: i32,
    /// vmm's own.
    pub(crate) descriptor: OwnedFd,
    /// Streams of one open file description have one identity.
    pub(crate) identity: usize,
    /// What the guest is told of a file's place.
    pub(crate) name: Vec<u8>,
    /// Access mode and status flags that the caller's description has.
    pub(crate) flags: OpenFlags,
    /// How it comes by a description that does not block.
    pub(crate) opening: Opening,
}

/// Streams of a program, each by a descriptor of vmm's own.
pub(crate) struct Streams(Vec<Stream>);

impl Streams {
    /// Takes the caller's streams from where they are: /dev/null is there afterwards for input and output. Without `has_input`,
    /// the caller's input is left alone, and the program's is empty. Names are told as in `image`, a path on the host.
    ///
    /// # Errors
    /// The host is out of descriptors, or has no /dev/null.
    pub(crate) fn take(has_input: bool, image: &HostPath) -> anyhow::Result<Self> {
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = null.context("standard streams: /dev/null")?;
        let mut streams = Self::of_caller(image)?;
        if !has_input && let Some(input) = streams.0.iter_mut().find(|stream| stream.number == 0) {
            input.descriptor = rustix::io::fcntl_dupfd_cloexec(&null, 3).context("standard streams")?;
            input.identity = NO_INPUT;
        }
        rustix::stdio::dup2_stdin(&null).context("standard streams")?;
        rustix::stdio::dup2_stdout(&null).context("standard streams")?;
        Ok(streams)
    }

    /// The caller's streams, which stay where they are.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub(crate) fn of_caller(image: &HostPath) -> anyhow::Result<Self> {
        let closed = CLOSED_AT_START.load(Ordering::Relaxed);
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let own = (0..).zip([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
        let mut streams: Vec<Stream> = Vec::new();
        for (number, stream) in own.filter(|(number, _)| closed & 1 << number == 0) {
            let descriptor = rustix::io::fcntl_dupfd_cloexec(stream, 3).context("standard streams")?;
            let same = streams.iter().find(|earlier| is_same_description(earlier.descriptor.as_fd(), stream));
            let identity = same.map_or(streams.len(), |same| same.identity);
            let (name, flags) = (name_inside(stream, image), open_flags(stream)?);
            streams.push(Stream { number, descriptor, identity, name, flags, opening: Opening::Again });
        }
        Ok(Self(streams))
    }

    /// Those that have been handed over.
    pub(crate) fn of(streams: Vec<Stream>) -> Self {
        Self(streams)
    }

    /// All of them.
    pub(crate) fn all(self) -> Vec<Stream> {
        self.0
    }

    /// The stream that the program has as `number`.
    pub(crate) fn get(&self, number: i32) -> Option<BorrowedFd<'_>> {
        self.0.iter().find(|stream| stream.number == number).map(|stream| stream.descriptor.as_fd())
    }
}

/// The identity of an input that is empty.
const NO_INPUT: usize = usize::MAX;

/// Where the guest's streams are made.
pub(crate) struct Surroundings<'a> {
    pub(crate) frames: &'a Arc<FrameAllocator>,
    pub(crate) open_files: &'a Arc<OpenFiles>,
    pub(crate) terminals: &'a Arc<ControllingTerminals>,
    pub(crate) notifier: &'a Arc<HostNotifier>,
    pub(crate) mounts: &'a Arc<MountNamespace>,
    /// The kernel itself.
    pub(crate) viewer: Viewer,
    /// The program's.
    pub(crate) user: User,
    /// The caller's user and group on the host.
    pub(crate) caller: (u32, u32),
    /// The session that a terminal among the streams is to control.
    pub(crate) session: Option<i32>,
}

/// The guest's descriptors for `streams`, and the files of the host among them.
///
/// # Errors
/// The host's on looking at a stream.
pub(crate) fn descriptors(
    streams: &Streams,
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<(Arc<DescriptorTable>, StorageStreams)> {
    let owners = Owners { host: surroundings.caller, guest: (surroundings.user.uid, surroundings.user.gid) };
    let mut storage = StorageStreams::new(surroundings.frames, surroundings.open_files, owners);
    let mut made: Vec<(usize, Arc<FileDescription>)> = Vec::new();
    let mut others = Vec::new();
    let table = DescriptorTable::new(surroundings.open_files);
    for stream in &streams.0 {
        let same = made.iter().find(|(identity, _)| *identity == stream.identity);
        let description = match same {
            Some((_, description)) => Some(description.clone()),
            None => describe(stream, surroundings, &mut storage)?,
        };
        match description {
            Some(description) => {
                table
                    .install_at(description.clone(), Fd(stream.number), false, 3)
                    .context("standard streams")?;
                made.push((stream.identity, description));
            }
            None => others.push(stream),
        }
    }
    install_host_files(&table, &others, surroundings)?;
    Ok((table, storage))
}

/// The descriptors of a program on a terminal of the guest's own.
///
/// # Errors
/// The terminal cannot be opened.
pub(crate) fn on_terminal(
    terminal: &HeldTerminal,
    open_files: &Arc<OpenFiles>,
) -> anyhow::Result<Arc<DescriptorTable>> {
    let table = DescriptorTable::new(open_files);
    let description = terminal.open_slave().context("the guest's terminal")?;
    for number in 0..3 {
        table.install_at(description.clone(), Fd(number), false, 3).context("standard streams")?;
    }
    Ok(table)
}

/// A file or directory of the host, or a device that the guest has too; `None` for other things.
fn describe(
    stream: &Stream,
    surroundings: &Surroundings<'_>,
    storage: &mut StorageStreams,
) -> anyhow::Result<Option<Arc<FileDescription>>> {
    let stat = rustix::fs::fstat(&stream.descriptor).context("standard streams")?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice {
        return Ok(open_device(DeviceNumber::from_u64(stat.st_rdev), stream.flags, surroundings));
    }
    storage.describe(stream.descriptor.as_fd(), stream.flags, &stream.name).context("standard streams")
}

/// Access mode and status flags.
fn open_flags(stream: BorrowedFd<'_>) -> anyhow::Result<OpenFlags> {
    let flags = rustix::fs::fcntl_getfl(stream).context("standard streams")?;
    Ok(OpenFlags::from_bits_truncate(flags.bits()))
}

/// The guest's own device with that number, where a device has no state.
fn open_device(
    device: DeviceNumber,
    flags: OpenFlags,
    surroundings: &Surroundings<'_>,
) -> Option<Arc<FileDescription>> {
    let (_, name) =
        MEMORY_DEVICES.into_iter().find(|(minor, _)| device == DeviceNumber::new(MEMORY_MAJOR, *minor))?;
    let (view, viewer) = (TaskFs::new(surroundings.mounts.clone()).view(), &surroundings.viewer);
    let path = Resolver::new(&view, viewer).resolve(&view.root, name, false).ok()?;
    let is_it = path.inode().metadata().is_ok_and(|found| found.special_device == device);
    (is_it && path.kind() == FileKind::CharacterDevice)
        .then(|| operations::open_path(&path, flags, viewer).ok())
        .flatten()
}

/// What the guest is told of a file's place: where it lies in the image if it lies there. Of any other it learns the last
/// name alone, as of a file that has been deleted, since nothing is to be found there.
fn name_inside(stream: BorrowedFd<'_>, image: &HostPath) -> Vec<u8> {
    let link = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let Ok(place) = std::fs::read_link(link) else { return b"/ (deleted)".to_vec() };
    let image = image.canonicalize().unwrap_or_default();
    let bytes = |path: &HostPath| path.as_os_str().as_encoded_bytes().to_vec();
    if image.is_dir()
        && let Ok(inside) = place.strip_prefix(&image)
    {
        return [b"/".to_vec(), bytes(inside)].concat();
    }
    let name = place.file_name().map(|name| bytes(HostPath::new(name))).unwrap_or_default();
    let is_marked = name.ends_with(b" (deleted)");
    let mark: &[u8] = if is_marked { b"" } else { b" (deleted)" };
    [b"/", &*name, mark].concat()
}

/// Pipes, sockets, terminals and other devices, which stay the host's; terminals are at /dev/console.
fn install_host_files(
    table: &Arc<DescriptorTable>,
    streams: &[&Stream],
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<()> {
    let mut descriptors = Vec::new();
    for stream in streams {
        descriptors.push(HostStream { descriptor: stream.descriptor.as_fd(), opening: stream.opening });
    }
    let (notifier, terminals) = (surroundings.notifier, surroundings.terminals);
    let files = HostFile::standard_streams(&descriptors, notifier, terminals, surroundings.open_files)
        .context("standard streams")?;
    let terminal = files.iter().find(|file| file.is_terminal());
    if let Some((terminal, session)) = terminal.zip(surroundings.session) {
        terminal.control_session(session, session).context("the controlling terminal")?;
    }
    let console = surroundings.session.and_then(|_| find_console(surroundings));
    let mut made: Vec<(usize, Arc<FileDescription>)> = Vec::new();
    for (stream, file) in streams.iter().zip(files) {
        let same = made.iter().find(|(identity, _)| *identity == stream.identity);
        let description = match same {
            Some((_, description)) => description.clone(),
            None => {
                let path = console.clone().filter(|_| file.is_terminal());
                if let Some(path) = &path {
                    file.set_node(path.inode().clone());
                }
                FileDescription::new(file, path, stream.flags)
            }
        };
        table.install_at(description.clone(), Fd(stream.number), false, 3).context("standard streams")?;
        made.push((stream.identity, description));
    }
    Ok(())
}

/// /dev/console, given to the first user: what the caller's terminal is to the guest. `None` if the image has something else there.
fn find_console(surroundings: &Surroundings<'_>) -> Option<Path> {
    let view = TaskFs::new(surroundings.mounts.clone()).view();
    let console =
        Resolver::new(&view, &surroundings.viewer).resolve(&view.root, b"/dev/console", false).ok()?;
    let owner =
        AttributeChanges { uid: Some(KernelUid(surroundings.user.uid)), ..AttributeChanges::default() };
    console.inode().set_attributes(&owner).ok()?;
    (console.kind() == FileKind::CharacterDevice).then_some(console)
}

/// Whether both descriptors are of one open file description, as far as the host tells (`man 2 kcmp`).
fn is_same_description(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    const KCMP_FILE: libc::c_int = 0;
    /// `F_DUPFD_QUERY`, since Linux 6.10.
    const QUERY: libc::c_int = linux_raw_sys::general::F_DUPFD_QUERY as libc::c_int;
    let (own, a, b) = (std::process::id(), a.as_raw_fd(), b.as_raw_fd());
    // SAFETY: both calls take numbers, and compare.
    let (compared, queried) =
        unsafe { (libc::syscall(libc::SYS_kcmp, own, own, KCMP_FILE, a, b), libc::fcntl(a, QUERY, b)) };
    compared == 0 || queried == 1
}

#[cfg(test)]
mod tests;
