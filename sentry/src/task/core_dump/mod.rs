//! Core dumps (`man 5 core`): what a process leaves behind that a signal ends.
//!
//! The task that the signal ends writes the file. Every other task of the process leaves its registers with the dump on its
//! way to its end, and waits until the dump is over, so that the memory stays what it was.

mod elf;
mod handler;
mod name;
mod segments;
mod sink;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use self::elf::{Notes, ThreadNotes};
use self::handler::Handler;
use self::name::NameFacts;
use self::segments::Segment;
use self::sink::Sink;
use super::ptrace::Image;
use super::status::ExitStatus;
use super::{CurrentTask, Task};
use crate::Errno;
use crate::cred::KernelUid;
use crate::fs::CreationMode;
use crate::fs::operations::{self, OpenRequest};
use crate::fs::pipe::Pipe;
use crate::fs::{FileDescription, FileKind, OpenFlags, Path, Resolver};
use crate::limits::Resource;
use crate::platform::PAGE_SIZE;
use crate::signal::SignalInfo;
use crate::wait::{Events, WaitQueue};

/// What /proc/PID/coredump_filter begins with: private and shared anonymous memory, ELF headers, private huge pages.
pub(super) const DEFAULT_FILTER: u32 = 0x33;
/// The bits that it has.
pub(super) const FILTER_BITS: u32 = 0x1ff;

/// fs.suid_dumpable's and PR_GET_DUMPABLE's "only for root".
const DUMPABLE_FOR_ROOT: u8 = 2;

/// A dump that is being made, as the other tasks of the process see it.
pub(super) struct CoreDump {
    gathered: Mutex<Gathered>,
    is_over: AtomicBool,
    changes: WaitQueue,
}

/// What the other tasks have left.
struct Gathered {
    /// How many have not come by.
    missing: usize,
    threads: Vec<ThreadNotes>,
}

impl CoreDump {
    fn new(others: usize) -> Arc<Self> {
        Arc::new(Self {
            gathered: Mutex::new(Gathered { missing: others, threads: Vec::new() }),
            is_over: AtomicBool::new(false),
            changes: WaitQueue::default(),
        })
    }

    /// Another task has come by; one that has never run has no registers to leave.
    pub(super) fn add(&self, thread: Option<ThreadNotes>) {
        let mut gathered = self.gathered.lock();
        gathered.missing = gathered.missing.saturating_sub(1);
        gathered.threads.extend(thread);
        drop(gathered);
        self.changes.notify(Events::IN);
    }

    fn is_complete(&self) -> bool {
        self.gathered.lock().missing == 0
    }
}

impl Task {
    /// Stops the others of the process for a dump; `None` if the process is ending, so that there is none.
    fn begin_core_dump(&self, status: ExitStatus) -> Option<Arc<CoreDump>> {
        let mut state = self.group.state.lock();
        if state.exit.is_some() || state.core_dump.is_some() {
            return None;
        }
        let dump = CoreDump::new(state.active_tasks.saturating_sub(1));
        state.core_dump = Some(dump.clone());
        state.begin_exit(status);
        Some(dump)
    }

    /// Lets the others go, and has the process end as it did.
    fn end_core_dump(&self, dump: &CoreDump, status: ExitStatus) {
        let mut state = self.group.state.lock();
        state.core_dump = None;
        state.exit = Some(status);
        drop(state);
        dump.is_over.store(true, Ordering::Release);
        dump.changes.notify(Events::OUT);
    }
}

impl CurrentTask {
    /// Ends the process by `info`, which dumps core. Returns how it ended.
    pub(super) fn die_with_core(&mut self, info: SignalInfo) -> ExitStatus {
        let status = |has_dumped_core| ExitStatus::Signaled { signal: info.signal, has_dumped_core };
        let task = self.task.clone();
        let dump = self.may_dump_core().then(|| task.begin_core_dump(status(false))).flatten();
        let Some(dump) = dump else {
            task.group.exit(status(false));
            return task.pending_exit().unwrap_or(status(false));
        };
        let has_dumped = self.await_others(&dump) && self.write_core(&dump, info).is_ok();
        task.end_core_dump(&dump, status(has_dumped));
        status(has_dumped)
    }

