//! Why a microVM could not be made.

use std::io;

use sentry::platform::{GuestMemoryError, PlatformError};

use crate::probe::Outcome;

/// Why a microVM could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host has no KVM.
    #[error(
        "/dev/kvm does not exist: enable virtualisation in the firmware, or nested virtualisation for this \
         virtual machine, and load the host's kvm module"
    )]
    NoDevice,
    /// The user may not open the device.
    #[error(
        "/dev/kvm: permission denied: add the user to the group that owns it (usually `kvm`), or run as root"
    )]
    NoPermission,
    /// The device would not open for another reason.
    #[error("open /dev/kvm: {0}")]
    OpenDevice(#[source] io::Error),
    /// KVM speaks another version of its interface (KVM api.rst 4.1 requires 12).
    #[error("/dev/kvm speaks version {0} of its interface, not 12: the host's kernel is not supported")]
    ApiVersion(i32),
    /// KVM lacks something that we cannot do without.
    #[error("the host's KVM lacks {0}: a newer host kernel is needed")]
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
    /// Guest memory could not be reserved.
    #[error(transparent)]
    Memory(#[from] GuestMemoryError),
    /// KVM refused something.
    #[error(transparent)]
    Kvm(#[from] PlatformError),
    /// SYSCALL or an exception did something that we do not know: nothing is run on a guess.
    #[error("this host delivers traps in a way that is not known, so that nothing can be run safely: {0}")]
    UnknownTrap(Box<Outcome>),
}
