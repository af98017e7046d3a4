//! Security modules: lsm_list_modules(2), lsm_get_self_attr(2) and lsm_set_self_attr(2). Those that there are have no attributes.

use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::platform::PAGE_SIZE;
use crate::task::CurrentTask;
use crate::width::usize_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![lsm_list_modules, lsm_get_self_attr, lsm_set_self_attr,];

/// `LSM_ID_CAPABILITY` and `LSM_ID_LANDLOCK`, in the order in which they are asked.
const MODULES: [u64; 2] = [100, 110];

/// `struct lsm_ctx`, without what follows it: id, flags, length of all, and of what follows.
type Context = [u64; 4];

/// `LSM_FLAG_SINGLE`: of one module, which the context names.
const SINGLE: u32 = 1;

fn lsm_list_modules(
    task: &mut CurrentTask,
    ids: UserPointer<u64>,
    size: UserPointer<u32>,
    flags: u32,
) -> Result<usize, Errno> {
    const LEN_BYTES: u32 = size_of::<[u64; 2]>() as u32;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let room = size.read(task)?;
    size.write(task, &LEN_BYTES)?;
    if room < LEN_BYTES {
        return Err(Errno::E2BIG);
    }
    for (index, id) in MODULES.iter().enumerate() {
        ids.element(index).write(task, id)?;
    }
    Ok(MODULES.len())
}

fn lsm_get_self_attr(
    task: &mut CurrentTask,
    attribute: u32,
    context: UserPointer<Context>,
    size: UserPointer<u32>,
    flags: u32,
) -> Result<usize, Errno> {
    if attribute == 0 || size.is_null() {
        return Err(Errno::EINVAL);
    }
    size.read(task)?;
    if flags & !SINGLE != 0 {
        return Err(Errno::EINVAL);
    }
    if flags == SINGLE && (context.is_null() || context.read(task)?[0] == 0) {
        return Err(Errno::EINVAL);
    }
    Err(Errno::EOPNOTSUPP)
}

fn lsm_set_self_attr(
    task: &mut CurrentTask,
    _attribute: u32,
    context: UserPointer<Context>,
    size: u32,
    flags: u32,
) -> Result<usize, Errno> {
    const HEAD_BYTES: u64 = size_of::<Context>() as u64;
    if flags != 0 || u64::from(size) < HEAD_BYTES {
        return Err(Errno::EINVAL);
    }
    if u64::from(size) > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let mut all = vec![0; usize_from(size)];
    task.memory().read_bytes(context.address(), &mut all)?;
    let [_, _, len_bytes, context_bytes] = context.read(task)?;
    let needed = HEAD_BYTES.checked_add(context_bytes).ok_or(Errno::EINVAL)?;
    if u64::from(size) < len_bytes || len_bytes < needed {
        return Err(Errno::EINVAL);
    }
    Err(Errno::EOPNOTSUPP)
}
