//! How a Pod becomes a jail, as a pure function of its specification and of what that refers to.

mod dns;
mod files;
mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host::cgroup::Limits;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, SecurityContext, Volume as ApiVolume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::quantity::Quantity;
use network::resolver::PodDns;

pub use files::FileContent;
pub use sources::{Claimed, Reference, Sources, references};

use crate::builtin::BuiltinImage;
use crate::images::PullPolicy;

/// Processes and threads that a Pod may have: enough for any hypervisor, too few to hurt the host.
const TASKS: u64 = 8192;

/// Why a Pod cannot become a jail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Embedded nodes cannot run such a Pod, whatever happens.
    #[error("{0}")]
    Unsupported(String),
    /// Something that the Pod refers to is missing; it may come.
    #[error("{0}")]
    Missing(String),
}

impl PlanError {
    /// Returns the word for a container's `state.waiting.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "UnsupportedPod",
            Self::Missing(_) => "CreateContainerConfigError",
        }
    }
}

/// Everything about a Pod that its start needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlan {
    /// Name of the container whose command is the Pod's first process.
    pub container: String,
    /// Its image.
    pub image: BuiltinImage,
    /// Arguments, the program first.
    pub arguments: Vec<String>,
    /// Environment.
    pub environment: Vec<(String, String)>,
    /// Working directory.
    pub directory: PathBuf,
    /// Volumes in the order of the specification.
    pub volumes: Vec<Volume>,
    /// What of them is mounted where, outer paths first.
    pub mounts: Vec<Mount>,
    /// Containers that only follow a file, with the file's path inside.
    pub followers: Vec<(String, PathBuf)>,
    /// Device nodes.
    pub devices: Vec<PathBuf>,
    /// User ID.
    pub user: u32,
    /// Group ID.
    pub group: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Group that owns volumes.
    pub volume_group: u32,
    /// What the Pod may use.
    pub limits: Limits,
    /// Host name.
    pub hostname: String,
    /// What its resolver should be.
    pub dns: PodDns,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Name in the specification.
    pub name: String,
    /// Where its content comes from.
    pub source: VolumeSource,
}

/// Where a volume's content comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// Nowhere: an empty directory that lives as long as the Pod.
    Empty,
    /// An image, read only.
    Image {
        /// Reference.
        reference: String,
        /// When to fetch it.
        policy: PullPolicy,
    },
    /// What fills a claim: a directory that outlives the Pod, which cannot write to it: disks in it are handed over as
    /// open files, so that nothing in the Pod can make the volume larger than its disk.
    Claim {
        /// The directory.
        path: PathBuf,
        /// Whether it is made when it is missing: it is one of this node's own.
        make: bool,
    },
    /// Files of ConfigMaps, Secrets or the Pod itself, read only.
    Files {
        /// Directory name of the volume's kind, as the Kubernetes kubelet has it.
        plugin: &'static str,
        /// The files.
        files: Vec<FileContent>,
    },
}

impl VolumeSource {
    /// Returns the directory name of the volume's kind, as the Kubernetes kubelet has it.
    pub fn plugin(&self) -> &'static str {
        match self {
            Self::Empty => "kubernetes.io~empty-dir",
            Self::Image { .. } => "kubernetes.io~image",
            Self::Claim { .. } => "kubernetes.io~local-volume",
            Self::Files { plugin, .. } => plugin,
        }
    }

    /// Tells whether the Pod may write.
    pub fn is_writable(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// A volume's place in the jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Name of the volume.
    pub volume: String,
    /// Absolute path inside.
    pub path: PathBuf,
    /// Whether it cannot be written.
    pub read_only: bool,
}

