//! The schema of a resource: where it comes from, and what the write path does with it.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use machinery::field::{FieldError, Path, Problem};
use machinery::gvk::Gvk;
use machinery::rules::{Rules, Verdict};
use machinery::schema::{Library, Schema, SchemaError};
use serde_json::Value;

use super::facts;

/// Definitions of built-in kinds and of what all kinds share.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| Library::new(|name| facts::definition_with_defaults(name).map(Cow::Owned)))
}

/// The schema of one resource in one version. Built-in schemas are parsed when first needed.
pub struct SchemaSource {
    origin: Origin,
    parsed: OnceLock<Schema>,
}

enum Origin {
    None,
    BuiltIn(&'static str),
    Custom(Schema, Option<Rules>),
}

impl fmt::Debug for SchemaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::None => f.write_str("SchemaSource(none)"),
            Origin::BuiltIn(name) => write!(f, "SchemaSource({name})"),
            Origin::Custom(..) => f.write_str("SchemaSource(custom)"),
        }
    }
}

/// What requests to subresources bring that is of another kind than their resource: group, kind, schema.
static OF_SUBRESOURCES: [(&str, &str, SchemaSource); 4] = [
    ("", "Binding", SchemaSource::built_in("io.k8s.api.core.v1.Binding")),
    (
        "authentication.k8s.io",
        "TokenRequest",
        SchemaSource::built_in("io.k8s.api.authentication.v1.TokenRequest"),
    ),
    ("autoscaling", "Scale", SchemaSource::built_in("io.k8s.api.autoscaling.v1.Scale")),
    ("policy", "Eviction", SchemaSource::built_in("io.k8s.api.policy.v1.Eviction")),
];

impl SchemaSource {
    /// The schema of a kind that only subresources take.
    pub fn of_subresource(gvk: &Gvk) -> Option<&'static Self> {
        let found =
            OF_SUBRESOURCES.iter().find(|(group, kind, _)| gvk.group == **group && gvk.kind == **kind);
        found.map(|(.., schema)| schema)
    }

    /// No schema: anything goes.
    pub const fn none() -> Self {
        Self { origin: Origin::None, parsed: OnceLock::new() }
    }

    /// The definition `name` of the facts.
    pub const fn built_in(name: &'static str) -> Self {
        Self { origin: Origin::BuiltIn(name), parsed: OnceLock::new() }
    }

    /// The `openAPIV3Schema` of a CustomResourceDefinition.
    ///
    /// # Errors
    /// Fails when it is not a schema.
    pub fn custom(open_api_v3_schema: &Value) -> Result<Self, SchemaError> {
        let schema = library().structural(open_api_v3_schema)?;
        let rules = Rules::read(open_api_v3_schema);
        Ok(Self { origin: Origin::Custom(schema, rules), parsed: OnceLock::new() })
    }

    /// The name of the definition in the facts, for built-in kinds.
    pub fn definition(&self) -> Option<&'static str> {
        match self.origin {
            Origin::BuiltIn(name) => Some(name),
            _ => None,
        }
    }

    /// The parsed schema.
    pub fn schema(&self) -> &Schema {
        match &self.origin {
            Origin::Custom(schema, _) => schema,
            Origin::BuiltIn(name) => {
                self.parsed.get_or_init(|| library().named(name).unwrap_or_else(|| library().anything()))
            }
            Origin::None => self.parsed.get_or_init(|| library().anything()),
        }
    }

    /// Drops fields that the schema does not know; returns their paths.
    ///
    /// # Errors
    /// Says which field of a built-in kind has a value of the wrong type.
    pub fn settle(&self, object: &mut Value) -> Result<Vec<String>, String> {
        if let Some(error) = self.typed().and_then(|schema| schema.type_error(object)) {
            return Err(format!("json: {error}"));
        }
        Ok(self.schema().prune(object))
    }

    /// Sets what is left out and has a default, and brings values into canonical form.
    pub fn default(&self, object: &mut Value) {
        if let Some(schema) = self.typed() {
            schema.unset_blank(object);
        }
        self.schema().default(object);
        if let Some(schema) = self.typed() {
            schema.canonicalize(object);
        }
    }

    /// Returns every broken rule of the schema. In objects of custom kinds, what is as it was in `old` may stay so.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Verdict {
        match &self.origin {
            Origin::None => Verdict::default(),
            Origin::BuiltIn(_) => {
                let mut errors = self.schema().validate(object);
                // Typed objects show some fields as null; for them that is the same as being absent.
                errors.retain(|error| {
                    !(error.problem == Problem::TypeInvalid && error.detail.ends_with("not null"))
                });
                Verdict { errors, warnings: Vec::new() }
            }
            Origin::Custom(schema, rules) => {
                let mut errors = schema.validate_change(object, old);
                match rules {
                    None => Verdict { errors, warnings: Vec::new() },
                    Some(_) if errors.iter().any(blocks) => {
                        let detail = "some validation rules were not checked because the object was invalid; \
                                      correct the existing errors to complete validation";
                        errors.push(FieldError::invalid(Path::root(), Value::Null, detail));
                        Verdict { errors, warnings: Vec::new() }
                    }
                    Some(rules) => {
                        let verdict = rules.judge(object, old);
                        errors.extend(verdict.errors);
                        Verdict { errors, warnings: verdict.warnings }
                    }
                }
            }
        }
    }

    /// The schema, when objects are typed as built-in kinds are.
    fn typed(&self) -> Option<&Schema> {
        matches!(self.origin, Origin::BuiltIn(_)).then(|| self.schema())
    }
}

/// Whether rules in CEL could not make sense of an object with such an error.
fn blocks(error: &FieldError) -> bool {
    matches!(
        error.problem,
        Problem::Required
            | Problem::TooLong
            | Problem::TooMany
            | Problem::TypeInvalid
            | Problem::NotSupported
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn built_in_objects_are_settled() {
        let pod = SchemaSource::built_in("io.k8s.api.core.v1.Pod");
        let mut object = json!({
            "metadata": {"name": "a", "labels": {}, "x": 1},
            "spec": {"containers": [{"name": "c", "imag": "i", "resources": {"limits": {"cpu": 1, "memory": "1024Ki"}}}], "volumes": []},
            "status": null,
        });
        assert_eq!(pod.settle(&mut object).expect("right types"), ["metadata.x", "spec.containers[0].imag"]);
        pod.default(&mut object);
        assert_eq!(object["metadata"], json!({"name": "a"}));
        assert_eq!(
            object["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "1", "memory": "1Mi"}})
        );
        assert_eq!(object["spec"]["dnsPolicy"], "ClusterFirst");
        object["spec"]["dnsPolicy"] = json!("");
        pod.default(&mut object);
        assert_eq!(object["spec"]["dnsPolicy"], "ClusterFirst");
        assert_eq!(object["spec"].get("volumes"), None);
    }

    #[test]
    fn wrong_types_are_named() {
        let pod = SchemaSource::built_in("io.k8s.api.core.v1.Pod");
        let error =
            pod.settle(&mut json!({"spec": {"containers": [{"name": 1}]}})).expect_err("a wrong type");
        assert!(error.contains("spec.containers[0].name"), "{error}");
    }

    #[test]
    fn every_definition_parses() {
        for name in facts::definition_names() {
            assert!(library().named(name).is_some(), "{name}");
        }
    }
}
