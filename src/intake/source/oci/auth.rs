//! Who may see a registry's credentials.
//!
//! They go to the registry's own scheme, host and port. A registry may send us elsewhere for a token; it is followed with
//! credentials only over https to a host of the same owner, by the public suffix list, or to one that the settings name: any
//! other registry could have its users' passwords for other places sent to itself (CVE-2026-48978).

use std::collections::BTreeMap;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use url::{Host, Url};

use super::manifest::Descriptor;
use super::{DOCUMENT, OciError, docker};
use crate::intake::source::error::SourceError;
use crate::intake::source::grammar::OciReference;
use crate::intake::source::http::{Body, Client, Download, HttpError, HttpLogin};
use crate::intake::source::options::{Credentials, FetchOptions, Secret};
use crate::intake::source::spool::SpoolFile;
use crate::intake::source::weburl::{WebUrl, shown};
use crate::report::Report;
use crate::text;

/// No answer with a token is longer.
const TOKEN: u64 = 1 << 20;

/// A registry, one of its repositories, and what it has been shown.
pub(super) struct Registry<'a> {
    options: &'a FetchOptions,
    client: Client<'a>,
    /// The reference without tag and digest.
    reference: OciReference,
    /// `<scheme>://<host>/v2/<repository>/`.
    base: Url,
    /// What it has been told of us.
    auth_state: AuthState,
    /// What a token must allow.
    actions: &'static str,
}

/// What a registry has been told of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuthState {
    Nothing,
    /// That it is nobody in particular.
    Anonymous,
    /// Credentials that the user gave for this command.
    Given,
    /// Credentials that `docker login` stored.
    Stored,
}

