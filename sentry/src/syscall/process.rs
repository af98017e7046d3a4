//! Creating, executing, ending and waiting for processes.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, UserSlice, handlers, int};
use super::fanotify::permit;
use super::resource::rusage;
use crate::Errno;
use crate::abi::{CloneArgs, Rusage, Siginfo, UserObject};
use crate::cgroup::Cgroup;
use crate::fs::cgroup::CgroupDirectory;
use crate::fs::fanotify::FanMask;
use crate::fs::{Fd, FileKind, OpenFlags, Resolver};
use crate::heap::HeapCharge;
use crate::platform::VirtualAddress;
use crate::signal::{Signal, SignalDetail, SignalInfo};
use crate::task::{
    ChildEvent, CloneFlags, CloneRequest, CurrentTask, ExecRequest, ExitStatus, PidNamespace, ProcessFile,
    Tid, WaitOptions, WaitSelector, Waited,
};
use crate::width::{u64_from, usize_from};
use zerocopy::IntoBytes;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    clone,
    clone3,
    fork,
    vfork,
    execve,
    execveat,
    exit,
    exit_group,
    wait4,
    waitid,
    set_tid_address,
    getpid,
    gettid,
    getppid,
    getpgid,
    getpgrp,
    setpgid,
    getsid,
    setsid,
];

/// What a string takes beside its letters, in a list that grows by doubling.
const STRING_BYTES: usize = 64;
/// Most strings in an argument list or environment: each costs at least a pointer and a NUL of the 6 MiB allowed.
const MAX_STRINGS: usize = crate::loader::MAX_STRINGS_BYTES as usize / 9;

fn clone(
    task: &mut CurrentTask,
    flags: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
) -> Result<Tid, Errno> {
    let request = CloneRequest {
        flags: CloneFlags::from_bits(flags & 0xffff_ff00).ok_or(Errno::EINVAL)?,
        exit_signal: int(flags & 0xff),
        stack_pointer: stack,
        thread_local_storage: tls,
        // clone(2) returns the descriptor where it would store the number.
        pidfd: parent_tid,
        parent_tid,
        child_tid,
        wanted_numbers: Vec::new(),
        cgroup: None,
    };
    if request.flags.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) {
        return Err(Errno::EINVAL);
    }
    task.clone_task(&request)
}

fn fork(task: &mut CurrentTask) -> Result<Tid, Errno> {
    task.clone_task(&simple_clone(CloneFlags::empty()))
}

fn vfork(task: &mut CurrentTask) -> Result<Tid, Errno> {
    task.clone_task(&simple_clone(CloneFlags::VM | CloneFlags::VFORK))
}

fn simple_clone(flags: CloneFlags) -> CloneRequest {
    CloneRequest {
        flags,
        exit_signal: i32::from(Signal::SIGCHLD.number()),
        stack_pointer: 0,
        thread_local_storage: 0,
        pidfd: 0,
        parent_tid: 0,
        child_tid: 0,
        wanted_numbers: Vec::new(),
        cgroup: None,
    }
}

/// The first version of `struct clone_args`.
const CLONE_ARGS_MIN_BYTES: usize = 64;

fn clone3(task: &mut CurrentTask, arguments: UserSlice) -> Result<Tid, Errno> {
    let CloneArgs {
        flags,
        pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
        set_tid,
        set_tid_size,
        cgroup,
    } = read_extensible(task, arguments, CLONE_ARGS_MIN_BYTES)?;
    let flags = CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if flags.intersects(CloneFlags::DETACHED) || exit_signal > 64 {
        return Err(Errno::EINVAL);
    }
    let is_signal_pointless = flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) && exit_signal != 0;
    let is_stack_torn = (stack == 0) != (stack_size == 0);
    let is_set_tid_torn = (set_tid == 0) != (set_tid_size == 0) || set_tid_size > 32;
    if is_signal_pointless || is_stack_torn || is_set_tid_torn {
        return Err(Errno::EINVAL);
    }
    let is_pidfd_shared =
        flags.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) && pidfd == parent_tid;
    if is_pidfd_shared {
        return Err(Errno::EINVAL);
    }
    let request = CloneRequest {
        flags,
        exit_signal: int(exit_signal),
        stack_pointer: stack.checked_add(stack_size).ok_or(Errno::EINVAL)?,
        thread_local_storage: tls,
        pidfd,
        parent_tid,
        child_tid,
        wanted_numbers: read_wanted_numbers(task, set_tid, set_tid_size)?,
        cgroup: match flags.contains(CloneFlags::INTO_CGROUP) {
            true => Some(find_cgroup(task, cgroup)?),
            false => None,
        },
    };
    task.clone_task(&request)
}

