//! What an install argument means. One order decides (`docs/spec/sources.md`, section 1), and `plugin install --explain` prints it:
//! nothing is tried, guessed again or resolved over the network here, so that the same argument in the same place always
//! means the same.

mod github;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

use super::error::SourceError;
use super::options::{Credentials, Secret};
use super::suggestion::Suggestion;
use super::weburl::WebUrl;
use crate::digest::Sha256Digest;
use crate::intake::package::is_archive_name;
use crate::text;
use crate::text::masked_source;

/// Schemes of our own: no getter plugin can take one over.
pub(super) const BUILT_IN_SCHEMES: [&str; 6] = ["git", "git+...", "http", "https", "oci", "ssh"];

/// What git may speak: everything else, `ext` before all, can run programs (CVE-2022-21235 and its kin).
const GIT_SCHEMES: [&str; 5] = ["file", "git", "http", "https", "ssh"];

/// What the grammar has to know of the store and the configuration.
#[derive(Debug, Clone, Default)]
pub struct SourceContext {
    /// Schemes that installed getter plugins serve, with the name of the plugin.
    pub getters: BTreeMap<String, String>,
    /// Names of the indexes that are set up.
    pub indexes: BTreeSet<String>,
}

/// Where a package comes from. The order of the variants is the order of decision.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// `oci://registry/path/name[:tag][@sha256:...]`.
    Oci(OciReference),
    /// An existing directory, absolute.
    Directory(PathBuf),
    /// An existing `.tgz` or `.tar.gz` file, absolute.
    Archive(PathBuf),
    /// An http(s) URL whose path ends in `.tgz` or `.tar.gz`.
    Http(WebUrl),
    /// A git repository.
    Git(GitUrl),
    /// Another http(s) URL: an archive where the content type or the first bytes say so, else a git repository.
    Web(WebUrl),
    /// A URL whose scheme an installed getter plugin serves.
    Getter {
        /// The plugin.
        plugin: String,
        /// The whole URL, as given.
        url: GetterUrl,
    },
    /// `owner/repo[@version]` or its URL: a GitHub release, and where there is none the git repository.
    GitHub {
        /// The owner.
        owner: String,
        /// The repository.
        repo: String,
        /// What stands behind the `@`.
        version: Option<String>,
    },
    /// `[index/]name[@version]`.
    Index {
        /// The index, where one is named.
        index: Option<String>,
        /// The plugin.
        name: String,
        /// What stands behind the `@`.
        version: Option<String>,
    },
}

/// A repository as the `git` program takes it.
#[derive(Clone, PartialEq, Eq)]
pub enum GitUrl {
    /// `http` or `https`.
    Web(WebUrl),
    /// `ssh`, `git` or `file` URL, or `user@host:path`: no password in it.
    Plain(String),
}

/// A URL for a getter plugin: shown with its secrets masked, handed over whole.
#[derive(Clone, PartialEq, Eq)]
pub struct GetterUrl(String);

impl GetterUrl {
    /// The URL as given, secrets and all: for the plugin alone.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL without user name and password, and these two apart.
    pub(super) fn split(&self) -> (String, Option<Credentials>) {
        let bare = without_user(&self.0);
        let user = self.0.split_once("://").and_then(|(_, rest)| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority.rsplit_once('@').map(|(user, _)| user)
        });
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let credentials = user.filter(|user| !user.is_empty()).map(|user| {
            let (username, password) = user.split_once(':').unwrap_or((user, ""));
            Credentials { username: decoded(username), password: Secret::new(decoded(password)) }
        });
        (bare, credentials)
    }
}

/// A reference to an artifact in an OCI registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciReference {
    /// Host, and port where one is given.
    pub registry: String,
    /// The repository: path and name.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest of the manifest.
    pub digest: Option<Sha256Digest>,
}

