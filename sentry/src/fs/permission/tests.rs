use super::*;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::DeviceNumber;

fn metadata(kind: FileKind, permissions: u32) -> Metadata {
    let mut metadata = Metadata::new(kind, permissions, DeviceNumber::default(), 1);
    (metadata.uid, metadata.gid) = (KernelUid(1000), KernelGid(100));
    metadata
}

#[test]
fn only_the_first_class_that_applies_counts() {
    let file = metadata(FileKind::Regular, 0o074);
    assert!(!permits(&file, Access::READ, &Credentials::test_user(1000, 100)));
    assert!(permits(&file, Access::WRITE, &Credentials::test_user(1, 100)));
    assert!(permits(&file, Access::READ, &Credentials::test_user(1, 1)));
    assert!(!permits(&file, Access::WRITE, &Credentials::test_user(1, 1)));
}

#[test]
fn root_executes_only_what_somebody_may_execute() {
    let root = Credentials::test_root();
    assert!(permits(&metadata(FileKind::Regular, 0), Access::READ | Access::WRITE, &root));
    assert!(!permits(&metadata(FileKind::Regular, 0o666), Access::EXECUTE, &root));
    assert!(permits(&metadata(FileKind::Regular, 0o001), Access::EXECUTE, &root));
    assert!(permits(&metadata(FileKind::Directory, 0), Access::EXECUTE, &root));
}
