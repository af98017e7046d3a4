//! What a recording comes to: the data, with names for everything.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::time::UNIX_EPOCH;

use super::data::{self, Call, Dispatch, Exit, Lost, Named, Profile, SCHEMA, Stack};
use super::record::{Record, Way};
use super::recording::{ExitKind, Recording};
use super::stack_table::{Frame, StackTable};
use super::symbols::{self, Origin};
use super::task_record::call_name;

/// A file to look for names in.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Who opens the files that stacks lead through.
pub trait ImageSource {
    /// The file of the guest with this path.
    fn open_guest(&self, path: &[u8]) -> Option<Box<dyn ReadSeek>>;

    /// The program that this process runs.
    fn open_own(&self) -> Option<Box<dyn ReadSeek>>;
}

impl Recording {
    /// What has been recorded so far. `images` is asked for the files of all stacks.
    pub fn summary(&self, dispatch: Dispatch, images: &dyn ImageSource) -> Profile {
        // Looking up names is no part of it.
        let duration_ns = self.now_ns();
        let (calls, of_calls) = self.calls();
        let mut exits = self.other_exits();
        let mut host_calls = BTreeMap::<String, u64>::new();
        if of_calls.count > 0 {
            exits.insert(0, exit(ExitKind::Syscall(0).name(), &of_calls));
        }
        let counted = exits.iter().flat_map(|exit| &exit.host_calls);
        let served = calls.iter().flat_map(|(_, of_dispatcher)| of_dispatcher);
        for Named { name, count } in counted.chain(served) {
            *host_calls.entry(name.clone()).or_default() += count;
        }
        let mut host_calls: Vec<Named> =
            host_calls.into_iter().map(|(name, count)| Named { name, count }).collect();
        host_calls.sort_by_key(|call| std::cmp::Reverse(call.count));
        let (tasks, lost_tasks) = self.task_summaries();
        let (timeline, lost_events) = {
            let timeline = self.timeline.lock();
            (timeline.events.clone(), timeline.lost)
        };
        let (interval_ns, points) = {
            let intervals = self.intervals.lock();
            (intervals.interval_ns, intervals.points.clone())
        };
        let (stacks, lost_samples) = self.stack_summaries(images);
        Profile {
            schema: SCHEMA,
            command: self.options.command.clone(),
            started_at: self.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            duration_ns,
            hz: self.options.hz,
            calls: calls.into_iter().map(|(call, _)| call).collect(),
            exits,
            host_calls,
            dispatch,
            tasks,
            timeline,
            interval_ns,
            points,
            stacks,
            lost: Lost { tasks: lost_tasks, events: lost_events, samples: lost_samples },
        }
    }

    /// The calls, each with what the host was asked for where no exit was made; and a record of all that were exits.
    fn calls(&self) -> (Vec<(Call, Vec<Named>)>, Record) {
        let mut of_exits = Record::default();
        let handed_back = self.handed_back.lock().clone();
        let answered = self.answered.lock().clone();
        let mut calls = Vec::new();
        for number in 0..Self::call_count() {
            let mut both = Record::default();
            let mut counts = [0; 2];
            let merged = self.with_calls(number, |record, way| {
                let mut copy = Record::default();
                copy.merge(record);
                (copy, way)
            });
            let mut of_dispatcher = Vec::new();
            for (record, way) in merged.into_iter().flatten() {
                counts[way as usize] = record.count;
                both.merge(&record);
                match way {
                    Way::Exit => of_exits.merge(&record),
                    Way::Dispatcher => of_dispatcher = record.host_calls(),
                }
            }
            let by_page = answered.get(number).copied().unwrap_or(0);
            if both.count + by_page > 0 {
                let handed_back = handed_back.get(number).copied().unwrap_or(0);
                let [by_exit, by_dispatcher] = counts;
                let call = Call {
                    name: call_name(number as u16),
                    number: number as u64,
                    count: both.count + by_page,
                    errors: both.errors,
                    by_exit,
                    by_dispatcher,
                    by_page,
                    handed_back,
                    times: both.times(),
                    host_calls: both.host_calls(),
                };
                calls.push((both.cost_ns(), (call, of_dispatcher)));
            }
        }
        calls.sort_by_key(|(cost_ns, _)| std::cmp::Reverse(*cost_ns));
        (calls.into_iter().map(|(_, call)| call).collect(), of_exits)
    }

    fn other_exits(&self) -> Vec<Exit> {
        ExitKind::others()
            .filter_map(|kind| self.with_other(kind, |record| exit(kind.name(), record)))
            .collect()
    }

    fn task_summaries(&self) -> (Vec<data::Task>, u64) {
        let tasks = self.tasks.lock();
        let records: Vec<_> = tasks.records.iter().chain(&tasks.rest).cloned().collect();
        let lost = tasks.rest_count;
        drop(tasks);
        (records.iter().map(|record| record.summary()).collect(), lost)
    }

