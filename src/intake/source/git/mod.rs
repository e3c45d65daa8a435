//! Packages out of git repositories, through the `git` program: its transports, keys, proxies and credential helpers come with
//! it, at no cost in code.
//!
//! What makes that safe: one scheme is allowed for each fetch and nothing is run for it (no hooks, no `ext::`, no
//! submodules); names that a remote or a user chose never stand where git looks for options; and there is no checkout: the
//! files come out of the commit itself, so that no filter, attribute or line ending of this machine changes them. Whether a
//! tag's or a commit's signature is good is [`crate::intake::provenance`]'s to say; here it is only taken apart.

mod complaint;
mod error;
mod object;
mod program;
mod refs;
mod tree;

use std::fs;
use std::path::Path;

pub use error::GitError;

use self::program::Git;
use self::refs::Reference;
use super::ResolvedVersion;
use super::error::SourceError;
use super::grammar::{GitUrl, Source};
use super::options::FetchOptions;
use super::spool::SpoolFile;
use crate::intake::package::{FetchedPackage, GitOrigin, PackageOrigin, Vouched};
use crate::report::{Report, ReportEvent};
use crate::text;

/// Where the wanted object is kept in the repository of a fetch.
const WANTED: &str = "refs/plugsmith/wanted";

/// Makes a package from the commit that `options.version` names at `url`: an exact tag, a branch, a full commit id, or a range
/// over tags; without one the highest release tag, else the default branch.
pub(super) fn fetch(
    source: &Source,
    url: &GitUrl,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    let mut git = Git::new(url, options, spool)?;
    let what = format!("fetching {url}");
    report.event(ReportEvent::Started { what: &what, total: None });
    let resolved = git.real_url()?;
    let refs = refs::Refs::list(&mut git)?;
    let choice = refs.choose(options.version.as_deref(), url)?;
    git.init(&choice)?;
    let outcome = fetch_objects(&git, &refs, &choice, url);
    report.event(ReportEvent::Finished);
    outcome?;

    let commit = git.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{WANTED}^{{commit}}")])?;
    if choice.exact && commit != choice.id {
        return Err(GitError::NotACommit { url: url.to_string(), id: choice.id }.into());
    }
    let signed = object::signed(&git, &choice, &commit)?;
    let file = tree::pack(&git, &commit, SpoolFile::create(spool)?, &options.limits, report)?;
    let (path, digest, size) = file.finish()?;
    // What is not needed any more takes no room while the package is unpacked; a failure leaves it to the spool's owner.
    let _ = fs::remove_dir_all(git.directory());

    let mut fetched = FetchedPackage::new(path, file_name(url, &commit), digest, size);
    fetched.provenance_at = choice.reference.as_ref().map_or_else(|| format!("commit {commit}"), ToString::to_string);
    fetched.origin = PackageOrigin {
        asked: source.asked(),
        resolved,
        revision: Some(commit.clone()),
        git: Some(GitOrigin { commit, reference: choice.reference.map(Reference::into_short), signed }),
        ..PackageOrigin::default()
    };
    if choice.exact {
        fetched.vouched = Vouched::ObjectId;
    }
    Ok(fetched)
}

/// What the version stands for at `url` now. Nothing is fetched.
pub(super) fn resolve(url: &GitUrl, options: &FetchOptions, directory: &Path) -> Result<ResolvedVersion, SourceError> {
    let mut git = Git::new(url, options, directory)?;
    let refs = refs::Refs::list(&mut git)?;
    let choice = refs.choose(options.version.as_deref(), url)?;
    let exact = options.version.as_deref().is_some_and(|version| choice.is_exact(version));
    let revision = refs.commit_of(&choice).to_owned();
    Ok(ResolvedVersion {
        version: choice.reference.map(Reference::into_short),
        revision: Some(revision),
        archive: None,
        exact,
    })
}

/// Fetches the chosen object, and of its history no more than must be.
fn fetch_objects(git: &Git, refs: &refs::Refs, choice: &refs::ChosenRef, url: &GitUrl) -> Result<(), GitError> {
    let named = choice.reference.as_ref().map(Reference::full).or_else(|| refs.name_of(&choice.id));
    let wanted = named.unwrap_or(&choice.id);
    let first = match git.fetch(&[&format!("+{wanted}:{WANTED}")], true) {
        // Servers without a git of their own hand out files, and cannot leave out history.
        Err(GitError::Failed { stderr, .. }) if stderr.contains("shallow") => {
            git.fetch(&[&format!("+{wanted}:{WANTED}")], false)
        }
        other => other,
    };
    if named.is_some() {
        return first;
    }
    if first.is_ok() {
        return Ok(());
    }
    // The server hands out no single commits: look for it in everything that has a name.
    git.fetch(&["+refs/heads/*:refs/plugsmith/heads/*", "+refs/tags/*:refs/plugsmith/tags/*"], false)?;
    git.line(&["update-ref", "--", WANTED, &choice.id]).map(drop).map_err(|_| refs.unknown(&choice.id, url))
}

/// A name for messages and for the file that is kept: the repository's, and the beginning of the commit's id.
fn file_name(url: &GitUrl, commit: &str) -> String {
    let text = match url {
        GitUrl::Web(url) => url.url().path().to_owned(),
        GitUrl::Plain(url) => url.clone(),
    };
    let last = text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let name: String = last
        .strip_suffix(".git")
        .unwrap_or(last)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .take(100)
        .collect();
    text::sanitized(&format!("{name}-{}.tgz", commit.get(..12).unwrap_or(commit))).into_owned()
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(data: &[u8]) {
    object::read_foreign(data);
    tree::read_foreign(data);
    refs::read_foreign(&String::from_utf8_lossy(data));
}

#[cfg(test)]
mod tests;
