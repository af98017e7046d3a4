//! Arguments and results of system calls, by type.
//!
//! A handler is a function of its task and of typed arguments; [`handlers`] makes table entries of such functions. What
//! a register means is said once a type: an `int` is its lower half, whatever the upper half holds, a `long` or a
//! `size_t` is all of it.

use std::marker::PhantomData;

use crate::Errno;
use crate::abi::UserObject;
use crate::cred::{Gid, Uid};
use crate::fs::Fd;
use crate::limits::Resource;
use crate::platform::VirtualAddress;
use crate::signal::Signal;
use crate::task::{CloneFlags, CurrentTask, Tid, WaitOptions};
use crate::time::ClockId;

/// What a register that an earlier argument tells the meaning of is as an `int`.
pub(super) fn int(register: u64) -> i32 {
    register as i32
}

/// What such a register is as an `unsigned int`.
pub(super) fn unsigned(register: u64) -> u32 {
    register as u32
}

/// The argument registers, read in order.
pub(super) struct Registers {
    values: [u64; 6],
    next: usize,
}

impl Registers {
    fn next(&mut self) -> u64 {
        let register = self.values.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        register
    }
}

/// What a handler takes: made of one argument register or, if it is a compound, of several.
pub(super) trait Argument: Sized {
    /// Decodes the next registers.
    ///
    /// # Errors
    /// Those of the type.
    fn decode(registers: &mut Registers) -> Result<Self, Errno>;
}

/// Arguments that any register makes.
macro_rules! arguments {
    ($($type:ty: |$register:ident| $value:expr;)*) => {$(
        impl Argument for $type {
            fn decode(registers: &mut Registers) -> Result<Self, Errno> {
                let $register = registers.next();
                Ok($value)
            }
        }
    )*};
}

arguments! {
    i32: |register| register as i32;
    u32: |register| register as u32;
    u16: |register| register as u16;
    i64: |register| register.cast_signed();
    u64: |register| register;
    VirtualAddress: |register| VirtualAddress(register);
    Fd: |register| Fd(register as i32);
    Tid: |register| Tid(register as i32);
    Uid: |register| Uid(register as u32);
    Gid: |register| Gid(register as u32);
}

/// Arguments that not every register makes.
macro_rules! checked_arguments {
    ($($type:ty: |$raw:ident: $register:ty| $value:expr;)*) => {$(
        impl Argument for $type {
            fn decode(registers: &mut Registers) -> Result<Self, Errno> {
                let $raw = <$register>::decode(registers)?;
                $value
            }
        }
    )*};
}

checked_arguments! {
    Signal: |number: i32| Self::new(number);
    Resource: |number: u32| Self::new(number);
    ClockId: |number: i32| Self::from_raw(number);
    Option<Uid>: |uid: Uid| Ok((uid.0 != u32::MAX).then_some(uid));
    Option<Gid>: |gid: Gid| Ok((gid.0 != u32::MAX).then_some(gid));
}

/// Argument types of flags: a bit that is not among them is EINVAL.
macro_rules! flag_arguments {
    ($($type:ty: $bits:ty,)*) => {$(
        impl $crate::syscall::arguments::Argument for $type {
            fn decode(registers: &mut $crate::syscall::arguments::Registers) -> Result<Self, $crate::Errno> {
                let bits = <$bits as $crate::syscall::arguments::Argument>::decode(registers)?;
                Self::from_bits(bits).ok_or($crate::Errno::EINVAL)
            }
        }
    )*};
}
pub(super) use flag_arguments;

flag_arguments! { WaitOptions: u32, CloneFlags: u64, }

/// Where user code has a value of type `T`, or wants one; null in many calls for "none".
pub(super) struct UserPointer<T> {
    address: VirtualAddress,
    target: PhantomData<fn() -> T>,
}

impl<T> Clone for UserPointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPointer<T> {}

impl<T> Argument for UserPointer<T> {
    fn decode(registers: &mut Registers) -> Result<Self, Errno> {
        Ok(Self::new(registers.next()))
    }
}

impl<T> UserPointer<T> {
    pub(super) fn new(address: u64) -> Self {
        Self { address: VirtualAddress(address), target: PhantomData }
    }

    pub(super) fn address(self) -> VirtualAddress {
        self.address
    }

    pub(super) fn is_null(self) -> bool {
        self.address.0 == 0
    }

    /// The same place, for a value of another type.
    pub(super) fn cast<U>(self) -> UserPointer<U> {
        UserPointer { address: self.address, target: PhantomData }
    }

    /// The place of element `index` of an array that begins here. It may wrap around, and is then no user memory.
    pub(super) fn element(self, index: usize) -> Self {
        Self::new(self.address.0.wrapping_add(index.wrapping_mul(size_of::<T>()) as u64))
    }
}

impl<T: UserObject> UserPointer<T> {
    /// Copies the value in.
    ///
    /// # Errors
    /// EFAULT.
    pub(super) fn read(self, task: &CurrentTask) -> Result<T, Errno> {
        task.memory().read_object(self.address)
    }

