//! Makes room by removing images that no Pod uses.
//!
//! When more than the high threshold of the images' file system is in use, images are removed until less than the low
//! one is, those first that were used longest ago. Images that somebody loaded by hand stay: nothing could bring them
//! back. When a use was last seen is not kept over restarts, so that after one everything counts as fresh.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube_ext::{Api, Context, Key, Kind as _, ObjectRef, Recorder, Severity, resources};

use crate::Images;
use crate::images::{ImageError, Space, Stored};
use crate::node::Pressure;

/// Space in bytes that is enough for machines to start and write, however full the file system is in percent.
const SHORT: u64 = 4 << 30;

/// Between two looks at how much is left.
const LOOK: Duration = Duration::from_secs(10);

/// When room is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Percentage of the file system in use from which images are removed.
    pub high_percent: u8,
    /// Percentage at which removing stops.
    pub low_percent: u8,
    /// How long an image must have been unused.
    pub least_age: Duration,
    /// Between two looks.
    pub period: Duration,
}

impl Default for Policy {
    /// The thresholds and times that Kubernetes' agent takes.
    fn default() -> Self {
        Self {
            high_percent: 85,
            low_percent: 80,
            least_age: Duration::from_secs(120),
            period: Duration::from_secs(300),
        }
    }
}

impl Policy {
    /// Tells whether too little is left for machines to start and write.
    fn is_short(&self, space: Space) -> bool {
        is_fuller_than(self.high_percent, space) && space.available < SHORT
    }
}

/// When each image was last seen in use, or first seen at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastUses(BTreeMap<String, Timestamp>);

impl LastUses {
    /// Takes in what is stored now.
    pub fn see(&mut self, stock: &[Stored], now: Timestamp) {
        self.0.retain(|name, _| stock.iter().any(|image| image.reference == *name));
        for image in stock {
            let last = self.0.entry(image.reference.clone()).or_insert(now);
            // A clock that was set back must not make an image look used in the future.
            *last = if image.used { now } else { (*last).min(now) };
        }
    }

    /// Lists what may be removed at `now`, longest unused first.
    pub fn removable<'a>(&self, stock: &'a [Stored], least_age: Duration, now: Timestamp) -> Vec<&'a str> {
        let mut old: Vec<_> = stock
            .iter()
            .filter(|image| !image.used && !image.pinned)
            .filter_map(|image| Some((*self.0.get(&image.reference)?, image.reference.as_str())))
            .filter(|(last, _)| last.checked_add(least_age).is_ok_and(|old_from| old_from <= now))
            .collect();
        old.sort();
        old.into_iter().map(|(_, name)| name).collect()
    }
}

/// Says whether at least `percent` of a file system is in use.
fn is_fuller_than(percent: u8, space: Space) -> bool {
    let used = u128::from(space.capacity.saturating_sub(space.available)) * 100;
    space.capacity > 0 && used >= u128::from(percent) * u128::from(space.capacity)
}

/// Looks after the space of the node `node`, for ever.
pub(crate) async fn keep_room(
    policy: Policy,
    node: &str,
    images: &dyn Images,
    recorder: &Recorder,
    context: &Context,
    pressure: &Pressure,
) {
    let mut uses = LastUses::default();
    let mut is_short = false;
    loop {
        match make_room(policy, images, &mut uses, context.now()).await {
            Ok(problem) => {
                if let Some(problem) = &problem {
                    tracing::warn!(node, "{problem}");
                    tell(node, problem, recorder, context).await;
                }
                is_short = problem.is_some();
                pressure.set_disk(problem);
            }
            Err(error) => {
                tracing::warn!(node, %error, "cannot look after the space for images");
                tell(node, &error.to_string(), recorder, context).await;
            }
        }
        // Guests fill a disk within seconds: whether there is room is looked at more often than what could go.
        let mut left = policy.period;
        while !left.is_zero() {
            let step = LOOK.min(left);
            context.clock.sleep(step).await;
            left = left.saturating_sub(step);
            if images.space().await.is_ok_and(|space| policy.is_short(space) != is_short) {
                break;
            }
        }
    }
}

async fn tell(node: &str, problem: &str, recorder: &Recorder, context: &Context) {
    let key = Key::cluster(node);
    // Without the node there is nobody to tell about it.
    if let Ok(object) = Api::<Node>::new(&context.client).get(&key).await {
        let object = ObjectRef::new(&resources::NODE, key, object.uid());
        recorder.record(&object, Severity::Warning, "FreeDiskSpaceFailed", problem);
    }
}

