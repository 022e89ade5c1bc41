//! What authorisation looks at.

use machinery::admission::UserInfo;
use machinery::gvk::Gvr;
use machinery::status::Status;

use crate::Refusal;
use crate::request::RequestInfo;
use crate::request::query::Query;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// The verb: `get`, `list`, ..., or a lower-case HTTP method for paths.
    pub verb: &'a str,
    /// API group of the resource.
    pub group: &'a str,
    /// Plural name; empty when `path` is what counts.
    pub resource: &'a str,
    /// Subresource; empty for the resource itself.
    pub subresource: &'a str,
    /// Namespace; empty for the whole cluster.
    pub namespace: &'a str,
    /// Object name; empty for collections.
    pub name: &'a str,
    /// Path of a request that concerns no resource.
    pub path: &'a str,
}

impl<'a> Attributes<'a> {
    /// Reads the attributes of a request.
    pub fn of(info: &'a RequestInfo) -> Self {
        if !info.is_resource {
            return Self { verb: &info.verb, path: &info.path, ..Self::default() };
        }
        Self {
            verb: &info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: "",
        }
    }

    /// The refusal for a user who may not.
    pub fn forbidden(&self, user: &UserInfo, reason: &str) -> Refusal {
        let mut why = format!("User {:?} cannot {}", user.username, self.what());
        if !reason.is_empty() {
            why.push_str(": ");
            why.push_str(reason);
        }
        Status::forbidden(&Gvr::new(self.group, "", self.resource), self.name, why).into()
    }

    fn what(&self) -> String {
        if self.resource.is_empty() {
            return format!("{} path {:?}", self.verb, self.path);
        }
        let mut resource = self.resource.to_owned();
        if !self.subresource.is_empty() {
            resource.push('/');
            resource.push_str(self.subresource);
        }
        let scope = match self.namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!("{} resource {resource:?} in API group {:?} {scope}", self.verb, self.group)
    }
}

/// The one object that a request for a collection is limited to by its field selector, if it is: rules for single
/// objects then apply to lists and watches of them.
pub(crate) fn selected_name(info: &RequestInfo, query: &str) -> Option<String> {
    if !info.name.is_empty() || !matches!(&*info.verb, "list" | "watch" | "deletecollection") {
        return None;
    }
    let query = Query::parse(query);
    let terms = query.get("fieldSelector").split(',');
    let mut names = terms.filter_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value).to_owned())
    });
    names.next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn refusals_say_what_was_tried() {
        let user = UserInfo { username: "bob".to_owned(), ..UserInfo::default() };
        let table = [
            (
                "GET",
                "/api/v1/namespaces/a/pods/p/log",
                "pods \"p\" is forbidden: User \"bob\" cannot get resource \
              \"pods/log\" in API group \"\" in the namespace \"a\"",
            ),
            (
                "GET",
                "/apis/apps/v1/deployments",
                "deployments.apps is forbidden: User \"bob\" cannot list resource \
              \"deployments\" in API group \"apps\" at the cluster scope",
            ),
            ("GET", "/metrics", "forbidden: User \"bob\" cannot get path \"/metrics\""),
        ];
        for (method, path, message) in table {
            let info = RequestInfo::parse(&method.parse::<Method>().expect("a method"), path, None);
            assert_eq!(Attributes::of(&info).forbidden(&user, "").message, message);
        }
    }

    #[test]
    fn a_field_selector_can_name_the_object() {
        let named = |path: &str, query: &str| {
            selected_name(&RequestInfo::parse(&Method::GET, path, Some(query)), query)
        };
        let pods = "/api/v1/namespaces/a/pods";
        assert_eq!(named(pods, "fieldSelector=metadata.name%3Dp").as_deref(), Some("p"));
        assert_eq!(
            named(pods, "fieldSelector=status.phase%3DX,metadata.name%3D%3Dp&watch=1").as_deref(),
            Some("p")
        );
        assert_eq!(named(pods, "fieldSelector=metadata.name!%3Dp"), None);
        assert_eq!(named("/api/v1/namespaces/a/pods/q", "fieldSelector=metadata.name%3Dp"), None);
    }
}
