use super::*;

#[test]
fn slices_end_where_guest_memory_ends() {
    let memory = GuestMemory::new(GuestAddress(ALIGNMENT), 2 * ALIGNMENT).unwrap();
    let last_page = GuestAddress(3 * ALIGNMENT - PAGE_SIZE);
    assert!(memory.slice(last_page, 4096).is_ok());
    assert!(memory.slice(last_page, 4097).is_err());
    assert!(memory.slice(GuestAddress(0), 1).is_err());
    assert!(memory.slice(GuestAddress(u64::MAX), 2).is_err());
}

#[test]
fn discarded_pages_read_as_zero() {
    let memory = GuestMemory::new(GuestAddress(0), ALIGNMENT).unwrap();
    memory.populate(GuestAddress(0), 8192).unwrap();
    memory.slice(GuestAddress(4096), 3).unwrap().copy_from(&[1u8, 2, 3]);
    memory.discard(GuestAddress(4096), 4096).unwrap();
    let mut bytes = [9u8; 3];
    memory.slice(GuestAddress(4096), 3).unwrap().copy_to(&mut bytes);
    assert_eq!(bytes, [0; 3]);
}

#[test]
fn memory_in_small_pages_is_cut_where_a_huge_page_would_fit() {
    let memory = GuestMemory::new(GuestAddress(0), 2 * ALIGNMENT).unwrap();
    memory.make_fine(GuestAddress(0), 2 * ALIGNMENT as usize).unwrap();
    memory.populate_as_is(GuestAddress(0), 2 * ALIGNMENT as usize).unwrap();
    let start = memory.host_start() as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let starts = maps.lines().filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok());
    let inside: Vec<_> = starts.filter(|at| (start + 1..start + 2 * ALIGNMENT).contains(at)).collect();
    let halves = [1, 2, 3].map(|half| start + half * ALIGNMENT / 2);
    let has_huge_pages = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
    assert_eq!(inside, if has_huge_pages { halves.to_vec() } else { Vec::new() });
}
