//! What lies between a mount and its server: requests, and the answers to them.
//!
//! Each request that is answered has one who waits, and so there are no more of them than tasks. Of the others, releases and what is
//! forgotten, there are no more than there were open files and inodes, which are paid for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::inode::FuseInode;
use super::names::KnownNames;
use super::notice;
use super::options::FuseOptions;
use super::wire::{Body, IN_HEADER_LEN, OUT_HEADER_LEN, Operation, Reader};
use crate::Errno;
use crate::cred::UserNamespace;
use crate::fs::metadata::DeviceNumber;
use crate::fs::sleeper;
use crate::heap::{HeapCharge, shrink_queue};
use crate::memory::FrameAllocator;
use crate::time::MonotonicTime;
use crate::wait::{Events, WaitQueue};

/// The version of the protocol.
const MAJOR: u32 = 7;
const MINOR: u32 = 41;
/// The oldest minor version of a server that is understood: what makes files has had other bodies before.
const OLDEST_MINOR: u32 = 12;
/// The least room that a server must have for a request.
const MIN_READ_LEN: usize = 8192;
/// The most bytes of a read or write.
pub(super) const MAX_TRANSFER_BYTES: u32 = 128 << 10;
/// What a request takes beside its bytes.
const REQUEST_BYTES: usize = 256;

bitflags::bitflags! {
    /// What kernel and server agree upon (`FUSE_*` of FUSE_INIT).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Features: u32 {
        /// Several reads of a file may be asked for at a time.
        const ASYNC_READ = 1 << 0;
        /// O_TRUNC comes with the open.
        const ATOMIC_TRUNCATE = 1 << 3;
        /// Writes may be longer than a page.
        const BIG_WRITES = 1 << 5;
        /// What the caller's umask forbids is the server's to leave out. It is left out here already, and the umask is told as 0.
        const DONT_MASK = 1 << 6;
        /// Pages that are kept go when the server tells of another time of change.
        const AUTO_INVALIDATE_DATA = 1 << 12;
        /// A file that cannot be opened with ENOSYS needs no open.
        const NO_OPEN = 1 << 17;
        /// Directories are read and looked up in by several at a time.
        const PARALLEL_DIRECTORIES = 1 << 18;
        /// After the end of the connection its device says so by ECONNABORTED.
        const ABORT_ERROR = 1 << 21;
        /// As [`Features::NO_OPEN`], for directories.
        const NO_OPEN_DIRECTORY = 1 << 24;
    }
}

/// What the server has said in its first answer.
#[derive(Clone, Copy)]
struct Agreement {
    features: Features,
    max_write: u32,
}

/// A request.
struct Request {
    unique: u64,
    operation: Operation,
    /// With its header.
    message: Vec<u8>,
    answer: OnceLock<Result<Vec<u8>, Errno>>,
    /// What the answer takes, which the server pays for.
    answer_charge: OnceLock<HeapCharge>,
    answered: WaitQueue,
    /// What is not to be forgotten before the answer.
    kept: Mutex<Option<Arc<FuseInode>>>,
    /// A signal waits for its caller. Changes with the connection locked.
    is_interrupted: AtomicBool,
    _heap_charge: HeapCharge,
}

/// What waits to be read by the server. The order stays: nothing is asked of a file after it was forgotten.
enum Pending {
    Request(Arc<Request>),
    /// A file, and how often the server has told of it, that is forgotten.
    Forgotten {
        node: u64,
        lookups: u64,
        _heap_charge: HeapCharge,
    },
}

impl Pending {
    fn request(&self) -> Option<&Arc<Request>> {
        match self {
            Self::Request(request) => Some(request),
            Self::Forgotten { .. } => None,
        }
    }
}

#[derive(Default)]
struct State {
    next_unique: u64,
    pending: VecDeque<Pending>,
    /// The requests whose callers have been interrupted, each once.
    interrupts: VecDeque<u64>,
    /// What the server has read, and not yet answered.
    processing: HashMap<u64, Arc<Request>>,
    agreement: Option<Agreement>,
    /// Nothing comes any more, and nothing is asked.
    is_aborted: bool,
    /// Once nothing is left to be read, that is the end.
    is_ending: bool,
    /// What the server has said that it does not know.
    unknown: HashSet<u32>,
}

