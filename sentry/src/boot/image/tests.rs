use super::*;

#[test]
fn an_executable_s_words_are_its_arguments() {
    let image = Image::Executable { file: File::open("/dev/null").unwrap().into(), name: b"hello".to_vec() };
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    for given in [&["a"][..], &["/hello", "a"], &["hello", "a"]] {
        let (path, arguments) = image.command(words(given));
        assert_eq!(path, b"/hello");
        assert_eq!(arguments.last().unwrap(), b"a");
        assert_eq!(arguments.len(), 2);
    }
}

#[test]
fn what_is_neither_directory_nor_elf_is_no_image() {
    for path in ["/dev/null", "/etc/passwd", "/does/not/exist", "/proc", "/proc/self/fd"] {
        assert!(Image::open(Path::new(path)).is_err(), "{path}");
    }
}

#[test]
fn an_executable_is_not_called_as_a_directory_of_the_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    for (name, is_fine) in [("proc", false), ("tmp", false), ("process", true)] {
        let path = directory.path().join(name);
        std::fs::write(&path, b"\x7fELF and more").unwrap();
        assert_eq!(Image::open(&path).is_ok(), is_fine, "{name}");
    }
}