impl Source {
    /// Decides what `argument` is.
    ///
    /// # Errors
    /// Nothing that the argument names is there, nobody serves its scheme, or it breaks the rules of its kind.
    pub fn parse(argument: &str, known: &SourceContext) -> Result<Self, SourceError> {
        if argument.trim() != argument || argument.is_empty() || argument.chars().any(char::is_control) {
            return Err(SourceError::Malformed { argument: masked_source(argument) });
        }
        let scheme = scheme_of(argument);
        if scheme.as_deref() == Some("oci") {
            return OciReference::parse(argument).map(Self::Oci);
        }
        let path = Path::new(argument);
        let there = stat(path)?;
        match &there {
            Some(found) if found.is_dir() => return Ok(Self::Directory(absolute(path))),
            Some(_) if is_archive_name(argument) => return Ok(Self::Archive(absolute(path))),
            Some(_) | None => {}
        }
        if let Some(scheme) = scheme {
            return url(argument, &scheme, known);
        }
        if argument.contains("::") {
            // `ext::sh -c ...`, `fd::7`: git's transport helpers run what the argument says.
            return Err(bad(argument, "source", "git's transport helpers (`name::address`) are refused"));
        }
        if there.is_some() {
            return Err(SourceError::NotAPackage { path: path.to_path_buf() });
        }
        if let Some(git) = scp_like(argument)? {
            return Ok(Self::Git(git));
        }
        names(argument, known).ok_or_else(|| SourceError::not_found(argument))
    }

    /// Decides what a URL is that is to be downloaded for its own sake: everything on the web is a file then, whatever it is
    /// called.
    ///
    /// # Errors
    /// It is no URL, nobody serves its scheme, or it is one of git's, which names no file.
    pub fn parse_download(argument: &str, known: &SourceContext) -> Result<Self, SourceError> {
        match scheme_of(argument).as_deref() {
            Some("http" | "https") => web_url(argument, argument).map(Self::Http),
            Some(_) => match Self::parse(argument, known)? {
                Self::Git(_) => Err(bad(
                    argument,
                    "URL to download",
                    "a git repository is no file: pulled as a plugin it is packed into one",
                )),
                source => Ok(source),
            },
            None => Err(bad(argument, "URL", "it has no scheme, such as `https://`")),
        }
    }

    /// Whether `argument` is a URL that can only be a getter plugin's: nothing else needs to know the getters that there are.
    pub fn wants_getter(argument: &str) -> bool {
        let built_in =
            |scheme: &str| scheme.starts_with("git+") || matches!(scheme, "file") || BUILT_IN_SCHEMES.contains(&scheme);
        scheme_of(argument).is_some_and(|scheme| !built_in(&scheme))
    }

