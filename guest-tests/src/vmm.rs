//! Finds or builds the `vmm` of the same profile, and makes the commands that run programs inside.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The environment variable that names a `vmm` to test instead of the one of this workspace.
pub const VMM_VARIABLE: &str = "PALISADE_VMM";

/// The directory into which cargo put the binaries of this profile (`target/debug`, ...).
///
/// # Errors
/// If the path of the running test does not lie in such a directory.
pub fn profile_directory() -> Result<PathBuf, String> {
    let test = std::env::current_exe().map_err(|error| format!("cannot find the running test: {error}"))?;
    // The test lies in PROFILE/deps; a binary of the package in PROFILE.
    let directory = test.parent().ok_or("the running test has no directory")?;
    let directory = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    directory.map(Path::to_path_buf).ok_or_else(|| format!("{} is not in a target directory", test.display()))
}

/// The path of `vmm`, which is built (or found up to date) at the first call.
///
/// # Errors
/// If cargo cannot build it, or `PALISADE_VMM` names no file.
pub fn binary() -> Result<&'static Path, String> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY.get_or_init(build).as_deref().map_err(Clone::clone)
}

/// Says what is missing if this machine cannot run a microVM.
///
/// # Errors
/// If /dev/kvm is missing or may not be opened; the text says what to do.
pub fn require_kvm() -> Result<(), String> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    opened.map(drop).map_err(|error| {
        format!(
            "cannot open /dev/kvm: {error}\nThese tests run programs in a KVM microVM. Load the module of your \
             processor (kvm_intel, kvm_amd), and let this user open the device (group `kvm`)."
        )
    })
}

/// The command `vmm OPTIONS -- PROGRAM`, to which the program's arguments may be appended.
///
/// # Errors
/// As [`binary`] and [`require_kvm`].
pub fn command<I, S>(options: I, program: impl AsRef<OsStr>) -> Result<Command, String>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    require_kvm()?;
    let mut command = Command::new(binary()?);
    command.args(options).arg("--").arg(program);
    Ok(command)
}

/// The command that runs `program` inside on the host's own root file system.
///
/// # Errors
/// As [`command`].
pub fn inside(program: impl AsRef<OsStr>) -> Result<Command, String> {
    command(["--image", "/"], program)
}

/// Lets cargo bring `vmm` up to date: testing this package alone does not build other packages' binaries.
fn build() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(VMM_VARIABLE) {
        let path = PathBuf::from(path);
        return match path.is_file() {
            true => Ok(path),
            false => Err(format!("{VMM_VARIABLE} names {}, which is not a file", path.display())),
        };
    }
    let directory = profile_directory()?;
    let profile = match directory.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "vmm", "--bin", "vmm", "--profile", profile])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .map_err(|error| format!("cannot start cargo to build vmm: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo cannot build vmm:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let path = directory.join("vmm");
    match path.is_file() {
        true => Ok(path),
        false => Err(format!("cargo built vmm, but not at {}; set {VMM_VARIABLE}", path.display())),
    }
}
