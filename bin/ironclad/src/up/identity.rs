//! As whom the components of this process call the API: the same accounts as in a cluster, with the same rights.

use machinery::admission::UserInfo;

/// Groups of every service account.
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// Group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";

/// One of the installation's service accounts, for example [`api::names::account::CONTROLLER`].
pub(super) fn component(account: &str) -> UserInfo {
    user(account, &[SERVICE_ACCOUNTS, "system:serviceaccounts:kubevirt", AUTHENTICATED])
}

/// virt-handler on a node: it may touch the machines of that node only.
pub(super) fn handler(node: &str) -> UserInfo {
    apiserver::auth::identity::on_node(component(api::names::account::HANDLER), node)
}

/// Kubernetes' own controllers: garbage collection, namespaces, scheduler.
pub(super) fn kubernetes() -> UserInfo {
    user("system:kube-controller-manager", &[AUTHENTICATED])
}

/// The kubelet of a node.
pub(super) fn node(name: &str) -> UserInfo {
    user(&format!("system:node:{name}"), &["system:nodes", AUTHENTICATED])
}

/// What carries Services and policies out on the nodes.
pub(super) fn network() -> UserInfo {
    user("system:kube-proxy", &[AUTHENTICATED])
}

fn user(name: &str, groups: &[&str]) -> UserInfo {
    UserInfo {
        username: name.to_owned(),
        groups: groups.iter().map(ToString::to_string).collect(),
        ..UserInfo::default()
    }
}
