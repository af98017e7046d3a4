use super::*;

fn records() -> (tempfile::TempDir, Records) {
    let directory = tempfile::tempdir().unwrap();
    let records = Records { directory: directory.path().join("a/b") };
    (directory, records)
}

fn kept(name: &str, started_at: u64) -> Kept {
    Kept { name: name.into(), image: "/".into(), command: vec!["sh".into()], started_at }
}

#[test]
fn a_name_is_taken_until_its_record_is_removed() {
    let (_directory, records) = records();
    assert!(records.all().unwrap().is_empty());
    let (record, keeping) = records.create(&kept("b", 1)).unwrap();
    let error = records.create(&kept("b", 2)).unwrap_err().to_string();
    assert!(error.contains("--name b") && error.contains("vmm rm b"), "{error}");
    assert!(record.is_kept() && record.end().is_none());
    records.create(&kept("a", 2)).unwrap();
    let names: Vec<_> = records.all().unwrap().into_iter().map(|(_, kept)| kept.name).collect();
    assert_eq!(names, ["b", "a"]);
    drop(keeping);
    record.remove().unwrap();
    records.create(&kept("b", 3)).unwrap();
    assert_eq!(records.find("b").unwrap().kept().unwrap(), kept("b", 3));
    assert!(records.find("c").is_none());
}

#[test]
fn who_waits_hears_of_the_end() {
    let (_directory, records) = records();
    let (record, keeping) = records.create(&kept("a", 1)).unwrap();
    let waiting = std::thread::spawn({
        let record = record.clone();
        move || record.wait()
    });
    record.set_end(7).unwrap();
    drop(keeping);
    assert_eq!(waiting.join().unwrap().unwrap().status, 7);
    assert_eq!(record.wait().unwrap().status, 7);
    assert!(!record.is_kept());
    let (lost, keeping) = records.create(&kept("b", 1)).unwrap();
    drop(keeping);
    assert!(lost.wait().unwrap_err().to_string().contains("nobody has seen"));
}

#[test]
fn a_record_that_is_broken_is_left_out() {
    let (_directory, records) = records();
    let (record, _keeping) = records.create(&kept("a", 1)).unwrap();
    fs::write(record.path().join("about.json"), "{").unwrap();
    assert!(records.all().unwrap().is_empty());
    assert!(record.kept().is_err());
}
