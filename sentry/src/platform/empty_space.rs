//! An address space without page tables.

use std::any::Any;

use super::{Access, AddressSpace, FrameRun, GuestAddress, PlatformError, VirtualAddress, VirtualRange};

/// An address space of no machine, in which nothing can be mapped and no context runs: for who needs one and will not touch
/// it, at no cost.
#[derive(Debug)]
pub struct EmptySpace;

impl AddressSpace for EmptySpace {
    fn map(&self, _start: VirtualAddress, _runs: &[FrameRun], _access: Access) -> Result<(), PlatformError> {
        Err(PlatformError::TablesFull)
    }

    fn unmap(&self, _range: VirtualRange) {}

    fn protect(&self, _range: VirtualRange, _access: Access) {}

    fn clear(&self) {}

    fn abandon(&self) {}

    fn translate(&self, _address: VirtualAddress) -> Option<(GuestAddress, Access)> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
