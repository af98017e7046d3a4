//! The kernel's log (`man 2 syslog`): what programs write to /dev/kmsg, of which the oldest messages make room for new ones.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::OpenFiles;
use crate::heap::HeapCharge;
use crate::settings::{KernelNumber, KernelSettings};
use crate::time::MonotonicTime;
use crate::wait::{Events, WaitQueue};

/// What one record takes beside its text.
const RECORD_BYTES: usize = 64;

/// A message.
struct Record {
    number: u64,
    /// Level and facility, as `<N>` has them.
    priority: u32,
    /// Since the log was begun.
    microseconds: u128,
    text: Vec<u8>,
    _heap_charge: HeapCharge,
}

#[derive(Default)]
struct Records {
    kept: VecDeque<Record>,
    kept_bytes: usize,
    next_number: u64,
    /// Where syslog(2) goes on that takes messages away.
    unread: Place,
    /// The first that is not cleared away (SYSLOG_ACTION_CLEAR).
    first_shown: u64,
}

/// How far somebody has read by syslog(2), which reads in bytes.
#[derive(Clone, Copy, Default)]
struct Place {
    number: u64,
    /// Bytes that have been read of that one.
    offset: usize,
}

/// The log of a kernel.
pub struct KernelLog {
    records: Mutex<Records>,
    arrivals: WaitQueue,
    files: Arc<OpenFiles>,
    settings: Arc<KernelSettings>,
    begun: MonotonicTime,
}

/// What comes of reading one record.
pub(super) enum ReadRecord {
    /// Its number and how /dev/kmsg shows it.
    Found(u64, Vec<u8>),
    /// It is not kept any more; the oldest one is this.
    Lost(u64),
    /// There is none yet.
    Missing,
}

impl KernelLog {
    /// The bytes that it keeps (`CONFIG_LOG_BUF_SHIFT` is 17).
    pub const KEPT_BYTES: usize = 1 << 17;

    /// An empty one, which goes by `settings` and by the clock that `files` have.
    pub(in crate::fs) fn new(files: &Arc<OpenFiles>, settings: &Arc<KernelSettings>) -> Arc<Self> {
        Arc::new(Self {
            records: Mutex::default(),
            arrivals: WaitQueue::default(),
            files: files.clone(),
            settings: settings.clone(),
            begun: files.now(),
        })
    }

    /// The files whose clock it goes by.
    pub(super) fn files(&self) -> &Arc<OpenFiles> {
        &self.files
    }

    /// Where new messages are announced.
    pub fn arrivals(&self) -> &WaitQueue {
        &self.arrivals
    }

    /// Fails unless `credentials` may read it as a whole.
    ///
    /// # Errors
    /// EPERM.
    pub fn check_may_read(&self, credentials: &Credentials) -> Result<(), Errno> {
        let is_for_few = self.settings.is_on(KernelNumber::DmesgRestrict);
        if is_for_few && !credentials.has(Capabilities::SYSLOG) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// What kernel.printk_devkmsg says.
    pub(super) fn writers_setting(&self) -> Vec<u8> {
        let text = self.settings.kept("kernel.printk_devkmsg");
        text.map_or_else(|| b"ratelimit".to_vec(), |text| text.trim_ascii_end().to_vec())
    }

    /// Puts a message at the end.
    pub(super) fn add(&self, priority: u32, text: &[u8]) {
        let text = text.strip_suffix(b"\n").unwrap_or(text).to_vec();
        let cost = RECORD_BYTES + text.len();
        let microseconds = self.files.now().saturating_duration_since(self.begun).as_micros();
        let mut records = self.records.lock();
        let number = records.next_number;
        let _heap_charge = HeapCharge::forced(cost);
        records.kept.push_back(Record { number, priority, microseconds, text, _heap_charge });
        records.next_number += 1;
        records.kept_bytes += cost;
        while records.kept_bytes > Self::KEPT_BYTES {
            let Some(oldest) = records.kept.pop_front() else { break };
            records.kept_bytes -= RECORD_BYTES + oldest.text.len();
        }
        drop(records);
        self.arrivals.notify(Events::IN | Events::RDNORM);
    }

    /// The number of the oldest message, of the first that is not cleared away, and of the next one.
    pub(super) fn numbers(&self) -> (u64, u64, u64) {
        let records = self.records.lock();
        let first = records.first();
        (first, records.first_shown.max(first), records.next_number)
    }

    /// The message `number`, or the first behind it.
    pub(super) fn read(&self, number: u64) -> ReadRecord {
        let records = self.records.lock();
        let first = records.first();
        if number < first {
            return ReadRecord::Lost(first);
        }
        match records.from(number).next() {
            Some(record) => ReadRecord::Found(record.number, record.as_device_shows()),
            None => ReadRecord::Missing,
        }
    }

    /// The last messages that are not cleared away, as many as `max_bytes` have room for (SYSLOG_ACTION_READ_ALL); with
    /// `clears` all are cleared away.
    pub fn last_messages(&self, max_bytes: usize, clears: bool) -> Vec<u8> {
        let mut records = self.records.lock();
        let shown = records.first_shown;
        let lines: Vec<Vec<u8>> = records.from(shown).map(Record::as_line).collect();
        let mut room = max_bytes;
        let fits = lines.iter().rev().take_while(|line| match room.checked_sub(line.len()) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        });
        let count = fits.count();
        if clears {
            records.first_shown = records.next_number;
        }
        lines[lines.len() - count..].concat()
    }

