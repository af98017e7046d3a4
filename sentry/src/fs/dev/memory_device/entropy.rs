//! What is asked of the pool of random bits (`man 4 random`). It is the host's: whatever is added makes it no better, and nothing
//! makes it worse.

use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::Caller;
use crate::platform::VirtualAddress;

// `linux/random.h`.
const GET_COUNT: u32 = 0x8004_5200;
const ADD_TO_COUNT: u32 = 0x4004_5201;
const ADD_BITS: u32 = 0x4008_5203;
const ZERO_COUNT: u32 = 0x5204;
const CLEAR_POOL: u32 = 0x5206;
const RESEED: u32 = 0x5207;

/// Bits that the pool has once it is ready.
const POOL_BITS: i32 = 256;

/// Serves a request.
///
/// # Errors
/// EINVAL: there is no such request, or a count is negative. EPERM: the caller may not change the pool. EFAULT.
pub(super) fn control(request: u32, argument: VirtualAddress, caller: &dyn Caller) -> Result<usize, Errno> {
    match request {
        GET_COUNT => return caller.memory().write_object(argument, &POOL_BITS).map(|()| 0),
        ADD_TO_COUNT | ADD_BITS | ZERO_COUNT | CLEAR_POOL | RESEED => {}
        _ => return Err(Errno::EINVAL),
    }
    if !caller.credentials().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    match request {
        ADD_TO_COUNT => check_count(caller.memory().read_object(argument)?)?,
        ADD_BITS => {
            // `struct rand_pool_info`: how many bits the bytes behind it are worth, and how many bytes.
            let [bits, bytes]: [i32; 2] = caller.memory().read_object(argument)?;
            check_count(bits)?;
            check_count(bytes)?;
        }
        _ => {}
    }
    Ok(0)
}

fn check_count(count: i32) -> Result<(), Errno> {
    if count < 0 { Err(Errno::EINVAL) } else { Ok(()) }
}
