//! Loading programs (`man 2 execve`): scripts, ELF executables and their interpreters, and the initial stack.

mod elf;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod privileges;
mod script;
mod stack;

use std::sync::Arc;

use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::binfmt_misc::{BinaryFormat, BinaryFormats};
use crate::fs::fanotify::FanMask;
use crate::fs::inotify::WatchMask;
use crate::fs::{
    self, ExecutedFile, File, FileDescription, FileKind, FsView, Metadata, MountFlags, OpenFlags, Path,
    Resolver, Viewer, WriteDenial,
};
use crate::host::CpuFeatures;
use crate::memory::{MemoryAccount, MemoryManager};
use crate::platform::Registers;
use crate::time::TimeNamespace;

pub use error::LoadError;
pub(crate) use privileges::{FileGrants, credentials_after_exec};
pub use stack::{MAX_ARGUMENT_BYTES, MAX_STRINGS_BYTES};

/// How many interpreters may stand behind one another (Linux's `BINPRM` limit).
const MAX_SCRIPT_DEPTH: usize = 5;
/// How much of a file tells its kind (Linux's `BINPRM_BUF_SIZE`).
const HEAD_BYTES: usize = 256;

/// What a kernel gives to the programs that are loaded.
pub trait ProgramHost {
    /// A new address space, whose memory `payer` pays for.
    ///
    /// # Errors
    /// ENOMEM.
    fn new_memory(&self, payer: Option<Arc<MemoryAccount>>) -> Result<Arc<MemoryManager>, Errno>;

    /// Maps the vDSO that tasks of `namespace` see into `memory`; returns where its ELF header is.
    ///
    /// # Errors
    /// ENOMEM.
    fn map_vdso(&self, memory: &MemoryManager, namespace: &TimeNamespace) -> Result<u64, Errno>;

    /// What the processors offer.
    fn cpu_features(&self) -> CpuFeatures;
}

/// What is to be loaded.
pub struct LoadRequest<'a> {
    /// What the program runs on.
    pub kernel: &'a dyn ProgramHost,
    /// The formats of programs that interpreters run.
    pub formats: &'a BinaryFormats,
    /// Where paths begin.
    pub view: &'a FsView,
    /// Who executes.
    pub viewer: &'a Viewer,
    /// The file, already resolved.
    pub file: Path,
    /// What the file is called: AT_EXECFN, and a script's name for its interpreter.
    pub file_name: Vec<u8>,
    /// Whether a script's interpreter could open the file by `file_name` (not so for a close-on-exec descriptor).
    pub is_reachable: bool,
    /// The arguments, with the program's own name first.
    pub arguments: Vec<Vec<u8>>,
    /// `NAME=value` strings without their final zero byte.
    pub environment: Vec<Vec<u8>>,
    /// RLIMIT_STACK.
    pub stack_limit_bytes: u64,
    /// Who pays for the program's memory.
    pub payer: Option<Arc<MemoryAccount>>,
    /// Whether no tracer keeps a set-user-ID program from having its effect.
    pub allows_new_privileges: bool,
    /// Whose clocks the vDSO shows.
    pub time_namespace: Arc<TimeNamespace>,
}

/// A program in memory, ready to run.
pub struct LoadedProgram {
    /// Its address space.
    pub memory: Arc<MemoryManager>,
    /// Its first registers.
    pub registers: Registers,
    /// Its name (`comm`).
    pub name: Vec<u8>,
    /// The file that was loaded (`/proc/PID/exe`).
    pub executable: Arc<ExecutedFile>,
    /// What the file gives to who executes it.
    pub(crate) grants: FileGrants,
    /// Whether the file may not be read by the one who executes it: then nobody may look into the process.
    pub is_unreadable: bool,
}

/// A file that is being executed.
struct Executable {
    path: Path,
    denial: WriteDenial,
    file: Arc<dyn File>,
    /// What /proc/PID/maps names.
    description: Arc<FileDescription>,
    head: Vec<u8>,
    metadata: Metadata,
    is_unreadable: bool,
}

