//! `subresources.kubevirt.io` in process: virt-api behind the API server, and before the agents of this process's nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use apiserver::Body;
use apiserver::extension::{Extension, ServedVersion};
use http::{Request, Response};
use kube_ext::Context;
use machinery::admission::UserInfo;
use machinery::status::Status;
use parking_lot::RwLock;
use virt_api::Admission;
use virt_api::subresource::{self, Agent, AgentError, Nodes, Stream, Subresources};
use wire::agent::{Channel, Command, Question, Target};

/// The group, once the server stands that its requests are carried out on.
#[derive(Debug, Default)]
pub(super) struct Group(OnceLock<Subresources>);

impl Group {
    /// Begins to answer.
    pub(super) fn serve(&self, context: Context, admission: Arc<Admission>, agents: Arc<Agents>) {
        let subresources = Subresources::new(context, admission, agents, env!("CARGO_PKG_VERSION"));
        // It is called once; a second server would have a group of its own.
        drop(self.0.set(subresources));
    }
}

#[async_trait::async_trait]
impl Extension for Group {
    fn group(&self) -> &str {
        subresource::GROUP
    }

    fn versions(&self) -> Vec<ServedVersion> {
        let version =
            |name: &str| ServedVersion { version: name.into(), resources: subresource::resources() };
        subresource::VERSIONS.into_iter().map(version).collect()
    }

    async fn handle(&self, user: &UserInfo, request: Request<Body>) -> Response<Body> {
        match self.0.get() {
            Some(subresources) => subresources.handle(user, request).await,
            None => apiserver::body::refusal(&Status::unavailable("the server is starting; try again")),
        }
    }
}

/// The agents of this process, by node.
#[derive(Debug, Default)]
pub(crate) struct Agents(RwLock<BTreeMap<String, virt_handler::Door>>);

impl Agents {
    /// Makes the agent of a node reachable.
    pub(super) fn add(&self, node: &str, door: virt_handler::Door) {
        self.0.write().insert(node.to_owned(), door);
    }
}

#[async_trait::async_trait]
impl Nodes for Agents {
    async fn agent(&self, node: &str) -> Option<Arc<dyn Agent>> {
        let door = self.0.read().get(node).cloned()?;
        Some(Arc::new(Local(door)))
    }
}

/// An agent that is called rather than connected to.
#[derive(Debug)]
struct Local(virt_handler::Door);

fn said(error: &virt_handler::DoorError) -> AgentError {
    AgentError(error.to_string())
}

#[async_trait::async_trait]
impl Agent for Local {
    async fn command(&self, target: &Target, command: Command) -> Result<(), AgentError> {
        self.0.command(target, command).await.map_err(|error| said(&error))
    }

    async fn ask(&self, target: &Target, question: Question) -> Result<serde_json::Value, AgentError> {
        self.0.ask(target, question).await.map_err(|error| said(&error))
    }

    async fn screenshot(&self, target: &Target) -> Result<Vec<u8>, AgentError> {
        self.0.screenshot(target).await.map_err(|error| said(&error))
    }

