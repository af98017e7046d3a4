//! ptrace(2).

use linux_raw_sys::ptrace::{PTRACE_SINGLEBLOCK, PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP};
use std::mem::offset_of;

use linux_raw_sys::elf_uapi;
use linux_raw_sys::ptrace as uapi;
use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::system::user_dispatch_of;
use crate::Errno;
use crate::abi::{PeeksiginfoArgs, PtraceSyscallInfo, RseqConfiguration, Siginfo};
use crate::cred::Capabilities;
use crate::seccomp::{Filter, FilterFlags};
use crate::signal::{Signal, SignalInfo, SignalSet};
use crate::slices::first;
use crate::task::{
    CurrentTask, GENERAL_REGISTER_COUNT, Mode, PendingQueue, SeccompMode, SyscallInfo, SyscallPhase, Task,
    Tid, TraceOptions, Tracee,
};
use crate::width::{u64_from, usize_from};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![ptrace];

/// PTRACE_GET_SYSCALL_INFO, which the headers have as a structure's name only.
const GET_SYSCALL_INFO: u32 = 0x420e;
/// PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG and its counterpart, which the headers do not have.
const SET_USER_DISPATCH: u32 = 0x4210;
const GET_USER_DISPATCH: u32 = 0x4211;
/// PTRACE_ARCH_PRCTL.
const ARCH_PRCTL: u32 = 30;

fn ptrace(
    task: &mut CurrentTask,
    request: u64,
    tid: Tid,
    address: u64,
    data: UserPointer<u64>,
) -> Result<usize, Errno> {
    let request = u32::try_from(request).map_err(|_| Errno::EIO)?;
    match request {
        uapi::PTRACE_TRACEME => task.kernel().tasks().trace_me(task.task())?,
        uapi::PTRACE_ATTACH => task.kernel().tasks().attach(task.task(), &find(task, tid)?)?,
        uapi::PTRACE_SEIZE => {
            let target = find(task, tid)?;
            let options = options_of(data).filter(|_| address == 0).ok_or(Errno::EIO)?;
            task.kernel().tasks().seize(task.task(), &target, options)?;
        }
        _ => {
            let tracee = task.kernel().tasks().tracee(task.task(), tid)?;
            if !resume(&tracee, request, data)? {
                return look(&Look { task, tracee: &tracee, address, data }, request);
            }
        }
    }
    Ok(0)
}

fn find(task: &CurrentTask, tid: Tid) -> Result<std::sync::Arc<Task>, Errno> {
    task.kernel().tasks().task(task.thread_group().pid_namespace(), tid).ok_or(Errno::ESRCH)
}

/// The requests by which a tracee stops or goes on. False if `request` is none of them.
fn resume(tracee: &Tracee, request: u32, data: UserPointer<u64>) -> Result<bool, Errno> {
    let mode = match request {
        uapi::PTRACE_KILL => {
            tracee.kill();
            return Ok(true);
        }
        uapi::PTRACE_INTERRUPT => return tracee.interrupt().map(|()| true),
        uapi::PTRACE_LISTEN => return tracee.listen().map(|()| true),
        uapi::PTRACE_DETACH => return tracee.detach(signal_of(data)?).map(|()| true),
        uapi::PTRACE_CONT => Mode::Continue,
        uapi::PTRACE_SYSCALL => Mode::Syscalls,
        uapi::PTRACE_SINGLESTEP => Mode::Step,
        PTRACE_SINGLEBLOCK => Mode::StepByBranches,
        PTRACE_SYSEMU => Mode::Emulate,
        PTRACE_SYSEMU_SINGLESTEP => Mode::EmulateStep,
        _ => return Ok(false),
    };
    tracee.resume(mode, signal_of(data)?)?;
    Ok(true)
}

/// A request to read or change what a stopped tracee is, with the two arguments that mean something else in each.
struct Look<'a> {
    task: &'a CurrentTask,
    tracee: &'a Tracee,
    address: u64,
    data: UserPointer<u64>,
}

