use super::*;

fn cpuid() -> CpuId {
    let leaf =
        |function, index, eax, ebx| kvm_cpuid_entry2 { function, index, eax, ebx, ..Default::default() };
    CpuId::from_entries(&[leaf(0xd, 0, 0x2ff, 0), leaf(0xd, 2, 256, 576), leaf(0xd, 9, 8, 2688)]).unwrap()
}

#[test]
fn features_that_the_host_lacks_or_that_need_more_are_left_out() {
    assert_eq!(extended_features(&cpuid(), 0x2e7), 0xe7);
    assert_eq!(extended_features(&cpuid(), 7), 7);
}

#[test]
fn the_area_ends_with_its_last_component() {
    assert_eq!(extended_state_len_bytes(&cpuid(), 7), 832);
    assert_eq!(extended_state_len_bytes(&cpuid(), 3), 576);
}

#[test]
fn addresses_have_the_bits_that_kvm_can_map() {
    for (eax, bits) in [(0x3028, 40), (0x30_3034, 48), (0x34_3030, 48)] {
        let leaf = kvm_cpuid_entry2 { function: 0x8000_0008, eax, ..Default::default() };
        assert_eq!(physical_address_bits(&CpuId::from_entries(&[leaf]).unwrap()), bits, "{eax:#x}");
    }
    assert_eq!(physical_address_bits(&cpuid()), 36);
}

#[test]
fn hidden_components_have_no_leaf() {
    let mut cpuid = cpuid();
    hide_unusable(&mut cpuid, 7);
    assert_eq!(find(&cpuid, 0xd, 0).unwrap().eax, 7);
    assert_eq!(find(&cpuid, 0xd, 9).unwrap().eax, 0);
    assert_eq!(find(&cpuid, 0xd, 2).unwrap().eax, 256);
}
