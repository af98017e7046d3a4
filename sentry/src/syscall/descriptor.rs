//! Descriptors: duplicating, flags, fcntl, ioctl; descriptors for files in memory.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use linux_raw_sys::ioctl as requests;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{ReturnValue, UserPointer, handlers, int, unsigned};
use super::lock::record_lock;
use super::scope::check_flags;
use crate::Errno;
use crate::abi::FileOwner;
use crate::fs::async_io::SignalTarget;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::landlock::check_ioctl;
use crate::fs::leases::{self, LeaseKind};
use crate::fs::memory_files::ALL_SEALS;
use crate::fs::nsfs::NamespaceFile;
use crate::fs::pipe::pipe_fcntl;
use crate::fs::userfaultfd::UserfaultDevice;
use crate::fs::{DescriptorBounds, Fd, FileDescription, OpenFlags, SignalOwner, check_owner, tmpfs};
use crate::net::SocketFile;
use crate::platform::VirtualAddress;
use crate::seccomp::ListenerFile;
use crate::settings::KernelNumber;
use crate::task::{CurrentTask, ProcessFile, Tid};

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![dup, dup2, dup3, fcntl, ioctl, memfd_create, memfd_secret];

fn dup(task: &mut CurrentTask, descriptor: Fd) -> Result<Fd, Errno> {
    let file = task.file(descriptor)?;
    duplicate(task, file, 0, false)
}

/// One more descriptor of an open file; there is no new description, whose number would be bounded.
fn duplicate(
    task: &CurrentTask,
    file: Arc<FileDescription>,
    minimum: usize,
    is_close_on_exec: bool,
) -> Result<Fd, Errno> {
    let bounds = DescriptorBounds { is_privileged: true, ..task.descriptor_bounds() };
    task.descriptors().install(file, minimum, is_close_on_exec, bounds)
}

fn dup2(task: &mut CurrentTask, old: Fd, new: Fd) -> Result<Fd, Errno> {
    if old == new {
        task.file(old)?;
        return Ok(new);
    }
    duplicate_to(task, old, new, false)
}

fn dup3(task: &mut CurrentTask, old: Fd, new: Fd, flags: u32) -> Result<Fd, Errno> {
    let flags = check_flags(flags, uapi::O_CLOEXEC)?;
    if old == new {
        return Err(Errno::EINVAL);
    }
    duplicate_to(task, old, new, flags != 0)
}

fn duplicate_to(task: &CurrentTask, old: Fd, new: Fd, is_close_on_exec: bool) -> Result<Fd, Errno> {
    let file = task.file(old)?;
    let replaced = task.descriptors().install_at(file, new, is_close_on_exec, task.open_files_limit())?;
    drop(replaced);
    Ok(new)
}

fn fcntl(task: &mut CurrentTask, descriptor: Fd, command: u32, argument: u64) -> Result<usize, Errno> {
    let description = task.file(descriptor)?;
    if let Some(result) = descriptor_command(task, descriptor, &description, command, argument) {
        return result;
    }
    if description.flags().contains(OpenFlags::PATH) {
        return Err(Errno::EBADF);
    }
    match command {
        uapi::F_SETFL => set_status(task, descriptor, &description, argument).map(|()| 0),
        uapi::F_GETLK
        | uapi::F_SETLK
        | uapi::F_SETLKW
        | uapi::F_OFD_GETLK
        | uapi::F_OFD_SETLK
        | uapi::F_OFD_SETLKW => record_lock(task, &description, command, UserPointer::new(argument)),
        uapi::F_SETOWN
        | uapi::F_GETOWN
        | uapi::F_SETOWN_EX
        | uapi::F_GETOWN_EX
        | uapi::F_SETSIG
        | uapi::F_GETSIG => signal_owner(task, &description, command, argument),
        uapi::F_ADD_SEALS => add_seals(&description, unsigned(argument)).map(|()| 0),
        uapi::F_GET_SEALS => tmpfs::seals(description.path().ok_or(Errno::EINVAL)?).map(u32::encode),
        uapi::F_NOTIFY => notify(task, &description, descriptor, unsigned(argument)).map(|()| 0),
        uapi::F_GETOWNER_UIDS => tell_owner_uids(task, &description, argument).map(|()| 0),
        uapi::F_GET_RW_HINT | uapi::F_SET_RW_HINT => write_hint(task, &description, command, argument),
        uapi::F_SETLEASE => set_lease(task, &description, descriptor, unsigned(argument)).map(|()| 0),
        uapi::F_GETLEASE => {
            let lease = description.used_locks().and_then(|locks| locks.leases().of(&description));
            Ok(leases::lease_value(lease).encode())
        }
        _ => {
            let pipe = description.file().pipe_end();
            let is_of_pipes = matches!(command, uapi::F_GETPIPE_SZ | uapi::F_SETPIPE_SZ);
            let refusal = Err(if is_of_pipes { Errno::EBADF } else { Errno::EINVAL });
            pipe.and_then(|pipe| pipe_fcntl(pipe, command, argument, task)).unwrap_or(refusal)
        }
    }
}

