//! What a changed template means for the instance that was made from the one before it.

use serde_json::{Map, Value, json};

use crate::patch;

/// Fields of an instance that follow its template while it runs: they say where it may go, not what it is. The Pod
/// that it has stays where it is. Beside them follows whether the cables of its interfaces are connected.
const FOLLOWED: [&str; 3] = ["affinity", "nodeSelector", "tolerations"];
/// Where the interfaces stand.
const INTERFACES: &str = "/domain/devices/interfaces";

/// How a template that changed since its instance was made reaches that instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// Whether something changed that only a restart applies. Until then nothing else is rolled out either, but cables.
    pub restart_required: bool,
    /// Merge patch of the instance's `spec` that makes it follow, if it does not yet.
    pub follow: Option<Value>,
}

impl Rollout {
    /// Compares the specification that an instance was made from with that of the template `now`, and with what the
    /// instance has (`running`). With `live`, the fields that can follow do; else every change waits for a restart.
    pub fn of(before: &Value, now: &Value, running: &Value, live: bool) -> Self {
        if !live {
            return Self { restart_required: before != now, follow: None };
        }
        let restart_required = fixed(before) != fixed(now);
        // Whoever pulls a cable wants it out, whatever else waits.
        let followed = |spec: &Value| {
            let mut followed = if restart_required { json!({}) } else { placed(spec) };
            if let Some(interfaces) = cabled(spec, running) {
                followed["domain"] = json!({ "devices": { "interfaces": interfaces } });
            }
            followed
        };
        Self { restart_required, follow: patch::difference(&followed(running), &followed(now)) }
    }
}

/// Returns what only a restart changes.
fn fixed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|name, _| !FOLLOWED.contains(&name.as_str()));
    }
    if let Some(interfaces) = spec.pointer_mut(INTERFACES).and_then(Value::as_array_mut) {
        for interface in interfaces.iter_mut().filter(|interface| is_cable(&interface["state"])) {
            if let Some(fields) = interface.as_object_mut() {
                fields.remove("state");
            }
        }
    }
    spec
}

/// Returns the fields that follow as `spec` has them.
fn placed(spec: &Value) -> Value {
    let all = spec.as_object().into_iter().flatten();
    let chosen = all.filter(|(name, _)| FOLLOWED.contains(&name.as_str()));
    Value::Object(chosen.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

/// Returns the interfaces of an instance as they are `running`, with cables as `spec` has them.
fn cabled(spec: &Value, running: &Value) -> Option<Value> {
    let wanted = spec.pointer(INTERFACES).and_then(Value::as_array);
    let mut interfaces = running.pointer(INTERFACES)?.as_array()?.clone();
    for interface in &mut interfaces {
        let mut wanted = wanted.into_iter().flatten().filter(|wanted| is_cable(&wanted["state"]));
        let same = wanted.find(|wanted| wanted["name"] == interface["name"]);
        let (Some(same), Some(fields)) = (same, interface.as_object_mut()) else { continue };
        match same.get("state") {
            Some(state) => fields.insert("state".to_owned(), state.clone()),
            None => fields.remove("state"),
        };
    }
    Some(interfaces.into())
}

/// Tells whether an interface's state, or that it has none, says something of its cable. The other one takes the
/// interface away.
fn is_cable(state: &Value) -> bool {
    state.as_str() != Some("absent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_machine_may_go_follows_and_what_it_is_waits() {
        let before = json!({"domain": {"memory": {"guest": "64Mi"}}, "nodeSelector": {"disk": "ssd"}});
        let moved = json!({
            "domain": {"memory": {"guest": "64Mi"}},
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "k", "operator": "Exists"}],
        });
        let grown = json!({"domain": {"memory": {"guest": "128Mi"}}, "nodeSelector": {"zone": "a"}});
        let follow = |patch: Value| Rollout { restart_required: false, follow: Some(patch) };
        let restart = Rollout { restart_required: true, follow: None };
        let cases = [
            ("nothing changed", &before, &before, true, Rollout::default()),
            (
                "it may go elsewhere",
                &moved,
                &before,
                true,
                follow(json!({
                    "nodeSelector": {"disk": null, "zone": "a"},
                    "tolerations": [{"key": "k", "operator": "Exists"}],
                })),
            ),
            ("it has followed", &moved, &moved, true, Rollout::default()),
            (
                "it is taken back",
                &before,
                &moved,
                true,
                follow(json!({
                    "nodeSelector": {"disk": "ssd", "zone": null},
                    "tolerations": null,
                })),
            ),
            ("it becomes another machine", &grown, &before, true, restart.clone()),
            ("all waits where the administrator says so", &moved, &before, false, restart),
        ];
        for (what, now, running, live, expected) in cases {
            assert_eq!(Rollout::of(&before, now, running, live), expected, "{what}");
        }
    }

    #[test]
    fn cables_follow_and_interfaces_wait() {
        let interfaces = |interfaces: Value| json!({"domain": {"devices": {"interfaces": interfaces}}});
        let template = |state: Value| interfaces(json!([{"name": "a", "state": state}, {"name": "b"}]));
        // What an instance was given beside its template stays.
        let running = |state: Value| {
            interfaces(
                json!([{"name": "a", "state": state, "model": "virtio"}, {"name": "b", "model": "e1000"}]),
            )
        };
        let follow = |patch: Value| Rollout { restart_required: false, follow: Some(patch) };
        let restart = Rollout { restart_required: true, follow: None };
        let (up, down) = (json!("up"), json!("down"));
        let plain = interfaces(json!([{"name": "a"}, {"name": "b"}]));
        let unplugged =
            interfaces(json!([{"name": "a", "model": "virtio"}, {"name": "b", "model": "e1000"}]));
        let cases = [
            ("pulled", template(down.clone()), running(up.clone()), true, follow(running(down.clone()))),
            ("it is out", template(down.clone()), running(down.clone()), true, Rollout::default()),
            ("no word of it any more", plain, running(down.clone()), true, follow(unplugged)),
            ("taken away", template(json!("absent")), running(up.clone()), true, restart.clone()),
            (
                "another interface",
                interfaces(json!([{"name": "a", "state": "up"}])),
                running(up.clone()),
                true,
                restart.clone(),
            ),
            (
                "pulled while something else waits",
                interfaces(json!([{"name": "a", "state": "down"}])),
                running(up.clone()),
                true,
                Rollout { restart_required: true, follow: Some(running(down.clone())) },
            ),
            ("all waits", template(down), running(up.clone()), false, restart),
        ];
        for (what, now, running, live, expected) in cases {
            assert_eq!(Rollout::of(&template(up.clone()), &now, &running, live), expected, "{what}");
        }
    }
}
