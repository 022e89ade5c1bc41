//! The command line of a probe that asks a guest by its launcher.
//!
//! virt-controller writes it into the launcher Pod; a kubelet executes it there, or does what it says by itself.

use std::path::PathBuf;

/// The launcher executable's mode.
pub const MODE: &str = "virt-probe";

/// A question to a guest's agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestProbe {
    /// Private directory of the launcher, in the Pod.
    pub run_dir: PathBuf,
    /// Directory of its sockets, in the Pod.
    pub socket_dir: PathBuf,
    /// Seconds that the answer may take.
    pub timeout_seconds: u32,
    /// A program of the guest and its arguments; nothing: whether the agent answers at all.
    pub command: Vec<String>,
}

/// A command line that is none of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// An unknown option.
    Option(String),
    /// An option without its value, or with one that is no number.
    Value(String),
    /// Neither a command nor `--guestAgentPing`, or both, or no directories.
    Incomplete,
}

impl GuestProbe {
    /// Writes the command line, the mode first.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![
            MODE.to_owned(),
            "--run-dir".to_owned(),
            self.run_dir.display().to_string(),
            "--socket-dir".to_owned(),
            self.socket_dir.display().to_string(),
            "--timeoutSeconds".to_owned(),
            self.timeout_seconds.to_string(),
        ];
        match self.command.split_first() {
            None => words.push("--guestAgentPing".to_owned()),
            Some((program, arguments)) => {
                words.extend(["--command".to_owned(), program.clone(), "--".to_owned()]);
                words.extend(arguments.iter().cloned());
            }
        }
        words
    }

    /// Reads a command line, without the mode.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, Mistake> {
        let mut probe = Self::default();
        let (mut ping, mut program) = (false, None);
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            match name.as_str() {
                "--guestAgentPing" => ping = true,
                "--" => {
                    probe.command.extend(words);
                    break;
                }
                "--run-dir" | "--socket-dir" | "--timeoutSeconds" | "--command" => {
                    let value = words.next().ok_or_else(|| Mistake::Value(name.clone()))?;
                    match name.as_str() {
                        "--run-dir" => probe.run_dir = value.into(),
                        "--socket-dir" => probe.socket_dir = value.into(),
                        "--command" => program = Some(value),
                        _ => probe.timeout_seconds = value.parse().map_err(|_| Mistake::Value(name))?,
                    }
                }
                _ => return Err(Mistake::Option(name)),
            }
        }
        let placed = !probe.run_dir.as_os_str().is_empty() && !probe.socket_dir.as_os_str().is_empty();
        match (placed, ping, program) {
            (true, false, Some(program)) => probe.command.insert(0, program),
            (true, true, None) if probe.command.is_empty() => {}
            _ => return Err(Mistake::Incomplete),
        }
        Ok(probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for command in [&[][..], &["/bin/true"], &["sh", "-c", "exit 1", "--", "--guestAgentPing"]] {
            let probe = GuestProbe {
                run_dir: "/r".into(),
                socket_dir: "/s".into(),
                timeout_seconds: 7,
                command: command.iter().map(|&word| word.to_owned()).collect(),
            };
            let words = probe.words();
            assert_eq!(words[0], MODE);
            assert_eq!(GuestProbe::parse(words.into_iter().skip(1)), Ok(probe));
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        let of = |line: &str| GuestProbe::parse(line.split_whitespace().map(str::to_owned));
        assert_eq!(of("--what"), Err(Mistake::Option("--what".into())));
        assert_eq!(of("--run-dir"), Err(Mistake::Value("--run-dir".into())));
        assert_eq!(of("--timeoutSeconds x"), Err(Mistake::Value("--timeoutSeconds".into())));
        assert_eq!(of("--guestAgentPing"), Err(Mistake::Incomplete));
        assert_eq!(of("--run-dir /r --socket-dir /s"), Err(Mistake::Incomplete));
        assert_eq!(of("--run-dir /r --socket-dir /s --guestAgentPing --command x"), Err(Mistake::Incomplete));
    }
}
