//! The flags that name a key.

use anyhow::{Result, anyhow};
use clap::Args;

use crate::flags::{Exclusive, at_most_one};

/// Whose key, and which.
#[derive(Args, Clone, Debug)]
pub(super) struct Key {
    /// User in the guest.
    #[arg(long, short, required = true, value_name = "string")]
    pub(super) user: String,
    /// Secret that holds the keys.
    #[arg(long, default_value = "", value_name = "string")]
    pub(super) secret: String,
    /// File with the public key.
    #[arg(long, short, value_name = "file")]
    file: Option<String>,
    /// The public key itself.
    #[arg(long, value_name = "string")]
    value: Option<String>,
}

impl Key {
    /// Refuses flags that exclude each other.
    pub(super) fn exclude(&self) -> Result<(), Exclusive> {
        at_most_one(&[("file", self.file.is_some()), ("value", self.value.is_some())])
    }

    /// Returns the key.
    ///
    /// # Errors
    /// When none is named, or its file cannot be read.
    pub(super) fn read(&self) -> Result<String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(value) = given(&self.value) {
            return Ok(value);
        }
        let Some(file) = given(&self.file) else {
            return Err(anyhow!("error getting ssh key: one of --file, or --value must be specified"));
        };
        std::fs::read_to_string(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                anyhow!("error getting ssh key: open {file}: no such file or directory")
            }
            _ => anyhow!("error getting ssh key: open {file}: {error}"),
        })
    }
}

/// Whether a line of a secret is this key, whatever comment follows there.
pub(super) fn is_key(line: &str, key: &str) -> bool {
    line.trim().starts_with(key)
}
