//! ptrace(2).

use linux_raw_sys::elf_uapi;
use linux_raw_sys::ptrace as uapi;
use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::Handler;
use crate::Errno;
use crate::abi::Siginfo;
use crate::platform::VirtualAddress;
use crate::signal::{Signal, SignalInfo, SignalSet};
use crate::task::{
    CurrentTask, GENERAL_REGISTER_COUNT, Mode, PendingQueue, SyscallInfo, SyscallPhase, Task, Tid,
    TraceOptions, Tracee,
};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[(Sysno::ptrace, ptrace)];

/// PTRACE_GET_SYSCALL_INFO, which the headers have as a structure's name only.
const GET_SYSCALL_INFO: u32 = 0x420e;
/// Requests of x86 (`<asm/ptrace-abi.h>`).
const PTRACE_SYSEMU: u32 = 31;
const PTRACE_SYSEMU_SINGLESTEP: u32 = 32;
const PTRACE_SINGLEBLOCK: u32 = 33;
/// PTRACE_ARCH_PRCTL.
const ARCH_PRCTL: u32 = 30;

fn ptrace(task: &mut CurrentTask, [request, pid, address, data, ..]: [u64; 6]) -> Result<usize, Errno> {
    let tid = Tid(pid as i32);
    let request = u32::try_from(request).map_err(|_| Errno::EIO)?;
    match request {
        uapi::PTRACE_TRACEME => task.kernel().tasks().trace_me(task.task())?,
        uapi::PTRACE_ATTACH => task.kernel().tasks().attach(task.task(), &find(task, tid)?)?,
        uapi::PTRACE_SEIZE => {
            let target = find(task, tid)?;
            let options = u32::try_from(data).ok().and_then(TraceOptions::from_bits);
            let options = options.filter(|_| address == 0).ok_or(Errno::EIO)?;
            task.kernel().tasks().seize(task.task(), &target, options)?;
        }
        _ => {
            let tracee = task.kernel().tasks().tracee(task.task(), tid)?;
            return request_of_tracer(task, &tracee, request, address, data);
        }
    }
    Ok(0)
}

fn find(task: &CurrentTask, tid: Tid) -> Result<std::sync::Arc<Task>, Errno> {
    task.kernel().tasks().task(task.thread_group().pid_namespace(), tid).ok_or(Errno::ESRCH)
}

