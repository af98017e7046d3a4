//! What may be reached: what the caller said, and the addresses that names have for now.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustix::io::Errno;
use sentry::net::outside::{HOST_V4, HOST_V6, RESOLVER_V4, RESOLVER_V6};

use super::Network;
use super::allowance::{ALL_PORTS, Allowance, Target};
use super::publication::Protocol;

pub(super) const DNS_PORT: u16 = 53;
/// Most addresses that names have at a time.
const MAX_LEARNED: usize = 4096;
/// Ports for which an address is known, each by its name.
const MAX_RANGES: usize = 64;
/// However short-lived an answer is, there is a moment to use it in; and the longest that one is believed.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How much longer than whoever asked an address stays open: an answer takes a while to be used.
const GRACE: Duration = Duration::from_secs(1);
/// Refusals that are told of, each once.
const MAX_TOLD: usize = 1024;

/// Where a socket is to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To an address of the host's network.
    Outside(SocketAddr),
    /// To the sandbox's resolver.
    Resolver,
}

/// Ports that are open, and until when.
type Opening = (RangeInclusive<u16>, Instant);

/// What may be reached.
pub(super) struct Policy {
    reaches_all: bool,
    prefixes: Vec<(IpNet, RangeInclusive<u16>)>,
    names: HashMap<String, Vec<RangeInclusive<u16>>>,
    learned: HashMap<IpAddr, Vec<Opening>>,
    told: HashSet<String>,
}

impl Policy {
    /// What `network` says. A name that it gives an address has it for good.
    pub(super) fn new(network: &Network) -> Self {
        let mut policy = Self {
            reaches_all: network.reaches_all,
            prefixes: Vec::new(),
            names: HashMap::new(),
            learned: HashMap::new(),
            told: HashSet::new(),
        };
        for Allowance { target, ports } in &network.allowed {
            match target {
                Target::Prefix(prefix) => policy.prefixes.push((*prefix, ports.clone())),
                Target::Name(name) => {
                    let hosts = network.hosts.iter().filter(|(host, _)| host == name);
                    let own = hosts.map(|(_, address)| (outer(*address).into(), ports.clone()));
                    policy.prefixes.extend(own);
                    policy.names.entry(name.clone()).or_default().push(ports.clone());
                }
            }
        }
        policy
    }

    /// Where what the guest sends to `destination` leads.
    ///
    /// # Errors
    /// ECONNREFUSED: it is not allowed. EINVAL, ENETUNREACH: nobody is there.
    pub(super) fn way(
        &mut self,
        protocol: Protocol,
        destination: SocketAddr,
        now: Instant,
    ) -> Result<Way, Errno> {
        let (inner, port) = (destination.ip().to_canonical(), destination.port());
        if port == 0 || inner.is_unspecified() {
            return Err(Errno::INVAL);
        }
        if inner.is_multicast() || inner == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Errno::NETUNREACH);
        }
        if matches!(inner, IpAddr::V4(RESOLVER_V4) | IpAddr::V6(RESOLVER_V6)) {
            let is_dns = port == DNS_PORT && self.looks_names_up();
            return if is_dns { Ok(Way::Resolver) } else { Err(Errno::CONNREFUSED) };
        }
        let address = outer(inner);
        if self.allows(address, port, now) {
            return Ok(Way::Outside(SocketAddr::new(address, port)));
        }
        let allowance = Allowance::of_address(address, port..=port);
        self.tell(&format!("{protocol} to {}", SocketAddr::new(address, port)), &allowance);
        Err(Errno::CONNREFUSED)
    }

    fn looks_names_up(&self) -> bool {
        self.reaches_all || !self.names.is_empty() || !self.prefixes.is_empty()
    }

    fn allows(&self, address: IpAddr, port: u16, now: Instant) -> bool {
        let of_prefix = |(prefix, ports): &(IpNet, RangeInclusive<u16>)| {
            prefix.contains(&address) && ports.contains(&port)
        };
        let of_name = |(ports, until): &Opening| ports.contains(&port) && *until > now;
        self.reaches_all
            || self.prefixes.iter().any(of_prefix)
            || self.learned.get(&address).is_some_and(|openings| openings.iter().any(of_name))
    }

    /// Whether a name, in lower case, may be looked up; one that may not is told of.
    pub(super) fn allows_name(&mut self, name: &str) -> bool {
        if self.reaches_all || self.names.contains_key(name) {
            return true;
        }
        if let Ok(target) = super::allowance::name(name).map(Target::Name) {
            self.tell(&format!("the name {name}"), &Allowance { target, ports: ALL_PORTS });
        }
        false
    }

    /// The name, which was looked up, has this address for so long. One that stands for the host itself, or for everybody, opens
    /// nothing: who answers for a name does not speak for the host.
    pub(super) fn learn(&mut self, name: &str, address: IpAddr, time_to_live: Duration, now: Instant) {
        let Some(ranges) = self.names.get(name).cloned() else { return };
        if is_host_s_own(address) {
            log::info!("the name {name} has the address {address}, which is the host's own: it stays closed");
            return;
        }
        let until = now + time_to_live.clamp(SHORTEST, LONGEST) + GRACE;
        self.make_room(now);
        let openings = self.learned.entry(address.to_canonical()).or_default();
        openings.retain(|(_, until)| *until > now);
        for range in ranges {
            let has_room = openings.len() < MAX_RANGES;
            match openings.iter_mut().find(|(ports, _)| *ports == range) {
                Some((_, known)) => *known = until.max(*known),
                None if has_room => openings.push((range, until)),
                None => {}
            }
        }
    }

    /// Forgets what has passed, and whatever address is the first to pass if that is not enough.
    fn make_room(&mut self, now: Instant) {
        if self.learned.len() < MAX_LEARNED {
            return;
        }
        self.learned.retain(|_, openings| openings.iter().any(|(_, until)| *until > now));
        let last = |openings: &[Opening]| openings.iter().map(|(_, until)| *until).max();
        if self.learned.len() >= MAX_LEARNED
            && let Some(first) =
                self.learned.iter().min_by_key(|(_, openings)| last(openings)).map(|(ip, _)| *ip)
        {
            self.learned.remove(&first);
        }
    }

    /// Tells once what was refused, and what would let it through.
    fn tell(&mut self, what: &str, allowance: &Allowance) {
        if self.told.len() >= MAX_TOLD || !self.told.insert(what.to_owned()) {
            return;
        }
        log::info!("refused: {what}; --allow {allowance} would let it through");
        if self.told.len() == MAX_TOLD {
            log::info!("refused: more than {MAX_TOLD} different things; what else is refused is not told");
        }
    }
}

/// The address on the host's network that stands behind one that the guest uses: the host's own is its loopback.
fn outer(inner: IpAddr) -> IpAddr {
    match inner {
        IpAddr::V4(HOST_V4) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(HOST_V6) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Whether an address is one by which a host reaches itself or its own link.
fn is_host_s_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local
}
