//! Calls to the host that are nobody's in particular.

mod calls;
mod thread_room;
mod threads;

use rustix::thread::CpuSet;

pub use calls::{HOST_CALL_KINDS, HostCall, HostCallCounts, count_call, own_call_counts};
pub use thread_room::ThreadRoom;
pub use threads::start_thread;

/// What processors offer, as the auxiliary vector tells it.
#[derive(Clone, Copy, Debug)]
pub struct CpuFeatures {
    /// AT_HWCAP: EDX of CPUID leaf 1.
    pub hwcap: u64,
    /// AT_HWCAP2: bit 1 for FSGSBASE.
    pub hwcap2: u64,
    /// AT_MINSIGSTKSZ.
    pub min_signal_stack_bytes: u64,
}

impl CpuFeatures {
    /// Those of the host, whose extended state has `extended_state_len_bytes`.
    pub(crate) fn of_host(extended_state_len_bytes: usize) -> Self {
        let leaf_1 = std::arch::x86_64::__cpuid(1);
        // The frame without its extended state, and room to align it (Linux's `sigaltstack` minimum grows alike).
        const FRAME_BYTES: u64 = 1024;
        let min_signal_stack_bytes = (extended_state_len_bytes as u64 + FRAME_BYTES).next_multiple_of(16);
        Self { hwcap: leaf_1.edx.into(), hwcap2: 1 << 1, min_signal_stack_bytes }
    }
}

/// Gives memory that the heap has and does not use back to the host.
pub fn trim_heap() {
    // SAFETY: it touches nothing but what the allocator keeps for itself.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Fills `buffer` with the host's random bytes (`man 2 getrandom`).
pub fn fill_random(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(read) => filled += read,
            Err(rustix::io::Errno::INTR) => {}
            // Linux gives random bytes to everybody once it has booted.
            Err(error) => {
                log::error!("the host has no random bytes: {error}");
                return;
            }
        }
    }
}

/// Has every processor that runs a thread of this process, in guest mode or not, pass a full memory barrier (`man 2 membarrier`, MEMBARRIER_CMD_PRIVATE_EXPEDITED).
///
/// # Errors
/// The host's, on kernels before 4.14.
pub fn membarrier() -> std::io::Result<()> {
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    for command in [REGISTER_PRIVATE_EXPEDITED, PRIVATE_EXPEDITED] {
        // SAFETY: membarrier touches no memory of ours.
        if unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives this process a futex table of its own with `slots` slots, rounded up to a power of two (linux/prctl.h, `PR_FUTEX_HASH`).
///
/// # Errors
/// The host's: EINVAL on kernels before 6.16.
pub fn set_futex_slots(slots: usize) -> std::io::Result<()> {
    use linux_raw_sys::prctl::{PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS};
    let slots = slots.checked_next_power_of_two().unwrap_or(slots) as libc::c_ulong;
    // SAFETY: prctl with these numbers touches no memory of ours; who sleeps on a futex is carried over.
    let result = unsafe { libc::prctl(PR_FUTEX_HASH as libc::c_int, PR_FUTEX_HASH_SET_SLOTS, slots, 0, 0) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// The host's CPUs that the guest's are: guest CPU N is the Nth that this process may run on, 64 at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCpus(Vec<usize>);

impl HostCpus {
    /// The CPUs that the calling thread may run on now.
    pub fn of_this_thread() -> Self {
        let set = rustix::thread::sched_getaffinity(None);
        let mut cpus: Vec<usize> = match set {
            Ok(set) => (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).take(64).collect(),
            Err(_) => Vec::new(),
        };
        if cpus.is_empty() {
            cpus.push(0);
        }
        Self(cpus)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether the guest's numbers are the host's.
    pub fn is_identity(&self) -> bool {
        self.0.iter().enumerate().all(|(guest, host)| guest == *host)
    }

    /// The guest's number of the CPU that the calling thread is on.
    pub fn current(&self) -> usize {
        let host = rustix::thread::sched_getcpu();
        self.0.iter().position(|cpu| *cpu == host).unwrap_or(0)
    }

    /// Keeps the calling thread on the CPUs whose guest numbers are the set bits of `guest_cpus`.
    ///
    /// # Errors
    /// The host's: the CPUs are gone.
    pub fn confine_this_thread(&self, guest_cpus: u64) -> std::io::Result<()> {
        let mut set = CpuSet::new();
        for (guest, host) in self.0.iter().enumerate() {
            if guest_cpus >> guest & 1 == 1 {
                set.set(*host);
            }
        }
        rustix::thread::sched_setaffinity(None, &set)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
