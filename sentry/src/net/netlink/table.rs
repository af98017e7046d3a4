//! The netlink sockets of a namespace: by port, and who hears of what.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::socket::NetlinkSocket;
use super::{Protocol, route};
use crate::Errno;
use crate::net::PeerCredentials;
use crate::net::configuration::{Change, ChangeListener};

/// The netlink sockets of a namespace.
#[derive(Default)]
pub struct NetlinkSockets(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// All of them, by inode number.
    all: BTreeMap<u64, Weak<NetlinkSocket>>,
    /// Those that are bound, by protocol and port.
    ports: BTreeMap<(u32, u32), Weak<NetlinkSocket>>,
}

impl NetlinkSockets {
    pub(super) fn register(&self, inode: u64, socket: Weak<NetlinkSocket>) {
        self.0.lock().all.insert(inode, socket);
    }

    pub(super) fn forget(&self, inode: u64, port: Option<(u32, u32)>) {
        let mut table = self.0.lock();
        table.all.remove(&inode);
        if let Some(port) = port {
            table.ports.remove(&port);
        }
    }

    /// Gives a socket its port: the one wanted, or one that is free, the first choice the process's number.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub(super) fn bind(
        &self,
        protocol: Protocol,
        wanted: Option<u32>,
        process_id: i32,
        socket: Weak<NetlinkSocket>,
    ) -> Result<u32, Errno> {
        let mut table = self.0.lock();
        let is_free = |table: &Table, port: u32| !table.ports.contains_key(&(protocol.raw(), port));
        let port = match wanted {
            Some(port) if is_free(&table, port) => port,
            Some(_) => return Err(Errno::EADDRINUSE),
            None => {
                // Negative as a signed number, which no process has.
                let further = (i32::MIN + 4096..-4096).rev().map(i32::cast_unsigned);
                let mut choices = std::iter::once(process_id.cast_unsigned()).chain(further);
                choices.find(|port| *port != 0 && is_free(&table, *port)).ok_or(Errno::EADDRINUSE)?
            }
        };
        table.ports.insert((protocol.raw(), port), socket);
        Ok(port)
    }

    /// The socket at a port.
    pub(super) fn find(&self, protocol: Protocol, port: u32) -> Option<Arc<NetlinkSocket>> {
        self.0.lock().ports.get(&(protocol.raw(), port)).and_then(Weak::upgrade)
    }

    /// How many there are.
    pub(in crate::net) fn len(&self) -> usize {
        self.0.lock().all.len()
    }

    pub(in crate::net) fn all(&self) -> Vec<Arc<NetlinkSocket>> {
        self.0.lock().all.values().filter_map(Weak::upgrade).collect()
    }

    /// Sends to all members of a group but the sender; returns whether there was any.
    pub(super) fn multicast(
        &self,
        protocol: Protocol,
        group: u32,
        bytes: &Arc<[u8]>,
        (port, credentials): (u32, &PeerCredentials),
    ) -> bool {
        let all = self.all();
        // Who is not bound has the kernel's port, and nobody hears oneself.
        let is_member = |socket: &&Arc<NetlinkSocket>| {
            socket.protocol() == protocol && socket.is_member(group) && socket.port().unwrap_or(0) != port
        };
        let members: Vec<_> = all.iter().filter(is_member).collect();
        for socket in &members {
            socket.deliver_to_group((bytes.clone(), port, group), credentials.clone());
        }
        !members.is_empty()
    }
}

impl ChangeListener for NetlinkSockets {
    fn changed(&self, change: &Change) {
        let group = route::group_of(change);
        if !self.all().iter().any(|socket| socket.protocol() == Protocol::Route && socket.is_member(group)) {
            return;
        }
        let bytes = route::notification(change).into();
        self.multicast(Protocol::Route, group, &bytes, (0, &PeerCredentials::default()));
    }
}
