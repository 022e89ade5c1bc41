//! Service-account tokens: issued on request, bound to objects, good for as long as those live.

use jiff::{SignedDuration, Timestamp};
use machinery::admission::UserInfo;
use machinery::field::{FieldError, Path};
use machinery::gvk::{Gvk, Gvr};
use machinery::object;
use machinery::status::Status;
use serde_json::{Value, json};

use super::identity;
use super::token::{self, Bound, Claims, Reference};
use crate::cache::ObjectKey;
use crate::registry::Collection;
use crate::{ApiServer, Result};

/// Shortest life that may be asked for, in seconds.
const SHORTEST: i64 = 600;
/// Longest life that may be asked for, in seconds; a longer one cannot be meant.
const LONGEST: i64 = 1 << 32;
/// Life of a token that asks for none, in seconds.
const USUAL: i64 = 3600;
/// A token stays good this long after its object's deletion began, so that a Pod can end in order.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// An accepted token.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Whose it is.
    pub user: UserInfo,
    /// For which of the wanted audiences it is good.
    pub audiences: Vec<String>,
}

/// Judges a token: signature, issuer, times, audience, and that all it is bound to still exists.
///
/// # Errors
/// Says in a few words why it is refused, for the log: the client is not told.
pub fn verify(server: &ApiServer, token: &str, audiences: &[String]) -> Result<Verified, &'static str> {
    let settings = &server.auth().settings;
    let key = settings.token_key.as_ref().ok_or("this server has no token key")?;
    let claims = token::read(token, key.public())?;
    let now = server.now().as_second();
    if claims.iss != settings.issuer {
        return Err("another server issued it");
    }
    // That it begins later says only that this server's clock was set back: it issued the token itself.
    if now >= claims.exp {
        return Err("it has expired");
    }
    let common: Vec<String> =
        audiences.iter().filter(|audience| claims.aud.contains(audience)).cloned().collect();
    if common.is_empty() {
        return Err("it is for another audience");
    }
    let bound = &claims.kubernetes;
    let (namespace, account) = (bound.namespace.as_str(), &bound.serviceaccount);
    if claims.sub != identity::service_account_user(namespace, &account.name) {
        return Err("its subject is not the account that it is bound to");
    }
    alive(server, "serviceaccounts", namespace, account).ok_or("its service account is gone")?;
    let mut user = identity::service_account(namespace, &account.name);
    user.uid.clone_from(&account.uid);
    let mut extra = |key: &str, value: &str| {
        user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
    };
    extra("credential-id", &format!("JTI={}", claims.jti));
    if let Some(secret) = &bound.secret {
        alive(server, "secrets", namespace, secret).ok_or("its Secret is gone")?;
    }
    if let Some(pod) = &bound.pod {
        alive(server, "pods", namespace, pod).ok_or("its Pod is gone")?;
        extra("pod-name", &pod.name);
        extra("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        // A Pod's token names the node for information; the Pod is what it hangs on.
        if bound.pod.is_none() {
            alive(server, "nodes", "", node).ok_or("its Node is gone")?;
        }
        extra("node-name", &node.name);
        extra("node-uid", &node.uid);
    }
    Ok(Verified { user, audiences: common })
}

/// Finds the object that a token is bound to, if it is still the same and not long deleted.
fn alive(server: &ApiServer, plural: &str, namespace: &str, reference: &Reference) -> Option<Value> {
    let object = find(server, plural, namespace, &reference.name)?;
    let deleted = object::deletion_timestamp(&object).parse::<Timestamp>().ok();
    let over = deleted.is_some_and(|deleted| server.now().duration_since(deleted) > GRACE);
    (object::uid(&object) == reference.uid && !over).then_some(object)
}

fn find(server: &ApiServer, plural: &str, namespace: &str, name: &str) -> Option<Value> {
    let entry = server.object(&Collection::new("", plural), &ObjectKey::new(namespace, name))?;
    entry.parse().ok()
}

