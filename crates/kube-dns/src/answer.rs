//! Questions and answers as they are on the wire.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use plan::names::{self, Answer, Data, Kind, Question, Zone};

/// Seconds that an answer may be kept.
const TTL: u32 = 5;
/// Largest datagram that reaches everybody in one piece, and the one that everybody takes.
const LARGEST_DATAGRAM: u16 = 1232;
pub(crate) const SMALLEST_DATAGRAM: u16 = 512;
/// Bytes of a message's header.
const HEADER: usize = 12;
/// Names that may lead to one another.
const LONGEST_CHAIN: usize = 8;

/// What becomes of a question.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: it is none.
    Ignore,
    /// It has its answer.
    Reply(Message),
    /// Others know.
    Forward(Message),
    /// Others know of the name that it leads to, with which the answer goes on.
    Follow {
        /// The answer so far.
        reply: Message,
        /// The name.
        target: Name,
    },
}

/// Judges what a client sent.
pub(crate) fn judge(zone: &Zone, packet: &[u8]) -> Step {
    let Ok(query) = Message::from_vec(packet) else { return broken(packet) };
    if query.message_type != MessageType::Query {
        return Step::Ignore;
    }
    let refused = |code| Step::Reply(failure(&query, code));
    if query.op_code != OpCode::Query {
        return refused(ResponseCode::NotImp);
    }
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return refused(ResponseCode::BADVERS);
    }
    let [question] = query.queries.as_slice() else { return refused(ResponseCode::FormErr) };
    if question.query_class() != DNSClass::IN
        || matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR)
    {
        return refused(ResponseCode::Refused);
    }
    let question = question.clone();
    resolve(zone, query, &question)
}

/// Answers what cannot be read, as far as it is a question.
fn broken(packet: &[u8]) -> Step {
    match packet.first_chunk::<HEADER>() {
        Some([first, second, flags, ..]) if flags & 0x80 == 0 => {
            let id = u16::from_be_bytes([*first, *second]);
            Step::Reply(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr))
        }
        _ => Step::Ignore,
    }
}

/// Answers out of the zone, also for the names that a name leads to.
fn resolve(zone: &Zone, query: Message, question: &Query) -> Step {
    let kind = kind(question.query_type());
    let wants_alias = matches!(question.query_type(), RecordType::CNAME | RecordType::ANY);
    let mut name = question.name().clone();
    let mut reply = reply_to(&query);
    reply.metadata.authoritative = true;
    for _ in 0..LONGEST_CHAIN {
        match zone.answer(&Question { labels: labels(&name), kind }) {
            Answer::Elsewhere if reply.answers.is_empty() => return Step::Forward(query),
            Answer::Elsewhere => return Step::Follow { reply, target: name },
            Answer::NoName => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(soa(zone));
                return Step::Reply(reply);
            }
            Answer::Found { records, .. } if records.is_empty() => {
                reply.add_authority(soa(zone));
                return Step::Reply(reply);
            }
            Answer::Found { records, further } => {
                let next = alias(&records).filter(|_| !wants_alias);
                let mut records: Vec<Record> =
                    records.iter().filter_map(|known| record(zone, &name, known)).collect();
                // Each client begins with another one: many take the first.
                let turn = usize::from(query.id).checked_rem(records.len()).unwrap_or(0);
                records.rotate_left(turn);
                reply.add_answers(records);
                reply.add_additionals(further.iter().filter_map(|known| record(zone, &name, known)));
                match next {
                    Some(next) => name = next,
                    None => return Step::Reply(reply),
                }
            }
        }
    }
    Step::Reply(failure(&query, ResponseCode::ServFail))
}

/// Goes on with an answer by what others say of the name that it leads to.
pub(crate) fn continued(mut reply: Message, said: Message) -> Message {
    reply.metadata.response_code = said.response_code;
    reply.metadata.truncation |= said.truncation;
    reply.answers.extend(said.answers);
    reply.authorities.extend(said.authorities);
    reply
}

