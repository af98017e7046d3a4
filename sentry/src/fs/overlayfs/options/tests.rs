use super::*;

fn whole(text: &str) -> Result<OverlayOptions, Errno> {
    let mut options = OverlayOptions::parse(text)?;
    options.check_whole()?;
    Ok(options)
}

#[test]
fn paths_are_told_apart_by_what_no_backslash_precedes() {
    let options = whole(r"lowerdir=/a\:b:/c\,d:/e\\,upperdir=/u\:,workdir=/w").unwrap();
    assert_eq!(options.lower, ["/a:b", "/c,d", r"/e\"]);
    assert_eq!(options.upper.as_deref(), Some("/u:"));
    assert_eq!(options.shown(), r",lowerdir=/a\:b:/c\,d:/e\\,upperdir=/u\:,workdir=/w");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for text in [
        "lowerdir=a",
        "lowerdir=a::b",
        "lowerdir=",
        "lowerdir=a,upperdir=u",
        "upperdir=u,workdir=w",
        "lowerdir=a:b,unknown",
        "lowerdir=a:b,redirect_dir=maybe",
        "lowerdir=a:b,lowerdir=c",
        "lowerdir=a:b,lowerdir+=c",
        "lowerdir=a:b,userxattr,redirect_dir=on",
        "lowerdir=a:b,metacopy=on,redirect_dir=off",
        "lowerdir=a:b,userxattr=1",
        "lowerdir",
    ] {
        assert_eq!(whole(text).err(), Some(Errno::EINVAL), "{text}");
    }
    assert!(whole("lowerdir+=a,lowerdir+=b:c").unwrap().lower == ["a", "b:c"]);
}
