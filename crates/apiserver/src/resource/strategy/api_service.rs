//! APIServices: which version of a group who answers, and whom to believe about that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::field::{FieldError, Path};
use machinery::{names, object};
use serde_json::Value;

use super::{BASE, Strategy, set_default, text};
use crate::resource::Call;

/// `groupPriorityMinimum` and `versionPriority` may not be greater.
const MOST: [(&str, i64); 2] = [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)];

pub(super) const STRATEGY: Strategy = Strategy { name: names::path_segment, default, validate, ..BASE };

fn default(draft: &mut Value) {
    if let Some(service) = draft.pointer_mut("/spec/service").filter(|service| service.is_object()) {
        set_default(service, "port", 443);
    }
}

fn validate(call: &Call, draft: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = rules(draft);
    let (group, version) = (text(draft, &["spec", "group"]), text(draft, &["spec", "version"]));
    // Kubernetes lets it happen, and stands still.
    if draft["spec"]["service"].is_object() && call.server.registry().snapshot().is_built_in(group, version) {
        let detail =
            format!("{version}.{group} is what this server itself stands on: no other program can answer it");
        errors.push(FieldError::forbidden(Path::new("spec").child("service"), detail));
    }
    errors
}

fn rules(draft: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, at) = (&draft["spec"], Path::new("spec"));
    let (group, version) = (text(spec, &["group"]), text(spec, &["version"]));
    let (name, required) = (object::name(draft), format!("{version}.{group}"));
    if name != required && names::path_segment(name).is_empty() {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {required:?}");
        errors.push(FieldError::invalid(Path::new("metadata").child("name"), name, detail));
    }
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(at.child("group"), detail));
    }
    let wrong = if group.is_empty() { Vec::new() } else { names::dns_subdomain(group) };
    errors.extend(wrong.into_iter().map(|wrong| FieldError::invalid(at.child("group"), group, wrong)));
    let wrong = names::dns_1035_label(version).into_iter();
    errors.extend(wrong.map(|wrong| FieldError::invalid(at.child("version"), version, wrong)));
    for (field, most) in MOST {
        let value = spec[field].as_i64().unwrap_or_default();
        if !(1..=most).contains(&value) {
            let detail = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(at.child(field), value, detail));
        }
    }
    trust(spec, &at, &mut errors);
    let service = &spec["service"];
    if service.is_object() {
        let at = at.child("service");
        for field in ["namespace", "name"] {
            if text(service, &[field]).is_empty() {
                errors.push(FieldError::required(at.child(field), ""));
            }
        }
        let port = service["port"].as_i64().unwrap_or(443);
        if !(1..=65535).contains(&port) {
            let detail = "port is not valid: must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(at.child("port"), port, detail));
        }
    }
    errors
}

/// Whom to believe is said once, and of other programs only.
fn trust(spec: &Value, at: &Path, errors: &mut Vec<FieldError>) {
    let bundle = text(spec, &["caBundle"]);
    let credulous = spec["insecureSkipTLSVerify"] == true;
    let length = STANDARD.decode(bundle).map_or(bundle.len(), |bytes| bytes.len());
    let credulity = at.child("insecureSkipTLSVerify");
    if spec["service"].is_object() {
        if credulous && !bundle.is_empty() {
            errors.push(FieldError::invalid(credulity, true, "may not be true if caBundle is present"));
        }
        return;
    }
    if !bundle.is_empty() {
        let detail = "local APIServices may not have a caBundle";
        errors.push(FieldError::invalid(at.child("caBundle"), format!("{length} bytes"), detail));
    }
    if credulous {
        let detail = "local APIServices may not have insecureSkipTLSVerify";
        errors.push(FieldError::invalid(credulity, true, detail));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = json!({"group": "g.test", "version": "v1", "groupPriorityMinimum": 20000, "versionPriority": 1000,
            "caBundle": "AAAA", "service": {"namespace": "a", "name": "b", "port": 443}});
        let told = |name: &str, changes: Value| -> Vec<String> {
            let mut draft = json!({"metadata": {"name": name}, "spec": good.clone()});
            for (field, value) in changes.as_object().into_iter().flatten() {
                draft["spec"][field.as_str()] = value.clone();
            }
            rules(&draft).iter().map(|error| error.path.to_string()).collect()
        };
        let table = [
            ("v1.g.test", json!({}), &[][..]),
            ("v2.g.test", json!({}), &["metadata.name"]),
            ("v1.", json!({"group": ""}), &[]),
            ("v2.", json!({"group": "", "version": "v2"}), &["spec.group"]),
            ("v1.G", json!({"group": "G"}), &["spec.group"]),
            ("1.g.test", json!({"version": "1"}), &["spec.version"]),
            ("v1.g.test", json!({"groupPriorityMinimum": 0}), &["spec.groupPriorityMinimum"]),
            ("v1.g.test", json!({"versionPriority": 1001}), &["spec.versionPriority"]),
            ("v1.g.test", json!({"insecureSkipTLSVerify": true}), &["spec.insecureSkipTLSVerify"]),
            ("v1.g.test", json!({"service": null}), &["spec.caBundle"]),
            (
                "v1.g.test",
                json!({"service": null, "caBundle": "", "insecureSkipTLSVerify": true}),
                &["spec.insecureSkipTLSVerify"],
            ),
            ("v1.g.test", json!({"service": {}}), &["spec.service.namespace", "spec.service.name"]),
            (
                "v1.g.test",
                json!({"service": {"namespace": "a", "name": "b", "port": 0}}),
                &["spec.service.port"],
            ),
        ];
        for (name, changes, wrong) in table {
            assert_eq!(told(name, changes.clone()), wrong, "{name} {changes}");
        }
    }
}
