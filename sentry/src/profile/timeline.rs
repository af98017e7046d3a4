//! The time line: beginnings, programs and ends of tasks.

use super::data::Event;

/// Events that are kept.
const MAX_EVENTS: usize = 16_384;
/// Bytes of an event's text that are kept.
const MAX_DETAIL_LEN: usize = 256;

/// What happens to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It begins; the number of its parent's process.
    Start(i32),
    /// It executes this file.
    Exec(Vec<u8>),
    /// It ends so.
    Exit(String),
}

/// Events in their order.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) events: Vec<Event>,
    pub(super) lost: u64,
}

impl Timeline {
    pub(super) fn add(&mut self, at_ns: u64, tid: i32, pid: i32, kind: EventKind) {
        if self.events.len() >= MAX_EVENTS {
            self.lost += 1;
            return;
        }
        let (kind, detail) = match kind {
            EventKind::Start(parent) => ("start", format!("child of {parent}")),
            EventKind::Exec(mut file) => {
                file.truncate(MAX_DETAIL_LEN);
                ("exec", String::from_utf8_lossy(&file).into_owned())
            }
            EventKind::Exit(status) => ("exit", status),
        };
        self.events.push(Event { at_ns, tid, pid, kind: kind.to_owned(), detail });
    }
}