fn look(look: &Look<'_>, request: u32) -> Result<usize, Errno> {
    let Look { task, tracee, address, data } = *look;
    match request {
        uapi::PTRACE_SETOPTIONS | uapi::PTRACE_OLDSETOPTIONS => {
            tracee.check_stopped()?;
            tracee.set_options(options_of(data).ok_or(Errno::EINVAL)?)?;
        }
        uapi::PTRACE_GETEVENTMSG => data.write(task, &tracee.event_message()?)?,
        uapi::PTRACE_PEEKTEXT | uapi::PTRACE_PEEKDATA => data.write(task, &tracee.read_word(address)?)?,
        uapi::PTRACE_POKETEXT | uapi::PTRACE_POKEDATA => tracee.write_word(address, data.address().0)?,
        uapi::PTRACE_PEEKUSR => data.write(task, &peek_user(tracee, address)?)?,
        uapi::PTRACE_POKEUSR => poke_user(tracee, address, data.address().0)?,
        uapi::PTRACE_GETREGS => data.cast().write(task, &tracee.registers()?)?,
        uapi::PTRACE_SETREGS => {
            tracee.check_stopped()?;
            let words: [u64; GENERAL_REGISTER_COUNT] = data.cast().read(task)?;
            tracee.with_image(|image| image.set_words(&words))?;
        }
        uapi::PTRACE_GETFPREGS => {
            write(task, data, &tracee.with_image(|image| Ok(image.floating_point()))?)?;
        }
        uapi::PTRACE_SETFPREGS => {
            tracee.check_stopped()?;
            let bytes: [u8; FLOATING_POINT_BYTES] = data.cast().read(task)?;
            tracee.with_image(|image| image.set_floating_point(&bytes))?;
        }
        uapi::PTRACE_GETREGSET => read_set(task, tracee, address, data.cast())?,
        uapi::PTRACE_SETREGSET => write_set(task, tracee, address, data.cast())?,
        GET_SYSCALL_INFO => return get_syscall_info(task, tracee, address, data),
        uapi::PTRACE_GET_RSEQ_CONFIGURATION => return get_rseq_configuration(task, tracee, address, data),
        uapi::PTRACE_SECCOMP_GET_FILTER => return get_filter(look),
        uapi::PTRACE_SECCOMP_GET_METADATA => return get_filter_metadata(look),
        SET_USER_DISPATCH => set_user_dispatch(look)?,
        GET_USER_DISPATCH => get_user_dispatch(look)?,
        ARCH_PRCTL => arch_prctl(task, tracee, UserPointer::new(address), data.address().0)?,
        _ => return look_at_signals(look, request),
    }
    Ok(0)
}

fn look_at_signals(look: &Look<'_>, request: u32) -> Result<usize, Errno> {
    let Look { task, tracee, address, data } = *look;
    match request {
        uapi::PTRACE_GETSIGINFO => data.cast().write(task, &tracee.signal_info()?.to_user())?,
        uapi::PTRACE_SETSIGINFO => set_signal_info(task, tracee, data.cast())?,
        uapi::PTRACE_GETSIGMASK | uapi::PTRACE_SETSIGMASK => {
            tracee.check_stopped()?;
            if address != SignalSet::SIZE_BYTES {
                return Err(Errno::EINVAL);
            }
            if request == uapi::PTRACE_GETSIGMASK {
                data.write(task, &tracee.signal_mask()?.bits())?;
            } else {
                tracee.set_signal_mask(SignalSet::from_bits(data.read(task)?).as_blocked_mask())?;
            }
        }
        uapi::PTRACE_PEEKSIGINFO => {
            return peek_signal_info(task, tracee, UserPointer::new(address), data.cast());
        }
        _ => {
            tracee.check_stopped()?;
            return Err(Errno::EIO);
        }
    }
    Ok(0)
}

/// The options that are asked for; `None` if some are not known.
fn options_of(data: UserPointer<u64>) -> Option<TraceOptions> {
    u32::try_from(data.address().0).ok().and_then(TraceOptions::from_bits)
}

/// Works with the `index`th of a tracee's filters, for who is privileged and has none.
fn with_filter<T>(
    look: &Look<'_>,
    index: u64,
    operation: impl FnOnce(&Filter) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let filter = look.tracee.seccomp_filter().ok_or(Errno::EINVAL)?;
    operation(filter.installed(index).ok_or(Errno::ENOENT)?)
}

fn check_may_read_filters(look: &Look<'_>) -> Result<(), Errno> {
    look.tracee.check_stopped()?;
    let is_free = look.task.task().seccomp_mode() == SeccompMode::Disabled;
    let is_privileged = look.task.credentials().has(Capabilities::SYS_ADMIN);
    if is_free && is_privileged { Ok(()) } else { Err(Errno::EACCES) }
}

/// PTRACE_SECCOMP_GET_FILTER: a filter's instructions, and how many there are.
fn get_filter(look: &Look<'_>) -> Result<usize, Errno> {
    check_may_read_filters(look)?;
    with_filter(look, look.address, |filter| {
        if !look.data.is_null() {
            write(look.task, look.data, filter.source().as_bytes())?;
        }
        Ok(filter.source().len())
    })
}