    /// Leaves the registers with a dump of another task, and waits until that is over.
    pub(super) fn join_core_dump(&mut self, dump: &CoreDump) {
        let _registration = dump.changes.register(Events::OUT, self.task.waiter().clone());
        let notes = self.thread_notes();
        dump.add(Some(notes));
        while !dump.is_over.load(Ordering::Acquire) {
            self.rest(None);
        }
    }

    /// Waits for the registers of the others. Returns false if the process is killed meanwhile.
    fn await_others(&self, dump: &CoreDump) -> bool {
        let _registration = dump.changes.register(Events::IN, self.task.waiter().clone());
        let kill_count = self.task.group.kill_count();
        while !dump.is_complete() {
            if self.task.group.kill_count() != kill_count {
                return false;
            }
            self.rest(None);
        }
        true
    }

    /// Whether limits and privileges allow a dump at all.
    fn may_dump_core(&self) -> bool {
        let limit = self.task.group.soft_limit(Resource::CORE);
        // A handler's own dump would only call the next one.
        let is_enough = if self.is_piped() { limit != 1 } else { limit >= PAGE_SIZE };
        is_enough && self.task.group.dumpable() != 0
    }

    fn is_piped(&self) -> bool {
        self.kernel().core_settings().pattern().first() == Some(&b'|')
    }

    fn thread_notes(&mut self) -> ThreadNotes {
        let image: Image = self.image();
        let task = &self.task;
        let signals = task.signals.lock();
        ThreadNotes {
            number: task.tid(),
            pending: signals.pending.set().bits(),
            blocked: signals.mask.bits(),
            usage: task.own_usage(),
            image,
        }
    }

    /// Writes all of it to a new file or to a handler, or what fits the limit.
    fn write_core(&mut self, dump: &CoreDump, info: SignalInfo) -> Result<(), Errno> {
        if !self.is_piped() {
            let file = self.open_core(info)?;
            self.write_image(dump, info, &file, self.task.group.soft_limit(Resource::CORE));
            return Ok(());
        }
        let settings = self.kernel().core_settings().clone();
        let _piped = settings.begin_piped_dump().ok_or(Errno::EAGAIN)?;
        let Handler { input, pipe } = self.start_handler(info)?;
        self.write_image(dump, info, &input, u64::MAX);
        drop(input);
        if settings.pipe_limit() > 0 {
            self.await_handler(&pipe);
        }
        Ok(())
    }

    /// Writes what a dump holds. As on Linux, what has been begun counts as dumped, whatever becomes of the rest.
    fn write_image(&mut self, dump: &CoreDump, info: SignalInfo, file: &FileDescription, limit_bytes: u64) {
        let notes = self.notes(dump, info);
        let segments = segments::of(&self.memory, self.task.group.core_filter());
        let head = elf::head(&notes.to_bytes(), &segments);
        let mut sink = Sink::new(self, file, limit_bytes);
        let _outcome = sink.write(&head).and_then(|()| self.write_segments(&mut sink, &segments));
        sink.finish();
    }

    /// Starts the program that the pattern names, with the rest of the pattern as its arguments.
    ///
    /// # Errors
    /// It cannot be started.
    fn start_handler(&self, info: SignalInfo) -> Result<Handler, Errno> {
        let pattern = self.kernel().core_settings().pattern();
        let command = self.name_facts(info).arguments(pattern.get(1..).unwrap_or_default());
        Handler::start(self.kernel(), command)
    }

    /// Keeps the process until nobody reads the pipe any more, so that the handler may look into /proc/PID, or until
    /// somebody kills it (`man 5 core`, /proc/sys/kernel/core_pipe_limit).
    fn await_handler(&self, pipe: &Pipe) {
        let _registration = pipe.wait_queue().register(Events::ERR, self.task.waiter().clone());
        let kill_count = self.task.group.kill_count();
        while pipe.has_readers() && self.task.group.kill_count() == kill_count {
            self.rest(None);
        }
    }

    fn write_segments(&self, sink: &mut Sink<'_>, segments: &[Segment]) -> Result<(), Errno> {
        segments.iter().try_for_each(|segment| segment.write(&self.memory, sink))
    }

