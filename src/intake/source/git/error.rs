//! Why a package could not be made from a git repository.

use std::io;

use crate::error::{Classified, ErrorKind};
use crate::intake::source::http::TlsCause;
use crate::text::quoted;

/// Why a package could not be made from a git repository. URLs in it have no password, and their queries are masked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no `git`.
    #[error(
        "the program `git` is needed for git repositories and cannot be run; install it, or give a package's URL or path"
    )]
    NoProgram {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Talking to the program failed.
    #[error("cannot talk to the program `git` ({what})")]
    Pipe {
        /// During what.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The repository is not there.
    #[error(
        "`{url}` is not a git repository, or is not there for you: {stderr}; check the URL, and the credentials where it is private"
    )]
    NotFound {
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// The server asks who asks, and nobody told git what to say.
    #[error(
        "`{url}` asks for a user name and a password: it is private, or not there under this name; check the spelling, or give \
         `--username` and `--password-stdin`, set up a credential helper of git, or use its ssh URL"
    )]
    WhoAsks {
        /// The URL.
        url: String,
    },
    /// The server knows who asks, and refuses.
    #[error("`{url}` refuses the user name and password that were given: {stderr}; check them, and what that user may read")]
    Refused {
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// The server takes none of the user's ssh keys.
    #[error(
        "the ssh server of `{url}` takes none of your keys: {stderr}; load the right one with `ssh-add`, and check the user name \
         and the spelling of the URL"
    )]
    SshKey {
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// The ssh server's own key is unknown, or another than before.
    #[error("ssh does not know the server of `{url}`: {stderr}; connect once with `ssh`, and compare the key that it shows")]
    SshHost {
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// Somebody else owns the repository.
    #[error(
        "git refuses the repository `{url}`, since another user owns it and its settings could run programs; to trust it type \
         `git config --global --add safe.directory {}`", quoted(.directory)
    )]
    OtherOwner {
        /// The URL.
        url: String,
        /// The directory, as git names it.
        directory: String,
    },
    /// The connection cannot be trusted.
    #[error("no trusted connection to the server of `{url}`: {cause} ({stderr})")]
    Tls {
        /// The URL.
        url: String,
        /// Why, and what helps.
        cause: TlsCause,
        /// What git said.
        stderr: String,
    },
    /// The server leads elsewhere, which git was told not to follow.
    #[error("`{url}` leads elsewhere, and git is told not to follow: {stderr}; give the URL where the repository is now")]
    Moved {
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// There is no connection.
    #[error("cannot reach `{url}`: {stderr}; check the host's name, the network and the proxy variables")]
    Unreachable {
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// The server has trouble.
    #[error("the server of `{url}` fails: {stderr}; try again later, or ask its owner")]
    Failing {
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// The program failed.
    #[error("`git {what}` failed for `{url}`: {stderr}")]
    Failed {
        /// The sub-command.
        what: String,
        /// The URL.
        url: String,
        /// What git said.
        stderr: String,
    },
    /// It took too long.
    #[error("fetching `{url}` took longer than `--timeout` allows ({seconds} s)")]
    Timeout {
        /// The URL.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The repository or what it holds is too large.
    #[error("`{url}` is too large: {what} is more than {limit}; publish a package instead")]
    TooLarge {
        /// The URL.
        url: String,
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A user name or password that git cannot be told.
    #[error("the user name or the password for `{url}` holds a control character, which git cannot be told")]
    Credentials {
        /// The URL.
        url: String,
    },
    /// A version that could be taken for an option.
    #[error("`{version}` is no version: no tag, branch or range begins with `-` or holds control characters")]
    BadVersion {
        /// The version, safe to show.
        version: String,
    },
    /// No tag, branch or commit fits.
    #[error("`{url}` has no version `{version}`; {nearest}")]
    UnknownVersion {
        /// The URL.
        url: String,
        /// The version that was asked for, safe to show.
        version: String,
        /// The nearest versions that there are, as a sentence.
        nearest: String,
    },
    /// Nothing was ever committed.
    #[error("`{url}` is empty: it has no release tag and no default branch; commit and push the plugin first")]
    Empty {
        /// The URL.
        url: String,
    },
    /// There are branches, and none of them is the default.
    #[error(
        "`{url}` has no release tag, and its `HEAD` names a branch that is not there; {there}; choose one with `--version {}`",
        quoted(.first)
    )]
    NoDefault {
        /// The URL.
        url: String,
        /// What is there, as a sentence, safe to show.
        there: String,
        /// One of them.
        first: String,
    },
    /// The id is that of something else.
    #[error("`{id}` in `{url}` is not a commit; give the id of a commit, not of a tag, tree or file")]
    NotACommit {
        /// The URL.
        url: String,
        /// The id.
        id: String,
    },
    /// A signed tag that was given another name.
    #[error(
        "the tag `{reference}` calls itself `{own}`: a signed tag under another name is refused; ask the author to tag it anew"
    )]
    TagName {
        /// The name that the remote gives it.
        reference: String,
        /// The name that was signed.
        own: String,
    },
    /// A file that is only a pointer.
    #[error(
        "`{path}` is a git-lfs pointer, not the file itself: large files are not fetched; publish a package that holds them"
    )]
    LargeFile {
        /// The file, safe to show.
        path: String,
    },
    /// A symbolic link that cannot be replaced by what it points to.
    #[error("the symbolic link `{path}` -> `{target}` is refused: {reason}")]
    Link {
        /// The link, safe to show.
        path: String,
        /// Where it points, safe to show.
        target: String,
        /// Why.
        reason: &'static str,
    },
    /// A file that no plugin may have.
    #[error("`{path}` in the commit is refused: {reason}")]
    Path {
        /// The file, safe to show.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The program said something that we do not understand.
    #[error("the program `git` answered `git {what}` in a form that is not known; update it")]
    Answer {
        /// The sub-command.
        what: &'static str,
    },
}

impl Classified for GitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::BadVersion { .. } => ErrorKind::Usage,
            Self::NotFound { .. } | Self::UnknownVersion { .. } | Self::Empty { .. } | Self::NoDefault { .. } => {
                ErrorKind::NotFound
            }
            Self::Unreachable { .. } | Self::Failing { .. } | Self::Timeout { .. } => ErrorKind::Unavailable,
            Self::TagName { .. } => ErrorKind::Unverified,
            Self::NoProgram { .. }
            | Self::Pipe { .. }
            | Self::WhoAsks { .. }
            | Self::Refused { .. }
            | Self::SshKey { .. }
            | Self::SshHost { .. }
            | Self::OtherOwner { .. }
            | Self::Tls { .. }
            | Self::Moved { .. }
            | Self::Failed { .. }
            | Self::TooLarge { .. }
            | Self::Credentials { .. }
            | Self::NotACommit { .. }
            | Self::LargeFile { .. }
            | Self::Link { .. }
            | Self::Path { .. }
            | Self::Answer { .. } => ErrorKind::Failed,
        }
    }
}
