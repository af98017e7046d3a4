use super::*;

#[test]
fn names_and_numbers_are_linux_s() {
    for (errno, raw, name) in
        [(Errno::EPERM, 1, "EPERM"), (Errno::EAGAIN, 11, "EAGAIN"), (Errno::ERESTARTSYS, 512, "ERESTARTSYS")]
    {
        assert_eq!((errno.raw(), errno.name()), (raw, name));
        assert_eq!(errno.as_return_value() as i64, -i64::from(raw));
    }
}
