//! Types, as far as they are known before anything is evaluated, and the signatures of all functions.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::schema::{Schema, Shape};

/// The type of an expression.
#[derive(Clone, Debug)]
pub enum Type {
    /// Not known: everything is allowed until it is evaluated.
    Dyn,
    /// A type without parts, by CEL's name.
    Plain(&'static str),
    /// A list.
    List(Box<Self>),
    /// A map, by the type of its values.
    Map(Box<Self>),
    /// An optional.
    Optional(Box<Self>),
    /// A structure with these fields.
    Members(Arc<BTreeMap<String, Self>>),
    /// A structure that a schema describes.
    Object(Schema),
}

impl Type {
    /// `bool`.
    pub const BOOL: Self = Self::Plain("bool");
    /// `string`.
    pub const STRING: Self = Self::Plain("string");
    /// `int`.
    pub const INT: Self = Self::Plain("int");
    /// `null`.
    pub const NULL: Self = Self::Plain("null");
    /// The authoriser.
    pub const AUTHORIZER: Self = Self::Plain("authorizer");

    /// A structure with these fields.
    pub fn members<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Members(Arc::new(fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect()))
    }

    /// The type of what a schema describes, as it looks in objects: texts stay texts, and times and quantities may be
    /// compared with anything.
    pub fn described(schema: &Schema) -> Self {
        let node = schema.root().node();
        match &node.shape {
            Shape::Any | Shape::IntOrString | Shape::Quantity | Shape::Time { .. } => Self::Dyn,
            Shape::Boolean => Self::BOOL,
            Shape::Integer { .. } => Self::INT,
            Shape::Number => Self::Plain("double"),
            Shape::Text | Shape::Bytes => Self::STRING,
            Shape::List(list) => Self::List(Box::new(Self::described(&schema.below(list.items.clone())))),
            Shape::Object(object) => match &object.values {
                Some(values) if object.fields.is_empty() => {
                    Self::Map(Box::new(Self::described(&schema.below(values.clone()))))
                }
                _ if object.open || object.fields.is_empty() => Self::Dyn,
                _ => Self::Object(schema.clone()),
            },
        }
    }

    /// The type of a field; nothing if there is no such field. An error names a type that has no fields.
    pub(super) fn field(&self, name: &str) -> Result<Option<Self>, String> {
        Ok(match self {
            Self::Dyn => Some(Self::Dyn),
            Self::Map(values) => Some((**values).clone()),
            Self::Optional(inner) => inner.field(name)?.map(|kind| Self::Optional(Box::new(kind))),
            Self::Members(fields) => fields.get(name).cloned(),
            Self::Object(schema) => {
                let plain = super::functions::unescaped(name);
                let found = schema.child(name).or_else(|| schema.child(plain.as_deref()?));
                found.map(|child| Self::described(&child))
            }
            Self::Plain("authorizer") if name == "requestResource" => Some(Self::AUTHORIZER),
            Self::Plain(_) | Self::List(_) => return Err(self.to_string()),
        })
    }

    /// Whether a value of this type may stand where `wanted` is.
    pub(super) fn fits(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Dyn, _)
            | (_, Self::Dyn)
            | (Self::Members(_) | Self::Object(_), Self::Members(_) | Self::Object(_)) => true,
            // Only what is made of parts may be null instead.
            (Self::Plain("null"), other) | (other, Self::Plain("null")) => {
                !matches!(other, Self::List(_) | Self::Map(_))
                    && !matches!(other, Self::Plain("bool" | "int" | "uint" | "double" | "string" | "bytes"))
            }
            (Self::Plain(a), Self::Plain(b)) => a == b,
            (Self::List(a), Self::List(b))
            | (Self::Map(a), Self::Map(b))
            | (Self::Optional(a), Self::Optional(b)) => a.fits(b),
            _ => false,
        }
    }

    /// One type for two alternatives.
    pub(super) fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Plain(a), Self::Plain(b)) if a == b => self.clone(),
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(b))),
            (Self::Map(a), Self::Map(b)) => Self::Map(Box::new(a.join(b))),
            (Self::Optional(a), Self::Optional(b)) => Self::Optional(Box::new(a.join(b))),
            _ => Self::Dyn,
        }
    }

    fn parse(text: &'static str) -> Self {
        let inner = |text: &'static str| Box::new(Self::parse(text.trim_end_matches('>')));
        match text {
            "dyn" => Self::Dyn,
            "list" => Self::List(Box::new(Self::Dyn)),
            "map" => Self::Map(Box::new(Self::Dyn)),
            "optional" => Self::Optional(Box::new(Self::Dyn)),
            text => match text.split_once('<') {
                Some(("list", rest)) => Self::List(inner(rest)),
                Some(("map", rest)) => Self::Map(inner(rest)),
                Some((_, rest)) => Self::Optional(inner(rest)),
                None => Self::Plain(text),
            },
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Plain(name) => f.write_str(name),
            Self::List(items) => write!(f, "list({items})"),
            Self::Map(values) => write!(f, "map(string, {values})"),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Members(_) | Self::Object(_) => f.write_str("object"),
        }
    }
}

