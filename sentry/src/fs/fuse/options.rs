//! The options of a mount (`man 8 mount.fuse`, those that the kernel sees).

use crate::Errno;
use crate::cred::{Gid, KernelGid, KernelUid, Uid, UserNamespace};
use crate::fs::metadata::FileKind;

/// What a mount is asked for.
#[derive(Clone, Debug)]
pub(super) struct FuseOptions {
    /// The mounter's descriptor of /dev/fuse.
    pub(super) descriptor: i32,
    pub(super) root_mode: u32,
    /// Who mounts, and alone may use it.
    pub(super) user: KernelUid,
    pub(super) group: KernelGid,
    /// Everybody may use it.
    pub(super) allows_others: bool,
    /// Modes and owners decide who may do what; else the server does.
    pub(super) checks_permissions: bool,
    /// The most bytes that a read asks for.
    pub(super) max_read: Option<u32>,
    /// Of what is mounted as a block device.
    block_size: Option<u32>,
}

#[derive(Default)]
struct Given {
    descriptor: Option<i32>,
    root_mode: Option<u32>,
    user: Option<KernelUid>,
    group: Option<KernelGid>,
    allows_others: bool,
    checks_permissions: bool,
    max_read: Option<u32>,
    block_size: Option<u32>,
}

impl Given {
    fn parse(text: &str, namespace: &UserNamespace) -> Result<Self, Errno> {
        let mut given = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let number = || value.parse::<u32>().map_err(|_| Errno::EINVAL);
            match name {
                "fd" => given.descriptor = Some(i32::try_from(number()?).map_err(|_| Errno::EINVAL)?),
                "rootmode" => {
                    let mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)?;
                    FileKind::from_mode(mode).ok_or(Errno::EINVAL)?;
                    given.root_mode = Some(mode);
                }
                "user_id" => given.user = Some(namespace.to_kernel_uid(Uid(number()?)).ok_or(Errno::EINVAL)?),
                "group_id" => {
                    given.group = Some(namespace.to_kernel_gid(Gid(number()?)).ok_or(Errno::EINVAL)?)
                }
                "allow_other" => given.allows_others = true,
                "default_permissions" => given.checks_permissions = true,
                "max_read" => given.max_read = Some(number()?),
                "blksize" => given.block_size = Some(number()?),
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(given)
    }
}

/// Fails with EINVAL for options that are unknown or make no sense.
pub(super) fn check(text: &str, namespace: &UserNamespace) -> Result<(), Errno> {
    Given::parse(text, namespace).map(drop)
}

impl FuseOptions {
    /// The options in `text`, in which `namespace` numbers users.
    ///
    /// # Errors
    /// EINVAL: one is unknown, or one of those that there must be is missing.
    pub(super) fn parse(text: &str, namespace: &UserNamespace) -> Result<Self, Errno> {
        let given = Given::parse(text, namespace)?;
        Ok(Self {
            descriptor: given.descriptor.ok_or(Errno::EINVAL)?,
            root_mode: given.root_mode.ok_or(Errno::EINVAL)?,
            user: given.user.ok_or(Errno::EINVAL)?,
            group: given.group.ok_or(Errno::EINVAL)?,
            allows_others: given.allows_others,
            checks_permissions: given.checks_permissions,
            max_read: given.max_read,
            block_size: given.block_size,
        })
    }

    /// What /proc/mounts shows of them, with a comma before each. `is_block` if it is mounted as a block device.
    pub(super) fn shown(&self, namespace: &UserNamespace, is_block: bool) -> String {
        let (user, group) = (namespace.from_kernel_uid(self.user).0, namespace.from_kernel_gid(self.group).0);
        let mut shown = format!(",user_id={user},group_id={group}");
        if self.checks_permissions {
            shown += ",default_permissions";
        }
        if self.allows_others {
            shown += ",allow_other";
        }
        if let Some(max_read) = self.max_read {
            shown += &format!(",max_read={max_read}");
        }
        if is_block {
            shown += &format!(",blksize={}", self.block_size.unwrap_or(512));
        }
        shown
    }
}
