//! What the server knows of one served resource, built in or defined by a CustomResourceDefinition.

use std::fmt;
use std::sync::Arc;

pub use machinery::gvk::{Gvk, Gvr};

use super::schema::SchemaSource;
use crate::conversion::Converter;

/// Joins group and version as the `apiVersion` field has them.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Which stored collection a resource belongs to. All versions of a resource share one collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Collection {
    /// API group; empty for the core group.
    pub group: Box<str>,
    /// Plural resource name.
    pub plural: Box<str>,
}

impl Collection {
    /// Names the collection of `plural` in `group`.
    pub fn new(group: &str, plural: &str) -> Self {
        Self { group: group.into(), plural: plural.into() }
    }
}

impl fmt::Display for Collection {
    /// Writes `pods` or `deployments.apps`, as error messages name a resource.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.plural)
        } else {
            write!(f, "{}.{}", self.plural, self.group)
        }
    }
}

/// What a request may do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// POST to the collection.
    Create,
    /// DELETE of one object.
    Delete,
    /// DELETE of the collection.
    DeleteCollection,
    /// GET of one object.
    Get,
    /// GET of the collection.
    List,
    /// PATCH of one object.
    Patch,
    /// PUT of one object.
    Update,
    /// GET of the collection with `watch=true`.
    Watch,
}

impl Verb {
    /// All verbs, in the order in which discovery lists them for built-in resources.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// Returns the verb as RBAC and discovery spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }

    /// Reads a verb as [`Verb::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }
}

/// A subresource of a resource.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// Last path segment, such as `status`.
    pub name: Box<str>,
    /// Kind of its request and answer.
    pub gvk: Gvk,
    /// Verbs that it answers, in discovery order.
    pub verbs: Box<[Verb]>,
}

/// A column of the Table answer, as a CustomResourceDefinition or the facts define it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading.
    pub name: Box<str>,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: Box<str>,
    /// OpenAPI format; often empty.
    pub format: Box<str>,
    /// One sentence about the column; may be empty.
    pub description: Box<str>,
    /// Columns above 0 are shown in wide output only.
    pub priority: i64,
    /// JSONPath of a custom resource's cell, with its leading dot; empty for built-in kinds.
    pub json_path: Box<str>,
}

/// Paths of the scale subresource of a custom resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Path of the wanted count, below `.spec`.
    pub spec_replicas: Box<str>,
    /// Path of the observed count, below `.status`.
    pub status_replicas: Box<str>,
    /// Path of the label selector in string form.
    pub label_selector: Option<Box<str>>,
}

/// One resource of one version, as requests address it.
#[derive(Debug)]
pub struct Resource {
    /// Group, version and kind of its objects.
    pub gvk: Gvk,
    /// The stored collection, with group and plural name.
    pub collection: Collection,
    /// Version in which the collection is stored.
    pub storage_version: Box<str>,
    /// Singular name.
    pub singular: Box<str>,
    /// Kind of its list.
    pub list_kind: Box<str>,
    /// Short names for command lines.
    pub short_names: Box<[Box<str>]>,
    /// Categories such as `all`.
    pub categories: Box<[Box<str>]>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs that it answers, in discovery order.
    pub verbs: Box<[Verb]>,
    /// Subresources, sorted by name.
    pub subresources: Box<[Subresource]>,
    /// The schema of its objects, parsed when first needed.
    pub schema: SchemaSource,
    /// Table columns: those of the facts, or of the CustomResourceDefinition (without the name column).
    pub columns: Box<[Column]>,
    /// Paths (with leading dot) that field selectors of a custom resource may name besides name and namespace.
    pub selectable_fields: Box<[Box<str>]>,
    /// The webhook that converts its objects between versions, where they differ in more than their `apiVersion`.
    pub(crate) conversion: Option<Arc<Converter>>,
    /// Scale paths of a custom resource that has the scale subresource.
    pub scale: Option<ScalePaths>,
    /// Whether a CustomResourceDefinition defines it.
    pub custom: bool,
    /// Text that answers to this version carry as a warning when the version is deprecated.
    pub deprecation: Option<Box<str>>,
}

impl Resource {
    /// Returns the version that requests name.
    pub fn version(&self) -> &str {
        &self.gvk.version
    }

    /// Returns the plural name.
    pub fn plural(&self) -> &str {
        &self.collection.plural
    }

    /// Returns the group; empty for the core group.
    pub fn group(&self) -> &str {
        &self.gvk.group
    }

    /// Returns the kind of its objects.
    pub fn kind(&self) -> &str {
        &self.gvk.kind
    }

    /// Returns the `apiVersion` of its objects in this version.
    pub fn api_version(&self) -> String {
        self.gvk.api_version()
    }

    /// Returns group, version and plural name, as refusals name the resource.
    pub fn gvr(&self) -> Gvr {
        Gvr::new(self.gvk.group.as_str(), self.gvk.version.as_str(), self.plural())
    }

    /// Returns whether it answers `verb` on the main resource.
    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// Returns the subresource `name`.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| &*sub.name == name)
    }

    /// Returns whether `status` is written apart from the rest.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Returns whether objects are kept, rather than computed per request as reviews are.
    pub fn is_stored(&self) -> bool {
        self.allows(Verb::Get)
    }
}

/// Shared handle of a resource.
pub type ResourceRef = Arc<Resource>;
