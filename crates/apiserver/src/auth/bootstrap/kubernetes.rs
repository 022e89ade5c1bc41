//! Roles that Kubernetes clients and our own components rely on.

use serde_json::Value;

use super::{binding, cluster_binding, cluster_role, gathering_role, role};

/// Paths that tell about the API and reveal nothing.
const DISCOVERY: &str =
    "get | path | /,/api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/";

const PUBLIC: &str = "get | path | /healthz,/livez,/readyz,/version,/version/";

const MONITORING: &str =
    "get | path | /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*";

const BASIC_USER: &str = "
    create | authorization.k8s.io | selfsubjectaccessreviews,selfsubjectrulesreviews
    create | authentication.k8s.io | selfsubjectreviews
";

const ISSUER: &str = "get | path | /.well-known/openid-configuration,/openid/v1/jwks";

const AUTH_DELEGATOR: &str = "
    create | authentication.k8s.io | tokenreviews
    create | authorization.k8s.io | subjectaccessreviews
";

const ADMIN: &str = "
    create | authorization.k8s.io | localsubjectaccessreviews
    create,delete,deletecollection,get,list,patch,update,watch | rbac.authorization.k8s.io | rolebindings,roles
";

const EDIT: &str = "
    get,list,watch | - | pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy
    impersonate | - | serviceaccounts
    create,delete,deletecollection,patch,update | - | pods,pods/attach,pods/exec,pods/portforward,pods/proxy
    create | - | pods/eviction
    create,delete,deletecollection,patch,update | - | configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy
    create | - | serviceaccounts/token
    create,delete,deletecollection,patch,update | apps | daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale
    create,delete,deletecollection,patch,update | autoscaling | horizontalpodautoscalers
    create,delete,deletecollection,patch,update | batch | cronjobs,jobs
    create,delete,deletecollection,patch,update | networking.k8s.io | ingresses,networkpolicies
    create,delete,deletecollection,patch,update | policy | poddisruptionbudgets
    create,delete,deletecollection,get,list,patch,update,watch | coordination.k8s.io | leases
";

const VIEW: &str = "
    get,list,watch | - | configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status
    get,list,watch | - | bindings,events,limitranges,namespaces,namespaces/status,pods/log,pods/status,replicationcontrollers/status,resourcequotas,resourcequotas/status
    get,list,watch | discovery.k8s.io | endpointslices
    get,list,watch | apps | controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status
    get,list,watch | autoscaling | horizontalpodautoscalers,horizontalpodautoscalers/status
    get,list,watch | batch | cronjobs,cronjobs/status,jobs,jobs/status
    get,list,watch | networking.k8s.io | ingresses,ingresses/status,networkpolicies
    get,list,watch | policy | poddisruptionbudgets,poddisruptionbudgets/status
";

const SCHEDULER: &str = "
    create,patch,update | -,events.k8s.io | events
    create,get,list,patch,update,watch | coordination.k8s.io | leases
    get,list,watch | - | namespaces,nodes,persistentvolumeclaims,persistentvolumes,pods,replicationcontrollers,services
    delete | - | pods
    create | - | bindings,pods/binding
    patch,update | - | pods/status,persistentvolumeclaims,persistentvolumes
    get,list,watch | apps | replicasets,statefulsets
    get,list,watch | policy | poddisruptionbudgets
    get,list,watch | scheduling.k8s.io | priorityclasses
    get,list,watch | storage.k8s.io | csidrivers,csinodes,csistoragecapacities,storageclasses,volumeattachments
    get,list,watch | resource.k8s.io | deviceclasses,resourceclaims,resourceslices
    patch,update | resource.k8s.io | resourceclaims,resourceclaims/status
    create | authentication.k8s.io | tokenreviews
    create | authorization.k8s.io | subjectaccessreviews
";

/// One process holds all controllers of the embedded cluster. Garbage collection and namespace deletion reach every
/// kind, and aggregation and binding of roles pass on rights, so that it may do nearly everything; it may not read
/// through the proxies, and not impersonate.
const CONTROLLER_MANAGER: &str = "
    create,delete,deletecollection,get,list,patch,update,watch | * | *
    escalate,bind | rbac.authorization.k8s.io | clusterroles,roles
    get | path | *
";