fn request_of_tracer(
    task: &CurrentTask,
    tracee: &Tracee,
    request: u32,
    address: u64,
    data: u64,
) -> Result<usize, Errno> {
    match request {
        uapi::PTRACE_KILL => tracee.kill(),
        uapi::PTRACE_INTERRUPT => tracee.interrupt()?,
        uapi::PTRACE_LISTEN => tracee.listen()?,
        uapi::PTRACE_CONT => tracee.resume(Mode::Continue, signal_of(data)?)?,
        uapi::PTRACE_SYSCALL => tracee.resume(Mode::Syscalls, signal_of(data)?)?,
        uapi::PTRACE_SINGLESTEP => tracee.resume(Mode::Step, signal_of(data)?)?,
        PTRACE_SINGLEBLOCK => tracee.resume(Mode::StepByBranches, signal_of(data)?)?,
        PTRACE_SYSEMU => tracee.resume(Mode::Emulate, signal_of(data)?)?,
        PTRACE_SYSEMU_SINGLESTEP => tracee.resume(Mode::EmulateStep, signal_of(data)?)?,
        uapi::PTRACE_DETACH => tracee.detach(signal_of(data)?)?,
        uapi::PTRACE_SETOPTIONS | uapi::PTRACE_OLDSETOPTIONS => {
            let options = u32::try_from(data).ok().and_then(TraceOptions::from_bits);
            tracee.check_stopped()?;
            tracee.set_options(options.ok_or(Errno::EINVAL)?)?;
        }
        uapi::PTRACE_GETEVENTMSG => write(task, data, &tracee.event_message()?.to_le_bytes())?,
        uapi::PTRACE_PEEKTEXT | uapi::PTRACE_PEEKDATA => {
            write(task, data, &tracee.read_word(address)?.to_le_bytes())?;
        }
        uapi::PTRACE_POKETEXT | uapi::PTRACE_POKEDATA => tracee.write_word(address, data)?,
        uapi::PTRACE_PEEKUSR => write(task, data, &peek_user(tracee, address)?.to_le_bytes())?,
        uapi::PTRACE_POKEUSR => poke_user(tracee, address, data)?,
        uapi::PTRACE_GETREGS => write(task, data, &to_bytes(&tracee.registers()?))?,
        uapi::PTRACE_SETREGS => {
            tracee.check_stopped()?;
            let words: [u64; GENERAL_REGISTER_COUNT] = task.memory().read_object(VirtualAddress(data))?;
            tracee.with_image(|image| image.set_words(&words))?;
        }
        uapi::PTRACE_GETFPREGS => {
            write(task, data, &tracee.with_image(|image| Ok(image.floating_point()))?)?;
        }
        uapi::PTRACE_SETFPREGS => {
            tracee.check_stopped()?;
            let mut bytes = [0; FLOATING_POINT_BYTES];
            task.memory().read_bytes(VirtualAddress(data), &mut bytes)?;
            tracee.with_image(|image| image.set_floating_point(&bytes))?;
        }
        uapi::PTRACE_GETREGSET => read_set(task, tracee, address, data)?,
        uapi::PTRACE_SETREGSET => write_set(task, tracee, address, data)?,
        uapi::PTRACE_GETSIGINFO => write(task, data, tracee.signal_info()?.to_user().as_bytes())?,
        uapi::PTRACE_SETSIGINFO => set_signal_info(task, tracee, data)?,
        uapi::PTRACE_GETSIGMASK | uapi::PTRACE_SETSIGMASK => {
            tracee.check_stopped()?;
            if address != SignalSet::SIZE_BYTES {
                return Err(Errno::EINVAL);
            }
            if request == uapi::PTRACE_GETSIGMASK {
                write(task, data, &tracee.signal_mask()?.bits().to_le_bytes())?;
            } else {
                let bits = task.memory().read_object(VirtualAddress(data))?;
                tracee.set_signal_mask(SignalSet::from_bits(bits).as_blocked_mask())?;
            }
        }
        uapi::PTRACE_PEEKSIGINFO => return peek_signal_info(task, tracee, address, data),
        GET_SYSCALL_INFO => return get_syscall_info(task, tracee, address, data),
        uapi::PTRACE_GET_RSEQ_CONFIGURATION => return get_rseq_configuration(task, tracee, address, data),
        ARCH_PRCTL => arch_prctl(task, tracee, address, data)?,
        _ => {
            tracee.check_stopped()?;
            return Err(Errno::EIO);
        }
    }
    Ok(0)
}

/// Writes as much of `struct ptrace_rseq_configuration` as there is room for, and returns how long it is.
fn get_rseq_configuration(
    task: &CurrentTask,
    tracee: &Tracee,
    room_bytes: u64,
    address: u64,
) -> Result<usize, Errno> {
    let mut words = [0; 3];
    if let Some(area) = tracee.rseq_area()? {
        let len_and_signature = u64::from(area.signature) << 32 | u64::from(area.len_bytes);
        words = [area.address.0, len_and_signature, 0];
    }
    let bytes = to_bytes(&words);
    let room = usize::try_from(room_bytes).unwrap_or(usize::MAX).min(bytes.len());
    write(task, address, &bytes[..room])?;
    Ok(bytes.len())
}

/// The signal that a resumed tracee is given; 0 is none.
fn signal_of(data: u64) -> Result<Option<Signal>, Errno> {
    i32::try_from(data).map_err(|_| Errno::EIO).and_then(Signal::new_or_probe).map_err(|_| Errno::EIO)
}

fn write(task: &CurrentTask, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    task.memory().write_bytes(VirtualAddress(address), bytes)
}

fn to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Size of the kernel's `struct user`: that of `<sys/user.h>` and two more words.
const USER_BYTES: u64 = 928;
/// Where the debug registers are in it.
const DEBUG_REGISTERS: std::ops::Range<u64> = 848..912;
const GENERAL_REGISTER_BYTES: u64 = GENERAL_REGISTER_COUNT as u64 * 8;