/// The control group whose directory is open at `descriptor`, if the caller may have a task made there.
fn find_cgroup(task: &CurrentTask, descriptor: u64) -> Result<Arc<Cgroup>, Errno> {
    let file = task.file(Fd(i32::try_from(descriptor).map_err(|_| Errno::EINVAL)?))?;
    let inode = file.path().ok_or(Errno::EBADF)?.inode();
    let directory = inode.as_any().downcast_ref::<CgroupDirectory>().ok_or(Errno::EBADF)?;
    if directory.cgroup().is_removed() {
        return Err(Errno::ENOENT);
    }
    directory.check_may_enter(&task.viewer(), &task.task().cgroup())?;
    Ok(directory.cgroup().clone())
}

fn read_wanted_numbers(task: &CurrentTask, address: u64, count: u64) -> Result<Vec<Tid>, Errno> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > PidNamespace::MAX_LEVEL {
        return Err(Errno::EINVAL);
    }
    (0..count).map(|index| UserPointer::<Tid>::new(address).element(index).read(task)).collect()
}

/// Reads a structure whose size the caller gives: a shorter one ends in zeroes, a longer one must (`man 2 clone`, E2BIG).
pub(super) fn read_extensible<T: UserObject>(
    task: &CurrentTask,
    structure: UserSlice,
    min_bytes: usize,
) -> Result<T, Errno> {
    let len = usize::try_from(structure.len_bytes).map_err(|_| Errno::E2BIG)?;
    if len > usize_from(crate::platform::PAGE_SIZE) {
        return Err(Errno::E2BIG);
    }
    if len < min_bytes {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len];
    task.memory().read_bytes(structure.address, &mut bytes)?;
    let known = len.min(size_of::<T>());
    if bytes[known..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut value = T::new_zeroed();
    value.as_mut_bytes()[..known].copy_from_slice(&bytes[..known]);
    Ok(value)
}

fn execve(
    task: &mut CurrentTask,
    path: UserPath,
    arguments: UserPointer<u64>,
    environment: UserPointer<u64>,
) -> Result<(), Errno> {
    execute_at(task, Fd::WORKING_DIRECTORY, path, arguments, environment, 0)
}

fn execveat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    arguments: UserPointer<u64>,
    environment: UserPointer<u64>,
    flags: u32,
) -> Result<(), Errno> {
    execute_at(task, directory, path, arguments, environment, flags)
}

fn execute_at(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    arguments: UserPointer<u64>,
    environment: UserPointer<u64>,
    flags: u32,
) -> Result<(), Errno> {
    let name = path.read(task)?;
    if name.is_empty() && flags & uapi::AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT);
    }
    if flags & !(uapi::AT_EMPTY_PATH | uapi::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let view = task.task_fs().view();
    let viewer = task.viewer();
    let mut is_reachable = true;
    let mut file_name = name.clone();
    let file = if name.is_empty() && flags & uapi::AT_EMPTY_PATH != 0 {
        is_reachable = !task.descriptors().is_close_on_exec(directory)?;
        file_name = format!("/dev/fd/{directory}").into_bytes();
        task.file(directory)?.path().cloned().ok_or(Errno::EACCES)?
    } else {
        let start = if directory == Fd::WORKING_DIRECTORY || name.starts_with(b"/") {
            view.working_directory.clone()
        } else {
            file_name = [format!("/dev/fd/{directory}/").as_bytes(), &name].concat();
            is_reachable = !task.descriptors().is_close_on_exec(directory)?;
            task.file(directory)?.path().cloned().ok_or(Errno::ENOTDIR)?
        };
        let follows = flags & uapi::AT_SYMLINK_NOFOLLOW == 0;
        Resolver::new(&view, &viewer).resolve(&start, &name, follows)?
    };
    if file.kind() == FileKind::Symlink {
        return Err(Errno::ELOOP);
    }
    permit(task, &file, FanMask::OPEN_PERM | FanMask::OPEN_EXEC_PERM)?;
    let mut heap_charge = HeapCharge::default();
    let arguments = read_strings(task, arguments, &mut heap_charge)?;
    let environment = read_strings(task, environment, &mut heap_charge)?;
    task.execute(ExecRequest { file, file_name, is_reachable, arguments, environment })
}

