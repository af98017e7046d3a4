//! Random operations on address spaces, held against a simple model after each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use linux_raw_sys::general as uapi;
use proptest::prelude::*;
use vm_memory::VolatileSlice;

use super::*;
use crate::Errno;
use crate::pace::Unhurried;
use crate::platform::fake::FakePlatform;
use crate::platform::{Access, PAGE_SIZE, Platform, VirtualAddress};

/// Where everything happens: across the border of a large page.
const ARENA: u64 = (2 << 20) * 9 - 20 * PAGE_SIZE;
const ARENA_PAGES: u64 = 48;
const FILE_PAGES: u64 = 20;
const MAX_PROCESSES: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Map { page: u64, len: u64, protection: u8, what: What },
    Unmap { page: u64, len: u64 },
    Protect { page: u64, len: u64, protection: u8 },
    Move { page: u64, len: u64, to: u64, new_len: u64, keep: bool },
    Forget { page: u64, len: u64 },
    Write { page: u64, by_sentry: bool },
    Read { page: u64, by_sentry: bool },
    Execute { page: u64 },
    Force { page: u64 },
    Fork { max_copied_pages: usize },
    Exit,
    Truncate { pages: u64 },
    LoseTables,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Anonymous,
    Shared,
    PrivateFile { first: u64 },
    SharedFile { first: u64 },
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let page = || 0..ARENA_PAGES;
    let len = || 1..12u64;
    let what = prop_oneof![
        3 => Just(What::Anonymous),
        1 => Just(What::Shared),
        1 => (0..FILE_PAGES).prop_map(|first| What::PrivateFile { first }),
        1 => (0..FILE_PAGES).prop_map(|first| What::SharedFile { first }),
    ];
    let step = prop_oneof![
        4 => (page(), len(), 0..8u8, what)
            .prop_map(|(page, len, protection, what)| Step::Map { page, len, protection, what }),
        2 => (page(), len()).prop_map(|(page, len)| Step::Unmap { page, len }),
        3 => (page(), len(), 0..8u8)
            .prop_map(|(page, len, protection)| Step::Protect { page, len, protection }),
        2 => (page(), len(), page(), len(), any::<bool>())
            .prop_map(|(page, len, to, new_len, keep)| Step::Move { page, len, to, new_len, keep }),
        1 => (page(), len()).prop_map(|(page, len)| Step::Forget { page, len }),
        8 => (page(), any::<bool>()).prop_map(|(page, by_sentry)| Step::Write { page, by_sentry }),
        4 => (page(), any::<bool>()).prop_map(|(page, by_sentry)| Step::Read { page, by_sentry }),
        1 => page().prop_map(|page| Step::Execute { page }),
        1 => page().prop_map(|page| Step::Force { page }),
        2 => (0..20usize).prop_map(|max_copied_pages| Step::Fork { max_copied_pages }),
        1 => Just(Step::Exit),
        1 => (0..=FILE_PAGES).prop_map(|pages| Step::Truncate { pages }),
        1 => Just(Step::LoseTables),
    ];
    proptest::collection::vec((0..MAX_PROCESSES, step), 1..80)
}

/// The file that is mapped privately never changes: whether its changes show through is not specified.
struct Numbered;

impl PageSource for Numbered {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        for index in 0..destination.len() as u64 / PAGE_SIZE {
            let word = file_word(offset / PAGE_SIZE + index);
            let page = destination.subslice((index * PAGE_SIZE) as usize, 8).unwrap();
            page.copy_from(&word.to_ne_bytes());
        }
        Ok(())
    }
}

fn file_word(index: u64) -> u64 {
    0xf11e_0000 + index
}

/// The first word of each page of an object that is shared.
type SharedWords = BTreeMap<(usize, u64), u64>;

#[derive(Clone, Debug)]
struct ModelPage {
    protection: Access,
    contents: ModelContents,
}

#[derive(Clone, Copy, Debug)]
enum ModelContents {
    /// A page of its own, and what it would be again if it were forgotten.
    Private { word: u64, origin: u64 },
    /// A page of a shared object.
    Shared { object: usize, index: u64 },
}

type ModelSpace = BTreeMap<u64, ModelPage>;

struct World {
    platform: Arc<dyn Platform>,
    frames: Arc<FrameAllocator>,
    private_file: Arc<PageCache>,
    /// Object 0 of the model.
    shared_file: Arc<PageCache>,
    shared_file_pages: u64,
    shared: SharedWords,
    objects: usize,
    spaces: Vec<(Arc<MemoryManager>, ModelSpace)>,
    next_word: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Word(u64),
    Fault(FaultError),
}

