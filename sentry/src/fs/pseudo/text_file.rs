//! Open files whose text is made up.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Ioctl, NewsOf, Polling, PseudoInode, Reader, Subject, TextPieces, Write, no_ioctl};
use crate::Errno;
use crate::fs::{Caller, File, Inode, Metadata, Splicing, Viewer};
use crate::pace::{Pace, Unhurried};
use crate::wait::{Events, News, WaitQueue};

/// The longest write to a setting: one page, as on Linux.
const MAX_WRITE_BYTES: usize = 4096;

/// An open file.
pub(super) struct TextFile<S: Subject> {
    inode: Arc<PseudoInode<S>>,
    read: Reader<S>,
    write: Option<Write<S>>,
    ioctl: Ioctl<S>,
    /// How each write fails, where that is not as the subject says.
    refusal: Option<Errno>,
    is_sequence: bool,
    viewer: Viewer,
    text: TextPieces,
    has_been_read: AtomicBool,
    /// Changes that poll(2) tells of, and how many it has told of.
    news: Option<(Arc<News>, AtomicU64)>,
    /// Where nothing is ever announced.
    silence: WaitQueue,
}

impl<S: Subject> TextFile<S> {
    pub(super) fn new(
        inode: Arc<PseudoInode<S>>,
        read: Reader<S>,
        write: Option<Write<S>>,
        viewer: Viewer,
    ) -> Self {
        let (text, has_been_read, silence) =
            (TextPieces::default(), AtomicBool::new(false), WaitQueue::default());
        let (news, refusal, is_sequence) = (None, None, false);
        Self {
            inode,
            read,
            write,
            ioctl: no_ioctl,
            refusal,
            is_sequence,
            viewer,
            text,
            has_been_read,
            news,
            silence,
        }
    }

    /// The same, knowing requests.
    pub(super) fn with_ioctl(self, ioctl: Ioctl<S>) -> Self {
        Self { ioctl, ..self }
    }

    /// The same as a sequence file, if it `is_sequence`.
    pub(super) fn with_sequence(self, is_sequence: bool) -> Self {
        Self { is_sequence, ..self }
    }

    /// The same, each write to which fails so.
    pub(super) fn with_refusal(self, refusal: Errno) -> Self {
        Self { refusal: Some(refusal), ..self }
    }

    /// The same, telling of changes from now on.
    pub(super) fn with_news(self, news: NewsOf<S>) -> Self {
        let news = news(&self.inode.subject, &self.viewer);
        let told = AtomicU64::new(news.changes());
        Self { news: Some((news, told)), ..self }
    }
}

impl<S: Subject> TextFile<S> {
    fn read_at_pace(&self, buffer: &mut [u8], offset: u64, pace: &dyn Pace) -> Result<usize, Errno> {
        self.has_been_read.store(true, Ordering::Relaxed);
        let make = |from| (self.read)(&self.inode.subject, &self.viewer, from);
        self.text.read(buffer, offset, make, pace)
    }
}

impl<S: Subject> File for TextFile<S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.read_at_pace(buffer, offset, &Unhurried)
    }

    fn read_by(&self, buffer: &mut [u8], offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.read_at_pace(buffer, offset, caller)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        let refusal = || self.refusal.or_else(|| self.inode.subject.write_refusal()).unwrap_or(Errno::EIO);
        let write = self.write.ok_or_else(refusal)?;
        if !self.inode.subject.writes_begin_anew() && (buffer.is_empty() || offset > 0) {
            return Ok(buffer.len());
        }
        if buffer.len() > MAX_WRITE_BYTES {
            return Err(Errno::EINVAL);
        }
        write(&self.inode.subject, &self.viewer, buffer)?;
        Ok(buffer.len())
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        (self.ioctl)(&self.inode.subject, &self.viewer, request, argument, caller)
    }

    fn readiness(&self) -> Events {
        let always = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        let is_news = match &self.news {
            Some((news, told)) => {
                let changes = news.changes();
                told.swap(changes, Ordering::Relaxed) != changes
            }
            None => {
                let is_told = self.has_been_read.load(Ordering::Relaxed);
                !is_told && self.inode.subject.polling() == Some(Polling::NewsUntilRead)
            }
        };
        match is_news {
            true => always | Events::ERR | Events::PRI,
            false => always,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        match &self.news {
            Some((news, _)) => Some(news.queue()),
            None => self.inode.subject.polling().map(|_| &self.silence),
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_sequence(&self) -> bool {
        self.is_sequence
    }

    /// A file without a size has nothing behind its end, which is its beginning.
    fn seek_data_or_hole(&self, _offset: u64, _find_data: bool) -> Result<u64, Errno> {
        let has_size = self.is_sequence || !self.inode.subject.has_sequences();
        Err(if has_size { Errno::EINVAL } else { Errno::ENXIO })
    }

    fn splicing(&self) -> Splicing {
        self.inode.subject.splicing()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
