//! `vmm doctor`: what this host offers, what is missing and how to get it.

mod caller;

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, ensure};
use platform_kvm::{Config, KvmPlatform, measure_exit};
use sentry::host::ThreadRoom;

use crate::failure::Failure;
use crate::jail::{self, Access, Jail, Rules};
use crate::network;
use crate::sandbox::raise_open_files_limit;

/// Guest memory of the microVM that is made for the examination.
const MEMORY_BYTES: u64 = 64 << 20;

/// Where sysfs(5) shows modules and their parameters.
const MODULES: &str = "/sys/module";
/// The parameters that turn nested paging on, by module.
const NESTED_PAGING: [(&str, &str); 2] = [("kvm_intel", "ept"), ("kvm_amd", "npt")];

/// Examines the host and prints what it finds, a line each. Without Landlock, nothing runs if it `is_landlock_required`.
///
/// # Errors
/// What keeps microVMs from being made here; its text says what to do. Or standard output cannot be written.
pub fn run(is_landlock_required: bool) -> Result<u8, Failure> {
    let mut lines = Lines { out: std::io::stdout().lock(), has_reader: true };
    let result = examine(&mut lines, is_landlock_required);
    lines
        .print("verdict", if result.is_ok() { "programs can run here" } else { "no program can run here" })?;
    result?;
    Ok(0)
}

fn examine(lines: &mut Lines<impl Write>, is_landlock_required: bool) -> anyhow::Result<()> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    lines.print("vmm", env!("CARGO_PKG_VERSION"))?;
    lines.print(
        "host kernel",
        &format!("{} {release} {}", name.sysname().to_string_lossy(), name.machine().to_string_lossy()),
    )?;
    let processor = Processor::of(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
    lines.print("processor", &processor.describe())?;
    let tasks = ThreadRoom::of_this_process().task_threads();
    lines.print("tasks", &format!("{tasks} at most, for each is a thread of the host"))?;
    lines.print("modules", &modules(Path::new(MODULES)))?;
    lines.print("/dev/kvm", &device())?;
    lines.print("caller", &caller::describe())?;
    let of_caller = caller::missing();
    if let Some(text) = closed_device() {
        // What follows cannot be looked at.
        of_caller.iter().chain([&text]).try_for_each(|text| lines.print("missing", text))?;
    }
    lines.print("network", &network::examine()?)?;
    let mut jail = Jail::begin(Rules { is_landlock_required: false, user: None, has_broker: false })?;
    jail.admit(fs::File::open("/").context("open /")?.into(), Access::Read)?;
    raise_open_files_limit();
    let platform = KvmPlatform::new(Config { memory_bytes: MEMORY_BYTES, ..Config::default() })?;
    let report = platform.report()?;
    for (subject, text) in report.lines() {
        lines.print(subject, &text)?;
    }
    let mut missing = report.missing();
    missing.extend(of_caller);
    missing.extend(processor.lacks_virtualisation());
    missing.extend(nested_paging_is_off(Path::new(MODULES)));
    let lacks_landlock = jail::lacks_landlock();
    let missing_landlock = jail::missing_landlock();
    missing.extend(lacks_landlock.then(|| missing_landlock.clone()));
    if missing.is_empty() {
        missing.push("nothing".to_owned());
    }
    for text in &missing {
        lines.print("missing", text)?;
    }
    let exit = measure_exit(&platform)?;
    lines.print("an exit costs", &format!("{:.2} µs, there and back", exit.as_secs_f64() * 1e6))?;
    for (layer, text) in jail.enter()? {
        lines.print(layer, &text)?;
    }
    ensure!(!(lacks_landlock && is_landlock_required), "missing: {}", missing_landlock);
    Ok(())
}

/// Where the lines go.
struct Lines<W> {
    out: W,
    /// Nobody has closed the other end of the pipe: then the status is what is left to tell.
    has_reader: bool,
}

