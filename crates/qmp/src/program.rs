//! Programs that the guest's agent runs: they are started by one question and looked after by others.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use crate::agent::{Agent, Error};

/// A program's state as `guest-exec-status` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Program {
    /// Whether it has ended.
    pub exited: bool,
    /// Its exit code, if it ended by itself.
    pub exitcode: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    out_data: String,
    err_data: String,
}

impl Program {
    /// Returns what it wrote: to its standard output, then to standard error.
    pub fn output(&self) -> String {
        let text =
            |data: &String| String::from_utf8_lossy(&STANDARD.decode(data).unwrap_or_default()).into_owned();
        text(&self.out_data) + &text(&self.err_data)
    }
}

#[derive(Deserialize)]
struct Started {
    pid: i64,
}

impl Agent {
    /// Starts a program of the guest and returns the agent's number for it (`guest-exec`, QEMU 2.5).
    pub async fn execute(
        &mut self,
        program: &str,
        arguments: &[String],
        patience: Duration,
    ) -> Result<i64, Error> {
        let arguments = json!({"path": program, "arg": arguments, "capture-output": true});
        Ok(self.ask::<_, Started>("guest-exec", Some(arguments), patience).await?.pid)
    }

    /// Asks for a program. The agent forgets one that has ended once it has told so.
    pub async fn program(&mut self, number: i64, patience: Duration) -> Result<Program, Error> {
        self.ask("guest-exec-status", Some(json!({"pid": number})), patience).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_the_agent_writes_it() {
        let ended: Program = serde_json::from_value(
            json!({"exited": true, "exitcode": 3, "out-data": "b3V0Cg==", "err-data": "ZXJy"}),
        )
        .unwrap();
        assert_eq!((ended.exited, ended.exitcode, ended.output().as_str()), (true, Some(3), "out\nerr"));
        let runs: Program = serde_json::from_value(json!({"exited": false})).unwrap();
        assert_eq!(runs, Program::default());
    }
}
