//! The registry's HTTP interface, as far as pulling needs it (OCI distribution specification), against servers that may
//! be slow, broken or hostile.
//!
//! Nothing that a server sends is kept without a bound. A login goes to the registry that it is for, and to the token
//! service which that registry names; redirections do not take it anywhere else (CVE-2020-15157), and never
//! lead from TLS to plain HTTP.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RANGE, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response, StatusCode, Url};
use serde::Deserialize;

use super::Access;
use super::challenge::{Challenge, challenges};
use super::problem::{Problem, deepest, of_request, quote};
use crate::credentials::Credential;
use crate::reference::Reference;

/// How long a connection may take, and how long a registry may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a document may take, however often a piece of it comes.
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(60);
/// How often one request may be sent elsewhere.
const REDIRECTIONS: usize = 5;
/// Bytes of what a server says to explain itself that are read.
const EXPLANATION: u64 = 16 << 10;
/// Largest answer of a token service, in bytes.
const TOKEN: u64 = 1 << 20;

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Tls,
    Plain,
    /// By TLS whoever the server is, or plainly where it has none.
    Any,
}

/// A connection to one repository of one registry.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    way: Way,
    /// As users write it, for sentences.
    name: String,
    host: String,
    repository: String,
    credential: Option<Credential>,
    /// What the last login gave.
    login: tokio::sync::Mutex<Option<HeaderValue>>,
    /// Whether the server was found to have no TLS.
    is_plain: AtomicBool,
    used_credential: AtomicBool,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalEntry>,
}

