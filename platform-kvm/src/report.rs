//! What this host's KVM is and what was chosen for it, as data: for the log and for users.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvm_bindings::{
    KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_MAX_VCPUS, KVM_CAP_NR_MEMSLOTS,
    KVM_CAP_NR_VCPUS, KVM_CAP_SYNC_REGS, KVM_CAP_VCPU_ATTRIBUTES, KVM_CAP_XCRS, KVM_CAP_XSAVE,
    KVM_CAP_XSAVE2,
};
use kvm_ioctls::VmFd;
use sentry::platform::{
    Access, Exit, FrameRun, PAGE_SIZE, Platform, PlatformError, Registers, VirtualAddress,
};

use crate::ioctl::in_bounds;
use crate::platform::KvmPlatform;
use crate::probe::Outcome;

/// The capabilities that matter here (KVM api.rst 4.4).
const CAPABILITIES: [(&str, u32); 10] = [
    ("immediate_exit", KVM_CAP_IMMEDIATE_EXIT),
    ("sync_regs", KVM_CAP_SYNC_REGS),
    ("xsave", KVM_CAP_XSAVE),
    ("xsave2", KVM_CAP_XSAVE2),
    ("xcrs", KVM_CAP_XCRS),
    ("vcpu_attributes", KVM_CAP_VCPU_ATTRIBUTES),
    ("disable_quirks2", KVM_CAP_DISABLE_QUIRKS2),
    ("nr_vcpus", KVM_CAP_NR_VCPUS),
    ("max_vcpus", KVM_CAP_MAX_VCPUS),
    ("nr_memslots", KVM_CAP_NR_MEMSLOTS),
];

/// What this host's KVM is, and what was chosen for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The version of KVM's interface (KVM api.rst 4.1).
    pub api_version: i32,
    /// Capabilities that matter here, in lower case, and KVM's answer: 0 is no.
    pub capabilities: Vec<(&'static str, i32)>,
    /// vCPUs at most: the least of what KVM, the configuration and the descriptors of this process allow.
    pub vcpus_max: usize,
    /// vCPUs that KVM allows.
    pub vcpus_of_kvm: usize,
    /// vCPUs that the configuration allows.
    pub vcpus_wanted: usize,
    /// Memory slots that KVM allows.
    pub memory_slots_max: usize,
    /// MAXPHYADDR of the guest.
    pub address_bits: u32,
    /// What the probe's instructions led to.
    pub outcome: Outcome,
    /// SYSCALL enters ring 0, as the processor does; otherwise it stays in ring 3.
    pub enters_ring_0: bool,
    /// Deleting a memory slot drops the shadow pages of that slot only.
    pub drops_own_shadow_pages_only: bool,
    /// Ring 0 of the guest is kept from user pages (SMEP, SMAP).
    pub has_supervisor_protection: bool,
    /// XCR0 of user code (SDM 1 13.3).
    pub extended_features: u64,
    /// Bytes of its extended state.
    pub extended_state_len_bytes: usize,
}

impl Report {
    /// Everything as a subject and what there is to say of it, a line each.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let capabilities: Vec<String> =
            self.capabilities.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let entry = if self.enters_ring_0 { "ring 0" } else { "ring 3, at LSTAR" };
        let supervisor = match (self.enters_ring_0, self.has_supervisor_protection) {
            (true, true) => "on",
            (true, false) => "off: KVM does not offer them",
            (false, _) => "off: ring 3 must reach the stub of SYSCALL",
        };
        let tsc = if self.outcome.tsc.is_the_hosts() {
            "the host's"
        } else {
            "the host's, once its offset was set to zero"
        };
        let dropped = if self.drops_own_shadow_pages_only { "its own" } else { "all" };
        vec![
            ("KVM interface", format!("version {}", self.api_version)),
            ("capabilities", capabilities.join(" ")),
            (
                "limits",
                format!(
                    "{} vCPUs (of the {} that KVM allows), {} memory slots, {} physical address bits",
                    self.vcpus_max, self.vcpus_of_kvm, self.memory_slots_max, self.address_bits
                ),
            ),
            ("SYSCALL", format!("arrives in {entry}: the probe saw {}", self.outcome)),
            ("SMEP and SMAP", supervisor.to_owned()),
            ("TSC", format!("{tsc}: the probe read {}", self.outcome.tsc)),
            ("deleting a slot", format!("drops {dropped} shadow pages")),
            (
                "extended state",
                format!("XCR0 {:#x}, {} bytes", self.extended_features, self.extended_state_len_bytes),
            ),
        ]
    }

    /// What this host lacks although programs can run without, and how to get it: a sentence each.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.drops_own_shadow_pages_only {
            missing.push(
                "deleting a memory slot without dropping all shadow pages (KVM_X86_QUIRK_SLOT_ZAP_ALL cannot be \
                 disabled), so that a large change of one program's mappings slows all programs down for a moment: a \
                 host kernel from 6.12 on can"
                    .to_owned(),
            );
        }
        if self.enters_ring_0 && !self.has_supervisor_protection {
            missing
                .push("SMEP and SMAP, a second wall about the stubs: a newer processor has them".to_owned());
        }
        let lacking = self.vcpus_wanted.min(self.vcpus_of_kvm).saturating_sub(self.vcpus_max);
        if lacking > 0 {
            missing.push(format!(
                "{lacking} vCPUs that KVM allows, so that more threads share one: raise the hard limit of open files \
                 (`ulimit -Hn`)"
            ));
        }
        missing
    }
}

/// KVM's answers to what [`CAPABILITIES`] asks.
pub(crate) fn capabilities(vm: &VmFd) -> Vec<(&'static str, i32)> {
    CAPABILITIES.iter().map(|(name, number)| (*name, vm.check_extension_raw((*number).into()))).collect()
}

/// What a system call of user code costs here without the sentry: entering user code, SYSCALL and the exit.
/// The quickest of several rounds, since others use the processor too.
///
/// # Errors
/// There is no memory, or user code does something other than what was written there.
pub fn measure_exit(platform: &Arc<KvmPlatform>) -> Result<Duration, PlatformError> {
    const ROUNDS: usize = 8;
    const EXITS: u32 = 1000;
    /// syscall; jmp to itself.
    const CODE: [u8; 4] = [0x0f, 0x05, 0xeb, 0xfc];
    const ADDRESS: VirtualAddress = VirtualAddress(0x40_0000);

    let memory = platform.memory();
    platform.extend_memory(PAGE_SIZE)?;
    in_bounds(memory.slice(memory.start(), CODE.len()))?.copy_from(&CODE);
    let space = platform.new_address_space()?;
    let frame = FrameRun { start: memory.start(), pages: 1 };
    space.map(ADDRESS, &[frame], Access::READ | Access::EXECUTE)?;
    let mut context = platform.new_context()?;
    let mut registers = Registers { rip: ADDRESS.0, rflags: 0x202, ..Registers::default() };
    let mut quickest = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..EXITS {
            if !matches!(context.run(&space, &mut registers), Exit::Syscall) {
                let reason = "it ended otherwise".into();
                return Err(PlatformError::Unexpected { attempt: "measure a system call", reason });
            }
        }
        quickest = quickest.min(start.elapsed() / EXITS);
    }
    Ok(quickest)
}

#[cfg(test)]
mod tests;
