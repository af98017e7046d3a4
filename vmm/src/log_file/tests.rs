use super::*;

fn texts(reader: &mut LogReader) -> Vec<(u8, String)> {
    let mut texts = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        texts.push((entry.stream, String::from_utf8(entry.bytes).unwrap()));
    }
    texts
}

#[test]
fn what_is_written_is_read_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::new(directory.path(), 1 << 20).unwrap();
    let mut reader = LogReader::new(directory.path()).unwrap();
    assert_eq!(reader.next_entry().unwrap(), None);
    writer.append(1, b"out").unwrap();
    writer.append(2, b"err\n").unwrap();
    assert_eq!(texts(&mut reader), [(1, "out".into()), (2, "err\n".into())]);
    writer.append(1, b"").unwrap();
    assert_eq!(texts(&mut reader), [(1, String::new())]);
}

#[test]
fn an_entry_that_is_not_whole_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::new(directory.path(), 1 << 20).unwrap();
    writer.append(1, b"entry").unwrap();
    let whole = std::fs::read(directory.path().join(CURRENT)).unwrap();
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join(CURRENT), "").unwrap();
    let mut reader = LogReader::new(other.path()).unwrap();
    for byte in whole.iter().take(whole.len() - 1) {
        OpenOptions::new()
            .append(true)
            .open(other.path().join(CURRENT))
            .unwrap()
            .write_all(&[*byte])
            .unwrap();
        assert_eq!(reader.next_entry().unwrap(), None);
    }
    OpenOptions::new().append(true).open(other.path().join(CURRENT)).unwrap().write_all(b"y").unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().bytes, b"entry");
}

#[test]
fn no_more_is_kept_than_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::new(directory.path(), 2048).unwrap();
    let mut following = LogReader::new(directory.path()).unwrap();
    let mut followed = Vec::new();
    for number in 0..1000 {
        writer.append(1, number.to_string().as_bytes()).unwrap();
        followed.extend(texts(&mut following));
    }
    let kept: u64 =
        [CURRENT, OLD].map(|name| directory.path().join(name).metadata().unwrap().len()).iter().sum();
    assert!(kept <= 2048, "{kept}");
    assert_eq!(followed.len(), 1000, "who follows misses nothing");
    let last = texts(&mut LogReader::new(directory.path()).unwrap());
    assert!(last.len() > 50 && last.last() == Some(&(1, "999".into())), "{last:?}");
}

#[test]
fn what_is_no_log_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(CURRENT), [0xff; 64]).unwrap();
    assert!(LogReader::new(directory.path()).unwrap().next_entry().is_err());
}
