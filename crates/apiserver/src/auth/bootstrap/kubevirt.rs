//! Roles for users of virtual machines and for the components that run them.

use serde_json::Value;

use super::{cluster_binding, cluster_role};

const DEFAULT: &str = "
    get,list | subresources.kubevirt.io | version,guestfs
    get,list | kubevirt.io | kubevirts
";

/// Reading, and what tells about a running machine without changing it.
const VIEW: &str = "
    get,list,watch | kubevirt.io | kubevirts,virtualmachineinstancemigrations,virtualmachineinstancepresets,virtualmachineinstancereplicasets,virtualmachineinstances,virtualmachines
    get,list,watch | snapshot.kubevirt.io | virtualmachinerestores,virtualmachinesnapshotcontents,virtualmachinesnapshots
    get,list,watch | export.kubevirt.io | virtualmachineexports
    get,list,watch | clone.kubevirt.io | virtualmachineclones
    get,list,watch | backup.kubevirt.io | virtualmachinebackups,virtualmachinebackuptrackers
    get,list,watch | instancetype.kubevirt.io | virtualmachineclusterinstancetypes,virtualmachineclusterpreferences,virtualmachineinstancetypes,virtualmachinepreferences
    get,list,watch | pool.kubevirt.io | virtualmachinepools
    get,list,watch | migrations.kubevirt.io | migrationpolicies
    get | subresources.kubevirt.io | virtualmachines/expand-spec,virtualmachines/objectgraph
    get | subresources.kubevirt.io | virtualmachineinstances/filesystemlist,virtualmachineinstances/guestosinfo,virtualmachineinstances/objectgraph,virtualmachineinstances/sev/fetchcertchain,virtualmachineinstances/sev/querylaunchmeasurement,virtualmachineinstances/userlist
    update | subresources.kubevirt.io | expand-vm-spec
";

const EDIT_SUBRESOURCES: &str = "
    get | subresources.kubevirt.io | virtualmachineinstances/console,virtualmachineinstances/portforward,virtualmachineinstances/usbredir,virtualmachineinstances/vnc
    get | subresources.kubevirt.io | virtualmachines/portforward
    update | subresources.kubevirt.io | virtualmachineinstances/addvolume,virtualmachineinstances/evacuate/cancel,virtualmachineinstances/freeze,virtualmachineinstances/pause,virtualmachineinstances/removevolume,virtualmachineinstances/reset,virtualmachineinstances/sev/injectlaunchsecret,virtualmachineinstances/sev/setupsession,virtualmachineinstances/softreboot,virtualmachineinstances/unfreeze,virtualmachineinstances/unpause
    update | subresources.kubevirt.io | virtualmachines/addvolume,virtualmachines/evacuate/cancel,virtualmachines/memorydump,virtualmachines/removevolume,virtualmachines/restart,virtualmachines/start,virtualmachines/stop
";

/// Kinds that users of a namespace own, as groups and resources.
const OWNED: &[(&str, &str)] = &[
    (
        "kubevirt.io",
        "virtualmachineinstancepresets,virtualmachineinstancereplicasets,virtualmachineinstances,virtualmachines",
    ),
    ("snapshot.kubevirt.io", "virtualmachinerestores,virtualmachinesnapshotcontents,virtualmachinesnapshots"),
    ("export.kubevirt.io", "virtualmachineexports"),
    ("clone.kubevirt.io", "virtualmachineclones"),
    ("backup.kubevirt.io", "virtualmachinebackups,virtualmachinebackuptrackers"),
    (
        "instancetype.kubevirt.io",
        "virtualmachineclusterinstancetypes,virtualmachineclusterpreferences,virtualmachineinstancetypes,virtualmachinepreferences",
    ),
    ("pool.kubevirt.io", "virtualmachinepools"),
];

const MIGRATE: &str = "
    update | subresources.kubevirt.io | virtualmachines/migrate
    create,delete,deletecollection,get,list,patch,update,watch | kubevirt.io | virtualmachineinstancemigrations
";

const INSTANCETYPE_VIEW: &str = "
    get,list,watch | instancetype.kubevirt.io | virtualmachineclusterinstancetypes,virtualmachineclusterpreferences
";

/// virt-api: judges and defaults, reads what it needs for that, and asks others to authorise.
const API: &str = "
    create | authorization.k8s.io | subjectaccessreviews
    create | authentication.k8s.io | tokenreviews
    get,list,watch | - | limitranges,namespaces,nodes,persistentvolumeclaims,pods,resourcequotas
    delete | - | pods
    get,list,watch | storage.k8s.io | storageclasses
    get,list,patch,update,watch | kubevirt.io | virtualmachineinstances,virtualmachines
    patch,update | kubevirt.io | virtualmachines/status
    create,delete,get,list,watch | kubevirt.io | virtualmachineinstancemigrations
    get,list,watch | kubevirt.io | kubevirts,virtualmachineinstancepresets,virtualmachineinstancereplicasets
    get,list,watch | instancetype.kubevirt.io,migrations.kubevirt.io,pool.kubevirt.io,snapshot.kubevirt.io,clone.kubevirt.io,export.kubevirt.io,backup.kubevirt.io | *
    get,list,watch | cdi.kubevirt.io | datasources,datavolumes
    get,list,watch | apiextensions.k8s.io | customresourcedefinitions
    get,list,watch | apps | controllerrevisions
    create,patch | - | events
