//! What form of answer a client accepts.

use http::HeaderMap;
use http::header::{ACCEPT, IF_NONE_MATCH, USER_AGENT};
use machinery::status::Status;

use super::query::Query;
use crate::{Result, protobuf};

/// The form of an answer that shows objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The objects themselves.
    #[default]
    Object,
    /// A `Table` of the objects, in this version of the meta group.
    Table(MetaVersion),
    /// Only an object's metadata, in this version of the meta group.
    Partial(MetaVersion),
    /// The same of each object of a list.
    PartialList(MetaVersion),
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

/// Format of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// JSON with line breaks and indentation.
    PrettyJson,
    /// YAML.
    Yaml,
    /// Kubernetes' protobuf.
    Protobuf,
}

/// Form and encoding together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The form.
    pub form: Form,
    /// The format.
    pub encoding: Encoding,
}

/// What answers a request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Objects of a built-in kind, in every form and encoding.
    BuiltIn,
    /// Objects of a custom resource: only their metadata have a protobuf form.
    Custom,
    /// Objects that have one form only, such as a refusal.
    Plain,
}

impl Offer {
    fn has(self, encoding: Encoding, form: Form) -> bool {
        match (encoding, form) {
            (_, Form::Table(_) | Form::Partial(_) | Form::PartialList(_)) if self == Self::Plain => false,
            (Encoding::Protobuf, Form::Table(_)) => false,
            (Encoding::Protobuf, Form::Object) => self != Self::Custom,
            _ => true,
        }
    }
}

const OFFERED: [(&str, Encoding); 3] =
    [("json", Encoding::Json), ("yaml", Encoding::Yaml), (protobuf::MEDIA_SUBTYPE, Encoding::Protobuf)];

/// Media types that answers and bodies have.
pub const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];

/// Media types that watches have.
pub const STREAM_MEDIA_TYPES: [&str; 2] = ["application/json;stream=watch", protobuf::STREAM_MEDIA_TYPE];

/// Clauses that are weighed; the rest are not looked at. The order that they are brought into costs their square.
const MOST_CLAUSES: usize = 32;

/// Chooses the form and encoding that the client prefers among those that this server can give.
///
/// # Errors
/// Refuses with 406 when there is none.
pub fn accepted(headers: &HeaderMap, query: &Query, offer: Offer) -> Result<Accepted> {
    let headers_of =
        |name| headers.get_all(name).iter().filter_map(|value: &http::HeaderValue| value.to_str().ok());
    let clauses = clauses(headers);
    let mut accepted = if clauses.is_empty() {
        Accepted::default()
    } else {
        let found = clauses.iter().find_map(|clause| clause.choose(offer));
        found.ok_or_else(|| Status::not_acceptable(&MEDIA_TYPES))?
    };
    if accepted.encoding == Encoding::Json
        && is_pretty(query, headers_of(USER_AGENT).next().unwrap_or_default())
    {
        accepted.encoding = Encoding::PrettyJson;
    }
    Ok(accepted)
}

/// Chooses among media types, given by what stands behind `application/`, the one that the client prefers.
pub fn preferred(headers: &HeaderMap, subtypes: &[&str]) -> Option<usize> {
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return Some(0);
    }
    let fits = |clause: &Clause<'_>, subtype: &str| {
        matches!(clause.kind, "*" | "application")
            && matches!(clause.subtype, own if own == "*" || own == subtype)
    };
    clauses.iter().find_map(|clause| subtypes.iter().position(|subtype| fits(clause, subtype)))
}

/// Whether a client has what `tag` stands for already (RFC 9110, section 13.1.2).
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/").trim_matches('"') == tag
    })
}

/// What a client accepts, as it prefers.
fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    let accepted = accepts.flat_map(|header| header.split(',')).filter_map(Clause::parse);
    for clause in accepted.take(MOST_CLAUSES) {
        // An insertion sort, since the order is none that a comparison could give: it shows for clauses with wildcards.
        let mut at = clauses.len();
        while at > 0 && clause.precedes(&clauses[at - 1]) {
            at -= 1;
        }
        clauses.insert(at, clause);
    }
    clauses
}

