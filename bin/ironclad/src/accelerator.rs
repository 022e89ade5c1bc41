//! What executes guests on this machine: KVM where it is proven, emulation elsewhere.

use host::kvm::Verdict;
use wire::machine::Accelerator;

/// Has KVM proven, and says in the log what follows.
pub(crate) async fn choose(helper: &host::Helper) -> Accelerator {
    let verdict = verdict(helper).await;
    if verdict.is_proven() {
        tracing::info!("guests run under KVM: {verdict}");
        Accelerator::Kvm
    } else {
        let remedy = verdict.remedy();
        tracing::warn!(remedy, "guests are emulated, several times slower than with KVM, because {verdict}");
        Accelerator::Tcg
    }
}

/// Has KVM proven by a timed guest.
pub(crate) async fn verdict(helper: &host::Helper) -> Verdict {
    let helper = helper.clone();
    let proven = tokio::task::spawn_blocking(move || host::kvm::prove(&helper)).await;
    proven.unwrap_or_else(|_| Verdict::Suspect { reason: "the probe broke off".to_owned() })
}
