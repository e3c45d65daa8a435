//! Where something comes from, in the form in which patterns are compared with it.
//!
//! A place has several texts: a git repository at `https://h/r` is meant by `git+https://h/r` and by `https://h/r`, an artifact
//! by its repository and by its tag. And each text is kept in two readings: *plain*, as it is written, and *bent*, as a server
//! that decodes once more, takes `\` for `/` or resolves `..` late could read it.

use std::path::Path;

use percent_encoding::percent_decode_str;
use url::Url;

/// How often an encoding of an encoding is undone before it is taken for an attack on the reader.
const MAX_DECODINGS: usize = 8;

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLocation {
    shown: String,
    texts: Vec<LocationTexts>,
}

/// One name of a place, in its two readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocationTexts {
    /// As it is written, in normal form.
    pub(super) plain: String,
    /// As freely as a server could read it.
    pub(super) decoded: String,
}

impl SourceLocation {
    /// The place that `source` names, as a receipt keeps it: a URL, an absolute path, `user@host:path`, or a name.
    pub fn of(source: &str) -> Self {
        let shown = crate::text::masked_source(source);
        let mut location = Self { shown, texts: Vec::new() };
        if source.starts_with('/') {
            location.add("file://", source, PathEncoding::Raw);
            return location;
        }
        let Some((scheme, rest)) = source.split_once("://") else {
            match scp_parts(source) {
                Some((host, path)) => {
                    let head = format!("ssh://{}", authority("ssh", &host.to_ascii_lowercase()));
                    location.add_git(&head, &format!("/{}", path.trim_start_matches('/')), PathEncoding::Decoded);
                }
                None => {
                    // `owner/repo` is one at GitHub, unless it is a name in an index.
                    let bare = source.split('@').next().unwrap_or_default();
                    let bare = bare.strip_prefix("github.com/").unwrap_or(bare);
                    if bare.matches('/').count() == 1 {
                        location.add("https://github.com/", bare, PathEncoding::Decoded);
                        location.add("github.com/", bare, PathEncoding::Decoded);
                    }
                    location.add("", source, PathEncoding::Decoded);
                }
            }
            return location;
        };
        let scheme = scheme.to_ascii_lowercase();
        let bare = scheme.strip_prefix("git+").unwrap_or(&scheme);
        let is_git = scheme.starts_with("git+") || matches!(bare, "ssh" | "git");
        match bare {
            "http" | "https" => match Url::parse(&format!("{bare}://{rest}")) {
                Ok(url) => {
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    let host = format!("{}{port}", url.host_str().unwrap_or_default());
                    let head = format!("{bare}://{}", authority(bare, &host));
                    let add = if is_git || is_repository(url.path()) { Self::add_git } else { Self::add };
                    add(&mut location, &head, url.path(), PathEncoding::Decoded);
                }
                Err(_) => location.add("", source, PathEncoding::Decoded),
            },
            "oci" => location.add_artifact(rest),
            "file" if is_git => {
                let path = percent_decode_str(rest).decode_utf8_lossy().into_owned();
                location.add_git("file://", &path, PathEncoding::Raw);
            }
            "file" => location.add("file://", rest, PathEncoding::Raw),
            _ => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, path) = rest.split_at(end);
                let path = path.split(['?', '#']).next().unwrap_or_default();
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_ascii_lowercase();
                let head = format!("{bare}://{}", authority(bare, &host));
                let add = if is_git { Self::add_git } else { Self::add };
                add(&mut location, &head, path, PathEncoding::Decoded);
            }
        }
        location
    }

    /// The place of a file or directory of this machine, absolute.
    pub fn path(path: &Path) -> Self {
        let text = path.to_string_lossy();
        let mut location = Self { shown: crate::text::sanitized(&text).into_owned(), texts: Vec::new() };
        location.add("file://", &text, PathEncoding::Raw);
        location
    }

    /// The same place, known to be a git repository.
    #[must_use]
    pub fn as_git(mut self) -> Self {
        let git: Vec<LocationTexts> = self.texts.iter().filter(|texts| !texts.plain.starts_with("git+")).cloned().collect();
        for LocationTexts { plain, decoded } in git {
            self.push(LocationTexts { plain: format!("git+{plain}"), decoded: format!("git+{decoded}") });
        }
        self
    }

    /// The same place with another name for it.
    #[must_use]
    pub fn with_name(mut self, other: &str) -> Self {
        self.texts.extend(Self::of(other).texts);
        self
    }

    /// The place as it may be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Where others like it would be: of an archive its directory, of an artifact its repository, of anything else itself. It is
    /// what stays the same from one version to the next.
    pub fn without_version(&self) -> String {
        let Some(first) = self.texts.first() else { return self.shown.clone() };
        let plain = first.plain.as_str();
        if let Some(rest) = plain.strip_prefix("oci://") {
            let (repository, _) = split_artifact(rest);
            return format!("oci://{repository}");
        }
        if crate::intake::package::is_archive_name(plain)
            && let Some((directory, _)) = plain.rsplit_once('/')
        {
            return format!("{directory}/");
        }
        plain.to_owned()
    }

    pub(super) fn texts(&self) -> &[LocationTexts] {
        &self.texts
    }

    fn add(&mut self, head: &str, path: &str, reading: PathEncoding) {
        let texts = match reading {
            PathEncoding::Raw => LocationTexts { plain: format!("{head}{path}"), decoded: format!("{head}{path}") },
            PathEncoding::Decoded => {
                let decoded = normalized(&decoded_fully(path));
                LocationTexts { plain: format!("{head}{}", decoded_once(path)), decoded: format!("{head}{decoded}") }
            }
        };
        self.push(texts);
    }

    /// Adds a repository under both its names.
    fn add_git(&mut self, head: &str, path: &str, reading: PathEncoding) {
        self.add(&format!("git+{head}"), path, reading);
        self.add(head, path, reading);
    }

    /// Adds an artifact with and without its tag and digest.
    fn add_artifact(&mut self, rest: &str) {
        let (registry, path) = rest.split_once('/').unwrap_or((rest, ""));
        let registry = match Url::parse(&format!("https://{registry}/")) {
            Ok(url) => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}{port}", url.host_str().unwrap_or_default())
            }
            Err(_) => registry.to_ascii_lowercase(),
        };
        let head = format!("oci://{}", authority("oci", &registry));
        let (repository, version) = split_artifact(path);
        let tagged = version.split('@').next().unwrap_or_default();
        for version in [version, tagged, ""] {
            self.add(&head, &format!("/{repository}{version}"), PathEncoding::Decoded);
        }
    }

    fn push(&mut self, texts: LocationTexts) {
        if !self.texts.contains(&texts) {
            self.texts.push(texts);
        }
    }
}