impl World {
    fn new() -> Self {
        let platform: Arc<dyn Platform> = FakePlatform::new(32 << 20).unwrap();
        let frames = FrameAllocator::new(&platform, 32 << 20);
        let size = FILE_PAGES * PAGE_SIZE;
        let private_file = PageCache::new(&frames, Some(Box::new(Numbered)), size);
        let shared_file = PageCache::new(&frames, Some(Box::new(Numbered)), size);
        let first = (MemoryManager::new(&platform, &frames).unwrap(), ModelSpace::new());
        let shared = (0..FILE_PAGES).map(|index| ((0, index), file_word(index))).collect();
        Self {
            platform,
            frames,
            private_file,
            shared_file,
            shared_file_pages: FILE_PAGES,
            shared,
            objects: 1,
            spaces: vec![first],
            next_word: 1,
        }
    }

    fn apply(&mut self, process: usize, step: &Step) {
        let process = process % self.spaces.len();
        match *step {
            Step::Map { page, len, protection, what } => self.map(process, page, len, protection, what),
            Step::Unmap { page, len } => {
                let (memory, model) = &mut self.spaces[process];
                memory.munmap(at(page), len * PAGE_SIZE, &Unhurried).unwrap();
                model.retain(|&mapped, _| !(page..page + len).contains(&mapped));
            }
            Step::Protect { page, len, protection } => self.protect(process, page, len, protection),
            Step::Move { page, len, to, new_len, keep } => {
                self.relocate(process, page, len, to, new_len, keep);
            }
            Step::Forget { page, len } => self.forget(process, page, len),
            Step::Write { page, by_sentry } => self.write(process, page, by_sentry),
            Step::Read { page, by_sentry } => self.read(process, page, by_sentry),
            Step::Execute { page } => {
                let outcome = guest_touch(self, process, page, Access::EXECUTE).map(drop);
                let expected = match self.expect(process, page, Access::EXECUTE) {
                    Expected::Word(_) => Ok(()),
                    Expected::Fault(error) => Err(error),
                };
                assert_eq!(outcome, expected);
            }
            Step::Force { page } => self.force(process, page),
            Step::Fork { max_copied_pages } if self.spaces.len() < MAX_PROCESSES => {
                let (memory, model) = &self.spaces[process];
                let child =
                    (memory.fork_copying(max_copied_pages, &Unhurried).unwrap().unwrap(), model.clone());
                self.spaces.push(child);
            }
            Step::Exit if self.spaces.len() > 1 => drop(self.spaces.swap_remove(process)),
            Step::Fork { .. } | Step::Exit => {}
            Step::Truncate { pages } => {
                self.shared_file.resize(pages * PAGE_SIZE, &Unhurried).unwrap();
                self.shared.extend((pages..FILE_PAGES).map(|index| ((0, index), 0)));
                self.shared_file_pages = pages;
            }
            Step::LoseTables => self.spaces[process].0.address_space().clear(),
        }
    }

    fn map(&mut self, process: usize, page: u64, len: u64, protection: u8, what: What) {
        let protection = Access::from_bits_truncate(protection);
        let file = |cache: &Arc<PageCache>, first: u64| Backing::File {
            cache: cache.clone(),
            offset: first * PAGE_SIZE,
            file: None,
            max_protection: Access::all(),
        };
        let (kind, backing) = match what {
            What::Anonymous => (MapFlags::PRIVATE, Backing::Anonymous),
            What::Shared => (MapFlags::SHARED, Backing::Anonymous),
            What::PrivateFile { first } => (MapFlags::PRIVATE, file(&self.private_file, first)),
            What::SharedFile { first } => (MapFlags::SHARED, file(&self.shared_file, first)),
        };
        let (memory, model) = &mut self.spaces[process];
        let (address, flags) = (at(page), kind | MapFlags::FIXED);
        let request = MapRequest { address, len_bytes: len * PAGE_SIZE, protection, flags, backing };
        assert_eq!(memory.mmap(request, &Unhurried), Ok(address));
        let object = self.objects;
        if matches!(what, What::Shared) {
            self.objects += 1;
            self.shared.extend((0..len).map(|index| ((object, index), 0)));
        }
        for index in 0..len {
            let contents = match what {
                What::Anonymous => ModelContents::Private { word: 0, origin: 0 },
                What::Shared => ModelContents::Shared { object, index },
                What::SharedFile { first } => ModelContents::Shared { object: 0, index: first + index },
                What::PrivateFile { first } => {
                    let word = if first + index < FILE_PAGES { file_word(first + index) } else { u64::MAX };
                    ModelContents::Private { word, origin: word }
                }
            };
            model.insert(page + index, ModelPage { protection, contents });
        }
    }

