//! Jails around a static shell, as root and as an ordinary user.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::Helper;
use host::jail::{Device, Entry, JailSpec, Limit, UserMap};
use host::process::Exit;

fn helper() -> Helper {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test.parent().and_then(Path::parent).expect("the target directory");
    Helper::new(target.join("examples/host-helper"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A jail that runs `script` in the host's static busybox.
fn jail(directory: &Path, script: &str) -> JailSpec {
    let root = directory.join("root");
    let data = directory.join("data");
    for path in [&root, &data] {
        std::fs::create_dir_all(path).expect("a directory");
    }
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).expect("it opens");
    let bind = |source: PathBuf, target: &str, read_only| Entry::Bind {
        source,
        target: target.into(),
        read_only,
        optional: false,
    };
    JailSpec {
        hostname: "jailed".into(),
        root,
        entries: vec![
            bind("/usr/bin/busybox".into(), "/bin/busybox", true),
            Entry::Link { target: "/bin/sh".into(), to: "busybox".into() },
            Entry::File { target: "/etc/motd".into(), content: "hello".into() },
            bind(data, "/var/run/data", false),
        ],
        user: 107,
        group: 107,
        user_namespace: (!is_root()).then_some(UserMap { user: 107, group: 107 }),
        limits: vec![Limit::Core(0), Limit::OpenFiles(1 << 20)],
        seccomp: true,
        program: "/bin/busybox".into(),
        arguments: ["sh", "-c", script].map(String::from).to_vec(),
        environment: vec![("GREETING".into(), "hi".into())],
        directory: "/".into(),
        log: directory.join("log"),
        ..JailSpec::default()
    }
}

fn run(spec: &JailSpec) -> (Exit, String) {
    let launch = host::jail::start(&helper(), spec).expect("the jail is made");
    let process = launch.first().open().expect("it opens").expect("it waits");
    launch.proceed().expect("the program runs");
    assert!(process.wait(Duration::from_secs(60)), "the program ends");
    let exit = process.exit().expect("its end is known");
    (exit, std::fs::read_to_string(&spec.log).expect("a log"))
}

#[test]
fn the_program_sees_only_its_jail() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "busybox id -u; busybox hostname; echo $GREETING $$; busybox cat /etc/motd; echo; \
        busybox ls / | busybox tr '\\n' ' '; echo; echo x > /var/run/data/written; \
        echo x > /etc/motd || echo read-only; \
        busybox grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|^Seccomp:' /proc/self/status; \
        busybox ls -1 /proc | busybox grep -c '^[0-9]'; busybox ls /proc/self/fd | busybox tr '\\n' ' '; \
        busybox mount -t tmpfs none /tmp || echo no-mount; busybox unshare -U true || echo no-unshare; \
        busybox ls /sys/class/net; exit 3";
    let (exit, log) = run(&jail(directory.path(), script));
    assert_eq!(exit, Exit::Code(3), "{log}");
    assert!(log.starts_with("107\njailed\nhi 1\nhello\nbin dev etc proc sys tmp var \n"), "{log}");
    assert!(log.contains("read-only\n"), "{log}");
    for field in ["CapPrm:\t0", "CapEff:\t0", "CapBnd:\t0", "CapAmb:\t0", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(log.contains(field), "{field} in {log}");
    }
    for refused in ["no-mount", "no-unshare"] {
        assert!(log.contains(refused), "{refused} in {log}");
    }
    assert!(log.ends_with("lo\n"), "{log}");
    assert!(directory.path().join("data/written").exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    assert!(!mounts.contains(&directory.path().display().to_string()), "no mount shows up outside");
}

#[test]
fn devices_are_open_to_the_jailed_user() {
    if !Path::new("/dev/net/tun").exists() {
        eprintln!("SKIPPED: this machine has no /dev/net/tun");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut spec =
        jail(directory.path(), "test -c /dev/net/tun && test -w /dev/net/tun && test -w /dev/null");
    spec.devices = vec![Device { path: "/dev/net/tun".into() }];
    assert_eq!(run(&spec).0, Exit::Code(0));
}

#[test]
fn failures_name_the_cause() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut spec = jail(directory.path(), "true");
    spec.program = "/bin/absent".into();
    let launch = host::jail::start(&helper(), &spec).expect("the jail is made");
    let error = launch.proceed().expect_err("the program is missing").to_string();
    assert!(error.contains("/bin/absent"), "{error}");

    spec.entries.push(Entry::Bind {
        source: "/does/not/exist".into(),
        target: "/x".into(),
        read_only: true,
        optional: false,
    });
    let launch = host::jail::start(&helper(), &spec).expect("the jail is made");
    let error = launch.proceed().expect_err("the source is missing").to_string();
    assert!(error.contains("/does/not/exist"), "{error}");
}

#[test]
fn a_launch_that_nobody_proceeds_with_ends() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let launch = host::jail::start(&helper(), &jail(directory.path(), "true")).expect("the jail is made");
    let process = launch.first().open().expect("it opens").expect("it waits");
    drop(launch);
    assert!(process.wait(Duration::from_secs(60)));
    assert_eq!(process.exit(), Some(Exit::Code(1)));
}

#[test]
fn killing_the_first_process_ends_the_whole_pod() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "busybox sleep 1000 & echo ready > /var/run/data/ready; wait";
    let spec = jail(directory.path(), script);
    let launch = host::jail::start(&helper(), &spec).expect("the jail is made");
    let process = launch.first().open().expect("it opens").expect("it waits");
    launch.proceed().expect("the program runs");
    process.kill().expect("it is killed");
    assert!(process.wait(Duration::from_secs(60)));
    assert_eq!(process.exit(), Some(Exit::Signal(9)));
}
