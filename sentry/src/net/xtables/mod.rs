//! Tables of rules for packets (`man 8 iptables`): the older kind, which sockets' options replace as a whole (`x_tables`).
//!
//! A network namespace has a table "filter" for each version of IP. Whoever sends something asks the chains on its way
//! ([`NetworkNamespace::judge`]): OUTPUT where it leaves, FORWARD at each router, INPUT where it arrives. A TCP connection is
//! judged when it is made, and anew after every change of a table: what does not get through then waits, and is sent again.
//!
//! A table is bytes, which are told as they were given, and the [rules](rule::Rule) that they say, which were checked as Linux checks
//! them. What no rule here can ask (a match or a target that is not in [`matches`] and [`target`]) is refused, as by a kernel that was
//! built without it. Tables that would change packets ("nat", "mangle", "raw") do not exist.
//!
//! Lock order: a table's place, then the connections that are known; neither is held while a configuration is looked at.

mod check;
mod connections;
mod content;
mod listing;
mod matches;
mod requests;
mod rule;
mod table;
mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netlink_packet_route::route::RouteType;
use parking_lot::Mutex;

use self::connections::Connections;
use self::content::Seen;
use self::table::Table;
use super::NetworkNamespace;
use super::wire::Packet;
use crate::Errno;

pub use self::content::{Between, ConnectionState, Content};
pub use self::listing::{listed_matches, listed_targets};
pub use self::requests::{MAX_VALUE_BYTES, RuleTables};
pub use self::target::Rejection;

/// Where packets pass that rules look at, as Linux numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// They arrive.
    Input = 1,
    /// They are passed on.
    Forward = 2,
    /// They leave.
    Output = 3,
}

impl Hook {
    /// Those of the table "filter", in their order there.
    const ALL: [Self; 3] = [Self::Input, Self::Forward, Self::Output];

    /// The hook's bit in a set of hooks.
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// What rules say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// Nobody hears of it.
    Drop,
    /// Its sender hears why not.
    Reject(Rejection),
}

/// The versions of IP, each with tables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `iptables`.
    V4,
    /// `ip6tables`.
    V6,
}

/// The name of the one table that there is.
const FILTER: &[u8] = b"filter";

/// The tables of a network namespace.
#[derive(Default)]
pub struct Xtables {
    /// The table "filter" of each version, once somebody has asked for it.
    filters: [Mutex<Option<Arc<Table>>>; 2],
    /// Somebody has asked for a table: packets are judged.
    are_judged: Arc<AtomicBool>,
    connections: Connections,
}

impl Xtables {
    fn place(&self, family: Family) -> &Mutex<Option<Arc<Table>>> {
        &self.filters[family as usize]
    }

    /// The table "filter", made when it is first asked for.
    fn filter(&self, family: Family) -> Result<Arc<Table>, Errno> {
        let mut place = self.place(family).lock();
        if let Some(table) = &*place {
            return Ok(table.clone());
        }
        let table = Arc::new(Table::initial(family)?);
        *place = Some(table.clone());
        self.are_judged.store(true, Ordering::Release);
        Ok(table)
    }

    /// Whether packets are judged, for one who has to know that often.
    pub(super) fn are_judged(&self) -> Arc<AtomicBool> {
        self.are_judged.clone()
    }

    /// Puts another table in the place of the one that there is, and returns that.
    fn replace(&self, table: Table) -> Option<Arc<Table>> {
        let mut place = self.place(table.family()).lock();
        place.replace(Arc::new(table))
    }

    /// The names of the tables that somebody has asked for, one a line.
    pub fn names(&self, family: Family) -> &'static str {
        if self.place(family).lock().is_some() { "filter\n" } else { "" }
    }
}

impl NetworkNamespace {
    /// What the rules of a hook say of a packet that passes between these links.
    pub(super) fn judge(&self, hook: Hook, packet: &Packet, between: Between) -> Verdict {
        let tables = self.xtables();
        if !tables.are_judged.load(Ordering::Acquire) {
            return Verdict::Accept;
        }
        let family = if packet.destination.is_ipv4() { Family::V4 } else { Family::V6 };
        let Some(table) = tables.place(family).lock().clone() else { return Verdict::Accept };
        let state = match table.asks_for_states() {
            true => tables.connections.state_of(packet, self.shared()),
            false => packet.content.state,
        };
        let content = Content { state, ..packet.content };
        match table.judge(hook, &Seen::new(self, Packet { content, ..*packet }, between)) {
            Verdict::Reject(rejection) if !self.may_tell(packet, rejection, between) => Verdict::Drop,
            Verdict::Accept if table.asks_for_states() => {
                tables.connections.note(packet, self.shared());
                Verdict::Accept
            }
            verdict => verdict,
        }
    }

    /// Whether what tells a sender that its packet is rejected gets through the rules itself.
    fn may_tell(&self, packet: &Packet, rejection: Rejection, between: Between) -> bool {
        if packet.content.is_rejection() {
            return false;
        }
        let told = Packet {
            source: packet.destination,
            destination: packet.source,
            content: Content::rejection(packet, rejection),
            ..*packet
        };
        let back = Between { coming: None, leaving: between.coming.or(between.leaving) };
        let leaves = self.judge(Hook::Output, &told, back) == Verdict::Accept;
        let is_own = self.configuration().address_kind(packet.source) == RouteType::Local;
        let arriving = Between { coming: back.leaving, leaving: None };
        leaves && (!is_own || self.judge(Hook::Input, &told, arriving) == Verdict::Accept)
    }
}

#[cfg(test)]
mod tests;
