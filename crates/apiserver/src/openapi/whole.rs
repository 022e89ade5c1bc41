//! The document of version 2 as it is now: written when it is asked for, and kept until what it is made of changes.

use std::sync::Arc;

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use super::content::{self, Content, Schemas};
use super::form::Form;
use super::kept::{Packed, Source, Whole, tag_of};
use super::merge::{Foreign, Taken};
use super::v2::{self, Document, Shared};
use super::{aside, info, source};
use crate::registry::Snapshot;
use crate::{ApiServer, aggregation};

/// After so long other programs are asked again for what they tell.
const AGE: SignedDuration = SignedDuration::from_secs(60);

/// The document; nothing only while the process ends.
pub(super) async fn current(server: &ApiServer) -> Option<Arc<Whole>> {
    let mut kept = server.openapi().whole.lock().await;
    let snapshot = server.registry().snapshot();
    let own = whole_source(server, &snapshot);
    let others =
        snapshot.groups.iter().flat_map(|group| &group.versions).any(|version| version.remote.is_some());
    if let Some(whole) = &*kept
        && whole.own == own
        && (!others || server.now().duration_since(whole.asked) < AGE)
    {
        return Some(Arc::clone(whole));
    }
    let asked = server.now();
    let foreign = if others { aggregation::documents(server).await } else { Vec::new() };
    let mut hash = Sha256::new();
    for Foreign { group, version, document } in &foreign {
        hash.update(format!("{group}/{version} {document}"));
    }
    let theirs: Source = hash.finalize().into();
    let writer = server.clone();
    let known = kept.clone();
    let whole = aside(move || match known {
        Some(known) if known.own == own && known.theirs == theirs => Whole { asked, ..(*known).clone() },
        _ => {
            let document = write(&writer, &snapshot, foreign);
            Whole {
                own,
                theirs,
                asked,
                tag: tag_of(document.json.as_bytes()),
                json: Packed::new(document.json.as_bytes()),
                protobuf: Packed::new(&document.protobuf),
            }
        }
    });
    let whole = Arc::new(whole.await?);
    *kept = Some(Arc::clone(&whole));
    Some(whole)
}

fn whole_source(server: &ApiServer, snapshot: &Snapshot) -> Source {
    let mut hash = Sha256::new();
    for name in content::documents(snapshot) {
        hash.update(source(server, snapshot, &name).unwrap_or_default());
    }
    // What others answer is not told by this server any more.
    let versions = snapshot.groups.iter().flat_map(|group| &group.versions);
    hash.update([u8::from(versions.into_iter().any(|version| version.remote.is_some()))]);
    hash.finalize().into()
}

/// Writes the document.
fn write(server: &ApiServer, snapshot: &Snapshot, foreign: Vec<Foreign>) -> Document {
    let mut document = Document::new(&info(server));
    let (mut all, mut shared, mut taken) = (Schemas::default(), Shared::default(), Taken::default());
    let mut definitions = Vec::new();
    document.section("paths", |section| {
        for name in content::documents(snapshot) {
            let Some(content) = Content::named(snapshot, &name) else { continue };
            for item in &content.items {
                section.put(&item.path, &v2::path(item, &mut shared));
                taken.paths.insert(item.path.clone());
            }
            all.join(content.schemas);
        }
        taken.parameters = shared.into_parameters();
        if !foreign.is_empty() {
            all.each(server, Form::V2, &mut |name, schema| taken.define(name, &schema));
        }
        for foreign in foreign {
            let added = taken.add(foreign);
            added.paths.iter().for_each(|(path, item)| section.put(path, item));
            definitions.extend(added.definitions);
        }
    });
    document.section("definitions", |section| {
        all.each(server, Form::V2, &mut |name, schema| section.put(name, &schema));
        for (name, schema) in &definitions {
            section.put(name, schema);
        }
    });
    document.section("parameters", |section| {
        taken.parameters.iter().for_each(|(name, parameter)| section.put(name, parameter));
    });
    document.finish()
}
