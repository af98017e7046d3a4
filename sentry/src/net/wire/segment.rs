//! Who hears what is sent through a link: everybody on the same segment.

use std::collections::HashSet;
use std::sync::Arc;

use super::Landing;
use crate::cred::Namespace as _;
use crate::net::NetworkNamespace;
use crate::net::device::{CableEnd, Link, LinkKind, LinkStatistics};

/// Most links that one frame reaches.
const MAX_REACHED: usize = 4096;

/// A link of a namespace where frames come in.
#[derive(Clone)]
pub(super) struct Station {
    pub(super) network: Arc<NetworkNamespace>,
    pub(super) device: u32,
    pub(super) hardware_address: [u8; 6],
    /// What counts a frame on its way here.
    pub(super) passed: Vec<Passage>,
}

/// The counters of a link that a frame passes, and whether it goes out there or comes in.
#[derive(Clone)]
pub struct Passage {
    pub(super) statistics: Arc<LinkStatistics>,
    pub(super) is_outward: bool,
    /// What a packet has there beside its bytes.
    pub(super) header_bytes: usize,
}

/// The bytes of an Ethernet header.
const FRAME_HEADER_BYTES: usize = 14;

impl Passage {
    fn of(statistics: &Arc<LinkStatistics>, is_outward: bool) -> Self {
        Self { statistics: statistics.clone(), is_outward, header_bytes: FRAME_HEADER_BYTES }
    }

    /// Out of a loopback, and in again.
    pub(in crate::net) fn through_loopback(statistics: Arc<LinkStatistics>) -> Vec<Self> {
        [true, false]
            .map(|is_outward| Self { statistics: statistics.clone(), is_outward, header_bytes: 0 })
            .to_vec()
    }
}

/// What a frame meets at a link.
struct Look {
    kind: LinkKind,
    is_running: bool,
    controller: Option<u32>,
    cable: Option<CableEnd>,
    hardware_address: [u8; 6],
    statistics: Arc<LinkStatistics>,
}

impl Look {
    fn at(network: &NetworkNamespace, device: u32) -> Option<Self> {
        let of = |link: &Link| Self {
            kind: link.kind,
            is_running: link.is_running(),
            controller: link.controller,
            cable: link.cable.clone(),
            hardware_address: link.hardware_address,
            statistics: link.statistics.clone(),
        };
        network.configuration().look(|all| all.link(device).ok().map(of))
    }
}

/// A frame that spreads from link to link.
#[derive(Default)]
struct Flood {
    stations: Vec<Station>,
    /// Links that it has reached: their namespaces' numbers, and theirs.
    seen: HashSet<(u64, u32)>,
    /// Links that it goes out of, and what it has passed before.
    outward: Vec<(Arc<NetworkNamespace>, u32, Vec<Passage>)>,
}

/// All that hear what goes out of a link.
pub(super) fn stations(network: &Arc<NetworkNamespace>, device: u32) -> Vec<Station> {
    let mut flood = Flood::default();
    flood.seen.insert((network.identity().ino(), device));
    flood.outward.push((network.clone(), device, Vec::new()));
    while let Some((network, device, passed)) = flood.outward.pop() {
        flood.go_out(&network, device, passed);
    }
    flood.stations
}

/// Who hears a frame for `hardware_address` that goes out of a link: the one that has it, or everybody if that is nobody's.
pub(in crate::net) fn hearers(
    network: &Arc<NetworkNamespace>,
    device: u32,
    hardware_address: [u8; 6],
) -> Vec<Landing> {
    let all = stations(network, device);
    let is_known = all.iter().any(|station| station.hardware_address == hardware_address);
    let hears = |station: &Station| !is_known || station.hardware_address == hardware_address;
    let land = |Station { network, device, passed, .. }| Landing { network, device, ttl: u8::MAX, passed };
    all.into_iter().filter(hears).map(land).collect()
}

impl Flood {
    fn go_out(&mut self, network: &Arc<NetworkNamespace>, device: u32, mut passed: Vec<Passage>) {
        let Some(link) = Look::at(network, device).filter(|link| link.is_running) else { return };
        passed.push(Passage::of(&link.statistics, true));
        match (link.kind, &link.cable) {
            (LinkKind::Bridge, _) => self.go_out_of_ports(network, device, None, &passed),
            (LinkKind::Veth, Some(cable)) => {
                let other = cable.other();
                if let Some(network) = other.network.upgrade() {
                    self.come_in(&network, other.index, passed);
                }
            }
            _ => {}
        }
    }

    fn go_out_of_ports(
        &mut self,
        network: &Arc<NetworkNamespace>,
        bridge: u32,
        came_in: Option<u32>,
        passed: &[Passage],
    ) {
        let is_port = |link: &&Link| link.controller == Some(bridge) && Some(link.index) != came_in;
        let ports: Vec<u32> =
            network.configuration().look(|all| all.links().filter(is_port).map(|link| link.index).collect());
        for port in ports {
            if self.seen.len() < MAX_REACHED && self.seen.insert((network.identity().ino(), port)) {
                self.outward.push((network.clone(), port, passed.to_vec()));
            }
        }
    }

    fn come_in(&mut self, network: &Arc<NetworkNamespace>, device: u32, mut passed: Vec<Passage>) {
        if self.seen.len() >= MAX_REACHED || !self.seen.insert((network.identity().ino(), device)) {
            return;
        }
        let Some(link) = Look::at(network, device).filter(|link| link.is_running) else { return };
        passed.push(Passage::of(&link.statistics, false));
        let Some(bridge) = link.controller else {
            return self.arrive(network, device, link.hardware_address, passed);
        };
        let Some(above) = Look::at(network, bridge).filter(|above| above.is_running) else { return };
        self.go_out_of_ports(network, bridge, Some(device), &passed);
        if self.seen.insert((network.identity().ino(), bridge)) {
            passed.push(Passage::of(&above.statistics, false));
            self.arrive(network, bridge, above.hardware_address, passed);
        }
    }

    fn arrive(
        &mut self,
        network: &Arc<NetworkNamespace>,
        device: u32,
        hardware_address: [u8; 6],
        passed: Vec<Passage>,
    ) {
        self.stations.push(Station { network: network.clone(), device, hardware_address, passed });
    }
}
