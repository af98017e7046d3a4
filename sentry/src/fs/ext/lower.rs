//! Files of an ext file system as the layer below files in memory.

use std::sync::Arc;

use parking_lot::Mutex;

use super::directory::{Entry, parse};
use super::inode::{RawInode, Stamp};
use super::map::FileMap;
use super::volume::ExtVolume;
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::lower::{LowerEntry, LowerFile, LowerStatus};
use crate::fs::sleeper::ServedPace;
use crate::fs::{DeviceNumber, FileKind};
use crate::heap::HeapCharge;
use crate::pace::Pace;

/// The largest directory that is read, in bytes.
const MAX_DIRECTORY_LEN: u64 = 256 << 20;
/// What an entry takes beside its name.
const ENTRY_BYTES: usize = 80;
/// The longest text of a link.
const MAX_LINK_LEN: u64 = 4096;
/// A text of so many bytes is in the inode.
const SHORT_LINK_LEN: u64 = 60;

pub(super) struct ExtFile {
    volume: Arc<ExtVolume>,
    ino: u32,
    /// Its blocks, and of which state of the file system.
    map: Mutex<Option<(u64, u64, Arc<FileMap>)>>,
}

impl ExtFile {
    /// Inode `number`.
    ///
    /// # Errors
    /// EUCLEAN: there is no such inode. The device's.
    pub(super) fn new(volume: &Arc<ExtVolume>, ino: u32) -> Result<(Arc<Self>, LowerStatus), Errno> {
        let inode = volume.read_inode(ino)?;
        let status = volume.status(&inode)?;
        Ok((Arc::new(Self { volume: volume.clone(), ino, map: Mutex::default() }), status))
    }

    /// The size, and the blocks.
    fn contents(&self) -> Result<(u64, Arc<FileMap>), Errno> {
        let epoch = self.volume.epoch();
        let known = self.map.lock().clone();
        if let Some((_, size, map)) = known.filter(|(known, ..)| *known == epoch) {
            return Ok((size, map));
        }
        let inode = self.volume.read_inode(self.ino)?;
        let map = Arc::new(self.volume.read_map(&inode)?);
        *self.map.lock() = Some((epoch, inode.size(), map.clone()));
        Ok((inode.size(), map))
    }
}

impl ExtVolume {
    /// What is told of an inode.
    fn status(&self, inode: &RawInode) -> Result<LowerStatus, Errno> {
        let kind = inode.kind().ok_or(Errno::EUCLEAN)?;
        let (uid, gid) = inode.owner();
        let special = matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice);
        let link_text = if kind == FileKind::Symlink { Some(self.link_text(inode)?) } else { None };
        Ok(LowerStatus {
            identity: (0, inode.ino.into()),
            kind,
            mode: inode.mode(),
            links: inode.links(),
            uid: KernelUid(uid),
            gid: KernelGid(gid),
            special_device: if special { inode.device() } else { DeviceNumber::default() },
            size_bytes: inode.size(),
            blocks: inode.sectors(self.superblock()),
            accessed: inode.stamp(Stamp::Accessed),
            modified: inode.stamp(Stamp::Modified),
            changed: inode.stamp(Stamp::Changed),
            created: inode.has_stamp(Stamp::Created).then(|| inode.stamp(Stamp::Created)),
            link_text,
            file_flags: inode.file_flags(),
        })
    }

    fn link_text(&self, inode: &RawInode) -> Result<Box<[u8]>, Errno> {
        let len = inode.size();
        if len == 0 || len > MAX_LINK_LEN {
            return Err(Errno::EUCLEAN);
        }
        if len < SHORT_LINK_LEN {
            return Ok(inode.map().get(..len as usize).unwrap_or_default().into());
        }
        let map = self.read_map(inode)?;
        let mut text = vec![0; len as usize];
        self.read_mapped(&map, &mut text, 0)?;
        Ok(text.into())
    }

    /// Reads the blocks of `map` from `offset` on; holes read as zeroes.
    pub(super) fn read_mapped(&self, map: &FileMap, buffer: &mut [u8], offset: u64) -> Result<(), Errno> {
        let block_bytes = self.superblock().block_bytes;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            let (logical, within) = (at / block_bytes, at % block_bytes);
            let run = map.find(logical);
            // To the end of the run, or of the block in a hole.
            let blocks = run.map_or(1, |run| run.len - (logical - run.logical));
            let len = (blocks * block_bytes - within).min(rest.len() as u64) as usize;
            let Some(portion) = rest.get_mut(..len) else { break };
            match run.filter(|run| !run.is_unwritten) {
                Some(run) => {
                    let place = (run.physical + (logical - run.logical)) * block_bytes + within;
                    self.device().read_exact(portion, place)?;
                }
                None => portion.fill(0),
            }
            done += len;
        }
        Ok(())
    }

    /// All entries of a directory, `.` and `..` among them, and what is charged for them.
    ///
    /// # Errors
    /// EFBIG: it is too large. EUCLEAN: it makes no sense. ENOMEM. EINTR: `pace` has other plans. The device's.
    pub(super) fn entries(
        &self,
        inode: &RawInode,
        pace: &dyn Pace,
    ) -> Result<(Vec<Entry>, HeapCharge), Errno> {
        if inode.size() > MAX_DIRECTORY_LEN {
            return Err(Errno::EFBIG);
        }
        let map = self.read_map(inode)?;
        let (mut entries, mut charge) = (Vec::new(), HeapCharge::default());
        let mut block = vec![0; self.block_bytes()];
        for logical in 0..inode.size() / self.superblock().block_bytes {
            if map.find(logical).is_some() {
                self.read_mapped(&map, &mut block, logical * self.superblock().block_bytes)?;
                let before = entries.len();
                parse(self.superblock(), &block, &mut entries)?;
                let more = (entries.len() - before) * ENTRY_BYTES + block.len();
                charge.resize(charge.len_bytes() + more)?;
            }
            if pace.is_wanted() {
                return Err(Errno::EINTR);
            }
        }
        Ok((entries, charge))
    }
}

impl LowerFile for ExtFile {
    fn lookup(&self, name: &[u8]) -> Result<(Arc<dyn LowerFile>, LowerStatus), Errno> {
        let inode = self.volume.read_inode(self.ino)?;
        let (entries, _charge) = self.volume.entries(&inode, &ServedPace)?;
        let found = entries.into_iter().find(|entry| *entry.name == *name).ok_or(Errno::ENOENT)?;
        let (file, status) = Self::new(&self.volume, found.inode)?;
        Ok((file, status))
    }

    fn list(&self) -> Result<Vec<LowerEntry>, Errno> {
        let inode = self.volume.read_inode(self.ino)?;
        let (entries, _charge) = self.volume.entries(&inode, &ServedPace)?;
        let named = entries.into_iter().filter(|entry| !matches!(&*entry.name, b"." | b".."));
        let lower =
            |entry: Entry| LowerEntry { name: entry.name, inode: entry.inode.into(), kind: entry.kind };
        Ok(named.map(lower).collect())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let (size, map) = self.contents()?;
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        let Some(portion) = buffer.get_mut(..len) else { return Ok(0) };
        self.volume.read_mapped(&map, portion, offset)?;
        Ok(len)
    }

    fn check_readable(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let inode = self.volume.read_inode(self.ino);
        inode.and_then(|inode| self.volume.read_attributes(&inode)).unwrap_or_default()
    }
}
