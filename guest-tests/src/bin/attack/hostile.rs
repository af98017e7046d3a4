//! The hostile guests: which program attacks, with what.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use guest_tests::elf::Executable;
use guest_tests::program::discover;

use crate::random::Random;

/// The programs that an image has, all linked statically.
const PROGRAMS: [&str; 3] = ["canary", "syscall_fuzz", "code_fuzz"];
/// Those that race.
const RACES: [&str; 3] = ["stale_translation", "memory_races", "mount_races"];
/// How much a guest does before it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Children of a fuzzer of calls.
    children: u64,
    /// How long each of them lives, in milliseconds; up to 50 more by chance.
    child_ms: u64,
    /// Streams of instructions.
    streams: u64,
    /// Mutated executables.
    executables: u64,
    /// Whether there are races, which take their time.
    has_races: bool,
}

impl Life {
    /// Some seconds.
    pub(crate) const LONG: Self =
        Self { children: 12, child_ms: 150, streams: 80, executables: 60, has_races: true };
    /// Some tenths of a second: where the number of sandboxes counts.
    pub(crate) const BRIEF: Self =
        Self { children: 2, child_ms: 60, streams: 8, executables: 8, has_races: false };
}

/// What a guest attacks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// System calls with arguments of the right kinds, from several threads, on memory that others take away.
    Calls,
    /// Random instructions.
    Code,
    /// ELF files with fields and bytes that make no sense.
    Executables,
    /// Page tables, mappings and mounts that change under those who use them.
    Races(&'static str),
}

impl Kind {
    /// One by chance; calls most often.
    pub(crate) fn choose(random: &mut Random, life: Life) -> Self {
        match random.below(if life.has_races { 12 } else { 10 }) {
            0..6 => Self::Calls,
            6..8 => Self::Code,
            8..10 => Self::Executables,
            place => Self::Races(RACES[place as usize % RACES.len()]),
        }
    }

    /// The words that run it inside.
    pub(crate) fn words(self, seed: u64, life: Life) -> Vec<String> {
        let (program, numbers) = match self {
            Self::Calls => ("syscall_fuzz", vec![seed, life.children, life.child_ms]),
            Self::Code => ("code_fuzz", vec![seed, life.streams]),
            Self::Executables => ("executables", Vec::new()),
            Self::Races(program) => (program, Vec::new()),
        };
        let numbers = numbers.iter().map(u64::to_string);
        ["/canary".to_owned(), format!("/{program}")].into_iter().chain(numbers).collect()
    }

    /// What it says that it has made, when it is done.
    pub(crate) fn makes(self) -> Option<&'static str> {
        match self {
            Self::Calls => Some("calls"),
            Self::Code => Some("streams"),
            Self::Executables | Self::Races(_) => None,
        }
    }
}

/// Puts the programs into the image, and executables that `random` spoils.
///
/// # Errors
/// A program cannot be built, or a file not be written.
pub(crate) fn furnish(
    image: &Path,
    build_directory: &Path,
    random: &mut Random,
    life: Life,
) -> Result<(), String> {
    let programs = discover()?;
    let races = if life.has_races { &RACES[..] } else { &[] };
    for name in PROGRAMS.iter().chain(races).copied() {
        let program = programs.iter().find(|program| program.name() == name);
        let program = program.ok_or_else(|| format!("there is no program {name}"))?;
        let built = program.words(Path::new(""), build_directory)?;
        let built = built.first().ok_or_else(|| format!("{name} has no executable"))?;
        fs::copy(built, image.join(name)).map_err(|error| format!("copy {name}: {error}"))?;
    }
    for number in 0..life.executables {
        let path = image.join("executables").join(number.to_string());
        let written = fs::write(&path, spoilt(random))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        written.map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// An executable with some fields that make no sense, and some bytes changed.
fn spoilt(random: &mut Random) -> Vec<u8> {
    let mut executable = match random.below(2) {
        0 => Executable::exits_42(),
        _ => Executable::with_interpreter("/executables/0"),
    };
    for _ in 0..random.below(4) {
        spoil_field(&mut executable, random);
    }
    let mut bytes = executable.encode();
    for _ in 0..random.below(8) {
        let place = random.below(bytes.len() as u64) as usize;
        if let Some(byte) = bytes.get_mut(place) {
            *byte = random.next() as u8;
        }
    }
    if random.below(4) == 0 {
        bytes.truncate(random.below(bytes.len() as u64) as usize);
    }
    bytes
}

fn spoil_field(executable: &mut Executable, random: &mut Random) {
    let number = random.edge();
    match random.below(5) {
        0 => executable.entry = Some(number),
        1 => executable.program_header_count = Some(number as u16),
        2 => executable.program_header_offset = number,
        3 => executable.program_header_length = number as u16,
        _ => {
            let extra = executable.segments.first().copied();
            executable.segments.extend(extra.filter(|_| random.below(3) == 0));
            let place = random.below(executable.segments.len() as u64) as usize;
            let Some(segment) = executable.segments.get_mut(place) else { return };
            match random.below(6) {
                0 => segment.offset = number,
                1 => segment.address = number,
                2 => segment.file_length = number,
                3 => segment.memory_length = number,
                4 => segment.alignment = number,
                _ => segment.kind = number as u32,
            }
        }
    }
}
