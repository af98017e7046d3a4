//! A page that stands alone: no script but the flame graph's own, no picture and no style from elsewhere.

use std::fmt::Write;

use sentry::profile::data::{Call, Distribution, Exit, Profile, Task, Times};

use super::html_time_line::{figures, time_line};
use super::text::{listed, sum};
use super::{flame, shown_time};

const STYLE: &str = "\
body{font:14px/1.4 sans-serif;margin:2em;color:#222}h1{font-size:1.3em}h2{font-size:1.1em;margin-top:2em}
table{border-collapse:collapse}th,td{padding:.15em .6em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left}td.text{white-space:normal;min-width:12em}
svg.histogram{vertical-align:middle}iframe.flame{width:1220px;border:0}p.note{color:#666}";

/// Columns of a histogram: one for each power of two of nanoseconds.
const COLUMNS: usize = 40;
const HISTOGRAM_HEIGHT: f64 = 18.0;

/// Writing to a string does not fail.
macro_rules! add {
    ($text:expr, $($format:tt)*) => { { let _ = write!($text, $($format)*); } };
}
pub(super) use add;

/// The page.
///
/// # Errors
/// The flame graph cannot be drawn.
pub(super) fn render(profile: &Profile) -> anyhow::Result<String> {
    let command = escape(&profile.command.join(" "));
    let mut page = String::new();
    add!(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{command}</title>");
    add!(page, "<style>{STYLE}</style></head>\n<body><h1>{command}</h1>\n");
    summary(&mut page, profile);
    section(&mut page, "calls", "System calls", &calls(&profile.calls));
    section(&mut page, "exits", "Exits", &exits(&profile.exits));
    section(&mut page, "flame", "Flame graph", &flame_graph(profile)?);
    section(&mut page, "timeline", "Time line", &time_line(profile));
    section(&mut page, "figures", "Processor time and memory", &figures(profile));
    section(&mut page, "tasks", "Tasks", &tasks(&profile.tasks));
    page += "</body></html>\n";
    Ok(page)
}

fn section(page: &mut String, id: &str, heading: &str, content: &str) {
    add!(page, "<section id=\"{id}\"><h2>{heading}</h2>\n{content}</section>\n");
}

fn summary(page: &mut String, profile: &Profile) {
    let (calls, exits) = (sum(&profile.calls, |call| call.count), sum(&profile.exits, |exit| exit.count));
    let (dispatch, lost) = (&profile.dispatch, &profile.lost);
    add!(page, "<p>{}, {calls} system calls, {exits} exits. ", shown_time(profile.duration_ns));
    add!(page, "Without an exit: {} calls served, {} handed back, ", dispatch.served, dispatch.handed_back);
    add!(page, "{} unseen, with {} of polling.</p>\n", dispatch.unseen, shown_time(dispatch.polling_ns));
    add!(page, "<p>Calls of the host: {}.</p>\n", escape(&listed(&profile.host_calls)));
    if lost.tasks + lost.events + lost.samples > 0 {
        add!(page, "<p>Without room: {} tasks, {} events, ", lost.tasks, lost.events);
        add!(page, "{} samples.</p>\n", lost.samples);
    }
    *page += "<p class=\"note\">Sums and, of the handler, percentiles. User code: until the call. Crossing: the way out and back, \
              by the least that it ever took. Asleep: waiting, for a processor too.</p>\n";
}

const TIMES_HEADING: &str = "<th>user</th><th>crossing</th><th>handler</th><th>p50</th><th>p90</th><th>p99</th><th>max</th>\
                             <th>asleep</th><th class=\"text\">handler, 1 ns to 9 min</th>";

fn times(times: &Times) -> String {
    let handler = &times.handler;
    let sums = [times.user.total_ns, times.crossing.total_ns, handler.total_ns];
    let percentiles = [handler.p50_ns, handler.p90_ns, handler.p99_ns, handler.max_ns, times.asleep.total_ns];
    let cells = sums.iter().chain(&percentiles).map(|time| format!("<td>{}</td>", shown_time(*time)));
    cells.collect::<String>() + &format!("<td class=\"text\">{}</td>", histogram(handler))
}

fn calls(calls: &[Call]) -> String {
    let mut text = format!(
        "<table><tr><th>call</th><th>count</th><th>errors</th><th>by exit</th><th>by dispatcher</th><th>handed back</th><th>by page</th>{TIMES_HEADING}\
         <th class=\"text\">calls of the host</th></tr>\n"
    );
    for call in calls {
        let Call { name, count, errors, by_exit, by_dispatcher, by_page, handed_back, .. } = call;
        add!(text, "<tr><td>{}</td><td>{count}</td><td>{errors}</td><td>{by_exit}</td>", escape(name));
        add!(text, "<td>{by_dispatcher}</td><td>{handed_back}</td><td>{by_page}</td>{}", times(&call.times));
        add!(text, "<td class=\"text\">{}</td></tr>\n", escape(&listed(&call.host_calls)));
    }
    text + "</table>\n"
}

fn exits(exits: &[Exit]) -> String {
    let mut text = format!(
        "<table><tr><th>kind</th><th>count</th>{TIMES_HEADING}<th class=\"text\">calls of the host</th></tr>\n"
    );
    for exit in exits {
        add!(text, "<tr><td>{}</td><td>{}</td>{}", escape(&exit.kind), exit.count, times(&exit.times));
        add!(text, "<td class=\"text\">{}</td></tr>\n", escape(&listed(&exit.host_calls)));
    }
    text + "</table>\n"
}

fn tasks(tasks: &[Task]) -> String {
    let mut text = "<table><tr><th>tid</th><th>pid</th><th class=\"text\">name</th><th>from</th><th>until</th><th>user</th>\
                    <th>crossing</th><th>handler</th><th>asleep</th><th class=\"text\">calls</th></tr>\n"
        .to_owned();
    for task in tasks {
        let Task { tid, pid, name, started_ns, ended_ns, times, calls, .. } = task;
        let until = ended_ns.map_or_else(|| "–".to_owned(), shown_time);
        let calls: Vec<_> = calls.iter().map(|call| format!("{} {}", call.count, call.name)).collect();
        add!(text, "<tr><td>{tid}</td><td>{pid}</td><td class=\"text\">{}</td>", escape(name));
        add!(text, "<td>{}</td><td>{until}</td>", shown_time(*started_ns));
        for time in [times.user_ns, times.crossing_ns, times.handler_ns, times.asleep_ns] {
            add!(text, "<td>{}</td>", shown_time(time));
        }
        add!(text, "<td class=\"text\">{}</td></tr>\n", escape(&calls.join(", ")));
    }
    text + "</table>\n"
}

fn flame_graph(profile: &Profile) -> anyhow::Result<String> {
    let picture = String::from_utf8(flame::picture(profile)?)?;
    let height = picture.split("height=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("600");
    // Its script and style are for a document of its own.
    Ok(format!("<iframe class=\"flame\" height=\"{height}\" srcdoc=\"{}\"></iframe>\n", escape(&picture)))
}

/// How a time was distributed: a column for each power of two, as high as the root of its share.
fn histogram(times: &Distribution) -> String {
    let mut columns = [0_u64; COLUMNS];
    for (time_ns, count) in &times.buckets {
        let index = time_ns.max(&1).ilog2() as usize;
        if let Some(column) = columns.get_mut(index.min(COLUMNS - 1)) {
            *column = column.saturating_add(*count);
        }
    }
    let most = columns.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut text = format!(
        "<svg class=\"histogram\" width=\"{}\" height=\"{HISTOGRAM_HEIGHT}\"><g fill=\"#48a\">",
        COLUMNS * 4
    );
    for (index, count) in columns.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        let height = (count as f64 / most).sqrt() * HISTOGRAM_HEIGHT;
        let (x, y) = (index * 4, HISTOGRAM_HEIGHT - height);
        let from = shown_time(1 << index);
        add!(text, "<rect x=\"{x}\" y=\"{y:.1}\" width=\"3\" height=\"{height:.1}\">");
        add!(text, "<title>{count} from {from}</title></rect>");
    }
    text + "</g></svg>"
}

/// Text, as it is written into a page.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            letter if letter.is_control() && !matches!(letter, '\n' | '\t') => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
