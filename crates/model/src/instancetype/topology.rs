//! How the processors of an instance type become sockets, cores and threads.

use api::instancetype::v1beta1::VirtualMachinePreferenceSpec;
use machinery::field::{FieldError, Path, Problem};

use super::Specs;

/// Cores to a socket, or threads to a core, where nobody says.
const RATIO: u32 = 2;
/// Threads that share a core wherever threads are used.
const THREADS: u32 = 2;

/// Sockets, cores and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topology {
    pub(super) sockets: u32,
    pub(super) cores: u32,
    pub(super) threads: u32,
}

/// What processors are spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Across {
    SocketsCores,
    SocketsCoresThreads,
    CoresThreads,
}

/// What a preference makes of processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preferred {
    Sockets,
    Cores,
    Threads,
    Spread,
}

/// Reads a word for a topology: those of today, and those that begin with `prefer`.
pub(super) fn parse(word: &str) -> Option<Preferred> {
    match word {
        "" | "sockets" | "preferSockets" | "any" | "preferAny" => Some(Preferred::Sockets),
        "cores" | "preferCores" => Some(Preferred::Cores),
        "threads" | "preferThreads" => Some(Preferred::Threads),
        "spread" | "preferSpread" => Some(Preferred::Spread),
        _ => None,
    }
}

/// Returns what a preference makes of processors; what it misspells counts as nothing said.
pub(super) fn preferred(preference: Option<&VirtualMachinePreferenceSpec>) -> Preferred {
    let word = preference.and_then(|own| own.cpu.as_ref()?.preferred_cpu_topology.as_deref());
    word.and_then(parse).unwrap_or(Preferred::Sockets)
}

fn across(preference: Option<&VirtualMachinePreferenceSpec>) -> Across {
    let options = preference.and_then(|own| own.cpu.as_ref()?.spread_options.as_ref());
    match options.and_then(|options| options.across.as_deref()) {
        Some("SocketsCoresThreads") => Across::SocketsCoresThreads,
        Some("CoresThreads") => Across::CoresThreads,
        _ => Across::SocketsCores,
    }
}

fn ratio(preference: Option<&VirtualMachinePreferenceSpec>) -> u32 {
    let given = |ratio: Option<u32>| ratio.filter(|ratio| *ratio > 0);
    let options = preference.and_then(|own| own.cpu.as_ref()?.spread_options.as_ref());
    given(options.and_then(|options| options.ratio))
        .or_else(|| given(preference?.prefer_spread_socket_to_core_ratio))
        .unwrap_or(RATIO)
}

/// Returns what becomes of `vcpus` processors.
pub(super) fn topology(vcpus: u32, preference: Option<&VirtualMachinePreferenceSpec>) -> Topology {
    let one = Topology { sockets: 1, cores: 1, threads: 1 };
    match preferred(preference) {
        Preferred::Sockets => Topology { sockets: vcpus, ..one },
        Preferred::Cores => Topology { cores: vcpus, ..one },
        Preferred::Threads => Topology { threads: vcpus, ..one },
        Preferred::Spread => {
            let ratio = ratio(preference);
            match across(preference) {
                Across::SocketsCores => Topology { sockets: vcpus / ratio, cores: ratio, threads: 1 },
                Across::CoresThreads => Topology { sockets: 1, cores: vcpus / THREADS, threads: THREADS },
                Across::SocketsCoresThreads => {
                    Topology { sockets: vcpus / THREADS / ratio, cores: ratio, threads: THREADS }
                }
            }
        }
    }
}

/// Returns what is wrong when processors cannot be spread without a rest.
pub(super) fn check(specs: &Specs) -> Option<FieldError> {
    let preference = specs.preference.as_ref();
    let vcpus = specs.instancetype.as_ref()?.cpu.guest;
    if preferred(preference) != Preferred::Spread {
        return None;
    }
    let ratio = ratio(preference);
    let (divisor, why) = match across(preference) {
        Across::SocketsCores => (ratio, "cores to a socket"),
        Across::CoresThreads => (THREADS, "threads to a core"),
        Across::SocketsCoresThreads => (ratio.saturating_mul(THREADS), "threads to a socket"),
    };
    if vcpus >= divisor && vcpus.is_multiple_of(divisor) {
        return None;
    }
    let path = Path::new("instancetype.spec.cpu.guest");
    let rule = format!(
        "the preference spreads processors with {divisor} {why}: use an instance type with a multiple of {divisor}, or \
         another preference"
    );
    Some(FieldError::new(path, Problem::Invalid, vcpus.into(), rule))
}
