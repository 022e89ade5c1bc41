//! Collects arguments, descriptors and preparations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hypervisor::{Access, Inherited, Invocation, PlanError, Preparation, Source, Surroundings};
use serde_json::Value;

/// First number that an inherited descriptor takes.
const FIRST_NUMBER: i32 = 3;

pub(crate) struct Builder<'a> {
    surroundings: &'a Surroundings<'a>,
    args: Vec<String>,
    inherited: Vec<Inherited>,
    prepare: Vec<Preparation>,
    numbers: BTreeMap<String, i32>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(surroundings: &'a Surroundings<'a>) -> Self {
        Self {
            surroundings,
            args: Vec::new(),
            inherited: Vec::new(),
            prepare: Vec::new(),
            numbers: BTreeMap::new(),
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
        let number = FIRST_NUMBER + self.inherited.len() as i32;
        self.inherited.push(Inherited { number, source });
        number
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

    fn run_directory(&self) -> &Path {
        self.surroundings.run_directory
    }

    pub(crate) fn finish(self, program: PathBuf) -> Invocation {
        Invocation {
            prepare: self.prepare,
            program,
            args: self.args,
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("LC_ALL".to_owned(), "C".to_owned())],
            descriptors: self.inherited,
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
