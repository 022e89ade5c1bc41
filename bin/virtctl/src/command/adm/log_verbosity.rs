//! `virtctl adm log-verbosity`

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use serde_json::{Map, Value, json};

use crate::cli;
use crate::command::exactly;
use crate::flags::at_most_one;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// What a flag without a number says: show it. The reference takes the number itself for the same.
const SHOW: u64 = 10;

/// How much components log when nobody says otherwise.
const DEFAULT: u64 = 2;

/// Components, and their fields in the KubeVirt resource.
const COMPONENTS: [(&str, &str); 5] = [
    ("virt-api", "virtAPI"),
    ("virt-controller", "virtController"),
    ("virt-handler", "virtHandler"),
    ("virt-launcher", "virtLauncher"),
    ("virt-operator", "virtOperator"),
];

const DEVELOPER: &str = "/spec/configuration/developerConfiguration";
const VERBOSITY: &str = "/spec/configuration/developerConfiguration/logVerbosity";

/// Show, set or reset how much components log: 0 to 9, 2 unless set.
///
/// A flag without a number shows what is set, a flag with one sets it; both together are refused. The number has to be
/// joined by '='.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl adm log-verbosity [flags]",
    after_help = "Examples:\n  # Show all components:\n  virtctl adm log-verbosity --all\n\n  # Set all components but one:\n  virtctl adm log-verbosity --all=3 --virt-handler=7\n\n  # Show two components:\n  virtctl adm log-verbosity --virt-handler --virt-launcher\n\n  # Reset all components but one:\n  virtctl adm log-verbosity --reset --virt-handler=7"
)]
pub(super) struct LogVerbosity {
    #[arg(hide = true)]
    arguments: Vec<String>,
    /// All components.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "10", value_name = "0-9")]
    all: Option<u64>,
    /// virt-api.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "10", value_name = "0-9")]
    virt_api: Option<u64>,
    /// virt-controller.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "10", value_name = "0-9")]
    virt_controller: Option<u64>,
    /// virt-handler.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "10", value_name = "0-9")]
    virt_handler: Option<u64>,
    /// virt-launcher.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "10", value_name = "0-9")]
    virt_launcher: Option<u64>,
    /// virt-operator.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "10", value_name = "0-9")]
    virt_operator: Option<u64>,
    /// Let all components log as much as when nobody says otherwise. Excludes --all.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    reset: bool,
}

/// What the flags amount to.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Show,
    Set,
}

