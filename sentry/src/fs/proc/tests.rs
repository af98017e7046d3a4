//! The text of procfs, compared with what Linux prints.

use std::time::Duration;

use super::*;
use crate::core_settings::CoreSettings;
use crate::cred::{Identity, KernelGid, KernelUid, Namespace, NamespaceKind};
use crate::fs::{DescriptorBounds, DescriptorTable, FileDescription, FsView, LinkTarget, OpenFlags, Path};
use crate::ipc::IpcNamespace;
use crate::keys::Keys;

struct Fake;

#[derive(Clone)]
struct Shell {
    thread: i32,
}

impl ProcessSource for Fake {
    fn last_number(&self, _viewer: &Viewer) -> i32 {
        12
    }

    fn list_keys(&self, _viewer: &Viewer) -> Vec<u8> {
        Vec::new()
    }

    fn core_settings(&self) -> Option<Arc<CoreSettings>> {
        None
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        None
    }

    fn boot_id(&self) -> Result<u128, Errno> {
        Ok(7)
    }

    fn process_ids(&self) -> Vec<i32> {
        vec![1, 12]
    }

    fn process(&self, id: i32) -> Option<Arc<dyn Process>> {
        [1, 12].contains(&id).then(|| Arc::new(Shell { thread: id }) as Arc<dyn Process>)
    }

    fn viewer_ids(&self, viewer: &Viewer) -> Option<(i32, i32)> {
        (viewer.process_id != 0).then_some((viewer.process_id, viewer.thread_id))
    }

    fn system(&self) -> SystemStatus {
        SystemStatus {
            cpus: 2,
            uptime: Duration::from_millis(12_345),
            boot_time_seconds: 1_700_000_000,
            cpu_times: [Duration::from_secs(3), Duration::from_secs(1), Duration::from_secs(20)],
            created: 12,
            running: 1,
            tasks: 3,
            load: [0.5, 0.25, 0.0],
            memory_bytes: 1 << 30,
            free_bytes: 1 << 29,
            ..SystemStatus::default()
        }
    }

    fn names(&self, _viewer: &Viewer) -> SystemNames {
        SystemNames {
            host: "box".into(),
            domain: "(none)".into(),
            release: "6.1".into(),
            version: "#1 SMP".into(),
            ..SystemNames::default()
        }
    }

    fn ipc_namespace(&self, _viewer: &Viewer) -> Option<Arc<IpcNamespace>> {
        Some(IpcNamespace::new(
            Identity::initial(NamespaceKind::Ipc, &UserNamespace::initial()),
            Arc::default(),
        ))
    }

    fn pid_namespace(&self) -> u64 {
        0
    }

    fn set_host_name(&self, _viewer: &Viewer, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
}

impl Process for Shell {
    fn user_namespace(&self) -> Arc<UserNamespace> {
        UserNamespace::initial()
    }

    fn executed_in(&self) -> Arc<UserNamespace> {
        UserNamespace::initial()
    }

    fn cgroup(&self, _viewer: &Viewer) -> String {
        "0::/\n".into()
    }

    fn status(&self) -> ProcessStatus {
        ProcessStatus {
            name: b"sh (x)".into(),
            state: 'S',
            id: self.thread,
            process_id: 12,
            parent_id: 1,
            process_group_id: 12,
            session_id: 1,
            terminal_foreground: -1,
            threads: 2,
            start_time: Duration::from_millis(1230),
            exit_signal: 17,
            umask: Some(0o22),
            uids: [KernelUid(1000); 4],
            gids: [KernelGid(1000); 4],
            allowed_cpus: 3,
            is_dumpable: true,
            ..ProcessStatus::default()
        }
    }

    fn memory(&self) -> Option<MemoryStatus> {
        Some(MemoryStatus {
            total_bytes: 5112 << 10,
            resident_anonymous_bytes: 1100 << 10,
            resident_file_bytes: 1516 << 10,
            ..MemoryStatus::default()
        })
    }

    fn mappings(&self) -> Result<Vec<MappingStatus>, Errno> {
        let code = MappingStatus {
            start: 0x5573_2099_3000,
            end: 0x5573_209c_2000,
            access: [true, false, false],
            max_access: [true; 3],
            file: (DeviceNumber::new(0xfe, 0), 247_003),
            name: b"/usr/bin/bash".into(),
            ..MappingStatus::default()
        };
        let low = MappingStatus {
            start: 0x1_0000,
            end: 0x1_1000,
            access: [true, true, false],
            ..MappingStatus::default()
        };
        Ok(vec![low, code])
    }

