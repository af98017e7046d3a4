//! Running a program: the options without a subcommand.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{OsStringValueParser, TypedValueParser};
use sentry::boot::{Description, Text, User};
use sentry::signal::Signal;
use vmm::image::{self, Configuration, OpenImage};
use vmm::{Custody, Failure, JailUser, Output};

use super::detached::DetachArguments;
use super::environment::{environment, variables_of_files};
use super::limit_arguments::LimitArguments;
use super::mount_arguments::MountArguments;
use super::network_arguments::NetworkArguments;
use super::profile::ProfileOptions;
use super::stream_arguments::StreamArguments;
use super::target::container_name;
use super::user::{UserChoice, jail_user, probable_uid, user};
use super::{signal_name, size};

/// What is run, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// A directory that holds a root file system, an image or archive of one, or a single ELF executable; the host's own / if left out
    ///
    /// An image is an OCI layout (a directory, or a tar of one) or what `docker save` and `podman save` write; of several, append #NAME. Its layers are
    /// unpacked once, into a store; how it says that it is to be run holds unless the command line says otherwise. An archive may be
    /// compressed with gzip, xz or zstd; `-` reads it from standard input. The name of an image that the store has will do. An executable is run in
    /// an otherwise empty root, and the words after `--` are its arguments.
    #[arg(long, value_name = "IMAGE", num_args = 0..=1, default_value = "/", default_missing_value = "/")]
    pub(super) image: OsString,

    /// Where images are unpacked [default: palisade in the user's cache directory]
    #[arg(long, value_name = "DIRECTORY")]
    store: Option<PathBuf>,

    /// Most that an image may unpack to, where each file counts for 8K besides its contents
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = size::parse)]
    image_limit: u64,

    /// Run this instead of the image's entry point, and give it the words after `--` alone
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,

    #[command(flatten)]
    mounts: MountArguments,

    #[command(flatten)]
    network: NetworkArguments,

    #[command(flatten)]
    limits: LimitArguments,

    /// Run the program as the child of an init, which waits for what is orphaned and passes signals on
    #[arg(long)]
    init: bool,

    #[command(flatten)]
    streams: StreamArguments,

    #[command(flatten)]
    detached: DetachArguments,

    /// Copy a file or tree of the guest to the host when the program has ended, whatever its status: whole or not at all
    #[arg(long, value_name = "GUEST:HOST")]
    output: Vec<Output>,

    /// Write what the program changed in its root file system to an archive when it has ended, whatever its status: a layer that
    /// `vmm images commit` makes an image of
    ///
    /// Volumes and what else is mounted are not part of it.
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,

    /// Set environment variables from a file: NAME=VALUE or NAME a line, as for --env, which wins; `#` begins a comment
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Set an environment variable; without =VALUE, pass on vmm's own
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,

    /// The program's working directory [default: the image's, or /]
    #[arg(long, short = 'w', value_name = "DIRECTORY")]
    workdir: Option<PathBuf>,

    /// Run as this user and group, by number or by name in the image's passwd and group [default: the image's, or 0:0]
    #[arg(long, short = 'u', value_name = "USER[:GROUP]", value_parser = user)]
    user: Option<UserChoice>,

    /// The host name that the program sees
    #[arg(long, value_name = "NAME", default_value = "palisade", value_parser = OsStringValueParser::new().try_map(host_name))]
    pub(super) hostname: OsString,

    /// Name the sandbox: the program and what it starts live in a control group of that name
    ///
    /// Inside, /proc/self/cgroup shows it; outside, `vmm pause NAME` finds it, so no two that run may have the same. Letters, digits, `_`, `.` and `-`, at most 64.
    #[arg(long, value_name = "NAME", value_parser = container_name)]
    name: Option<String>,

    /// Most memory that the guest may use, as 512M or 2G; past it the guest gets ENOMEM [default: three quarters of the host's memory]
    #[arg(long, short = 'm', value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,

    /// Write every system call to standard error, decoded
    #[arg(long)]
    strace: bool,

    #[command(flatten)]
    profile: ProfileOptions,

    /// What asks the program to end when vmm gets a SIGTERM [default: the image's, or SIGTERM]
    #[arg(long, value_name = "SIGNAL", value_parser = signal_name::parse)]
    stop_signal: Option<Signal>,

    /// How long the program has to end after a SIGTERM to vmm, which it gets; then, or at a second SIGTERM, it is killed
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    stop_timeout: u64,

    /// Whether system calls are served without leaving the guest, where that is possible and pays
    ///
    /// Calls that a program makes often are then rewritten as they are made, in copies of the pages of its files that only
    /// its own instruction fetches, and reads of its own text, see (`--no-patch` is for programs that do not bear that); and
    /// threads of vmm poll for them, on processors that the guest leaves idle. `auto` polls while that saves a fair part of
    /// the processor time that it takes, and nobody else on the host waits for a processor.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    exitless: Exitless,

    /// Rewrite no system calls, for programs that read their own text; then each of their calls leaves the guest
    #[arg(long)]
    no_patch: bool,

    /// Run on a host without Landlock, or whose Landlock is older than Linux 6.2's
    ///
    /// A layer of the jail is missing then: a guest that has taken over vmm may open the host's files. `vmm doctor` tells which
    /// layers there are.
    #[arg(long)]
    insecure_no_landlock: bool,

    /// Become this user and group, by number, before the program runs; only for vmm started by root, which else becomes a user
    /// that no other process is
    ///
    /// It has CAP_DAC_READ_SEARCH where the image is a directory, and no other capability: network file systems and FUSE may show
    /// it less than they show root. With 0, vmm stays root, without its capabilities.
    #[arg(long, value_name = "UID[:GID]", value_parser = jail_user)]
    jail_user: Option<JailUser>,

    /// The program and its arguments; /bin/sh if left out
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(super) command: Vec<OsString>,
}