/// Does a command that every descriptor takes, also one of a file that is only named (O_PATH); `None` for others.
fn descriptor_command(
    task: &CurrentTask,
    descriptor: Fd,
    description: &Arc<FileDescription>,
    command: u32,
    argument: u64,
) -> Option<Result<usize, Errno>> {
    Some(match command {
        uapi::F_DUPFD | uapi::F_DUPFD_CLOEXEC => {
            let is_close_on_exec = command == uapi::F_DUPFD_CLOEXEC;
            match usize::try_from(int(argument)) {
                Ok(minimum) if minimum < task.open_files_limit() => {
                    duplicate(task, description.clone(), minimum, is_close_on_exec).map(Fd::encode)
                }
                _ => Err(Errno::EINVAL),
            }
        }
        uapi::F_GETFD => task.descriptors().is_close_on_exec(descriptor).map(usize::from),
        uapi::F_SETFD => {
            let is_close_on_exec = unsigned(argument) & uapi::FD_CLOEXEC != 0;
            task.descriptors().set_close_on_exec(descriptor, is_close_on_exec).map(|()| 0)
        }
        uapi::F_GETFL => Ok(description.flags().bits().encode()),
        uapi::F_CREATED_QUERY => Ok(usize::from(description.has_made_file())),
        uapi::F_DUPFD_QUERY => {
            task.file(Fd(int(argument))).map(|other| usize::from(Arc::ptr_eq(description, &other)))
        }
        _ => return None,
    })
}

/// F_SETFL.
fn set_status(
    task: &CurrentTask,
    descriptor: Fd,
    description: &Arc<FileDescription>,
    argument: u64,
) -> Result<(), Errno> {
    let mut flags = OpenFlags::from_bits_truncate(unsigned(argument));
    if !description.file().signals_readiness() {
        flags.set(OpenFlags::ASYNC, description.flags().contains(OpenFlags::ASYNC));
    }
    description.file().check_status_flags(flags)?;
    // A pipe has packets by it. What memfd_create(2) has opened was not asked.
    let memory_files = task.kernel().file_systems().memory_files()?;
    let is_unasked = description.path().is_some_and(|path| memory_files.holds(path));
    let takes_direct =
        description.file().takes_direct_io() && !is_unasked || description.file().pipe_end().is_some();
    if flags.contains(OpenFlags::DIRECT) && !takes_direct {
        return Err(Errno::EINVAL);
    }
    if let Some(path) = description.path()
        && (flags ^ description.flags()).contains(OpenFlags::APPEND)
    {
        check_without(&**path.inode(), FileFlags::APPEND)?;
    }
    description.set_status_flags(flags);
    description.set_async(flags.contains(OpenFlags::ASYNC), descriptor, task.kernel().async_signals());
    Ok(())
}

/// F_ADD_SEALS.
fn add_seals(description: &FileDescription, seals: u32) -> Result<(), Errno> {
    if !description.flags().is_writable() {
        return Err(Errno::EPERM);
    }
    tmpfs::add_seals(description.path().ok_or(Errno::EINVAL)?, check_flags(seals, ALL_SEALS)?)
}

/// F_GETOWNER_UIDS.
fn tell_owner_uids(task: &CurrentTask, description: &FileDescription, address: u64) -> Result<(), Errno> {
    let setter = description.signal_owner().setter.unwrap_or_default();
    let namespace = task.credentials().user_namespace.clone();
    let told = [setter.0, setter.1].map(|uid| namespace.from_kernel_uid(uid).0);
    task.memory().write_object(VirtualAddress(address), &told)
}

