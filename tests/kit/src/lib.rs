//! What end-to-end tests stand on: the built programs, an installation of their own, real kubectl, the real guest.

#![allow(clippy::panic, reason = "a test that cannot go on panics; that is how it reports")]

mod images;
mod installation;
mod machine_state;
mod paths;
mod processes;
mod wait;

pub use images::image;
pub use installation::{Installation, Options, Output, User};
pub use machine_state::MachineState;
pub use paths::{guest, kubectl, program, repository};
pub use processes::{Processes, kill};
pub use wait::{until, until_none, until_some};
