//! File descriptors: the numbers by which a process knows its open files.

use std::sync::Arc;

use parking_lot::RwLock;

use super::locks::LockOwner;
use super::open_files::OpenFiles;
use super::{Collector, Fd, FileDescription};
use crate::Errno;
use crate::heap::HeapCharge;
use crate::pace::{Pace, Unhurried};

/// Slots that are emptied with the table locked once.
const STEP_SLOTS: usize = 1024;
/// What a slot takes, in a table that grows by doubling.
const SLOT_BYTES: usize = 2 * size_of::<Option<Entry>>();

/// What bounds a new descriptor.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorBounds {
    /// RLIMIT_NOFILE: descriptors are below it.
    pub limit: usize,
    /// CAP_SYS_ADMIN: fs.file-max does not count.
    pub is_privileged: bool,
}

/// A table of descriptors; shared by the tasks that CLONE_FILES joins.
pub struct DescriptorTable {
    /// No other table of the kernel ever has it.
    id: u64,
    files: Arc<OpenFiles>,
    table: RwLock<Table>,
}

struct Table {
    files: Arc<OpenFiles>,
    /// Counted among the slots of `files`.
    entries: Vec<Option<Entry>>,
    /// No descriptor below is free.
    first_free: usize,
    heap_charge: HeapCharge,
}

#[derive(Clone)]
struct Entry {
    file: Arc<FileDescription>,
    is_close_on_exec: bool,
}

/// A file that a descriptor has been closed of: dropping it drops the reference, with no lock of the table held.
pub struct ClosedFile {
    _file: Arc<FileDescription>,
    /// Dropped after the file.
    _collection: Option<Collection>,
}

struct Collection(Arc<dyn Collector>);

impl Drop for Collection {
    fn drop(&mut self) {
        self.0.descriptor_is_gone();
    }
}

impl DescriptorTable {
    /// An empty table, one of those that share `files`.
    pub fn new(files: &Arc<OpenFiles>) -> Arc<Self> {
        Self::of(Table {
            files: files.clone(),
            entries: Vec::new(),
            first_free: 0,
            heap_charge: HeapCharge::default(),
        })
    }

    fn of(table: Table) -> Arc<Self> {
        let files = table.files.clone();
        Arc::new(Self { id: files.new_id(), files, table: RwLock::new(table) })
    }

    /// What it shares with all tables of the kernel.
    pub fn open_files(&self) -> &Arc<OpenFiles> {
        &self.files
    }

    /// A table of its own with the same open files (fork, unshare).
    ///
    /// # Errors
    /// ENOMEM if all tables together are too long.
    pub fn duplicate(&self) -> Result<Arc<Self>, Errno> {
        self.table.read().duplicate().map(Self::of)
    }

    /// The open file `descriptor`.
    ///
    /// # Errors
    /// EBADF.
    pub fn get(&self, descriptor: Fd) -> Result<Arc<FileDescription>, Errno> {
        self.table.read().entry(descriptor).map(|entry| entry.file.clone())
    }

    /// Installs `file` at the lowest free descriptor from `minimum` on.
    ///
    /// # Errors
    /// EMFILE; ENFILE if too many files are open in the sandbox; ENOMEM.
    pub fn install(
        &self,
        file: Arc<FileDescription>,
        minimum: usize,
        is_close_on_exec: bool,
        bounds: DescriptorBounds,
    ) -> Result<Fd, Errno> {
        file.register(&self.files);
        self.files.check(bounds.is_privileged)?;
        let mut table = self.table.write();
        let start = minimum.max(table.first_free);
        let free = table.entries.iter().skip(start).position(Option::is_none);
        let index = free.map_or(table.entries.len().max(start), |offset| start + offset);
        if index >= bounds.limit {
            return Err(Errno::EMFILE);
        }
        let descriptor = i32::try_from(index).map(Fd).map_err(|_| Errno::EMFILE)?;
        table.put(index, Entry { file, is_close_on_exec })?;
        if minimum <= table.first_free {
            table.first_free = index + 1;
        }
        Ok(descriptor)
    }

    /// Installs `file` at `descriptor` (dup2) and returns what was there.
    ///
    /// # Errors
    /// EBADF if it is not below `limit`.
    pub fn install_at(
        &self,
        file: Arc<FileDescription>,
        descriptor: Fd,
        is_close_on_exec: bool,
        limit: usize,
    ) -> Result<Option<ClosedFile>, Errno> {
        let index = descriptor.index().ok_or(Errno::EBADF)?;
        if index >= limit {
            return Err(Errno::EBADF);
        }
        file.register(&self.files);
        let replaced = self.table.write().put(index, Entry { file, is_close_on_exec })?;
        Ok(replaced.map(|entry| self.closed(entry.file)))
    }

    /// Removes `descriptor` and returns its file.
    ///
    /// # Errors
    /// EBADF.
    pub fn remove(&self, descriptor: Fd) -> Result<ClosedFile, Errno> {
        let index = descriptor.index().ok_or(Errno::EBADF)?;
        let removed = self.table.write().take(index);
        removed.map(|file| self.closed(file)).ok_or(Errno::EBADF)
    }

    /// Removes the descriptors from `first` to `last`, both included, in steps; between two of them `pace` is kept.
    ///
    /// # Errors
    /// EINTR: the rest stays.
    pub fn remove_range(&self, first: usize, last: usize, pace: &dyn Pace) -> Result<(), Errno> {
        let mut next = first;
        while let Some((files, end)) = self.remove_step(next, last) {
            drop(files);
            next = end;
            pace.keep_going()?;
        }
        Ok(())
    }

