//! The top of procfs: the system's files and the processes' directories.

mod configuration;
mod cpuinfo;
mod figures;
mod page_numbers;
mod sysvipc;

use std::sync::Arc;
use std::time::Duration;

use super::process::{PROCESS, numbered};
use super::source::SystemStatus;
use super::sysctl::SYSCTL;
use super::{About, locks};
use crate::Errno;
use crate::fs::pressure::PressureFile;
use crate::fs::pseudo::{
    Child, Children, Directory, Entry, Node, directory, link, parse_number, private_text, text,
};
use crate::fs::sys::misc_listing;
use crate::fs::{File, FileKind, LinkTarget, Viewer, file_system_type};

pub(super) static ROOT: Entry<About> = directory("", &TOP);

static TOP: Directory<About> = Directory {
    entries: &[
        text("buddyinfo", |about, _| Ok(figures::buddyinfo(&about.source().system()))),
        directory("bus", &EMPTY),
        text("cgroups", |about, _| Ok(figures::cgroups(about.source().system().cgroups))),
        text("cmdline", |_, _| Ok(b"\n".into())),
        text("config.gz", |_, _| Ok(configuration::compressed())),
        text("consoles", |_, _| Ok(b"console              -W- (EC    )    5:1\n".into())),
        text("cpuinfo", |about, _| Ok(cpuinfo::cpuinfo(about.source().system().cpus))),
        text("crypto", |_, _| Ok(Vec::new())),
        text("devices", |_, _| Ok(DEVICES.into())),
        text("diskstats", |about, _| {
            Ok(about.source().block_devices().map_or(Vec::new(), |devices| devices.statistics().into()))
        }),
        text("dma", |_, _| Ok(b" 4: cascade\n".into())),
        directory("driver", &EMPTY),
        text("execdomains", |_, _| Ok(b"0-0\tLinux           \t[kernel]\n".into())),
        text("filesystems", |_, _| Ok(file_system_type::listing().into())),
        directory("fs", &EMPTY),
        text("interrupts", |about, _| Ok(figures::interrupts(&about.source().system()))),
        text("iomem", |_, _| Ok(b"00000000-ffffffff : System RAM\n".into())),
        text("ioports", |_, _| Ok(Vec::new())),
        directory("irq", &INTERRUPTS),
        text("kallsyms", |_, _| Ok(Vec::new())),
        text("key-users", key_users),
        text("keys", |about, viewer| Ok(about.source().list_keys(viewer))),
        private_text("kmsg", |_, _| Ok(Vec::new())),
        Entry { name: "kpagecgroup", permissions: 0o400, node: Node::File(page_numbers::counts) },
        Entry { name: "kpagecount", permissions: 0o400, node: Node::File(page_numbers::counts) },
        Entry { name: "kpageflags", permissions: 0o400, node: Node::File(page_numbers::flags) },
        text("loadavg", |about, viewer| {
            Ok(figures::loadavg(&about.source().system(), about.source().last_number(viewer)))
        }),
        text("locks", |about, _| locks::listing(about)),
        text("meminfo", |about, _| Ok(figures::meminfo(&about.source().system()))),
        text("misc", |_, _| Ok(misc_listing().into_bytes())),
        text("modules", |_, _| Ok(Vec::new())),
        link("mounts", |_, _| Ok(LinkTarget::Text(b"self/mounts".into()))),
        link("net", |_, _| Ok(LinkTarget::Text(b"self/net".into()))),
        private_text("pagetypeinfo", |about, _| Ok(figures::page_types(&about.source().system()))),
        text("partitions", |about, _| {
            Ok(about.source().block_devices().map_or(Vec::new(), |devices| devices.listing().into()))
        }),
        directory("pressure", &PRESSURE),
        link("self", own_process),
        private_text("slabinfo", |_, _| Ok(SLABINFO.into())),
        text("softirqs", |about, _| Ok(figures::softirqs(&about.source().system()))),
        text("stat", |about, viewer| Ok(figures::stat(&system_of(about, viewer)))),
        text("swaps", |_, _| Ok(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".into())),
        directory("sys", &SYSCTL),
        directory("sysvipc", &sysvipc::SYSTEM_V),
        link("thread-self", own_thread),
        private_text("timer_list", |about, _| Ok(figures::timer_list(&about.source().system()))),
        directory(
            "tty",
            &Directory {
                entries: &[
                    text("drivers", |_, _| Ok(TERMINAL_DRIVERS.into())),
                    text("ldiscs", |_, _| Ok(b"n_tty       0\n".into())),
                ],
                children: None,
            },
        ),
        text("uptime", |about, viewer| Ok(figures::uptime(&system_of(about, viewer)))),
        text("version", version),
        private_text("vmallocinfo", |_, _| Ok(Vec::new())),
        text("vmstat", |about, _| Ok(figures::vmstat(&about.source().system()))),
        text("zoneinfo", |_, _| Ok(Vec::new())),
    ],
    children: Some(&ProcessDirectories),
};

/// Whether this is the table of /proc itself.
pub(super) fn is_top(directory: &'static Directory<About>) -> bool {
    std::ptr::eq(directory, &raw const TOP)
}

static EMPTY: Directory<About> = Directory { entries: &[], children: None };

/// /proc/irq: there are no interrupts, only what would be new ones' affinity.
static INTERRUPTS: Directory<About> = Directory {
    entries: &[text("default_smp_affinity", |about, _| Ok(figures::all_cpus(about.source().system().cpus)))],
    children: None,
};

const DEVICES: &[u8] = b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n128 ptm\n136 pts\n\nBlock devices:\n  1 ramdisk\n  7 loop\n259 blkext\n";

const TERMINAL_DRIVERS: &[u8] = b"/dev/tty             /dev/tty        5       0 system:/dev/tty
/dev/console         /dev/console    5       1 system:console
/dev/ptmx            /dev/ptmx       5       2 system
pty_slave            /dev/pts      136 0-1048575 pty:slave
pty_master           /dev/ptm      128 0-1048575 pty:master
";

/// No slabs.
const SLABINFO: &[u8] = b"slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
";

static PRESSURE: Directory<About> =
    Directory { entries: &[pressure("cpu"), pressure("io"), pressure("memory")], children: None };

const fn pressure(name: &'static str) -> Entry<About> {
    let open = |_: &About, viewer: &Viewer, metadata| {
        Ok(Arc::new(PressureFile::new(metadata, viewer)) as Arc<dyn File>)
    };
    Entry { name, permissions: 0o666, node: Node::File(open) }
}

fn version(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let names = about.source().names(viewer);
    Ok(format!("Linux version {} (palisade@localhost) {}\n", names.release, names.version).into_bytes())
}

/// The machine, with the time since boot that the viewer's time namespace shows.
fn system_of(about: &About, viewer: &Viewer) -> SystemStatus {
    let mut system = about.source().system();
    let offset = about.source().clock_offsets(viewer).boottime;
    system.uptime = offset.shown(system.uptime);
    let boot_time = Duration::from_secs(system.boot_time_seconds);
    system.boot_time_seconds = offset.machine(boot_time).as_secs();
    system
}

fn key_users(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let keys = about.source().keys();
    Ok(keys.map_or(Vec::new(), |keys| keys.users(&viewer.credentials.user_namespace)))
}

fn own_process(about: &About, viewer: &Viewer) -> Result<LinkTarget, Errno> {
    let (process_id, _) = about.source().viewer_ids(viewer).ok_or(Errno::ENOENT)?;
    Ok(LinkTarget::Text(process_id.to_string().into_bytes()))
}

fn own_thread(about: &About, viewer: &Viewer) -> Result<LinkTarget, Errno> {
    let (process_id, thread_id) = about.source().viewer_ids(viewer).ok_or(Errno::ENOENT)?;
    Ok(LinkTarget::Text(format!("{process_id}/task/{thread_id}").into_bytes()))
}

/// The processes' directories.
struct ProcessDirectories;

impl Children<About> for ProcessDirectories {
    fn list(&self, about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok(numbered(about.source().process_ids()))
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let id = parse_number(name).filter(|id| *id > 0).ok_or(Errno::ENOENT)?;
        about.source().process(id).ok_or(Errno::ENOENT)?;
        Ok(Child { subject: about.of_process(id), permissions: 0o555, node: Node::Directory(&PROCESS) })
    }
}
