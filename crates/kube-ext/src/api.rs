//! Typed access to one resource.

use std::marker::PhantomData;

use http::Request;
use kube::Client;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{ApiError, Key, Kind, Resource};

/// Reads and writes objects of one resource as `K`.
#[derive(Clone)]
pub struct Api<K> {
    client: Client,
    resource: Resource,
    kind: PhantomData<fn() -> K>,
}

/// Which objects to list or watch. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Only this namespace; empty means all.
    pub namespace: String,
    /// Label selector in its URL form.
    pub labels: String,
    /// Field selector in its URL form.
    pub fields: String,
}

/// A page of objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
pub struct List<K> {
    /// Revision and continuation.
    #[serde(default)]
    pub metadata: ListMeta,
    /// Objects; a list that is empty may be `null`.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub items: Vec<K>,
}

/// Metadata of a page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// Revision that the list shows.
    pub resource_version: String,
    /// Where the next page begins; empty on the last.
    #[serde(rename = "continue")]
    pub continue_token: String,
}

/// A change to an existing object.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// JSON merge patch. A `metadata.resourceVersion` inside makes it conditional.
    Merge(Value),
    /// Strategic merge patch (built-in kinds only).
    Strategic(Value),
    /// JSON patch: a list of operations.
    Json(Value),
    /// Server-side apply under this field manager's name.
    Apply {
        /// Field manager.
        manager: String,
        /// The fields that the manager wants.
        object: Value,
    },
}

/// What happens to the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// How to delete. The default is unconditional, with the kind's own grace and propagation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// Delete only the object with this identity.
    pub uid: Option<String>,
    /// Delete only this state of the object.
    pub resource_version: Option<String>,
    /// Seconds to end in; zero means at once.
    pub grace_seconds: Option<i64>,
    /// What happens to owned objects.
    pub propagation: Option<Propagation>,
}

impl Delete {
    /// Deletes only the object with identity `uid`.
    pub fn only(uid: impl Into<String>) -> Self {
        Self { uid: Some(uid.into()), ..Self::default() }
    }

    fn body(&self) -> Value {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if self.uid.is_some() || self.resource_version.is_some() {
            let mut preconditions = json!({});
            if let Some(uid) = &self.uid {
                preconditions["uid"] = json!(uid);
            }
            if let Some(version) = &self.resource_version {
                preconditions["resourceVersion"] = json!(version);
            }
            body["preconditions"] = preconditions;
        }
        if let Some(seconds) = self.grace_seconds {
            body["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(propagation) = self.propagation {
            body["propagationPolicy"] = json!(match propagation {
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
                Propagation::Orphan => "Orphan",
            });
        }
        body
    }
}

impl<K: Kind> Api<K> {
    /// Accesses the resource that `K` belongs to.
    pub fn new(client: &Client) -> Self {
        Self::of(client, K::RESOURCE)
    }

    /// Accesses `resource`, whatever `K` says; for types that fit several.
    pub fn of(client: &Client, resource: Resource) -> Self {
        Self { client: client.clone(), resource, kind: PhantomData }
    }

    /// Returns the resource.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Returns the client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads an object.
    pub async fn get(&self, key: &Key) -> Result<K, ApiError> {
        self.send("GET", &self.url(key, ""), None, "get", &key.to_string()).await
    }

    /// Reads an object, if it exists.
    pub async fn find(&self, key: &Key) -> Result<Option<K>, ApiError> {
        match self.get(key).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads one page of at most `limit` objects, beginning at `continue_token` (empty: the start).
    pub async fn page(&self, select: &Select, limit: u32, continue_token: &str) -> Result<List<K>, ApiError> {
        let mut query = select.query();
        query.push(("limit", limit.to_string()));
        if !continue_token.is_empty() {
            query.push(("continue", continue_token.to_owned()));
        }
        let url = format!("{}?{}", self.resource.path(&select.namespace), encode(&query));
        self.send("GET", &url, None, "list", "").await
    }

    /// Reads all objects that match, page by page.
    pub async fn list(&self, select: &Select) -> Result<Vec<K>, ApiError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.page(select, 500, &token).await?;
            all.extend(page.items);
            if page.metadata.continue_token.is_empty() {
                return Ok(all);
            }
            token = page.metadata.continue_token;
        }
    }

    /// Creates an object in `namespace` (ignored for cluster-scoped kinds).
    pub async fn create(&self, namespace: &str, object: &impl Serialize) -> Result<K, ApiError> {
        let what = if self.resource.namespaced { namespace } else { "" };
        self.send("POST", &self.resource.path(namespace), Some(body(object)?), "create", what).await
    }

    /// Posts `object` to a subresource, such as a Pod's `binding`; the answer is not looked at.
    pub async fn create_subresource(
        &self,
        key: &Key,
        subresource: &str,
        object: &impl Serialize,
    ) -> Result<(), ApiError> {
        let operation = format!("create {subresource}");
        let _: Value = self
            .send("POST", &self.url(key, subresource), Some(body(object)?), &operation, &key.to_string())
            .await?;
        Ok(())
    }

    /// Replaces an object; fails with a conflict when its resourceVersion is no longer current.
    pub async fn replace(&self, key: &Key, object: &impl Serialize) -> Result<K, ApiError> {
        self.send("PUT", &self.url(key, ""), Some(body(object)?), "replace", &key.to_string()).await
    }

