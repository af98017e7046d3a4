use super::*;

#[test]
fn canonical_bases_stay() {
    for base in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX] {
        assert_eq!(canonical(base), base);
    }
    assert_eq!(canonical(0x8000_0000_0000), 0xffff_8000_0000_0000);
}
