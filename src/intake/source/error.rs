//! Why a source could not be understood or fetched.

use std::io;
use std::path::PathBuf;

use super::git::GitError;
use super::github::GitHubError;
use super::http::{self, HttpError};
use super::oci::OciError;
use super::suggestion::{self, Suggestion};
use crate::error::{Classified, ErrorKind};

/// Why a source could not be understood or fetched. No message holds a user name, a password or the query of a URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The argument is empty, or holds characters that no source has.
    #[error("`{argument}` is no source: it is empty, or holds control characters or spaces at its ends")]
    Malformed {
        /// The argument, safe to show.
        argument: String,
    },
    /// Nothing of that name is there.
    #[error(
        "`{argument}` is not there: no such file or directory, and it is no URL, no `oci://` reference, no `owner/repo` and no \
         plugin name; check the path, or write the source as a URL{meant}"
    )]
    NotFound {
        /// The argument, safe to show.
        argument: String,
        /// What was probably meant.
        meant: Suggestion,
    },
    /// A path that cannot be looked at: whether something is there is not known.
    #[error("cannot look at `{}`", path.display())]
    Look {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that is no package.
    #[error("`{}` is not a package: a package is a file called `*.tgz` or `*.tar.gz`, or a directory with a `plugin.yaml`", path.display())]
    NotAPackage {
        /// The file.
        path: PathBuf,
    },
    /// `file://` was given.
    #[error("`{argument}`: file:// is refused; give the path itself, or `git+file://` for a git repository")]
    FileUrl {
        /// The argument, safe to show.
        argument: String,
    },
    /// Nobody serves the scheme.
    #[error("`{argument}`: nobody serves the scheme `{scheme}`; known schemes: {known}{meant}")]
    UnknownScheme {
        /// The argument, safe to show.
        argument: String,
        /// Its scheme, safe to show.
        scheme: String,
        /// The schemes that are served, separated by commas.
        known: String,
        /// What was probably meant.
        meant: Suggestion,
    },
    /// A URL or reference that breaks the rules of its kind.
    #[error("`{argument}` is not a valid {kind}: {reason}")]
    BadReference {
        /// The argument, safe to show.
        argument: String,
        /// What it was taken for.
        kind: &'static str,
        /// The rule that it breaks.
        reason: String,
    },
    /// An option that the source cannot honour.
    #[error("`{option}` cannot be used with `{what}`: {reason}")]
    Option {
        /// The option, as on the command line.
        option: &'static str,
        /// The source, safe to show.
        what: String,
        /// Why not.
        reason: &'static str,
    },
    /// A package of another version than was asked for.
    #[error(
        "`{what}` is version {found}, not `{wanted}`, which was asked for; there is no other in one package: ask for that version, or name the right package"
    )]
    WrongVersion {
        /// The source, safe to show.
        what: String,
        /// What was asked for, safe to show.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// This kind of source is known but cannot be fetched.
    #[error(
        "`{what}` is no file or directory here, and cannot be had as {kind}; give a path, a URL, an `oci://` reference or `owner/repo`{meant}"
    )]
    Unsupported {
        /// The source, safe to show.
        what: String,
        /// Its kind, with an article.
        kind: &'static str,
        /// What was probably meant.
        meant: Suggestion,
    },
    /// A local directory was to be fetched.
    #[error("`{}` is a directory: it is linked or copied, not fetched", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A local package cannot be read.
    #[error("cannot read the package `{}`", path.display())]
    Read {
        /// The package.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A local package that is no regular file.
    #[error("`{}` is not a regular file: a package is never read from a pipe or a device", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// A local package is too large.
    #[error("the package `{}` is larger than the {limit} bytes that `http.maxBytes` allows", path.display())]
    TooLarge {
        /// The package.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The spool cannot be written.
    #[error("cannot write the package to `{}`", path.display())]
    Spool {
        /// The file in the spool.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A provenance lies beside a local package and cannot be read.
    #[error("the provenance `{}` is there but cannot be read; mend it, or name the package's digest with `--digest sha256:...`", path.display())]
    ProvenanceUnreadable {
        /// The provenance.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A provenance is too large.
    #[error("the provenance at `{at}` is larger than {limit} bytes")]
    ProvenanceTooLarge {
        /// Where it is.
        at: String,
        /// The limit.
        limit: u64,
    },
    /// The server will not give the provenance.
    #[error(
        "the server forbids the provenance `{at}` (HTTP {status}); {}, or name the package's digest with `--digest sha256:...`",
        if *.logged_in { "it knows who asks: check the user name and password, and what that user may read" }
        else { "give `--username` and `--password-stdin`" }
    )]
    ProvenanceForbidden {
        /// Its URL.
        at: String,
        /// 401 or 403.
        status: u16,
        /// Whether the server was told who asks.
        logged_in: bool,
    },
    /// The server fails on the provenance.
    #[error(
        "the server does not give the provenance `{at}` (HTTP {status}): whether there is one is not known; {}name the package's \
         digest with `--digest sha256:...`",
        if http::is_transient(*.status) { "try again later, or " } else { "ask the server's owner, or " }
    )]
    ProvenanceFailing {
        /// Its URL.
        at: String,
        /// The status.
        status: u16,
    },
    /// The provenance cannot be reached.
    #[error(
        "the provenance `{at}` is unreachable: whether there is one is not known; {}name the package's digest with \
         `--digest sha256:...`",
        if source.kind() == ErrorKind::Unavailable { "check the network and try again, or " } else { "mend the cause, or " }
    )]
    ProvenanceUnreachable {
        /// Its URL.
        at: String,
        /// Why.
        #[source]
        source: Box<HttpError>,
    },
    /// A URL that is neither an archive nor a git repository.
    #[error(
        "`{url}` is no package: its name does not end in .tgz or .tar.gz, the server calls it `{content_type}`, and it does not \
         begin as a gzip file; for a git repository write `git+{url}`"
    )]
    NotAnArchive {
        /// The URL, safe to show.
        url: String,
        /// The content type, safe to show.
        content_type: String,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A registry failed.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// A GitHub release does not give the package.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// HTTP failed.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl Classified for SourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. }
            | Self::FileUrl { .. }
            | Self::UnknownScheme { .. }
            | Self::BadReference { .. }
            | Self::Option { .. } => ErrorKind::Usage,
            Self::NotFound { .. } | Self::Unsupported { .. } => ErrorKind::NotFound,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::ProvenanceFailing { status, .. } if http::is_transient(*status) => ErrorKind::ProofUnavailable,
            Self::ProvenanceUnreachable { source, .. } => source.kind().of_proof(),
            Self::ProvenanceUnreadable { .. }
            | Self::ProvenanceTooLarge { .. }
            | Self::ProvenanceForbidden { .. }
            | Self::ProvenanceFailing { .. } => ErrorKind::Unverified,
            Self::Git(error) => error.kind(),
            Self::Oci(error) => error.kind(),
            Self::GitHub(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::Look { .. }
            | Self::NotAPackage { .. }
            | Self::WrongVersion { .. }
            | Self::Directory { .. }
            | Self::Read { .. }
            | Self::NotRegular { .. }
            | Self::TooLarge { .. }
            | Self::Spool { .. }
            | Self::NotAnArchive { .. } => ErrorKind::Failed,
        }
    }
}

