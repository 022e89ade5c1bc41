//! Which tables there are, asked of the kernel itself: a node looks every few seconds, which is too often for a process.
//!
//! Messages: `linux/netfilter/nf_tables.h`, `nfnetlink.h` and `netlink.h` of the kernel.

use std::io::{Error as IoError, ErrorKind};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlasIterator,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::Table;
use crate::Error;

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message's type.
const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_NEWTABLE`, which tells of a table.
const TABLE: u16 = NFTABLES;
/// `NFT_MSG_GETTABLE`, which asks for them.
const ASK: u16 = NFTABLES | 1;
/// `NFTA_TABLE_NAME`.
const NAME: u16 = 1;
/// Length of a netlink header; that of `nfgenmsg` is four.
const HEADER: usize = 16;
/// Lists that are begun before somebody who changes tables all the time has won.
const TRIES: u32 = 20;

/// Lists all tables of the calling thread's namespace. A kernel without them has none.
pub(crate) fn tables() -> Result<Vec<Table>, Error> {
    let failed = Error::system("list the tables of the packet filter");
    for _ in 0..TRIES {
        match list() {
            Ok(Some(tables)) => return Ok(tables),
            Ok(None) => {}
            Err(error) if is_without(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(IoError::new(ErrorKind::Interrupted, "they change all the time")))
}

/// Whether the kernel does not know what a table is.
fn is_without(error: &IoError) -> bool {
    [libc::EINVAL, libc::EOPNOTSUPP, libc::EPROTONOSUPPORT].map(Some).contains(&error.raw_os_error())
}

/// Lists them once; nothing when they changed meanwhile.
fn list() -> Result<Option<Vec<Table>>, IoError> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = [0; HEADER + 4];
    let mut header = NetlinkBuffer::new(&mut request[..]);
    header.set_length(20);
    header.set_message_type(ASK);
    header.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    socket.send(&request, 0)?;
    let (mut tables, mut is_whole) = (Vec::new(), true);
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(IoError::other)?;
            // Otherwise some came or went meanwhile.
            is_whole &= message.flags() & NLM_F_DUMP_INTR == 0;
            match message.message_type() {
                NLMSG_DONE => return Ok(is_whole.then_some(tables)),
                NLMSG_ERROR => return Err(refusal(message.payload())),
                TABLE => tables.extend(table(message.payload())),
                _ => {}
            }
            rest = rest.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn refusal(payload: &[u8]) -> IoError {
    let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
    IoError::from_raw_os_error(-code)
}

/// Reads what a message says: the family, three bytes of no interest, attributes.
fn table(payload: &[u8]) -> Option<Table> {
    let (&[family, ..], attributes) = payload.split_first_chunk::<4>()?;
    let family = match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    };
    let name = NlasIterator::new(attributes).flatten().find(|attribute| attribute.kind() == NAME)?;
    let name = String::from_utf8_lossy(name.value().strip_suffix(&[0])?).into_owned();
    Some(Table { family: family.to_owned(), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_table() {
        let name = [9, 0, 1, 0, b'k', b'e', b'p', b't', 0, 0, 0, 0];
        let message = [&[2, 0, 0, 7][..], &[8, 0, 2, 0, 0, 0, 0, 0], &name].concat();
        assert_eq!(table(&message), Some(Table { family: "ip".into(), name: "kept".into() }));
        for broken in [&message[..3], &message[..4], &message[..12], &message[..18]] {
            assert_eq!(table(broken), None);
        }
        assert_eq!(refusal(&(-libc::EPERM).to_ne_bytes()).raw_os_error(), Some(libc::EPERM));
    }
}
