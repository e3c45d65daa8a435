//! Tags and branches of a remote, and which of them a version means.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;

use super::GitError;
use super::program::Git;
use crate::intake::source::grammar::{GitUrl, is_object_id};
use crate::intake::source::version::{Range, nearest, tag_version};
use crate::text;

/// As many names of branches or tags are shown.
const SHOWN: usize = 10;

/// A tag or branch, by its full name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference(String);

impl Reference {
    /// `refs/tags/v1.0.0`.
    pub(super) fn full(&self) -> &str {
        &self.0
    }

    /// `v1.0.0`, where it is a tag.
    pub(super) fn tag(&self) -> Option<&str> {
        self.0.strip_prefix("refs/tags/")
    }

    /// The name as users type it.
    pub(super) fn into_short(self) -> String {
        short(&self.0).to_owned()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.tag().is_some() { "tag" } else { "branch" };
        write!(f, "{kind} `{}`", text::Sanitized(short(&self.0)))
    }
}

fn short(full: &str) -> &str {
    full.strip_prefix("refs/tags/").or_else(|| full.strip_prefix("refs/heads/")).unwrap_or(full)
}

/// What a version came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChosenRef {
    /// The tag or branch; none where the user named a commit.
    pub(super) reference: Option<Reference>,
    /// The id of the object that the remote named, or that the user did.
    pub(super) id: String,
    /// Whether the user named the commit by its full id.
    pub(super) exact: bool,
}

impl ChosenRef {
    /// Whether `version` named this very tag or commit, rather than a branch or a range, which move.
    pub(super) fn is_exact(&self, version: &str) -> bool {
        let named = |reference: &Reference| {
            let exact = || Range::parse(version).is_ok_and(|range| range.exact().is_some());
            reference.tag().is_some_and(|tag| tag == version || reference.full() == version || exact())
        };
        self.exact || self.reference.as_ref().is_some_and(named)
    }
}

/// The references of a remote.
#[derive(Debug, Default)]
pub(super) struct Refs {
    /// Ids by full name; what an annotated tag points to stands under `<name>^{}`.
    ids: BTreeMap<String, String>,
    /// The branch that `HEAD` points to.
    head: Option<String>,
}

impl Refs {
    /// Asks the remote.
    pub(super) fn list(git: &mut Git<'_>) -> Result<Self, GitError> {
        Ok(Self::read(&String::from_utf8_lossy(&git.ls_remote()?)))
    }

    /// Reads the answer of `git ls-remote --symref`. Lines of another form are passed over: nothing depends on them.
    fn read(answer: &str) -> Self {
        let mut refs = Self::default();
        for (left, name) in answer.lines().filter_map(|line| line.split_once('\t')) {
            if let Some(target) = left.strip_prefix("ref: ") {
                if name == "HEAD" {
                    refs.head = Some(target.to_owned());
                }
            } else if is_object_id(left) && (name == "HEAD" || name.starts_with("refs/")) {
                refs.ids.insert(name.to_owned(), left.to_owned());
            }
        }
        refs
    }

    /// Decides what `version` means: a full commit id, an exact tag, a branch, then a range over tags; without one the highest
    /// release tag, else the default branch.
    pub(super) fn choose(&self, version: Option<&str>, url: &GitUrl) -> Result<ChosenRef, GitError> {
        let Some(version) = version else {
            let highest = self.highest(|version| version.pre.is_empty());
            return highest.or_else(|| self.default_branch()).ok_or_else(|| self.no_default(url));
        };
        if version.is_empty() || version.starts_with('-') || version.chars().any(char::is_control) {
            return Err(GitError::BadVersion { version: text::sanitized(version).into_owned() });
        }
        if is_object_id(version) {
            return Ok(ChosenRef { reference: None, id: version.to_ascii_lowercase(), exact: true });
        }
        // Only names that the remote listed are ever handed to git.
        let named = ["refs/tags/", "refs/heads/"].iter().find_map(|kind| self.named(&format!("{kind}{version}")));
        let full = || if version.starts_with("refs/") { self.named(version) } else { None };
        let ranged = || {
            let range = Range::parse(version).ok()?;
            self.highest(|version| range.matches(version))
        };
        named.or_else(full).or_else(ranged).ok_or_else(|| self.unknown(version, url))
    }

    /// The commit of a choice: what an annotated tag points to.
    pub(super) fn commit_of<'a>(&'a self, choice: &'a ChosenRef) -> &'a str {
        let peeled = choice.reference.as_ref().and_then(|reference| self.ids.get(&format!("{}^{{}}", reference.full())));
        peeled.unwrap_or(&choice.id)
    }

