//! What end-to-end tests stand on: the built programs, an installation of their own, real kubectl, the real guest.

#![allow(clippy::panic, reason = "a test that cannot go on panics; that is how it reports")]

mod connection;
mod descriptors;
pub mod false_registry;
mod images;
mod installation;
mod kubectl;
mod machine_state;
mod output;
mod paths;
mod processes;
mod registry;
mod resolver;
mod slow_disk;
mod small_disk;
mod wait;

pub use connection::break_connections;
pub use descriptors::Descriptors;
pub use images::image;
pub use installation::{Installation, Options, User};
pub use machine_state::MachineState;
pub use output::{Output, run};
pub use paths::{guest, helm, kubectl, program, python_clients, repository};
pub use processes::{Processes, kill};
pub use registry::{REGISTRY_PASSWORD, REGISTRY_USER, Registry};
pub use resolver::Resolver;
pub use slow_disk::SlowDisk;
pub use small_disk::SmallDisk;
pub use wait::{until, until_none, until_some};
