//! The options of sockets that ask for tables and replace them (`IPT_SO_*`, `IP6T_SO_*`).

use std::sync::Arc;

use linux_raw_sys::net as uapi;
use zerocopy::{FromBytes, IntoBytes};

use super::super::{NetworkNamespace, Socket, SocketKind};
use super::check::Wanted;
use super::matches::MATCHES;
use super::table::{MAX_TABLE_BYTES, Places, Table};
use super::target::TARGETS;
use super::{FILTER, Family};
use crate::Errno;
use crate::abi::{IptGetEntries, IptReplace, XtCounters, XtCountersInfo, XtGetRevision};
use crate::cred::Namespace;
use crate::fs::Caller;
use crate::platform::VirtualAddress;

/// What is set.
const REPLACE: u32 = 64;
const ADD_COUNTERS: u32 = 65;
/// What is asked for; the last two have other numbers for IPv6.
const GET_INFO: u32 = 64;
const GET_ENTRIES: u32 = 65;
const GET_REVISION_MATCH: u32 = 66;
const GET_REVISION_TARGET: u32 = 67;
const GET_REVISION_MATCH_V6: u32 = 68;
const GET_REVISION_TARGET_V6: u32 = 69;

/// The longest value that is set: a table with what comes before it.
pub const MAX_VALUE_BYTES: usize = MAX_TABLE_BYTES + size_of::<IptReplace>();

/// The tables that an option of a socket is about.
pub struct RuleTables {
    network: Arc<NetworkNamespace>,
    family: Family,
    option: u32,
}

