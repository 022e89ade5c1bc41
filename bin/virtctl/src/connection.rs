//! The flags that say which server, as whom and in which namespace: kubectl's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use serde_json::json;

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global Flags")]
pub(crate) struct Connection {
    /// Username to impersonate for the operation.
    #[arg(long = "as", global = true, value_name = "string")]
    pub(crate) impersonate: Option<String>,
    /// Group to impersonate for the operation; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "string")]
    pub(crate) impersonate_group: Vec<String>,
    /// UID to impersonate for the operation.
    #[arg(long = "as-uid", global = true, value_name = "string")]
    pub(crate) impersonate_uid: Option<String>,
    /// Extra fact about the impersonated user, as key=value; may be repeated.
    #[arg(long = "as-user-extra", global = true, value_name = "key=value", value_parser = extra)]
    pub(crate) impersonate_extra: Vec<(String, String)>,
    /// File with the certificates of the server's certificate authority.
    #[arg(long, global = true, value_name = "file")]
    pub(crate) certificate_authority: Option<String>,
    /// File with the client's certificate.
    #[arg(long, global = true, value_name = "file")]
    pub(crate) client_certificate: Option<String>,
    /// File with the client's key.
    #[arg(long, global = true, value_name = "file")]
    pub(crate) client_key: Option<String>,
    /// Name of the kubeconfig's cluster to use.
    #[arg(long, global = true, value_name = "string")]
    pub(crate) cluster: Option<String>,
    /// Name of the kubeconfig's context to use.
    #[arg(long, global = true, value_name = "string")]
    pub(crate) context: Option<String>,
    /// Do not check the server's certificate. Anybody on the way can then read and change what is sent.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    pub(crate) insecure_skip_tls_verify: Option<bool>,
    /// The kubeconfig file [default: $KUBECONFIG, then ~/.kube/config].
    #[arg(long, global = true, value_name = "file")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Namespace of the operation.
    #[arg(long, short = 'n', global = true, value_name = "string")]
    pub(crate) namespace: Option<String>,
    /// How long to wait for one answer, for example 5s or 2m; 0 waits for ever.
    #[arg(long, global = true, value_name = "duration", value_parser = patience, default_value = "0")]
    pub(crate) request_timeout: Patience,
    /// Address and port of the Kubernetes API server.
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Name that the server's certificate must have [default: the server's host].
    #[arg(long, global = true, value_name = "string")]
    pub(crate) tls_server_name: Option<String>,
    /// Bearer token to authenticate with.
    #[arg(long, global = true, value_name = "string")]
    pub(crate) token: Option<String>,
    /// Name of the kubeconfig's user to use.
    #[arg(long, global = true, value_name = "string")]
    pub(crate) user: Option<String>,
    /// How much to log: 0 to 9.
    #[arg(long = "v", short = 'v', global = true, value_name = "level", default_value_t = 2)]
    pub(crate) verbosity: u8,
}

/// How long to wait for one answer; for ever when `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience(pub(crate) Option<Duration>);

fn extra(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("key=value is needed")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn patience(text: &str) -> Result<Patience, String> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => text
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .ok_or("a number of seconds or a duration such as 5s or 2m is needed")?,
    };
    Ok(Patience((!duration.is_zero()).then_some(duration)))
}

/// Where a client connects to, and the namespace that commands work in.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) config: Config,
    pub(crate) namespace: String,
}

