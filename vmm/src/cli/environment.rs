//! The environment of a program, as options and files tell it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::Context;
use vmm::Failure;

/// Where programs are searched unless --env PATH=... says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program's environment: a small one of vmm's making, then the image's, then what was asked for.
pub(crate) fn environment(
    of_image: &[String],
    requested: Vec<OsString>,
    home: Option<&str>,
) -> Result<Vec<Vec<u8>>, Failure> {
    let own = [
        ("PATH", Some(DEFAULT_PATH.into())),
        ("HOME", home.map(OsString::from)),
        ("TERM", std::env::var_os("TERM")),
    ];
    let own_count = own.len();
    // By name, with its place among the others.
    let mut variables: BTreeMap<Vec<u8>, (usize, Vec<u8>)> = own
        .into_iter()
        .enumerate()
        .filter_map(|(place, (name, value))| Some((name.into(), (place, value?.into_vec()))))
        .collect();
    let of_image = of_image.iter().filter(|variable| variable.contains('=')).map(OsString::from);
    for (place, variable) in (own_count..).zip(of_image.chain(requested)) {
        let variable = variable.into_vec();
        let mut parts = variable.splitn(2, |byte| *byte == b'=').map(<[u8]>::to_vec);
        let Some(name) = parts.next().filter(|name| !name.is_empty()) else {
            return Err(no_name(&variable).into());
        };
        let of_vmm = || std::env::var_os(OsString::from_vec(name.clone())).map(OsString::into_vec);
        let value = parts.next().or_else(of_vmm);
        match value {
            Some(value) => variables.insert(name, (place, value)),
            None => variables.remove(&name),
        };
    }
    let mut variables: Vec<_> = variables.into_iter().collect();
    variables.sort_by_key(|(_, (place, _))| *place);
    Ok(variables.into_iter().map(|(name, (_, value))| [name.as_slice(), b"=", &value].concat()).collect())
}

/// What `requested` changes of an environment that is known elsewhere: `NAME=VALUE`, and a name alone for what is not to be there.
///
/// # Errors
/// A variable has no name.
pub(crate) fn changes(requested: impl Iterator<Item = OsString>) -> anyhow::Result<Vec<OsString>> {
    let change = |variable: OsString| {
        let bytes = variable.clone().into_vec();
        if bytes.is_empty() || bytes.starts_with(b"=") {
            return Err(no_name(&bytes));
        }
        let own = std::env::var_os(&variable).filter(|_| !bytes.contains(&b'='));
        let Some(own) = own else { return Ok(variable) };
        Ok(OsString::from_vec([bytes, b"=".to_vec(), own.into_vec()].concat()))
    };
    requested.map(change).collect()
}

/// What the files of --env-file say, in their order.
pub(crate) fn variables_of_files(files: &[PathBuf]) -> anyhow::Result<Vec<OsString>> {
    let mut variables = Vec::new();
    for file in files {
        let text = std::fs::read(file).with_context(|| format!("--env-file {}", file.display()))?;
        let lines = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_start());
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let told = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        variables.extend(told.map(|line| OsString::from_vec(line.to_vec())));
    }
    Ok(variables)
}

fn no_name(variable: &[u8]) -> anyhow::Error {
    anyhow::anyhow!("--env '{}' has no name: use --env NAME=VALUE", variable.escape_ascii())
}

#[cfg(test)]
mod tests;