    /// Replaces the status of an object.
    pub async fn replace_status(&self, key: &Key, object: &impl Serialize) -> Result<K, ApiError> {
        let url = self.url(key, "status");
        self.send("PUT", &url, Some(body(object)?), "replace status of", &key.to_string()).await
    }

    /// Replaces a subresource, such as a Namespace's `finalize`; the answer is not looked at.
    pub async fn replace_subresource(
        &self,
        key: &Key,
        subresource: &str,
        object: &impl Serialize,
    ) -> Result<(), ApiError> {
        let operation = format!("replace {subresource} of");
        let url = self.url(key, subresource);
        let _: Value = self.send("PUT", &url, Some(body(object)?), &operation, &key.to_string()).await?;
        Ok(())
    }

    /// Changes an object.
    pub async fn patch(&self, key: &Key, patch: &Patch) -> Result<K, ApiError> {
        self.send_patch(&self.url(key, ""), patch, "patch", key).await
    }

    /// Changes the status of an object.
    pub async fn patch_status(&self, key: &Key, patch: &Patch) -> Result<K, ApiError> {
        self.send_patch(&self.url(key, "status"), patch, "patch status of", key).await
    }

    /// Asks for the end of an object. An object that does not exist is an error ([`ApiError::is_not_found`]).
    pub async fn delete(&self, key: &Key, how: &Delete) -> Result<(), ApiError> {
        let _: Value = self
            .send("DELETE", &self.url(key, ""), Some(body(&how.body())?), "delete", &key.to_string())
            .await?;
        Ok(())
    }

    fn url(&self, key: &Key, subresource: &str) -> String {
        let mut url = format!("{}/{}", self.resource.path(&key.namespace), key.name);
        if !subresource.is_empty() {
            url.push('/');
            url.push_str(subresource);
        }
        url
    }

    async fn send_patch(&self, url: &str, patch: &Patch, verb: &str, key: &Key) -> Result<K, ApiError> {
        let (media, value, url) = match patch {
            Patch::Merge(value) => ("application/merge-patch+json", value, url.to_owned()),
            Patch::Strategic(value) => ("application/strategic-merge-patch+json", value, url.to_owned()),
            Patch::Json(value) => ("application/json-patch+json", value, url.to_owned()),
            Patch::Apply { manager, object } => (
                "application/apply-patch+yaml",
                object,
                format!(
                    "{url}?{}",
                    encode(&[("fieldManager", manager.clone()), ("force", "true".to_owned())])
                ),
            ),
        };
        self.send_as("PATCH", &url, Some(body(value)?), media, verb, &key.to_string()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        url: &str,
        body: Option<Vec<u8>>,
        verb: &str,
        what: &str,
    ) -> Result<T, ApiError> {
        self.send_as(method, url, body, "application/json", verb, what).await
    }

    async fn send_as<T: DeserializeOwned>(
        &self,
        method: &str,
        url: &str,
        body: Option<Vec<u8>>,
        media: &str,
        verb: &str,
        what: &str,
    ) -> Result<T, ApiError> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, media)
            .body(body.unwrap_or_default())
            .map_err(|error| self.error(verb, what, kube::Error::HttpError(error)))?;
        self.client.request(request).await.map_err(|error| self.error(verb, what, error))
    }

    pub(crate) fn error(&self, verb: &str, what: &str, error: kube::Error) -> ApiError {
        ApiError::new(format!("{verb} {} {what}", self.resource.plural).trim_end().to_owned(), error)
    }
}

impl<K> std::fmt::Debug for Api<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("resource", &self.resource).finish_non_exhaustive()
    }
}

impl Select {
    /// Selects by labels.
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { labels: selector.into(), ..Self::default() }
    }

    /// Selects by fields.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { fields: selector.into(), ..Self::default() }
    }

    /// Narrows the selection to a namespace.
    #[must_use]
    pub fn within(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        [("labelSelector", &self.labels), ("fieldSelector", &self.fields)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.clone()))
            .collect()
    }
}

/// Encodes a query string. Everything outside the unreserved characters is escaped.
pub(crate) fn encode(query: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let hex = |digit: u8| char::from(b"0123456789ABCDEF"[usize::from(digit)]);
                text.extend(['%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    text
}

fn body(object: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(object)
        .map_err(|error| ApiError::new("write the request".to_owned(), kube::Error::SerdeError(error)))
}

fn null_as_empty<'de, D, K>(deserializer: D) -> Result<Vec<K>, D::Error>
where
    D: serde::Deserializer<'de>,
    K: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            encode(&[("labelSelector", "a=b,c in (d)".to_owned())]),
            "labelSelector=a%3Db%2Cc%20in%20%28d%29"
        );
    }

    #[test]
    fn delete_options_carry_only_what_was_asked_for() {
        assert_eq!(Delete::default().body(), json!({"apiVersion": "v1", "kind": "DeleteOptions"}));
        let how = Delete { propagation: Some(Propagation::Orphan), ..Delete::only("u") };
        assert_eq!(how.body()["preconditions"], json!({"uid": "u"}));
        assert_eq!(how.body()["propagationPolicy"], "Orphan");
    }
}
