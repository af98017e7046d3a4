//! What a sandbox looks names up by: /etc/resolv.conf and /etc/hosts (`man 5 resolv.conf`, `man 5 hosts`).
//!
//! They are written into the tree before anybody is in it; the image has its own still.

use std::fmt::Write;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::root::{BootError, Builder};

const RESOLVER_PATH: &str = "/etc/resolv.conf";
const HOSTS_PATH: &str = "/etc/hosts";
/// The most that is read of the image's own table.
const MAX_BYTES: usize = 1 << 20;

/// What a sandbox looks names up by, where it is not the image that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameService {
    /// Servers that /etc/resolv.conf names; with none, it is the image's.
    pub nameservers: Vec<IpAddr>,
    /// What it says is to be put behind names that have few dots.
    pub search: Vec<String>,
    /// What /etc/hosts says before the image's own lines.
    pub hosts: Vec<HostEntry>,
}

/// A line of /etc/hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEntry {
    /// As `--add-host` has it: a host name without a dot at its end.
    pub name: String,
    /// What the name stands for in /etc/hosts.
    pub address: IpAddr,
}

impl NameService {
    /// Writes the tables that differ from the image's.
    pub(super) fn write(&self, builder: &Builder) -> Result<(), BootError> {
        if !self.nameservers.is_empty() {
            builder.replace_file(RESOLVER_PATH, self.resolver().as_bytes())?;
        }
        if !self.hosts.is_empty() {
            let own = builder.read_file(HOSTS_PATH, MAX_BYTES).unwrap_or_default();
            builder.replace_file(HOSTS_PATH, &[self.hosts().as_bytes(), &own].concat())?;
        }
        Ok(())
    }

    fn resolver(&self) -> String {
        let mut text = String::new();
        for server in &self.nameservers {
            // Writing to a String does not fail.
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        text
    }

    fn hosts(&self) -> String {
        self.hosts.iter().fold(String::new(), |mut text, HostEntry { name, address }| {
            let _ = writeln!(text, "{address}\t{name}");
            text
        })
    }
}
