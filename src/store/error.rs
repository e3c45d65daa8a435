//! Why the store cannot do something.

use std::io;
use std::path::{Path, PathBuf};

use super::missing::NotInstalled;
use crate::error::{Classified, ErrorKind};
use crate::intake::package::UnpackError;
use crate::intake::provenance::VerifyError;
use crate::manifest::ManifestError;
use crate::policy::Refusal;
use crate::text::{Sanitized, quoted};

use super::difference::{Difference, listed};
use super::{ReceiptError, TreeError};

/// Why the store cannot be read or changed. Unless a variant says otherwise the store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or directory of the store refuses.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, such as `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// Another program has held the lock for too long.
    #[error("another program is changing the plugins and did not finish within {seconds} s (it holds {}); try again when it has ended", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// A receipt cannot be read or written.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The package cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The package is not the one that was signed.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A directory's files cannot be taken.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A directory that is to be installed is not there.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// A symbolic link of a directory that is copied leaves it, points nowhere or runs in a circle.
    #[error("the symbolic link {} does not point to a file inside the plugin; replace it by what it should be", path.display())]
    LinkLeaves {
        /// The link.
        path: PathBuf,
    },
    /// A directory holds the place where it would be installed, or is that place.
    #[error("{} cannot be installed into {}, which is the same place or inside of it", path.display(), directory.display())]
    IntoItself {
        /// The directory.
        path: PathBuf,
        /// The plugin directory.
        directory: PathBuf,
    },
    /// A name that no package could hold.
    #[error("the name of {} cannot be installed: {why}; rename it", path.display())]
    BadName {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A built-in command has the name.
    #[error("`{name}` is a command of {host} itself, so no plugin can have this name; rename the plugin")]
    Reserved {
        /// The plugin's name.
        name: String,
        /// The host's name.
        host: String,
    },
    /// The plugin is there already.
    #[error("plugin `{name}` is already installed{}; `--force` replaces it", version_in_brackets(version))]
    AlreadyInstalled {
        /// Its name.
        name: String,
        /// The installed version; empty where it has none or is broken.
        version: String,
    },
    /// Something that is no plugin stands where the plugin would go.
    #[error("{} is in the way: it is {what}; remove it, or replace it with `--force`", path.display())]
    InTheWay {
        /// What stands there.
        path: PathBuf,
        /// What it is, such as `a file`.
        what: &'static str,
    },
    /// Another directory holds a plugin of that name.
    #[error("a plugin `{name}` is already in {}; remove it first", directory.display())]
    Elsewhere {
        /// The name.
        name: String,
        /// The directory.
        directory: PathBuf,
    },
    /// A name that differs in upper and lower case only is taken.
    #[error(
        "`{name}` differs from `{}`, which is there already, in upper and lower case only; remove that one first",
        Sanitized(other)
    )]
    CaseTwin {
        /// The name.
        name: String,
        /// The other one.
        other: String,
    },
    /// No plugin has that name.
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),
    /// The plugin is in a directory that is only read.
    #[error("plugin `{}` is in {}, but only {} is written to; name that directory first in the list of plugin directories", Sanitized(name), directory.display(), written.display())]
    ReadOnlyRoot {
        /// Its name.
        name: String,
        /// Where it is.
        directory: PathBuf,
        /// The directory that is written to.
        written: PathBuf,
    },
    /// There is no version before the installed one.
    #[error("there is no version of `{}` to go back to: none was replaced since it was installed", Sanitized(name))]
    NoPrevious {
        /// The plugin's name.
        name: String,
    },
    /// The files of the version before are not as they were.
    #[error("the previous version of plugin `{}` is not as it was: {}; {next}", Sanitized(name), listed(differences))]
    PreviousChanged {
        /// The plugin's name.
        name: String,
        /// How it differs.
        differences: Vec<Difference>,
        /// What to do about it.
        next: String,
    },
    /// What a plugin's files are to be put back from is not what was installed.
    #[error(
        "{} is not what was installed as plugin `{}`{}; `{host} plugin trust {}` accepts the files as they are",
        Sanitized(from),
        Sanitized(name),
        in_words(paths),
        quoted(name)
    )]
    OtherFiles {
        /// The plugin's name.
        name: String,
        /// Where they came from, safe to show.
        from: String,
        /// The files that are others.
        paths: Vec<String>,
        /// The host's name.
        host: String,
    },
    /// A hook made a file that is lost, and hooks do not run again.
    #[error(
        "`{}` of plugin `{}` was made by its hook and is lost, and a hook runs only with an install: `{again}`",
        Sanitized(path),
        Sanitized(name)
    )]
    MadeByHook {
        /// The plugin's name.
        name: String,
        /// The file.
        path: String,
        /// The command that installs it again.
        again: String,
    },
    /// The query of its source's URL, which is kept apart, is not known.
    #[error(
        "the query of {from} is not known, which only the owner of plugin `{}` can read; install it again with `--force` and the whole URL",
        Sanitized(name)
    )]
    QueryLost {
        /// The plugin's name.
        name: String,
        /// The URL, safe to show.
        from: String,
    },
    /// A policy would not let the version before run.
    #[error("the previous version of plugin `{}` must not run, so it stays where it is", Sanitized(name))]
    Policy {
        /// The plugin's name.
        name: String,
        /// The rule, and where it stands.
        source: Box<Refusal>,
    },
    /// The plugin has no receipt, and the operation needs one.
    #[error(
        "plugin `{}` has no receipt: it was copied in by hand or by another program; install it again with `{host} plugin install --force SOURCE`",
        Sanitized(name)
    )]
    NoReceipt {
        /// The plugin's name.
        name: String,
        /// The host's name.
        host: String,
    },
}

impl Classified for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotInstalled(error) => error.kind(),
            Self::NotADirectory { .. } => ErrorKind::NotFound,
            Self::Manifest(error) => error.kind(),
            Self::Receipt(error) => error.kind(),
            Self::Unpack(error) => error.kind(),
            Self::Tree(error) => error.kind(),
            Self::Verify(error) => error.kind(),
            Self::OtherFiles { .. } | Self::PreviousChanged { .. } => ErrorKind::Unverified,
            Self::Policy { source, .. } => source.kind(),
            Self::Io { .. }
            | Self::Busy { .. }
            | Self::LinkLeaves { .. }
            | Self::IntoItself { .. }
            | Self::BadName { .. }
            | Self::Reserved { .. }
            | Self::AlreadyInstalled { .. }
            | Self::InTheWay { .. }
            | Self::Elsewhere { .. }
            | Self::CaseTwin { .. }
            | Self::ReadOnlyRoot { .. }
            | Self::NoPrevious { .. }
            | Self::MadeByHook { .. }
            | Self::QueryLost { .. }
            | Self::NoReceipt { .. } => ErrorKind::Failed,
        }
    }
}

impl StoreError {
    /// [`StoreError::Io`].
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether a rename failed as it does between file systems, and in a lower layer of overlayfs.
    pub(super) fn crosses_devices(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::CrossesDevices)
    }
}

fn version_in_brackets(version: &str) -> String {
    if version.is_empty() { String::new() } else { format!(" ({})", Sanitized(version)) }
}

/// The first of some files, in words.
fn in_words(paths: &[String]) -> String {
    match paths {
        [] => String::new(),
        [first] => format!(" (`{}` differs)", Sanitized(first)),
        [first, rest @ ..] => format!(" (`{}` and {} more differ)", Sanitized(first), rest.len()),
    }
}