    async fn open(&self, target: &Target, channel: Channel) -> Result<Box<dyn Stream>, AgentError> {
        match self.0.open(target, channel).await.map_err(|error| said(&error))? {
            virt_handler::Opened::Unix(stream) => Ok(Box::new(stream)),
            virt_handler::Opened::Tcp(stream) => Ok(Box::new(stream)),
            virt_handler::Opened::Udp(socket, end) => {
                Ok(Box::new(end.bounds(subresource::Datagrams(socket))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use apiserver::auth::attributes::Attributes;
    use apiserver::auth::bootstrap;
    use apiserver::auth::rbac::Policy;
    use serde_json::Value;

    use super::*;

    /// Who may what: `v`iew, `e`dit, `a`dmin, `m`igrate, and everybody by the `d`efault role. Paths that nobody is
    /// given stand here, too, so that a new path needs a decision.
    const RIGHTS: &str = "
        update expand-vm-spec vea
        get virtualmachineinstances/vnc ea
        get virtualmachineinstances/vnc/screenshot a
        get virtualmachineinstances/console ea
        get virtualmachineinstances/usbredir ea
        get virtualmachineinstances/vsock -
        get virtualmachineinstances/portforward ea
        get virtualmachines/portforward ea
        update virtualmachineinstances/backup -
        update virtualmachineinstances/redefine-checkpoint -
        update virtualmachineinstances/pause ea
        update virtualmachineinstances/unpause ea
        update virtualmachineinstances/freeze ea
        update virtualmachineinstances/unfreeze ea
        update virtualmachineinstances/reset ea
        update virtualmachineinstances/softreboot ea
        update virtualmachines/start ea
        update virtualmachines/stop ea
        update virtualmachines/restart ea
        update virtualmachines/migrate m
        get virtualmachines/expand-spec vea
        get virtualmachines/objectgraph vea
        update virtualmachines/evacuate/cancel ea
        update virtualmachines/addvolume ea
        update virtualmachines/removevolume ea
        update virtualmachines/memorydump ea
        update virtualmachines/removememorydump -
        get virtualmachineinstances/guestosinfo vea
        get virtualmachineinstances/userlist vea
        get virtualmachineinstances/filesystemlist vea
        update virtualmachineinstances/addvolume ea
        update virtualmachineinstances/removevolume ea
        get virtualmachineinstances/objectgraph vea
        get virtualmachineinstances/sev/fetchcertchain vea
        get virtualmachineinstances/sev/querylaunchmeasurement vea
        update virtualmachineinstances/sev/setupsession ea
        update virtualmachineinstances/sev/injectlaunchsecret ea
        update virtualmachineinstances/evacuate/cancel ea
        get version d
        get guestfs d
        get healthz -
        get start-cluster-profiler -
        get stop-cluster-profiler -
        get dump-cluster-profiler -
    ";

    #[test]
    fn every_path_is_given_to_the_roles_that_the_reference_gives_it_to() {
        let mut objects: [Vec<Value>; 4] = Default::default();
        for object in bootstrap::objects() {
            objects[usize::from(object["kind"] == "ClusterRoleBinding") * 2].push(object);
        }
        let policy = Policy::new(&objects);
        let roles = [
            ('v', "kubevirt.io:view"),
            ('v', "view"),
            ('e', "kubevirt.io:edit"),
            ('e', "edit"),
            ('a', "kubevirt.io:admin"),
            ('a', "admin"),
            ('m', "kubevirt.io:migrate"),
            ('d', "kubevirt.io:default"),
        ];
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
        let rows: Vec<Vec<&str>> = RIGHTS
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<&str>| !row.is_empty())
            .collect();
        for (verb, resource, subresource) in subresource::rights() {
            let path = if subresource.is_empty() {
                resource.to_owned()
            } else {
                format!("{resource}/{subresource}")
            };
            let row = rows.iter().find(|row| (row[0], row[1]) == (verb, &*path));
            let given = row.unwrap_or_else(|| panic!("{verb} {path} needs a row"))[2];
            for (letter, role) in roles {
                let granted = policy.rules_of_role(true, "", role).expect("the role");
                for tried in verbs {
                    let attributes = Attributes {
                        verb: tried,
                        group: subresource::GROUP,
                        resource,
                        subresource,
                        ..Attributes::default()
                    };
                    let may = granted.iter().any(|rule| rule.allows(&attributes));
                    // What belongs to no object is listed as well as got.
                    let listed = tried == "list" && given.contains('d');
                    let expected = given.contains(letter) && (tried == verb || listed);
                    assert_eq!(may, expected, "{role}: {tried} {path}");
                }
            }
        }
        assert_eq!(rows.len(), subresource::rights().len(), "a row has no path");
    }
}
