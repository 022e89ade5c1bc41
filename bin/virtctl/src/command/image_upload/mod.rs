//! `virtctl image-upload`

mod objects;
mod send;
mod wait;

use std::fs::File;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{ArgAction, Args};
use serde_json::{Value, json};

use self::objects::Wanted;
use crate::api::Api;
use crate::request::{Kind, Request, Verb};
use crate::say::say;
use crate::session::Session;

/// Upload a disk image or an archive into a DataVolume or a claim.
///
/// The volume is made unless it is there already. Image formats are what the importer (CDI) of the cluster takes: raw and qcow2,
/// packed by gzip or xz as well.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl image-upload (dv | pvc) NAME [flags]",
    after_help = "Examples:\n  # A disk image into a DataVolume that is made for it:\n  virtctl image-upload dv fedora --size=10Gi --image-path=fedora.qcow2\n\n  # Into a claim that is made for it, with an instance type and a preference for machines with it:\n  virtctl image-upload pvc fedora --size=10Gi --image-path=fedora.qcow2 --default-instancetype=u1.medium --default-preference=fedora\n\n  # Into a DataVolume that is there:\n  virtctl image-upload dv fedora --no-create --image-path=fedora.qcow2\n\n  # An archive of files, to a proxy that the cluster does not name itself:\n  virtctl image-upload dv files --size=1Gi --archive-path=files.tar --uploadproxy-url=https://cdi-uploadproxy.example.com"
)]
pub(crate) struct ImageUpload {
    #[arg(hide = true, value_name = "TYPE NAME")]
    arguments: Vec<String>,
    /// Disk image to upload.
    #[arg(long, default_value = "", value_name = "file")]
    image_path: String,
    /// Archive of files to upload.
    #[arg(long, default_value = "", value_name = "file")]
    archive_path: String,
    /// Size of the volume that is made, for example 10Gi.
    #[arg(long, default_value = "", value_name = "quantity")]
    size: String,
    /// StorageClass of the volume that is made.
    #[arg(long, default_value = "", value_name = "string")]
    storage_class: String,
    /// Access mode of the volume that is made: ReadWriteOnce or ReadWriteMany.
    #[arg(long, default_value = "", value_name = "string")]
    access_mode: String,
    /// What the volume is: block or filesystem [default: what suits its class; filesystem for archives].
    #[arg(long, default_value = "", value_name = "string")]
    volume_mode: String,
    /// Bind the volume at once, without waiting for its first user.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    force_bind: bool,
    /// Make no volume.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    no_create: bool,
    /// Address of the upload proxy [default: what the cluster says].
    #[arg(long, default_value = "", value_name = "URL")]
    uploadproxy_url: String,
    /// Do not check the certificate of the upload proxy.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    insecure: bool,
    /// Seconds that the cluster has to get ready for the upload.
    #[arg(long, default_value_t = 300, value_name = "seconds")]
    wait_secs: u64,
    /// How often the upload is tried.
    #[arg(long, default_value_t = 5, value_name = "int")]
    retry: u32,
    /// Make a DataSource that points to the volume.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    datasource: bool,
    /// Instance type for machines with this volume.
    #[arg(long, default_value = "", value_name = "string")]
    default_instancetype: String,
    /// Kind of that instance type.
    #[arg(long, default_value = "", value_name = "string")]
    default_instancetype_kind: String,
    /// Preference for machines with this volume.
    #[arg(long, default_value = "", value_name = "string")]
    default_preference: String,
    /// Kind of that preference.
    #[arg(long, default_value = "", value_name = "string")]
    default_preference_kind: String,
    /// Deprecated: the name is the second argument.
    #[arg(long, hide = true, default_value = "", value_name = "string")]
    pvc_name: String,
    /// Deprecated: --size.
    #[arg(long, hide = true, default_value = "", value_name = "quantity")]
    pvc_size: String,
    /// Deprecated: --volume-mode=block.
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    block_volume: bool,
}

