use super::*;
use crate::probe::{Stop, TscReading};

fn report() -> Report {
    let stop = |port, rip, privilege| Stop {
        port: Some(port),
        rip,
        privilege,
        description: format!("a write to port {port:#x}"),
    };
    let outcome = Outcome {
        syscall: stop(0x10, 0x1002, 3),
        exception: stop(0x2d, 0x2002, 0),
        interrupted_rip: 0x1002,
        interrupted_privilege: 3,
        tsc: TscReading { before: 100, guest: 5, after: 200 },
    };
    Report {
        api_version: 12,
        capabilities: vec![("xcrs", 1), ("xsave2", 0)],
        vcpus_max: 7,
        vcpus_of_kvm: 4096,
        vcpus_wanted: 1024,
        memory_slots_max: 509,
        address_bits: 36,
        outcome,
        enters_ring_0: false,
        drops_own_shadow_pages_only: true,
        has_supervisor_protection: true,
        extended_features: 7,
        extended_state_len_bytes: 832,
    }
}

#[test]
fn the_lines_tell_what_was_chosen() {
    let report = report();
    let text: Vec<String> =
        report.lines().into_iter().map(|(subject, text)| format!("{subject}: {text}")).collect();
    for line in [
        "capabilities: xcrs=1 xsave2=0",
        "limits: 7 vCPUs (of the 4096 that KVM allows), 509 memory slots, 36 physical address bits",
        "SYSCALL: arrives in ring 3, at LSTAR: the probe saw a write to port 0x10 at RIP 0x1002 in ring 3; \
             then a write to port 0x2d at RIP 0x2002 in ring 0, for RIP 0x1002 in ring 3",
        "SMEP and SMAP: off: ring 3 must reach the stub of SYSCALL",
        "TSC: the host's, once its offset was set to zero: the probe read 0x5 between 0x64 and 0xc8 of the host",
        "deleting a slot: drops its own shadow pages",
    ] {
        assert!(text.iter().any(|found| found == line), "{line} in {text:#?}");
    }
}

#[test]
fn what_is_missing_comes_with_how_to_get_it() {
    let complete = Report { vcpus_max: 1024, ..report() };
    assert_eq!(complete.missing(), Vec::<String>::new());
    let (processor, kernel) = (complete.clone(), complete.clone());
    for (lacking, what, how) in [
        (report(), "1017 vCPUs", "ulimit -Hn"),
        (Report { drops_own_shadow_pages_only: false, ..kernel }, "SLOT_ZAP_ALL", "6.12"),
        (
            Report { enters_ring_0: true, has_supervisor_protection: false, ..processor },
            "SMEP",
            "newer processor",
        ),
        // Where ring 3 runs the stub, they would be of no use.
        (Report { has_supervisor_protection: false, ..complete }, "", ""),
    ] {
        let missing = lacking.missing();
        assert_eq!(missing.len(), usize::from(!what.is_empty()), "{missing:?}");
        assert!(missing.iter().all(|text| text.contains(what) && text.contains(how)), "{missing:?}");
    }
}
