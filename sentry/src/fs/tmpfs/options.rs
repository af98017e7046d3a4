//! The options of a tmpfs (`man 5 tmpfs`).

use crate::Errno;
use crate::cred::{Gid, KernelGid, KernelUid, Uid, UserNamespace};
use crate::fs::Mounter;
use crate::platform::PAGE_SIZE;

/// Limits and root directory of a tmpfs.
#[derive(Clone, Copy, Debug)]
pub struct TmpfsOptions {
    /// Most bytes of files.
    pub max_bytes: u64,
    /// Most inodes.
    pub max_inodes: u64,
    /// Permission bits of the root directory.
    pub permissions: u32,
    /// Owner of the root directory.
    pub uid: KernelUid,
    /// Group of the root directory.
    pub gid: KernelGid,
}

impl Default for TmpfsOptions {
    fn default() -> Self {
        Self {
            max_bytes: u64::MAX,
            max_inodes: 1 << 20,
            permissions: 0o1777,
            uid: KernelUid::ROOT,
            gid: KernelGid::ROOT,
        }
    }
}

impl TmpfsOptions {
    /// The options of mount(2) for `mounter`, who owns the root directory unless they say otherwise.
    ///
    /// # Errors
    /// As [`TmpfsOptions::with`].
    pub(super) fn of_mounter(mounter: &dyn Mounter, options: &str) -> Result<Self, Errno> {
        let credentials = mounter.viewer().credentials;
        let defaults = Self { uid: credentials.fs_uid, gid: credentials.fs_gid, ..Self::default() };
        defaults.with(options, &credentials.user_namespace)
    }

    /// What /proc/mounts shows of the root directory, with a comma before each.
    pub(super) fn root_options(&self) -> String {
        let default = Self::default();
        let mut options = String::new();
        if self.permissions != default.permissions {
            options += &format!(",mode={:03o}", self.permissions);
        }
        if self.uid != default.uid {
            options += &format!(",uid={}", self.uid.0);
        }
        if self.gid != default.gid {
            options += &format!(",gid={}", self.gid.0);
        }
        options
    }

    /// These, changed by `options`, the text of mount(2), in which `namespace` numbers users. What has no meaning here is accepted if Linux knows it.
    ///
    /// # Errors
    /// EINVAL for an option that is not known, or a value that makes no sense.
    pub fn with(mut self, options: &str, namespace: &UserNamespace) -> Result<Self, Errno> {
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "size" => self.max_bytes = parse_size(value)?,
                "nr_blocks" => self.max_bytes = parse_size(value)?.saturating_mul(PAGE_SIZE),
                "nr_inodes" => self.max_inodes = parse_size(value)?.min(Self::default().max_inodes),
                "mode" => {
                    self.permissions = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777;
                }
                "uid" => self.uid = namespace.to_kernel_uid(Uid(parse_id(value)?)).ok_or(Errno::EINVAL)?,
                "gid" => self.gid = namespace.to_kernel_gid(Gid(parse_id(value)?)).ok_or(Errno::EINVAL)?,
                "huge" | "mpol" | "inode32" | "inode64" | "noswap" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(self)
    }
}

fn parse_id(text: &str) -> Result<u32, Errno> {
    text.parse().map_err(|_| Errno::EINVAL)
}

/// A number with k, m or g behind it; 0 is no limit.
fn parse_size(text: &str) -> Result<u64, Errno> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        // Half of the memory, and so on: the guest's memory is the limit anyway.
        "%" => return Ok(u64::MAX),
        _ => return Err(Errno::EINVAL),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    Ok(if number == 0 { u64::MAX } else { number.checked_mul(1 << shift).ok_or(Errno::EINVAL)? })
}

#[cfg(test)]
mod tests;
