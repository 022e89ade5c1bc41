//! Rules of names, name servers, probes and the start.

use std::net::IpAddr;

use api::kubevirt::v1::{Probe, VirtualMachineInstanceSpec};
use machinery::field::{Path, Problem};
use machinery::names;

use super::{Errors, Scope};

const MAX_NAME_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 6;
const MAX_SEARCH_LENGTH: usize = 256;

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let host = spec.hostname.as_deref().filter(|name| !name.is_empty());
    if let Some((name, problem)) =
        host.and_then(|name| Some((name, names::dns_label(name).into_iter().next()?)))
    {
        errors.invalid(scope.at("hostname"), name, problem);
    }
    let domain = spec.subdomain.as_deref().filter(|name| !name.is_empty());
    if let Some((name, problem)) =
        domain.and_then(|name| Some((name, names::dns_subdomain(name).into_iter().next()?)))
    {
        errors.invalid(scope.at("subdomain"), name, problem);
    }
    dns(scope, spec, errors);
    let paused = spec.start_strategy.as_deref().filter(|strategy| !strategy.is_empty());
    if let Some(strategy) = paused.filter(|strategy| *strategy != "Paused") {
        errors.invalid(scope.at("startStrategy"), strategy, "write Paused, or leave it out");
    }
    if paused == Some("Paused") && spec.liveness_probe.is_some() {
        errors.invalid(
            scope.at("startStrategy"),
            "Paused",
            "a machine that stands still fails its liveness probe; remove one of the two",
        );
    }
    if let Some(strategy) = spec.eviction_strategy.as_deref().filter(|strategy| !strategy.is_empty())
        && !["None", "LiveMigrate", "LiveMigrateIfPossible", "External"].contains(&strategy)
    {
        errors.invalid(
            scope.at("evictionStrategy"),
            strategy,
            "write one of None, LiveMigrate, LiveMigrateIfPossible, External",
        );
    }
    for (name, probe) in [("readinessProbe", &spec.readiness_probe), ("livenessProbe", &spec.liveness_probe)]
    {
        if let Some(probe) = probe {
            check_probe(spec, probe, &scope.at(name), errors);
            let successes = probe.success_threshold.filter(|count| name == "livenessProbe" && *count > 1);
            if let Some(successes) = successes {
                let why = "a machine that is alive once is alive; leave it out or write 1";
                errors.invalid(scope.at(name).child("successThreshold"), successes, why);
            }
        }
    }
}

fn dns(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    let policy = spec.dns_policy.as_deref().unwrap_or_default();
    if !["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"].contains(&policy) {
        errors.add(
            Problem::NotSupported,
            scope.at("dnsPolicy"),
            policy,
            "write one of ClusterFirst, ClusterFirstWithHostNet, Default, None",
        );
    }
    let Some(config) = &spec.dns_config else {
        if policy == "None" {
            errors.add(
                Problem::Required,
                scope.at("dnsConfig"),
                (),
                "the DNS policy None needs a dnsConfig with name servers",
            );
        }
        return;
    };
    let servers = config.nameservers.as_deref().unwrap_or_default();
    if policy == "None" && servers.is_empty() {
        errors.add(
            Problem::Required,
            scope.at("dnsConfig").child("nameservers"),
            (),
            "the DNS policy None needs at least one name server",
        );
    }
    // Clients know these two by their bare names.
    if servers.len() > MAX_NAME_SERVERS {
        errors.invalid(
            Path::new("nameservers"),
            servers.len(),
            format!("give at most {MAX_NAME_SERVERS} name servers"),
        );
    }
    for server in servers.iter().filter(|server| server.parse::<IpAddr>().is_err()) {
        errors.invalid(Path::new("nameservers"), server.as_str(), "write an IP address");
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > MAX_SEARCHES {
        errors.invalid(
            Path::new("searchDomains"),
            searches.len(),
            format!("give at most {MAX_SEARCHES} search domains"),
        );
    }
    if searches.join(" ").len() > MAX_SEARCH_LENGTH {
        errors.invalid(
            Path::new("searchDomains"),
            searches.len(),
            format!("all search domains together have at most {MAX_SEARCH_LENGTH} characters"),
        );
    }
    for search in searches {
        if !names::dns_subdomain(search.trim_end_matches('.')).is_empty() {
            errors.invalid(Path::new("searchDomains"), search.as_str(), "write a DNS name");
        }
    }
}

fn check_probe(spec: &VirtualMachineInstanceSpec, probe: &Probe, at: &Path, errors: &mut Errors) {
    let handlers = [
        probe.exec.is_some(),
        probe.guest_agent_ping.is_some(),
        probe.http_get.is_some(),
        probe.tcp_socket.is_some(),
    ];
    match handlers.into_iter().filter(|set| *set).count() {
        0 => errors.add(
            Problem::Required,
            at.clone(),
            (),
            "say what is probed: one of httpGet, tcpSocket, exec, guestAgentPing",
        ),
        1 => {}
        _ => errors.invalid(at.clone(), (), "a probe has one of httpGet, tcpSocket, exec, guestAgentPing"),
    }
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (name, number) in numbers {
        if let Some(number) = number.filter(|number| *number < 0) {
            errors.invalid(at.child(name), number, "write a number that is not below zero");
        }
    }
    let on_pod = spec.networks.iter().any(|network| network.pod.is_some());
    for (name, set) in [("httpGet", probe.http_get.is_some()), ("tcpSocket", probe.tcp_socket.is_some())] {
        if set && !on_pod {
            errors.invalid(at.child(name), (), "this probe goes to the Pod's address; add the Pod's network");
        }
    }
}