    /// Clears all messages away: they are not shown as the last ones any more.
    pub fn clear(&self) {
        let mut records = self.records.lock();
        records.first_shown = records.next_number;
    }

    /// Takes up to `max_bytes` of what has not been taken yet (SYSLOG_ACTION_READ): whole messages, but for a first one that is
    /// longer. Empty if there is nothing.
    pub fn take(&self, max_bytes: usize) -> Vec<u8> {
        let mut records = self.records.lock();
        let mut place = records.place();
        let mut taken = Vec::new();
        while let Some(line) = records.from(place.number).next().map(Record::as_line) {
            let rest = &line[place.offset.min(line.len())..];
            let room = max_bytes - taken.len();
            if rest.len() <= room {
                taken.extend_from_slice(rest);
                place = Place { number: place.number + 1, offset: 0 };
            } else {
                if taken.is_empty() {
                    taken.extend_from_slice(&rest[..room]);
                    place.offset += room;
                }
                break;
            }
        }
        records.unread = place;
        taken
    }

    /// How many bytes [`KernelLog::take`] could take.
    pub fn unread_bytes(&self) -> usize {
        let records = self.records.lock();
        let place = records.place();
        let all: usize = records.from(place.number).map(|record| record.as_line().len()).sum();
        all.saturating_sub(place.offset)
    }
}

impl Records {
    fn first(&self) -> u64 {
        self.kept.front().map_or(self.next_number, |record| record.number)
    }

    fn from(&self, number: u64) -> impl Iterator<Item = &Record> {
        let skipped = usize::try_from(number.saturating_sub(self.first())).unwrap_or(usize::MAX);
        self.kept.iter().skip(skipped)
    }

    /// Where taking goes on: what is lost is passed over.
    fn place(&self) -> Place {
        match self.first() {
            first if first > self.unread.number => Place { number: first, offset: 0 },
            _ => self.unread,
        }
    }
}

impl Record {
    /// As a read of /dev/kmsg has it.
    fn as_device_shows(&self) -> Vec<u8> {
        let mut line = format!("{},{},{},-;", self.priority, self.number, self.microseconds);
        for &byte in &self.text {
            match byte {
                b'\\' | 0..b' ' | 127.. => drop(write!(line, "\\x{byte:02x}")),
                _ => line.push(byte.into()),
            }
        }
        line.push('\n');
        line.into_bytes()
    }

    /// As syslog(2) has it: each line with the time.
    fn as_line(&self) -> Vec<u8> {
        let (seconds, microseconds) = (self.microseconds / 1_000_000, self.microseconds % 1_000_000);
        let head = format!("<{}>[{seconds:5}.{microseconds:06}] ", self.priority);
        let line = |text: &[u8]| [head.as_bytes(), text, b"\n"].concat();
        self.text.split(|byte| *byte == b'\n').flat_map(line).collect()
    }
}

#[cfg(test)]
mod tests;
