//! What a user can ask of a fetch, and which kinds of source can honour it. An option that would have no effect is refused:
//! a `--ca-file` that nobody reads is a promise broken in silence.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::SourceError;
use super::github::GitHubAccess;
use super::grammar::{GitUrl, Source};
use super::version::Range;
use crate::digest::Sha256Digest;
use crate::intake::package::PackageOrigin;
use crate::settings::{HttpSettings, Limits, RegistrySettings};
use crate::text;

/// A text that is never shown: not by `Debug`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A user name and a password for one scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

/// What a fetch is to bring. As long as nobody says otherwise it is a package with the provenance beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    provenance: bool,
    digest: Option<Sha256Digest>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { provenance: true, digest: None }
    }
}

impl Wanted {
    /// The package alone.
    pub fn package() -> Self {
        Self { provenance: false, digest: None }
    }

    /// The package with this digest: [`crate::intake::provenance`] compares it; for a source it says that there must be one archive.
    pub fn with_digest(digest: Sha256Digest) -> Self {
        Self { provenance: false, digest: Some(digest) }
    }

    /// The same, and the provenance beside it.
    #[must_use]
    pub fn and_provenance(self) -> Self {
        Self { provenance: true, ..self }
    }

    /// Whether the provenance beside the package is to come.
    pub(crate) fn provenance(self) -> bool {
        self.provenance
    }

    /// Which package it must be, where that is known.
    pub(crate) fn digest(self) -> Option<Sha256Digest> {
        self.digest
    }
}

/// What the user asked of a fetch.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// `--version`: an exact version, a range, or a git reference. An archive can only be checked against it, once its
    /// manifest has been read: the caller does that.
    pub version: Option<String>,
    /// What is to come; a verb decides that by what makes the package trusted.
    pub wanted: Wanted,
    /// `--username`.
    pub username: Option<String>,
    /// `--password-stdin`.
    pub password: Option<Secret>,
    /// `--ca-file`: PEM certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `--cert-file`: the client's certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// `--key-file`: the key of that certificate, PEM; where absent it is looked for in the certificate's file.
    pub key_file: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`.
    pub insecure_skip_tls_verify: bool,
    /// `--plain-http`. An HTTP URL names its scheme itself, so there it only confirms `http://` and contradicts `https://`.
    pub plain_http: bool,
    /// Whether git must not follow a server to another place, since nobody would learn of it: where places are judged.
    pub refuse_git_redirects: bool,
    /// `--timeout`: for the whole fetch.
    pub timeout: Option<Duration>,
    /// `http:` of the settings.
    pub http: HttpSettings,
    /// `limits:` of the settings.
    pub limits: Limits,
    /// Where GitHub is, and who asks there.
    pub github: GitHubAccess,
    /// `registries:` of the settings, by host (and port).
    pub registries: BTreeMap<String, RegistrySettings>,
}

impl FetchOptions {
    /// Refuses what `source` cannot honour, and what contradicts itself.
    ///
    /// # Errors
    /// [`SourceError::Option`].
    pub fn check(&self, source: &Source) -> Result<(), SourceError> {
        let refuse = |option, reason| Err(SourceError::Option { option, what: source.to_string(), reason });
        if self.password.is_some() && self.username.is_none() {
            return refuse("--password-stdin", "it needs `--username`");
        }
        if self.key_file.is_some() && self.cert_file.is_none() {
            return refuse("--key-file", "it needs `--cert-file`");
        }
        if let (Some(version), true) =
            (&self.version, matches!(source, Source::Archive(_) | Source::Http(_) | Source::Getter { .. }))
            && Range::parse(version).is_err()
        {
            return refuse(
                "--version",
                "a package has the version of its manifest, and this is no version or range to compare it with",
            );
        }
        if self.insecure_skip_tls_verify && self.ca_file.is_some() {
            return refuse("--ca-file", "`--insecure-skip-tls-verify` would make it meaningless");
        }
        match source {
            Source::Directory(_) | Source::Archive(_) => {
                if let Some(option) = self.network_option() {
                    return refuse(option, "it is a local path, and nothing is fetched over the network");
                }
                if matches!(source, Source::Directory(_)) {
                    if self.version.is_some() {
                        return refuse("--version", "a local directory has the version that its `plugin.yaml` says");
                    }
                    if self.wanted.digest().is_some() {
                        return refuse("--digest", "a local directory has no archive whose digest could be taken");
                    }
                }
            }
            Source::Http(url) | Source::Web(url) => {
                if self.plain_http && url.url().scheme() == "https" {
                    return refuse("--plain-http", "its URL says https; write `http://` where that is meant");
                }
            }
            Source::Git(url) => {
                if self.wanted.digest().is_some() {
                    return refuse(
                        "--digest",
                        "a git repository has no archive; pin it with a full commit id as `--version`",
                    );
                }
                if self.plain_http {
                    return refuse("--plain-http", "the URL of a git repository says its scheme itself");
                }
                if let (GitUrl::Plain(_), Some(option)) = (url, self.web_option()) {
                    return refuse(option, "it means something for http and https alone; ssh has its own keys and settings");
                }
            }
            Source::Oci(reference) => {
                if self.version.is_some() && reference.tag.is_some() {
                    return refuse("--version", "the reference has a tag already; give one of the two");
                }
                if self.version.is_some() && reference.digest.is_some() {
                    return refuse("--version", "the reference names one manifest by its digest already");
                }
            }
            Source::GitHub { version, .. } | Source::Index { version, .. } => {
                if self.plain_http && matches!(source, Source::GitHub { .. }) {
                    return refuse("--plain-http", "the address of GitHub's API says its scheme itself");
                }
                if self.version.is_some() && version.is_some() {
                    return refuse("--version", "a version stands behind the `@` already; give one of the two");
                }
            }
            Source::Getter { .. } => {
                if self.insecure_skip_tls_verify {
                    return refuse(
                        "--insecure-skip-tls-verify",
                        "a getter plugin cannot be told; its own settings may know it",
                    );
                }
                if self.plain_http {
                    return refuse("--plain-http", "a getter plugin cannot be told; its URL says all that it knows");
                }
            }
        }
        Ok(())
    }

