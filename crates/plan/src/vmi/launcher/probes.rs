//! Probes of the guest, as probes of the Pod's container: whoever runs the Pod carries them out.
//!
//! Questions to the network go to the Pod's address, which is the machine's. Questions to the guest's agent go
//! through the launcher's own executable, which asks the launcher.

use api::kubevirt::v1::{Probe, VirtualMachineInstance};
use k8s_openapi::api::core::v1::{ExecAction, Probe as PodProbe};
use wire::probe::GuestProbe;

use super::{EXECUTABLE, volumes};

/// Seconds that a Pod's probes start later than asked for: the launcher and the hypervisor have to start first.
const START: i32 = 10;
/// Seconds that the way to the guest's agent may take on top.
const DETOUR: i32 = 1;

/// Readiness and liveness of the container `compute`.
pub(super) fn of(vmi: &VirtualMachineInstance) -> (Option<PodProbe>, Option<PodProbe>) {
    let spec = &vmi.spec;
    (spec.readiness_probe.as_ref().map(render), spec.liveness_probe.as_ref().map(render))
}

fn render(probe: &Probe) -> PodProbe {
    let timeout = probe.timeout_seconds.unwrap_or(1);
    let exec = match (&probe.exec, &probe.guest_agent_ping) {
        // Without a program it stays what it is, for whoever runs the Pod to refuse; it does not ask for less instead.
        (Some(exec), _) => Some(match exec.command.clone().filter(|command| !command.is_empty()) {
            Some(command) => ExecAction { command: Some(ask(command, timeout)) },
            None => exec.clone(),
        }),
        (None, Some(_)) => Some(ExecAction { command: Some(ask(Vec::new(), timeout)) }),
        (None, None) => None,
    };
    let detour = if exec.is_some() { DETOUR } else { 0 };
    PodProbe {
        exec,
        failure_threshold: probe.failure_threshold,
        http_get: probe.http_get.clone(),
        initial_delay_seconds: Some(probe.initial_delay_seconds.unwrap_or(0).saturating_add(START)),
        period_seconds: probe.period_seconds,
        success_threshold: probe.success_threshold,
        tcp_socket: probe.tcp_socket.clone(),
        timeout_seconds: Some(timeout.saturating_add(detour)),
        ..PodProbe::default()
    }
}

/// The command line that asks the guest's agent.
fn ask(command: Vec<String>, timeout: i32) -> Vec<String> {
    let probe = GuestProbe {
        run_dir: volumes::PRIVATE_DIR.into(),
        socket_dir: volumes::SOCKET_DIR.into(),
        timeout_seconds: u32::try_from(timeout).unwrap_or(1),
        command,
    };
    std::iter::once(EXECUTABLE.to_owned()).chain(probe.words()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(probe: serde_json::Value) -> serde_json::Value {
        let probe: Probe = serde_json::from_value(probe).unwrap();
        serde_json::to_value(render(&probe)).unwrap()
    }

    #[test]
    fn what_goes_to_the_network_stays_what_it_is_and_starts_later() {
        let http = json!({"httpGet": {"path": "/ready", "port": "web", "scheme": "HTTPS",
            "httpHeaders": [{"name": "X-A", "value": "b"}]}, "initialDelaySeconds": 5, "periodSeconds": 3});
        let mut wanted = http.clone();
        wanted["initialDelaySeconds"] = json!(15);
        wanted["timeoutSeconds"] = json!(1);
        assert_eq!(rendered(http), wanted);
        let tcp = rendered(json!({"tcpSocket": {"port": 22}, "timeoutSeconds": 4}));
        assert_eq!(tcp, json!({"tcpSocket": {"port": 22}, "timeoutSeconds": 4, "initialDelaySeconds": 10}));
    }

    #[test]
    fn what_goes_to_the_agent_is_asked_by_the_launchers_program() {
        let exec = rendered(json!({"exec": {"command": ["cat", "/x", "-"]}, "timeoutSeconds": 4}));
        let line = "/usr/bin/ironclad-launcher virt-probe --run-dir /var/run/kubevirt-private --socket-dir \
            /var/run/kubevirt/sockets --timeoutSeconds 4 --command cat -- /x -";
        assert_eq!(exec["exec"]["command"], json!(line.split(' ').collect::<Vec<_>>()));
        assert_eq!(exec["timeoutSeconds"], 5);
        let nothing = rendered(json!({"exec": {"command": []}}));
        assert_eq!(nothing["exec"], json!({"command": []}), "it asks for no ping instead");
        let ping = rendered(json!({"guestAgentPing": {}}));
        let last = ping["exec"]["command"].as_array().and_then(|words| words.last()).unwrap().clone();
        assert_eq!((last, &ping["timeoutSeconds"]), (json!("--guestAgentPing"), &json!(2)));
    }
}
