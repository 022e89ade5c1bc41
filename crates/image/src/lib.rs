//! OCI images of a node: pulled from registries or loaded from archives, verified, kept once, unpacked once.
//!
//! A [`Store`] is one directory:
//!
//! ```text
//! blobs/sha256/HEX     manifests, configurations and layers, named by their content
//! references/HEX.json  which manifest a reference means; HEX is the SHA-256 of the reference
//! unpacked/HEX/        the file tree of the manifest HEX, read-only, shared by everything that uses it
//! users/HEX            a symbolic link's path, HEX its SHA-256: while it leads to a file tree, that tree is used
//! rights/HEX           for whom the blob HEX is: everybody, or those with certain logins
//! pulls/               what is being pulled: each file names content and is locked by the process that wants it
//! staging/             what is not complete yet; what nobody writes to any more goes when the store is opened
//! lock                 shared by whoever adds or unpacks, exclusive for whoever removes; not held while a registry is waited for
//! ```
//!
//! Everything gets its name by a rename when it is complete, so that a crash leaves no half image. Several processes
//! may use one store.

mod archive;
mod blobs;
mod credentials;
mod digest;
mod error;
mod lease;
mod limits;
mod lock;
mod manifest;
mod reference;
mod registry;
mod remove;
mod rights;
mod staging;
mod store;
mod tarball;
mod tree;
mod unpack;
mod users;

pub use credentials::{Credential, Credentials};
pub use digest::Digest;
pub use error::Error;
pub use limits::Limits;
pub use manifest::Settings;
pub use reference::Reference;
pub use registry::{Access, Problem, PullPolicy};
pub use remove::Removed;
pub use store::{Image, Store};
pub use users::{Space, Stored};
