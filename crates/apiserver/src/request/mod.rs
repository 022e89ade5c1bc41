//! What a request asks for, read from its method, path and query alone.
//!
//! Authorisation attributes come from here and nowhere else: what is authorised is what is then done.

pub mod negotiate;
pub mod query;

use http::Method;

/// The meaning of a request's method and path.
///
/// For resource requests (`/api/...`, `/apis/...` with at least a resource name) `resource` is set; all others are
/// judged by `path` and the lower-case method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Kubernetes verb for resource requests (`get`, `list`, `watch`, `create`, ...), else the lower-case method.
    pub verb: Box<str>,
    /// Whether the request addresses a resource.
    pub is_resource: bool,
    /// API group; empty for the core group and for non-resource requests.
    pub group: Box<str>,
    /// API version.
    pub version: Box<str>,
    /// Namespace, empty when none is named. For the namespaces resource itself it is the object's name.
    pub namespace: Box<str>,
    /// Plural resource name.
    pub resource: Box<str>,
    /// Subresource, empty for the main resource.
    pub subresource: Box<str>,
    /// Path below the subresource (proxy requests), without leading slash.
    pub rest: Box<str>,
    /// Object name, empty for collections.
    pub name: Box<str>,
    /// Decoded request path.
    pub path: Box<str>,
}

impl RequestInfo {
    /// Reads method, path and query of a request.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Self {
        let mut info =
            Self { path: path.into(), verb: method.as_str().to_lowercase().into(), ..Self::default() };
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let rest = match segments.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).into();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).into();
                info.version = (*version).into();
                rest
            }
            _ => return info,
        };
        info.is_resource = true;
        let (legacy_watch, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        match rest {
            // Only these two are subresources of a namespace; anything else below it is a namespaced resource.
            ["namespaces", name, sub @ ("status" | "finalize")] => {
                info.namespace = (*name).into();
                info.resource = "namespaces".into();
                info.name = (*name).into();
                info.subresource = (*sub).into();
            }
            ["namespaces", namespace, resource, rest @ ..] => {
                info.namespace = (*namespace).into();
                info.set_resource(resource, rest);
            }
            ["namespaces", name] => {
                info.namespace = (*name).into();
                info.set_resource("namespaces", &[name]);
            }
            [resource, rest @ ..] => info.set_resource(resource, rest),
            [] => {}
        }
        info.verb = info.resource_verb(method, legacy_watch, query.unwrap_or_default()).into();
        info
    }

    fn set_resource(&mut self, resource: &str, rest: &[&str]) {
        self.resource = resource.into();
        if let Some(name) = rest.first() {
            self.name = (*name).into();
        }
        if let Some(sub) = rest.get(1) {
            self.subresource = (*sub).into();
        }
        if rest.len() > 2 {
            self.rest = rest[2..].join("/").into();
        }
    }

    fn resource_verb(&self, method: &Method, legacy_watch: bool, query: &str) -> &'static str {
        let collection = self.name.is_empty();
        match *method {
            Method::GET | Method::HEAD => {
                let watching = legacy_watch || query::flag(query, "watch");
                // A watch of one object is asked for as a collection with a field selector.
                match (watching && (collection || legacy_watch), collection) {
                    (true, _) => "watch",
                    (false, true) => "list",
                    (false, false) => "get",
                }
            }
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if collection => "deletecollection",
            Method::DELETE => "delete",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_give_attributes() {
        // method, path?query, verb, group, namespace, resource, subresource, name
        let table = [
            ("GET", "/api/v1/namespaces/a/pods", "list", "", "a", "pods", "", ""),
            ("GET", "/api/v1/namespaces/a/pods?watch=true", "watch", "", "a", "pods", "", ""),
            ("GET", "/api/v1/namespaces/a/pods/p/log", "get", "", "a", "pods", "log", "p"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update", "", "a", "namespaces", "finalize", "a"),
            ("GET", "/api/v1/namespaces/a", "get", "", "a", "namespaces", "", "a"),
            ("GET", "/api/v1/namespaces", "list", "", "", "namespaces", "", ""),
            ("GET", "/api/v1/watch/pods", "watch", "", "", "pods", "", ""),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/deployments",
                "deletecollection",
                "apps",
                "a",
                "deployments",
                "",
                "",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                "patch",
                "apps",
                "a",
                "deployments",
                "scale",
                "d",
            ),
            ("GET", "/apis/apps/v1", "get", "", "", "", "", ""),
            ("GET", "/healthz", "get", "", "", "", "", ""),
        ];
        for (method, target, verb, group, namespace, resource, subresource, name) in table {
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            let info = RequestInfo::parse(&method.parse().expect("a method"), path, query);
            assert_eq!(
                (
                    &*info.verb,
                    &*info.group,
                    &*info.namespace,
                    &*info.resource,
                    &*info.subresource,
                    &*info.name
                ),
                (verb, group, namespace, resource, subresource, name),
                "{method} {target}"
            );
        }
    }
}
