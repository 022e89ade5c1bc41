//! Elections under bad luck: there is a leader again after each loss, and never are there two.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use apiserver::auth::identity;
use kube_ext::{Context, Election, ElectionConfig, Key};
use sim::dice::Dice;
use sim::faults::Weather;
use sim::run::World;
use tokio::task::JoinHandle;

#[derive(Clone, Default)]
struct Office {
    holders: Arc<AtomicU32>,
    terms: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

/// Counts as in office until dropped.
struct Term(Office);

impl Term {
    fn begin(office: &Office) -> Self {
        let holders = office.holders.fetch_add(1, Ordering::Relaxed) + 1;
        office.most.fetch_max(holders, Ordering::Relaxed);
        office.terms.fetch_add(1, Ordering::Relaxed);
        Self(office.clone())
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.0.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

fn candidate(context: Context, name: &str, office: Office) -> JoinHandle<()> {
    let election = Election::new(&context, ElectionConfig::new(Key::new("kube-system", "office"), name));
    tokio::spawn(async move {
        loop {
            election
                .lead(async {
                    let _term = Term::begin(&office);
                    std::future::pending::<()>().await;
                })
                .await;
        }
    })
}

#[test]
fn one_leader_at_a_time() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(11).await;
        let (weather, office, dice) = (Weather::default(), Office::default(), Dice::new(11, "election"));
        let names = ["a", "b", "c"];
        let start = |name: &'static str| {
            let context = world.context(name, identity::administrator(name), &weather);
            candidate(context, name, office.clone())
        };
        let mut candidates = names.map(start);
        weather.set_stormy(true);
        for _ in 0..12 {
            world.wait(Duration::from_secs(20 + dice.below(40))).await;
            let victim = dice.below(3) as usize;
            candidates[victim].abort();
            world.wait(Duration::from_secs(dice.below(10))).await;
            candidates[victim] = start(names[victim]);
        }
        weather.set_stormy(false);
        world.wait(Duration::from_secs(60)).await;
        assert_eq!(office.most.load(Ordering::Relaxed), 1, "two in office at once");
        assert_eq!(office.holders.load(Ordering::Relaxed), 1, "nobody in office");
        assert!(office.terms.load(Ordering::Relaxed) > 2, "no change of office");
    });
}
