//! hugetlbfs: files of huge pages, in an otherwise plain tree (`Documentation/admin-guide/mm/hugetlbpage.rst`).

use std::fmt::Write as _;
use std::sync::Arc;

use super::{TmpfsOptions, new_instance_of};
use crate::Errno;
use crate::fs::file_system_type::{FileSystemType, MountRequest, Mounter, TypeFlags};
use crate::fs::mount::{FileSystemInfo, Instance};
use crate::fs::numbers::parse_bytes;
use crate::memory::{FrameAllocator, HUGE_PAGE_BYTES, HugeQuota};

/// Permission bits of the root directory.
const ROOT_PERMISSIONS: u32 = 0o755;

/// Files of huge pages.
pub(in crate::fs) const HUGETLBFS: FileSystemType = FileSystemType {
    name: "hugetlbfs",
    flags: TypeFlags::ALLOW_IDMAP,
    shows: None,
    check_options: |mounter, options| HugeOptions::of_mounter(mounter, options).map(drop),
    make: make_instance,
};

/// What is special about an instance: how much of the pool its files may have.
#[derive(Default)]
pub(super) struct HugeVolume {
    pub(super) quota: Option<Arc<HugeQuota>>,
    /// Whether inodes are bounded.
    has_max_inodes: bool,
}

impl HugeVolume {
    /// What statfs(2) tells: nothing of pages and inodes where none are bounded.
    pub(super) fn info(&self, own: FileSystemInfo) -> FileSystemInfo {
        let info = FileSystemInfo {
            block_size_bytes: HUGE_PAGE_BYTES,
            blocks: 0,
            free_blocks: 0,
            inodes: 0,
            free_inodes: 0,
            ..own
        };
        let Some(quota) = &self.quota else { return info };
        // No bound is shown as -1.
        let no_bound = |count| if self.has_max_inodes { count } else { u64::MAX };
        let (max, used, _) = quota.figures();
        let blocks = max.unwrap_or(u64::MAX);
        let (inodes, free_inodes) = (no_bound(own.inodes), no_bound(own.free_inodes));
        FileSystemInfo { blocks, free_blocks: blocks.saturating_sub(used), inodes, free_inodes, ..info }
    }

    /// What /proc/mounts shows, with a comma before each.
    pub(super) fn options(&self, options: &TmpfsOptions) -> String {
        let mut shown = options.root_options(ROOT_PERMISSIONS);
        if self.has_max_inodes {
            // Writing to a string does not fail.
            let _ = write!(shown, ",nr_inodes={}", options.max_inodes);
        }
        shown += ",pagesize=2M";
        if let Some(quota) = &self.quota {
            let (max, _, min) = quota.figures();
            if let Some(max) = max {
                let _ = write!(shown, ",size={}", max.saturating_mul(HUGE_PAGE_BYTES));
            }
            if min > 0 {
                let _ = write!(shown, ",min_size={}", min.saturating_mul(HUGE_PAGE_BYTES));
            }
        }
        shown
    }
}

/// What an instance is asked for.
struct HugeOptions {
    tree: TmpfsOptions,
    has_max_inodes: bool,
    max_pages: Option<u64>,
    min_pages: Option<u64>,
}

impl HugeOptions {
    /// The options of mount(2) for `mounter`, who owns the root directory unless they say otherwise.
    ///
    /// # Errors
    /// EINVAL for an option that is not known, or a value that makes no sense.
    fn of_mounter(mounter: &dyn Mounter, options: &str) -> Result<Self, Errno> {
        let pool_pages = mounter.file_systems().memory.frames.huge_pages().total;
        let (mut own, mut rest) = (Vec::new(), vec![format!("mode={ROOT_PERMISSIONS:o}")]);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or(Errno::EINVAL)?;
            match name {
                "uid" | "gid" | "mode" | "nr_inodes" => rest.push(option.to_string()),
                "size" | "min_size" | "pagesize" => own.push((name, value)),
                _ => return Err(Errno::EINVAL),
            }
        }
        let has_max_inodes = rest.iter().any(|option| option.starts_with("nr_inodes="));
        let mut tree = TmpfsOptions::of_mounter(mounter, &rest.join(","))?;
        tree.permissions &= 0o1777;
        let mut asked = Self { tree, has_max_inodes, max_pages: None, min_pages: None };
        for (name, value) in own {
            match name {
                "size" => asked.max_pages = Some(pages_of(value, pool_pages)?),
                "min_size" => asked.min_pages = Some(pages_of(value, pool_pages)?),
                _ if parse_bytes(value)? == HUGE_PAGE_BYTES => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        match (asked.min_pages, asked.max_pages) {
            (Some(min), Some(max)) if min > max => Err(Errno::EINVAL),
            _ => Ok(asked),
        }
    }

    fn into_volume(self, frames: &Arc<FrameAllocator>) -> Result<HugeVolume, Errno> {
        let (max, min) = (self.max_pages, self.min_pages);
        let is_bounded = max.is_some() || min.is_some();
        let quota = is_bounded.then(|| HugeQuota::new(frames, max, min.unwrap_or(0))).transpose()?;
        Ok(HugeVolume { quota, has_max_inodes: self.has_max_inodes })
    }
}

fn make_instance(
    mounter: &dyn Mounter,
    owner: Arc<crate::cred::UserNamespace>,
    request: &MountRequest<'_>,
) -> Result<Arc<Instance>, Errno> {
    let options = HugeOptions::of_mounter(mounter, request.options)?;
    let (resources, tree) = (&mounter.file_systems().memory, options.tree);
    let volume = options.into_volume(&resources.frames)?;
    new_instance_of(resources, &tree, HUGETLBFS.name, owner, Some(volume))
}

/// Huge pages in a size, or in a part of a pool of `pool_pages`.
fn pages_of(text: &str, pool_pages: u64) -> Result<u64, Errno> {
    match text.strip_suffix('%') {
        Some(percents) => Ok(pool_pages.saturating_mul(parse_bytes(percents)?) / 100),
        None => Ok(parse_bytes(text)? / HUGE_PAGE_BYTES),
    }
}
