//! What the host's resolv.conf says (`man 5 resolv.conf`).

use std::net::IpAddr;

/// The longest that is read.
const MAX_BYTES: usize = 64 << 10;

/// What the host looks names up by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostResolver {
    /// Its servers; those of a link alone are left out.
    pub(super) nameservers: Vec<IpAddr>,
    /// What is put behind names that have few dots.
    pub(super) search: Vec<String>,
}

impl HostResolver {
    /// That of this host; what cannot be read says nothing.
    pub(super) fn read() -> Self {
        let mut text = std::fs::read("/etc/resolv.conf").unwrap_or_default();
        text.truncate(MAX_BYTES);
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
                    resolver.nameservers.extend(server);
                }
                // The last one counts.
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        resolver
    }
}

#[cfg(test)]
mod tests;
