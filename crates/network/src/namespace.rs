//! Work inside a network namespace, without a helper process.
//!
//! A thread may change its network namespace for itself, so each piece of work gets a thread of its own.
//! (User namespaces cannot be entered that way; for them see [`crate::netns_exec`].)

use std::fs::File;
use std::future::Future;
use std::path::Path;

use crate::Error;

/// Opens the network namespace of a process.
pub(crate) fn of_process(pid: i32) -> Result<File, Error> {
    open(Path::new(&format!("/proc/{pid}/ns/net")))
}

/// Opens a network namespace by a path that names it.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(Error::system(format!("open the network namespace {}", path.display())))
}

/// Makes a network namespace, which lasts as long as somebody holds it: the file, or a socket that was made inside.
pub(crate) fn fresh() -> Result<File, Error> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .map_err(Error::system("make a network namespace"))?;
            open(Path::new("/proc/thread-self/ns/net"))
        });
        thread.join().unwrap_or_else(|_| Err(Error::Helper("the network's thread panicked".to_owned())))
    })
}

/// Runs `work` on a thread inside `namespace` (`None`: the caller's) and waits for it.
pub(crate) fn run<T, F>(namespace: Option<&File>, work: impl FnOnce() -> F + Send) -> Result<T, Error>
where
    T: Send,
    F: Future<Output = Result<T, Error>>,
{
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Some(namespace) = namespace {
                nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
                    .map_err(Error::system("enter the network namespace"))?;
            }
            block_on(work())
        });
        thread.join().unwrap_or_else(|_| Err(Error::Helper("the network's thread panicked".to_owned())))
    })
}

/// Runs `work` to its end on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::system("start a runtime for netlink"))?;
    runtime.block_on(work)
}
