//! The system as a whole, and what a task asks of it for itself: uname, sysinfo, prctl, arch_prctl and others.

use std::sync::atomic::Ordering;

use linux_raw_sys::general as uapi;
use linux_raw_sys::prctl as pr;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{ReturnValue, UserPointer, UserSlice, handlers, int, unsigned};
use crate::Errno;
use crate::abi::{SysInfo, UtsName};
use crate::cred::{Capabilities, Credentials, SecureBits};
use crate::fs::Caller;
use crate::kernel::{RELEASE, VERSION};
use crate::memory::{MAX_MAPPING_NAME_BYTES, MmFlags};
use crate::pace::Pace;
use crate::platform::{SegmentBases, VirtualAddress};
use crate::signal::Signal;
use crate::task::{CurrentTask, NAME_LEN, Task, UserDispatch};
use crate::uts::NAME_MAX_BYTES;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    uname,
    sethostname,
    setdomainname,
    sysinfo,
    getrandom,
    getcpu,
    personality,
    arch_prctl,
    prctl,
    membarrier,
    vhangup,
    reboot,
];

/// Hangs up the caller's terminal.
fn vhangup(task: &mut CurrentTask) -> Result<(), Errno> {
    if !task.credentials().has(Capabilities::SYS_TTY_CONFIG) {
        return Err(Errno::EPERM);
    }
    task.kernel().terminals().hang_up(task.session_member());
    Ok(())
}

/// The sandbox ends with its first process alone.
fn reboot(task: &mut CurrentTask) -> Result<(), Errno> {
    let namespace = task.thread_group().pid_namespace();
    let may = task.credentials().has_over_namespace(&**namespace, Capabilities::SYS_BOOT);
    if may { Err(Errno::EINVAL) } else { Err(Errno::EPERM) }
}

fn uname(task: &mut CurrentTask, place: UserPointer<UtsName>) -> Result<(), Errno> {
    let namespace = task.task().uts_namespace();
    let field = |text: &[u8]| {
        let mut field = [0; NAME_MAX_BYTES + 1];
        let len = text.len().min(NAME_MAX_BYTES);
        field[..len].copy_from_slice(&text[..len]);
        field
    };
    let name = UtsName {
        sysname: field(b"Linux"),
        nodename: field(&namespace.host_name()),
        release: field(RELEASE.as_bytes()),
        version: field(VERSION.as_bytes()),
        machine: field(b"x86_64"),
        domainname: field(&namespace.domain_name()),
    };
    place.write(task, &name)
}

fn sethostname(task: &mut CurrentTask, name: UserSlice) -> Result<(), Errno> {
    task.task().uts_namespace().set_host_name(read_name(task, name)?)
}

fn setdomainname(task: &mut CurrentTask, name: UserSlice) -> Result<(), Errno> {
    task.task().uts_namespace().set_domain_name(read_name(task, name)?)
}

fn read_name(task: &CurrentTask, name: UserSlice) -> Result<Vec<u8>, Errno> {
    let namespace = task.task().uts_namespace();
    if !task.credentials().has_over_namespace(&*namespace, Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(name.len_bytes).unwrap_or(usize::MAX);
    if len > NAME_MAX_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; len];
    task.memory().read_bytes(name.address, &mut bytes)?;
    Ok(bytes)
}

fn sysinfo(task: &mut CurrentTask, place: UserPointer<SysInfo>) -> Result<(), Errno> {
    let kernel = task.kernel();
    let memory = kernel.frames().statistics();
    let tasks = u16::try_from(kernel.tasks().task_count()).unwrap_or(u16::MAX);
    // In units of 1/65536 here.
    let loads = kernel.tasks().load_averages().map(|average| average << 5);
    let boottime = task.task().time_namespace().offsets().boottime;
    let info = SysInfo {
        loads,
        uptime: boottime.shown(kernel.uptime()).as_secs(),
        totalram: memory.total_bytes,
        freeram: memory.free_bytes,
        procs: tasks,
        mem_unit: 1,
        ..SysInfo::default()
    };
    place.write(task, &info)
}

/// The most that one call of getrandom(2) gives.
const MAX_RANDOM_BYTES: usize = i32::MAX as usize;

