//! Ports that processes of this network namespace have, as the kernel lists their sockets.

use std::collections::BTreeSet;
use std::io;

/// A socket's state, in the kernel's numbers: a TCP socket that listens, a UDP socket without a peer.
const LISTENS: (&str, &str) = ("0A", "07");

/// Returns the ports that somebody has for `protocol` (`tcp` or `udp`; nothing is known of others), at whatever address.
///
/// # Errors
/// When the kernel does not tell.
pub fn listening(protocol: &str) -> io::Result<BTreeSet<u16>> {
    let state = match protocol {
        "tcp" => LISTENS.0,
        "udp" => LISTENS.1,
        _ => return Ok(BTreeSet::new()),
    };
    let mut all = BTreeSet::new();
    for family in ["", "6"] {
        match std::fs::read_to_string(format!("/proc/self/net/{protocol}{family}")) {
            Ok(text) => all.extend(ports(&text, state)),
            // A kernel without IPv6 has no such list.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Reads lines such as `0: 0100007F:1F90 00000000:0000 0A ...`.
fn ports<'a>(text: &'a str, state: &'a str) -> impl Iterator<Item = u16> + 'a {
    text.lines().skip(1).filter_map(move |line| {
        let mut words = line.split_whitespace().skip(1);
        let (own, _peer, found) = (words.next()?, words.next()?, words.next()?);
        let (_, port) = own.rsplit_once(':')?;
        (found == state).then(|| u16::from_str_radix(port, 16).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_found() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                    0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
                    1: 0100007F:1F91 0100007F:9999 01 00000000:00000000\n";
        assert_eq!(ports(text, LISTENS.0).collect::<Vec<_>>(), [8080]);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listening("tcp").unwrap().contains(&port));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(listening("udp").unwrap().contains(&socket.local_addr().unwrap().port()));
        drop(listener);
        assert!(!listening("tcp").unwrap().contains(&port));
        assert!(listening("sctp").unwrap().is_empty());
    }
}
