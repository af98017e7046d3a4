//! sysfs, as much as programs look for: which CPUs, caches and links there are, and where cgroups are mounted (`man 5 sysfs`).

mod block;
mod caches;
mod character;
mod net;
mod node;

use std::sync::{Arc, Weak};

use self::caches::Cache;
use self::character::CharacterDevice;
pub(super) use self::character::misc_listing;
use super::block::{BlockDevice, BlockDevices};
use super::dentry::Dentry;
use super::file_system_type::{FileSystemType, Mounter, TypeFlags, check_options};
use super::mount::Instance;
use super::network::Network;
use super::pseudo::{
    Child, Children, Directory, Entry, Node, Polling, PseudoInode, Subject, directory, parse_number,
    refused_creation, setting, text,
};
use super::{DeviceNumber, FileKind, FileSystem, FileSystemInfo, Inode, NewNode, Viewer};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid, NamespaceKind, UserNamespace};
use crate::memory::FrameAllocator;

/// There is one instance for each network namespace, whose links it shows.
pub(super) const SYSFS: FileSystemType = FileSystemType {
    name: "sysfs",
    flags: TypeFlags::USERNS_MOUNT.union(TypeFlags::USERNS_VISIBLE).union(TypeFlags::SINGLE),
    shows: Some(NamespaceKind::Network),
    check_options: |_, options| check_options(options, &[], &[]),
    make: |mounter, owner, _| Ok(instance_of(mounter, owner)),
};

/// The instance that shows the network namespace of who mounts.
fn instance_of(mounter: &dyn Mounter, owner: Arc<UserNamespace>) -> Arc<Instance> {
    let network = mounter.network();
    let new = || {
        let file_systems = mounter.file_systems();
        let device = file_systems.memory.devices.take();
        let block = file_systems.memory.block.clone();
        let frames = Arc::downgrade(&file_systems.memory.frames);
        let system = SysFileSystem::new(file_systems.cpus, device, Arc::downgrade(&network), block, frames);
        let root = Dentry::new_root(system.root());
        Instance::new(system, root, owner.clone())
    };
    let kept = network.sysfs().get_or_init(|| new());
    // Nobody else puts anything there.
    kept.clone().downcast().unwrap_or_else(|_| new())
}

/// One instance of sysfs.
pub struct SysFileSystem {
    machine: Machine,
}

/// What the files tell about.
#[derive(Clone)]
struct Machine {
    device: DeviceNumber,
    cpus: usize,
    /// Which one, below the directory of a CPU.
    cpu: usize,
    /// Which cache, below the directory of one.
    cache: Option<Cache>,
    network: Weak<dyn Network>,
    /// Which link, below the directory of one.
    link: u32,
    /// Which of a link's files.
    file: &'static str,
    block: Arc<BlockDevices>,
    /// Which block device, below the directory of one.
    block_device: Option<Arc<BlockDevice>>,
    /// Which character device, below the directory of one.
    character: Option<&'static CharacterDevice>,
    frames: Weak<FrameAllocator>,
}

impl SysFileSystem {
    /// Shows a machine with so many CPUs, these block devices and frames, and the links of a network namespace while that lives.
    pub fn new(
        cpus: usize,
        device: DeviceNumber,
        network: Weak<dyn Network>,
        block: Arc<BlockDevices>,
        frames: Weak<FrameAllocator>,
    ) -> Arc<Self> {
        Arc::new(Self {
            machine: Machine {
                device,
                cpus: cpus.max(1),
                cpu: 0,
                cache: None,
                network,
                link: 0,
                file: "",
                block,
                block_device: None,
                character: None,
                frames,
            },
        })
    }

    /// The root directory.
    pub fn root(&self) -> Arc<dyn Inode> {
        PseudoInode::root(self.machine.clone(), &ROOT)
    }
}

impl Machine {
    /// The cache that a file is about.
    fn cache(&self) -> Result<&Cache, Errno> {
        self.cache.as_ref().ok_or(Errno::ENOENT)
    }

