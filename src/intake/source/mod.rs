//! Where packages come from: what an install argument means, and how its bytes get into a private spool.
//!
//! [`Source::parse`] decides by one grammar (`docs/spec/sources.md`, section 1), in one order, what an argument is; [`fetch`] brings the
//! package's bytes into a directory that only this user can enter, hashing them on the way, with the provenance that lies
//! beside them. Nothing here decides whether a package may be installed: that is [`crate::intake::provenance`]'s.

mod archive_url;
mod error;
mod getter;
mod git;
mod github;
mod grammar;
mod http;
mod local;
mod oci;
mod options;
mod spool;
mod suggestion;
pub mod version;
mod web;
mod weburl;

use std::path::Path;

pub use error::SourceError;
pub use getter::{GetterDownload, fetch_by_getter};
pub use git::GitError;
pub use github::{GitHubAccess, GitHubError, TokenState as GitHubToken};
pub use grammar::{GetterUrl, GitUrl, OciReference, Source, SourceContext};
pub use http::{HttpError, ServerMessage, TlsCause};
pub use oci::{OciError, Publication, Pushed, push};
pub use options::{FetchOptions, Secret, Wanted};
pub use suggestion::Suggestion;
pub use suggestion::{is_package, similar_paths};
pub use weburl::WebUrl;

use crate::digest::Sha256Digest;
use crate::intake::package::FetchedPackage;
use crate::report::Report;

/// Fetches the package of `source` into `spool`, a directory that only this user can enter, and what lies beside it.
///
/// An option that this kind of source cannot honour is refused, never ignored. The archive is nobody's yet: it has been
/// hashed, not verified.
///
/// # Errors
/// The source is not there, forbidden, broken or too large; it cannot honour an option; the spool cannot be written. A local
/// directory is not fetched: [`SourceError::Directory`]; nor is what only a plugin can get: see [`fetch_by_getter`].
pub fn fetch(
    source: &Source,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    options.check(source)?;
    match source {
        Source::Directory(path) => Err(SourceError::Directory { path: path.clone() }),
        Source::Archive(path) => local::fetch(path, options, spool, report),
        Source::Http(url) => archive_url::fetch(source, url, options, spool, report),
        Source::Web(url) => web::fetch(source, url, options, spool, report),
        Source::Git(url) => git::fetch(source, url, options, spool, report),
        Source::Oci(reference) => oci::fetch(reference, options, spool, report),
        Source::GitHub { owner, repo, version } => {
            github::fetch(source, owner, repo, version.as_deref(), options, spool, report)
        }
        Source::Getter { .. } | Source::Index { .. } => {
            let what = source.to_string();
            Err(SourceError::Unsupported { meant: Suggestion::of(&what), what, kind: source.kind() })
        }
    }
}

/// What a source would give now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedVersion {
    /// The tag or branch, where one was found.
    pub version: Option<String>,
    /// The commit, or the digest of the manifest, where the source has such: what the receipt of an installed plugin keeps.
    pub revision: Option<String>,
    /// The digest of the package, where the source says it.
    pub archive: Option<Sha256Digest>,
    /// Whether the version names this very thing, an exact tag or a commit, so that an update does not move it.
    pub exact: bool,
}

/// Looks up what `source` would give now, without fetching it; `None` where only fetching tells. `directory` is a private
/// place to work in.
///
/// # Errors
/// As [`fetch`].
pub fn resolve(
    source: &Source,
    options: &FetchOptions,
    directory: &Path,
    report: &dyn Report,
) -> Result<Option<ResolvedVersion>, SourceError> {
    options.check(source)?;
    match source {
        Source::Git(url) => git::resolve(url, options, directory).map(Some),
        Source::Oci(reference) => oci::resolve(reference, options, report).map(Some),
        Source::GitHub { owner, repo, version } => {
            github::resolve(owner, repo, version.as_deref(), options, directory, report).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether the web server of `source` says that it still has what bore `validator`, so that nothing need be downloaded to know.
/// False where it does not say so, or where the source is no URL of a package.
pub fn is_unchanged(source: &Source, validator: &str, options: &FetchOptions, report: &dyn Report) -> bool {
    let (Source::Http(url) | Source::Web(url)) = source else { return false };
    options.check(source).is_ok()
        && http::Client::new(url, options, report).is_ok_and(|client| client.is_unchanged(url, validator))
}

/// Whether the package that came from `resolved`, the URL of a file of a GitHub release, is for every platform, as far as its
/// name says. What came out of its git repository is.
pub fn is_for_any_platform(resolved: &str) -> bool {
    resolved.starts_with("git+") || github::is_for_any_platform(resolved)
}

/// The bytes at an https URL that is no package: keys, for one. At most `limit` of them; they are nobody's yet.
///
/// # Errors
/// `url` is no https URL; an option cannot be honoured; the server fails, is not there, or sends more.
pub fn download(url: &str, options: &FetchOptions, limit: u64, report: &dyn Report) -> Result<Vec<u8>, SourceError> {
    let url = grammar::https_url(url)?;
    options.check(&Source::Http(url.clone()))?;
    Ok(http::Client::new(&url, options, report)?.get(&url, limit)?)
}

/// Hashes the package at `path` where it lies, and reads the provenance beside it where `options` want one. It is for looking
/// at alone: a package that is to be installed is [fetched](fetch).
///
/// # Errors
/// The package is not there, no regular file, or cannot be read; so with its provenance, but for one that is not there.
pub fn examine(path: &Path, options: &FetchOptions, report: &dyn Report) -> Result<FetchedPackage, SourceError> {
    local::examine(path, options, report)
}

/// The end-to-end tests' server, for the tests of this module too.
/// Reads `data` as everything that a server, a repository or another program's file may say, and as what a user may name a source or a
/// version. It is for the fuzz targets, which reach these readers by no other way: whatever the bytes, none of them may panic.
#[doc(hidden)]
pub fn read_foreign(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Source::parse(&text, &SourceContext::default());
    let _ = version::Range::parse(&text);
    git::read_foreign(data);
    github::read_foreign(data);
    http::read_foreign(&text);
    oci::read_foreign(data);
}

#[cfg(test)]
#[path = "../../../crates/tool/tests/suite/support/http_server.rs"]
mod http_server;
