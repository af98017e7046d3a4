//! /dev/net/tun.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::{TunDevice, TunLayer, control};
use crate::Errno;
use crate::fs::special::{DeviceDriver, SpecialFiles};
use crate::fs::{
    Caller, DeviceNumber, File, FileKind, Inode, LongText, Metadata, OpenFlags, TransferUnit, Viewer,
};
use crate::net::NetworkNamespace;
use crate::net::device::{LinkStatistics, Traffic};
use crate::net::filter::{ETH_P_IP, ETH_P_IPV6};
use crate::net::packet::{ETHERNET_HEADER_BYTES, Frame, FrameKind, Link, come_in};
use crate::wait::{Events, WaitQueue};

/// Bytes of `struct tun_pi`: flags and a protocol.
const PACKET_INFORMATION_BYTES: usize = 4;
/// The packet was longer than who read it had room for.
const TUN_PKT_STRIP: u16 = 1;
/// The largest that a packet with its frame can be.
const MAX_PACKET_BYTES: usize = 65_535 + ETHERNET_HEADER_BYTES;

/// The driver of /dev/net/tun.
pub struct TunDriver;

impl TunDriver {
    /// The device.
    pub const NUMBER: (u32, u32) = (10, 200);

    /// Has it open its device among `specials`.
    pub fn register(specials: &SpecialFiles) {
        let (major, minor) = Self::NUMBER;
        specials.register_one(FileKind::CharacterDevice, DeviceNumber::new(major, minor), Arc::new(Self));
    }
}

impl DeviceDriver for TunDriver {
    fn open(
        &self,
        _device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        _flags: OpenFlags,
        _viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(TunFile { inode: inode.clone(), device: OnceLock::new(), idle: WaitQueue::default() }))
    }
}

/// An open /dev/net/tun, and the link that it has once TUNSETIFF has said which.
pub(super) struct TunFile {
    inode: Arc<dyn Inode>,
    device: OnceLock<Arc<TunDevice>>,
    /// Where nothing is ever announced.
    idle: WaitQueue,
}

impl TunFile {
    /// The link's end, while there is a link.
    ///
    /// # Errors
    /// EBADFD.
    pub(super) fn device(&self) -> Result<&Arc<TunDevice>, Errno> {
        let device = self.device.get().ok_or(Errno::EBADFD)?;
        device.place().map(|_| device)
    }

    /// Whether it has had a link.
    pub(super) fn is_used(&self) -> bool {
        self.device.get().is_some()
    }

    /// It has `device` from now on.
    ///
    /// # Errors
    /// EEXIST: it has one.
    pub(super) fn take(&self, device: Arc<TunDevice>) -> Result<(), Errno> {
        self.device.set(device).map_err(|_| Errno::EEXIST)
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let device = self.device()?;
        if buffer.is_empty() {
            return Ok(0);
        }
        let waiting = device.pop().ok_or(Errno::EAGAIN)?;
        let (settings, frame) = (device.settings(), &waiting.frame);
        let (network, index) = device.place()?;
        let traffic = Traffic { packets: 1, bytes: frame.bytes.len() as u64 };
        statistics_of(&network, index)?.count_sent(traffic);
        let mut told = Vec::new();
        if settings.has_packet_information() {
            let whole = PACKET_INFORMATION_BYTES + settings.vnet_bytes() + frame.bytes.len();
            let flags = if whole > buffer.len() { TUN_PKT_STRIP } else { 0 };
            told.extend_from_slice(&flags.to_ne_bytes());
            told.extend_from_slice(&frame.protocol.to_be_bytes());
        }
        told.resize(told.len() + settings.vnet_bytes(), 0);
        if told.len() > buffer.len() {
            return Err(Errno::EINVAL);
        }
        told.extend_from_slice(&frame.bytes);
        let len_bytes = told.len().min(buffer.len());
        buffer[..len_bytes].copy_from_slice(&told[..len_bytes]);
        Ok(len_bytes)
    }