impl RunArguments {
    /// Runs the program, and returns the status to exit with.
    ///
    /// # Errors
    /// What keeps it from running.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let opened = image::open(&self.image_request())?;
        let custody = self.custody(&opened)?;
        let detached = self.detached.clone();
        let description = self.describe(&opened)?;
        match detached.detach {
            true => detached.run(description, opened, custody),
            false => vmm::run(description, opened.image, custody),
        }
    }

    /// How vmm is to keep the sandbox of `opened`.
    ///
    /// # Errors
    /// The image is to be stopped by something that is no signal.
    fn custody(&self, opened: &OpenImage) -> anyhow::Result<Custody> {
        let of_image = opened.configuration.as_ref().and_then(Configuration::stop_signal);
        let stop_signal = match (self.stop_signal, of_image) {
            (Some(signal), _) => signal,
            (None, Some(name)) => signal_name::parse(name).context("the image's stop signal")?,
            (None, None) => Signal::SIGTERM,
        };
        Ok(Custody {
            is_landlock_required: !self.insecure_no_landlock,
            jail_user: self.jail_user,
            stop_signal,
            stop_timeout: Duration::from_secs(self.stop_timeout),
            timeout: self.limits.timeout,
            outputs: self.output.clone(),
            diff: self.diff.as_deref().map(std::path::absolute).transpose()?,
            profile: self.profile.wanted()?,
            exitless: self.exitless.into(),
            keeps_text: self.no_patch,
            network: self.network.network(),
            has_terminal: self.streams.has_terminal(!self.detached.detach),
            has_input: self.streams.has_input(!self.detached.detach),
            image_name: self.image.to_string_lossy().into_owned(),
            ..Custody::default()
        })
    }

    /// The image that is to be run.
    fn image_request(&self) -> image::Request {
        let (image, store) = (self.image.clone(), self.store.clone());
        image::Request { image, store, limit_bytes: self.image_limit }
    }

    /// What the sandbox of `opened` is to be: as the image says, unless the command line says otherwise.
    ///
    /// # Errors
    /// A value that makes no sense.
    fn describe(self, opened: &OpenImage) -> Result<Description, Failure> {
        let image = opened.configuration.as_ref();
        let of_image = image.map(Configuration::environment).unwrap_or_default();
        let of_image_user =
            || image.and_then(Configuration::user).map(|name| UserChoice::Named(name.to_owned()));
        let (user, user_name) = match self.user.or_else(of_image_user) {
            Some(UserChoice::Numbers(user)) => (user, None),
            Some(UserChoice::Named(name)) => (User::default(), Some(name)),
            None => (User::default(), None),
        };
        // An image's own passwd tells, and so it does of users by name.
        let has_own_home = image.is_none() && user_name.is_none();
        let home = has_own_home.then_some(if user.uid == 0 { "/root" } else { "/" });
        let requested = [variables_of_files(&self.env_file)?, self.env].concat();
        let environment = environment(of_image, requested, home)?;
        let capabilities = self.limits.capabilities(user_name.as_deref().map_or(user.uid, probable_uid));
        let working_directory = match self.workdir {
            Some(directory) => directory.into_os_string().into(),
            None => image.and_then(Configuration::working_directory).unwrap_or("/").into(),
        };
        Ok(Description {
            root: opened.path.clone().unwrap_or_default(),
            is_root_read_only: self.mounts.read_only,
            mounts: self.mounts.mounts(),
            command: command(image, self.entrypoint, self.command),
            environment: environment.into_iter().map(Text).collect(),
            has_reaper: self.init,
            working_directory,
            makes_working_directory: image.is_some(),
            anonymous_volumes: image.map(volumes).unwrap_or_default(),
            user,
            user_name,
            capabilities,
            resource_limits: self.limits.ulimit,
            max_tasks: self.limits.pids_limit,
            max_millicpus: self.limits.cpus,
            host_name: self.hostname.into(),
            name_service: self.network.network().name_service(),
            name: self.name,
            memory_bytes: self.memory,
            traces_system_calls: self.strace,
        })
    }
}

