//! The whole control plane in one thread, under a virtual clock, from one seed.
//!
//! The API server, the controllers and their clients are the real ones. Simulated are the node (kubelet, agent and
//! guests: [`node`]), the user ([`user`]) and misfortune ([`faults`]): lost answers, refused writes, broken watches and
//! controllers that are killed. A run writes a [`journal`] of every request; [`judge`] watches what must never happen
//! and checks what must hold in the end. The same seed gives the same journal.

pub mod dice;
pub mod faults;
pub mod journal;
pub mod judge;
pub mod node;
pub mod run;
pub mod user;

pub use self::run::{Options, Report, run};
