//! Handing system calls to user code, but for those from one range of addresses (`man 2 prctl`, PR_SET_SYSCALL_USER_DISPATCH).

use linux_raw_sys::general as uapi;
use linux_raw_sys::prctl::{SYSCALL_DISPATCH_FILTER_ALLOW, SYSCALL_DISPATCH_FILTER_BLOCK};

use super::CurrentTask;
use crate::abi::SeccompData;
use crate::platform::VirtualAddress;
use crate::signal::{Signal, SignalDetail, SignalInfo};

/// Which calls a thread gets back by SIGSYS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserDispatch {
    /// Where those come from that pass always.
    pub(crate) start: u64,
    /// How many bytes that is.
    pub(crate) len_bytes: u64,
    /// A byte that says whether all others pass; null if none does.
    pub(crate) selector: VirtualAddress,
}

/// What happens to a call.
enum Fate {
    Passes,
    IsHandedBack,
    /// What tells cannot be read, or says nothing that means anything.
    Kills(Signal),
}

impl CurrentTask {
    /// Hands the system call in the registers to user code, if that wants it. Returns whether it did.
    pub(super) fn hands_call_to_user(&mut self) -> bool {
        let Some(dispatch) = self.user_dispatch else { return false };
        match self.fate_of_call(dispatch) {
            Fate::Passes => return false,
            Fate::Kills(signal) => {
                // No handler is asked: it could not run without making calls.
                self.die_of(SignalInfo::from_kernel(signal));
            }
            Fate::IsHandedBack => {
                let Some(SeccompData { nr, arch, instruction_pointer, .. }) = self.seccomp_data() else {
                    return false;
                };
                let detail =
                    SignalDetail::SystemCall { address: instruction_pointer, number: nr, architecture: arch };
                let code = uapi::SYS_USER_DISPATCH as i32;
                self.force_signal(SignalInfo { signal: Signal::SIGSYS, errno: 0, code, detail });
            }
        }
        true
    }

    fn fate_of_call(&self, dispatch: UserDispatch) -> Fate {
        if self.registers.rip.wrapping_sub(dispatch.start) < dispatch.len_bytes {
            return Fate::Passes;
        }
        if dispatch.selector == VirtualAddress::NULL {
            return Fate::IsHandedBack;
        }
        match self.memory.read_object::<u8>(dispatch.selector).map(u32::from) {
            Ok(SYSCALL_DISPATCH_FILTER_ALLOW) => Fate::Passes,
            Ok(SYSCALL_DISPATCH_FILTER_BLOCK) => Fate::IsHandedBack,
            Ok(_) => Fate::Kills(Signal::SIGSYS),
            Err(_) => Fate::Kills(Signal::SIGSEGV),
        }
    }
}
