//! `vmm doctor`: what this host offers, what is missing and how to get it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use platform_kvm::{Config, KvmPlatform, measure_exit};

use crate::failure::Failure;
use crate::sandbox::raise_open_files_limit;

/// Guest memory of the microVM that is made for the examination.
const MEMORY_BYTES: u64 = 64 << 20;

/// Where sysfs(5) shows modules and their parameters.
const MODULES: &str = "/sys/module";
/// The parameters that turn nested paging on, by module.
const NESTED_PAGING: [(&str, &str); 2] = [("kvm_intel", "ept"), ("kvm_amd", "npt")];

/// Examines the host and prints what it finds, a line each.
///
/// # Errors
/// What keeps microVMs from being made here; its text says what to do.
pub(crate) fn run() -> Result<u8, Failure> {
    let name = rustix::system::uname();
    print("vmm", env!("CARGO_PKG_VERSION"));
    print(
        "host kernel",
        &format!(
            "{} {} {}",
            name.sysname().to_string_lossy(),
            name.release().to_string_lossy(),
            name.machine().to_string_lossy()
        ),
    );
    print("virtualisation", &virtualisation(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()));
    print("modules", &modules(Path::new(MODULES)));
    print("/dev/kvm", &device());
    raise_open_files_limit();
    let platform = KvmPlatform::new(Config { memory_bytes: MEMORY_BYTES, ..Config::default() })
        .map_err(anyhow::Error::from)?;
    for (subject, text) in platform.report().lines() {
        print(subject, &text);
    }
    let mut missing = platform.report().missing();
    missing.extend(nested_paging_is_off(Path::new(MODULES)));
    for text in &missing {
        print("missing", text);
    }
    if missing.is_empty() {
        print("missing", "nothing");
    }
    let exit = measure_exit(&platform).map_err(anyhow::Error::from)?;
    print("an exit costs", &format!("{:.2} µs", exit.as_secs_f64() * 1e6));
    print("verdict", "programs can run here");
    Ok(0)
}

fn print(subject: &str, text: &str) {
    println!("{subject:<16} {text}");
}

/// What /proc/cpuinfo says of hardware virtualisation (SDM 3C 24.6, APM 2 15.4).
fn virtualisation(cpuinfo: &str) -> String {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |name: &str| flags.split_whitespace().any(|flag| flag == name);
    let (kind, paging) = match (has("vmx"), has("svm")) {
        (true, _) => ("VMX", has("ept")),
        (_, true) => ("SVM", has("npt")),
        (false, false) => return "neither VMX nor SVM: KVM needs another way to run guests".to_owned(),
    };
    format!("{kind}, {} nested paging", if paging { "with" } else { "without" })
}

/// KVM's modules that are loaded or built in.
fn modules(directory: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name == "kvm" || name.starts_with("kvm_"))
        .collect();
    names.sort();
    if names.is_empty() {
        "none of KVM's: try `modprobe kvm_intel` or `modprobe kvm_amd`".into()
    } else {
        names.join(" ")
    }
}

/// What to do if a module has nested paging turned off.
fn nested_paging_is_off(directory: &Path) -> Option<String> {
    let (module, parameter) = NESTED_PAGING.into_iter().find(|(module, parameter)| {
        let value = fs::read_to_string(directory.join(module).join("parameters").join(parameter));
        value.is_ok_and(|value| value.trim() == "N")
    })?;
    Some(format!(
        "nested paging, so that changes of mappings are slow: it is turned off, or the processor lacks it; load \
         {module} with {parameter}=1"
    ))
}

/// Whose the device is, and what it allows.
fn device() -> String {
    match fs::metadata("/dev/kvm") {
        Ok(found) => format!("user {}, group {}, mode {:o}", found.uid(), found.gid(), found.mode() & 0o7777),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtualisation_is_named_by_its_flags() {
        for (flags, expected) in [
            ("flags\t\t: fpu vmx ept avx", "VMX, with nested paging"),
            ("flags\t\t: fpu svm", "SVM, without nested paging"),
            ("flags\t\t: fpu svm npt", "SVM, with nested paging"),
        ] {
            assert_eq!(virtualisation(&format!("processor : 0\n{flags}\n")), expected);
        }
        assert!(virtualisation("flags : fpu\n").starts_with("neither"));
        assert!(virtualisation("").starts_with("neither"));
    }

    #[test]
    fn nested_paging_that_is_off_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let parameters = directory.path().join("kvm_amd/parameters");
        fs::create_dir_all(&parameters).unwrap();
        for (value, is_off) in [("N\n", true), ("Y\n", false)] {
            fs::write(parameters.join("npt"), value).unwrap();
            let advice = nested_paging_is_off(directory.path());
            assert_eq!(advice.is_some_and(|advice| advice.contains("kvm_amd with npt=1")), is_off);
        }
        assert_eq!(nested_paging_is_off(Path::new("/no/such/directory")), None);
    }

    #[test]
    fn missing_modules_come_with_advice() {
        assert!(modules(Path::new("/no/such/directory")).contains("modprobe"));
    }
}