impl<'a> Registry<'a> {
    /// Turns to the registry of `reference`; nothing is sent yet.
    pub(super) fn open(
        reference: &OciReference,
        options: &'a FetchOptions,
        report: &'a dyn Report,
    ) -> Result<Self, SourceError> {
        let scheme = if options.plain_http { "http" } else { "https" };
        // Docker Hub's registry has another name than its references.
        let host = match reference.registry.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{}/", reference.repository)).map_err(|e| {
            SourceError::BadReference { argument: reference.to_string(), kind: "OCI reference", reason: e.to_string() }
        })?;
        let reference = OciReference { tag: None, digest: None, ..reference.clone() };
        Ok(Self {
            options,
            client: Client::anonymous(options, report)?,
            reference,
            base,
            auth_state: AuthState::Nothing,
            actions: "pull",
        })
    }

    /// The same for someone who also writes.
    pub(super) fn for_writing(self) -> Self {
        Self { actions: "pull,push", ..self }
    }

    /// The reference without tag and digest.
    pub(super) fn shown(&self) -> String {
        self.reference.to_string()
    }

    /// The URL of `path` in the repository.
    pub(super) fn url(&self, path: &str) -> WebUrl {
        WebUrl::new(self.base.join(path).unwrap_or_else(|_| self.base.clone()))
    }

    /// The URL of a blob.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> WebUrl {
        descriptor.url(&self.url("blobs"))
    }

    /// The body at `url`.
    pub(super) fn get(&mut self, url: &WebUrl, headers: &HeaderMap, limit: u64) -> Result<Body, SourceError> {
        self.ask(|client| client.get_as(url, headers, limit))
    }

    /// The answer to a question, after a login where the registry wants to know who asks.
    pub(super) fn ask<T>(&mut self, question: impl Fn(&Client<'a>) -> Result<T, HttpError>) -> Result<T, SourceError> {
        let refused = match question(&self.client) {
            Err(refused) if self.auth_state == AuthState::Nothing => refused,
            other => return other.map_err(|error| self.explained(error)),
        };
        match self.challenge(&refused)? {
            Some(challenge) => {
                self.log_in(&challenge)?;
                question(&self.client).map_err(|error| self.explained(error))
            }
            None => Err(self.explained(refused)),
        }
    }

    /// How the registry wants to be asked, where that may be why it `refused`. Many tell strangers that nothing is there: to those that
    /// the user named somebody for it is put as a question of its own.
    fn challenge(&self, refused: &HttpError) -> Result<Option<String>, SourceError> {
        match refused {
            HttpError::Unauthorized { challenge, .. } => Ok(Some(challenge.clone())),
            HttpError::NotFound { .. } | HttpError::Forbidden { .. } if self.options.username.is_some() => {
                let Ok(greeting) = self.base.join("/v2/") else { return Ok(None) };
                match self.client.get(&WebUrl::new(greeting), DOCUMENT) {
                    Err(HttpError::Unauthorized { challenge, .. }) => Ok(Some(challenge)),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// What a refusal means, by what the registry has been told of us.
    fn explained(&self, error: HttpError) -> SourceError {
        let (status, said) = match error {
            HttpError::Unauthorized { said, .. } | HttpError::Refused { said, .. } => (401, said),
            HttpError::Forbidden { said, .. } if self.auth_state != AuthState::Nothing => (403, said),
            other => return other.into(),
        };
        let reference = self.shown();
        let login = match self.auth_state {
            AuthState::Nothing | AuthState::Anonymous => {
                let registry = self.reference.registry.clone();
                return OciError::Unknown { reference, registry, status, said }.into();
            }
            AuthState::Given => "the user name and password that were given",
            AuthState::Stored => "what `docker login` stored for it",
        };
        OciError::Refused { reference, login, status, said }.into()
    }

    /// Downloads the blob of `layer` as a file called `name`.
    pub(super) fn download(&mut self, layer: &Descriptor, name: &str, file: SpoolFile) -> Result<Download, SourceError> {
        // The manifest came first, and with it the login: a registry does not ask anew for its blobs.
        match self.client.download(&self.blob(layer), name, file, layer.size, false, Some(layer.digest()?.1)) {
            Err(SourceError::Http(error @ (HttpError::Unauthorized { .. } | HttpError::Refused { .. }))) => {
                Err(self.explained(error))
            }
            other => other,
        }
    }

    /// Shows the registry who we are, in the way that it asks for.
    fn log_in(&mut self, challenge: &str) -> Result<(), SourceError> {
        let known = match &self.options.username {
            Some(username) => {
                let password = self.options.password.clone().unwrap_or_default();
                Some(docker::StoredCredentials::Password(Credentials { username: username.clone(), password }))
            }
            None => docker::find(&self.reference.registry, &self.reference.repository)?,
        };
        self.auth_state = match (&known, &self.options.username) {
            (None, _) => AuthState::Anonymous,
            (Some(_), Some(_)) => AuthState::Given,
            (Some(_), None) => AuthState::Stored,
        };
        match Challenge::read(challenge) {
            Some(Challenge::Bearer { realm, service }) => {
                let token = self.token(&realm, service.as_deref(), known)?;
                self.client.log_in(&self.base, Some(HttpLogin::Bearer(token)));
            }
            Some(Challenge::Basic) => match known {
                Some(docker::StoredCredentials::Password(credentials)) => {
                    self.client.log_in(&self.base, Some(HttpLogin::Basic(credentials)));
                }
                Some(docker::StoredCredentials::Token(_)) => {
                    return Err(self.unknown("it asks for a password, and only a token is stored; log in anew").into());
                }
                // Without credentials the registry's refusal is the answer.
                None => {}
            },
            None => return Err(self.unknown("it names neither `Basic` nor `Bearer` with a realm").into()),
        }
        Ok(())
    }

    /// A token for this repository alone.
    fn token(
        &mut self,
        realm: &str,
        service: Option<&str>,
        known: Option<docker::StoredCredentials>,
    ) -> Result<Secret, SourceError> {
        let Ok(mut url) = Url::parse(realm) else { return Err(self.unknown("its realm is no URL").into()) };
        let own = url.origin() == self.base.origin();
        if url.scheme() != "https" && !(url.scheme() == "http" && self.base.scheme() == "http") {
            return Err(self.unknown("its realm is not reached over https").into());
        }
        if known.is_some() && !own && !self.may_know(&url) {
            let host = text::sanitized(url.host_str().unwrap_or_default()).into_owned();
            return Err(OciError::TokenHost { registry: self.reference.registry.clone(), realm: shown(&url), host }.into());
        }
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let scope = format!("repository:{}:{}", self.reference.repository, self.actions);
        let answer = match known {
            Some(docker::StoredCredentials::Token(token)) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token.expose());
                form.append_pair("client_id", "plugsmith").append_pair("scope", &scope);
                if let Some(service) = service {
                    form.append_pair("service", service);
                }
                self.client.post_form(&url, &form.finish(), TOKEN).map_err(|error| self.explained(error))?
            }
            other => {
                if let Some(service) = service {
                    url.query_pairs_mut().append_pair("service", service);
                }
                url.query_pairs_mut().append_pair("scope", &scope);
                let login = match other {
                    Some(docker::StoredCredentials::Password(credentials)) => Some(HttpLogin::Basic(credentials)),
                    _ => None,
                };
                self.client.log_in(&url, login);
                let answer = self.client.get(&WebUrl::new(url), TOKEN);
                self.client.log_in(&self.base, None);
                answer.map_err(|error| self.explained(error))?
            }
        };
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let answer: Option<Answer> = serde_json::from_slice(&answer).ok();
        let token = answer.and_then(|answer| answer.token.filter(|token| !token.is_empty()).or(answer.access_token));
        // A token goes into a header as it is.
        match token.filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())) {
            Some(token) => Ok(Secret::new(token)),
            None => Err(self.unknown("its realm gave no token").into()),
        }
    }

    /// Whether the registry's credentials may go to `realm`.
    fn may_know(&self, realm: &Url) -> bool {
        let listed = self
            .options
            .registries
            .get(&self.reference.registry)
            .is_some_and(|settings| settings.token_hosts.iter().any(|host| is_host(realm, host)));
        // Without TLS nobody knows who answers; only a name in the settings makes up for that, and only for a registry that
        // is itself reached without.
        listed || (realm.scheme() == "https" && same_owner(self.base.host(), realm.host()))
    }

    fn unknown(&self, reason: &str) -> OciError {
        OciError::Challenge { registry: self.reference.registry.clone(), reason: reason.to_owned() }
    }
}

