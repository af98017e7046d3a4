//! /proc/sys/net: the settings of the viewer's network namespace.

use std::sync::Arc;

use super::About;
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::pseudo::{Child, Children, Directory, Entry, Node, directory};
use crate::fs::{Access, FileKind, Metadata, Network, Viewer};
use crate::network_settings::{ALL_LINKS, LINKS_TO_COME, SettingDirectory};

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
static IPV4: Directory<About> =
    of(&[directory("conf", &IPV4_LINKS), directory("route", &IPV4_ROUTE)], &Settings(SettingDirectory::Ipv4));
static IPV4_ROUTE: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv4Route));
static IPV4_LINK: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv4Link));
static IPV4_LINKS: Directory<About> = Directory { entries: &[], children: Some(&Links(&IPV4_LINK)) };
static IPV6: Directory<About> = of(
    &[directory("conf", &IPV6_LINKS), directory("icmp", &IPV6_ICMP), directory("route", &IPV6_ROUTE)],
    &Settings(SettingDirectory::Ipv6),
);
static IPV6_ICMP: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv6Icmp));
static IPV6_LINK: Directory<About> = of(&[], &Settings(SettingDirectory::Ipv6Link));
static IPV6_LINKS: Directory<About> = Directory { entries: &[], children: Some(&Links(&IPV6_LINK)) };
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
        let permissions = if setting.is_writable() { 0o644 } else { 0o444 };
        let node = Node::Guarded(may_access, &Node::Setting(read, write));
        Ok(Child { subject: about.of_setting(self.0, setting), permissions, node })
    }
}

/// The directories of settings for links, each with the names of the one that this has. The loopback is there in every namespace;
/// others are found by their names, and what is not there is told by its files.
struct Links(&'static Directory<About>);

impl Children<About> for Links {
    fn list(&self, _about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip([ALL_LINKS, LINKS_TO_COME, "lo"].map(Vec::from)).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        Ok(Child { subject: about.of_link(name), permissions: 0o555, node: Node::Directory(self.0) })
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
