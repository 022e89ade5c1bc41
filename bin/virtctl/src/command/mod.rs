//! The commands, one file each.

pub(crate) mod addvolume;
pub(crate) mod adm;
pub(crate) mod completion;
pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod credentials;
pub(crate) mod doctor;
pub(crate) mod evacuate_cancel;
pub(crate) mod expand;
pub(crate) mod explain_status;
pub(crate) mod expose;
pub(crate) mod fslist;
pub(crate) mod guestfs;
pub(crate) mod guestosinfo;
pub(crate) mod image_upload;
pub(crate) mod list;
pub(crate) mod memory_dump;
pub(crate) mod migrate;
pub(crate) mod migrate_cancel;
pub(crate) mod objectgraph;
pub(crate) mod options;
pub(crate) mod pause;
pub(crate) mod permitted_devices;
pub(crate) mod port_forward;
pub(crate) mod removevolume;
pub(crate) mod reset;
pub(crate) mod restart;
pub(crate) mod scp;
pub(crate) mod screenshot;
pub(crate) mod soft_reboot;
pub(crate) mod ssh;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod template;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod usbredir;
pub(crate) mod userlist;
pub(crate) mod version;
pub(crate) mod vmexport;
pub(crate) mod vnc;

use clap::{ArgAction, Args};
use serde_json::Value;

use crate::request::{Kind, NameError, Request, Verb, options};
use crate::say::say;
use crate::usage::UsageError;
use crate::yaml;

/// Takes exactly `N` arguments.
///
/// # Errors
/// When there are more or fewer.
pub(crate) fn exactly<const N: usize>(arguments: &[String]) -> Result<&[String; N], UsageError> {
    arguments.try_into().map_err(|_| UsageError::Count { expected: N, given: arguments.len() })
}

/// How an object is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

impl Format {
    /// Reads a format's name.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// Reads the flag `--output`, which need not be given.
    ///
    /// # Errors
    /// When it is another word.
    pub(crate) fn chosen(word: Option<&str>) -> anyhow::Result<Option<Self>> {
        let Some(word) = word.filter(|word| !word.is_empty()) else { return Ok(None) };
        let format = Self::parse(word);
        let format = format
            .ok_or_else(|| anyhow::anyhow!("unsupported output format: {word} (must be 'json' or 'yaml')"));
        format.map(Some)
    }

    /// Writes a whole document, its last line ended.
    pub(crate) fn document(self, value: &Value) -> String {
        let mut text = self.write(value, "  ");
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// Writes an object; `indent` is what a step in JSON is indented by.
    pub(crate) fn write(self, value: &Value, indent: &str) -> String {
        if self == Self::Yaml {
            return yaml::document(value);
        }
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        // Writing a value into memory does not fail.
        drop(serde::Serialize::serialize(value, &mut serializer));
        // As the reference's programs, which make JSON fit to stand in a page.
        let text = String::from_utf8_lossy(&text);
        text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
    }
}

/// The flag of commands that print one document.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Format: json or yaml.
    #[arg(long, short, default_value = "json", value_name = "string")]
    output: String,
}

impl Output {
    /// Returns the format.
    ///
    /// # Errors
    /// When it is another word.
    pub(crate) fn format(&self) -> anyhow::Result<Format> {
        Ok(Format::chosen(Some(&self.output))?.unwrap_or(Format::Json))
    }
}

/// The flag of commands that can be tried.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DryRun {
    /// Have the server check the command without doing anything.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    dry_run: bool,
}

impl DryRun {
    /// Returns whether it is only a try, and says so.
    pub(crate) fn announced(self) -> bool {
        if self.dry_run {
            say!("Dry Run execution");
        }
        self.dry_run
    }
}

/// The flags of commands that end a machine.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Force {
    /// End the machine at once, without asking its guest; needs --grace-period=0. The guest may lose data.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    force: bool,
    /// Seconds that the guest has to end by itself; needs --force.
    #[arg(long, allow_negative_numbers = true, value_name = "seconds")]
    grace_period: Option<i64>,
}

impl Force {
    /// Returns the grace period, when one is forced.
    ///
    /// # Errors
    /// When only one of the two flags is given.
    pub(crate) fn grace_period(self) -> Result<Option<i64>, UsageError> {
        if self.grace_period.is_some() == self.force { Ok(self.grace_period) } else { Err(UsageError::Force) }
    }
}

/// Makes the request for an `action` that ends a machine's run. The grace period goes by another name for each action.
pub(crate) fn ending(
    namespace: &str,
    machine: &str,
    action: &str,
    (field, grace_period): (&str, Option<i64>),
    dry_run: bool,
) -> Result<Request, NameError> {
    let mut body = options(dry_run);
    if let Some(seconds) = grace_period {
        put(&mut body, field, seconds);
    }
    Ok(Request::subresource(Verb::Put, namespace, Kind::Machine, machine, action)?.with_body(body))
}

/// Adds a field to a body.
pub(crate) fn put(body: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = body {
        fields.insert(name.to_owned(), value.into());
    }
}