impl PodPlan {
    /// Plans `pod` for a node whose built-in images are `builtin`, with the objects it refers to.
    pub fn of(pod: &Pod, sources: &Sources, builtin: &[BuiltinImage]) -> Result<Self, PlanError> {
        let spec = pod.spec.as_ref().ok_or_else(|| unsupported("the Pod has no specification"))?;
        let image_of = |container: &Container| {
            let reference = container.image.as_deref().unwrap_or_default();
            builtin.iter().find(|image| image.is(reference)).ok_or_else(|| {
                unsupported(format!(
                    "container {} has the image {reference:?}, which is not built in: embedded nodes run only \
                     the built-in launcher image; run other Pods on a Kubernetes cluster",
                    container.name
                ))
            })
        };
        let [main] = spec.containers.as_slice() else {
            return Err(unsupported("spec.containers must have exactly one container on embedded nodes"));
        };
        let image = image_of(main)?.clone();
        refuse_host_access(spec, main)?;
        if main.startup_probe.is_some() {
            return Err(unsupported("startupProbe is not available on embedded nodes; use livenessProbe"));
        }
        let mounts = mounts(main)?;
        let mut followers = Vec::new();
        for container in spec.init_containers.iter().flatten() {
            image_of(container)?;
            followers.push(follower(container, &image, &mounts)?);
        }
        let arguments = command(main, &image);
        let (user, group) = identity(spec, main.security_context.as_ref(), &image)?;
        let pod_security = spec.security_context.clone().unwrap_or_default();
        let volume_group = pod_security.fs_group.map_or(Ok(group), |group| id("fsGroup", group))?;
        let groups = pod_security.supplemental_groups.unwrap_or_default().into_iter();
        let mut groups =
            groups.map(|group| id("supplementalGroups", group)).collect::<Result<Vec<_>, _>>()?;
        groups.push(volume_group);
        let volumes = spec.volumes.iter().flatten().map(|volume| plan_volume(volume, pod, sources));
        let volumes = volumes.collect::<Result<Vec<_>, _>>()?;
        for mount in &mounts {
            if !volumes.iter().any(|volume| volume.name == mount.volume) {
                return Err(unsupported(format!(
                    "container {} mounts the unknown volume {}",
                    main.name, mount.volume
                )));
            }
        }
        let name = pod.metadata.name.clone().unwrap_or_default();
        Ok(Self {
            container: main.name.clone(),
            environment: sources::environment(main, pod, sources)?,
            directory: main.working_dir.clone().unwrap_or_else(|| "/".into()).into(),
            arguments,
            image,
            volumes,
            mounts,
            followers,
            devices: devices(main),
            user,
            group,
            groups,
            volume_group,
            limits: limits(main),
            hostname: spec.hostname.clone().unwrap_or(name).chars().take(63).collect(),
            dns: dns::of(pod.metadata.namespace.as_deref().unwrap_or_default(), spec),
        })
    }
}

fn unsupported(message: impl Into<String>) -> PlanError {
    PlanError::Unsupported(message.into())
}

/// Refuses what would open the host to the Pod.
fn refuse_host_access(spec: &PodSpec, main: &Container) -> Result<(), PlanError> {
    let security = main.security_context.clone().unwrap_or_default();
    let mounts = main.volume_mounts.iter().flatten();
    let wishes = [
        ("spec.hostNetwork", spec.host_network == Some(true)),
        ("spec.hostPID", spec.host_pid == Some(true)),
        ("spec.hostIPC", spec.host_ipc == Some(true)),
        ("securityContext.privileged", security.privileged == Some(true)),
        ("volumeDevices", main.volume_devices.as_ref().is_some_and(|list| !list.is_empty())),
        (
            "volumeMounts.subPath",
            mounts.clone().any(|mount| mount.sub_path.is_some() || mount.sub_path_expr.is_some()),
        ),
    ];
    match wishes.iter().find(|(_, wished)| *wished) {
        Some((field, _)) => Err(unsupported(format!("{field} is not available on embedded nodes"))),
        None => Ok(()),
    }
}

fn identity(
    spec: &PodSpec,
    security: Option<&SecurityContext>,
    image: &BuiltinImage,
) -> Result<(u32, u32), PlanError> {
    let pod = spec.security_context.clone().unwrap_or_default();
    let container = security.cloned().unwrap_or_default();
    let number = |field: &str, wanted: Option<i64>| match wanted {
        None => Ok(image.user),
        Some(wanted) => id(field, wanted),
    };
    let user = number("runAsUser", container.run_as_user.or(pod.run_as_user))?;
    let group = number("runAsGroup", container.run_as_group.or(pod.run_as_group))?;
    if user == 0 {
        return Err(unsupported(
            "runAsUser 0 is not available on embedded nodes: Pods are ordinary processes of the host",
        ));
    }
    Ok((user, group))
}

/// Largest ID of a user or group that Kubernetes takes.
const LARGEST_ID: i64 = i32::MAX as i64;

/// Reads an ID. A larger number would be another one when cut, and the largest means "no change" to the system: the Pod
/// would stay root.
fn id(field: &str, wanted: i64) -> Result<u32, PlanError> {
    let fits = (0..=LARGEST_ID).contains(&wanted);
    u32::try_from(wanted)
        .ok()
        .filter(|_| fits)
        .ok_or_else(|| unsupported(format!("{field} {wanted} is no ID: use 1 to {LARGEST_ID}")))
}

fn command(main: &Container, image: &BuiltinImage) -> Vec<String> {
    let mut command = main.command.clone().unwrap_or_default();
    if command.is_empty() {
        command.push(image.path.display().to_string());
    }
    command.extend(main.args.clone().unwrap_or_default());
    command
}

