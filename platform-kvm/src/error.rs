//! Why a microVM could not be made.

use std::io;

use sentry::platform::{GuestMemoryError, PlatformError};

use crate::probe::{Outcome, TscReading};

/// Why a microVM could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no device node.
    #[error(
        "/dev/kvm does not exist: enable virtualisation in the firmware, or nested virtualisation for this \
         virtual machine, and load the host's kvm module; a container must be given the device"
    )]
    NoDevice,
    /// There is a device node without a driver behind it.
    #[error(
        "/dev/kvm has no driver: enable virtualisation in the firmware, or nested virtualisation for this virtual \
         machine, and load the host's kvm module"
    )]
    NoDriver,
    /// What is at /dev/kvm does not answer as KVM does.
    #[error(
        "/dev/kvm is not KVM's device: `mknod /dev/kvm c 10 232` makes that, once whatever is there is gone"
    )]
    NotKvm,
    /// The user may not open the device.
    #[error(
        "/dev/kvm: permission denied: add the user to the group that owns it (usually `kvm`), or run as root"
    )]
    NoPermission,
    /// The device may not be opened by anybody here (a control group's rule, a security module).
    #[error(
        "/dev/kvm: operation not permitted: a container must be given the device (as by `--device /dev/kvm`)"
    )]
    NotPermitted,
    /// The device would not open for another reason.
    #[error("open /dev/kvm: {0}")]
    OpenDevice(#[source] io::Error),
    /// KVM speaks another version of its interface (KVM api.rst 4.1 requires 12).
    #[error("/dev/kvm speaks version {0} of its interface, not 12: the host's kernel is not supported")]
    ApiVersion(i32),
    /// KVM lacks something that we cannot do without.
    #[error("the host's KVM lacks {0}: a newer host kernel, or a processor that has it, is needed")]
    MissingCapability(&'static str),
    /// The guest's memory would not fit into the guest-physical addresses that the processor has.
    #[error(
        "{memory_bytes} bytes of guest memory do not fit: this processor has {address_bits} physical address bits"
    )]
    TooMuchMemory {
        /// What was asked for.
        memory_bytes: u64,
        /// MAXPHYADDR.
        address_bits: u32,
    },
    /// The guest's memory would take more memory slots than KVM has.
    #[error(
        "{memory_bytes} bytes of guest memory do not fit: this host's KVM has {memory_slots} memory slots"
    )]
    TooFewSlots {
        /// What was asked for.
        memory_bytes: u64,
        /// What KVM has.
        memory_slots: usize,
    },
    /// Guest memory could not be reserved.
    #[error(transparent)]
    Memory(#[from] GuestMemoryError),
    /// KVM refused something.
    #[error(transparent)]
    Kvm(#[from] PlatformError),
    /// SYSCALL or an exception did something that we do not know: nothing is run on a guess.
    #[error("this host delivers traps in a way that is not known, so that nothing can be run safely: {0}")]
    UnknownTrap(Box<Outcome>),
    /// The time-stamp counter does something that we do not know: user code tells the time by it.
    #[error(
        "the guest's time-stamp counter does not follow this host's, so that programs would tell the time wrongly: {0}"
    )]
    UnknownTsc(TscReading),
}