/// How a path is read.
#[derive(Debug, Clone, Copy)]
enum PathEncoding {
    /// Letter for letter: a `%` is a `%`.
    Raw,
    /// As part of a URL.
    Decoded,
}

/// Whether a URL names a git repository by its looks, as the grammar of sources has it.
fn is_repository(path: &str) -> bool {
    path.trim_end_matches('/').ends_with(".git")
}

/// The repository of an artifact, and its tag and digest with what introduces them.
fn split_artifact(path: &str) -> (&str, &str) {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let end = path[name..].find([':', '@']).map_or(path.len(), |end| name + end);
    path.split_at(end)
}

/// Whether every URL of this scheme has a path.
pub(super) fn has_path(scheme: &str) -> bool {
    let bare = scheme.strip_prefix("git+").unwrap_or(scheme);
    matches!(bare, "http" | "https" | "oci" | "ssh" | "git")
}

/// A host and port in normal form: lower case, without a dot at its end, and without a port that goes without saying.
pub(super) fn authority(scheme: &str, text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let usual: &[&str] = match scheme.strip_prefix("git+").unwrap_or(scheme) {
        "http" => &["80"],
        "https" => &["443"],
        // Without TLS a registry's usual port is another one.
        "oci" => &["443", "80"],
        "ssh" => &["22"],
        "git" => &["9418"],
        _ => &[],
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (text.as_str(), ""),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let port = port.trim_start_matches('0');
    if port.is_empty() || usual.contains(&port) { host.to_owned() } else { format!("{host}:{port}") }
}

/// Takes `user@host:path`, ssh's short form, apart into host and path.
pub(super) fn scp_parts(text: &str) -> Option<(&str, &str)> {
    let (user, rest) = text.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-*".contains(&b));
    (word(user) && word(host)).then_some((host, path))
}

/// `path` with its percent-encodings undone once, but for those of `/` and `\`, which would make other parts of it.
pub(super) fn decoded_once(path: &str) -> String {
    let kept = path.replace("%2f", "%252F").replace("%2F", "%252F").replace("%5c", "%255C").replace("%5C", "%255C");
    percent_decode_str(&kept).decode_utf8_lossy().into_owned()
}

/// `path` with its percent-encodings undone as long as there are any.
pub(super) fn decoded_fully(path: &str) -> String {
    let mut text = path.to_owned();
    for _ in 0..MAX_DECODINGS {
        let next = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// `path` with `\` taken for `/`, without empty parts and `.`, and with each `..` undone.
fn normalized(path: &str) -> String {
    let path = path.replace('\\', "/");
    if !path.starts_with('/') {
        return path;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_the_same_from_one_version_to_the_next() {
        for (source, kept) in [
            ("https://h/p/foo-1.0.0.tgz?t=1", "https://h/p/"),
            ("/srv/p/foo-1.0.0.tgz", "file:///srv/p/"),
            ("/srv/p/foo", "file:///srv/p/foo"),
            ("oci://h:5000/team/foo:1.0.0", "oci://h:5000/team/foo"),
            ("oci://h/team/foo", "oci://h/team/foo"),
            ("git+https://h/r", "git+https://h/r"),
            ("git@h:team/r.git", "git+ssh://h/team/r.git"),
            ("s3://b/foo-1.0.0.tgz", "s3://b/"),
            ("owner/repo@1.0.0", "https://github.com/owner/repo"),
        ] {
            assert_eq!(SourceLocation::of(source).without_version(), kept, "{source}");
        }
        let digest = format!("oci://h/team/foo@sha256:{}", "a".repeat(64));
        assert_eq!(SourceLocation::of(&digest).without_version(), "oci://h/team/foo");
    }

    #[test]
    fn no_secret_of_a_source_is_shown() {
        assert_eq!(SourceLocation::of("https://a:b@h/x?token=y").shown(), "https://h/x?***");
    }
}
