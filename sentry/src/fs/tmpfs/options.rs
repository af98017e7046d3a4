//! The options of a tmpfs (`man 5 tmpfs`).

use crate::Errno;
use crate::cred::{Gid, KernelGid, KernelUid, Uid, UserNamespace};
use crate::fs::Mounter;
use crate::fs::numbers::parse_bytes;
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
    /// What else was asked for.
    pub extras: TmpfsExtras,
}

/// What is asked for that changes nothing here but what /proc/mounts shows: pages are huge as the host has it, nothing is swapped,
/// and inodes have 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TmpfsExtras {
    /// When pages are huge, if not never.
    huge: Option<&'static str>,
    policy: Option<MemoryPolicy>,
    is_never_swapped: bool,
    has_long_numbers: bool,
    /// It was said that there is no limit of bytes.
    has_no_size: bool,
    /// It was said that there is none of inodes.
    has_no_inodes: bool,
}

/// From which nodes pages come. There is one, which all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryPolicy {
    mode: &'static str,
    /// What node numbers mean to who may not use all.
    flag: Option<&'static str>,
    has_nodes: bool,
}

impl MemoryPolicy {
    /// What `mpol=` says; `None` for the usual policy.
    ///
    /// # Errors
    /// EINVAL.
    fn parse(text: &str) -> Result<Option<Self>, Errno> {
        let (head, nodes) = text.split_once(':').map_or((text, None), |(head, nodes)| (head, Some(nodes)));
        let (mode, flag) = head.split_once('=').map_or((head, None), |(mode, flag)| (mode, Some(flag)));
        let flag = match flag {
            None => None,
            Some("static") => Some("static"),
            Some("relative") => Some("relative"),
            Some(_) => return Err(Errno::EINVAL),
        };
        let has_nodes = match nodes {
            None => false,
            Some("0" | "0-0") => true,
            Some(_) => return Err(Errno::EINVAL),
        };
        let (mode, has_nodes) = match (mode, has_nodes) {
            ("default", false) => return Ok(None),
            ("local", false) if flag.is_none() => ("local", false),
            ("prefer", false) => ("local", false),
            ("prefer", true) => ("prefer", true),
            ("prefer (many)", true) => ("prefer (many)", true),
            ("bind", true) => ("bind", true),
            ("interleave", _) => ("interleave", true),
            ("weighted interleave", _) => ("weighted interleave", true),
            _ => return Err(Errno::EINVAL),
        };
        Ok(Some(Self { mode, flag, has_nodes }))
    }

    fn shown(self) -> String {
        let flag = self.flag.map(|flag| format!("={flag}")).unwrap_or_default();
        format!(",mpol={}{flag}{}", self.mode, if self.has_nodes { ":0" } else { "" })
    }
}

impl TmpfsExtras {
    /// Whether it was said that there is no limit of bytes, and none of inodes.
    pub(super) fn without_limits(self) -> (bool, bool) {
        (self.has_no_size, self.has_no_inodes)
    }

    /// What it shows behind the root directory's options.
    fn shown(self) -> String {
        let mut shown = if self.has_long_numbers { ",inode64".to_string() } else { String::new() };
        shown.extend(self.huge.map(|huge| format!(",huge={huge}")));
        shown.extend(self.policy.map(MemoryPolicy::shown));
        if self.is_never_swapped {
            shown += ",noswap";
        }
        shown
    }
}

impl Default for TmpfsOptions {
    fn default() -> Self {
        Self {
            max_bytes: u64::MAX,
            max_inodes: 1 << 20,
            permissions: 0o1777,
            uid: KernelUid::ROOT,
            gid: KernelGid::ROOT,
            extras: TmpfsExtras::default(),
        }
    }
}

impl TmpfsOptions {
    /// The same for a file system without limits, which lists the permissions last.
    pub(super) fn owner_options(&self) -> String {
        let (default, mut options) = (Self::default(), String::new());
        if self.uid != default.uid {
            options += &format!(",uid={}", self.uid.0);
        }
        if self.gid != default.gid {
            options += &format!(",gid={}", self.gid.0);
        }
        let permissions = self.permissions & 0o777;
        if permissions != default.permissions & 0o777 {
            options += &format!(",mode={permissions:o}");
        }
        options
    }

