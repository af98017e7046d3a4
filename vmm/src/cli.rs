//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use rustix::process::Pid;
use sentry::boot::{Description, Text, User};
use sentry::signal::Signal;
use vmm::control::Target;
use vmm::image::{self, Configuration, OpenImage};
use vmm::{Custody, Failure, JailUser, Output};

use crate::limit_arguments::LimitArguments;
use crate::mount_arguments::MountArguments;
use crate::{images, signal_name, size};

/// Where programs are searched unless --env PATH=... says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const EXAMPLES: &str = "\
Examples:
  vmm -- sh -c 'echo hello from $(uname -s)'    a shell on the host's own files, which stay as they are
  vmm --image ./rootfs -- make test             tests on a root file system in a directory
  vmm --image ./hello                           a single static executable in an empty root
  vmm --image app.tar.gz                        an image that `docker save` has written, as it says that it is to be run
  vmm doctor                                    what this host offers, and what is missing
  vmm pause 4711; vmm resume 4711               have the sandbox of process 4711 stand still and go on
  vmm --memory 512M --strace -- python3 x.py    with a memory limit, and every system call on standard error

Exit status: the program's own; 128+N if signal N killed it; 125 if vmm itself failed, 126 if COMMAND cannot
be executed, 127 if it is not found; 124 if the --timeout has passed.";

/// Run a Linux program inside a KVM microVM that has no guest kernel.
///
/// The program's system calls are served by the sentry, a Linux kernel in user space. The image is never written:
/// what the program changes lives in memory and ends with it.
#[derive(Debug, Parser)]
#[command(name = "vmm", version, after_help = EXAMPLES, max_term_width = 110)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// A directory that holds a root file system, an image or archive of one, or a single ELF executable; the host's own / if left out
    ///
    /// An image is an OCI layout (a directory, or a tar of one) or what `docker save` and `podman save` write; of several, append #NAME. Its layers are
    /// unpacked once, into a store; how it says that it is to be run holds unless the command line says otherwise. An archive may be
    /// compressed with gzip, xz or zstd; `-` reads it from standard input. The name of an image that the store has will do. An executable is run in
    /// an otherwise empty root, and the words after `--` are its arguments.
    #[arg(long, value_name = "IMAGE", num_args = 0..=1, default_value = "/", default_missing_value = "/")]
    image: OsString,

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
    limits: LimitArguments,

    /// Copy a file or tree of the guest to the host when the program has ended, whatever its status: whole or not at all
    #[arg(long, value_name = "GUEST:HOST")]
    output: Vec<Output>,

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
    hostname: OsString,

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

    /// What asks the program to end when vmm gets a SIGTERM [default: the image's, or SIGTERM]
    #[arg(long, value_name = "SIGNAL", value_parser = signal_name::parse)]
    stop_signal: Option<Signal>,

    /// How long the program has to end after a SIGTERM to vmm, which it gets; then, or at a second SIGTERM, it is killed
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    stop_timeout: u64,

    /// Whether system calls are served without leaving the guest, where that is possible and pays
    ///
    /// Calls that a program makes often are then rewritten as they are made, in copies of the pages of its files that only
    /// its own instruction fetches, and reads of its own text, see; and a thread of vmm polls for them. `auto` is `off`
    /// for now.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    exitless: Exitless,

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

    /// How much vmm says of itself on standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    pub(crate) log: log::LevelFilter,

    /// The program and its arguments; /bin/sh if left out
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,

    #[command(subcommand)]
    pub(crate) subcommand: Option<Subcommand>,
}

/// What vmm does instead of running a program. After `--` or an option, the same words name programs.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Tell what this host offers, what is missing and how to get it
    Doctor {
        /// Judge the host as for a run with this option
        #[arg(long)]
        insecure_no_landlock: bool,
    },

    /// Tell what images are unpacked, and manage them
    Images(images::Arguments),

    /// Print what completes vmm's options in a shell
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the manual page, for man(1)
    Man,

    /// Have every task of a running sandbox stand still, and return once all do
    ///
    /// Only the sandbox's own user and root may pause it. Inside, nothing but the time that passes
    /// is noticed: timers that are due meanwhile expire afterwards, and signals wait, those sent to the vmm included.
    Pause {
        /// The process number of the vmm that runs the sandbox, or the name that you gave it with --name
        #[arg(value_name = "PID|NAME", value_parser = sandbox)]
        sandbox: Target,
    },

    /// Send a signal to the first process of a running sandbox
    Kill {
        /// The signal, by name or number
        #[arg(long, short = 's', value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
        signal: i32,

        /// The process number of the vmm that runs the sandbox, or the name that you gave it with --name
        #[arg(value_name = "PID|NAME", value_parser = sandbox)]
        sandbox: Target,
    },

    /// Let a paused sandbox go on
    Resume {
        /// The process number of the vmm that runs the sandbox, or the name that you gave it with --name
        #[arg(value_name = "PID|NAME", value_parser = sandbox)]
        sandbox: Target,
    },
}

