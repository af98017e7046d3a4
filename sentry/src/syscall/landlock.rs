//! landlock_create_ruleset(2), landlock_add_rule(2) and landlock_restrict_self(2).

use std::sync::Arc;

use linux_raw_sys::landlock as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, UserSlice, handlers};
use super::process::read_extensible;
use crate::Errno;
use crate::abi::{LandlockNetPortAttr, LandlockPathBeneathAttr, LandlockRulesetAttr};
use crate::cred::{Capabilities, Credentials};
use crate::fs::landlock::RulesetFile;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::landlock::{ABI_VERSION, Domain, ERRATA, FileAccess, Handled, PortAccess, Scopes};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![landlock_create_ruleset, landlock_add_rule, landlock_restrict_self];

/// `handled_access_fs` alone: the first version of `struct landlock_ruleset_attr`.
const MIN_ATTR_BYTES: usize = 8;
/// `LANDLOCK_CREATE_RULESET_ERRATA`.
const CREATE_RULESET_ERRATA: u32 = 1 << 1;
/// `LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF`.
const LOG_SUBDOMAINS_OFF: u32 = 1 << 2;
/// All of `LANDLOCK_RESTRICT_SELF_LOG_*`: what is written to the audit log, which is not kept here.
const LOG_FLAGS: u32 = 0b111;

fn landlock_create_ruleset(
    task: &mut CurrentTask,
    attributes: UserSlice,
    flags: u32,
) -> Result<usize, Errno> {
    if flags != 0 {
        let is_question = attributes.address.0 == 0 && attributes.len_bytes == 0;
        return match flags {
            uapi::LANDLOCK_CREATE_RULESET_VERSION if is_question => Ok(ABI_VERSION),
            CREATE_RULESET_ERRATA if is_question => Ok(ERRATA),
            _ => Err(Errno::EINVAL),
        };
    }
    if attributes.address.0 == 0 {
        return Err(Errno::EFAULT);
    }
    let attributes: LandlockRulesetAttr = read_extensible(task, attributes, MIN_ATTR_BYTES)?;
    let handled = Handled {
        files: FileAccess::from_bits(attributes.handled_access_fs).ok_or(Errno::EINVAL)?,
        ports: PortAccess::from_bits(attributes.handled_access_net).ok_or(Errno::EINVAL)?,
        scopes: Scopes::from_bits(attributes.scoped).ok_or(Errno::EINVAL)?,
    };
    let file = RulesetFile::new(handled, task.kernel().open_files())?;
    let fd = task.install_descriptor(FileDescription::new(file, None, OpenFlags::RDWR), true)?;
    Ok(usize::try_from(fd.0).unwrap_or(0))
}

/// The ruleset that `fd` refers to.
///
/// # Errors
/// EBADF; EBADFD: it is none; EPERM: it was opened without `mode`.
fn find_ruleset(
    task: &CurrentTask,
    fd: Fd,
    mode: impl Fn(OpenFlags) -> bool,
) -> Result<Arc<FileDescription>, Errno> {
    let description = task.usable_file(fd)?;
    if description.downcast::<RulesetFile>().is_none() {
        return Err(Errno::EBADFD);
    }
    if mode(description.flags()) { Ok(description) } else { Err(Errno::EPERM) }
}

fn landlock_add_rule(
    task: &mut CurrentTask,
    fd: Fd,
    kind: u32,
    rule: UserPointer<u8>,
    flags: u32,
) -> Result<(), Errno> {
    const PATH_BENEATH: u32 = uapi::landlock_rule_type::LANDLOCK_RULE_PATH_BENEATH as u32;
    const NET_PORT: u32 = uapi::landlock_rule_type::LANDLOCK_RULE_NET_PORT as u32;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let description = find_ruleset(task, fd, OpenFlags::is_writable)?;
    let file = description.downcast::<RulesetFile>().ok_or(Errno::EBADFD)?;
    match kind {
        PATH_BENEATH => add_path(task, file, UserPointer::new(rule.address().0)),
        NET_PORT => add_port(task, file, UserPointer::new(rule.address().0)),
        _ => Err(Errno::EINVAL),
    }
}

fn add_path(
    task: &CurrentTask,
    file: &RulesetFile,
    rule: UserPointer<LandlockPathBeneathAttr>,
) -> Result<(), Errno> {
    let rule = rule.read(task)?;
    if rule.allowed_access == 0 {
        return Err(Errno::ENOMSG);
    }
    let handled = file.ruleset().handled().files;
    let access = FileAccess::from_bits(rule.allowed_access).filter(|access| handled.contains(*access));
    let access = access.ok_or(Errno::EINVAL)?;
    let place = task.file(Fd(rule.parent_fd))?;
    let path = place.path().ok_or(Errno::EBADFD)?;
    file.allow(path, access)
}

fn add_port(
    task: &CurrentTask,
    file: &RulesetFile,
    rule: UserPointer<LandlockNetPortAttr>,
) -> Result<(), Errno> {
    let rule = rule.read(task)?;
    if rule.allowed_access == 0 {
        return Err(Errno::ENOMSG);
    }
    let handled = file.ruleset().handled().ports;
    let access = PortAccess::from_bits(rule.allowed_access).filter(|access| handled.contains(*access));
    let access = access.ok_or(Errno::EINVAL)?;
    let port = u16::try_from(rule.port).map_err(|_| Errno::EINVAL)?;
    file.ruleset().allow_port(port, access)
}

fn landlock_restrict_self(task: &mut CurrentTask, fd: Fd, flags: u32) -> Result<(), Errno> {
    let credentials = task.credentials();
    if !credentials.no_new_privs && !credentials.has_in_own(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    if flags & !LOG_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if fd.0 == -1 && flags == LOG_SUBDOMAINS_OFF {
        return Ok(());
    }
    let description = find_ruleset(task, fd, OpenFlags::is_readable)?;
    let file = description.downcast::<RulesetFile>().ok_or(Errno::EBADFD)?;
    let domain = Domain::within(credentials.landlock.as_ref(), file.ruleset())?;
    task.task().set_credentials(Credentials { landlock: Some(domain), ..(*credentials).clone() });
    Ok(())
}