    /// Who owns the root directory, and with which permissions if not with these.
    pub(super) fn root_options(&self, default_permissions: u32) -> String {
        let (default, mut options) = (Self::default(), String::new());
        if self.uid != default.uid {
            options += &format!(",uid={}", self.uid.0);
        }
        if self.gid != default.gid {
            options += &format!(",gid={}", self.gid.0);
        }
        if self.permissions != default_permissions {
            options += &format!(",mode={:o}", self.permissions);
        }
        options
    }

    /// The options of mount(2) for `mounter`, who owns the root directory unless they say otherwise.
    ///
    /// # Errors
    /// As [`TmpfsOptions::with`].
    pub(super) fn of_mounter(mounter: &dyn Mounter, options: &str) -> Result<Self, Errno> {
        let credentials = mounter.viewer().credentials;
        let total_bytes = mounter.file_systems().memory.frames.statistics().total_bytes;
        let options = &*with_plain_sizes(options, total_bytes);
        let defaults = Self { uid: credentials.fs_uid, gid: credentials.fs_gid, ..Self::default() };
        defaults.with(options, &credentials.user_namespace)
    }

    /// What /proc/mounts shows beside the limits that there are, with a comma before each; of the permissions, if they are others
    /// than these.
    pub(super) fn other_options(&self, default_permissions: u32) -> String {
        let default = Self::default();
        let mut options = String::new();
        if self.permissions != default_permissions {
            options += &format!(",mode={:03o}", self.permissions);
        }
        if self.uid != default.uid {
            options += &format!(",uid={}", self.uid.0);
        }
        if self.gid != default.gid {
            options += &format!(",gid={}", self.gid.0);
        }
        options + &self.extras.shown()
    }

    /// These, changed by `options`, the text of mount(2), in which `namespace` numbers users. What has no meaning here is accepted if Linux knows it.
    ///
    /// # Errors
    /// EINVAL for an option that is not known, or a value that makes no sense.
    pub fn with(mut self, options: &str, namespace: &UserNamespace) -> Result<Self, Errno> {
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "size" | "nr_blocks" => {
                    let unit = if name == "size" { 1 } else { PAGE_SIZE };
                    self.max_bytes = parse_limit(value)?.saturating_mul(unit);
                    self.extras.has_no_size = self.max_bytes == u64::MAX;
                }
                "nr_inodes" => {
                    let max_inodes = parse_limit(value)?;
                    self.max_inodes = max_inodes.min(Self::default().max_inodes);
                    self.extras.has_no_inodes = max_inodes == u64::MAX;
                }
                "mode" => {
                    self.permissions = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777;
                }
                "uid" => self.uid = namespace.to_kernel_uid(Uid(parse_id(value)?)).ok_or(Errno::EINVAL)?,
                "gid" => self.gid = namespace.to_kernel_gid(Gid(parse_id(value)?)).ok_or(Errno::EINVAL)?,
                "huge" => self.extras.huge = parse_huge(value)?,
                "inode32" | "inode64" => self.extras.has_long_numbers = name == "inode64",
                "noswap" => self.extras.is_never_swapped = true,
                "mpol" => self.extras.policy = MemoryPolicy::parse(value)?,
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(self)
    }
}

/// When pages are huge.
fn parse_huge(text: &str) -> Result<Option<&'static str>, Errno> {
    match text {
        "never" => Ok(None),
        "always" => Ok(Some("always")),
        "within_size" => Ok(Some("within_size")),
        "advise" => Ok(Some("advise")),
        _ => Err(Errno::EINVAL),
    }
}

/// The options with the sizes that are parts of memory, of which there are `total_bytes`, as bytes.
pub(super) fn with_plain_sizes(options: &str, total_bytes: u64) -> String {
    let plain = |option: &str| {
        let percents = option.strip_prefix("size=").and_then(|size| size.strip_suffix('%'));
        match percents.and_then(|percents| percents.parse::<u64>().ok()) {
            Some(percents) => format!("size={}", (total_bytes / 100).saturating_mul(percents)),
            None => option.to_string(),
        }
    };
    options.split(',').map(plain).collect::<Vec<_>>().join(",")
}

fn parse_id(text: &str) -> Result<u32, Errno> {
    text.parse().map_err(|_| Errno::EINVAL)
}

/// A size; 0 is no limit.
fn parse_limit(text: &str) -> Result<u64, Errno> {
    if text.is_empty() {
        return Err(Errno::EINVAL);
    }
    match parse_bytes(text)? {
        0 => Ok(u64::MAX),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests;
