//! The file that io_uring_setup(2) opens.

use std::any::Any;
use std::sync::Arc;

use super::memory::RingMemory;
use super::{Ring, word};
use crate::Errno;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{File, LongText, Metadata, OpenFiles, Splicing};
use crate::memory::PageCache;
use crate::wait::{Events, WaitQueue};

/// A ring, as a file. When it is closed, nothing of the ring gets done any more.
pub(crate) struct RingFile {
    ring: Arc<Ring>,
    inode: AnonymousInode,
}

impl RingFile {
    /// The file of `ring`.
    pub(crate) fn new(ring: Arc<Ring>, files: &OpenFiles) -> Arc<Self> {
        Arc::new(Self { ring, inode: AnonymousInode::new(files) })
    }

    /// The ring.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }
}

impl File for RingFile {
    fn readiness(&self) -> Events {
        self.ring.readiness()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.ring.queue())
    }

    fn has_read(&self) -> bool {
        false
    }

    fn has_write(&self) -> bool {
        false
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        Ok(self.ring.memory.cache().clone())
    }

    fn mapped_offset(&self, offset: u64) -> Result<u64, Errno> {
        RingMemory::mapped_offset(offset)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[io_uring]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        let (memory, layout) = (&self.ring.memory, self.ring.layout());
        text.push(format!(
            "SqMask:\t{:#x}\nSqHead:\t{}\nSqTail:\t{}\nCachedSqHead:\t{}\nCqMask:\t{:#x}\nCqHead:\t{}\nCqTail:\t{}\n\
             CachedCqTail:\t{}\nSQEs:\t{}\n",
            layout.sq_entries - 1,
            memory.load(word::SQ_HEAD),
            memory.load(word::SQ_TAIL),
            memory.load(word::SQ_HEAD),
            layout.cq_entries - 1,
            memory.load(word::CQ_HEAD),
            memory.load(word::CQ_TAIL),
            memory.load(word::CQ_TAIL),
            self.ring.waiting_submissions(),
        ))?;
        text.push(format!("CQEs:\t{}\n", self.ring.unseen()))?;
        text.push("SqThread:\t-1\nSqThreadCpu:\t-1\nSqTotalTime:\t0\nSqWorkTime:\t0\n")?;
        let registered = self.ring.registered.lock();
        let files = registered.files.as_ref().map_or(0, Vec::len);
        let buffers = registered.buffers.as_ref().map_or(0, Vec::len);
        drop(registered);
        text.push(format!("UserFiles:\t{files}\nUserBufs:\t{buffers}\nPollList:\n"))?;
        for request in self.ring.polls() {
            text.push(format!("  op={}, task_works=0\n", request.sqe.opcode))?;
        }
        text.push("CqOverflowList:\n")
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        self.ring.close();
    }
}
