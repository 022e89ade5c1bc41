//! What is asked of the server, as a value: building one does nothing, so tables can hold them.

use serde_json::{Value, json};

/// What a subresource belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `VirtualMachine`
    Machine,
    /// `VirtualMachineInstance`
    Instance,
    /// `VirtualMachineInstanceReplicaSet`
    ReplicaSet,
    /// `VirtualMachineInstanceMigration`
    Migration,
    /// `Secret`
    Secret,
    /// `PersistentVolumeClaim`
    Claim,
    /// `CDIConfig`
    CdiConfig,
    /// `DataSource`
    DataSource,
    /// `DataVolume`
    DataVolume,
    /// `Event`
    Event,
    /// `VirtualMachineExport`
    Export,
    /// `KubeVirt`, the installation.
    KubeVirt,
    /// `Node`
    Node,
    /// `Pod`
    Pod,
    /// `Service`
    Service,
    /// `StorageClass`
    StorageClass,
    /// `VirtualMachineTemplate`
    Template,
    /// `VirtualMachineTemplateRequest`
    TemplateRequest,
    /// `UploadTokenRequest`
    UploadToken,
}

impl Kind {
    /// Name in paths.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Machine => "virtualmachines",
            Self::Instance => "virtualmachineinstances",
            Self::ReplicaSet => "virtualmachineinstancereplicasets",
            Self::Migration => "virtualmachineinstancemigrations",
            Self::Secret => "secrets",
            Self::Claim => "persistentvolumeclaims",
            Self::CdiConfig => "cdiconfigs",
            Self::DataSource => "datasources",
            Self::DataVolume => "datavolumes",
            Self::Event => "events",
            Self::Export => "virtualmachineexports",
            Self::KubeVirt => "kubevirts",
            Self::Node => "nodes",
            Self::Pod => "pods",
            Self::Service => "services",
            Self::StorageClass => "storageclasses",
            Self::Template => "virtualmachinetemplates",
            Self::TemplateRequest => "virtualmachinetemplaterequests",
            Self::UploadToken => "uploadtokenrequests",
        }
    }

    /// Where its objects are.
    fn group(self) -> &'static str {
        match self {
            Self::Secret | Self::Claim | Self::Event | Self::Node | Self::Pod | Self::Service => "/api/v1",
            Self::CdiConfig | Self::DataSource | Self::DataVolume => "/apis/cdi.kubevirt.io/v1beta1",
            Self::Export => "/apis/export.kubevirt.io/v1beta1",
            Self::Template | Self::TemplateRequest => "/apis/template.kubevirt.io/v1alpha1",
            Self::UploadToken => "/apis/upload.cdi.kubevirt.io/v1beta1",
            Self::StorageClass => "/apis/storage.k8s.io/v1",
            Self::Machine | Self::Instance | Self::ReplicaSet | Self::Migration | Self::KubeVirt => {
                "/apis/kubevirt.io/v1"
            }
        }
    }

    /// Reads a type as users write it: any case, singular, plural or short.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        Some(match word.as_str() {
            "vm" | "vms" | "virtualmachine" | "virtualmachines" => Self::Machine,
            "vmi" | "vmis" | "virtualmachineinstance" | "virtualmachineinstances" => Self::Instance,
            "vmirs" | "vmirss" | "virtualmachineinstancereplicaset" | "virtualmachineinstancereplicasets" => {
                Self::ReplicaSet
            }
            _ => return None,
        })
    }
}

/// HTTP's verbs, as far as they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Put,
    Post,
    /// With a JSON patch.
    Patch,
    Delete,
}

impl Verb {
    /// In capitals, as on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// As a word in a sentence.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Put => "Put",
            Self::Post => "Post",
            Self::Patch => "Patch",
            Self::Delete => "Delete",
        }
    }

    /// What a body is.
    pub(crate) fn media_type(self) -> &'static str {
        if self == Self::Patch { "application/json-patch+json" } else { "application/json" }
    }
}

