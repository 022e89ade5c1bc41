//! Whether KVM runs ordinary guests. Proven, not assumed.
//!
//! `/dev/kvm` may open, create machines and run small payloads, and still hang every ordinary kernel: some
//! nested platforms interpret privileged code and lack interrupts there. So a child process runs a guest that
//! does what kernels do first (a loop in kernel mode, paging, long mode, an interrupt gate, a timer interrupt)
//! and reports how far it came and how fast. The child can be killed when the guest hangs.

#[cfg(target_arch = "x86_64")]
mod guest;
#[cfg(target_arch = "x86_64")]
mod machine;

use std::fmt;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Helper;

/// Hidden subcommand that runs [`probe_child`].
pub const ROLE: &str = "kvm-probe";

/// The device.
const DEVICE: &str = "/dev/kvm";
/// Longest time for 20,000 turns of an empty loop in kernel mode. Processors need well under 1 ms; where such
/// code is interpreted it takes about 30 ms.
const LOOP_LIMIT: Duration = Duration::from_millis(5);
/// Guests that are tried before a slow one counts: a busy host may slow one down. One that fails, fails again.
const TRIES: usize = 3;
/// How long a child may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the guest has done so far, in its order.
const STAGES: [(char, &str); 6] = [
    ('L', "an empty loop in kernel mode"),
    ('P', "paging"),
    ('B', "long mode"),
    ('I', "an interrupt gate"),
    ('T', "a timer interrupt"),
    ('D', "returning from it"),
];

/// What is known of KVM on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// An ordinary guest would run.
    #[serde(rename_all = "camelCase")]
    Proven {
        /// Microseconds of the timed loop.
        loop_micros: u64,
    },
    /// The device is there, but a guest failed at what every kernel does.
    Suspect {
        /// What happened, as part of a sentence.
        reason: String,
    },
    /// There is no usable device.
    Absent {
        /// Why not, as part of a sentence.
        reason: String,
        /// What to do about it, as part of a sentence.
        remedy: String,
    },
}

impl Verdict {
    /// Says whether ordinary guests run.
    pub fn is_proven(&self) -> bool {
        matches!(self, Self::Proven { .. })
    }

    /// Says what to do for guests to run under KVM, as part of a sentence; nothing where they do.
    pub fn remedy(&self) -> &str {
        match self {
            Self::Proven { .. } => "",
            Self::Suspect { .. } => "use bare metal or a host with nested virtualization",
            Self::Absent { remedy, .. } => remedy,
        }
    }
}

/// What was found, as part of a sentence.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven { loop_micros } => write!(f, "a trial guest ran as it should ({loop_micros} us)"),
            Self::Suspect { reason } => {
                write!(f, "/dev/kvm is there but cannot run ordinary guests: {reason}")
            }
            Self::Absent { reason, .. } => f.write_str(reason),
        }
    }
}

/// What a child saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Observation {
    /// Letters of the stages that were reached.
    stages: String,
    /// Microseconds until the first one.
    loop_micros: u64,
    /// Why the guest stopped, where it was not by itself.
    end: String,
}

impl Observation {
    /// Returns the first stage that was not reached.
    fn missing(&self) -> Option<&'static (char, &'static str)> {
        STAGES.iter().find(|(letter, _)| !self.stages.contains(*letter))
    }

    fn is_complete(&self) -> bool {
        self.missing().is_none()
    }
}

/// Finds out whether KVM runs ordinary guests. Blocks: usually for some milliseconds, at most for some seconds.
///
/// `helper` runs [`probe_child`] in the role [`ROLE`].
pub fn prove(helper: &Helper) -> Verdict {
    if let Err(error) = std::fs::File::options().read(true).write(true).open(DEVICE) {
        return absent(&error);
    }
    let mut verdict = Verdict::Suspect { reason: "no trial guest was run".into() };
    for _ in 0..TRIES {
        let observation = match observe(helper) {
            Ok(observation) => observation,
            Err(reason) => return Verdict::Suspect { reason },
        };
        verdict = judge(&observation);
        if verdict.is_proven() || !observation.is_complete() {
            break;
        }
    }
    verdict
}

/// Explains why the device cannot be opened.
fn absent(error: &std::io::Error) -> Verdict {
    let (reason, remedy) = match error.kind() {
        std::io::ErrorKind::NotFound => (
            "there is no /dev/kvm".to_owned(),
            "switch on virtualization in the firmware and load kvm_intel or kvm_amd",
        ),
        std::io::ErrorKind::PermissionDenied => {
            ("this user may not open /dev/kvm".to_owned(), "add the user to the group kvm and log in again")
        }
        _ => (format!("/dev/kvm cannot be opened: {error}"), "look into the kernel's log"),
    };
    Verdict::Absent { reason, remedy: remedy.to_owned() }
}

