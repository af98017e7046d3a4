use super::*;

#[test]
fn a_subleaf_is_decoded() {
    let told = CpuidResult { eax: 0x1c00_4121, ebx: 0x02c0_003f, ecx: 0x3f, edx: 0 };
    let cache = Cache::from_cpuid(told).unwrap();
    assert_eq!(
        cache,
        Cache { contents: Contents::Data, level: 1, line_bytes: 64, partitions: 1, ways: 12, sets: 64 }
    );
    assert_eq!((cache.size_bytes(), cache.is_shared()), (48 << 10, false));
    assert_eq!(Cache::from_cpuid(CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 }), None);
}