/// A mount and its server.
pub(super) struct Connection {
    pub(super) device: DeviceNumber,
    pub(super) options: FuseOptions,
    /// Numbers the server's users.
    pub(super) user_namespace: Arc<UserNamespace>,
    pub(super) resources: super::Resources,
    state: Mutex<State>,
    /// Where the server waits for requests.
    readers: WaitQueue,
    /// Where those wait who ask before the server has said what it knows.
    starting: WaitQueue,
    /// The files that the server has told of, by its numbers.
    pub(super) inodes: Mutex<HashMap<u64, Weak<FuseInode>>>,
    pub(super) names: Mutex<KnownNames>,
}

impl Connection {
    pub(super) fn new(
        device: DeviceNumber,
        options: FuseOptions,
        user_namespace: Arc<UserNamespace>,
        resources: super::Resources,
    ) -> Arc<Self> {
        Arc::new(Self {
            device,
            options,
            user_namespace,
            resources,
            state: Mutex::default(),
            readers: WaitQueue::default(),
            starting: WaitQueue::default(),
            inodes: Mutex::default(),
            names: Mutex::default(),
        })
    }

    /// The kernel's time now.
    pub(super) fn now(&self) -> MonotonicTime {
        self.resources.specials.open_files().now()
    }

    pub(super) fn frames(&self) -> &Arc<FrameAllocator> {
        &self.resources.frames
    }

