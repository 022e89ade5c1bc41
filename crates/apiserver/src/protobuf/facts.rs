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
    /// The wire has the field only when JSON has it; any other single value is always there.
    pub(super) pointer: bool,
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
    /// In JSON a schema or a boolean.
    SchemaOrBool,
    /// In JSON a schema or a list of schemas.
    SchemaOrList,
    /// In JSON a schema or a list of texts.
    SchemaOrTexts,
    /// A list of texts with a message of its own.
    Items,
    Message(&'static str),
}

fn parse_field(text: &'static str) -> Option<Field> {
    let mut parts = text.splitn(3, ':');
    let (number, name, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let (pointer, kind) = kind.strip_prefix('*').map_or((false, kind), |kind| (true, kind));
    let (kept, kind) = kind.strip_prefix('!').map_or((pointer, kind), |kind| (true, kind));
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
        "schemaorbool" => Base::SchemaOrBool,
        "schemaorarray" => Base::SchemaOrList,
        "schemaorstrings" => Base::SchemaOrTexts,
        "items" => Base::Items,
        message => Base::Message(message),
    };
    Some(Field { number: number.parse().ok()?, name, base, shape, pointer, kept })
}

fn parse((name, fields): (&'static str, &'static str)) -> Message {
    Message { name, fields: fields.split(' ').filter_map(parse_field).collect() }
}

/// Lines of the table; an object needs few of them, which are read when they are first needed.
fn table() -> &'static [(&'static str, &'static str, OnceLock<Message>)] {
    static TABLE: OnceLock<Vec<(&str, &str, OnceLock<Message>)>> = OnceLock::new();
    let lines = || MESSAGES.lines().filter_map(|line| line.split_once('\t'));
    TABLE.get_or_init(|| lines().map(|(name, fields)| (name, fields, OnceLock::new())).collect())
}

/// Returns the message `name`, such as `core.v1.Pod`.
pub(super) fn message(name: &str) -> Option<&'static Message> {
    let table = table();
    let at = table.binary_search_by(|(known, ..)| (*known).cmp(name)).ok()?;
    let (name, fields, message) = &table[at];
    Some(message.get_or_init(|| parse((name, fields))))
}

/// Returns every message.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static Message> {
    table().iter().filter_map(|(name, ..)| message(name))
}
