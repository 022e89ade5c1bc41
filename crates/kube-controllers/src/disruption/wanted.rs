//! How many Pods there should be: what the owners of some Pods want.
//!
//! The owner is what can be scaled: a Deployment behind a ReplicaSet, a set of instances behind an instance of a machine. A
//! machine that stands alone wants one Pod.

use std::collections::BTreeMap;

use kube_ext::{Api, ApiError, Context, Key, PartialObject, Resource, discover, resources};
use plan::disruption::Wanted;
use plan::endpoints::Pod;

/// Kinds whose objects may have an owner that can be scaled, and what it is read from.
static BETWEEN: [Resource; 2] = [resources::REPLICA_SET, resources::VIRTUAL_MACHINE_INSTANCE];
/// Kinds that are known without asking.
static KNOWN: [Resource; 4] = [
    resources::DEPLOYMENT,
    resources::REPLICATION_CONTROLLER,
    resources::STATEFUL_SET,
    resources::VIRTUAL_MACHINE_INSTANCE_REPLICA_SET,
];

/// An object's kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    api_version: String,
    kind: String,
    name: String,
}

/// Asks what the owners of these Pods of `budget` want.
///
/// # Errors
/// When the server does not answer. That an owner is gone or says no number is an answer, which users are told.
pub(super) async fn of(
    context: &Context,
    budget: &Key,
    pods: impl Iterator<Item = &Pod>,
) -> Result<Result<Wanted, String>, ApiError> {
    let (mut wanted, mut first) = (Wanted::default(), BTreeMap::new());
    for pod in pods {
        match &pod.owner {
            None => wanted.unmanaged.push(pod.name.clone()),
            Some(owner) => {
                let owner = Named {
                    api_version: owner.api_version.clone(),
                    kind: owner.kind.clone(),
                    name: owner.name.clone(),
                };
                first.entry(owner).or_insert_with(|| pod.name.clone());
            }
        }
    }
    let mut scales = BTreeMap::new();
    for (owner, pod) in first {
        match scale(context, &budget.namespace, owner).await {
            Ok((owner, Some(count))) => drop(scales.insert(owner, count)),
            Ok((owner, None)) => {
                return Ok(Err(format!(
                    "found no controllers for pod {pod:?}: there is no {} {:?} that says how many Pods it wants; set \
                     spec.minAvailable to a number",
                    owner.kind, owner.name
                )));
            }
            Err(error) => return Err(error),
        }
    }
    wanted.pods = scales.values().sum();
    Ok(Ok(wanted))
}

/// Finds what scales `owner`, and how many Pods that wants; none if nothing says so.
async fn scale(context: &Context, namespace: &str, owner: Named) -> Result<(Named, Option<i64>), ApiError> {
    let is = |resource: &Resource, named: &Named| {
        resource.kind == named.kind && resource.group == group(&named.api_version)
    };
    let mut owner = owner;
    if let Some(between) = BETWEEN.iter().find(|between| is(between, &owner)) {
        let api = Api::<PartialObject>::of(&context.client, between.clone());
        let Some(object) = api.find(&Key::new(namespace, &owner.name)).await? else {
            return Ok((owner, None));
        };
        let above = object.metadata.controller().map(|above| Named {
            api_version: above.api_version.clone(),
            kind: above.kind.clone(),
            name: above.name.clone(),
        });
        match above.filter(|above| KNOWN.iter().any(|known| is(known, above))) {
            Some(above) => owner = above,
            // An instance is one Pod, whoever made it.
            None if *between == resources::VIRTUAL_MACHINE_INSTANCE => return Ok((owner, Some(1))),
            None => {}
        }
    }
    let known = KNOWN.iter().chain(&BETWEEN).find(|known| is(known, &owner)).cloned();
    let resource = if known.is_some() {
        known
    } else {
        let found = discover(&context.client, &["get"]).await?;
        found.resources.into_iter().find(|resource| is(resource, &owner))
    };
    let Some(resource) = resource else { return Ok((owner, None)) };
    let api = Api::<PartialObject>::of(&context.client, resource);
    match api.get_subresource(&Key::new(namespace, &owner.name), "scale").await {
        Ok(scale) => Ok((owner, Some(scale["spec"]["replicas"].as_i64().unwrap_or_default()))),
        Err(error) if error.is_not_found() => Ok((owner, None)),
        Err(error) => Err(error),
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
