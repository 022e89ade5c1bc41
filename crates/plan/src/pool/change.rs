//! How a changed template reaches machines: first the machines themselves, then their instances, few at a time.

use api::names::event;

use super::revision::Change;
use super::{Action, Member, Observed, Update, revision};
use crate::replicas::BURST;
use crate::{Notice, Plan};

/// Brings machines up to date, and then their instances.
pub(super) fn update(observed: &Observed, plan: &mut Plan<Action>) {
    let may_change: Vec<&Member> =
        observed.members.iter().filter(|member| member.may_change && !member.deleting).collect();
    machines(observed, &may_change, plan);
    if plan.actions.is_empty() {
        instances(observed, may_change, plan);
    }
}

/// Makes machines what the template says.
fn machines(observed: &Observed, members: &[&Member], plan: &mut Plan<Action>) {
    let outdated = members.iter().filter(|member| observed.revisions.is_outdated(member.revision.as_deref()));
    // What has no number is not made from the template.
    let numbered: Vec<_> =
        outdated.filter_map(|member| Some((member, member.index()?))).take(BURST).collect();
    if numbered.is_empty() {
        return;
    }
    let revision = revision(observed, plan);
    for (member, index) in numbered {
        let (name, uid) = (member.name.clone(), member.uid.clone());
        let message = format!("Updated the machine {name}");
        plan.push(Action::Update { name, uid, index, revision: revision.clone() });
        plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_UPDATE, message)));
    }
}

/// Brings instances to the revision of their machines. Those that serve nobody come at once, the others when few enough are away.
fn instances(observed: &Observed, mut members: Vec<&Member>, plan: &mut Plan<Action>) {
    let pool = &observed.pool;
    let Update::Proactive(policy) = &pool.update else { return };
    policy.arrange(&mut members, &format!("{}/{}", pool.uid, pool.generation));
    let away = observed.members.iter().filter(|member| member.is_away()).count();
    let mut may_leave = pool.may_be_away.count(pool.wanted).saturating_sub(away);
    for member in members.into_iter().filter(|member| !member.asked && !member.halted) {
        let Some(instance) = member.instance.as_ref().filter(|one| !one.deleting && !one.ended) else {
            continue;
        };
        let change = observed.revisions.change(member.revision.as_deref(), instance.revision.as_deref());
        let (name, uid) = (member.name.clone(), member.uid.clone());
        let leaves = matches!(change, Change::Restart | Change::Replace);
        if leaves && member.is_available() {
            if may_leave == 0 {
                continue;
            }
            may_leave -= 1;
        }
        let message = match change {
            Change::Nothing => continue,
            Change::Label => {
                let revision = member.revision.clone().unwrap_or_default();
                plan.push(Action::Relabel { name, instance: instance.uid.clone(), revision });
                continue;
            }
            Change::Restart => {
                let message = format!("Restarted the machine {name}, whose template changed");
                plan.push(Action::Restart { name, uid, instance: instance.uid.clone() });
                message
            }
            Change::Replace => {
                let message =
                    format!("Deleted the machine {name}, whose disks are made of something else now");
                plan.push(Action::Delete { name, uid, clean: true });
                message
            }
        };
        plan.push(Action::Tell(Notice::normal(event::SUCCESSFUL_DELETE, message)));
    }
}
