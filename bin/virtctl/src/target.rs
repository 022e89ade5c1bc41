//! What users name a machine, its user and its ports by.

use crate::request::Kind;

/// Why an argument names nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TargetError {
    #[error("target cannot be empty")]
    Empty,
    #[error("target must contain type and name separated by '/'")]
    NoType,
    #[error("target is not valid with more than two '/'")]
    TooManyParts,
    #[error("unsupported resource type '{0}'")]
    Type(String),
    #[error("name cannot be empty")]
    NoName,
    #[error("namespace cannot be empty")]
    NoNamespace,
    #[error("expected username before '@'")]
    NoUser,
    #[error("expected target after '@'")]
    NoTarget,
    #[error("invalid port, missing local and/or remote port")]
    NoPort,
    #[error("invalid port {0:?}: a number from 0 to 65535 is needed")]
    Port(String),
    #[error("unknown protocol: {0}")]
    Protocol(String),
    #[error("copying from a remote location to another remote location is not supported: {0:?} to {1:?}")]
    BothRemote(String, String),
    #[error("none of the two provided locations seems to be a remote location: {0:?} to {1:?}")]
    BothLocal(String, String),
}

/// A machine: `type/name[/namespace]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// As far as the argument names it.
    pub(crate) namespace: Option<String>,
}

impl Target {
    /// Reads `type/name[/namespace]`.
    pub(crate) fn parse(argument: &str) -> Result<Self, TargetError> {
        if argument.is_empty() {
            return Err(TargetError::Empty);
        }
        let parts: Vec<_> = argument.split('/').collect();
        let (kind, name, namespace) = match parts.as_slice() {
            [_] => return Err(TargetError::NoType),
            [kind, name] => (kind, name, None),
            [_, _, ""] => return Err(TargetError::NoNamespace),
            [kind, name, namespace] => (kind, name, Some((*namespace).to_owned())),
            _ => return Err(TargetError::TooManyParts),
        };
        let kind = Kind::parse(kind)
            .filter(|kind| *kind != Kind::ReplicaSet)
            .ok_or_else(|| TargetError::Type((*kind).to_owned()))?;
        if name.is_empty() {
            return Err(TargetError::NoName);
        }
        Ok(Self { kind, name: (*name).to_owned(), namespace })
    }

    /// The short word for the type.
    pub(crate) fn word(&self) -> &'static str {
        if self.kind == Kind::Machine { "vm" } else { "vmi" }
    }
}

/// A login: `[user@]type/name[/namespace]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) target: Target,
}

impl Login {
    /// Reads `[user@]type/name[/namespace]`. Neither a type nor a name contains an `@`, so the last one ends the user.
    pub(crate) fn parse(argument: &str) -> Result<Self, TargetError> {
        let (user, target) = match argument.rsplit_once('@') {
            None => (None, argument),
            Some(("", _)) => return Err(TargetError::NoUser),
            Some((_, "")) => return Err(TargetError::NoTarget),
            Some((user, target)) => (Some(user.to_owned()), target),
        };
        Ok(Self { user, target: Target::parse(target)? })
    }
}

/// A copy between here and a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) local: String,
    pub(crate) login: Login,
    pub(crate) remote: String,
    /// Whether the machine is the destination.
    pub(crate) to_remote: bool,
}

impl Copy {
    /// Reads source and destination, one of which is `[user@]type/name[/namespace]:path`.
    pub(crate) fn parse(source: &str, destination: &str) -> Result<Self, TargetError> {
        let both = || (source.to_owned(), destination.to_owned());
        let (local, to_remote, (login, remote)) = match (source.split_once(':'), destination.split_once(':'))
        {
            (Some(_), Some(_)) => {
                let (source, destination) = both();
                return Err(TargetError::BothRemote(source, destination));
            }
            (None, None) => {
                let (source, destination) = both();
                return Err(TargetError::BothLocal(source, destination));
            }
            (Some(remote), None) => (destination, false, remote),
            (None, Some(remote)) => (source, true, remote),
        };
        let login = Login::parse(login)?;
        Ok(Self { local: local.to_owned(), login, remote: remote.to_owned(), to_remote })
    }
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// As in the path of the subresource.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port here that leads to a port there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) protocol: Protocol,
    pub(crate) local: u16,
    pub(crate) remote: u16,
}

