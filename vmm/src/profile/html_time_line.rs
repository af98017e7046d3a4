//! Pictures with time from left to right: tasks, processor time, memory.

use std::fmt::Write;

use sentry::profile::data::{Event, Profile, Task};

use super::html::{add, escape};
use super::{shown_bytes, shown_time};

const WIDTH: f64 = 1100.0;
const ROW: f64 = 16.0;
const HEIGHT: f64 = 120.0;
/// Tasks that are drawn.
const MAX_ROWS: usize = 200;

/// A row for each task, with a mark for each program that it begins.
pub(super) fn time_line(profile: &Profile) -> String {
    let scale = Scale::of(profile);
    let rows: Vec<&Task> = profile.tasks.iter().filter(|task| task.tid != 0).take(MAX_ROWS).collect();
    let height = ROW * rows.len() as f64 + ROW;
    let mut text =
        format!("<svg class=\"timeline\" width=\"{WIDTH}\" height=\"{height}\" font-size=\"11\">\n");
    for (index, task) in rows.iter().enumerate() {
        let y = ROW * index as f64;
        let (from, until) = (task.started_ns, task.ended_ns.unwrap_or(profile.duration_ns));
        let (x, width) = (scale.x(from), (scale.x(until) - scale.x(from)).max(1.0));
        let name = escape(&task.name);
        add!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"#9cc\">",
            ROW - 2.0
        );
        add!(
            text,
            "<title>{name} {}: {} to {}</title></rect>",
            task.tid,
            shown_time(from),
            shown_time(until)
        );
        for event in events_of(profile, task) {
            let x = scale.x(event.at_ns);
            add!(
                text,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y}\" y2=\"{}\" stroke=\"#a33\">",
                y + ROW - 2.0
            );
            add!(text, "<title>{} {}</title></line>", event.kind, escape(&event.detail));
        }
        add!(text, "<text x=\"{:.1}\" y=\"{}\">{} {name}</text>\n", x + 3.0, y + ROW - 5.0, task.tid);
    }
    text += "</svg>\n";
    if profile.tasks.len() > MAX_ROWS {
        add!(text, "<p>The first {MAX_ROWS} of {} tasks.</p>\n", profile.tasks.len());
    }
    text
}

fn events_of<'a>(profile: &'a Profile, task: &'a Task) -> impl Iterator<Item = &'a Event> {
    profile.timeline.iter().filter(|event| event.tid == task.tid && event.kind == "exec")
}

/// Processor time a second and guest memory, over time.
pub(super) fn figures(profile: &Profile) -> String {
    let scale = Scale::of(profile);
    let loads: Vec<(f64, f64)> = profile
        .points
        .windows(2)
        .filter_map(|pair| {
            let [before, after] = pair else { return None };
            let used = (after.user_ns + after.system_ns).saturating_sub(before.user_ns + before.system_ns);
            let time = after.at_ns.saturating_sub(before.at_ns).max(1);
            Some((scale.x(after.at_ns), used as f64 / time as f64))
        })
        .collect();
    let memory: Vec<(f64, f64)> =
        profile.points.iter().map(|point| (scale.x(point.at_ns), point.memory_bytes as f64)).collect();
    let most = |points: &[(f64, f64)]| points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let (load, bytes) = (most(&loads), most(&memory));
    format!(
        "<p>Processors in use, at most {load:.2}.</p>\n{}<p>Guest memory, at most {}.</p>\n{}",
        curve(&loads, load),
        shown_bytes(bytes as u64),
        curve(&memory, bytes)
    )
}

fn curve(points: &[(f64, f64)], most: f64) -> String {
    let y = |value: f64| HEIGHT - value / most.max(f64::MIN_POSITIVE) * (HEIGHT - 4.0);
    let places: Vec<String> = points.iter().map(|(x, value)| format!("{x:.1},{:.1}", y(*value))).collect();
    format!(
        "<svg class=\"curve\" width=\"{WIDTH}\" height=\"{HEIGHT}\"><polyline fill=\"none\" stroke=\"#48a\" points=\"{}\"/></svg>\n",
        places.join(" ")
    )
}

/// Where a moment lies.
struct Scale(f64);

impl Scale {
    fn of(profile: &Profile) -> Self {
        Self(WIDTH / profile.duration_ns.max(1) as f64)
    }

    fn x(&self, at_ns: u64) -> f64 {
        at_ns as f64 * self.0
    }
}
