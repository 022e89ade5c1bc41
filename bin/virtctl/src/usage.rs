//! Wrong command lines, in the words that kubectl and its kin have for them. They end with 1, as any failure.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What is wrong with a command line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UsageError {
    #[error("accepts {expected} arg(s), received {given}")]
    Count { expected: usize, given: usize },
    #[error("port-forward requires at least 2 arg(s), a target and a port, received {0}")]
    Ports(usize),
    #[error("Must both use --force=true and set --grace-period.")]
    Force,
    #[error("unknown command {word:?} for {parent:?}")]
    Command { word: String, parent: String },
    #[error("unknown flag: {0}")]
    Flag(String),
    #[error("unknown shorthand flag: {letter:?} in {word}")]
    ShortFlag { letter: char, word: String },
    #[error("required flag(s) {0} not set")]
    Required(String),
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    #[error("invalid argument {value:?} for {flag:?} flag: {reason}")]
    Value { value: String, flag: String, reason: String },
    #[error("{0}")]
    Other(String),
}

/// Words what clap found. `program` is what the user called.
pub(crate) fn explain(error: &clap::Error, program: &str) -> UsageError {
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidSubcommand => UsageError::Command {
            word: text(error, ContextKind::InvalidSubcommand).unwrap_or_default(),
            parent: program.to_owned(),
        },
        ErrorKind::UnknownArgument => match argument.strip_prefix('-') {
            None => UsageError::Command { word: argument, parent: program.to_owned() },
            Some(long) if long.starts_with('-') => UsageError::Flag(argument),
            Some(short) => {
                UsageError::ShortFlag { letter: short.chars().next().unwrap_or('-'), word: argument }
            }
        },
        ErrorKind::MissingRequiredArgument => {
            let names: Vec<_> = argument.split(", ").map(|flag| format!("{:?}", name(flag))).collect();
            UsageError::Required(names.join(", "))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let flag = argument.split(' ').next().unwrap_or_default().to_owned();
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            if value.is_empty() {
                return UsageError::NoValue(flag);
            }
            let reason = std::error::Error::source(error).map(ToString::to_string);
            let valid = text(error, ContextKind::ValidValue).map(|valid| format!("must be one of {valid}"));
            UsageError::Value { value, flag, reason: reason.or(valid).unwrap_or_default() }
        }
        ErrorKind::NoEquals => {
            UsageError::Other(format!("a value for {argument} must be joined to it by '='"))
        }
        _ => UsageError::Other(error.to_string().trim().to_owned()),
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    }
}

/// `--file <file>` is called `file`.
fn name(flag: &str) -> &str {
    flag.split(' ').next().unwrap_or_default().trim_start_matches('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches as _;

    fn said(line: &str) -> String {
        let words = std::iter::once("virtctl").chain(line.split_whitespace());
        let parsed = crate::cli::command("virtctl").try_get_matches_from(words);
        let parsed = parsed.and_then(|matches| crate::cli::Cli::from_arg_matches(&matches));
        explain(&parsed.unwrap_err(), "virtctl").to_string()
    }

    #[test]
    fn mistakes_are_named_as_kubectl_names_them() {
        for (line, says) in [
            ("stat a", "unknown command \"stat\" for \"virtctl\""),
            ("start a --paus", "unknown flag: --paus"),
            ("start a -x", "unknown shorthand flag: 'x' in -x"),
            ("vnc screenshot a", "required flag(s) \"file\" not set"),
            ("start a --namespace", "flag needs an argument: --namespace"),
            (
                "ssh vm/a --port x",
                "invalid argument \"x\" for \"--port\" flag: invalid digit found in string",
            ),
        ] {
            assert_eq!(said(line), says, "{line}");
        }
    }

    #[test]
    fn flags_that_belong_together_are_counted() {
        assert_eq!(UsageError::Count { expected: 1, given: 0 }.to_string(), "accepts 1 arg(s), received 0");
        assert_eq!(UsageError::Force.to_string(), "Must both use --force=true and set --grace-period.");
    }
}
