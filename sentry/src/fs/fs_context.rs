//! A file system that is being configured (Linux's `fs_context`): what mount(2) makes for a moment, and fsopen(2) and fspick(2) open.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::file_system_type::{FileSystemType, MountRequest, Mounter, TypeFlags};
use super::{
    File, FileDescription, FileKind, Instance, Metadata, Mount, MountFlags, MountNamespace, OpenFlags,
    Splicing, SuperFlags, Viewer,
};
use crate::Errno;
use crate::cred::Namespace;
use crate::heap::HeapCharge;

/// The longest options in all, in bytes (`man 2 mount`: a page).
const MAX_OPTIONS_LEN: usize = 4096;
/// Messages that are kept for who reads them.
const MAX_MESSAGES: usize = 8;

/// A file system that is being configured.
pub struct FsContext(Mutex<State>);

struct State {
    kind: &'static FileSystemType,
    /// The first field in /proc/mounts.
    source: Option<String>,
    /// Who serves it.
    subtype: Option<String>,
    /// What the type itself is asked for, with commas between.
    options: String,
    flags: SuperFlags,
    phase: Phase,
    /// What was wrong with parameters, oldest first.
    messages: VecDeque<String>,
    /// For the texts.
    heap_charge: HeapCharge,
}

enum Phase {
    /// Parameters of a new instance are taken.
    Creation,
    /// There is an instance that can be mounted.
    Created(Arc<Instance>),
    /// Parameters of an instance that is mounted already are taken.
    Reconfiguration(Arc<Instance>),
}

impl FsContext {
    /// For a new instance of the type called `name`, with a dot and who serves it behind where the type has that.
    ///
    /// # Errors
    /// ENODEV: there is no such type. EINVAL: nothing is behind the dot.
    pub fn for_mount(name: &str) -> Result<Arc<Self>, Errno> {
        let context = Self::new(FileSystemType::find(name)?, SuperFlags::empty(), Phase::Creation);
        match name.split_once('.') {
            Some((_, "")) => return Err(Errno::EINVAL),
            Some((_, subtype)) => context.0.lock().subtype = Some(subtype.into()),
            None => {}
        }
        Ok(context)
    }

    /// For other options of `instance`.
    ///
    /// # Errors
    /// ENODEV: it is of a type that nobody can mount.
    pub fn for_reconfigure(instance: &Arc<Instance>) -> Result<Arc<Self>, Errno> {
        let kind = FileSystemType::find(instance.file_system().type_name())?;
        Ok(Self::new(kind, instance.flags(), Phase::Reconfiguration(instance.clone())))
    }

    fn new(kind: &'static FileSystemType, flags: SuperFlags, phase: Phase) -> Arc<Self> {
        let (source, subtype, options, heap_charge) = (None, None, String::new(), HeapCharge::default());
        let messages = VecDeque::new();
        let state = State { kind, source, subtype, options, flags, phase, messages, heap_charge };
        Arc::new(Self(Mutex::new(state)))
    }

    /// Opens it as fsopen(2) does.
    pub fn open(self: Arc<Self>) -> Arc<FileDescription> {
        FileDescription::new(self, None, OpenFlags::RDWR)
    }

    /// Takes the source and the options of mount(2) all at once. They are checked when the instance is made.
    pub fn set_all(&self, source: Option<String>, options: &str, flags: SuperFlags) {
        let mut state = self.0.lock();
        (state.options, state.flags) = split_options(options, flags);
        state.source = source;
    }

