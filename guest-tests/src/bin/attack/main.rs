//! Sandboxes of hostile guests, one after the other, each watched from outside (`scripts/attack`).
//!
//! `attack [--minutes N] [--sandboxes N] [--seed S] [--patience SECONDS] [--life long|brief]`. A guest fuzzes system calls, instructions or
//! executables, or races against itself, beside a canary that must be served all the while. vmm may not crash, hang, grow, or
//! change or tell of a file around the image. The seed makes all that chance decides: what fails tells of the sandbox's own, which
//! `--sandboxes 1 --seed S` repeats, with the same `--life`. Guests of a brief life are for counting sandboxes.

mod honeypot;
mod hostile;
mod random;
mod watch;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use guest_tests::vmm;

use crate::honeypot::Honeypot;
use crate::hostile::{Kind, Life};
use crate::random::Random;
use crate::watch::{MEMORY_MIB, Outcome, Peaks};

/// What was asked for.
struct Arguments {
    duration: Duration,
    sandboxes: u64,
    seed: u64,
    patience: Duration,
    life: Life,
}

/// How often is told how far it is.
const NEWS: Duration = Duration::from_secs(300);

/// What has been done.
#[derive(Default)]
struct Count {
    sandboxes: BTreeMap<Kind, u64>,
    calls: u64,
    streams: u64,
    peaks: Peaks,
    failures: u64,
}

fn main() -> ExitCode {
    match parse().and_then(|arguments| attack(&arguments)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("attack: {message}");
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Arguments, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    let mut arguments = Arguments {
        duration: Duration::from_secs(120),
        sandboxes: u64::MAX,
        seed: now.as_secs(),
        patience: Duration::from_secs(1),
        life: Life::LONG,
    };
    let mut words = std::env::args().skip(1);
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} has no value"))?;
        let wrong = || format!("{option}: '{value}' is no number");
        let seconds = |unit: f64| {
            let number = value.parse::<f64>().map_err(|_| wrong())?;
            Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
        };
        match option.as_str() {
            "--minutes" => arguments.duration = seconds(60.0)?,
            "--patience" => arguments.patience = seconds(1.0)?,
            "--sandboxes" => arguments.sandboxes = value.parse().map_err(|_| wrong())?,
            "--seed" => arguments.seed = value.parse().map_err(|_| wrong())?,
            "--life" => {
                arguments.life = match value.as_str() {
                    "long" => Life::LONG,
                    "brief" => Life::BRIEF,
                    _ => return Err(format!("{option}: '{value}' is neither long nor brief")),
                }
            }
            _ => {
                let known = "--minutes, --sandboxes, --seed, --patience, --life";
                return Err(format!("{option} is no option: {known}"));
            }
        }
    }
    Ok(arguments)
}

/// Runs sandboxes until the time is over, and returns how many failed.
fn attack(arguments: &Arguments) -> Result<u64, String> {
    vmm::require_kvm()?;
    let (end, mut count) = (Instant::now() + arguments.duration, Count::default());
    let mut last_news = Instant::now();
    for number in 0..arguments.sandboxes {
        if Instant::now() >= end {
            break;
        }
        let seed = arguments.seed.wrapping_add(number);
        let (kind, outcome) = attack_once(seed, arguments)?;
        count.add(kind, &outcome);
        for failure in &outcome.failures {
            println!("seed {seed}, {kind:?}: {failure}\n{}", tail(&outcome.messages));
        }
        if last_news.elapsed() >= NEWS {
            println!("{}", count.describe(arguments.seed));
            last_news = Instant::now();
        }
    }
    println!("{}", count.describe(arguments.seed));
    Ok(count.failures)
}

fn attack_once(seed: u64, arguments: &Arguments) -> Result<(Kind, Outcome), String> {
    let (mut random, life) = (Random::new(seed), arguments.life);
    let kind = Kind::choose(&mut random, life);
    let told = |error: std::io::Error| format!("the honeypot: {error}");
    let honeypot = Honeypot::new(random.next()).map_err(told)?;
    let build_directory = vmm::profile_directory()?.join("guest-programs");
    hostile::furnish(&honeypot.image(), &build_directory, &mut random, life)?;
    let before = honeypot.look().map_err(told)?;

    let mut command = Command::new(vmm::binary()?);
    command.arg("--image").arg(honeypot.image()).arg("--memory").arg(format!("{MEMORY_MIB}M"));
    command.arg("--").args(kind.words(random.next() % 1_000_000, life));
    let mut outcome =
        watch::run(&mut command, arguments.patience).map_err(|error| format!("vmm: {error}"))?;

    let after = honeypot.look().map_err(told)?;
    let changed = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
    outcome.failures.extend(changed.map(|path| format!("{} has changed", path.display())));
    if outcome.messages.contains(honeypot.secret()) {
        outcome.failures.push("a file outside of the image was read".to_owned());
    }
    // A guest that has done nothing is no attack.
    if let Some(things) = kind.makes().filter(|things| made(&outcome.messages, things) == 0) {
        outcome.failures.push(format!("it made no {things}"));
    }
    Ok((kind, outcome))
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}

impl Count {
    fn add(&mut self, kind: Kind, outcome: &Outcome) {
        *self.sandboxes.entry(kind).or_default() += 1;
        self.calls += made(&outcome.messages, "calls");
        self.streams += made(&outcome.messages, "streams");
        self.peaks = self.peaks.max(outcome.peaks);
        self.failures += u64::from(!outcome.failures.is_empty());
    }

    fn describe(&self, seed: u64) -> String {
        let kinds: Vec<String> =
            self.sandboxes.iter().map(|(kind, count)| format!("{count} {kind:?}")).collect();
        let Peaks { silence, memory_mib, threads, descriptors } = self.peaks;
        format!(
            "seed {seed}: {} sandboxes ({}), {} system calls, {} streams of instructions; at most {:.2} s without service, \
             {memory_mib} MiB, {threads} threads, {descriptors} descriptors; {} failed",
            self.sandboxes.values().sum::<u64>(),
            kinds.join(", "),
            self.calls,
            self.streams,
            silence.as_secs_f64(),
            self.failures
        )
    }
}

/// The number that a fuzzer says that it made of `things`.
fn made(messages: &str, things: &str) -> u64 {
    let numbers = messages.lines().filter_map(|line| line.strip_prefix("made ")?.strip_suffix(things));
    numbers.filter_map(|number| number.trim().parse::<u64>().ok()).sum()
}
