//! `struct ifreq`.

use std::net::Ipv4Addr;

use linux_raw_sys::net::AF_INET;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::net::device::LinkName;

const NAME_BYTES: usize = 16;
const VALUE_BYTES: usize = 24;
/// Where `struct sockaddr_in` has the address.
const ADDRESS_OFFSET: usize = 4;

/// `struct ifreq`: a name, and what is asked or told.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(in crate::net) struct InterfaceRequest {
    name: [u8; NAME_BYTES],
    value: [u8; VALUE_BYTES],
}

/// A hardware address, with the ARPHRD_* of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct HardwareAddress {
    pub(in crate::net) kind: u16,
    pub(in crate::net) address: [u8; 6],
}

/// The bytes before the first NUL; the last of a name is one.
fn text(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.get(..NAME_BYTES - 1).unwrap_or_default();
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl InterfaceRequest {
    /// Tells of an address with this label.
    pub(in crate::net) fn of_address(label: &str, address: Ipv4Addr) -> Self {
        let mut request = Self { name: [0; NAME_BYTES], value: [0; VALUE_BYTES] };
        let len = label.len().min(NAME_BYTES - 1);
        request.name[..len].copy_from_slice(&label.as_bytes()[..len]);
        request.set_address(address);
        request
    }

    /// Tells of a link with its flags.
    pub(in crate::net) fn of_link(name: &str, flags: u16) -> Self {
        let mut request = Self::of_address(name, Ipv4Addr::UNSPECIFIED);
        request.clear();
        request.set_flags(flags);
        request
    }

    /// The name, with what follows a colon.
    pub(in crate::net) fn label(&self) -> &[u8] {
        text(&self.name)
    }

    /// The name of the link: what precedes a colon.
    pub(in crate::net) fn device_name(&self) -> &[u8] {
        self.label().split(|byte| *byte == b':').next().unwrap_or_default()
    }

    pub(in crate::net) fn set_name(&mut self, name: &LinkName) {
        let bytes = name.as_bytes();
        self.name[..bytes.len()].copy_from_slice(bytes);
        self.name[bytes.len()] = 0;
    }

    /// The name that is told as the value.
    pub(in crate::net) fn second_name(&self) -> &[u8] {
        text(&self.value)
    }

    fn leading<const N: usize>(&self) -> [u8; N] {
        std::array::from_fn(|index| self.value.get(index).copied().unwrap_or(0))
    }

    fn lead(&mut self, bytes: &[u8]) {
        self.value[..bytes.len()].copy_from_slice(bytes);
    }

    pub(in crate::net) fn number(&self) -> i32 {
        i32::from_ne_bytes(self.leading())
    }

    pub(in crate::net) fn set_number(&mut self, number: i32) {
        self.lead(&number.to_ne_bytes());
    }

    pub(in crate::net) fn flags(&self) -> u16 {
        u16::from_ne_bytes(self.leading())
    }

    pub(in crate::net) fn set_flags(&mut self, flags: u16) {
        self.lead(&flags.to_ne_bytes());
    }

    pub(in crate::net) fn pointer(&self) -> u64 {
        u64::from_ne_bytes(self.leading())
    }

    pub(in crate::net) fn clear(&mut self) {
        self.value = [0; VALUE_BYTES];
    }

    pub(in crate::net) fn hardware_address(&self) -> HardwareAddress {
        let bytes: [u8; 8] = self.leading();
        let [low, high, address @ ..] = bytes;
        HardwareAddress { kind: u16::from_ne_bytes([low, high]), address }
    }

    pub(in crate::net) fn set_hardware_address(&mut self, hardware: HardwareAddress) {
        self.lead(&hardware.kind.to_ne_bytes());
        self.value[2..8].copy_from_slice(&hardware.address);
    }

    /// The address, whatever family the value says: Linux asks only some requests for it.
    pub(in crate::net) fn address(&self) -> Ipv4Addr {
        let bytes: [u8; 8] = self.leading();
        let [.., a, b, c, d] = bytes;
        Ipv4Addr::new(a, b, c, d)
    }

    pub(in crate::net) fn family(&self) -> u32 {
        u16::from_ne_bytes(self.leading()).into()
    }

    pub(in crate::net) fn set_address(&mut self, address: Ipv4Addr) {
        self.value[..16].fill(0);
        self.lead(&(AF_INET as u16).to_ne_bytes());
        self.value[ADDRESS_OFFSET..ADDRESS_OFFSET + 4].copy_from_slice(&address.octets());
    }
}
