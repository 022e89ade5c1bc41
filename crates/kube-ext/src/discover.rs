//! Finds out which kinds of objects a server has.

use http::Request;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{ApiError, Resource};

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(default)]
    versions: Vec<Version>,
    preferred_version: Option<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    kind: String,
    namespaced: bool,
    /// Servers that list subresources alone leave it `null`.
    #[serde(default, deserialize_with = "crate::api::null_as_empty")]
    verbs: Vec<String>,
}

/// What a server has.
#[derive(Debug)]
pub struct Discovered {
    /// The resources that were asked for, each in its preferred version, in a fixed order.
    pub resources: Vec<Resource>,
    /// Groups whose server does not answer, as `GROUP/VERSION`, each with the reason: what they have is not known.
    pub unknown: Vec<(String, ApiError)>,
}

/// Finds every resource that has all of `verbs`.
///
/// # Errors
/// When the server itself does not answer. One broken extension does not stop everything: its groups are told apart.
pub async fn discover(client: &Client, verbs: &[&str]) -> Result<Discovered, ApiError> {
    let mut found = collect(client, "/api/v1", "", "v1", verbs).await?;
    let mut unknown = Vec::new();
    let groups: Groups = get(client, "/apis").await?;
    for group in groups.groups {
        let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
            continue;
        };
        let path = format!("/apis/{}/{}", group.name, version.version);
        match collect(client, &path, &group.name, &version.version, verbs).await {
            Ok(more) => found.extend(more),
            Err(error) => unknown.push((format!("{}/{}", group.name, version.version), error)),
        }
    }
    found.sort();
    found.dedup();
    Ok(Discovered { resources: found, unknown })
}

async fn collect(
    client: &Client,
    path: &str,
    group: &str,
    version: &str,
    verbs: &[&str],
) -> Result<Vec<Resource>, ApiError> {
    let list: Resources = get(client, path).await?;
    let fits =
        |entry: &Entry| !entry.name.contains('/') && verbs.iter().all(|v| entry.verbs.iter().any(|e| e == v));
    let entries = list.resources.into_iter().filter(fits);
    Ok(entries
        .map(|entry| Resource {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            kind: entry.kind.into(),
            plural: entry.name.into(),
            namespaced: entry.namespaced,
        })
        .collect())
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, ApiError> {
    let operation = || format!("discover {path}");
    let request = Request::get(path)
        .header(http::header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| ApiError::new(operation(), kube::Error::HttpError(error)))?;
    client.request(request).await.map_err(|error| ApiError::new(operation(), error))
}
