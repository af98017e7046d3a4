//! What a sandbox is to be.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::NameService;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, KernelGid, KernelUid, UserNamespace};
use crate::limits::{Limit, Limits, Resource};

/// What a sandbox is to be. Every field that is left out is as in [`Description::default`].
///
/// A sandbox has a kernel of its own, so that its first task begins in namespaces that nobody else is in: there is nothing to say
/// of them here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// A directory of the host that holds the root file system, or an ELF executable that stands in an empty one.
    pub root: PathBuf,
    /// What is mounted in it, in this order. Directories that are missing are made, in memory.
    pub mounts: Vec<MountPoint>,
    /// Nothing can be written but below what is mounted.
    pub is_root_read_only: bool,
    /// Directories that are mounts of their own, of what the image has there. They are made if the image lacks them.
    pub anonymous_volumes: Vec<String>,
    /// The program and its arguments; empty for the image's own, or a shell.
    pub command: Vec<Text>,
    /// `NAME=value` each. HOME is added from the image's passwd if it is not among them.
    pub environment: Vec<Text>,
    /// The program is the child of an init that waits for what is orphaned, and passes signals on.
    pub has_reaper: bool,
    /// The program's working directory.
    pub working_directory: Text,
    /// The working directory is made if the image lacks it.
    pub makes_working_directory: bool,
    /// Who it runs as.
    pub user: User,
    /// Who it runs as instead: `USER[:GROUP]`, each a number or a name in the image's passwd or group.
    pub user_name: Option<String>,
    /// The capabilities that it and what it executes may have, by number (`man 7 capabilities`); `None` for those that go with
    /// the user.
    pub capabilities: Option<BTreeSet<u32>>,
    /// Resource limits other than Linux's own for init.
    pub resource_limits: Vec<ResourceLimit>,
    /// The most tasks at a time. Nothing inside lifts it.
    pub max_tasks: Option<u64>,
    /// The most processor time for each moment of time, in thousandths of a CPU. Nothing inside lifts it.
    pub max_millicpus: Option<u32>,
    /// What uname(2) calls `nodename` at first.
    pub host_name: Text,
    /// What names are looked up by, where the image is not to say.
    pub name_service: NameService,
    /// The container's id: its tasks live in a control group of that name.
    pub name: Option<String>,
    /// The most memory that the guest may use; `None` leaves the choice to the front end.
    pub memory_bytes: Option<u64>,
    /// Every system call is written down, decoded.
    pub traces_system_calls: bool,
}

impl Default for Description {
    /// A shell on the host's own files, as root.
    fn default() -> Self {
        Self {
            root: "/".into(),
            mounts: MountPoint::usual(),
            is_root_read_only: false,
            command: Vec::new(),
            anonymous_volumes: Vec::new(),
            environment: Vec::new(),
            has_reaper: false,
            working_directory: "/".into(),
            makes_working_directory: false,
            user: User::default(),
            user_name: None,
            capabilities: None,
            resource_limits: Vec::new(),
            max_tasks: None,
            max_millicpus: None,
            host_name: "palisade".into(),
            name_service: NameService::default(),
            name: None,
            memory_bytes: None,
            traces_system_calls: false,
        }
    }
}

impl Description {
    /// The credentials of the first program, in the initial user namespace of the kernel.
    pub(super) fn credentials(&self, user_namespace: &Arc<UserNamespace>) -> Credentials {
        self.user.credentials(self.capabilities.as_ref(), user_namespace)
    }

    /// The limits of the first program.
    ///
    /// # Errors
    /// EINVAL: there is no such resource, or a soft limit exceeds its hard one.
    pub(super) fn limits(&self) -> Result<Limits, Errno> {
        let mut limits = Limits::default();
        for &ResourceLimit { resource, soft, hard } in &self.resource_limits {
            limits.set(Resource::new(resource)?, Limit { soft, hard }, true)?;
        }
        Ok(limits)
    }
}

/// The type of a volume: a directory or file of the host, live in both directions.
pub const HOSTFS: &str = "hostfs";

/// A file system and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountPoint {
    /// The absolute path of the directory, or of the file if a file is mounted.
    pub target: String,
    /// The type of the file system, by its name in /proc/filesystems.
    pub file_system: String,
    /// What it shows: for a volume ([`HOSTFS`]), a path of the host.
    #[serde(default)]
    pub source: Option<PathBuf>,
    /// Options of the type, as in mount(2). Those of a volume: `map` has what belongs to the caller on the host belong to the first
    /// process's user inside, and the other way round.
    #[serde(default)]
    pub options: String,
    /// Nobody writes there.
    #[serde(default)]
    pub is_read_only: bool,
}

impl MountPoint {
    /// What programs expect to find, besides /dev.
    pub fn usual() -> Vec<Self> {
        let mount = |target: &str, file_system: &str, is_read_only| Self {
            target: target.into(),
            file_system: file_system.into(),
            source: None,
            options: String::new(),
            is_read_only,
        };
        vec![
            mount("/proc", "proc", false),
            mount("/sys", "sysfs", true),
            mount("/sys/fs/cgroup", "cgroup2", false),
            MountPoint {
                options: "gid=5,mode=620,ptmxmode=666".into(),
                ..mount("/dev/pts", "devpts", false)
            },
        ]
    }
}

/// A user and groups, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
    /// Supplementary groups.
    #[serde(default)]
    pub groups: Vec<u32>,
}

impl User {
    /// The credentials of a program that begins as this user, with `capabilities` if they do not go with the user.
    pub(super) fn credentials(
        &self,
        capabilities: Option<&BTreeSet<u32>>,
        user_namespace: &Arc<UserNamespace>,
    ) -> Credentials {
        let (uid, gid) = (KernelUid(self.uid), KernelGid(self.gid));
        let mut credentials = Credentials::of_user(uid, gid, user_namespace);
        if uid == KernelUid::ROOT {
            credentials.effective = Capabilities::ALL;
            credentials.permitted = Capabilities::ALL;
        }
        credentials.groups = self.groups.iter().copied().map(KernelGid).collect();
        if let Some(numbers) = capabilities {
            let bits = numbers.iter().filter_map(|number| 1_u64.checked_shl(*number)).sum();
            let capabilities = Capabilities::from_bits_retain(bits) & Capabilities::ALL;
            credentials.permitted = capabilities;
            credentials.effective = capabilities;
            credentials.bounding = capabilities;
        }
        credentials
    }
}

/// A limit other than Linux's own for init (`man 2 getrlimit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceLimit {
    /// `RLIMIT_*`, by number.
    pub resource: u32,
    /// What is enforced; `u64::MAX` is no limit.
    pub soft: u64,
    /// How far the soft limit may be raised.
    pub hard: u64,
}

/// Bytes that usually are text: written down as a string if they are UTF-8, else as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenText", into = "WrittenText")]
pub struct Text(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenText {
    String(String),
    Bytes(Vec<u8>),
}

impl From<WrittenText> for Text {
    fn from(text: WrittenText) -> Self {
        match text {
            WrittenText::String(text) => Self(text.into_bytes()),
            WrittenText::Bytes(bytes) => Self(bytes),
        }
    }
}

impl From<Text> for WrittenText {
    fn from(Text(bytes): Text) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::String)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<OsString> for Text {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

#[cfg(test)]
mod tests;
