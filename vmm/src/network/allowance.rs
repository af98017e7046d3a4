//! `--allow`: a name, an address or a prefix, with or without ports.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use ipnet::IpNet;
use sentry::net::outside::HOST_V4;

/// The longest name (RFC 1035).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// What may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub(super) target: Target,
    pub(super) ports: RangeInclusive<u16>,
}

/// Whom an allowance is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Whatever addresses the name has, in lower case.
    Name(String),
    /// All addresses with the prefix.
    Prefix(IpNet),
}

pub(super) const ALL_PORTS: RangeInclusive<u16> = 0..=u16::MAX;

impl Allowance {
    /// One for an address.
    pub(super) fn of_address(address: IpAddr, ports: RangeInclusive<u16>) -> Self {
        Self { target: Target::Prefix(address.into()), ports }
    }
}

impl FromStr for Allowance {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Ok(target) = prefix(text) {
            return Ok(Self { target, ports: ALL_PORTS });
        }
        let (target, ports) = match text.strip_prefix('[') {
            Some(rest) => bracketed(rest)?,
            None => match text.rsplit_once(':') {
                Some((host, ports)) => (host.to_owned(), Some(ports)),
                None => (text.to_owned(), None),
            },
        };
        let target = prefix(&target).or_else(|_| name(&target).map(Target::Name))?;
        Ok(Self { target, ports: ports.map_or(Ok(ALL_PORTS), port_range)? })
    }
}

/// `ADDR]`, `ADDR/LEN]` or `ADDR]/LEN`, and ports behind a colon.
fn bracketed(rest: &str) -> anyhow::Result<(String, Option<&str>)> {
    let (address, rest) = rest.split_once(']').context("a bracket is not closed")?;
    let (length, ports) = rest.split_once(':').map_or((rest, None), |(length, ports)| (length, Some(ports)));
    ensure!(length.is_empty() || length.starts_with('/'), "'{length}' is no length of a prefix");
    Ok((format!("{address}{length}"), ports))
}

fn prefix(text: &str) -> anyhow::Result<Target> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().into(),
        Err(_) => text.parse::<IpNet>()?,
    };
    Ok(Target::Prefix(network.trunc()))
}

/// A name of a host, in lower case and without a dot at its end.
pub(super) fn name(text: &str) -> anyhow::Result<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_plain)
    };
    let has_digits_alone = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_name = name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label) && !has_digits_alone;
    ensure!(is_name, "'{text}' is no name of a host, no address and no prefix");
    Ok(name)
}

/// `--add-host NAME:ADDR`; `host-gateway` is the host, as docker calls it.
///
/// # Errors
/// It is something else.
pub fn host_entry(text: &str) -> anyhow::Result<(String, IpAddr)> {
    let (host, address) = text.split_once([':', '=']).context("it is NAME:ADDR")?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address = match bare {
        "host-gateway" => HOST_V4.into(),
        bare => bare.parse().with_context(|| format!("'{address}' is no address"))?,
    };
    Ok((name(host)?, address))
}

fn port_range(text: &str) -> anyhow::Result<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let [first, last] = [first, last].map(port);
    let range = first?..=last?;
    if range.is_empty() {
        bail!("'{text}' is no range of ports: the first comes first");
    }
    Ok(range)
}

/// A port's number.
pub(super) fn port(text: &str) -> anyhow::Result<u16> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("'{text}' is no port"))
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, ports } = self;
        let text = match target {
            Target::Name(name) => name.clone(),
            Target::Prefix(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().to_string()
            }
            Target::Prefix(network) => network.to_string(),
        };
        match (ports.start(), ports.end()) {
            _ if *ports == ALL_PORTS => write!(f, "{text}"),
            (first, last) if text.contains(':') && first == last => write!(f, "[{text}]:{first}"),
            (first, last) if text.contains(':') => write!(f, "[{text}]:{first}-{last}"),
            (first, last) if first == last => write!(f, "{text}:{first}"),
            (first, last) => write!(f, "{text}:{first}-{last}"),
        }
    }
}
