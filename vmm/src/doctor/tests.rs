use std::io;

use super::*;

#[test]
fn virtualisation_is_named_by_its_flags() {
    for (flags, expected) in [
        ("flags\t\t: fpu vmx ept avx", "offers VMX and nested paging (EPT)"),
        ("flags\t\t: fpu svm", "offers SVM without nested paging (NPT)"),
        ("flags\t\t: fpu svm npt", "offers SVM and nested paging (NPT)"),
        ("flags\t\t: fpu", "offers neither VMX nor SVM"),
        ("bugs\t\t: vmx", "unknown: /proc/cpuinfo does not tell"),
    ] {
        let processor = Processor::of(&format!("processor : 0\n{flags}\n"));
        assert_eq!(processor.describe(), expected);
        assert_eq!(processor.lacks_virtualisation().is_some(), expected.contains("neither"), "{flags}");
    }
}

#[test]
fn nested_paging_that_is_off_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let parameters = directory.path().join("kvm_amd/parameters");
    fs::create_dir_all(&parameters).unwrap();
    fs::create_dir(directory.path().join("kvm")).unwrap();
    for (value, is_off) in [("N\n", true), ("Y\n", false)] {
        fs::write(parameters.join("npt"), value).unwrap();
        let advice = nested_paging_is_off(directory.path());
        assert_eq!(advice.is_some_and(|advice| advice.contains("kvm_amd with npt=1")), is_off);
        assert_eq!(modules(directory.path()), format!("kvm kvm_amd (npt={})", value.trim()));
    }
    assert_eq!(nested_paging_is_off(Path::new("/no/such/directory")), None);
}

#[test]
fn missing_modules_come_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    assert!(modules(directory.path()).contains("modprobe"));
    assert_eq!(modules(Path::new("/no/such/directory")), "unknown: /no/such/directory cannot be read");
}

/// A stream that takes one line.
struct Breaks {
    kind: ErrorKind,
    has_taken_one: bool,
}

impl Write for Breaks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_taken_one { Err(self.kind.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.has_taken_one = true;
        Ok(())
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error_and_a_full_disk_is() {
    for (kind, is_fine) in [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)] {
        let mut lines = Lines { out: Breaks { kind, has_taken_one: false }, has_reader: true };
        lines.print("first", "line").unwrap();
        assert_eq!(lines.print("second", "line").is_ok(), is_fine, "{kind:?}");
    }
}
