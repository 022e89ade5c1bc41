//! What happened to a machine, in the order of time.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::facts::{Facts, list, text, time, when};

/// The last ones are told; what was long before explains little.
const MOST: usize = 40;

/// What comes first of all that has one time: objects tell seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// The objects come, in the order in which one makes the other.
    Made,
    /// A place is looked for.
    Prepared,
    /// Events.
    Told,
    /// Later phases.
    Lived,
    /// Conditions.
    Judged,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    at: Timestamp,
    /// Kind of the object that tells of it.
    who: String,
    what: String,
}

impl Moment {
    pub(super) fn document(&self) -> Value {
        json!({"time": self.at.to_string(), "object": self.who, "message": self.what})
    }
}

/// Collects what times stand in the objects.
pub(super) fn of(facts: &Facts) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut tell = |at: Option<Timestamp>, turn: Turn, who: &str, what: String| {
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(at) = at {
            moments.push((turn, Moment { at, who: who.to_owned(), what }));
        }
    };
    let objects = [("VirtualMachine", &facts.machine), ("VirtualMachineInstance", &facts.instance)];
    let others = facts.pods.iter().map(|pod| ("Pod", pod));
    for (kind, object) in objects.into_iter().chain(others) {
        tell(time(object, "/metadata/creationTimestamp"), Turn::Made, kind, "created".to_owned());
        let deleted = time(object, "/metadata/deletionTimestamp");
        let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        let asked = deleted.and_then(|at| Timestamp::from_second(at.as_second() - grace).ok());
        tell(asked, Turn::Told, kind, "deletion asked for".to_owned());
    }
    for passed in list(&facts.instance, "/status/phaseTransitionTimestamps") {
        let at = time(passed, "/phaseTransitionTimestamp");
        let phase = text(passed, "/phase");
        let early = matches!(phase, "Pending" | "Scheduling" | "Scheduled");
        let turn = if early { Turn::Prepared } else { Turn::Lived };
        tell(at, turn, "VirtualMachineInstance", format!("phase {phase}"));
    }
    for (kind, object) in objects {
        for condition in list(object, "/status/conditions") {
            let (name, status) = (text(condition, "/type"), text(condition, "/status"));
            let (reason, message) = (text(condition, "/reason"), text(condition, "/message"));
            // The machine repeats its instance's.
            let repeated = kind == "VirtualMachine"
                && list(&facts.instance, "/status/conditions").any(|other| other["type"] == *name);
            if !repeated {
                let words = [reason, message].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
                let told = format!("{name}={status} {}", words.join(": "));
                tell(time(condition, "/lastTransitionTime"), Turn::Judged, kind, told);
            }
        }
    }
    let mut events: Vec<_> = facts.events.iter().collect();
    // Revisions count up: their order is that of what they tell.
    events.sort_by_key(|event| text(event, "/metadata/resourceVersion").parse::<u64>().unwrap_or_default());
    for event in events {
        let times = event["series"]["count"].as_i64().or_else(|| event["count"].as_i64()).unwrap_or(1);
        let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
        let kind = text(event, "/involvedObject/kind");
        let told = format!("{}: {}{times}", text(event, "/reason"), text(event, "/message"));
        tell(when(event), Turn::Told, kind, told);
    }
    let retry = time(&facts.machine, "/status/startFailure/retryAfterTimestamp");
    let retry = retry.filter(|at| *at > facts.now);
    tell(retry, Turn::Judged, "VirtualMachine", "is to be started again".to_owned());
    moments.sort_by_key(|(turn, moment)| (moment.at.as_second(), *turn));
    let mut moments: Vec<_> = moments.into_iter().map(|(_, moment)| moment).collect();
    moments.dedup_by(|one, other| one.who == other.who && one.what == other.what);
    let surplus = moments.len().saturating_sub(MOST);
    moments.split_off(surplus)
}

/// Writes them for people: the day only where it changes.
pub(super) fn lines(moments: &[Moment]) -> String {
    let width = moments.iter().map(|moment| moment.who.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut day = String::new();
    for moment in moments {
        let written = moment.at.strftime("%Y-%m-%d").to_string();
        if written != day {
            text.push_str(&format!("  {written} (UTC)\n"));
            day = written;
        }
        let clock = moment.at.strftime("%H:%M:%S");
        text.push_str(&format!("  {clock}  {:<width$}  {}\n", moment.who, moment.what));
    }
    text
}
