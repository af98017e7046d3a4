//! Names of images, as registries have them: `[HOST/]PATH[:TAG][@DIGEST]`.

const DEFAULT_TAG: &str = "latest";

/// Whether two names mean one image: docker leaves out its own registry, `library/` and `:latest`.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || plain(one) == plain(other)
}

fn plain(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:{DEFAULT_TAG}") }
}

/// Whether `text` could be an image's name in a registry, and is no path for sure.
pub(crate) fn looks_like_reference(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    let (name, digest) = text.split_once('@').unwrap_or((text, ""));
    let tag_start = name.rfind(':').filter(|colon| !name[*colon..].contains('/')).unwrap_or(name.len());
    let (path, tag) = name.split_at(tag_start);
    let path = match path.split_once(':') {
        // A registry's port.
        Some((host, rest)) if rest.starts_with(|c: char| c.is_ascii_digit()) => format!("{host}{rest}"),
        _ => path.to_owned(),
    };
    let is_path = path.starts_with(['.', '/', '-']) || path.ends_with('/') || path.contains("//");
    let is_tag =
        tag.chars().skip(1).all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && tag.len() != 1;
    !path.is_empty()
        && !is_path
        && path.chars().all(is_fine)
        && is_tag
        && (digest.is_empty() || digest.contains(':'))
}

#[cfg(test)]
mod tests;