/// People who look at answers without a client of Kubernetes get them indented.
fn is_pretty(query: &Query, agent: &str) -> bool {
    match query.get("pretty") {
        "" => ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix)),
        value => matches!(value, "1" | "t" | "T" | "true" | "True" | "TRUE"),
    }
}

/// One of the alternatives in an Accept header.
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f64,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|_| !text.trim().is_empty())?;
        let (kind, subtype) = match media_type.split_once('/') {
            Some((kind, subtype)) => (kind.trim(), subtype.trim()),
            None if media_type == "*" => ("*", "*"),
            None => (media_type, ""),
        };
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let quality =
            parameters.iter().find(|(name, _)| *name == "q").and_then(|(_, value)| value.parse().ok());
        Some(Self { kind, subtype, quality: quality.unwrap_or(1.0), parameters })
    }

    /// The real server's rule, which is no order: each of two clauses can precede the other.
    fn precedes(&self, other: &Self) -> bool {
        self.quality > other.quality
            || (self.kind != "*" && other.kind == "*")
            || (self.subtype != "*" && other.subtype == "*")
    }

    fn choose(&self, offer: Offer) -> Option<Accepted> {
        let any = self.subtype == "*";
        let types = OFFERED.iter().filter(|(subtype, _)| match self.kind {
            "*" => any,
            "application" => any || *subtype == self.subtype,
            _ => false,
        });
        let form = self.form()?;
        let pretty = self.parameter("pretty") == "1";
        types.map(|(_, encoding)| *encoding).find(|encoding| offer.has(*encoding, form)).map(|encoding| {
            Accepted {
                form,
                encoding: if pretty && encoding == Encoding::Json { Encoding::PrettyJson } else { encoding },
            }
        })
    }

    fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The form that the parameters ask for; nothing when there is no such form.
    fn form(&self) -> Option<Form> {
        // No answer is converted to a version of its own (`sv`).
        if !matches!(self.parameter("stream"), "" | "watch") || !self.parameter("sv").is_empty() {
            return None;
        }
        if ["as", "g", "v"].iter().all(|name| self.parameter(name).is_empty()) {
            return Some(Form::Object);
        }
        let version = match (self.parameter("g"), self.parameter("v")) {
            ("meta.k8s.io", "v1") => MetaVersion::V1,
            ("meta.k8s.io", "v1beta1") => MetaVersion::V1Beta1,
            _ => return None,
        };
        match self.parameter("as") {
            "Table" => Some(Form::Table(version)),
            "PartialObjectMetadata" => Some(Form::Partial(version)),
            "PartialObjectMetadataList" => Some(Form::PartialList(version)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(header: &'static str, offer: Offer) -> Option<(Form, Encoding)> {
        let headers = HeaderMap::from_iter([(ACCEPT, http::HeaderValue::from_static(header))]);
        accepted(&headers, &Query::default(), offer).ok().map(|accepted| (accepted.form, accepted.encoding))
    }

    #[test]
    fn what_is_preferred_and_possible_is_chosen() {
        use Encoding::{Json, PrettyJson, Protobuf, Yaml};
        use Form::{Object, Partial, PartialList, Table};
        use MetaVersion::{V1, V1Beta1};
        use Offer::{BuiltIn, Custom, Plain};
        // Answers of kube-apiserver 1.36 to the same headers.
        let table = [
            ("", BuiltIn, Some((Object, Json))),
            ("*/*", BuiltIn, Some((Object, Json))),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                BuiltIn,
                Some((Table(V1), Json)),
            ),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Plain, Some((Object, Json))),
            ("application/json;as=Table;v=v9;g=meta.k8s.io, */*", BuiltIn, Some((Object, Json))),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Custom, Some((Table(V1Beta1), Json))),
            ("application/json;as=Nope;v=v1;g=meta.k8s.io", BuiltIn, None),
            ("application/vnd.kubernetes.protobuf", BuiltIn, Some((Object, Protobuf))),
            ("application/vnd.kubernetes.protobuf", Plain, Some((Object, Protobuf))),
            ("application/vnd.kubernetes.protobuf", Custom, None),
            ("application/vnd.kubernetes.protobuf,application/json", Custom, Some((Object, Json))),
            ("application/vnd.kubernetes.protobuf;charset=utf-8", BuiltIn, Some((Object, Protobuf))),
            ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", BuiltIn, None),
            (
                "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json",
                BuiltIn,
                Some((Object, Json)),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Custom,
                Some((Partial(V1), Protobuf)),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Custom,
                Some((PartialList(V1), Protobuf)),
            ),
            (
                "application/json;q=0.5,application/vnd.kubernetes.protobuf;q=0.9",
                BuiltIn,
                Some((Object, Protobuf)),
            ),
            ("application/json;q=0,application/yaml", BuiltIn, Some((Object, Yaml))),
            ("application/json;q=abc", BuiltIn, Some((Object, Json))),
            ("*/*;q=0.1,application/yaml;q=0.05", BuiltIn, Some((Object, Yaml))),
            ("application/*, application/yaml", BuiltIn, Some((Object, Yaml))),
            ("application/json;pretty=1", BuiltIn, Some((Object, PrettyJson))),
            ("application/json;foo=bar", BuiltIn, Some((Object, Json))),
            ("application/json;stream=watch", BuiltIn, Some((Object, Json))),
            ("application/json;stream=bad", BuiltIn, None),
            ("application/json;sv=1", BuiltIn, None),
            (";", BuiltIn, None),
            ("APPLICATION/JSON", BuiltIn, None),
            ("text/html", BuiltIn, None),
            ("application/cbor", BuiltIn, None),
        ];
        for (header, offer, expected) in table {
            assert_eq!(accept(header, offer), expected, "{header} {offer:?}");
        }
    }

    #[test]
    fn only_so_many_clauses_are_weighed() {
        let asked = |others: usize| {
            let accept = format!("{}application/yaml", "text/html,".repeat(others));
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            accepted(&headers, &Query::parse(""), Offer::BuiltIn).map(|accepted| accepted.encoding).ok()
        };
        assert_eq!(asked(MOST_CLAUSES - 1), Some(Encoding::Yaml));
        assert_eq!(asked(MOST_CLAUSES), None);
    }

    #[test]
    fn one_of_several_media_types_is_preferred() {
        for (header, expected) in [
            ("", Some(0)),
            ("*/*", Some(0)),
            ("application/x@v1+protobuf", Some(1)),
            ("application/x@v1+protobuf, */*", Some(1)),
            ("application/json;q=0.5, application/x@v1+protobuf;q=0.4", Some(0)),
            ("application/*", Some(0)),
            ("text/json", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, http::HeaderValue::from_static(header))]);
            assert_eq!(preferred(&headers, &["json", "x@v1+protobuf"]), expected, "{header}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &["json"]), Some(0));
    }

    #[test]
    fn what_a_client_has_is_known_by_its_tag() {
        for (header, known) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, http::HeaderValue::from_static(header))]);
            assert_eq!(is_known(&headers, "a"), known, "{header}");
        }
    }

    #[test]
    fn people_get_indented_answers() {
        for (query, agent, pretty) in [
            ("", "curl/8", true),
            ("pretty=false", "curl/8", false),
            ("pretty=true", "kubectl/1", true),
            ("", "kubectl/1", false),
            ("pretty", "Mozilla/5.0 (X11)", true),
        ] {
            assert_eq!(is_pretty(&Query::parse(query), agent), pretty, "{query} {agent}");
        }
    }
}
