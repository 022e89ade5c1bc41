//! What a store holds as it is opened, in the form that the caches keep it in.

use std::collections::HashMap;
use std::sync::Arc;

use store::Found;

use super::storage::PREFIX;
use crate::cache::{Entry, Facets, ObjectKey, keeps_objects, selectable_fields};
use crate::registry::Collection;
use crate::server::StartError;

/// Takes in the entries of a store one by one, as it is opened: each is copied once, and never made a tree of.
#[derive(Debug, Default)]
pub struct Initial {
    /// By the store's key up to the namespace, without [`PREFIX`].
    collections: HashMap<Box<str>, Objects>,
    /// The first entry that is no object.
    damaged: Option<(String, serde_json::Error)>,
}

#[derive(Debug)]
struct Objects {
    collection: Collection,
    keeps: bool,
    fields: Arc<[Box<str>]>,
    entries: Vec<Arc<Entry>>,
}

impl Objects {
    fn new(group: &str, plural: &str) -> Self {
        let collection = Collection::new(if group == "core" { "" } else { group }, plural);
        let (keeps, fields) = (keeps_objects(&collection), selectable_fields(&collection));
        Self { collection, keeps, fields, entries: Vec::new() }
    }

    /// Objects that follow each other are mostly of one namespace; its name is kept once.
    fn key(&self, namespace: &str, name: &str) -> ObjectKey {
        match self.entries.last() {
            Some(last) if *last.key.namespace == *namespace => {
                ObjectKey { namespace: Arc::clone(&last.key.namespace), name: name.into() }
            }
            _ => ObjectKey::new(namespace, name),
        }
    }
}

impl Initial {
    /// Takes in an entry. What is no object is told of when the server is built.
    pub fn add(&mut self, found: Found<'_>) {
        let Some(rest) = found.key.strip_prefix(PREFIX) else { return };
        let mut parts = rest.splitn(4, '/');
        let (Some(group), Some(plural), Some(namespace), Some(name)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let place = &rest[..group.len() + 1 + plural.len()];
        if !self.collections.contains_key(place) {
            self.collections.insert(place.into(), Objects::new(group, plural));
        }
        let Some(objects) = self.collections.get_mut(place).filter(|objects| objects.keeps) else { return };
        match Facets::read(found.value, &objects.fields) {
            Ok(facets) => {
                let key = objects.key(namespace, name);
                objects.entries.push(Arc::new(Entry::new(key, found.modified, found.value, facets.share())));
            }
            Err(error) => {
                self.damaged.get_or_insert_with(|| (found.key.to_owned(), error));
            }
        }
    }

    /// Returns the objects by collection.
    ///
    /// # Errors
    /// Fails when an entry was no object.
    pub(crate) fn collections(
        self,
    ) -> Result<impl Iterator<Item = (Collection, Vec<Arc<Entry>>)>, StartError> {
        if let Some((key, source)) = self.damaged {
            return Err(StartError::Damaged { key, source });
        }
        let kept = self.collections.into_values().filter(|objects| objects.keeps);
        Ok(kept.map(|objects| (objects.collection, objects.entries)))
    }
}
