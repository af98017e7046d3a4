//! The guest programs: what there is, how each is built, how it is started.
//!
//! | folder | kind |
//! |---|---|
//! | `programs/c/*.c` | C, for where the C library's or the processor's own behaviour is the point |
//! | `src/bin/guest/*.rs` | Rust, subcommands of the one binary `guest` |
//! | `programs/rust/*.rs` | Rust of one file, linked statically |
//! | `programs/{sh,python,perl}/*` | scripts whose output inside must equal that on Linux |
//!
//! The head of a source may hold marks, a comment line each: `static` (linked statically), `timeout: SECONDS`,
//! `inside only: REASON` (Linux as it is set up here cannot run it), `compared` (its output inside must equal that on
//! Linux, as a script's must), `not emulated: REASON` (`scripts/kvm-matrix` takes it to real processors alone).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// How long a program may take where its source does not say otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How many lines at the head of a source may hold marks.
const MARK_LINES: usize = 12;

/// How a program is made and started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Compiled by the C compiler.
    C,
    /// A subcommand of the binary `guest`.
    Rust,
    /// A file of Rust, compiled by rustc and linked statically.
    StaticRust,
    /// Run by the interpreter at this path; its output is compared between Linux and inside.
    Script(&'static str),
}

/// One guest program.
#[derive(Debug)]
pub struct Program {
    name: String,
    kind: Kind,
    source: PathBuf,
    timeout: Duration,
    is_static: bool,
    is_inside_only: bool,
    is_compared: bool,
    built: OnceLock<Result<PathBuf, String>>,
}

impl Program {
    /// The name that its tests bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether it is run inside alone: the source says why.
    pub fn is_inside_only(&self) -> bool {
        self.is_inside_only
    }

    /// Whether its standard output is to be compared between Linux and inside.
    pub fn is_compared(&self) -> bool {
        self.is_compared
    }

    /// The words of the command that runs it, the executable first by its absolute path. Builds it at the
    /// first call; `guest` is the path of the binary that holds the Rust programs.
    ///
    /// # Errors
    /// If it cannot be built: the compiler's output.
    pub fn words(&self, guest: &Path, build_directory: &Path) -> Result<Vec<PathBuf>, String> {
        match self.kind {
            Kind::Rust => Ok(vec![guest.to_path_buf(), PathBuf::from(&self.name)]),
            Kind::Script(interpreter) => Ok(vec![PathBuf::from(interpreter), self.source.clone()]),
            Kind::C | Kind::StaticRust => {
                let built = self.built.get_or_init(|| self.build(build_directory));
                built.clone().map(|path| vec![path])
            }
        }
    }

    /// Compiles it unless the executable is newer than every source.
    fn build(&self, build_directory: &Path) -> Result<PathBuf, String> {
        fs::create_dir_all(build_directory)
            .map_err(|error| format!("cannot make {}: {error}", build_directory.display()))?;
        let executable = build_directory.join(&self.name);
        let newest_source = self.newest_source();
        if modified(&executable).is_some_and(|built| Some(built) > newest_source) {
            return Ok(executable);
        }
        // Compile beside and rename, so that another test never sees half an executable.
        let (process, thread) = (std::process::id(), std::thread::current().id());
        let partial = build_directory.join(format!(".{}.{process}.{thread:?}", self.name));
        let mut compiler = self.compiler();
        compiler.arg("-o").arg(&partial).arg(&self.source);
        let output = compiler.output().map_err(|error| format!("cannot start {compiler:?}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{compiler:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        fs::rename(&partial, &executable)
            .map_err(|error| format!("cannot rename {}: {error}", partial.display()))?;
        Ok(executable)
    }

    /// When the source, or a header beside it, was last modified.
    fn newest_source(&self) -> Option<SystemTime> {
        let beside = self.source.parent().and_then(|folder| fs::read_dir(folder).ok());
        let paths = beside.into_iter().flatten().flatten().map(|entry| entry.path());
        let headers = paths.filter(|path| path.extension().is_some_and(|extension| extension == "h"));
        headers.chain([self.source.clone()]).filter_map(|path| modified(&path)).max()
    }

    /// The compiler and its options, without the files.
    fn compiler(&self) -> Command {
        if self.kind == Kind::StaticRust {
            let mut rustc = Command::new("rustc");
            rustc.args(["--edition=2024", "-Copt-level=1", "-Ctarget-feature=+crt-static"]);
            return rustc;
        }
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-pthread"]);
        if self.is_static {
            cc.arg("-static");
        }
        cc
    }
}

/// Every program, in the order of the names.
///
/// # Errors
/// If a folder of programs or a source cannot be read.
pub fn discover() -> Result<Vec<Program>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut programs = Vec::new();
    let folders = [
        ("programs/c", "c", Kind::C, ""),
        ("src/bin/guest", "rs", Kind::Rust, ""),
        ("programs/rust", "rs", Kind::StaticRust, ""),
        ("programs/sh", "sh", Kind::Script("/bin/bash"), "sh_"),
        ("programs/python", "py", Kind::Script("/usr/bin/python3"), "python_"),
        ("programs/perl", "pl", Kind::Script("/usr/bin/perl"), "perl_"),
    ];
    for (folder, extension, kind, prefix) in folders {
        let folder = root.join(folder);
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
        for entry in entries {
            let source = entry.map_err(|error| format!("cannot list {}: {error}", folder.display()))?.path();
            let stem = source.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if source.extension().is_some_and(|found| found == extension) && stem != "main" {
                programs.push(load(format!("{prefix}{stem}"), kind, source.clone())?);
            }
        }
    }
    programs.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(programs)
}

/// Reads the marks of one source.
fn load(name: String, kind: Kind, source: PathBuf) -> Result<Program, String> {
    let text =
        fs::read_to_string(&source).map_err(|error| format!("cannot read {}: {error}", source.display()))?;
    let mut timeout = DEFAULT_TIMEOUT;
    let mut is_static = false;
    let mut is_inside_only = false;
    let mut is_compared = matches!(kind, Kind::Script(_));
    for line in text.lines().take(MARK_LINES) {
        let mark = line.trim_start_matches(['/', '#', '!', ' ']).trim_end();
        is_static |= mark == "static";
        is_compared |= mark == "compared";
        is_inside_only |= mark.starts_with("inside only: ");
        if let Some(seconds) = mark.strip_prefix("timeout: ") {
            let seconds = seconds.parse().map_err(|_| format!("{name}: odd timeout mark: {line}"))?;
            timeout = Duration::from_secs(seconds);
        }
    }
    let built = OnceLock::new();
    Ok(Program { name, kind, source, timeout, is_static, is_inside_only, is_compared, built })
}

/// When a file was last modified, if it exists.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
