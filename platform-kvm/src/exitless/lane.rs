//! One vCPU's way to the dispatcher, and the host's own notes about it.
//!
//! The context's thread lends the server of its task for as long as it is in KVM_RUN. Whoever serves holds the lane's lock
//! meanwhile; so taking the server back waits for a call that is being served, and afterwards no other begins. A request
//! is served once: its sequence number is noted before, and a number that was seen is not looked at again.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use sentry::platform::{Answers, CallServer, Reply};

use super::economy::Counts;
use super::page::CallPage;
use crate::kernel::Kernel;

/// vCPUs that have a lane: the first so many. A process that runs on another rewrites nothing. A shadow MMU keeps four pages
/// for each root that is loaded, and has few where guest memory is small (KVM's 2 %).
pub(crate) const LANES_MAX: usize = 16;

/// One vCPU's lane.
pub(crate) struct Lane {
    kernel: Arc<Kernel>,
    index: u64,
    /// There is a server: to be read without the lock.
    is_lent: AtomicBool,
    /// User code has been told that somebody polls.
    is_told: AtomicBool,
    /// User code is no longer told all that it was.
    is_withdrawn: AtomicBool,
    /// The last request that was looked at.
    seen: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    server: Option<Server>,
    served: Option<Served>,
    /// What user code is told in advance.
    answers: Answers,
}

/// The server that a context's thread lends, until it takes it back.
struct Server(NonNull<dyn CallServer + 'static>);

// SAFETY: the server is `Send`, as the trait demands, and used under the lane's lock only.
unsafe impl Send for Server {}

/// A request that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) sequence: u64,
    /// The value for RAX.
    pub(crate) value: u64,
    /// The context stops before it goes on.
    pub(crate) must_stop: bool,
}

/// Takes the server back, on every path.
struct Loan<'a>(&'a Lane);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.0.is_lent.store(false, Ordering::SeqCst);
        self.0.state.lock().server = None;
    }
}

impl Lane {
    /// The lane of vCPU `index`.
    pub(crate) fn new(kernel: Arc<Kernel>, index: u64) -> Self {
        let (is_lent, is_told, is_withdrawn, seen, state) = Default::default();
        Self { kernel, index, is_lent, is_told, is_withdrawn, seen, state }
    }

    /// Its vCPU is made: nobody has touched its page before.
    pub(crate) fn initialize(&self) {
        self.page().initialize();
    }

    /// The page that user code posts in.
    pub(crate) fn page(&self) -> CallPage<'_> {
        CallPage::new(self.kernel.memory(), self.kernel.call_page(self.index))
    }

    /// Whether somebody may have requests served.
    pub(crate) fn is_lent(&self) -> bool {
        self.is_lent.load(Ordering::SeqCst)
    }

    /// Tells user code whether anybody polls, if it does not know.
    pub(crate) fn tell_polled(&self, is_polled: bool) {
        if self.is_told.swap(is_polled, Ordering::SeqCst) != is_polled {
            self.page().set_polled(is_polled);
        }
    }

    /// Whether user code has been told that somebody polls.
    pub(crate) fn is_polled(&self) -> bool {
        self.is_told.load(Ordering::SeqCst)
    }

    /// Whether the last request was never looked at.
    pub(crate) fn is_ignored(&self) -> bool {
        self.page().sequence() != self.seen.load(Ordering::SeqCst)
    }

    /// Forgets what another process has left.
    pub(crate) fn clear(&self) {
        self.is_told.store(false, Ordering::SeqCst);
        self.page().clear();
    }

    /// Lends `server` while `run` runs user code. Returns, too, the last request that was served.
    pub(crate) fn lend<T>(
        &self,
        server: &mut dyn CallServer,
        run: impl FnOnce() -> T,
    ) -> (T, Option<Served>) {
        self.tell(server.answers());
        let counts_answers = server.counts_answers();
        if counts_answers {
            // What nobody wanted to know before.
            self.take_counts(|_, _| {});
        }
        let lent: NonNull<dyn CallServer + '_> = NonNull::from(&mut *server);
        // SAFETY: only the lifetime changes. `Loan` removes the pointer before this function returns or unwinds, and who
        // uses it holds the lock that `Loan` takes for that.
        let lent = unsafe {
            std::mem::transmute::<NonNull<dyn CallServer + '_>, NonNull<dyn CallServer + 'static>>(lent)
        };
        self.seen.store(self.page().sequence(), Ordering::SeqCst);
        {
            let mut state = self.state.lock();
            (state.server, state.served) = (Some(Server(lent)), None);
        }
        self.is_lent.store(true, Ordering::SeqCst);
        let loan = Loan(self);
        let result = run();
        drop(loan);
        if counts_answers {
            self.take_counts(|number, count| server.note_answered(number.into(), count));
        }
        (result, self.state.lock().served)
    }

    /// Hands to `take` how often each call has been answered in advance.
    fn take_counts(&self, mut take: impl FnMut(u8, u32)) {
        let answers = self.state.lock().answers;
        for (number, _) in answers.iter().flatten() {
            match self.page().take_count(*number) {
                0 => {}
                count => take(*number, count),
            }
        }
    }

    /// User code will have calls served by their exits alone.
    pub(crate) fn withdraw(&self) {
        self.tell_polled(false);
        self.tell(Answers::default());
    }

    /// Does not answer call `number` in advance any more, until [`Lane::tell`] says otherwise. Takes no lock.
    pub(crate) fn withdraw_answer(&self, number: u8) {
        self.is_withdrawn.store(true, Ordering::SeqCst);
        self.page().set_answer(number, None);
    }

    /// Answers calls in advance, if user code is told otherwise now.
    fn tell(&self, answers: Answers) {
        let mut state = self.state.lock();
        if !self.is_withdrawn.swap(false, Ordering::SeqCst) && state.answers == answers {
            return;
        }
        let former = std::mem::replace(&mut state.answers, answers);
        let page = self.page();
        former.iter().flatten().for_each(|(number, _)| page.set_answer(*number, None));
        answers.iter().flatten().for_each(|(number, value)| page.set_answer(*number, Some(*value)));
    }

    /// Serves a request if there is one, and counts it. Returns whether there was.
    pub(crate) fn poll(&self, counts: &Counts) -> bool {
        if !self.is_lent() || self.page().sequence() == self.seen.load(Ordering::Relaxed) {
            return false;
        }
        // Whoever has the lock is taking the server back.
        let Some(mut state) = self.state.try_lock() else { return false };
        let State { server: Some(Server(server)), served, .. } = &mut *state else { return false };
        let request = self.page().request();
        if self.seen.swap(request.sequence, Ordering::SeqCst) == request.sequence {
            return false;
        }
        Counts::add(&counts.found);
        // SAFETY: the context's thread keeps the server alive, and does not use it, until it has removed the pointer under
        // the lock that we hold.
        let reply = unsafe { server.as_mut() }.serve(request.number, request.arguments);
        match reply {
            Reply::Value(value) | Reply::ValueAndStop(value) => {
                let must_stop = matches!(reply, Reply::ValueAndStop(_));
                *served = Some(Served { sequence: request.sequence, value, must_stop });
                if !must_stop {
                    self.page().answer(request.sequence, Some(value));
                }
            }
            Reply::Decline => {
                Counts::add(&counts.declined);
                self.page().answer(request.sequence, None);
            }
        }
        true
    }
}