    /// A line with what `tell` says of it.
    fn of_cache<T: std::fmt::Display>(&self, tell: impl FnOnce(&Cache) -> T) -> Result<Vec<u8>, Errno> {
        Ok(format!("{}\n", tell(self.cache()?)).into_bytes())
    }
}

impl FileSystem for SysFileSystem {
    fn type_name(&self) -> &'static str {
        "sysfs"
    }

    fn device(&self) -> DeviceNumber {
        self.machine.device
    }

    fn info(&self) -> FileSystemInfo {
        let magic = linux_raw_sys::general::SYSFS_MAGIC.into();
        FileSystemInfo { magic, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }
}

impl Subject for Machine {
    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn has_stable_names(&self) -> bool {
        true
    }

    fn permissions_of_public_directory(&self) -> u32 {
        0o755
    }

    fn polling(&self) -> Option<Polling> {
        Some(Polling::NewsUntilRead)
    }

    fn creation_error(&self, node: NewNode<'_>) -> Errno {
        refused_creation(node)
    }

    fn owner(&self) -> (KernelUid, KernelGid) {
        (KernelUid::ROOT, KernelGid::ROOT)
    }
}

/// A directory with these entries.
const fn fixed(entries: &'static [Entry<Machine>]) -> Directory<Machine> {
    Directory { entries, children: None }
}

static ROOT: Entry<Machine> = directory("", &TOP);

static TOP: Directory<Machine> = fixed(&[
    directory("block", &block::DISK_LINKS),
    directory("bus", &EMPTY),
    directory("class", &CLASS),
    directory("dev", &DEV),
    directory("devices", &DEVICES),
    directory("firmware", &EMPTY),
    directory("fs", &FS),
    directory("kernel", &KERNEL),
    directory("module", &EMPTY),
    directory("power", &EMPTY),
]);

static EMPTY: Directory<Machine> = fixed(&[]);
static CLASS: Directory<Machine> = fixed(&[
    directory("block", &block::CLASS),
    directory("mem", &character::MEM_CLASS),
    directory("misc", &character::MISC_CLASS),
    directory("net", &net::CLASS),
    directory("tty", &character::TTY_CLASS),
]);
static DEV: Directory<Machine> =
    fixed(&[directory("block", &block::BY_NUMBER), directory("char", &character::BY_NUMBER)]);
static DEVICES: Directory<Machine> = fixed(&[directory("system", &SYSTEM), directory("virtual", &VIRTUAL)]);
static VIRTUAL: Directory<Machine> = fixed(&[
    directory("block", &block::DEVICES),
    directory("mem", &character::MEM),
    directory("misc", &character::MISC),
    directory("net", &net::DEVICES),
    directory("tty", &character::TTY),
]);
static SYSTEM: Directory<Machine> =
    fixed(&[directory("clocksource", &CLOCK_SOURCES), directory("cpu", &CPUS), directory("node", &NODES)]);
static CLOCK_SOURCES: Directory<Machine> = fixed(&[directory("clocksource0", &CLOCK_SOURCE)]);
static CLOCK_SOURCE: Directory<Machine> = fixed(&[
    text("available_clocksource", |_, _| Ok(b"tsc \n".into())),
    text("current_clocksource", |_, _| Ok(b"tsc\n".into())),
]);
static FS: Directory<Machine> = fixed(&[
    directory("bpf", &EMPTY),
    directory("cgroup", &EMPTY),
    directory("fuse", &FUSE),
    directory("pstore", &EMPTY),
]);
static FUSE: Directory<Machine> = fixed(&[directory("connections", &EMPTY)]);
static KERNEL: Directory<Machine> = fixed(&[
    text("address_bits", |_, _| Ok(b"64\n".into())),
    directory("cgroup", &CGROUP),
    text("cpu_byteorder", |_, _| Ok(b"little\n".into())),
    directory("debug", &EMPTY),
    text("fscaps", |_, _| Ok(b"1\n".into())),
    directory("mm", &MEMORY),
    text("profiling", |_, _| Ok(b"0\n".into())),
    text("rcu_expedited", |_, _| Ok(b"0\n".into())),
    text("rcu_normal", |_, _| Ok(b"0\n".into())),
    directory("security", &EMPTY),
    directory("tracing", &EMPTY),
    text("uevent_seqnum", |_, _| Ok(b"0\n".into())),
]);
/// What cgroup2 can do, and which files whom a group is delegated to may write.
static CGROUP: Directory<Machine> =
    fixed(&[text("delegate", |_, _| Ok(DELEGATED.into())), text("features", |_, _| Ok(FEATURES.into()))]);
