use super::*;
use crate::fs::{Resolver, TaskFs};
use crate::platform::fake::FakePlatform;
use crate::syscall::Table;

fn build(description: Description) -> Result<Sandbox, SandboxError> {
    let image = tempfile::tempdir().unwrap();
    let platform: Arc<dyn Platform> = FakePlatform::new(64 << 20).unwrap();
    let (cpus, dispatcher) = (HostCpus::of_this_thread(), Arc::new(Table));
    let machine = Machine { platform, memory_bytes: 64 << 20, cpus, dispatcher };
    let volumes = Volumes::open(&description.mounts).unwrap();
    Sandbox::new(description, Image::open(image.path()).unwrap(), volumes, machine)
}

#[test]
fn a_sandbox_has_the_mounts_that_are_described() {
    let extra = MountPoint {
        target: "/data".into(),
        file_system: "tmpfs".into(),
        source: None,
        options: "size=1m".into(),
        is_read_only: true,
    };
    let mounts = MountPoint::usual().into_iter().chain([extra]).collect();
    let sandbox = build(Description { mounts, ..Description::default() }).unwrap();
    let (view, viewer) = (TaskFs::new(sandbox.mounts().clone()).view(), Viewer::test_kernel());
    for (path, kind) in [("/proc", "proc"), ("/sys/fs/cgroup", "cgroup2"), ("/data", "tmpfs")] {
        let found = Resolver::new(&view, &viewer).resolve(&view.root, path.as_bytes(), true).unwrap();
        assert_eq!(found.mount.instance().file_system().type_name(), kind, "{path}");
        assert_eq!(found.mount.flags().contains(MountFlags::RDONLY), path == "/data", "{path}");
    }
}

#[test]
fn a_program_that_the_image_lacks_is_named() {
    let command = vec!["nonesuch".into()];
    let sandbox = build(Description { command, ..Description::default() }).unwrap();
    let files = sandbox.kernel().open_files().clone();
    assert!(
        matches!(sandbox.start(DescriptorTable::new(&files)), Err(InitError::NotFound { path }) if path == b"nonesuch")
    );
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let resource_limits = vec![super::super::ResourceLimit { resource: 99, soft: 1, hard: 1 }];
    let built = build(Description { resource_limits, ..Description::default() });
    assert!(matches!(built.err(), Some(SandboxError::Limits(Errno::EINVAL))));
}
