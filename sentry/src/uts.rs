//! UTS namespaces (`man 7 uts_namespaces`): what the system is called.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::Errno;
use crate::cred::{Identity, Namespace};
use crate::wait::News;

/// Longest host or domain name, in bytes (`__NEW_UTS_LEN`).
pub const NAME_MAX_BYTES: usize = 64;

/// What uname(2) calls nodename and domainname.
#[derive(Debug)]
pub struct UtsNamespace {
    identity: Identity,
    names: Mutex<Names>,
    news: Arc<NameNews>,
}

/// Changes of the names, in whatever namespace of a kernel: as on Linux pollers do not tell them apart.
#[derive(Debug, Default)]
struct NameNews {
    host: Arc<News>,
    domain: Arc<News>,
}

#[derive(Debug, Clone)]
struct Names {
    host: Vec<u8>,
    domain: Vec<u8>,
}

impl UtsNamespace {
    /// A namespace with this host name, cut to [`NAME_MAX_BYTES`].
    pub fn new(identity: Identity, host: &[u8]) -> Arc<Self> {
        let host = host[..host.len().min(NAME_MAX_BYTES)].to_vec();
        let names = Names { host, domain: b"(none)".to_vec() };
        Arc::new(Self { identity, names: Mutex::new(names), news: Arc::default() })
    }

    /// A copy, for clone and unshare with CLONE_NEWUTS.
    pub fn duplicate(&self, identity: Identity) -> Arc<Self> {
        let names = self.names.lock().clone();
        Arc::new(Self { identity, names: Mutex::new(names), news: self.news.clone() })
    }

    /// What uname(2) calls `nodename`, at most 64 bytes.
    pub fn host_name(&self) -> Vec<u8> {
        self.names.lock().host.clone()
    }

    /// The NIS domain name.
    pub fn domain_name(&self) -> Vec<u8> {
        self.names.lock().domain.clone()
    }

    /// Where changes of host names are announced.
    pub fn host_news(&self) -> Arc<News> {
        self.news.host.clone()
    }

    /// Where changes of domain names are announced.
    pub fn domain_news(&self) -> Arc<News> {
        self.news.domain.clone()
    }

    /// sethostname(2).
    ///
    /// # Errors
    /// EINVAL if it is too long.
    pub fn set_host_name(&self, name: Vec<u8>) -> Result<(), Errno> {
        check_length(&name)?;
        self.names.lock().host = name;
        self.news.host.announce();
        Ok(())
    }

    /// setdomainname(2).
    ///
    /// # Errors
    /// EINVAL if it is too long.
    pub fn set_domain_name(&self, name: Vec<u8>) -> Result<(), Errno> {
        check_length(&name)?;
        self.names.lock().domain = name;
        self.news.domain.announce();
        Ok(())
    }
}

impl Namespace for UtsNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn check_length(name: &[u8]) -> Result<(), Errno> {
    if name.len() > NAME_MAX_BYTES { Err(Errno::EINVAL) } else { Ok(()) }
}
