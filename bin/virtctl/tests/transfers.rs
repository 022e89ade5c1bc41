//! Disks that come and go: exports, memory dumps and uploads, against a peer that plays server, export and upload proxy.

mod peer;

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use peer::{Answer, Peer, answer, text};

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("virtctl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const EXPORTS: &str = "/apis/export.kubevirt.io/v1beta1/namespaces/default/virtualmachineexports";

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// An export that is ready, whose server is at `address`.
fn export(address: &str) -> Value {
    let url = |path: &str| format!("http://{address}/{path}");
    json!({
        "metadata": {"namespace": "default", "name": "e", "uid": "u"},
        "status": {"phase": "Ready", "tokenSecretRef": "secret-e", "links": {"external": {
            "volumes": [{"name": "v", "formats": [{"format": "raw", "url": url("v.raw")}, {"format": "gzip", "url": url("v.gz")}]}],
            "manifests": [{"type": "all", "url": url("all")}, {"type": "auth-header-secret", "url": url("secret")}],
        }}},
    })
}

/// A peer that has an export whose server it is itself.
fn exporting(more: impl FnOnce(&str) -> Vec<Answer>) -> Peer {
    let server = Peer::start(vec![
        Answer { bytes: Some(packed(b"the disk")), ..answer("GET", "/v.gz", 200, Value::Null) },
        Answer { bytes: Some(b"kind: VirtualMachine\n".to_vec()), ..answer("GET", "/all", 200, Value::Null) },
        Answer { bytes: Some(b"kind: Secret\n".to_vec()), ..answer("GET", "/secret", 200, Value::Null) },
    ]);
    let mut answers = more(&server.address.to_string());
    answers.push(answer("GET", "/secrets/secret-e", 200, json!({"data": {"token": "dG9r"}})));
    answers.push(answer("POST", "/secrets", 201, json!({})));
    answers.push(answer("DELETE", "/virtualmachineexports/e", 200, json!({})));
    Peer::start(answers)
}

#[test]
fn a_volume_is_downloaded_from_an_export_that_is_made_for_it() {
    let folder = Folder::new("download");
    let peer = exporting(|address| {
        vec![
            Answer {
                once: true,
                ..answer("GET", "/virtualmachineexports/e", 404, json!({"kind": "Status", "message": "none"}))
            },
            answer("POST", EXPORTS, 201, export(address)),
            answer("GET", "/virtualmachineexports/e", 200, export(address)),
        ]
    });
    let file = folder.file("disk.img");
    let said = peer.says(&format!("vmexport download e --vm=a --output={file} --format=raw --ttl=1h"));
    assert_eq!(std::fs::read(&file).expect("a file"), b"the disk");
    for part in [
        "'default/e' created succesfully",
        "Download finished succesfully",
        "'default/e' deleted succesfully",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let made =
        peer.asked().into_iter().find(|asked| asked.line.ends_with(EXPORTS)).expect("an export is made");
    assert_eq!(
        made.body["spec"]["source"],
        json!({"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "a"})
    );
    assert_eq!(made.body["spec"]["ttlDuration"], "1h0m0s");
}

#[test]
fn an_export_that_was_there_stays_and_gives_volumes_and_manifests() {
    let folder = Folder::new("kept");
    let peer = exporting(|address| vec![answer("GET", "/virtualmachineexports/e", 200, export(address))]);
    let file = folder.file("disk.gz");
    peer.says(&format!("vmexport download e --output={file}"));
    assert_eq!(std::fs::read(&file).expect("a file"), packed(b"the disk"));
    let output = peer.run("vmexport download e --output=- --format=raw");
    assert_eq!(
        text(&output.stdout),
        "the disk",
        "only the disk goes to standard output: {}",
        text(&output.stderr)
    );
    let manifests = peer.run("vmexport download e --manifest --include-secret");
    assert_eq!(text(&manifests.stdout), "kind: VirtualMachine\nkind: Secret\n");
    assert!(peer.asked().iter().all(|asked| !asked.line.starts_with("DELETE")));
    assert_eq!(peer.refuses("vmexport create e --vm=a"), "VirtualMachineExport 'default/e' already exists\n");
    assert_eq!(peer.says("vmexport delete e"), "VirtualMachineExport 'default/e' deleted succesfully\n");
    assert_eq!(peer.says("vmexport delete f"), "VirtualMachineExport 'default/f' does not exist\n");
}

#[test]
fn an_export_that_is_never_ready_is_given_up() {
    let mut pending = export("127.0.0.1:1");
    pending["status"]["phase"] = "Pending".into();
    let peer = exporting(|_| vec![answer("GET", "/virtualmachineexports/e", 200, pending)]);
    let said = peer.refuses("vmexport download e --output=- --readiness-timeout=1ms");
    assert!(said.contains("VM Export e is not ready after 0 s (phase: Pending)"), "{said}");
}

#[test]
fn a_memory_dump_goes_into_a_claim_and_is_downloaded() {
    let folder = Folder::new("dump");
    let machine = json!({"metadata": {"name": "a"}, "status": {}});
    let dumped = json!({"metadata": {"name": "a"}, "status": {"memoryDumpRequest": {"phase": "Completed", "claimName": "m"}}});
    let peer = exporting(|address| {
        vec![
            Answer { once: true, ..answer("GET", "/virtualmachines/a", 200, machine) },
            answer("GET", "/virtualmachines/a", 200, dumped),
            answer(
                "GET",
                "/virtualmachineinstances/a",
                200,
                json!({"spec": {"domain": {"memory": {"guest": "1Gi"}}}}),
            ),
            answer("POST", "/persistentvolumeclaims", 201, json!({})),
            answer("PUT", "/virtualmachines/a/memorydump", 202, Value::Null),
            answer("PUT", "/virtualmachines/a/removememorydump", 202, Value::Null),
            answer("GET", "/virtualmachineexports/export-a-m", 200, export(address)),
        ]
    });
    let file = folder.file("memory.dump");
    let said =
        peer.says(&format!("memory-dump get a --claim-name=m --create-claim --output={file} --format=raw"));
    for part in [
        "Using default 5.5% filesystem overhead",
        "PVC default/m created",
        "Memory dump completed successfully",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(std::fs::read(&file).expect("a file"), b"the disk");
    let asked = peer.asked();
    let claim = asked.iter().find(|asked| asked.line.starts_with("POST")).expect("a claim is made");
    assert_eq!(claim.body["spec"]["resources"]["requests"]["storage"], "1186Mi");
    assert_eq!(
        peer.says("memory-dump remove a"),
        "Successfully submitted remove memory dump association of VM a\n"
    );
    assert_eq!(peer.refuses("memory-dump take a"), "invalid action type take\n");
    assert_eq!(peer.refuses("memory-dump get a --create-claim"), "missing claim name\n");
}

#[test]
fn an_image_is_uploaded_into_a_volume_that_is_made_for_it() {
    let folder = Folder::new("upload");
    let image = folder.file("disk.img");
    std::fs::write(&image, "the image").expect("a file");
    let claim =
        json!({"metadata": {"name": "v", "annotations": {"cdi.kubevirt.io/storage.pod.phase": "Succeeded"}}});
    let peer = Peer::start(vec![
        Answer {
            once: true,
            ..answer("GET", "/persistentvolumeclaims/v", 404, json!({"kind": "Status", "message": "none"}))
        },
        answer("POST", "/datavolumes", 201, json!({})),
        answer(
            "GET",
            "/datavolumes/v",
            200,
            json!({"metadata": {"name": "v"}, "status": {"phase": "UploadReady"}}),
        ),
        answer("POST", "/uploadtokenrequests", 201, json!({"status": {"token": "tok"}})),
        answer("HEAD", "/v1beta1/upload-async", 200, Value::Null),
        Answer { once: true, ..answer("POST", "/v1beta1/upload-async", 503, json!("busy")) },
        answer("POST", "/v1beta1/upload-async", 200, Value::Null),
        answer("POST", "/datasources", 201, json!({})),
        answer("GET", "/persistentvolumeclaims/v", 200, claim),
    ]);
    let said = peer.says(&format!(
        "image-upload dv v --size=1Gi --image-path={image} --uploadproxy-url=http://{} --datasource --default-preference=p",
        peer.address
    ));
    for part in [
        "DataVolume default/v created",
        "Uploading data to http://",
        "Created a new DataSource default/v",
        "Processing completed successfully",
        "disk.img completed successfully",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let asked = peer.asked();
    let uploads: Vec<_> = asked.iter().filter(|asked| asked.line == "POST /v1beta1/upload-async").collect();
    assert_eq!(uploads.len(), 2, "a proxy that is busy is asked again");
    assert_eq!(uploads[1].body, "the image");
    assert!(uploads[1].headers.contains(&"authorization: bearer tok".to_owned()), "{:?}", uploads[1].headers);
    let source = asked.iter().find(|asked| asked.line.ends_with("/datasources")).expect("a source is made");
    assert_eq!(source.body["metadata"]["labels"]["instancetype.kubevirt.io/default-preference"], "p");

    let none = Peer::start(Vec::new());
    let proxy = "--uploadproxy-url=http://127.0.0.1:1";
    let said = none.refuses(&format!("image-upload dv v --image-path={image} {proxy}"));
    assert_eq!(said, "when creating a resource, the size must be specified\n");
    let said = none.refuses(&format!("image-upload dv v --size=1Gi --image-path={image}"));
    assert!(said.contains("this server takes no uploads"), "{said}");
    assert!(none.asked().iter().all(|asked| asked.line.starts_with("GET ")), "nothing is made");
    let said = none.refuses(&format!("image-upload dv v --size=1Gi --image-path={image} {proxy}"));
    assert!(said.contains("datavolumes") && said.contains("is not here"), "{said}");
}