/// Judges what a child saw.
fn judge(observation: &Observation) -> Verdict {
    let suspect = |reason: String| Verdict::Suspect { reason };
    if let Some((_, stage)) = observation.missing() {
        let end = if observation.end.is_empty() { "it stopped" } else { observation.end.as_str() };
        return suspect(format!("a trial guest did not get past {stage}: {end}"));
    }
    let took = Duration::from_micros(observation.loop_micros);
    if took > LOOP_LIMIT {
        return suspect(format!(
            "a trial guest's kernel mode took {} ms for what takes less than 1 ms: it is interpreted",
            took.as_millis()
        ));
    }
    Verdict::Proven { loop_micros: observation.loop_micros }
}

/// Runs a child and reads what it saw.
fn observe(helper: &Helper) -> Result<Observation, String> {
    let failed = |error: std::io::Error| format!("the trial could not be run: {error}");
    let mut child = helper
        .command(ROLE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        if child.try_wait().map_err(failed)?.is_some() {
            break true;
        }
        if Instant::now() > deadline {
            break false;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut text).map_err(failed)?;
    }
    // Each line replaces the one before it, so that a guest that hangs leaves what it came to.
    let last = text.lines().next_back().unwrap_or_default();
    let mut observation: Observation = serde_json::from_str(last).unwrap_or_default();
    if !ended {
        observation.end = "it hung".into();
    }
    Ok(observation)
}

/// Runs the child: one guest, reported line by line on standard output.
///
/// # Errors
/// When standard output is gone.
pub fn probe_child() -> std::io::Result<()> {
    let mut observation = Observation::default();
    if let Err(end) = trial(&mut observation) {
        observation.end = end;
    }
    report(&observation)
}

fn report(observation: &Observation) -> std::io::Result<()> {
    let line = serde_json::to_string(observation)?;
    writeln!(std::io::stdout(), "{line}")
}

#[cfg(target_arch = "x86_64")]
fn trial(observation: &mut Observation) -> Result<(), String> {
    let mut machine = machine::Machine::new(guest::payload())?;
    let start = Instant::now();
    loop {
        let letter = machine.run_to_output()?;
        if observation.stages.is_empty() {
            observation.loop_micros = start.elapsed().as_micros() as u64;
        }
        observation.stages.push(char::from(letter));
        // The guest may hang at its next step; then this is what the parent finds.
        report(observation).map_err(|error| error.to_string())?;
        if letter == b'D' {
            return Ok(());
        }
    }
}

/// Elsewhere no platform is known that has the device and does not run kernels.
#[cfg(not(target_arch = "x86_64"))]
fn trial(observation: &mut Observation) -> Result<(), String> {
    observation.stages = STAGES.iter().map(|(letter, _)| *letter).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(stages: &str, loop_micros: u64, end: &str) -> Observation {
        Observation { stages: stages.into(), loop_micros, end: end.into() }
    }

    #[test]
    fn only_a_fast_and_complete_guest_is_a_proof() {
        assert_eq!(judge(&observation("LPBITD", 120, "")), Verdict::Proven { loop_micros: 120 });
        let slow = judge(&observation("LPBITD", 31_000, ""));
        assert!(slow.to_string().contains("31 ms"), "{slow:?}");
        let halted = judge(&observation("L", 31_000, "the processor shut down"));
        assert!(halted.to_string().contains("paging: the processor shut down"), "{halted:?}");
        let hung = judge(&observation("LPBI", 100, "it hung"));
        assert!(hung.to_string().contains("a timer interrupt: it hung"), "{hung:?}");
    }

    /// The same guest, on a processor that is known to work: QEMU's emulation.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_guest_completes_under_emulation() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (kernel, output) = (directory.path().join("kernel"), directory.path().join("output"));
        std::fs::write(&kernel, guest::payload()).expect("a kernel");
        let mut qemu = std::process::Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-M", "q35", "-m", "64", "-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-device", "isa-debugcon,chardev=out,iobase=0x402"])
            .args(["-device", "isa-debug-exit,iobase=0xf4"])
            .arg("-chardev")
            .arg(format!("file,id=out,path={}", output.display()))
            .arg("-kernel")
            .arg(&kernel)
            .spawn()
            .expect("QEMU starts (make deps installs it)");
        let deadline = Instant::now() + Duration::from_secs(60);
        while qemu.try_wait().expect("QEMU can be waited for").is_none() {
            if Instant::now() > deadline {
                qemu.kill().expect("QEMU is killed");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = std::fs::read_to_string(output).expect("its output");
        assert!(text.ends_with("LPBITD"), "{text}");
    }
}
