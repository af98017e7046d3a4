//! The KVM interface beyond `kvm-ioctls`: each raw call behind one safe function.

use std::io;

use kvm_bindings::{KVMIO, Xsave, kvm_device_attr, kvm_userspace_memory_region};
use kvm_ioctls::{VcpuFd, VmFd};
use sentry::platform::{GuestMemory, GuestMemoryError, PlatformError};
use vm_memory::GuestAddress;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);

/// `KVM_VCPU_TSC_CTRL` and its attribute `KVM_VCPU_TSC_OFFSET` (KVM devices/vcpu.rst 4.1).
const TSC_CONTROL: u32 = 0;
const TSC_OFFSET: u64 = 0;

/// Names what was being attempted when KVM refused.
pub(crate) fn attempt<T>(
    what: &'static str,
    result: Result<T, kvm_ioctls::Error>,
) -> Result<T, PlatformError> {
    result.map_err(|error| PlatformError { attempt: what, source: error.into() })
}

/// The same for memory that is ours and ought to be there.
pub(crate) fn in_bounds<T>(result: Result<T, GuestMemoryError>) -> Result<T, PlatformError> {
    result.map_err(|error| PlatformError {
        attempt: "reach the guest's memory",
        source: io::Error::other(error),
    })
}

/// Makes the guest's TSC the host's (KVM devices/vcpu.rst 4.1).
pub(crate) fn set_tsc_offset_zero(vcpu: &VcpuFd) -> io::Result<()> {
    let offset = 0_u64;
    let attribute = kvm_device_attr {
        group: TSC_CONTROL,
        attr: TSC_OFFSET,
        addr: &raw const offset as u64,
        ..Default::default()
    };
    // SAFETY: `attribute` and the u64 that its address names live through the call, which only reads them.
    let result = unsafe { ioctl_with_ref(vcpu, KVM_SET_DEVICE_ATTR(), &attribute) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Shows `len_bytes` of `memory`, from guest-physical `start` on, to the guest (KVM api.rst 4.35).
pub(crate) fn set_slot(
    vm: &VmFd,
    slot: u32,
    memory: &GuestMemory,
    start: GuestAddress,
    len_bytes: u64,
) -> Result<(), PlatformError> {
    let slice = in_bounds(memory.slice(start, len_bytes as usize))?;
    let region = kvm_userspace_memory_region {
        slot,
        flags: 0,
        guest_phys_addr: start.0,
        memory_size: len_bytes,
        userspace_addr: slice.ptr_guard().as_ptr() as u64,
    };
    // SAFETY: the range was just checked to lie in `memory`, a mapping that holds no Rust object and whose
    // accesses are all volatile. The machine owns both it and the VM, and drops them together.
    attempt("add guest memory", unsafe { vm.set_user_memory_region(region) })
}

/// Takes a slot from the guest.
pub(crate) fn delete_slot(vm: &VmFd, slot: u32) -> Result<(), PlatformError> {
    let region = kvm_userspace_memory_region { slot, ..Default::default() };
    // SAFETY: a slot of size zero is deleted: the guest reaches less than before.
    attempt("remove guest memory", unsafe { vm.set_user_memory_region(region) })
}

/// Reads the extended state of a vCPU. `area` was made for this VM (see `extended::Format::buffer`).
pub(crate) fn xsave(vcpu: &VcpuFd, area: &mut Xsave) -> Result<(), PlatformError> {
    // SAFETY: `Format::buffer` makes areas of the size that KVM_CAP_XSAVE2 names, at least 4096 bytes, and
    // nobody enables features later.
    attempt("read a vCPU's extended state", unsafe { vcpu.get_xsave2(area) })
}

/// Writes the extended state of a vCPU. `area` was made for this VM (see `extended::Format::buffer`).
pub(crate) fn set_xsave(vcpu: &VcpuFd, area: &Xsave) -> Result<(), PlatformError> {
    // SAFETY: as in `xsave`.
    attempt("write a vCPU's extended state", unsafe { vcpu.set_xsave2(area) })
}

/// The host's XCR0: the extended state that its kernel has enabled (SDM 1 13.3).
pub(crate) fn host_xcr0() -> u64 {
    if !std::arch::is_x86_feature_detected!("xsave") {
        return 3;
    }
    #[target_feature(enable = "xsave")]
    fn xgetbv() -> u64 {
        // SAFETY: XCR0 exists wherever XSAVE is enabled.
        unsafe { std::arch::x86_64::_xgetbv(0) }
    }
    // SAFETY: XSAVE was detected just above, which includes that the kernel has enabled it.
    unsafe { xgetbv() }
}

/// The host's time-stamp counter.
pub(crate) fn host_tsc() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC, and Linux leaves it to user code.
    unsafe { std::arch::x86_64::_rdtsc() }
}
