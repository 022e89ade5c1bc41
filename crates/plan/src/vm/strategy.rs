//! Run strategies: whether an instance is wanted, and what is wrong with the one there is.

use super::{Instance, RunStrategy, StateChange, Vm};

/// What the strategy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// All is as it should be, or will be without us.
    Nothing,
    /// An instance.
    Start {
        /// Standing still at first.
        paused: bool,
    },
    /// The end of the instance.
    Stop {
        /// A start has to be requested, or nothing will replace it.
        restart: bool,
    },
    /// Another strategy.
    Switch(RunStrategy),
}

/// Reads what the machine's strategy and its requests ask for.
pub(super) fn want(vm: &Vm, instance: Option<&Instance>) -> Want {
    match instance {
        None => without_instance(vm),
        Some(instance) if instance.deleting => Want::Nothing,
        Some(instance) if instance.is_final() => with_final(vm, instance),
        Some(instance) => with_live(vm, instance),
    }
}

/// Tells whether a machine has no instance that runs, and is to have none as things are.
pub fn rests(vm: &Vm, instance: Option<&Instance>) -> bool {
    let over = |instance: &Instance| instance.is_final() && !instance.deleting;
    instance.is_none_or(over) && want(vm, instance) == Want::Nothing
}

fn without_instance(vm: &Vm) -> Want {
    let request = start_request(vm);
    let paused = request.is_some_and(StateChange::paused);
    match vm.strategy {
        RunStrategy::Always | RunStrategy::Once | RunStrategy::WaitAsReceiver => Want::Start { paused },
        RunStrategy::Manual if request.is_some() => Want::Start { paused },
        RunStrategy::RerunOnFailure if request.is_some() || is_new_strategy(vm) => Want::Start { paused },
        RunStrategy::Halted if request.is_some() => Want::Switch(RunStrategy::Always),
        _ => Want::Nothing,
    }
}

fn with_live(vm: &Vm, instance: &Instance) -> Want {
    if vm.strategy == RunStrategy::WaitAsReceiver {
        // What arrived is an ordinary machine from now on.
        let arrived = instance.received && !instance.receiver;
        return vm.restore.filter(|_| arrived).map_or(Want::Nothing, Want::Switch);
    }
    let asked = vm.status.state_change_requests.iter().any(|request| request.stops(&instance.uid));
    let never = vm.strategy == RunStrategy::Halted;
    if never || asked { Want::Stop { restart: false } } else { Want::Nothing }
}

fn with_final(vm: &Vm, instance: &Instance) -> Want {
    let asked = vm.status.state_change_requests.iter().any(|request| request.stops(&instance.uid));
    let requested = start_request(vm).is_some();
    match vm.strategy {
        RunStrategy::Always | RunStrategy::Halted => Want::Stop { restart: false },
        RunStrategy::RerunOnFailure => Want::Stop { restart: instance.is_failed() && !requested && !asked },
        _ if asked || requested => Want::Stop { restart: false },
        _ => Want::Nothing,
    }
}

fn start_request(vm: &Vm) -> Option<&StateChange> {
    vm.status.state_change_requests.iter().find(|request| request.is_start() && !is_overtaken(vm, request))
}

/// Tells whether a request to start is from before the machine was switched off, such as what a restart has left:
/// the later order holds. Machines that are off are asked for a start only to stand still at first; any other
/// start switches them on.
pub(super) fn is_overtaken(vm: &Vm, request: &StateChange) -> bool {
    let was_on = vm.status.run_strategy.is_some_and(|before| before != RunStrategy::Halted);
    was_on && vm.strategy == RunStrategy::Halted && request.is_start() && !request.paused()
}

/// A machine that has just been given its strategy is started, as if that had been asked for.
fn is_new_strategy(vm: &Vm) -> bool {
    vm.status.run_strategy != Some(vm.strategy)
}
