//! Where an installed plugin came from and what it follows there: its source and its version apart, since a receipt may have
//! the version in the source's own text (`oci://...:1.0.0`, `name@~1`) or beside it.

use crate::intake::source::version::Range;
use crate::intake::source::{FetchOptions, OciReference, Source};
use crate::store::Receipt;

/// The range that lets pre-releases into a range that it is added to: a range takes them only where it names one itself.
const WITH_PRE_RELEASES: &str = ">=0.0.0-0";

/// A source, and what is followed there.
#[derive(Debug, Clone)]
pub(super) struct TrackedSource {
    /// The source without a version.
    pub(super) source: Source,
    /// The version, range, tag, branch or commit that the user asked for.
    pub(super) version: Option<String>,
    /// Whether the version stood in the source's text.
    embedded: bool,
}

impl TrackedSource {
    /// Takes the version out of `source`, which a receipt with `constraint` names.
    pub(super) fn new(source: Source, constraint: Option<&str>) -> Self {
        let constraint = constraint.map(str::to_owned);
        let (source, inner) = match source {
            Source::Oci(OciReference { registry, repository, tag, digest }) => {
                let digest = digest.map(|digest| format!("sha256:{digest}"));
                (Source::Oci(OciReference { registry, repository, tag: None, digest: None }), digest.or(tag))
            }
            Source::GitHub { owner, repo, version } => (Source::GitHub { owner, repo, version: None }, version),
            Source::Index { index, name, version } => (Source::Index { index, name, version: None }, version),
            other => (other, None),
        };
        Self { source, embedded: inner.is_some(), version: inner.or(constraint) }
    }

    /// Whether the version can mean one thing only, whatever the source says: it does not move.
    pub(super) fn is_exact(&self) -> bool {
        self.version.as_deref().is_some_and(|version| {
            let digest = version.starts_with("sha256:") && matches!(self.source, Source::Oci(_));
            digest || self.source.is_exact(Some(version)) || Range::parse(version).is_ok_and(|range| range.exact().is_some())
        })
    }

    /// Whether the source offers several versions of which the highest that fits is taken, rather than one package.
    pub(super) fn has_versions(&self) -> bool {
        !matches!(self.source, Source::Directory(_) | Source::Archive(_) | Source::Http(_))
    }

    /// Whether it is the URL or file of one package that has the version `installed` in its own name.
    pub(super) fn names_version(&self, installed: Option<&str>) -> bool {
        let Some(version) = installed.filter(|version| !version.is_empty()) else { return false };
        match &self.source {
            Source::Http(_) => {
                let asked = self.source.asked();
                let path = asked.split(['?', '#']).next().and_then(|url| url.splitn(4, '/').nth(3));
                path.is_some_and(|path| path.contains(version))
            }
            Source::Archive(path) => path.file_name().is_some_and(|name| name.to_string_lossy().contains(version)),
            Source::Directory(_)
            | Source::Oci(_)
            | Source::Git(_)
            | Source::Web(_)
            | Source::Getter { .. }
            | Source::GitHub { .. }
            | Source::Index { .. } => false,
        }
    }

    /// The same origin following `version` instead, where that is not in the range that is followed already.
    pub(super) fn moved_to(&self, version: &str) -> Self {
        let wanted = Range::parse(version).ok();
        let wanted = wanted.as_ref().and_then(Range::exact);
        let kept = match (&self.version, wanted) {
            (None, Some(_)) => true,
            (Some(followed), Some(wanted)) => {
                !self.is_exact() && Range::parse(followed).is_ok_and(|followed| followed.matches(wanted))
            }
            // A branch, a commit or a range: that is what the user wants followed from now on.
            (_, None) => false,
        };
        if kept { self.clone() } else { Self { version: Some(version.to_owned()), ..self.clone() } }
    }

    /// What a receipt keeps of it: the source's text, and the constraint beside it.
    pub(super) fn recorded(&self) -> (String, Option<String>) {
        let Some(version) = self.version.as_ref().filter(|_| self.embedded) else {
            return (self.source.asked(), self.version.clone());
        };
        let asked = match &self.source {
            Source::Oci(_) if version.starts_with("sha256:") => format!("{}@{version}", self.source.asked()),
            Source::Oci(reference) => {
                let tag = OciReference { tag: Some(version.clone()), ..reference.clone() };
                return if is_tag(version) { (tag.to_string(), None) } else { (self.source.asked(), Some(version.clone())) };
            }
            other => format!("{}@{version}", other.asked()),
        };
        (asked, None)
    }
}