/// Says that there is no answer.
pub(crate) fn failure(query: &Message, code: ResponseCode) -> Message {
    let mut reply = reply_to(query);
    reply.metadata.response_code = code;
    reply
}

/// Asks others about a name that an answer leads to.
pub(crate) fn follow_up(reply: &Message, target: &Name, id: u16) -> Option<Message> {
    let mut query = Message::new(id, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    let mut question = reply.queries.first()?.clone();
    question.set_name(target.clone());
    query.add_query(question);
    let mut edns = Edns::new();
    edns.set_max_payload(LARGEST_DATAGRAM).set_version(0);
    query.set_edns(edns);
    Some(query)
}

/// Returns the largest datagram that whoever sent this takes.
pub(crate) fn datagram(message: &Message) -> usize {
    let told = message.edns.as_ref().map_or(SMALLEST_DATAGRAM, Edns::max_payload);
    usize::from(told.clamp(SMALLEST_DATAGRAM, LARGEST_DATAGRAM))
}

/// Encodes an answer in at most `longest` bytes: without what was not asked for, or else only with the word that there is
/// more, which is had over TCP.
pub(crate) fn encode(mut reply: Message, longest: usize) -> Option<Vec<u8>> {
    let whole = reply.to_vec().ok()?;
    if whole.len() <= longest {
        return Some(whole);
    }
    reply.additionals.clear();
    let bare = reply.to_vec().ok()?;
    if bare.len() <= longest { Some(bare) } else { reply.truncate().to_vec().ok() }
}

fn reply_to(query: &Message) -> Message {
    let mut reply = Message::response(query.id, query.op_code);
    reply.metadata.recursion_desired = query.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.checking_disabled = query.checking_disabled;
    reply.add_queries(query.queries.iter().cloned());
    if let Some(asked) = &query.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_DATAGRAM).set_version(0).set_dnssec_ok(asked.flags().dnssec_ok);
        reply.set_edns(edns);
    }
    reply
}

fn kind(asked: RecordType) -> Kind {
    match asked {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        RecordType::TXT => Kind::Txt,
        RecordType::SOA => Kind::Soa,
        RecordType::NS => Kind::Ns,
        _ => Kind::Other,
    }
}

/// Reads a name's labels. What no name of the cluster has stays different from all of them.
fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase().replace('.', "\u{0}")).collect()
}

fn alias(records: &[names::Record]) -> Option<Name> {
    records.iter().find_map(|record| match &record.data {
        Data::Alias(target) => absolute(target),
        _ => None,
    })
}

fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{name}.")).ok()
}

/// Writes a record; `None` for a name that cannot be, which somebody may have given an `externalName`.
fn record(zone: &Zone, asked: &Name, record: &names::Record) -> Option<Record> {
    let owner = match &record.name {
        Some(name) => absolute(name)?,
        None => asked.clone(),
    };
    let data = match &record.data {
        Data::A(address) => RData::A(A(*address)),
        Data::Aaaa(address) => RData::AAAA(AAAA(*address)),
        Data::Alias(target) => RData::CNAME(CNAME(absolute(target)?)),
        Data::Srv { weight, port, target } => RData::SRV(SRV::new(0, *weight, *port, absolute(target)?)),
        Data::Ptr(name) => RData::PTR(PTR(absolute(name)?)),
        Data::Txt(text) => RData::TXT(TXT::new(vec![text.clone()])),
        Data::Ns(name) => RData::NS(NS(absolute(name)?)),
        Data::Soa => return Some(soa(zone)),
    };
    Some(Record::from_rdata(owner, TTL, data))
}

/// The zone's own record; with it, that there is nothing may be kept as long as an answer.
fn soa(zone: &Zone) -> Record {
    let domain = zone.domain();
    let name = |text: &str| absolute(text).unwrap_or_else(Name::root);
    // Nobody gets copies of the zone, so its number tells nobody anything.
    let soa = SOA::new(
        name(&format!("ns.dns.{domain}")),
        name(&format!("hostmaster.{domain}")),
        1,
        7200,
        1800,
        86_400,
        TTL,
    );
    Record::from_rdata(name(&domain), TTL, RData::SOA(soa))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
