//! A resolver on the loopback that knows the names of one domain, all at one address.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;

/// The domain, as it is in messages.
const DOMAIN: &[u8] = b"\x04corp\x07example\0";
/// Bytes of a question's header.
const HEADER: usize = 12;

/// Answers questions for IPv4 addresses until the test ends. Needs root, as it listens where resolvers do.
#[derive(Debug)]
pub struct Resolver {
    /// Names the resolver, in the form of `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    _directory: tempfile::TempDir,
}

impl Resolver {
    /// Starts to answer each name below `corp.example` with `address`, and that there is no other.
    ///
    /// # Panics
    /// When no address of the loopback has port 53 to spare.
    pub fn start(address: Ipv4Addr) -> Self {
        let free = (1..=254).find_map(|last| UdpSocket::bind((Ipv4Addr::new(127, 53, 53, last), 53)).ok());
        let socket = free.expect("port 53 of some address of the loopback");
        let Ok(SocketAddr::V4(own)) = socket.local_addr() else { panic!("the socket has an IPv4 address") };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let resolv_conf = directory.path().join("resolv.conf");
        std::fs::write(&resolv_conf, format!("nameserver {}\nsearch corp.example\n", own.ip()))
            .expect("it is written");
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let answer = answer(&buffer[..length], address);
                // Whoever asked may be gone.
                drop(answer.map(|answer| socket.send_to(&answer, client)));
            }
        });
        Self { resolv_conf, _directory: directory }
    }
}

/// Repeats the question, with `address` where that is asked for of a name that there is.
fn answer(question: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let name = question.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let asked = question.get(..HEADER + name + 5)?;
    let is_known = asked[..=HEADER + name].ends_with(DOMAIN);
    let wants_address = is_known && asked.ends_with(&[0, 1, 0, 1]);
    let code = if is_known { 0x80 } else { 0x83 };
    let mut answer = asked.to_vec();
    answer[2..HEADER].copy_from_slice(&[0x81, code, 0, 1, 0, u8::from(wants_address), 0, 0, 0, 0]);
    if wants_address {
        // The name of the question, an address of the Internet, good for a minute.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
