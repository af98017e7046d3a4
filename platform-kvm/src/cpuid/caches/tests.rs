use super::*;

/// A processor with leaf 2 and these caches: level, kind, ways, sets.
fn processor(leaf_2: [u32; 4], caches: &[(u32, u32, u32, u32)]) -> CpuId {
    let [eax, ebx, ecx, edx] = leaf_2;
    let mut leaves = vec![kvm_cpuid_entry2 { function: 2, eax, ebx, ecx, edx, ..Default::default() }];
    for (index, &(level, kind, ways, sets)) in (0..).zip(caches) {
        let (eax, ebx, ecx) = (level << 5 | kind, (ways - 1) << 22 | 63, sets - 1);
        leaves.push(kvm_cpuid_entry2 { function: 4, index, eax, ebx, ecx, ..Default::default() });
    }
    CpuId::from_entries(&leaves).unwrap()
}

fn leaf_2(cpuid: &CpuId) -> [u32; 4] {
    let leaf = find(cpuid, 2, 0).unwrap();
    [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
}

const ALL_IN_LEAF_4: [u32; 4] = [0x00fe_ff01, 0xf0, 0, 0];
const SERVER: [(u32, u32, u32, u32); 4] =
    [(1, DATA, 12, 64), (1, INSTRUCTIONS, 8, 64), (2, UNIFIED, 16, 2048), (3, UNIFIED, 20, 0x3c000)];

#[test]
fn the_largest_name_that_is_no_larger_is_taken() {
    let mut cpuid = processor(ALL_IN_LEAF_4, &SERVER);
    name_caches(&mut cpuid);
    let mut descriptors = descriptors_of(find(&cpuid, 2, 0).unwrap());
    descriptors.sort_unstable();
    // 32 KiB of 48, 32 KiB, 2 MiB, 24 MiB of 300; and what was there before.
    assert_eq!(descriptors, [0x2c, 0x30, 0x7d, 0xec, 0xf0, 0xfe]);
    assert_eq!(leaf_2(&cpuid)[0] & 0xff, 1);
    assert!(leaf_2(&cpuid).iter().all(|register| register >> 31 == 0));
}

#[test]
fn a_processor_without_a_third_level_says_so() {
    let mut cpuid = processor(ALL_IN_LEAF_4, &[SERVER[0], SERVER[1], SERVER[2]]);
    name_caches(&mut cpuid);
    assert!(descriptors_of(find(&cpuid, 2, 0).unwrap()).contains(&NO_THIRD_LEVEL));
}

#[test]
fn what_has_no_name_stays_in_leaf_4() {
    let mut tiny = processor(ALL_IN_LEAF_4, &[(1, DATA, 1, 16), SERVER[1], SERVER[2], SERVER[3]]);
    name_caches(&mut tiny);
    assert_eq!(leaf_2(&tiny), ALL_IN_LEAF_4);
    let mut full = processor([0xffff_ff01, 0x70fe_fdfc, 0x70fb_faf9, 0x70f8_f7f6], &SERVER);
    full.as_mut_slice()[0].eax = 0x70ff_fef1;
    let before = leaf_2(&full);
    name_caches(&mut full);
    assert_eq!(leaf_2(&full), before);
}

#[test]
fn a_processor_that_names_them_itself_is_left_alone() {
    let old = [0x605b_5101, 0, 0, 0x007d_7040];
    let mut cpuid = processor(old, &SERVER);
    name_caches(&mut cpuid);
    assert_eq!(leaf_2(&cpuid), old);
    let mut none = CpuId::from_entries(&[]).unwrap();
    name_caches(&mut none);
    assert_eq!(none.as_slice().len(), 0);
}