    /// What kind it is, with an article.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Oci(_) => "an artifact in an OCI registry",
            Self::Directory(_) => "a local directory",
            Self::Archive(_) => "a local package",
            Self::Http(_) => "a package on a web server",
            Self::Git(_) => "a git repository",
            Self::Web(_) => "a package on a web server, or a git repository",
            Self::Getter { .. } => "a URL for a getter plugin",
            Self::GitHub { .. } => "a GitHub release, or the git repository",
            Self::Index { .. } => "a plugin of an index",
        }
    }

    /// Whether it names, with `version`, one commit or manifest by its full digest. That counts as verified by digest, and no
    /// keyring is needed.
    pub fn is_exact(&self, version: Option<&str>) -> bool {
        match self {
            Self::Git(_) | Self::Web(_) => version.is_some_and(is_object_id),
            Self::GitHub { version: own, .. } => version.or(own.as_deref()).is_some_and(is_object_id),
            Self::Oci(reference) => reference.digest.is_some(),
            _ => false,
        }
    }

    /// Whether it may be verified by something that needs no keyring: see [`crate::intake::package::FetchedPackage::has_trusted_digest`].
    pub fn may_give_digest(&self, version: Option<&str>) -> bool {
        self.is_exact(version) || matches!(self, Self::GitHub { .. })
    }

    /// The scheme, host and port that a user name and password would go to; `None` where none goes anywhere.
    pub fn server(&self) -> Option<String> {
        match self {
            Self::Oci(reference) => Some(format!("oci://{}", reference.registry)),
            Self::Http(url) | Self::Web(url) | Self::Git(GitUrl::Web(url)) => Some(url.url().origin().ascii_serialization()),
            Self::GitHub { .. } => Some("https://github.com".to_owned()),
            Self::Getter { url, .. } => Some(masked_source(url.expose())),
            Self::Directory(_) | Self::Archive(_) | Self::Git(GitUrl::Plain(_)) | Self::Index { .. } => None,
        }
    }

    /// Whether getting it uses the network.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Directory(_) | Self::Archive(_))
    }

    /// The text that a receipt keeps, from which [`Source::parse`] makes the same source again: absolute, and without user name
    /// and password.
    pub fn asked(&self) -> String {
        match self {
            Self::Oci(reference) => reference.to_string(),
            Self::Directory(path) | Self::Archive(path) => path.to_string_lossy().into_owned(),
            Self::Http(url) | Self::Web(url) => url.without_credentials().to_owned(),
            Self::Git(GitUrl::Web(url)) => format!("git+{}", url.without_credentials()),
            Self::Git(GitUrl::Plain(url)) if url.starts_with("file:") => format!("git+{url}"),
            Self::Git(GitUrl::Plain(url)) => url.clone(),
            Self::Getter { url, .. } => without_user(&url.0),
            Self::GitHub { owner, repo, version } => with_version(format!("{owner}/{repo}"), version.as_deref()),
            Self::Index { index, name, version } => {
                let prefix = index.as_ref().map(|index| format!("{index}/")).unwrap_or_default();
                with_version(format!("{prefix}{name}"), version.as_deref())
            }
        }
    }

    /// How the argument was understood, a line for each row of the grammar up to the one that fits, then what follows from it.
    pub fn explain(&self) -> Vec<String> {
        let rows = [
            "not an `oci://` reference",
            "no directory of that name",
            "no .tgz or .tar.gz file of that name",
            "no http(s) URL whose path ends in .tgz or .tar.gz",
            "not `git+...`, `ssh://`, `git@host:path` or a URL that ends in .git elsewhere than on GitHub",
            "no http(s) URL of something else than a repository on GitHub",
            "no `scheme://` that a getter plugin serves",
            "not `owner/repo`, and no `https://github.com/owner/repo`",
        ];
        let mut lines: Vec<String> = rows.iter().take(self.row()).map(|row| (*row).to_owned()).collect();
        lines.push(format!("it is {}: {self}", self.kind()));
        lines.extend(self.details());
        lines
    }

    /// Its row in the order of decision.
    fn row(&self) -> usize {
        match self {
            Self::Oci(_) => 0,
            Self::Directory(_) => 1,
            Self::Archive(_) => 2,
            Self::Http(_) => 3,
            Self::Git(_) => 4,
            Self::Web(_) => 5,
            Self::Getter { .. } => 6,
            Self::GitHub { .. } => 7,
            Self::Index { .. } => 8,
        }
    }

    /// What follows from the decision: parts, options, and how it can be verified.
    fn details(&self) -> Vec<String> {
        match self {
            Self::Oci(reference) => vec![
                format!("registry {}, repository {}", reference.registry, reference.repository),
                match (&reference.tag, reference.digest) {
                    (_, Some(digest)) => format!("the manifest's digest is pinned: sha256:{digest}"),
                    (Some(tag), None) => format!("tag {tag}"),
                    (None, None) => "no tag: `--version` names one or a range, else the highest release tag".to_owned(),
                },
                "verified by the provenance layer, or a digest".to_owned(),
            ],
            Self::Directory(_) => vec![
                "installed for development: as a symbolic link, or as a copy with `--copy`".to_owned(),
                "not verified: the files are your own".to_owned(),
            ],
            Self::Archive(path) => {
                vec![format!("verified by {}.prov, or `--digest`", text::sanitized(&path.to_string_lossy()))]
            }
            Self::Http(url) => {
                let mut lines = credentials_line(url);
                lines.push(format!("verified by {}, or `--digest`", url.with_path_suffix(".prov")));
                lines
            }
            Self::Web(url) => {
                let mut lines = credentials_line(url);
                lines.push("its name does not say what it is: a package where the content type or the first bytes say gzip, else a git repository".to_owned());
                lines.push(format!(
                    "a package is verified by {}, or `--digest`; a git repository by a signed tag or commit, or a full commit id",
                    url.with_path_suffix(".prov")
                ));
                lines
            }
            Self::Git(url) => {
                let mut lines = match url {
                    GitUrl::Web(url) => credentials_line(url),
                    GitUrl::Plain(_) => Vec::new(),
                };
                lines.push(
                    "`--version` is a tag, a branch, a full commit id or a range over tags, else the highest release tag"
                        .to_owned(),
                );
                lines.push("verified by a signed tag or commit, or a full commit id as `--version`".to_owned());
                lines
            }
            Self::Getter { plugin, .. } => vec![
                format!("downloaded by the getter plugin `{}`", text::sanitized(plugin)),
                "verified by the provenance that the same getter fetches, or `--digest`".to_owned(),
            ],
            Self::GitHub { owner, repo, .. } => {
                vec![
                    format!("the releases of https://github.com/{owner}/{repo}; if it has none, its git repository"),
                    "a release is verified by checksums or a provenance, the repository by a signed tag or commit"
                        .to_owned(),
                ]
            }
            Self::Index { index, .. } => vec![
                index.as_ref().map_or_else(
                    || "looked up in every index".to_owned(),
                    |index| format!("looked up in the index `{index}`"),
                ),
                "verified by the index's digest, or a provenance".to_owned(),
            ],
        }
    }
}

