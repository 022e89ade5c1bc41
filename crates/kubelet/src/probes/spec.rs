//! What a Pod's probes ask, out of its specification.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe as ApiProbe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use wire::probe::{GuestProbe, MODE};

/// What a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whether the container can be used.
    Readiness,
    /// Whether it must be ended.
    Liveness,
}

impl Kind {
    /// Returns the word that Events begin with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// A probe of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it decides.
    pub kind: Kind,
    /// What is asked.
    pub question: Question,
    /// Time from the container's start to the first look.
    pub delay: Duration,
    /// Time between two looks.
    pub period: Duration,
    /// Time after which a look has failed.
    pub timeout: Duration,
    /// Successes in a row that count as success.
    pub successes: u32,
    /// Failures in a row that count as failure.
    pub failures: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Does a web server answer well?
    Http {
        /// Whether by TLS.
        tls: bool,
        /// Another host than the Pod.
        host: Option<String>,
        /// Its port.
        port: u16,
        /// What is fetched.
        path: String,
        /// Headers of the request.
        headers: Vec<(String, String)>,
    },
    /// Can a connection be opened?
    Tcp {
        /// Another host than the Pod.
        host: Option<String>,
        /// Its port.
        port: u16,
    },
    /// What does the guest's agent say?
    Guest {
        /// The launcher's private directory, in the Pod's on the host.
        private: PathBuf,
        /// The directory of its sockets, likewise.
        sockets: PathBuf,
        /// The question.
        probe: GuestProbe,
    },
    /// One that cannot be asked here.
    Never(String),
}

/// Reads the probes of a Pod's first container.
pub fn of(spec: &PodSpec) -> Vec<Probe> {
    let Some(container) = spec.containers.first() else { return Vec::new() };
    let probes = [(Kind::Readiness, &container.readiness_probe), (Kind::Liveness, &container.liveness_probe)];
    let probes = probes.into_iter().filter_map(|(kind, probe)| Some((kind, probe.as_ref()?)));
    probes.map(|(kind, probe)| read(kind, probe, spec, container)).collect()
}

fn read(kind: Kind, probe: &ApiProbe, spec: &PodSpec, container: &Container) -> Probe {
    // Zero means the usual, as an absent number does.
    let number = |value: Option<i32>, usual: u32| {
        value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(usual)
    };
    let seconds = |value, usual| Duration::from_secs(number(value, usual).into());
    Probe {
        kind,
        question: question(probe, spec, container).unwrap_or_else(Question::Never),
        delay: seconds(probe.initial_delay_seconds, 0),
        period: seconds(probe.period_seconds, 10),
        timeout: seconds(probe.timeout_seconds, 1),
        successes: number(probe.success_threshold, 1),
        failures: number(probe.failure_threshold, 3),
    }
}

fn question(probe: &ApiProbe, spec: &PodSpec, container: &Container) -> Result<Question, String> {
    let named = |host: &Option<String>| host.clone().filter(|host| !host.is_empty());
    if let Some(get) = &probe.http_get {
        let path = get.path.clone().unwrap_or_default();
        let headers = get.http_headers.iter().flatten();
        return Ok(Question::Http {
            tls: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: named(&get.host),
            port: port(&get.port, container)?,
            path: if path.starts_with('/') { path } else { format!("/{path}") },
            headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
        });
    }
    if let Some(socket) = &probe.tcp_socket {
        return Ok(Question::Tcp { host: named(&socket.host), port: port(&socket.port, container)? });
    }
    let Some(exec) = &probe.exec else {
        return Err("it asks for what embedded nodes cannot probe; use httpGet, tcpSocket or exec".to_owned());
    };
    let words = exec.command.clone().unwrap_or_default();
    let own = words.get(1).is_some_and(|word| word == MODE);
    let probe = own.then(|| GuestProbe::parse(words.iter().skip(2).cloned()).ok()).flatten();
    let Some(probe) = probe else {
        let program = words.first().map_or("", String::as_str);
        return Err(format!(
            "embedded nodes execute no program in a Pod ({program}); use httpGet or tcpSocket"
        ));
    };
    let on_host = |inside: &Path| {
        let nowhere = || format!("{} is in no emptyDir of the Pod", inside.display());
        on_host(inside, spec, container).ok_or_else(nowhere)
    };
    Ok(Question::Guest { private: on_host(&probe.run_dir)?, sockets: on_host(&probe.socket_dir)?, probe })
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            let named = ports.into_iter().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let text = || match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{:?} is no port, and no port of the container has that name", text()))
}

