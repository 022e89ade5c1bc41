//! One machine's life under the real shim, launcher and QEMU, with the contract suite's guest.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

mod pod;

use launcher_channel::{Client, Error};
use pod::{Pod, SECRET, echo, kernel, signal, tiny, until_phase};
use rustix::process::Signal;
use wire::launcher::v1::machine_state::Phase;

#[tokio::test]
async fn a_machine_starts_once_pauses_and_goes_on() {
    let pod = Pod::start();
    let client = pod.boot().await;
    let state = client.state().await.unwrap();
    assert!(state.hypervisor.starts_with("qemu "), "{}", state.hypervisor);
    assert!(state.hypervisor_pid > 0 && state.executed_at_ms > 0);
    assert_eq!(serde_json::from_slice::<wire::machine::MachineRecord>(&state.record).unwrap(), tiny());

    // The same record again changes nothing; another one is refused.
    let again = client.start(&tiny(), kernel()).await.unwrap();
    assert_eq!(again.hypervisor_pid, state.hypervisor_pid);
    let mut other = tiny();
    other.memory.size *= 2;
    let refused = client.start(&other, kernel()).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");

    let mut console = pod.console();
    echo(&mut console, "hello");
    client.pause().await.unwrap();
    assert_eq!(client.state().await.unwrap().phase(), Phase::Paused);
    client.pause().await.unwrap();
    client.resume().await.unwrap();
    assert_eq!(client.state().await.unwrap().phase(), Phase::Running);
    echo(&mut console, "moon");
    pod.until_log_has("hellomoon").await;

    client.reset().await.unwrap();
    let seen = "READY\r\nhellomoon";
    pod.until_log_has(&format!("{seen}READY")).await;
}

#[tokio::test]
async fn the_power_button_ends_the_machine_and_the_pod() {
    let mut pod = Pod::start();
    let client = pod.boot().await;
    let mut states = client.watch().await.unwrap();
    client.shutdown(60).await.unwrap();
    let (state, way) = until_phase(&mut states, Phase::ShutOff).await;
    assert!(way.contains(&Phase::ShuttingDown), "{way:?}");
    assert_eq!((state.reason.as_str(), state.hypervisor_pid), ("GuestShutdown", 0));
    assert!(pod.ended().await.success());
    let kept: serde_json::Value = serde_json::from_str(&pod.read("final-state.json")).unwrap();
    assert_eq!((&kept["phase"], &kept["reason"]), (&"SHUT_OFF".into(), &"GuestShutdown".into()));
}

#[tokio::test]
async fn a_guest_that_ignores_its_power_button_is_killed_after_the_grace_period() {
    let mut pod = Pod::start();
    let client = pod.connect(1).await;
    let mut record = tiny();
    // Firmware alone: it finds nothing to start and hears nothing.
    record.boot.kernel = None;
    client.start(&record, Vec::new()).await.unwrap();
    let mut states = client.watch().await.unwrap();
    client.shutdown(1).await.unwrap();
    let (state, _) = until_phase(&mut states, Phase::ShutOff).await;
    assert_eq!(state.reason, "GracePeriodExceeded");
    assert!(pod.ended().await.success());
}

#[tokio::test]
async fn a_killed_launcher_is_replaced_and_the_guest_does_not_notice() {
    let mut pod = Pod::start();
    let client = pod.boot().await;
    let before = client.state().await.unwrap();
    let mut states = client.watch().await.unwrap();
    echo(&mut pod.console(), "one");

    for incarnation in 2..=3 {
        signal(client_pid(&pod, incarnation - 1).await, Signal::KILL);
        let client = pod.connect(incarnation).await;
        assert_eq!(client.hello().incarnation, incarnation);
        let mut states = client.watch().await.unwrap();
        let (state, _) = until_phase(&mut states, Phase::Running).await;
        assert_eq!(state.hypervisor_pid, before.hypervisor_pid);
        assert_eq!(state.executed_at_ms, before.executed_at_ms);
        assert_eq!(state.record, before.record);
        echo(&mut pod.console(), &format!("then {incarnation}"));
        pod.until_log_has(&format!("then {incarnation}")).await;
    }
    while tokio_stream::StreamExt::next(&mut states).await.is_some() {}
    assert!(matches!(client.state().await, Err(Error::Gone(_))));
    assert!(pod.read("serial0.log").starts_with("READY\r\nonethen 2then 3"), "nothing was lost");

    // The session is still the first agent's.
    let sockets = pod.run_dir().parent().unwrap().join("sockets");
    let foreign = Client::connect(&sockets, b"some other agent's secret").await;
    assert!(matches!(foreign, Err(Error::Denied(_))), "{foreign:?}");

    let client = pod.connect(3).await;
    client.shutdown(60).await.unwrap();
    assert!(pod.ended().await.success());
}

