use super::*;
use crate::cred::UserNamespace;
use crate::fs::host::HostOwners;
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

fn resources() -> MemoryResources {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    MemoryResources::new(FrameAllocator::new(&platform, 16 << 20), &Arc::default(), &UserNamespace::initial())
}

fn build(image: Image) -> Builder {
    mount_root(&resources(), image, Viewer::test_kernel()).unwrap()
}

#[test]
fn an_image_without_mount_points_gets_them() {
    let image = tempfile::tempdir().unwrap();
    let root = std::fs::File::open(image.path()).unwrap().into();
    let image = Image::Directory { root, owners: HostOwners::Told };
    let builder = build(image);
    for path in ["/dev/null", "/dev/shm", "/tmp"] {
        assert!(builder.find(path).is_ok(), "{path}");
    }
    let shm = builder.find("/dev/shm").unwrap();
    assert_eq!(shm.absolute_from(&builder.view.root), (b"/dev/shm".to_vec(), true));
    assert!(shm.parent(&builder.view.root) == builder.find("/dev").unwrap());
}

#[test]
fn what_is_in_the_way_of_a_mount_point_is_named() {
    let image = tempfile::tempdir().unwrap();
    for path in ["tmp", "dev"] {
        std::fs::write(image.path().join(path), "").unwrap();
        let root = std::fs::File::open(image.path()).unwrap().into();
        let image_root = Image::Directory { root, owners: HostOwners::Told };
        let error = mount_root(&resources(), image_root, Viewer::test_kernel()).err().unwrap();
        assert_eq!(error.to_string(), format!("/{path}: there must be a directory, or nothing"));
        std::fs::remove_file(image.path().join(path)).unwrap();
    }
}

#[test]
fn a_single_executable_stands_in_an_empty_root() {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &vec![9; 300_000]).unwrap();
    let image = Image::Executable { file: file.into(), name: b"program".to_vec() };
    let builder = build(image);
    let program = builder.find("/program").unwrap();
    let metadata = program.inode().metadata().unwrap();
    assert_eq!((metadata.size_bytes, metadata.permissions()), (300_000, 0o755));
}
