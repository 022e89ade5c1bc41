//! Images that programs of the host stand for.

use std::path::{Path, PathBuf};

use host::jail::Entry;

/// An image whose content is on the host already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltinImage {
    /// Repository without tag, for example `ironclad.local/virt-launcher`. Every tag of it is this image.
    pub repository: String,
    /// The image's own program on the host.
    pub program: PathBuf,
    /// Where the program lies inside the image.
    pub path: PathBuf,
    /// User and group when a Pod names none.
    pub user: u32,
    /// Programs of the host that the image holds too, at the same path: whole paths, or a path whose last
    /// part ends in `*`.
    pub programs: Vec<String>,
    /// Directories and files of the host that the image holds too, at the same path; absent ones are left out.
    pub files: Vec<PathBuf>,
    /// Subcommands of the program that only follow a file: no process is started for them.
    pub followers: Vec<String>,
    /// File inside, in a volume, that the program leaves its exit code in, for when nobody saw it end.
    pub exit_code: Option<PathBuf>,
}

impl BuiltinImage {
    /// Describes the launcher's image: the launcher, and what hypervisors need of the host.
    pub fn launcher(repository: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        let files = [
            "/usr/lib",
            "/usr/lib32",
            "/usr/lib64",
            "/usr/libexec",
            "/usr/share",
            "/usr/local/lib",
            "/usr/local/share",
            "/etc/ld.so.cache",
            "/etc/ld.so.conf",
            "/etc/ld.so.conf.d",
            "/etc/nsswitch.conf",
            "/etc/localtime",
            "/etc/alternatives",
            "/etc/qemu",
        ];
        Self {
            repository: repository.into(),
            program: program.into(),
            path: "/usr/bin/ironclad-launcher".into(),
            user: 107,
            programs: ["/usr/bin/qemu-*", "/usr/local/bin/qemu-*", "/usr/bin/swtpm*"]
                .map(String::from)
                .to_vec(),
            files: files.map(PathBuf::from).to_vec(),
            followers: vec!["virt-tail".into()],
            exit_code: Some("/var/run/kubevirt-private/exit-code".into()),
        }
    }

    /// Says whether `reference` names this image.
    pub fn is(&self, reference: &str) -> bool {
        repository(reference) == self.repository
    }

    /// Lists what the image puts into a jail's root.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::Bind {
            source: self.program.clone(),
            target: self.path.clone(),
            read_only: true,
            optional: false,
        }];
        let programs = self.programs.iter().flat_map(|pattern| programs(pattern));
        entries.extend(programs.chain(self.files.iter().cloned()).map(|path| Entry::Bind {
            source: path.clone(),
            target: path,
            read_only: true,
            optional: true,
        }));
        // Merged layouts have links here, older ones directories.
        for path in ["/bin", "/sbin", "/lib", "/lib32", "/lib64"] {
            let path = Path::new(path);
            match std::fs::read_link(path) {
                Ok(to) => entries.push(Entry::Link { target: path.to_owned(), to }),
                Err(_) if path.starts_with("/lib") && path.is_dir() => entries.push(Entry::Bind {
                    source: path.to_owned(),
                    target: path.to_owned(),
                    read_only: true,
                    optional: true,
                }),
                Err(_) => {}
            }
        }
        entries
    }
}

/// Cuts tag and digest off an image reference.
fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// Lists the programs that a pattern names.
fn programs(pattern: &str) -> Vec<PathBuf> {
    let Some(prefix) = pattern.strip_suffix('*') else { return vec![pattern.into()] };
    let prefix = Path::new(prefix);
    let (Some(directory), Some(start)) = (prefix.parent(), prefix.file_name()) else { return Vec::new() };
    let start = start.to_string_lossy();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&*start))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_of_the_repository_is_the_image() {
        let image = BuiltinImage::launcher("ironclad.local/virt-launcher", "/x");
        for (reference, expected) in [
            ("ironclad.local/virt-launcher:0.1.0", true),
            ("ironclad.local/virt-launcher@sha256:00", true),
            ("ironclad.local/virt-launcher", true),
            ("ironclad.local:5000/virt-launcher:1", false),
            ("ironclad.local/virt-launcher-x:1", false),
        ] {
            assert_eq!(image.is(reference), expected, "{reference}");
        }
    }
}
