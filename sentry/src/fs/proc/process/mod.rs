//! /proc/PID and /proc/PID/task/TID.

mod clocks;
mod descriptors;
mod map_files;
mod maps;
mod memory;
mod mounts;
mod numa_maps;
mod pagemap;
mod procmap_query;
mod sched;
mod stat;
mod status;
mod syscall;
mod timers;
mod user_namespace;

use std::sync::{Arc, Weak};

use super::About;
use super::net::NET;
use super::source::{IoCounts, MappingStatus, Process, ProcessStatus};
use crate::Errno;
use crate::cred::{IdKind, Namespace};
use crate::fs::numbers::{parse_integer, parse_natural};
use crate::fs::pseudo::{
    Child, Children, Directory, Entry, Node, Piece, Reader, directory, no_ioctl, parse_number, private_text,
    read_whole, sequence_setting, setting, text,
};
use crate::fs::{FileKind, Path, Viewer, nsfs};

/// The names that a process and its threads have in common.
macro_rules! common_entries {
    ($($more:expr),* $(,)?) => {
        &[
            text("arch_status", |about, _| about.process().map(|_| arch_status())),
            directory("attr", &ATTRIBUTES),
            bytes("auxv", 0o400, |about, viewer| bind(about, viewer, Gone::Empty, |process, _| process.auxiliary_vector().map(Piece::whole))),
            text("cgroup", |about, viewer| Ok(about.process()?.cgroup(viewer).into_bytes())),
            bytes("cmdline", 0o444, command_line),
            // Which pages have been used is not known, so that there is nothing to forget.
            Entry { name: "clear_refs", permissions: 0o200, node: Node::Setting(write_only, clear_references) },
            sequence_setting("comm", comm, set_comm),
            setting(
                "coredump_filter",
                core_filter,
                set_core_filter,
            ),
            text("cpuset", |about, _| about.process().map(|_| b"/\n".into())),
            magic_link("cwd", cwd, |about, viewer| display(about, viewer, cwd)),
            bytes("environ", 0o400, |about, viewer| bind(about, viewer, Gone::Empty, |process, from| strings(from, |from, len| process.environment(from, len)))),
            magic_link("exe", exe, |about, viewer| display(about, viewer, exe)),
            Entry { name: "fd", permissions: 0o500, node: Node::Directory(&descriptors::LINKS) },
            directory("fdinfo", &descriptors::INFOS),
            user_namespace::map_file("gid_map", IdKind::Group),
            private_text("io", |about, viewer| about.inspect(viewer).map(|process| io(process.io_counts()))),
            private_text("ksm_merging_pages", |about, viewer| about.inspect(viewer).map(|process| of_memory(&*process, b"0\n"))),
            private_text("ksm_stat", |about, viewer| about.inspect(viewer).map(|process| of_memory(&*process, KSM_STATISTICS))),
            text("limits", |about, _| Ok(limits(&*about.process()?))),
            setting("loginuid", |about, _| unset_id(about), refuse_write),
            Entry {
                name: "maps",
                permissions: 0o444,
                node: Node::OpenedText(
                    |about, viewer| bind(about, viewer, Gone::Missing, |process, from| tell_all_mappings(process, from, maps::maps)),
                    procmap_query::ioctl,
                ),
            },
            Entry { name: "mem", permissions: 0o600, node: Node::File(memory::open) },
            Entry { name: "mountinfo", permissions: 0o444, node: Node::File(mounts::mountinfo) },
            Entry { name: "mounts", permissions: 0o444, node: Node::File(mounts::mounts) },
            Entry { name: "mountstats", permissions: 0o400, node: Node::File(mounts::mountstats) },
            Entry { name: "ns", permissions: 0o511, node: Node::Directory(&NAMESPACES) },
            of_address_space("numa_maps", 0o444, |about, viewer| bind(about, viewer, Gone::Missing, |process, from| tell_mappings(process, from, numa_maps::numa_maps))),
            setting("oom_adj", |about, _| Ok(line(old_adjustment(about)?)), set_old_adjustment),
            text("oom_score", |about, _| Ok(line(666 + out_of_memory_adjustment(about)? * 2 / 3))),
            setting("oom_score_adj", |about, _| Ok(line(out_of_memory_adjustment(about)?)), set_out_of_memory),
            Entry { name: "pagemap", permissions: 0o400, node: Node::File(pagemap::open) },
            private_text("personality", |about, viewer| {
                // Linux asks as for tracing, and says so.
                let process = about.inspect(viewer).map_err(|errno| match errno {
                    Errno::EACCES => Errno::EPERM,
                    other => other,
                })?;
                let status = process.status();
                Ok(format!("{:08x}\n", status.personality).into_bytes())
            }),
            user_namespace::map_file("projid_map", IdKind::Project),
            magic_link("root", root, |about, viewer| display(about, viewer, root)),
            sequence_setting("sched", |about, _| sched::sched(&*about.process()?), |about, _, _| about.process().map(drop)),
            text("schedstat", |about, _| sched::schedstat(&*about.process()?)),
            bytes("sessionid", 0o444, |_, _| Ok(read_whole(|about, _| unset_id(about)))),
            user_namespace::SETGROUPS,
            of_address_space("smaps", 0o444, |about, viewer| bind(about, viewer, Gone::Missing, |process, from| tell_all_mappings(process, from, maps::smaps))),
            // The sentry's own calls are no kernel stack of the thread.
            private_text("stack", |about, viewer| about.inspect(viewer).map(|_| Vec::new())),
            text("stat", |about, viewer| stat::stat(about, viewer)),
            text("statm", |about, _| Ok(stat::statm(&*about.process()?))),
            text("status", |about, viewer| status::status(&*about.process()?, &viewer.credentials.user_namespace)),
            user_namespace::map_file("uid_map", IdKind::User),
            private_text("syscall", syscall::syscall),
            text("wchan", |about, _| about.process().map(|_| b"0".into())),
            $($more),*
        ]
    };
}

