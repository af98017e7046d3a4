use super::*;

struct TestSource(Chunks);

impl Grow for TestSource {
    fn chunks(&self) -> &Chunks {
        &self.0
    }

    fn grow(&self) -> Result<Chunk, PlatformError> {
        self.0.take()
    }
}

const RW: Access = Access::READ.union(Access::WRITE);
const FRAME: u64 = 1 << 30;

fn source() -> TestSource {
    TestSource(Chunks::new(GuestAddress(0), 0, 80).unwrap())
}

fn run(start: u64, pages: usize) -> FrameRun {
    FrameRun { start: GuestAddress(start), pages }
}

fn range(start: u64, pages: u64) -> VirtualRange {
    VirtualRange::new(VirtualAddress(start), pages * PAGE_SIZE).unwrap()
}

#[test]
fn runs_are_mapped_one_after_the_other() {
    let (source, mut flush) = (source(), FlushList::default());
    let mut tables = Tables::new(&source).unwrap();
    let start = VirtualAddress(LARGE_PAGE - PAGE_SIZE);
    tables.map(&source, start, &[run(FRAME, 2), run(FRAME + 0x10000, 1)], RW, &mut flush).unwrap();
    let translate = |page: u64| tables.translate(&source, VirtualAddress(start.0 + page * PAGE_SIZE + 5));
    assert_eq!(translate(0), Some((GuestAddress(FRAME + 5), RW)));
    assert_eq!(translate(1), Some((GuestAddress(FRAME + PAGE_SIZE + 5), RW)));
    assert_eq!(translate(2), Some((GuestAddress(FRAME + 0x10000 + 5), RW)));
    assert_eq!(translate(3), None);
    assert!(flush.ranges().is_empty());
}

#[test]
fn aligned_runs_are_large_pages_and_partial_changes_are_structural() {
    let (source, mut flush) = (source(), FlushList::default());
    let mut tables = Tables::new(&source).unwrap();
    let start = VirtualAddress(4 * LARGE_PAGE);
    let before = tables.used_pages;
    tables.map(&source, start, &[run(FRAME, 1024)], RW, &mut flush).unwrap();
    assert_eq!(tables.used_pages - before, 2);
    assert!(!tables.is_structural(&source, start, LARGE_PAGE, &[]).unwrap());
    assert!(tables.is_structural(&source, start, PAGE_SIZE, &[]).unwrap());

    tables.unmap(&source, range(start.0 + PAGE_SIZE, 1), &mut flush).unwrap();
    assert_eq!(tables.translate(&source, start), Some((GuestAddress(FRAME), RW)));
    assert_eq!(tables.translate(&source, VirtualAddress(start.0 + PAGE_SIZE)), None);
}

#[test]
fn a_former_large_page_may_come_back_but_nothing_else() {
    let (source, mut flush) = (source(), FlushList::default());
    let mut tables = Tables::new(&source).unwrap();
    let start = VirtualAddress(0);
    tables.map(&source, start, &[run(FRAME, 512)], RW, &mut flush).unwrap();
    tables.unmap(&source, range(0, 512), &mut flush).unwrap();
    let is_structural = |tables: &Tables, frame| {
        tables.is_structural(&source, start, LARGE_PAGE, &[run(frame, 512)]).unwrap()
    };
    assert!(!is_structural(&tables, FRAME));
    assert!(is_structural(&tables, FRAME + LARGE_PAGE));
    tables.on_purge();
    assert!(!is_structural(&tables, FRAME + LARGE_PAGE));
}

#[test]
fn only_lost_access_is_flushed() {
    let (source, mut flush) = (source(), FlushList::default());
    let mut tables = Tables::new(&source).unwrap();
    tables.map(&source, VirtualAddress(0), &[run(FRAME, 2)], Access::READ, &mut flush).unwrap();
    tables.protect(&source, range(0, 2), RW | Access::EXECUTE, &mut flush).unwrap();
    assert!(flush.ranges().is_empty());
    tables.protect(&source, range(PAGE_SIZE, 1), RW, &mut flush).unwrap();
    assert_eq!(flush.ranges(), std::slice::from_ref(&(FRAME + PAGE_SIZE..FRAME + 2 * PAGE_SIZE)));
    tables.protect(&source, range(0, 1), Access::empty(), &mut flush).unwrap();
    assert_eq!(tables.translate(&source, VirtualAddress(0)), None);
}

#[test]
fn unmapping_everything_skips_what_is_not_there() {
    let (source, mut flush) = (source(), FlushList::default());
    let mut tables = Tables::new(&source).unwrap();
    let high = VirtualAddress::USER_END.0 - PAGE_SIZE;
    tables.map(&source, VirtualAddress(high), &[run(FRAME, 1)], RW, &mut flush).unwrap();
    tables.unmap(&source, range(0, VirtualAddress::USER_END.0 / PAGE_SIZE), &mut flush).unwrap();
    assert_eq!(tables.translate(&source, VirtualAddress(high)), None);
}

#[test]
fn tables_do_not_grow_without_bound() {
    let (source, mut flush) = (source(), FlushList::default());
    let mut tables = Tables::new(&source).unwrap();
    let error = (0..1 << 16)
        .map(|index| VirtualAddress(index << 30))
        .find_map(|start| tables.map(&source, start, &[run(FRAME, 1)], RW, &mut flush).err())
        .unwrap();
    assert!(matches!(error, PlatformError::TablesFull));
    let surplus = tables.reset(&source).unwrap();
    assert_eq!(surplus.len(), CHUNKS_MAX - 1);
    assert_eq!(tables.translate(&source, VirtualAddress(0)), None);
    tables.map(&source, VirtualAddress(0), &[run(FRAME, 1)], RW, &mut flush).unwrap();
}

#[test]
fn large_tables_share_what_there_is_for_them() {
    let chunks = Chunks::new(GuestAddress(0), 0, 300).unwrap().for_memory(1 << 20);
    let (source, mut flush) = (TestSource(chunks), FlushList::default());
    let mut spaces: Vec<_> = (0..4).map(|_| Tables::new(&source).unwrap()).collect();
    // One has as many chunks as there can be, and others have the rest; the last cannot have a second.
    for tables in &mut spaces {
        let mut starts = (0..1 << 16).map(|index| VirtualAddress(index << 30));
        let error =
            starts.find_map(|start| tables.map(&source, start, &[run(FRAME, 1)], RW, &mut flush).err());
        assert!(matches!(error, Some(PlatformError::TablesFull)));
    }
    let sizes: Vec<_> = spaces.iter().map(|tables| tables.chunks().len()).collect();
    assert_eq!(sizes, [CHUNKS_MAX, CHUNKS_MAX, 3, 1]);
    // Starting afresh leaves them to others, and gets on.
    spaces[0].reset(&source).unwrap();
    spaces[0].map(&source, VirtualAddress(0), &[run(FRAME, 1)], RW, &mut flush).unwrap();
    assert!(source.0.allow_further().is_ok());
}
