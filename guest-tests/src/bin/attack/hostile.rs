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
/// Children of a fuzzer, each of which lives for some 150 ms.
const CHILDREN: u64 = 12;
/// Streams of instructions.
const STREAMS: u64 = 80;
/// Mutated executables.
const EXECUTABLES: u64 = 60;

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
    pub(crate) fn choose(random: &mut Random) -> Self {
        match random.below(12) {
            0..6 => Self::Calls,
            6..8 => Self::Code,
            8..10 => Self::Executables,
            place => Self::Races(RACES[place as usize % RACES.len()]),
        }
    }

    /// The words that run it inside.
    pub(crate) fn words(self, seed: u64) -> Vec<String> {
        let words: Vec<String> = match self {
            Self::Calls => vec!["/syscall_fuzz".into(), seed.to_string(), CHILDREN.to_string(), "150".into()],
            Self::Code => vec!["/code_fuzz".into(), seed.to_string(), STREAMS.to_string()],
            Self::Executables => vec!["/executables".into()],
            Self::Races(program) => vec![format!("/{program}")],
        };
        [vec!["/canary".to_owned()], words].concat()
    }
}

/// Puts the programs into the image, and executables that `random` spoils.
///
/// # Errors
/// A program cannot be built, or a file not be written.
pub(crate) fn furnish(image: &Path, build_directory: &Path, random: &mut Random) -> Result<(), String> {
    let programs = discover()?;
    for name in PROGRAMS.into_iter().chain(RACES) {
        let program = programs.iter().find(|program| program.name() == name);
        let program = program.ok_or_else(|| format!("there is no program {name}"))?;
        let built = program.words(Path::new(""), build_directory)?;
        let built = built.first().ok_or_else(|| format!("{name} has no executable"))?;
        fs::copy(built, image.join(name)).map_err(|error| format!("copy {name}: {error}"))?;
    }
    for number in 0..EXECUTABLES {
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
