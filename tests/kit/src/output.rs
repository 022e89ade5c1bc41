//! Running a program to its end.

use std::process::{Command, Stdio};

/// What a finished program said.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Returns standard output of a program that succeeded.
    ///
    /// # Panics
    /// When it failed, with what it said.
    pub fn expect(self, what: &str) -> String {
        assert!(self.success, "{what} failed:\n{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program with `input` on its standard input.
///
/// # Panics
/// When it cannot be started, or does not read its input.
pub fn run(mut command: Command, input: Option<&str>) -> Output {
    use std::io::Write as _;
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(text.as_bytes()).expect("the program reads its input");
    }
    let output = child.wait_with_output().expect("the program ends");
    Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
