//! Names of links.

use std::fmt;

use linux_raw_sys::net::IFNAMSIZ;

use crate::Errno;

/// The name of a link: 1 to 15 characters, none of them a slash, a colon or a space, and neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkName(String);

impl LinkName {
    /// The name of the loopback.
    pub fn loopback() -> Self {
        Self("lo".into())
    }

    /// The name of the link to the outside.
    pub fn outside() -> Self {
        Self("eth0".into())
    }

    /// The name that the bytes spell. Linux takes any bytes; those that are no text are refused here, since what tells of links
    /// is text.
    ///
    /// # Errors
    /// EINVAL.
    pub fn new(bytes: &[u8]) -> Result<Self, Errno> {
        let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let is_forbidden =
            |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0x0b;
        let has_length = (1..IFNAMSIZ as usize).contains(&text.len());
        if !has_length || matches!(text, "." | "..") || text.bytes().any(is_forbidden) {
            return Err(Errno::EINVAL);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it is written in structures, without NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}
