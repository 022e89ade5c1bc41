//! The local ssh and scp, whose connections go through this program.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use tokio::process::Command;

use crate::log;
use crate::session::Session;
use crate::target::{Login, Target};

/// Flags of `ssh` and `scp`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LocalOptions {
    /// Private key to log in with [default: what ssh takes, for example its agent's keys].
    #[arg(long, short, value_name = "file")]
    identity_file: Option<PathBuf>,
    /// File with the keys of known machines [default: ssh's own].
    #[arg(long, value_name = "file")]
    known_hosts: Option<PathBuf>,
    /// Option for the local client, for example "-o StrictHostKeyChecking=no"; may be repeated.
    #[arg(long, short = 't', allow_hyphen_values = true, value_name = "option")]
    local_ssh_opts: Vec<String>,
    /// Port of the machine.
    #[arg(long, short, default_value_t = 22, value_name = "port")]
    port: u16,
    /// User to log in as [default: the local user].
    #[arg(long, short = 'l', value_name = "user")]
    username: Option<String>,
}

/// Returns who logs in: whom the target names, whom the flag names, or the local user.
pub(crate) fn username(login: &Login, options: &LocalOptions) -> Option<String> {
    let local = || {
        let names = ["USER", "USERNAME", "LOGNAME"].into_iter().filter_map(std::env::var_os);
        names.filter_map(|name| name.into_string().ok()).find(|name| !name.is_empty())
    };
    let named = login.user.clone().or_else(|| options.username.clone());
    named.map_or_else(local, |name| Some(name).filter(|name| !name.is_empty()))
}

/// What all uses of a local client for one machine share.
#[derive(Debug)]
pub(crate) struct LocalClient {
    target: Target,
    namespace: String,
    proxy: String,
}

impl LocalClient {
    /// Prepares for a machine.
    ///
    /// # Errors
    /// When this program does not know its own name.
    pub(crate) fn new(
        session: &Session,
        target: &Target,
        namespace: &str,
        options: &LocalOptions,
    ) -> Result<Self> {
        let program = std::env::current_exe()
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok())
            .or_else(|| std::env::args().next())
            .context("this program does not know its own name")?;
        let namespace = target.namespace.clone().unwrap_or_else(|| namespace.to_owned());
        let connection = session.connection.arguments();
        let proxy = proxy_command(&program, &connection, target, &namespace, options.port);
        Ok(Self { target: target.clone(), namespace, proxy })
    }

    /// Returns the machine's name for ssh: what its key is remembered under.
    pub(crate) fn host(&self, user: Option<&str>) -> String {
        let host = format!("{}.{}.{}", self.target.word(), self.target.name, self.namespace);
        match user {
            None => host,
            Some(user) => format!("{user}@{host}"),
        }
    }

    /// Runs the client and waits for it.
    ///
    /// # Errors
    /// When it cannot be started, or fails.
    pub(crate) async fn run(
        &self,
        program: &str,
        options: &LocalOptions,
        arguments: Vec<String>,
    ) -> Result<()> {
        let mut command = Command::new(program);
        command.args(options.arguments(&self.proxy)).args(arguments);
        log::detail(program, &format!("running: {:?}", command.as_std()));
        let ended = command.status().await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow!("exec: {program:?}: executable file not found in $PATH"),
            _ => anyhow!("exec: {program:?}: {error}"),
        })?;
        match ended.code() {
            Some(0) => Ok(()),
            Some(code) => bail!("exit status {code}"),
            None => bail!("{ended}"),
        }
    }
}

impl LocalOptions {
    fn arguments(&self, proxy: &str) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-o".into(), format!("ProxyCommand={proxy}").into()];
        if let Some(file) = &self.known_hosts {
            let mut option = OsString::from("UserKnownHostsFile=");
            option.push(file);
            arguments.extend(["-o".into(), option]);
        }
        arguments.extend(self.local_ssh_opts.iter().map(OsString::from));
        if let Some(file) = &self.identity_file {
            arguments.extend(["-i".into(), file.into()]);
        }
        arguments
    }
}

/// Writes the command by which ssh reaches the machine. ssh replaces its own `%` sequences in it and hands it to a shell.
fn proxy_command(
    program: &str,
    connection: &[String],
    target: &Target,
    namespace: &str,
    port: u16,
) -> String {
    let machine = format!("{}/{}/{namespace}", target.word(), target.name);
    let fixed = ["port-forward", "--stdio=true"].map(str::to_owned);
    let words = [program.to_owned()].into_iter().chain(fixed).chain(connection.iter().cloned());
    let words: Vec<_> =
        words.chain([machine, port.to_string()]).map(|word| quote(&word.replace('%', "%%"))).collect();
    words.join(" ")
}

/// Quotes a word for a shell, when it must be.
fn quote(word: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'=' | b':' | b'%' | b',' | b'@')
    };
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::parse("vmi/a").unwrap()
    }

    #[test]
    fn the_proxy_is_this_program_on_the_same_server() {
        assert_eq!(
            proxy_command("/usr/bin/virtctl", &[], &target(), "ns", 22),
            "/usr/bin/virtctl port-forward --stdio=true vmi/a/ns 22"
        );
        let connection = ["--kubeconfig=/my files/it's 100%".to_owned(), "--context=a".to_owned()];
        assert_eq!(
            proxy_command("virtctl", &connection, &target(), "ns", 2222),
            r"virtctl port-forward --stdio=true '--kubeconfig=/my files/it'\''s 100%%' --context=a vmi/a/ns 2222"
        );
    }

    #[test]
    fn options_come_in_the_references_order() {
        let options = LocalOptions {
            identity_file: Some("key".into()),
            known_hosts: Some("hosts".into()),
            local_ssh_opts: vec!["-o StrictHostKeyChecking=no".to_owned(), "-4".to_owned()],
            ..LocalOptions::default()
        };
        let expected = [
            "-o",
            "ProxyCommand=p",
            "-o",
            "UserKnownHostsFile=hosts",
            "-o StrictHostKeyChecking=no",
            "-4",
            "-i",
            "key",
        ];
        assert_eq!(options.arguments("p"), expected);
    }

    #[test]
    fn the_target_names_the_user_before_the_flag_does() {
        let flag = LocalOptions { username: Some("flag".to_owned()), ..LocalOptions::default() };
        let name = |login: &str| username(&Login::parse(login).unwrap(), &flag);
        assert_eq!(name("named@vm/a").as_deref(), Some("named"));
        assert_eq!(name("vm/a").as_deref(), Some("flag"));
        let nobody = LocalOptions { username: Some(String::new()), ..LocalOptions::default() };
        assert_eq!(username(&Login::parse("vm/a").unwrap(), &nobody), None);
    }
}
