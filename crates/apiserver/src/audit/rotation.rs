//! Earlier files of a log: how they are named, and how many stay.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// When a log begins a new file, and which earlier ones stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes that a file may have; without a bound it is never rotated.
    pub bytes: Option<u64>,
    /// Earlier files that are kept; without a bound all are.
    pub files: Option<usize>,
    /// Age, by the time in its name, at which an earlier file is removed.
    pub age: Option<Duration>,
}

/// How names tell the time at which a file was rotated, in UTC: as kube-apiserver's do.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// Name of the log up to the time, and from it on: `audit-` and `.log`.
fn around(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension =
        path.extension().map_or_else(String::new, |extension| format!(".{}", extension.display()));
    (format!("{}-", text(path.file_stem())), extension)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Gives the log at `path` a name of the past, so that a new one can begin.
pub(super) fn retire(path: &Path, now: Timestamp) -> io::Result<()> {
    let (before, after) = around(path);
    // Names follow the order of what they hold, also within a millisecond and when the clock is set back.
    let next = earlier(path)?.first().and_then(|(last, _)| last.checked_add(Duration::from_millis(1)).ok());
    let time = next.map_or(now, |next| next.max(now)).strftime(TIME).to_string();
    match std::fs::rename(path, folder(path).join(format!("{before}{time}{after}"))) {
        // Somebody else took it away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Earlier files of the log at `path` with their times, the latest first.
fn earlier(path: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let (before, after) = around(path);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder(path))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let time = name.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&after));
        let time = time.and_then(|time| DateTime::strptime(TIME, time).ok());
        if let Some(time) = time.and_then(|time| time.to_zoned(TimeZone::UTC).ok()) {
            found.push((time.timestamp(), entry.path()));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Removes the earlier files that are too many or too old.
pub(super) fn clear(path: &Path, rotation: Rotation, now: Timestamp) -> io::Result<()> {
    let oldest = rotation.age.and_then(|age| now.checked_sub(age).ok());
    for (at, (time, file)) in earlier(path)?.into_iter().enumerate() {
        let is_old = oldest.is_some_and(|oldest| time < oldest);
        if is_old || rotation.files.is_some_and(|most| at >= most) {
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_or_too_much_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let now: Timestamp = "2026-05-10T12:00:00.5Z".parse().expect("a time");
        let day = Duration::from_secs(24 * 3600);
        for days in [9, 3, 1, 0] {
            std::fs::write(&path, format!("{days}")).expect("written");
            retire(&path, now.checked_sub(day * days).expect("a time")).expect("retired");
        }
        std::fs::write(&path, "again").expect("written");
        retire(&path, now).expect("retired");
        for other in ["audit-notes.log", "other-2026-05-01T12-00-00.500.log"] {
            std::fs::write(folder.path().join(other), "").expect("written");
        }
        let names = |found: Vec<(Timestamp, PathBuf)>| -> Vec<String> {
            let name = |path: PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
            found.into_iter().map(|(_, path)| name(path)).collect()
        };
        let all = names(earlier(&path).expect("read"));
        assert_eq!(all.len(), 5);
        assert_eq!(all[..2], ["audit-2026-05-10T12-00-00.501.log", "audit-2026-05-10T12-00-00.500.log"]);
        clear(&path, Rotation { age: Some(day * 7), ..Rotation::default() }, now).expect("cleared");
        assert_eq!(names(earlier(&path).expect("read")), all[..4]);
        clear(&path, Rotation { files: Some(2), ..Rotation::default() }, now).expect("cleared");
        assert_eq!(names(earlier(&path).expect("read")), all[..2]);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 4, "others stay");
    }
}
