//! One request for a resource: what it addresses, and the options it carries.

use http::HeaderMap;
use machinery::admission::UserInfo;
use machinery::field::{FieldError, Path};
use machinery::gvk::Gvk;
use machinery::status::Status;

use crate::cache::ObjectKey;
use crate::registry::{ResourceRef, Subresource};
use crate::request::RequestInfo;
use crate::request::negotiate::Accepted;
use crate::request::query::Query;
use crate::{ApiServer, Result};

/// A request for a resource.
#[derive(Debug)]
pub(crate) struct Call {
    /// The server.
    pub(crate) server: ApiServer,
    /// The resource, in the version asked for.
    pub(crate) resource: ResourceRef,
    /// The subresource, if the path names one.
    pub(crate) subresource: Option<Subresource>,
    /// What method and path say.
    pub(crate) info: RequestInfo,
    /// Query parameters.
    pub(crate) query: Query,
    /// What the answer is to look like.
    pub(crate) accepted: Accepted,
    /// Request headers.
    pub(crate) headers: HeaderMap,
    /// Who asks.
    pub(crate) user: UserInfo,
    /// Sentences for the answer's Warning headers.
    pub(crate) warnings: Vec<String>,
}

impl Call {
    /// The object addressed.
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::new(self.namespace(), &self.info.name)
    }

    /// The namespace of the objects addressed; empty for cluster-scoped resources.
    pub(crate) fn namespace(&self) -> &str {
        if self.resource.namespaced { &self.info.namespace } else { "" }
    }

    /// The subresource's name; empty for the main resource.
    pub(crate) fn sub(&self) -> &str {
        self.subresource.as_ref().map_or("", |sub| &*sub.name)
    }

    /// The refusal for an object that is not there.
    pub(crate) fn not_found(&self, name: &str) -> Box<Status> {
        Status::not_found(&self.resource.gvr(), name).into()
    }

    /// The field manager: as asked for, or the program's name in the user agent.
    pub(crate) fn manager(&self) -> String {
        match self.query.get("fieldManager") {
            "" => user_agent_prefix(&self.headers),
            manager => manager.to_owned(),
        }
    }

    /// Adds a warning, unless it was given already.
    pub(crate) fn warn(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        if !self.warnings.contains(&sentence) {
            self.warnings.push(sentence);
        }
    }
}

/// The part of the user agent before the first slash.
pub(crate) fn user_agent_prefix(headers: &HeaderMap) -> String {
    let agent =
        headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name: String = agent.split('/').next().unwrap_or_default().chars().take(128).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// What to do with fields that the schema does not know, and with duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn.
    #[default]
    Warn,
    /// Refuse the object.
    Strict,
}

/// Options common to create, update and patch.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    /// Do everything but store.
    pub(crate) dry_run: bool,
    /// What to do with unknown fields.
    pub(crate) validation: FieldValidation,
    /// Take over fields of other managers (apply).
    pub(crate) force: bool,
}

impl WriteOptions {
    /// Reads and checks the options of a create (`CreateOptions`), update or patch.
    ///
    /// # Errors
    /// Refuses values that do not exist.
    pub(crate) fn parse(query: &Query, kind: &str, apply: bool) -> Result<Self> {
        let mut errors = Vec::new();
        let mut options = Self::default();
        let dry_runs: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        match dry_runs.as_slice() {
            [] => {}
            all if all.iter().all(|value| *value == "All") => options.dry_run = true,
            bad => errors.push(FieldError::not_supported(Path::new("dryRun"), bad.to_vec(), ["All"])),
        }
        options.validation = match query.get("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let path = Path::new("fieldValidation");
                errors.push(FieldError::not_supported(path, other, ["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if query.has("force") {
            options.force = query.flag("force");
            if !apply {
                let detail = "may not be specified for non-apply patch";
                errors.push(FieldError::forbidden(Path::new("force"), detail));
            }
        }
        manager_errors(query.get("fieldManager"), apply, &mut errors);
        if errors.is_empty() {
            return Ok(options);
        }
        Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", kind), "", &errors).into())
    }
}

fn manager_errors(manager: &str, required: bool, errors: &mut Vec<FieldError>) {
    let path = || Path::new("fieldManager");
    if manager.is_empty() && required {
        errors.push(FieldError::required(path(), "is required for apply patch"));
    }
    if manager.len() > 128 {
        errors.push(FieldError::too_long(path(), 128));
    }
    if let Some(odd) = manager.chars().find(|c| c.is_control()) {
        errors.push(FieldError::invalid(
            path(),
            manager,
            format!("must not hold the unprintable character {odd:?}"),
        ));
    }
}