/// F_NOTIFY.
fn notify(
    task: &CurrentTask,
    description: &Arc<FileDescription>,
    descriptor: Fd,
    wanted: u32,
) -> Result<(), Errno> {
    if !task.kernel().settings().is_on(KernelNumber::DirNotifyEnable) {
        return Err(Errno::EINVAL);
    }
    if wanted & !uapi::DN_MULTISHOT == 0 && !description.path().is_some_and(|path| path.is_directory()) {
        return Ok(());
    }
    description.notify_of_changes(descriptor, wanted, task.kernel().async_signals())?;
    own_if_unowned(task, description);
    Ok(())
}

/// Has signals of the file go to the caller, unless somebody else is to get them.
fn own_if_unowned(task: &CurrentTask, description: &FileDescription) {
    let mut owner = description.signal_owner();
    if owner.target.is_none() {
        let own = task.thread_group().tgid();
        (owner.kind, owner.id) = (uapi::F_OWNER_PID.cast_signed(), own);
        owner.target = task.io_signals_to_process(Tid(own));
    }
}

/// How long what is written is expected to live, a number that is kept with the file.
fn write_hint(
    task: &CurrentTask,
    description: &Arc<FileDescription>,
    command: u32,
    argument: u64,
) -> Result<usize, Errno> {
    let place = VirtualAddress(argument);
    let locks = description.locks()?;
    if command == uapi::F_GET_RW_HINT {
        return task.memory().write_object(place, &locks.write_hint()).map(|()| 0);
    }
    check_owner(&description.metadata()?, &task.credentials())?;
    let hint: u64 = task.memory().read_object(place)?;
    if hint > u64::from(uapi::RWH_WRITE_LIFE_EXTREME) {
        return Err(Errno::EINVAL);
    }
    locks.set_write_hint(hint);
    Ok(0)
}

/// F_SETLEASE.
fn set_lease(
    task: &CurrentTask,
    description: &Arc<FileDescription>,
    descriptor: Fd,
    kind: u32,
) -> Result<(), Errno> {
    let credentials = task.credentials();
    let kind = match kind {
        uapi::F_UNLCK => {
            description.locks()?.leases().unset(description, &credentials)?;
            *description.signal_owner() = SignalOwner::default();
            show_async(task, description, descriptor, false);
            return Ok(());
        }
        uapi::F_RDLCK => LeaseKind::Read,
        uapi::F_WRLCK => LeaseKind::Write,
        _ => return Err(Errno::EINVAL),
    };
    let kernel = task.kernel();
    if !kernel.settings().is_on(KernelNumber::LeasesEnable) {
        return Err(Errno::EINVAL);
    }
    let tellers = (kernel.async_signals(), kernel.open_files());
    description.locks()?.leases().set(description, (descriptor, kind), &credentials, tellers)?;
    own_if_unowned(task, description);
    show_async(task, description, descriptor, true);
    Ok(())
}

/// Has O_ASYNC among the flags of a file whose owner hears of a lease, or not any more.
fn show_async(task: &CurrentTask, description: &Arc<FileDescription>, descriptor: Fd, is_on: bool) {
    if !is_on {
        description.set_async(false, descriptor, task.kernel().async_signals());
    }
    let mut flags = description.flags();
    flags.set(OpenFlags::ASYNC, is_on);
    description.set_status_flags(flags);
}

