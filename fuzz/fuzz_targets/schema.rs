//! Schemas of custom resources: what passes the checks can be used, and each walk over an object says the same the
//! second time.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use grammar::{document, sample};
use libfuzzer_sys::fuzz_target;
use machinery::field::Path;
use machinery::rules::Rules;
use serde_json::{Map, Value, json};

const FIELDS: [&str; 8] = ["a", "b", "c", "metadata", "apiVersion", "x/y", "0", "for"];
const PATTERNS: [&str; 9] =
    ["^a+$", "[", "^[[:alpha:]-]{1,3}$", r"\d+\.\w*", "(?i)A|b{2,}", "{}", "a{,2}", r"^\p{Greek}$", "[]a]"];
const FORMATS: [&str; 8] = ["date-time", "byte", "int32", "int64", "ipv4", "uuid", "quantity", "duration"];
/// Rules, each for a kind of values.
const RULES: [(u8, &str); 16] = [
    (0, "self == oldSelf"),
    (0, "has(self.a)"),
    (0, "!has(self.a) || self.a == self.b"),
    (0, "self.x__slash__y.c == self.__for__"),
    (0, "oldSelf.hasValue() ? oldSelf.value() == self : true"),
    (1, "self.all(key, key != 'b' || self[key] == self[key])"),
    (1, "self.size() < 3"),
    (2, "self.exists_one(x, x == x)"),
    (2, "self.map(x, [x]).size() < 9"),
    (2, "self.all(x, x in oldSelf)"),
    (3, "self.matches('^a') || self.size() > 2"),
    (3, "self.startsWith('a') && self.lowerAscii() == self"),
    (4, "self > 0 && self < 10 || self == oldSelf"),
    (5, "self * 2.0 < 1e9"),
    (7, "type(self) == int ? self < 9 : self.contains('%')"),
    (9, "self.metadata.name.size() < 9"),
];

#[derive(Debug)]
struct Input {
    schema: Value,
    before: Value,
    after: Value,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut schema = schema(bytes, 4, 0)?;
        if seldom(bytes, 32)? {
            schema = document::object(bytes, &WORDS)?;
        }
        let (before, after) = (instance(bytes, &schema)?, instance(bytes, &schema)?);
        Ok(Self { schema, before, after })
    }
}

/// Words of schemas, for documents that are hardly any.
const WORDS: [&str; 12] = [
    "type",
    "properties",
    "items",
    "additionalProperties",
    "default",
    "nullable",
    "enum",
    "pattern",
    "anyOf",
    "not",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
];

/// A schema of this kind of value; most are as they should be.
fn schema(bytes: &mut Unstructured<'_>, depth: usize, kind: u8) -> Result<Value> {
    let mut schema = Map::new();
    let mut set = |name: &str, value: Value| schema.insert(name.to_owned(), value);
    match kind {
        0 => {
            set("type", "object".into());
            let mut fields = Map::new();
            for _ in 0..bytes.int_in_range(0..=4)? {
                let name = (*bytes.choose(&FIELDS)?).to_owned();
                fields.insert(name, any_schema(bytes, depth)?);
            }
            if seldom(bytes, 3)? {
                set("required", fields.keys().take(2).cloned().collect());
            }
            set("properties", fields.into());
        }
        1 => {
            set("type", "object".into());
            set("additionalProperties", any_schema(bytes, depth)?);
        }
        2 => {
            set("type", "array".into());
            let items = any_schema(bytes, depth)?;
            match bytes.int_in_range(0..=3)? {
                0 => drop(set("x-kubernetes-list-type", "set".into())),
                1 => {
                    set("x-kubernetes-list-type", "map".into());
                    set("x-kubernetes-list-map-keys", json!(["a"]));
                }
                2 => drop(set("x-kubernetes-list-type", "atomic".into())),
                _ => {}
            }
            set("items", items);
        }
        3 => {
            set("type", "string".into());
            match bytes.int_in_range(0..=4)? {
                0 => drop(set("pattern", (*bytes.choose(&PATTERNS)?).into())),
                1 => drop(set("pattern", bytes.arbitrary::<&str>()?.into())),
                2 => drop(set("format", (*bytes.choose(&FORMATS)?).into())),
                3 => drop(set("enum", json!(["a", "b", ""]))),
                _ => {}
            }
        }
        4 => drop(set("type", "integer".into())),
        5 => drop(set("type", "number".into())),
        6 => drop(set("type", "boolean".into())),
        7 => drop(set("x-kubernetes-int-or-string", true.into())),
        8 => drop(set("x-kubernetes-preserve-unknown-fields", true.into())),
        _ => {
            set("type", "object".into());
            set("x-kubernetes-embedded-resource", true.into());
            set("x-kubernetes-preserve-unknown-fields", true.into());
        }
    }
    if seldom(bytes, 3)? {
        for _ in 0..bytes.int_in_range(1..=3)? {
            let at = bytes.choose_index(LIMITS.len())?;
            set(LIMITS[at], if at < 8 { bytes.int_in_range(0..=5)?.into() } else { true.into() });
        }
    }
    if seldom(bytes, 8)? {
        let own: Vec<&str> = RULES.iter().filter(|(of, _)| *of == kind).map(|(_, rule)| *rule).collect();
        let rule = match own.as_slice() {
            own @ [_, ..] if !seldom(bytes, 8)? => *bytes.choose(own)?,
            _ => bytes.arbitrary()?,
        };
        let optional = rule.contains('?');
        set("x-kubernetes-validations", json!([{"rule": rule, "message": "m", "optionalOldSelf": optional}]));
    }
    if seldom(bytes, 8)? {
        let branch = json!({"required": ["a"], "properties": {"a": {"minimum": 1, "pattern": "a"}}});
        set(bytes.choose(&["anyOf", "allOf", "oneOf"])?, json!([branch, {"not": {"required": ["b"]}}]));
    }
    if seldom(bytes, 4)? {
        let fitting = instance(bytes, &Value::Object(schema.clone()))?;
        schema.insert("default".to_owned(), fitting);
    }
    Ok(Value::Object(schema))
}

