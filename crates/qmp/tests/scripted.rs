//! QMP and the guest agent's protocol against a peer that follows a script.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use std::time::Duration;

use qmp::agent::{self, Agent};
use qmp::{Client, Error, command};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "test"}, "capabilities": ["oob"]}}"#;

/// Greets, answers the negotiation, and hands the connection over.
async fn greeted() -> (Client, qmp::Events, BufReader<UnixStream>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut peer = BufReader::new(theirs);
    let greet = async {
        peer.write_all(format!("{GREETING}\r\n").as_bytes()).await.unwrap();
        let request = read(&mut peer).await;
        assert_eq!(request["execute"], "qmp_capabilities");
        write(&mut peer, &format!(r#"{{"return": {{}}, "id": {}}}"#, request["id"])).await;
        peer
    };
    let (connected, peer) = tokio::join!(Client::new(ours), greet);
    let (client, events) = connected.unwrap();
    (client, events, peer)
}

async fn read(peer: &mut BufReader<UnixStream>) -> serde_json::Value {
    let mut line = String::new();
    peer.read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

async fn write(peer: &mut BufReader<UnixStream>, line: &str) {
    peer.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
}

#[tokio::test]
async fn answers_find_their_commands_in_any_order() {
    let (client, mut events, mut peer) = greeted().await;
    assert_eq!(client.version().qemu.to_string(), "10.0.2");
    let answer = async {
        let first = read(&mut peer).await;
        let second = read(&mut peer).await;
        let (status, stop) =
            if first["execute"] == "query-status" { (first, second) } else { (second, first) };
        write(&mut peer, r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}"#).await;
        write(&mut peer, &format!(r#"{{"return": {{}}, "id": {}}}"#, stop["id"])).await;
        write(
            &mut peer,
            &format!(
                r#"{{"id": {}, "return": {{"status": "paused", "running": false, "singlestep": false}}}}"#,
                status["id"]
            ),
        )
        .await;
        peer
    };
    let (status, stop, _peer) =
        tokio::join!(client.run(&command::QueryStatus {}), client.run(&command::Stop {}), answer);
    assert_eq!(status.unwrap().status, "paused");
    stop.unwrap();
    let event = events.recv().await.unwrap();
    assert_eq!((event.name.as_str(), event.timestamp.seconds), ("STOP", 1));
}

#[tokio::test]
async fn garbage_is_dropped_and_the_connection_goes_on() {
    let (client, mut events, mut peer) = greeted().await;
    let answer = async {
        let request = read(&mut peer).await;
        for garbage in ["not json", "[]", "{}", "{\"return\": {}, \"id\": 999}", "{\"id\": {}}", "\u{1}\u{2}"]
        {
            write(&mut peer, garbage).await;
        }
        write(&mut peer, r#"{"event": "FROM_THE_FUTURE", "data": {"x": [1]}}"#).await;
        // One line in three pieces.
        let line = format!(
            "{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"no such thing\"}}, \"id\": {}}}\r\n",
            request["id"]
        );
        for piece in line.as_bytes().chunks(line.len() / 3 + 1) {
            peer.write_all(piece).await.unwrap();
            peer.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        peer
    };
    let (refused, _peer) = tokio::join!(client.run(&command::Cont {}), answer);
    let Err(Error::Refused { command: "cont", description, class }) = refused else { panic!("{refused:?}") };
    assert_eq!((description.as_str(), class.as_str()), ("no such thing", "GenericError"));
    let event = events.recv().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["x"][0]), ("FROM_THE_FUTURE", &1.into()));
}

#[tokio::test]
async fn the_end_of_the_peer_ends_every_wait() {
    let (client, mut events, mut peer) = greeted().await;
    let end = async {
        read(&mut peer).await;
        peer.write_all(b"{\"return\": {\"sta").await.unwrap();
        drop(peer);
    };
    let (waited, ()) = tokio::join!(client.run(&command::QueryStatus {}), end);
    assert!(matches!(waited, Err(Error::Closed)), "{waited:?}");
    assert!(events.recv().await.is_none());
    assert!(matches!(client.run(&command::Cont {}).await, Err(Error::Closed)));
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_no_ones() {
    let (client, _events, mut peer) = greeted().await;
    let late = client.run_within(&command::Stop {}, Duration::from_millis(20)).await;
    assert!(matches!(late, Err(Error::Timeout("stop"))), "{late:?}");
    let stop = read(&mut peer).await;
    let answer = async {
        let status = read(&mut peer).await;
        write(&mut peer, &format!(r#"{{"return": {{}}, "id": {}}}"#, stop["id"])).await;
        write(
            &mut peer,
            &format!(r#"{{"return": {{"running": true, "status": "running"}}, "id": {}}}"#, status["id"]),
        )
        .await;
        peer
    };
    let (status, _peer) = tokio::join!(client.run(&command::QueryStatus {}), answer);
    assert!(status.unwrap().running);
}

#[tokio::test]
async fn a_peer_that_is_no_qemu_is_refused() {
    for first in ["HTTP/1.1 400 Bad Request\r\n", "{\"return\": {}}\r\n", ""] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(first.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let refused = Client::new(ours).await;
        assert!(matches!(refused, Err(Error::Handshake(_))), "{first:?}: {refused:?}");
    }
}

#[tokio::test]
async fn the_agent_is_synchronised_past_old_answers() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut agent = Agent::new(ours);
    let mut peer = BufReader::new(theirs);
    let script = async {
        let mut reset = [0];
        peer.read_exact(&mut reset).await.unwrap();
        assert_eq!(reset, [0xff]);
        let sync = read(&mut peer).await;
        assert_eq!(sync["execute"], "guest-sync-delimited");
        // What was left over, an answer to somebody else's sync, then ours.
        peer.write_all(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n")
            .await
            .unwrap();
        peer.write_all(b"\xff{\"return\": 1}\n").await.unwrap();
        let answer = format!("\u{1}{{\"return\": {}}}\n", sync["arguments"]["id"]);
        let mut bytes = answer.into_bytes();
        bytes[0] = 0xff;
        peer.write_all(&bytes).await.unwrap();
        let ask = read(&mut peer).await;
        assert_eq!(ask["execute"], "guest-get-osinfo");
        write(&mut peer, r#"{"return": {"id": "debian", "version-id": "12", "kernel-release": "6.1"}}"#)
            .await;
        let ask = read(&mut peer).await;
        assert_eq!(ask["execute"], "guest-network-get-interfaces", "no second sync while in step");
        write(
            &mut peer,
            r#"{"return": [{"name": "lo"}, {"name": "eth0", "hardware-address": "02:00:00:00:00:01",
                "ip-addresses": [{"ip-address": "10.0.2.2", "ip-address-type": "ipv4", "prefix": 24}]}]}"#
                .replace('\n', " ")
                .as_str(),
        )
        .await;
    };
    let ask = async {
        let os = agent.os_info(Duration::from_secs(10)).await.unwrap();
        assert_eq!((os.id.as_str(), os.version_id.as_str(), os.name.as_str()), ("debian", "12", ""));
        let interfaces = agent.interfaces(Duration::from_secs(10)).await.unwrap();
        assert_eq!(interfaces[1].ip_addresses[0].ip_address, "10.0.2.2");
    };
    tokio::join!(script, ask);
}

#[tokio::test]
async fn a_silent_or_endless_agent_does_not_hang_or_fill_us() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut agent = Agent::new(ours);
    let silent = agent.ping(Duration::from_millis(20)).await;
    assert!(matches!(silent, Err(agent::Error::Timeout("guest-ping"))), "{silent:?}");

    let flood = tokio::spawn(async move { while theirs.write_all(&[b'x'; 4096]).await.is_ok() {} });
    let endless = agent.ping(Duration::from_secs(30)).await;
    assert!(matches!(endless, Err(agent::Error::TooLong(_))), "{endless:?}");
    drop(agent);
    flood.await.unwrap();
}
