//! The flame graph: folded stacks, and the picture that inferno draws of them.

use std::fmt::Write;

use anyhow::Context;
use inferno::flamegraph::{self, Options, color};
use sentry::profile::data::Profile;

/// The picture of what used too little processor time for a sample.
const NO_STACKS: &str = "<?xml version=\"1.0\" standalone=\"no\"?>\n<svg version=\"1.1\" width=\"1180\" height=\"40\" \
    xmlns=\"http://www.w3.org/2000/svg\"><text x=\"10\" y=\"25\">No stacks: too little processor time was used.</text></svg>\n";

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
    if profile.stacks.is_empty() {
        return Ok(NO_STACKS.as_bytes().to_vec());
    }
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
