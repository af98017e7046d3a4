//! The KVM interface beyond `kvm-ioctls`: each raw call behind one safe function.

use std::io;

use kvm_bindings::{
    KVMIO, Xsave, kvm_cpuid2, kvm_device_attr, kvm_msrs, kvm_sregs, kvm_userspace_memory_region,
    kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{VcpuFd, VmFd};
use sentry::host::{HostCall, count_call};
use sentry::platform::{GuestMemory, GuestMemoryError, PlatformError};
use vm_memory::GuestAddress;
use vmm_sys_util::ioctl::{_IOC_NONE, _IOC_READ, _IOC_WRITE, ioctl_expr, ioctl_with_ref};
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);

/// The requests that a machine makes of KVM once it has been created (KVM api.rst): all that a process which confines
/// itself has to go on allowing. The first is the one that nearly all calls are.
pub const RUNNING_REQUESTS: [u32; 12] = [
    request::<()>(_IOC_NONE, 0x80),                           // KVM_RUN
    request::<kvm_xsave>(_IOC_READ, 0xcf),                    // KVM_GET_XSAVE2
    request::<kvm_xsave>(_IOC_WRITE, 0xa5),                   // KVM_SET_XSAVE
    request::<kvm_sregs>(_IOC_READ, 0x83),                    // KVM_GET_SREGS
    request::<kvm_sregs>(_IOC_WRITE, 0x84),                   // KVM_SET_SREGS
    request::<kvm_vcpu_events>(_IOC_READ, 0x9f),              // KVM_GET_VCPU_EVENTS
    request::<kvm_userspace_memory_region>(_IOC_WRITE, 0x46), // KVM_SET_USER_MEMORY_REGION
    request::<()>(_IOC_NONE, 0x41),                           // KVM_CREATE_VCPU
    request::<kvm_cpuid2>(_IOC_WRITE, 0x90),                  // KVM_SET_CPUID2
    request::<kvm_xcrs>(_IOC_WRITE, 0xa7),                    // KVM_SET_XCRS
    request::<kvm_msrs>(_IOC_WRITE, 0x89),                    // KVM_SET_MSRS
    request::<kvm_device_attr>(_IOC_WRITE, 0xe1),             // KVM_SET_DEVICE_ATTR
];

const fn request<T>(direction: u32, number: u32) -> u32 {
    ioctl_expr(direction, KVMIO, number, size_of::<T>() as u32) as u32
}

/// `KVM_VCPU_TSC_CTRL` and its attribute `KVM_VCPU_TSC_OFFSET` (KVM devices/vcpu.rst 4.1).
const TSC_CONTROL: u32 = 0;
const TSC_OFFSET: u64 = 0;

/// Names what was being attempted when KVM refused.
pub(crate) fn attempt<T>(
    what: &'static str,
    result: Result<T, kvm_ioctls::Error>,
) -> Result<T, PlatformError> {
    count_call(HostCall::Kvm);
    result.map_err(|error| PlatformError::refused(what, error.into()))
}

/// The same for memory that is ours and ought to be there.
pub(crate) fn in_bounds<T>(result: Result<T, GuestMemoryError>) -> Result<T, PlatformError> {
    result.map_err(|source| PlatformError::Memory { attempt: "reach the guest's memory", source })
}

/// Makes the guest's TSC the host's (KVM devices/vcpu.rst 4.1).
pub(crate) fn set_tsc_offset_zero(vcpu: &VcpuFd) -> Result<(), PlatformError> {
    let offset = 0_u64;
    let attribute = kvm_device_attr {
        group: TSC_CONTROL,
        attr: TSC_OFFSET,
        addr: &raw const offset as u64,
        ..Default::default()
    };
    // SAFETY: `attribute` and the u64 that its address names live through the call, which only reads them.
    let result = unsafe { ioctl_with_ref(vcpu, KVM_SET_DEVICE_ATTR(), &attribute) };
    if result == 0 {
        return Ok(());
    }
    let attempt = "make a vCPU's time-stamp counter the host's, which needs a host kernel from 5.16 on";
    Err(PlatformError::refused(attempt, io::Error::last_os_error()))
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