/// Safe to show: no user name, no password, no query.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) | Self::Web(url) => fmt::Display::fmt(url, f),
            Self::Git(GitUrl::Web(url)) => fmt::Display::fmt(url, f),
            other => f.write_str(&masked_source(&other.asked())),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}: {self})", self.kind())
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => fmt::Display::fmt(url, f),
            Self::Plain(url) => f.write_str(&masked_source(url)),
        }
    }
}

impl OciReference {
    /// Reads an argument that must be a reference.
    ///
    /// # Errors
    /// It has another scheme or none, or breaks the rules of [`OciReference::parse`].
    pub fn from_argument(argument: &str) -> Result<Self, SourceError> {
        match scheme_of(argument).as_deref() {
            Some("oci") if !argument.chars().any(char::is_control) => Self::parse(argument),
            _ => Err(bad(
                argument,
                "OCI reference",
                &format!(
                    "it must begin with `oci://`, as in `oci://registry.example.com/plugins`{}",
                    Suggestion::reference(argument)
                ),
            )),
        }
    }

    /// Reads `oci://registry/path/name[:tag][@sha256:...]`.
    ///
    /// # Errors
    /// The text breaks the rules of the distribution specification for registries, repositories, tags or digests.
    pub fn parse(argument: &str) -> Result<Self, SourceError> {
        let wrong = |reason: &str| Err(bad(argument, "OCI reference", reason));
        let rest = argument.get(6..).unwrap_or_default();
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) if digest.starts_with("sha256:") => match digest.parse() {
                Ok(digest) => (rest, Some(digest)),
                Err(_) => return wrong("behind the `@` must stand `sha256:` and 64 hexadecimal digits"),
            },
            Some(_) => {
                return wrong(
                    "only `@sha256:...` may stand behind an `@`; a user name goes into `--username`, a version behind a `:`",
                );
            }
            None => (rest, None),
        };
        if rest.contains(['?', '#']) {
            return wrong("a reference has no query and no fragment");
        }
        let Some((registry, path)) = rest.split_once('/') else {
            return wrong("a repository must follow the registry, as in `oci://registry.example.com/plugins/name`");
        };
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !is_registry(registry) {
            return wrong("the registry must be a host name or an address, with or without a port");
        }
        if repository.len() > 255 || !repository.split('/').all(is_repository_part) {
            return wrong(
                "a repository is made of lower-case letters, digits and single `.`, `_`, `__` or `-` between them, in parts divided by `/`",
            );
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return wrong("a tag has up to 128 letters, digits, `_`, `.`, `-` and `+`, and begins with neither `.` nor `-`");
        }
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