/// PTRACE_SECCOMP_GET_METADATA: the flags of a filter (`struct seccomp_metadata`: its number, then the flags).
fn get_filter_metadata(look: &Look<'_>) -> Result<usize, Errno> {
    check_may_read_filters(look)?;
    let len =
        usize::try_from(look.address).map_or(size_of::<[u64; 2]>(), |len| len.min(size_of::<[u64; 2]>()));
    if len < size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let index: u64 = look.data.read(look.task)?;
    let flags = with_filter(look, index, |filter| {
        Ok(if filter.is_logged() { FilterFlags::LOG } else { FilterFlags::empty() })
    })?;
    write(look.task, look.data, first([index, flags.bits()].as_bytes(), len)?)?;
    Ok(len)
}

/// The words of `struct ptrace_sud_config`: mode, selector, start, length.
type UserDispatchWords = [u64; 4];

fn check_user_dispatch_len(look: &Look<'_>) -> Result<(), Errno> {
    look.tracee.check_stopped()?;
    if look.address == size_of::<UserDispatchWords>() as u64 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn get_user_dispatch(look: &Look<'_>) -> Result<(), Errno> {
    check_user_dispatch_len(look)?;
    let dispatch = look.tracee.with_image(|image| Ok(image.user_dispatch))?;
    let words: UserDispatchWords =
        dispatch.map_or([0; 4], |dispatch| [1, dispatch.selector.0, dispatch.start, dispatch.len_bytes]);
    look.data.cast().write(look.task, &words)
}

fn set_user_dispatch(look: &Look<'_>) -> Result<(), Errno> {
    check_user_dispatch_len(look)?;
    let [mode, selector, start, len_bytes]: UserDispatchWords = look.data.cast().read(look.task)?;
    let dispatch = user_dispatch_of(mode, (start, len_bytes), selector)?;
    look.tracee.with_image(|image| {
        image.user_dispatch = dispatch;
        Ok(())
    })
}

/// Writes as much of `struct ptrace_rseq_configuration` as there is room for, and returns how long it is.
fn get_rseq_configuration(
    task: &CurrentTask,
    tracee: &Tracee,
    room_bytes: u64,
    place: UserPointer<u64>,
) -> Result<usize, Errno> {
    let area = tracee.rseq_area()?;
    let configuration = area.map_or_else(RseqConfiguration::default, |area| RseqConfiguration {
        rseq_abi_pointer: area.address.0,
        rseq_abi_size: area.len_bytes,
        signature: area.signature,
        ..RseqConfiguration::default()
    });
    write_cut(task, place, configuration.as_bytes(), room_bytes)
}

/// Writes as much of `bytes` as there is room for, and returns how many there are.
fn write_cut(
    task: &CurrentTask,
    place: UserPointer<u64>,
    bytes: &[u8],
    room_bytes: u64,
) -> Result<usize, Errno> {
    let len = usize::try_from(room_bytes).map_or(bytes.len(), |room| room.min(bytes.len()));
    write(task, place, first(bytes, len)?)?;
    Ok(bytes.len())
}

/// The signal that a resumed tracee is given; 0 is none.
fn signal_of(data: UserPointer<u64>) -> Result<Option<Signal>, Errno> {
    i32::try_from(data.address().0)
        .map_err(|_| Errno::EIO)
        .and_then(Signal::new_or_probe)
        .map_err(|_| Errno::EIO)
}

fn write<T>(task: &CurrentTask, place: UserPointer<T>, bytes: &[u8]) -> Result<(), Errno> {
    task.memory().write_bytes(place.address(), bytes)
}

/// Size of the kernel's `struct user`: that of `<sys/user.h>` and two more words.
const USER_BYTES: u64 = 928;
/// Where the debug registers are in it.
const DEBUG_REGISTERS: std::ops::Range<u64> = 848..912;
const GENERAL_REGISTER_BYTES: u64 = size_of::<[u64; GENERAL_REGISTER_COUNT]>() as u64;

/// The word at `offset` of `struct user`.
fn peek_user(tracee: &Tracee, offset: u64) -> Result<u64, Errno> {
    tracee.check_stopped()?;
    if !offset.is_multiple_of(8) || offset >= USER_BYTES {
        return Err(Errno::EIO);
    }
    tracee.with_image(|image| {
        Ok(match offset {
            0..GENERAL_REGISTER_BYTES => image.words().get(word_at(offset)).copied().unwrap_or(0),
            _ if DEBUG_REGISTERS.contains(&offset) => image.debug.get(debug_register(offset)),
            // As on Linux, the rest reads as zero.
            _ => 0,
        })
    })
}

fn poke_user(tracee: &Tracee, offset: u64, value: u64) -> Result<(), Errno> {
    tracee.check_stopped()?;
    if !offset.is_multiple_of(8) {
        return Err(Errno::EIO);
    }
    tracee.with_image(|image| match offset {
        0..GENERAL_REGISTER_BYTES => image.set_word(word_at(offset), value),
        _ if DEBUG_REGISTERS.contains(&offset) => image.debug.set(debug_register(offset), value),
        _ => Err(Errno::EIO),
    })
}

/// The debug register at `offset` of `struct user`.
fn debug_register(offset: u64) -> usize {
    word_at(offset - DEBUG_REGISTERS.start)
}

/// Which of the words of a part of `struct user` is at `offset`, in bytes.
fn word_at(offset: u64) -> usize {
    usize_from(offset) / size_of::<u64>()
}

/// Size of `struct user_fpregs_struct`.
const FLOATING_POINT_BYTES: usize = 512;

/// A register set that PTRACE_GETREGSET names.
#[derive(Clone, Copy)]
enum RegisterSet {
    General,
    FloatingPoint,
    Extended,
}

impl RegisterSet {
    fn new(kind: u64) -> Result<Self, Errno> {
        match u32::try_from(kind) {
            Ok(elf_uapi::NT_PRSTATUS) => Ok(Self::General),
            Ok(elf_uapi::NT_PRFPREG) => Ok(Self::FloatingPoint),
            Ok(elf_uapi::NT_X86_XSTATE) => Ok(Self::Extended),
            _ => Err(Errno::EINVAL),
        }
    }

    fn bytes(self, tracee: &Tracee) -> Result<Vec<u8>, Errno> {
        tracee.with_image(|image| {
            Ok(match self {
                Self::General => image.words().as_bytes().to_vec(),
                Self::FloatingPoint => image.floating_point(),
                Self::Extended => image.xstate(),
            })
        })
    }
}

/// Decodes the iovec of a register set and cuts it to `max_bytes`.
///
/// # Errors
/// EFAULT; EINVAL for a length that is not made of words.
fn read_vector(
    task: &CurrentTask,
    vector: UserPointer<[u64; 2]>,
    max_bytes: usize,
) -> Result<(UserPointer<u8>, usize), Errno> {
    let [base, len] = vector.read(task)?;
    let len = usize::try_from(len).map_or(max_bytes, |len| len.min(max_bytes));
    if len.is_multiple_of(8) { Ok((UserPointer::new(base), len)) } else { Err(Errno::EINVAL) }
}

fn write_vector_len(task: &CurrentTask, vector: UserPointer<[u64; 2]>, len: usize) -> Result<(), Errno> {
    vector.cast::<u64>().element(1).write(task, &(u64_from(len)))
}

/// PTRACE_GETREGSET.
fn read_set(
    task: &CurrentTask,
    tracee: &Tracee,
    kind: u64,
    vector: UserPointer<[u64; 2]>,
) -> Result<(), Errno> {
    tracee.check_stopped()?;
    let bytes = RegisterSet::new(kind)?.bytes(tracee)?;
    let (base, len) = read_vector(task, vector, bytes.len())?;
    write(task, base, first(&bytes, len)?)?;
    write_vector_len(task, vector, len)
}

/// PTRACE_SETREGSET.
fn write_set(
    task: &CurrentTask,
    tracee: &Tracee,
    kind: u64,
    vector: UserPointer<[u64; 2]>,
) -> Result<(), Errno> {
    tracee.check_stopped()?;
    let set = RegisterSet::new(kind)?;
    let mut bytes = set.bytes(tracee)?;
    let (base, len) = read_vector(task, vector, bytes.len())?;
    bytes.truncate(len);
    task.memory().read_bytes(base.address(), &mut bytes)?;
    tracee.with_image(|image| match set {
        RegisterSet::General => {
            let words: Vec<u64> = bytes
                .chunks_exact(8)
                .filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes))
                .collect();
            image.set_words(&words)
        }
        RegisterSet::FloatingPoint if len == FLOATING_POINT_BYTES => image.set_floating_point(&bytes),
        RegisterSet::FloatingPoint => Err(Errno::EINVAL),
        RegisterSet::Extended => image.set_xstate(&bytes),
    })?;
    write_vector_len(task, vector, len)
}