/// True once in so many times, and not when there are no bytes left.
fn seldom(bytes: &mut Unstructured<'_>, times: u8) -> Result<bool> {
    Ok(bytes.int_in_range(1..=times)? == times)
}

/// A value that a schema describes; parts of it are something else.
fn instance(bytes: &mut Unstructured<'_>, schema: &Value) -> Result<Value> {
    if seldom(bytes, 12)? {
        return document::value(bytes, &FIELDS, 2);
    }
    Ok(match schema["type"].as_str() {
        Some("object") => {
            let mut fields = Map::new();
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                if !seldom(bytes, 3)? {
                    fields.insert(name.clone(), instance(bytes, schema)?);
                }
            }
            let others = if schema["properties"].is_object() { usize::from(seldom(bytes, 4)?) } else { 3 };
            for _ in 0..others {
                let name = (*bytes.choose(&FIELDS)?).to_owned();
                fields.insert(name, instance(bytes, &schema["additionalProperties"])?);
            }
            Value::Object(fields)
        }
        Some("array") => {
            let length = bytes.int_in_range(0..=3)?;
            (0..length).map(|_| instance(bytes, &schema["items"])).collect::<Result<_>>()?
        }
        Some("string") => (*bytes.choose(&["a", "b", "", "aa", "2024-01-01T00:00:00Z", "1Gi"])?).into(),
        Some("integer") => bytes.int_in_range(-2..=11)?.into(),
        Some("number") => (f64::from(bytes.int_in_range(-9_i8..=9)?) / 2.0).into(),
        Some("boolean") => bytes.arbitrary::<bool>()?.into(),
        _ => document::value(bytes, &FIELDS, 2)?,
    })
}

/// Words with numbers, then those with truth values.
const LIMITS: [&str; 10] = [
    "maxItems",
    "minItems",
    "maxLength",
    "minLength",
    "maximum",
    "minimum",
    "maxProperties",
    "multipleOf",
    "nullable",
    "exclusiveMinimum",
];

fn any_schema(bytes: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    let kind = if depth == 0 { bytes.int_in_range(3..=8)? } else { bytes.int_in_range(0..=9)? };
    schema(bytes, depth.saturating_sub(1), kind)
}

fuzz_target!(|input: Input| {
    let Input { schema: written, before, after } = input;
    let errors = sample::library().structural_errors(&written, &Path::new("schema"));
    for error in &errors {
        assert!(!error.message().is_empty());
    }
    // Reading a schema that has faults must not do more than fail.
    let read = sample::library().structural(&written);
    let rules = Rules::read(&written);
    if !errors.is_empty() {
        return;
    }
    let schema = read.expect("a schema without faults is read");
    let [before, after] = [before, after].map(|object| {
        let mut kept = object.clone();
        let told = schema.prune(&mut kept);
        assert_eq!(
            told,
            schema.unknown_fields(&object),
            "{written} prunes otherwise than it tells of {object}"
        );
        assert_eq!(schema.unknown_fields(&kept), [""; 0], "{written} leaves unknown fields in {kept}");
        for path in &told {
            let _ = schema.nearest(path);
        }
        schema.default(&mut kept);
        let mut again = kept.clone();
        schema.default(&mut again);
        assert_eq!(kept, again, "{written} has more defaults the second time");
        assert_eq!(schema.unknown_fields(&kept), [""; 0], "{written} has defaults that it does not know");
        schema.canonicalize(&mut kept);
        let mut again = kept.clone();
        schema.canonicalize(&mut again);
        assert_eq!(kept, again, "{written} makes another canonical form of its own");
        kept
    });
    let faults = schema.validate(&after);
    assert!(schema.validate_change(&after, Some(&after)).is_empty(), "{written} refuses {after} unchanged");
    let fewer = schema.validate_change(&after, Some(&before));
    assert!(
        fewer.iter().all(|fault| faults.contains(fault)),
        "{written} has faults only in the change to {after}"
    );
    let _ = schema.type_error(&after);
    if let Some(rules) = rules {
        let alone = rules.judge(&after, None);
        let changed = rules.judge(&after, Some(&before));
        let _ = (alone.errors.len(), changed.warnings.len());
    }
});