/// Reads a NULL-terminated array of strings; a null pointer is an empty one, as on Linux.
fn read_strings(
    task: &CurrentTask,
    array: UserPointer<u64>,
    heap_charge: &mut HeapCharge,
) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    let mut total = 0;
    if array.is_null() {
        return Ok(strings);
    }
    loop {
        let pointer = array.element(strings.len()).read(task)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let max_len = crate::loader::MAX_ARGUMENT_BYTES;
        let string =
            task.memory().read_c_string(VirtualAddress(pointer), max_len).map_err(|error| match error {
                Errno::ENAMETOOLONG => Errno::E2BIG,
                error => error,
            })?;
        total += u64_from(string.len()) + 9;
        heap_charge.resize(heap_charge.len_bytes() + string.capacity() + STRING_BYTES)?;
        strings.push(string);
        if strings.len() > MAX_STRINGS || total > crate::loader::MAX_STRINGS_BYTES {
            return Err(Errno::E2BIG);
        }
    }
}

/// The low byte of what exit(2) is given.
fn exit_code(status: i32) -> u8 {
    status.to_le_bytes()[0]
}

fn exit(task: &mut CurrentTask, status: i32) -> Result<(), Errno> {
    task.exit(ExitStatus::Exited(exit_code(status)));
    Ok(())
}

fn exit_group(task: &mut CurrentTask, status: i32) -> Result<(), Errno> {
    let status = ExitStatus::Exited(exit_code(status));
    task.thread_group().exit(status);
    task.exit(status);
    Ok(())
}

fn wait4(
    task: &mut CurrentTask,
    pid: i32,
    status: UserPointer<i32>,
    options: u32,
    usage: UserPointer<Rusage>,
) -> Result<Tid, Errno> {
    let allowed = WaitOptions::NOHANG
        | WaitOptions::STOPPED
        | WaitOptions::CONTINUED
        | WaitOptions::NOTHREAD
        | WaitOptions::ALL
        | WaitOptions::CLONE;
    let options = WaitOptions::from_bits(options).filter(|options| allowed.contains(*options));
    let options = options.ok_or(Errno::EINVAL)? | WaitOptions::EXITED;
    let selector = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => WaitSelector::Any,
        pid if pid > 0 => WaitSelector::Process(Tid(pid)),
        pid => WaitSelector::ProcessGroup(Tid(-pid)),
    };
    let Some(waited) = task.wait_for_child(selector, options)? else { return Ok(Tid(0)) };
    status.write_unless_null(task, &wait_status(waited.event))?;
    usage.write_unless_null(task, &rusage(waited.usage))?;
    Ok(waited.pid)
}

fn wait_status(event: ChildEvent) -> i32 {
    match event {
        ChildEvent::Ended(status) => status.wait_status(),
        ChildEvent::Stopped(signal) => i32::from(signal.number()) << 8 | 0x7f,
        ChildEvent::Continued => 0xffff,
        ChildEvent::Trapped(code) => code << 8 | 0x7f,
    }
}

fn waitid(
    task: &mut CurrentTask,
    kind: u32,
    id: i32,
    info: UserPointer<Siginfo>,
    options: WaitOptions,
    usage: UserPointer<Rusage>,
) -> Result<(), Errno> {
    let waited = wait_for_info(task, (kind, id), options, usage);
    // It is told of nobody if there is nobody, or the arguments make no sense.
    let told = waited.as_ref().copied().unwrap_or_default();
    if !info.is_null() {
        let written = told.as_bytes().get(..WAIT_INFO_BYTES).unwrap_or_default();
        task.memory().write_bytes(info.address(), written)?;
    }
    waited.map(drop)
}

/// How many bytes of a `siginfo_t` waitid(2) writes: up to `si_status`.
const WAIT_INFO_BYTES: usize = 28;

