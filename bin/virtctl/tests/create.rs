//! Manifests from flags, byte for byte as KubeVirt's own virtctl writes them.

use std::process::{Command, Output};

use serde_json::{Value, json};

fn virtctl(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtctl"));
    command.env_clear().args(line.split_whitespace());
    command.output().expect("virtctl starts")
}

#[track_caller]
fn writes(line: &str, manifest: &str) {
    let output = virtctl(line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), manifest, "{line}: {said}");
    assert!(output.status.success(), "{line}");
}

#[track_caller]
fn refuses(line: &str, says: &str) {
    let output = virtctl(line);
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim_end(), says, "{line}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{line}");
}

#[test]
fn a_machine_has_what_is_asked_for_and_no_more() {
    writes(
        "create vm --name a --memory 1024Mi",
        "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: a
spec:
  runStrategy: Always
  template:
    metadata: {}
    spec:
      domain:
        devices: {}
        memory:
          guest: 1Gi
        resources: {}
      terminationGracePeriodSeconds: 180
status: {}
",
    );
    writes(
        "create vm --name a --volume-containerdisk src:r/i:t,bootorder:2 --volume-pvc src:p \
         --volume-import type:ds,src:ns/d,size:0.5Gi,name:n,bootorder:1 --user u --ssh-key k1,k2",
        r#"apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: a
spec:
  dataVolumeTemplates:
  - metadata:
      name: "n"
    spec:
      sourceRef:
        kind: DataSource
        name: d
        namespace: ns
      storage:
        resources:
          requests:
            storage: 512Mi
  instancetype:
    inferFromVolume: "n"
    inferFromVolumeFailurePolicy: Ignore
  preference:
    inferFromVolume: "n"
    inferFromVolumeFailurePolicy: Ignore
  runStrategy: Always
  template:
    metadata: {}
    spec:
      domain:
        devices:
          disks:
          - bootOrder: 2
            name: a-containerdisk-0
          - bootOrder: 1
            name: "n"
        memory:
          guest: 512Mi
        resources: {}
      terminationGracePeriodSeconds: 180
      volumes:
      - containerDisk:
          image: r/i:t
        name: a-containerdisk-0
      - name: p
        persistentVolumeClaim:
          claimName: p
      - dataVolume:
          name: "n"
        name: "n"
      - cloudInitNoCloud:
          userData: |-
            #cloud-config
            user: u
            ssh_authorized_keys:
              - k1
              - k2
        name: cloudinitdisk
status: {}
"#,
    );
}

