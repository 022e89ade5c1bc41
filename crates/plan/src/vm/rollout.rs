//! What a changed template means for the instance that was made from the one before it.

use serde_json::{Map, Value};

use crate::patch;

/// Fields of an instance that follow its template while it runs: they say where it may go, not what it is. The Pod
/// that it has stays where it is.
const FOLLOWED: [&str; 3] = ["affinity", "nodeSelector", "tolerations"];

/// How a template that changed since its instance was made reaches that instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// Whether something changed that only a restart applies. Until then nothing else is rolled out either.
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
        let restart_required = fields(before, false) != fields(now, false);
        let follow =
            (!restart_required).then(|| patch::difference(&fields(running, true), &fields(now, true)));
        Self { restart_required, follow: follow.flatten() }
    }
}

/// Returns the fields that follow, or all others.
fn fields(spec: &Value, followed: bool) -> Value {
    let chosen = |name: &String| FOLLOWED.contains(&name.as_str()) == followed;
    let all = spec.as_object().into_iter().flatten();
    Value::Object(
        all.filter(|(name, _)| chosen(name)).map(|(n, v)| (n.clone(), v.clone())).collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
}
