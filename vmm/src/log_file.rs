//! What a sandbox that runs on its own has written: entries of one stream each, in a file that a second one takes the place of when it
//! is full, so that no more than a bound is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The file that grows.
const CURRENT: &str = "log";
/// The one before.
const OLD: &str = "log.1";
/// Stream, three bytes of nothing, length, time: the numbers big-endian.
const HEADER_LEN: usize = 16;
/// The longest entry: what is read at a time.
pub(crate) const MAX_ENTRY_LEN: usize = 64 * 1024;

/// What was written at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 1 for standard output, 2 for standard error.
    pub stream: u8,
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// Writes a log.
pub(crate) struct LogWriter {
    directory: PathBuf,
    file: File,
    len: u64,
    /// How long a file may be.
    max_len: u64,
}

impl LogWriter {
    /// Begins a log in `directory` that keeps up to `limit_bytes`.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn new(directory: &Path, limit_bytes: u64) -> io::Result<Self> {
        let file = File::create(directory.join(CURRENT))?;
        Ok(Self { directory: directory.to_owned(), file, len: 0, max_len: limit_bytes / 2 })
    }

    /// Adds an entry, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn append(&mut self, stream: u8, bytes: &[u8]) -> io::Result<()> {
        let (len, limit) = (HEADER_LEN as u64 + bytes.len() as u64, self.max_len);
        if self.len > 0 && self.len + len > limit {
            std::fs::rename(self.directory.join(CURRENT), self.directory.join(OLD))?;
            self.file = File::create(self.directory.join(CURRENT))?;
            self.len = 0;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let entry_len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let entry =
            [&[stream, 0, 0, 0][..], &entry_len.to_be_bytes(), &time_ns.to_be_bytes(), bytes].concat();
        if let Err(error) = self.file.write_all(&entry) {
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::Start(self.len))?;
            return Err(error);
        }
        self.len += len;
        Ok(())
    }
}

/// Reads a log.
pub struct LogReader {
    directory: PathBuf,
    file: BufReader<File>,
    /// The beginning of the entry that is not there in full yet.
    partial: Vec<u8>,
}

impl LogReader {
    /// Reads the log in `directory`, from the oldest entry that is kept.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let old = OpenOptions::new().read(true).open(directory.join(OLD));
        let file = old.or_else(|_| File::open(directory.join(CURRENT)))?;
        Ok(Self { directory: directory.to_owned(), file: BufReader::new(file), partial: Vec::new() })
    }

    /// The next entry; `None` if there is none yet.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.next_of_file()? {
                return Ok(Some(entry));
            }
            let current = File::open(self.directory.join(CURRENT))?;
            let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
            if identity(&current)? == identity(self.file.get_ref())? {
                return Ok(None);
            }
            // The writer went on to a new file; what it wrote to this one before that may have come meanwhile.
            match self.next_of_file()? {
                Some(entry) => return Ok(Some(entry)),
                None => {
                    self.partial.clear();
                    self.file = BufReader::new(current);
                }
            }
        }
    }

    fn next_of_file(&mut self) -> io::Result<Option<Entry>> {
        if !self.fill(HEADER_LEN)? {
            return Ok(None);
        }
        let number = |start: usize, len: usize| {
            let bytes = self.partial.iter().skip(start).take(len);
            bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (stream, len, time_ns) = (number(0, 1) as u8, number(4, 4), number(8, 8));
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_ENTRY_LEN);
        let len = len.ok_or_else(|| io::Error::other("the log is damaged"))?;
        if !self.fill(HEADER_LEN + len)? {
            return Ok(None);
        }
        let mut entry = std::mem::take(&mut self.partial);
        let bytes = entry.split_off(HEADER_LEN);
        Ok(Some(Entry { stream, time_ns, bytes }))
    }

    /// Reads until the entry has `len` bytes. Returns whether it has.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        let missing = len.saturating_sub(self.partial.len());
        (&mut self.file).take(missing as u64).read_to_end(&mut self.partial)?;
        Ok(self.partial.len() >= len)
    }
}

#[cfg(test)]
mod tests;
