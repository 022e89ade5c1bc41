"""What programs in Python do with the official client, and Ansible with it: typed and dynamic objects, every kind of
patch, server-side apply, watches that are resumed, and a loop like an informer's. Fails by an assertion."""

import threading
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException

config.load_kube_config()
core, rbac, custom = client.CoreV1Api(), client.RbacAuthorizationV1Api(), client.CustomObjectsApi()
api = dynamic.DynamicClient(client.ApiClient())
MACHINE = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "metadata": {"name": "one", "labels": {"tier": "gold"}},
    "spec": {
        "runStrategy": "Halted",
        "template": {"spec": {"domain": {"memory": {"guest": "64Mi"}, "devices": {}}}},
    },
}


def refused(status, reason, call):
    """Returns the error of a call that must fail."""
    try:
        call()
    except ApiException as error:
        assert error.status == status and reason in str(error.body), (error.status, error.body)
        return error
    raise AssertionError(f"was not refused with {status} {reason}")


def typed():
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="shop")))
    core.create_namespaced_config_map("shop", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert core.patch_namespaced_config_map("a", "shop", {"data": {"l": "w"}}).data == {"k": "v", "l": "w"}
    found = core.read_namespaced_config_map("a", "shop")
    found.data = {"k": "new"}
    core.replace_namespaced_config_map("a", "shop", found)
    refused(409, "Conflict", lambda: core.replace_namespaced_config_map("a", "shop", found))
    refused(404, "NotFound", lambda: core.read_namespaced_config_map("b", "shop"))
    refused(422, "Invalid", lambda: core.create_namespaced_config_map("shop", {"metadata": {"name": "A_"}}))
    dry = core.create_namespaced_config_map("shop", {"metadata": {"name": "dry"}}, dry_run="All")
    assert dry.metadata.uid and len(core.list_namespaced_config_map("shop", field_selector="metadata.name=dry").items) == 0
    # A list in pieces is the same list.
    for number in range(5):
        core.create_namespaced_config_map("shop", {"metadata": {"name": f"p{number}", "labels": {"page": "y"}}})
    names, token = [], None
    while token is None or token:
        page = core.list_namespaced_config_map("shop", label_selector="page=y", limit=2, _continue=token)
        names, token = names + [item.metadata.name for item in page.items], page.metadata._continue or ""
    assert names == [f"p{number}" for number in range(5)], names
    core.delete_collection_namespaced_config_map("shop", label_selector="page=y")
    assert core.list_namespaced_config_map("shop", label_selector="page=y").items == []
    # Who may.
    core.create_namespaced_service_account("shop", {"metadata": {"name": "bob"}})
    rbac.create_namespaced_role_binding("shop", {
        "metadata": {"name": "bob"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "bob", "namespace": "shop"}],
    })
    token = core.create_namespaced_service_account_token("bob", "shop", {"spec": {"expirationSeconds": 600}})
    as_bob = client.Configuration.get_default_copy()
    as_bob.cert_file = as_bob.key_file = None
    as_bob.api_key = {"authorization": "Bearer " + token.status.token}
    bob = client.CoreV1Api(client.ApiClient(as_bob))
    for _ in range(300):
        try:
            assert bob.list_namespaced_config_map("shop").items
            break
        except ApiException as error:
            assert error.status == 403, error
            time.sleep(0.1)
    refused(403, "bob", lambda: bob.list_namespaced_secret("shop"))
    utils.create_from_dict(client.ApiClient(), {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]},
    }, namespace="shop")
    assert core.read_namespaced_service("web", "shop").spec.cluster_ip
    assert client.VersionApi().get_code().platform.split("/")[0] == "linux"


