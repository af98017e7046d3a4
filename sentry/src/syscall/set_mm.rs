//! prctl(PR_SET_MM): where a program's parts are, as whoever restores processes sets them (`man 2 prctl`).

use linux_raw_sys::prctl as pr;

use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::{Access, ExecutedFile, Fd, FileKind, MountFlags, WriteDenial};
use crate::memory::Layout;
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

/// The places of `struct prctl_mm_map`, in its order.
const PLACES: usize = 11;
/// Bytes of `struct prctl_mm_map`: the places, where the auxiliary vector is, its length in bytes and a descriptor.
const MAP_BYTES: u32 = 104;
/// Words of an auxiliary vector that a process keeps (`AT_VECTOR_SIZE`).
const MAX_AUXILIARY_WORDS: usize = 52;
/// The lowest address that anything may have (`vm.mmap_min_addr`).
const MIN_ADDRESS: u64 = 65536;

/// `struct prctl_mm_map` as the words that it is: the places, the vector, and two halves.
type Map = [u64; PLACES + 2];

/// Names of the options that set one place, and its index among the places.
const PLACE_OPTIONS: [(u32, usize); PLACES] = [
    (pr::PR_SET_MM_START_CODE, START_CODE),
    (pr::PR_SET_MM_END_CODE, END_CODE),
    (pr::PR_SET_MM_START_DATA, START_DATA),
    (pr::PR_SET_MM_END_DATA, END_DATA),
    (pr::PR_SET_MM_START_BRK, START_BRK),
    (pr::PR_SET_MM_BRK, BRK),
    (pr::PR_SET_MM_START_STACK, START_STACK),
    (pr::PR_SET_MM_ARG_START, ARG_START),
    (pr::PR_SET_MM_ARG_END, ARG_END),
    (pr::PR_SET_MM_ENV_START, ENV_START),
    (pr::PR_SET_MM_ENV_END, ENV_END),
];
const START_CODE: usize = 0;
const END_CODE: usize = 1;
const START_DATA: usize = 2;
const END_DATA: usize = 3;
const START_BRK: usize = 4;
const BRK: usize = 5;
const START_STACK: usize = 6;
const ARG_START: usize = 7;
const ARG_END: usize = 8;
const ENV_START: usize = 9;
const ENV_END: usize = 10;

/// Serves PR_SET_MM with `option` (`PR_SET_MM_*`) and what follows it.
///
/// # Errors
/// EINVAL, EPERM, EFAULT, EBUSY, EACCES, EBADF, as the manual page has them.
pub(super) fn set_mm(
    task: &mut CurrentTask,
    option: u64,
    address: u64,
    (size, fifth): (u64, u64),
) -> Result<(), Errno> {
    let option = u32::try_from(option).map_err(|_| Errno::EINVAL)?;
    let takes_size = matches!(option, pr::PR_SET_MM_AUXV | pr::PR_SET_MM_MAP | pr::PR_SET_MM_MAP_SIZE);
    if fifth != 0 || size != 0 && !takes_size {
        return Err(Errno::EINVAL);
    }
    let size = u32::try_from(size & u64::from(u32::MAX)).map_err(|_| Errno::EINVAL)?;
    match option {
        pr::PR_SET_MM_MAP_SIZE => {
            return task.memory().write_object(VirtualAddress(address), &MAP_BYTES);
        }
        pr::PR_SET_MM_MAP => return set_map(task, VirtualAddress(address), size),
        _ if !task.credentials().has(Capabilities::SYS_RESOURCE) => return Err(Errno::EPERM),
        _ => {}
    }
    match option {
        pr::PR_SET_MM_EXE_FILE => set_executable(task, address),
        pr::PR_SET_MM_AUXV => {
            let words = read_auxiliary_vector(task, address, size)?;
            task.memory().update_layout(|layout| layout.strings.auxiliary_vector = words);
            Ok(())
        }
        _ => set_place(task, option, address),
    }
}

fn set_place(task: &CurrentTask, option: u32, address: u64) -> Result<(), Errno> {
    if !(MIN_ADDRESS..VirtualAddress::USER_END.0).contains(&address) {
        return Err(Errno::EINVAL);
    }
    let index = PLACE_OPTIONS.iter().find(|(name, _)| *name == option).map(|(_, index)| *index);
    let index = index.ok_or(Errno::EINVAL)?;
    let mut places = places_of(&task.memory().layout());
    *places.get_mut(index).ok_or(Errno::EINVAL)? = address;
    check(task, &places)?;
    let is_mapped = !task.memory().mappings_from(VirtualAddress(address), 1).is_empty();
    if index >= START_STACK && !is_mapped {
        return Err(Errno::EFAULT);
    }
    task.memory().update_layout(|layout| set_places(layout, &places));
    Ok(())
}

