//! API writes that a machine's life costs, read from the audit log of a real installation.
//!
//! Counted are writes by virt-api, virt-controller and virt-handler that the server took: Pods and Events are among them, binding
//! and kubelet are not, nor are the user's own requests, but for what virt-api writes for him.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use kit::{Installation, Options, until};
use serde_json::Value;

use crate::machine::{FIRST_LINE, idle, manifest};
use crate::report::Report;

const NAME: &str = "counted";
const PATIENCE: Duration = Duration::from_secs(120);
/// After this long nothing more is written: Events wait for others of their kind for some seconds.
const QUIET: Duration = Duration::from_secs(15);
const VERBS: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
/// The components that the budget is about, by their accounts.
const COMPONENTS: [&str; 3] = [
    "system:serviceaccount:kubevirt:kubevirt-apiserver",
    "system:serviceaccount:kubevirt:kubevirt-controller",
    "system:serviceaccount:kubevirt:kubevirt-handler",
];

/// Measures a start, a stop and a restart of one machine, after a first round that makes images ready.
pub(crate) fn of_a_life(report: &mut Report) -> Result<()> {
    let installation = Installation::start(Options { audit: true, ..Options::default() });
    let counter = Counter { installation: &installation };
    let mut machine = manifest(NAME, "Always");
    machine["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 60.into();
    counter.installation.apply(&idle("first").to_string());
    counter.until("first", |machine| machine["status"]["printableStatus"] == "Running");
    std::thread::sleep(QUIET);

    let is = |word: &'static str| move |machine: &Value| machine["status"]["printableStatus"] == word;
    let writes = counter.count(|| installation.apply(&machine.to_string()), is("Running"))?;
    writes.tell(report, "created to Running", 6.0);
    counter.is_up(0);
    let boots = counter.boots();
    let writes = counter.count(
        || counter.ask("restart"),
        |machine| {
            // It says Running before it goes, too.
            machine["status"]["stateChangeRequests"].is_null()
                && is("Running")(machine)
                && counter.boots() > boots
        },
    )?;
    writes.tell(report, "a restart", 9.0);
    counter.is_up(boots);
    let writes = counter.count(|| counter.ask("stop"), is("Stopped"))?;
    writes.tell(report, "a stop", 4.0);
    Ok(())
}

/// What was written between a request and the end of what followed from it.
#[derive(Debug)]
struct Writes {
    /// Until the machine said what it was to say.
    told: usize,
    /// With all that came after: finalizers, Events.
    all: usize,
}

impl Writes {
    fn tell(&self, report: &mut Report, what: &str, budget: f64) {
        report.add(&format!("API writes, {what}"), "writes", self.told as f64, Some(budget));
        report.add(&format!("API writes, {what}, with what comes later"), "writes", self.all as f64, None);
    }
}

struct Counter<'a> {
    installation: &'a Installation,
}

impl Counter<'_> {
    fn until(&self, name: &str, is: impl Fn(&Value) -> bool) {
        until(&format!("{name} is where it should be"), PATIENCE, || {
            self.installation.get("vm", "default", name).is_some_and(|machine| is(&machine))
        });
    }

    fn boots(&self) -> usize {
        self.installation.console("default", NAME).matches(FIRST_LINE).count()
    }

    /// Waits until the guest hears its power button.
    fn is_up(&self, boots: usize) {
        until("the guest is up", PATIENCE, || {
            self.boots() > boots && self.installation.console("default", NAME).contains("guest: ready")
        });
    }

    fn ask(&self, what: &str) {
        let path =
            format!("/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{NAME}/{what}");
        let answer = self.installation.kubectl_with(&["replace", "--raw", &path, "-f", "-"], Some("{}"));
        answer.expect("asking for a change of state");
    }

    /// Counts from `act` until `is` holds of the machine, and until all is quiet.
    fn count(&self, act: impl FnOnce(), is: impl Fn(&Value) -> bool) -> Result<Writes> {
        let before = self.log()?.len();
        act();
        self.until(NAME, is);
        std::thread::sleep(QUIET);
        let log = self.log()?;
        let mut writes: Vec<&Value> = log.iter().skip(before).filter(|event| is_counted(event)).collect();
        writes.sort_by_key(|event| event["stageTimestamp"].as_str().unwrap_or_default().to_owned());
        let said = writes.iter().rposition(|event| {
            let what = &event["objectRef"];
            what["resource"] == "virtualmachines" && what["subresource"] == "status"
        });
        let mut kinds = BTreeMap::<String, usize>::new();
        for event in &writes {
            let what = &event["objectRef"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let kind = format!(
                "{} {}/{}",
                text(&event["verb"]),
                text(&what["resource"]),
                text(&what["subresource"])
            );
            *kinds.entry(kind).or_default() += 1;
        }
        eprintln!("{kinds:?}");
        let told = said.context("nothing was said of the machine")? + 1;
        Ok(Writes { told, all: writes.len() })
    }

    fn log(&self) -> Result<Vec<Value>> {
        let path = self.installation.audit_log();
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        // The last line may be half written.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

fn is_counted(event: &Value) -> bool {
    let who = event["user"]["username"].as_str().unwrap_or_default();
    let verb = event["verb"].as_str().unwrap_or_default();
    let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
    let what = &event["objectRef"];
    event["stage"] == "ResponseComplete"
        && (200..300).contains(&code)
        && VERBS.contains(&verb)
        && COMPONENTS.contains(&who)
        && what["namespace"] == "default"
        && what["name"].as_str().is_none_or(|name| !name.contains("first"))
}
