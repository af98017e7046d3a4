//! /proc/sys/net: the settings of the viewer's network namespace.

use std::sync::Arc;

use super::About;
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::pseudo::{Child, Children, Directory, Entry, Node, directory};
use crate::fs::{Access, FileKind, Metadata, Network, Viewer};
use crate::network_settings::{ALL_LINKS, LINKS_TO_COME, LOOPBACK, SettingDirectory};

/// /proc/sys/net.
pub(super) static NET: Directory<About> = Directory {
    entries: &[
        directory("core", &CORE),
        directory("ipv4", &IPV4),
        directory("ipv6", &IPV6),
        directory("unix", &UNIX),
    ],
    children: None,
};

/// A directory with settings, and these names beside them.
const fn of(entries: &'static [Entry<About>], settings: &'static Settings) -> Directory<About> {
    Directory { entries, children: Some(settings) }
}

static CORE: Directory<About> = of(&[], &Settings(SettingDirectory::Core));
static IPV4: Directory<About> = of(
    &[directory("conf", &IPV4_LINKS), directory("neigh", &IPV4_NEIGHBOURS), directory("route", &IPV4_ROUTE)],
    &Settings(SettingDirectory::Ipv4),
);
static IPV4_ROUTE: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv4Route));
static IPV4_LINK: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv4Link));
static IPV4_LINKS: Directory<About> = Directory { entries: &[], children: Some(&CONFIGURED_IPV4) };
static CONFIGURED_IPV4: Links =
    Links { names: &[ALL_LINKS, LINKS_TO_COME, LOOPBACK], of_each: &IPV4_LINK, of_those_to_come: &IPV4_LINK };
static IPV4_NEIGHBOURS: Directory<About> = Directory { entries: &[], children: Some(&NEAR_IPV4) };
static NEAR_IPV4: Links = Links {
    names: &[LINKS_TO_COME, LOOPBACK],
    of_each: &IPV4_NEIGHBOUR,
    of_those_to_come: &IPV4_USUAL_NEIGHBOUR,
};
static IPV4_NEIGHBOUR: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv4Neighbour));
static IPV4_USUAL_NEIGHBOUR: Directory<About> = Directory {
    entries: &[],
    children: Some(&Both(SettingDirectory::Ipv4Neighbour, SettingDirectory::Ipv4Neighbours)),
};
static IPV6: Directory<About> = of(
    &[
        directory("conf", &IPV6_LINKS),
        directory("icmp", &IPV6_ICMP),
        directory("neigh", &IPV6_NEIGHBOURS),
        directory("route", &IPV6_ROUTE),
    ],
    &Settings(SettingDirectory::Ipv6),
);
static IPV6_ICMP: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv6Icmp));
static IPV6_LINK: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv6Link));
static IPV6_LINKS: Directory<About> = Directory { entries: &[], children: Some(&CONFIGURED_IPV6) };
static CONFIGURED_IPV6: Links =
    Links { names: &[ALL_LINKS, LINKS_TO_COME, LOOPBACK], of_each: &IPV6_LINK, of_those_to_come: &IPV6_LINK };
static IPV6_NEIGHBOURS: Directory<About> = Directory { entries: &[], children: Some(&NEAR_IPV6) };
static NEAR_IPV6: Links = Links {
    names: &[LINKS_TO_COME, LOOPBACK],
    of_each: &IPV6_NEIGHBOUR,
    of_those_to_come: &IPV6_USUAL_NEIGHBOUR,
};
static IPV6_NEIGHBOUR: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv6Neighbour));
static IPV6_USUAL_NEIGHBOUR: Directory<About> = Directory {
    entries: &[],
    children: Some(&Both(SettingDirectory::Ipv6Neighbour, SettingDirectory::Ipv6Neighbours)),
};
static IPV6_ROUTE: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv6Route));
static UNIX: Directory<About> = of(&[], &Settings(SettingDirectory::Unix));

/// The files of a directory.
struct Settings(SettingDirectory);

impl Children<About> for Settings {
    fn list(&self, _about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip(self.0.settings().iter().map(|setting| setting.name().into())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let setting = self.0.find(name).ok_or(Errno::ENOENT)?;
        let node = Node::Guarded(may_access, &Node::Setting(read, write));
        Ok(Child { subject: about.of_setting(self.0, setting), permissions: setting.permissions(), node })
    }
}

/// The files of two directories in one.
struct Both(SettingDirectory, SettingDirectory);

impl Children<About> for Both {
    fn list(&self, about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let names = [self.0, self.1].map(|directory| Settings(directory).list(about));
        let names = names.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten();
        Ok((0..).zip(names.map(|(_, name)| name)).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        Settings(self.0).find(about, name).or_else(|_| Settings(self.1).find(about, name))
    }
}

/// The directories of settings for links. The loopback is there in every namespace; others are found by their names, and what is not
/// there is told by its files.
struct Links {
    names: &'static [&'static str],
    of_each: &'static Directory<About>,
    of_those_to_come: &'static Directory<About>,
}

impl Children<About> for Links {
    fn list(&self, _about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip(self.names.iter().map(|name| Vec::from(*name))).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        if name == ALL_LINKS && !self.names.contains(&name) {
            return Err(Errno::ENOENT);
        }
        let files = if name == LINKS_TO_COME { self.of_those_to_come } else { self.of_each };
        Ok(Child { subject: about.of_link(name), permissions: 0o555, node: Node::Directory(files) })
    }
}

/// Whoever is root, or administers networks in the own user namespace, has the owner's permissions; whether the network namespace
/// is one that they administer is asked when they write.
fn may_access(
    _about: &About,
    metadata: &Metadata,
    access: Access,
    credentials: &Credentials,
) -> Result<bool, Errno> {
    let is_owner = credentials.fs_uid == metadata.uid || credentials.has_in_own(Capabilities::NET_ADMIN);
    let permissions = if is_owner { metadata.permissions() >> 6 } else { metadata.permissions() };
    Ok(Access::from_bits_truncate(permissions & 0o7).contains(access))
}

fn network(about: &About, viewer: &Viewer) -> Result<Arc<dyn Network>, Errno> {
    about.source().network(viewer).ok_or(Errno::ESRCH)
}

fn read(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let (directory, setting) = about.setting.ok_or(Errno::ENOENT)?;
    let link = about.link.as_deref().unwrap_or_default();
    network(about, viewer)?.setting(directory, link, setting, &viewer.credentials)
}

fn write(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let (directory, setting) = about.setting.ok_or(Errno::ENOENT)?;
    let link = about.link.as_deref().unwrap_or_default();
    network(about, viewer)?.set_setting(directory, link, setting, text, &viewer.credentials)
}