impl<W: Write> Lines<W> {
    fn print(&mut self, subject: &str, text: &str) -> anyhow::Result<()> {
        if !self.has_reader {
            return Ok(());
        }
        match writeln!(self.out, "{subject:<16} {text}").and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.has_reader = false;
                Ok(())
            }
            result => result.context("write to standard output"),
        }
    }
}

/// What /proc/cpuinfo says of hardware virtualisation (SDM 3C 24.6, APM 2 15.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processor {
    Unknown,
    WithoutVirtualisation,
    Vmx { has_nested_paging: bool },
    Svm { has_nested_paging: bool },
}

impl Processor {
    fn of(cpuinfo: &str) -> Self {
        let Some(flags) = cpuinfo.lines().find(|line| line.starts_with("flags")) else {
            return Self::Unknown;
        };
        let has = |name: &str| flags.split_whitespace().any(|flag| flag == name);
        match (has("vmx"), has("svm")) {
            (true, _) => Self::Vmx { has_nested_paging: has("ept") },
            (_, true) => Self::Svm { has_nested_paging: has("npt") },
            (false, false) => Self::WithoutVirtualisation,
        }
    }

    fn describe(self) -> String {
        let (kind, name, has_nested_paging) = match self {
            Self::Unknown => return "unknown: /proc/cpuinfo does not tell".to_owned(),
            Self::WithoutVirtualisation => return "offers neither VMX nor SVM".to_owned(),
            Self::Vmx { has_nested_paging } => ("VMX", "EPT", has_nested_paging),
            Self::Svm { has_nested_paging } => ("SVM", "NPT", has_nested_paging),
        };
        format!("offers {kind} {} nested paging ({name})", if has_nested_paging { "and" } else { "without" })
    }

    /// What KVM that runs all the same would be quicker with.
    fn lacks_virtualisation(self) -> Option<String> {
        (self == Self::WithoutVirtualisation).then(|| {
            "VMX or SVM, with which system calls and page faults cost less: enable virtualisation in the firmware, or \
             nested virtualisation for this virtual machine"
                .to_owned()
        })
    }
}

/// KVM's modules that are loaded or built in, and whether nested paging is on.
fn modules(directory: &Path) -> String {
    let Ok(entries) = fs::read_dir(directory) else {
        return format!("unknown: {} cannot be read", directory.display());
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name == "kvm" || name.starts_with("kvm_"))
        .collect();
    names.sort();
    if names.is_empty() {
        return "none of KVM's: try `modprobe kvm_intel` or `modprobe kvm_amd`".to_owned();
    }
    for (module, parameter) in NESTED_PAGING {
        if let Some(value) = parameter_value(directory, module, parameter) {
            names.iter_mut().filter(|name| *name == module).for_each(|name| {
                *name = format!("{name} ({parameter}={value})");
            });
        }
    }
    names.join(" ")
}

/// What to do if a module has nested paging turned off.
fn nested_paging_is_off(directory: &Path) -> Option<String> {
    let (module, parameter) = NESTED_PAGING
        .into_iter()
        .find(|(module, parameter)| parameter_value(directory, module, parameter).as_deref() == Some("N"))?;
    Some(format!(
        "nested paging, with which changes of mappings cost less: load {module} with {parameter}=1, on a processor \
         that has it"
    ))
}

fn parameter_value(directory: &Path, module: &str, parameter: &str) -> Option<String> {
    let value = fs::read_to_string(directory.join(module).join("parameters").join(parameter)).ok()?;
    Some(value.trim().to_owned())
}

/// What to do if the device is there and may not be opened.
fn closed_device() -> Option<String> {
    let found = fs::metadata("/dev/kvm").ok()?;
    let error = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").err()?;
    let is_denied = error.kind() == ErrorKind::PermissionDenied;
    is_denied.then(|| caller::device_is_closed(&error, found.gid(), found.mode()))
}

/// Whose the device is, and what it allows.
fn device() -> String {
    match fs::metadata("/dev/kvm") {
        Ok(found) => format!("user {}, group {}, mode {:o}", found.uid(), found.gid(), found.mode() & 0o7777),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
