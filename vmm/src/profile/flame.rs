//! The flame graph: folded stacks, and the picture that inferno draws of them.

use std::fmt::Write;

use anyhow::{Context, ensure};
use inferno::flamegraph::{self, Options, color};
use sentry::profile::data::Profile;

/// A line for each stack: its frames from the outermost on, `;` between, and microseconds of processor time.
pub(super) fn folded(profile: &Profile) -> String {
    let mut text = String::new();
    for stack in &profile.stacks {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {}", stack.frames, stack.cpu_ns.div_ceil(1000));
    }
    text
}

/// The picture, an SVG file in which a click on a frame makes it wider.
pub(super) fn picture(profile: &Profile) -> anyhow::Result<Vec<u8>> {
    ensure!(!profile.stacks.is_empty(), "there are no stacks to draw: it used too little processor time");
    let mut options = Options::default();
    options.title = profile.command.first().map_or_else(|| "vmm".to_owned(), |_| profile.command.join(" "));
    options.subtitle = Some("processor time of guest and sentry".to_owned());
    options.count_name = "µs".to_owned();
    options.colors = color::Palette::Basic(color::BasicPalette::Aqua);
    options.deterministic = true;
    options.image_width = Some(1180);
    // What would be narrower than a point is not drawn.
    options.min_width = 0.1;
    let folded = folded(profile);
    let mut picture = Vec::new();
    flamegraph::from_lines(&mut options, folded.lines(), &mut picture).context("draw the flame graph")?;
    Ok(picture)
}