/// Loads a program into an address space of its own.
///
/// # Errors
/// Those of execve(2), some of them late ([`LoadError::is_late`]): EACCES, ETXTBSY, ENOEXEC, ENOENT (an interpreter is missing), ELOOP, E2BIG, ELIBBAD, ENOMEM, EIO.
pub fn load(request: LoadRequest<'_>) -> Result<LoadedProgram, LoadError> {
    let LoadRequest { mut arguments, file_name, .. } = request;
    if arguments.is_empty() {
        arguments.push(Vec::new());
    }
    let around = Surroundings {
        kernel: request.kernel,
        view: request.view,
        viewer: request.viewer,
        allows_new_privileges: request.allows_new_privileges,
    };
    let name = base_name(&file_name).to_vec();
    let mut executable = open_executable(request.file, request.viewer)?;
    let mut script_name = file_name.clone();
    // Scripts are closed at the end of all.
    let mut scripts = Vec::new();
    for _ in 0..=MAX_SCRIPT_DEPTH {
        if let Some(format) = request.formats.find(&script_name, &executable.head) {
            if !request.is_reachable {
                return Err(Errno::ENOENT.into());
            }
            arguments = arguments_for_format(&format, &script_name, &arguments);
            scripts.push(std::mem::replace(&mut executable, open_format_interpreter(&around, &format)?));
            script_name = format.interpreter.clone();
            continue;
        }
        let Some(script) = script::parse(&executable.head)? else {
            let (environment, stack_limit_bytes) = (request.environment, request.stack_limit_bytes);
            let (payer, time_namespace) = (request.payer, request.time_namespace);
            let strings =
                Strings { arguments, environment, file_name, stack_limit_bytes, payer, time_namespace };
            return load_elf(&around, executable, strings, name);
        };
        if !request.is_reachable {
            return Err(Errno::ENOENT.into());
        }
        arguments = script.arguments_for(&script_name, &arguments);
        scripts.push(std::mem::replace(&mut executable, find_interpreter(&around, &script.interpreter)?));
        script_name = script.interpreter;
    }
    Err(Errno::ELOOP.into())
}

/// The arguments of a format's interpreter: itself, the file, and the file's own, with its own name only if the format says so.
fn arguments_for_format(format: &BinaryFormat, file_name: &[u8], old: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let own = [format.interpreter.clone(), file_name.to_vec()];
    let skipped = usize::from(!format.keeps_name);
    own.into_iter().chain(old.iter().skip(skipped).cloned()).collect()
}

/// Opens the interpreter of a format: as it was registered, or what has its name now.
fn open_format_interpreter(
    around: &Surroundings<'_>,
    format: &BinaryFormat,
) -> Result<Executable, LoadError> {
    match &format.opened {
        Some(path) => Ok(open_executable(path.clone(), around.viewer)?),
        None => find_interpreter(around, &format.interpreter),
    }
}

/// Where an interpreter is looked up.
struct Surroundings<'a> {
    kernel: &'a dyn ProgramHost,
    view: &'a FsView,
    viewer: &'a Viewer,
    allows_new_privileges: bool,
}

/// Opens the interpreter called `path`.
fn find_interpreter(around: &Surroundings<'_>, path: &[u8]) -> Result<Executable, LoadError> {
    let resolver = Resolver::new(around.view, around.viewer);
    let found = resolver.resolve(&around.view.working_directory, path, true);
    found.and_then(|found| open_executable(found, around.viewer)).map_err(|errno| {
        let reason = LoadError::from(errno).reason;
        LoadError::new(errno, format!("its interpreter {}: {reason}", path.escape_ascii()))
    })
}

/// What goes onto the initial stack, and who pays for and sees the rest.
struct Strings {
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    file_name: Vec<u8>,
    stack_limit_bytes: u64,
    payer: Option<Arc<MemoryAccount>>,
    time_namespace: Arc<TimeNamespace>,
}