/// The names in /proc/PID.
pub(super) static PROCESS: Directory<About> = Directory {
    entries: common_entries![
        sequence_setting("autogroup", sched::autogroup, sched::set_autogroup),
        Entry { name: "map_files", permissions: 0o500, node: Node::Directory(&map_files::LINKS) },
        directory("net", &NET),
        of_address_space("smaps_rollup", 0o444, |about, viewer| bind(
            about,
            viewer,
            Gone::NoSuchProcess,
            |process, _| { maps::smaps_rollup(process).map(Piece::whole) }
        )),
        directory("task", &THREADS),
        text("timers", timers::timers),
        sequence_setting("timens_offsets", clocks::offsets, clocks::set_offsets),
        Entry {
            name: "timerslack_ns",
            permissions: 0o666,
            node: Node::SequenceSetting(clocks::timer_slack, clocks::set_timer_slack),
        },
    ],
    children: None,
};

/// The names in /proc/PID/task/TID.
static THREAD: Directory<About> = Directory {
    entries: common_entries![
        text("children", |about, _| children(about)),
        directory("net", &NET),
        of_address_space("smaps_rollup", 0o444, |about, viewer| bind(
            about,
            viewer,
            Gone::NoSuchProcess,
            |process, _| { maps::smaps_rollup(process).map(Piece::whole) }
        )),
    ],
    children: None,
};

static THREADS: Directory<About> = Directory { entries: &[], children: Some(&ThreadDirectories) };

/// What a security module calls the process: there is none that does.
static ATTRIBUTES: Directory<About> = Directory {
    entries: &[
        label("current"),
        label("exec"),
        label("fscreate"),
        label("keycreate"),
        text("prev", no_label),
        label("sockcreate"),
    ],
    children: None,
};

const fn label(name: &'static str) -> Entry<About> {
    Entry {
        name,
        permissions: 0o666,
        node: Node::Setting(no_label, |about, viewer, _| no_label(about, viewer).map(drop)),
    }
}

fn no_label(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    about.process()?;
    Err(Errno::EINVAL)
}

/// An identity of auditing that nobody has set.
fn unset_id(about: &About) -> Result<Vec<u8>, Errno> {
    about.process().map(|_| u32::MAX.to_string().into_bytes())
}

/// What there is to say of the memory of a process that still has some.
fn of_memory(process: &dyn Process, text: &[u8]) -> Vec<u8> {
    process.address_space().map_or_else(Vec::new, |_| text.to_vec())
}

/// When AVX-512 was used last is told where there is such a thing; nobody has looked.
fn arch_status() -> Vec<u8> {
    if std::arch::is_x86_feature_detected!("avx512f") {
        b"AVX512_elapsed_ms:\t-1\n".into()
    } else {
        Vec::new()
    }
}

