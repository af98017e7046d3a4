use sentry::profile::data::{Call, Distribution, Event, Exit, Named, Point, Stack, Task, Times};

use super::*;

fn distribution() -> Distribution {
    Distribution {
        count: 3,
        total_ns: 4_000,
        p50_ns: 1_000,
        p90_ns: 2_000,
        p99_ns: 2_000,
        max_ns: 2_000,
        buckets: vec![(1_000, 2), (2_000, 1)],
    }
}

fn profile() -> Profile {
    let times = Times { handler: distribution(), user: distribution(), ..Times::default() };
    Profile {
        schema: SCHEMA,
        command: vec!["sh".into(), "-c".into(), "echo <&>".into()],
        duration_ns: 2_000_000,
        hz: 1000,
        calls: vec![Call {
            name: "read".into(),
            count: 3,
            by_exit: 2,
            times: times.clone(),
            ..Call::default()
        }],
        exits: vec![Exit { kind: "system call".into(), count: 2, times, ..Exit::default() }],
        host_calls: vec![Named { name: "ioctl(KVM_RUN)".into(), count: 5 }],
        tasks: vec![Task { tid: 1, pid: 1, name: "<b>sh".into(), ..Task::default() }],
        timeline: vec![Event { at_ns: 1, tid: 1, pid: 1, kind: "exec".into(), detail: "/bin/<sh>".into() }],
        interval_ns: 1_000_000,
        points: vec![
            Point { at_ns: 0, ..Point::default() },
            Point { at_ns: 1_000_000, user_ns: 500_000, memory_bytes: 3 << 20, tasks: 1, ..Point::default() },
        ],
        stacks: vec![
            Stack { frames: "sh;main;read".into(), cpu_ns: 1_500_000 },
            Stack { frames: "sh;main".into(), cpu_ns: 1 },
        ],
        ..Profile::default()
    }
}

#[test]
fn the_data_comes_back_as_it_was() {
    let bytes = Format::Json.render(&profile()).unwrap();
    assert_eq!(parse(&*bytes).unwrap(), profile());
    assert!(parse(&b"{}"[..]).is_err());
    let older = format!(r#"{{"schema":{SCHEMA},"calls":[{{"name":"read","count":3}}]}}"#);
    assert_eq!(
        (parse(older.as_bytes()).unwrap().calls[0].count, parse(older.as_bytes()).unwrap().hz),
        (3, 0)
    );
    let other = serde_json::to_vec(&Profile { schema: SCHEMA + 1, ..profile() }).unwrap();
    assert!(parse(&*other).unwrap_err().to_string().contains("schema"));
}

#[test]
fn a_name_says_what_a_file_holds() {
    let formats =
        ["p.json", "p.txt", "p.html", "p.svg", "p.folded"].map(|name| Format::of(Path::new(name)).unwrap());
    assert_eq!(formats, [Format::Json, Format::Text, Format::Html, Format::Svg, Format::Folded]);
    for name in ["p", "p.png", ".json", "p.JSON.gz"] {
        assert!(Format::of(Path::new(name)).is_err(), "{name}");
    }
}

#[test]
fn tables_have_a_row_for_each_call_and_exit() {
    let text = String::from_utf8(Format::Text.render(&profile()).unwrap()).unwrap();
    for wanted in ["read", "system call", "1.00 µs", "5 ioctl(KVM_RUN)", "3.0 MiB", "sh;main;read"] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
}

#[test]
fn folded_stacks_are_frames_and_microseconds() {
    let text = String::from_utf8(Format::Folded.render(&profile()).unwrap()).unwrap();
    assert_eq!(text, "sh;main;read 1500\nsh;main 1\n");
}

#[test]
fn a_page_stands_alone_and_what_a_guest_named_is_only_text() {
    let page = String::from_utf8(Format::Html.render(&profile()).unwrap()).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for id in ["calls", "exits", "flame", "timeline", "figures", "tasks"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for outside in ["<link", "src=\"http", "href=\"http", "@import", "<b>sh", "/bin/<sh>", "<&>"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_flame_graph_has_the_stacks_or_says_that_there_are_none() {
    let picture = String::from_utf8(Format::Svg.render(&profile()).unwrap()).unwrap();
    assert!(picture.contains("<svg") && picture.contains("main") && picture.contains("read"));
    let none = Format::Svg.render(&Profile { stacks: Vec::new(), ..profile() }).unwrap();
    assert!(String::from_utf8(none).unwrap().contains("No stacks"));
    Format::Html.render(&Profile { stacks: Vec::new(), ..profile() }).unwrap();
}

#[test]
fn times_have_three_digits_and_a_unit() {
    let shown = [0, 999, 1_000, 12_345, 999_999, 1_234_567, 61_000_000_000].map(shown_time);
    assert_eq!(shown, ["0 ns", "999 ns", "1.00 µs", "12.3 µs", "1000 µs", "1.23 ms", "61.0 s"]);
    assert_eq!([0, 2048, 5 << 20].map(shown_bytes), ["0 B", "2.0 KiB", "5.0 MiB"]);
}
