//! Which of the sockets that share a port by SO_REUSEPORT gets what comes: the one that a program says
//! (SO_ATTACH_REUSEPORT_CBPF), or else each its part.

use std::sync::Arc;

use crate::net::SocketCommon;
use crate::net::filter::{FilteredPacket, PacketFilter};
use crate::net::socket::PortSpreading;

/// The program that counts for all who share a port: the last one that any of them was given.
fn program<'a>(commons: impl Iterator<Item = &'a SocketCommon>) -> Option<Arc<PacketFilter>> {
    let given = commons.filter_map(SocketCommon::spreading);
    given.max_by_key(|spreading| spreading.told).and_then(|PortSpreading { program, .. }| program)
}

/// The place of the socket that gets what comes: `part` decides where no program does.
pub(super) fn choose<S>(
    sockets: &[Arc<S>],
    common: impl Fn(&S) -> &SocketCommon,
    packet: &FilteredPacket<'_>,
    part: usize,
) -> usize {
    let count = sockets.len().max(1);
    let said = program(sockets.iter().map(|socket| common(socket))).map(|program| program.number(packet));
    let said = said.and_then(|number| usize::try_from(number).ok()).filter(|place| *place < count);
    said.unwrap_or(part % count)
}