impl Connection {
    /// Finds the server by flags, kubeconfig, or the Pod that this runs in. Nothing is sent.
    ///
    /// # Errors
    /// When files cannot be read, or nothing names a server.
    pub(crate) async fn place(&self) -> Result<Place> {
        let mut config = match self.file()? {
            None if self.server.is_none() => Config::incluster().ok().context(
                "no configuration has been provided: name a kubeconfig with --kubeconfig or KUBECONFIG, or a server with --server",
            )?,
            file => {
                let file = self.over(file.unwrap_or_default())?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
            }
        };
        // Tunnels are idle for hours, and a guest that does not read is no reason to cut one.
        config.read_timeout = None;
        config.write_timeout = None;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Place { config, namespace })
    }

    /// Reads the kubeconfig that flags and environment name; files of `KUBECONFIG` that are missing are left out.
    fn file(&self) -> Result<Option<Kubeconfig>> {
        if let Some(path) = &self.kubeconfig {
            return Ok(Some(Kubeconfig::read_from(path)?));
        }
        let paths: Vec<_> = match std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
            Some(list) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
        };
        let mut merged: Option<Kubeconfig> = None;
        for path in paths.iter().filter(|path| path.exists()) {
            let file = Kubeconfig::read_from(path)?;
            merged = Some(match merged {
                None => file,
                Some(before) => before.merge(file)?,
            });
        }
        Ok(merged)
    }

    /// Returns a kubeconfig with one context: the one that the flags choose, with what they change.
    fn over(&self, file: Kubeconfig) -> Result<Kubeconfig> {
        let (mut cluster, mut user, namespace) = self.choose(&file)?;
        self.change_cluster(&mut cluster);
        self.change_user(&mut user)?;
        let name = || "chosen".to_owned();
        let context = Context { cluster: name(), user: Some(name()), namespace, ..Context::default() };
        Ok(Kubeconfig {
            clusters: vec![NamedCluster { name: name(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo {
                name: name(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext { name: name(), context: Some(context), ..NamedContext::default() }],
            current_context: Some(name()),
            ..Kubeconfig::default()
        })
    }

    fn choose(&self, file: &Kubeconfig) -> Result<(Cluster, AuthInfo, Option<String>)> {
        let current = file.current_context.as_ref().filter(|name| !name.is_empty());
        let context = match self.context.as_ref().or(current) {
            None => Context::default(),
            Some(name) => {
                let found = file.contexts.iter().find(|context| &context.name == name);
                match found.and_then(|context| context.context.clone()) {
                    Some(context) => context,
                    None => bail!("context {name:?} does not exist"),
                }
            }
        };
        let cluster = match self.cluster.as_ref().unwrap_or(&context.cluster) {
            name if name.is_empty() => Cluster::default(),
            name => {
                let found = file.clusters.iter().find(|cluster| &cluster.name == name);
                match found.and_then(|cluster| cluster.cluster.clone()) {
                    Some(cluster) => cluster,
                    None => bail!("cluster {name:?} does not exist"),
                }
            }
        };
        let user = match self.user.as_ref().or(context.user.as_ref()) {
            None => AuthInfo::default(),
            Some(name) => {
                let found = file.auth_infos.iter().find(|user| &user.name == name);
                match found.and_then(|user| user.auth_info.clone()) {
                    Some(user) => user,
                    None if self.user.is_some() => bail!("auth info {name:?} does not exist"),
                    None => AuthInfo::default(),
                }
            }
        };
        if cluster.server.is_none() && self.server.is_none() {
            bail!(
                "the kubeconfig has no current context: choose one with --context, or name a server with --server"
            );
        }
        Ok((cluster, user, context.namespace))
    }

    fn change_cluster(&self, cluster: &mut Cluster) {
        if self.server.is_some() {
            cluster.server.clone_from(&self.server);
        }
        if self.tls_server_name.is_some() {
            cluster.tls_server_name.clone_from(&self.tls_server_name);
        }
        if let Some(authority) = &self.certificate_authority {
            cluster.certificate_authority = Some(authority.clone());
            cluster.certificate_authority_data = None;
            cluster.insecure_skip_tls_verify = None;
        }
        if let Some(insecure) = self.insecure_skip_tls_verify {
            cluster.insecure_skip_tls_verify = Some(insecure);
            if insecure {
                cluster.certificate_authority = None;
                cluster.certificate_authority_data = None;
            }
        }
    }

    fn change_user(&self, user: &mut AuthInfo) -> Result<()> {
        if let Some(token) = &self.token {
            // Read as from a file: that makes the type that hides itself from logs.
            user.token = serde_json::from_value::<AuthInfo>(json!({"token": token}))?.token;
            user.token_file = None;
            user.exec = None;
        }
        if self.client_certificate.is_some() {
            user.client_certificate.clone_from(&self.client_certificate);
            user.client_certificate_data = None;
        }
        if self.client_key.is_some() {
            user.client_key.clone_from(&self.client_key);
            user.client_key_data = None;
        }
        if self.impersonate.is_some() {
            user.impersonate.clone_from(&self.impersonate);
        }
        if self.impersonate_uid.is_some() {
            user.impersonate_uid.clone_from(&self.impersonate_uid);
        }
        if !self.impersonate_group.is_empty() {
            user.impersonate_groups = Some(self.impersonate_group.clone());
        }
        if !self.impersonate_extra.is_empty() {
            let facts = user.impersonate_user_extra.insert(HashMap::new());
            for (key, value) in &self.impersonate_extra {
                facts.entry(key.clone()).or_default().push(value.clone());
            }
        }
        Ok(())
    }

    /// Returns the flags that lead another virtctl to the same server as the same user.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let path = self.kubeconfig.as_ref().map(|path| path.display().to_string());
        let insecure = self.insecure_skip_tls_verify.map(|insecure| insecure.to_string());
        let single = [
            ("as", &self.impersonate),
            ("as-uid", &self.impersonate_uid),
            ("certificate-authority", &self.certificate_authority),
            ("client-certificate", &self.client_certificate),
            ("client-key", &self.client_key),
            ("cluster", &self.cluster),
            ("context", &self.context),
            ("insecure-skip-tls-verify", &insecure),
            ("kubeconfig", &path),
            ("server", &self.server),
            ("tls-server-name", &self.tls_server_name),
            ("token", &self.token),
            ("user", &self.user),
        ];
        let single =
            single.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
        let groups = self.impersonate_group.iter().map(|group| format!("--as-group={group}"));
        let facts =
            self.impersonate_extra.iter().map(|(key, value)| format!("--as-user-extra={key}={value}"));
        single.chain(groups).chain(facts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r"
current-context: one
contexts:
  - {name: one, context: {cluster: here, user: me, namespace: work}}
  - {name: two, context: {cluster: there, user: you}}
clusters:
  - {name: here, cluster: {server: 'https://here:6443', certificate-authority-data: aGVyZQ==}}
  - {name: there, cluster: {server: 'https://there:6443'}}
users:
  - {name: me, user: {token: mine, as: somebody}}
  - {name: you, user: {client-certificate-data: Yw==, client-key-data: aw==}}
";

    fn token(user: &AuthInfo) -> serde_json::Value {
        serde_json::to_value(user).unwrap()["token"].take()
    }

    fn over(flags: Connection) -> (Cluster, AuthInfo, Context) {
        let chosen = flags.over(Kubeconfig::from_yaml(FILE).unwrap()).unwrap();
        let cluster = chosen.clusters[0].cluster.clone().unwrap();
        let user = chosen.auth_infos[0].auth_info.clone().unwrap();
        (cluster, user, chosen.contexts[0].context.clone().unwrap())
    }

    #[test]
    fn without_flags_the_current_context_holds() {
        let (cluster, user, context) = over(Connection::default());
        assert_eq!(cluster.server.as_deref(), Some("https://here:6443"));
        assert_eq!(token(&user), "mine");
        assert_eq!(user.impersonate.as_deref(), Some("somebody"));
        assert_eq!(context.namespace.as_deref(), Some("work"));
    }

    #[test]
    fn flags_choose_and_change() {
        let flags = Connection {
            context: Some("two".to_owned()),
            user: Some("me".to_owned()),
            insecure_skip_tls_verify: Some(true),
            impersonate: Some("her".to_owned()),
            impersonate_group: vec!["a".to_owned(), "b".to_owned()],
            impersonate_extra: [("k", "1"), ("k", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
            token: Some("other".to_owned()),
            ..Connection::default()
        };
        let (cluster, user, context) = over(flags);
        assert_eq!(cluster.server.as_deref(), Some("https://there:6443"));
        assert_eq!(cluster.insecure_skip_tls_verify, Some(true));
        assert_eq!(token(&user), "other");
        assert_eq!(user.impersonate.as_deref(), Some("her"));
        assert_eq!(user.impersonate_groups, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(user.impersonate_user_extra.unwrap()["k"], ["1", "2"]);
        assert_eq!(context.namespace, None);

        let insecure = Connection { insecure_skip_tls_verify: Some(true), ..Connection::default() };
        assert_eq!(over(insecure).0.certificate_authority_data, None, "nothing is checked against it");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let refused = |flags: Connection, file: &str| {
            flags.over(Kubeconfig::from_yaml(file).unwrap()).unwrap_err().to_string()
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(
            refused(Connection { context: some("x"), ..Connection::default() }, FILE),
            "context \"x\" does not exist"
        );
        assert_eq!(
            refused(Connection { cluster: some("x"), ..Connection::default() }, FILE),
            "cluster \"x\" does not exist"
        );
        assert_eq!(
            refused(Connection { user: some("x"), ..Connection::default() }, FILE),
            "auth info \"x\" does not exist"
        );
        assert!(refused(Connection::default(), "kind: Config").contains("no current context"));
    }

    #[test]
    fn the_flags_can_be_handed_on() {
        let flags = Connection {
            kubeconfig: Some("/tmp/with space".into()),
            impersonate_group: vec!["a".to_owned()],
            insecure_skip_tls_verify: Some(true),
            namespace: Some("not handed on: the target names it".to_owned()),
            ..Connection::default()
        };
        assert_eq!(
            flags.arguments(),
            ["--insecure-skip-tls-verify=true", "--kubeconfig=/tmp/with space", "--as-group=a"]
        );
    }

    #[test]
    fn patience_is_a_number_or_a_duration() {
        assert_eq!(patience("0"), Ok(Patience(None)));
        assert_eq!(patience("7"), Ok(Patience(Some(Duration::from_secs(7)))));
        assert_eq!(patience("1m30s"), Ok(Patience(Some(Duration::from_secs(90)))));
        assert!(patience("soon").is_err() && patience("-5s").is_err());
    }
}