    /// Takes one parameter (`man 2 fsconfig`, FSCONFIG_SET_FLAG and FSCONFIG_SET_STRING).
    ///
    /// # Errors
    /// EBUSY: there is an instance that waits to be mounted. EINVAL: the type does not know it, or there are too many. ENOMEM.
    pub fn set(&self, mounter: &dyn Mounter, key: &str, value: Option<String>) -> Result<(), Errno> {
        let mut state = self.0.lock();
        if matches!(state.phase, Phase::Created(_)) {
            return Err(Errno::EBUSY);
        }
        state.charge(key.len() + value.as_ref().map_or(0, String::len))?;
        match (key, value) {
            // Whatever value comes with them.
            (key, _) if is_common_option(key) => {
                state.flags = flags_after(key, state.flags);
            }
            ("source", Some(source)) if state.source.is_none() => state.source = Some(source),
            ("source", _) => return Err(Errno::EINVAL),
            ("subtype", Some(subtype)) if state.kind.flags.contains(TypeFlags::HAS_SUBTYPE) => {
                if state.subtype.replace(subtype).is_some() {
                    return Err(Errno::EINVAL);
                }
            }
            (key, value) => {
                let option = value.map_or_else(|| key.into(), |value| format!("{key}={value}"));
                let result = state.add_option(mounter, &option);
                if result == Err(Errno::EINVAL) {
                    state.complain(mounter, key);
                }
                return result;
            }
        }
        Ok(())
    }

    /// Makes the instance (FSCONFIG_CMD_CREATE), or, unless it `is_exclusive`, finds the one that there is.
    ///
    /// # Errors
    /// EBUSY: it has been made, or there is one already. And those of [`FileSystemType::instance`].
    pub fn create(&self, mounter: &dyn Mounter, is_exclusive: bool) -> Result<(), Errno> {
        let mut state = self.0.lock();
        if !matches!(state.phase, Phase::Creation) {
            return Err(Errno::EBUSY);
        }
        let request = MountRequest {
            source: state.source.as_deref(),
            subtype: state.subtype.as_deref(),
            options: &state.options,
            is_read_only: state.flags.contains(SuperFlags::RDONLY),
        };
        let instance = state.kind.instance(mounter, &request)?;
        // Whether all mounts of it are read-only, or just this one, makes a difference to a new instance only.
        if state.kind.is_new_each_time() {
            let is_read_only = state.flags.contains(SuperFlags::RDONLY);
            instance.set_read_only(is_read_only || instance.file_system().is_never_writable())?;
            instance.remember_flags(state.flags);
        } else if is_exclusive {
            return Err(Errno::EBUSY);
        }
        state.phase = Phase::Created(instance);
        Ok(())
    }

    /// Gives a mounted instance the options (FSCONFIG_CMD_RECONFIGURE).
    ///
    /// # Errors
    /// EBUSY: it is not mounted. And those of [`Instance::reconfigure`].
    pub fn reconfigure(&self, viewer: &Viewer) -> Result<(), Errno> {
        let mut state = self.0.lock();
        let Phase::Reconfiguration(instance) = &state.phase else { return Err(Errno::EBUSY) };
        let instance = instance.clone();
        instance.check_may_reconfigure(&viewer.credentials)?;
        let options = std::mem::take(&mut state.options);
        instance.reconfigure(&options, state.flags, viewer, || Ok(()))
    }

    /// A mount of the instance that was made, which can be attached in `namespace` (fsmount(2)). There is one: from then on
    /// parameters are for the instance that is mounted.
    ///
    /// # Errors
    /// EINVAL: there is no instance yet. EBUSY: it has been mounted. ENOSPC: too many mounts. EPERM: it would show what is hidden
    /// from the namespace.
    pub fn mount(&self, namespace: &Arc<MountNamespace>, flags: MountFlags) -> Result<Arc<Mount>, Errno> {
        let mut state = self.0.lock();
        let instance = match &state.phase {
            Phase::Created(instance) => instance.clone(),
            Phase::Creation => return Err(Errno::EINVAL),
            Phase::Reconfiguration(_) => return Err(Errno::EBUSY),
        };
        namespace.table().check_total()?;
        let source = state.source.as_deref().unwrap_or("none");
        let mount = Mount::of(namespace.table(), instance.clone(), source, flags);
        state.kind.check_reveals_nothing(namespace, &mount)?;
        state.options.clear();
        state.phase = Phase::Reconfiguration(instance);
        Ok(mount)
    }
}