/// Pages of equal contents are never merged.
const KSM_STATISTICS: &[u8] = b"ksm_rmap_items 0\nksm_zero_pages 0\nksm_merging_pages 0\nksm_process_profit 0\nksm_merge_any: no\nksm_mergeable: no\n";

static NAMESPACES: Directory<About> = Directory { entries: &[], children: Some(&NamespaceLinks) };

/// Nothing is read from a disk, or written to one.
fn io(counts: IoCounts) -> Vec<u8> {
    let IoCounts { read_bytes, written_bytes, reads, writes } = counts;
    format!(
        "rchar: {read_bytes}\nwchar: {written_bytes}\nsyscr: {reads}\nsyscw: {writes}\n\
         read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"
    )
    .into_bytes()
}

const fn magic_link(
    name: &'static str,
    target: fn(&About, &Viewer) -> Result<Path, Errno>,
    text: crate::fs::pseudo::Read<About>,
) -> Entry<About> {
    Entry { name, permissions: 0o777, node: Node::MagicLink(target, text) }
}

/// A file that tells of an address space.
const fn of_address_space(
    name: &'static str,
    permissions: u32,
    open: crate::fs::pseudo::OpenText<About>,
) -> Entry<About> {
    Entry { name, permissions, node: Node::OpenedText(open, no_ioctl) }
}

/// A file with bytes of an address space as they are.
const fn bytes(
    name: &'static str,
    permissions: u32,
    open: crate::fs::pseudo::OpenText<About>,
) -> Entry<About> {
    Entry { name, permissions, node: Node::Bytes(open) }
}

/// What is read of an address space that the process has no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// Nothing, even if the process has been waited for.
    Empty,
    /// Nothing, as long as there is the process.
    Missing,
    /// ESRCH.
    NoSuchProcess,
}

/// Lets `viewer` read of the address space that the process has now, whatever becomes of both: it is the opening that is
/// refused. When the process has another one, or none, it is `gone`.
fn bind(
    about: &About,
    viewer: &Viewer,
    gone: Gone,
    read: fn(&dyn Process, u64) -> Result<Piece, Errno>,
) -> Result<Reader<About>, Errno> {
    // Before the question: what the process executes meanwhile is not what the answer is about.
    let memory = about.process()?.address_space().as_ref().map_or_else(Weak::new, Arc::downgrade);
    about.inspect(viewer)?;
    Ok(Box::new(move |about: &About, _viewer: &Viewer, from| {
        let nothing =
            if gone == Gone::NoSuchProcess { Err(Errno::ESRCH) } else { Ok(Piece::whole(Vec::new())) };
        let process = match about.process() {
            Err(Errno::ESRCH) if gone == Gone::Empty => return nothing,
            process => process?,
        };
        let (own, now) = (memory.upgrade(), process.address_space());
        if own.as_ref().map(Arc::as_ptr) != now.as_ref().map(Arc::as_ptr) {
            return nothing;
        }
        match read(&*process, from) {
            Err(Errno::ESRCH) => nothing,
            result => result,
        }
    }))
}

/// What `tell` says of the mappings from address `from` on, as many as are told of at a time.
fn tell_mappings(
    process: &dyn Process,
    from: u64,
    tell: fn(&mut Vec<u8>, &dyn Process, &MappingStatus),
) -> Result<Piece, Errno> {
    const MAPPINGS_AT_ONCE: usize = 512;
    let mappings = process.mappings_from(from, MAPPINGS_AT_ONCE)?;
    let mut text = Vec::new();
    mappings.iter().for_each(|mapping| tell(&mut text, process, mapping));
    let next = mappings.last().filter(|_| mappings.len() == MAPPINGS_AT_ONCE).map(|last| last.end);
    Ok(Piece { text, next })
}

/// As [`tell_mappings`], with the page that every process has behind its address space.
fn tell_all_mappings(
    process: &dyn Process,
    from: u64,
    tell: fn(&mut Vec<u8>, &dyn Process, &MappingStatus),
) -> Result<Piece, Errno> {
    let mut piece = tell_mappings(process, from, tell)?;
    if piece.next.is_none() {
        tell(&mut piece.text, process, &maps::vsyscall());
    }
    Ok(piece)
}

fn line(value: impl std::fmt::Display) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn refuse_write(_about: &About, _viewer: &Viewer, _text: &[u8]) -> Result<(), Errno> {
    Err(Errno::EPERM)
}