fn load_elf(
    around: &Surroundings<'_>,
    executable: Executable,
    strings: Strings,
    name: Vec<u8>,
) -> Result<LoadedProgram, LoadError> {
    // Nobody is charged for an address space before the strings are known to fit.
    stack::check_size(&strings.arguments, &strings.environment, strings.stack_limit_bytes)?;
    let program = elf::Image::parse(&*executable.file, &executable.head)?;
    executable.description.announce(WatchMask::ACCESS);
    let interpreter =
        program.interpreter().map(|path| parse_interpreter(around, &executable, path)).transpose()?;
    let grants = FileGrants::of_file(&executable.path, &executable.metadata, &around.viewer.credentials)?;
    let memory = around.kernel.new_memory(strings.payer.clone())?;
    memory.set_stack_limit(strings.stack_limit_bytes);
    // It is what the program will be allowed to do that counts.
    let (allowed, _) = credentials_after_exec(&around.viewer.credentials, grants, false);
    if allowed.has(Capabilities::SYS_RAWIO) {
        memory.set_lowest_address(0);
    }
    let placed = program.map(&memory, &executable, elf::Role::Program).map_err(LoadError::late)?;
    memory.set_brk_start(placed.end)?;
    let map_interpreter = |(file, image): &(Executable, elf::Image)| {
        image.map(&memory, file, elf::Role::Interpreter).map_err(LoadError::late)
    };
    let placed_interpreter = interpreter.as_ref().map(map_interpreter).transpose()?;
    let vdso = around.kernel.map_vdso(&memory, &strings.time_namespace)?;
    let stack_pointer = stack::build(
        &memory,
        around,
        &strings,
        grants,
        &stack::Auxiliary {
            program: &placed,
            interpreter_base: placed_interpreter.as_ref().map_or(0, |placed| placed.base),
            vdso,
            has_executable_stack: program.has_executable_stack(),
        },
    )?;
    let rip = placed_interpreter.as_ref().map_or(placed.entry, |placed| placed.entry);
    Ok(LoadedProgram {
        memory,
        registers: Registers { rip, rsp: stack_pointer, ..Registers::default() },
        name,
        executable: ExecutedFile::new(executable.path, executable.denial),
        grants,
        is_unreadable: executable.is_unreadable,
    })
}

/// Opens and parses the interpreter at `path` that `program` names.
fn parse_interpreter(
    around: &Surroundings<'_>,
    program: &Executable,
    path: &[u8],
) -> Result<(Executable, elf::Image), LoadError> {
    program.description.announce(WatchMask::ACCESS);
    let interpreter = find_interpreter(around, path)?;
    interpreter.description.announce(WatchMask::ACCESS);
    let image = elf::Image::parse_interpreter(&*interpreter.file, &interpreter.head).map_err(|error| {
        let reason = format!("its interpreter {}: {error}", path.escape_ascii());
        LoadError { reason: reason.into(), ..error }
    })?;
    Ok((interpreter, image))
}

/// Opens `path` for execution and reads its first bytes.
fn open_executable(path: Path, viewer: &Viewer) -> Result<Executable, Errno> {
    let inode = path.inode();
    if inode.kind() != FileKind::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    path.check_access(fs::Access::EXECUTE, &viewer.credentials)?;
    fs::landlock::check_execute(&viewer.credentials, &path)?;
    let metadata = path.metadata()?;
    let is_unreadable = path.check_access(fs::Access::READ, &viewer.credentials).is_err();
    let file = inode.clone().open(OpenFlags::empty(), &Viewer::kernel(&viewer.credentials.user_namespace))?;
    let denial = WriteDenial::begin(inode)?;
    let mut head = vec![0; HEAD_BYTES];
    let read = read_fully(&*file, &mut head, 0)?;
    head.truncate(read);
    let description = FileDescription::new(file.clone(), Some(path.clone()), OpenFlags::empty());
    description.announce_with(WatchMask::OPEN, FanMask::OPEN_EXEC);
    description.announce(WatchMask::ACCESS);
    Ok(Executable { path, denial, file, description, head, metadata, is_unreadable })
}

/// Reads until `buffer` is full or the file ends; returns the bytes read.
fn read_fully(file: &dyn File, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset.saturating_add(filled as u64))? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty()).unwrap_or(path)
}
