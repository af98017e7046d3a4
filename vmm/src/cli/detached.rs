//! `--detach`: a sandbox that runs on its own.

use std::io::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use vmm::image::OpenImage;
use vmm::keeper::{KeepingChoice, detach};
use vmm::records::{Kept, Records};
use vmm::{Custody, Description, Failure};

use super::size;

/// The options of a sandbox that runs on its own.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct DetachArguments {
    /// Have the sandbox run on its own, and print its name once the program runs; see `vmm ps`, `logs`, `wait` and `rm`
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,

    /// Keep nothing of a detached sandbox when it has ended
    #[arg(long)]
    rm: bool,

    /// Most that is kept of what a detached sandbox writes: beyond it the older half goes
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size::parse)]
    log_limit: u64,
}

impl DetachArguments {
    /// Starts the sandbox, and prints its name.
    ///
    /// # Errors
    /// There is one of that name, or what keeps the program from running.
    pub(crate) fn run(
        &self,
        mut description: Description,
        opened: OpenImage,
        custody: Custody,
    ) -> Result<u8, Failure> {
        let name = match &description.name {
            Some(name) => name.clone(),
            None => new_name()?,
        };
        description.name = Some(name.clone());
        let words = description.command.iter().map(|word| String::from_utf8_lossy(&word.0).into_owned());
        let kept = Kept {
            name: name.clone(),
            image: custody.image_name.clone(),
            command: words.collect(),
            started_at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        let (record, keeping) = Records::of_caller()?.create(&kept)?;
        let choice = KeepingChoice {
            has_input: custody.has_input,
            log_limit_bytes: self.log_limit,
            removes_record: self.rm,
        };
        let run = |started| {
            let started: Option<Arc<_>> = Some(started);
            vmm::run(description, opened.image, Custody { started, has_input: true, ..custody })
        };
        detach(record, keeping, choice, run)?;
        // Somebody may have stopped to read.
        let _ = writeln!(std::io::stdout(), "{name}");
        Ok(0)
    }
}

/// A name that no other sandbox has.
fn new_name() -> anyhow::Result<String> {
    let mut bytes = [0; 6];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    // What is all digits would be a process's number.
    Ok(bytes.iter().fold("s".to_owned(), |name, byte| format!("{name}{byte:02x}")))
}
