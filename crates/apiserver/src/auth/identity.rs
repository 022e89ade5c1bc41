//! Names that Kubernetes gives to users and groups, and identities made of them.

use machinery::admission::UserInfo;

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of everyone who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everyone who is not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user that nobody in particular is.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of all service accounts.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// The group of all node agents.
pub const NODES: &str = "system:nodes";

/// The extra that says on which node a service account's Pod runs.
pub const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// The extra that names the credential which a user showed.
pub const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// A user in groups, authenticated.
pub fn user(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> UserInfo {
    let mut user =
        UserInfo { username: name.into(), groups: groups.into_iter().collect(), ..UserInfo::default() };
    if !user.groups.iter().any(|group| group == AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// The administrator of an installation.
pub fn administrator(name: impl Into<String>) -> UserInfo {
    user(name, [MASTERS.to_owned()])
}

/// A component that is known by its name only, such as `system:kube-scheduler`.
pub fn component(name: impl Into<String>) -> UserInfo {
    user(name, [])
}

/// The agent of a node.
pub fn node(name: &str) -> UserInfo {
    user(format!("system:node:{name}"), [NODES.to_owned()])
}

/// A service account.
pub fn service_account(namespace: &str, name: &str) -> UserInfo {
    user(service_account_user(namespace, name), service_account_groups(namespace))
}

/// The same identity, known to act on a node.
#[must_use]
pub fn on_node(mut user: UserInfo, node: &str) -> UserInfo {
    user.extra.insert(NODE_NAME.to_owned(), vec![node.to_owned()]);
    user
}

/// Nobody in particular.
pub fn anonymous() -> UserInfo {
    UserInfo {
        username: ANONYMOUS.to_owned(),
        groups: vec![UNAUTHENTICATED.to_owned()],
        ..UserInfo::default()
    }
}

/// The user name of a service account.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The groups of a service account, but for that of everyone who is known.
pub fn service_account_groups(namespace: &str) -> [String; 2] {
    [SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
}

/// Takes a service account's user name apart into namespace and name.
pub fn parse_service_account(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}
