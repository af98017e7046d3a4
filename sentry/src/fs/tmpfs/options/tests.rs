use proptest::prelude::*;

use super::*;
use crate::cred::{KernelGid, KernelUid};

fn with(options: &str) -> Result<TmpfsOptions, Errno> {
    TmpfsOptions::default().with(options, &UserNamespace::initial())
}

#[test]
fn sizes_have_suffixes() {
    let options = with("size=3m,nr_inodes=2k,mode=755,uid=5").unwrap();
    assert_eq!((options.max_bytes, options.max_inodes), (3 << 20, 2 << 10));
    assert_eq!((options.permissions, options.uid, options.gid), (0o755, KernelUid(5), KernelGid::ROOT));
    assert_eq!(with("size=0").unwrap().max_bytes, u64::MAX);
}

#[test]
fn what_is_not_known_is_einval() {
    for options in ["color=red", "size=", "size=5x", "mode=9", "uid=root"] {
        assert_eq!(with(options).err(), Some(Errno::EINVAL), "{options}");
    }
}

proptest! {
    #[test]
    fn whatever_the_text_options_are_taken_or_refused(words in prop::collection::vec(word(), 0..8)) {
        if let Ok(options) = with(&words.join(",")) {
            prop_assert!(options.permissions <= 0o7777, "{options:?}");
        }
    }
}

/// An option, with a value that may mean something.
fn word() -> impl Strategy<Value = String> {
    let names = vec!["size", "nr_inodes", "nr_blocks", "mode", "uid", "gid", "huge", "mpol", "inode64", ""];
    let values =
        vec!["", "0", "18446744073709551615", "16e", "99%", "101%", "k", "1p", "-1", "0x1", "777777", "é"];
    let value =
        prop_oneof![prop::sample::select(values).prop_map(str::to_owned), ".{0,8}", "[0-9]{0,22}[kmgtpe%]?"];
    (prop::sample::select(names), any::<bool>(), value).prop_map(|(name, has_value, value)| {
        if has_value { format!("{name}={value}") } else { name.to_owned() }
    })
}
