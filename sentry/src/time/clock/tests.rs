use super::*;

#[test]
fn numbers_are_linux_s() {
    let cpu = |id, is_thread, kind| Ok(ClockId::Cpu(CpuClock { id, is_thread, kind }));
    for (raw, clock) in [
        (0, Ok(ClockId::System(SystemClock::Realtime))),
        (3, cpu(0, true, CpuClockKind::Total)),
        (10, Err(Errno::EINVAL)),
        (12, Err(Errno::EINVAL)),
        // clock_getcpuclockid(3) of process 100, and pthread_getcpuclockid(3) of thread 7.
        (!100 << 3 | 2, cpu(100, false, CpuClockKind::Total)),
        (!7 << 3 | 6, cpu(7, true, CpuClockKind::Total)),
        (!7 << 3 | 1, cpu(7, false, CpuClockKind::User)),
        (!7 << 3 | 3, Err(Errno::EINVAL)),
    ] {
        assert_eq!(ClockId::from_raw(raw), clock, "{raw}");
    }
}