/// Removes what has to go; returns one sentence when that was not enough.
async fn make_room(
    policy: Policy,
    images: &dyn Images,
    uses: &mut LastUses,
    now: Timestamp,
) -> Result<Option<String>, ImageError> {
    let stock = images.stock().await?;
    uses.see(&stock, now);
    let mut space = images.space().await?;
    if !is_fuller_than(policy.high_percent, space) {
        return Ok(None);
    }
    // What belongs to no image goes first: it costs nobody anything.
    let nothing = std::iter::once(None);
    for reference in nothing.chain(uses.removable(&stock, policy.least_age, now).into_iter().map(Some)) {
        if !is_fuller_than(policy.low_percent, space) {
            break;
        }
        if !images.remove(reference).await? {
            tracing::debug!("an image is being added; room is made next time");
            return Ok(None);
        }
        if let Some(image) = reference {
            tracing::info!(image, "removed, to make room");
        }
        space = images.space().await?;
    }
    Ok(policy.is_short(space).then(|| {
        format!(
            "the images' file system is {} % full ({} MiB left) and no image can be removed: free some space, or \
             remove machines whose images are large",
            100 - space.available * 100 / space.capacity.max(1),
            space.available >> 20,
        )
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::images::{Pull, Unpacked};

    /// A store of images of ten bytes each on a file system of a hundred.
    struct Shelf(Mutex<Vec<Stored>>);

    #[async_trait::async_trait]
    impl Images for Shelf {
        async fn is_here(&self, _: &str, _: &Pull) -> bool {
            false
        }

        async fn ensure(&self, name: &str, _: &Pull, _: &Path) -> Result<Unpacked, ImageError> {
            Err(ImageError::Absent(name.to_owned()))
        }

        async fn stock(&self) -> Result<Vec<Stored>, ImageError> {
            Ok(self.0.lock().unwrap().clone())
        }

        async fn space(&self) -> Result<Space, ImageError> {
            Ok(Space { capacity: 100, available: 100 - 10 * self.0.lock().unwrap().len() as u64 })
        }

        async fn remove(&self, reference: Option<&str>) -> Result<bool, ImageError> {
            self.0.lock().unwrap().retain(|image| Some(image.reference.as_str()) != reference);
            Ok(true)
        }
    }

    impl Shelf {
        fn of(names: &[&str]) -> Self {
            let image = |name: &&str| Stored {
                reference: (*name).to_owned(),
                used: name.starts_with("used"),
                pinned: name.starts_with("loaded"),
            };
            Self(Mutex::new(names.iter().map(image).collect()))
        }

        fn names(&self) -> Vec<String> {
            self.0.lock().unwrap().iter().map(|image| image.reference.clone()).collect()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const NINE: [&str; 9] =
        ["idle-1", "idle-2", "idle-3", "loaded-1", "loaded-2", "used-1", "used-2", "used-3", "used-4"];

    #[tokio::test]
    async fn the_longest_unused_go_first_until_there_is_room() {
        let shelf = Shelf::of(&NINE);
        let mut uses = LastUses::default();
        let policy = Policy { low_percent: 75, ..Policy::default() };
        uses.see(&shelf.stock().await.unwrap()[1..], at(0));
        let room = make_room(policy, &shelf, &mut uses, at(60)).await.unwrap();
        assert!(room.is_some_and(|problem| problem.contains("90 % full")), "nothing is old enough yet");
        assert_eq!(shelf.names().len(), 9);
        assert_eq!(make_room(policy, &shelf, &mut uses, at(200)).await.unwrap(), None);
        assert_eq!(shelf.names(), ["idle-1", "loaded-1", "loaded-2", "used-1", "used-2", "used-3", "used-4"]);
    }

    #[tokio::test]
    async fn what_is_used_or_loaded_stays_however_full_it_is() {
        let shelf = Shelf::of(&NINE);
        let mut uses = LastUses::default();
        uses.see(&shelf.stock().await.unwrap(), at(0));
        let policy = Policy { high_percent: 50, low_percent: 10, ..Policy::default() };
        let room = make_room(policy, &shelf, &mut uses, at(1000)).await.unwrap();
        assert!(room.is_some_and(|problem| problem.contains("free some space")));
        assert_eq!(shelf.names(), NINE[3..]);
    }

    #[tokio::test]
    async fn nothing_goes_while_there_is_room() {
        let shelf = Shelf::of(&NINE[..8]);
        let mut uses = LastUses::default();
        assert_eq!(make_room(Policy::default(), &shelf, &mut uses, at(0)).await.unwrap(), None);
        assert_eq!(make_room(Policy::default(), &shelf, &mut uses, at(1000)).await.unwrap(), None);
        assert_eq!(shelf.names().len(), 8);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_no_removal_for_ever() {
        let shelf = Shelf::of(&["idle"]);
        let stock = shelf.0.into_inner().unwrap();
        let mut uses = LastUses::default();
        uses.see(&stock, at(10_000));
        uses.see(&stock, at(0));
        assert_eq!(uses.removable(&stock, Duration::from_secs(120), at(130)), ["idle"]);
    }
}
