//! procfs: processes and the system as files (`man 5 proc`).
//!
//! The tree is in static tables: [`system`] for the top, [`process`] for /proc/PID. What they tell comes from a
//! [`ProcessSource`]; one mount shows one PID namespace.

mod locks;
mod net;
mod options;
mod process;
mod source;
mod sysctl;
mod system;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::file_system_type::{FileSystemType, Mounter, TypeFlags};
use super::pseudo::{Directory, FileAttributes, Node, Polling, PseudoInode, Subject};
use super::{Dentry, DeviceNumber, FileSystem, FileSystemInfo, Inode, Instance, Splicing, Viewer};
use crate::Errno;
use crate::cred::{Capabilities, Gid, KernelGid, KernelUid, NamespaceKind, UserNamespace};
use crate::network_settings::{Setting, SettingDirectory};
use crate::settings::KernelSettings;
use options::{Hidden, ProcOptions};
use parking_lot::Mutex;

pub use source::{
    IoCounts, MappingStatus, MemoryStatus, Process, ProcessSource, ProcessStatus, SystemNames, SystemStatus,
    WaitingPlace,
};

/// Each instance shows a PID namespace.
pub(super) const PROC: FileSystemType = FileSystemType {
    name: "proc",
    flags: TypeFlags::USERNS_MOUNT.union(TypeFlags::USERNS_VISIBLE),
    shows: Some(NamespaceKind::Pid),
    check_options: |mounter, options| options_of(mounter, options).map(drop),
    make: |mounter, owner, request| {
        let options = options_of(mounter, request.options)?;
        let device = mounter.file_systems().devices().take();
        let processes = ProcFileSystem::with_options(mounter.processes(), device, options, &owner);
        let root = Dentry::new_root(processes.root());
        Ok(Instance::new(processes, root, owner))
    },
};

fn options_of(mounter: &dyn Mounter, options: &str) -> Result<ProcOptions, Errno> {
    ProcOptions::default().with(options, &mounter.viewer().credentials.user_namespace)
}

/// One instance of procfs.
pub struct ProcFileSystem {
    options: Mutex<ProcOptions>,
    owner: Option<Arc<UserNamespace>>,
    device: DeviceNumber,
    source: Arc<dyn ProcessSource>,
    settings: Arc<KernelSettings>,
}

impl ProcFileSystem {
    /// Shows what `source` tells.
    pub fn new(source: Arc<dyn ProcessSource>, device: DeviceNumber) -> Arc<Self> {
        let (settings, options) = (source.settings(), Mutex::default());
        Arc::new(Self { options, owner: None, device, source, settings })
    }

    /// As [`Self::new`], with less of it for some; `owner` numbers the groups of further options.
    fn with_options(
        source: Arc<dyn ProcessSource>,
        device: DeviceNumber,
        options: ProcOptions,
        owner: &Arc<UserNamespace>,
    ) -> Arc<Self> {
        let settings = source.settings();
        Arc::new(Self { options: Mutex::new(options), owner: Some(owner.clone()), device, source, settings })
    }

    /// The root directory.
    pub fn root(self: &Arc<Self>) -> Arc<dyn Inode> {
        PseudoInode::root(About::of_system(self.clone()), &system::ROOT)
    }
}

/// The number of the process whose directory, /proc/PID, this is.
pub fn process_of_directory(inode: &dyn Inode) -> Option<i32> {
    let (about, table) = inode.as_any().downcast_ref::<PseudoInode<About>>()?.directory()?;
    std::ptr::eq(table, &raw const process::PROCESS).then_some(about.process_id)
}

impl FileSystem for ProcFileSystem {
    fn type_name(&self) -> &'static str {
        "proc"
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn info(&self) -> FileSystemInfo {
        let magic = linux_raw_sys::general::PROC_SUPER_MAGIC.into();
        FileSystemInfo { magic, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }

    fn options(&self) -> String {
        self.options.lock().shown()
    }

    fn reconfigure(&self, options: &str, _viewer: &Viewer) -> Result<(), Errno> {
        let Some(owner) = &self.owner else { return Ok(()) };
        let mut kept = self.options.lock();
        *kept = kept.with(options, owner)?;
        Ok(())
    }
}

/// What a file tells about: the system, a process, a thread, or one of its descriptors.
#[derive(Clone)]
struct About {
    file_system: Arc<ProcFileSystem>,
    process_id: i32,
    thread_id: Option<i32>,
    descriptor: i32,
    /// Where the mapping begins that a file of map_files is about.
    mapping: u64,
    /// The link that the settings below /proc/sys/net/*/conf are about.
    link: Option<Arc<str>>,
    /// One of the settings below /proc/sys/net.
    setting: Option<(SettingDirectory, &'static Setting)>,
}

impl About {
    fn of_system(file_system: Arc<ProcFileSystem>) -> Self {
        let (process_id, thread_id, descriptor, mapping) = (0, None, -1, 0);
        Self { file_system, process_id, thread_id, descriptor, mapping, link: None, setting: None }
    }