/// Whether `host`, with or without a port, is that of `url`.
fn is_host(url: &Url, host: &str) -> bool {
    let Some(own) = url.host_str() else { return false };
    match url.port_or_known_default() {
        Some(port) if host.eq_ignore_ascii_case(&format!("{own}:{port}")) => true,
        _ => host.eq_ignore_ascii_case(own),
    }
}

/// Whether two hosts are one, or lie under one registrable domain.
fn same_owner(a: Option<Host<&str>>, b: Option<Host<&str>>) -> bool {
    match (a, b) {
        (Some(Host::Domain(a)), Some(Host::Domain(b))) => {
            let (a, b) = (a.trim_end_matches('.'), b.trim_end_matches('.'));
            a == b || psl::domain_str(a).is_some_and(|domain| psl::domain_str(b) == Some(domain))
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// How a registry wants to be asked (RFC 9110, section 11.6.1).
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The first challenge that can be met; a token before a password.
    fn read(text: &str) -> Option<Self> {
        let mut basic = None;
        for (scheme, parameters) in challenges(text) {
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameters.get("realm")
            {
                return Some(Self::Bearer { realm: realm.clone(), service: parameters.get("service").cloned() });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Self::Basic);
            }
        }
        basic
    }
}

/// Schemes with their parameters, names in lower case.
fn challenges(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut out: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match (after.strip_prefix('='), out.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = parameter(value);
                parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                rest = after;
            }
            // A parameter before any scheme.
            (Some(value), None) => rest = parameter(value).1,
            (None, _) => {
                out.push((word.to_owned(), BTreeMap::new()));
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    out
}

/// A value in quotes or without, and what follows.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(text: &str) {
    let _ = Challenge::read(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn o_challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (text, want) in [
            (r#"Bearer realm="https://a/t",service="s",scope="repository:a,b:pull""#, bearer("https://a/t", Some("s"))),
            (r#"bearer realm=https://a/t"#, bearer("https://a/t", None)),
            (r#"Basic realm="x", Bearer realm="https://a/\"t""#, bearer("https://a/\"t", None)),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer", None),
            ("", None),
            (r#"realm="x""#, None),
            (r#"Negotiate"#, None),
            (r#"Bearer realm="unended"#, bearer("unended", None)),
        ] {
            assert_eq!(Challenge::read(text), want, "{text}");
        }
    }

    #[test]
    fn o_realms_of_one_owner_are_told_by_the_public_suffix_list() {
        let same = |a: &str, b: &str| {
            let host = |text: &str| Url::parse(&format!("https://{text}/")).unwrap();
            same_owner(host(a).host(), host(b).host())
        };
        for (a, b) in [
            ("registry-1.docker.io", "auth.docker.io"),
            ("registry.example.co.uk", "auth.example.co.uk"),
            ("h.example.com", "h.example.com"),
            ("127.0.0.1", "127.0.0.1:444"),
            ("localhost", "localhost:1"),
            ("[::1]", "[::1]"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("a.co.uk", "b.co.uk"),
            ("ann.github.io", "eve.github.io"),
            ("registry.example.com", "registry.example.com.evil.org"),
            ("example.com", "example.org"),
            ("127.0.0.1", "128.0.0.1"),
            ("localhost", "evil"),
            ("h.com", "com"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn o_no_challenge_panics(text in "[a-zA-Z=\",\\\\ é]{0,40}") {
            let _ = challenges(&text);
        }
    }
}
