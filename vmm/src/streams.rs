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
use sentry::fs::host_stdio::{HostFile, HostNotifier, Owners, StorageStreams};
use sentry::fs::terminal::ControllingTerminals;
use sentry::fs::{
    AttributeChanges, DescriptorTable, DeviceNumber, Fd, FileDescription, FileKind, MountNamespace,
    OpenFiles, OpenFlags, Path, Resolver, TaskFs, Viewer, operations,
};
use sentry::memory::FrameAllocator;

use crate::sandbox::FIRST_SESSION;

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

/// The streams that are open, each by a descriptor of vmm's own.
pub(crate) struct CallerStreams(Vec<(i32, OwnedFd)>);

impl CallerStreams {
    /// Takes the streams from where they are: /dev/null is there afterwards for input and output.
    ///
    /// # Errors
    /// The host is out of descriptors, or has no /dev/null.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let closed = CLOSED_AT_START.load(Ordering::Relaxed);
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams = (0..).zip([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
        let taken = streams
            .filter(|(number, _)| closed & 1 << number == 0)
            .map(|(number, stream)| Ok((number, rustix::io::fcntl_dupfd_cloexec(stream, 3)?)))
            .collect::<rustix::io::Result<_>>()
            .context("standard streams")?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = null.context("standard streams: /dev/null")?;
        rustix::stdio::dup2_stdin(&null).context("standard streams")?;
        rustix::stdio::dup2_stdout(&null).context("standard streams")?;
        Ok(Self(taken))
    }

    /// Standard input.
    pub(crate) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.0.iter().find(|(number, _)| *number == 0).map(|(_, stream)| stream.as_fd())
    }
}

/// Where the guest's streams are made.
pub(crate) struct Surroundings<'a> {
    pub(crate) frames: &'a Arc<FrameAllocator>,
    pub(crate) open_files: &'a Arc<OpenFiles>,
    pub(crate) terminals: &'a Arc<ControllingTerminals>,
    pub(crate) mounts: &'a Arc<MountNamespace>,
    /// The kernel itself.
    pub(crate) viewer: Viewer,
    pub(crate) user: User,
    /// The image's path on the host.
    pub(crate) image: &'a HostPath,
}

/// The guest's descriptors for `streams`, and the files of the host among them.
///
/// # Errors
/// The host's on looking at a stream.
pub(crate) fn descriptors(
    streams: &CallerStreams,
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<(Arc<DescriptorTable>, StorageStreams)> {
    let owners = Owners {
        host: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        guest: (surroundings.user.uid, surroundings.user.gid),
    };
    let mut storage = StorageStreams::new(surroundings.frames, surroundings.open_files, owners);
    let mut made: Vec<(BorrowedFd<'_>, Arc<FileDescription>)> = Vec::new();
    let mut others = Vec::new();
    let table = DescriptorTable::new(surroundings.open_files);
    for (number, stream) in &streams.0 {
        let stream = stream.as_fd();
        let same = made.iter().find(|(earlier, _)| is_same_description(*earlier, stream));
        let description = match same {
            Some((_, description)) => Some(description.clone()),
            None => describe(stream, surroundings, &mut storage)?,
        };
        match description {
            Some(description) => {
                table.install_at(description.clone(), Fd(*number), false, 3).context("standard streams")?;
                made.push((stream, description));
            }
            None => others.push((*number, stream)),
        }
    }
    install_host_files(&table, &others, surroundings)?;
    Ok((table, storage))
}

/// A file or directory of the host, or a device that the guest has too; `None` for other things.
fn describe(
    stream: BorrowedFd<'_>,
    surroundings: &Surroundings<'_>,
    storage: &mut StorageStreams,
) -> anyhow::Result<Option<Arc<FileDescription>>> {
    let stat = rustix::fs::fstat(stream).context("standard streams")?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice {
        return Ok(open_device(DeviceNumber::from_u64(stat.st_rdev), open_flags(stream)?, surroundings));
    }
    let name = name_inside(stream, surroundings.image);
    storage.describe(stream, open_flags(stream)?, &name).context("standard streams")
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
    streams: &[(i32, BorrowedFd<'_>)],
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<()> {
    let descriptors: Vec<_> = streams.iter().map(|(_, stream)| *stream).collect();
    let (notifier, terminals) = (HostNotifier::new(), surroundings.terminals);
    let files = HostFile::standard_streams(&descriptors, &notifier, terminals, surroundings.open_files)
        .context("standard streams")?;
    // The first process leads the first session, which the terminal controls if there is one.
    if let Some(terminal) = files.iter().find(|file| file.is_terminal()) {
        terminal.control_session(FIRST_SESSION, FIRST_SESSION).context("the controlling terminal")?;
    }
    let console = find_console(surroundings);
    let mut made: Vec<(BorrowedFd<'_>, Arc<FileDescription>)> = Vec::new();
    for ((number, stream), file) in streams.iter().zip(files) {
        let same = made.iter().find(|(earlier, _)| is_same_description(*earlier, *stream));
        let description = match same {
            Some((_, description)) => description.clone(),
            None => {
                let path = console.clone().filter(|_| file.is_terminal());
                if let Some(path) = &path {
                    file.set_node(path.inode().clone());
                }
                FileDescription::new(file, path, open_flags(*stream)?)
            }
        };
        table.install_at(description.clone(), Fd(*number), false, 3).context("standard streams")?;
        made.push((*stream, description));
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