const DELEGATED: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\nmemory.oom.group\n";
const FEATURES: &str = "nsdelegate\nfavordynmods\nmemory_localevents\nmemory_recursiveprot\nmemory_hugetlb_accounting\npids_localevents\n";
static MEMORY: Directory<Machine> =
    fixed(&[directory("hugepages", &HUGE_PAGE_SIZES), directory("transparent_hugepage", &HUGE_PAGES)]);

static HUGE_PAGE_SIZES: Directory<Machine> = fixed(&[
    directory("hugepages-1048576kB", &GIANT_PAGE_POOL),
    directory("hugepages-2048kB", &HUGE_PAGE_POOL),
]);

/// A count of the pool of huge pages.
macro_rules! huge_pages {
    ($field:ident) => {
        |machine, _| {
            let counts = machine.frames.upgrade().map(|frames| frames.huge_pages()).unwrap_or_default();
            Ok(format!("{}\n", counts.$field).into_bytes())
        }
    };
}

static HUGE_PAGE_POOL: Directory<Machine> = fixed(&[
    text("free_hugepages", huge_pages!(free)),
    setting("nr_hugepages", huge_pages!(total), set_huge_pages),
    setting("nr_hugepages_mempolicy", huge_pages!(total), set_huge_pages),
    setting("nr_overcommit_hugepages", huge_pages!(overcommit), set_huge_page_overcommit),
    text("resv_hugepages", huge_pages!(reserved)),
    text("surplus_hugepages", huge_pages!(surplus)),
]);

/// Those of the one node: all.
static NODE_HUGE_PAGE_SIZES: Directory<Machine> = fixed(&[
    directory("hugepages-1048576kB", &NODE_GIANT_PAGE_POOL),
    directory("hugepages-2048kB", &NODE_HUGE_PAGE_POOL),
]);

static NODE_HUGE_PAGE_POOL: Directory<Machine> = fixed(&[
    text("free_hugepages", huge_pages!(free)),
    setting("nr_hugepages", huge_pages!(total), set_huge_pages),
    text("surplus_hugepages", huge_pages!(surplus)),
]);

static NODE_GIANT_PAGE_POOL: Directory<Machine> = fixed(&[
    text("free_hugepages", |_, _| Ok(b"0\n".into())),
    giant_pages("nr_hugepages"),
    text("surplus_hugepages", |_, _| Ok(b"0\n".into())),
]);

/// None are set aside: there is never a piece of memory for one, however many are wanted.
static GIANT_PAGE_POOL: Directory<Machine> = fixed(&[
    text("free_hugepages", |_, _| Ok(b"0\n".into())),
    giant_pages("nr_hugepages"),
    giant_pages("nr_hugepages_mempolicy"),
    giant_pages("nr_overcommit_hugepages"),
    text("resv_hugepages", |_, _| Ok(b"0\n".into())),
    text("surplus_hugepages", |_, _| Ok(b"0\n".into())),
]);

fn pages_of(text: &[u8]) -> Result<u64, Errno> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
    number.ok_or(Errno::EINVAL)
}

fn set_huge_pages(machine: &Machine, _: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let pages = pages_of(text)?;
    machine.frames.upgrade().iter().for_each(|frames| frames.set_huge_pages(pages));
    Ok(())
}