    fn protect(&mut self, process: usize, page: u64, len: u64, protection: u8) {
        let protection = Access::from_bits_truncate(protection);
        let (memory, model) = &mut self.spaces[process];
        let covered = (page..page + len).take_while(|page| model.contains_key(page)).count() as u64;
        let expected = if covered == len { Ok(()) } else { Err(Errno::ENOMEM) };
        assert_eq!(memory.mprotect(at(page), len * PAGE_SIZE, protection), expected);
        for page in page..page + covered {
            model.get_mut(&page).unwrap().protection = protection;
        }
    }

    fn forget(&mut self, process: usize, page: u64, len: u64) {
        let (memory, model) = &mut self.spaces[process];
        let is_whole = (page..page + len).all(|page| model.contains_key(&page));
        let outcome = memory.madvise(at(page), len * PAGE_SIZE, uapi::MADV_DONTNEED, &Unhurried);
        assert_eq!(outcome, if is_whole { Ok(()) } else { Err(Errno::ENOMEM) });
        for (_, page) in model.range_mut(page..page + len) {
            if let ModelContents::Private { word, origin } = &mut page.contents {
                *word = *origin;
            }
        }
    }

    fn relocate(&mut self, process: usize, page: u64, len: u64, to: u64, new_len: u64, keep: bool) {
        let (memory, model) = &mut self.spaces[process];
        let mut flags = RemapFlags::MAYMOVE | RemapFlags::FIXED;
        flags.set(RemapFlags::DONTUNMAP, keep);
        let kept = page + len.min(new_len);
        let is_apart = page + len <= to || to + new_len <= page;
        let is_one = memory
            .mappings()
            .iter()
            .any(|mapping| mapping.range.contains(at(page)) && mapping.range.end >= at(kept));
        let outcome =
            memory.mremap(at(page), len * PAGE_SIZE, new_len * PAGE_SIZE, flags, at(to), &Unhurried);
        if !is_apart || !is_one || keep && len != new_len {
            assert!(outcome.is_err());
            return;
        }
        assert_eq!(outcome, Ok(at(to)));
        let taken: Vec<_> = (page..page + len).filter_map(|page| model.get(&page).cloned()).collect();
        for index in 0..new_len.max(len) {
            if keep {
                if let Some(ModelPage { contents: ModelContents::Private { word, origin }, .. }) =
                    model.get_mut(&(page + index)).filter(|_| index < len)
                {
                    *word = *origin;
                }
            } else if index < len {
                model.remove(&(page + index));
            }
        }
        for index in 0..new_len {
            let mut moved = taken[0].clone();
            if let Some(same) = taken.get(index as usize) {
                moved = same.clone();
            } else {
                moved.contents = match taken[0].contents {
                    ModelContents::Private { origin, .. } => {
                        let word = match origin {
                            0 => 0,
                            u64::MAX => u64::MAX,
                            first if first + index < file_word(FILE_PAGES) => first + index,
                            _ => u64::MAX,
                        };
                        ModelContents::Private { word, origin: word }
                    }
                    ModelContents::Shared { object, index: first } => {
                        ModelContents::Shared { object, index: first + index }
                    }
                };
            }
            model.insert(to + index, moved);
        }
    }

    /// What a touch of `page` gives.
    fn expect(&self, process: usize, page: u64, access: Access) -> Expected {
        let Some(mapped) = self.spaces[process].1.get(&page) else {
            return Expected::Fault(FaultError::Unmapped);
        };
        let is_allowed = match access {
            Access::READ => !mapped.protection.is_empty(),
            access => mapped.protection.contains(access),
        };
        if !is_allowed {
            return Expected::Fault(FaultError::Denied);
        }
        match self.word(mapped) {
            Some(word) => Expected::Word(word),
            None => Expected::Fault(FaultError::PastEnd),
        }
    }

    fn word(&self, page: &ModelPage) -> Option<u64> {
        match page.contents {
            ModelContents::Private { word: u64::MAX, .. } => None,
            ModelContents::Private { word, .. } => Some(word),
            ModelContents::Shared { object: 0, index } if index >= self.shared_file_pages => None,
            ModelContents::Shared { object, index } => self.shared.get(&(object, index)).copied(),
        }
    }

    fn set_word(&mut self, process: usize, page: u64, word: u64) {
        match &mut self.spaces[process].1.get_mut(&page).unwrap().contents {
            ModelContents::Private { word: old, .. } => *old = word,
            ModelContents::Shared { object, index } => self.shared.extend([((*object, *index), word)]),
        }
    }

