//! Two sandboxes in one process: what one does is not to be found in the other.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Description, Image, Machine, Sandbox, Volumes};
use crate::Errno;
use crate::cred::{Identity, KernelGid, KernelUid, NamespaceKind};
use crate::fs::locks::{LockOwner, LockWait};
use crate::fs::pipe::{Pipe, PipeFile};
use crate::fs::{
    DescriptorBounds, DescriptorTable, DeviceNumber, File, FileDescription, OpenFlags, PipeEnd, Propagation,
    Resolver, Viewer,
};
use crate::fs::{Path, TaskFs};
use crate::host::HostCpus;
use crate::net::unix::UnixSocket;
use crate::net::{NetworkNamespace, Outgoing, PeerCredentials, SocketKind};
use crate::platform::fake::FakePlatform;
use crate::syscall::Table;

fn build() -> Sandbox {
    let image = tempfile::tempdir().unwrap();
    let platform = FakePlatform::new(64 << 20).unwrap();
    let (cpus, dispatcher) = (HostCpus::of_this_thread(), Arc::new(Table));
    let machine = Machine { platform, memory_bytes: 64 << 20, cpus, dispatcher };
    let image = Image::open(image.path()).unwrap();
    Sandbox::new(Description::default(), image, Volumes::default(), machine).unwrap()
}

fn find(sandbox: &Sandbox, path: &[u8]) -> Path {
    let (view, viewer) = (TaskFs::new(sandbox.mounts().clone()).view(), Viewer::test_kernel());
    Resolver::new(&view, &viewer).resolve(&view.root, path, true).unwrap()
}

fn mount_ids(sandbox: &Sandbox) -> Vec<u64> {
    sandbox.mounts().mounts().iter().map(|mount| mount.id()).collect()
}

fn peer_groups(sandbox: &Sandbox) -> Vec<String> {
    sandbox.mounts().mounts().iter().map(|mount| mount.propagation_fields(|_| true)).collect()
}

fn share_all(sandbox: &Sandbox) {
    sandbox.mounts().set_propagation(&sandbox.mounts().root(), Propagation::Shared, true).unwrap();
}

#[test]
fn mounts_of_one_kernel_neither_use_up_ids_of_another_nor_reach_it() {
    let (one, other) = (build(), build());
    let before = mount_ids(&other);
    assert_eq!(mount_ids(&one), before, "each counts from its own start");
    share_all(&one);
    one.mounts().bind(&find(&one, b"/tmp"), find(&one, b"/dev"), true).unwrap();
    assert_eq!(mount_ids(&one).len(), before.len() + 1);
    assert_eq!(mount_ids(&other), before);
    other.mounts().bind(&find(&other, b"/tmp"), find(&other, b"/dev"), true).unwrap();
    share_all(&other);
    assert_eq!(mount_ids(&other), mount_ids(&one));
    let mut groups = [peer_groups(&one), peer_groups(&other)];
    groups.iter_mut().for_each(|groups| groups.sort());
    assert_eq!(groups[0].first(), groups[1].first(), "each numbers its groups from 1");
}

fn table(sandbox: &Sandbox) -> Arc<DescriptorTable> {
    DescriptorTable::new(sandbox.kernel().open_files())
}

#[test]
fn who_waits_for_a_lock_in_one_kernel_closes_no_circle_in_another() {
    let (one, other) = (build(), build());
    let owners = |sandbox| [table(sandbox).lock_owner(1), table(sandbox).lock_owner(2)];
    let [first, second] = owners(&one);
    assert_eq!(owners(&other), [first, second], "the same ids mean other processes");
    let wait = |sandbox: &Sandbox, waiter: LockOwner| {
        LockWait::new(sandbox.kernel().open_files().lock_waits(), waiter).unwrap()
    };
    let (waiting, elsewhere, circle) = (wait(&one, first), wait(&other, second), wait(&one, second));
    assert_eq!(waiting.wait_for(second), Ok(()));
    assert_eq!(elsewhere.wait_for(first), Ok(()));
    assert_eq!(circle.wait_for(first), Err(Errno::EDEADLK));
}

