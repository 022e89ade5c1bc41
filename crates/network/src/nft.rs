//! Translation and filter rules, by the `nft` program.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Error;

/// Replaces the table `table` of the calling thread's namespace by what `body` says, in one transaction.
pub(crate) fn replace_table(table: &str, body: &str) -> Result<(), Error> {
    // Declared first, so that the removal finds it in any case.
    run(table, &format!("table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n{body}}}\n"))
}

/// Removes a table; one that does not exist is no error.
pub(crate) fn remove_table(table: &str) -> Result<(), Error> {
    run(table, &format!("table ip {table}\ndelete table ip {table}\n"))
}

/// Lists the names of the IPv4 tables.
pub(crate) fn tables() -> Result<Vec<String>, Error> {
    let output = command()
        .args(["list", "tables", "ip"])
        .stdin(Stdio::null())
        .output()
        .map_err(Error::system("start nft (install the package nftables)"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.strip_prefix("table ip ")).map(str::to_owned).collect())
}

fn run(table: &str, program: &str) -> Result<(), Error> {
    let start = || Error::system("start nft (install the package nftables)");
    let mut nft = command()
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start())?;
    if let Some(mut input) = nft.stdin.take() {
        // When nft ends early, its own words say more than the broken pipe.
        let _ = input.write_all(program.as_bytes());
    }
    let output = nft.wait_with_output().map_err(start())?;
    if output.status.success() {
        return Ok(());
    }
    let message =
        String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no reason given").to_owned();
    Err(Error::Rules { table: table.to_owned(), message })
}

/// `nft` lies where an ordinary user's search path does not lead.
fn command() -> Command {
    let found = ["/usr/sbin/nft", "/sbin/nft"].into_iter().find(|path| std::path::Path::new(path).exists());
    Command::new(found.unwrap_or("nft"))
}
