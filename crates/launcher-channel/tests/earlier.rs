//! A launcher of the first version of the protocol, served from the frozen file, under an agent of today.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test that cannot set itself up should fail"
)]

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use launcher_channel::{COMMAND_SOCKET, Client, Error};
use tokio::net::UnixListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use wire::launcher::v1::AskGuestRequest;
use wire::launcher::v1::machine_state::Phase;

/// What the first version's compiler made.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated"
)]
mod frozen {
    include!(concat!(env!("OUT_DIR"), "/frozen/ironclad.launcher.v1.rs"));
}

use frozen::launcher_server::{Launcher, LauncherServer};

/// A launcher whose machine runs.
#[derive(Clone, Default)]
struct Earlier {
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Earlier {
    fn done(&self, call: &'static str) -> Response<frozen::Empty> {
        self.calls.lock().unwrap().push(call);
        Response::new(frozen::Empty {})
    }
}

fn running() -> frozen::MachineState {
    frozen::MachineState {
        phase: frozen::machine_state::Phase::Running.into(),
        reason: "Started".to_owned(),
        message: "the machine runs".to_owned(),
        hypervisor: "qemu 7.2.0".to_owned(),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl Launcher for Earlier {
    async fn hello(
        &self,
        request: Request<frozen::HelloRequest>,
    ) -> Result<Response<frozen::HelloResponse>, Status> {
        assert!(request.into_inner().versions.contains(&1), "an agent goes on speaking version 1");
        let release = "0.0.9".to_owned();
        Ok(Response::new(frozen::HelloResponse { version: 1, release, pid: 2, incarnation: 1 }))
    }
    async fn start(
        &self,
        _: Request<frozen::StartRequest>,
    ) -> Result<Response<frozen::StartResponse>, Status> {
        self.calls.lock().unwrap().push("start");
        Ok(Response::new(frozen::StartResponse { state: Some(running()) }))
    }
    async fn shutdown(
        &self,
        request: Request<frozen::ShutdownRequest>,
    ) -> Result<Response<frozen::Empty>, Status> {
        assert_eq!(request.into_inner().grace_period_seconds, 30);
        Ok(self.done("shutdown"))
    }
    async fn kill(&self, _: Request<frozen::Empty>) -> Result<Response<frozen::Empty>, Status> {
        Ok(self.done("kill"))
    }
    async fn pause(&self, _: Request<frozen::Empty>) -> Result<Response<frozen::Empty>, Status> {
        Ok(self.done("pause"))
    }
    async fn resume(&self, _: Request<frozen::Empty>) -> Result<Response<frozen::Empty>, Status> {
        Ok(self.done("resume"))
    }
    async fn reset(&self, _: Request<frozen::Empty>) -> Result<Response<frozen::Empty>, Status> {
        Ok(self.done("reset"))
    }
    async fn state(&self, _: Request<frozen::Empty>) -> Result<Response<frozen::MachineState>, Status> {
        Ok(Response::new(running()))
    }
    type WatchStream = Pin<Box<dyn Stream<Item = Result<frozen::MachineState, Status>> + Send>>;
    async fn watch(&self, _: Request<frozen::Empty>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(running())))))
    }
}

fn serve(directory: &Path) -> Earlier {
    let earlier = Earlier::default();
    let listener = UnixListener::bind(directory.join(COMMAND_SOCKET)).unwrap();
    let served = earlier.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(LauncherServer::new(served.clone()));
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    earlier
}

#[tokio::test]
async fn an_earlier_launcher_is_followed_and_commanded() {
    let directory = tempfile::tempdir().unwrap();
    let earlier = serve(directory.path());
    let client = Client::connect(directory.path(), b"0123456789abcdef").await.unwrap();
    assert_eq!(client.hello().release, "0.0.9");
    let state = client.state().await.unwrap();
    assert_eq!((state.phase(), state.hypervisor.as_str()), (Phase::Running, "qemu 7.2.0"));
    // What it never heard of is not there.
    assert_eq!((state.first_output_at_ms, state.resets), (0, 0));
    let mut states = client.watch().await.unwrap();
    assert_eq!(states.next().await.unwrap().phase(), Phase::Running);
    client.pause().await.unwrap();
    client.resume().await.unwrap();
    client.reset().await.unwrap();
    client.shutdown(30).await.unwrap();
    client.kill().await.unwrap();
    assert_eq!(*earlier.calls.lock().unwrap(), ["pause", "resume", "reset", "shutdown", "kill"]);
}

#[tokio::test]
async fn what_an_earlier_launcher_cannot_do_is_said_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let _earlier = serve(directory.path());
    let client = Client::connect(directory.path(), b"0123456789abcdef").await.unwrap();
    let refusals = [
        client.soft_reboot().await.unwrap_err(),
        client.freeze(0).await.unwrap_err(),
        client.unfreeze().await.unwrap_err(),
        client.ask_guest(AskGuestRequest::default()).await.unwrap_err(),
        client.set_links(Vec::new()).await.unwrap_err(),
        client.screenshot().await.unwrap_err(),
    ];
    for refusal in refusals {
        assert!(matches!(&refusal, Error::Unknown { release } if release == "0.0.9"), "{refusal:?}");
        let text = refusal.to_string();
        assert!(text.contains("release 0.0.9") && text.contains("start it again"), "{text}");
    }
    // The session stands.
    client.state().await.unwrap();
}