fn mounts(main: &Container) -> Result<Vec<Mount>, PlanError> {
    let mut mounts = Vec::new();
    for mount in main.volume_mounts.iter().flatten() {
        let path = PathBuf::from(&mount.mount_path);
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(unsupported(format!(
                "mountPath {:?} must be absolute and without ..",
                mount.mount_path
            )));
        }
        mounts.push(Mount { volume: mount.name.clone(), path, read_only: mount.read_only == Some(true) });
    }
    // Outer paths first: an inner one is mounted into the outer one.
    mounts.sort_by_key(|mount| mount.path.components().count());
    Ok(mounts)
}

/// Reads an init container that only follows a file.
fn follower(
    container: &Container,
    image: &BuiltinImage,
    mounts: &[Mount],
) -> Result<(String, PathBuf), PlanError> {
    let probes = [&container.readiness_probe, &container.liveness_probe, &container.startup_probe];
    if probes.iter().any(|probe| probe.is_some()) {
        return Err(unsupported(format!(
            "init container {} has a probe, which embedded nodes do not carry out; probe the main container",
            container.name
        )));
    }
    let words: Vec<&str> = container
        .command
        .iter()
        .flatten()
        .chain(container.args.iter().flatten())
        .map(String::as_str)
        .collect();
    let follows = words.iter().any(|word| image.followers.iter().any(|follower| follower == word));
    let file = words.iter().zip(words.iter().skip(1)).find(|(flag, _)| **flag == "--logfile");
    let file = file.map(|(_, file)| PathBuf::from(file));
    match file {
        Some(file) if follows && container.restart_policy.as_deref() == Some("Always") => {
            if mounts.iter().any(|mount| file.starts_with(&mount.path)) {
                Ok((container.name.clone(), file))
            } else {
                Err(unsupported(format!(
                    "init container {} follows {}, which is in no volume",
                    container.name,
                    file.display()
                )))
            }
        }
        _ => Err(unsupported(format!(
            "init container {} is not available on embedded nodes: only log followers are",
            container.name
        ))),
    }
}

fn devices(main: &Container) -> Vec<PathBuf> {
    let resources = main.resources.clone().unwrap_or_default();
    let limits = resources.limits.unwrap_or_default();
    let asks = |name: &str| limits.get(name).is_some_and(|amount| amount.0 != "0");
    crate::node::DEVICES.iter().filter(|(name, _)| asks(name)).map(|(_, path)| PathBuf::from(path)).collect()
}

fn limits(main: &Container) -> Limits {
    let resources = main.resources.clone().unwrap_or_default();
    let amount = |list: &Option<BTreeMap<String, ApiQuantity>>, name: &str| {
        list.as_ref().and_then(|list| list.get(name)).and_then(|amount| Quantity::parse(&amount.0).ok())
    };
    Limits {
        memory_bytes: amount(&resources.limits, "memory").map(|amount| amount.bytes()),
        cpu_limit_millis: amount(&resources.limits, "cpu").map(|amount| amount.milli().max(0) as u64),
        cpu_request_millis: amount(&resources.requests, "cpu").map(|amount| amount.milli().max(0) as u64),
        tasks: Some(TASKS),
    }
}

fn plan_volume(volume: &ApiVolume, pod: &Pod, sources: &Sources) -> Result<Volume, PlanError> {
    let name = volume.name.clone();
    if name.is_empty() || name.contains('/') || Path::new(&name).components().count() != 1 || name == ".." {
        return Err(unsupported(format!("{name:?} is no name for a volume")));
    }
    let source = if let Some(empty) = &volume.empty_dir {
        match empty.medium.as_deref() {
            None | Some("") => VolumeSource::Empty,
            Some(medium) => {
                return Err(unsupported(format!(
                    "volume {name}: emptyDir.medium {medium:?} is not available on embedded nodes; leave it out"
                )));
            }
        }
    } else if let Some(image) = &volume.image {
        let reference = image.reference.clone().unwrap_or_default();
        if reference.is_empty() {
            return Err(unsupported(format!("volume {name}: image.reference is empty")));
        }
        let policy = PullPolicy::of(image.pull_policy.as_deref(), &reference);
        VolumeSource::Image { reference, policy }
    } else if let Some(claim) = &volume.persistent_volume_claim {
        let filled = sources.claim(&claim.claim_name)?;
        VolumeSource::Claim { path: filled.path.clone(), make: filled.make }
    } else if let Some((plugin, files)) = files::of(volume, pod, sources)? {
        VolumeSource::Files { plugin, files }
    } else {
        return Err(unsupported(format!(
            "volume {name} is of a type that is not available on embedded nodes; use emptyDir, image, \
             persistentVolumeClaim, configMap, secret, downwardAPI or projected"
        )));
    };
    Ok(Volume { name, source })
}

#[cfg(test)]
mod tests;
