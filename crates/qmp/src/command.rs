//! The commands in use, each with its arguments and its answer (QEMU's `qapi/*.json`).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A command: its arguments are the value itself.
pub trait Command: Serialize + Sync {
    /// QEMU's name for it.
    const NAME: &'static str;
    /// What it answers.
    type Answer: DeserializeOwned;
}

/// An answer without content.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Nothing {}

/// Defines commands that take no arguments.
macro_rules! plain {
    ($($(#[$doc:meta])* $type:ident = $name:literal -> $answer:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Serialize)]
        pub struct $type {}

        impl Command for $type {
            const NAME: &'static str = $name;
            type Answer = $answer;
        }
    )*};
}

plain! {
    /// Ends the negotiation.
    QmpCapabilities = "qmp_capabilities" -> Nothing;
    /// Starts or continues the processors.
    Cont = "cont" -> Nothing;
    /// Stops the processors.
    Stop = "stop" -> Nothing;
    /// Presses the ACPI power button.
    SystemPowerdown = "system_powerdown" -> Nothing;
    /// Resets the machine.
    SystemReset = "system_reset" -> Nothing;
    /// Ends the process.
    Quit = "quit" -> Nothing;
    /// Says what the machine does.
    QueryStatus = "query-status" -> Status;
    /// Lists the machine types.
    QueryMachines = "query-machines" -> Vec<MachineType>;
    /// Lists the host's ends of the machine's character devices.
    QueryChardev = "query-chardev" -> Vec<Chardev>;
    /// Says whether KVM is there and in use.
    QueryKvm = "query-kvm" -> Kvm;
    /// Lists the processors with the threads that run them.
    QueryCpusFast = "query-cpus-fast" -> Vec<Processor>;
    /// Lists the sets of descriptors.
    QueryFdsets = "query-fdsets" -> Vec<DescriptorSet>;
    /// Lists the processor models.
    QueryCpuDefinitions = "query-cpu-definitions" -> Vec<CpuDefinition>;
}

/// What a machine does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether the processors run.
    pub running: bool,
    /// QEMU's `RunState`, for example `prelaunch`, `paused`, `io-error`.
    pub status: String,
}

/// One machine type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MachineType {
    /// Its name, for example `pc-q35-10.0`.
    pub name: String,
    /// Another name that means this one in this release, for example `q35`.
    pub alias: Option<String>,
    /// Most processors.
    #[serde(default)]
    pub cpu_max: u32,
    /// Whether it is on its way out.
    #[serde(default)]
    pub deprecated: bool,
}

/// One processor model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuDefinition {
    /// Its name.
    pub name: String,
    /// Features that keep it from running here; absent when QEMU cannot tell.
    pub unavailable_features: Option<Vec<String>>,
    /// Whether it is on its way out.
    #[serde(default)]
    pub deprecated: bool,
}

/// One character device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chardev {
    /// Its name.
    pub label: String,
    /// Where it leads.
    pub filename: String,
    /// Whether the guest's side has it open.
    #[serde(default)]
    pub frontend_open: bool,
}

/// Whether KVM is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Kvm {
    /// Whether this machine uses it.
    pub enabled: bool,
    /// Whether it could.
    pub present: bool,
}

/// One processor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Processor {
    /// Its index.
    pub cpu_index: u32,
    /// The host's thread.
    pub thread_id: i32,
}

/// One set of descriptors.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DescriptorSet {
    /// Its number, as in `/dev/fdset/N`.
    pub fdset_id: u64,
    /// Its descriptors.
    pub fds: Vec<SetDescriptor>,
}

/// One descriptor of a set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SetDescriptor {
    /// Its number in QEMU.
    pub fd: i32,
    /// What the one who added it called it.
    #[serde(default)]
    pub opaque: String,
}

/// Adds the descriptor beside it to a set.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AddFd {
    /// The set; a new one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fdset_id: Option<u64>,
    /// A name to find it again.
    pub opaque: String,
}

/// Where a descriptor went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AddedFd {
    /// The set.
    pub fdset_id: u64,
    /// Its number in QEMU.
    pub fd: i32,
}

impl Command for AddFd {
    const NAME: &'static str = "add-fd";
    type Answer = AddedFd;
}

/// Removes a set of descriptors, once nothing uses it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoveFd {
    /// The set.
    pub fdset_id: u64,
}

impl Command for RemoveFd {
    const NAME: &'static str = "remove-fd";
    type Answer = Nothing;
}

/// Keeps the descriptor beside it under a name, for commands that take one by name.
#[derive(Clone, Debug, Serialize)]
pub struct GetFd {
    /// The name.
    pub fdname: String,
}

impl Command for GetFd {
    const NAME: &'static str = "getfd";
    type Answer = Nothing;
}

/// Sets the link of a network interface.
#[derive(Clone, Debug, Serialize)]
pub struct SetLink {
    /// Name of the device.
    pub name: String,
    /// Whether the link is up.
    pub up: bool,
}

impl Command for SetLink {
    const NAME: &'static str = "set_link";
    type Answer = Nothing;
}

/// Says what certain events lead to; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SetAction {
    /// After the guest powered itself off: `poweroff` ends the process, `pause` leaves the machine standing.
    pub shutdown: &'static str,
}

impl Command for SetAction {
    const NAME: &'static str = "set-action";
    type Answer = Nothing;
}

/// Writes a picture of the first screen to a file.
#[derive(Clone, Debug, Serialize)]
pub struct Screendump {
    /// The file, as QEMU sees it.
    pub filename: std::path::PathBuf,
    /// `png` or `ppm`.
    pub format: &'static str,
}

impl Command for Screendump {
    const NAME: &'static str = "screendump";
    type Answer = Nothing;
}

/// Reads a property of an object.
#[derive(Clone, Debug, Serialize)]
pub struct QomGet {
    /// Path of the object.
    pub path: String,
    /// The property.
    pub property: String,
}

impl Command for QomGet {
    const NAME: &'static str = "qom-get";
    type Answer = serde_json::Value;
}

/// Sets a property of an object.
#[derive(Clone, Debug, Serialize)]
pub struct QomSet {
    /// Path of the object.
    pub path: String,
    /// The property.
    pub property: String,
    /// The value.
    pub value: serde_json::Value,
}

impl Command for QomSet {
    const NAME: &'static str = "qom-set";
    type Answer = Nothing;
}

/// Lists the properties that a processor model comes down to.
#[derive(Clone, Debug, Serialize)]
pub struct QueryCpuModelExpansion {
    /// `static` or `full`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The model.
    pub model: CpuModel,
}

/// A processor model with its properties.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CpuModel {
    /// Its name.
    pub name: String,
    /// Its properties; the features among them are truth values.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub props: serde_json::Map<String, serde_json::Value>,
}

/// What a processor model comes down to.
#[derive(Clone, Debug, Deserialize)]
pub struct ExpandedCpuModel {
    /// The model with all its properties.
    pub model: CpuModel,
}

impl Command for QueryCpuModelExpansion {
    const NAME: &'static str = "query-cpu-model-expansion";
    type Answer = ExpandedCpuModel;
}