fn set_signal_info(task: &CurrentTask, tracee: &Tracee, place: UserPointer<Siginfo>) -> Result<(), Errno> {
    tracee.check_stopped()?;
    let info = place.read(task)?;
    // One that names no signal fits none that the tracee is resumed with.
    let signal = Signal::new(info.si_signo).unwrap_or(Signal::SIGTRAP);
    tracee.set_signal_info(SignalInfo::from_user(signal, &info))
}

/// PTRACE_PEEKSIGINFO: returns how many entries it copied to `places`.
fn peek_signal_info(
    task: &CurrentTask,
    tracee: &Tracee,
    arguments: UserPointer<PeeksiginfoArgs>,
    places: UserPointer<Siginfo>,
) -> Result<usize, Errno> {
    /// PTRACE_PEEKSIGINFO_SHARED.
    const SHARED: u32 = 1;
    tracee.check_stopped()?;
    let PeeksiginfoArgs { off: first, flags, nr: count } = arguments.read(task)?;
    if flags & !SHARED != 0 {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let queue = if flags & SHARED != 0 { PendingQueue::Shared } else { PendingQueue::Own };
    let Ok(first) = usize::try_from(first) else { return Ok(0) };
    let entries = tracee.pending_signals(queue, first, count)?;
    for (done, info) in entries.iter().enumerate() {
        if let Err(error) = places.element(done).write(task, &info.to_user()) {
            return if done > 0 { Ok(done) } else { Err(error) };
        }
    }
    Ok(entries.len())
}

/// PTRACE_GET_SYSCALL_INFO: copies as much as there is room for, and returns how much there is.
fn get_syscall_info(
    task: &CurrentTask,
    tracee: &Tracee,
    room_bytes: u64,
    place: UserPointer<u64>,
) -> Result<usize, Errno> {
    let (info, len) = encode_syscall_info(&tracee.syscall_info()?);
    write_cut(task, place, first(info.as_bytes(), len)?, room_bytes)
}

/// `struct ptrace_syscall_info`, and how much of it means something: where its phase ends.
fn encode_syscall_info(info: &SyscallInfo) -> (PtraceSyscallInfo, usize) {
    use linux_raw_sys::ptrace::AUDIT_ARCH_X86_64;
    let mut encoded = PtraceSyscallInfo {
        arch: AUDIT_ARCH_X86_64,
        instruction_pointer: info.instruction_pointer,
        stack_pointer: info.stack_pointer,
        ..PtraceSyscallInfo::default()
    };
    let len = match info.phase {
        SyscallPhase::None => offset_of!(PtraceSyscallInfo, words),
        SyscallPhase::Entry { number, arguments } => {
            encoded.op = 1;
            encoded.words[0] = number;
            encoded.words[1..].copy_from_slice(&arguments);
            size_of::<PtraceSyscallInfo>()
        }
        SyscallPhase::Exit { result } => {
            encoded.op = 2;
            let is_error = (-4095..0).contains(&result);
            (encoded.words[0], encoded.words[1]) = (result.cast_unsigned(), is_error.into());
            offset_of!(PtraceSyscallInfo, words) + size_of::<i64>() + size_of::<u8>()
        }
    };
    (encoded, len)
}

/// PTRACE_ARCH_PRCTL: arch_prctl(2) on the tracee.
fn arch_prctl(
    task: &CurrentTask,
    tracee: &Tracee,
    address: UserPointer<u64>,
    code: u64,
) -> Result<(), Errno> {
    const ARCH_SET_GS: u32 = 0x1001;
    use linux_raw_sys::general::ARCH_SET_FS;
    const ARCH_GET_FS: u32 = 0x1003;
    const ARCH_GET_GS: u32 = 0x1004;
    const FS_BASE: usize = 21;
    const GS_BASE: usize = 22;
    let registers = tracee.registers()?;
    let base = address.address().0;
    let set = |place| tracee.with_image(|image| image.set_word(place, base)).map_err(|_| Errno::EPERM);
    match u32::try_from(code) {
        Ok(ARCH_GET_FS) => address.write(task, &registers[FS_BASE]),
        Ok(ARCH_GET_GS) => address.write(task, &registers[GS_BASE]),
        Ok(ARCH_SET_FS) => set(FS_BASE),
        Ok(ARCH_SET_GS) => set(GS_BASE),
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests;
