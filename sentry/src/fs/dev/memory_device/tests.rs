use super::*;
use crate::cred::{KernelGid, KernelUid, UserNamespace};
use crate::fs::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::fs::{FileKind, MountFlags, NewNode, NodeCreation};
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

#[test]
fn memory_devices_behave_as_their_manual_pages_say() {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    let frames = FrameAllocator::new(&platform, 16 << 20);
    let resources = MemoryResources::new(frames.clone(), &Arc::default(), &UserNamespace::initial());
    let devices = MemoryDevices::new(frames, resources.log.clone());
    resources.specials.register(FileKind::CharacterDevice, 1, devices);
    let mount = tmpfs::new_mount(&resources, &TmpfsOptions::default(), "dev", MountFlags::empty()).unwrap();
    let root = mount.root().inode().clone();
    let open = |minor: u32| {
        let node = NewNode::CharacterDevice(DeviceNumber::new(1, minor));
        let creation =
            NodeCreation { node, permissions: 0o666, uid: KernelUid::ROOT, gid: KernelGid::ROOT, acls: None };
        let inode = root.create(format!("d{minor}").as_bytes(), &creation)?;
        inode.open(OpenFlags::RDWR, &Viewer::test_kernel())
    };
    let mut buffer = [1; 64];
    assert_eq!(open(3).unwrap().read_at(&mut buffer, 0), Ok(0));
    assert_eq!(open(5).unwrap().read_at(&mut buffer, 0), Ok(64));
    assert_eq!(buffer, [0; 64]);
    assert_eq!(open(7).unwrap().write_at(&buffer, 0), Err(Errno::ENOSPC));
    assert_eq!(open(9).unwrap().read_at(&mut buffer, 0), Ok(64));
    assert_ne!(buffer, [0; 64]);
    assert_eq!(open(1).err(), Some(Errno::ENXIO));
}