    /// Asks the server what it knows. The answer is not waited for here.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn initialise(&self) -> Result<(), Errno> {
        const READ_AHEAD_BYTES: u32 = 128 << 10;
        let body = Body::default().u32(MAJOR).u32(MINOR).u32(READ_AHEAD_BYTES).u32(Features::all().bits());
        // Further features, and room for what is to come.
        let body = body.bytes(&[0; 48]);
        self.post(Operation::Initialise, 0, body)
    }

    /// Asks for something of the file numbered `node`, and waits for the answer.
    ///
    /// # Errors
    /// Those of the server. ENOTCONN: there is none any more. ECONNABORTED: it went while it was asked. EINTR: the caller ends.
    /// ENOSYS: it does not know the operation.
    pub(super) fn ask(&self, operation: Operation, node: u64, body: Body) -> Result<Vec<u8>, Errno> {
        if !sleeper::may_sleep() {
            return Err(Errno::EINTR);
        }
        let has_started = || {
            let state = self.state.lock();
            (state.agreement.is_some() || state.is_aborted).then_some(())
        };
        if has_started().is_none() {
            sleeper::wait(&self.starting, has_started, || ())?;
        }
        if self.state.lock().unknown.contains(&(operation as u32)) {
            return Err(Errno::ENOSYS);
        }
        let request = self.enqueue(operation, node, body, None)?;
        let answer = || request.answer.get().cloned();
        let result = match sleeper::wait(&request.answered, answer, || self.interrupt(&request)) {
            Ok(result) => result,
            // What a process has to say as it ends is said, though it does not wait for the answer.
            Err(error) if operation == Operation::Flush => Err(error),
            Err(error) => {
                self.withdraw(&request);
                Err(error)
            }
        };
        if result == Err(Errno::ENOSYS) && may_be_unknown(operation) {
            self.state.lock().unknown.insert(operation as u32);
        }
        result
    }

    /// Asks for something whose answer nobody waits for.
    ///
    /// # Errors
    /// ENOMEM, ENOTCONN.
    pub(super) fn post(&self, operation: Operation, node: u64, body: Body) -> Result<(), Errno> {
        self.enqueue(operation, node, body, None).map(drop)
    }

    /// Tells the server that nobody has `body` of the file numbered `node` open any more. The file is not forgotten before that is
    /// answered.
    pub(super) fn release(&self, operation: Operation, node: u64, body: Body) {
        let kept = self.inodes.lock().get(&node).and_then(Weak::upgrade);
        // Without a server there is nothing to be released.
        let _ = self.enqueue(operation, node, body, kept);
    }

    fn enqueue(
        &self,
        operation: Operation,
        node: u64,
        body: Body,
        kept: Option<Arc<FuseInode>>,
    ) -> Result<Arc<Request>, Errno> {
        let len = IN_HEADER_LEN + body.0.len();
        let _heap_charge = match operation {
            Operation::Release | Operation::ReleaseDirectory => HeapCharge::forced(REQUEST_BYTES + len),
            _ => HeapCharge::new(REQUEST_BYTES + len)?,
        };
        let viewer = sleeper::viewer();
        let (user, group, process) = viewer.map_or((0, 0, 0), |viewer| {
            let (user, group) = (viewer.credentials.fs_uid, viewer.credentials.fs_gid);
            let namespace = &self.user_namespace;
            (namespace.from_kernel_uid(user).0, namespace.from_kernel_gid(group).0, viewer.thread_id)
        });
        let mut state = self.state.lock();
        if state.is_aborted || state.is_ending {
            return Err(Errno::ENOTCONN);
        }
        // Even numbers, as on Linux: an odd one is an interruption's.
        state.next_unique += 2;
        let unique = state.next_unique;
        let header = Body::default().u32(len as u32).u32(operation as u32).u64(unique).u64(node);
        let header = header.u32(user).u32(group).u32(process.cast_unsigned()).u32(0);
        let message = header.bytes(&body.0).0;
        let (answer, answer_charge, answered) = (OnceLock::new(), OnceLock::new(), WaitQueue::default());
        let (is_interrupted, kept) = (AtomicBool::new(false), Mutex::new(kept));
        let request = Arc::new(Request {
            unique,
            operation,
            message,
            answer,
            answer_charge,
            answered,
            kept,
            is_interrupted,
            _heap_charge,
        });
        state.pending.push_back(Pending::Request(request.clone()));
        drop(state);
        self.readers.notify(Events::IN | Events::RDNORM);
        Ok(request)
    }

    /// Tells the server that a caller has a signal.
    fn interrupt(&self, request: &Arc<Request>) {
        let mut state = self.state.lock();
        request.is_interrupted.store(true, Ordering::Relaxed);
        let is_unknown = state.unknown.contains(&(Operation::Interrupt as u32));
        if is_unknown || !state.processing.contains_key(&request.unique) {
            return;
        }
        state.tell_of_interrupt(request.unique);
        drop(state);
        self.readers.notify(Events::IN | Events::RDNORM);
    }

    /// The caller waits no longer. The server may still be at it.
    fn withdraw(&self, request: &Arc<Request>) {
        let mut state = self.state.lock();
        let is_other =
            |pending: &Pending| pending.request().is_none_or(|other| other.unique != request.unique);
        state.pending.retain(is_other);
        let is_processed = state.processing.contains_key(&request.unique);
        if is_processed {
            state.tell_of_interrupt(request.unique);
        }
        drop(state);
        if is_processed {
            self.readers.notify(Events::IN | Events::RDNORM);
        }
    }

    /// The kernel no longer knows the file numbered `node`, of which the server has told `lookups` times.
    pub(super) fn forget(&self, node: u64, lookups: u64) {
        let mut state = self.state.lock();
        if state.is_aborted || state.is_ending || lookups == 0 {
            return;
        }
        let _heap_charge = HeapCharge::forced(2 * size_of::<Pending>());
        state.pending.push_back(Pending::Forgotten { node, lookups, _heap_charge });
        drop(state);
        self.readers.notify(Events::IN | Events::RDNORM);
    }

    /// The next request, for the server that reads into `buffer`.
    ///
    /// # Errors
    /// EAGAIN: there is none. EINVAL: there is no room for one. ENODEV: there will be none.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        if buffer.len() < MIN_READ_LEN {
            return Err(Errno::EINVAL);
        }
        loop {
            let mut state = self.state.lock();
            if state.is_aborted {
                let tells =
                    state.agreement.is_some_and(|agreed| agreed.features.contains(Features::ABORT_ERROR));
                return Err(if tells && !state.is_ending { Errno::ECONNABORTED } else { Errno::ENODEV });
            }
            if let Some(message) = state.next_interrupt() {
                return put(buffer, &message).ok_or(Errno::EINVAL);
            }
            let request = match state.pending.pop_front() {
                Some(Pending::Request(request)) => request,
                Some(Pending::Forgotten { node, lookups, .. }) => {
                    let message = state.forget_message(node, lookups);
                    return put(buffer, &message).ok_or(Errno::EINVAL);
                }
                None if !state.is_ending => {
                    shrink_queue(&mut state.pending);
                    return Err(Errno::EAGAIN);
                }
                None => {
                    state.is_aborted = true;
                    return Err(Errno::ENODEV);
                }
            };
            let Some(len) = put(buffer, &request.message) else {
                drop(state);
                let error = if request.operation == Operation::SetXattr { Errno::E2BIG } else { Errno::EIO };
                request.end(Err(error));
                continue;
            };
            // A signal that came before the request was read is told now.
            let is_interrupted = request.is_interrupted.load(Ordering::Relaxed);
            if is_interrupted && !state.unknown.contains(&(Operation::Interrupt as u32)) {
                state.tell_of_interrupt(request.unique);
            }
            state.processing.insert(request.unique, request);
            drop(state);
            if is_interrupted {
                self.readers.notify(Events::IN | Events::RDNORM);
            }
            return Ok(len);
        }
    }

    /// Takes an answer, or a notice, from the server.
    ///
    /// # Errors
    /// EINVAL: it makes no sense. ENOENT: nobody has asked for it. ENOMEM. And those of [`notice`].
    pub(super) fn write(&self, message: &[u8]) -> Result<(), Errno> {
        let mut reader = Reader(message);
        let header =
            || -> Result<_, Errno> { Ok((reader.u32()?, reader.u32()?.cast_signed(), reader.u64()?)) };
        let (len, error, unique) = { header }().map_err(|_| Errno::EINVAL)?;
        let body = message.get(OUT_HEADER_LEN..).ok_or(Errno::EINVAL)?;
        if len as usize != message.len() {
            return Err(Errno::EINVAL);
        }
        if unique == 0 {
            return notice::take(self, error, body);
        }
        if error > 0 || error <= -512 || error != 0 && !body.is_empty() {
            return Err(Errno::EINVAL);
        }
        if unique & 1 != 0 {
            return self.answer_to_interrupt(unique & !1, error);
        }
        let charge = HeapCharge::new(body.len())?;
        let mut state = self.state.lock();
        let request = state.processing.remove(&unique).ok_or(Errno::ENOENT)?;
        state.interrupts.retain(|other| *other != unique);
        let answer = match error {
            0 => Ok(body.to_vec()),
            error => Err(Errno::from_raw(-error)),
        };
        let is_first = request.operation == Operation::Initialise;
        if is_first {
            state.agreement = answer.as_ref().ok().and_then(|body| agreement(body));
        }
        let has_failed = is_first && state.agreement.is_none();
        // With the request may go the last reference to a file, which is then forgotten.
        drop(state);
        if has_failed {
            self.abort();
        }
        if is_first {
            self.starting.notify(Events::IN);
        }
        // An answer is given once, and so is what it takes.
        let _ = request.answer_charge.set(charge);
        request.end(answer);
        Ok(())
    }

    fn answer_to_interrupt(&self, unique: u64, error: i32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !state.processing.contains_key(&unique) {
            return Err(Errno::ENOENT);
        }
        if -error == i32::from(Errno::ENOSYS.raw()) {
            state.unknown.insert(Operation::Interrupt as u32);
        } else if -error == i32::from(Errno::EAGAIN.raw()) {
            state.tell_of_interrupt(unique);
        }
        Ok(())
    }

    /// Ends it: whoever waits for an answer gets none.
    pub(super) fn abort(&self) {
        let mut state = self.state.lock();
        state.is_aborted = true;
        let pending = std::mem::take(&mut state.pending);
        let processing = std::mem::take(&mut state.processing);
        state.interrupts.clear();
        drop(state);
        for request in pending.iter().filter_map(Pending::request).chain(processing.values()) {
            request.end(Err(Errno::ECONNABORTED));
        }
        self.starting.notify(Events::IN);
        self.readers.notify(Events::IN | Events::ERR);
        self.forget_names();
    }

    /// Nobody uses the file system any more: the server hears of that, and then of nothing.
    pub(super) fn end(&self, is_block: bool) {
        if is_block && self.state.lock().agreement.is_some() {
            let _ = self.post(Operation::Destroy, 0, Body::default());
            self.state.lock().is_ending = true;
        } else {
            self.state.lock().is_ending = true;
            self.abort();
        }
        self.readers.notify(Events::IN | Events::ERR);
        self.forget_names();
    }

    fn forget_names(&self) {
        let names = std::mem::take(&mut *self.names.lock());
        // Unlocked: these may be the last references to files.
        drop(names);
    }

    /// What the device is ready for.
    pub(super) fn readiness(&self) -> Events {
        let state = self.state.lock();
        let out = Events::OUT | Events::WRNORM;
        if state.is_aborted {
            return out | Events::ERR;
        }
        let has_some = !state.pending.is_empty() || !state.interrupts.is_empty();
        if has_some || state.is_ending { out | Events::IN | Events::RDNORM } else { out }
    }

    pub(super) fn readers(&self) -> &WaitQueue {
        &self.readers
    }

    /// The most bytes that a write brings.
    pub(super) fn max_write(&self) -> usize {
        self.state.lock().agreement.map_or(4096, |agreed| agreed.max_write as usize)
    }

    /// The most bytes that a read asks for.
    pub(super) fn max_read(&self) -> usize {
        self.options.max_read.unwrap_or(MAX_TRANSFER_BYTES).clamp(1, MAX_TRANSFER_BYTES) as usize
    }

    /// How many requests wait for the server, or for its answer.
    pub(super) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.pending.iter().filter_map(Pending::request).count() + state.processing.len()
    }

    pub(super) fn has(&self, features: Features) -> bool {
        self.state.lock().agreement.is_some_and(|agreed| agreed.features.contains(features))
    }
}