/// What waitid(2) tells of a child.
fn wait_for_info(
    task: &mut CurrentTask,
    (kind, id): (u32, i32),
    options: WaitOptions,
    usage: UserPointer<Rusage>,
) -> Result<Siginfo, Errno> {
    if !options.intersects(WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED) {
        return Err(Errno::EINVAL);
    }
    let mut is_non_blocking = false;
    let selector = match kind {
        uapi::P_ALL => WaitSelector::Any,
        uapi::P_PID if id > 0 => WaitSelector::Process(Tid(id)),
        uapi::P_PGID if id >= 0 => WaitSelector::ProcessGroup(Tid(id)),
        uapi::P_PIDFD if id >= 0 => {
            let file = task.file(Fd(id))?;
            let process = file.downcast::<ProcessFile>().ok_or(Errno::EBADF)?;
            if file.flags().contains(OpenFlags::NONBLOCK) {
                is_non_blocking = true;
            }
            match process.is_of_thread() {
                true => WaitSelector::Process(thread_number(task, process)?),
                false => WaitSelector::Group(process.thread_group().id()),
            }
        }
        _ => return Err(Errno::EINVAL),
    };
    let asked = options;
    let options = if is_non_blocking { options | WaitOptions::NOHANG } else { options };
    let waited = task.wait_for_child(selector, options)?;
    if waited.is_none() && !asked.contains(WaitOptions::NOHANG) {
        return Err(Errno::EAGAIN);
    }
    if let Some(waited) = &waited {
        usage.write_unless_null(task, &rusage(waited.usage))?;
    }
    Ok(waited.map_or(Siginfo::default(), |waited| wait_info(task, &waited).to_user()))
}

/// What the caller calls the thread that a descriptor stands for.
fn thread_number(task: &CurrentTask, process: &ProcessFile) -> Result<Tid, Errno> {
    let namespace = task.thread_group().pid_namespace();
    match task.kernel().tasks().number_of(process.task(), namespace) {
        Tid(0) => Err(Errno::ECHILD),
        number => Ok(number),
    }
}

/// The siginfo of waitid(2).
fn wait_info(task: &CurrentTask, waited: &Waited) -> SignalInfo {
    let (code, status) = match waited.event {
        ChildEvent::Ended(status) => status.child_code_and_status(),
        ChildEvent::Stopped(signal) => (uapi::CLD_STOPPED, signal.number().into()),
        ChildEvent::Continued => (uapi::CLD_CONTINUED, Signal::SIGCONT.number().into()),
        ChildEvent::Trapped(code) => (uapi::CLD_TRAPPED, code),
    };
    let uid = task.credentials().user_namespace.from_kernel_uid(waited.uid);
    let detail = SignalDetail::Child { pid: waited.pid.0, uid, status, user_ticks: 0, system_ticks: 0 };
    SignalInfo { signal: Signal::SIGCHLD, errno: 0, code: code.cast_signed(), detail }
}

fn set_tid_address(task: &mut CurrentTask, address: u64) -> Result<Tid, Errno> {
    task.task().clear_child_tid.store(address, std::sync::atomic::Ordering::Relaxed);
    Ok(Tid(task.task().tid()))
}

fn getpid(task: &mut CurrentTask) -> Result<Tid, Errno> {
    Ok(Tid(task.thread_group().tgid()))
}

fn gettid(task: &mut CurrentTask) -> Result<Tid, Errno> {
    Ok(Tid(task.task().tid()))
}

fn getppid(task: &mut CurrentTask) -> Result<Tid, Errno> {
    Ok(task.kernel().tasks().parent_number(task.thread_group()))
}

fn getpgid(task: &mut CurrentTask, pid: Tid) -> Result<Tid, Errno> {
    process_group_and_session(task, pid).map(|(process_group, _)| process_group)
}

fn getpgrp(task: &mut CurrentTask) -> Result<Tid, Errno> {
    process_group_and_session(task, Tid(0)).map(|(process_group, _)| process_group)
}

fn getsid(task: &mut CurrentTask, pid: Tid) -> Result<Tid, Errno> {
    process_group_and_session(task, pid).map(|(_, session)| session)
}

fn process_group_and_session(task: &CurrentTask, pid: Tid) -> Result<(Tid, Tid), Errno> {
    let namespace = task.thread_group().pid_namespace();
    let tasks = task.kernel().tasks();
    let group = match pid.0 {
        0 => task.thread_group().clone(),
        _ => tasks.task(namespace, pid).ok_or(Errno::ESRCH)?.thread_group().clone(),
    };
    Ok(tasks.process_group_and_session(&group, namespace))
}

fn setpgid(task: &mut CurrentTask, pid: Tid, process_group: Tid) -> Result<(), Errno> {
    let tasks = task.kernel().tasks();
    tasks.set_process_group(task.task(), pid, process_group)
}

fn setsid(task: &mut CurrentTask) -> Result<Tid, Errno> {
    task.kernel().tasks().set_session(task.task())
}
