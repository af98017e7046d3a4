//! Supplementary groups.

use std::ops::Deref;
use std::sync::Arc;

use super::KernelGid;
use crate::Errno;
use crate::heap::HeapCharge;

/// Supplementary groups, at most 65,536, which all who have the same share. Takes no memory while it is empty.
#[derive(Clone, Debug, Default)]
pub struct Groups(Option<Arc<List>>);

#[derive(Debug)]
struct List {
    numbers: Box<[KernelGid]>,
    _heap_charge: HeapCharge,
}

impl Groups {
    /// These groups.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(numbers: Vec<KernelGid>) -> Result<Self, Errno> {
        if numbers.is_empty() {
            return Ok(Self::default());
        }
        let _heap_charge = HeapCharge::new(size_of::<List>() + size_of_val(&*numbers))?;
        Ok(Self(Some(Arc::new(List { numbers: numbers.into(), _heap_charge }))))
    }
}

/// The groups that a sandbox begins with: nobody may refuse them.
impl FromIterator<KernelGid> for Groups {
    fn from_iter<T: IntoIterator<Item = KernelGid>>(numbers: T) -> Self {
        let numbers: Box<[KernelGid]> = numbers.into_iter().collect();
        let _heap_charge = HeapCharge::forced(size_of_val(&*numbers));
        Self((!numbers.is_empty()).then(|| Arc::new(List { numbers, _heap_charge })))
    }
}

impl Deref for Groups {
    type Target = [KernelGid];

    fn deref(&self) -> &[KernelGid] {
        self.0.as_ref().map_or(&[], |list| &list.numbers)
    }
}

impl PartialEq for Groups {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Groups {}