impl State {
    /// Charges for the texts, and for `more` bytes of them.
    ///
    /// # Errors
    /// ENOMEM.
    fn charge(&mut self, more: usize) -> Result<(), Errno> {
        let others = [&self.source, &self.subtype].map(|text| text.as_ref().map_or(0, String::capacity));
        let messages: usize = self.messages.iter().map(String::capacity).sum();
        self.heap_charge.resize(self.options.capacity() + others[0] + others[1] + messages + 3 * more)
    }

    /// Leaves a message about a parameter that was refused (`man 2 fsopen`, "Message retrieval interface").
    fn complain(&mut self, mounter: &dyn Mounter, key: &str) {
        let is_taken = |option: &str| (self.kind.check_options)(mounter, option).is_ok();
        let is_known = is_taken(key) || is_taken(&format!("{key}=1"));
        let reason = if is_known { "Bad value for" } else { "Unknown parameter" };
        let message = format!("e {}: {reason} '{key}'\n", self.kind.name);
        if self.messages.len() == MAX_MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }

    fn add_option(&mut self, mounter: &dyn Mounter, option: &str) -> Result<(), Errno> {
        // A comma would end the option.
        if option.contains(',') || self.options.len() + option.len() >= MAX_OPTIONS_LEN {
            return Err(Errno::EINVAL);
        }
        (self.kind.check_options)(mounter, option)?;
        self.options.push(',');
        self.options += option;
        Ok(())
    }
}

impl FileSystemType {
    /// Fails with EPERM if `mount` would show `namespace` what is hidden from it; locks what must stay as it is.
    fn check_reveals_nothing(&self, namespace: &MountNamespace, mount: &Mount) -> Result<(), Errno> {
        let is_privileged = namespace.identity().owner().is_none_or(|owner| owner.level() == 0);
        if self.flags.contains(TypeFlags::USERNS_VISIBLE) && !is_privileged {
            mount.lock_flags(namespace.flags_to_keep(self.name, mount.flags()).ok_or(Errno::EPERM)?);
        }
        Ok(())
    }
}

impl File for FsContext {
    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let mut state = self.0.lock();
        let message = state.messages.front().ok_or(Errno::ENODATA)?;
        let place = buffer.get_mut(..message.len()).ok_or(Errno::EMSGSIZE)?;
        place.copy_from_slice(message.as_bytes());
        state.messages.pop_front();
        Ok(place.len())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(Metadata::new(FileKind::Regular, 0o600, Default::default(), 1))
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[fscontext]".into()
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whether every file system knows an option: they are flags of its superblock.
fn is_common_option(name: &str) -> bool {
    matches!(name, "ro" | "rw" | "sync" | "async" | "dirsync" | "lazytime" | "nolazytime" | "mand" | "nomand")
}

/// The flags after a common option.
fn flags_after(name: &str, flags: SuperFlags) -> SuperFlags {
    match name {
        "ro" => flags | SuperFlags::RDONLY,
        "rw" => flags - SuperFlags::RDONLY,
        "sync" => flags | SuperFlags::SYNCHRONOUS,
        "async" => flags - SuperFlags::SYNCHRONOUS,
        "dirsync" => flags | SuperFlags::DIRSYNC,
        "lazytime" => flags | SuperFlags::LAZYTIME,
        "nolazytime" => flags - SuperFlags::LAZYTIME,
        "mand" => flags | SuperFlags::MANDLOCK,
        "nomand" => flags - SuperFlags::MANDLOCK,
        _ => flags,
    }
}

/// The options that the file system itself is asked for, without the common ones; and the flags after those.
pub(super) fn split_options(options: &str, mut flags: SuperFlags) -> (String, SuperFlags) {
    let mut own = Vec::new();
    for option in options.split(',') {
        let name = option.split_once('=').map_or(option, |(name, _)| name);
        if is_common_option(name) {
            flags = flags_after(name, flags);
        } else {
            own.push(option);
        }
    }
    (own.join(","), flags)
}
