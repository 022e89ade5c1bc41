//! The node's hypervisor: whether it is there, what it can do, and the Node's condition that says so.
//!
//! A node without a hypervisor registers, says what is missing and what to do, and takes machines as soon as that is
//! done. A hypervisor that goes away while the node runs is told of in the same condition.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube_ext::{Api, ApiError, Context, Key, ObjectRef, Patch, Recorder, Severity, resources};
use serde_json::{Value, json};
use wire::machine::{Accelerator, Architecture};

/// The hypervisor's program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// What to do where it is missing.
pub(crate) const REMEDY: &str = "install QEMU (Debian: apt-get install qemu-system-x86)";
/// Type of the Node's condition.
pub(crate) const CONDITION: &str = "HypervisorAvailable";
/// Reasons of condition and Events.
const MISSING: &str = "HypervisorMissing";
const FOUND: &str = "HypervisorFound";
/// Message when all is well.
const USABLE: &str = "QEMU can be used";
/// Between two attempts to tell of it while the node is not registered yet.
const SOON: Duration = Duration::from_millis(500);
/// Between two looks whether the program has come or gone.
const LOOK: Duration = Duration::from_secs(5);

/// Asks the node's hypervisor what it can do; the file `memory` holds what it said before.
///
/// # Errors
/// When the program is missing or does not answer.
async fn ask(accelerator: Accelerator, memory: &Path) -> Result<virt_handler::Hypervisor> {
    let program = installed(&search_path()).unwrap_or_else(|| PROGRAM.into());
    let facts = hypervisor_qemu::probe_once(&program, memory).await?;
    let aliases: BTreeMap<_, _> =
        facts.aliases().map(|(alias, concrete)| (alias.to_owned(), concrete.to_owned())).collect();
    let firmware = hypervisor_qemu::FirmwareFiles::default();
    Ok(virt_handler::Hypervisor {
        architecture: Architecture::Amd64,
        accelerator,
        machine_aliases: aliases,
        machine_types: facts.machines.into_iter().map(|machine| machine.name).collect(),
        cpu_models: facts.cpu_models,
        firmware_variables: virt_handler::FirmwareVariables {
            plain: firmware.variables,
            secure: firmware.secure_variables,
        },
        cpu_features: (accelerator == Accelerator::Tcg).then_some(facts.emulated_features),
    })
}

/// Tells on a Node what is the matter with its hypervisor.
pub(super) struct Teller {
    context: Context,
    node: String,
    recorder: Recorder,
    /// File that holds what the hypervisor said before.
    memory: PathBuf,
    told: Told,
}

/// What was written last.
#[derive(PartialEq)]
enum Told {
    Nothing,
    AllIsWell,
    Problem(String),
}

impl Teller {
    /// Speaks for the node `name`; Events go through `recorder`.
    pub(super) fn new(context: &Context, name: &str, recorder: Recorder, memory: PathBuf) -> Self {
        Self { context: context.clone(), node: name.to_owned(), recorder, memory, told: Told::Nothing }
    }

    /// Waits until the hypervisor can be asked, and tells what it waits for.
    pub(super) async fn wait(&mut self, accelerator: Accelerator) -> virt_handler::Hypervisor {
        loop {
            match ask(accelerator, &self.memory).await {
                Ok(found) => {
                    self.tell(None).await;
                    return found;
                }
                Err(error) => self.tell(Some(missing(&format!("{error:#}")))).await,
            }
            self.context.clock.sleep(if self.told == Told::Nothing { SOON } else { LOOK }).await;
        }
    }

    /// Tells whenever the program goes or comes back, for ever.
    pub(super) async fn watch(&mut self) {
        loop {
            self.context.clock.sleep(LOOK).await;
            let problem = installed(&search_path())
                .is_none()
                .then(|| missing(&format!("{PROGRAM} is not there or cannot be executed")));
            self.tell(problem).await;
        }
    }