    fn write(&self, written: &[u8]) -> Result<(), Errno> {
        let device = self.device()?;
        let (network, index) = device.place()?;
        let (protocol, bytes) = split(device, written)?;
        let link = Link::find(&network, index).ok_or(Errno::EBADFD)?;
        if !link.is_up {
            return Err(Errno::EIO);
        }
        // What no packet can be is lost.
        if bytes.len() > MAX_PACKET_BYTES {
            return Ok(());
        }
        let traffic = Traffic { packets: 1, bytes: bytes.len() as u64 };
        statistics_of(&network, index)?.count_received(traffic);
        let kind = match device.layer {
            TunLayer::Tun => FrameKind::Host,
            TunLayer::Tap => link.kind_of(bytes.first_chunk().copied().unwrap_or_default()),
        };
        let frame = Frame::new(&link, kind, bytes.into(), network.shared().now());
        come_in(&network, &frame.of_protocol(protocol));
        Ok(())
    }
}

/// What counts at a link.
///
/// # Errors
/// EBADFD: it is gone.
fn statistics_of(network: &NetworkNamespace, index: u32) -> Result<Arc<LinkStatistics>, Errno> {
    network
        .configuration()
        .look(|all| all.link(index).map(|link| link.statistics.clone()))
        .map_err(|_| Errno::EBADFD)
}

/// What is written: the protocol, where it is not in the frame, and the packet.
///
/// # Errors
/// EINVAL.
fn split<'a>(device: &TunDevice, written: &'a [u8]) -> Result<(Option<u16>, &'a [u8]), Errno> {
    let settings = device.settings();
    let (mut rest, mut protocol) = (written, None);
    if settings.has_packet_information() {
        let (&[_, _, high, low], packet) = rest.split_first_chunk().ok_or(Errno::EINVAL)?;
        (rest, protocol) = (packet, Some(u16::from_be_bytes([high, low])));
    }
    rest = rest.get(settings.vnet_bytes()..).ok_or(Errno::EINVAL)?;
    match device.layer {
        TunLayer::Tap if rest.len() < ETHERNET_HEADER_BYTES => Err(Errno::EINVAL),
        TunLayer::Tap => Ok((None, rest)),
        TunLayer::Tun if protocol.is_some() => Ok((protocol, rest)),
        TunLayer::Tun => match rest.first().map(|first| first >> 4) {
            Some(4) => Ok((Some(ETH_P_IP), rest)),
            Some(6) => Ok((Some(ETH_P_IPV6), rest)),
            _ => Err(Errno::EINVAL),
        },
    }
}

impl File for TunFile {
    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        self.read(buffer)
    }

    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Whole
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        self.write(buffer).map(|()| buffer.len())
    }

    fn write_unit(&self) -> TransferUnit {
        TransferUnit::Whole
    }

    fn readiness(&self) -> Events {
        let Ok(device) = self.device() else { return Events::ERR };
        let is_up = device
            .place()
            .is_ok_and(|(network, index)| Link::find(&network, index).is_some_and(|link| link.is_up));
        let readable = if device.has_unread() { Events::IN | Events::RDNORM } else { Events::empty() };
        let writable = if is_up { Events::OUT | Events::WRNORM } else { Events::empty() };
        readable | writable
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.device.get().map_or(&self.idle, |device| &device.readers))
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        control::control(self, request, argument, caller)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        let name = self.device().and_then(|device| {
            let (network, index) = device.place()?;
            network.configuration().look(|all| all.link(index).map(|link| link.name.to_string()))
        });
        text.push(format!("iff:\t{}\n", name.unwrap_or_default()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for TunFile {
    /// A link that is not to stay goes with who has it.
    fn drop(&mut self) {
        let Some(device) = self.device.get() else { return };
        device.detach();
        let Ok((network, index)) = device.place() else { return };
        if device.settings().is_persistent {
            network.configuration().set_carrier(index, false);
        } else if let Err(refusal) = network.remove_link(index) {
            log::debug!("a TUN or TAP link stays: {}", refusal.errno);
        }
    }
}