#[test]
fn open_files_of_one_kernel_are_not_counted_in_another() {
    let (one, other) = (build(), build());
    let (files, other_files) = (one.kernel().open_files(), other.kernel().open_files());
    let before = (files.used(), other_files.used());
    let bounds = DescriptorBounds { limit: 10, is_privileged: false };
    let (reader, _writer) = Pipe::pair(files, OpenFlags::empty(), KernelUid::ROOT, KernelGid::ROOT).unwrap();
    let description = FileDescription::new(reader, None, OpenFlags::empty());
    table(&one).install(description.clone(), 0, false, bounds).unwrap();
    assert_eq!((files.used(), other_files.used()), (before.0 + 1, before.1));
    files.set(0);
    assert_eq!(table(&one).check_room(bounds), Err(Errno::ENFILE));
    assert_eq!(table(&other).check_room(bounds), Ok(()));
    drop(description);
    assert_eq!(files.used(), before.0);
}

fn network(sandbox: &Sandbox) -> &Arc<NetworkNamespace> {
    &sandbox.kernel().initial_namespaces().network
}

#[test]
fn sockets_of_one_kernel_are_neither_found_nor_paid_for_in_another() {
    let (one, other) = (build(), build());
    let make = |sandbox| {
        UnixSocket::new(
            SocketKind::Datagram,
            KernelUid::ROOT,
            KernelGid::ROOT,
            network(sandbox).unix_sockets(),
        )
    };
    let name = || Some(b"name"[..].into());
    let (first, second) = (make(&one), make(&other));
    first.bind_abstract(name()).unwrap();
    let names = network(&other).unix_sockets();
    assert_eq!(names.find(SocketKind::Datagram, &b"name"[..].into()).err(), Some(Errno::ECONNREFUSED));
    second.bind_abstract(name()).unwrap();
    let (sender, _receiver) =
        UnixSocket::pair(SocketKind::Stream, PeerCredentials::default(), network(&one).unix_sockets());
    sender.send_to(Outgoing { bytes: &[1; 1000], ..Outgoing::default() }, None).unwrap();
    assert!(network(&one).shared().memory.queued_bytes() >= 1000);
    assert_eq!(network(&other).shared().memory.queued_bytes(), 0);
}

#[test]
fn each_kernel_has_a_boot_id_of_its_own() {
    let (one, other) = (build(), build());
    assert_eq!(one.kernel().boot_id(), one.kernel().boot_id());
    assert_ne!(one.kernel().boot_id(), other.kernel().boot_id());
}

fn pipe(sandbox: &Sandbox) -> Arc<PipeFile> {
    Pipe::pair(sandbox.kernel().open_files(), OpenFlags::empty(), KernelUid::ROOT, KernelGid::ROOT).unwrap().0
}

#[test]
fn pipes_of_one_kernel_leave_another_room_and_numbers() {
    let (one, other) = (build(), build());
    let first = pipe(&one);
    let many: Vec<_> = (0..16384 / 16).map(|_| pipe(&one)).collect();
    assert_eq!(first.capacity_bytes(), Ok(16 * 4096));
    assert_eq!(pipe(&one).capacity_bytes(), Ok(2 * 4096), "one kernel's pipes are at their bound");
    let elsewhere = pipe(&other);
    assert_eq!(elsewhere.capacity_bytes(), Ok(16 * 4096));
    assert_eq!(elsewhere.anonymous_name(), first.anonymous_name(), "each counts from its own start");
    drop(many);
    assert_eq!(pipe(&one).capacity_bytes(), Ok(16 * 4096));
}

#[test]
fn namespaces_of_one_kernel_are_neither_charged_nor_numbered_in_another() {
    let (one, other) = (build(), build());
    let make = |sandbox: &Sandbox| {
        Identity::new(NamespaceKind::Uts, sandbox.kernel().user_namespace(), KernelUid::ROOT)
    };
    one.kernel().user_namespace().set_limit(NamespaceKind::Uts, 1).unwrap();
    let (first, second) = (make(&one).unwrap(), make(&other).unwrap());
    assert_eq!(first.ino(), second.ino(), "each counts from its own start");
    assert_eq!(make(&one).err(), Some(Errno::ENOSPC));
    let next = make(&other).unwrap();
    assert_ne!(next.ino(), second.ino());
}

#[test]
fn each_kernel_numbers_its_file_systems_from_its_own_start() {
    let devices = |sandbox: &Sandbox| -> Vec<DeviceNumber> {
        sandbox.mounts().mounts().iter().map(|mount| mount.file_system().device()).collect()
    };
    let [one, other] = [build(), build()].map(|sandbox| devices(&sandbox));
    assert_eq!(one, other);
    assert_eq!(one.iter().collect::<HashSet<_>>().len(), one.len(), "two file systems have one number");
}
