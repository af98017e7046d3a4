//! File systems that processes serve (`man 4 fuse`).
//!
//! Whoever opens /dev/fuse and mounts with its descriptor serves a [`Connection`]: each operation on a file becomes a request,
//! which he reads and answers. The one who asks waits where he is ([`sleeper`](super::sleeper)), and only his own end cuts that short;
//! a signal is told to the server, who may say EINTR. When the last descriptor of the device is closed, all who wait get
//! ECONNABORTED, and whoever asks then ENOTCONN.
//!
//! Names and attributes are kept as long as the server says. Contents are not: reads and writes are the server's, pages are there for
//! mappings only.

mod connection;
mod control;
mod device;
mod directory;
mod file;
mod inode;
mod names;
mod notice;
mod options;
mod pages;
mod wire;

use std::sync::Arc;

use super::dentry::Dentry;
use super::file_system_type::{FileSystemType, MountRequest, Mounter, TypeFlags};
use super::metadata::DeviceNumber;
use super::mount::{FileSystem, FileSystemInfo};
use super::special::SpecialFiles;
use super::{Fd, Instance, Viewer};
use crate::Errno;
use crate::cred::UserNamespace;
use crate::memory::FrameAllocator;
use connection::Connection;
pub(super) use control::{FUSECTL, FuseConnections};
use device::FuseDevice;
pub use device::FuseDriver;
use inode::FuseInode;
use options::FuseOptions;
use wire::{Body, Operation, Reader};

const FUSE_SUPER_MAGIC: u64 = 0x6573_5546;

/// A file system that a process serves.
pub(super) const FUSE: FileSystemType = FileSystemType {
    name: "fuse",
    flags: TypeFlags::USERNS_MOUNT.union(TypeFlags::HAS_SUBTYPE),
    shows: None,
    check_options: |mounter, text| options::check(text, &mounter.viewer().credentials.user_namespace),
    make: |mounter, owner, request| make_instance(mounter, owner, request, "fuse"),
};

/// The same, of what lies on a block device: its end is told before the mount is gone.
pub(super) const FUSEBLK: FileSystemType = FileSystemType {
    name: "fuseblk",
    flags: TypeFlags::REQUIRES_DEV.union(TypeFlags::HAS_SUBTYPE),
    make: |mounter, owner, request| {
        super::file_system_type::block_device(mounter, request)?;
        make_instance(mounter, owner, request, "fuseblk")
    },
    ..FUSE
};

/// What files of a server are made from.
struct Resources {
    frames: Arc<FrameAllocator>,
    specials: Arc<SpecialFiles>,
}

fn make_instance(
    mounter: &dyn Mounter,
    owner: Arc<UserNamespace>,
    request: &MountRequest<'_>,
    type_name: &'static str,
) -> Result<Arc<Instance>, Errno> {
    let namespace = mounter.viewer().credentials.user_namespace.clone();
    let options = FuseOptions::parse(request.options, &namespace)?;
    let description = mounter.descriptor(Fd(options.descriptor)).map_err(|_| Errno::EINVAL)?;
    let device = description.downcast::<FuseDevice>().ok_or(Errno::EINVAL)?;
    let memory = &mounter.file_systems().memory;
    let resources = Resources { frames: memory.frames.clone(), specials: memory.specials.clone() };
    let connection = Connection::new(memory.devices.take(), options, namespace, resources);
    let root = FuseInode::root(&connection)?;
    device.serve(&connection)?;
    connection.initialise()?;
    let subtype = request.subtype.map(Into::into);
    let connections = mounter.file_systems().fuse.clone();
    connections.insert(&connection);
    let file_system = Arc::new(FuseFileSystem { connection, connections, type_name, subtype });
    Ok(Instance::new(file_system, Dentry::new_root(root), owner))
}

struct FuseFileSystem {
    connection: Arc<Connection>,
    connections: Arc<FuseConnections>,
    type_name: &'static str,
    subtype: Option<Box<str>>,
}

impl FuseFileSystem {
    fn is_block(&self) -> bool {
        self.type_name == FUSEBLK.name
    }

    fn ask_info(&self) -> Result<FileSystemInfo, Errno> {
        let answer = self.connection.ask(Operation::StatFs, inode::ROOT, Body::default())?;
        let mut reader = Reader(&answer);
        let (blocks, free_blocks, available) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (inodes, free_inodes, block_size) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let block_size_bytes = block_size.into();
        Ok(FileSystemInfo {
            magic: FUSE_SUPER_MAGIC,
            block_size_bytes,
            blocks,
            free_blocks,
            reserved_blocks: free_blocks.saturating_sub(available),
            inodes,
            free_inodes,
        })
    }
}

impl FileSystem for FuseFileSystem {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn subtype(&self) -> Option<&str> {
        self.subtype.as_deref()
    }

    fn device(&self) -> DeviceNumber {
        self.connection.device
    }

    fn info(&self) -> FileSystemInfo {
        let unknown = FileSystemInfo { magic: FUSE_SUPER_MAGIC, ..FileSystemInfo::default() };
        self.ask_info().unwrap_or(unknown)
    }

    fn options(&self) -> String {
        self.connection.options.shown(&self.connection.user_namespace, self.is_block())
    }

    fn reconfigure(&self, options: &str, _viewer: &Viewer) -> Result<(), Errno> {
        // As on Linux: what is asked for again is checked and has no effect.
        options::check(options, &self.connection.user_namespace)
    }
}

impl Drop for FuseFileSystem {
    fn drop(&mut self) {
        self.connections.remove(&self.connection);
        self.connection.end(self.is_block());
    }
}
