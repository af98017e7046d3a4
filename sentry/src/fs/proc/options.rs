//! The options of an instance: who sees which processes, and whether there is anything else (`man 5 proc`, Mount options).

use crate::Errno;
use crate::cred::{Gid, KernelGid, UserNamespace};

/// What is hidden of processes that the viewer may not look into (`hidepid=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hidden {
    /// Nothing.
    #[default]
    Nothing,
    /// What is in their directories.
    Contents,
    /// That they are there.
    All,
    /// The same, even for who is in the group that is told everything else.
    FromAll,
}

impl Hidden {
    fn parse(text: &str) -> Result<Self, Errno> {
        Ok(match text {
            "0" | "off" => Self::Nothing,
            "1" | "noaccess" => Self::Contents,
            "2" | "invisible" => Self::All,
            "4" | "ptraceable" => Self::FromAll,
            _ => return Err(Errno::EINVAL),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "off",
            Self::Contents => "noaccess",
            Self::All => "invisible",
            Self::FromAll => "ptraceable",
        }
    }
}

/// The options of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcOptions {
    pub(super) hidden: Hidden,
    /// Who is in this group is hidden nothing from.
    pub(super) gid: KernelGid,
    /// There is nothing but processes.
    pub(super) is_pid_only: bool,
}

impl ProcOptions {
    /// These, changed by the text of mount(2), in which `namespace` numbers groups.
    ///
    /// # Errors
    /// EINVAL for an option that is not known, or a value that makes no sense.
    pub(super) fn with(mut self, options: &str, namespace: &UserNamespace) -> Result<Self, Errno> {
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').ok_or(Errno::EINVAL)? {
                ("hidepid", value) => self.hidden = Hidden::parse(value)?,
                ("gid", value) => {
                    let gid = Gid(value.parse().map_err(|_| Errno::EINVAL)?);
                    self.gid = namespace.to_kernel_gid(gid).ok_or(Errno::EINVAL)?;
                }
                ("subset", "pid") => self.is_pid_only = true,
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(self)
    }

    /// What /proc/mounts shows, with a comma before each.
    pub(super) fn shown(&self) -> String {
        let mut shown = String::new();
        if self.gid != KernelGid::ROOT {
            shown += &format!(",gid={}", self.gid.0);
        }
        if self.hidden != Hidden::Nothing {
            shown += &format!(",hidepid={}", self.hidden.name());
        }
        if self.is_pid_only {
            shown += ",subset=pid";
        }
        shown
    }
}