    /// A name under which the remote lists `id`: a tag that points to it, which may be signed, before all others.
    pub(super) fn name_of(&self, id: &str) -> Option<&str> {
        let mut names = self.ids.iter().filter(|(_, own)| *own == id).map(|(name, _)| name.as_str());
        let (first, rest) = (names.next()?, names);
        let tag = std::iter::once(first).chain(rest).find_map(|name| name.strip_suffix("^{}"));
        Some(tag.unwrap_or(first))
    }

    /// The error for a version that is not there, with those that are nearest to it.
    pub(super) fn unknown(&self, version: &str, url: &GitUrl) -> GitError {
        let listed = self.ids.keys().filter(|name| !name.ends_with("^{}"));
        let names = listed.filter_map(|name| name.strip_prefix("refs/tags/").or_else(|| name.strip_prefix("refs/heads/")));
        let nearest = nearest(version, names);
        GitError::UnknownVersion { url: url.to_string(), version: text::sanitized(version).into_owned(), nearest }
    }

    /// The error for a repository that offers nothing by itself: what it has instead, or that it has nothing at all.
    fn no_default(&self, url: &GitUrl) -> GitError {
        let of = |kind: &str| -> Vec<&str> {
            self.ids.keys().filter(|name| !name.ends_with("^{}")).filter_map(|name| name.strip_prefix(kind)).collect()
        };
        let (kind, names) = match (of("refs/heads/"), of("refs/tags/")) {
            (branches, tags) if branches.is_empty() => ("tags", tags),
            (branches, _) => ("branches", branches),
        };
        let url = url.to_string();
        let Some(first) = names.first() else { return GitError::Empty { url } };
        let more = if names.len() > SHOWN { ", ..." } else { "" };
        let shown = names.get(..SHOWN).unwrap_or(&names).join(", ");
        let there = text::sanitized(&format!("the {kind} that are there: {shown}{more}")).into_owned();
        GitError::NoDefault { url, there, first: text::sanitized(first).into_owned() }
    }

    fn named(&self, full: &str) -> Option<ChosenRef> {
        let id = self.ids.get(full)?;
        Some(ChosenRef { reference: Some(Reference(full.to_owned())), id: id.clone(), exact: false })
    }

    fn default_branch(&self) -> Option<ChosenRef> {
        // A detached HEAD has a commit and no name.
        let name = self.head.as_deref().filter(|name| self.ids.contains_key(*name)).unwrap_or("HEAD");
        self.named(name)
    }

    /// Tags that are versions, lowest first; of two spellings of one version the one with `v` is last.
    fn versions(&self) -> Vec<(Version, &str)> {
        let mut versions: Vec<(Version, &str)> = self
            .ids
            .keys()
            .filter(|name| !name.ends_with("^{}"))
            .filter_map(|name| Some((tag_version(name.strip_prefix("refs/tags/")?)?, name.as_str())))
            .collect();
        versions.sort();
        versions
    }

