//! `virtctl guestfs`

mod pod;
mod shell;

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use serde_json::Value;

use self::pod::Plan;
use super::exactly;
use crate::api::Api;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// Name of the image with the tools.
const IMAGE: &str = "libguestfs-tools";

/// Open a shell with libguestfs-tools on a claim.
///
/// A Pod is made that has the claim at /disk, or at /dev/vda when it is a block volume, and goes when the shell ends. Nobody
/// else may use the claim meanwhile. The nodes have to run Pods of any image, as those of `ironclad up` do not.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl guestfs (PVC) [flags]",
    after_help = "Examples:\n  # A shell on the claim 'data':\n  virtctl guestfs data\n\n  # Where machine 'myvm' may run, as user and group 1000:\n  virtctl guestfs data --vm=myvm --uid=1000 --gid=1000\n\n  # With an image of your own:\n  virtctl guestfs data --image=registry.example/libguestfs-tools:1"
)]
pub(crate) struct Guestfs {
    #[arg(hide = true, value_name = "PVC")]
    arguments: Vec<String>,
    /// Image with libguestfs-tools [default: what the installation says].
    #[arg(long, default_value = "", value_name = "string")]
    image: String,
    /// Use KVM.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", value_name = "bool")]
    kvm: bool,
    /// When the image is pulled: Always, IfNotPresent or Never.
    #[arg(long, default_value = "IfNotPresent", value_name = "string")]
    pull_policy: String,
    /// Run as root.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    root: bool,
    /// User to run as; excludes --root.
    #[arg(long, default_value = "", value_name = "number")]
    uid: String,
    /// Group to run as; needs --uid.
    #[arg(long, default_value = "", value_name = "number")]
    gid: String,
    /// Group that owns the volume; excludes --root.
    #[arg(long = "fsGroup", default_value = "", value_name = "number")]
    fs_group: String,
    /// Machine whose node selector, affinity, tolerations and labels the Pod has.
    #[arg(long, default_value = "", value_name = "string")]
    vm: String,
}

impl Guestfs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the claim is missing or in use, the Pod does not run, or the shell fails.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [claim] = exactly(&self.arguments)?;
        if !matches!(self.pull_policy.as_str(), "Always" | "Never" | "IfNotPresent") {
            bail!("Invalid pull policy: {}", self.pull_policy);
        }
        let mut plan = self.plan(claim)?;
        let api = session.api().await?;
        if plan.image.is_empty() {
            plan.image = image(api).await?;
        }
        say!("Use image: {} ", plan.image);
        let found = match api.read(&Request::object(&api.namespace, Kind::Claim, claim)?).await {
            Ok(found) => found,
            Err(error) if error.code() == Some(404) => bail!("The PVC {claim} doesn't exist"),
            Err(error) => return Err(error.into()),
        };
        plan.block = found["spec"]["volumeMode"] == "Block";
        let pods = api.read(&Request::list(Some(&api.namespace), Kind::Pod)?).await?;
        if pod::is_used(&pods, claim) {
            bail!("PVC {claim} is used by another pod");
        }
        if !self.vm.is_empty() {
            plan.machine = api.read(&Request::object(&api.namespace, Kind::Machine, &self.vm)?).await?;
        }
        let request = Request::create(&api.namespace, Kind::Pod, plan.pod())?;
        api.call(&request).await?;
        say!("The PVC has been mounted at {} ", plan.place());
        let outcome = shell::run(api, &plan.name()).await;
        let removed = Request::of_object(Verb::Delete, &api.namespace, Kind::Pod, &plan.name())?;
        let removed = api.call(&removed).await;
        outcome.and_then(|()| removed.map(drop).map_err(Into::into))
    }

    fn plan(&self, claim: &str) -> Result<Plan> {
        let number = |text: &str| -> Result<Option<i64>> {
            match text {
                "" => Ok(None),
                text => text
                    .parse()
                    .map(Some)
                    .map_err(|_| anyhow!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
            }
        };
        match (self.root, self.uid.is_empty(), self.gid.is_empty(), self.fs_group.is_empty()) {
            (true, false, ..) => bail!("cannot set uid if root is true"),
            (_, true, false, _) => bail!("gid requires the uid to be set"),
            (true, _, _, false) => bail!("cannot set fsGroup id with root"),
            _ => {}
        }
        let or_root = |given: Option<i64>| given.or_else(|| self.root.then_some(0));
        Ok(Plan {
            claim: claim.to_owned(),
            image: self.image.clone(),
            policy: self.pull_policy.clone(),
            kvm: self.kvm,
            root: self.root,
            user: or_root(number(&self.uid)?),
            group: or_root(number(&self.gid)?),
            fs_group: or_root(number(&self.fs_group)?),
            block: false,
            machine: Value::Null,
        })
    }
}

/// Asks the installation for the image.
async fn image(api: &Api) -> Result<String> {
    let told = api.read(&Request::read("/apis/subresources.kubevirt.io/v1/guestfs")).await;
    named(&told.map_err(|error| anyhow!("could not get guestfs image info: {error}"))?)
}

fn named(told: &Value) -> Result<String> {
    let text = |field: &str| told[field].as_str().unwrap_or_default();
    if !text("gsImage").is_empty() {
        return Ok(text("gsImage").to_owned());
    }
    let name = format!("{}{IMAGE}", text("imagePrefix"));
    let image = match (text("digest"), text("tag")) {
        ("", "") => bail!(
            "Neither the digest nor the tag for the image has been specified; name an image with --image"
        ),
        ("", tag) => format!("{name}:{tag}"),
        (digest, _) => format!("{name}@{digest}"),
    };
    Ok(match text("registry") {
        "" => image,
        registry => format!("{registry}/{image}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use serde_json::json;

    #[test]
    fn the_installation_says_which_image() {
        for (told, image) in [
            (json!({"gsImage": "own:1", "tag": "v1"}), "own:1"),
            (
                json!({"registry": "quay.io/kubevirt", "tag": "v1.8.4", "imagePrefix": "x-"}),
                "quay.io/kubevirt/x-libguestfs-tools:v1.8.4",
            ),
            (json!({"tag": "v1", "digest": "sha256:ab"}), "libguestfs-tools@sha256:ab"),
        ] {
            assert_eq!(named(&told).unwrap(), image);
        }
        assert!(
            named(&json!({"registry": ""}))
                .unwrap_err()
                .to_string()
                .starts_with("Neither the digest nor the tag")
        );
    }

    #[test]
    fn users_and_groups_fit_together() {
        let plan = |flags: &str| {
            let line = format!("virtctl guestfs c {flags}");
            let Ok(Cli { command: Some(Command::Guestfs(command)), .. }) =
                Cli::try_parse_from(line.split_whitespace())
            else {
                return Err("guestfs is guestfs".to_owned());
            };
            command.plan("c").map_err(|error| error.to_string())
        };
        let root = plan("--root").unwrap();
        assert_eq!((root.user, root.group, root.fs_group), (Some(0), Some(0), Some(0)));
        let user = plan("--uid=7 --gid=8 --fsGroup=9 --kvm=false").unwrap();
        assert_eq!((user.user, user.group, user.fs_group, user.kvm), (Some(7), Some(8), Some(9), false));
        for (flags, says) in [
            ("--root --uid=1", "cannot set uid if root is true"),
            ("--gid=1", "gid requires the uid to be set"),
            ("--root --fsGroup=1", "cannot set fsGroup id with root"),
            ("--uid=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(plan(flags).unwrap_err(), says);
        }
    }
}
