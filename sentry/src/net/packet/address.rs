//! Addresses of packet sockets: `struct sockaddr_ll` (`man 7 packet`).

use linux_raw_sys::net::AF_PACKET;

use crate::Errno;
use crate::net::SocketAddress;

/// How long it is with all the room that a hardware address may take, and where that begins.
const ADDRESS_BYTES: usize = 20;
const HARDWARE_OFFSET: usize = 12;

/// An address of the link layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkAddress {
    /// `ETH_P_*`.
    pub(super) protocol: u16,
    pub(super) device: i32,
    /// `ARPHRD_*`.
    pub(super) hardware_type: u16,
    /// `PACKET_*`.
    pub(super) kind: u8,
    /// At most eight bytes.
    pub(super) hardware: Vec<u8>,
}

impl LinkAddress {
    /// # Errors
    /// EINVAL.
    pub(super) fn decode(given: &SocketAddress) -> Result<Self, Errno> {
        if given.bytes().len() < ADDRESS_BYTES || given.family() != Some(AF_PACKET) {
            return Err(Errno::EINVAL);
        }
        let &[_, _, high, low, a, b, c, d, type_low, type_high, kind, len, ref rest @ ..] = given.bytes()
        else {
            return Err(Errno::EINVAL);
        };
        Ok(Self {
            protocol: u16::from_be_bytes([high, low]),
            device: i32::from_ne_bytes([a, b, c, d]),
            hardware_type: u16::from_ne_bytes([type_low, type_high]),
            kind,
            hardware: rest.get(..usize::from(len)).ok_or(Errno::EINVAL)?.to_vec(),
        })
    }

    /// As it is told of a socket: as long as its hardware address makes it.
    pub(super) fn encode(&self) -> Result<SocketAddress, Errno> {
        SocketAddress::new(&self.bytes())
    }

    /// As it is told of a sender: in full length.
    pub(super) fn encode_whole(&self) -> Result<SocketAddress, Errno> {
        let mut bytes = self.bytes();
        bytes.resize(ADDRESS_BYTES, 0);
        SocketAddress::new(&bytes)
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HARDWARE_OFFSET + self.hardware.len());
        let [low, high, ..] = AF_PACKET.to_ne_bytes();
        bytes.extend_from_slice(&[low, high]);
        bytes.extend_from_slice(&self.protocol.to_be_bytes());
        bytes.extend_from_slice(&self.device.to_ne_bytes());
        bytes.extend_from_slice(&self.hardware_type.to_ne_bytes());
        bytes.push(self.kind);
        bytes.push(u8::try_from(self.hardware.len()).unwrap_or(0));
        bytes.extend_from_slice(&self.hardware);
        bytes
    }
}
