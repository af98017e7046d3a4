//! RTM_NEWRULE, RTM_DELRULE and RTM_GETRULE.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::{Message, family_of, includes, is_ipv6};
use crate::Errno;
use crate::net::configuration::{NetworkConfiguration, Refusal, Snapshot};
use crate::net::route::Rule;

/// What the header says of a table whose number it has no room for (`RT_TABLE_COMPAT`).
const FURTHER_TABLE: u8 = 252;
/// What is told of a rule that lets all prefixes count.
const ALL_PREFIXES: u32 = u32::MAX;

pub(super) fn list(all: &Snapshot<'_>, request: &Message, _is_strict: bool) -> Vec<Message> {
    let Message::GetRule(request) = request else { return Vec::new() };
    let rules = all.rules().filter(|rule| includes(request.header.family, rule.is_ipv6));
    rules.map(|rule| Message::NewRule(message_of(rule))).collect()
}

/// What is told of a rule.
pub(super) fn message_of(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let len = |network: Option<IpNet>| network.map_or(0, |network| network.prefix_len());
    message.header.family = family_of(rule.is_ipv6);
    message.header.dst_len = len(rule.destination);
    message.header.src_len = len(rule.source);
    message.header.table = u8::try_from(rule.table).unwrap_or(FURTHER_TABLE);
    message.header.action = rule.action;
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Table(rule.table));
    attributes.push(RuleAttribute::SuppressPrefixLen(ALL_PREFIXES));
    attributes.push(RuleAttribute::Protocol(rule.protocol));
    attributes.extend((rule.priority != 0).then_some(RuleAttribute::Priority(rule.priority)));
    if rule.mark != 0 || rule.mark_mask != 0 {
        attributes.extend([RuleAttribute::FwMark(rule.mark), RuleAttribute::FwMask(rule.mark_mask)]);
    }
    attributes.extend(rule.destination.map(|network| RuleAttribute::Destination(network.addr())));
    attributes.extend(rule.source.map(|network| RuleAttribute::Source(network.addr())));
    message
}

/// What a request says of a rule; `None` where it says nothing.
struct Told {
    rule: Rule,
    priority: Option<u32>,
    table: Option<u32>,
}

fn read(request: &RuleMessage) -> Result<Told, Refusal> {
    let header = &request.header;
    let is_ipv6 = is_ipv6(header.family)?;
    let network = |address: IpAddr, len: u8| {
        if address.is_ipv6() != is_ipv6 {
            return Err(Errno::EINVAL);
        }
        IpNet::new(address, len).map(|network| network.trunc()).map_err(|_| Errno::EINVAL)
    };
    let table = Some(u32::from(header.table)).filter(|table| *table != 0);
    let mut told = Told {
        rule: Rule {
            priority: 0,
            is_ipv6,
            source: None,
            destination: None,
            mark: 0,
            mark_mask: 0,
            action: header.action,
            table: 0,
            protocol: Default::default(),
        },
        priority: None,
        table,
    };
    for attribute in &request.attributes {
        match attribute {
            RuleAttribute::Destination(address) => {
                told.rule.destination = Some(network(*address, header.dst_len)?);
            }
            RuleAttribute::Source(address) => told.rule.source = Some(network(*address, header.src_len)?),
            RuleAttribute::Priority(priority) => told.priority = Some(*priority),
            RuleAttribute::Table(table) => told.table = Some(*table).filter(|table| *table != 0),
            RuleAttribute::FwMark(mark) => (told.rule.mark, told.rule.mark_mask) = (*mark, u32::MAX),
            RuleAttribute::Protocol(protocol) => told.rule.protocol = *protocol,
            RuleAttribute::SuppressPrefixLen(ALL_PREFIXES) => {}
            RuleAttribute::FwMask(_) => {}
            // Rules here do not look at links, users, ports or tunnels.
            _ => return Err(Errno::EOPNOTSUPP.into()),
        }
    }
    let mask = request.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::FwMask(mask) => Some(*mask),
        _ => None,
    });
    told.rule.mark_mask = mask.unwrap_or(told.rule.mark_mask);
    Ok(told)
}

/// RTM_NEWRULE.
pub(super) fn add(
    configuration: &NetworkConfiguration,
    request: &RuleMessage,
    is_exclusive: bool,
) -> Result<(), Refusal> {
    let told = read(request)?;
    let table = match told.rule.action {
        RuleAction::ToTable => told.table.ok_or(Refusal::new(Errno::EINVAL, "Invalid table"))?,
        RuleAction::Blackhole | RuleAction::Unreachable | RuleAction::Prohibit => 0,
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    configuration.add_rule(Rule { table, ..told.rule }, told.priority, is_exclusive)
}

/// RTM_DELRULE: the first rule that is as the request says, as far as it says something.
pub(super) fn delete(configuration: &NetworkConfiguration, request: &RuleMessage) -> Result<(), Refusal> {
    let Told { rule: wanted, priority, table } = read(request)?;
    configuration.delete_rule(|rule| {
        rule.is_ipv6 == wanted.is_ipv6
            && (wanted.action == RuleAction::Unspec || rule.action == wanted.action)
            && priority.is_none_or(|priority| rule.priority == priority)
            && table.is_none_or(|table| rule.table == table)
            && (wanted.source.is_none() || rule.source == wanted.source)
            && (wanted.destination.is_none() || rule.destination == wanted.destination)
            && (wanted.mark == 0 || rule.mark == wanted.mark)
    })
}
