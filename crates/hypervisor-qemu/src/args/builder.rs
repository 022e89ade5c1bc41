//! Collects arguments, descriptors and preparations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hypervisor::{Access, Companion, Inherited, Invocation, PlanError, Preparation, Source, Surroundings};
use serde_json::Value;

/// First number that an inherited descriptor takes.
const FIRST_NUMBER: i32 = 3;

/// Where the system's library looks for time zones.
const ZONES: &str = "/usr/share/zoneinfo";

pub(crate) struct Builder<'a> {
    surroundings: &'a Surroundings<'a>,
    args: Vec<String>,
    inherited: Vec<Inherited>,
    prepare: Vec<Preparation>,
    numbers: BTreeMap<String, i32>,
    timezone: Option<String>,
    companions: Vec<Companion>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(surroundings: &'a Surroundings<'a>) -> Self {
        Self {
            surroundings,
            args: Vec::new(),
            inherited: Vec::new(),
            prepare: Vec::new(),
            numbers: BTreeMap::new(),
            timezone: None,
            companions: Vec::new(),
        }
    }

    pub(crate) fn flag(&mut self, flag: &str) {
        self.args.push(flag.to_owned());
    }

    pub(crate) fn option(&mut self, option: &str, value: impl Into<String>) {
        self.args.push(option.to_owned());
        self.args.push(value.into());
    }

    /// Adds an option whose value is JSON; fields that are null are left out.
    pub(crate) fn json(&mut self, option: &str, mut value: Value) {
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, field| !field.is_null());
        }
        self.option(option, value.to_string());
    }

    /// Has the process inherit a descriptor of the record and returns its number there.
    pub(crate) fn descriptor(&mut self, device: &str, name: &str) -> Result<i32, PlanError> {
        if !self.surroundings.descriptors.contains_key(name) {
            return Err(PlanError::MissingDescriptor {
                device: device.to_owned(),
                descriptor: name.to_owned(),
            });
        }
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = self.inherit(Source::Descriptor(name.to_owned()));
        self.numbers.insert(name.to_owned(), number);
        Ok(number)
    }

    /// As [`Self::descriptor`], for an image: returns the name by which QEMU opens it as a block node, and
    /// whether that node can be written. QEMU finds a descriptor only if it asks for just the access that it
    /// is open for, so a file's node follows its descriptor, whatever the node above it allows.
    pub(crate) fn image(&mut self, device: &str, name: &str) -> Result<(String, Access), PlanError> {
        let number = self.descriptor(device, name)?;
        let set = format!("fd={number},set={number},opaque={}", escape(name));
        if !self.args.contains(&set) {
            self.option("-add-fd", set);
        }
        let access = self.surroundings.descriptors.get(name).copied().unwrap_or(Access::Read);
        Ok((format!("/dev/fdset/{number}"), access))
    }

    /// Has the process inherit one end of a channel and returns its number there.
    pub(crate) fn channel(&mut self, name: &str) -> i32 {
        self.inherit(Source::Channel(name.to_owned()))
    }

    fn inherit(&mut self, source: Source) -> i32 {
        let number = self.next_number();
        self.inherited.push(Inherited { number, source });
        number
    }

    fn next_number(&self) -> i32 {
        FIRST_NUMBER + (self.inherited.len() + self.companions.len()) as i32
    }

    /// Has a companion executed beside the process, with descriptors of the record's, and returns the number of its channel
    /// in the process.
    pub(crate) fn companion(&mut self, program: &Path, args: Vec<String>, takes: Vec<i32>) -> i32 {
        let number = self.next_number();
        self.companions.push(Companion { program: program.to_owned(), args, number, takes });
        number
    }

    /// Has a directory made in the run directory and returns its path.
    pub(crate) fn directory(&mut self, name: &str) -> String {
        let path = self.run_directory().join(name);
        let text = path.display().to_string();
        self.prepare.push(Preparation::Directory { path });
        text
    }

    /// Returns a path in the run directory for a file that the process makes.
    pub(crate) fn file(&self, name: &str) -> String {
        self.run_directory().join(name).display().to_string()
    }

    /// Returns a path in the run directory for a socket that the process listens on.
    pub(crate) fn socket(&mut self, name: &str) -> String {
        let path = self.run_directory().join(name);
        let text = path.display().to_string();
        self.prepare.push(Preparation::Remove { path });
        text
    }

    /// Has `from` copied into the run directory and returns the copy's path.
    pub(crate) fn copy(&mut self, from: &Path, name: &str) -> String {
        let to = self.run_directory().join(name);
        let text = to.display().to_string();
        self.prepare.push(Preparation::Copy { from: from.to_owned(), to });
        text
    }

    /// As [`Self::socket`], for one that is not the supervisor's alone.
    pub(crate) fn public_socket(&mut self, name: &str) -> String {
        let path = self.surroundings.socket_directory.join(name);
        let text = path.display().to_string();
        self.prepare.push(Preparation::Remove { path });
        text
    }

    /// Has the start fail with `remedy` unless a file of the node is there.
    pub(crate) fn need(&mut self, path: &Path, remedy: impl Into<String>) {
        self.prepare.push(Preparation::Need { path: path.to_owned(), remedy: remedy.into() });
    }

    /// Has the process's local time be that of a time zone, which has to be known on the node.
    pub(crate) fn timezone(&mut self, zone: &str) {
        let remedy =
            format!("the time zone {zone} is not known on this node; install tzdata, or write another");
        self.need(&Path::new(ZONES).join(zone), remedy);
        self.timezone = Some(zone.to_owned());
    }

    fn run_directory(&self) -> &Path {
        self.surroundings.run_directory
    }

    pub(crate) fn finish(self, program: PathBuf) -> Invocation {
        let env = [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C")];
        Invocation {
            prepare: self.prepare,
            program,
            args: self.args,
            env: env
                .into_iter()
                .chain(self.timezone.as_deref().map(|zone| ("TZ", zone)))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            descriptors: self.inherited,
            companions: self.companions,
        }
    }
}

/// Escapes a value for the options that are not JSON: a comma ends a value, two are one.
pub(crate) fn escape(text: &str) -> String {
    text.replace(',', ",,")
}

/// A record that contradicts itself at `device`.
pub(crate) fn contradiction(device: impl Into<String>, reason: impl Into<String>) -> PlanError {
    PlanError::Contradiction { device: device.into(), reason: reason.into() }
}
