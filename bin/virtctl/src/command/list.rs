//! `virtctl list`

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::{ArgAction, Args};
use futures::StreamExt as _;
use serde_json::json;

use super::Format;
use crate::age;
use crate::api::Api;
use crate::fleet::follow::{Change, changes};
use crate::fleet::{Choice, Fleet, Key, Row, Width};
use crate::log;
use crate::say::{self, say};
use crate::session::Session;
use crate::table::Table;

/// List virtual machines: status, instance, address, node and age.
///
/// Instances that belong to no machine are listed, too.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl list [VM]... [flags]",
    visible_alias = "ls",
    after_help = "Examples:\n  # The machines of this namespace:\n  virtctl list\n\n  # Of all namespaces, with processors, memory and guest system:\n  virtctl list --all-namespaces --output wide\n\n  # One machine, and each change of it:\n  virtctl list myvm --watch\n\n  # The addresses of all that run, in a script:\n  virtctl list -A -o json | jq -r '.items[] | select(.status == \"Running\") | .addresses[0]'"
)]
pub(crate) struct List {
    #[arg(hide = true, value_name = "VM")]
    names: Vec<String>,
    /// Machines of all namespaces.
    #[arg(long, short = 'A', action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    all_namespaces: bool,
    /// Labels that machines must have, for example app=web,stage!=test.
    #[arg(long, short = 'l', default_value = "", value_name = "selector")]
    selector: String,
    /// Format: wide, json or yaml [default: columns].
    #[arg(long, short, default_value = "", value_name = "string")]
    output: String,
    /// Without the header.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    no_headers: bool,
    /// Go on, and print each machine anew that changes.
    #[arg(long, short, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    watch: bool,
}

impl List {
    /// Runs the command.
    ///
    /// # Errors
    /// When a named machine does not exist, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let format = match self.output.as_str() {
            "" | "wide" => None,
            word => match Format::parse(word) {
                Some(format) => Some(format),
                None => bail!("unsupported output format: {word} (must be 'wide', 'json' or 'yaml')"),
            },
        };
        let api = session.api().await?;
        let choice = Choice {
            namespace: (!self.all_namespaces).then(|| api.namespace.clone()),
            selector: self.selector.clone(),
            names: self.names.clone(),
        };
        let fleet = choice.read(api).await?;
        let rows = choice.rows(&fleet);
        match format {
            Some(format) if !self.watch => {
                let items: Vec<_> = rows.iter().map(Row::document).collect();
                say::document(format.document(&json!({"items": items})).as_bytes())?;
            }
            Some(format) => rows.iter().for_each(|row| print(format, row)),
            None => {}
        }
        if let Some(missing) = self.names.iter().find(|name| !rows.iter().any(|row| &row.name == *name)) {
            // Who waits for a machine may begin before it is there.
            if !self.watch {
                bail!("virtualmachines.kubevirt.io \"{missing}\" not found");
            }
        }
        let width = Width { namespaces: self.all_namespaces, wide: self.output == "wide" };
        let mut lines = vec![width.header()];
        lines.extend(rows.iter().map(|row| row.cells(width, age::now())));
        let table = Table::for_lines(&lines);
        if format.is_none() {
            if rows.is_empty() {
                let place =
                    choice.namespace.as_ref().map(|name| format!(" in {name} namespace")).unwrap_or_default();
                eprintln!("No virtual machines found{place}.");
            }
            let header = !self.no_headers && (self.watch || !rows.is_empty());
            lines.iter().skip(usize::from(!header)).for_each(|line| say!("{}", table.line(line)));
        }
        if self.watch {
            let print = |row: &Row| match format {
                Some(format) => print(format, row),
                None => say!("{}", table.line(&row.cells(width, age::now()))),
            };
            return follow(api, &choice, fleet, &print).await;
        }
        Ok(())
    }
}

fn print(format: Format, row: &Row) {
    let separator = if format == Format::Yaml { "---\n" } else { "" };
    say::part(format_args!("{separator}{}", format.document(&row.document())));
}

/// Prints each row that changes, until the user has seen enough.
async fn follow(api: &Api, choice: &Choice, mut fleet: Fleet, print: &dyn Fn(&Row)) -> Result<()> {
    let mut shown: BTreeMap<Key, Row> = BTreeMap::new();
    for row in choice.rows(&fleet) {
        shown.insert((row.namespace.clone(), row.name.clone()), row);
    }
    let changes = changes(api, choice);
    tokio::pin!(changes);
    let followed = async {
        while let Some(change) = changes.next().await {
            match &change {
                Change::Lost(why) => {
                    log::error("list", &format!("the server does not answer, it is tried again: {why}"));
                }
                Change::Refused(why) => bail!("these machines cannot be watched: {why}"),
                _ => {}
            }
            for key in change.apply(&mut fleet) {
                let now = choice.row(&fleet, &key);
                let before = shown.remove(&key);
                match (before, now) {
                    (before, Some(row)) => {
                        if before.as_ref() != Some(&row) {
                            print(&row);
                        }
                        shown.insert(key, row);
                    }
                    (Some(mut row), None) => {
                        row.gone(choice.selector.is_empty());
                        print(&row);
                    }
                    (None, None) => {}
                }
            }
        }
        Ok(())
    };
    tokio::select! {
        outcome = followed => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