    /// Copies `count` values in, which the caller bounds.
    ///
    /// # Errors
    /// EFAULT.
    pub(super) fn read_array(self, task: &CurrentTask, count: usize) -> Result<Vec<T>, Errno> {
        task.memory().read_objects(self.address, count)
    }

    /// Copies the value in if the pointer is not null.
    ///
    /// # Errors
    /// EFAULT.
    pub(super) fn read_unless_null(self, task: &CurrentTask) -> Result<Option<T>, Errno> {
        if self.is_null() { Ok(None) } else { self.read(task).map(Some) }
    }

    /// Copies `value` out.
    ///
    /// # Errors
    /// EFAULT.
    pub(super) fn write(self, task: &CurrentTask, value: &T) -> Result<(), Errno> {
        task.memory().write_object(self.address, value)
    }

    /// Copies `value` out if the pointer is not null.
    ///
    /// # Errors
    /// EFAULT.
    pub(super) fn write_unless_null(self, task: &CurrentTask, value: &T) -> Result<(), Errno> {
        if self.is_null() { Ok(()) } else { self.write(task, value) }
    }
}

/// Where user code has a path.
#[derive(Clone, Copy)]
pub(super) struct UserPath(pub(super) UserPointer<u8>);

impl Argument for UserPath {
    fn decode(registers: &mut Registers) -> Result<Self, Errno> {
        UserPointer::decode(registers).map(Self)
    }
}

impl UserPath {
    pub(super) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Copies the path in.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG.
    pub(super) fn read(self, task: &CurrentTask) -> Result<Vec<u8>, Errno> {
        task.read_path(self.0.address().0)
    }
}

/// A buffer of user memory: two registers, its address and its length.
#[derive(Clone, Copy)]
pub(super) struct UserSlice {
    pub(super) address: VirtualAddress,
    pub(super) len_bytes: u64,
}

impl Argument for UserSlice {
    fn decode(registers: &mut Registers) -> Result<Self, Errno> {
        let address = VirtualAddress(registers.next());
        Ok(Self { address, len_bytes: registers.next() })
    }
}

/// What a handler returns for `rax`.
pub(super) trait ReturnValue {
    /// The value for the register.
    fn encode(self) -> usize;
}

macro_rules! return_values {
    ($($type:ty: |$value:pat_param| $register:expr;)*) => {$(
        impl ReturnValue for $type {
            fn encode(self) -> usize {
                let $value = self;
                $register
            }
        }
    )*};
}

return_values! {
    (): |()| 0;
    bool: |value| usize::from(value);
    usize: |value| value;
    u64: |value| value as usize;
    u32: |value| value as usize;
    u16: |value| value.into();
    // Sign-extended, as C returns an `int` as a `long`.
    i32: |value| value as isize as usize;
    Fd: |Fd(number)| number as isize as usize;
    Tid: |Tid(number)| number as isize as usize;
    VirtualAddress: |address| address.0 as usize;
    Signal: |signal| usize::from(signal.number());
    Uid: |Uid(uid)| uid as usize;
    Gid: |Gid(gid)| gid as usize;
}

/// A function that serves a system call; `Arguments` is the tuple of what it takes.
pub(super) trait SystemCall<Arguments> {
    /// Calls it with the registers decoded.
    ///
    /// # Errors
    /// What an argument's or the function's are.
    fn call(self, task: &mut CurrentTask, registers: [u64; 6]) -> Result<usize, Errno>;
}

macro_rules! system_calls {
    ($($($argument:ident)*;)*) => {$(
        impl<F, R: ReturnValue, $($argument: Argument,)*> SystemCall<($($argument,)*)> for F
        where
            F: Fn(&mut CurrentTask, $($argument,)*) -> Result<R, Errno>,
        {
            #[inline]
            fn call(self, task: &mut CurrentTask, registers: [u64; 6]) -> Result<usize, Errno> {
                let mut registers = Registers { values: registers, next: 0 };
                self(task, $($argument::decode(&mut registers)?,)*).map(R::encode)
            }
        }
    )*};
}

system_calls! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E G;
}

impl<F, R: ReturnValue> SystemCall<()> for F
where
    F: Fn(&mut CurrentTask) -> Result<R, Errno>,
{
    fn call(self, task: &mut CurrentTask, _: [u64; 6]) -> Result<usize, Errno> {
        self(task).map(R::encode)
    }
}

/// The entries of the system call table for functions of typed arguments: each of its call's name, or after that name.
macro_rules! handlers {
    ($($call:ident $(= $function:path)?),* $(,)?) => {
        &[$((
            $crate::syscall::Sysno::$call,
            |task, registers| {
                let function = $crate::syscall::arguments::handlers!(@function $call $($function)?);
                $crate::syscall::arguments::SystemCall::call(function, task, registers)
            },
        ),)*]
    };
    (@function $call:ident) => { $call };
    (@function $call:ident $function:path) => { $function };
}
pub(super) use handlers;

#[cfg(test)]
mod tests;
