//! Docker's credential file and helpers, where people keep what they know of registries.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::OciError;
use crate::files;
use crate::host::user_home;
use crate::intake::source::options::{Credentials, Secret};
use crate::text;

/// No credential file, and no helper's answer, is longer.
const LIMIT: u64 = 1 << 20;

/// How long a helper may take: some ask on the desktop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name under which Docker keeps the credentials of its own hub.
const HUB: &str = "https://index.docker.io/v1/";

/// The user name that says that the secret is a token.
const TOKEN_USER: &str = "<token>";

/// What is stored for a registry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoredCredentials {
    Password(Credentials),
    /// A token that is exchanged for others.
    Token(Secret),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What the user's file or helper has for `repository` at `registry`.
///
/// # Errors
/// The file or the helper is there and cannot be used. That is never taken for having nothing: the registry would then call a
/// private plugin missing.
pub(super) fn find(registry: &str, repository: &str) -> Result<Option<StoredCredentials>, OciError> {
    let directory = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = directory.unwrap_or_else(|| user_home().join(".docker")).join("config.json");
    let unusable =
        |source: Box<dyn std::error::Error + Send + Sync>| OciError::CredentialFile { path: path.clone(), source };
    let bytes = match files::read_bounded(&path, LIMIT) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(unusable("it is larger than 1 MiB".into())),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(unusable(e.into())),
    };
    // An error of the parser says where, and may quote what stands there: it does not go further.
    let config: DockerConfig = serde_json::from_slice(&bytes).map_err(|e| {
        unusable(format!("line {}, column {}: not the JSON of a credential file", e.line(), e.column()).into())
    })?;
    let hub = matches!(registry, "docker.io" | "index.docker.io");
    let server = if hub { HUB } else { registry };
    if let Some(helper) = config.cred_helpers.get(server).or_else(|| config.cred_helpers.get(registry)) {
        return ask(helper, server);
    }
    if let Some(helper) = config.creds_store.as_deref().filter(|helper| !helper.is_empty())
        && let Some(stored) = ask(helper, server)?
    {
        return Ok(Some(stored));
    }
    let Some(entry) = best(&config.auths, if hub { "index.docker.io" } else { registry }, repository) else {
        return Ok(None);
    };
    entry.stored().map_err(|reason| unusable(reason.into()))
}

/// The entry for a registry, the one with the longest path that the repository lies under first.
fn best<'a>(auths: &'a BTreeMap<String, AuthEntry>, registry: &str, repository: &str) -> Option<&'a AuthEntry> {
    auths
        .iter()
        .filter_map(|(key, entry)| {
            let url = key.starts_with("http://") || key.starts_with("https://");
            let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
            let (host, path) = key.split_once('/').unwrap_or((key, ""));
            // The path of a URL is the registry's version, such as `/v1/`; that of a bare key is a repository's.
            let path = if url { "" } else { path.trim_end_matches('/') };
            let under = path.is_empty()
                || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            (host == registry && under).then_some((path.len(), entry))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, entry)| entry)
}

impl AuthEntry {
    /// What it holds; Docker leaves empty entries behind where a helper has the rest.
    fn stored(&self) -> Result<Option<StoredCredentials>, &'static str> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(StoredCredentials::Token(Secret::new(&self.identitytoken))));
        }
        if !self.username.is_empty() {
            let password = Secret::new(&self.password);
            return Ok(Some(StoredCredentials::Password(Credentials { username: self.username.clone(), password })));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let decoded = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or("an `auth` in it is no base64 of a user name and a password")?;
        let (username, password) = decoded.split_once(':').ok_or("an `auth` in it has no colon")?;
        // Docker pads what it writes with zeros.
        let password = Secret::new(password.trim_end_matches('\0'));
        Ok(Some(StoredCredentials::Password(Credentials { username: username.to_owned(), password })))
    }
}