fn getrandom(task: &mut CurrentTask, buffer: UserSlice, flags: u32) -> Result<usize, Errno> {
    let known = uapi::GRND_NONBLOCK | uapi::GRND_RANDOM | uapi::GRND_INSECURE;
    if flags & !known != 0 || flags & uapi::GRND_RANDOM != 0 && flags & uapi::GRND_INSECURE != 0 {
        return Err(Errno::EINVAL);
    }
    let len = usize::try_from(buffer.len_bytes).unwrap_or(usize::MAX).min(MAX_RANDOM_BYTES);
    let mut random = [0; 4096];
    let mut done = 0;
    while done < len {
        let chunk = &mut random[..(len - done).min(4096)];
        crate::host::fill_random(chunk);
        let place = UserPointer::<u8>::new(buffer.address.0).element(done).address();
        match task.memory().write_partial(place, chunk) {
            0 if done == 0 => return Err(Errno::EFAULT),
            0 => break,
            written => done += written,
        }
        if done > 256 && (task.task().is_interrupted() || task.keep_going().is_err()) {
            break;
        }
    }
    Ok(done)
}

/// The CPU that the task runs on: the one that its rseq(2) area shows, if it has one.
fn getcpu(task: &mut CurrentTask, cpu: UserPointer<u32>, node: UserPointer<u32>) -> Result<(), Errno> {
    let number = task.cpu_number();
    cpu.write_unless_null(task, &number)?;
    node.write_unless_null(task, &0)
}

/// Only PER_LINUX, with or without ADDR_NO_RANDOMIZE: addresses are never randomised.
fn personality(task: &mut CurrentTask, persona: u32) -> Result<u32, Errno> {
    const QUERY: u32 = u32::MAX;
    let group = task.thread_group();
    let old = group.personality.load(Ordering::Relaxed);
    if persona != QUERY {
        group.personality.store(persona, Ordering::Relaxed);
    }
    Ok(old)
}

