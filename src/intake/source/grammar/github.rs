//! The names of repositories on GitHub, and the URLs that mean them.

use percent_encoding::percent_decode_str;

use super::Source;
use crate::intake::source::weburl::WebUrl;

/// What `https://github.com/owner/repo` means, which stands in the instructions of most plugins; behind it may be a slash, `.git` or
/// `/releases/tag/<tag>` and nothing more.
pub(super) fn of_url(url: &WebUrl) -> Option<Source> {
    let plain = url.credentials().is_none() && url.url().query().is_none();
    if !plain || url.url().origin().ascii_serialization() != "https://github.com" {
        return None;
    }
    let path = url.url().path().trim_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let (owner, repo, version) = match parts.as_slice() {
        [owner, repo] => (owner, repo.strip_suffix(".git").unwrap_or(repo), None),
        [owner, repo, "releases", "tag", tag] => {
            (owner, *repo, Some(percent_decode_str(tag).decode_utf8().ok()?.into_owned()))
        }
        _ => return None,
    };
    let tag = |tag: &String| !tag.is_empty() && !tag.starts_with('-') && !tag.chars().any(char::is_control);
    let all = is_part(owner) && is_part(repo) && version.as_ref().is_none_or(tag);
    all.then(|| Source::GitHub { owner: (*owner).to_owned(), repo: repo.to_owned(), version })
}

/// A part of a GitHub path. `.` and `..` are paths, and a leading dash is an option.
pub(super) fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 100
        && !matches!(part, "." | "..")
        && !part.starts_with('-')
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
