use zerocopy::IntoBytes;

use super::*;
use crate::cred::Uid;

#[test]
fn a_composed_info_comes_back_as_it_was() {
    let composed = Siginfo {
        si_errno: 5,
        si_code: 6,
        fields: std::array::from_fn(|word| if word < 4 { word as u64 + 7 } else { 0 }),
        ..Siginfo::default()
    };
    let info = SignalInfo::from_user(Signal::SIGUSR1, &composed);
    assert_eq!(info.to_user(), Siginfo { si_signo: 10, ..composed });
}

#[test]
fn details_lie_where_the_c_library_reads_them() {
    let detail = SignalDetail::Child { pid: 7, uid: Uid(8), status: 9, user_ticks: 10, system_ticks: 11 };
    let info = SignalInfo { signal: Signal::SIGCHLD, errno: 0, code: 1, detail }.to_user();
    for (offset, value) in [(0, 17), (8, 1), (16, 7), (20, 8), (24, 9), (32, 10), (40, 11)] {
        assert_eq!(info.as_bytes()[offset], value, "at {offset}");
    }
    let info =
        SignalInfo::from_timer(Signal::SIGALRM, TimerExpiration { id: 3, sequence: 1, overrun: 4, value: 5 })
            .to_user();
    assert_eq!((info.as_bytes()[16], info.as_bytes()[20], info.as_bytes()[24]), (3, 4, 5));
    assert_eq!(info.si_code, -2);
}
