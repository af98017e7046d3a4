//! Tables for a terminal.

use std::fmt::Write;

use sentry::profile::data::{Call, Distribution, Exit, Named, Profile, Task, Times};

use super::{shown_bytes, shown_time};

/// Tasks, and calls of each, that are told of.
const MAX_TASKS: usize = 20;
const MAX_CALLS_OF_TASK: usize = 5;
/// Stacks that are told of.
const MAX_STACKS: usize = 20;

/// All tables.
pub(super) fn render(profile: &Profile) -> String {
    let mut text = String::new();
    summary(&mut text, profile);
    calls(&mut text, &profile.calls);
    exits(&mut text, &profile.exits);
    tasks(&mut text, &profile.tasks);
    stacks(&mut text, profile);
    text
}

/// Writing to a string does not fail.
macro_rules! line {
    ($text:expr, $($format:tt)*) => { { let _ = writeln!($text, $($format)*); } };
}

fn summary(text: &mut String, profile: &Profile) {
    line!(text, "{}", profile.command.join(" "));
    let (calls, exits) = (sum(&profile.calls, |call| call.count), sum(&profile.exits, |exit| exit.count));
    line!(text, "{} in {calls} system calls and {exits} exits", shown_time(profile.duration_ns));
    let dispatch = &profile.dispatch;
    line!(
        text,
        "without an exit: {} calls served, {} handed back, {} unseen; {} of polling",
        dispatch.served,
        dispatch.handed_back,
        dispatch.unseen,
        shown_time(dispatch.polling_ns)
    );
    if let Some(point) = profile.points.iter().max_by_key(|point| point.memory_bytes) {
        line!(text, "at most {} of guest memory", shown_bytes(point.memory_bytes));
    }
    line!(text, "calls of the host: {}", listed(&profile.host_calls));
    let lost = &profile.lost;
    if lost.tasks + lost.events + lost.samples > 0 {
        let (tasks, events, samples) = (lost.tasks, lost.events, lost.samples);
        line!(text, "without room: {tasks} tasks, {events} events, {samples} samples");
    }
}

fn calls(text: &mut String, calls: &[Call]) {
    line!(text, "\nSYSTEM CALLS");
    line!(
        text,
        "{:<20} {:>9} {:>7} {:>9} {:>10} {:>9}  {}",
        "NAME",
        "COUNT",
        "ERRORS",
        "EXIT",
        "DISPATCHER",
        "PAGE",
        times_heading()
    );
    for call in calls {
        let Call { name, count, errors, by_exit, by_dispatcher, by_page, times, .. } = call;
        let served = format!("{by_exit:>9} {by_dispatcher:>10} {by_page:>9}");
        line!(text, "{name:<20} {count:>9} {errors:>7} {served}  {}", times_row(times));
    }
}

fn exits(text: &mut String, exits: &[Exit]) {
    line!(text, "\nEXITS");
    line!(text, "{:<30} {:>9} {:>28}  {}", "KIND", "COUNT", "", times_heading());
    for Exit { kind, count, times, .. } in exits {
        line!(text, "{kind:<30} {count:>9} {:>28}  {}", "", times_row(times));
    }
}

fn times_heading() -> String {
    let columns = ["USER", "CROSSING", "HANDLER", "p50", "p90", "p99", "max", "ASLEEP"];
    columns.map(|column| format!("{column:>9}")).join(" ")
}

/// Sums of the parts, and how the handler's time was distributed.
fn times_row(times: &Times) -> String {
    let Distribution { total_ns, p50_ns, p90_ns, p99_ns, max_ns, .. } = times.handler;
    let parts = [times.user.total_ns, times.crossing.total_ns, total_ns, p50_ns, p90_ns, p99_ns, max_ns];
    let last = [times.asleep.total_ns];
    parts.iter().chain(&last).map(|time| format!("{:>9}", shown_time(*time))).collect::<Vec<_>>().join(" ")
}

fn tasks(text: &mut String, tasks: &[Task]) {
    line!(text, "\nTASKS");
    line!(
        text,
        "{:>7} {:>7} {:<16} {:>9} {:>9} {:>9} {:>9}  CALLS",
        "TID",
        "PID",
        "NAME",
        "USER",
        "CROSSING",
        "HANDLER",
        "ASLEEP"
    );
    for task in tasks.iter().take(MAX_TASKS) {
        let Task { tid, pid, name, times, calls, .. } = task;
        let most: Vec<_> = calls
            .iter()
            .take(MAX_CALLS_OF_TASK)
            .map(|call| Named { name: call.name.clone(), count: call.count })
            .collect();
        let parts = [times.user_ns, times.crossing_ns, times.handler_ns, times.asleep_ns];
        let parts = parts.map(|time| format!("{:>9}", shown_time(time))).join(" ");
        line!(text, "{tid:>7} {pid:>7} {name:<16} {parts}  {}", listed(&most));
    }
    if let Some(more) = tasks.len().checked_sub(MAX_TASKS).filter(|more| *more > 0) {
        line!(text, "and {more} more");
    }
}

fn stacks(text: &mut String, profile: &Profile) {
    let mut stacks: Vec<_> = profile.stacks.iter().collect();
    stacks.sort_by_key(|stack| std::cmp::Reverse(stack.cpu_ns));
    line!(text, "\nSTACKS");
    for stack in stacks.into_iter().take(MAX_STACKS) {
        line!(text, "{:>9}  {}", shown_time(stack.cpu_ns), stack.frames);
    }
}

pub(super) fn listed(counts: &[Named]) -> String {
    match counts {
        [] => "none".to_owned(),
        counts => {
            let texts: Vec<_> = counts.iter().map(|call| format!("{} {}", call.count, call.name)).collect();
            texts.join(", ")
        }
    }
}

pub(super) fn sum<T>(rows: &[T], count: impl Fn(&T) -> u64) -> u64 {
    rows.iter().fold(0, |sum, row| sum.saturating_add(count(row)))
}
