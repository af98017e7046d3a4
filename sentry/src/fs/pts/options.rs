//! The options of devpts (`filesystems/devpts.rst`).

use crate::Errno;
use crate::cred::{Gid, KernelGid, KernelUid, Uid, UserNamespace};

/// As many terminals as there can be (`NR_UNIX98_PTY_MAX`).
const MAX_PAIRS: usize = 1 << 20;

/// Whose slaves are, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtsOptions {
    /// The owner of slaves; `None`: who opens the master.
    pub uid: Option<KernelUid>,
    /// The group of slaves; `None`: that of who opens the master.
    pub gid: Option<KernelGid>,
    /// Permission bits of slaves.
    pub permissions: u32,
    /// Permission bits of `ptmx`.
    pub ptmx_permissions: u32,
    /// Most pairs at a time.
    pub max: usize,
}

impl Default for PtsOptions {
    fn default() -> Self {
        Self { uid: None, gid: None, permissions: 0o600, ptmx_permissions: 0, max: MAX_PAIRS }
    }
}

impl PtsOptions {
    /// Those of mount(2)'s `text`, in which `namespace` numbers users.
    ///
    /// # Errors
    /// EINVAL.
    pub fn parse(text: &str, namespace: &UserNamespace) -> Result<Self, Errno> {
        let mut options = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty() && *option != "newinstance") {
            let (name, value) = option.split_once('=').ok_or(Errno::EINVAL)?;
            let number = || value.parse::<u32>().map_err(|_| Errno::EINVAL);
            let bits = || u32::from_str_radix(value, 8).map(|bits| bits & 0o7777).map_err(|_| Errno::EINVAL);
            match name {
                "uid" => options.uid = Some(namespace.to_kernel_uid(Uid(number()?)).ok_or(Errno::EINVAL)?),
                "gid" => options.gid = Some(namespace.to_kernel_gid(Gid(number()?)).ok_or(Errno::EINVAL)?),
                "mode" => options.permissions = bits()?,
                "ptmxmode" => options.ptmx_permissions = bits()?,
                "max" => {
                    let max = usize::try_from(number()?).map_err(|_| Errno::EINVAL)?;
                    options.max = Some(max).filter(|max| *max <= MAX_PAIRS).ok_or(Errno::EINVAL)?;
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    /// What /proc/mounts shows, with a comma before each.
    pub fn shown(&self) -> String {
        let mut shown = self.uid.map_or_else(String::new, |uid| format!(",uid={}", uid.0));
        shown.extend(self.gid.map(|gid| format!(",gid={}", gid.0)));
        shown += &format!(",mode={:03o},ptmxmode={:03o}", self.permissions, self.ptmx_permissions);
        if self.max < MAX_PAIRS {
            shown += &format!(",max={}", self.max);
        }
        shown
    }
}
