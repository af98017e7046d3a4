use super::*;
use crate::fs::OpenFlags;
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

#[test]
fn a_mask_has_a_digit_for_four_cpus_and_a_comma_after_eight_digits() {
    assert_eq!(mask(2, |cpu| cpu == 1), b"2\n");
    assert_eq!(mask(12, |_| true), b"fff\n");
    assert_eq!(mask(36, |cpu| cpu == 33), b"2,00000000\n");
}

#[test]
fn every_cpu_has_a_directory_and_the_list_names_them_all() {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    let block = BlockDevices::new(&FrameAllocator::new(&platform, 16 << 20));
    let network = Weak::<crate::net::NetworkNamespace>::new();
    let root = SysFileSystem::new(4, DeviceNumber::default(), network, block, Weak::new()).root();
    let mut inode = root;
    for name in ["devices", "system", "cpu"] {
        inode = inode.lookup(name.as_bytes()).unwrap();
    }
    assert!(inode.lookup(b"cpu3").is_ok());
    assert_eq!(inode.lookup(b"cpu4").err(), Some(Errno::ENOENT));
    let online = inode.lookup(b"online").unwrap().open(OpenFlags::empty(), &Viewer::test_kernel()).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(online.read_at(&mut buffer, 0), Ok(4));
    assert_eq!(&buffer[..4], b"0-3\n");
}
