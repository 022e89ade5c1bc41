//! Options of the audit log, by the names that kube-apiserver gives them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use apiserver::audit::{Audit, Log, Policy, Rotation};
use clap::Args;
use effects::Clock;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Whether and how the API server writes down who asked for what.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    /// File that requests are written to, one JSON line an event; `-` is standard output [default: none is written].
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log_path: Option<PathBuf>,
    /// File with the Policy of audit.k8s.io/v1 that says what is written [default: everything, without bodies].
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    pub(crate) audit_policy_file: Option<PathBuf>,
    /// Megabytes after which a new file is begun; 0 is never.
    #[arg(long, default_value_t = 100, value_name = "MEGABYTES")]
    pub(crate) audit_log_maxsize: u32,
    /// Earlier files that are kept; 0 is all.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) audit_log_maxbackup: u32,
    /// Days that an earlier file is kept; 0 is for ever.
    #[arg(long, default_value_t = 366, value_name = "DAYS")]
    pub(crate) audit_log_maxage: u32,
}

impl AuditArgs {
    /// Opens the log and reads its policy, if a log is asked for.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub(crate) fn open(&self, clock: Arc<dyn Clock>) -> Result<Option<Audit>> {
        let Some(path) = &self.audit_log_path else { return Ok(None) };
        let policy = match &self.audit_policy_file {
            None => Policy::default(),
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.with_context(|| format!("--audit-policy-file {}", file.display()))?;
                Policy::parse(&text).with_context(|| format!("--audit-policy-file {}", file.display()))?
            }
        };
        let set = |number: u32| (number > 0).then_some(number);
        let rotation = Rotation {
            bytes: set(self.audit_log_maxsize).map(|size| u64::from(size) << 20),
            files: set(self.audit_log_maxbackup).map(|files| files as usize),
            age: set(self.audit_log_maxage).map(|days| DAY * days),
        };
        let log = Log::open(path, rotation, clock);
        let log = log.with_context(|| format!("--audit-log-path {}", path.display()))?;
        Ok(Some(Audit::new(policy, Arc::new(log))))
    }

    /// The options as words of a command line that holds in any directory.
    ///
    /// # Errors
    /// When the present directory is not known.
    pub(crate) fn words(&self) -> Result<Vec<OsString>> {
        let mut words = Vec::new();
        for (option, number) in [
            ("--audit-log-maxsize", self.audit_log_maxsize),
            ("--audit-log-maxbackup", self.audit_log_maxbackup),
            ("--audit-log-maxage", self.audit_log_maxage),
        ] {
            words.extend([option.into(), number.to_string().into()]);
        }
        for (option, file) in
            [("--audit-log-path", &self.audit_log_path), ("--audit-policy-file", &self.audit_policy_file)]
        {
            let Some(file) = file else { continue };
            let file = if file == Path::new("-") { file.clone() } else { std::path::absolute(file)? };
            words.extend([option.into(), file.into_os_string()]);
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use effects::SystemClock;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        audit: AuditArgs,
    }

    fn parse(words: &[&str]) -> Result<AuditArgs, String> {
        let parsed = Command::try_parse_from(["up"].iter().chain(words));
        parsed.map(|command| command.audit).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_is_opened_as_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let open = |words: &[&str]| parse(words).unwrap().open(Arc::new(SystemClock));
        assert!(open(&[]).unwrap().is_none());
        assert!(open(&["--audit-log-path", &file("audit.log")]).unwrap().is_some());
        assert!(parse(&["--audit-policy-file", "p"]).unwrap_err().contains("--audit-log-path"));
        std::fs::write(file("policy"), "apiVersion: audit.k8s.io/v1\nkind: Polity\n").unwrap();
        let wrong =
            open(&["--audit-log-path", &file("a"), "--audit-policy-file", &file("policy")]).unwrap_err();
        assert!(format!("{wrong:#}").contains("write a Policy of audit.k8s.io/v1"), "{wrong:#}");
        assert!(open(&["--audit-log-path", &file("none/audit.log")]).is_err());
    }

    #[test]
    fn a_process_in_the_background_gets_the_same() {
        let args = parse(&["--audit-log-path", "a.log", "--audit-log-maxage", "3"]).unwrap();
        let words = args.words().unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let again = parse(&words).unwrap();
        assert_eq!(again.audit_log_maxage, 3);
        assert_eq!(again.audit_log_path.unwrap(), std::env::current_dir().unwrap().join("a.log"));
    }
}
