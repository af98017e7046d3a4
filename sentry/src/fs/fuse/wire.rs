//! How the messages between kernel and server are written (`linux/fuse.h`): in words of the machine, without padding but what is spelled out.

use crate::Errno;
use crate::cred::{Gid, KernelGid, KernelUid, Uid, UserNamespace};
use crate::fs::metadata::{DeviceNumber, FileKind, Metadata, PERMISSION_BITS, Timestamp};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Operation {
    Lookup = 1,
    Forget = 2,
    GetAttributes = 3,
    SetAttributes = 4,
    ReadLink = 5,
    Symlink = 6,
    MakeNode = 8,
    MakeDirectory = 9,
    Unlink = 10,
    RemoveDirectory = 11,
    Rename = 12,
    Link = 13,
    Open = 14,
    Read = 15,
    Write = 16,
    StatFs = 17,
    Release = 18,
    Sync = 20,
    SetXattr = 21,
    GetXattr = 22,
    ListXattr = 23,
    RemoveXattr = 24,
    Flush = 25,
    Initialise = 26,
    OpenDirectory = 27,
    ReadDirectory = 28,
    ReleaseDirectory = 29,
    SyncDirectory = 30,
    Access = 34,
    Create = 35,
    Interrupt = 36,
    Destroy = 38,
    Ioctl = 39,
    Allocate = 43,
    Rename2 = 45,
    Seek = 46,
    MakeUnnamed = 51,
}

/// Length of what precedes each request.
pub(super) const IN_HEADER_LEN: usize = 40;
/// Length of what precedes each answer.
pub(super) const OUT_HEADER_LEN: usize = 16;

/// The body of a request that is being written.
#[derive(Default)]
pub(super) struct Body(pub(super) Vec<u8>);

impl Body {
    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// With a NUL behind.
    pub(super) fn name(self, name: &[u8]) -> Self {
        self.bytes(name).bytes(&[0])
    }
}

/// An answer that is being read. One that is too short is EIO.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Errno> {
        let (first, rest) = self.0.split_at_checked(len).ok_or(Errno::EIO)?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Errno> {
        self.bytes(2)?.try_into().map(u16::from_ne_bytes).map_err(|_| Errno::EIO)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Errno> {
        self.bytes(4)?.try_into().map(u32::from_ne_bytes).map_err(|_| Errno::EIO)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Errno> {
        self.bytes(8)?.try_into().map(u64::from_ne_bytes).map_err(|_| Errno::EIO)
    }

    /// The name of `len` bytes that ends the message or is followed by a NUL.
    pub(super) fn name(&mut self, len: u32) -> Result<&'a [u8], Errno> {
        self.bytes(len as usize)
    }
}

/// How long something that the server told holds, in seconds and nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct Validity {
    pub(super) seconds: u64,
    pub(super) nanoseconds: u32,
}

/// What the server tells of a file, in its own numbers.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) inode: u64,
    pub(super) size: u64,
    blocks: u64,
    times: [(u64, u32); 3],
    pub(super) mode: u32,
    links: u32,
    uid: u32,
    gid: u32,
    device: u32,
    block_size: u32,
}

impl Attributes {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Errno> {
        let (inode, size, blocks) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let seconds = [reader.u64()?, reader.u64()?, reader.u64()?];
        let nanoseconds = [reader.u32()?, reader.u32()?, reader.u32()?];
        let [mode, links, uid, gid] = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
        let (device, block_size, _flags) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let time = |index: usize| {
            (
                seconds.get(index).copied().unwrap_or(0),
                nanoseconds.get(index).copied().unwrap_or(0).min(999_999_999),
            )
        };
        let times = [time(0), time(1), time(2)];
        Ok(Self { inode, size, blocks, times, mode, links, uid, gid, device, block_size })
    }

    pub(super) fn kind(&self) -> Result<FileKind, Errno> {
        FileKind::from_mode(self.mode).ok_or(Errno::EIO)
    }

    /// The same as stat(2) tells it, for a file system numbered `device` whose users `namespace` numbers.
    pub(super) fn metadata(
        &self,
        device: DeviceNumber,
        namespace: &UserNamespace,
    ) -> Result<Metadata, Errno> {
        let [accessed, modified, changed] = self
            .times
            .map(|(seconds, nanoseconds)| Timestamp { seconds: seconds.cast_signed(), nanoseconds });
        Ok(Metadata {
            device,
            inode: self.inode,
            mode: self.kind()?.mode_bits() | self.mode & PERMISSION_BITS,
            links: self.links,
            uid: namespace.to_kernel_uid(Uid(self.uid)).unwrap_or(KernelUid::INVALID),
            gid: namespace.to_kernel_gid(Gid(self.gid)).unwrap_or(KernelGid::INVALID),
            special_device: DeviceNumber::from_u64(self.device.into()),
            size_bytes: self.size,
            block_size_bytes: if self.block_size == 0 { 4096 } else { self.block_size },
            blocks: self.blocks,
            accessed,
            modified,
            changed,
            created: None,
        })
    }
}

/// What a lookup, or the making of a file, yields.
pub(super) struct Entry {
    /// The server's number of the file; 0 for a name that is known to be free.
    pub(super) node: u64,
    /// How long the name leads there.
    pub(super) name_validity: Validity,
    pub(super) attributes: Attributes,
    pub(super) validity: Validity,
}

impl Entry {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Errno> {
        let (node, _generation) = (reader.u64()?, reader.u64()?);
        let (name_seconds, seconds) = (reader.u64()?, reader.u64()?);
        let (name_nanoseconds, nanoseconds) = (reader.u32()?, reader.u32()?);
        let name_validity = Validity { seconds: name_seconds, nanoseconds: name_nanoseconds };
        let validity = Validity { seconds, nanoseconds };
        Ok(Self { node, name_validity, attributes: Attributes::read(reader)?, validity })
    }
}
