//! What a launcher that is gone left behind: how its machine ended.
//!
//! A launcher says that to its agent before it ends its Pod. An agent that was away then reads it from the Pod's private
//! directory. The launcher wrote the file and is believed as much as on its socket: about its own machine only.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use wire::launcher::v1::MachineState;
use wire::launcher::{FINAL_STATE, FinalState};

/// The launcher's private directory, below that of its Pod.
const PRIVATE: &str = "volumes/kubernetes.io~empty-dir/private";
/// Bytes that are read: a launcher writes a word and a sentence.
const LONGEST: u64 = 64 << 10;

/// Reads how the machine of the Pod in `directory` ended; `None` when it has not, or nothing was said.
pub(crate) fn read(directory: &Path) -> Option<MachineState> {
    let folder = File::open(directory.join(PRIVATE)).ok()?;
    // The directory is the Pod's to write to: a link in it leads nowhere.
    let file = disk::open_beneath(folder, Path::new(FINAL_STATE), false).ok()?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    let kept: FinalState = serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(pod = %directory.display(), %error, "unreadable final state"))
        .ok()?;
    kept.into_state()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::launcher::v1::machine_state::Phase;

    #[test]
    fn only_a_file_that_tells_of_an_end_counts() {
        let pod = tempfile::tempdir().unwrap();
        assert_eq!(read(pod.path()), None);
        let private = pod.path().join(PRIVATE);
        std::fs::create_dir_all(&private).unwrap();
        assert_eq!(read(pod.path()), None);
        let file = private.join(FINAL_STATE);
        std::fs::write(&file, "half a").unwrap();
        assert_eq!(read(pod.path()), None);
        let text =
            r#"{"phase":"CRASHED","reason":"HypervisorKilled","message":"it was killed","changedAtMs":5}"#;
        std::fs::write(&file, text).unwrap();
        let state = read(pod.path()).unwrap();
        assert_eq!((state.phase(), state.message.as_str()), (Phase::Crashed, "it was killed"));
        // A link to such a file is somebody's trick.
        std::fs::rename(&file, pod.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(pod.path().join("elsewhere"), &file).unwrap();
        assert_eq!(read(pod.path()), None);
    }
}