    fn of_link(&self, name: &str) -> Self {
        Self { link: Some(name.into()), ..self.clone() }
    }

    fn of_setting(&self, directory: SettingDirectory, setting: &'static Setting) -> Self {
        Self { setting: Some((directory, setting)), ..self.clone() }
    }

    fn of_process(&self, process_id: i32) -> Self {
        Self { process_id, ..Self::of_system(self.file_system.clone()) }
    }

    fn of_thread(&self, thread_id: i32) -> Self {
        Self { thread_id: Some(thread_id), ..self.clone() }
    }

    fn of_descriptor(&self, descriptor: i32) -> Self {
        Self { descriptor, ..self.clone() }
    }

    fn of_mapping(&self, mapping: u64) -> Self {
        Self { mapping, ..self.clone() }
    }

    fn source(&self) -> &dyn ProcessSource {
        &*self.file_system.source
    }

    /// The process, or the thread if the file is below its directory.
    fn process(&self) -> Result<Arc<dyn Process>, Errno> {
        let process = self.source().process(self.process_id).ok_or(Errno::ESRCH)?;
        match self.thread_id {
            Some(thread_id) => process.thread(thread_id).ok_or(Errno::ESRCH),
            None => Ok(process),
        }
    }

    /// Whether it is about the process of `viewer`.
    fn is_of_viewer(&self, viewer: &Viewer) -> bool {
        let viewer_id = self.source().viewer_ids(viewer).map(|(process_id, _)| process_id);
        self.process().is_ok_and(|process| viewer_id == Some(process.status().process_id))
    }

    /// Whether what is hidden at `hidden` is shown to `viewer` (`has_pid_permissions`).
    fn is_shown(&self, viewer: &Viewer, hidden: Hidden) -> bool {
        let options = *self.file_system.options.lock();
        let is_told = options.hidden < hidden || viewer.credentials.is_in_group(options.gid);
        options.hidden != Hidden::FromAll && is_told || self.inspect(viewer).is_ok()
    }

    /// The process, if `viewer` may look into it (`man 2 ptrace`, "Ptrace access mode checking").
    fn inspect(&self, viewer: &Viewer) -> Result<Arc<dyn Process>, Errno> {
        let process = self.process()?;
        let status = process.status();
        if self.source().viewer_ids(viewer).is_some_and(|(process_id, _)| process_id == status.process_id) {
            return Ok(process);
        }
        let credentials = &viewer.credentials;
        let is_same_user = status.uids[..3].iter().all(|uid| *uid == credentials.fs_uid)
            && status.gids[..3].iter().all(|gid| *gid == credentials.fs_gid);
        let namespace = process.user_namespace();
        let is_contained = credentials.user_namespace == namespace
            && credentials.effective.bits() & status.capabilities[1] == status.capabilities[1];
        let may_in = |namespace: &UserNamespace| credentials.has_in(namespace, Capabilities::SYS_PTRACE);
        let is_allowed = (is_same_user && is_contained || may_in(&namespace))
            && (status.is_dumpable || may_in(&process.executed_in()))
            && credentials.landlock.as_ref().is_none_or(|own| own.is_around(process.landlock().as_ref()));
        if is_allowed { Ok(process) } else { Err(Errno::EACCES) }
    }
}

impl Subject for About {
    fn device(&self) -> DeviceNumber {
        self.file_system.device
    }

    fn counts_links(&self, directory: &'static Directory<Self>) -> bool {
        !sysctl::holds(directory)
    }

