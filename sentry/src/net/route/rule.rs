//! Rules: which tables are asked for whom.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::RuleAction;

use super::{DEFAULT_TABLE, LOCAL_TABLE, MAIN_TABLE};

/// The priority of the rule for the main table.
const MAIN_PRIORITY: u32 = 32766;
/// The priority of the rule for the default table.
const DEFAULT_PRIORITY: u32 = 32767;

/// A rule (`man 8 ip-rule`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Rules are asked by ascending priority.
    pub priority: u32,
    /// Whether it is for IPv6; a rule is for one family.
    pub is_ipv6: bool,
    /// For packets from there; from anywhere if there is none.
    pub source: Option<IpNet>,
    /// For packets to there.
    pub destination: Option<IpNet>,
    /// For packets with this mark, as far as the mask tells.
    pub mark: u32,
    /// Which bits of the mark count.
    pub mark_mask: u32,
    /// What it does: asks the table, or refuses.
    pub action: RuleAction,
    /// FRA_TABLE: where to look the route up.
    pub table: u32,
    /// Who made it.
    pub protocol: RouteProtocol,
}

impl Rule {
    fn for_everybody(is_ipv6: bool, priority: u32, table: u32) -> Self {
        Self {
            priority,
            is_ipv6,
            source: None,
            destination: None,
            mark: 0,
            mark_mask: 0,
            action: RuleAction::ToTable,
            table,
            protocol: RouteProtocol::Kernel,
        }
    }

    /// Whether it is for a packet. Who has no source address yet is from nowhere in particular.
    pub(super) fn is_for(&self, source: Option<IpAddr>, destination: IpAddr, mark: u32) -> bool {
        let holds = |network: &IpNet, address: IpAddr| network.contains(&address);
        self.is_ipv6 == destination.is_ipv6()
            && self.source.is_none_or(|network| source.is_some_and(|address| holds(&network, address)))
            && self.destination.is_none_or(|network| holds(&network, destination))
            && (mark ^ self.mark) & self.mark_mask == 0
    }
}

/// The rules of a namespace, those of each family by ascending priority.
#[derive(Debug)]
pub(in crate::net) struct Rules(Vec<Rule>);

impl Default for Rules {
    fn default() -> Self {
        Self(vec![
            Rule::for_everybody(false, 0, LOCAL_TABLE),
            Rule::for_everybody(false, MAIN_PRIORITY, MAIN_TABLE),
            Rule::for_everybody(false, DEFAULT_PRIORITY, DEFAULT_TABLE),
            Rule::for_everybody(true, 0, LOCAL_TABLE),
            Rule::for_everybody(true, MAIN_PRIORITY, MAIN_TABLE),
        ])
    }
}

impl Rules {
    /// All of them.
    pub(in crate::net) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// How many there are.
    pub(in crate::net) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts in a rule, behind those of its priority.
    pub(in crate::net) fn insert(&mut self, rule: Rule) {
        let place = |rule: &Rule| (rule.is_ipv6, rule.priority);
        let index = self.0.partition_point(|other| place(other) <= place(&rule));
        self.0.insert(index, rule);
    }

    /// Takes out the first rule that `is_wanted` tells.
    pub(in crate::net) fn remove(&mut self, is_wanted: impl Fn(&Rule) -> bool) -> Option<Rule> {
        let index = self.0.iter().position(is_wanted)?;
        Some(self.0.remove(index))
    }

    /// The priority of a rule that names none: one before the second of the family.
    pub(in crate::net) fn next_priority(&self, is_ipv6: bool) -> u32 {
        let second = self.0.iter().filter(|rule| rule.is_ipv6 == is_ipv6).nth(1);
        second.map_or(0, |rule| rule.priority.saturating_sub(1))
    }
}
