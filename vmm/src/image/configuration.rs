//! What an image says of how it is to be run.

use oci_spec::image::{Config, ImageConfiguration};

/// What an image says of how it is to be run (OCI image specification, `config.json`).
#[derive(Clone, Debug)]
pub struct Configuration(ImageConfiguration);

impl Configuration {
    pub(super) fn new(configuration: ImageConfiguration) -> Self {
        Self(configuration)
    }

    fn get<'a, T: ?Sized>(&'a self, field: impl FnOnce(&'a Config) -> Option<&'a T>) -> Option<&'a T> {
        self.0.config().as_ref().and_then(field)
    }

    /// The program and the arguments that it always gets.
    pub fn entrypoint(&self) -> &[String] {
        self.get(|config| config.entrypoint().as_deref()).unwrap_or_default()
    }

    /// The arguments that it gets unless others are given; the program itself, without an entrypoint.
    pub fn command(&self) -> &[String] {
        self.get(|config| config.cmd().as_deref()).unwrap_or_default()
    }

    /// `NAME=value` each.
    pub fn environment(&self) -> &[String] {
        self.get(|config| config.env().as_deref()).unwrap_or_default()
    }

    /// The working directory, if it names one.
    pub fn working_directory(&self) -> Option<&str> {
        self.get(|config| config.working_dir().as_deref()).filter(|path| !path.is_empty())
    }

    /// Who the program runs as, `USER[:GROUP]`, by name or number.
    pub fn user(&self) -> Option<&str> {
        self.get(|config| config.user().as_deref()).filter(|user| !user.is_empty())
    }

    /// Directories that stay writable, and whose contents are nobody else's.
    pub fn volumes(&self) -> &[String] {
        self.get(|config| config.volumes().as_deref()).unwrap_or_default()
    }

    /// The signal that asks the program to end.
    pub fn stop_signal(&self) -> Option<&str> {
        self.get(|config| config.stop_signal().as_deref()).filter(|signal| !signal.is_empty())
    }

    /// The ports that it listens on, `PORT[/PROTOCOL]` each.
    pub fn exposed_ports(&self) -> &[String] {
        self.get(|config| config.exposed_ports().as_deref()).unwrap_or_default()
    }
}
