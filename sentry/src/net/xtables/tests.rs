use std::net::IpAddr;

use zerocopy::IntoBytes;

use super::check::Wanted;
use super::rule::Entry;
use super::table::Places;
use super::*;
use crate::abi::XtEntryHead;
use crate::cred::{Identity, NamespaceKind, UserNamespace};
use crate::net::KernelSockets;

const V4_ENTRY_BYTES: u32 = 112;
const STANDARD_BYTES: u32 = 40;
const ACCEPT: i32 = -2;
const DROP: i32 = -1;
const RETURN: i32 = -5;

fn network() -> Arc<NetworkNamespace> {
    let user = UserNamespace::initial();
    NetworkNamespace::new(Identity::initial(NamespaceKind::Network, &user), KernelSockets::default())
}

fn standard(verdict: i32) -> Vec<u8> {
    let head = XtEntryHead { size: 40, ..XtEntryHead::default() };
    [head.as_bytes(), verdict.as_bytes(), &[0; 4]].concat()
}

/// A table whose entries have these verdicts, of which each hook's chain begins at the same one and ends at the same one.
fn table(verdicts: &[i32], begin: u32, end: u32) -> Result<Table, Errno> {
    let entries = verdicts.iter().map(|verdict| Entry::written(Family::V4, &standard(*verdict)).unwrap());
    let bytes = entries.collect::<Vec<_>>().concat();
    let at = |index: u32| [index * (V4_ENTRY_BYTES + STANDARD_BYTES); 5];
    let places = Places { begin: at(begin), end: at(end) };
    Table::read(&Wanted { family: Family::V4, bytes: &bytes, count: verdicts.len(), places, owns: true })
}

fn offset(index: u32) -> i32 {
    (index * (V4_ENTRY_BYTES + STANDARD_BYTES)).cast_signed()
}

fn judged(table: &Table) -> Verdict {
    let localhost: IpAddr = "127.0.0.1".parse().unwrap();
    let content = Content::syn([1, 2]);
    let packet = Packet { source: localhost, destination: localhost, ttl: 64, tos: 0, content };
    table.judge(Hook::Input, &Seen::new(&network(), packet, Between::coming(1)))
}

#[test]
fn a_chain_that_is_called_comes_back() {
    // A call of the third, which comes back to the second.
    let called = table(&[offset(2), DROP, RETURN], 0, 1).unwrap();
    assert_eq!(judged(&called), Verdict::Drop);
    let accepted = table(&[offset(2), DROP, ACCEPT], 0, 1).unwrap();
    assert_eq!(judged(&accepted), Verdict::Accept);
    // The end of a hook's own chain is its policy.
    assert_eq!(judged(&table(&[RETURN, DROP], 0, 1).unwrap()), Verdict::Drop);
}

#[test]
fn chains_that_lead_back_to_themselves_are_refused() {
    assert_eq!(table(&[offset(0), ACCEPT], 0, 1).err(), Some(Errno::ELOOP));
    assert_eq!(table(&[offset(2), ACCEPT, offset(3), offset(2)], 0, 1).err(), Some(Errno::ELOOP));
    // Into the middle of an entry, and behind the end.
    assert_eq!(table(&[8, ACCEPT], 0, 1).err(), Some(Errno::EINVAL));
    assert_eq!(table(&[offset(9), ACCEPT], 0, 1).err(), Some(Errno::EINVAL));
}

#[test]
fn a_hook_begins_and_ends_at_entries() {
    assert_eq!(table(&[ACCEPT], 0, 1).err(), Some(Errno::EINVAL));
    assert_eq!(table(&[ACCEPT], 1, 0).err(), Some(Errno::EINVAL));
    assert_eq!(table(&[RETURN], 0, 0).err(), Some(Errno::EINVAL));
}

#[test]
fn chains_that_call_each_other_too_often_end() {
    // Each chain calls the next one twice: the last is reached 2^20 times.
    const CHAINS: u32 = 20;
    let mut verdicts = Vec::new();
    for chain in 0..CHAINS {
        verdicts.extend([offset(3 * (chain + 1)), offset(3 * (chain + 1)), RETURN]);
    }
    verdicts.extend([RETURN, ACCEPT]);
    let table = table(&verdicts, 0, 3 * CHAINS + 1).unwrap();
    assert_eq!(judged(&table), Verdict::Drop);
}

#[test]
fn any_bytes_are_a_table_or_refused() {
    let initial = Table::initial(Family::V4).unwrap();
    let (bytes, places) = (initial.told(), Places { begin: [0; 5], end: [0; 5] });
    for place in 0..bytes.len() {
        for byte in [0, 1, 7, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[place] = byte;
            for len in [bytes.len(), place] {
                let bytes = &changed[..len];
                let wanted = Wanted { family: Family::V4, bytes, count: 4, places, owns: true };
                if let Ok(table) = Table::read(&wanted) {
                    judged(&table);
                }
            }
        }
    }
}
