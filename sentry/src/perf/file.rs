//! The file that perf_event_open(2) opens.

use std::any::Any;
use std::sync::Arc;

use super::Totals;
use super::event::Event;
use crate::Errno;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{Caller, Fd, File, Metadata, OpenFiles, Splicing, TransferUnit};
use crate::platform::VirtualAddress;
use crate::wait::Events;

bitflags::bitflags! {
    /// `PERF_FORMAT_*`: what read(2) tells beside the count.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ReadFormat: u64 {
        const TOTAL_TIME_ENABLED = 1 << 0;
        const TOTAL_TIME_RUNNING = 1 << 1;
        const ID = 1 << 2;
        const GROUP = 1 << 3;
        const LOST = 1 << 4;
    }
}

/// The requests (`PERF_EVENT_IOC_*`).
mod request {
    pub(super) const ENABLE: u32 = 0x2400;
    pub(super) const DISABLE: u32 = 0x2401;
    pub(super) const REFRESH: u32 = 0x2402;
    pub(super) const RESET: u32 = 0x2403;
    pub(super) const SET_OUTPUT: u32 = 0x2405;
    pub(super) const ID: u32 = 0x8008_2407;
    pub(super) const PERIOD: u32 = 0x4008_2404;
    pub(super) const SET_FILTER: u32 = 0x4008_2406;
    pub(super) const SET_BPF: u32 = 0x4004_2408;
    pub(super) const PAUSE_OUTPUT: u32 = 0x4004_2409;
}

/// PERF_IOC_FLAG_GROUP: all of the group is meant.
const GROUP_FLAG: u64 = 1;

/// An open event.
pub(crate) struct PerfFile {
    event: Arc<Event>,
    format: ReadFormat,
    inode: AnonymousInode,
}

impl PerfFile {
    /// The file of `event`, which tells what the `PERF_FORMAT_*` bits of `format` name.
    ///
    /// # Errors
    /// EINVAL: there is no such bit.
    pub(crate) fn new(event: Arc<Event>, format: u64, files: &OpenFiles) -> Result<Arc<Self>, Errno> {
        let format = ReadFormat::from_bits(format).ok_or(Errno::EINVAL)?;
        Ok(Arc::new(Self { event, format, inode: AnonymousInode::new(files) }))
    }

    /// The event.
    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// What read(2) tells (`struct read_format`).
    fn words(&self) -> Vec<u64> {
        let format = self.format;
        let times = |words: &mut Vec<u64>, total: Totals| {
            // Counters of software are never short of a place: they run while they are on.
            for part in [ReadFormat::TOTAL_TIME_ENABLED, ReadFormat::TOTAL_TIME_RUNNING] {
                words.extend(format.contains(part).then_some(total.enabled_ns));
            }
        };
        let about = |words: &mut Vec<u64>, id: u64| {
            words.extend(format.contains(ReadFormat::ID).then_some(id));
            words.extend(format.contains(ReadFormat::LOST).then_some(0));
        };
        let mut words = Vec::new();
        if format.contains(ReadFormat::GROUP) {
            let totals = self.event.totals_of_group();
            words.push(totals.len() as u64);
            times(&mut words, totals.first().map(|(_, total)| *total).unwrap_or_default());
            for (id, total) in totals {
                words.push(total.count);
                about(&mut words, id);
            }
        } else {
            let total = self.event.total();
            words.push(total.count);
            times(&mut words, total);
            about(&mut words, self.event.id());
        }
        words
    }

    /// Nobody maps a ring: of two events that are in one place, one may write to the other's.
    fn set_output(&self, descriptor: i32, caller: &dyn Caller) -> Result<usize, Errno> {
        if descriptor == -1 {
            return Ok(0);
        }
        let other = caller.file(Fd(descriptor))?;
        let other = other.downcast::<Self>().ok_or(Errno::EBADF)?;
        let is_itself = other.event.id() == self.event.id();
        if is_itself || other.event.place() != self.event.place() { Err(Errno::EINVAL) } else { Ok(0) }
    }
}

impl File for PerfFile {
    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Whole
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let words = self.words();
        let bytes = buffer.get_mut(..words.len() * size_of::<u64>()).ok_or(Errno::ENOSPC)?;
        for (place, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(&words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        Ok(bytes.len())
    }

    fn has_write(&self) -> bool {
        false
    }

    /// Without a ring there is never anything to wait for.
    fn readiness(&self) -> Events {
        Events::HUP
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let means_group = argument & GROUP_FLAG != 0;
        match request {
            request::ENABLE => self.event.enable(true, means_group),
            request::DISABLE => self.event.enable(false, means_group),
            request::RESET => self.event.reset(means_group),
            request::ID => caller.memory().write_object(VirtualAddress(argument), &self.event.id())?,
            request::SET_OUTPUT => return self.set_output(argument as i32, caller),
            request::PERIOD => {
                let _: u64 = caller.memory().read_object(VirtualAddress(argument))?;
                return Err(Errno::EINVAL);
            }
            // Nothing is sampled, and nothing of software is filtered.
            request::REFRESH | request::SET_FILTER | request::SET_BPF | request::PAUSE_OUTPUT => {
                return Err(Errno::EINVAL);
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[perf_event]".into()
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