/// Why a request cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NameError {
    #[error("resource name may not be empty")]
    Empty,
    #[error("invalid {what} {name:?}: [may not {fault}]")]
    Unfit { what: &'static str, name: String, fault: String },
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    /// Path with its query, fit to be sent.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// What is asked about, for answers that do not say it: plural and name.
    pub(crate) about: Option<(&'static str, String)>,
}

impl Request {
    /// Reads a path that belongs to no object.
    pub(crate) fn read(path: impl Into<String>) -> Self {
        Self { verb: Verb::Get, path: path.into(), body: None, about: None }
    }

    /// Reads what has a name below a path.
    pub(crate) fn below(path: &str, name: &str) -> Result<Self, NameError> {
        Ok(Self::read(format!("{path}/{}", segment("resource name", name)?)))
    }

    /// Sends a question that is no object: nothing of it is kept.
    pub(crate) fn ask(path: &str, question: Value) -> Self {
        Self { verb: Verb::Post, path: path.to_owned(), body: Some(question), about: None }
    }

    /// Asks for a part of a machine under `subresources.kubevirt.io`; `part` may have several segments.
    pub(crate) fn subresource(
        verb: Verb,
        namespace: &str,
        kind: Kind,
        name: &str,
        part: &str,
    ) -> Result<Self, NameError> {
        let object = object_path(namespace, kind, name)?;
        Ok(Self {
            verb,
            path: format!("/apis/subresources.kubevirt.io/v1/{object}/{part}"),
            body: None,
            about: Some((kind.plural(), name.to_owned())),
        })
    }

    /// Reads an object.
    pub(crate) fn object(namespace: &str, kind: Kind, name: &str) -> Result<Self, NameError> {
        Self::of_object(Verb::Get, namespace, kind, name)
    }

    /// Does something with an object.
    pub(crate) fn of_object(verb: Verb, namespace: &str, kind: Kind, name: &str) -> Result<Self, NameError> {
        let object = object_path(namespace, kind, name)?;
        let about = Some((kind.plural(), name.to_owned()));
        Ok(Self { verb, path: format!("{}/{object}", kind.group()), body: None, about })
    }

    /// Reads an object that belongs to no namespace.
    pub(crate) fn of_cluster(kind: Kind, name: &str) -> Result<Self, NameError> {
        let (group, plural) = (kind.group(), kind.plural());
        let path = format!("{group}/{plural}/{}", segment("resource name", name)?);
        Ok(Self { verb: Verb::Get, path, body: None, about: Some((plural, name.to_owned())) })
    }

    /// Lists the objects of a namespace, or of all.
    pub(crate) fn list(namespace: Option<&str>, kind: Kind) -> Result<Self, NameError> {
        let (group, plural) = (kind.group(), kind.plural());
        let path = match namespace {
            None => format!("{group}/{plural}"),
            Some(namespace) => format!("{group}/namespaces/{}/{plural}", segment("namespace", namespace)?),
        };
        Ok(Self { verb: Verb::Get, path, body: None, about: Some((plural, String::new())) })
    }

    /// Creates an object.
    pub(crate) fn create(namespace: &str, kind: Kind, object: Value) -> Result<Self, NameError> {
        let namespace = segment("namespace", namespace)?;
        let path = format!("{}/namespaces/{namespace}/{}", kind.group(), kind.plural());
        Ok(Self { verb: Verb::Post, path, body: Some(object), about: Some((kind.plural(), String::new())) })
    }

    /// Lists the migrations of an instance.
    pub(crate) fn migrations_of(namespace: &str, instance: &str) -> Result<Self, NameError> {
        let (namespace, instance) = (segment("namespace", namespace)?, segment("resource name", instance)?);
        let plural = Kind::Migration.plural();
        Ok(Self {
            verb: Verb::Get,
            path: format!(
                "/apis/kubevirt.io/v1/namespaces/{namespace}/{plural}?labelSelector=kubevirt.io%2Fvmi-name%3D%3D{instance}"
            ),
            body: None,
            about: Some((plural, String::new())),
        })
    }

    /// Asks what a machine amounts to.
    pub(crate) fn expand(namespace: &str, machine: Value) -> Result<Self, NameError> {
        let namespace = segment("namespace", namespace)?;
        let path = format!("/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/expand-vm-spec");
        Ok(Self { verb: Verb::Put, path, body: Some(machine), about: None })
    }

    /// Creates a Service.
    pub(crate) fn create_service(namespace: &str, service: Value) -> Result<Self, NameError> {
        let namespace = segment("namespace", namespace)?;
        let path = format!("/api/v1/namespaces/{namespace}/services");
        Ok(Self { verb: Verb::Post, path, body: Some(service), about: Some(("services", String::new())) })
    }

    /// Adds a body.
    pub(crate) fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Adds a parameter.
    pub(crate) fn with_parameter(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        self.path.push_str(&format!("{joint}{name}={}", escaped(&value.to_string())));
        self
    }
}

/// Body of a request that may be tried without consequences.
pub(crate) fn options(dry_run: bool) -> Value {
    if dry_run { json!({"dryRun": ["All"]}) } else { json!({}) }
}

fn object_path(namespace: &str, kind: Kind, name: &str) -> Result<String, NameError> {
    let namespace = segment("namespace", namespace)?;
    let name = segment("resource name", name)?;
    Ok(format!("namespaces/{namespace}/{}/{name}", kind.plural()))
}

/// Makes one segment of a path. What would change the path's shape is refused, what would change its meaning escaped.
fn segment(what: &'static str, name: &str) -> Result<String, NameError> {
    let unfit = |fault: &str| NameError::Unfit { what, name: name.to_owned(), fault: fault.to_owned() };
    match name {
        "" => return Err(NameError::Empty),
        "." | ".." => return Err(unfit(&format!("be '{name}'"))),
        _ => {}
    }
    if let Some(bad) = name.chars().find(|character| matches!(character, '/' | '%')) {
        return Err(unfit(&format!("contain '{bad}'")));
    }
    Ok(escaped(name))
}

/// Escapes what has a meaning in paths and queries.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        let path = |name: &str| Request::object("ns", Kind::Machine, name).map(|request| request.path);
        assert_eq!(path("vm1").unwrap(), "/apis/kubevirt.io/v1/namespaces/ns/virtualmachines/vm1");
        assert_eq!(
            path("a b?c#d").unwrap(),
            "/apis/kubevirt.io/v1/namespaces/ns/virtualmachines/a%20b%3Fc%23d"
        );
        for (name, says) in [
            ("", "resource name may not be empty"),
            ("..", "invalid resource name \"..\": [may not be '..']"),
            ("a/../b", "invalid resource name \"a/../b\": [may not contain '/']"),
            ("a%2fb", "invalid resource name \"a%2fb\": [may not contain '%']"),
        ] {
            assert_eq!(path(name).unwrap_err().to_string(), says);
        }
        let foreign = Request::object("x/y", Kind::Machine, "vm1").unwrap_err();
        assert_eq!(foreign.to_string(), "invalid namespace \"x/y\": [may not contain '/']");
    }

    #[test]
    fn parameters_are_joined() {
        let request = Request::subresource(Verb::Get, "ns", Kind::Instance, "vm1", "vnc/screenshot").unwrap();
        let request = request.with_parameter("moveCursor", true).with_parameter("a", "b=c,d");
        assert_eq!(
            request.path,
            "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vm1/vnc/screenshot?moveCursor=true&a=b%3Dc%2Cd"
        );
    }

    #[test]
    fn lists_are_of_a_namespace_or_of_all() {
        let path = |namespace, kind| Request::list(namespace, kind).map(|request| request.path);
        assert_eq!(path(Some("ns"), Kind::Claim).unwrap(), "/api/v1/namespaces/ns/persistentvolumeclaims");
        assert_eq!(path(None, Kind::KubeVirt).unwrap(), "/apis/kubevirt.io/v1/kubevirts");
        assert!(path(Some("a/b"), Kind::Pod).is_err());
    }

    #[test]
    fn types_are_read_in_every_form() {
        for word in ["vm", "VMs", "VirtualMachine", "virtualmachines"] {
            assert_eq!(Kind::parse(word), Some(Kind::Machine), "{word}");
        }
        for word in ["vmi", "vmis", "virtualMachineInstance", "virtualmachineinstances"] {
            assert_eq!(Kind::parse(word), Some(Kind::Instance), "{word}");
        }
        assert_eq!(Kind::parse("vmirs"), Some(Kind::ReplicaSet));
        assert_eq!(Kind::parse("pod"), None);
    }
}
