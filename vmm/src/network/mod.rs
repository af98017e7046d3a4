//! The outside of a sandbox, by permission.
//!
//! Without permission there is nothing here: a sandbox has its loopback, and the jail's list of calls is as it is. With it, a
//! [`broker`] makes the sockets: a process that is forked before anything of the guest is there and confines itself, so that a
//! sentry which a guest has taken over gets no socket that the [`policy`] would not have let it have. Between the two are two
//! socket pairs with small typed messages ([`protocol`]); vmm's end is the sentry's [`door`].

mod allowance;
mod broker;
mod door;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod host_resolver;
mod policy;
mod protocol;
mod publication;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use self::broker::connects;

use std::collections::BTreeSet;
use std::net::IpAddr;

use sentry::boot::{HostEntry, NameService};
use sentry::net::outside::RESOLVER_V4;

pub use self::allowance::{Allowance, host_entry};
pub use self::publication::{Protocol, Publication};

pub(crate) use self::broker::examine;
pub(crate) use self::door::OpenDoor;

use self::host_resolver::HostResolver;

/// What of the outside a sandbox reaches, and what of it the outside reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// It reaches whatever the host reaches.
    pub reaches_all: bool,
    /// What it reaches else.
    pub allowed: Vec<Allowance>,
    /// Ports of the guest that are reached from outside.
    pub published: Vec<Publication>,
    /// Who is asked for names; the host's own servers if nobody is named.
    pub nameservers: Vec<IpAddr>,
    /// Names that the sandbox is told of in its /etc/hosts, and their addresses inside.
    pub hosts: Vec<(String, IpAddr)>,
}

impl Network {
    /// Whether anything leads out.
    pub fn leads_out(&self) -> bool {
        self.reaches_all || !self.allowed.is_empty()
    }

    /// What the sandbox looks names up by. Where something leads out, that is its own resolver, by which names open addresses; else the
    /// servers that were named are asked, which are inside.
    pub fn name_service(&self) -> NameService {
        let hosts = self.hosts.iter().cloned().map(|(name, address)| HostEntry { name, address });
        let is_own = self.leads_out();
        let has_host_s = is_own && self.nameservers.is_empty();
        NameService {
            nameservers: if is_own { vec![RESOLVER_V4.into()] } else { self.nameservers.clone() },
            search: if has_host_s { HostResolver::read().search } else { Vec::new() },
            hosts: hosts.collect(),
        }
    }

    /// The TCP ports that are connected to, with that of servers of names; `None` if they are too many to tell.
    fn connected_ports(&self) -> Option<Vec<u16>> {
        const MOST: usize = 1024;
        if self.reaches_all {
            return None;
        }
        let mut ports = BTreeSet::from([policy::DNS_PORT]);
        for Allowance { ports: range, .. } in &self.allowed {
            if range.len() > MOST {
                return None;
            }
            ports.extend(range.clone());
        }
        (ports.len() <= MOST).then(|| ports.into_iter().collect())
    }

    /// Whether there is a door: something leads out or in.
    pub fn has_door(&self) -> bool {
        self.leads_out() || !self.published.is_empty()
    }
}