    /// Removes the first descriptors of a range; returns their files, and where the rest of the range begins.
    fn remove_step(&self, first: usize, last: usize) -> Option<(Vec<ClosedFile>, usize)> {
        let (removed, end): (Vec<_>, usize) = {
            let mut table = self.table.write();
            let end = last.saturating_add(1).min(table.entries.len()).min(first.saturating_add(STEP_SLOTS));
            ((first..end).filter_map(|index| table.take(index)).collect(), end)
        };
        (first < end).then(|| (removed.into_iter().map(|file| self.closed(file)).collect(), end))
    }

    /// Removes all descriptors that execve closes, and returns their files.
    pub fn remove_close_on_exec(&self) -> Vec<ClosedFile> {
        let mut table = self.table.write();
        let closing = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.is_close_on_exec);
        let indices: Vec<usize> =
            (0..table.entries.len()).filter(|&index| table.entries.get(index).is_some_and(closing)).collect();
        let removed: Vec<_> = indices.into_iter().filter_map(|index| table.take(index)).collect();
        drop(table);
        removed.into_iter().map(|file| self.closed(file)).collect()
    }

    /// Fails if [`DescriptorTable::install`] would: so that nothing is made that then has no descriptor.
    ///
    /// # Errors
    /// EMFILE; ENFILE if too many files are open in the sandbox.
    pub fn check_room(&self, bounds: DescriptorBounds) -> Result<(), Errno> {
        self.files.check(bounds.is_privileged)?;
        let table = self.table.read();
        let used = table.entries.iter().skip(table.first_free).take_while(|entry| entry.is_some()).count();
        if table.first_free + used >= bounds.limit { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// Whose POSIX record locks are taken through this table.
    pub fn lock_owner(&self, process_id: i32) -> LockOwner {
        LockOwner::Process { table: self.id, process_id }
    }

    /// Closing any descriptor of a file releases all of the process's record locks on it (`man 2 fcntl`).
    fn closed(&self, file: Arc<FileDescription>) -> ClosedFile {
        file.file().descriptor_closed(self.lock_owner(0));
        if let Some(locks) = file.used_locks() {
            locks.release(self.lock_owner(0));
        }
        let collection = file.file().collector().map(Collection);
        ClosedFile { _file: file, _collection: collection }
    }

    /// Whether execve closes `descriptor`.
    ///
    /// # Errors
    /// EBADF.
    pub fn is_close_on_exec(&self, descriptor: Fd) -> Result<bool, Errno> {
        self.table.read().entry(descriptor).map(|entry| entry.is_close_on_exec)
    }

    /// Sets whether execve closes `descriptor`.
    ///
    /// # Errors
    /// EBADF.
    pub fn set_close_on_exec(&self, descriptor: Fd, is_close_on_exec: bool) -> Result<(), Errno> {
        let mut table = self.table.write();
        let index = descriptor.index().ok_or(Errno::EBADF)?;
        let entry = table.entries.get_mut(index).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        entry.is_close_on_exec = is_close_on_exec;
        Ok(())
    }

    /// Has execve close the open descriptors from `first` to `last`, both included (CLOSE_RANGE_CLOEXEC).
    pub fn set_range_close_on_exec(&self, first: usize, last: usize) {
        let mut table = self.table.write();
        let len = last.saturating_sub(first).saturating_add(1);
        for entry in table.entries.iter_mut().skip(first).take(len).flatten() {
            entry.is_close_on_exec = true;
        }
    }

    /// All open descriptors, in order.
    pub fn descriptors(&self) -> Vec<i32> {
        let table = self.table.read();
        let open = table.entries.iter().enumerate().filter(|(_, entry)| entry.is_some());
        open.filter_map(|(index, _)| i32::try_from(index).ok()).collect()
    }

    /// How many descriptors are open.
    pub fn open_count(&self) -> usize {
        self.table.read().entries.iter().flatten().count()
    }

    /// The number of slots (`FDSize` in /proc/PID/status).
    pub fn slots(&self) -> usize {
        self.table.read().entries.len().next_multiple_of(64)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.files.remove_slots(self.entries.len());
    }
}

impl Drop for DescriptorTable {
    fn drop(&mut self) {
        // Nobody is in a hurry who could be told so.
        let _ = self.remove_range(0, usize::MAX, &Unhurried);
    }
}

impl Table {
    fn duplicate(&self) -> Result<Self, Errno> {
        let len = self.entries.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut copy = Self {
            files: self.files.clone(),
            entries: Vec::new(),
            first_free: self.first_free.min(len),
            heap_charge: HeapCharge::default(),
        };
        copy.grow(len)?;
        for (slot, entry) in copy.entries.iter_mut().zip(&self.entries) {
            slot.clone_from(entry);
        }
        Ok(copy)
    }

    /// Makes it `len` slots long.
    fn grow(&mut self, len: usize) -> Result<(), Errno> {
        self.heap_charge.resize(len.max(self.entries.len()).saturating_mul(SLOT_BYTES))?;
        self.files.add_slots(len.saturating_sub(self.entries.len()))?;
        self.entries.resize_with(len, || None);
        Ok(())
    }

    fn entry(&self, descriptor: Fd) -> Result<&Entry, Errno> {
        let index = descriptor.index().ok_or(Errno::EBADF)?;
        self.entries.get(index).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    fn put(&mut self, index: usize, entry: Entry) -> Result<Option<Entry>, Errno> {
        if index >= self.entries.len() {
            self.grow(index + 1)?;
        }
        Ok(self.entries.get_mut(index).and_then(|slot| slot.replace(entry)))
    }

    fn take(&mut self, index: usize) -> Option<Arc<FileDescription>> {
        let entry = self.entries.get_mut(index)?.take()?;
        self.first_free = self.first_free.min(index);
        Some(entry.file)
    }
}