#[test]
fn each_source_of_an_import_has_its_fields() {
    let imported = |parameters: &str| {
        let output = virtctl(&format!("create vm --name a --volume-import {parameters},name:v"));
        assert!(output.status.success(), "{parameters}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_saphyr::from_str::<Value>(&text).expect("YAML")
    };
    for (parameters, source, size, inferred) in [
        ("type:blank,size:256Mi", json!({"blank": {}}), Some("256Mi"), false),
        (
            "type:gcs,size:1Gi,url:http://u,secretref:s",
            json!({"gcs": {"url": "http://u", "secretRef": "s"}}),
            Some("1Gi"),
            false,
        ),
        (
            "type:http,size:1Gi,url:http://u,certconfigmap:c,secretref:s,extraheaders:a;b,secretextraheaders:d",
            json!({"http": {"url": "http://u", "certConfigMap": "c", "secretRef": "s", "extraHeaders": ["a", "b"],
                            "secretExtraHeaders": ["d"]}}),
            Some("1Gi"),
            false,
        ),
        (
            "type:imageio,size:1Gi,url:http://u,diskid:1,secretref:s,certconfigmap:c",
            json!({"imageio": {"url": "http://u", "diskId": "1", "secretRef": "s", "certConfigMap": "c"}}),
            Some("1Gi"),
            false,
        ),
        ("type:pvc,src:ns/p", json!({"pvc": {"name": "p", "namespace": "ns"}}), None, true),
        (
            "type:registry,size:1Gi,url:docker://u,pullmethod:pod,secretref:s,certconfigmap:c",
            json!({"registry": {"url": "docker://u", "pullMethod": "pod", "secretRef": "s", "certConfigMap": "c"}}),
            Some("1Gi"),
            true,
        ),
        (
            "type:s3,size:1Gi,url:http://u,secretref:s,certconfigmap:c",
            json!({"s3": {"url": "http://u", "secretRef": "s", "certConfigMap": "c"}}),
            Some("1Gi"),
            false,
        ),
        (
            "type:vddk,size:1Gi,url:http://u,uuid:i,thumbprint:t,secretref:s,backingfile:b,initimageurl:m",
            json!({"vddk": {"url": "http://u", "uuid": "i", "thumbprint": "t", "secretRef": "s", "backingFile": "b",
                            "initImageURL": "m"}}),
            Some("1Gi"),
            false,
        ),
        (
            "type:snapshot,src:ns/s,size:1Gi",
            json!({"snapshot": {"name": "s", "namespace": "ns"}}),
            Some("1Gi"),
            true,
        ),
    ] {
        let machine = imported(parameters);
        let volume = &machine["spec"]["dataVolumeTemplates"][0];
        assert_eq!(volume["spec"]["source"], source, "{parameters}");
        assert_eq!(
            volume["spec"]["storage"]["resources"]["requests"]["storage"].as_str(),
            size,
            "{parameters}"
        );
        let volumes = &machine["spec"]["template"]["spec"]["volumes"];
        assert_eq!(*volumes, json!([{"name": "v", "dataVolume": {"name": "v"}}]), "{parameters}");
        let matcher = json!({"inferFromVolume": "v", "inferFromVolumeFailurePolicy": "Ignore"});
        let expected = if inferred { matcher } else { Value::Null };
        assert_eq!(machine["spec"]["preference"], expected, "{parameters}");
    }
    let sourced = imported("type:ds,src:ns/d");
    let reference = json!({"kind": "DataSource", "namespace": "ns", "name": "d"});
    assert_eq!(sourced["spec"]["dataVolumeTemplates"][0]["spec"]["sourceRef"], reference);
    for (volume, source) in [("src:x", "configMap"), ("src:x,type:Secret", "secret")] {
        let output = virtctl(&format!("create vm --name a --volume-sysprep {volume}"));
        let machine: Value = serde_saphyr::from_str(&String::from_utf8_lossy(&output.stdout)).expect("YAML");
        let expected = json!([{"name": "sysprepdisk", "sysprep": {source: {"name": "x"}}}]);
        assert_eq!(machine["spec"]["template"]["spec"]["volumes"], expected);
    }
}

#[test]
fn instance_types_preferences_and_clones_are_written() {
    writes(
        "create instancetype --cpu 2 --memory 0.5Gi --name x --gpu name:g,devicename:d -n ns",
        "apiVersion: instancetype.kubevirt.io/v1beta1
kind: VirtualMachineInstancetype
metadata:
  name: x
  namespace: ns
spec:
  cpu:
    guest: 2
  gpus:
  - deviceName: d
    name: g
  memory:
    guest: 512Mi
",
    );
    writes(
        "create preference --name p --cpu-topology cores --machine-type q35",
        "apiVersion: instancetype.kubevirt.io/v1beta1
kind: VirtualMachineClusterPreference
metadata:
  name: p
spec:
  cpu:
    preferredCPUTopology: cores
  machine:
    preferredMachineType: q35
",
    );
    writes(
        "create clone --source-name a --source-type snapshot --name c --label-filter * --new-mac-address i:00-11",
        "apiVersion: clone.kubevirt.io/v1beta1
kind: VirtualMachineClone
metadata:
  name: c
spec:
  labelFilters:
  - '*'
  newMacAddresses:
    i: 00-11
  source:
    apiGroup: snapshot.kubevirt.io
    kind: VirtualMachineSnapshot
    name: a
  target:
    apiGroup: kubevirt.io
    kind: VirtualMachine
    name: \"\"
  template: {}
status: {}
",
    );
}

#[test]
fn mistakes_are_named_by_flag_and_parameter() {
    for (line, says) in [
        ("create vm x", "unknown command \"x\" for \"virtctl create vm\""),
        ("create instancetype", "required flag(s) \"cpu\", \"memory\" not set"),
        (
            "create vm --memory 1 --instancetype a",
            "if any flags in the group [memory instancetype infer-instancetype infer-instancetype-from] are set none of the others can be; [instancetype memory] were all set",
        ),
        (
            "create vm --volume-pvc src:ns/p",
            "failed to parse \"--volume-pvc\" flag: not allowed to specify namespace of pvc \"p\"",
        ),
        (
            "create vm --volume-containerdisk src:a,bootorder:1 --volume-pvc src:b,bootorder:1",
            "failed to parse \"--volume-pvc\" flag: bootorder 1 was specified multiple times",
        ),
        (
            "create vm --volume-import type:vddk,size:1Gi,url:u,uuid:i",
            "failed to parse \"--volume-import\" flag: thumbprint is required with vddk volume source",
        ),
        (
            "create vm --access-cred type:ssh,src:k,method:configdrive --cloud-init nocloud",
            "failed to parse \"--access-cred\" flag: method param and value passed to --cloud-init have to match: configdrive vs nocloud",
        ),
        (
            "create vm --infer-instancetype",
            "at least one volume is needed to infer an instance type or preference",
        ),
    ] {
        refuses(line, says);
    }
}

#[test]
fn no_command_and_no_shell_are_answered_with_help() {
    for line in ["create", "create foo", "credentials", "completion", "completion tcsh"] {
        let output = virtctl(line);
        assert!(output.status.success(), "{line}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage:"), "{line}");
    }
}

#[test]
fn a_reader_who_has_gone_is_no_failure_and_a_full_disk_is_one() {
    let run = |line: &str, output: std::fs::File| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virtctl"));
        command.env_clear().args(line.split_whitespace()).stdout(output).output().expect("virtctl starts")
    };
    for line in ["create vm --name a", "create preference --name p", "completion bash"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let unread = run(line, std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
        assert!(unread.status.success() && unread.stderr.is_empty(), "{line}: {unread:?}");
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let full = run(line, full);
        let said = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains("writing to standard output"), "{line}: {said}");
    }
}