def dynamically():
    machines = api.resources.get(api_version="kubevirt.io/v1", kind="VirtualMachine")
    made = machines.create(body=MACHINE, namespace="shop")
    assert made.metadata.name == "one" and made.spec.runStrategy == "Halted"
    merged = machines.patch(
        body={"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 2}}}}}},
        name="one", namespace="shop", content_type="application/merge-patch+json",
    )
    assert merged.spec.template.spec.domain.cpu.cores == 2
    steps = [{"op": "add", "path": "/metadata/labels/zone", "value": "a"}]
    patched = machines.patch(body=steps, name="one", namespace="shop", content_type="application/json-patch+json")
    assert patched.metadata.labels["zone"] == "a"
    # As Ansible applies: first to look, then in earnest, by a manager of its own.
    wanted = {**MACHINE, "metadata": {"name": "two"}}
    look = machines.server_side_apply(body=wanted, namespace="shop", field_manager="ansible", dry_run="All")
    assert look.metadata.name == "two"
    refused(404, "NotFound", lambda: machines.get(name="two", namespace="shop"))
    applied = machines.server_side_apply(body=wanted, namespace="shop", field_manager="ansible")
    again = machines.server_side_apply(body=wanted, namespace="shop", field_manager="ansible")
    owner = [entry for entry in applied.metadata.managedFields if entry.operation == "Apply"]
    assert [entry.manager for entry in owner] == ["ansible"]
    assert applied.metadata.generation == again.metadata.generation
    other = {**wanted, "spec": {**wanted["spec"], "runStrategy": "Manual"}}
    conflict = refused(409, "Conflict", lambda: machines.server_side_apply(
        body=other, namespace="shop", field_manager="terraform"))
    assert b"ansible" in conflict.body and b".spec.runStrategy" in conflict.body
    forced = machines.server_side_apply(
        body=other, namespace="shop", field_manager="terraform", force_conflicts=True)
    assert forced.spec.runStrategy == "Manual"
    named = [item.metadata.name for item in machines.get(namespace="shop", label_selector="tier=gold").items]
    assert named == ["one"], named
    # The status is a controller's, which may come after the answer to the creation.
    for _ in range(300):
        read = custom.get_namespaced_custom_object("kubevirt.io", "v1", "shop", "virtualmachines", "one")
        if read.get("status", {}).get("printableStatus") == "Stopped":
            break
        time.sleep(0.1)
    assert read["status"]["printableStatus"] == "Stopped", read
    strict = {**MACHINE, "metadata": {"name": "three"}, "spec": {**MACHINE["spec"], "memroy": 1}}
    refused(400, "memroy", lambda: custom.create_namespaced_custom_object(
        "kubevirt.io", "v1", "shop", "virtualmachines", strict, field_validation="Strict"))


class Informer:
    """Lists, watches from there, and resumes: what it holds must be what there is."""

    def __init__(self):
        self.held, self.stopped, self.listed, self.failed = {}, threading.Event(), threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            revision = self.list()
            while not self.stopped.is_set():
                # Short watches, so that each run resumes several times.
                revision = self.watch(revision)
        except Exception as error:  # told by the main thread
            self.failed = error
            self.listed.set()

    def list(self):
        page = core.list_namespaced_config_map("shop", label_selector="seen=yes")
        self.held = {item.metadata.name: item for item in page.items}
        self.listed.set()
        return page.metadata.resource_version

    def watch(self, revision):
        try:
            for event in watch.Watch().stream(
                core.list_namespaced_config_map, "shop", label_selector="seen=yes", resource_version=revision,
                allow_watch_bookmarks=True, timeout_seconds=1,
            ):
                item = event["object"]
                if event["type"] == "BOOKMARK":
                    revision = event["raw_object"]["metadata"]["resourceVersion"]
                    continue
                revision = item.metadata.resource_version
                if event["type"] == "DELETED":
                    del self.held[item.metadata.name]
                else:
                    assert (event["type"] == "ADDED") == (item.metadata.name not in self.held), event["type"]
                    self.held[item.metadata.name] = item
        except ApiException as error:
            if error.status != 410:
                raise
            return self.list()
        return revision


def informed():
    core.create_namespaced_config_map("shop", {"metadata": {"name": "old", "labels": {"seen": "yes"}}})
    informer = Informer()
    assert informer.listed.wait(60) and "old" in informer.held, informer.failed
    for number in range(30):
        name = f"w{number}"
        core.create_namespaced_config_map("shop", {"metadata": {"name": name, "labels": {"seen": "yes"}}})
        core.patch_namespaced_config_map(name, "shop", {"data": {"turn": str(number)}})
        if number % 3 == 0:
            core.delete_namespaced_config_map(name, "shop")
        if number % 5 == 0:
            # What no longer matches the selector has gone, for whoever watches with it.
            core.patch_namespaced_config_map("old", "shop", {"metadata": {"labels": {"seen": "no"}}})
            core.patch_namespaced_config_map("old", "shop", {"metadata": {"labels": {"seen": "yes"}}})
        time.sleep(0.08)

    def versions(items):
        return {name: item.metadata.resource_version for name, item in items}

    real = core.list_namespaced_config_map("shop", label_selector="seen=yes").items
    real = versions((item.metadata.name, item) for item in real)
    for _ in range(600):
        if informer.failed or versions(list(informer.held.items())) == real:
            break
        time.sleep(0.1)
    assert not informer.failed, informer.failed
    assert versions(informer.held.items()) == real
    informer.stopped.set()
    informer.thread.join(60)


def the_end():
    core.delete_namespace("shop", propagation_policy="Foreground")
    for _ in range(900):
        try:
            core.read_namespace("shop")
            time.sleep(0.1)
        except ApiException as error:
            assert error.status == 404, error
            return
    raise AssertionError("the namespace does not go")


for part in (typed, dynamically, informed, the_end):
    part()
    print("passed:", part.__name__)