impl LogVerbosity {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags contradict each other, there is not exactly one installation, or the server does not agree.
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let [] = exactly(&self.arguments)?;
        at_most_one(&[("reset", self.reset), ("all", self.all.is_some())])?;
        let wish = self.wish()?;
        if wish == Wish::Nothing {
            say!("{}", cli::help_of("adm log-verbosity"));
            bail!("no flag specified - expecting at least one flag");
        }
        let api = session.api().await?;
        let listed = api.read(&Request::list(None, Kind::KubeVirt)?).await;
        let listed =
            listed.map_err(|error| anyhow!("could not list KubeVirt CRs across all namespaces: {error}"))?;
        let installation = match listed["items"].as_array().map(Vec::as_slice) {
            None | Some([]) => bail!("could not detect a KubeVirt installation"),
            Some([only]) => only,
            Some(_) => bail!("invalid kubevirt installation, more than one KubeVirt resource found"),
        };
        if wish == Wish::Show {
            self.shown(installation).iter().for_each(|line| say!("{line}"));
            return Ok(());
        }
        let patch = self.patch(installation);
        if patch.is_empty() {
            return Ok(());
        }
        let text = |field: &str| installation["metadata"][field].as_str().unwrap_or_default();
        let request = Request::of_object(Verb::Patch, text("namespace"), Kind::KubeVirt, text("name"))?;
        api.call(&request.with_body(patch.into())).await?;
        say!("successfully set/reset the log verbosity");
        Ok(())
    }

    /// The flag of each component, in the order of [`COMPONENTS`].
    fn single(&self) -> [Option<u64>; 5] {
        [self.virt_api, self.virt_controller, self.virt_handler, self.virt_launcher, self.virt_operator]
    }

    fn wish(&self) -> Result<Wish> {
        let names = COMPONENTS.iter().map(|(name, _)| *name).zip(self.single());
        let given = names.chain([("all", self.all)]).filter_map(|(name, level)| Some((name, level?)));
        let given: Vec<_> = given.collect();
        if let Some((name, _)) = given.iter().find(|(_, level)| *level > SHOW) {
            bail!("{name}: log verbosity must be 0-9");
        }
        let shows = given.iter().any(|(_, level)| *level == SHOW);
        let sets = self.reset || given.iter().any(|(_, level)| *level != SHOW);
        match (shows, sets) {
            (true, true) => bail!("only show or set is allowed"),
            (true, false) => Ok(Wish::Show),
            (false, true) => Ok(Wish::Set),
            (false, false) => Ok(Wish::Nothing),
        }
    }

    fn shown(&self, installation: &Value) -> Vec<String> {
        let known = installation.pointer(VERBOSITY).unwrap_or(&Value::Null);
        let wanted = COMPONENTS.iter().zip(self.single());
        let wanted = wanted.filter(|(_, flag)| flag.is_some() || self.all.is_some());
        wanted
            .map(|((name, field), _)| format!("{name}={}", known[field].as_u64().unwrap_or(DEFAULT)))
            .collect()
    }

    /// Returns the JSON patch that does what the flags say; empty when all is so already.
    fn patch(&self, installation: &Value) -> Vec<Value> {
        let mut patch = Vec::new();
        let mut levels = match installation.pointer(VERBOSITY) {
            Some(Value::Object(known)) => known.clone(),
            _ => Map::new(),
        };
        if self.reset && !levels.is_empty() {
            levels.clear();
            patch.push(json!({"op": "add", "path": VERBOSITY, "value": {}}));
        }
        for ((_, field), flag) in COMPONENTS.iter().zip(self.single()) {
            if let Some(level) = flag.or(self.all) {
                levels.insert((*field).to_owned(), level.into());
            }
        }
        if levels.is_empty() {
            return patch;
        }
        let mut below = Vec::new();
        if installation.pointer("/spec/configuration").is_none() {
            below.push("/spec/configuration");
        }
        if installation.pointer(DEVELOPER).is_none() {
            below.push(DEVELOPER);
        }
        patch.extend(below.into_iter().map(|path| json!({"op": "add", "path": path, "value": {}})));
        patch.push(json!({"op": "add", "path": VERBOSITY, "value": levels}));
        patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::FromArgMatches as _;

    fn flags(line: &str) -> LogVerbosity {
        let words = "virtctl adm log-verbosity".split(' ').chain(line.split_whitespace());
        let matches = crate::cli::command("virtctl").try_get_matches_from(words).unwrap();
        assert!(Cli::from_arg_matches(&matches).is_ok());
        let (_, below) = matches.subcommand().unwrap();
        let super::super::What::LogVerbosity(command) = super::super::What::from_arg_matches(below).unwrap();
        command
    }

    fn installation(levels: &Value) -> Value {
        json!({"spec": {"configuration": {"developerConfiguration": {"logVerbosity": levels}}}})
    }

    #[test]
    fn levels_are_shown_with_the_default_where_nothing_is_set() {
        let set = installation(&json!({"virtHandler": 7}));
        let all = ["virt-api=2", "virt-controller=2", "virt-handler=7", "virt-launcher=2", "virt-operator=2"];
        assert_eq!(flags("--all").shown(&set), all);
        assert_eq!(flags("--all --virt-api").shown(&set), all);
        assert_eq!(
            flags("--virt-handler --virt-operator").shown(&set),
            ["virt-handler=7", "virt-operator=2"]
        );
        assert_eq!(flags("--virt-api").shown(&json!({})), ["virt-api=2"]);
    }

    #[test]
    fn flags_show_or_set_but_not_both() {
        for (line, wish) in [
            ("", Ok(Wish::Nothing)),
            ("--all", Ok(Wish::Show)),
            ("--virt-api=10", Ok(Wish::Show)),
            ("--virt-api=0", Ok(Wish::Set)),
            ("--reset --virt-api=3", Ok(Wish::Set)),
            ("--virt-api=11", Err("virt-api: log verbosity must be 0-9")),
            ("--all=20", Err("all: log verbosity must be 0-9")),
            ("--virt-handler --virt-launcher=3", Err("only show or set is allowed")),
            ("--reset --virt-launcher", Err("only show or set is allowed")),
        ] {
            assert_eq!(
                flags(line).wish().map_err(|error| error.to_string()),
                wish.map_err(str::to_owned),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_set_stays_unless_it_is_reset() {
        let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
        let set = installation(&json!({"virtHandler": 7}));
        assert_eq!(
            flags("--virt-api=3").patch(&set),
            [add(VERBOSITY, json!({"virtAPI": 3, "virtHandler": 7}))]
        );
        assert_eq!(flags("--reset").patch(&set), [add(VERBOSITY, json!({}))]);
        assert_eq!(
            flags("--reset --virt-api=3").patch(&set),
            [add(VERBOSITY, json!({})), add(VERBOSITY, json!({"virtAPI": 3}))]
        );
        assert_eq!(flags("--reset").patch(&json!({"spec": {"configuration": {}}})), [Value::Null; 0]);
        let bare = json!({"spec": {}});
        let levels = json!({"virtAPI": 4, "virtController": 1, "virtHandler": 1, "virtLauncher": 1, "virtOperator": 1});
        assert_eq!(
            flags("--all=1 --virt-api=3 --virt-api=4").patch(&bare),
            [add("/spec/configuration", json!({})), add(DEVELOPER, json!({})), add(VERBOSITY, levels)]
        );
    }
}
