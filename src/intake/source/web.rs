//! An http(s) URL whose name does not say what it is: a package where the server says so, else a git repository.

use std::path::Path;

use super::error::SourceError;
use super::grammar::{GitUrl, Source};
use super::http::{Client, HttpError};
use super::options::FetchOptions;
use super::spool::SpoolFile;
use super::weburl::WebUrl;
use super::{archive_url, git};
use crate::intake::package::FetchedPackage;
use crate::report::Report;

/// More than this is never read of a repository's greeting.
const GREETING: u64 = 16 << 20;

/// Tries the package, then the repository.
pub(super) fn fetch(
    source: &Source,
    url: &WebUrl,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    let no_package = match archive_url::fetch(source, url, options, spool, report) {
        Err(error @ SourceError::NotAnArchive { .. }) => error,
        // A repository need not have a page of its own: git's own question tells whether there is one.
        Err(error @ SourceError::Http(HttpError::NotFound { .. })) if greets_as_git(url, options, report)? => error,
        other => return other,
    };
    SpoolFile::discard(spool)?;
    let repository = GitUrl::Web(url.clone());
    options.check(&Source::Git(repository.clone()))?;
    match git::fetch(source, &repository, options, spool, report) {
        // Neither: the answer about the package is the one that the user can do something with.
        Err(error) if error.is_no_repository() => Err(no_package),
        other => other,
    }
}

/// Whether the server answers git's first question at `url`, or asks who is asking.
fn greets_as_git(url: &WebUrl, options: &FetchOptions, report: &dyn Report) -> Result<bool, SourceError> {
    let question = url.with_path_suffix("/info/refs").with_query("service=git-upload-pack");
    match Client::new(url, options, report)?.get(&question, GREETING) {
        Ok(_) | Err(HttpError::Unauthorized { .. } | HttpError::TooLarge { .. }) => Ok(true),
        Err(_) => Ok(false),
    }
}