    /// The facts about the process and its threads, the dying one first.
    fn notes(&mut self, dump: &CoreDump, info: SignalInfo) -> Notes {
        let mut threads = vec![self.thread_notes()];
        threads.append(&mut dump.gathered.lock().threads);
        let task = &self.task;
        let (tasks, namespace) = (task.kernel.tasks(), task.group.pid_namespace());
        let (process_group, session) = tasks.process_group_and_session(&task.group, namespace);
        let credentials = task.credentials();
        let strings = &self.memory.layout().strings;
        let mut arguments = vec![0; elf::ARGUMENTS_BYTES - 1];
        let available = strings.arguments.1.0.saturating_sub(strings.arguments.0.0);
        arguments.truncate(usize::try_from(available).unwrap_or(usize::MAX));
        let read = self.memory.read_partial(strings.arguments.0, &mut arguments);
        arguments.truncate(read);
        Notes {
            info,
            threads,
            process: task.group.tgid(),
            parent: tasks.parent_number(&task.group).0,
            process_group: process_group.0,
            session: session.0,
            niceness: task.niceness(),
            uid: credentials.user_namespace.from_kernel_uid(credentials.real_uid),
            gid: credentials.user_namespace.from_kernel_gid(credentials.real_gid),
            name: task.name(),
            arguments,
            children_usage: tasks.children_usage(&task.group),
            auxiliary_vector: strings.auxiliary_vector.clone(),
            mappings: self.memory.mappings(),
        }
    }

    /// Opens the file that the pattern names, as `man 5 core` has it.
    ///
    /// # Errors
    /// It cannot be made, or it is not one that a dump may overwrite.
    fn open_core(&self, info: SignalInfo) -> Result<Arc<FileDescription>, Errno> {
        let settings = self.kernel().core_settings();
        let pattern = settings.pattern();
        let name = self.name_facts(info).file_name(&pattern, settings.uses_pid());
        let is_for_root = self.task.group.dumpable() == DUMPABLE_FOR_ROOT;
        if is_for_root && name.first() != Some(&b'/') {
            return Err(Errno::EPERM);
        }
        let context = self.task_fs();
        let (view, mut viewer) = (context.view(), self.viewer());
        let start: &Path = if name.first() == Some(&b'/') { &view.root } else { &view.working_directory };
        if is_for_root {
            let mut credentials = (*viewer.credentials).clone();
            credentials.fs_uid = KernelUid::ROOT;
            viewer.credentials = Arc::new(credentials);
        } else {
            // What has the name goes, unless it is a directory; a set-user-ID program may not have that done.
            let _ = operations::unlink(&Resolver::new(&view, &viewer), start, &name);
        }
        let flags = OpenFlags::CREAT
            | OpenFlags::EXCL
            | OpenFlags::WRONLY
            | OpenFlags::NOFOLLOW
            | OpenFlags::LARGEFILE;
        let request =
            OpenRequest { flags, mode: CreationMode { permissions: 0o600, umask: context.umask() } };
        let file = operations::open(&Resolver::new(&view, &viewer), start, &name, request)?;
        let metadata = file.file().metadata()?;
        let is_fit = metadata.kind() == FileKind::Regular
            && metadata.links == 1
            && metadata.mode & 0o677 == 0o600
            && metadata.uid == viewer.credentials.fs_uid;
        if !is_fit {
            return Err(Errno::EPERM);
        }
        file.file().truncate(0)?;
        Ok(file)
    }

    fn name_facts(&self, info: SignalInfo) -> NameFacts {
        let task = &self.task;
        let tasks = task.kernel.tasks();
        let credentials = task.credentials();
        let executable = task.executed_file();
        let executable = executable.map(|file| file.path().display_from(&self.task_fs().view().root));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        NameFacts {
            process: task.group.tgid(),
            root_process: tasks.group_number(&task.group, tasks.root()).0,
            thread: task.tid(),
            root_thread: task.root_tid(),
            uid: credentials.real_uid,
            gid: credentials.real_gid,
            dumpable: task.group.dumpable(),
            signal: info.signal.number(),
            time_s: now.as_secs(),
            host: task.uts_namespace().host_name(),
            name: task.name(),
            executable: executable.unwrap_or_else(|| task.name()),
            limit_bytes: task.group.soft_limit(Resource::CORE),
            cpu: task.last_cpu(),
        }
    }
}