impl Forward {
    /// Reads `[protocol/]local[:remote]`.
    pub(crate) fn parse(argument: &str) -> Result<Self, TargetError> {
        let (protocol, ports) = argument.split_once('/').unwrap_or(("tcp", argument));
        let protocol = match protocol.to_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(TargetError::Protocol(protocol.to_owned())),
        };
        let mut ports = ports.split(':').filter(|part| !part.is_empty()).map(port);
        let local = ports.next().ok_or(TargetError::NoPort)??;
        let remote = ports.next().transpose()?.unwrap_or(local);
        Ok(Self { protocol, local, remote })
    }
}

fn port(word: &str) -> Result<u16, TargetError> {
    word.parse().map_err(|_| TargetError::Port(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: Kind, name: &str, namespace: Option<&str>) -> Target {
        Target { kind, name: name.to_owned(), namespace: namespace.map(str::to_owned) }
    }

    #[test]
    fn machines_are_named_by_type_name_and_namespace() {
        let cases = [
            ("vm/a", Ok(target(Kind::Machine, "a", None))),
            ("VMIS/a.b/c", Ok(target(Kind::Instance, "a.b", Some("c")))),
            ("", Err(TargetError::Empty)),
            ("a", Err(TargetError::NoType)),
            ("vm/", Err(TargetError::NoName)),
            ("vm/a/", Err(TargetError::NoNamespace)),
            ("vm/a/b/c", Err(TargetError::TooManyParts)),
            ("pod/a", Err(TargetError::Type("pod".to_owned()))),
            ("vmirs/a", Err(TargetError::Type("vmirs".to_owned()))),
        ];
        for (argument, expected) in cases {
            assert_eq!(Target::parse(argument), expected, "{argument}");
        }
    }

    #[test]
    fn logins_may_name_a_user() {
        let login = Login::parse("jdoe@vm/a/b").unwrap();
        assert_eq!(
            (login.user.as_deref(), login.target),
            (Some("jdoe"), target(Kind::Machine, "a", Some("b")))
        );
        assert_eq!(Login::parse("a@b.org@vm/a").unwrap().user.as_deref(), Some("a@b.org"));
        assert_eq!(Login::parse("vmi/a").unwrap().user, None);
        assert_eq!(Login::parse("@vm/a"), Err(TargetError::NoUser));
        assert_eq!(Login::parse("jdoe@"), Err(TargetError::NoTarget));
    }

    #[test]
    fn copies_have_one_remote_side() {
        let there = Copy::parse("f.bin", "jdoe@vm/a:dir/f:1").unwrap();
        assert_eq!(
            (there.local.as_str(), there.remote.as_str(), there.to_remote),
            ("f.bin", "dir/f:1", true)
        );
        let back = Copy::parse("vmi/a/b:", ".").unwrap();
        assert_eq!((back.local.as_str(), back.remote.as_str(), back.to_remote), (".", "", false));
        assert!(matches!(Copy::parse("vm/a:x", "vm/b:y"), Err(TargetError::BothRemote(..))));
        assert!(matches!(Copy::parse("x", "y"), Err(TargetError::BothLocal(..))));
    }

    #[test]
    fn ports_have_protocol_local_and_remote() {
        let forward = |protocol, local, remote| Ok(Forward { protocol, local, remote });
        let cases = [
            ("8080", forward(Protocol::Tcp, 8080, 8080)),
            ("8080:80", forward(Protocol::Tcp, 8080, 80)),
            (":80", forward(Protocol::Tcp, 80, 80)),
            ("0:80", forward(Protocol::Tcp, 0, 80)),
            ("udp/53", forward(Protocol::Udp, 53, 53)),
            ("UDP/5353:53", forward(Protocol::Udp, 5353, 53)),
            ("", Err(TargetError::NoPort)),
            ("tcp/:", Err(TargetError::NoPort)),
            ("sctp/1", Err(TargetError::Protocol("sctp".to_owned()))),
            ("70000", Err(TargetError::Port("70000".to_owned()))),
            ("80:ssh", Err(TargetError::Port("ssh".to_owned()))),
        ];
        for (argument, expected) in cases {
            assert_eq!(Forward::parse(argument), expected, "{argument}");
        }
    }
}
