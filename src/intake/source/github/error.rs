//! Why a package could not be had from a GitHub release.

use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::intake::source::http::HttpError;
use crate::text::Sanitized;

/// Why a package could not be had from a GitHub release, beyond what HTTP says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// The address of the interface is none.
    #[error(
        "{variable} is not the address of a GitHub API: {reason}; it must look like `https://github.example.com/api/v3`"
    )]
    Api {
        /// The variable.
        variable: String,
        /// What is wrong with it, safe to show.
        reason: String,
    },
    /// No such repository.
    #[error("GitHub knows no repository `{repository}`, or does not show it to {}", visible_to(.token))]
    NotFound {
        /// Owner and repository.
        repository: String,
        /// The variable of the token that was shown, or the one that could hold one.
        token: TokenState,
    },
    /// The repository has no release.
    #[error(
        "`{repository}` has no release on GitHub, and `git+https://github.com/{repository}` is no repository that git can read; \
         check the name"
    )]
    NoReleases {
        /// Owner and repository.
        repository: String,
    },
    /// No release of that version.
    #[error("`{repository}` has no release `{version}`; {nearest}")]
    UnknownVersion {
        /// Owner and repository.
        repository: String,
        /// What was asked for, safe to show.
        version: String,
        /// The nearest known ones, as a sentence, safe to show.
        nearest: String,
    },
    /// The release has no package at all, for any machine.
    #[error(
        "release {} of `{repository}` has no package; {files}; and its files cannot be had by git either; ask its author to publish one",
        Sanitized(.tag)
    )]
    NoPackages {
        /// Owner and repository.
        repository: String,
        /// The release.
        tag: String,
        /// What it has, as a sentence, safe to show.
        files: String,
    },
    /// The release has no package for this machine.
    #[error(
        "release {} of `{repository}` has no package for {platform}; {files}; to install from its files write `git+https://github.com/{repository}`",
        Sanitized(.tag)
    )]
    NoPackage {
        /// Owner and repository.
        repository: String,
        /// The release.
        tag: String,
        /// This platform.
        platform: String,
        /// What it has, as a sentence, safe to show.
        files: String,
    },
    /// Several files of the release could be the package.
    #[error(
        "release {} of `{repository}` has several packages, and nothing says which is meant: {files}; install one by its URL, such as `{url}`",
        Sanitized(.tag)
    )]
    SeveralPackages {
        /// Owner and repository.
        repository: String,
        /// The release.
        tag: String,
        /// Their names, safe to show.
        files: String,
        /// The URL of one of them, safe to show.
        url: String,
    },
    /// No more requests are answered for now.
    #[error("GitHub answers no more requests{}: its limit is used up; {}", limited_until(.until), more(.token))]
    RateLimit {
        /// Until when, where it says so.
        until: Option<String>,
        /// The variable of the token that was shown, or the one that could hold one.
        token: TokenState,
    },
    /// The token is not accepted.
    #[error("GitHub refuses the token in {variable} (HTTP 401); renew it, or unset {variable} for what everybody may see")]
    Token {
        /// The variable.
        variable: String,
    },
    /// A token would go over an open line.
    #[error("the token in {variable} is not sent to `{url}`: only over https; mend the address, or unset {variable}")]
    OpenLine {
        /// The variable of the token.
        variable: String,
        /// Where it would have gone.
        url: String,
    },
    /// An answer that cannot be understood.
    #[error("GitHub's answer at `{url}` cannot be used: {reason}; check the address of the API, if another one is set")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong, safe to show.
        reason: String,
    },
    /// Bytes that are not those that were named.
    #[error(
        "`{file}` is not what {stated_by} says: expected sha256:{expected}, got sha256:{actual}; fetch it again, and if that does not help ask its author"
    )]
    Digest {
        /// The package.
        file: String,
        /// Who said what the digest should be.
        stated_by: String,
        /// What it should be.
        expected: Sha256Digest,
        /// What it is.
        actual: Sha256Digest,
    },
    /// The checksums file is there and cannot be had.
    #[error(
        "the checksums `{at}` cannot be had, so that nothing is known of the package; {}name its digest with `--digest sha256:...`",
        if source.kind() == ErrorKind::Unavailable { "try again later, or " } else { "ask their author, or " }
    )]
    Checksums {
        /// The file's URL.
        at: String,
        /// Why not.
        #[source]
        source: Box<HttpError>,
    },
    /// The checksums file says nothing that can be used.
    #[error(
        "the checksums `{at}` cannot be used: {reason}; ask their author, or name the package's digest with `--digest sha256:...`"
    )]
    BadChecksums {
        /// The file's URL.
        at: String,
        /// What is wrong.
        reason: String,
    },
}

impl Classified for GitHubError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Api { .. } => ErrorKind::Usage,
            Self::NotFound { .. }
            | Self::NoReleases { .. }
            | Self::UnknownVersion { .. }
            | Self::NoPackages { .. }
            | Self::NoPackage { .. } => ErrorKind::NotFound,
            Self::RateLimit { .. } => ErrorKind::Unavailable,
            Self::Checksums { source, .. } => source.kind().of_proof(),
            Self::Digest { .. } | Self::BadChecksums { .. } => ErrorKind::Unverified,
            Self::SeveralPackages { .. } | Self::Token { .. } | Self::OpenLine { .. } | Self::Answer { .. } => {
                ErrorKind::Failed
            }
        }
    }
}

/// A token for GitHub, by the variable that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// This variable's was shown.
    Shown(String),
    /// None was shown; this variable could hold one.
    Absent(String),
    /// A user name and a password were shown.
    Password,
}

fn visible_to(token: &TokenState) -> String {
    match token {
        TokenState::Shown(variable) => {
            format!("the owner of the token in {variable}; check the name, or what the token may see")
        }
        TokenState::Absent(variable) => {
            format!("everybody; check the name, or for a private one put a token into {variable}")
        }
        TokenState::Password => "the user that was named; check the names".to_owned(),
    }
}

fn limited_until(until: &Option<String>) -> String {
    until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default()
}

fn more(token: &TokenState) -> String {
    match token {
        TokenState::Absent(variable) => format!("a token in {variable} has a limit of its own, which is higher"),
        _ => "try again then".to_owned(),
    }
}

impl GitHubError {
    /// Whether there is no package to be had, so that the git repository is asked: the one way to those that only git may see.
    pub(super) fn leaves_git(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::NoReleases { .. } | Self::NoPackages { .. })
    }
}
