//! Files and directories through the standard library.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use guest_tests::check::scratch;

pub(crate) fn run() {
    let directory = scratch();
    let root = directory.path();
    written_lines_are_read_back(root);
    options_decide_what_open_does(root);
    offsets_are_respected(root);
    links_and_renames(root);
    directory_trees_are_listed_and_removed(root);
    permissions_are_kept(root);
    large_copy_is_exact(root);
}

fn written_lines_are_read_back(root: &Path) {
    let path = root.join("lines");
    let mut file = File::create(&path).expect("create");
    for number in 0..500 {
        writeln!(file, "line {number}").expect("write");
    }
    drop(file);
    let reader = BufReader::new(File::open(&path).expect("open"));
    for (number, line) in reader.lines().enumerate() {
        assert_eq!(line.expect("line"), format!("line {number}"));
    }
}

fn options_decide_what_open_does(root: &Path) {
    let path = root.join("options");
    assert_eq!(File::open(&path).expect_err("absent").kind(), ErrorKind::NotFound);
    OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path).expect("create_new");
    let again = OpenOptions::new().write(true).create_new(true).open(&path);
    assert_eq!(again.expect_err("exists").kind(), ErrorKind::AlreadyExists);
    for word in ["one ", "two ", "three"] {
        let mut file = OpenOptions::new().append(true).open(&path).expect("append");
        file.write_all(word.as_bytes()).expect("write");
    }
    assert_eq!(fs::read_to_string(&path).expect("read"), "one two three");
    let truncated = OpenOptions::new().write(true).truncate(true).open(&path).expect("truncate");
    assert_eq!(truncated.metadata().expect("metadata").len(), 0);
    assert_eq!(File::open(path.join("below")).expect_err("a file").kind(), ErrorKind::NotADirectory);
}

fn offsets_are_respected(root: &Path) {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
    let mut file = options.open(root.join("offsets")).expect("open");
    file.write_all_at(b"end", 10_000).expect("pwrite");
    assert_eq!(file.stream_position().expect("tell"), 0, "pwrite leaves the offset");
    let mut hole = vec![1; 10_000];
    file.read_exact(&mut hole).expect("read");
    assert!(hole.iter().all(|&byte| byte == 0), "a hole reads as zeros");
    assert_eq!(file.seek(SeekFrom::End(-2)).expect("seek"), 10_001);
    let mut rest = String::new();
    file.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "nd");
    assert!(file.seek(SeekFrom::Current(-20_000)).is_err(), "no negative offset");
    file.set_len(5).expect("shrink");
    assert_eq!(file.read(&mut hole).expect("read"), 0, "past the end");
}

fn links_and_renames(root: &Path) {
    let (first, second, link) = (root.join("first"), root.join("second"), root.join("link"));
    fs::write(&first, "content").expect("write");
    fs::hard_link(&first, &second).expect("link");
    let metadata = fs::metadata(&second).expect("metadata");
    assert_eq!(metadata.nlink(), 2);
    assert_eq!(metadata.ino(), fs::metadata(&first).expect("metadata").ino());
    symlink("second", &link).expect("symlink");
    assert_eq!(fs::read_link(&link).expect("readlink"), Path::new("second"));
    assert_eq!(fs::canonicalize(&link).expect("realpath"), fs::canonicalize(&second).expect("realpath"));
    fs::rename(&first, root.join("third")).expect("rename");
    assert!(!first.exists());
    fs::remove_file(&second).expect("unlink");
    assert!(link.symlink_metadata().is_ok() && !link.exists(), "the link dangles");
    assert_eq!(fs::metadata(root.join("third")).expect("metadata").nlink(), 1);
}

fn directory_trees_are_listed_and_removed(root: &Path) {
    let tree = root.join("tree");
    for outer in 0..4 {
        let branch = tree.join(format!("branch{outer}/inner"));
        fs::create_dir_all(&branch).expect("mkdir");
        for leaf in 0..20 {
            fs::write(branch.join(format!("leaf{leaf}")), [0; 10]).expect("write");
        }
    }
    assert_eq!(count_files(&tree), 80);
    assert_eq!(fs::remove_dir(&tree).expect_err("not empty").kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir_all(&tree).expect("remove");
    assert!(!tree.exists());
}

fn count_files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("read_dir").map(|entry| entry.expect("entry"));
    entries
        .map(|entry| if entry.file_type().expect("type").is_dir() { count_files(&entry.path()) } else { 1 })
        .sum()
}

fn permissions_are_kept(root: &Path) {
    let path = root.join("mode");
    fs::write(&path, "").expect("write");
    for mode in [0o600, 0o755, 0o4755, 0o000, 0o644] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        assert_eq!(fs::metadata(&path).expect("stat").mode() & 0o7777, mode);
    }
    let modified = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    let file = OpenOptions::new().write(true).open(&path).expect("open");
    file.set_modified(modified).expect("futimens");
    assert_eq!(fs::metadata(&path).expect("stat").modified().expect("mtime"), modified);
}

fn large_copy_is_exact(root: &Path) {
    let content: Vec<u8> =
        (0..1_500_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (source, target) = (root.join("source"), root.join("target"));
    fs::write(&source, &content).expect("write");
    assert_eq!(fs::copy(&source, &target).expect("copy"), content.len() as u64);
    assert!(fs::read(&target).expect("read") == content);
}
