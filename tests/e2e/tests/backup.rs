//! The whole state in one file: taken while everything runs, put back, refused when it is not whole.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kit::{Installation, Options, User};

fn config_map(name: &str, content: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{content: '{content}'}}\n---\n"
    )
}

fn names(installation: &Installation) -> Vec<String> {
    let list = installation.kubectl(&["get", "configmaps", "-o", "name"]).expect("kubectl get");
    list.lines().map(str::to_owned).filter(|name| !name.ends_with("kube-root-ca.crt")).collect()
}

fn refused(installation: &Installation, words: &[&str], parts: &[&str]) {
    let output = installation.ironclad(words);
    assert!(!output.success, "{words:?}: {}", output.stdout);
    for part in parts {
        assert!(output.stderr.contains(part), "{words:?}: {}", output.stderr);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// As the administrator of the old kubeconfig, which names another port than the server has now.
fn with_old_credentials(installation: &Installation, kubeconfig: &Path, words: &[&str]) -> kit::Output {
    let server = installation.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]);
    let server = server.expect("kubectl config view");
    installation.kubectl(&[&["--kubeconfig", text(kubeconfig), "--server", &server], words].concat())
}

fn a_backup_brings_everything_back(user: User) {
    let installation = Installation::start(Options { user, nodes: 0, images: false, ..Options::default() });
    // Beside the data directory, where the installation's user may write.
    let place = installation.data_dir().parent().expect("a directory").to_owned();
    let (file, kubeconfig) = (place.join("backup.tar"), place.join("old-kubeconfig"));
    std::fs::copy(installation.data_dir().join("kubeconfig"), &kubeconfig).expect("copying the kubeconfig");
    installation.apply(&(config_map("kept", "before") + &config_map("changed", "before")));
    installation
        .kubectl(&["create", "secret", "generic", "s", "--from-literal=x=very-secret"])
        .expect("a Secret");
    installation.apply(e2e::HALTED);
    installation.kubectl(&["create", "serviceaccount", "robot"]).expect("an account");
    installation
        .kubectl(&[
            "create",
            "clusterrolebinding",
            "robot",
            "--clusterrole=view",
            "--serviceaccount=default:robot",
        ])
        .expect("a binding");
    let token = installation.kubectl(&["create", "token", "robot"]).expect("a token");

    installation.ironclad(&["backup", text(&file)]).expect("ironclad backup");
    assert_eq!(file.metadata().expect("the backup").permissions().mode() & 0o777, 0o600);
    refused(&installation, &["backup", text(&file)], &["backup.tar is there already"]);
    let left = std::fs::read_dir(&place).expect("the directory").flatten().map(|entry| entry.file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".partial")));

    installation.kubectl(&["delete", "configmap", "kept"]).expect("kubectl delete");
    installation.apply(&(config_map("changed", "after") + &config_map("late", "after")));
    let seen = installation.get("configmap", "default", "late").expect("it is there");
    let seen = seen["metadata"]["resourceVersion"].as_str().expect("a revision").to_owned();
    refused(&installation, &["restore", "--force", text(&file)], &["already runs", "ironclad down"]);
    installation.kill();
    let database = installation.data_dir().join("state.db");
    let before = std::fs::read(&database).expect("the database");
    refused(&installation, &["restore", text(&file)], &["holds an installation", "--force"]);
    refuse_what_is_no_backup(&installation, &file, &place);
    assert_eq!(std::fs::read(&database).expect("the database"), before, "nothing was changed");

    installation.ironclad(&["restore", "--force", text(&file)]).expect("ironclad restore");
    installation.up();
    assert_eq!(names(&installation), ["configmap/changed", "configmap/kept"]);
    let changed = installation.get("configmap", "default", "changed").expect("it is there");
    assert_eq!(changed["data"]["content"], "before");
    assert!(installation.get("vm", "default", "halted").is_some());
    let secret =
        with_old_credentials(&installation, &kubeconfig, &["get", "secret", "s", "-o", "jsonpath={.data.x}"]);
    assert_eq!(secret.expect("the old kubeconfig works"), "dmVyeS1zZWNyZXQ=");
    let server = installation.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]);
    let anybody = [
        "--kubeconfig",
        "/dev/null",
        "--insecure-skip-tls-verify",
        "--server",
        &server.expect("its address"),
    ];
    let with_token = ["--token", token.trim(), "get", "configmaps", "-o", "name"];
    let list = installation.kubectl(&[&anybody[..], &with_token].concat()).expect("the old token works");
    assert!(list.contains("configmap/kept"), "{list}");
    let path =
        format!("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={seen}&timeoutSeconds=5");
    let events = installation.kubectl(&["get", "--raw", &path]);
    assert!(events.stdout.contains("\"code\":410"), "{}{}", events.stdout, events.stderr);
    installation.apply(&config_map("changed", "again"));

    // Another machine's empty directory.
    let elsewhere = place.join("elsewhere");
    installation
        .ironclad(&["restore", "--data-dir", text(&elsewhere), text(&file)])
        .expect("ironclad restore");
    let up = ["up", "--detach", "--nodes", "0", "--listen", "127.0.0.1:0", "--data-dir", text(&elsewhere)];
    installation.ironclad(&up).expect("ironclad up");
    let other = elsewhere.join("kubeconfig");
    let list = installation.kubectl(&["--kubeconfig", text(&other), "get", "configmaps", "kept", "changed"]);
    installation.ironclad(&["down", "--purge", "--data-dir", text(&elsewhere)]).expect("ironclad down");
    list.expect("the objects are there");
}

fn refuse_what_is_no_backup(installation: &Installation, file: &Path, place: &Path) {
    let whole = std::fs::read(file).expect("the backup");
    let spoilt = place.join("spoilt.tar");
    let refused = |content: &[u8], parts: &[&str]| {
        std::fs::write(&spoilt, content).expect("writing a spoilt backup");
        std::fs::set_permissions(&spoilt, PermissionsExt::from_mode(0o644)).expect("it is ours");
        let parts = [parts, &["spoilt.tar", "nothing was restored"]].concat();
        refused(installation, &["restore", "--force", text(&spoilt)], &parts);
    };
    for length in [600, 3_000, whole.len() / 2, whole.len() * 9 / 10] {
        refused(&whole[..length], &["cut off"]);
    }
    for foreign in [&b""[..], b"no tar at all", &whole[1..], &[0; 4096][..]] {
        refused(foreign, &["no backup that `ironclad backup` wrote"]);
    }
    let change = |from: &str, to: &str| {
        let at =
            whole.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is in there");
        let mut changed = whole.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        changed
    };
    refused(&change("\"format\": 1", "\"format\": 9"), &["has form 9", "reads up to 1"]);
    refused(&change("dmVyeS1zZWNyZXQ", "dmVyeS1zZWNyZXA"), &["state.db is not what was written"]);
    refused(&change("\"path\": \"pki/ca.key\"", "\"path\": \"../xca.key\""), &["which no backup has"]);
}

#[test]
fn a_backup_brings_everything_back_as_this_user() {
    a_backup_brings_everything_back(User::Own);
}

#[test]
fn a_backup_brings_everything_back_as_an_ordinary_user() {
    if rustix::process::geteuid().is_root() {
        a_backup_brings_everything_back(User::Ordinary);
    }
}
