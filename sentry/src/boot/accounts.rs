//! Users and groups by name, through the image's own tables (`man 5 passwd`, `man 5 group`), as docker finds them.

use super::User;
use super::root::Builder;

/// The most that is read of a table.
const MAX_LEN: usize = 1 << 20;

/// Most supplementary groups (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// A name that the image's tables do not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// There is no such user.
    #[error("user '{0}': not found in the image's /etc/passwd")]
    User(String),
    /// There is no such group.
    #[error("group '{0}': not found in the image's /etc/group")]
    Group(String),
}

/// Users and groups of an image.
pub(super) struct Accounts {
    passwd: String,
    group: String,
}

/// A line of passwd.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl Accounts {
    /// What the root file system has. What cannot be read is empty.
    pub(super) fn read(builder: &Builder) -> Self {
        let table = |path| {
            String::from_utf8_lossy(&builder.read_file(path, MAX_LEN).unwrap_or_default()).into_owned()
        };
        Self { passwd: table("/etc/passwd"), group: table("/etc/group") }
    }

    /// Who `USER[:GROUP]` is, each by name or number. A user without a group has those of the tables; a number that they do not have is
    /// a user all the same, of group 0.
    ///
    /// # Errors
    /// A name that there is not.
    pub(super) fn find(&self, text: &str) -> Result<User, AccountError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let entry = self.entries().find(|entry| entry.name == user);
        let entry = entry.or_else(|| self.entries().find(|entry| Some(entry.uid) == number(user)));
        let (uid, gid, name) = match (entry, number(user)) {
            (Some(entry), _) => (entry.uid, entry.gid, Some(entry.name)),
            (None, Some(uid)) => (uid, 0, None),
            (None, None) if user.is_empty() => (0, 0, None),
            (None, None) => return Err(AccountError::User(user.escape_debug().to_string())),
        };
        if !group.is_empty() {
            return Ok(User { uid, gid: self.find_group(group)?, groups: Vec::new() });
        }
        let groups = name.map(|name| self.groups_of(name)).unwrap_or_default();
        Ok(User { uid, gid, groups })
    }

    /// The home directory of a user; the root directory if there is none.
    pub(super) fn home(&self, uid: u32) -> &str {
        let entry = self.entries().find(|entry| entry.uid == uid);
        entry.map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or("/")
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let &[name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
            Some(Entry { name, uid: number(uid)?, gid: number(gid)?, home })
        })
    }

    /// Name, number and members of each group.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let &[name, _, gid, members, ..] = fields.as_slice() else { return None };
            Some((name, number(gid)?, members))
        })
    }

    fn find_group(&self, text: &str) -> Result<u32, AccountError> {
        let named = self.groups().find(|(name, ..)| *name == text).map(|(_, gid, _)| gid);
        named.or(number(text)).ok_or_else(|| AccountError::Group(text.escape_debug().to_string()))
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        let has_user = |members: &str| members.split(',').any(|member| member.trim() == user);
        let mut groups: Vec<u32> =
            self.groups().filter(|(.., members)| has_user(members)).map(|(_, gid, _)| gid).collect();
        groups.truncate(MAX_GROUPS);
        groups
    }
}

/// A user's or a group's number; all ones means none.
fn number(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_plain && *id != u32::MAX)
}

#[cfg(test)]
mod tests;
