//! What form of answer a client accepts.

use http::HeaderMap;
use http::header::ACCEPT;
use machinery::status::Status;

use crate::Result;

/// The form of an answer that shows objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The objects themselves.
    #[default]
    Object,
    /// A `Table` of the objects, in this version of the meta group.
    Table(MetaVersion),
    /// Only the objects' metadata, in this version of the meta group.
    Partial(MetaVersion),
}

/// Version of the `meta.k8s.io` group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`.
    V1,
    /// `v1beta1`.
    V1Beta1,
}

impl MetaVersion {
    /// Returns the `apiVersion` of this version.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// Text format of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// YAML.
    Yaml,
}

/// Form and encoding together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The form.
    pub form: Form,
    /// The text format.
    pub encoding: Encoding,
}

const OFFERED: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// Chooses the first form that the client accepts and this server can give.
///
/// Protobuf is passed over: clients that prefer it name JSON as well.
///
/// # Errors
/// Refuses with 406 when there is none.
pub fn accepted(headers: &HeaderMap, tables: bool) -> Result<Accepted> {
    let mut any = false;
    for header in headers.get_all(ACCEPT) {
        let Ok(header) = header.to_str() else { continue };
        for clause in header.split(',').filter(|clause| !clause.trim().is_empty()) {
            any = true;
            if let Some(accepted) = clause_of(clause, tables) {
                return Ok(accepted);
            }
        }
    }
    if any { Err(Status::not_acceptable(&OFFERED[..2]).into()) } else { Ok(Accepted::default()) }
}

fn clause_of(clause: &str, tables: bool) -> Option<Accepted> {
    let mut parts = clause.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let (mut kind, mut version, mut group) = ("", "", "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("v", value)) => version = value,
            Some(("g", value)) => group = value,
            Some(("stream" | "profile", _)) => return None,
            _ => {}
        }
    }
    if kind.is_empty() {
        return Some(Accepted { form: Form::Object, encoding });
    }
    if group != "meta.k8s.io" || !tables {
        return None;
    }
    let version = match version {
        "v1" => MetaVersion::V1,
        "v1beta1" => MetaVersion::V1Beta1,
        _ => return None,
    };
    let form = match kind {
        "Table" => Form::Table(version),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Form::Partial(version),
        _ => return None,
    };
    Some(Accepted { form, encoding })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(header: &'static str) -> Option<Accepted> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, http::HeaderValue::from_static(header));
        accepted(&headers, true).ok()
    }

    #[test]
    fn the_first_possible_clause_wins() {
        let json = Accepted::default();
        let table = Accepted { form: Form::Table(MetaVersion::V1), ..json };
        assert_eq!(accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), Some(table));
        assert_eq!(accept("application/vnd.kubernetes.protobuf, application/json"), Some(json));
        assert_eq!(accept("application/json;as=Table;v=v9;g=meta.k8s.io, */*"), Some(json));
        assert_eq!(accept("application/yaml"), Some(Accepted { encoding: Encoding::Yaml, ..json }));
        assert_eq!(accept("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(accept("text/html"), None);
    }
}
