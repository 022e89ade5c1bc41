//! One run: a world, a storm, a calm, and the verdict.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, auth};
use effects::{Clock as _, SeededEntropy, VirtualClock};
use jiff::Timestamp;
use kube_ext::{Context, Tasks};
use machinery::admission::UserInfo;
use plan::vmi::launcher;
use store::MemoryStore;
use tokio::task::JoinHandle;

use crate::dice::Dice;
use crate::faults::{Road, Weather};
use crate::journal::Journal;
use crate::judge::{self, Complaints};
use crate::{node, user};

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of all chance.
    pub seed: u64,
    /// How many machines the user juggles with.
    pub machines: u64,
    /// How long the user acts and misfortune strikes, in virtual time.
    pub storm: Duration,
    /// How long everything then has to settle, in virtual time.
    pub calm: Duration,
    /// Whether misfortune strikes at all.
    pub faults: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            machines: 4,
            storm: Duration::from_secs(60),
            calm: Duration::from_secs(900),
            faults: true,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every write, in order.
    pub journal: Vec<String>,
    /// What was wrong.
    pub complaints: Vec<String>,
}

/// The parts of a world.
#[derive(Debug)]
pub struct World {
    server: ApiServer,
    clock: Arc<VirtualClock>,
    entropy: Arc<SeededEntropy>,
    weather: Weather,
    journal: Journal,
    seed: u64,
}

impl World {
    /// Builds a world with an API server and nothing else.
    pub async fn new(seed: u64) -> Self {
        let start = Timestamp::from_second(1_767_614_400).expect("a time in 2026 exists");
        let clock = Arc::new(VirtualClock::new(start));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let server = ApiServer::builder(Arc::new(MemoryStore::new()))
            .clock(clock.clone())
            .entropy(entropy.clone())
            .crds(api::crd::all())
            .build()
            .await
            .expect("an empty store can be filled");
        Self { server, clock, entropy, weather: Weather::default(), journal: Journal::default(), seed }
    }

    /// Makes the surroundings of one component.
    pub fn context(&self, who: &'static str, identity: UserInfo, weather: &Weather) -> Context {
        let road = Road::new(
            self.server.in_process(identity),
            who,
            Dice::new(self.seed, who),
            weather.clone(),
            self.journal.clone(),
        );
        Context::new(kube_ext::in_process(road, who), self.clock.clone(), self.entropy.clone())
    }

    /// Starts the controllers of machines.
    pub fn virt_controller(&self) -> JoinHandle<()> {
        let identity = auth::identity::service_account("kubevirt", "kubevirt-controller");
        let context = self.context("virt", identity, &self.weather);
        let launcher = launcher::Config { image: "simulated".to_owned(), ..launcher::Config::default() };
        let mut config = virt_controller::Config::new(launcher, "simulated");
        config.parallel = 4;
        tokio::spawn(virt_controller::run(context, config, std::future::pending()))
    }

    /// Starts the controllers of Kubernetes.
    pub fn kube_controllers(&self) -> JoinHandle<()> {
        let identity = auth::identity::component("system:kube-controller-manager");
        let context = self.context("kube", identity, &self.weather);
        tokio::spawn(kube_controllers::run(
            context,
            kube_controllers::Config::default(),
            std::future::pending(),
        ))
    }

    /// Starts `count` nodes; `wild` guests end by themselves.
    pub fn nodes(&self, count: usize, wild: &Weather) -> JoinHandle<()> {
        let mut tasks = Tasks::new();
        for name in ["node-a", "node-b", "node-c"].into_iter().take(count) {
            self.add_node(name, wild, &Weather::default(), &mut tasks);
        }
        tokio::spawn(tasks.run(std::future::pending()))
    }

    /// Starts a node that is cut off while `cut_off` is stormy.
    pub fn node(&self, name: &'static str, cut_off: &Weather) -> JoinHandle<()> {
        let mut tasks = Tasks::new();
        self.add_node(name, &Weather::default(), cut_off, &mut tasks);
        tokio::spawn(tasks.run(std::future::pending()))
    }

    fn add_node(&self, name: &'static str, wild: &Weather, cut_off: &Weather, tasks: &mut Tasks) {
        let context = self.context(name, auth::identity::administrator(name), &self.weather);
        node::start(&context, name, Dice::new(self.seed, name), wild.clone(), cut_off.clone(), tasks);
    }

    /// Returns the weather on the controllers' and the nodes' way to the server.
    pub fn weather(&self) -> &Weather {
        &self.weather
    }

    /// Returns the clock on the wall of everybody in this world.
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// Waits for `span` of virtual time.
    pub async fn wait(&self, span: Duration) {
        self.clock.sleep(span).await;
    }

    /// Returns the journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// Runs a world from its beginning to the verdict. Must be called on a current-thread runtime with paused time.
pub async fn run(options: &Options) -> Report {
    let world = World::new(options.seed).await;
    let fair = Weather::default();
    let complaints = Complaints::default();
    let dice = Dice::new(options.seed, "run");

    let judge = world.context("judge", auth::identity::administrator("judge"), &fair);
    let mut watching = Tasks::new();
    judge::watch(&judge, &complaints, &mut watching);
    let watching = tokio::spawn(watching.run(std::future::pending()));

    let nodes = world.nodes(2, &world.weather);
    let mut virt = world.virt_controller();
    let mut kube = world.kube_controllers();
    world.wait(Duration::from_secs(2)).await;

    world.weather.set_stormy(options.faults);
    let person = world.context("user", auth::identity::administrator("user"), &fair);
    let (machines, storm, user_dice) = (options.machines, options.storm, Dice::new(options.seed, "user"));
    let acting = tokio::spawn(async move { user::act(&person, &user_dice, machines, storm).await });
    while !acting.is_finished() {
        world.wait(dice.millis(1000, 15_000)).await;
        if options.faults {
            // Killed in the middle of whatever it did, and started again a while later.
            let killed_virt = dice.chance(700);
            if killed_virt { &virt } else { &kube }.abort();
            world.wait(dice.millis(0, 4000)).await;
            world.journal.write("chance", if killed_virt { "restarts virt" } else { "restarts kube" });
            if killed_virt {
                virt = world.virt_controller();
            } else {
                kube = world.kube_controllers();
            }
        }
    }
    world.weather.set_stormy(false);
    world.wait(options.calm).await;
    if let Err(error) = judge::check(&judge, &complaints).await {
        world.journal.write("judge", &format!("cannot check: {error}"));
    }
    let mut complaints = complaints.all();
    let ended = [("virt", &virt), ("kube", &kube)].into_iter().filter(|(_, handle)| handle.is_finished());
    complaints.extend(ended.map(|(who, _)| format!("{who} ended by itself")));
    for handle in [watching, nodes, virt, kube] {
        handle.abort();
    }
    Report { journal: world.journal.lines(), complaints }
}
