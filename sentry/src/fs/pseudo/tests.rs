//! What made-up files promise, kept.

use std::sync::Arc;

use super::*;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::{File, Inode, OpenFlags};

#[derive(Clone)]
struct Number(u64);

impl Subject for Number {
    fn device(&self) -> DeviceNumber {
        DeviceNumber::new(0, 9)
    }

    fn owner(&self) -> (KernelUid, KernelGid) {
        (KernelUid(7), KernelGid(8))
    }
}

struct Numbers;

impl Children<Number> for Numbers {
    fn list(&self, _subject: &Number) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..5).map(|number| (number, number.to_string().into_bytes())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn find(&self, _subject: &Number, name: &[u8]) -> Result<Child<Number>, Errno> {
        let number = parse_number(name).and_then(|number| u64::try_from(number).ok()).ok_or(Errno::ENOENT)?;
        Ok(Child { subject: Number(number), permissions: 0o400, node: Node::Text(show) })
    }
}

fn show(subject: &Number, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(format!("number {}\n", subject.0).into_bytes())
}

static TOP: Directory<Number> =
    Directory { entries: &[text("shown", show), directory("empty", &EMPTY)], children: Some(&Numbers) };
static EMPTY: Directory<Number> = Directory { entries: &[], children: None };
static ROOT: Entry<Number> = directory("", &TOP);

fn root() -> Arc<PseudoInode<Number>> {
    PseudoInode::root(Number(42), &ROOT)
}

fn open(inode: Arc<dyn Inode>) -> Arc<dyn File> {
    inode.open(OpenFlags::empty(), &Viewer::test_kernel()).unwrap()
}

#[test]
fn a_directory_can_be_read_from_any_position_it_gave() {
    let file = open(root());
    let mut names = Vec::new();
    let mut position = 0;
    loop {
        let mut next = None;
        file.read_directory(position, &mut |entry| {
            let is_first = next.is_none();
            if is_first {
                names.push(String::from_utf8(entry.name).unwrap());
                next = Some(entry.next_position);
            }
            is_first
        })
        .unwrap();
        match next {
            Some(next) => position = next,
            None => break,
        }
    }
    assert_eq!(names, [".", "..", "shown", "empty", "0", "1", "2", "3", "4"]);
}

#[test]
fn names_are_found_in_the_table_and_among_the_children() {
    let mut buffer = [0; 32];
    for (name, expected) in [("shown", "number 42\n"), ("3", "number 3\n")] {
        let file = open(root().lookup(name.as_bytes()).unwrap());
        let read = file.read_at(&mut buffer, 0).unwrap();
        assert_eq!(&buffer[..read], expected.as_bytes());
        assert_eq!(file.read_at(&mut buffer[..2], 7), Ok(2));
        assert_eq!(file.read_at(&mut buffer, 100), Ok(0));
    }
    assert_eq!(root().lookup(b"03").err(), Some(Errno::ENOENT));
    assert_eq!(root().lookup(b"shown").unwrap().metadata().unwrap().uid, KernelUid(7));
}