#[derive(Deserialize)]
struct RefusalEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Client {
    /// Prepares requests for the repository of `reference`.
    pub(super) fn new(reference: &Reference, access: &Access) -> Result<Self, Problem> {
        let name = reference.registry().to_owned();
        let unusable = |cause: String| Problem::Authorities { host: name.clone(), cause };
        let way = access.way(&name);
        let mut authorities = Vec::new();
        for pem in &access.authorities {
            let read = Certificate::from_pem_bundle(pem).map_err(|error| unusable(deepest(&error)))?;
            if read.is_empty() {
                return Err(unusable("there is no certificate in the file".to_owned()));
            }
            authorities.extend(read);
        }
        let http = reqwest::Client::builder()
            .tls_certs_merge(authorities)
            .tls_danger_accept_invalid_certs(way == Way::Any)
            .connect_timeout(access.connect_patience.unwrap_or(PATIENCE))
            .read_timeout(PATIENCE)
            .user_agent(concat!("ironclad/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(|attempt| {
                let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
                if attempt.previous().len() > REDIRECTIONS {
                    attempt.error("it redirects again and again")
                } else if from_tls && attempt.url().scheme() != "https" {
                    attempt.error("it redirects from TLS to plain HTTP")
                } else {
                    attempt.follow()
                }
            }))
            .build()
            .map_err(|error| unusable(deepest(&error)))?;
        Ok(Self {
            http,
            way,
            host: reference.host().to_owned(),
            repository: reference.repository().to_owned(),
            credential: access.credentials.get(&name).cloned(),
            name,
            login: tokio::sync::Mutex::default(),
            is_plain: AtomicBool::new(way == Way::Plain),
            used_credential: AtomicBool::new(false),
        })
    }

    /// Returns the credential that was sent, if one was: a registry that asks for none gets none.
    pub(super) fn used_credential(&self) -> Option<&Credential> {
        self.credential.as_ref().filter(|_| self.used_credential.load(Ordering::Relaxed))
    }

    /// Returns the registry's name.
    pub(super) fn registry(&self) -> &str {
        &self.name
    }

    /// Fetches a manifest or index by tag or digest; `None` when it has more than `limit` bytes.
    pub(super) async fn manifest(
        &self,
        version: &str,
        accepted: &[&str],
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let response = self.get(&format!("manifests/{version}"), &accepted.join(", "), 0).await?;
        self.body(response, limit).await
    }

    /// Begins to download a blob behind its first `from` bytes, or all of it: the status tells which.
    pub(super) async fn blob(&self, digest: &str, from: u64) -> Result<Response, Problem> {
        match self.get(&format!("blobs/{digest}"), "*/*", from).await {
            Err(Problem::Absent { host }) => Err(Problem::Incomplete { host, digest: digest.to_owned() }),
            other => other,
        }
    }

    /// Says why a download ended early.
    pub(super) fn broken(&self, error: &reqwest::Error) -> Problem {
        of_request(&self.name, PATIENCE.as_secs(), error)
    }

    async fn get(&self, path: &str, accept: &str, from: u64) -> Result<Response, Problem> {
        let mut login = self.login.lock().await.clone();
        let mut has_asked = false;
        loop {
            let response = self.send(path, accept, from, login.as_ref()).await?;
            let asks = response.status() == StatusCode::UNAUTHORIZED && self.is_own(response.url());
            if !asks {
                return self.accepted(response).await;
            }
            if has_asked {
                return Err(self.no_login());
            }
            has_asked = true;
            let fresh = self.log_in(&response).await?;
            *self.login.lock().await = Some(fresh.clone());
            login = Some(fresh);
        }
    }

    /// Sends one request, by TLS or without.
    async fn send(
        &self,
        path: &str,
        accept: &str,
        from: u64,
        login: Option<&HeaderValue>,
    ) -> Result<Response, Problem> {
        let attempt = |scheme: &str| {
            let url = format!("{scheme}://{}/v2/{}/{path}", self.host, self.repository);
            let mut request = self.http.get(url).header(ACCEPT, accept);
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(login) = login {
                request = request.header(AUTHORIZATION, login.clone());
            }
            request.send()
        };
        let is_plain = self.is_plain.load(Ordering::Relaxed);
        let first = attempt(if is_plain { "http" } else { "https" }).await;
        match first {
            Ok(response) => Ok(response),
            Err(error) if self.way == Way::Any && !is_plain && error.is_connect() => {
                let response = attempt("http").await.map_err(|error| self.broken(&error))?;
                self.is_plain.store(true, Ordering::Relaxed);
                Ok(response)
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Says whether a URL is of the registry itself, and not of somebody whom it sends its clients to.
    fn is_own(&self, url: &Url) -> bool {
        let scheme = if self.is_plain.load(Ordering::Relaxed) { "http" } else { "https" };
        let own = Url::parse(&format!("{scheme}://{}", self.host));
        own.is_ok_and(|own| {
            own.scheme() == url.scheme()
                && own.host_str() == url.host_str()
                && own.port_or_known_default() == url.port_or_known_default()
        })
    }

    fn no_login(&self) -> Problem {
        let host = self.name.clone();
        if self.credential.is_some() {
            Problem::LoginRefused { host }
        } else {
            Problem::LoginMissing { host }
        }
    }

    /// Does what the registry asks for, and returns what to send as `Authorization`.
    async fn log_in(&self, response: &Response) -> Result<HeaderValue, Problem> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let asked: Vec<Challenge> =
            headers.filter_map(|header| header.to_str().ok()).flat_map(challenges).collect();
        let find = |scheme: &str| asked.iter().find(|challenge| challenge.scheme == scheme);
        match (find("bearer"), find("basic"), &self.credential) {
            (Some(_), _, Some(Credential::Bearer(token))) => {
                self.used_credential.store(true, Ordering::Relaxed);
                self.header(&format!("Bearer {token}"))
            }
            (Some(bearer), _, _) => {
                let token = self.token(bearer).await?;
                self.header(&format!("Bearer {token}"))
            }
            (None, Some(_), Some(Credential::Basic { username, password })) => {
                self.used_credential.store(true, Ordering::Relaxed);
                self.header(&basic(username, password))
            }
            _ => Err(self.no_login()),
        }
    }

    /// Gets a token from the service that the registry names.
    async fn token(&self, challenge: &Challenge) -> Result<String, Problem> {
        let realm = challenge.get("realm").unwrap_or_default();
        let failed = |service: &str, cause: String| Problem::LoginService { service: quote(service), cause };
        let mut url = Url::parse(realm).map_err(|error| failed(realm, error.to_string()))?;
        let service = url.host_str().unwrap_or_default().to_owned();
        let is_plain = self.is_plain.load(Ordering::Relaxed);
        if !matches!((url.scheme(), is_plain), ("https", _) | ("http", true)) {
            return Err(failed(&service, "it has no TLS, and the registry has".to_owned()));
        }
        let scope = format!("repository:{}:pull", self.repository);
        url.query_pairs_mut()
            .extend_pairs(challenge.get("service").map(|service| ("service", service)))
            .append_pair("scope", &scope);
        let mut request = self.http.get(url);
        if let Some(Credential::Basic { username, password }) = &self.credential {
            self.used_credential.store(true, Ordering::Relaxed);
            request = request.header(AUTHORIZATION, self.header(&basic(username, password))?);
        }
        let response = request.send().await.map_err(|error| failed(&service, deepest(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.no_login()),
            status => return Err(failed(&service, format!("it answers {}", status.as_u16()))),
        }
        let body = self.body(response, TOKEN).await?;
        let body =
            body.ok_or_else(|| failed(&service, "its answer is longer than a token can be".to_owned()))?;
        let token: Option<Token> = serde_json::from_slice(&body).ok();
        token
            .map(|token| if token.token.is_empty() { token.access_token } else { token.token })
            .filter(|token| !token.is_empty())
            .ok_or_else(|| failed(&service, "its answer holds no token".to_owned()))
    }

    fn header(&self, value: &str) -> Result<HeaderValue, Problem> {
        let mut header = HeaderValue::from_str(value).map_err(|_| self.no_login())?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Passes on what a server gives, and reads why it does not.
    async fn accepted(&self, response: Response) -> Result<Response, Problem> {
        let status = response.status();
        if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Ok(response);
        }
        let host = self.name.clone();
        if status == StatusCode::NOT_FOUND {
            return Err(Problem::Absent { host });
        }
        let said = self.beginning(response, EXPLANATION).await.unwrap_or_default();
        let told =
            serde_json::from_slice::<Refusal>(&said).ok().and_then(|told| told.errors.into_iter().next());
        let text = match told {
            Some(entry) => format!("{} {}", entry.code, entry.message),
            None => String::from_utf8_lossy(&said).into_owned(),
        };
        let text = quote(&text);
        let detail = if text.is_empty() { text } else { format!(": {text}") };
        Err(Problem::Status { host, status: status.as_u16(), detail })
    }

    /// Reads a whole body; `None` when it has more than `limit` bytes.
    async fn body(&self, response: Response, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
        let body = self.beginning(response, limit + 1).await?;
        Ok(Some(body).filter(|body| body.len() as u64 <= limit))
    }

    /// Reads a body up to about `most` bytes, which are few: who takes long for them is taken for silent.
    async fn beginning(&self, response: Response, most: u64) -> Result<Vec<u8>, Problem> {
        let silent = Problem::Silent { host: self.name.clone(), seconds: DOCUMENT_PATIENCE.as_secs() };
        tokio::time::timeout(DOCUMENT_PATIENCE, self.read(response, most)).await.map_err(|_| silent)?
    }

    async fn read(&self, mut response: Response, most: u64) -> Result<Vec<u8>, Problem> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.broken(&error))? {
            body.extend_from_slice(&piece);
            if body.len() as u64 >= most {
                break;
            }
        }
        Ok(body)
    }
}

impl Access {
    /// Decides how a registry is spoken to.
    fn way(&self, registry: &str) -> Way {
        let among = |list: &[String]| list.iter().any(|host| host == registry);
        if among(&self.unverified) {
            Way::Any
        } else if among(&self.insecure) || (is_loopback(registry) && !among(&self.secure)) {
            Way::Plain
        } else {
            Way::Tls
        }
    }
}

fn basic(username: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {pair}")
}

/// Returns whether a registry is on this machine: `localhost`, `127.0.0.0/8`, `::1`, with or without a port.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_spoken_to_without_tls() {
        let access = Access {
            insecure: vec!["plain.example".to_owned()],
            secure: vec!["127.0.0.1:5001".to_owned()],
            unverified: vec!["any.example:5000".to_owned()],
            ..Access::default()
        };
        for host in
            ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "plain.example"]
        {
            assert_eq!(access.way(host), Way::Plain, "{host}");
        }
        for host in
            ["localhost.example", "example:5000", "10.0.0.1", "docker.io", "127.0.0.1:5001", "any.example"]
        {
            assert_eq!(access.way(host), Way::Tls, "{host}");
        }
        assert_eq!(access.way("any.example:5000"), Way::Any);
    }
}