    fn write(&mut self, process: usize, page: u64, by_sentry: bool) {
        let word = self.next_word;
        self.next_word += 1;
        let expected = self.expect(process, page, Access::WRITE);
        let outcome = if by_sentry {
            let written = self.spaces[process].0.write_object(at(page), &word);
            let is_fault = matches!(expected, Expected::Fault(_));
            assert_eq!(written, if is_fault { Err(Errno::EFAULT) } else { Ok(()) });
            written.map_err(|_| FaultError::Unmapped)
        } else {
            let touched = guest_touch(self, process, page, Access::WRITE);
            match (&touched, &expected) {
                (Ok(slice), Expected::Word(_)) => slice.copy_from(&word.to_ne_bytes()),
                (Err(error), Expected::Fault(wanted)) => assert_eq!(error, wanted),
                other => panic!("{other:?}"),
            }
            touched.map(drop)
        };
        if outcome.is_ok() {
            self.set_word(process, page, word);
        }
    }

    fn read(&mut self, process: usize, page: u64, by_sentry: bool) {
        let expected = self.expect(process, page, Access::READ);
        let found = if by_sentry {
            match (self.spaces[process].0.read_object::<u64>(at(page)), &expected) {
                (Ok(word), _) => Expected::Word(word),
                (Err(Errno::EFAULT), Expected::Fault(error)) => Expected::Fault(*error),
                other => panic!("{other:?}"),
            }
        } else {
            match guest_touch(self, process, page, Access::READ) {
                Ok(slice) => Expected::Word(first_word(&slice)),
                Err(error) => Expected::Fault(error),
            }
        };
        assert_eq!(found, expected);
    }

    fn force(&mut self, process: usize, page: u64) {
        let word = self.next_word;
        self.next_word += 1;
        let is_possible = self.spaces[process].1.get(&page).is_some_and(|mapped| match mapped.contents {
            ModelContents::Shared { .. } if !mapped.protection.contains(Access::WRITE) => false,
            _ => self.word(mapped).is_some(),
        });
        let written = self.spaces[process].0.write_forced(at(page), &word.to_ne_bytes());
        assert_eq!(written, if is_possible { 8 } else { 0 });
        if is_possible {
            self.set_word(process, page, word);
        }
    }

    /// Every translation is one that the model allows, to a frame that holds what the model says; what may be
    /// written privately is nobody else's.
    fn check(&self) {
        let mut owners: BTreeMap<u64, usize> = BTreeMap::new();
        let mut written = Vec::new();
        for (process, (memory, model)) in self.spaces.iter().enumerate() {
            for page in 0..ARENA_PAGES + 12 {
                let Some((frame, access)) = memory.address_space().translate(at(page)) else { continue };
                *owners.entry(frame.0).or_default() += 1;
                let mapped =
                    model.get(&page).unwrap_or_else(|| panic!("{process}: page {page} is not mapped"));
                let most = if mapped.protection.is_empty() {
                    mapped.protection
                } else {
                    mapped.protection | Access::READ
                };
                assert!(most.contains(access), "{process}: page {page} has {access:?}, not {most:?}");
                let slice = self.platform.memory().slice(frame, 8).unwrap();
                assert_eq!(Some(first_word(&slice)), self.word(mapped), "{process}: page {page}");
                if access.contains(Access::WRITE) && matches!(mapped.contents, ModelContents::Private { .. })
                {
                    written.push(frame.0);
                }
            }
        }
        for frame in written {
            assert_eq!(owners[&frame], 1, "a private frame that is written is shared");
        }
    }
}

/// Touches a page as a vCPU would, and returns its first word.
fn guest_touch<'a>(
    world: &'a World,
    process: usize,
    page: u64,
    access: Access,
) -> Result<VolatileSlice<'a>, FaultError> {
    let memory = &world.spaces[process].0;
    for _ in 0..3 {
        if let Some((frame, allowed)) = memory.address_space().translate(at(page))
            && allowed.contains(access)
        {
            return Ok(world.platform.memory().slice(frame, 8).unwrap());
        }
        memory.handle_fault(at(page), access)?;
    }
    panic!("page {page} faults for ever");
}

fn first_word(slice: &VolatileSlice<'_>) -> u64 {
    let mut bytes = [0; 8];
    slice.copy_to(&mut bytes);
    u64::from_ne_bytes(bytes)
}

fn at(page: u64) -> VirtualAddress {
    VirtualAddress(ARENA + page * PAGE_SIZE)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn address_spaces_behave_like_the_model(steps in steps()) {
        let mut world = World::new();
        for (process, step) in steps {
            world.apply(process, &step);
            world.check();
        }
        let World { spaces, private_file, shared_file, frames, .. } = world;
        drop((spaces, private_file, shared_file));
        prop_assert_eq!(frames.statistics().free_bytes, 32 << 20);
    }
}