fn set_huge_page_overcommit(machine: &Machine, _: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let pages = pages_of(text)?;
    machine.frames.upgrade().iter().for_each(|frames| frames.set_huge_page_overcommit(pages));
    Ok(())
}

const fn giant_pages(name: &'static str) -> Entry<Machine> {
    setting(name, |_, _| Ok(b"0\n".into()), |_, _, text| pages_of(text).map(drop))
}

static HUGE_PAGES: Directory<Machine> = fixed(&[
    text("defrag", |_, _| Ok(b"always defer defer+madvise madvise [never]\n".into())),
    text("enabled", |_, _| Ok(b"always madvise [never]\n".into())),
    text("hpage_pmd_size", |_, _| Ok(b"2097152\n".into())),
]);

static CPUS: Directory<Machine> = Directory {
    entries: &[
        text("enabled", |_, _| Ok(b"\n".into())),
        text("isolated", |_, _| Ok(b"\n".into())),
        text("kernel_max", |_, _| Ok(b"8191\n".into())),
        text("offline", |_, _| Ok(b"\n".into())),
        text("online", all_cpus),
        text("possible", all_cpus),
        text("present", all_cpus),
        directory("smt", &SMT),
        directory("vulnerabilities", &VULNERABILITIES),
    ],
    children: Some(&CpuDirectories),
};

/// Each CPU is a core of its own.
static SMT: Directory<Machine> =
    fixed(&[text("active", |_, _| Ok(b"0\n".into())), text("control", |_, _| Ok(b"notsupported\n".into()))]);

/// What the host does about a weakness of its processor is not known here, and Linux's words for that.
const fn vulnerability(name: &'static str) -> Entry<Machine> {
    text(name, |_, _| Ok(b"Unknown: Dependent on hypervisor status\n".into()))
}

static VULNERABILITIES: Directory<Machine> = fixed(&[
    vulnerability("gather_data_sampling"),
    vulnerability("itlb_multihit"),
    vulnerability("l1tf"),
    vulnerability("mds"),
    vulnerability("meltdown"),
    vulnerability("mmio_stale_data"),
    vulnerability("reg_file_data_sampling"),
    vulnerability("retbleed"),
    vulnerability("spec_rstack_overflow"),
    vulnerability("spec_store_bypass"),
    vulnerability("spectre_v1"),
    vulnerability("spectre_v2"),
    vulnerability("srbds"),
    vulnerability("tsx_async_abort"),
]);

static NODES: Directory<Machine> = fixed(&[
    text("has_cpu", |_, _| Ok(b"0\n".into())),
    text("has_memory", |_, _| Ok(b"0\n".into())),
    text("has_normal_memory", |_, _| Ok(b"0\n".into())),
    directory("node0", &NODE),
    text("online", |_, _| Ok(b"0\n".into())),
    text("possible", |_, _| Ok(b"0\n".into())),
]);
static NODE: Directory<Machine> = fixed(&[
    text("cpulist", all_cpus),
    text("cpumap", all_mask),
    text("distance", |_, _| Ok(b"10\n".into())),
    directory("hugepages", &NODE_HUGE_PAGE_SIZES),
    text("meminfo", node::memory),
    text("numastat", node::placement),
    text("vmstat", node::statistics),
]);

static CPU: Directory<Machine> = fixed(&[
    directory("cache", &CACHES),
    text("online", |_, _| Ok(b"1\n".into())),
    directory("topology", &TOPOLOGY),
]);

static CACHES: Directory<Machine> = Directory { entries: &[], children: Some(&CacheDirectories) };

