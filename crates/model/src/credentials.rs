//! Credentials that a guest's agent sets while the guest runs: users' authorized keys and passwords.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::kubevirt::v1::{AccessCredential, VirtualMachineInstance};

use crate::cloudinit::SecretData;

/// What the agent is asked to set, by user.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// All authorized keys of a user: whatever else his file holds goes.
    pub keys: BTreeMap<String, Vec<String>>,
    /// The password of a user.
    pub passwords: BTreeMap<String, String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("keys_of", &self.keys.keys())
            .field("passwords_of", &self.passwords.keys())
            .finish()
    }
}

/// Why credentials cannot be made from what the instance names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A Secret is not there.
    #[error("{field}: the Secret {secret} does not exist; create it, or correct the name")]
    NoSecret {
        /// The field that names it.
        field: String,
        /// Secret.
        secret: String,
    },
    /// A password is not text, which no guest takes.
    #[error(
        "{field}: the password of {user} in the Secret {secret} is not UTF-8 on one line; write one that is"
    )]
    NoText {
        /// The field that names the Secret.
        field: String,
        /// Secret.
        secret: String,
        /// The user, which is the Secret's key.
        user: String,
    },
}

/// Tells whether some of an instance's credentials go through its guest's agent.
pub fn wanted(credentials: &[AccessCredential]) -> bool {
    credentials.iter().any(|credential| Through::of(credential).is_some())
}

/// Returns the names of the Secrets that they are made from.
pub fn secrets(vmi: &VirtualMachineInstance) -> BTreeSet<String> {
    through_agent(vmi).filter_map(|(_, credential)| credential.secret()).map(str::to_owned).collect()
}

/// Makes the credentials. `secrets` holds what [`secrets`] named, as far as it exists.
///
/// Keys are all values of their Secret, a line each; passwords stand in theirs by the user's name.
pub fn of(
    vmi: &VirtualMachineInstance,
    secrets: &BTreeMap<String, SecretData>,
) -> Result<Credentials, CredentialsError> {
    let mut made = Credentials::default();
    for (field, credential) in through_agent(vmi) {
        let Some(name) = credential.secret() else { continue };
        let no_secret = || CredentialsError::NoSecret { field: field.clone(), secret: name.to_owned() };
        let data = secrets.get(name).ok_or_else(no_secret)?;
        match credential {
            Through::Keys { users, .. } => {
                for user in users {
                    made.keys.entry(user.clone()).or_default().extend(keys(data));
                }
            }
            Through::Password { .. } => {
                for (user, value) in data {
                    let no_text = || CredentialsError::NoText {
                        field: field.clone(),
                        secret: name.to_owned(),
                        user: user.clone(),
                    };
                    // Editors end files with a newline, which nobody means to type.
                    let text =
                        std::str::from_utf8(value).map_err(|_| no_text())?.trim_end_matches(['\r', '\n']);
                    if text.contains(['\r', '\n', '\0']) {
                        return Err(no_text());
                    }
                    made.passwords.insert(user.clone(), text.to_owned());
                }
            }
        }
    }
    Ok(made)
}

/// Returns the public keys in a Secret, a line each.
pub(crate) fn keys(data: &SecretData) -> Vec<String> {
    let texts = data.values().map(|value| String::from_utf8_lossy(value).into_owned());
    let lines = texts.flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty()).collect()
}

/// One credential that goes through the agent.
enum Through<'a> {
    Keys { secret: Option<&'a str>, users: &'a [String] },
    Password { secret: Option<&'a str> },
}

impl<'a> Through<'a> {
    fn of(credential: &'a AccessCredential) -> Option<Self> {
        if let Some(keys) = &credential.ssh_public_key {
            let agent = keys.propagation_method.qemu_guest_agent.as_ref()?;
            let secret = keys.source.secret.as_ref().map(|secret| secret.secret_name.as_str());
            return Some(Self::Keys { secret, users: &agent.users });
        }
        let password = credential.user_password.as_ref()?;
        password.propagation_method.qemu_guest_agent.as_ref()?;
        let secret = password.source.secret.as_ref().map(|secret| secret.secret_name.as_str());
        Some(Self::Password { secret })
    }

    fn secret(&self) -> Option<&'a str> {
        match self {
            Self::Keys { secret, .. } | Self::Password { secret } => *secret,
        }
    }
}

fn through_agent(vmi: &VirtualMachineInstance) -> impl Iterator<Item = (String, Through<'_>)> {
    let credentials = vmi.spec.access_credentials.iter().enumerate();
    credentials.filter_map(|(index, credential)| {
        Some((format!("spec.accessCredentials[{index}]"), Through::of(credential)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance(credentials: serde_json::Value) -> VirtualMachineInstance {
        let spec = json!({"domain": {"devices": {}}, "accessCredentials": credentials});
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn keys_of(secret: &str, users: &[&str]) -> serde_json::Value {
        json!({"sshPublicKey": {
            "source": {"secret": {"secretName": secret}}, "propagationMethod": {"qemuGuestAgent": {"users": users}},
        }})
    }

    fn passwords_of(secret: &str) -> serde_json::Value {
        json!({"userPassword": {
            "source": {"secret": {"secretName": secret}}, "propagationMethod": {"qemuGuestAgent": {}},
        }})
    }

    fn secret(name: &str, values: &[(&str, &[u8])]) -> (String, SecretData) {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec()));
        (name.to_owned(), values.collect())
    }

    #[test]
    fn a_user_gets_the_keys_of_all_that_name_him_and_his_password() {
        let vmi = instance(json!([keys_of("a", &["ann", "bob"]), keys_of("b", &["bob"]), passwords_of("p")]));
        assert!(wanted(&vmi.spec.access_credentials));
        assert_eq!(secrets(&vmi).into_iter().collect::<Vec<_>>(), ["a", "b", "p"]);
        let secrets = BTreeMap::from([
            secret("a", &[("one", b"ssh-ed25519 A\n\n ssh-rsa B \n")]),
            secret("b", &[("two", b"ssh-ed25519 C")]),
            secret("p", &[("ann", b"top secret\n")]),
        ]);
        let made = of(&vmi, &secrets).unwrap();
        assert_eq!(made.keys["ann"], ["ssh-ed25519 A", "ssh-rsa B"]);
        assert_eq!(made.keys["bob"], ["ssh-ed25519 A", "ssh-rsa B", "ssh-ed25519 C"]);
        assert_eq!(made.passwords, BTreeMap::from([("ann".to_owned(), "top secret".to_owned())]));
        let shown = format!("{made:?}");
        assert!(!shown.contains("secret") && !shown.contains("ed25519"), "{shown}");
    }

    #[test]
    fn what_the_seed_carries_is_not_the_agents() {
        let seed = json!({"sshPublicKey": {
            "source": {"secret": {"secretName": "a"}}, "propagationMethod": {"noCloud": {}},
        }});
        assert!(!wanted(&instance(json!([seed])).spec.access_credentials));
        assert!(!wanted(&[]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let vmi = instance(json!([keys_of("a", &["ann"]), passwords_of("p")]));
        let said = |secrets: BTreeMap<_, _>| of(&vmi, &secrets).unwrap_err().to_string();
        assert_eq!(
            said(BTreeMap::new()),
            "spec.accessCredentials[0]: the Secret a does not exist; create it, or correct the name"
        );
        for password in [b"\xff".as_slice(), b"two\nlines"] {
            let said = said(BTreeMap::from([secret("a", &[]), secret("p", &[("ann", password)])]));
            assert!(
                said.starts_with("spec.accessCredentials[1]: the password of ann in the Secret p"),
                "{said}"
            );
        }
    }
}