/// The piece of strings from byte `from` on that `read` reads: so many bytes, fewer at the end.
fn strings(from: u64, read: impl Fn(u64, usize) -> Result<Vec<u8>, Errno>) -> Result<Piece, Errno> {
    const PIECE_BYTES: usize = 64 << 10;
    let text = read(from, PIECE_BYTES)?;
    let next = (text.len() == PIECE_BYTES).then(|| from.saturating_add(PIECE_BYTES as u64));
    Ok(Piece { text, next })
}

fn command_line(_about: &About, _viewer: &Viewer) -> Result<Reader<About>, Errno> {
    Ok(Box::new(|about: &About, _viewer: &Viewer, from| {
        let process = about.process()?;
        // A process without memory has none; that is no error.
        match strings(from, |from, len| process.arguments(from, len)) {
            Err(Errno::ESRCH) => Ok(Piece::whole(Vec::new())),
            result => result,
        }
    }))
}

fn comm(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let mut name = about.process()?.status().name;
    name.push(b'\n');
    Ok(name)
}

fn set_comm(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let process = about.process()?;
    // Only the process itself may, whatever the mode says.
    let viewer_process = about.source().viewer_ids(viewer).map(|(process_id, _)| process_id);
    if viewer_process != Some(process.status().process_id) {
        return Err(Errno::EINVAL);
    }
    process.set_name(text);
    Ok(())
}

fn out_of_memory_adjustment(about: &About) -> Result<i32, Errno> {
    Ok(about.process()?.status().out_of_memory_adjustment)
}

fn core_filter(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let process = about.process()?;
    Ok(of_memory(&*process, format!("{:08x}\n", process.core_filter()).as_bytes()))
}

/// Takes a number in any of C's notations.
fn set_core_filter(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?.trim_end_matches('\n');
    let filter = u32::try_from(parse_natural(text)?).map_err(|_| Errno::ERANGE)?;
    let process = about.process()?;
    process.address_space().ok_or(Errno::ESRCH)?;
    process.set_core_filter(filter);
    Ok(())
}

