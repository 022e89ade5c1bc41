//! Typed access to one resource.

mod request;

use std::marker::PhantomData;

use http::Request;
use kube::Client;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::request::{Delete, List, Patch, Propagation, Select};
pub(crate) use self::request::{encode, null_as_empty};
use crate::{ApiError, Key, Kind, Problem, Resource};

/// Reads and writes objects of one resource as `K`.
#[derive(Clone)]
pub struct Api<K> {
    client: Client,
    resource: Resource,
    kind: PhantomData<fn() -> K>,
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

    /// Refuses a name that no object can have, as that of an absent one. Names come from what users write; one with a slash
    /// or a question mark in it would ask for something else.
    fn check_name(&self, key: &Key, verb: &str) -> Result<(), ApiError> {
        if is_segment(&key.name) {
            return Ok(());
        }
        let operation = format!("{verb} {} {key}", self.resource.plural);
        Err(ApiError { operation, problem: Problem::NotFound })
    }

    /// Reads an object.
    pub async fn get(&self, key: &Key) -> Result<K, ApiError> {
        self.check_name(key, "get")?;
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

    /// Reads a subresource, such as a set's `scale`.
    pub async fn get_subresource(&self, key: &Key, subresource: &str) -> Result<Value, ApiError> {
        let verb = format!("get {subresource} of");
        self.check_name(key, &verb)?;
        self.send("GET", &self.url(key, subresource), None, &verb, &key.to_string()).await
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
        self.ask_subresource(key, subresource, object).await.map(drop)
    }

    /// Posts `object` to a subresource that answers with something of its own, such as a ServiceAccount's `token`.
    pub async fn ask_subresource(
        &self,
        key: &Key,
        subresource: &str,
        object: &impl Serialize,
    ) -> Result<Value, ApiError> {
        let operation = format!("create {subresource}");
        self.check_name(key, &operation)?;
        let url = self.url(key, subresource);
        self.send("POST", &url, Some(body(object)?), &operation, &key.to_string()).await
    }

    /// Replaces an object; fails with a conflict when its resourceVersion is no longer current.
    pub async fn replace(&self, key: &Key, object: &impl Serialize) -> Result<K, ApiError> {
        self.send("PUT", &self.url(key, ""), Some(body(object)?), "replace", &key.to_string()).await
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

    /// Tries a change, or makes it: `dry_run` is the request's option of that name, `["All"]` for a trial. With
    /// `subresource` empty the object itself is changed.
    pub async fn patch_or_try(
        &self,
        key: &Key,
        subresource: &str,
        patch: &Patch,
        dry_run: &[String],
    ) -> Result<K, ApiError> {
        let mut url = self.url(key, subresource);
        if !dry_run.is_empty() {
            let query: Vec<_> = dry_run.iter().map(|what| ("dryRun", what.clone())).collect();
            url = format!("{url}?{}", encode(&query));
        }
        self.send_patch(&url, patch, "patch", key).await
    }

    /// Tries to create an object, or creates it: `dry_run` is the request's option of that name.
    pub async fn create_or_try(
        &self,
        namespace: &str,
        object: &impl Serialize,
        dry_run: &[String],
    ) -> Result<K, ApiError> {
        let query: Vec<_> = dry_run.iter().map(|what| ("dryRun", what.clone())).collect();
        let url = format!("{}?{}", self.resource.path(namespace), encode(&query));
        self.send("POST", &url, Some(body(object)?), "create", namespace).await
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
                    "{url}{}{}",
                    if url.contains('?') { '&' } else { '?' },
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

/// Tells whether a text can be the part of a path that names an object.
fn is_segment(name: &str) -> bool {
    let foreign = |c: char| matches!(c, '/' | '%' | '?' | '#' | '\\') || c.is_whitespace() || c.is_control();
    !matches!(name, "" | "." | "..") && !name.contains(foreign)
}

fn body(object: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(object)
        .map_err(|error| ApiError::new("write the request".to_owned(), kube::Error::SerdeError(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_part_of_a_path() {
        for name in ["web", "web-1.a", "system:node", "kube-root-ca.crt"] {
            assert!(is_segment(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "../b/secrets/c", "a%2fb", "a?watch=1", "a#b", "a b", "a\0", "a\n"]
        {
            assert!(!is_segment(name), "{name:?}");
        }
    }
}