    fn highest(&self, fits: impl Fn(&Version) -> bool) -> Option<ChosenRef> {
        let versions = self.versions();
        let (_, name) = versions.iter().rev().find(|(version, _)| fits(version))?;
        self.named(name)
    }
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(text: &str) {
    let refs = Refs::read(text);
    let _ = (refs.default_branch(), refs.versions(), refs.highest(|_| true));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs() -> Refs {
        let mut answer = "ref: refs/heads/main\tHEAD\n".to_owned();
        let names = [
            "HEAD",
            "refs/heads/main",
            "refs/heads/feature/x",
            "refs/heads/v1",
            "refs/tags/v1.0.0",
            "refs/tags/v1.0.0^{}",
            "refs/tags/v1.2.0",
            "refs/tags/1.2.3",
            "refs/tags/v1.10.0",
            "refs/tags/v2.0.0-rc.1",
            "refs/tags/nightly",
            "refs/tags/--output=x",
            "refs/pull/1/head",
        ];
        for (number, name) in names.iter().enumerate() {
            answer.push_str(&format!("{number:040x}\t{name}\n"));
        }
        answer.push_str("garbage\nzz\trefs/tags/v9.9.9\n");
        Refs::read(&answer)
    }

    fn url() -> GitUrl {
        GitUrl::Plain("ssh://git@h/r".to_owned())
    }

    #[test]
    fn v_a_version_means_a_tag_a_branch_a_commit_or_the_highest_of_a_range() {
        let table = [
            (None, "refs/tags/v1.10.0"),
            (Some("v1.0.0"), "refs/tags/v1.0.0"),
            (Some("1.0.0"), "refs/tags/v1.0.0"),
            (Some("v1.2.3"), "refs/tags/1.2.3"),
            (Some("~1.2"), "refs/tags/1.2.3"),
            (Some("^1"), "refs/tags/v1.10.0"),
            (Some("*"), "refs/tags/v1.10.0"),
            (Some(">=2.0.0-0"), "refs/tags/v2.0.0-rc.1"),
            (Some("v1"), "refs/heads/v1"),
            (Some("1"), "refs/tags/v1.10.0"),
            (Some("nightly"), "refs/tags/nightly"),
            (Some("main"), "refs/heads/main"),
            (Some("feature/x"), "refs/heads/feature/x"),
            (Some("refs/pull/1/head"), "refs/pull/1/head"),
        ];
        for (version, want) in table {
            let choice = refs().choose(version, &url()).unwrap();
            assert_eq!(choice.reference.unwrap().full(), want, "{version:?}");
            assert!(!choice.exact);
        }
        let id = "ABCDEF0123456789abcdef0123456789abcdef01";
        let choice = refs().choose(Some(id), &url()).unwrap();
        assert_eq!((choice.reference, choice.id, choice.exact), (None, id.to_ascii_lowercase(), true));
    }

    #[test]
    fn i5_tags_and_commits_are_exact_branches_and_ranges_are_not() {
        let refs = refs();
        let id = "abcdef0123456789abcdef0123456789abcdef01";
        for (version, exact) in [
            ("v1.0.0", true),
            ("1.0.0", true),
            ("nightly", true),
            ("refs/tags/nightly", true),
            (id, true),
            ("main", false),
            ("v1", false),
            ("~1.2", false),
            ("1", false),
        ] {
            assert_eq!(refs.choose(Some(version), &url()).unwrap().is_exact(version), exact, "{version}");
        }
        let annotated = refs.choose(Some("v1.0.0"), &url()).unwrap();
        assert_ne!(refs.commit_of(&annotated), annotated.id, "the commit, not the tag");
        assert_eq!(refs.commit_of(&annotated), refs.ids["refs/tags/v1.0.0^{}"]);
        let commit = refs.commit_of(&annotated);
        let listed = Refs::read(&format!("{commit}\tHEAD\n{commit}\trefs/tags/v1.0.0^{{}}\n"));
        assert_eq!(listed.name_of(commit), Some("refs/tags/v1.0.0"), "the tag, which may be signed");
    }

    #[test]
    fn v_unknown_versions_name_the_nearest() {
        let nearest = |version: &str| match refs().choose(Some(version), &url()).unwrap_err() {
            GitError::UnknownVersion { nearest, .. } => nearest,
            other => panic!("{other:?}"),
        };
        assert_eq!(nearest("1.2.4"), "the nearest known ones: v1.0.0, v1.2.0, 1.2.3, v1.10.0, v2.0.0-rc.1");
        assert!(nearest("~3").ends_with("v2.0.0-rc.1"));
        assert!(nearest("nihgtly").contains("nightly"));
        assert!(nearest("2").contains("v2.0.0-rc.1"), "a pre-release is named, not taken");
        let empty = Refs::default();
        assert!(matches!(empty.choose(None, &url()), Err(GitError::Empty { .. })));
        assert!(matches!(empty.choose(Some("1"), &url()), Err(GitError::UnknownVersion { .. })));
        for bad in ["--output=x", "-x", "", "a\nb"] {
            assert!(matches!(refs().choose(Some(bad), &url()), Err(GitError::BadVersion { .. })), "{bad:?}");
        }
    }

    #[test]
    fn v_a_head_that_leads_nowhere_is_no_empty_repository() {
        let id = "1".repeat(40);
        let says = |answer: String| match Refs::read(&answer).choose(None, &url()).unwrap_err() {
            GitError::NoDefault { there, first, .. } => (there, first),
            other => panic!("{other:?}"),
        };
        let both = says(format!("{id}\trefs/heads/dev\n{id}\trefs/heads/main\n{id}\trefs/tags/v1.0.0-rc.1\n"));
        assert_eq!(both, ("the branches that are there: dev, main".to_owned(), "dev".to_owned()));
        let tags = says(format!("{id}\trefs/tags/nightly\n{id}\trefs/tags/nightly^{{}}\n"));
        assert_eq!(tags, ("the tags that are there: nightly".to_owned(), "nightly".to_owned()));
        let many: String = (10..40).map(|n| format!("{id}\trefs/heads/b{n}\n")).collect();
        assert!(says(many).0.ends_with("b19, ..."));
        assert!(matches!(Refs::read("").choose(None, &url()), Err(GitError::Empty { .. })));
    }

    #[test]
    fn v_without_release_tags_the_default_branch_is_taken() {
        let id = "1".repeat(40);
        let refs = Refs::read(&format!(
            "ref: refs/heads/dev\tHEAD\n{id}\tHEAD\n{id}\trefs/heads/dev\n{id}\trefs/tags/v1.0.0-rc.1\n"
        ));
        assert_eq!(refs.choose(None, &url()).unwrap().reference.unwrap().full(), "refs/heads/dev");
        let detached = Refs::read(&format!("{id}\tHEAD\n"));
        assert_eq!(detached.choose(None, &url()).unwrap().reference.unwrap().full(), "HEAD");
        assert_eq!(refs.name_of(&id), Some("HEAD"));
    }
}
