//! `virtctl doctor`

use std::io::IsTerminal as _;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::{Format, exactly};
use crate::doctor::{Finding, Grade, gather, judge};
use crate::say::{self, say};
use crate::session::Session;

/// Check what is needed to work with virtual machines, and say what to do about what is missing.
///
/// It looks at the server and who you are there, the installation, your rights in the namespace, nodes, storage, the machines
/// of the namespace, and the programs on this machine. It changes nothing. What keeps all machines from running makes it
/// fail.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl doctor [flags]",
    after_help = "Examples:\n  # Check everything, with rights in the current namespace:\n  virtctl doctor\n\n  # In another namespace of another cluster:\n  virtctl doctor --context=prod --namespace=team-a\n\n  # What is not well, in a script:\n  virtctl doctor --output json | jq '.findings[] | select(.grade != \"ok\")'"
)]
pub(crate) struct Doctor {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// Format: json or yaml [default: text].
    #[arg(long, short, value_name = "string")]
    output: Option<String>,
}

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    /// When something is found without which no machine can be worked with.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [] = exactly(&self.arguments)?;
        let format = Format::chosen(self.output.as_deref())?;
        let findings = judge(&gather(session.api().await?).await?);
        match format {
            None => findings.iter().for_each(print),
            Some(format) => {
                let list: Vec<Value> = findings.iter().map(Finding::document).collect();
                say::document(format.document(&serde_json::json!({"findings": list})).as_bytes())?;
            }
        }
        let bad = findings.iter().filter(|finding| finding.grade == Grade::Bad).count();
        if bad > 0 {
            bail!("{bad} of {} checks failed", findings.len());
        }
        Ok(())
    }
}

fn print(finding: &Finding) {
    let word = format!("{:<8}", finding.grade.word());
    let colour = match finding.grade {
        _ if !std::io::stdout().is_terminal() => None,
        Grade::Good => Some("32"),
        Grade::Limited => Some("33"),
        Grade::Bad => Some("31"),
    };
    let word = colour.map_or_else(|| word.clone(), |colour| format!("\x1b[{colour}m{word}\x1b[0m"));
    say!("{word} {:<13} {}", finding.subject, finding.meaning);
    if !finding.remedy.is_empty() {
        say!("{:22} -> {}", "", finding.remedy);
    }
}
