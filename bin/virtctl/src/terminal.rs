//! The user's terminal, when there is one.

use std::io::{IsTerminal as _, Stdin};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal that hands every key on as it is, until this is dropped.
pub(crate) struct Raw {
    terminal: Stdin,
    before: Termios,
}

impl Raw {
    /// Makes the terminal on standard input raw; `None` when it is a file or a pipe.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn enter() -> std::io::Result<Option<Self>> {
        let terminal = std::io::stdin();
        if !terminal.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Some(Self { terminal, before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(&self.terminal, OptionalActions::Now, &self.before) {
            eprintln!("failed to restore terminal: {error}");
        }
    }
}