    fn stack_summaries(&self, images: &dyn ImageSource) -> (Vec<Stack>, u64) {
        // Nobody records a stack any more whose loss would matter, and files have locks of their own.
        let table = std::mem::take(&mut *self.stacks.lock());
        let names = Names::of(&table, images);
        let mut stacks = BTreeMap::<String, u64>::new();
        for (frames, weight_ns) in &table.stacks {
            let entry = stacks.entry(names.folded(frames)).or_default();
            *entry = entry.saturating_add(*weight_ns);
        }
        let stacks = stacks.into_iter().map(|(frames, cpu_ns)| Stack { frames, cpu_ns });
        (stacks.collect(), table.lost)
    }
}

fn exit(kind: String, record: &Record) -> Exit {
    Exit { kind, count: record.count, times: record.times(), host_calls: record.host_calls() }
}

/// The names of all frames.
struct Names<'a> {
    table: &'a StackTable,
    guest: BTreeMap<(u32, u64), String>,
    host: BTreeMap<u64, String>,
}

impl<'a> Names<'a> {
    fn of(table: &'a StackTable, images: &dyn ImageSource) -> Self {
        let (mut guest, mut host) = (BTreeMap::<u32, BTreeSet<u64>>::new(), BTreeSet::new());
        for frame in table.stacks.keys().flat_map(|frames| frames.iter()) {
            match *frame {
                Frame::Guest { image, offset } => {
                    guest.entry(image).or_default().insert(offset);
                }
                Frame::Host(address) => {
                    host.insert(address);
                }
                Frame::Label(_) | Frame::Unknown => {}
            }
        }
        let mut guest_names = BTreeMap::new();
        for (image, places) in guest {
            let path = table.images.get(image as usize).cloned().unwrap_or_default();
            let places: Vec<u64> = places.into_iter().collect();
            let file = images.open_guest(&path);
            let names = file
                .map_or_else(|| vec![None; places.len()], |file| symbols::names(file, &places, Origin::File));
            let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let own = format!("[{}]", String::from_utf8_lossy(base).trim_matches(['[', ']']));
            let named = places
                .iter()
                .zip(names)
                .map(|(place, name)| ((image, *place), name.unwrap_or_else(|| own.clone())));
            guest_names.extend(named);
        }
        Self { table, guest: guest_names, host: host_names(&host, images) }
    }

    /// A stack as one line has it.
    fn folded(&self, frames: &[Frame]) -> String {
        let mut names: Vec<&str> = Vec::with_capacity(frames.len());
        let mut outer_len = 0;
        for frame in frames {
            let name = match frame {
                Frame::Label(label) => self.table.labels.get(*label as usize).map(String::as_str),
                Frame::Guest { image, offset } => self.guest.get(&(*image, *offset)).map(String::as_str),
                Frame::Unknown => Some("[anonymous]"),
                Frame::Host(address) => self.host.get(address).map(String::as_str),
            };
            let name = name.unwrap_or("?");
            // What leads to the handler is the same for all.
            if matches!(frame, Frame::Host(_)) && leads_to_handlers(name) {
                names.truncate(outer_len);
                continue;
            }
            if name.starts_with("core::ops::function::") {
                continue;
            }
            // One image after the other without a name tells no more than one.
            if !name.starts_with('[') || names.last() != Some(&name) {
                names.push(name);
            }
            if !matches!(frame, Frame::Host(_)) {
                outer_len = names.len();
            }
        }
        let clean = |name: &&str| name.replace(|letter: char| letter == ';' || letter.is_whitespace(), "_");
        names.iter().map(clean).collect::<Vec<_>>().join(";")
    }
}

/// Whether a function is one that leads to every handler.
fn leads_to_handlers(name: &str) -> bool {
    const PLACES: [&str; 6] = [
        "task::run::",
        "task::lent::",
        "task::profiling::",
        "syscall::table::",
        "SystemCall<",
        "::HANDLERS::",
    ];
    PLACES.iter().any(|place| name.contains(place))
}

fn host_names(addresses: &BTreeSet<u64>, images: &dyn ImageSource) -> BTreeMap<u64, String> {
    let base = own_base();
    let places: Vec<u64> = addresses.iter().map(|address| address.wrapping_sub(base)).collect();
    let names = match images.open_own() {
        Some(file) if !places.is_empty() => symbols::names(file, &places, Origin::Image),
        _ => vec![None; places.len()],
    };
    let named = addresses.iter().zip(names);
    named.map(|(address, name)| (*address, name.unwrap_or_else(|| "[library]".to_owned()))).collect()
}

/// Where this program begins in memory.
fn own_base() -> u64 {
    unsafe extern "C" {
        /// The linker's name for the first byte of the program's headers.
        static __ehdr_start: u8;
    }
    (&raw const __ehdr_start) as u64
}
