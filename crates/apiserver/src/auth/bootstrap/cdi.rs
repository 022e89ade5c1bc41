//! Roles for users of CDI's kinds.

use serde_json::Value;

use super::{cluster_binding, cluster_role};

/// Owners of a namespace and those who work there may do the same.
const EDIT: &str = "
    * | cdi.kubevirt.io | dataimportcrons,datasources,datavolumes,volumeclonesources,volumeimportsources,volumeuploadsources
    create | cdi.kubevirt.io | datavolumes/source
    * | upload.cdi.kubevirt.io | uploadtokenrequests
    * | forklift.cdi.kubevirt.io | openstackvolumepopulators,ovirtvolumepopulators
";

const VIEW: &str = "
    get,list,watch | cdi.kubevirt.io | cdiconfigs,dataimportcrons,datasources,datavolumes,objecttransfers,storageprofiles,volumeclonesources,volumeimportsources,volumeuploadsources
    get,list,watch | forklift.cdi.kubevirt.io | openstackvolumepopulators,ovirtvolumepopulators
";

/// For who lets others copy the volumes of a namespace.
const CLONE_SOURCER: &str = "create | cdi.kubevirt.io | datavolumes/source";

const CONFIG_READER: &str = "get,list,watch | cdi.kubevirt.io | cdiconfigs,storageprofiles";

pub(super) fn objects() -> Vec<Value> {
    let joining = |role: &str| format!("cdi.kubevirt.io=,rbac.authorization.k8s.io/aggregate-to-{role}=true");
    let reader = "cdi.kubevirt.io:config-reader";
    vec![
        cluster_role("cdi.kubevirt.io:admin", &joining("admin"), EDIT),
        cluster_role("cdi.kubevirt.io:edit", &joining("edit"), EDIT),
        cluster_role("cdi.kubevirt.io:view", &joining("view"), VIEW),
        cluster_role("cdi.kubevirt.io:clone-sourcer", "cdi.kubevirt.io=", CLONE_SOURCER),
        cluster_role(reader, "cdi.kubevirt.io=", CONFIG_READER),
        cluster_binding(reader, reader, "group:system:authenticated"),
    ]
}