/// What is at `path`, links followed; `None` where nothing is. That nobody may look is neither.
fn stat(path: &Path) -> Result<Option<Metadata>, SourceError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            Err(SourceError::Look { path: path.to_path_buf(), source })
        }
        Err(_) => Ok(None),
    }
}

/// What an argument with a scheme is.
fn url(argument: &str, scheme: &str, known: &SourceContext) -> Result<Source, SourceError> {
    match scheme {
        "http" | "https" => {
            let url = web_url(argument, argument)?;
            if let Some(repository) = github::of_url(&url) {
                return Ok(repository);
            }
            let path = url.url().path().trim_end_matches('/');
            Ok(if is_archive_name(path) {
                Source::Http(url)
            } else if path.ends_with(".git") {
                Source::Git(GitUrl::Web(url))
            } else {
                Source::Web(url)
            })
        }
        "file" => Err(SourceError::FileUrl { argument: masked_source(argument) }),
        "ssh" | "git" => git_url(argument, argument, scheme).map(Source::Git),
        scheme => {
            if let Some(inner) = scheme.strip_prefix("git+") {
                let url = argument.get(4..).unwrap_or_default();
                if !GIT_SCHEMES.contains(&inner) {
                    let reason = format!("git may only speak {}", GIT_SCHEMES.join(", "));
                    return Err(bad(argument, "git URL", &reason));
                }
                return git_url(argument, url, inner).map(Source::Git);
            }
            if let Some(plugin) = known.getters.get(scheme) {
                return Ok(Source::Getter { plugin: plugin.clone(), url: GetterUrl(argument.to_owned()) });
            }
            let mut schemes: Vec<&str> = BUILT_IN_SCHEMES.to_vec();
            schemes.extend(known.getters.keys().map(String::as_str));
            schemes.sort_unstable();
            schemes.dedup();
            Err(SourceError::UnknownScheme {
                argument: masked_source(argument),
                scheme: text::sanitized(scheme).into_owned(),
                known: text::sanitized(&schemes.join(", ")).into_owned(),
                meant: Suggestion::scheme(argument, scheme, &schemes),
            })
        }
    }
}

/// Reads an http(s) URL.
fn web_url(argument: &str, url: &str) -> Result<WebUrl, SourceError> {
    let parsed = Url::parse(url).map_err(|e| bad(argument, "URL", &e.to_string()))?;
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(bad(argument, "URL", "it has no host"));
    }
    Ok(WebUrl::new(parsed))
}

/// Reads a URL that must be https: what comes from there is not checked by a package's rules.
pub(super) fn https_url(argument: &str) -> Result<WebUrl, SourceError> {
    let url = web_url(argument, argument)?;
    match url.url().scheme() {
        "https" => Ok(url),
        _ => Err(bad(argument, "https URL", "nothing else is fetched here; download it and give its path")),
    }
}

/// Reads a URL for git: nothing in it may be taken for an option by git or ssh (CVE-2017-1000117, CVE-2022-21235).
fn git_url(argument: &str, url: &str, scheme: &str) -> Result<GitUrl, SourceError> {
    if matches!(scheme, "http" | "https") {
        return web_url(argument, url).map(GitUrl::Web);
    }
    let parsed = Url::parse(url).map_err(|e| bad(argument, "git URL", &e.to_string()))?;
    if parsed.password().is_some() {
        return Err(bad(argument, "git URL", "a password cannot be given in it; use an SSH key"));
    }
    match scheme {
        "file" => {
            if parsed.host_str().is_some_and(|host| !host.is_empty()) {
                return Err(bad(
                    argument,
                    "git URL",
                    "`git+file://` needs an absolute path, as in `git+file:///srv/plugin.git`",
                ));
            }
        }
        _ => match parsed.host_str() {
            None | Some("") => return Err(bad(argument, "git URL", "it has no host")),
            Some(host) if host.starts_with('-') => return Err(bad(argument, "git URL", "a host cannot begin with `-`")),
            Some(_) => {}
        },
    }
    if parsed.username().starts_with('-') {
        return Err(bad(argument, "git URL", "a user name cannot begin with `-`"));
    }
    if parsed.path().trim_start_matches('/').starts_with('-') && scheme != "file" {
        return Err(bad(argument, "git URL", "a path cannot begin with `-`"));
    }
    Ok(GitUrl::Plain(parsed.into()))
}

