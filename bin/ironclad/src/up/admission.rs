//! virt-api's admission as a plug-in of the embedded API server: what is a webhook in a cluster is a call here.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::kubevirt::v1::{
    KubeVirt, VirtualMachine, VirtualMachineInstance, VirtualMachineInstanceMigration,
    VirtualMachineInstancePreset,
};
use apiserver::admission::AdmissionPlugin;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube_ext::{
    Api, Cache, Change, Context, Document, Key, Kind as _, PartialObject, Select, Tasks, resources,
};
use machinery::admission::{Request, Response};
use model::instancetype::{Matcher, Scope};
use serde_json::Value;
use virt_api::{Admission, Lookup};

use super::Effects;

/// The plug-in.
#[derive(Debug)]
pub(crate) struct VirtApi {
    admission: Arc<Admission>,
    objects: Arc<Objects>,
}

/// Other objects, once the server stands that has them.
#[derive(Debug, Default)]
struct Objects(OnceLock<Context>);

impl VirtApi {
    pub(crate) fn new(effects: &Effects) -> Arc<Self> {
        let objects = Arc::new(Objects::default());
        let admission = Admission::new(objects.clone(), effects.clock.clone(), effects.entropy.clone());
        Arc::new(Self { admission: Arc::new(admission), objects })
    }

    /// Returns the answerer, which has the installation's configuration.
    pub(crate) fn admission(&self) -> Arc<Admission> {
        self.admission.clone()
    }

    /// Follows the installation's configuration from now on, in the returned tasks.
    pub(crate) fn follow(self: &Arc<Self>, context: Context) -> Tasks {
        let mut tasks = Tasks::new();
        let plugin = self.clone();
        Cache::builder(Api::<KubeVirt>::new(&context.client), Some)
            .on_change(move |change| match change {
                Change::Applied { after, .. } => plugin.admission.configure(after),
                Change::Removed { .. } => plugin.admission.configure(&KubeVirt::default()),
            })
            .start(&context, &mut tasks);
        // It is called once; a second server would be a second plug-in.
        drop(self.objects.0.set(context));
        tasks
    }
}

#[async_trait::async_trait]
impl AdmissionPlugin for VirtApi {
    fn name(&self) -> &'static str {
        "virt-api"
    }

    fn concerns(&self, group: &str, resource: &str, subresource: &str) -> bool {
        Admission::concerns(group, resource, subresource)
    }

    fn advice(&self, group: &str, _kind: &str, field: &str) -> Option<String> {
        (group == "kubevirt.io").then(|| model::fields::misnomer(field)).flatten().map(str::to_owned)
    }

    async fn mutate(&self, request: &Request) -> Response {
        self.admission.mutate(request).await
    }

    async fn validate(&self, request: &Request) -> Response {
        self.admission.validate(request).await
    }
}

impl Objects {
    async fn list<K: kube_ext::Kind>(&self, namespace: &str) -> Vec<K> {
        let Some(context) = self.0.get() else { return Vec::new() };
        let listed = Api::<K>::new(&context.client).list(&Select::default().within(namespace)).await;
        // The store of this very process: when it does not answer, the write that is looked at fails as well.
        listed
            .inspect_err(|error| tracing::error!(%error, "admission cannot look at other objects"))
            .unwrap_or_default()
    }
}

#[async_trait::async_trait]
impl Lookup for Objects {
    async fn instance(&self, namespace: &str, name: &str) -> Option<VirtualMachineInstance> {
        let context = self.0.get()?;
        Api::new(&context.client).find(&Key::new(namespace, name)).await.ok()?
    }

    async fn named(&self, namespace: &str, matcher: &Matcher) -> Option<Value> {
        let resource = resources::NAMED.into_iter().find(|resource| resource.kind == matcher.kind)?;
        let key = match matcher.scope {
            Scope::Cluster => Key::cluster(&matcher.name),
            Scope::Namespace => Key::new(namespace, &matcher.name),
        };
        let found = Api::<Document>::of(&self.0.get()?.client, resource).find(&key).await.ok()??;
        Some(Value::Object(found.fields))
    }

    async fn revision(&self, namespace: &str, name: &str) -> Option<Value> {
        let api = Api::<ControllerRevision>::new(&self.0.get()?.client);
        let found = api.find(&Key::new(namespace, name)).await.ok()??;
        found.data.map(|data| data.0)
    }

    async fn claim_labels(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let client = &self.0.get()?.client;
        let api = Api::<PartialObject>::of(client, resources::PERSISTENT_VOLUME_CLAIM);
        let found = api.find(&Key::new(namespace, name)).await.ok()??;
        Some(found.metadata.labels)
    }

    async fn volume(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = match kind {
            "DataVolume" => resources::DATA_VOLUME,
            _ => resources::PERSISTENT_VOLUME_CLAIM,
        };
        let api = Api::<PartialObject>::of(&self.0.get()?.client, resource);
        let found = api.find(&Key::new(namespace, name)).await.ok()??;
        serde_json::to_value(found.metadata).ok()
    }

    async fn data_volumes(&self) -> usize {
        let Some(context) = self.0.get() else { return 0 };
        let api = Api::<PartialObject>::of(&context.client, resources::DATA_VOLUME);
        let own = api.list(&Select::labels("!cdi.kubevirt.io/dataImportCron")).await;
        own.map(|volumes| volumes.len()).unwrap_or_default()
    }

    async fn presets(&self, namespace: &str) -> Result<Vec<VirtualMachineInstancePreset>, String> {
        let Some(context) = self.0.get() else { return Err("the server is starting".to_owned()) };
        let api = Api::<Document>::of(&context.client, resources::PRESET);
        let listed = match api.list(&Select::default().within(namespace)).await {
            // An API server that does not know the kind has none.
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            listed => listed.map_err(|error| error.to_string())?,
        };
        let whole = listed.into_iter().map(|one| serde_json::to_value(one).and_then(serde_json::from_value));
        whole.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    async fn is_migrating(&self, namespace: &str, instance: &str, except: &str) -> bool {
        let migrations = self.list::<VirtualMachineInstanceMigration>(namespace).await;
        migrations.iter().any(|migration| {
            let phase =
                migration.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
            let same = migration.spec.vmi_name.as_deref() == Some(instance);
            same && migration.name() != except && !matches!(phase, "Succeeded" | "Failed")
        })
    }

    async fn has_other_installation(&self, namespace: &str, name: &str) -> bool {
        let all = self.list::<KubeVirt>("").await;
        all.iter().any(|other| (other.namespace(), other.name()) != (namespace, name))
    }

    async fn has_installation(&self, namespace: &str) -> bool {
        !self.list::<KubeVirt>(namespace).await.is_empty()
    }

    async fn workload(&self) -> Option<&'static str> {
        if !self.list::<VirtualMachineInstance>("").await.is_empty() {
            return Some("Virtual Machine Instances");
        }
        let machines = self.list::<VirtualMachine>("").await;
        (!machines.is_empty()).then_some("Virtual Machines")
    }
}
