//! The options of an overlay (`filesystems/overlayfs.rst` of Linux's documentation).

use crate::Errno;

/// Layers that an overlay may have below (`OVL_MAX_STACK`).
const MAX_LOWER: usize = 500;

/// How directories are renamed, and renamed ones are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RedirectMode {
    /// Marks of renames are followed, but none is made: what lies below cannot be renamed.
    #[default]
    Follow,
    /// Marks are made and followed.
    On,
    /// Neither.
    NoFollow,
}

/// Whether numbers of inodes tell the file system below that they are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InodeNumbers {
    /// No: each has a device number of its own.
    #[default]
    Plain,
    /// Yes.
    WithFileSystem,
}

/// What an overlay is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct OverlayOptions {
    /// Paths of the layers below, from the top down.
    pub(super) lower: Vec<String>,
    /// The path of the layer that takes changes.
    pub(super) upper: Option<String>,
    /// The path of a directory beside that, for what is being prepared.
    pub(super) work: Option<String>,
    pub(super) redirect: RedirectMode,
    pub(super) numbers: InodeNumbers,
    /// Marks are attributes that anybody may set (`user.overlay.`).
    pub(super) uses_user_attributes: bool,
    /// Nothing is ever synchronised.
    pub(super) is_volatile: bool,
    /// Whether `metacopy=on` was asked for, and so `redirect_dir=on`.
    wants_metacopy: bool,
    has_redirect: bool,
    /// The option `lowerdir` has been met.
    has_lower_list: bool,
}

impl OverlayOptions {
    /// The options in `text`, with commas between. A backslash takes the meaning from what follows it.
    ///
    /// # Errors
    /// EINVAL: one is unknown, comes twice or makes no sense.
    pub(super) fn parse(text: &str) -> Result<Self, Errno> {
        let mut options = Self::default();
        for option in split_unescaped(text, ',') {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (&*option, None),
            };
            match (name, value) {
                ("", None) | ("default_permissions", None) => {}
                ("userxattr", None) => options.uses_user_attributes = true,
                ("volatile", None) => options.is_volatile = true,
                (name, Some(value)) => options.set(name, value)?,
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Errno> {
        match (name, value) {
            ("lowerdir", _) if self.has_lower_list || !self.lower.is_empty() => return Err(Errno::EINVAL),
            ("lowerdir", list) => {
                self.has_lower_list = true;
                self.lower = split_unescaped(list, ':').iter().map(|path| unescape(path)).collect();
            }
            ("lowerdir+", path) if !self.has_lower_list => self.lower.push(path.into()),
            ("upperdir", path) => self.upper = Some(unescape(path)),
            ("workdir", path) => self.work = Some(unescape(path)),
            ("redirect_dir", mode) => {
                self.has_redirect = true;
                self.redirect = match mode {
                    "on" => RedirectMode::On,
                    "off" | "follow" => RedirectMode::Follow,
                    "nofollow" => RedirectMode::NoFollow,
                    _ => return Err(Errno::EINVAL),
                };
            }
            ("xino", "on" | "auto") => self.numbers = InodeNumbers::WithFileSystem,
            ("xino", "off") => self.numbers = InodeNumbers::Plain,
            ("metacopy", "on") => self.wants_metacopy = true,
            ("metacopy", "off") => self.wants_metacopy = false,
            ("uuid", "null" | "off" | "on" | "auto") => {}
            // What these need of the layers, handles that outlive a mount, no layer has: as on Linux then, they have no effect.
            ("index" | "nfs_export", "on" | "off") => {}
            ("verity", "off") => {}
            _ => return Err(Errno::EINVAL),
        }
        let is_possible = self.lower.len() <= MAX_LOWER && self.lower.iter().all(|path| !path.is_empty());
        if is_possible { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Fails for options that contradict each other or lack something.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn check_whole(&mut self) -> Result<(), Errno> {
        if self.uses_user_attributes && (self.wants_metacopy || self.redirect == RedirectMode::On) {
            return Err(Errno::EINVAL);
        }
        if self.wants_metacopy && self.has_redirect && self.redirect != RedirectMode::On {
            return Err(Errno::EINVAL);
        }
        if self.wants_metacopy || self.upper.is_none() && !self.has_redirect && !self.uses_user_attributes {
            self.redirect = RedirectMode::On;
        }
        if self.uses_user_attributes {
            // Whoever may write to a layer could send others anywhere.
            self.redirect = RedirectMode::NoFollow;
        }
        // What goes nowhere needs no place to be prepared in.
        let has_upper = self.upper.is_some();
        if !has_upper {
            (self.work, self.is_volatile) = (None, false);
        }
        let least = if has_upper { 1 } else { 2 };
        let is_whole = self.lower.len() >= least && has_upper == self.work.is_some();
        if is_whole { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// What /proc/mounts shows of them, with a comma before each.
    pub(super) fn shown(&self) -> String {
        let escaped: Vec<_> = self.lower.iter().map(|path| escape(path)).collect();
        let mut shown = format!(",lowerdir={}", escaped.join(":"));
        for (name, path) in [("upperdir", &self.upper), ("workdir", &self.work)] {
            shown.extend(path.iter().map(|path| format!(",{name}={}", escape(path))));
        }
        shown += match self.redirect {
            RedirectMode::On => ",redirect_dir=on",
            RedirectMode::NoFollow if !self.uses_user_attributes => ",redirect_dir=nofollow",
            _ => "",
        };
        if self.numbers == InodeNumbers::WithFileSystem {
            shown += ",xino=on";
        }
        if self.is_volatile {
            shown += ",volatile";
        }
        if self.uses_user_attributes {
            shown += ",userxattr";
        }
        shown
    }
}

/// The pieces of `text` between separators that no backslash precedes. Backslashes before other letters stay.
fn split_unescaped(text: &str, separator: char) -> Vec<String> {
    let (mut pieces, mut piece, mut letters) = (Vec::new(), String::new(), text.chars());
    while let Some(letter) = letters.next() {
        if letter == separator {
            pieces.push(std::mem::take(&mut piece));
        } else if letter == '\\' {
            match letters.next() {
                Some(next) if next == separator && separator == ',' => piece.push(next),
                next => piece.extend([Some(letter), next].into_iter().flatten()),
            }
        } else {
            piece.push(letter);
        }
    }
    pieces.push(piece);
    pieces
}

fn unescape(path: &str) -> String {
    let (mut plain, mut letters) = (String::new(), path.chars());
    while let Some(letter) = letters.next() {
        let literal = if letter == '\\' { letters.next() } else { Some(letter) };
        plain.extend(literal);
    }
    plain
}

fn escape(path: &str) -> String {
    let mut escaped = String::new();
    for letter in path.chars() {
        if matches!(letter, ':' | ',' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests;