    /// Writes the condition when it differs from what was told last. What cannot be written now is written with the
    /// next look.
    async fn tell(&mut self, problem: Option<String>) {
        let news = problem.clone().map_or(Told::AllIsWell, Told::Problem);
        if self.told == news {
            return;
        }
        match self.write(problem.as_deref()).await {
            Ok(()) => self.told = news,
            // The kubelet has not registered the node yet.
            Err(error) if error.is_not_found() => {}
            Err(error) => tracing::warn!(node = self.node, %error, "cannot tell of the hypervisor"),
        }
    }

    async fn write(&self, problem: Option<&str>) -> Result<(), ApiError> {
        let nodes = Api::<Node>::new(&self.context.client);
        let key = Key::cluster(&self.node);
        let node = nodes.get(&key).await?;
        let known = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        let known = known.into_iter().flatten().find(|condition| condition.type_ == CONDITION);
        let is_told = |status: &str| known.is_some_and(|condition| condition.status == status);
        // A node that never lacked anything needs no condition.
        if problem.is_none() && !is_told("False") {
            return Ok(());
        }
        let same = known.filter(|_| is_told(if problem.is_some() { "False" } else { "True" }));
        let since = same.and_then(|condition| condition.last_transition_time.as_ref()).map(|time| time.0);
        nodes.patch_status(&key, &Patch::Strategic(patch(problem, since, self.context.now()))).await?;
        let object = ObjectRef::new(&resources::NODE, key, node.metadata.uid.unwrap_or_default());
        if let Some(problem) = problem {
            tracing::error!(node = self.node, "{problem}");
            self.recorder.record(&object, Severity::Warning, MISSING, problem);
        } else {
            tracing::info!(node = self.node, "{USABLE}");
            self.recorder.record(&object, Severity::Normal, FOUND, USABLE);
        }
        Ok(())
    }
}

/// The sentence for a hypervisor that cannot be used.
fn missing(why: &str) -> String {
    format!(
        "no machine can start on this node: QEMU cannot be used: {why}; {REMEDY}, nothing has to be restarted"
    )
}

/// Finds the program in the first of `directories` that holds it.
fn installed(directories: &[PathBuf]) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.join(PROGRAM)).find(|program| {
        std::fs::metadata(program).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    })
}

#[allow(clippy::disallowed_methods, reason = "bin is where the environment is read")]
fn search_path() -> Vec<PathBuf> {
    // Without the variable, programs are looked for where the C library looks.
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    std::env::split_paths(&path).collect()
}

fn patch(problem: Option<&str>, since: Option<Timestamp>, now: Timestamp) -> Value {
    let whole = |time: Timestamp| Timestamp::from_second(time.as_second()).unwrap_or(time).to_string();
    let (status, reason) = if problem.is_some() { ("False", MISSING) } else { ("True", FOUND) };
    json!({ "status": { "conditions": [{
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": problem.unwrap_or(USABLE),
        "lastHeartbeatTime": whole(now),
        "lastTransitionTime": whole(since.unwrap_or(now)),
    }] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_counts_only_when_it_can_be_executed() {
        let directory = tempfile::tempdir().unwrap();
        let path = [directory.path().to_owned()];
        assert_eq!(installed(&path), None);
        std::fs::write(directory.path().join(PROGRAM), "").unwrap();
        assert_eq!(installed(&path), None);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path().join(PROGRAM), executable).unwrap();
        assert_eq!(installed(&path), Some(directory.path().join(PROGRAM)));
    }

    #[test]
    fn the_condition_names_the_program_and_the_remedy() {
        let patch = patch(Some(&missing("it is not there")), None, Timestamp::UNIX_EPOCH);
        let condition = &patch["status"]["conditions"][0];
        let message = condition["message"].as_str().unwrap();
        assert!(message.contains("QEMU") && message.contains("apt-get install"), "{message}");
        assert_eq!(condition["status"], "False");
    }
}
