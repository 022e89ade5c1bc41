//! `virtctl template`: machines from templates.

mod convert;
mod create;
mod engine;
mod generate;
mod process;

use std::io::Read as _;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::Format;
use crate::cli;
use crate::flags::at_most_one;
use crate::say::say;
use crate::session::Session;

/// Make virtual machines from templates, and templates from virtual machines.
#[derive(Args, Debug)]
#[command(override_usage = "virtctl template [command]")]
pub(crate) struct Template {
    #[command(subcommand)]
    command: Option<What>,
    /// What is no command is answered with help, as no word at all is.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    Convert(convert::Convert),
    Create(create::Create),
    Process(process::Process),
}

impl Template {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags do not fit together, the template is wrong, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        match &self.command {
            Some(What::Convert(command)) => command.run(session).await,
            Some(What::Create(command)) => command.run(session).await,
            Some(What::Process(command)) => command.run(session).await,
            None => {
                say!("{}", cli::help_of("template"));
                Ok(())
            }
        }
    }
}

/// Which template is meant.
#[derive(Debug, PartialEq, Eq)]
enum Origin<'a> {
    /// One of the server.
    Named(&'a str),
    /// A file; `-` is standard input.
    File(&'a str),
}

/// Reads which template is meant: by an argument or a flag.
fn origin<'a>(arguments: &'a [String], name: &'a str, file: &'a str) -> Result<Origin<'a>> {
    at_most_one(&[("file", !file.is_empty()), ("name", !name.is_empty())])?;
    match (arguments, name, file) {
        ([_, _, ..], ..) => bail!("accepts between 0 and 1 arg(s), received {}", arguments.len()),
        ([_], _, file) if !file.is_empty() => bail!("only one of name or file can be provided"),
        ([_], name, _) if !name.is_empty() => {
            bail!("provide name either from positional argument or from flag")
        }
        ([name], ..) => Ok(Origin::Named(name)),
        ([], "", "") => bail!("name or file must be provided"),
        ([], "", file) => Ok(Origin::File(file)),
        ([], name, _) => Ok(Origin::Named(name)),
    }
}

fn format(word: &str) -> Result<Format> {
    Format::parse(word).ok_or_else(|| anyhow!("not supported output format: {word}"))
}

/// Reads the first document of a file.
fn read(file: &str, what: &str) -> Result<Value> {
    let mut text = String::new();
    if file == "-" {
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| anyhow!("error reading from stdin: {error}"))?;
    } else {
        text =
            std::fs::read_to_string(file).map_err(|error| anyhow!("error opening file {file}: {error}"))?;
    }
    let documents = serde_saphyr::from_multiple::<Value>(&text);
    let documents = documents.map_err(|error| anyhow!("error decoding {what}: {error}"))?;
    let first = documents.into_iter().find(|document| !document.is_null());
    first.ok_or_else(|| anyhow!("error decoding {what}: EOF"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_named_once() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let read = |arguments: &[&str], name: &str, file: &str| {
            origin(&words(arguments), name, file)
                .map(|origin| format!("{origin:?}"))
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(&["t"], "", "").unwrap(), "Named(\"t\")");
        assert_eq!(read(&[], "t", "").unwrap(), "Named(\"t\")");
        assert_eq!(read(&[], "", "-").unwrap(), "File(\"-\")");
        for (arguments, name, file, says) in [
            (&[][..], "", "", "name or file must be provided"),
            (&["t"], "u", "", "provide name either from positional argument or from flag"),
            (&["t"], "", "f", "only one of name or file can be provided"),
            (&["t", "u"], "", "", "accepts between 0 and 1 arg(s), received 2"),
        ] {
            assert_eq!(read(arguments, name, file).unwrap_err(), says);
        }
        assert!(read(&[], "n", "f").unwrap_err().starts_with("if any flags in the group [file name]"));
    }
}