impl State {
    /// The server is to hear, once, that the caller of this request has been interrupted.
    fn tell_of_interrupt(&mut self, unique: u64) {
        if !self.interrupts.contains(&unique) {
            self.interrupts.push_back(unique);
        }
    }

    /// That a request is interrupted which the server still has.
    fn next_interrupt(&mut self) -> Option<Vec<u8>> {
        while let Some(unique) = self.interrupts.pop_front() {
            if self.processing.contains_key(&unique) {
                return Some(message_of_word(Operation::Interrupt, unique | 1, 0, unique));
            }
        }
        None
    }

    fn forget_message(&mut self, node: u64, lookups: u64) -> Vec<u8> {
        self.next_unique += 2;
        message_of_word(Operation::Forget, self.next_unique, node, lookups)
    }
}

/// A message that is not answered, whose body is one number.
fn message_of_word(operation: Operation, unique: u64, node: u64, word: u64) -> Vec<u8> {
    let len = IN_HEADER_LEN + size_of::<u64>();
    let header = Body::default().u32(len as u32).u32(operation as u32).u64(unique).u64(node);
    header.u64(0).u64(0).u64(word).0
}

impl Request {
    fn end(&self, answer: Result<Vec<u8>, Errno>) {
        let _ = self.answer.set(answer);
        self.answered.notify(Events::IN);
        let kept = self.kept.lock().take();
        // With no lock held: this may be the last reference.
        drop(kept);
    }
}

