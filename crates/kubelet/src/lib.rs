//! The embedded node agent: turns Pods that are bound to its node into jailed processes of the host.
//!
//! One Pod's way:
//!
//! ```text
//! API object ──> view ─┐                       ┌─> start: plan, images, volumes, jail, network, exec
//!                      ├─> step (pure) ─> actions ─> terminate, kill
//! record, process ─────┘                       └─> write status, forget, delete
//! ```
//!
//! - [`config`]: what a kubelet is told,
//! - [`view`]: what it keeps of a Pod's API object,
//! - [`record`]: what it keeps of a Pod on disk; Pods outlive the kubelet process,
//! - [`step`]: what to do next, as a pure function,
//! - [`status`]: what to report, as a pure function,
//! - [`plan`]: how a Pod becomes a jail, as a pure function,
//! - [`runtime`]: the host's side: directories, control groups, network, jail,
//! - `volumes`, `local_volumes`: directories of Pods' volumes, and the end of those that outlived their Pods,
//! - [`probes`]: looks whether Pods are alive and ready,
//! - [`sync`]: carries actions out,
//! - [`collection`]: removes images that no Pod uses when space runs short,
//! - `memory`: looks whether the machine's memory runs short,
//! - [`node`]: the Node object and its Lease,
//! - [`logs`]: reads containers' logs.
//!
//! Only built-in images run here: programs of the host that stand for an image. Other Pods stay pending, with
//! a condition that says so.

pub mod builtin;
mod claims;
pub mod collection;
pub mod config;
pub mod images;
mod inside;
mod local_volumes;
pub mod logs;
mod memory;
pub mod node;
pub mod plan;
pub mod probes;
pub mod record;
pub mod runtime;
pub mod status;
pub mod step;
mod sync;
pub mod view;
mod volumes;

pub use config::KubeletConfig;
pub use images::Images;
pub use sync::run;
