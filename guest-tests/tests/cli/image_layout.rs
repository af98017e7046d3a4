//! OCI image layouts, written by the tests themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A directory that holds images.
pub(crate) struct Layout {
    directory: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    /// One without images, in `directory`, which is made.
    pub(crate) fn new(directory: &Path) -> Self {
        fs::create_dir_all(directory.join("blobs/sha256")).expect("mkdir");
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
        Self { directory: directory.to_owned(), manifests: Vec::new() }
    }

    /// Adds the image `name` of these layers, archives from the lowest, with what `config` says of how it is run.
    pub(crate) fn add(&mut self, name: &str, layers: &[Vec<u8>], config: &Value) {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let configuration = json!({
            "os": "linux", "architecture": "amd64", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(layer, LAYER)).collect();
        let configuration = self.blob(configuration.to_string().as_bytes(), CONFIGURATION);
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": layers });
        let mut descriptor = self.blob(manifest.to_string().as_bytes(), MANIFEST);
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.manifests.push(descriptor);
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        fs::write(self.directory.join("index.json"), index.to_string()).expect("write");
    }

    fn blob(&self, contents: &[u8], media_type: &str) -> Value {
        let digest = digest(contents);
        let name = digest.replace(':', "/");
        fs::write(self.directory.join("blobs").join(name), contents).expect("write");
        json!({ "mediaType": media_type, "digest": digest, "size": contents.len() })
    }
}

fn digest(contents: &[u8]) -> String {
    let hash = Sha256::digest(contents);
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// An archive of what is in `directory`, as GNU tar writes it with these options.
pub(crate) fn tar(directory: &Path, options: &[&str]) -> Vec<u8> {
    let archived =
        Command::new("tar").args(options).arg("-C").arg(directory).args(["-cf", "-", "."]).output();
    let archived = archived.expect("tar");
    assert!(archived.status.success(), "{}", String::from_utf8_lossy(&archived.stderr));
    archived.stdout
}
