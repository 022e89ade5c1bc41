//! QEMU keeps the contract, under emulation, with the suite's own guest.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use hypervisor::contract::{self, Case, Harness, Trial, guest};
use hypervisor::{Access, Attached, Backend, Error, Source, Surroundings, process};
use hypervisor_qemu::{Qemu, attach};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use wire::machine::MachineRecord;

struct Emulator;

#[async_trait]
impl Harness for Emulator {
    async fn execute(&self, record: MachineRecord) -> Result<Box<dyn Trial>, String> {
        let directory = tempfile::tempdir().unwrap();
        let descriptors = BTreeMap::from([(guest::KERNEL.to_owned(), Access::Read)]);
        let surroundings = Surroundings {
            descriptors: &descriptors,
            run_directory: directory.path(),
            socket_directory: directory.path(),
            now: 1_700_000_000,
        };
        let plan = Qemu::default().plan(&record, &surroundings).map_err(|error| error.to_string())?;
        let kernel = directory.path().join("kernel");
        std::fs::write(&kernel, guest::kernel()).unwrap();
        let (serial, theirs) = UnixStream::pair().unwrap();
        let mut open = Vec::new();
        let mut theirs = Some(OwnedFd::from(theirs));
        for inherited in &plan.descriptors {
            let fd = match &inherited.source {
                Source::Descriptor(_) => OwnedFd::from(std::fs::File::open(&kernel).unwrap()),
                Source::Channel(_) => theirs.take().unwrap(),
            };
            open.push((inherited.number, fd));
        }
        process::prepare(&plan).map_err(|error| error.to_string())?;
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let pid = process::spawn(&plan, open, log.as_fd()).map_err(|error| error.to_string())?;
        Ok(Box::new(Running { directory, serial, pid: Mutex::new(Pid::from_raw(pid)) }))
    }
}

struct Running {
    directory: tempfile::TempDir,
    serial: UnixStream,
    /// `None` once reaped.
    pid: Mutex<Option<Pid>>,
}

impl Running {
    fn press(&self, key: &[u8]) -> Result<(), String> {
        (&self.serial).write_all(key).map_err(|error| error.to_string())
    }

    fn reap(&self, options: WaitOptions) -> bool {
        let mut pid = self.pid.lock().unwrap();
        let Some(running) = *pid else { return true };
        let ended = waitpid(Some(running), options).unwrap().is_some();
        if ended {
            *pid = None;
        }
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = *self.pid.lock().unwrap() {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.reap(WaitOptions::empty());
    }
}

#[async_trait]
impl Trial for Running {
    async fn attach(&self) -> Result<Attached, Error> {
        loop {
            match attach(self.directory.path()).await {
                Err(Error::Attach(_)) if !self.reap(WaitOptions::NOHANG) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => {
                    let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
                    panic!("{error}: {log}");
                }
                attached => return attached,
            }
        }
    }

    async fn guest_up(&self) -> Result<(), String> {
        let mut serial = self.serial.try_clone().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            let mut byte = [0];
            while !text.ends_with(guest::GREETING.as_bytes()) {
                if serial.read(&mut byte)? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
                text.push(byte[0]);
            }
            Ok(())
        });
        read.await.unwrap().map_err(|error| error.to_string())
    }

    async fn guest_powers_off(&self) -> Result<(), String> {
        self.press(b"q")
    }

    async fn guest_resets(&self) -> Result<(), String> {
        self.press(b"r")
    }

    async fn guest_panics(&self) -> Result<(), String> {
        self.press(b"p")
    }

    async fn ended(&self) -> Result<(), String> {
        while !self.reap(WaitOptions::NOHANG) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

macro_rules! cases {
    ($($name:ident = $case:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                contract::run(Case::$case, &Emulator).await.unwrap();
            }
        )*

        #[test]
        fn no_case_is_left_out() {
            assert_eq!(&[$(Case::$case),*], Case::ALL);
        }
    };
}

cases! {
    made_stopped = MadeStopped;
    resume_twice = ResumeTwice;
    pause_and_resume = PauseAndResume;
    reset = Reset;
    power_button = PowerButton;
    guest_powers_off = GuestPowersOff;
    guest_resets = GuestResets;
    stands_still = StandsStill;
    restart_ends = RestartEnds;
    guest_panics = GuestPanics;
    quit = Quit;
    reattach = Reattach;
    commands_after_end = CommandsAfterEnd;
}
