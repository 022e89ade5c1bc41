//! Stories: typical situations of each controller with the plan for each, as text for people.
//!
//! The texts are in `golden/`. After a change, read the difference and accept it with `INSTA_UPDATE=always`.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test")]

mod golden {
    pub mod endpoints;
    pub mod gc;
    pub mod instance;
    pub mod machine;
    pub mod migration;
    pub mod namespace;
    pub mod node;
    pub mod pod;
    pub mod scheduler;
    pub mod teller;
    pub mod traffic;
    pub mod workloads;
}