/// Answers a `TokenRequest` for a service account with the request completed.
///
/// # Errors
/// Refuses when the account or the object to bind to does not exist, or the wanted life is out of bounds.
pub fn issue(server: &ApiServer, namespace: &str, name: &str, request: &Value) -> Result<Value> {
    let settings = &server.auth().settings;
    let key =
        settings.token_key.as_ref().ok_or_else(|| Status::unavailable("this server has no token key"))?;
    let account = find(server, "serviceaccounts", namespace, name)
        .ok_or_else(|| Status::not_found(&Gvr::new("", "v1", "serviceaccounts"), name))?;
    let life = object::i64_at(request, &["spec", "expirationSeconds"]).unwrap_or(USUAL);
    check_life(life)?;
    let mut bound = Bound {
        namespace: namespace.to_owned(),
        serviceaccount: Reference { name: name.to_owned(), uid: object::uid(&account).to_owned() },
        ..Bound::default()
    };
    let wanted = request.pointer("/spec/boundObjectRef").filter(|reference| !reference.is_null());
    if let Some(wanted) = wanted {
        bind(server, &mut bound, wanted)?;
    }
    let asked = request.pointer("/spec/audiences").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut audiences: Vec<String> = asked.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.clone_from(&settings.audiences);
    }
    let now = server.now().as_second();
    let claims = Claims {
        aud: audiences.clone(),
        exp: now + life,
        iat: now,
        iss: settings.issuer.clone(),
        jti: server.entropy().uuid(),
        kubernetes: bound,
        nbf: now,
        sub: identity::service_account_user(namespace, name),
    };
    let token = token::sign(&claims, key)
        .map_err(|error| Status::internal(format!("cannot sign the token: {error}")))?;
    let time = |second| Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default();
    Ok(json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": name, "namespace": namespace, "uid": server.entropy().uuid(), "creationTimestamp": time(now),
        },
        "spec": {
            "audiences": audiences, "expirationSeconds": life,
            "boundObjectRef": wanted.cloned().unwrap_or(Value::Null),
        },
        "status": {"token": token, "expirationTimestamp": time(now + life)},
    }))
}

fn check_life(life: i64) -> Result<()> {
    let why = match life {
        ..SHORTEST => "must be at least 600, ten minutes",
        SHORTEST..=LONGEST => return Ok(()),
        _ => "must be at most 4294967296",
    };
    let error = FieldError::invalid(Path::new("spec.expirationSeconds"), life, why);
    Err(Status::invalid(&Gvk::new("authentication.k8s.io", "v1", "TokenRequest"), "", &[error]).into())
}

/// Binds a token to the object that the request names.
fn bind(server: &ApiServer, bound: &mut Bound, wanted: &Value) -> Result<()> {
    let text = |field: &str| wanted.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let (plural, namespace) = match (api_version, kind) {
        ("v1", "Pod") => ("pods", bound.namespace.as_str()),
        ("v1", "Secret") => ("secrets", bound.namespace.as_str()),
        ("v1", "Node") => ("nodes", ""),
        _ => {
            let why = format!(
                "a token cannot be bound to a {kind} of {api_version}; use a Pod, Secret or Node of v1"
            );
            return Err(Status::bad_request(why).into());
        }
    };
    let gvr = Gvr::new("", "v1", plural);
    let object = find(server, plural, namespace, name).ok_or_else(|| Status::not_found(&gvr, name))?;
    let uid = object::uid(&object);
    if !matches!(text("uid"), "" | "<unset>") && text("uid") != uid {
        let why = format!("the uid in the reference, {}, is not that of the object, {uid}", text("uid"));
        return Err(Status::conflict(&gvr, name, why).into());
    }
    let reference = Reference { name: name.to_owned(), uid: uid.to_owned() };
    match kind {
        "Pod" => {
            let account = object::str_at(&object, &["spec", "serviceAccountName"]);
            if account != bound.serviceaccount.name {
                let why = format!("the Pod {name} runs as the service account {account:?}");
                return Err(Status::bad_request(why).into());
            }
            let node = object::str_at(&object, &["spec", "nodeName"]);
            bound.node = find(server, "nodes", "", node)
                .map(|found| Reference { name: node.to_owned(), uid: object::uid(&found).to_owned() });
            bound.pod = Some(reference);
        }
        "Secret" => bound.secret = Some(reference),
        _ => bound.node = Some(reference),
    }
    Ok(())
}
