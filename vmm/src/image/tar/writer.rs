//! Archives in the pax format (POSIX.1-2001), with GNU's records for holes and the usual ones for extended attributes: what
//! [`TarReader`](super::TarReader) and other people's tools read.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::member::{Extent, Member, MemberKind};

const BLOCK_LEN: usize = 512;
/// The longest name that a header has room for.
const MAX_HEADER_NAME_LEN: usize = 100;
/// The largest numbers that 7 and 11 octal digits write.
const MAX_ID: u32 = 0o7_777_777;
const MAX_NUMBER: u64 = 0o77_777_777_777;
const COPY_LEN: usize = 256 * 1024;

/// Writes an archive, from front to back.
pub(crate) struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// An archive that is empty so far.
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds `member`, whose data is read from `data`: its extents one after the other, or the whole file.
    ///
    /// # Errors
    /// What reading and writing fail with, and data that is cut short.
    pub(crate) fn add(&mut self, member: &Member, data: &mut impl Read) -> io::Result<()> {
        let map = member.extents.as_deref().map(|extents| sparse_map(extents, member.size));
        let data_len = match (&member.kind, &member.extents) {
            (MemberKind::Regular, None) => member.size,
            (MemberKind::Regular, Some(extents)) => extents.iter().map(|extent| extent.len).sum(),
            _ => 0,
        };
        let stored_len = data_len + map.as_ref().map_or(0, Vec::len) as u64;
        let records = records(member, stored_len);
        if !records.is_empty() {
            let mut header = plain_header(b"PaxHeaders.0", EntryType::XHeader);
            header.set_size(records.len() as u64);
            self.write_header(header)?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.write_header(header_of(member, stored_len))?;
        self.out.write_all(&map.unwrap_or_default())?;
        self.copy(data, data_len)?;
        self.pad(stored_len)
    }

    /// Marks the end, and returns what was written to.
    ///
    /// # Errors
    /// What writing fails with.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK_LEN])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_header(&mut self, mut header: Header) -> io::Result<()> {
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn copy(&mut self, data: &mut impl Read, len: u64) -> io::Result<()> {
        let mut buffer = vec![0; COPY_LEN.min(usize::try_from(len).unwrap_or(COPY_LEN))];
        let mut left = len;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = data.read(buffer.get_mut(..wanted).unwrap_or_default())?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut short"));
            }
            self.out.write_all(buffer.get(..read).unwrap_or_default())?;
            left -= read as u64;
        }
        Ok(())
    }

    /// Fills the last block of something of `len` bytes.
    fn pad(&mut self, len: u64) -> io::Result<()> {
        let padding = len.next_multiple_of(BLOCK_LEN as u64) - len;
        let zeros = [0; BLOCK_LEN];
        self.out.write_all(zeros.get(..usize::try_from(padding).unwrap_or(0)).unwrap_or_default())
    }
}

fn plain_header(name: &[u8], kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    let field = &mut header.as_old_mut().name;
    field.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// The header of `member`, with as much of it as there is room for: [`records`] say the rest.
fn header_of(member: &Member, stored_len: u64) -> Header {
    let kind = match member.kind {
        MemberKind::Regular => EntryType::Regular,
        MemberKind::Directory => EntryType::Directory,
        MemberKind::Symlink(_) => EntryType::Symlink,
        MemberKind::HardLink(_) => EntryType::Link,
        MemberKind::CharacterDevice(..) => EntryType::Char,
        MemberKind::BlockDevice(..) => EntryType::Block,
        MemberKind::Fifo => EntryType::Fifo,
    };
    let mut header = plain_header(&member.path, kind);
    header.set_mode(member.mode);
    header.set_uid(u64::from(member.uid.min(MAX_ID)));
    header.set_gid(u64::from(member.gid.min(MAX_ID)));
    header.set_size(stored_len.min(MAX_NUMBER));
    header.set_mtime(u64::try_from(member.modified.0).unwrap_or(0).min(MAX_NUMBER));
    match &member.kind {
        MemberKind::Symlink(target) | MemberKind::HardLink(target) => {
            let field = &mut header.as_old_mut().linkname;
            field.iter_mut().zip(target).for_each(|(to, from)| *to = *from);
        }
        MemberKind::CharacterDevice(major, minor) | MemberKind::BlockDevice(major, minor) => {
            if let Some(ustar) = header.as_ustar_mut() {
                ustar.set_device_major(*major);
                ustar.set_device_minor(*minor);
            }
        }
        _ => {}
    }
    header
}

/// The pax records that say what the header of `member` has no room for.
fn records(member: &Member, stored_len: u64) -> Vec<u8> {
    let mut records = Records::default();
    if member.path.len() > MAX_HEADER_NAME_LEN {
        records.add(b"path", &member.path);
    }
    if let MemberKind::Symlink(target) | MemberKind::HardLink(target) = &member.kind
        && target.len() > MAX_HEADER_NAME_LEN
    {
        records.add(b"linkpath", target);
    }
    for (key, id) in [("uid", member.uid), ("gid", member.gid)].iter().filter(|(_, id)| *id > MAX_ID) {
        records.add(key.as_bytes(), id.to_string().as_bytes());
    }
    if stored_len > MAX_NUMBER {
        records.add(b"size", stored_len.to_string().as_bytes());
    }
    if member.modified.1 != 0 || !u64::try_from(member.modified.0).is_ok_and(|time| time <= MAX_NUMBER) {
        records.add(b"mtime", time(member.modified).as_bytes());
    }
    for (name, value) in &member.xattrs {
        records.add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    if member.extents.is_some() {
        records.add(b"GNU.sparse.major", b"1");
        records.add(b"GNU.sparse.minor", b"0");
        records.add(b"GNU.sparse.name", &member.path);
        records.add(b"GNU.sparse.realsize", member.size.to_string().as_bytes());
    }
    records.0
}

#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// Adds `LENGTH KEY=VALUE` and a newline, where the length counts all of it.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = [b" ", key, b"=", value, b"\n"].concat();
        let mut len = rest.len();
        while len != rest.len() + len.to_string().len() {
            len = rest.len() + len.to_string().len();
        }
        self.0.extend_from_slice(len.to_string().as_bytes());
        self.0.extend_from_slice(&rest);
    }
}

/// A time as pax writes it: a decimal fraction of seconds, which is negative before 1970.
fn time((seconds, nanoseconds): (i64, u32)) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let (sign, total) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
    format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000)
}

/// Where the data of a file with holes goes (GNU tar, "PAX Format, Version 1.0"): ahead of it, in whole blocks. A file that ends with a
/// hole has an empty part at its end, as GNU tar writes it.
fn sparse_map(extents: &[Extent], size: u64) -> Vec<u8> {
    let end = extents.last().map_or(0, |extent| extent.offset + extent.len);
    let last = (end < size).then_some(Extent { offset: size, len: 0 });
    let parts: Vec<&Extent> = extents.iter().chain(&last).collect();
    let numbers = parts.iter().flat_map(|extent| [extent.offset, extent.len]);
    let text: String =
        std::iter::once(parts.len() as u64).chain(numbers).map(|number| format!("{number}\n")).collect();
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK_LEN), 0);
    map
}