    /// Nothing is found in the directories of a process that has been waited for: in those of its own name as there is no such
    /// process, in those below as there is no such file.
    fn check_alive(&self, directory: &'static Directory<Self>) -> Result<(), Errno> {
        match self.process_id == 0 || self.process().is_ok() {
            true if net::is_own(directory) && self.process()?.network().is_none() => Err(Errno::ENOENT),
            true => Ok(()),
            false if process::is_own(directory) => Err(Errno::ESRCH),
            false => Err(Errno::ENOENT),
        }
    }

    fn hides(&self, directory: &'static Directory<Self>, name: &[u8]) -> bool {
        let is_own_link = matches!(name, b"self" | b"thread-self");
        system::is_top(directory) && !is_own_link && self.file_system.options.lock().is_pid_only
    }

    fn hides_some(&self) -> bool {
        self.file_system.options.lock().hidden >= Hidden::All
    }

    fn check_visible(&self, directory: &'static Directory<Self>, viewer: &Viewer) -> Result<(), Errno> {
        let is_visible = !process::is_of_process(directory) || self.is_shown(viewer, Hidden::All);
        if is_visible { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn check_viewer(&self, directory: &'static Directory<Self>, viewer: &Viewer) -> Result<(), Errno> {
        self.check_visible(directory, viewer)?;
        let is_open = !process::is_of_process(directory) || self.is_shown(viewer, Hidden::Contents);
        if is_open { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Files of processes are read only by read(2).
    fn splicing(&self) -> Splicing {
        if self.process_id == 0 { Splicing::all() } else { Splicing::empty() }
    }

    fn has_sequences(&self) -> bool {
        true
    }

    /// The directories of processes and threads.
    fn is_immutable(&self, directory: &'static Directory<Self>) -> bool {
        process::is_own(directory)
    }

    fn check_listable(&self, directory: &'static Directory<Self>) -> Result<(), Errno> {
        match self.check_alive(directory) {
            Err(_) if net::is_own(directory) && self.process().is_ok() => Err(Errno::EINVAL),
            result => result.map_err(|_| Errno::ENOENT),
        }
    }

    fn changed_attributes(&self, ino: u64) -> Option<FileAttributes> {
        let [permissions, uid, gid] = (self.process_id == 0).then(|| self.settings().attributes(ino))??;
        Some(FileAttributes { permissions, uid: KernelUid(uid), gid: KernelGid(gid) })
    }

    fn may_change_mode(&self) -> bool {
        self.process_id == 0
    }

    /// What is about a process belongs to its user again as soon as somebody looks; settings cannot be given away.
    fn change_attributes(&self, node: &Node<Self>, ino: u64, new: FileAttributes) -> Result<(), Errno> {
        if self.process_id != 0 {
            return Ok(());
        }
        let is_setting = match node {
            Node::Setting(..)
            | Node::AnnouncedSetting(..)
            | Node::SequenceSetting(..)
            | Node::Guarded(..) => true,
            Node::Directory(directory) => sysctl::holds(directory),
            _ => false,
        };
        if is_setting {
            return Err(Errno::EPERM);
        }
        self.settings().set_attributes(ino, [new.permissions, new.uid.0, new.gid.0]);
        Ok(())
    }

    fn write_refusal(&self) -> Option<Errno> {
        Some(if self.process_id == 0 { Errno::EIO } else { Errno::EINVAL })
    }

    fn polling(&self) -> Option<Polling> {
        (self.process_id == 0).then_some(Polling::Ready)
    }

    fn writes_begin_anew(&self) -> bool {
        self.process_id != 0
    }

    /// A process that may not be dumped keeps these (`man 5 proc`, "/proc/pid").
    fn owner_of_public_directory(&self) -> (KernelUid, KernelGid) {
        match self.process() {
            Ok(process) if self.process_id != 0 => {
                let status = process.status();
                (status.uids[1], status.gids[1])
            }
            _ => (KernelUid::ROOT, KernelGid::ROOT),
        }
    }

    fn owner(&self) -> (KernelUid, KernelGid) {
        if self.process_id == 0 {
            return (KernelUid::ROOT, KernelGid::ROOT);
        }
        let Ok(process) = self.process() else { return (KernelUid::ROOT, KernelGid::ROOT) };
        let status = process.status();
        if status.is_dumpable {
            return (status.uids[1], status.gids[1]);
        }
        let namespace = process.executed_in();
        (namespace.root_uid().unwrap_or_default(), namespace.to_kernel_gid(Gid::ROOT).unwrap_or_default())
    }
}
