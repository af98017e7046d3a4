//! /proc/net/dev.

use std::fmt::Write;

use super::super::configuration::Snapshot;
use super::super::device::Link;

const HEADER: &str =
    "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";

pub(super) fn devices(all: &Snapshot<'_>) -> String {
    let mut text = HEADER.to_string();
    for link in all.links() {
        push(&mut text, link);
    }
    text
}

/// A line. Nothing here is lost or broken, so that the counters of that are zero.
fn push(text: &mut String, link: &Link) {
    let (received, sent) = (link.statistics.received(), link.statistics.sent());
    let zero = 0;
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "{:>6}: {:7} {:7} {zero:4} {zero:4} {zero:4} {zero:5} {zero:10} {zero:9} {:8} {:7} {zero:4} {zero:4} {zero:4} {zero:5} {zero:7} {zero:10}",
        link.name, received.bytes, received.packets, sent.bytes, sent.packets
    );
}
