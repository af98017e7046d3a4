//! The KVM platform.
