//! What end-to-end tests stand on: the built programs, an installation of their own, real kubectl, the real guest.

mod installation;
mod machine_state;
mod paths;
mod wait;

pub use installation::{Installation, Options, Output, User};
pub use machine_state::MachineState;
pub use paths::{guest, kubectl, program, repository};
pub use wait::{until, until_none, until_some};
