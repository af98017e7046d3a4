//! The namespace as procfs and sysfs show it.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::device::LinkKind;
use super::{NetworkNamespace, attributes, bridge_attributes, tables};
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::{LinkRelations, Network, NetworkTable};
use crate::network_settings::{ALL_LINKS, LINKS_TO_COME, Setting, SettingDirectory};

impl Network for NetworkNamespace {
    fn table(&self, table: NetworkTable, reader: &Credentials) -> Result<Vec<u8>, Errno> {
        if table == NetworkTable::Unix {
            return tables::unix(self);
        }
        tables::table(self, table, &reader.user_namespace)
    }

    fn links(&self) -> Vec<(u32, String)> {
        self.configuration().look(|all| all.links().map(|link| (link.index, link.name.to_string())).collect())
    }

    fn link_attribute(&self, index: u32, name: &str) -> Result<Vec<u8>, Errno> {
        let told = self.configuration().look(|all| {
            let link = all.link(index)?;
            if name.contains('/') {
                bridge_attributes::show(&all, link, name)
            } else {
                attributes::show(link, name)
            }
        });
        told.map(String::into_bytes)
    }

    fn link_relations(&self, index: u32) -> LinkRelations {
        self.configuration().look(|all| {
            let Ok(link) = all.link(index) else { return LinkRelations::default() };
            let ports = all.links().filter(|port| port.controller == Some(index));
            let controller = link.controller.and_then(|bridge| all.link(bridge).ok());
            LinkRelations {
                is_bridge: link.kind == LinkKind::Bridge,
                is_tun: link.kind.leads_to_program(),
                controller: controller.map(|bridge| bridge.name.to_string()),
                ports: ports.map(|port| port.name.to_string()).collect(),
            }
        })
    }

    fn set_link_attribute(
        &self,
        index: u32,
        name: &str,
        text: &[u8],
        writer: &Credentials,
    ) -> Result<(), Errno> {
        if !self.administers(writer) {
            return Err(Errno::EPERM);
        }
        let changes = attributes::parse(name, text)?;
        Ok(self.shared_self()?.change_link(index, changes)?)
    }

    fn setting(
        &self,
        directory: SettingDirectory,
        link: &str,
        setting: &'static Setting,
        reader: &Credentials,
    ) -> Result<Vec<u8>, Errno> {
        self.check_link(link)?;
        Ok(self.settings().show(directory, link, setting, &reader.user_namespace)?.into_bytes())
    }

    fn set_setting(
        &self,
        directory: SettingDirectory,
        link: &str,
        setting: &'static Setting,
        text: &[u8],
        writer: &Credentials,
    ) -> Result<(), Errno> {
        self.check_link(link)?;
        if !self.administers(writer) {
            return Err(Errno::EPERM);
        }
        self.settings().write(directory, link, setting, text, &writer.user_namespace)?;
        self.shared().topology.has_changed();
        if directory == SettingDirectory::Ipv6Link && setting.name() == "disable_ipv6" {
            self.apply_disabled_ipv6();
        }
        Ok(())
    }

    fn sysfs(&self) -> &OnceLock<Arc<dyn Any + Send + Sync>> {
        self.sysfs_instance()
    }
}

impl NetworkNamespace {
    /// Fails for the name of a link that is not there.
    fn check_link(&self, name: &str) -> Result<(), Errno> {
        let is_place = matches!(name, "" | ALL_LINKS | LINKS_TO_COME);
        if is_place || self.configuration().look(|all| all.find_link(name.as_bytes()).is_ok()) {
            return Ok(());
        }
        Err(Errno::ENOENT)
    }

    /// Brings the links in line with the setting `disable_ipv6`.
    fn apply_disabled_ipv6(&self) {
        for (index, name) in self.links() {
            self.configuration().disable_ipv6(index, self.settings().is_ipv6_disabled(&name));
        }
    }
}
