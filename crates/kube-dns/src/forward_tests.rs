//! The host's resolvers, as small ones on the loopback.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;

use effects::{SystemClock, SystemEntropy};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::TcpListener;

use super::*;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 2));
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

fn query() -> Vec<u8> {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii("www.example.com.").unwrap(), RecordType::A));
    query.to_vec().unwrap()
}

fn answered(question: &[u8], code: ResponseCode) -> Vec<u8> {
    let asked = Message::from_vec(question).unwrap();
    let mut answer = Message::error_msg(asked.id, OpCode::Query, code);
    answer.add_queries(asked.queries);
    answer.to_vec().unwrap()
}

/// Answers each datagram by what `answers` makes of it.
async fn resolver(
    address: (Ipv4Addr, u16),
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind(address).await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            for answer in answers(&buffer[..length]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    at
}

fn forwarder(port: u16, servers: &[IpAddr], file: &mut tempfile::NamedTempFile) -> Forwarder {
    for server in servers {
        writeln!(file, "nameserver {server}").unwrap();
    }
    Forwarder {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        resolv_conf: file.path().to_owned(),
        port,
        own: [OWN, OWN],
        known: Mutex::default(),
        waiting: Bound::new(2, 1),
    }
}

fn read(answer: Option<Vec<u8>>) -> (u16, ResponseCode) {
    let answer = Message::from_vec(&answer.unwrap()).unwrap();
    (answer.id, answer.response_code)
}

#[tokio::test]
async fn whoever_knows_is_asked_first_from_then_on() {
    let bad = resolver((Ipv4Addr::LOCALHOST, 0), |asked| vec![answered(asked, ResponseCode::Refused)]).await;
    resolver((Ipv4Addr::new(127, 0, 0, 2), bad.port()), |asked| {
        let forged = answered(&[&[0, 0], &asked[2..]].concat(), ResponseCode::NoError);
        let other = answered(&asked.to_ascii_uppercase(), ResponseCode::NXDomain);
        // Neither somebody's guess nor an echo of the question counts.
        vec![forged, asked.to_vec(), [&asked[..2], &other[2..]].concat()]
    })
    .await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let good = IpAddr::from([127, 0, 0, 2]);
    let forwarder = forwarder(bad.port(), &[OWN, bad.ip(), good], &mut file);
    assert_eq!(forwarder.servers().0, [bad.ip(), good], "we do not ask ourselves");
    assert_eq!(read(forwarder.ask(CLIENT, &query(), Over::Udp).await), (7, ResponseCode::NXDomain));
    assert_eq!(forwarder.servers().1, 1);
}

#[tokio::test]
async fn a_refusal_is_passed_on_when_nobody_says_more() {
    let only =
        resolver((Ipv4Addr::LOCALHOST, 0), |asked| vec![answered(asked, ResponseCode::ServFail)]).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let forwarder = forwarder(only.port(), &[only.ip()], &mut file);
    assert_eq!(read(forwarder.ask(CLIENT, &query(), Over::Udp).await), (7, ResponseCode::ServFail));
}

#[tokio::test]
async fn without_a_resolver_there_is_no_answer_and_no_wait() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(forwarder(9, &[], &mut file).ask(CLIENT, &query(), Over::Udp).await, None);
}

#[tokio::test]
async fn connections_carry_what_is_too_long_for_a_datagram() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = transport::read(&mut stream).await.unwrap().unwrap();
        let mut answer = answered(&asked, ResponseCode::NoError);
        answer.resize(5000, 0);
        transport::write(&mut stream, &answer).await.unwrap();
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let forwarder = forwarder(at.port(), &[at.ip()], &mut file);
    let answer = forwarder.ask(CLIENT, &query(), Over::Tcp).await.unwrap();
    assert_eq!((answer.len(), &answer[..2]), (5000, &[0, 7][..]));
}

#[tokio::test]
async fn who_waits_too_often_is_not_heard() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let forwarder = forwarder(9, &[], &mut file);
    let turn = forwarder.waiting.begin(CLIENT).unwrap();
    assert_eq!(forwarder.ask(CLIENT, &query(), Over::Udp).await, None);
    drop(turn);
}
