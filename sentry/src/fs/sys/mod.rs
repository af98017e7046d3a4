//! sysfs, as much as programs look for: which CPUs, caches and links there are, and where cgroups are mounted (`man 5 sysfs`).

mod block;
mod caches;
mod net;

use std::sync::{Arc, Weak};

use self::caches::Cache;
use super::block::{BlockDevice, BlockDevices};
use super::dentry::Dentry;
use super::file_system_type::{FileSystemType, Mounter, TypeFlags, check_options};
use super::mount::Instance;
use super::network::Network;
use super::pseudo::{
    Child, Children, Directory, Entry, Node, PseudoInode, Subject, directory, parse_number, refused_creation,
    setting, text,
};
use super::{DeviceNumber, FileKind, FileSystem, FileSystemInfo, Inode, NewNode, Viewer};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid, NamespaceKind, UserNamespace};

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
        let system = SysFileSystem::new(file_systems.cpus, device, Arc::downgrade(&network), block);
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
}

impl SysFileSystem {
    /// Shows a machine with so many CPUs and these block devices, and the links of a network namespace while that lives.
    pub fn new(
        cpus: usize,
        device: DeviceNumber,
        network: Weak<dyn Network>,
        block: Arc<BlockDevices>,
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
static CLASS: Directory<Machine> =
    fixed(&[directory("block", &block::CLASS), directory("net", &net::CLASS), directory("tty", &EMPTY)]);
static DEV: Directory<Machine> = fixed(&[directory("block", &block::BY_NUMBER), directory("char", &EMPTY)]);
static DEVICES: Directory<Machine> = fixed(&[directory("system", &SYSTEM), directory("virtual", &VIRTUAL)]);
static VIRTUAL: Directory<Machine> =
    fixed(&[directory("block", &block::DEVICES), directory("net", &net::DEVICES)]);
static SYSTEM: Directory<Machine> = fixed(&[directory("cpu", &CPUS), directory("node", &NODES)]);
static FS: Directory<Machine> =
    fixed(&[directory("cgroup", &EMPTY), directory("fuse", &FUSE), directory("pstore", &EMPTY)]);
static FUSE: Directory<Machine> = fixed(&[directory("connections", &EMPTY)]);
static KERNEL: Directory<Machine> = fixed(&[
    directory("debug", &EMPTY),
    directory("mm", &MEMORY),
    directory("security", &EMPTY),
    directory("tracing", &EMPTY),
]);
static MEMORY: Directory<Machine> =
    fixed(&[directory("hugepages", &HUGE_PAGE_SIZES), directory("transparent_hugepage", &HUGE_PAGES)]);

static HUGE_PAGE_SIZES: Directory<Machine> = fixed(&[
    directory("hugepages-1048576kB", &HUGE_PAGE_POOL),
    directory("hugepages-2048kB", &HUGE_PAGE_POOL),
]);

/// Nothing is set aside.
static HUGE_PAGE_POOL: Directory<Machine> = fixed(&[
    text("free_hugepages", |_, _| Ok(b"0\n".into())),
    huge_pages("nr_hugepages"),
    huge_pages("nr_hugepages_mempolicy"),
    huge_pages("nr_overcommit_hugepages"),
    text("resv_hugepages", |_, _| Ok(b"0\n".into())),
    text("surplus_hugepages", |_, _| Ok(b"0\n".into())),
]);

/// A number of huge pages: there is never a piece of memory for one, however many are wanted.
const fn huge_pages(name: &'static str) -> Entry<Machine> {
    fn set(_: &Machine, _: &Viewer, text: &[u8]) -> Result<(), Errno> {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<u64>().ok());
        number.map(drop).ok_or(Errno::EINVAL)
    }
    setting(name, |_, _| Ok(b"0\n".into()), set)
}

static HUGE_PAGES: Directory<Machine> = fixed(&[
    text("defrag", |_, _| Ok(b"always defer defer+madvise madvise [never]\n".into())),
    text("enabled", |_, _| Ok(b"always madvise [never]\n".into())),
    text("hpage_pmd_size", |_, _| Ok(b"2097152\n".into())),
]);

static CPUS: Directory<Machine> = Directory {
    entries: &[
        text("isolated", |_, _| Ok(b"\n".into())),
        text("kernel_max", |_, _| Ok(b"8191\n".into())),
        text("offline", |_, _| Ok(b"\n".into())),
        text("online", all_cpus),
        text("possible", all_cpus),
        text("present", all_cpus),
    ],
    children: Some(&CpuDirectories),
};

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