/// Checks that a number is 0, or anybody's.
///
/// # Errors
/// ESRCH.
fn check_is_somebody(task: &CurrentTask, id: i32) -> Result<(), Errno> {
    let namespace = task.thread_group().pid_namespace();
    let is_somebody = id == 0 || task.kernel().tasks().is_in_use(namespace, Tid(id));
    if is_somebody { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Whom an owner of this kind and number is; `None` for nobody.
fn signal_target(task: &CurrentTask, kind: i32, id: i32) -> Option<Arc<dyn SignalTarget>> {
    match kind.cast_unsigned() {
        _ if id == 0 => None,
        uapi::F_OWNER_TID => task.io_signals_to_thread(Tid(id)),
        uapi::F_OWNER_PGRP => task.io_signals_to_process_group(Tid(id)),
        _ => task.io_signals_to_process(Tid(id)),
    }
}

/// The owner that F_SETOWN_EX names.
///
/// # Errors
/// EINVAL for another type, ESRCH: there is no such process, and EFAULT.
fn read_owner(task: &CurrentTask, argument: u64) -> Result<FileOwner, Errno> {
    let owner: FileOwner = task.memory().read_object(VirtualAddress(argument))?;
    if !(0..=uapi::F_OWNER_PGRP.cast_signed()).contains(&owner.type_) {
        return Err(Errno::EINVAL);
    }
    if owner.pid < 0 {
        return Err(Errno::ESRCH);
    }
    check_is_somebody(task, owner.pid)?;
    Ok(owner)
}

/// The commands about who hears of readiness by a signal.
fn signal_owner(
    task: &CurrentTask,
    description: &Arc<FileDescription>,
    command: u32,
    argument: u64,
) -> Result<usize, Errno> {
    const F_OWNER_PID: i32 = uapi::F_OWNER_PID.cast_signed();
    const F_OWNER_PGRP: i32 = uapi::F_OWNER_PGRP.cast_signed();
    const MAX_SIGNAL: i32 = 64;
    let namespace = task.thread_group().pid_namespace();
    let credentials = task.credentials();
    let setter = (credentials.real_uid, credentials.effective_uid);
    let mut owner = description.signal_owner();
    // A thread's number that was given for a process names nobody.
    let is_nobody =
        owner.kind == F_OWNER_PID && task.kernel().tasks().thread_group(namespace, Tid(owner.id)).is_none();
    match command {
        uapi::F_SETOWN => {
            // A negative number is a process group.
            let id = int(argument);
            let number = id.checked_abs().ok_or(Errno::EINVAL)?;
            check_is_somebody(task, number)?;
            (owner.kind, owner.id) = (if id < 0 { F_OWNER_PGRP } else { F_OWNER_PID }, number);
            owner.target = signal_target(task, owner.kind, owner.id);
            owner.setter = Some(setter);
            description.tell_owner_of_urgent_data(task.kernel().async_signals());
        }
        uapi::F_GETOWN => {
            let id = if owner.kind == F_OWNER_PGRP { -owner.id } else { owner.id };
            return Ok(if is_nobody { 0 } else { id.encode() });
        }
        uapi::F_SETOWN_EX => {
            let new = read_owner(task, argument)?;
            (owner.kind, owner.id) = (new.type_, new.pid);
            owner.setter = Some(setter);
            owner.target = signal_target(task, owner.kind, owner.id);
            description.tell_owner_of_urgent_data(task.kernel().async_signals());
        }
        uapi::F_GETOWN_EX => {
            let id = if is_nobody { 0 } else { owner.id };
            let current = FileOwner { type_: owner.kind, pid: id };
            task.memory().write_object(VirtualAddress(argument), &current)?;
        }
        uapi::F_SETSIG => {
            let signal = int(argument);
            if !(0..=MAX_SIGNAL).contains(&signal) {
                return Err(Errno::EINVAL);
            }
            owner.signal = signal;
        }
        _ => return Ok(owner.signal.encode()),
    }
    Ok(0)
}

fn ioctl(task: &mut CurrentTask, descriptor: Fd, request: u32, argument: u64) -> Result<usize, Errno> {
    let description = task.usable_file(descriptor)?;
    check_ioctl(&description, request)?;
    match request {
        requests::FIOCLEX => task.descriptors().set_close_on_exec(descriptor, true).map(|()| 0),
        requests::FIONCLEX => task.descriptors().set_close_on_exec(descriptor, false).map(|()| 0),
        requests::FIONBIO | requests::FIOASYNC => {
            let is_on: i32 = task.memory().read_object(VirtualAddress(argument))?;
            let flag = if request == requests::FIONBIO { OpenFlags::NONBLOCK } else { OpenFlags::ASYNC };
            let mut flags = description.flags();
            flags.set(flag, is_on != 0);
            if flag == OpenFlags::ASYNC && flags != description.flags() {
                if !description.file().signals_readiness() {
                    return Err(Errno::ENOTTY);
                }
                description.set_async(is_on != 0, descriptor, task.kernel().async_signals());
            }
            description.set_status_flags(flags);
            Ok(0)
        }
        requests::FIOSETOWN | requests::SIOCSPGRP if description.downcast::<SocketFile>().is_some() => {
            let owner: i32 = task.memory().read_object(VirtualAddress(argument))?;
            signal_owner(task, &description, uapi::F_SETOWN, i64::from(owner).cast_unsigned())
        }
        requests::FIOGETOWN | requests::SIOCGPGRP if description.downcast::<SocketFile>().is_some() => {
            let owner = signal_owner(task, &description, uapi::F_GETOWN, 0)? as i32;
            task.memory().write_object(VirtualAddress(argument), &owner).map(|()| 0)
        }
        requests::FIONREAD if description.is_regular() => {
            let left = description.metadata()?.size_bytes.saturating_sub(description.shown_position());
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            task.memory().write_object(VirtualAddress(argument), &left)?;
            Ok(0)
        }
        _ => match super::file_attributes::ioctl(task, &description, request, argument) {
            Some(result) => result,
            None => other_ioctl(task, &description, request, argument),
        },
    }
}

/// ioctl(2) where it is for the file to know the request, or for those who know what it stands for.
fn other_ioctl(
    task: &mut CurrentTask,
    description: &FileDescription,
    request: u32,
    argument: u64,
) -> Result<usize, Errno> {
    if let Some(file) = description.downcast::<ListenerFile>() {
        return super::seccomp::ioctl(task, file.listener(), request, argument);
    }
    if let Some(file) = description.downcast::<NamespaceFile>()
        && let Some(result) = super::namespace::ioctl(task, file.namespace(), request, argument)
    {
        return result;
    }
    if description.downcast::<UserfaultDevice>().is_some() {
        return super::userfaultfd::ioctl(task, request, argument);
    }
    if let Some(process) = description.downcast::<ProcessFile>() {
        return super::pidfd::ioctl(task, process, request, argument);
    }
    description.file().ioctl(request, argument, task)
}

fn memfd_secret(task: &mut CurrentTask, flags: u32) -> Result<Fd, Errno> {
    let is_close_on_exec = check_flags(flags, uapi::O_CLOEXEC)? != 0;
    let file = task.kernel().file_systems().memory_files()?.create_secret(&task.viewer())?;
    task.descriptors().install(file, 0, is_close_on_exec, task.descriptor_bounds())
}

/// Whether a file that is asked for with these flags is executable, as `vm.memfd_noexec` has it.
///
/// # Errors
/// EINVAL: it is to be both. EACCES: it may not be.
fn is_executable(flags: u32, noexec: i64) -> Result<bool, Errno> {
    match (flags & uapi::MFD_EXEC != 0, flags & uapi::MFD_NOEXEC_SEAL != 0) {
        (true, true) => Err(Errno::EINVAL),
        (true, false) if noexec == 2 => Err(Errno::EACCES),
        (false, false) => Ok(noexec == 0),
        (is_executable, _) => Ok(is_executable),
    }
}

fn memfd_create(task: &mut CurrentTask, name: UserPointer<u8>, flags: u32) -> Result<Fd, Errno> {
    const MAX_NAME_LEN: usize = 249;
    const HUGE_PAGE_SHIFTS: [(u32, u32); 3] = [(0, 21), (21, 21), (30, 30)];
    let known = uapi::MFD_CLOEXEC | uapi::MFD_ALLOW_SEALING | uapi::MFD_NOEXEC_SEAL | uapi::MFD_EXEC;
    let sizes = uapi::MFD_HUGE_MASK << uapi::MFD_HUGE_SHIFT;
    let is_huge = flags & uapi::MFD_HUGETLB != 0;
    let all = if is_huge { known | uapi::MFD_HUGETLB | sizes } else { known };
    let flags = check_flags(flags, all)?;
    let is_executable = is_executable(flags, task.kernel().settings().get(KernelNumber::MemfdNoexec))?;
    let name = task.memory().read_c_string(name.address(), MAX_NAME_LEN + 1);
    let name = name.map_err(|error| if error == Errno::ENAMETOOLONG { Errno::EINVAL } else { error })?;
    let seals = match (is_executable, flags & uapi::MFD_ALLOW_SEALING != 0) {
        (true, true) => 0,
        (true, false) => uapi::F_SEAL_SEAL,
        (false, _) => uapi::F_SEAL_EXEC,
    };
    let permissions = if is_executable { 0o777 } else { 0o666 };
    let files = task.kernel().file_systems().memory_files()?;
    let (name, viewer) = ([b"memfd:", &*name].concat(), task.viewer());
    let wanted_shift = flags >> uapi::MFD_HUGE_SHIFT & uapi::MFD_HUGE_MASK;
    let shift = HUGE_PAGE_SHIFTS.iter().find(|(wanted, _)| *wanted == wanted_shift).map(|(_, shift)| *shift);
    let file = match shift.ok_or(Errno::ENODEV)? {
        shift if is_huge => files.create_huge(&name, (permissions, seals), 1 << shift, &viewer)?,
        _ => files.create(&name, permissions, seals, &viewer)?,
    };
    let bounds = task.descriptor_bounds();
    let is_close_on_exec = flags & uapi::MFD_CLOEXEC != 0;
    task.descriptors().install(file, 0, is_close_on_exec, bounds)
}
