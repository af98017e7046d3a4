use super::*;

fn registered(text: &str) -> Result<Arc<BinaryFormat>, Errno> {
    let formats = BinaryFormats::default();
    formats.register(text.as_bytes(), |_| Err(Errno::ENOENT))?;
    formats.named(&formats.names()[0]).ok_or(Errno::ENOENT)
}

#[test]
fn files_are_told_by_magic_and_by_extension() {
    let formats = BinaryFormats::default();
    let register = |text: &str| formats.register(text.as_bytes(), |_| Err(Errno::ENOENT)).unwrap();
    register(r":magic:M:2:\x41B\x00:\xff\xdf\xff:/bin/one:");
    register(",extension,E,,ext,,/bin/two,P\n");
    let name = |name: &[u8], head: &[u8]| formats.find(name, head).map(|format| format.name.clone());
    assert_eq!(name(b"f", b"..AB\0rest").as_deref(), Some(&b"magic"[..]));
    assert_eq!(name(b"f", b"..Ab").as_deref(), Some(&b"magic"[..]), "zeroes are behind the end");
    assert_eq!(name(b"f", b"AB\0"), None);
    assert_eq!(name(b"a.b/f.ext", b"").as_deref(), Some(&b"extension"[..]));
    assert_eq!(name(b"f.next", b""), None);
    formats.order(b"extension", Order::Disable);
    assert_eq!(name(b"f.ext", b""), None);
    assert!(formats.named(b"extension").unwrap().text().starts_with(b"disabled\n"));
    formats.order(b"magic", Order::Remove);
    assert_eq!(formats.names(), [b"extension"]);
}

#[test]
fn registrations_that_make_no_sense_are_refused() {
    for text in [
        ":a:M::x:",
        ":a:M::::/bin/true:",
        ":a:X::magic::/bin/true:",
        "::M::magic::/bin/true:",
        ":register:M::magic::/bin/true:",
        ":a/b:M::magic::/bin/true:",
        ":a:M:300:magic::/bin/true:",
        ":a:M:no:magic::/bin/true:",
        ":a:M::magic:x:/bin/true:",
        ":a:M::magic:::",
        ":a:M::magic::/bin/true:Q",
        ":a:E::a/b::/bin/true:",
    ] {
        assert_eq!(registered(text).err(), Some(Errno::EINVAL), "{text}");
    }
    assert_eq!(registered(":a:M::magic::/bin/true:F").err(), Some(Errno::ENOENT));
    let text = registered(r":a:M:1:ma\x0agic::/bin/true:P").unwrap().text();
    assert_eq!(
        text,
        b"enabled\ninterpreter /bin/true\nflags: P\noffset 1\nmagic 6d610a67696300"
            .strip_suffix(b"00")
            .unwrap()
            .iter()
            .copied()
            .chain(*b"\n")
            .collect::<Vec<_>>()
    );
}
