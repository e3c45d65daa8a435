//! What an argument that is no source was probably meant to be: a slip of the fingers in a URL's beginning, a registry's host without
//! `oci://`, or a path one letter off.

use std::fmt;
use std::fs;
use std::path::Path;

use url::Url;

use super::grammar::{BUILT_IN_SCHEMES, OciReference};
use crate::intake::package::is_archive_name;
use crate::spelling::{MOST, did_you_mean, distance};
use crate::text;

/// As many entries of a directory are looked at.
const ENTRIES: usize = 10_000;

/// What was probably meant, safe to show; often nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suggestion(Vec<String>);

impl Suggestion {
    /// What `argument`, which is there under no reading of it, may have been meant to be.
    pub(super) fn of(argument: &str) -> Self {
        let mut meant = beginning(argument);
        if meant.is_empty() {
            meant = host(argument);
        }
        // A bare name could be read as that of a plugin.
        let here = |path: String| if path.contains('/') { path } else { format!("./{path}") };
        meant.extend(similar_paths(argument, |path| is_package(path) || path.is_dir()).into_iter().map(here));
        Self::from(meant)
    }

    /// What an argument that is to be a reference, and is none, may have been meant to be.
    pub(super) fn reference(argument: &str) -> Self {
        let meant = beginning(argument).into_iter().chain(host(argument));
        Self::from(meant.filter(|meant| meant.starts_with("oci://")).collect())
    }

    /// What a URL of the unknown `scheme` may have been meant to be, of the schemes that are `known`.
    pub(super) fn scheme(argument: &str, scheme: &str, known: &[&str]) -> Self {
        let rest = argument.get(scheme.len()..).unwrap_or_default();
        let near = known.iter().filter(|known| !known.ends_with("...") && distance(scheme, known) <= max_typos(scheme));
        Self::from(near.map(|known| format!("{known}{rest}")).collect())
    }

    fn from(mut meant: Vec<String>) -> Self {
        meant.truncate(MOST);
        Self(meant.iter().map(|meant| text::masked_source(meant)).collect())
    }
}

/// `; did you mean ...?`, or nothing.
impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        did_you_mean(&self.0).map_or(Ok(()), |question| write!(f, "; {question}"))
    }
}

/// `argument` as it may be shown: a URL whose beginning has a slip in it may hold a password all the same.
pub(super) fn shown(argument: &str) -> String {
    let rest = |url: &str| url.split_once("://").map_or_else(String::new, |(_, rest)| rest.to_owned());
    match beginning(argument).first() {
        Some(url) => {
            let slip = argument.strip_suffix(&rest(url)).unwrap_or_default();
            format!("{}{}", text::sanitized(slip), rest(&text::masked_source(url)))
        }
        None => text::sanitized(argument).into_owned(),
    }
}

/// A scheme that lacks its colon or a slash.
fn beginning(argument: &str) -> Vec<String> {
    let end = argument.find([':', '/']).unwrap_or(argument.len());
    let (scheme, rest) = argument.split_at(end);
    let scheme = scheme.to_ascii_lowercase();
    let known = BUILT_IN_SCHEMES.contains(&scheme.as_str()) || scheme.starts_with("git+");
    let slipped = rest.starts_with(':') || rest.starts_with("//");
    let rest = rest.trim_start_matches([':', '/']);
    if known && slipped && !rest.is_empty() { vec![format!("{scheme}://{rest}")] } else { Vec::new() }
}

/// A host without a scheme: a registry's, a web server's, or ssh's without a user.
fn host(argument: &str) -> Vec<String> {
    let Some((host, path)) = argument.split_once('/') else { return Vec::new() };
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let is_name = name == "localhost" || (name.contains('.') && !name.starts_with('.'));
    let parses = Url::parse(&format!("https://{name}/")).is_ok_and(|url| url.path() == "/" && url.username().is_empty());
    if path.is_empty() || Path::new(host).is_dir() || name.is_empty() || !parses || !(is_name || port.is_some()) {
        return Vec::new();
    }
    match port {
        Some(port) if !is_port(port) => {
            return if is_name { vec![format!("git@{argument}")] } else { Vec::new() };
        }
        Some(_) | None => {}
    }
    let reference = format!("oci://{argument}");
    let is_reference = !is_archive_name(path) && OciReference::parse(&reference).is_ok();
    let scheme = if name == "localhost" || port.is_some_and(|port| port != "443") { "http" } else { "https" };
    let mut meant: Vec<String> = is_reference.then_some(reference).into_iter().collect();
    // A tag behind the path is a registry's.
    if !is_reference || !path.contains(':') {
        meant.push(format!("{scheme}://{argument}"));
    }
    meant
}

