use proptest::prelude::*;

use super::*;

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn all_versions_are_read() {
    let parse = |words: &[u32]| FileCapabilities::parse(&bytes(words));
    let first = parse(&[0x0100_0001, 1 << 5, 1 << 7]).unwrap();
    assert_eq!((first.permitted, first.inheritable), (Capabilities::KILL, Capabilities::SETUID));
    assert!(first.is_effective);
    let second = parse(&[0x0200_0000, 0, 1 << 10, 1 << 8, 0]).unwrap();
    assert_eq!(second.permitted, Capabilities::CHECKPOINT_RESTORE);
    assert_eq!(second.inheritable, Capabilities::NET_BIND_SERVICE);
    assert!(!second.is_effective);
    assert_eq!(parse(&[0x0300_0000, 0, 0, 0, 0, 1000]).unwrap().root, 1000);
    for wrong in [&[][..], &[0x0200_0000], &[0x0300_0000, 0, 0, 0, 0], &[0x0400_0000, 0, 0, 0, 0]] {
        assert_eq!(parse(wrong), Err(Errno::EINVAL));
    }
    assert_eq!(FileCapabilities::parse(&[0; 21]), Err(Errno::EINVAL));
}

#[test]
fn versions_turn_into_one_another() {
    let second = bytes(&[0x0200_0001, 1, 2, 3, 4]);
    let third = bytes(&[0x0300_0001, 1, 2, 3, 4, 1000]);
    assert_eq!(with_version(&second, uapi::VFS_CAP_REVISION_3, Some(1000)), third);
    assert_eq!(with_version(&third, uapi::VFS_CAP_REVISION_2, None), second);
}

proptest! {
    #[test]
    fn whatever_the_bytes_an_attribute_is_decoded_or_refused(
        version in prop::sample::select(vec![0_u32, 1, 2, 3, 4, 255]),
        rest in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let bytes = [(version << 24).to_le_bytes().to_vec(), rest].concat();
        if let Ok(decoded) = FileCapabilities::parse(&bytes) {
            prop_assert!(Capabilities::ALL.contains(decoded.permitted | decoded.inheritable));
        }
    }
}
