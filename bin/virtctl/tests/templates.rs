//! Machines from templates: in files, and of a peer that plays the server.

mod peer;

use serde_json::{Value, json};

use peer::{Peer, answer, text};

const TEMPLATE: &str = "apiVersion: template.kubevirt.io/v1alpha1
kind: VirtualMachineTemplate
metadata: {name: t}
spec:
  message: Log in to ${NAME}
  parameters:
    - {name: NAME, required: true}
    - {name: CPUS, value: '2'}
  virtualMachine:
    metadata: {name: '${NAME}', namespace: fixed}
    spec:
      runStrategy: Always
      template:
        spec:
          domain: {cpu: {cores: '${{CPUS}}'}}
";

const MACHINE: &str = "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: web
spec:
  runStrategy: Always
  template:
    metadata: {}
    spec:
      domain:
        cpu:
          cores: 4
        devices: {}
        resources: {}
status: {}
";

#[test]
fn a_template_in_a_file_becomes_a_machine() {
    let folder = std::env::temp_dir().join(format!("virtctl-templates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    };
    let (template, values) = (file("t.yaml", TEMPLATE), file("p.json", r#"{"NAME": "web", "CPUS": 4}"#));
    let peer = Peer::start(Vec::new());
    let output = peer.run(&format!("template process --file {template} -p NAME=web --param CPUS=4"));
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), (MACHINE, "Log in to web"));
    assert_eq!(peer.says(&format!("template process -f {template} --params-file {values}")), MACHINE);
    assert!(
        peer.says(&format!("template process -f {template} --print-params")).starts_with("- name: NAME\n")
    );
    assert!(
        peer.refuses(&format!("template process -f {template}")).contains("parameter 'NAME' is required")
    );
    assert!(
        peer.refuses(&format!("template process -f {template} --local"))
            .starts_with("if any flags in the group [file local]")
    );
    let openshift =
        file("o.yaml", "{kind: Template, metadata: {name: t}, objects: [{kind: VirtualMachine}]}");
    assert!(
        peer.says(&format!("template convert -f {openshift}")).contains("kind: VirtualMachineTemplate\n")
    );
    assert!(peer.asked().is_empty(), "a file needs no server");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn a_template_of_the_server_is_processed_there_or_here() {
    let template: Value = serde_saphyr::from_str(TEMPLATE).expect("YAML");
    let machine: Value = serde_saphyr::from_str(MACHINE).expect("YAML");
    let named = json!({"metadata": {"name": "t-x7"}});
    let processed = json!({"virtualMachine": machine, "message": "Log in"});
    const BELOW: &str = "/namespaces/default/virtualmachinetemplates/t/";
    let peer = Peer::start(vec![
        answer(
            "GET",
            "/apis/template.kubevirt.io/v1alpha1/namespaces/default/virtualmachinetemplates/t",
            200,
            template,
        ),
        answer("POST", "/virtualmachinetemplates/t/process", 200, processed.clone()),
        answer("POST", "/virtualmachinetemplates/t/create", 200, processed),
        answer("POST", "/virtualmachinetemplaterequests", 201, named),
    ]);
    assert_eq!(peer.says("template process t -p NAME=web"), MACHINE);
    let asked = peer.asked().pop().expect("a request");
    assert_eq!(asked.line, format!("POST /apis/subresources.template.kubevirt.io/v1alpha1{BELOW}process"));
    assert_eq!(asked.body, json!({"parameters": {"NAME": "web"}}));
    assert_eq!(peer.says("template process --name t --local -p NAME=web,CPUS=4"), MACHINE);
    assert_eq!(peer.says("template process t --create"), "virtualmachine.kubevirt.io/web created\n");
    assert_eq!(
        peer.says("template create --vm-name a --name b"),
        "virtualmachinetemplaterequest.template.kubevirt.io/t-x7 created\n"
    );
    let asked = peer.asked().pop().expect("a request").body;
    assert_eq!(
        asked["spec"],
        json!({"virtualMachineRef": {"namespace": "default", "name": "a"}, "templateName": "b"})
    );
    assert!(
        peer.refuses("template process u")
            .contains("error processing remote VirtualMachineTemplate default/u: ")
    );
}