/// Copies a message, if there is room for it.
fn put(buffer: &mut [u8], message: &[u8]) -> Option<usize> {
    buffer.get_mut(..message.len())?.copy_from_slice(message);
    Some(message.len())
}

/// What the server has said in its first answer; `None` if that is not understood.
fn agreement(body: &[u8]) -> Option<Agreement> {
    let mut reader = Reader(body);
    let (major, minor) = (reader.u32().ok()?, reader.u32().ok()?);
    if major != MAJOR || minor < OLDEST_MINOR {
        return None;
    }
    let (_read_ahead, features) = (reader.u32().ok()?, reader.u32().ok()?);
    let (_background, _congestion) = (reader.u16().ok()?, reader.u16().ok()?);
    let max_write = reader.u32().ok()?.clamp(4096, MAX_TRANSFER_BYTES);
    Some(Agreement { features: Features::from_bits_truncate(features), max_write })
}

/// Whether ENOSYS means that the server never knows an operation, so that it is not asked again.
fn may_be_unknown(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Open
            | Operation::OpenDirectory
            | Operation::Flush
            | Operation::Sync
            | Operation::SyncDirectory
            | Operation::GetXattr
            | Operation::SetXattr
            | Operation::ListXattr
            | Operation::RemoveXattr
            | Operation::Create
            | Operation::Rename2
            | Operation::Seek
            | Operation::Allocate
            | Operation::MakeUnnamed
    )
}
