//! Credentials for registries, as Kubernetes keeps them in `kubernetes.io/dockerconfigjson` Secrets.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use serde::Deserialize;

use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::parse;

/// What one registry asks for.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A token that is sent as it is.
    Bearer(String),
}

impl Credential {
    /// Returns what tells this login for `registry` from others, without showing it.
    pub(crate) fn fingerprint(&self, registry: &str) -> Digest {
        let parts = match self {
            Self::Basic { username, password } => ["basic", registry, username, password],
            Self::Bearer(token) => ["bearer", registry, token, ""],
        };
        let mut text = Vec::new();
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Digest::of(&text)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(formatter, "Basic({username}, ...)"),
            Self::Bearer(_) => write!(formatter, "Bearer(...)"),
        }
    }
}

/// Credentials by registry.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<String, Credential>);

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    registrytoken: String,
}

impl Credentials {
    /// Adds what `registry` (host, with a port where it is not the usual one) asks for.
    pub fn insert(&mut self, registry: &str, credential: Credential) {
        self.0.insert(host(registry).to_owned(), credential);
    }

    /// Adds the entries of a `.dockerconfigjson`.
    ///
    /// # Errors
    /// When the document or one of its entries cannot be read. The error shows no secret.
    pub fn add_docker_config(&mut self, document: &[u8]) -> Result<(), Error> {
        let bad = |reason: &str| Error::Document {
            what: "the docker configuration".to_owned(),
            reason: reason.to_owned(),
        };
        let config: DockerConfig = parse(document, "the docker configuration")
            .map_err(|_| bad("it is no JSON object with auths"))?;
        for (registry, entry) in config.auths {
            let credential = if !entry.registrytoken.is_empty() {
                Credential::Bearer(entry.registrytoken)
            } else if entry.auth.is_empty() {
                Credential::Basic { username: entry.username, password: entry.password }
            } else {
                let decoded = base64::engine::general_purpose::STANDARD.decode(entry.auth.trim()).ok();
                let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
                let pair = text.as_deref().and_then(|text| text.split_once(':'));
                let (username, password) =
                    pair.ok_or_else(|| bad("an auth is not base64 of USER:PASSWORD"))?;
                Credential::Basic { username: username.to_owned(), password: password.to_owned() }
            };
            self.insert(&registry, credential);
        }
        Ok(())
    }

    /// Returns what `registry` asks for, if it is known.
    pub fn get(&self, registry: &str) -> Option<&Credential> {
        self.0.get(host(registry))
    }
}

/// Strips what people write around a registry's host; Docker Hub has several names.
fn host(registry: &str) -> &str {
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.split('/').next().unwrap_or(bare);
    if bare == "index.docker.io" || bare == "registry-1.docker.io" { "docker.io" } else { bare }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_configurations_are_read() {
        let mut credentials = Credentials::default();
        let document = br#"{"auths":{"https://index.docker.io/v1/":{"auth":"Ym9iOnM6Y3JldA=="},
            "registry.example:5000":{"username":"eve","password":"pw"}}}"#;
        credentials.add_docker_config(document).unwrap();
        let expected = Credential::Basic { username: "bob".to_owned(), password: "s:cret".to_owned() };
        assert_eq!(credentials.get("docker.io"), Some(&expected));
        assert!(credentials.get("registry.example:5000").is_some());
        assert!(credentials.get("registry.example").is_none());
        assert!(!format!("{credentials:?}").contains("cret"));
    }

    #[test]
    fn errors_show_no_secret() {
        let error =
            Credentials::default().add_docker_config(br#"{"auths":{"x":{"auth":"hunter2"}}}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
