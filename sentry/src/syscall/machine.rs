//! What would reach the machine below the sandbox: ports, kernel modules, other kernels. Checked as on Linux, and refused to
//! whoever has the right to it, as by a kernel that is locked down (`man 7 kernel_lockdown`), whose `modules_disabled` and
//! `kexec_load_disabled` are set.

use syscalls::Sysno;

use super::Handler;
use super::arguments::handlers;
use crate::Errno;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![iopl, ioperm, init_module, finit_module, delete_module, kexec_load, kexec_file_load, bpf,];

/// Ports that ioperm(2) knows (asm/processor.h, IO_BITMAP_BITS).
const PORTS: u64 = 65536;
/// The highest privilege level of iopl(2).
const MAX_LEVEL: u32 = 3;

/// Nobody has more than the level 0 that all begin with.
fn iopl(_: &mut CurrentTask, level: u32) -> Result<(), Errno> {
    match level {
        0 => Ok(()),
        1..=MAX_LEVEL => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// Nobody has a port that could be given up.
fn ioperm(_: &mut CurrentTask, first: u64, count: u64, turn_on: i32) -> Result<(), Errno> {
    if count == 0 || first.checked_add(count).is_none_or(|end| end > PORTS) {
        return Err(Errno::EINVAL);
    }
    if turn_on == 0 { Ok(()) } else { Err(Errno::EPERM) }
}

fn init_module(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::EPERM)
}

fn finit_module(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::EPERM)
}

fn delete_module(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::EPERM)
}

fn kexec_load(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::EPERM)
}

fn kexec_file_load(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::EPERM)
}

/// Programs in the kernel are for nobody, as with `unprivileged_bpf_disabled` and without CAP_BPF.
fn bpf(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::EPERM)
}
