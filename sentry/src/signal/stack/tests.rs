use super::*;

fn user(ss_flags: u32, ss_size: u64) -> SignalStack {
    SignalStack { ss_sp: 0x1000, ss_flags, padding: 0, ss_size }
}

#[test]
fn flags_and_size_are_checked() {
    for (flags, len_bytes, expected) in [
        (0, 2047, Err(Errno::ENOMEM)),
        (0, 2048, Ok(())),
        (1, 2048, Ok(())),
        (2, 0, Ok(())),
        (4, 4096, Err(Errno::EINVAL)),
        (1 << 31, 4096, Ok(())),
    ] {
        let stack = AlternateStack::from_user(user(flags, len_bytes), 2048);
        assert_eq!(stack.map(drop), expected, "{flags:#x} {len_bytes}");
    }
}

#[test]
fn a_task_is_on_the_stack_from_just_above_the_base_to_the_top() {
    let stack = AlternateStack::from_user(user(0, 0x1000), 0).unwrap();
    for (stack_pointer, is_on) in [(0x1000, false), (0x1001, true), (0x2000, true), (0x2001, false)] {
        assert_eq!(stack.contains(stack_pointer), is_on, "{stack_pointer:#x}");
    }
    assert_eq!(stack.to_user(0x1800), user(1, 0x1000));
}

#[test]
fn none_is_shown_as_disabled() {
    let disabled = SignalStack { ss_flags: 2, ..SignalStack::default() };
    assert_eq!(AlternateStack::default().to_user(0), disabled);
}