/// What one form of a function takes and gives.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) takes: Vec<Type>,
    pub(super) gives: Type,
}

/// Functions by name; methods have a dot before theirs.
pub(super) fn signatures(name: &str, method: bool) -> Option<&'static [Signature]> {
    static ALL: OnceLock<HashMap<String, Vec<Signature>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let mut all: HashMap<String, Vec<Signature>> = HashMap::new();
        for line in SIGNATURES.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(names), Some(gives)) = (words.next(), words.next_back()) else { continue };
            let takes: Vec<Type> = words.map(Type::parse).collect();
            for name in names.trim_start_matches('.').split(',') {
                let dot = if names.starts_with('.') { "." } else { "" };
                let signature = Signature { takes: takes.clone(), gives: Type::parse(gives) };
                all.entry(format!("{dot}{name}")).or_default().push(signature);
            }
        }
        all
    });
    let dot = if method { "." } else { "" };
    all.get(&format!("{dot}{name}")).map(Vec::as_slice)
}

/// Names (methods with a dot), what they take (methods: first the value before the dot), and what they give.
const SIGNATURES: &str = "
    type dyn type
    dyn dyn dyn
    int,uint,double,bool,bytes dyn dyn
    string dyn string
    duration dyn duration
    timestamp dyn timestamp
    size dyn int
    matches string string bool
    .size string int
    .size bytes int
    .size list int
    .size map int
    .startsWith,endsWith,contains,matches string string bool
    .lowerAscii,upperAscii,trim,reverse string string
    .charAt string int string
    .indexOf,lastIndexOf string string int
    .indexOf string string int int
    .substring string int string
    .substring string int int string
    .replace string string string string
    .replace string string string int string
    .split string string list<string>
    .split string string int list<string>
    .find string string string
    .findAll string string list<string>
    .findAll string string int list<string>
    .format string list string
    strings.quote string string
    base64.encode bytes string
    base64.decode string bytes
    .isSorted list bool
    .sum,min,max list dyn
    .indexOf,lastIndexOf list dyn int
    .first,last list optional
    .reverse,sort,distinct list list
    .flatten list list<dyn>
    .flatten list int list<dyn>
    .slice list int int list
    .join list string
    .join list string string
    sets.contains,sets.equivalent,sets.intersects list list bool
    math.greatest,math.least dyn dyn
    math.greatest,math.least dyn dyn dyn
    math.greatest,math.least dyn dyn dyn dyn
    math.greatest,math.least dyn dyn dyn dyn dyn
    math.abs dyn dyn
    math.ceil,math.floor,math.round double double
    .getFullYear,getMonth,getDate,getDayOfMonth,getDayOfWeek,getDayOfYear timestamp int
    .getFullYear,getMonth,getDate,getDayOfMonth,getDayOfWeek,getDayOfYear timestamp string int
    .getHours,getMinutes,getSeconds,getMilliseconds timestamp int
    .getHours,getMinutes,getSeconds,getMilliseconds timestamp string int
    .getHours,getMinutes,getSeconds,getMilliseconds duration int
    optional.of,optional.ofNonZeroValue dyn optional
    optional.none optional
    .hasValue optional bool
    .value optional dyn
    .orValue optional dyn dyn
    .or optional optional optional
    ip string ip
    isIP,isCIDR,isURL,isQuantity,isSemver string bool
    ip.isCanonical string bool
    .family ip int
    .isUnspecified,isLoopback,isLinkLocalMulticast,isLinkLocalUnicast,isGlobalUnicast ip bool
    cidr string cidr
    .containsIP cidr dyn bool
    .containsCIDR cidr dyn bool
    .ip cidr ip
    .masked cidr cidr
    .prefixLength cidr int
    string cidr string
    url string url
    .getScheme,getHost,getHostname,getPort,getEscapedPath url string
    .getQuery url map<list<string>>
    quantity string quantity
    .sign quantity int
    .isInteger quantity bool
    .asInteger quantity int
    .asApproximateFloat quantity double
    .add,sub quantity quantity quantity
    .add,sub quantity int quantity
    .compareTo quantity quantity int
    .isLessThan,isGreaterThan quantity quantity bool
    semver string semver
    semver string bool semver
    isSemver string bool bool
    .major,minor,patch semver int
    .compareTo semver semver int
    .isLessThan,isGreaterThan semver semver bool
    format.named string optional<format>
    format.dns1123Label,format.dns1123Subdomain,format.dns1035Label,format.qualifiedName format
    format.dns1123LabelPrefix,format.dns1123SubdomainPrefix,format.dns1035LabelPrefix format
    format.labelValue,format.uri,format.uuid,format.byte,format.date format
    .validate format string optional<list<string>>
    .path authorizer string authorizer
    .serviceAccount authorizer string string authorizer
    .group,resource,subresource,namespace,name authorizer string authorizer
    .check authorizer string decision
    .allowed,errored decision bool
    .reason,error decision string
";
