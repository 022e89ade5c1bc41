//! What a guest's agent tells: its system, its users, its file systems.

use api::names::condition;
use http::{Response, StatusCode};
use wire::agent::Question;

use super::refusal::{Refusal, answer};
use super::route::Action;
use super::{Body, Call, node};

/// Asks the guest. Refusals are plain text, as the reference's.
pub(super) async fn ask(call: &Call<'_>, action: Action) -> Result<Response<Body>, Refusal> {
    let question = match action {
        Action::UserList => Question::Users,
        Action::FilesystemList => Question::FileSystems,
        _ => Question::Guest,
    };
    told(call, question).await.map_err(Refusal::into_text)
}

async fn told(call: &Call<'_>, question: Question) -> Result<Response<Body>, Refusal> {
    let instance = call.instance().await?;
    if !instance.is_running() {
        return Err(instance.conflict("VMI is not running"));
    }
    if !instance.is(condition::AGENT_CONNECTED) {
        return Err(instance.conflict("VMI does not have guest agent connected"));
    }
    let reached = node::reach(call.nodes, &instance).await?;
    let told = reached.agent.ask(&reached.target, question).await.map_err(Refusal::internal)?;
    Ok(answer(StatusCode::OK, "application/json", told.to_string()))
}