/// A name up to its NUL.
fn name_of(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn read<T: FromBytes>(value: &[u8]) -> Result<T, Errno> {
    T::read_from_prefix(value).map(|(value, _)| value).map_err(|_| Errno::EINVAL)
}

impl RuleTables {
    /// What an option of `socket` is about, if that is one for tables.
    pub fn of(socket: &dyn Socket, level: u32, option: u32, is_set: bool) -> Option<Self> {
        let common = socket.common();
        let is_v6 = common.family() == uapi::AF_INET6;
        let is_inet = is_v6 || common.family() == uapi::AF_INET;
        let family = match level {
            uapi::SOL_IP if is_inet && !(is_v6 && common.kind() == SocketKind::Raw) => Family::V4,
            uapi::SOL_IPV6 if is_v6 => Family::V6,
            _ => return None,
        };
        let is_one = match (is_set, family) {
            (true, _) => matches!(option, REPLACE | ADD_COUNTERS),
            (false, Family::V4) => (GET_INFO..=GET_REVISION_TARGET).contains(&option),
            (false, Family::V6) => {
                matches!(option, GET_INFO | GET_ENTRIES | GET_REVISION_MATCH_V6 | GET_REVISION_TARGET_V6)
            }
        };
        let network = socket.network_namespace()?;
        is_one.then_some(Self { network, family, option })
    }

    /// How much of the room for an answer holds the question.
    pub fn asked_bytes(&self) -> usize {
        match self.option {
            GET_INFO => size_of::<crate::abi::IptGetinfo>(),
            GET_ENTRIES => size_of::<IptGetEntries>(),
            _ => size_of::<XtGetRevision>(),
        }
    }

    fn check_right(&self, caller: &dyn Caller) -> Result<(), Errno> {
        if self.network.administers(&caller.credentials()) { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn table(&self, name: &[u8]) -> Result<Arc<Table>, Errno> {
        match name_of(name) {
            FILTER => self.network.xtables().filter(self.family),
            _ => Err(Errno::ENOENT),
        }
    }

    /// The answer to what `asked` holds, for one with room for `room_bytes`.
    ///
    /// # Errors
    /// EPERM, EINVAL for another length, ENOENT for a table, a match or a target that there is not, EAGAIN for a table of another
    /// length, EPROTONOSUPPORT for a later revision of what there is.
    pub fn get(&self, asked: &[u8], room_bytes: usize, caller: &dyn Caller) -> Result<Vec<u8>, Errno> {
        self.check_right(caller)?;
        match self.option {
            GET_INFO if room_bytes != self.asked_bytes() => Err(Errno::EINVAL),
            GET_INFO => {
                let name: [u8; 32] = read(asked)?;
                Ok(self.table(&name)?.information(name).as_bytes().to_vec())
            }
            GET_ENTRIES => {
                let wanted: IptGetEntries = read(asked)?;
                let len_bytes = wanted.size as usize;
                if room_bytes != size_of::<IptGetEntries>() + len_bytes {
                    return Err(Errno::EINVAL);
                }
                let table = self.table(&wanted.name)?;
                if table.len_bytes() != len_bytes {
                    return Err(Errno::EAGAIN);
                }
                Ok([wanted.as_bytes(), &table.told()].concat())
            }
            _ if room_bytes != self.asked_bytes() => Err(Errno::EINVAL),
            _ => self.revision(&read(asked)?),
        }
    }

    fn revision(&self, asked: &XtGetRevision) -> Result<Vec<u8>, Errno> {
        let name = name_of(&asked.name);
        let is_match = matches!(self.option, GET_REVISION_MATCH | GET_REVISION_MATCH_V6);
        let revisions: Vec<u8> = match is_match {
            true => {
                let kinds = MATCHES.iter().filter(|kind| kind.name.as_bytes() == name);
                let own = kinds.filter(|kind| kind.family.is_none_or(|family| family == self.family));
                own.map(|kind| kind.revision).collect()
            }
            false => TARGETS.iter().filter(|kind| kind.name.as_bytes() == name).map(|_| 0).collect(),
        };
        match revisions.contains(&asked.revision) {
            true => Ok(asked.as_bytes().to_vec()),
            false if revisions.is_empty() => Err(Errno::ENOENT),
            false => Err(Errno::EPROTONOSUPPORT),
        }
    }

    /// Replaces a table by the one that `value` holds, or adds to its counters.
    ///
    /// # Errors
    /// EPERM, EINVAL, ENOENT, EAGAIN where the table has changed meanwhile, ELOOP, ENOMEM.
    pub fn set(&self, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
        self.check_right(caller)?;
        match self.option {
            REPLACE => self.replace(value, caller),
            _ => self.add_counters(value),
        }
    }

    fn replace(&self, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
        let wanted: IptReplace = read(value)?;
        if wanted.num_counters == 0 {
            return Err(Errno::EINVAL);
        }
        let len_bytes = wanted.size as usize;
        let bytes = value.get(size_of::<IptReplace>()..).and_then(|rest| rest.get(..len_bytes));
        let is_too_long = len_bytes > MAX_TABLE_BYTES;
        let bytes = bytes.ok_or(if is_too_long { Errno::ENOMEM } else { Errno::EINVAL })?;
        let is_owner = |owner| Arc::ptr_eq(owner, &caller.credentials().user_namespace);
        let table = Table::read(&Wanted {
            family: self.family,
            bytes,
            count: wanted.num_entries as usize,
            places: Places { begin: wanted.hook_entry, end: wanted.underflow },
            owns: self.network.identity().owner().is_some_and(is_owner),
        })?;
        let before = self.table(&wanted.name)?;
        if wanted.valid_hooks != Table::valid_hooks() {
            return Err(Errno::EINVAL);
        }
        if before.count() != wanted.num_counters as usize {
            return Err(Errno::EAGAIN);
        }
        let old = self.network.xtables().replace(table).unwrap_or(before);
        self.network.shared().topology.has_changed();
        // The rules are there already: who has no room for the old counters does without.
        let _told = caller.memory().write_bytes(VirtualAddress(wanted.counters), old.counters().as_bytes());
        Ok(())
    }

    fn add_counters(&self, value: &[u8]) -> Result<(), Errno> {
        let added: XtCountersInfo = read(value)?;
        let rest = value.get(size_of::<XtCountersInfo>()..).unwrap_or_default();
        let counters: Vec<XtCounters> =
            rest.chunks_exact(size_of::<XtCounters>()).map(read).collect::<Result<_, _>>()?;
        let count = added.num_counters as usize;
        if counters.len() != count || !rest.len().is_multiple_of(size_of::<XtCounters>()) {
            return Err(Errno::EINVAL);
        }
        let table = self.table(&added.name)?;
        if table.count() != count {
            return Err(Errno::EINVAL);
        }
        table.add(&counters);
        Ok(())
    }
}