impl SourceError {
    /// Nothing is there that `argument` could name.
    pub(super) fn not_found(argument: &str) -> Self {
        Self::NotFound { argument: suggestion::shown(argument), meant: Suggestion::of(argument) }
    }

    /// Whether it says that a URL is no git repository.
    pub(super) fn is_no_repository(&self) -> bool {
        matches!(self, Self::Git(GitError::NotFound { .. } | GitError::NoProgram { .. } | GitError::Empty { .. }))
    }

    /// Whether it says that a git server wants to know who asks, or refuses whoever does.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Git(GitError::WhoAsks { .. } | GitError::Refused { .. }))
    }

    /// What it means that the provenance at `at` could not be had. A server that says there is none is no matter for this:
    /// taking any other failure for that is how verification fails open (`docs/spec/provenance.md`, section 4).
    pub(super) fn provenance(at: String, error: HttpError) -> Self {
        match error {
            HttpError::Unauthorized { .. } => Self::ProvenanceForbidden { at, status: 401, logged_in: false },
            HttpError::Refused { .. } => Self::ProvenanceForbidden { at, status: 401, logged_in: true },
            HttpError::Forbidden { logged_in, .. } => Self::ProvenanceForbidden { at, status: 403, logged_in },
            HttpError::NotFound { status, .. }
            | HttpError::Status { status, .. }
            | HttpError::RateLimit { status, .. }
            | HttpError::RetryLater { status, .. } => Self::ProvenanceFailing { at, status },
            HttpError::TooLarge { limit, .. } => Self::ProvenanceTooLarge { at, limit },
            error => Self::ProvenanceUnreachable { at, source: Box::new(error) },
        }
    }
}