/// Whether a version may stand as a tag in a reference; a range may not.
fn is_tag(version: &str) -> bool {
    version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+'))
}

/// `range` with pre-releases; without a range, any version.
pub(super) fn with_pre_releases(range: Option<&str>) -> String {
    let Some(range) = range else { return WITH_PRE_RELEASES.to_owned() };
    if Range::parse(range).is_err() {
        // A tag or a branch.
        return range.to_owned();
    }
    let groups: Vec<String> = range.split("||").map(|group| format!("{} {WITH_PRE_RELEASES}", group.trim())).collect();
    groups.join(" || ")
}

/// The options of a fetch of `version` from `source`. With `lenient`, where one command goes to many sources, what speaks of a
/// network is left out for a local one.
pub(super) fn options_for(options: &FetchOptions, source: &Source, version: Option<String>, lenient: bool) -> FetchOptions {
    if lenient && !source.is_remote() {
        return FetchOptions {
            version,
            wanted: options.wanted,
            http: options.http.clone(),
            limits: options.limits.clone(),
            ..FetchOptions::default()
        };
    }
    FetchOptions { version, ..options.clone() }
}

/// The version of a receipt, where it is one.
pub(super) fn installed_version(receipt: &Receipt) -> Option<semver::Version> {
    receipt.version.as_deref().and_then(|version| semver::Version::parse(version).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::source::SourceContext;

    fn origin(asked: &str, constraint: Option<&str>) -> TrackedSource {
        TrackedSource::new(Source::parse(asked, &SourceContext::default()).unwrap(), constraint)
    }

    #[test]
    fn i5_exact_versions_do_not_move_and_ranges_do() {
        let digest = format!("oci://h/p@sha256:{}", "a".repeat(64));
        for (asked, constraint, exact) in [
            ("oci://h/p:1.0.0", None, true),
            ("oci://h/p:latest", None, false),
            (digest.as_str(), None, true),
            ("oci://h/p", Some("~1"), false),
            ("git+https://h/r", Some("v1.0.0"), true),
            ("git+https://h/r", Some("abcdef0123456789abcdef0123456789abcdef01"), true),
            ("git+https://h/r", Some("main"), false),
            ("git+https://h/r", None, false),
            ("name@1.0.0", None, true),
            ("name@~1", None, false),
        ] {
            let origin = origin(asked, constraint);
            assert_eq!(origin.is_exact(), exact, "{asked} {constraint:?}");
            let (recorded, beside) = origin.recorded();
            assert_eq!((recorded.as_str(), beside.as_deref()), (asked, constraint), "what was asked for is kept");
        }
    }

    #[test]
    fn another_version_is_kept_where_the_range_does_not_hold_it() {
        for (asked, constraint, to, recorded, beside) in [
            ("git+https://h/r", Some("~1"), "1.0.5", "git+https://h/r", Some("~1")),
            ("git+https://h/r", Some("~1"), "2.0.0", "git+https://h/r", Some("2.0.0")),
            ("git+https://h/r", None, "2.0.0", "git+https://h/r", None),
            ("git+https://h/r", None, "main", "git+https://h/r", Some("main")),
            ("git+https://h/r", Some("1.0.0"), "2.0.0", "git+https://h/r", Some("2.0.0")),
            ("oci://h/p:1.0.0", None, "2.0.0", "oci://h/p:2.0.0", None),
            ("oci://h/p:1.0.0", None, "~2", "oci://h/p", Some("~2")),
            ("name@1.0.0", None, "2.0.0", "name@2.0.0", None),
        ] {
            let moved = origin(asked, constraint).moved_to(to).recorded();
            assert_eq!((moved.0.as_str(), moved.1.as_deref()), (recorded, beside), "{asked} {constraint:?} to {to}");
        }
    }

    #[test]
    fn pre_releases_come_into_a_range() {
        for (range, version, fits) in [
            (None, "2.0.0-rc.1", true),
            (Some("~1.2"), "1.2.9-rc.1", true),
            (Some("~1.2"), "1.3.0-rc.1", false),
            (Some("~1.2 || ^3"), "3.1.0-rc.1", true),
            (Some("1 - 2"), "2.5.0-a", true),
            (Some("1.x"), "1.9.0", true),
        ] {
            let range = Range::parse(&with_pre_releases(range)).unwrap();
            assert_eq!(range.matches(&semver::Version::parse(version).unwrap()), fits, "{range} {version}");
        }
        assert_eq!(with_pre_releases(Some("main")), "main");
    }
}
