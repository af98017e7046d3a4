//! Plain data that crosses the boundary between user code and the sentry: Linux's own structures.

use linux_raw_sys::general as uapi;

/// A structure of Linux's user API, copied to and from user memory as bytes.
///
/// # Safety
/// Every bit pattern is a valid value, the layout is Linux's, and it holds no pointer that Rust would follow.
/// Padding is allowed: [`bytes_of`] is handed out only for values that began as zeroes or as user bytes.
pub unsafe trait UserObject: Copy + 'static {}

macro_rules! user_objects {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: integers, and `repr(C)` structures of integers, arrays and raw pointers (as numbers) from Linux's headers.
            unsafe impl UserObject for $type {}
        )*
    };
}

user_objects! { u8, i8, u16, i16, u32, i32, u64, i64 }

user_objects! {
    uapi::stat, uapi::statx, uapi::statfs, uapi::flock, uapi::open_how, uapi::f_owner_ex,
    uapi::mount_attr,
}

// SAFETY: an array of user objects has no padding of its own.
unsafe impl<T: UserObject, const N: usize> UserObject for [T; N] {}

/// How much of an rseq(2) area the sentry fills, bytes: through `mm_cid` (AT_RSEQ_FEATURE_SIZE).
pub const RSEQ_FEATURE_BYTES: u32 = 28;
/// The alignment of an rseq(2) area, bytes (AT_RSEQ_ALIGN).
pub const RSEQ_ALIGNMENT: u32 = 32;

/// A value of all zero bytes.
pub fn zeroed<T: UserObject>() -> T {
    // SAFETY: every bit pattern is a valid `T`.
    unsafe { std::mem::zeroed() }
}

/// The bytes of a value.
///
/// Values are made with [`zeroed`] and then filled field by field, so that padding is zero and nothing of the
/// sentry's memory leaks into it.
pub fn bytes_of<T: UserObject>(value: &T) -> &[u8] {
    // SAFETY: `value` is valid for reads of its size; see above for padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The bytes of a value, to be written.
pub fn bytes_of_mut<T: UserObject>(value: &mut T) -> &mut [u8] {
    // SAFETY: every bit pattern is a valid `T`, and the reference is unique.
    unsafe { std::slice::from_raw_parts_mut(std::ptr::from_mut(value).cast(), size_of::<T>()) }
}