/// When system calls are served without leaving the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Exitless {
    /// While it pays.
    Auto,
    /// Whenever calls are frequent and a processor is idle.
    On,
    /// Never.
    Off,
}

impl From<Exitless> for platform_kvm::Exitless {
    fn from(exitless: Exitless) -> Self {
        match exitless {
            Exitless::Auto => Self::Auto,
            Exitless::On => Self::On,
            Exitless::Off => Self::Off,
        }
    }
}

/// A host name that sethostname(2) would take.
fn host_name(name: OsString) -> anyhow::Result<OsString> {
    const MAX_LEN: usize = 64;
    anyhow::ensure!(name.len() <= MAX_LEN, "it is longer than the {MAX_LEN} bytes that Linux allows");
    Ok(name)
}

/// The program and its arguments. The image's entry point gets the words that are given, or the image's own.
fn command(image: Option<&Configuration>, entrypoint: Option<OsString>, words: Vec<OsString>) -> Vec<Text> {
    let texts = |own: &[String]| own.iter().map(|word| Text::from(word.as_str())).collect::<Vec<_>>();
    let words: Vec<Text> = words.into_iter().map(Text::from).collect();
    let (program, own_words) = match (entrypoint, image) {
        (Some(program), _) => (vec![Text::from(program)], Vec::new()),
        (None, Some(image)) => (texts(image.entrypoint()), texts(image.command())),
        (None, None) => (Vec::new(), Vec::new()),
    };
    program.into_iter().chain(if words.is_empty() { own_words } else { words }).collect()
}

/// The directories that an image wants to be volumes. Its root directory is none, and paths are absolute.
fn volumes(image: &Configuration) -> Vec<String> {
    let paths = image.volumes().iter().map(|path| path.trim_end_matches('/'));
    paths.filter(|path| path.starts_with('/')).map(str::to_owned).collect()
}