/// Returns where the Pod's directory on the host has `inside`, which is in an emptyDir.
fn on_host(inside: &Path, spec: &PodSpec, container: &Container) -> Option<PathBuf> {
    let mounts = container.volume_mounts.iter().flatten();
    let mount = mounts
        .filter(|mount| inside.starts_with(&mount.mount_path))
        .max_by_key(|mount| mount.mount_path.len())?;
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
    volume.empty_dir.as_ref()?;
    let rest = inside.strip_prefix(&mount.mount_path).ok()?;
    // Whoever wrote the Pod chose it.
    let stays = rest.components().all(|one| matches!(one, Component::Normal(_)));
    stays.then(|| Path::new("volumes/kubernetes.io~empty-dir").join(&volume.name).join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asked(probe: &Value) -> Probe {
        let spec = json!({
            "containers": [{
                "name": "compute", "image": "x", "readinessProbe": probe,
                "ports": [{"name": "web", "containerPort": 8080}],
                "volumeMounts": [{"name": "private", "mountPath": "/run/p"}, {"name": "s", "mountPath": "/run/s"},
                                 {"name": "claim", "mountPath": "/run/p/claim"}],
            }],
            "volumes": [{"name": "private", "emptyDir": {}}, {"name": "s", "emptyDir": {}},
                        {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}],
        });
        of(&serde_json::from_value(spec).unwrap()).remove(0)
    }

    #[test]
    fn questions_are_read_with_their_defaults() {
        let probe = asked(&json!({"httpGet": {"port": "web", "path": "ok", "scheme": "HTTPS"}}));
        assert_eq!(
            (probe.kind, probe.delay, probe.period),
            (Kind::Readiness, Duration::ZERO, Duration::from_secs(10))
        );
        assert_eq!((probe.timeout, probe.successes, probe.failures), (Duration::from_secs(1), 1, 3));
        let (host, headers) = (None, Vec::new());
        assert_eq!(
            probe.question,
            Question::Http { tls: true, host, port: 8080, path: "/ok".into(), headers }
        );
        let probe = asked(&json!({"tcpSocket": {"port": 22, "host": "192.0.2.1"}, "failureThreshold": 5}));
        assert_eq!(probe.question, Question::Tcp { host: Some("192.0.2.1".into()), port: 22 });
        assert_eq!(probe.failures, 5);
    }

    #[test]
    fn a_question_to_the_guest_names_the_pods_directories() {
        let ask = |private: &str| {
            let probe = GuestProbe {
                run_dir: private.into(),
                socket_dir: "/run/s/deep".into(),
                timeout_seconds: 1,
                command: vec!["true".into()],
            };
            let words: Vec<String> =
                std::iter::once("/bin/launcher".to_owned()).chain(probe.words()).collect();
            asked(&json!({"exec": {"command": words}})).question
        };
        let Question::Guest { private, sockets, .. } = ask("/run/p") else { panic!("a question") };
        assert_eq!(private, Path::new("volumes/kubernetes.io~empty-dir/private"));
        assert_eq!(sockets, Path::new("volumes/kubernetes.io~empty-dir/s/deep"));
        for elsewhere in ["/etc", "/run/p/claim", "/run/p/../../../other", "/run/p/x/.."] {
            assert!(matches!(ask(elsewhere), Question::Never(why) if why.contains("no emptyDir")));
        }
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        for (probe, word) in [
            (json!({"exec": {"command": ["cat", "/x"]}}), "execute no program"),
            (json!({"grpc": {"port": 1}}), "cannot probe"),
            (json!({"tcpSocket": {"port": "ssh"}}), "\"ssh\" is no port"),
            (json!({"tcpSocket": {"port": 0}}), "\"0\" is no port"),
        ] {
            assert!(matches!(asked(&probe).question, Question::Never(why) if why.contains(word)), "{word}");
        }
    }
}
