//! Options of lists and watches, and their rules.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::field::{FieldError, Path};
use machinery::gvk::Gvk;
use machinery::selector::{FieldSelector, LabelSelector};
use machinery::status::Status;
use serde::{Deserialize, Serialize};

use super::Call;
use crate::Result;
use crate::cache::{ObjectKey, Selection};
use crate::registry::{Resource, convert};

/// How a list relates to the resourceVersion it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Match {
    /// Not said.
    #[default]
    Unset,
    /// The state of exactly that version.
    Exact,
    /// That state or a later one.
    NotOlderThan,
}

/// Where a list continues: the state it shows, and the last key given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Continue {
    /// Revision of the state; whatever is there at the time, when that of the pages before is gone.
    #[serde(rename = "rv")]
    pub(crate) revision: Option<u64>,
    /// Continue after this `namespace/name`.
    #[serde(rename = "start")]
    pub(crate) after: String,
}

impl Continue {
    /// Writes the token.
    pub(crate) fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn parse(token: &str) -> Result<Self> {
        let refuse =
            |why: String| Status::bad_request(format!("the continue token is not one of this server: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| refuse(error.to_string()))?;
        Ok(serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?)
    }
}

/// What a list or watch asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    /// Which objects.
    pub(crate) selection: Selection,
    /// At most this many; 0 means all.
    pub(crate) limit: usize,
    /// A token to continue with was given.
    pub(crate) continues: bool,
    /// Where to continue.
    pub(crate) next: Option<Continue>,
    /// The resourceVersion as given; empty when it was not.
    pub(crate) version: String,
    /// How it is meant.
    pub(crate) version_match: Match,
    /// A watch begins with the present objects, as `ADDED`, and a bookmark after them.
    pub(crate) send_initial: Option<bool>,
    /// A watch may send bookmarks.
    pub(crate) bookmarks: bool,
    /// A watch ends after this many seconds.
    pub(crate) timeout: Option<u64>,
}

impl ListOptions {
    /// Reads and checks the options of a list, a watch, or a deletion of a collection.
    ///
    /// # Errors
    /// Refuses what cannot be read or contradicts itself.
    pub(crate) fn parse(call: &Call, watch: bool) -> Result<Self> {
        let query = &call.query;
        let mut options = Self {
            selection: selection(call)?,
            limit: number(query.get("limit"))?.unwrap_or(0) as usize,
            continues: !query.get("continue").is_empty(),
            version: query.get("resourceVersion").to_owned(),
            send_initial: query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents")),
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout: number(query.get("timeoutSeconds"))?,
            ..Self::default()
        };
        options.version_match = check_match(&options, query.get("resourceVersionMatch"), watch)?;
        let token = query.get("continue");
        if !token.is_empty() && !watch {
            if !options.version.is_empty() && options.version != "0" {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                )
                .into());
            }
            options.next = Some(Continue::parse(token)?);
        }
        Ok(options)
    }
}

impl ListOptions {
    /// The key that a list continues behind.
    pub(crate) fn after(&self) -> Option<ObjectKey> {
        let next = self.next.as_ref()?;
        let (namespace, name) = next.after.split_once('/').unwrap_or((&next.after, ""));
        Some(ObjectKey::new(namespace, name))
    }
}

fn number(text: &str) -> Result<Option<u64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let refuse = |_| Status::bad_request(format!("{text:?} is not a whole number"));
    let number: i64 = text.parse().map_err(refuse)?;
    Ok(Some(u64::try_from(number).unwrap_or(0)))
}

fn check_match(options: &ListOptions, text: &str, watch: bool) -> Result<Match> {
    let path = || Path::new("resourceVersionMatch");
    let mut errors = Vec::new();
    let meant = match text {
        "Exact" => Match::Exact,
        "NotOlderThan" => Match::NotOlderThan,
        _ => Match::Unset,
    };
    if options.send_initial.is_some() && watch {
        if meant != Match::NotOlderThan {
            let detail = "sendInitialEvents requires resourceVersionMatch to be NotOlderThan";
            errors.push(FieldError::forbidden(path(), detail));
        }
    } else if !text.is_empty() && watch {
        errors.push(FieldError::forbidden(
            path(),
            "is forbidden for watch unless sendInitialEvents is provided",
        ));
    } else if !text.is_empty() && options.version.is_empty() {
        errors.push(FieldError::forbidden(path(), "is forbidden unless resourceVersion is provided"));
    } else if meant == Match::Exact && options.version == "0" {
        errors.push(FieldError::forbidden(path(), "\"Exact\" is forbidden for resourceVersion \"0\""));
    }
    if options.continues && (watch || !text.is_empty()) {
        errors.push(FieldError::forbidden(path(), "is forbidden when continue is provided"));
    }
    let supported: &[&str] = if watch { &["NotOlderThan"] } else { &["Exact", "NotOlderThan", ""] };
    if !text.is_empty() && !supported.contains(&text) {
        errors.push(FieldError::not_supported(path(), text, supported.iter().copied()));
    }
    if options.send_initial.is_some() && !watch {
        errors.push(FieldError::forbidden(Path::new("sendInitialEvents"), "is forbidden for list"));
    }
    if errors.is_empty() {
        return Ok(meant);
    }
    Err(Status::invalid(&Gvk::new("meta.k8s.io", "v1", "ListOptions"), "", &errors).into())
}

fn selection(call: &Call) -> Result<Selection> {
    let refuse = |error: machinery::selector::SelectorError| Status::bad_request(error.to_string());
    let labels = LabelSelector::parse(call.query.get("labelSelector")).map_err(refuse)?;
    let mut fields = call.query.get("fieldSelector").to_owned();
    // A watch of one object by path is a watch of the collection that selects it.
    if !call.info.name.is_empty() {
        fields = format!("{fields},metadata.name={}", call.info.name);
    }
    let fields = FieldSelector::parse(&fields).map_err(refuse)?;
    let known = call.server.caches().of(&call.resource.collection).fields();
    let stored = |field: &str| {
        let stored = convert::stored_field(&call.resource, field);
        stored.filter(|stored| is_selectable(&call.resource, &known, stored))
    };
    let fields = fields
        .renamed(stored)
        .map_err(|field| Status::bad_request(format!("field label not supported: {field}")))?;
    Ok(Selection { namespace: call.namespace().into(), labels, fields })
}

fn is_selectable(resource: &Resource, known: &[Box<str>], field: &str) -> bool {
    match field {
        "metadata.name" => true,
        "metadata.namespace" => resource.namespaced || !resource.custom,
        field if resource.custom => {
            resource.selectable_fields.iter().any(|path| path.trim_start_matches('.') == field)
        }
        field => known.iter().any(|name| **name == *field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_survive() {
        for revision in [Some(7), None] {
            let next = Continue { revision, after: "a/b".to_owned() };
            assert_eq!(Continue::parse(&next.token()).expect("a token"), next);
        }
        assert!(Continue::parse("zzz").is_err());
    }
}
