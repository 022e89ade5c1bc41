//! Translation and filter rules, by the `nft` program.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::Error;

/// Replaces the table `table` of the calling thread's namespace by what `body` says, in one transaction.
pub(crate) fn replace_table(table: &str, body: &str) -> Result<(), Error> {
    begin_replacing(table, body)?.wait()
}

/// Begins what [`replace_table`] does.
pub(crate) fn begin_replacing(table: &str, body: &str) -> Result<Transaction, Error> {
    // Declared first, so that the removal finds it in any case.
    begin(table, &format!("table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n{body}}}\n"))
}

/// Removes a table; one that does not exist is no error.
pub(crate) fn remove_table(table: &str) -> Result<(), Error> {
    begin(table, &format!("table ip {table}\ndelete table ip {table}\n"))?.wait()
}

/// Lists the names of the IPv4 tables.
pub(crate) fn tables() -> Result<Vec<String>, Error> {
    let output =
        command().args(["list", "tables", "ip"]).stdin(Stdio::null()).output().map_err(not_started())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.strip_prefix("table ip ")).map(str::to_owned).collect())
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