/// Whoever carries Services and policies out on a node.
const PROXY: &str = "
    get,list,watch | - | endpoints,namespaces,nodes,pods,services
    get,list,watch | discovery.k8s.io | endpointslices
    get,list,watch | networking.k8s.io | networkpolicies
    create,patch,update | -,events.k8s.io | events
";

const NODE: &str = "
    create | authentication.k8s.io | tokenreviews
    create | authorization.k8s.io | localsubjectaccessreviews,subjectaccessreviews
    get,list,watch | - | services
    create,get,list,watch | - | nodes
    patch,update | - | nodes,nodes/status
    create,patch,update | -,events.k8s.io | events
    get,list,watch | - | pods
    delete | - | pods
    patch,update | - | pods/status
    get | - | configmaps,secrets
    get,list,watch | - | persistentvolumeclaims,persistentvolumes
    get,patch,update | - | persistentvolumeclaims/status
    patch | - | persistentvolumes
    get | storage.k8s.io | volumeattachments
    get | - | serviceaccounts
    get,list,watch | storage.k8s.io | csidrivers
    create,delete,get,patch,update | storage.k8s.io | csinodes
    get,list,watch | storage.k8s.io | storageclasses
    create,delete,get,patch,update | coordination.k8s.io | leases
    get,list,watch | node.k8s.io | runtimeclasses
    create,get,list,watch | certificates.k8s.io | certificatesigningrequests
";

pub(super) fn objects() -> Vec<Value> {
    let aggregate = |what: &str| format!("rbac.authorization.k8s.io/aggregate-to-{what}=true");
    vec![
        cluster_role("cluster-admin", "", "* | * | *\n* | path | *"),
        cluster_role("system:discovery", "", DISCOVERY),
        cluster_role("system:public-info-viewer", "", PUBLIC),
        cluster_role("system:monitoring", "", MONITORING),
        cluster_role("system:basic-user", "", BASIC_USER),
        cluster_role("system:auth-delegator", "", AUTH_DELEGATOR),
        cluster_role("system:service-account-issuer-discovery", "", ISSUER),
        gathering_role("admin", "", "admin"),
        gathering_role("edit", &aggregate("admin"), "edit"),
        gathering_role("view", &aggregate("edit"), "view"),
        cluster_role("system:aggregate-to-admin", &aggregate("admin"), ADMIN),
        cluster_role("system:aggregate-to-edit", &aggregate("edit"), EDIT),
        cluster_role("system:aggregate-to-view", &aggregate("view"), VIEW),
        cluster_role(
            "system:aggregated-metrics-reader",
            &aggregate("view"),
            "get,list,watch | metrics.k8s.io | nodes,pods",
        ),
        cluster_role("system:kube-scheduler", "", SCHEDULER),
        cluster_role("system:kube-controller-manager", "", CONTROLLER_MANAGER),
        cluster_role("system:node", "", NODE),
        cluster_role("system:node-proxier", "", PROXY),
        role(
            "kube-system",
            "extension-apiserver-authentication-reader",
            "get,list,watch | - | configmaps | extension-apiserver-authentication",
        ),
        binding(
            "kube-system",
            "system::extension-apiserver-authentication-reader",
            "extension-apiserver-authentication-reader",
            "user:system:kube-controller-manager user:system:kube-scheduler",
        ),
        cluster_binding("system:node-proxier", "system:node-proxier", "user:system:kube-proxy"),
        cluster_binding("cluster-admin", "cluster-admin", "group:system:masters"),
        cluster_binding("system:discovery", "system:discovery", "group:system:authenticated"),
        cluster_binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            "group:system:authenticated group:system:unauthenticated",
        ),
        cluster_binding(
            "system:service-account-issuer-discovery",
            "system:service-account-issuer-discovery",
            "group:system:serviceaccounts",
        ),
        cluster_binding("system:monitoring", "system:monitoring", "group:system:monitoring"),
        cluster_binding("system:basic-user", "system:basic-user", "group:system:authenticated"),
        cluster_binding("system:kube-scheduler", "system:kube-scheduler", "user:system:kube-scheduler"),
        cluster_binding(
            "system:kube-controller-manager",
            "system:kube-controller-manager",
            "user:system:kube-controller-manager",
        ),
        cluster_binding("system:node", "system:node", "group:system:nodes"),
    ]
}
