use super::*;

fn with(options: &str) -> Result<TmpfsOptions, Errno> {
    TmpfsOptions::default().with(options, &UserNamespace::initial())
}

#[test]
fn sizes_have_suffixes() {
    let options = with("size=3m,nr_inodes=2k,mode=755,uid=5").unwrap();
    assert_eq!((options.max_bytes, options.max_inodes), (3 << 20, 2 << 10));
    assert_eq!((options.permissions, options.uid, options.gid), (0o755, 5, 0));
    assert_eq!(with("size=0").unwrap().max_bytes, u64::MAX);
}

#[test]
fn what_is_not_known_is_einval() {
    for options in ["color=red", "size=", "size=5x", "mode=9", "uid=root"] {
        assert_eq!(with(options).err(), Some(Errno::EINVAL), "{options}");
    }
}
