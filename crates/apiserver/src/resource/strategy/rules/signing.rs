//! Requests for certificates.

use machinery::field::{FieldError, Path};
use machinery::names;
use serde_json::Value;

use super::{Row, Rule};
use Rule::{Holds, Required, UniqueItems};

pub(super) const ROWS: &[Row] = &[
    Row("spec.usages", &[Required("")]),
    Row("spec.usages", &[UniqueItems("")]),
    Row("spec.signerName", &[Required(""), Holds(signer)]),
    Row("spec.expirationSeconds?", &[Holds(lasting)]),
];

/// The signer that requests had before they could name one.
const NOBODY: &str = "kubernetes.io/legacy-unknown";
/// Most bytes of a signer's name.
const NAME_MAX: usize = 571;

fn lasting(seconds: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    const LEAST: i64 = 600;
    if seconds.as_i64().is_some_and(|seconds| seconds < LEAST) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(path.clone(), seconds.clone(), detail));
    }
}

/// A signer has a domain and a name in it.
fn signer(signer: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let signer = signer.as_str().unwrap_or_default();
    let mut say = |shown: &str, detail: String| {
        errors.push(FieldError::invalid(path.clone(), shown, detail));
    };
    if signer == NOBODY {
        return say(signer, "the legacy signerName is not allowed via this API version".to_owned());
    }
    let [domain, name] = signer.split('/').collect::<Vec<_>>()[..] else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return say(signer, detail.to_owned());
    };
    let first_wrong = |text: &str, rule: fn(&str) -> Vec<String>| -> Vec<String> {
        let wrong = text.split('.').map(|part| (part, rule(part))).find(|(_, wrong)| !wrong.is_empty());
        let (part, wrong) = wrong.unwrap_or_default();
        wrong.into_iter().map(|wrong| format!("validating label {part:?}: {wrong}")).collect()
    };
    for wrong in first_wrong(domain, names::dns_label) {
        say(domain, wrong);
    }
    if !domain.contains('.') {
        say(domain, "should be a domain with at least two segments separated by dots".to_owned());
    }
    for wrong in first_wrong(name, names::dns_subdomain) {
        say(name, wrong);
    }
    if domain.len() > names::SUBDOMAIN_MAX {
        errors.push(FieldError::too_long(path.clone(), names::SUBDOMAIN_MAX));
    } else if signer.len() > NAME_MAX {
        errors.push(FieldError::too_long(path.clone(), NAME_MAX));
    }
}
