//! Where user code has an address, or room for one.

use crate::Errno;
use crate::net::SocketAddress;
use crate::syscall::arguments::{Argument, Registers, UserPointer};
use crate::task::CurrentTask;

/// An encoded address: two registers, where it is and its length.
#[derive(Clone, Copy)]
pub(super) struct UserAddress {
    pub(super) place: UserPointer<u8>,
    pub(super) len_bytes: i32,
}

impl Argument for UserAddress {
    fn decode(registers: &mut Registers) -> Result<Self, Errno> {
        Ok(Self { place: Argument::decode(registers)?, len_bytes: Argument::decode(registers)? })
    }
}

impl UserAddress {
    /// Copies the address in.
    ///
    /// # Errors
    /// EINVAL for a length that no address has, EFAULT.
    pub(super) fn read(self, task: &CurrentTask) -> Result<SocketAddress, Errno> {
        let len_bytes = usize::try_from(self.len_bytes).map_err(|_| Errno::EINVAL)?;
        if len_bytes > SocketAddress::MAX_BYTES {
            return Err(Errno::EINVAL);
        }
        SocketAddress::new(&self.place.read_array(task, len_bytes)?)
    }

    /// Copies the address in if there is one.
    ///
    /// # Errors
    /// As [`UserAddress::read`].
    pub(super) fn read_unless_null(self, task: &CurrentTask) -> Result<Option<SocketAddress>, Errno> {
        if self.place.is_null() { Ok(None) } else { self.read(task).map(Some) }
    }
}

/// Room for an encoded address: two registers, where it is and where its length is, which is how much room there is at first.
#[derive(Clone, Copy)]
pub(super) struct UserAddressRoom {
    place: UserPointer<u8>,
    len_bytes: UserPointer<i32>,
}

impl Argument for UserAddressRoom {
    fn decode(registers: &mut Registers) -> Result<Self, Errno> {
        Ok(Self { place: Argument::decode(registers)?, len_bytes: Argument::decode(registers)? })
    }
}

impl UserAddressRoom {
    /// Copies `address` out as [`Self::write`] does, for a call that is made for nothing else.
    ///
    /// # Errors
    /// EINVAL for a negative length, EFAULT.
    pub(super) fn write_always(self, task: &CurrentTask, address: &SocketAddress) -> Result<(), Errno> {
        let room = usize::try_from(self.len_bytes.read(task)?).map_err(|_| Errno::EINVAL)?;
        let (shown, _) = address.bytes().split_at(room.min(address.bytes().len()));
        if !shown.is_empty() {
            task.memory().write_bytes(self.place.address(), shown)?;
        }
        let len_bytes = i32::try_from(address.bytes().len()).map_err(|_| Errno::EINVAL)?;
        self.len_bytes.write(task, &len_bytes)
    }

    /// Copies `address` out, cut to the room, and its whole length; nothing if nobody wants it.
    ///
    /// # Errors
    /// EINVAL for a negative length, EFAULT.
    pub(super) fn write(self, task: &CurrentTask, address: &SocketAddress) -> Result<(), Errno> {
        if self.place.is_null() { Ok(()) } else { self.write_always(task, address) }
    }
}
