//! The messages: which field has which number, name and type.

use std::sync::OnceLock;

const MESSAGES: &str = include_str!("../../facts/protobuf.tsv");

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: Vec<Field>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u64,
    /// Name in JSON.
    pub(super) name: &'static str,
    pub(super) base: Base,
    pub(super) shape: Shape,
    /// JSON has the field also when it is zero.
    pub(super) kept: bool,
}

/// How often a field holds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    /// A map from texts.
    Map,
    /// One, whose own fields stand in its parent in JSON.
    Inline,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Text,
    Bool,
    Integer,
    Double,
    Bytes,
    Quantity,
    IntOrString,
    /// Seconds and nanoseconds, in JSON a text with seconds.
    Time,
    /// The same with microseconds.
    MicroTime,
    /// JSON as it is.
    Json,
    /// A list of texts with a message of its own.
    Items,
    Message(&'static str),
}

fn parse_field(text: &'static str) -> Option<Field> {
    let mut parts = text.splitn(3, ':');
    let (number, name, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let (kept, kind) = kind.strip_prefix('!').map_or((false, kind), |kind| (true, kind));
    let (shape, kind) = [("[]", Shape::List), ("{}", Shape::Map), ("^", Shape::Inline)]
        .into_iter()
        .find_map(|(prefix, shape)| kind.strip_prefix(prefix).map(|kind| (shape, kind)))
        .unwrap_or((Shape::One, kind));
    let base = match kind {
        "string" => Base::Text,
        "bool" => Base::Bool,
        "int" => Base::Integer,
        "double" => Base::Double,
        "bytes" => Base::Bytes,
        "quantity" => Base::Quantity,
        "intorstring" => Base::IntOrString,
        "time" => Base::Time,
        "microtime" => Base::MicroTime,
        "raw" | "fields" => Base::Json,
        "items" => Base::Items,
        message => Base::Message(message),
    };
    Some(Field { number: number.parse().ok()?, name, base, shape, kept })
}

/// Reads one message; the table is small text, and a body needs few of its lines.
fn parse(line: &'static str) -> Option<Message> {
    let (name, fields) = line.split_once('\t')?;
    Some(Message { name, fields: fields.split(' ').filter_map(parse_field).collect() })
}

/// Returns the message `name`, such as `core.v1.Pod`.
pub(super) fn message(name: &str) -> Option<Message> {
    static INDEX: OnceLock<Vec<&'static str>> = OnceLock::new();
    let index = INDEX.get_or_init(|| MESSAGES.lines().collect());
    let key = |line: &&'static str| line.split_once('\t').map_or("", |(name, _)| name);
    let at = index.binary_search_by(|line| key(line).cmp(name)).ok()?;
    parse(index[at])
}

/// Returns every message.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Message> {
    MESSAGES.lines().filter_map(parse)
}