/// The signals that people send by name.
const SIGNALS: [(&str, i32); 12] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ABRT", libc::SIGABRT),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("WINCH", libc::SIGWINCH),
];

/// A signal, by name or number.
fn signal(text: &str) -> anyhow::Result<i32> {
    const LAST: i32 = 64;
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let named = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok().filter(|number| (1..=LAST).contains(number)));
    number.with_context(|| format!("'{text}' is no signal that can be sent"))
}

/// The name of a container, or the number of a process: what is all digits is a number.
fn sandbox(text: &str) -> anyhow::Result<Target> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return container_name(text).map(Target::Container);
    }
    let pid = text.parse().ok().and_then(Pid::from_raw).map(Target::Process);
    pid.with_context(|| format!("'{text}' is no process number"))
}

impl Arguments {
    /// What completes the command line in `shell`.
    pub(crate) fn completions(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "vmm", &mut script);
        script
    }

    /// The manual page.
    ///
    /// # Errors
    /// None that is known: it is written to memory.
    pub(crate) fn manual() -> std::io::Result<Vec<u8>> {
        let mut page = Vec::new();
        clap_mangen::Man::new(Self::command()).render(&mut page)?;
        Ok(page)
    }

    /// How vmm is to keep the sandbox of `opened`.
    ///
    /// # Errors
    /// The image is to be stopped by something that is no signal.
    pub(crate) fn custody(&self, opened: &OpenImage) -> anyhow::Result<Custody> {
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
            is_exitless: self.exitless == Exitless::On,
        })
    }

    /// The image that is to be run.
    pub(crate) fn image_request(&self) -> image::Request {
        let (image, store) = (self.image.clone(), self.store.clone());
        image::Request { image, store, limit_bytes: self.image_limit }
    }

    /// What the sandbox of `opened` is to be: as the image says, unless the command line says otherwise.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub(crate) fn describe(self, opened: &OpenImage) -> Result<Description, Failure> {
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
            name: self.name,
            memory_bytes: self.memory,
            traces_system_calls: self.strace,
        })
    }
}

/// When system calls are served without leaving the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Exitless {
    /// By what was measured.
    Auto,
    /// Where it pays.
    On,
    /// Never.
    Off,
}

/// A host name that sethostname(2) would take.
fn host_name(name: OsString) -> anyhow::Result<OsString> {
    const MAX_LEN: usize = 64;
    anyhow::ensure!(name.len() <= MAX_LEN, "it is longer than the {MAX_LEN} bytes that Linux allows");
    Ok(name)
}

/// A name that is a container's id everywhere else, too.
fn container_name(text: &str) -> anyhow::Result<String> {
    const MAX_LEN: usize = 64;
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    anyhow::ensure!(
        (1..=MAX_LEN).contains(&text.len())
            && text.bytes().all(is_fine)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric()),
        "'{}' is no name: use up to {MAX_LEN} letters, digits, '_', '.' and '-', a letter or digit first",
        text.escape_debug()
    );
    Ok(text.to_owned())
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

/// The program's environment: a small one of vmm's making, then the image's, then what was asked for.
fn environment(
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

/// What the files of --env-file say, in their order.
fn variables_of_files(files: &[PathBuf]) -> anyhow::Result<Vec<OsString>> {
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

/// Who a program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UserChoice {
    Numbers(User),
    /// `USER[:GROUP]`, which the image's tables tell.
    Named(String),
}

/// The number of a user that an image's table tells, as far as it shows: what capabilities are counted from.
fn probable_uid(name: &str) -> u32 {
    const NOBODY: u32 = 65_534;
    match name.split(':').next() {
        Some("root" | "") | None => 0,
        Some(user) => user.parse().unwrap_or(NOBODY),
    }
}

/// A user and a group, by name or number.
fn user(text: &str) -> anyhow::Result<UserChoice> {
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

fn jail_user(text: &str) -> anyhow::Result<JailUser> {
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
