//! Members, one after the other.

use std::io::{self, Read};

use anyhow::{Context, bail, ensure};
use tar::{EntryType, Header};

use super::extensions::{Extensions, long_name};
use super::input::Input;
use super::member::Member;
use super::{shown, sparse};

const BLOCK_LEN: usize = 512;
/// The most that an extended header or a long name may take.
const MAX_EXTENSION_LEN: u64 = 1 << 20;
/// The most extended headers ahead of one member.
const MAX_EXTENSIONS: usize = 16;

/// Reads an archive.
pub(crate) struct TarReader<R> {
    input: R,
    /// Bytes read.
    position: u64,
    /// Data of the current member that has not been read.
    data_left: u64,
    /// And the zeros that fill its last block.
    padding: u64,
    /// pax records that hold for all members that follow.
    globals: Extensions,
    has_end_mark: bool,
}

impl<R: Input> TarReader<R> {
    pub(crate) fn new(input: R) -> Self {
        let globals = Extensions::default();
        Self { input, position: 0, data_left: 0, padding: 0, globals, has_end_mark: false }
    }

    /// The next member; `None` at the archive's end.
    ///
    /// # Errors
    /// The archive is cut short or damaged, and the input's.
    pub(crate) fn next_member(&mut self) -> anyhow::Result<Option<Member>> {
        let mut extensions = Extensions::default();
        for _ in 0..=MAX_EXTENSIONS {
            self.skip(self.data_left + self.padding)?;
            (self.data_left, self.padding) = (0, 0);
            let Some(header) = self.next_header()? else {
                ensure!(extensions.is_empty(), "it is cut short");
                return Ok(None);
            };
            match header.entry_type() {
                EntryType::GNULongName => {
                    extensions.long_path = Some(long_name(self.extension(&header)?)?);
                }
                EntryType::GNULongLink => {
                    extensions.long_link = Some(long_name(self.extension(&header)?)?);
                }
                EntryType::XHeader => extensions.add_records(&self.extension(&header)?)?,
                EntryType::XGlobalHeader => {
                    self.globals = Extensions::default();
                    let records = self.extension(&header)?;
                    self.globals.add_records(&records)?;
                }
                // The name of a volume.
                volume if volume.as_byte() == b'V' => self.begin_data(header.entry_size()?)?,
                _ => return self.member(&header, extensions).map(Some),
            }
        }
        bail!("more than {MAX_EXTENSIONS} extended headers for one member")
    }

    /// Whether the archive's end was marked by zeros, so that nothing is missing.
    pub(crate) fn has_end_mark(&self) -> bool {
        self.has_end_mark
    }

    /// What is read from, to be read on.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> anyhow::Result<Member> {
        let extensions = extensions.over(&self.globals);
        let mut member = Member::new(header, &extensions, self.position)?;
        let extended = sparse::read_extended(header, |block| self.read_block(block))?;
        member.position = self.position;
        self.begin_data(if member.has_data() { member.size } else { 0 })?;
        if let Some(map) = sparse::map(header, &extended, &extensions, self)? {
            sparse::check(&map, self.data_left).with_context(|| format!("'{}'", shown(&member.path)))?;
            (member.size, member.extents) = (map.size, Some(map.extents));
        }
        Ok(member)
    }

    fn begin_data(&mut self, len: u64) -> anyhow::Result<()> {
        const MAX_LEN: u64 = i64::MAX as u64 - BLOCK_LEN as u64;
        ensure!(len <= MAX_LEN, "a member of {len} bytes, which no file system holds");
        self.data_left = len;
        self.padding = len.next_multiple_of(BLOCK_LEN as u64) - len;
        Ok(())
    }

    /// The data of a header that describes the next one.
    fn extension(&mut self, header: &Header) -> anyhow::Result<Vec<u8>> {
        let len = header.entry_size()?;
        ensure!(
            len <= MAX_EXTENSION_LEN,
            "an extended header of {len} bytes; {MAX_EXTENSION_LEN} are allowed"
        );
        self.begin_data(len)?;
        let mut data = Vec::new();
        self.by_ref().take(len).read_to_end(&mut data)?;
        ensure!(data.len() as u64 == len, "it is cut short");
        Ok(data)
    }

    fn next_header(&mut self) -> anyhow::Result<Option<Header>> {
        let mut block = [0; BLOCK_LEN];
        match self.fill(&mut block)? {
            0 => return Ok(None),
            BLOCK_LEN => {}
            _ => bail!("it is cut short"),
        }
        if block.iter().all(|byte| *byte == 0) {
            self.has_end_mark = true;
            return Ok(None);
        }
        Ok(Some(header(&block).context("a header in it is damaged")?))
    }

    fn read_block(&mut self, block: &mut [u8]) -> anyhow::Result<()> {
        let len = self.fill(block)?;
        ensure!(len == block.len(), "it is cut short");
        Ok(())
    }

    /// Fills `buffer`, or as much of it as there is left.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len() as u64;
        let mut rest = &mut *buffer;
        let done = io::copy(&mut (&mut self.input).take(len), &mut rest)?;
        self.position += done;
        Ok(usize::try_from(done).unwrap_or(0))
    }

    fn skip(&mut self, len: u64) -> anyhow::Result<()> {
        let skipped = self.input.skip(len)?;
        self.position += skipped;
        ensure!(skipped == len, "it is cut short");
        Ok(())
    }
}

/// The data of the current member.
impl<R: Input> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.data_left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let len = self.input.read(buffer)?;
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut short"));
        }
        self.position += len as u64;
        self.data_left -= len as u64;
        Ok(len)
    }
}

/// Whether something that begins with `head` is an archive.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    let block = head.first_chunk::<BLOCK_LEN>();
    block.is_some_and(|block| block.iter().all(|byte| *byte == 0) || header(block).is_some())
}

/// The header in `block`, if its sum is right.
fn header(block: &[u8; BLOCK_LEN]) -> Option<Header> {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let sum = header.cksum().ok()?;
    sum_matches(block, sum).then_some(header)
}

/// Whether `sum` is that of a header, in which the sum itself counts as spaces. Some have added up signed bytes.
fn sum_matches(block: &[u8; BLOCK_LEN], sum: u32) -> bool {
    const SUM_FIELD: std::ops::Range<usize> = 148..156;
    let counted =
        block.iter().enumerate().map(|(at, byte)| if SUM_FIELD.contains(&at) { b' ' } else { *byte });
    let unsigned: u32 = counted.clone().map(u32::from).sum();
    let signed: i64 = counted.map(|byte| i64::from(byte.cast_signed())).sum();
    sum == unsigned || i64::from(sum) == signed
}
