//! Translation and filter rules, by the `nft` program.

mod tables;

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::Error;

pub(crate) use tables::tables;

/// What a table says, for each family of addresses; where it is empty, the family has no such table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) ip: String,
    pub(crate) ip6: String,
}

/// Replaces the table `table` of the calling thread's namespace by what `body` says, in one transaction.
pub(crate) fn replace_table(table: &str, body: &Body) -> Result<(), Error> {
    begin_replacing(table, body)?.wait()
}

/// Begins what [`replace_table`] does.
pub(crate) fn begin_replacing(table: &str, body: &Body) -> Result<Transaction, Error> {
    let mut families = vec![("ip", &body.ip)];
    // A kernel without IPv6 has no such tables either.
    if std::path::Path::new("/proc/sys/net/ipv6").exists() {
        families.push(("ip6", &body.ip6));
    }
    let mut program = String::new();
    for (family, body) in families {
        // Declared first, so that the removal finds it in any case.
        program.push_str(&format!("table {family} {table}\ndelete table {family} {table}\n"));
        if !body.is_empty() {
            program.push_str(&format!("table {family} {table} {{\n{body}}}\n"));
        }
    }
    begin(table, &program)
}

/// Removes a table; one that does not exist is no error.
pub(crate) fn remove_table(table: &str) -> Result<(), Error> {
    replace_table(table, &Body::default())
}

/// A table that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: String,
    pub(crate) name: String,
}

/// Returns what a table of the calling thread's namespace says; nothing for one that is not there.
pub(crate) fn list(family: &str, table: &str) -> Result<String, Error> {
    let output = command()
        .args(["list", "table", family, table])
        .stdin(Stdio::null())
        .output()
        .map_err(not_started())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A change of a table that `nft` is at.
#[derive(Debug)]
#[must_use = "whether the rules are in force is known after `wait`"]
pub(crate) struct Transaction {
    table: String,
    nft: Child,
}

impl Transaction {
    /// Waits for its end.
    pub(crate) fn wait(self) -> Result<(), Error> {
        let Self { table, nft } = self;
        let output = nft.wait_with_output().map_err(not_started())?;
        if output.status.success() {
            return Ok(());
        }
        let message =
            String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no reason given").to_owned();
        Err(Error::Rules { table, message })
    }
}

fn begin(table: &str, program: &str) -> Result<Transaction, Error> {
    let mut nft = command()
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(not_started())?;
    if let Some(mut input) = nft.stdin.take() {
        // When nft ends early, its own words say more than the broken pipe.
        let _ = input.write_all(program.as_bytes());
    }
    Ok(Transaction { table: table.to_owned(), nft })
}

fn not_started() -> impl FnOnce(std::io::Error) -> Error {
    Error::system("start nft (install the package nftables)")
}

/// `nft` lies where an ordinary user's search path does not lead.
fn command() -> Command {
    let found = ["/usr/sbin/nft", "/sbin/nft"].into_iter().find(|path| std::path::Path::new(path).exists());
    Command::new(found.unwrap_or("nft"))
}
