use super::*;
use crate::chunks::Chunks;

const FRAME: u64 = 0x20_0000;
const PAGE: u64 = 0x40_0000;

struct TestSource(Chunks);

impl Grow for TestSource {
    fn chunks(&self) -> &Chunks {
        &self.0
    }

    fn grow(&self) -> Result<Chunk, PlatformError> {
        self.0.take()
    }
}

fn source() -> TestSource {
    TestSource(Chunks::new(GuestAddress(0), 0, 20).unwrap())
}

/// A page with a call site at each of `places`.
fn text(places: &[usize]) -> Vec<u8> {
    let mut text = vec![0x90; PAGE_SIZE as usize];
    for place in places {
        text[*place..place + 8].copy_from_slice(&[0x0f, 5, 0x48, 0x3d, 0, 0, 0, 0]);
    }
    text
}

fn with_site(patches: &Patches, source: &TestSource, text: &[u8], place: usize) -> Option<Arc<Patch>> {
    let site = Site::find(text, place as u64, 39).unwrap();
    patches.with_site(source, FRAME, text, site).unwrap()
}

fn numbers(patch: &Patch) -> Vec<usize> {
    patch.sites_at(PAGE).map(|(number, _)| number).collect()
}

#[test]
fn a_further_site_makes_a_further_patch_with_the_same_records() {
    let (source, patches, text) = (source(), Patches::default(), text(&[0x100, 0x200]));
    let first = with_site(&patches, &source, &text, 0x100).unwrap();
    assert_eq!(with_site(&patches, &source, &text, 0x100).unwrap().copy(), first.copy());
    let second = with_site(&patches, &source, &text, 0x200).unwrap();
    assert_ne!(first.copy(), second.copy());
    assert_eq!((numbers(&first), numbers(&second)), (vec![0], vec![0, 1]));
    let starts: Vec<u64> = second.sites_at(PAGE).map(|(_, site)| site.start).collect();
    assert_eq!(starts, [PAGE + 0x100, PAGE + 0x200]);
    let mut copy = read_page(source.0.memory(), second.copy()).unwrap();
    for place in [0x100, 0x200] {
        assert_eq!(copy[place..place + 2], [0xff, 0x24], "jmp *slot");
        copy[place..place + 7].copy_from_slice(&text[place..place + 7]);
    }
    assert_eq!(copy, text);
}

#[test]
fn what_a_frame_held_before_is_never_shown() {
    let (source, patches) = (source(), Patches::default());
    let memory = GuestMemory::new(GuestAddress(FRAME), 2 << 20).unwrap();
    let held = text(&[0x100]);
    write(&memory, FRAME, &held).unwrap();
    assert!(patches.find(&memory, FRAME).unwrap().is_none());
    let patch = with_site(&patches, &source, &held, 0x100).unwrap();
    assert_eq!(patches.find(&memory, FRAME).unwrap().unwrap().copy(), patch.copy());
    assert!(patches.has_any(&[FrameRun { start: GuestAddress(FRAME - PAGE_SIZE), pages: 2 }]));
    assert!(!patches.has_any(&[FrameRun { start: GuestAddress(FRAME - PAGE_SIZE), pages: 1 }]));
    write(&memory, FRAME + 0xff8, &[1]).unwrap();
    assert!(patches.find(&memory, FRAME).unwrap().is_none());
    assert!(!patches.has_any(&[FrameRun { start: GuestAddress(FRAME), pages: 1 }]));
}

#[test]
fn copies_and_records_that_nobody_shows_are_used_again() {
    let (source, patches, text) = (source(), Patches::default(), text(&[0x100, 0x200]));
    let first = with_site(&patches, &source, &text, 0x100).unwrap();
    let (copy, other) = (first.copy(), vec![0x90; PAGE_SIZE as usize]);
    // While somebody shows it, it stays.
    assert!(patches.state.lock().current(FRAME, &other).is_none());
    let second = with_site(&patches, &source, &text, 0x200).unwrap();
    assert_ne!((second.copy(), numbers(&second)), (copy, vec![0]));
    drop((first, second));
    assert!(patches.state.lock().current(FRAME, &other).is_none());
    let third = with_site(&patches, &source, &text, 0x100).unwrap();
    assert_eq!(numbers(&third), [0]);
    assert!(source.0.start(&patches.state.lock().chunks[0]).0 + 2 * PAGE_SIZE > third.copy());
}

#[test]
fn patches_are_bounded_and_sites_do_not_overlap() {
    let (source, patches) = (source(), Patches::default());
    let text = text(&[0x100]);
    let site = Site::find(&text, 0x100, 39).unwrap();
    let make = |frame: u64, site| patches.with_site(&source, frame << 12, &text, site).unwrap();
    assert!(make(0, site).is_some());
    assert!(make(0, site.at(7)).is_none());
    let shown: Vec<_> = (0..PATCHES_MAX as u64).map(|frame| make(frame, site).unwrap()).collect();
    assert!(make(PATCHES_MAX as u64, site).is_none(), "all are shown");
    drop(shown);
    assert!(make(PATCHES_MAX as u64, site).is_some());
    assert_eq!(patches.state.lock().by_frame.len(), 1);
}

#[test]
fn a_site_is_rewritten_after_some_traps_wherever_they_were() {
    let patches = Patches::default();
    let traps = || (1..100).find(|_| patches.count(FRAME)).unwrap();
    let (first, second) = (traps(), traps());
    assert!(second > 1);
    assert!(first > second, "the first of all takes more");
    assert_eq!(traps(), second, "where it is mapped already it traps as often again");
    for site in 0..3 * COUNTED_MAX as u64 {
        assert!(!patches.count(FRAME + site * 8 + 8));
    }
    assert!(patches.state.lock().traps.len() <= COUNTED_MAX);
}
