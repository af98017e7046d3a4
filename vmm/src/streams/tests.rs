use std::fs::File;

use rustix::fs::OFlags;

use super::*;

#[test]
fn a_description_is_known_by_its_duplicates() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (first, second) = (File::create(&path).unwrap(), File::create(&path).unwrap());
    let duplicate = first.try_clone().unwrap();
    assert!(is_same_description(first.as_fd(), duplicate.as_fd()));
    assert!(!is_same_description(first.as_fd(), second.as_fd()));
}

#[test]
fn a_file_s_name_is_its_place_in_the_image_or_no_place_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().canonicalize().unwrap();
    let file = File::create(place.join("file")).unwrap();
    assert_eq!(name_inside(file.as_fd(), &place), b"/file");
    assert_eq!(name_inside(file.as_fd(), &place.join("elsewhere")), b"/file (deleted)");
    let whole = place.join("file").as_os_str().as_encoded_bytes().to_vec();
    assert_eq!(name_inside(file.as_fd(), HostPath::new("/")), whole);
    std::fs::remove_file(place.join("file")).unwrap();
    assert_eq!(name_inside(file.as_fd(), HostPath::new("/nowhere")), b"/file (deleted)");
}

#[test]
fn a_stream_keeps_the_flags_that_it_was_opened_with() {
    let file = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::APPEND, 0.into()).unwrap();
    assert!(open_flags(file.as_fd()).unwrap().contains(OpenFlags::APPEND | OpenFlags::WRONLY));
}
