use super::*;

#[test]
fn every_vcpu_has_a_page_that_the_tables_map() {
    let kernel = Kernel::new(1024).unwrap();
    for index in [0, 511, 1023] {
        kernel.add_vcpu(index, true).unwrap();
        let kernel_page = kernel.first_vcpu_page + index;
        let entry = kernel
            .word((page::TABLES + kernel_page / 512) * PAGE_SIZE + kernel_page % 512 * 8)
            .unwrap()
            .load(Ordering::Relaxed);
        assert_eq!(entry & entry::ADDRESS, kernel_physical(kernel_page));
    }
}

#[test]
fn a_frame_reads_back_as_it_was_written() {
    let kernel = Kernel::new(2).unwrap();
    let frame = Frame { error_code: 1, rip: 2, cs: 3, rflags: 4, rsp: 5, ss: 6 };
    kernel.set_frame(1, frame).unwrap();
    assert_eq!(kernel.frame(1).unwrap(), frame);
    assert_ne!(kernel.frame(0).unwrap(), frame);
}
