//! How a container ended, for people: a number says little to them.

use std::fmt;

/// A shell's and a kubelet's way to write a signal: the number follows this one.
const SIGNALS: i32 = 128;
/// What a kubelet says of an end that it did not see.
const UNSEEN: &str = "ContainerStatusUnknown";
/// What it says of a container that the kernel killed for want of memory.
pub const OUT_OF_MEMORY: &str = "OOMKilled";

/// How a container ended, as a Pod's status has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending<'a> {
    /// Exit code; 128 and the number for a signal.
    pub code: i32,
    /// One word.
    pub reason: &'a str,
    /// One sentence, or nothing.
    pub message: &'a str,
}

impl Ending<'_> {
    /// Tells whether what ran was killed, so that nobody in it could say why.
    pub fn is_abrupt(&self) -> bool {
        signal(self.code).is_some() && self.reason != UNSEEN
    }
}

impl fmt::Display for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.trim();
        match signal(self.code).filter(|_| self.is_abrupt()) {
            Some(signal) if self.reason == OUT_OF_MEMORY => {
                write!(f, "it was killed by {signal} for want of memory ({OUT_OF_MEMORY})")?;
            }
            // The kubelet's own message would say the same.
            Some(signal) => return write!(f, "it was killed by {signal}"),
            None if self.reason.is_empty() => write!(f, "exit code {}", self.code)?,
            None => write!(f, "{}, exit code {}", self.reason, self.code)?,
        }
        if message.is_empty() { Ok(()) } else { write!(f, ", {message}") }
    }
}

/// Names the signal that an exit code stands for; `None` when it stands for none.
pub fn signal(code: i32) -> Option<String> {
    const NAMES: [(i32, &str); 11] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
        (31, "SIGSYS"),
    ];
    let number = code.checked_sub(SIGNALS).filter(|number| (1..=64).contains(number))?;
    let name = NAMES.iter().find(|(known, _)| *known == number);
    Some(name.map_or_else(|| format!("signal {number}"), |(_, name)| format!("signal {number} ({name})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        let table = [
            (137, "Error", "", true, "it was killed by signal 9 (SIGKILL)"),
            (139, "Error", "", true, "it was killed by signal 11 (SIGSEGV)"),
            (170, "Error", "", true, "it was killed by signal 42"),
            (
                137,
                OUT_OF_MEMORY,
                "",
                true,
                "it was killed by signal 9 (SIGKILL) for want of memory (OOMKilled)",
            ),
            (137, UNSEEN, "nobody saw it", false, "ContainerStatusUnknown, exit code 137, nobody saw it"),
            (1, "Error", " cannot open /dev/kvm\n", false, "Error, exit code 1, cannot open /dev/kvm"),
            (255, "Error", "", false, "Error, exit code 255"),
            (0, "", "", false, "exit code 0"),
        ];
        for (code, reason, message, abrupt, words) in table {
            let ending = Ending { code, reason, message };
            assert_eq!((ending.is_abrupt(), ending.to_string().as_str()), (abrupt, words));
        }
    }
}