/// PR_SET_MM_MAP: all at once.
fn set_map(task: &mut CurrentTask, place: VirtualAddress, size: u32) -> Result<(), Errno> {
    if size != MAP_BYTES {
        return Err(Errno::EINVAL);
    }
    let map: Map = task.memory().read_object(place)?;
    let [places @ .., vector, halves] = map;
    check(task, &places)?;
    let low_half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    let (vector_bytes, executable) = (low_half(halves), low_half(halves >> 32));
    let words = match vector_bytes {
        0 => None,
        _ if vector == 0 => return Err(Errno::EINVAL),
        bytes => Some(read_auxiliary_vector(task, vector, bytes)?),
    };
    if executable != u32::MAX {
        let is_restorer = task.credentials().has(Capabilities::CHECKPOINT_RESTORE)
            || task.credentials().has(Capabilities::SYS_ADMIN);
        if !is_restorer {
            return Err(Errno::EPERM);
        }
        set_executable(task, executable.into())?;
    }
    task.memory().update_layout(|layout| {
        set_places(layout, &places);
        if let Some(words) = words {
            layout.strings.auxiliary_vector = words;
        }
    });
    Ok(())
}

/// Fails if the places cannot be those of a program.
fn check(task: &CurrentTask, places: &[u64; PLACES]) -> Result<(), Errno> {
    let is_in_space = |place: &u64| (MIN_ADDRESS..VirtualAddress::USER_END.0).contains(place);
    let are_in_order = places[START_CODE] < places[END_CODE]
        && places[START_DATA] <= places[END_DATA]
        && places[START_BRK] <= places[BRK]
        && places[ARG_START] <= places[ARG_END]
        && places[ENV_START] <= places[ENV_END];
    let data_bytes = (places[BRK].saturating_sub(places[START_BRK]))
        .saturating_add(places[END_DATA].saturating_sub(places[START_DATA]));
    let is_allowed = data_bytes <= task.memory().limits().data_bytes;
    if places.iter().all(is_in_space) && are_in_order && is_allowed { Ok(()) } else { Err(Errno::EINVAL) }
}

fn places_of(layout: &Layout) -> [u64; PLACES] {
    let strings = &layout.strings;
    [
        layout.code.0,
        layout.code.1,
        layout.data.0,
        layout.data.1,
        layout.brk_start,
        layout.brk,
        strings.stack_start,
        strings.arguments.0,
        strings.arguments.1,
        strings.environment.0,
        strings.environment.1,
    ]
    .map(|place| place.0)
}

fn set_places(layout: &mut Layout, places: &[u64; PLACES]) {
    let at = |index: usize| VirtualAddress(places.get(index).copied().unwrap_or(0));
    layout.code = (at(START_CODE), at(END_CODE));
    layout.data = (at(START_DATA), at(END_DATA));
    (layout.brk_start, layout.brk) = (at(START_BRK), at(BRK));
    layout.strings.stack_start = at(START_STACK);
    layout.strings.arguments = (at(ARG_START), at(ARG_END));
    layout.strings.environment = (at(ENV_START), at(ENV_END));
}

/// The words of an auxiliary vector in user memory, which end with a pair of zeroes.
fn read_auxiliary_vector(task: &CurrentTask, address: u64, len_bytes: u32) -> Result<Vec<u64>, Errno> {
    let len = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)? / size_of::<u64>();
    if len > MAX_AUXILIARY_WORDS {
        return Err(Errno::EINVAL);
    }
    let mut words: Vec<u64> = task.memory().read_objects(VirtualAddress(address), len)?;
    words.resize(MAX_AUXILIARY_WORDS, 0);
    words.truncate(MAX_AUXILIARY_WORDS - 2);
    let end = words.chunks(2).position(|pair| pair.first() == Some(&0));
    words.truncate(end.map_or(words.len(), |end| end * 2));
    words.extend([0, 0]);
    Ok(words)
}

/// prctl(PR_GET_AUXV): as much of the auxiliary vector as there is room for; how long it is, whatever the room.
pub(super) fn get_auxiliary_vector(
    task: &CurrentTask,
    place: VirtualAddress,
    len_bytes: u64,
) -> Result<usize, Errno> {
    const LEN_BYTES: usize = MAX_AUXILIARY_WORDS * size_of::<u64>();
    let words = task.memory().layout().strings.auxiliary_vector;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(LEN_BYTES, 0);
    let room = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(LEN_BYTES);
    task.memory().write_bytes(place, &bytes[..room])?;
    Ok(LEN_BYTES)
}

/// PR_SET_MM_EXE_FILE: what /proc/PID/exe shows.
fn set_executable(task: &mut CurrentTask, descriptor: u64) -> Result<(), Errno> {
    let number = i32::try_from(descriptor & u64::from(u32::MAX)).map_err(|_| Errno::EBADF)?;
    let file = task.file(Fd(number))?;
    let path = file.path().ok_or(Errno::EACCES)?;
    let inode = path.inode();
    if inode.kind() != FileKind::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    path.check_access(Access::EXECUTE, &task.credentials())?;
    let old = task.task().executed_file();
    // As long as anything of it is mapped, it is what is executed.
    let old_inode = old.as_ref().and_then(|old| old.path().inode().metadata().ok());
    if let Some(old_inode) = old_inode {
        let mappings = task.memory().mappings();
        if mappings.iter().any(|mapping| mapping.inode == old_inode.inode) {
            return Err(Errno::EBUSY);
        }
    }
    let executed = ExecutedFile::new(path.clone(), WriteDenial::begin(inode)?);
    drop((task.task().set_executed_file(executed), old));
    Ok(())
}