/// Whether `path` has the name of a package.
pub fn is_package(path: &Path) -> bool {
    path.file_name().is_some_and(|name| is_archive_name(&name.to_string_lossy()))
}

/// Paths whose last part is nearly that of the path `argument`, of those that are `offered`; the nearest first.
pub fn similar_paths(argument: &str, offered: impl Fn(&Path) -> bool) -> Vec<String> {
    let path = Path::new(argument);
    let (Some(name), Some(parent)) = (path.file_name().and_then(|name| name.to_str()), path.parent()) else {
        return Vec::new();
    };
    let (name, _) = name.split_once('@').unwrap_or((name, ""));
    let here = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let stem = name.trim_end_matches(".tgz").trim_end_matches(".tar.gz");
    let mut near: Vec<(usize, String)> = fs::read_dir(here)
        .into_iter()
        .flatten()
        .take(ENTRIES)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let own = entry.file_name().into_string().ok()?;
            let far = match distance(name, &own) {
                far if far <= max_typos(name) => far,
                // The version was left out.
                _ if is_archive_name(&own) && own.strip_prefix(stem)?.starts_with('-') => MOST,
                _ => return None,
            };
            (own != name && offered(&entry.path())).then_some((far, own))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, own)| parent.join(&own).to_string_lossy().into_owned()).collect()
}

/// How many slips of the fingers a word of that length may have.
fn max_typos(word: &str) -> usize {
    match word.chars().count() {
        0..=2 => 0,
        3 => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_source_is_recognised() {
        for (argument, want) in [
            ("oci:/h/x", &["oci://h/x"][..]),
            ("oci:h/x", &["oci://h/x"]),
            ("https:/h/x.tgz", &["https://h/x.tgz"]),
            ("HTTPS:/h/x", &["https://h/x"]),
            ("http//h/x.tgz", &["http://h/x.tgz"]),
            ("https///h/x", &["https://h/x"]),
            ("git+https:/h/x", &["git+https://h/x"]),
            ("ssh:/git@h/x", &["ssh://git@h/x"]),
            ("https:/ann:pw@h/x?t=1", &["https://h/x?***"]),
            ("localhost:5000/x", &["oci://localhost:5000/x", "http://localhost:5000/x"]),
            ("localhost:5000/x:1.0.0", &["oci://localhost:5000/x:1.0.0"]),
            ("registry.example.com/team/x", &["oci://registry.example.com/team/x", "https://registry.example.com/team/x"]),
            ("ghcr.io/team/x:1.0.0", &["oci://ghcr.io/team/x:1.0.0"]),
            ("example.com/x-1.0.0.tgz", &["https://example.com/x-1.0.0.tgz"]),
            ("127.0.0.1:8080/x.tgz", &["http://127.0.0.1:8080/x.tgz"]),
            ("github.com:owner/repo", &["git@github.com:owner/repo"]),
            ("no/such/path", &[]),
            ("./x.y/z", &[]),
            ("../x", &[]),
            ("http", &[]),
            ("https:", &[]),
            ("", &[]),
        ] {
            assert_eq!(Suggestion::of(argument).0, want, "{argument}");
        }
        for (argument, want) in [
            ("oci:/h/x", &["oci://h/x"][..]),
            ("localhost:5000/x", &["oci://localhost:5000/x"]),
            ("https://h/x", &[]),
            ("x", &[]),
        ] {
            assert_eq!(Suggestion::reference(argument).0, want, "{argument}");
        }
        assert_eq!(shown("https:/ann:pw@h/x?t=1"), "https:/h/x?***");
        assert_eq!(shown("a/b"), "a/b");
        let known = ["git", "git+...", "http", "https", "oci", "s3", "ssh"];
        for (argument, scheme, want) in [
            ("htps://h/x", "htps", &["http://h/x", "https://h/x"][..]),
            ("httsp://h/x", "httsp", &["http://h/x", "https://h/x"]),
            ("ocl://h/x", "ocl", &["oci://h/x"]),
            ("gs://h/x", "gs", &[]),
        ] {
            assert_eq!(Suggestion::scheme(argument, scheme, &known).0, want, "{argument}");
        }
    }

    #[test]
    fn a_path_one_letter_off_names_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["hello", "other"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        for name in ["hello-1.0.0.tgz", "hella"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for (name, want) in [
            ("helo", &["hello"][..]),
            ("hlelo", &["hello"]),
            ("hello-1.0.1.tgz", &["hello-1.0.0.tgz"]),
            ("hello.tgz", &["hello-1.0.0.tgz"]),
            ("something", &[]),
        ] {
            let want: Vec<String> = want.iter().map(|name| at(name)).collect();
            assert_eq!(Suggestion::of(&at(name)).0, want, "{name}");
        }
        assert_eq!(Suggestion::of(&at("nowhere/helo")), Suggestion::default());
    }
}