static CACHE: Directory<Machine> = fixed(&[
    text("coherency_line_size", |machine, _| machine.of_cache(|cache| cache.line_bytes)),
    text("id", |machine, _| machine.of_cache(|cache| if cache.is_shared() { 0 } else { machine.cpu })),
    text("level", |machine, _| machine.of_cache(|cache| cache.level)),
    text("number_of_sets", |machine, _| machine.of_cache(|cache| cache.sets)),
    text("physical_line_partition", |machine, _| machine.of_cache(|cache| cache.partitions)),
    text("shared_cpu_list", |machine, viewer| {
        if machine.cache()?.is_shared() { all_cpus(machine, viewer) } else { own_number(machine, viewer) }
    }),
    text("shared_cpu_map", |machine, viewer| {
        if machine.cache()?.is_shared() { all_mask(machine, viewer) } else { own_mask(machine, viewer) }
    }),
    text("size", |machine, _| machine.of_cache(|cache| format!("{}K", cache.size_bytes() >> 10))),
    text("type", |machine, _| machine.of_cache(|cache| cache.contents.name())),
    text("ways_of_associativity", |machine, _| machine.of_cache(|cache| cache.ways)),
]);

/// One package, in which each CPU is a core of its own.
static TOPOLOGY: Directory<Machine> = fixed(&[
    text("core_cpus", own_mask),
    text("core_cpus_list", own_number),
    text("core_id", own_number),
    text("core_siblings", all_mask),
    text("core_siblings_list", all_cpus),
    text("die_cpus", all_mask),
    text("die_cpus_list", all_cpus),
    text("die_id", |_, _| Ok(b"0\n".into())),
    text("package_cpus", all_mask),
    text("package_cpus_list", all_cpus),
    text("physical_package_id", |_, _| Ok(b"0\n".into())),
    text("thread_siblings", own_mask),
    text("thread_siblings_list", own_number),
]);

fn own_number(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(format!("{}\n", machine.cpu).into_bytes())
}

fn own_mask(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(mask(machine.cpus, |cpu| cpu == machine.cpu))
}

fn all_mask(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(mask(machine.cpus, |_| true))
}

/// A CPU mask as sysfs shows it: hexadecimal words of 32 CPUs, the highest first, and as many digits as there are CPUs.
fn mask(cpus: usize, is_set: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut text = String::new();
    for index in (0..cpus.div_ceil(4)).rev() {
        let own = (index * 4..cpus.min(index * 4 + 4)).filter(|&cpu| is_set(cpu));
        let value = own.map(|cpu| 1 << (cpu % 4)).sum();
        text.push(char::from_digit(value, 16).unwrap_or('0'));
        if index % 8 == 0 && index > 0 {
            text.push(',');
        }
    }
    text.push('\n');
    text.into_bytes()
}

fn all_cpus(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(match machine.cpus {
        1 => b"0\n".into(),
        cpus => format!("0-{}\n", cpus - 1).into_bytes(),
    })
}

/// The directories `cpu0` and so on.
struct CpuDirectories;

impl Children<Machine> for CpuDirectories {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip((0..machine.cpus).map(|cpu| format!("cpu{cpu}").into_bytes())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let cpu = name.strip_prefix(b"cpu").and_then(parse_number).and_then(|cpu| usize::try_from(cpu).ok());
        let cpu = cpu.filter(|cpu| *cpu < machine.cpus).ok_or(Errno::ENOENT)?;
        Ok(Child {
            subject: Machine { cpu, ..machine.clone() },
            permissions: 0o555,
            node: Node::Directory(&CPU),
        })
    }
}

/// The directories `index0` and so on.
struct CacheDirectories;

impl Children<Machine> for CacheDirectories {
    fn list(&self, _machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let names = (0..Cache::all().len()).map(|cache| format!("index{cache}").into_bytes());
        Ok((0..).zip(names).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let number = name.strip_prefix(b"index").and_then(parse_number);
        let index = number.and_then(|number| usize::try_from(number).ok()).ok_or(Errno::ENOENT)?;
        let cache = Cache::all().get(index).copied().ok_or(Errno::ENOENT)?;
        Ok(Child {
            subject: Machine { cache: Some(cache), ..machine.clone() },
            permissions: 0o555,
            node: Node::Directory(&CACHE),
        })
    }
}

#[cfg(test)]
mod tests;
