//! What is said about the installation as a whole.

use api::names::REFERENCE_VERSION;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Body;
use super::refusal::answer;

/// The release, in the words in which clients of the reference compare it with theirs.
pub(super) fn version(release: &str) -> Response<Body> {
    respond(&json!({
        // Behind the plus sign stands whose release it is; comparisons leave that out.
        "gitVersion": format!("{REFERENCE_VERSION}.0+ironclad.{release}"),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", platform()),
    }))
}

/// Where clients find the image that looks into file systems: an installation without one says nothing.
pub(super) fn guestfs() -> Response<Body> {
    respond(&json!({"registry": "", "tag": "", "imagePrefix": "", "gsImage": "", "digest": ""}))
}

/// That requests are answered.
pub(super) fn health() -> Response<Body> {
    respond(&json!({"apiserver": {"connectivity": "ok"}}))
}

fn respond(value: &Value) -> Response<Body> {
    answer(StatusCode::OK, "application/json", value.to_string())
}

/// The processor's name, as Go has it.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