    fn arguments(&self, _from: u64, _max_len: usize) -> Result<Vec<u8>, Errno> {
        Ok(b"sh\0-c\0".into())
    }

    fn environment(&self, _from: u64, _max_len: usize) -> Result<Vec<u8>, Errno> {
        Ok(b"A=B\0".into())
    }

    fn core_filter(&self) -> u32 {
        0x33
    }

    fn set_core_filter(&self, _filter: u32) {}

    fn auxiliary_vector(&self) -> Result<Vec<u8>, Errno> {
        Ok(vec![0; 16])
    }

    fn executable(&self) -> Option<Path> {
        None
    }

    fn fs_view(&self) -> Option<FsView> {
        None
    }

    fn descriptors(&self) -> Option<Arc<DescriptorTable>> {
        let table = DescriptorTable::new(&Arc::default());
        let (reader, _) = crate::fs::pipe::Pipe::pair(
            &Arc::default(),
            OpenFlags::empty(),
            KernelUid::ROOT,
            KernelGid::ROOT,
        )
        .unwrap();
        let flags = OpenFlags::NONBLOCK;
        let bounds = DescriptorBounds { limit: 10, is_privileged: true };
        table.install(FileDescription::new(reader, None, flags), 5, true, bounds).unwrap();
        Some(table)
    }

    fn thread_ids(&self) -> Vec<i32> {
        vec![12, 13]
    }

    fn thread(&self, id: i32) -> Option<Arc<dyn Process>> {
        [12, 13].contains(&id).then(|| Arc::new(Self { thread: id }) as Arc<dyn Process>)
    }

    fn children(&self) -> Vec<i32> {
        vec![14, 15]
    }

    fn limits(&self) -> [(u64, u64); 16] {
        let mut limits = [(u64::MAX, u64::MAX); 16];
        limits[3].0 = 8_388_608;
        limits
    }

    fn namespace(&self, name: &str) -> Option<Arc<dyn Namespace>> {
        let kind = NamespaceKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some(IpcNamespace::new(Identity::initial(kind, &UserNamespace::initial()), Arc::default()))
    }

    fn set_name(&self, _name: &[u8]) {}

