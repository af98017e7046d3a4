//! What stands ahead of a member because its header has no room for it: GNU's long names, and pax records.

use anyhow::{Context, bail};

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// Long names and pax records that hold for the next member.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    pub(super) long_path: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extensions {
    /// Adds the pax records in `bytes`, each `LENGTH KEY=VALUE` and a newline, where the length counts all of it.
    ///
    /// # Errors
    /// They are not written like that.
    pub(super) fn add_records(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            let (record, rest) = split_record(bytes).context("an extended header that makes no sense")?;
            self.records.push(record);
            bytes = rest;
        }
        Ok(())
    }

    /// These, and the records of `globals` that they do not replace.
    pub(super) fn over(mut self, globals: &Self) -> Self {
        self.records.splice(..0, globals.records.iter().cloned());
        self
    }

    /// Whether nothing was ahead.
    pub(super) fn is_empty(&self) -> bool {
        self.long_path.is_none() && self.long_link.is_none() && self.records.is_empty()
    }

    /// The value of the last record `key`. One without a value takes back what came before (POSIX, pax).
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let last = self.records.iter().rev().find(|(name, _)| name == key.as_bytes());
        last.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    /// The values of all records `first` and `second`, in their order.
    pub(super) fn all(&self, first: &str, second: &str) -> impl Iterator<Item = &[u8]> {
        let is_wanted = move |name: &Vec<u8>| name == first.as_bytes() || name == second.as_bytes();
        self.records.iter().filter(move |(name, _)| is_wanted(name)).map(|(_, value)| value.as_slice())
    }

    pub(super) fn path(&self) -> Option<&[u8]> {
        self.get("GNU.sparse.name").or(self.get("path")).or(self.long_path.as_deref())
    }

    pub(super) fn link(&self) -> Option<&[u8]> {
        self.get("linkpath").or(self.long_link.as_deref())
    }

    /// The number that `key` is.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn number(&self, key: &str) -> anyhow::Result<Option<u64>> {
        self.get(key).map(|value| decimal(value).with_context(|| format!("{key} is no number"))).transpose()
    }

    /// `mtime`: seconds, perhaps negative, perhaps with a fraction.
    ///
    /// # Errors
    /// It is no number.
    pub(super) fn modified(&self) -> anyhow::Result<Option<(i64, u32)>> {
        self.get("mtime").map(|value| time(value).context("mtime is no time")).transpose()
    }

    /// Those extended attributes that mean something to the guest.
    pub(super) fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let is_kept = |name: &[u8]| name.starts_with(b"user.") || name == b"security.capability";
        let named =
            self.records.iter().filter_map(|(key, value)| Some((key.strip_prefix(XATTR_PREFIX)?, value)));
        named.filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.to_vec(), value.clone())).collect()
    }
}

type Record = (Vec<u8>, Vec<u8>);

fn split_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(bytes.get(..space)?)?).ok()?;
    let (record, rest) = bytes.split_at_checked(len)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some(((text.get(..equals)?.to_vec(), text.get(equals + 1..)?.to_vec()), rest))
}

/// The number that decimal digits are.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn time(text: &[u8]) -> Option<(i64, u32)> {
    const BILLION: u32 = 1_000_000_000;
    let (is_negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanoseconds = 0;
    if let Some(fraction) = parts.next().filter(|fraction| !fraction.is_empty()) {
        decimal(fraction.get(..1)?)?;
        let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
        nanoseconds = u32::try_from(decimal(&digits.collect::<Vec<_>>())?).ok()?;
    }
    Some(match (is_negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, BILLION - nanoseconds),
    })
}

/// GNU's long name in `bytes`, which a zero ends.
///
/// # Errors
/// There is a zero elsewhere.
pub(super) fn long_name(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    if bytes.get(name.len()..).unwrap_or_default().iter().any(|byte| *byte != 0) {
        bail!("a long name that makes no sense");
    }
    Ok(name)
}