";

/// virt-controller: turns machines into Pods. It reads no Secrets.
const CONTROLLER: &str = "
    get,list,watch | - | limitranges,namespaces,nodes,persistentvolumes,resourcequotas
    patch,update | - | nodes
    create,delete,get,list,patch,update,watch | - | configmaps,persistentvolumeclaims,pods,services
    patch,update | - | pods/finalizers,pods/status
    create | - | pods/eviction
    create,patch,update | -,events.k8s.io | events
    create,delete,get,list,patch,update,watch | apps | controllerrevisions
    create,delete,get,list,watch | policy | poddisruptionbudgets
    patch,update | policy | poddisruptionbudgets
    create,get,list,patch,update,watch | coordination.k8s.io | leases
    get,list,watch | storage.k8s.io | storageclasses
    get,list,watch | scheduling.k8s.io | priorityclasses
    get,list,watch | apiextensions.k8s.io | customresourcedefinitions
    * | kubevirt.io | *
    * | backup.kubevirt.io,clone.kubevirt.io,export.kubevirt.io,pool.kubevirt.io,snapshot.kubevirt.io | *
    get,list,watch | instancetype.kubevirt.io,migrations.kubevirt.io | *
    create,delete,patch,update | instancetype.kubevirt.io | virtualmachineclusterinstancetypes,virtualmachineclusterpreferences
    create,delete,get,list,patch,update,watch | cdi.kubevirt.io | datavolumes
    get,list,watch | cdi.kubevirt.io | cdiconfigs,datasources,storageprofiles
    update | subresources.kubevirt.io | virtualmachineinstances/addvolume,virtualmachineinstances/backup,virtualmachineinstances/freeze,virtualmachineinstances/redefine-checkpoint,virtualmachineinstances/removevolume,virtualmachineinstances/reset,virtualmachineinstances/softreboot,virtualmachineinstances/unfreeze
    get,list,watch | resource.k8s.io | resourceclaims,resourceslices
";

/// virt-handler: works for the machines of its node. It makes and removes no machines and no Pods.
const HANDLER: &str = "
    get,list,patch,update,watch | kubevirt.io | virtualmachineinstances
    get,list,watch | kubevirt.io | kubevirts,virtualmachineinstancemigrations
    get,list,patch,watch | - | nodes
    patch | - | nodes/status
    get,list,watch | - | pods
    get | - | configmaps,persistentvolumeclaims,persistentvolumes,secrets
    create | - | serviceaccounts/token
    create,patch,update | -,events.k8s.io | events
    get,list,watch | migrations.kubevirt.io | migrationpolicies
    get,list,watch | export.kubevirt.io | virtualmachineexports
    create,get,list,patch,update,watch | coordination.k8s.io | leases
";

/// Roles that join the standard ones by aggregation carry the labels of the release, too.
fn user_role(name: &str, aggregate: &str, rules: &str) -> Value {
    let labels = match aggregate {
        "" => "kubevirt.io=".to_owned(),
        aggregate => format!("kubevirt.io=,rbac.authorization.k8s.io/aggregate-to-{aggregate}=true"),
    };
    cluster_role(name, &labels, rules)
}

/// Rules with `verbs` for all kinds that users own.
fn owned(verbs: &str) -> String {
    let lines: Vec<String> =
        OWNED.iter().map(|(group, resources)| format!("{verbs} | {group} | {resources}")).collect();
    lines.join("\n")
}

pub(super) fn objects() -> Vec<Value> {
    let edit = format!("{}{EDIT_SUBRESOURCES}{VIEW}", owned("create,delete,get,list,patch,update,watch"));
    let admin = format!(
        "{}{EDIT_SUBRESOURCES}{VIEW}
        get | subresources.kubevirt.io | virtualmachineinstances/vnc/screenshot",
        owned("create,delete,deletecollection,get,list,patch,update,watch")
    );
    let account = |name: &str| format!("account:kubevirt/{name}");
    vec![
        user_role("kubevirt.io:default", "", DEFAULT),
        user_role("kubevirt.io:admin", "admin", &admin),
        user_role("kubevirt.io:edit", "edit", &edit),
        user_role("kubevirt.io:view", "view", VIEW),
        user_role("kubevirt.io:migrate", "", MIGRATE),
        user_role("instancetype.kubevirt.io:view", "", INSTANCETYPE_VIEW),
        user_role("kubevirt-apiserver", "", API),
        user_role("kubevirt-controller", "", CONTROLLER),
        user_role("kubevirt-handler", "", HANDLER),
        cluster_binding("kubevirt.io:default", "kubevirt.io:default", "group:system:authenticated"),
        cluster_binding(
            "instancetype.kubevirt.io:view",
            "instancetype.kubevirt.io:view",
            "group:system:authenticated",
        ),
        cluster_binding("kubevirt-apiserver", "kubevirt-apiserver", &account("kubevirt-apiserver")),
        cluster_binding("kubevirt-controller", "kubevirt-controller", &account("kubevirt-controller")),
        cluster_binding("kubevirt-handler", "kubevirt-handler", &account("kubevirt-handler")),
    ]
}
