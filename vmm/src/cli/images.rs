//! `vmm images`: what is in the store.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use vmm::image::manage::{self, Details, Summary};
use vmm::image::{Commit, DEFAULT_LIMIT_BYTES, Request, commit};

use super::size;

/// How many digits of an id are shown.
const SHOWN_ID_LEN: usize = 19;

/// What is asked of the store.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Arguments {
    /// The store [default: palisade in the user's cache directory]
    #[arg(long, value_name = "DIRECTORY", global = true)]
    store: Option<PathBuf>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Action,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum Action {
    /// Tell which images there are, those used last first
    List,
    /// Unpack an image into the store, so that its first start need not
    PullIn {
        /// As for --image
        #[arg(value_name = "ARCHIVE")]
        archive: OsString,
        /// Most that it may unpack to, where each file counts for 8K besides its contents [default: 16G]
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        image_limit: Option<u64>,
    },
    /// Make an image of an image and a further layer, and print its id
    ///
    /// It is run as the image below it, by its name or by its id.
    Commit {
        /// The image below, as for --image
        #[arg(value_name = "IMAGE")]
        image: OsString,
        /// The archive of the layer, as --diff writes it, compressed or not; `-` is standard input
        #[arg(value_name = "LAYER")]
        layer: OsString,
        /// What it is to be called, as app:2
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Most that it may unpack to, where each file counts for 8K besides its contents [default: 16G]
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        image_limit: Option<u64>,
    },
    /// Tell how an image says that it is to be run
    Inspect {
        /// A name, or the beginning of an id
        #[arg(value_name = "NAME|ID")]
        image: String,
    },
    /// Remove images; sandboxes that run them go on
    Remove {
        /// Names, or beginnings of ids
        #[arg(value_name = "NAME|ID", required = true)]
        images: Vec<String>,
    },
    /// Remove images, those not used for longest first, and what was left behind
    Prune {
        /// How much the store may keep
        #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size::parse)]
        keep: u64,
    },
}

/// Does what is asked, and prints what comes of it.
///
/// # Errors
/// As the actions have them.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { store, json, action } = arguments;
    let directory = store.as_deref();
    match action {
        Action::List => print(json, &manage::list(directory)?, |images| list(images)),
        Action::PullIn { archive, image_limit } => {
            let limit_bytes = image_limit.unwrap_or(DEFAULT_LIMIT_BYTES);
            let pulled_in = manage::pull_in(&Request { image: archive, store, limit_bytes })?;
            print(json, &pulled_in, |image| format!("{}\n", image.id))
        }
        Action::Commit { image, layer, name, image_limit } => {
            let limit_bytes = image_limit.unwrap_or(DEFAULT_LIMIT_BYTES);
            let made = commit(&Commit { below: Request { image, store, limit_bytes }, layer, name })?;
            print(json, &made, |image| format!("{}\n", image.id))
        }
        Action::Inspect { image } => print(json, &manage::inspect(directory, &image)?, details),
        Action::Remove { images } => print(json, &manage::remove(directory, &images)?, |ids| lines(ids)),
        Action::Prune { keep } => print(json, &manage::prune(directory, keep)?, |ids| lines(ids)),
    }
}

fn print<T: Serialize>(as_json: bool, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    let output = if as_json { serde_json::to_string_pretty(value)? + "\n" } else { text(value) };
    Ok(std::io::stdout().write_all(output.as_bytes())?)
}

fn lines(ids: &[String]) -> String {
    ids.iter().map(|id| format!("sha256:{id}\n")).collect()
}

fn list(images: &[Summary]) -> String {
    let line = |image: &Summary| {
        let names = if image.names.is_empty() { "-".to_owned() } else { image.names.join(",") };
        let id = image.id.get(..SHOWN_ID_LEN).unwrap_or(&image.id);
        format!("{id}  {:>8}  {names}\n", size::format(image.size_bytes))
    };
    images.iter().map(line).collect()
}

fn details(image: &Details) -> String {
    let one = |value: &Option<String>| value.clone().unwrap_or_default();
    let words = |words: &Vec<String>| words.join(" ");
    [
        ("id", image.summary.id.clone()),
        ("names", words(&image.summary.names)),
        ("size", size::format(image.summary.size_bytes)),
        ("layers", words(&image.summary.layers)),
        ("entrypoint", words(&image.entrypoint)),
        ("command", words(&image.command)),
        ("environment", words(&image.environment)),
        ("working directory", one(&image.working_directory)),
        ("user", one(&image.user)),
        ("volumes", words(&image.volumes)),
        ("stop signal", one(&image.stop_signal)),
        ("exposed ports", words(&image.exposed_ports)),
    ]
    .iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| format!("{name:<18} {value}\n"))
    .collect()
}