fn arch_prctl(task: &mut CurrentTask, code: u32, address: UserPointer<u64>) -> Result<(), Errno> {
    const ARCH_SET_GS: u32 = 0x1001;
    use linux_raw_sys::general::ARCH_SET_FS;
    const ARCH_GET_FS: u32 = 0x1003;
    const ARCH_GET_GS: u32 = 0x1004;
    let bases = task.context().segment_bases();
    match code {
        ARCH_SET_FS | ARCH_SET_GS if address.address() >= VirtualAddress::USER_END => {
            return Err(Errno::EPERM);
        }
        ARCH_SET_FS => task.context().set_segment_bases(SegmentBases { fs: address.address().0, ..bases }),
        ARCH_SET_GS => task.context().set_segment_bases(SegmentBases { gs: address.address().0, ..bases }),
        ARCH_GET_FS => address.write(task, &bases.fs)?,
        ARCH_GET_GS => address.write(task, &bases.gs)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn prctl(
    task: &mut CurrentTask,
    option: u32,
    argument: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> Result<usize, Errno> {
    let group = task.thread_group().clone();
    let me = task.task().clone();
    let rest_is_zero = third == 0 && fourth == 0 && fifth == 0;
    match option {
        pr::PR_SET_NAME | pr::PR_GET_NAME | pr::PR_SET_PDEATHSIG | pr::PR_GET_PDEATHSIG => {
            prctl_of_thread(task, option, argument)?;
        }
        pr::PR_SET_DUMPABLE if argument <= 1 => group.set_dumpable(u8::from(argument == 1)),
        pr::PR_GET_DUMPABLE => return Ok(group.dumpable().into()),
        pr::PR_SET_CHILD_SUBREAPER => task.kernel().tasks().set_child_subreaper(&group, argument != 0),
        pr::PR_GET_CHILD_SUBREAPER => {
            let is_subreaper = i32::from(task.kernel().tasks().is_child_subreaper(&group));
            task.memory().write_object(VirtualAddress(argument), &is_subreaper)?;
        }
        pr::PR_GET_TID_ADDRESS => {
            let address = me.clear_child_tid.load(std::sync::atomic::Ordering::Relaxed);
            task.memory().write_object(VirtualAddress(argument), &address)?;
        }
        pr::PR_TASK_PERF_EVENTS_ENABLE => me.switch_opened_events(true),
        pr::PR_TASK_PERF_EVENTS_DISABLE => me.switch_opened_events(false),
        pr::PR_SET_TIMERSLACK => {
            me.set_timer_slack_ns(argument);
        }
        pr::PR_GET_TIMERSLACK => return Ok(me.timer_slack_ns().encode()),
        pr::PR_GET_TSC => task.memory().write_object(VirtualAddress(argument), &pr::PR_TSC_ENABLE)?,
        pr::PR_SET_TSC if argument == u64::from(pr::PR_TSC_ENABLE) => {}
        pr::PR_SET_PTRACER => {}
        pr::PR_GET_SECCOMP => return Ok(me.seccomp_mode() as usize),
        pr::PR_SET_SECCOMP => return super::seccomp::set_mode(task, argument, third),
        pr::PR_SET_SYSCALL_USER_DISPATCH => {
            task.user_dispatch = user_dispatch_of(argument, (third, fourth), fifth)?;
        }
        pr::PR_GET_SPECULATION_CTRL | pr::PR_SET_SPECULATION_CTRL => {
            return speculation_control(option, argument, (third, fourth, fifth));
        }
        pr::PR_SET_MM => super::set_mm::set_mm(task, argument, third, (fourth, fifth))?,
        pr::PR_GET_AUXV if fourth != 0 || fifth != 0 => return Err(Errno::EINVAL),
        pr::PR_GET_AUXV => return super::set_mm::get_auxiliary_vector(task, VirtualAddress(argument), third),
        pr::PR_MCE_KILL_GET if [argument, third, fourth, fifth] != [0; 4] => return Err(Errno::EINVAL),
        pr::PR_MCE_KILL_GET => return Ok(me.flags().mce_policy().encode()),
        pr::PR_MCE_KILL => set_mce_policy(&me, [argument, third, fourth, fifth])?,
        pr::PR_SET_IO_FLUSHER | pr::PR_GET_IO_FLUSHER => {
            return io_flusher(&me, option, argument, rest_is_zero);
        }
        pr::PR_CAP_AMBIENT if fourth != 0 || fifth != 0 => return Err(Errno::EINVAL),
        pr::PR_SET_TIMING if argument != 0 => return Err(Errno::EINVAL),
        pr::PR_GET_TIMING | pr::PR_SET_TIMING => return Ok(0),
        pr::PR_SET_VMA
        | pr::PR_SET_THP_DISABLE
        | pr::PR_GET_THP_DISABLE
        | pr::PR_SET_MDWE
        | pr::PR_GET_MDWE
        | pr::PR_SET_MEMORY_MERGE
        | pr::PR_GET_MEMORY_MERGE => {
            return prctl_of_memory(task, option, [argument, third, fourth, fifth]);
        }
        _ => return prctl_of_credentials(task, option, argument, third, rest_is_zero),
    }
    Ok(0)
}

/// The options about a thread's name, and what it hears of its parent's death.
fn prctl_of_thread(task: &CurrentTask, option: u32, argument: u64) -> Result<(), Errno> {
    let (me, place) = (task.task(), VirtualAddress(argument));
    match option {
        pr::PR_SET_NAME => me.set_name(&read_name_prefix(task, argument)?),
        pr::PR_GET_NAME => {
            let mut name = [0; NAME_LEN];
            let bytes = me.name();
            name[..bytes.len()].copy_from_slice(&bytes);
            task.memory().write_object(place, &name)?;
        }
        pr::PR_SET_PDEATHSIG => {
            let signal = if argument == 0 { 0 } else { Signal::new(int(argument))?.number() };
            me.set_parent_death_signal(signal);
        }
        _ => task.memory().write_object(place, &i32::from(me.parent_death_signal()))?,
    }
    Ok(())
}

/// PR_MCE_KILL with its operation and policy.
fn set_mce_policy(me: &Task, [operation, policy, rest @ ..]: [u64; 4]) -> Result<(), Errno> {
    if rest != [0; 2] {
        return Err(Errno::EINVAL);
    }
    match (u32::try_from(operation), u32::try_from(policy)) {
        (Ok(pr::PR_MCE_KILL_CLEAR), Ok(0)) => me.flags().clear_mce_policy(),
        (Ok(pr::PR_MCE_KILL_SET), policy) => me.flags().set_mce_policy(policy.unwrap_or(u32::MAX))?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// PR_SET_IO_FLUSHER and PR_GET_IO_FLUSHER.
fn io_flusher(me: &Task, option: u32, argument: u64, rest_is_zero: bool) -> Result<usize, Errno> {
    if !me.credentials().has(Capabilities::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    match argument {
        _ if !rest_is_zero => return Err(Errno::EINVAL),
        0 if option == pr::PR_GET_IO_FLUSHER => return Ok(me.flags().is_io_flusher().into()),
        0 | 1 if option == pr::PR_SET_IO_FLUSHER => me.flags().set_io_flusher(argument == 1),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// PR_SET_MDWE for one program alone.
const MDWE_OF_ITS_OWN: u32 = pr::PR_MDWE_REFUSE_EXEC_GAIN | pr::PR_MDWE_NO_INHERIT;

/// The operations of prctl(2) on the address space.
fn prctl_of_memory(task: &CurrentTask, option: u32, arguments: [u64; 4]) -> Result<usize, Errno> {
    let memory = task.memory();
    let [argument, rest @ ..] = arguments;
    match option {
        pr::PR_SET_VMA => {
            name_mapping(task, arguments)?;
            return Ok(0);
        }
        _ if rest != [0; 3] => return Err(Errno::EINVAL),
        pr::PR_SET_THP_DISABLE => memory.set_mm_flags(MmFlags::DISABLE_THP, argument != 0),
        pr::PR_SET_MEMORY_MERGE => memory.set_merges_any(argument != 0),
        pr::PR_SET_MDWE => {
            let flags = match u32::try_from(argument).unwrap_or(u32::MAX) {
                0 => MmFlags::empty(),
                pr::PR_MDWE_REFUSE_EXEC_GAIN => MmFlags::HAS_MDWE,
                MDWE_OF_ITS_OWN => MmFlags::MDWE,
                _ => return Err(Errno::EINVAL),
            };
            memory.deny_write_execute(flags)?;
        }
        _ if argument != 0 => return Err(Errno::EINVAL),
        pr::PR_GET_THP_DISABLE => return Ok(memory.mm_flags().contains(MmFlags::DISABLE_THP).into()),
        pr::PR_GET_MEMORY_MERGE => return Ok(memory.mm_flags().contains(MmFlags::VM_MERGE_ANY).into()),
        _ => {
            let flags = memory.mm_flags();
            let refuses = u32::from(flags.contains(MmFlags::HAS_MDWE)) * pr::PR_MDWE_REFUSE_EXEC_GAIN;
            let ends = u32::from(flags.contains(MmFlags::HAS_MDWE_NO_INHERIT)) * pr::PR_MDWE_NO_INHERIT;
            return Ok((refuses | ends).encode());
        }
    }
    Ok(0)
}

/// PR_SET_VMA_ANON_NAME with its address, length and name.
fn name_mapping(task: &CurrentTask, [operation, address, len_bytes, name]: [u64; 4]) -> Result<(), Errno> {
    if operation != u64::from(pr::PR_SET_VMA_ANON_NAME) {
        return Err(Errno::EINVAL);
    }
    let name = match name {
        0 => None,
        place => {
            let read = task.memory().read_c_string(VirtualAddress(place), MAX_MAPPING_NAME_BYTES);
            Some(read.map_err(|errno| if errno == Errno::ENAMETOOLONG { Errno::EINVAL } else { errno })?)
        }
    };
    task.memory().set_name(VirtualAddress(address), len_bytes, name.as_deref())
}

/// PR_SET_SYSCALL_USER_DISPATCH: which calls a thread gets back, unless they come from a range.
///
/// # Errors
/// EINVAL, EFAULT.
pub(super) fn user_dispatch_of(
    mode: u64,
    (start, len_bytes): (u64, u64),
    selector: u64,
) -> Result<Option<UserDispatch>, Errno> {
    const OFF: u64 = 0;
    const ON: u64 = 1;
    match mode {
        OFF if start == 0 && len_bytes == 0 && selector == 0 => Ok(None),
        ON if start != 0 && start.checked_add(len_bytes).is_none_or(|end| end <= start) => Err(Errno::EINVAL),
        ON => {
            super::user_buffers::check_range(selector, 1)?;
            Ok(Some(UserDispatch { start, len_bytes, selector: VirtualAddress(selector) }))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What processors guess is not for a sandbox to control: it is as on the host.
fn speculation_control(
    option: u32,
    which: u64,
    (third, fourth, fifth): (u64, u64, u64),
) -> Result<usize, Errno> {
    let is_set = option == pr::PR_SET_SPECULATION_CTRL;
    if fourth != 0 || fifth != 0 || !is_set && third != 0 {
        return Err(Errno::EINVAL);
    }
    if which > u64::from(pr::PR_SPEC_L1D_FLUSH) {
        return Err(Errno::ENODEV);
    }
    let settings =
        [pr::PR_SPEC_ENABLE, pr::PR_SPEC_DISABLE, pr::PR_SPEC_FORCE_DISABLE, pr::PR_SPEC_DISABLE_NOEXEC];
    if !is_set {
        let is_flush = which == u64::from(pr::PR_SPEC_L1D_FLUSH);
        return Ok(if is_flush { pr::PR_SPEC_FORCE_DISABLE } else { pr::PR_SPEC_ENABLE }.encode());
    }
    Err(if settings.iter().any(|setting| u64::from(*setting) == third) {
        Errno::ENXIO
    } else {
        Errno::ERANGE
    })
}

/// The operations of prctl(2) on what the task may do. `rest_is_zero`: the arguments after the first are 0.
fn prctl_of_credentials(
    task: &CurrentTask,
    option: u32,
    argument: u64,
    third: u64,
    rest_is_zero: bool,
) -> Result<usize, Errno> {
    let credentials = task.credentials();
    match option {
        pr::PR_SET_NO_NEW_PRIVS => {
            if argument != 1 || !rest_is_zero {
                return Err(Errno::EINVAL);
            }
            change_credentials(task, |credentials| credentials.no_new_privs = true);
        }
        pr::PR_GET_NO_NEW_PRIVS if argument == 0 && rest_is_zero => {
            return Ok(credentials.no_new_privs.encode());
        }
        pr::PR_SET_KEEPCAPS if argument <= 1 => {
            if credentials.securebits.contains(SecureBits::KEEP_CAPS_LOCKED) {
                return Err(Errno::EPERM);
            }
            change_credentials(task, |credentials| {
                credentials.securebits.set(SecureBits::KEEP_CAPS, argument == 1);
            });
        }
        pr::PR_GET_KEEPCAPS => return Ok(credentials.securebits.contains(SecureBits::KEEP_CAPS).encode()),
        pr::PR_SET_SECUREBITS => set_securebits(task, argument)?,
        pr::PR_GET_SECUREBITS => return Ok(credentials.securebits.bits().encode()),
        pr::PR_CAPBSET_READ => return Ok(credentials.bounding.contains(capability(argument)?).encode()),
        pr::PR_CAPBSET_DROP => {
            if !credentials.has_in_own(Capabilities::SETPCAP) {
                return Err(Errno::EPERM);
            }
            let capability = capability(argument)?;
            change_credentials(task, |credentials| credentials.bounding.remove(capability));
        }
        pr::PR_CAP_AMBIENT => return ambient(task, argument, third),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// The name at `address`: up to its NUL, or 15 bytes.
fn read_name_prefix(task: &CurrentTask, address: u64) -> Result<Vec<u8>, Errno> {
    let mut name = vec![0; NAME_LEN - 1];
    let read = task.memory().read_partial(VirtualAddress(address), &mut name);
    let end = name[..read].iter().position(|byte| *byte == 0);
    match end {
        None if read < name.len() => Err(Errno::EFAULT),
        end => {
            name.truncate(end.unwrap_or(read));
            Ok(name)
        }
    }
}

fn change_credentials(task: &CurrentTask, change: impl FnOnce(&mut Credentials)) {
    let mut credentials = (*task.credentials()).clone();
    change(&mut credentials);
    task.task().set_credentials(credentials);
}

fn set_securebits(task: &CurrentTask, bits: u64) -> Result<(), Errno> {
    let own = task.credentials();
    let new = u32::try_from(bits).ok().and_then(SecureBits::from_bits);
    let may_become =
        |new: &SecureBits| own.securebits.may_become(*new) && own.has_in_own(Capabilities::SETPCAP);
    let new = new.filter(may_become).ok_or(Errno::EPERM)?;
    change_credentials(task, |credentials| credentials.securebits = new);
    Ok(())
}

/// The capability numbered so.
fn capability(number: u64) -> Result<Capabilities, Errno> {
    let bit = u32::try_from(number).ok().and_then(|number| 1u64.checked_shl(number)).ok_or(Errno::EINVAL)?;
    Capabilities::from_bits(bit).filter(|set| Capabilities::ALL.contains(*set)).ok_or(Errno::EINVAL)
}

fn ambient(task: &CurrentTask, operation: u64, number: u64) -> Result<usize, Errno> {
    let credentials = task.credentials();
    match unsigned(operation) {
        pr::PR_CAP_AMBIENT_CLEAR_ALL if number != 0 => return Err(Errno::EINVAL),
        pr::PR_CAP_AMBIENT_CLEAR_ALL => {
            change_credentials(task, |credentials| credentials.ambient = Capabilities::empty());
        }
        pr::PR_CAP_AMBIENT_IS_SET => {
            return Ok(usize::from(credentials.ambient.contains(capability(number)?)));
        }
        pr::PR_CAP_AMBIENT_RAISE => {
            let capability = capability(number)?;
            let is_allowed = (credentials.permitted & credentials.inheritable).contains(capability)
                && !credentials.securebits.contains(SecureBits::NO_CAP_AMBIENT_RAISE);
            if !is_allowed {
                return Err(Errno::EPERM);
            }
            change_credentials(task, |credentials| credentials.ambient.insert(capability));
        }
        pr::PR_CAP_AMBIENT_LOWER => {
            let capability = capability(number)?;
            change_credentials(task, |credentials| credentials.ambient.remove(capability));
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// A barrier on every CPU that runs the sandbox: the host interrupts them, in guest mode too (`man 2 membarrier`). That
/// they fetch instructions anew (`*_SYNC_CORE`) is not promised.
fn membarrier(task: &mut CurrentTask, command: u32, flags: u32, cpu: u32) -> Result<u32, Errno> {
    const QUERY: u32 = 0;
    const GLOBAL: u32 = 1;
    const GLOBAL_EXPEDITED: u32 = 1 << 1;
    const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
    const PRIVATE_EXPEDITED_RSEQ: u32 = 1 << 7;
    const REGISTER_PRIVATE_EXPEDITED_RSEQ: u32 = 1 << 8;
    const GET_REGISTRATIONS: u32 = 1 << 9;
    const REGISTER: u32 =
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED_RSEQ;
    const ALL: u32 =
        GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED | PRIVATE_EXPEDITED_RSEQ | GET_REGISTRATIONS | REGISTER;
    /// MEMBARRIER_CMD_FLAG_CPU.
    const ONE_CPU: u32 = 1;
    if flags & !ONE_CPU != 0 || flags == ONE_CPU && command != PRIVATE_EXPEDITED_RSEQ {
        return Err(Errno::EINVAL);
    }
    let registered = task.memory().barriers();
    match command {
        QUERY => return Ok(ALL),
        GET_REGISTRATIONS => return Ok(registered),
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED_RSEQ => {
            task.memory().add_barriers(command);
        }
        PRIVATE_EXPEDITED if registered & REGISTER_PRIVATE_EXPEDITED == 0 => return Err(Errno::EPERM),
        PRIVATE_EXPEDITED_RSEQ if registered & REGISTER_PRIVATE_EXPEDITED_RSEQ == 0 => {
            return Err(Errno::EPERM);
        }
        PRIVATE_EXPEDITED_RSEQ => {
            task.abort_critical_sections((flags == ONE_CPU).then_some(cpu));
        }
        GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED => crate::host::membarrier()?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
