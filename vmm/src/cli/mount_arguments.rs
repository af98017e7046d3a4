//! What the command line says of mounts, in docker's spelling.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use sentry::boot::{HOSTFS, MountPoint};

use super::size;

/// The options of what is mounted in the sandbox besides the image.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct MountArguments {
    /// Mount a directory or file of the host, live in both directions; `ro` forbids writing, `map` gives what is yours on the host to the program's user
    #[arg(long, short = 'v', value_name = "HOST:GUEST[:ro,map]", value_parser = volume)]
    volume: Vec<MountPoint>,

    /// Mount an empty directory in memory
    #[arg(long, value_name = "GUEST[:size=SIZE,mode=MODE,ro]", value_parser = tmpfs)]
    tmpfs: Vec<MountPoint>,

    /// Mount something, as docker does: type=bind|volume|tmpfs,source=HOST,target=GUEST,readonly,map,tmpfs-size=SIZE,tmpfs-mode=MODE
    ///
    /// A volume without a source is an empty directory in memory; one with a source is the same as a bind.
    #[arg(long, value_name = "OPTIONS", value_parser = mount)]
    mount: Vec<MountPoint>,

    /// Have nothing be written to the root file system: only to volumes, tmpfs and /dev
    #[arg(long)]
    pub(crate) read_only: bool,
}

impl MountArguments {
    /// Everything that is mounted: what programs expect, then what was asked for.
    pub(crate) fn mounts(self) -> Vec<MountPoint> {
        [MountPoint::usual(), self.tmpfs, self.volume, self.mount].concat()
    }
}

/// `HOST:GUEST[:OPTIONS]`.
fn volume(text: &str) -> anyhow::Result<MountPoint> {
    let mut parts = text.splitn(3, ':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next());
    let target = target.with_context(|| format!("'{text}' names no place in the guest: use HOST:GUEST"))?;
    let (mut is_read_only, mut maps_owner) = (false, false);
    for option in parts.next().into_iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => is_read_only = true,
            "rw" => is_read_only = false,
            "map" => maps_owner = true,
            _ => bail!("'{option}' is no option of a volume: there are ro, rw and map"),
        }
    }
    Ok(bind(host_path(source)?, guest_path(target)?, is_read_only, maps_owner))
}

/// `GUEST[:OPTIONS]`.
fn tmpfs(text: &str) -> anyhow::Result<MountPoint> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let (mut kept, mut is_read_only) = (MemoryOptions::default(), false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("size", value) => kept.size_bytes = Some(size::parse(value).map_err(anyhow::Error::msg)?),
            ("mode", value) => kept.permissions = Some(mode(value)?),
            ("ro", "") => is_read_only = true,
            ("rw", "") => is_read_only = false,
            // As docker has them: they hold for every tmpfs that vmm mounts.
            ("noexec" | "nosuid" | "nodev", "") => {}
            _ => bail!("'{option}' is no option of --tmpfs: there are size, mode, ro and rw"),
        }
    }
    Ok(memory(guest_path(target)?, kept, is_read_only))
}

/// A directory or file of the host, mounted at `target`.
fn bind(source: PathBuf, target: String, is_read_only: bool, maps_owner: bool) -> MountPoint {
    let options = if maps_owner { "map".to_owned() } else { String::new() };
    MountPoint { target, file_system: HOSTFS.to_owned(), source: Some(source), options, is_read_only }
}

/// What is said of a directory in memory.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct MemoryOptions {
    size_bytes: Option<u64>,
    permissions: Option<u32>,
}

/// A directory in memory, mounted at `target`.
fn memory(target: String, options: MemoryOptions, is_read_only: bool) -> MountPoint {
    let size = options.size_bytes.map(|bytes| format!("size={bytes}"));
    let mode = options.permissions.map(|permissions| format!("mode={permissions:o}"));
    let options = size.into_iter().chain(mode).collect::<Vec<_>>().join(",");
    MountPoint { target, file_system: "tmpfs".to_owned(), source: None, options, is_read_only }
}

/// What `--mount` says, key by key.
#[derive(Default)]
struct MountOptions<'a> {
    kind: Option<&'a str>,
    source: Option<&'a str>,
    target: Option<&'a str>,
    is_read_only: bool,
    maps_owner: bool,
    memory: MemoryOptions,
}

fn mount(text: &str) -> anyhow::Result<MountPoint> {
    let mut options = MountOptions::default();
    for option in text.split(',') {
        let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
        let needed = || value.with_context(|| format!("'{key}' needs a value"));
        match key {
            "type" => options.kind = Some(needed()?),
            "source" | "src" => options.source = Some(needed()?),
            "target" | "dst" | "destination" => options.target = Some(needed()?),
            "readonly" | "ro" => options.is_read_only = boolean(key, value)?,
            "map" => options.maps_owner = boolean(key, value)?,
            "tmpfs-size" => {
                options.memory.size_bytes = Some(size::parse(needed()?).map_err(anyhow::Error::msg)?)
            }
            "tmpfs-mode" => options.memory.permissions = Some(mode(needed()?)?),
            _ => bail!("'{key}' is no option of --mount"),
        }
    }
    options.mount_point()
}

impl MountOptions<'_> {
    fn mount_point(self) -> anyhow::Result<MountPoint> {
        let target = guest_path(self.target.context("--mount names no target")?)?;
        let of_memory = self.memory != MemoryOptions::default();
        match (self.kind.unwrap_or("volume"), self.source) {
            ("tmpfs", Some(_)) => bail!("a tmpfs has no source"),
            ("bind", None) => bail!("a bind mount needs a source"),
            ("tmpfs" | "volume", None) if !self.maps_owner => {
                Ok(memory(target, self.memory, self.is_read_only))
            }
            ("bind" | "volume", Some(source)) if !of_memory => {
                Ok(bind(host_path(source)?, target, self.is_read_only, self.maps_owner))
            }
            ("bind" | "volume" | "tmpfs", _) => bail!("options of another type of mount"),
            (kind, _) => bail!("'{kind}' is no type of mount: there are bind, volume and tmpfs"),
        }
    }
}

fn boolean(key: &str, value: Option<&str>) -> anyhow::Result<bool> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => bail!("'{key}={value}' is neither true nor false"),
    }
}

/// A path of the host, as the caller's working directory has it.
fn host_path(text: &str) -> anyhow::Result<PathBuf> {
    ensure!(!text.is_empty(), "it names nothing on the host");
    ensure!(
        text.contains('/') || Path::new(text).exists(),
        "there is no '{text}' here, and vmm keeps no volumes by name: give a path"
    );
    std::path::absolute(text).with_context(|| format!("'{text}'"))
}

fn guest_path(text: &str) -> anyhow::Result<String> {
    ensure!(text.starts_with('/'), "'{text}' is no absolute path in the guest");
    ensure!(!text.trim_end_matches('/').is_empty(), "'/' is the image's: nothing else can be mounted there");
    Ok(text.trim_end_matches('/').to_owned())
}

fn mode(text: &str) -> anyhow::Result<u32> {
    let mode = u32::from_str_radix(text, 8).with_context(|| format!("'{text}' is no octal mode"))?;
    ensure!(mode <= 0o7777, "'{text}' has more than permission bits");
    Ok(mode)
}

#[cfg(test)]
mod tests;
