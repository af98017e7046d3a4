//! Users and groups, by number or by name.

use anyhow::Context;
use sentry::boot::User;
use vmm::JailUser;

/// Who a program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserChoice {
    Numbers(User),
    /// `USER[:GROUP]`, which the image's tables tell.
    Named(String),
}

/// The number of a user that an image's table tells, as far as it shows: what capabilities are counted from.
pub(crate) fn probable_uid(name: &str) -> u32 {
    const NOBODY: u32 = 65_534;
    match name.split(':').next() {
        Some("root" | "") | None => 0,
        Some(user) => user.parse().unwrap_or(NOBODY),
    }
}

/// A user and a group, by name or number.
pub(crate) fn user(text: &str) -> anyhow::Result<UserChoice> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_parts = parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && !part.starts_with('-'));
    anyhow::ensure!(has_parts, "'{}' is no user: use USER or USER:GROUP", text.escape_debug());
    if !parts.iter().all(is_number) {
        return Ok(UserChoice::Named(text.to_owned()));
    }
    let (uid, gid) = user_and_group(text)?;
    Ok(UserChoice::Numbers(User { uid, gid, ..User::default() }))
}

pub(crate) fn jail_user(text: &str) -> anyhow::Result<JailUser> {
    let (uid, gid) = user_and_group(text)?;
    Ok(JailUser { uid, gid })
}

/// A user and a group, by number; without a group the user's number is the group's, too.
fn user_and_group(text: &str) -> anyhow::Result<(u32, u32)> {
    let id = |text: &str| -> anyhow::Result<u32> {
        let id: u32 = text.parse().with_context(|| format!("'{text}' is not a number"))?;
        // All ones means "none" everywhere.
        anyhow::ensure!(id != u32::MAX, "{id} is no user or group");
        Ok(id)
    };
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    Ok((id(uid)?, id(gid)?))
}

#[cfg(test)]
mod tests;