async fn client_pid(pod: &Pod, incarnation: u32) -> i32 {
    pod.connect(incarnation).await.peer_pid()
}

#[tokio::test]
async fn a_hypervisor_that_dies_is_a_crash() {
    let mut pod = Pod::start();
    let client = pod.boot().await;
    let mut states = client.watch().await.unwrap();
    signal(client.state().await.unwrap().hypervisor_pid, Signal::KILL);
    let (state, _) = until_phase(&mut states, Phase::Crashed).await;
    assert_eq!(state.reason, "HypervisorKilled");
    assert!(state.message.contains("SIGKILL"), "{}", state.message);
    assert_eq!(pod.ended().await.code(), Some(1));
    let exit: serde_json::Value = serde_json::from_str(&pod.read("hypervisor-exit.json")).unwrap();
    assert_eq!(exit["signal"], "SIGKILL");
}

#[tokio::test]
async fn killing_ends_the_machine_at_once() {
    let mut pod = Pod::start();
    let client = pod.boot().await;
    // The launcher ends soon after its machine, so that it may be too late to ask then.
    let mut states = client.watch().await.unwrap();
    client.kill().await.unwrap();
    let (state, _) = until_phase(&mut states, Phase::ShutOff).await;
    assert_eq!(state.reason, "Killed");
    assert!(pod.ended().await.success());
}

#[tokio::test]
async fn the_end_of_the_pod_shuts_the_guest_down() {
    let mut pod = Pod::start();
    let _client = pod.boot().await;
    pod.signal_shim(Signal::TERM);
    assert!(pod.ended().await.success());
    let kept: serde_json::Value = serde_json::from_str(&pod.read("final-state.json")).unwrap();
    assert_eq!(kept["reason"], "GuestShutdown");

    let mut idle = Pod::start();
    let _client = idle.connect(1).await;
    idle.signal_shim(Signal::TERM);
    assert!(idle.ended().await.success());
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_can_be_tried_again() {
    let pod = Pod::start();
    let client = pod.connect(1).await;
    let state = client.start(&tiny(), Vec::new()).await.unwrap();
    assert_eq!((state.phase(), state.reason.as_str()), (Phase::Failed, "MissingDescriptor"));
    assert!(state.message.contains("boot/kernel"), "{}", state.message);

    // QEMU itself refuses: its last words are in the message.
    let mut record = tiny();
    record.cpu.model = "no-such-model".to_owned();
    let state = client.start(&record, kernel()).await.unwrap();
    assert_eq!((state.phase(), state.reason.as_str()), (Phase::Failed, "HypervisorFailed"));
    assert!(state.message.contains("no-such-model"), "{}", state.message);

    let mut foreign = tiny();
    foreign.uid = "another".to_owned();
    assert!(matches!(client.start(&foreign, kernel()).await, Err(Error::Refused(_))));

    pod.boot().await;
}

#[tokio::test]
async fn output_is_always_drained_into_a_bounded_log() {
    let pod = Pod::start();
    let client = pod.boot().await;
    let mut console = pod.console();
    // Half a MiB each time; nobody reads this console while the guest prints.
    for _ in 0..3 {
        std::io::Write::write_all(&mut console, b"b").unwrap();
    }
    std::io::Write::write_all(&mut console, b"-end-").unwrap();
    pod.until_log_has("-end-").await;
    let size = |name: &str| std::fs::metadata(pod.run_dir().join(name)).unwrap().len();
    assert!(size("serial0.log") <= 1 << 20);
    assert!((1 << 19..=1 << 20).contains(&size("serial0.log.1")), "{}", size("serial0.log.1"));
    assert_eq!(client.state().await.unwrap().phase(), Phase::Running);
}

#[tokio::test]
async fn a_machine_can_start_paused() {
    let pod = Pod::start();
    let client = pod.connect(1).await;
    let mut record = tiny();
    record.start_paused = true;
    let state = client.start(&record, kernel()).await.unwrap();
    assert_eq!((state.phase(), state.reason.as_str()), (Phase::Paused, "StartedPaused"));
    assert_eq!(pod.read("serial0.log"), "");
    client.resume().await.unwrap();
    pod.until_log_has("READY").await;
}

#[tokio::test]
async fn only_the_session_may_command() {
    let pod = Pod::start();
    let _client = pod.connect(1).await;
    let sockets = pod.run_dir().parent().unwrap().join("sockets");
    assert!(matches!(Client::connect(&sockets, b"some other agent's secret").await, Err(Error::Denied(_))));
    assert!(Client::connect(&sockets, SECRET).await.is_ok());
}
