//! `virtctl version`

use anyhow::{Result, anyhow};
use clap::{ArgAction, Args};
use serde_json::Value;

use crate::api::{Api, CallError};
use crate::request::Request;
use crate::say::say;
use crate::session::Session;
use crate::usage::UsageError;

/// The release of KubeVirt's API that this program speaks; which program it is stands behind the plus.
const RELEASE: &str = concat!("v1.8.0+ironclad.", env!("CARGO_PKG_VERSION"));

/// Print the version of this program and of the server.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl version [flags]",
    after_help = "Examples:\n  # Print both versions:\n  virtctl version\n\n  # Print this program's version:\n  virtctl version --client"
)]
pub(crate) struct Version {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Ask no server.
    #[arg(long, short, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    client: bool,
}

impl Version {
    /// Runs the command.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        if let Some(stranger) = self.arguments.first() {
            return Err(
                UsageError::Command { word: stranger.clone(), parent: "virtctl version".to_owned() }.into()
            );
        }
        say!("Client Version: {}", Info::own());
        if self.client {
            return Ok(());
        }
        let api = session.api().await.map_err(|error| anyhow!("failed to get virtClient config: {error}"))?;
        let server = server(api).await.map_err(|error| anyhow!("failed to get server version: {error}"))?;
        say!("Server Version: {server}");
        Ok(())
    }
}

/// What a program tells of its build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info([String; 7]);

/// Names in JSON; in print the first letter is a capital.
const FIELDS: [&str; 7] =
    ["gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];

impl Info {
    fn own() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform = format!("{}/{architecture}", std::env::consts::OS);
        let words = [RELEASE, "", "", "", "", "rustc", &platform];
        Self(words.map(str::to_owned))
    }

    fn of(answer: &Value) -> Self {
        Self(FIELDS.map(|field| answer[field].as_str().unwrap_or_default().to_owned()))
    }

    /// Returns major and minor version, when there are such.
    fn release(&self) -> Option<(u64, u64)> {
        let mut numbers = self.0[0].trim_start_matches('v').split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    }
}

/// As `%#v` has it in Go: what scripts have looked at since the reference's first release.
impl std::fmt::Display for Info {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<_> = FIELDS
            .iter()
            .zip(&self.0)
            .map(|(field, value)| format!("{}{}:{value:?}", field[..1].to_uppercase(), &field[1..]))
            .collect();
        write!(formatter, "version.Info{{{}}}", fields.join(", "))
    }
}

/// Asks the server.
async fn server(api: &Api) -> Result<Info, CallError> {
    let group = read(api, "/apis/subresources.kubevirt.io").await?;
    let preferred = group["preferredVersion"]["groupVersion"].as_str();
    let path = format!("/apis/{}/version", preferred.unwrap_or("subresources.kubevirt.io/v1"));
    Ok(Info::of(&read(api, &path).await?))
}

async fn read(api: &Api, path: &str) -> Result<Value, CallError> {
    serde_json::from_slice(&api.call(&Request::read(path)).await?).map_err(CallError::Unreadable)
}

/// Returns a warning when the server is of another release: after a failure, that may be the reason.
pub(crate) async fn mismatch(api: &Api) -> Option<String> {
    let (own, server) = (Info::own(), server(api).await.ok()?);
    if own.release()? == server.release()? {
        return None;
    }
    Some(format!(
        "You are using a client virtctl version that is different from the KubeVirt version running in the cluster\n\
         Client Version: {}\nServer Version: {}\n",
        own.0[0], server.0[0]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn builds_are_printed_as_go_prints_them() {
        let info =
            Info::of(&json!({"gitVersion": "v1.8.4", "gitCommit": "c0ffee", "platform": "linux/amd64"}));
        assert_eq!(
            info.to_string(),
            "version.Info{GitVersion:\"v1.8.4\", GitCommit:\"c0ffee\", GitTreeState:\"\", BuildDate:\"\", \
             GoVersion:\"\", Compiler:\"\", Platform:\"linux/amd64\"}"
        );
    }

    #[test]
    fn releases_are_compared_by_two_numbers() {
        let release = |version: &str| Info::of(&json!({"gitVersion": version})).release();
        assert_eq!(release("v1.8.4"), Some((1, 8)));
        assert_eq!(release("v1.8.0-beta.1+ab"), release("1.8.9"));
        assert_eq!(release("devel"), None);
        assert_eq!(Info::own().release(), release(&format!("{}.0", api::names::REFERENCE_VERSION)));
    }
}
