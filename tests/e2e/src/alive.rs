//! Whether a guest goes on: it counts, and a connection into it stands.

#![allow(clippy::missing_panics_doc, clippy::panic, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use kit::until_some;

const PATIENCE: Duration = Duration::from_secs(120);
/// How long one try to reach a guest may take.
const GLANCE: Duration = Duration::from_secs(10);
/// What the guest of `examples/hello.yaml` runs, in the place of its greeting: it tells its uptime each second, and echoes
/// what a connection sends.
pub const PROGRAM: &str = "(while sleep 1; do echo \"uptime $(cut -d. -f1 /proc/uptime)\" > /dev/console; done) & \
                           nc -ll -p 7777 -e /bin/cat > /dev/null 2>&1 &";

/// Returns the manifest of a guest that runs [`PROGRAM`].
pub fn manifest() -> String {
    crate::example("hello.yaml").replace(r#"echo "GREETING" > /dev/console"#, PROGRAM)
}

/// Reads the uptimes in seconds that a console shows.
pub fn uptimes(console: &str) -> Vec<u32> {
    console.lines().filter_map(|line| line.trim().strip_prefix("uptime ")?.parse().ok()).collect()
}

/// Says whether the guest behind `address` answers. What stands before a guest may take a connection and end it at once, for
/// as long as nothing listens behind it.
pub fn answers(address: &str) -> bool {
    let echo = || -> Option<String> {
        let stream = TcpStream::connect_timeout(&address.parse().ok()?, GLANCE).ok()?;
        stream.set_read_timeout(Some(GLANCE)).ok()?;
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(b"answers\n").ok()?;
        let mut echo = String::new();
        stream.read_line(&mut echo).ok()?;
        Some(echo)
    };
    echo().as_deref() == Some("answers\n")
}

/// One TCP connection into a guest, for a whole test.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<TcpStream>,
    sent: u32,
}

impl Session {
    /// Connects to the guest behind `address`.
    pub fn open(address: &str) -> Self {
        Self::at(&format!("{address}:7777"))
    }

    /// Connects to what leads to the guest's port: an address with a port.
    pub fn at(address: &str) -> Self {
        let address = address.parse().expect("an address");
        let stream = until_some("the guest listens", PATIENCE, || {
            TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()
        });
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let mut session = Self { stream: BufReader::new(stream), sent: 0 };
        session.check("at first");
        session
    }

    /// Sends a line that was never sent before and reads it back.
    pub fn check(&mut self, when: &str) {
        self.sent += 1;
        let line = format!("line {}\n", self.sent);
        self.stream.get_mut().write_all(line.as_bytes()).expect("the connection stands");
        let mut echo = String::new();
        self.stream.read_line(&mut echo).unwrap_or_else(|error| panic!("{when}: no echo: {error}"));
        assert_eq!(echo, line, "{when}");
    }
}