impl ImageUpload {
    /// Runs the command.
    ///
    /// # Errors
    /// When flags do not fit together, the server does not agree, or the upload fails.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let (wanted, path) = self.wanted()?;
        let file = File::open(path).map_err(|error| anyhow!("open {path}: {error}"))?;
        let api = session.api().await?;
        // Nothing is made where nothing takes it.
        let proxy = self.proxy(api).await?;
        self.prepare(api, &wanted).await?;
        let patience = Duration::from_secs(self.wait_secs);
        wait::ready(api, &wanted, patience).await?;
        say!("Uploading data to {proxy}");
        let token = token(api, &wanted.name).await?;
        send::send(&proxy, &token, &file, self.insecure, self.retry).await?;
        if self.datasource {
            self.point(api, &wanted).await?;
        }
        say!(
            "Uploading data completed successfully, waiting for processing to complete, you can hit ctrl-c without interrupting the progress"
        );
        let processed = wait::processed(api, &wanted.name).await;
        match &processed {
            Ok(()) => say!("Uploading {path} completed successfully"),
            Err(error) if error.is::<wait::TimedOut>() => say!(
                "Timed out waiting for post upload processing to complete, please check upload pod status for progress"
            ),
            Err(_) => {}
        }
        processed
    }

    /// Reads the flags: the volume that is wanted, and the file.
    fn wanted(&self) -> Result<(Wanted, &str)> {
        if !self.size.is_empty() && !self.pvc_size.is_empty() && self.size != self.pvc_size {
            bail!("--pvc-size and --size can not be specified at the same time");
        }
        let mode = match (self.volume_mode.as_str(), self.block_volume) {
            ("", true) | ("block", _) => "block",
            (mode @ ("" | "filesystem"), false) => mode,
            (mode, true) => bail!("incompatible --volume-mode '{mode}' and --block-volume"),
            (mode, false) => {
                bail!("Invalid volume mode '{mode}'. Valid values are 'block' and 'filesystem'.")
            }
        };
        let (path, archive) = match (self.image_path.as_str(), self.archive_path.as_str()) {
            ("", "") => bail!("either image-path or archive-path must be provided"),
            (image, "") => (image, false),
            ("", _) if mode == "block" => {
                bail!("In archive upload the volume mode should always be filesystem")
            }
            ("", archive) => (archive, true),
            _ => bail!("cannot handle both image-path and archive-path, provide only one"),
        };
        let (claim, name) = self.target()?;
        for (flag, default, kind) in [
            ("instancetype", &self.default_instancetype, &self.default_instancetype_kind),
            ("preference", &self.default_preference, &self.default_preference_kind),
        ] {
            if default.is_empty() && !kind.is_empty() {
                bail!("--default-{flag} must be provided with --default-{flag}-kind");
            }
        }
        if self.no_create && !(self.default_instancetype.is_empty() && self.default_preference.is_empty()) {
            bail!("--default-instancetype and --default-preference cannot be used with --no-create");
        }
        let size = if self.pvc_size.is_empty() { &self.size } else { &self.pvc_size };
        let labels = [
            ("instancetype.kubevirt.io/default-instancetype", &self.default_instancetype),
            ("instancetype.kubevirt.io/default-instancetype-kind", &self.default_instancetype_kind),
            ("instancetype.kubevirt.io/default-preference", &self.default_preference),
            ("instancetype.kubevirt.io/default-preference-kind", &self.default_preference_kind),
        ];
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let wanted = Wanted {
            name,
            claim,
            archive,
            size: size.clone(),
            class: self.storage_class.clone(),
            access: self.access_mode.clone(),
            mode: mode.to_owned(),
            bind: self.force_bind,
            labels: labels.map(|(key, value)| (key.to_owned(), Value::from(value.as_str()))).collect(),
        };
        Ok((wanted, path))
    }

    /// Returns whether it is a claim alone, and its name.
    fn target(&self) -> Result<(bool, String)> {
        if !self.pvc_name.is_empty() {
            if !self.arguments.is_empty() {
                bail!("cannot use --pvc-name and args");
            }
            return Ok((true, self.pvc_name.clone()));
        }
        let [kind, name] = self.arguments.as_slice() else { bail!("expecting two args") };
        match kind.to_lowercase().as_str() {
            "dv" => Ok((false, name.clone())),
            "pvc" => Ok((true, name.clone())),
            _ => bail!("invalid resource type {kind}"),
        }
    }

    /// Makes the volume, or makes sure that one that is there takes an upload.
    async fn prepare(&self, api: &Api, wanted: &Wanted) -> Result<()> {
        let (namespace, name) = (&api.namespace, &wanted.name);
        let found = match api.read(&Request::object(namespace, Kind::Claim, name)?).await {
            Ok(claim) => Some(claim),
            Err(error) if error.code() == Some(404) => {
                say!("PVC {namespace}/{name} not found ");
                if self.no_create {
                    return Err(error.into());
                }
                None
            }
            Err(error) => return Err(error.into()),
        };
        let Some(claim) = found else {
            if wanted.size.is_empty() {
                bail!("when creating a resource, the size must be specified");
            }
            if !wanted.class.is_empty() {
                api.call(&Request::of_cluster(Kind::StorageClass, &wanted.class)?).await?;
            }
            let (kind, word) = if wanted.claim {
                (Kind::Claim, "PersistentVolumeClaim")
            } else {
                (Kind::DataVolume, "DataVolume")
            };
            api.call(&Request::create(namespace, kind, wanted.object()?)?).await?;
            say!("{word} {namespace}/{name} created");
            return Ok(());
        };
        let claim = if wanted.claim { claim } else { wait::filled(api, name, claim).await? };
        objects::check(&claim, name, wanted.archive, self.no_create)?;
        let known = claim["metadata"]["name"].as_str().unwrap_or(name);
        if claim["metadata"]["annotations"][objects::TARGET].is_null() {
            let add = if claim["metadata"]["annotations"].is_object() {
                let path = format!("/metadata/annotations/{}", objects::TARGET.replace('/', "~1"));
                json!([{"op": "add", "path": path, "value": ""}])
            } else {
                json!([{"op": "add", "path": "/metadata/annotations", "value": {objects::TARGET: ""}}])
            };
            let request = Request::of_object(Verb::Patch, namespace, Kind::Claim, known)?;
            api.call(&request.with_body(add)).await?;
        }
        say!("Using existing PVC {namespace}/{known}");
        Ok(())
    }

    /// Finds the upload proxy.
    async fn proxy(&self, api: &Api) -> Result<String> {
        let mut proxy = self.uploadproxy_url.clone();
        if proxy.is_empty() {
            let config = match api.read(&Request::of_cluster(Kind::CdiConfig, "config")?).await {
                // Where CDI runs, it has made this.
                Err(error) if error.code() == Some(404) => bail!(
                    "this server takes no uploads: CDI does not run there (no CDIConfig); use a containerDisk, fill a claim by a \
                     Pod of your own, or name an upload proxy with --uploadproxy-url"
                ),
                config => config?,
            };
            let known = config["spec"]["uploadProxyURLOverride"].as_str();
            let known = known.or_else(|| config["status"]["uploadProxyURL"].as_str()).unwrap_or_default();
            known.clone_into(&mut proxy);
        }
        match proxy.as_str() {
            "" => bail!("uploadproxy URL not found; name it with --uploadproxy-url"),
            url if url.contains("://") => Ok(proxy),
            host => Ok(format!("https://{host}")),
        }
    }

    /// Has a DataSource point to the volume.
    async fn point(&self, api: &Api, wanted: &Wanted) -> Result<()> {
        let (namespace, name) = (&api.namespace, &wanted.name);
        match api.read(&Request::object(namespace, Kind::DataSource, name)?).await {
            Ok(known) => {
                let patch = objects::repointed(&known, wanted, namespace);
                let request = Request::of_object(Verb::Patch, namespace, Kind::DataSource, name)?;
                api.call(&request.with_body(patch)).await?;
                say!("Updated an existing DataSource {namespace}/{name}");
            }
            Err(error) if error.code() == Some(404) => {
                let source = objects::source(wanted, namespace);
                api.call(&Request::create(namespace, Kind::DataSource, source)?).await?;
                say!("Created a new DataSource {namespace}/{name}");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Asks for the right to upload into a claim.
async fn token(api: &Api, claim: &str) -> Result<String> {
    let request = json!({
        "apiVersion": "upload.cdi.kubevirt.io/v1beta1",
        "kind": "UploadTokenRequest",
        "metadata": {"name": "token-for-virtctl"},
        "spec": {"pvcName": claim},
    });
    let answer = api.read(&Request::create(&api.namespace, Kind::UploadToken, request)?).await?;
    answer["status"]["token"].as_str().map(str::to_owned).context("the server gave no token for the upload")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn wanted(line: &str) -> Result<Wanted, String> {
        let words = ["virtctl", "image-upload"].into_iter().chain(line.split_whitespace());
        let Ok(Cli { command: Some(Command::ImageUpload(command)), .. }) = Cli::try_parse_from(words) else {
            return Err("image-upload is image-upload".to_owned());
        };
        command.wanted().map(|(wanted, _)| wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_say_which_volume_is_wanted() {
        let volume = wanted("DV v --image-path=f --size=1Gi --block-volume --default-preference=p").unwrap();
        assert_eq!((volume.claim, volume.name.as_str(), volume.mode.as_str()), (false, "v", "block"));
        assert_eq!(volume.labels["instancetype.kubevirt.io/default-preference"], "p");
        let older = wanted("--pvc-name=c --pvc-size=1Gi --archive-path=f").unwrap();
        assert!(older.claim && older.archive && older.size == "1Gi");
        for (line, says) in [
            ("dv v", "either image-path or archive-path must be provided"),
            (
                "dv v --image-path=a --archive-path=b",
                "cannot handle both image-path and archive-path, provide only one",
            ),
            ("dv --image-path=a", "expecting two args"),
            ("vm v --image-path=a", "invalid resource type vm"),
            (
                "dv v --image-path=a --volume-mode=x",
                "Invalid volume mode 'x'. Valid values are 'block' and 'filesystem'.",
            ),
            (
                "dv v --image-path=a --volume-mode=filesystem --block-volume",
                "incompatible --volume-mode 'filesystem' and --block-volume",
            ),
            (
                "dv v --archive-path=a --volume-mode=block",
                "In archive upload the volume mode should always be filesystem",
            ),
            (
                "dv v --image-path=a --size=1 --pvc-size=2",
                "--pvc-size and --size can not be specified at the same time",
            ),
            ("pvc v --pvc-name=c --image-path=a", "cannot use --pvc-name and args"),
            (
                "dv v --image-path=a --default-instancetype-kind=k",
                "--default-instancetype must be provided with --default-instancetype-kind",
            ),
            (
                "dv v --image-path=a --no-create --default-preference=p",
                "--default-instancetype and --default-preference cannot be used with --no-create",
            ),
        ] {
            assert_eq!(wanted(line).unwrap_err(), says, "{line}");
        }
    }
}
