//! Who the Pod's process is, and what it may do.

use nix::unistd::{Gid, Uid};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::child::{Failure, failed};
use super::{JailSpec, Limit, UserMap};

/// Enters a new user namespace in which `map`'s IDs stand for the caller's own.
///
/// The caller then holds every capability in it, whatever its ID inside is, until it executes a program.
pub(super) fn enter_user_namespace(map: UserMap) -> Result<(), Failure> {
    let (user, group) = (Uid::effective(), Gid::effective());
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).map_err(failed(
        "cannot make a user namespace (allow it with `sysctl kernel.unprivileged_userns_clone=1` or \
         `sysctl user.max_user_namespaces=15000`, or run as root)",
    ))?;
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text)
            .map_err(failed(format_args!("cannot write the user namespace's {file}")))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("{} {user} 1\n", map.user))?;
    write("gid_map", format!("{} {group} 1\n", map.group))
}

/// Sets one limit as high as asked, or as high as the caller may.
pub(super) fn limit(limit: Limit) {
    let (resource, value) = match limit {
        Limit::OpenFiles(value) => (Resource::Nofile, value),
        Limit::Core(value) => (Resource::Core, value),
        Limit::LockedMemory(value) => (Resource::Memlock, value),
    };
    let wanted = Rlimit { current: Some(value), maximum: Some(value) };
    if rustix::process::setrlimit(resource, wanted).is_err() {
        let value = rustix::process::getrlimit(resource).maximum.map_or(value, |maximum| value.min(maximum));
        let allowed = Rlimit { current: Some(value), maximum: Some(value) };
        // A limit that cannot be set leaves the caller's own, which is the stricter one.
        let _ = rustix::process::setrlimit(resource, allowed);
    }
}

/// Takes the Pod's user and group and gives up every capability, for good.
pub(super) fn drop_rights(spec: &JailSpec) -> Result<(), Failure> {
    let keep: CapabilitySet = spec
        .bounding
        .iter()
        .filter(|number| **number < 64)
        .map(|number| CapabilitySet::from_bits_retain(1 << number))
        .collect();
    for capability in CapabilitySet::all().difference(keep).iter() {
        // The kernel may be older than the list and not know the last ones.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    rustix::thread::clear_ambient_capability_set().map_err(failed("cannot clear ambient capabilities"))?;
    // To the system this number means that nothing shall change: the process would stay who it is.
    if spec.user == u32::MAX || spec.group == u32::MAX {
        return Err(format!("{} is no ID of a user or group", u32::MAX));
    }
    let (user, group) = (Uid::from_raw(spec.user), Gid::from_raw(spec.group));
    if spec.user_namespace.is_none() {
        let groups: Vec<Gid> = spec.groups.iter().copied().map(Gid::from_raw).collect();
        nix::unistd::setgroups(&groups).map_err(failed("cannot set the Pod's groups"))?;
    }
    nix::unistd::setresgid(group, group, group)
        .map_err(failed(format_args!("cannot become group {group}")))?;
    nix::unistd::setresuid(user, user, user).map_err(failed(format_args!("cannot become user {user}")))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(failed("cannot drop capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("cannot forbid gaining privileges"))
}