/// Reads `user@host:path`, ssh's short form; `None` where it is something else.
fn scp_like(argument: &str) -> Result<Option<GitUrl>, SourceError> {
    let Some((user, rest)) = argument.split_once('@') else { return Ok(None) };
    let Some((host, path)) = rest.split_once(':') else { return Ok(None) };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !word(user) || !word(host) {
        return Ok(None);
    }
    if [user, host, path].iter().any(|part| part.starts_with('-')) {
        return Err(bad(argument, "git URL", "no part of it may begin with `-`"));
    }
    if path.is_empty() {
        return Err(bad(argument, "git URL", "a path must follow the colon"));
    }
    Ok(Some(GitUrl::Plain(argument.to_owned())))
}

/// Reads `owner/repo[@version]`, `github.com/owner/repo[@version]`, `name[@version]` and `index/name[@version]`.
fn names(argument: &str, known: &SourceContext) -> Option<Source> {
    let (path, version) = match argument.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (argument, None),
    };
    if version.is_some_and(|version| version.is_empty() || version.starts_with('-')) || is_archive_name(path) {
        return None;
    }
    let version = version.map(str::to_owned);
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["github.com", owner, repo] if github::is_part(owner) && github::is_part(repo) => {
            Some(Source::GitHub { owner: (*owner).to_owned(), repo: (*repo).to_owned(), version })
        }
        // An index that the user set up says more about `acme/tool` than the chance that GitHub knows an `acme`.
        [index, name] if known.indexes.contains(*index) && is_plugin_name(name) => {
            Some(Source::Index { index: Some((*index).to_owned()), name: (*name).to_owned(), version })
        }
        // No account has a dot in its name; a host has.
        [owner, repo] if !owner.contains('.') && github::is_part(owner) && github::is_part(repo) => {
            Some(Source::GitHub { owner: (*owner).to_owned(), repo: (*repo).to_owned(), version })
        }
        [name] if is_plugin_name(name) => Some(Source::Index { index: None, name: (*name).to_owned(), version }),
        _ => None,
    }
}

fn with_version(name: String, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{name}@{version}"),
        None => name,
    }
}

/// A URL of any scheme without user name and password, the rest letter for letter: only its getter knows what that means.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn credentials_line(url: &WebUrl) -> Vec<String> {
    let host = url.url().host_str().unwrap_or_default();
    url.credentials().map(|_| format!("with the user name and password of the URL, for {host} alone")).into_iter().collect()
}

/// A full id of a git object: SHA-1 or SHA-256.
pub(super) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The scheme of a URL, in lower case.
fn scheme_of(argument: &str) -> Option<String> {
    let scheme = argument.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.filter(|scheme| is_scheme(scheme))
}

/// A scheme by RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// A plugin's name: as a manifest may bear it.
fn is_plugin_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// `host`, `host:port` or `[v6]:port`.
fn is_registry(registry: &str) -> bool {
    let Ok(url) = Url::parse(&format!("https://{registry}/")) else { return false };
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    registry.bytes().all(harmless) && !registry.starts_with('-') && url.path() == "/" && url.host_str().is_some()
}

/// A part of a repository by the distribution specification: runs of letters and digits with one separator between them.
pub(super) fn is_repository_part(part: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = part.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| edge(Some(b)) || matches!(b, b'.' | b'_' | b'-'))
        && part
            .split(|c: char| c.is_ascii_alphanumeric())
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

/// A tag by the distribution specification, and `+`, which is stored as `_`.
pub(super) fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-', '+'])
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+'))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn bad(argument: &str, kind: &'static str, reason: &str) -> SourceError {
    SourceError::BadReference { argument: masked_source(argument), kind, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