/// The word at `offset` of `struct user`.
fn peek_user(tracee: &Tracee, offset: u64) -> Result<u64, Errno> {
    tracee.check_stopped()?;
    if !offset.is_multiple_of(8) || offset >= USER_BYTES {
        return Err(Errno::EIO);
    }
    tracee.with_image(|image| {
        Ok(match offset {
            0..GENERAL_REGISTER_BYTES => image.words().get((offset / 8) as usize).copied().unwrap_or(0),
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
        0..GENERAL_REGISTER_BYTES => image.set_word((offset / 8) as usize, value),
        _ if DEBUG_REGISTERS.contains(&offset) => image.debug.set(debug_register(offset), value),
        _ => Err(Errno::EIO),
    })
}

/// The debug register at `offset` of `struct user`.
fn debug_register(offset: u64) -> usize {
    ((offset - DEBUG_REGISTERS.start) / 8) as usize
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
                Self::General => to_bytes(&image.words()),
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
fn read_vector(task: &CurrentTask, vector: u64, max_bytes: usize) -> Result<(u64, usize), Errno> {
    let [base, len]: [u64; 2] = task.memory().read_object(VirtualAddress(vector))?;
    let len = usize::try_from(len).map_or(max_bytes, |len| len.min(max_bytes));
    if len.is_multiple_of(8) { Ok((base, len)) } else { Err(Errno::EINVAL) }
}

fn write_vector_len(task: &CurrentTask, vector: u64, len: usize) -> Result<(), Errno> {
    write(task, vector.wrapping_add(8), &(len as u64).to_le_bytes())
}

/// PTRACE_GETREGSET.
fn read_set(task: &CurrentTask, tracee: &Tracee, kind: u64, vector: u64) -> Result<(), Errno> {
    tracee.check_stopped()?;
    let bytes = RegisterSet::new(kind)?.bytes(tracee)?;
    let (base, len) = read_vector(task, vector, bytes.len())?;
    write(task, base, bytes.get(..len).unwrap_or(&bytes))?;
    write_vector_len(task, vector, len)
}

/// PTRACE_SETREGSET.
fn write_set(task: &CurrentTask, tracee: &Tracee, kind: u64, vector: u64) -> Result<(), Errno> {
    tracee.check_stopped()?;
    let set = RegisterSet::new(kind)?;
    let mut bytes = set.bytes(tracee)?;
    let (base, len) = read_vector(task, vector, bytes.len())?;
    bytes.truncate(len);
    task.memory().read_bytes(VirtualAddress(base), &mut bytes)?;
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

fn set_signal_info(task: &CurrentTask, tracee: &Tracee, data: u64) -> Result<(), Errno> {
    tracee.check_stopped()?;
    let info: Siginfo = task.memory().read_object(VirtualAddress(data))?;
    // One that names no signal fits none that the tracee is resumed with.
    let signal = Signal::new(info.si_signo).unwrap_or(Signal::SIGTRAP);
    tracee.set_signal_info(SignalInfo::from_user(signal, &info))
}

/// PTRACE_PEEKSIGINFO: `arguments` points to a `struct ptrace_peeksiginfo_args`. Returns how many entries it copied.
fn peek_signal_info(task: &CurrentTask, tracee: &Tracee, arguments: u64, data: u64) -> Result<usize, Errno> {
    /// PTRACE_PEEKSIGINFO_SHARED.
    const SHARED: u32 = 1;
    tracee.check_stopped()?;
    let [first, flags_and_count]: [u64; 2] = task.memory().read_object(VirtualAddress(arguments))?;
    let (flags, count) = (flags_and_count as u32, (flags_and_count >> 32) as i32);
    if flags & !SHARED != 0 {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let queue = if flags & SHARED != 0 { PendingQueue::Shared } else { PendingQueue::Own };
    let Ok(first) = usize::try_from(first) else { return Ok(0) };
    let entries = tracee.pending_signals(queue, first, count)?;
    let mut address = data;
    for (done, info) in entries.iter().enumerate() {
        if let Err(error) = write(task, address, info.to_user().as_bytes()) {
            return if done > 0 { Ok(done) } else { Err(error) };
        }
        address = address.wrapping_add(size_of::<Siginfo>() as u64);
    }
    Ok(entries.len())
}

/// PTRACE_GET_SYSCALL_INFO: copies as much as there is room for, and returns how much there is.
fn get_syscall_info(task: &CurrentTask, tracee: &Tracee, size: u64, data: u64) -> Result<usize, Errno> {
    let bytes = encode_syscall_info(&tracee.syscall_info()?);
    let len = usize::try_from(size).map_or(bytes.len(), |size| size.min(bytes.len()));
    write(task, data, bytes.get(..len).unwrap_or(&bytes))?;
    Ok(bytes.len())
}

/// `struct ptrace_syscall_info` (`<linux/ptrace.h>`).
fn encode_syscall_info(info: &SyscallInfo) -> Vec<u8> {
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    let operation: u32 = match info.phase {
        SyscallPhase::None => 0,
        SyscallPhase::Entry { .. } => 1,
        SyscallPhase::Exit { .. } => 2,
    };
    let mut bytes = Vec::with_capacity(80);
    bytes.extend(operation.to_le_bytes());
    bytes.extend(AUDIT_ARCH_X86_64.to_le_bytes());
    bytes.extend(to_bytes(&[info.instruction_pointer, info.stack_pointer]));
    match info.phase {
        SyscallPhase::None => {}
        SyscallPhase::Entry { number, arguments } => {
            bytes.extend(number.to_le_bytes());
            bytes.extend(to_bytes(&arguments));
        }
        SyscallPhase::Exit { result } => {
            bytes.extend(result.to_le_bytes());
            bytes.push(u8::from((-4095..0).contains(&result)));
        }
    }
    bytes
}

/// PTRACE_ARCH_PRCTL: arch_prctl(2) on the tracee.
fn arch_prctl(task: &CurrentTask, tracee: &Tracee, address: u64, code: u64) -> Result<(), Errno> {
    const ARCH_SET_GS: u32 = 0x1001;
    const ARCH_SET_FS: u32 = 0x1002;
    const ARCH_GET_FS: u32 = 0x1003;
    const ARCH_GET_GS: u32 = 0x1004;
    const FS_BASE: usize = 21;
    const GS_BASE: usize = 22;
    let registers = tracee.registers()?;
    let set = |place| tracee.with_image(|image| image.set_word(place, address)).map_err(|_| Errno::EPERM);
    match u32::try_from(code) {
        Ok(ARCH_GET_FS) => write(task, address, &registers[FS_BASE].to_le_bytes()),
        Ok(ARCH_GET_GS) => write(task, address, &registers[GS_BASE].to_le_bytes()),
        Ok(ARCH_SET_FS) => set(FS_BASE),
        Ok(ARCH_SET_GS) => set(GS_BASE),
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syscall_info_has_linux_s_layout() {
        let mut info = SyscallInfo { instruction_pointer: 1, stack_pointer: 2, phase: SyscallPhase::None };
        assert_eq!(encode_syscall_info(&info).len(), 24);
        info.phase = SyscallPhase::Entry { number: 59, arguments: [1, 2, 3, 4, 5, 6] };
        let bytes = encode_syscall_info(&info);
        assert_eq!((bytes.len(), bytes[0], bytes[8], bytes[16], bytes[24], bytes[72]), (80, 1, 1, 2, 59, 6));
        info.phase = SyscallPhase::Exit { result: -2 };
        let bytes = encode_syscall_info(&info);
        assert_eq!((bytes.len(), bytes[0], bytes[32]), (33, 2, 1));
    }

    #[test]
    fn only_signals_can_be_injected() {
        assert_eq!(signal_of(0), Ok(None));
        assert_eq!(signal_of(10), Ok(Some(Signal::SIGUSR1)));
        assert_eq!(signal_of(65), Err(Errno::EIO));
        assert_eq!(signal_of(u64::MAX), Err(Errno::EIO));
    }
}