    /// The same options for what is `wanted`.
    #[must_use]
    pub fn wanting(&self, wanted: Wanted) -> Self {
        Self { wanted, ..self.clone() }
    }

    /// Compares the version of a package's manifest with `--version`, where the source had only one package to give: what came
    /// out of a repository or a registry was chosen by it already.
    ///
    /// # Errors
    /// [`SourceError::WrongVersion`].
    pub fn check_version(&self, origin: &PackageOrigin, found: Option<&semver::Version>) -> Result<(), SourceError> {
        let Some(wanted) = &self.version else { return Ok(()) };
        if origin.revision.is_some() || origin.release.is_some() {
            return Ok(());
        }
        let fits = Range::parse(wanted).is_ok_and(|range| found.is_some_and(|found| range.matches(found)));
        if fits {
            return Ok(());
        }
        Err(SourceError::WrongVersion {
            what: text::masked_source(&origin.asked),
            wanted: text::sanitized(wanted).into_owned(),
            found: found.map_or_else(|| "none".to_owned(), ToString::to_string),
        })
    }

    /// How long the whole may take: by the flag, else by the settings.
    pub(super) fn total_timeout(&self) -> Option<Duration> {
        self.timeout.or(self.http.timeout)
    }

    /// The same, with what the settings say about `registry` where no flag says otherwise.
    pub(super) fn for_registry(&self, registry: &str) -> Self {
        let mut options = self.clone();
        if let Some(settings) = self.registries.get(registry) {
            options.plain_http |= settings.plain_http;
            if !options.insecure_skip_tls_verify {
                options.ca_file = options.ca_file.or_else(|| settings.ca_file.clone());
            }
        }
        options
    }

    /// The first option that speaks of a network.
    fn network_option(&self) -> Option<&'static str> {
        self.web_option().or(self.plain_http.then_some("--plain-http")).or(self.timeout.is_some().then_some("--timeout"))
    }

    /// The first option that speaks of http alone.
    fn web_option(&self) -> Option<&'static str> {
        [
            (self.username.is_some(), "--username"),
            (self.password.is_some(), "--password-stdin"),
            (self.ca_file.is_some(), "--ca-file"),
            (self.cert_file.is_some(), "--cert-file"),
            (self.key_file.is_some(), "--key-file"),
            (self.insecure_skip_tls_verify, "--insecure-skip-tls-verify"),
        ]
        .into_iter()
        .find_map(|(given, option)| given.then_some(option))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_must_have_the_version_that_was_asked_for() {
        let wanting = |version: &str| FetchOptions { version: Some(version.to_owned()), ..FetchOptions::default() };
        let origin = PackageOrigin { asked: "https://h/foo.tgz?t=hunter2".to_owned(), ..PackageOrigin::default() };
        let version = semver::Version::new(1, 2, 3);
        for good in ["1.2.3", "~1.2", "^1"] {
            assert!(wanting(good).check_version(&origin, Some(&version)).is_ok(), "{good}");
        }
        let error = wanting("~1.3").check_version(&origin, Some(&version)).unwrap_err();
        assert!(error.to_string().contains("1.2.3") && !error.to_string().contains("hunter2"), "{error}");
        assert!(wanting("~1.3").check_version(&origin, None).is_err());
        assert!(FetchOptions::default().check_version(&origin, None).is_ok());
        let chosen = PackageOrigin { revision: Some("commit".to_owned()), ..origin };
        assert!(wanting("main").check_version(&chosen, Some(&version)).is_ok());
    }
}
