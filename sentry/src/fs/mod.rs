//! The virtual file system: names, inodes, open files, and one folder a file system.
//!
//! From the top: a [`DescriptorTable`] maps numbers to [`FileDescription`]s; a [`TaskFs`] says where a task's
//! paths begin; a [`Resolver`] walks [`Dentry`]s across the mounts of a [`MountNamespace`]; below a dentry lies an
//! [`Inode`] of some file system, and opening it yields a [`File`]. The functions of [`operations`] are what the
//! system calls do with paths: they check permissions and keep dentries and inodes in step.
//!
//! Lock order: a file system's rename lock, then `Dentry::children` (parents before children, else by address),
//! then the lock of changes of mounts, then whatever the inode locks inside. `Dentry::place` and what a mount locks
//! ([`mount`]) are leaves.

pub mod acl;
pub mod anonymous;
pub mod async_io;
pub mod binfmt_misc;
pub mod block;
mod caller;
pub mod cgroup;
mod dentry;
mod description_inode;
mod descriptor_table;
pub mod dev;
pub mod disk_control;
mod dnotify;
pub mod epoll;
pub mod eventfd;
mod ext;
pub mod fanotify;
mod fd;
mod file;
pub(crate) mod file_capabilities;
mod file_description;
pub mod file_flags;
pub mod file_handle;
mod file_system_type;
pub mod file_systems;
mod fs_context;
pub mod fuse;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod host;
pub mod host_stdio;
mod huge_file;
mod inode;
pub mod inotify;
pub mod landlock;
pub mod layers;
pub mod leases;
mod listing;
pub mod locks;
mod long_text;
pub mod lower;
pub mod memory_files;
mod metadata;
mod mount;
pub mod mqueue;
mod network;
pub mod nsfs;
mod numbers;
mod open_files;
mod open_flags;
pub mod operations;
pub mod overlay;
mod overlayfs;
pub mod path;
mod permission;
pub mod pipe;
mod position;
mod pressure;
pub mod proc;
mod protections;
mod pseudo;
pub mod pts;
mod resolve;
mod secret_file;
pub mod signalfd;
mod single;
pub mod sleeper;
pub mod special;
pub mod sys;
mod task_fs;
pub mod terminal;
pub mod timerfd;
pub mod tmpfs;
pub mod userfaultfd;
pub mod volume;
mod write_count;

pub use acl::CreationMode;
pub use async_io::SignalOwner;
pub use caller::Caller;
pub use dentry::Dentry;
pub use descriptor_table::{DescriptorBounds, DescriptorTable};
pub use fd::Fd;
pub use file::{Collector, DirectoryEntry, File, OuterPosition, PipeEnd, ReadPace, Splicing, TransferUnit};
pub use file_description::FileDescription;
pub use file_flags::FileFlags;
pub use file_system_type::{FileSystemType, MountRequest, Mounter, TypeFlags};
pub use file_systems::AnonymousDevices;
pub use fs_context::FsContext;
pub use huge_file::HugeFile;
pub use inode::{Attachment, Inode, LinkTarget, NewNode, NodeCreation, RenameMode, Viewer};
pub use long_text::LongText;
pub use metadata::{AttributeChanges, DeviceNumber, FileKind, Metadata, TimeChange, Timestamp};
pub use mount::{
    DetachedTree, FileSystem, FileSystemInfo, IdMapping, Instance, Mount, MountFlags, MountNamespace,
    MountTable, Propagation, Settings, SuperFlags,
};
pub use network::{LinkRelations, Network, NetworkTable};
pub use open_files::OpenFiles;
pub use open_flags::OpenFlags;
pub use path::Path;
pub use permission::{Access, check_access, check_owner, check_sticky};
pub use position::{Position, Turn};
pub use protections::Protections;
pub use resolve::{LastComponent, ResolveFlags, Resolved, Resolver};
pub use secret_file::SecretFile;
pub use task_fs::{FsView, TaskFs};
pub use write_count::{ExecutedFile, WriteCount, WriteDenial};
