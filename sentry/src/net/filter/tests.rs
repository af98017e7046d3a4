use linux_raw_sys::ptrace as uapi;

use super::*;

fn statement(code: u32, k: u32) -> SockFilter {
    SockFilter { code: code as u16, jt: 0, jf: 0, k }
}

fn passed_bytes(source: &[SockFilter]) -> usize {
    let program = Program::new(source, Subject::Packet).unwrap();
    let filter = PacketFilter { program, source: source.to_vec() };
    filter.passed_bytes(&FilteredPacket {
        header: &[1, 2, 3],
        payload: &[4, 5],
        protocol: 0x800,
        device: 7,
        kind: 0,
    })
}

#[test]
fn a_filter_sees_header_and_payload_as_one() {
    let answer = statement(uapi::BPF_RET | uapi::BPF_A, 0);
    for (load, expected) in [
        (statement(uapi::BPF_LD | uapi::BPF_B | uapi::BPF_ABS, 3), 4),
        (statement(uapi::BPF_LD | uapi::BPF_W | uapi::BPF_LEN, 0), 5),
        // As many bytes as there are, of 0x0304.
        (statement(uapi::BPF_LD | uapi::BPF_H | uapi::BPF_ABS, 2), 5),
        // Past the end: nothing gets through.
        (statement(uapi::BPF_LD | uapi::BPF_W | uapi::BPF_ABS, 2), 0),
        (statement(uapi::BPF_LD | uapi::BPF_W | uapi::BPF_ABS, u32::MAX), 0),
        (statement(uapi::BPF_LD | uapi::BPF_W | uapi::BPF_ABS, ANCILLARY_OFFSET + INTERFACE_INDEX), 5),
    ] {
        assert_eq!(passed_bytes(&[load, answer]), expected, "{load:?}");
    }
}

#[test]
fn a_load_behind_the_index_wraps_to_nothing() {
    let source = [
        statement(uapi::BPF_LDX | uapi::BPF_IMM, 1),
        statement(uapi::BPF_LD | uapi::BPF_B | uapi::BPF_IND, 1),
        statement(uapi::BPF_RET | uapi::BPF_A, 0),
    ];
    assert_eq!(passed_bytes(&source), 3);
    let source = [statement(uapi::BPF_LDX | uapi::BPF_IMM, u32::MAX), source[1], source[2]];
    assert_eq!(passed_bytes(&source), 1);
}
