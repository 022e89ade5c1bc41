//! Parameters in addresses: what each is called, what it holds, and what it is for.

use std::borrow::Cow;

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

impl Place {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
        }
    }
}

/// A parameter of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// JSON type of its value.
    pub(super) kind: &'static str,
    pub(super) description: Cow<'static, str>,
}

impl Parameter {
    /// The name of an object of `kind`, in a path.
    pub(super) fn name_of(kind: &str) -> Self {
        let description = format!("name of the {kind}").into();
        Self { name: "name", place: Place::Path, kind: "string", description }
    }

    /// The namespace, in a path.
    pub(super) const fn namespace() -> Self {
        Self::in_path("namespace", "the namespace that objects are in, which also bounds what may be done")
    }

    /// The rest of a path, which a program beyond the server understands.
    pub(super) const fn rest() -> Self {
        Self::in_path("path", "path to the resource")
    }

    /// By what lists of parameters are sorted.
    pub(super) fn place_in_lists(&self) -> (&'static str, &'static str) {
        (self.name, self.place.as_str())
    }

    const fn in_path(name: &'static str, description: &'static str) -> Self {
        Self { name, place: Place::Path, kind: "string", description: Cow::Borrowed(description) }
    }

    /// Finds query parameters by their names.
    pub(super) fn queries<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let known = |name: &str| QUERIES.iter().find(|(other, ..)| *other == name);
        let parameter = |(name, kind, description): &(&'static str, &'static str, &'static str)| Self {
            name,
            place: Place::Query,
            kind,
            description: Cow::Borrowed(description),
        };
        names.into_iter().filter_map(known).map(parameter).collect()
    }
}

/// Parameters of lists and watches.
pub(super) const LIST: [&str; 10] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
/// Parameters of creating and replacing.
pub(super) const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
/// Parameters of patches.
pub(super) const PATCH: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
/// Parameters of deleting one object.
pub(super) const DELETE: [&str; 5] = [
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
];
/// Parameters of a container's log.
pub(super) const LOG: [&str; 9] = [
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "stream",
    "tailLines",
    "timestamps",
];

/// Parameters of a stream, by the kind of its options.
pub(super) fn of_stream(kind: &str) -> &'static [&'static str] {
    match kind {
        "PodExecOptions" => &["command", "container", "stderr", "stdin", "stdout", "tty"],
        "PodAttachOptions" => &["container", "stderr", "stdin", "stdout", "tty"],
        "PodPortForwardOptions" => &["ports"],
        _ => &["path"],
    }
}

const QUERIES: &[(&str, &str, &str)] = &[
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may send events of type BOOKMARK, which tell only how far it came.",
    ),
    ("command", "string", "The program to run and its arguments, one value each; no shell reads them."),
    ("container", "string", "The container; where a Pod has one only, it may be left out."),
    ("continue", "string", "Where the list goes on: what metadata.continue of the page before said."),
    (
        "dryRun",
        "string",
        "With All the request goes through every stage, and nothing is stored. No other value is known.",
    ),
    ("fieldManager", "string", "Who makes the change, for metadata.managedFields; at most 128 characters."),
    (
        "fieldSelector",
        "string",
        "Only objects whose fields are as the expression says; by default all of them.",
    ),
    (
        "fieldValidation",
        "string",
        "What becomes of fields that are unknown or given twice: Strict refuses them, Warn (the default) drops them and \
         says so in headers, Ignore drops them.",
    ),
    ("follow", "boolean", "Whether to go on with what the container writes from now on."),
    ("force", "boolean", "Whether an apply takes over fields that others manage; only for apply patches."),
    (
        "gracePeriodSeconds",
        "integer",
        "Seconds until the object goes; 0 is at once. By default what its kind has.",
    ),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Whether an object goes that cannot be read from the store, without anything being done for it.",
    ),
    (
        "insecureSkipTLSVerifyBackend",
        "boolean",
        "Whether the log is taken from a node that does not prove who it is.",
    ),
    (
        "labelSelector",
        "string",
        "Only objects whose labels are as the expression says; by default all of them.",
    ),
    (
        "limit",
        "integer",
        "The most objects in one answer; metadata.continue says where the next page begins.",
    ),
    ("limitBytes", "integer", "The most bytes of the log."),
    (
        "orphanDependents",
        "boolean",
        "Older form of propagationPolicy: whether objects that this one owns stay.",
    ),
    ("path", "string", "Where in what the object offers the request goes."),
    ("ports", "integer", "Ports of the Pod to forward to; needed with WebSockets."),
    ("pretty", "string", "With true the answer is indented, as it is for browsers, curl and wget."),
    ("previous", "boolean", "Whether it is the log of the container before the last restart."),
    (
        "propagationPolicy",
        "string",
        "What becomes of objects that this one owns: Orphan leaves them, Background deletes them later, Foreground first.",
    ),
    ("resourceVersion", "string", "The version that the answer is of, or not older than."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact, or NotOlderThan."),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the objects that there are, and a bookmark behind them.",
    ),
    ("sinceSeconds", "integer", "Only what was written in so many seconds before now."),
    ("stderr", "boolean", "Whether standard error is carried."),
    ("stdin", "boolean", "Whether standard input is carried."),
    ("stdout", "boolean", "Whether standard output is carried."),
    ("stream", "string", "Which output of the container: All, Stdout or Stderr."),
    ("tailLines", "integer", "So many lines from the end."),
    ("timeoutSeconds", "integer", "Seconds after which a list or watch ends."),
    ("timestamps", "boolean", "Whether each line begins with its time."),
    ("tty", "boolean", "Whether the stream is a terminal."),
    ("watch", "boolean", "Whether changes are sent as they come, instead of one list."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known() {
        let streams = ["PodExecOptions", "PodAttachOptions", "PodPortForwardOptions", "PodProxyOptions"];
        let streams = streams.into_iter().flat_map(of_stream).copied();
        let all = LIST.into_iter().chain(WRITE).chain(PATCH).chain(DELETE).chain(LOG).chain(["pretty"]);
        for name in all.chain(streams) {
            assert_eq!(Parameter::queries([name]).len(), 1, "{name}");
        }
    }
}
