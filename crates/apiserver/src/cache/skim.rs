//! Reading what selectors look at out of an object's JSON, without making a tree of the rest.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Facets;

impl Facets {
    /// Reads what [`Facets::of`] reads of the object, out of its JSON.
    ///
    /// # Errors
    /// Fails when it is not JSON.
    pub fn read(json: &[u8], paths: &[Box<str>]) -> serde_json::Result<Self> {
        let mut labels = Vec::new();
        let mut fields: Box<[Box<str>]> = paths.iter().map(|_| "".into()).collect();
        let wanted = paths.iter().enumerate().map(|(at, path)| (at, &**path)).collect();
        let root = Skim { place: Place::Object, wanted, labels: &mut labels, fields: &mut fields };
        let mut reader = serde_json::Deserializer::from_slice(json);
        root.deserialize(&mut reader)?;
        reader.end()?;
        Ok(Self { labels: labels.into(), fields })
    }
}

/// Where the reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Object,
    Metadata,
    Labels,
    /// One label; its name has been noted.
    Label,
    Elsewhere,
}

/// What is wanted of a value and of what is below it.
struct Skim<'a> {
    place: Place,
    /// The numbers of wanted fields, and the paths to them from here; an empty one means this value.
    wanted: Vec<(usize, &'a str)>,
    labels: &'a mut Vec<(Box<str>, Box<str>)>,
    fields: &'a mut [Box<str>],
}

/// The name of a field, copied only where it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Returns what is wanted of the field `name` and of what is below it.
fn below<'a>(wanted: &[(usize, &'a str)], name: &str) -> Vec<(usize, &'a str)> {
    let split = wanted.iter().map(|(at, path)| (*at, path.split_once('.').unwrap_or((path, ""))));
    split
        .filter(|(_, (first, _))| *first == name && !name.is_empty())
        .map(|(at, (_, rest))| (at, rest))
        .collect()
}

impl Skim<'_> {
    /// Notes a value in the form in which fields are compared. Only what is a text is a label's.
    fn note(self, value: &str, is_text: bool) {
        if let (Place::Label, true, Some((_, label))) = (self.place, is_text, self.labels.last_mut()) {
            *label = value.into();
        }
        for (at, _) in self.wanted.iter().filter(|(_, path)| path.is_empty()) {
            self.fields[*at] = value.into();
        }
    }

    fn note_other(self, value: serde_json::Value) {
        self.note(&value.to_string(), false);
    }
}

impl<'de> DeserializeSeed<'de> for Skim<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skim<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let place = match (self.place, &*name) {
                (Place::Object, "metadata") => Place::Metadata,
                (Place::Metadata, "labels") => Place::Labels,
                (Place::Labels, _) => Place::Label,
                _ => Place::Elsewhere,
            };
            let wanted = below(&self.wanted, &name);
            if place == Place::Label {
                self.labels.push((name.into(), "".into()));
            } else if place == Place::Elsewhere && wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(Skim {
                place,
                wanted,
                labels: &mut *self.labels,
                fields: &mut *self.fields,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.note(text, true);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.note_other(value.into());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.note_other(value.into());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.note_other(value.into());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.note_other(value.into());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn paths() -> Vec<Box<str>> {
        ["spec", "spec.a", "spec.a.b", "b", "metadata.name", "metadata.labels.a", "spec.b"]
            .map(Into::into)
            .into()
    }

    fn same(object: &Value) {
        for paths in [paths(), Vec::new()] {
            let read = Facets::read(object.to_string().as_bytes(), &paths).expect("JSON");
            assert_eq!(read, Facets::of(object, &paths), "{object}");
        }
    }

    #[test]
    fn what_is_read_is_what_the_tree_shows() {
        same(&json!({"metadata": {"name": "x", "labels": {"a": "b", "c\n\"": "ü\\", "n": null, "m": 1}},
            "spec": {"a": {"b": true}, "b": -1.5, "labels": {"no": "label"}}, "labels": {"no": "label"}}));
        same(&json!({"metadata": {"labels": ["a"]}, "spec": "text"}));
        same(&json!([{"metadata": {"labels": {"a": "b"}}}]));
        assert!(Facets::read(b"{\"metadata\": {}", &[]).is_err());
        assert!(Facets::read(b"{} {}", &[]).is_err());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[ab\"\\\\ü\n]{0,3}".prop_map(Value::from),
        ];
        let name =
            prop_oneof![Just("metadata"), Just("labels"), Just("spec"), Just("a"), Just("b"), Just("name")];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..5).prop_map(|fields| {
                    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_object_reads_as_its_tree(metadata in values(), spec in values(), b in values()) {
            same(&json!({"metadata": metadata, "spec": spec, "b": b}));
        }
    }
}
