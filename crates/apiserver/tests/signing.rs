//! Who may approve and sign requests for certificates: a right for the signer that the request names.

mod common;

use apiserver::body;
use common::{Answer, Api};
use http::Request;
use http_body_util::BodyExt as _;
use machinery::admission::UserInfo;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

/// A request of somebody for the group of administrators, and the certificate of somebody else.
const MASTERS: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIak1JR0tBZ0VBTUNneEZ6QVZCZ05WQkFvTURuTjVjM1JsYlRwdFlYTjBaWEp6TVEwd0N3WURWUVFEREFScQpZVzVsTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFYUZpaHR1RG1zNzNPVE0wN1NuMGZSdHlwCmJtcFJpUERUK01WcVFVL1AzL3lQamVTOEFXVDN1YTBHaEpQL2ZFK1F0VGIwY1E3WXIveUNUSS9UZ3dlQ1E2QUEKTUFvR0NDcUdTTTQ5QkFNQ0EwZ0FNRVVDSUhJU0VIVk9JYVFqdUVJVUFCeXE2a0pLN1VRbkZMajdpWWFNa25MZgpWL1YxQWlFQWhlMStmWFFTL0pseW9KS1puOEZxakJwcDkzOVk4cEVLcE9PbkxaTmprN1k9Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";
const CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiakNDQVJXZ0F3SUJBZ0lVS3MrMCt6ZFlJNWltQUxXTlA2SXJMVCtKK1drd0NnWUlLb1pJemowRUF3SXcKRERFS01BZ0dBMVVFQXd3QmVEQWdGdzB5TmpFeE1qTXhPRE13TlRkYUdBOHlNVEkyTVRBek1ERTRNekExTjFvdwpEREVLTUFnR0ExVUVBd3dCZURCWk1CTUdCeXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQkdoWW9iYmc1ck85Cnprek5PMHA5SDBiY3FXNXFVWWp3MC9qRmFrRlB6OS84ajQza3ZBRms5N210Qm9TVC8zeFBrTFUyOUhFTzJLLzgKZ2t5UDA0TUhna09qVXpCUk1CMEdBMVVkRGdRV0JCVGlIdHhLdi84UWEwbDV6a0pUSi9hblF6cVRNVEFmQmdOVgpIU01FR0RBV2dCVGlIdHhLdi84UWEwbDV6a0pUSi9hblF6cVRNVEFQQmdOVkhSTUJBZjhFQlRBREFRSC9NQW9HCkNDcUdTTTQ5QkFNQ0EwY0FNRVFDSUhOcG5HZUR2UXhNaVJZK0piLzBTRzZCL01vc2d1Snd4VW0ramh1Y0RQMFMKQWlCMmRjTmFEbStGQTNQaVlQMGxvTnBmeEFicXBrMG4xRFAvY2E4eFVmNVlVdz09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K";

fn request(name: &str, signer: &str) -> Value {
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": MASTERS, "signerName": signer, "usages": ["client auth"]}})
}

async fn put_as(api: &Api, user: &str, path: &str, object: &Value) -> Answer {
    let user = UserInfo { username: user.to_owned(), ..UserInfo::default() };
    let request = Request::put(path)
        .header(http::header::CONTENT_TYPE, body::JSON)
        .body(body::full(object.to_string()))
        .expect("a request");
    let response = api.server.in_process(user).oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let body = serde_json::from_slice(&bytes).expect("JSON");
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Gives a user what concerns requests, and these rights for signers.
async fn grant(api: &Api, user: &str, verbs: &Value, signers: &Value) {
    let rules = json!([
        {"apiGroups": ["certificates.k8s.io"], "verbs": ["update"],
            "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": verbs, "resourceNames": signers},
    ]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user}, "rules": rules});
    api.post(ROLES, role).await.expect(201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "name": user}]});
    api.post(BINDINGS, binding).await.expect(201);
}

#[tokio::test]
async fn approval_and_signature_need_a_right_for_the_signer() {
    let api = Api::start().await;
    let made = api.post(REQUESTS, request("a", "example.test/serving")).await.expect(201);
    let mut approved = made.clone();
    approved["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "Known"}]);
    let approval = format!("{REQUESTS}/a/approval");
    let message = |answer: &Value| answer["message"].as_str().unwrap_or_default().to_owned();

    grant(&api, "other", &json!(["approve"]), &json!(["example.test/other", "elsewhere.test/*"])).await;
    let refused = put_as(&api, "other", &approval, &approved).await.expect(403);
    let why = "user not permitted to approve requests with signerName \"example.test/serving\"";
    assert!(message(&refused).ends_with(why), "{refused}");

    grant(&api, "approver", &json!(["approve"]), &json!(["example.test/*"])).await;
    let approved = put_as(&api, "approver", &approval, &approved).await.expect(200);
    let condition = &approved["status"]["conditions"][0];
    assert!(
        condition["lastUpdateTime"].is_string() && condition["lastTransitionTime"].is_string(),
        "{condition}"
    );

    let status = format!("{REQUESTS}/a/status");
    let mut signed = approved.clone();
    signed["status"]["certificate"] = CERTIFICATE.into();
    let refused = put_as(&api, "approver", &status, &signed).await.expect(403);
    assert!(message(&refused).contains("user not permitted to sign"), "{refused}");
    grant(&api, "signer", &json!(["sign"]), &json!(["example.test/serving"])).await;
    let signed = put_as(&api, "signer", &status, &signed).await.expect(200);
    assert_eq!(signed["status"]["certificate"], CERTIFICATE);
}

#[tokio::test]
async fn nobody_becomes_an_administrator_by_a_certificate() {
    let api = Api::start().await;
    let refused = api.post(REQUESTS, request("a", "kubernetes.io/kube-apiserver-client")).await.expect(403);
    let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert!(refused["message"].as_str().expect("a message").ends_with(why), "{refused}");
}