fn set_out_of_memory(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let process = about.process()?;
    let adjustment = whole_number(text)?;
    if !(-1000..=1000).contains(&adjustment) {
        return Err(Errno::EINVAL);
    }
    let is_lowered = adjustment < process.status().out_of_memory_adjustment;
    if is_lowered && !viewer.credentials.has(crate::cred::Capabilities::SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    process.set_out_of_memory_adjustment(adjustment);
    Ok(())
}

/// A number in any of C's notations, with nothing but white space around it (`kstrtoint`).
fn whole_number(text: &[u8]) -> Result<i32, Errno> {
    let word = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?.trim();
    i32::try_from(parse_integer(word)?).map_err(|_| Errno::ERANGE)
}

/// The scale that `oom_adj` had before there was `oom_score_adj`: -17, for never, to 15.
const OLD_NEVER: i32 = -17;
const OLD_MAX: i32 = 15;

fn old_adjustment(about: &About) -> Result<i32, Errno> {
    let adjustment = out_of_memory_adjustment(about)?;
    Ok(if adjustment == 1000 { OLD_MAX } else { adjustment * -OLD_NEVER / 1000 })
}

fn set_old_adjustment(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let old = whole_number(text)?;
    if !(OLD_NEVER..=OLD_MAX).contains(&old) {
        return Err(Errno::EINVAL);
    }
    let adjustment = if old == OLD_MAX { 1000 } else { old * 1000 / -OLD_NEVER };
    set_out_of_memory(about, viewer, adjustment.to_string().as_bytes())
}

fn write_only(_about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Err(Errno::EINVAL)
}

fn clear_references(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    about.process()?;
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    match text.trim().parse() {
        Ok(1..=5) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn children(about: &About) -> Result<Vec<u8>, Errno> {
    let children = about.process().map_or_else(|_| Vec::new(), |process| process.children());
    Ok(children.iter().map(|child| format!("{child} ")).collect::<String>().into_bytes())
}

fn cwd(about: &About, viewer: &Viewer) -> Result<Path, Errno> {
    Ok(about.inspect(viewer)?.fs_view().ok_or(Errno::ENOENT)?.working_directory)
}

fn root(about: &About, viewer: &Viewer) -> Result<Path, Errno> {
    Ok(about.inspect(viewer)?.fs_view().ok_or(Errno::ENOENT)?.root)
}

fn exe(about: &About, viewer: &Viewer) -> Result<Path, Errno> {
    about.inspect(viewer)?.executable().ok_or(Errno::ENOENT)
}

/// The text of a magic link: the path as seen from the viewer's root.
fn display(
    about: &About,
    viewer: &Viewer,
    target: fn(&About, &Viewer) -> Result<Path, Errno>,
) -> Result<Vec<u8>, Errno> {
    let path = target(about, viewer)?;
    let viewer_id = about.source().viewer_ids(viewer).map(|(process_id, _)| process_id);
    let viewer_process = viewer_id.and_then(|process_id| about.source().process(process_id));
    let view =
        viewer_process.and_then(|process| process.fs_view()).or_else(|| about.process().ok()?.fs_view());
    Ok(path.display_from(&view.ok_or(Errno::ENOENT)?.root))
}

fn limits(process: &dyn Process) -> Vec<u8> {
    const NAMES: [(&str, &str); 16] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let show = |limit: u64| if limit == u64::MAX { "unlimited".into() } else { limit.to_string() };
    let mut text = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for ((name, unit), (soft, hard)) in NAMES.into_iter().zip(process.limits()) {
        text += &format!("{name:<25} {:<20} {:<20} {unit:<10}\n", show(soft), show(hard));
    }
    text.into_bytes()
}

/// The directories in /proc/PID/task.
struct ThreadDirectories;

impl Children<About> for ThreadDirectories {
    fn list(&self, about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let threads = about.process().map_err(|_| Errno::ENOENT)?.thread_ids();
        Ok(numbered(threads))
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let thread_id = parse_number(name).ok_or(Errno::ENOENT)?;
        about.process().ok().and_then(|process| process.thread(thread_id)).ok_or(Errno::ENOENT)?;
        Ok(Child { subject: about.of_thread(thread_id), permissions: 0o555, node: Node::Directory(&THREAD) })
    }
}

/// Whether it is the directory of a process or of a thread.
pub(super) fn is_own(directory: &'static Directory<About>) -> bool {
    std::ptr::eq(directory, &raw const PROCESS) || std::ptr::eq(directory, &raw const THREAD)
}

/// Whether this is the table of /proc/PID or /proc/PID/task.
pub(super) fn is_of_process(directory: &'static Directory<About>) -> bool {
    std::ptr::eq(directory, &raw const PROCESS) || std::ptr::eq(directory, &raw const THREADS)
}

/// The links in /proc/PID/ns.
struct NamespaceLinks;

/// The links, in the order of Linux; the place is the subject's `descriptor`.
const NAMESPACE_NAMES: [&str; 10] =
    ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];

impl Children<About> for NamespaceLinks {
    fn list(&self, about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        about.process().map_err(|_| Errno::ENOENT)?;
        Ok((0..).zip(NAMESPACE_NAMES.iter().map(|name| name.as_bytes().to_vec())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let place = NAMESPACE_NAMES.iter().position(|known| known.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let subject = about.of_descriptor(i32::try_from(place).map_err(|_| Errno::ENOENT)?);
        let target = |about: &About, viewer: &Viewer| namespace(about, viewer).map(nsfs::place_of);
        let text = |about: &About, viewer: &Viewer| {
            namespace(about, viewer).map(|namespace| nsfs::name_of(&*namespace).into_bytes())
        };
        Ok(Child { subject, permissions: 0o777, node: Node::MagicLink(target, text) })
    }
}

/// The namespace that a link of /proc/PID/ns leads to.
fn namespace(about: &About, viewer: &Viewer) -> Result<Arc<dyn Namespace>, Errno> {
    let process = about.inspect(viewer)?;
    let place = usize::try_from(about.descriptor).map_err(|_| Errno::ENOENT)?;
    let name = NAMESPACE_NAMES.get(place).ok_or(Errno::ENOENT)?;
    process.namespace(name).ok_or(Errno::ENOENT)
}

/// Directory children that are called by their numbers.
pub(super) fn numbered(numbers: Vec<i32>) -> Vec<(u64, Vec<u8>)> {
    let key = |number: i32| u64::try_from(number).unwrap_or(0);
    numbers.into_iter().map(|number| (key(number), number.to_string().into_bytes())).collect()
}

/// The letter and the word for a task's state.
fn state_name(status: &ProcessStatus) -> &'static str {
    match status.state {
        'R' => "R (running)",
        'D' => "D (disk sleep)",
        'T' => "T (stopped)",
        't' => "t (tracing stop)",
        'Z' => "Z (zombie)",
        'X' => "X (dead)",
        _ => "S (sleeping)",
    }
}