    fn set_out_of_memory_adjustment(&self, _adjustment: i32) {}
}

fn viewer() -> Viewer {
    Viewer { process_id: 12, thread_id: 13, ..Viewer::test_kernel() }
}

fn lookup(path: &str) -> Result<Arc<dyn Inode>, Errno> {
    let mut inode = ProcFileSystem::new(Arc::new(Fake), DeviceNumber::default()).root();
    for name in path.split('/') {
        inode = inode.lookup(name.as_bytes())?;
    }
    Ok(inode)
}

fn read_as(path: &str, viewer: &Viewer) -> Result<String, Errno> {
    let file = lookup(path)?.open(OpenFlags::empty(), viewer)?;
    let mut buffer = vec![0; 65536];
    let read = file.read_at(&mut buffer, 0)?;
    buffer.truncate(read);
    Ok(String::from_utf8(buffer).unwrap())
}

fn read(path: &str) -> String {
    read_as(path, &viewer()).unwrap()
}

fn link(path: &str) -> String {
    String::from_utf8(lookup(path).unwrap().read_link(&viewer()).unwrap()).unwrap()
}

#[test]
fn stat_has_52_fields_after_a_name_that_may_hold_anything() {
    let stat = read("12/stat");
    assert!(stat.starts_with("12 (sh (x)) S 1 12 1 0 -1 4194304 "), "{stat}");
    let after_name = stat.trim_end().rsplit(") ").next().unwrap();
    let fields: Vec<&str> = after_name.split(' ').collect();
    assert_eq!(fields.len(), 50);
    assert_eq!([fields[17], fields[19], fields[35]], ["2", "123", "17"], "threads, start time, exit signal");
    assert_eq!([fields[20], fields[21]], ["5234688", "654"]);
    assert_eq!(read("12/statm"), "1278 654 379 0 0 0 0\n");
}

#[test]
fn status_is_laid_out_like_linux_s() {
    let status = read("12/task/13/status");
    for line in [
        "Name:\tsh (x)",
        "Umask:\t0022",
        "State:\tS (sleeping)",
        "Tgid:\t12",
        "Pid:\t13",
        "Uid:\t1000\t1000\t1000\t1000",
        "FDSize:\t64",
        "Groups:\t ",
        "VmSize:\t    5112 kB",
        "VmRSS:\t    2616 kB",
        "Threads:\t2",
        "SigQ:\t0/0",
        "SigBlk:\t0000000000000000",
        "Cpus_allowed_list:\t0-1",
    ] {
        assert!(status.lines().any(|shown| shown == line), "{line:?} is not in\n{status}");
    }
}

#[test]
fn maps_lines_have_their_names_in_column_74() {
    let expected = "00010000-00011000 rw-p 00000000 00:00 0 \n\
        557320993000-5573209c2000 r--p 00000000 fe:00 247003                     /usr/bin/bash\n\
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
    assert_eq!(read("12/maps"), expected);
    let smaps = read("12/smaps");
    assert!(
        smaps.contains("/usr/bin/bash\nSize:                188 kB\nKernelPageSize:        4 kB\n"),
        "{smaps}"
    );
    assert!(smaps.contains("THPeligible:           0\nVmFlags: rd mr mw me \n"), "{smaps}");
}

#[test]
fn limits_are_a_table() {
    let limits = read("12/limits");
    assert!(limits.starts_with(
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max cpu time              unlimited            unlimited            seconds   \n"
    ));
    assert!(
        limits.contains("Max stack size            8388608              unlimited            bytes     \n")
    );
    assert!(
        limits.contains("Max nice priority         unlimited            unlimited                      \n")
    );
}

#[test]
fn links_lead_to_the_viewer_and_to_open_files() {
    assert_eq!(link("self"), "12");
    assert_eq!(link("thread-self"), "12/task/13");
    assert_eq!(link("mounts"), "self/mounts");
    assert_eq!(link("12/ns/pid"), "pid:[4026531836]");
    assert!(link("12/fd/5").starts_with("pipe:["));
    assert!(matches!(lookup("12/fd/5").unwrap().follow_link(&viewer()), Ok(LinkTarget::Magic(_))));
    assert!(read("12/fdinfo/5").starts_with("pos:\t0\nflags:\t02004000\nmnt_id:\t0\nino:\t"));
    for missing in ["12/fd/4", "12/fd/05", "13", "012", "0", "12/task/14", "12/ns/pid_for_children"] {
        let found = lookup(missing).and_then(|inode| inode.read_link(&viewer()));
        assert_eq!(found.err(), Some(Errno::ENOENT), "{missing}");
    }
}

#[test]
fn another_user_may_not_look_inside() {
    let credentials = Arc::new(crate::cred::Credentials::test_user(7, 7));
    let stranger = Viewer { credentials, process_id: 1, thread_id: 1, session_id: 1, association: 0 };
    for private in ["12/environ", "12/maps", "12/auxv", "12/io"] {
        assert_eq!(read_as(private, &stranger).err(), Some(Errno::EACCES), "{private}");
    }
    assert_eq!(lookup("12/fd/5").unwrap().read_link(&stranger).err(), Some(Errno::EACCES));
    assert_eq!(read_as("12/cmdline", &stranger).unwrap(), "sh\0-c\0");
}

#[test]
fn the_system_s_figures_are_formatted_like_linux_s() {
    assert_eq!(read("uptime"), "12.34 20.00\n");
    assert_eq!(read("loadavg"), "0.50 0.25 0.00 1/3 12\n");
    let stat = read("stat");
    assert!(
        stat.starts_with("cpu  300 0 100 2000 0 0 0 0 0 0\ncpu0 150 0 50 1000 0 0 0 0 0 0\ncpu1 "),
        "{stat}"
    );
    assert!(stat.contains("\nbtime 1700000000\nprocesses 12\n"));
    assert!(read("meminfo").starts_with("MemTotal:        1048576 kB\nMemFree:          524288 kB\n"));
    assert!(read("version").starts_with("Linux version 6.1 ("));
    assert_eq!(read("sys/kernel/hostname"), "box\n");
    assert_eq!(read("sys/kernel/random/uuid").len(), 37);
    assert_eq!(read("sys/kernel/random/boot_id"), read("sys/kernel/random/boot_id"));
    assert_eq!(read("cpuinfo").matches("processor\t: ").count(), 2);
}

#[test]
fn settings_keep_what_root_writes() {
    let inode = lookup("sys/vm/swappiness").unwrap();
    let file = inode.open(OpenFlags::RDWR, &viewer()).unwrap();
    assert_eq!(file.write_at(b"10\n", 0), Ok(3));
    assert_eq!(file.write_at(b"201\n", 0), Err(Errno::EINVAL));
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(3));
    assert_eq!(&buffer[..3], b"10\n");
}