/// Asks `docker-credential-<helper>` for what it has for `server`.
fn ask(helper: &str, server: &str) -> Result<Option<StoredCredentials>, OciError> {
    // The name becomes a program's: one with a separator would run any file (RUSTSEC-2024-0433).
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let program = format!("docker-credential-{helper}");
    let failed = |reason: &str, source| OciError::Helper {
        helper: text::sanitized(&program).into_owned(),
        reason: reason.to_owned(),
        source,
    };
    if helper.is_empty() || !helper.bytes().all(harmless) {
        return Err(failed("its name is not a helper's", None));
    }
    let started =
        Command::new(&program).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.map_err(|e| failed("it cannot be run", Some(e)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has the answer already need not read the question.
        let _ = stdin.write_all(format!("{server}\n").as_bytes());
    }
    let (done, answer) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(LIMIT).read_to_end(&mut bytes).map(|_| bytes);
            let _ = done.send(read);
        });
    }
    let answer = answer.recv_timeout(PATIENCE);
    if answer.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| failed("it cannot be waited for", Some(e)))?;
    let bytes = match answer {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(e)) => return Err(failed("its answer cannot be read", Some(e))),
        Err(_) => return Err(failed("it does not answer", None)),
    };
    if !status.success() {
        // The protocol has no code for this; all helpers say these words.
        if String::from_utf8_lossy(&bytes).contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(&format!("it ended with {status}"), None));
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct HelperResponse {
        username: String,
        secret: String,
    }
    let HelperResponse { username, secret } =
        serde_json::from_slice(&bytes).map_err(|_| failed("its answer is not a helper's", None))?;
    Ok(Some(match username.as_str() {
        TOKEN_USER => StoredCredentials::Token(Secret::new(secret)),
        _ => StoredCredentials::Password(Credentials { username, password: Secret::new(secret) }),
    }))
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(data: &[u8]) {
    let Ok(config) = serde_json::from_slice::<DockerConfig>(data) else { return };
    let _ = best(&config.auths, "registry.example.com", "team/plugin").map(AuthEntry::stored);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_entry(auths: &str, registry: &str, repository: &str) -> Result<Option<StoredCredentials>, &'static str> {
        let config: DockerConfig = serde_json::from_str(&format!(r#"{{"auths":{auths}}}"#)).unwrap();
        best(&config.auths, registry, repository).map_or(Ok(None), AuthEntry::stored)
    }

    fn password(username: &str, password: &str) -> Result<Option<StoredCredentials>, &'static str> {
        Ok(Some(StoredCredentials::Password(Credentials { username: username.to_owned(), password: Secret::new(password) })))
    }

    #[test]
    fn o_docker_entries_are_found_by_registry_and_path() {
        let auths = r#"{
            "ghcr.io": {"auth": "YW5uOnA6dw=="},
            "ghcr.io/team": {"username": "bob", "password": "pw"},
            "https://index.docker.io/v1/": {"auth": "Y3k6cHcAAA=="},
            "token.example": {"auth": "", "identitytoken": "t"},
            "empty.example": {},
            "bad.example": {"auth": "%%"}
        }"#;
        assert_eq!(find_entry(auths, "ghcr.io", "other/foo"), password("ann", "p:w"));
        assert_eq!(find_entry(auths, "ghcr.io", "team/foo"), password("bob", "pw"));
        assert_eq!(find_entry(auths, "ghcr.io", "teams/foo"), password("ann", "p:w"));
        assert_eq!(find_entry(auths, "index.docker.io", "foo"), password("cy", "pw"));
        assert_eq!(find_entry(auths, "token.example", "foo"), Ok(Some(StoredCredentials::Token(Secret::new("t")))));
        assert_eq!(find_entry(auths, "empty.example", "foo"), Ok(None));
        assert_eq!(find_entry(auths, "ghcr.io.evil", "foo"), Ok(None));
        assert!(find_entry(auths, "bad.example", "foo").is_err());
    }

    #[test]
    fn o_a_helper_with_a_path_for_a_name_never_runs() {
        for name in ["../../bin/sh", "a/b", "", "a b", "a;b"] {
            assert!(matches!(ask(name, "h"), Err(OciError::Helper { .. })), "{name}");
        }
        assert!(matches!(ask("no-such-helper-anywhere", "h"), Err(OciError::Helper { source: Some(_), .. })));
    }
}
