//! Why a plugin was not updated.

use super::InstallError;
use crate::audit::AuditError;
use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::intake::provenance::Alternatives;
use crate::manager::place::PlaceError;
use crate::runtime::HookError;
use crate::store::{GateError, Receipt, StoreError};
use crate::text::Sanitized;

/// Why a plugin was not updated. The version that was installed is in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The plugin is held.
    #[error("plugin `{}` is pinned to the version that it has; `{host} plugin unpin {}` lets it be updated", Sanitized(.name), Sanitized(.name))]
    Held {
        /// Its name.
        name: String,
        /// The host's name.
        host: String,
    },
    /// The store cannot be read, or the plugin has no receipt.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The new version could not be fetched, verified or put in place.
    #[error("plugin `{}` is not updated; {} stays", Sanitized(.name), Sanitized(.version))]
    Failed {
        /// The plugin's name.
        name: String,
        /// The version that stays.
        version: String,
        /// What failed.
        source: Box<InstallError>,
    },
    /// An update could not be looked up, or would not be verified.
    #[error("plugin `{}` could not be updated now; {} is installed", Sanitized(.name), Sanitized(.version))]
    Unavailable {
        /// The plugin's name.
        name: String,
        /// The version that is installed.
        version: String,
        /// What failed.
        source: Box<InstallError>,
    },
    /// The source has an older version.
    #[error(
        "plugin `{}` is not updated: its source has {}, which is older than the installed {}; `--to {}` goes back to it",
        Sanitized(.name), Sanitized(.offered), Sanitized(.installed), Sanitized(.offered)
    )]
    Older {
        /// The plugin's name.
        name: String,
        /// The version that is installed.
        installed: String,
        /// The version that the source has.
        offered: String,
    },
    /// The source has another plugin.
    #[error(
        "plugin `{}` is not updated: its source now has a plugin called `{}`; install that one by itself if you want it",
        Sanitized(.name), Sanitized(.offered)
    )]
    OtherName {
        /// The plugin's name.
        name: String,
        /// The name that the source has.
        offered: String,
    },
    /// The plugin was verified by digest, and there is nothing to verify its new version by.
    #[error(
        "plugin `{}` is not updated: it was installed by its digest, and its new version has no provenance ({} does not exist); name the new digest if you have it from a place that you trust (what came has `--digest sha256:{found}`), or put a provenance there",
        Sanitized(.name), Sanitized(.at)
    )]
    NeedsDigest {
        /// The plugin's name.
        name: String,
        /// The digest of what the source has.
        found: Sha256Digest,
        /// Where the provenance would have been.
        at: String,
    },
    /// What was put in place may not run its hook; the update was undone.
    #[error("the update hook of plugin `{}` must not run, so the update was undone; `--no-hooks` goes on without it", Sanitized(.name))]
    Gate {
        /// The plugin's name.
        name: String,
        /// Why not.
        source: Box<GateError>,
    },
    /// The update hook failed; the update was undone.
    #[error("the update hook of plugin `{}` {}, so the version is still {}", Sanitized(.name), .source.what(), Sanitized(.version))]
    Hook {
        /// The plugin's name.
        name: String,
        /// The version that is back.
        version: String,
        /// How it failed.
        source: Box<HookError>,
    },
}

impl Classified for UpdateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Audit(error) => error.kind(),
            Self::Failed { source, .. } | Self::Unavailable { source, .. } => source.kind(),
            Self::NeedsDigest { .. } => ErrorKind::Unverified,
            Self::Gate { source, .. } => source.kind().once_begun(),
            Self::Hook { source, .. } => source.kind(),
            Self::Held { .. } | Self::Older { .. } | Self::OtherName { .. } => ErrorKind::Failed,
        }
    }
}

impl UpdateError {
    /// [`UpdateError::Failed`].
    pub(in crate::manager) fn failed(name: &str, version: Option<&str>, source: InstallError) -> Self {
        let version = version.unwrap_or("what is installed").to_owned();
        Self::Failed { name: name.to_owned(), version, source: Box::new(source.with_alternatives(Alternatives::Update)) }
    }

    /// Why the new version of the plugin `name` did not take the place of the `version` that was installed.
    pub(in crate::manager) fn placed(name: &str, version: Option<&str>, error: PlaceError) -> Self {
        match error {
            PlaceError::Store(error) => Self::failed(name, version, error.into()),
            PlaceError::Gate(source) => Self::Gate { name: name.to_owned(), source: Box::new(source) },
            PlaceError::Hook(source) => Self::Hook {
                name: name.to_owned(),
                version: version.unwrap_or("before").to_owned(),
                source: Box::new(source),
            },
        }
    }
}

/// Why the way to a new version ended, before it is said of which plugin.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The reason says that itself.
    Update(Box<UpdateError>),
    /// The new version could not be fetched, verified or put in place.
    Failed(Box<InstallError>),
}

impl Stopped {
    /// The same of the plugin of `receipt`.
    pub(super) fn about(self, receipt: &Receipt) -> UpdateError {
        match self {
            Self::Update(error) => *error,
            Self::Failed(error) => UpdateError::failed(&receipt.name, receipt.version.as_deref(), *error),
        }
    }
}

impl From<UpdateError> for Stopped {
    fn from(error: UpdateError) -> Self {
        Self::Update(Box::new(error))
    }
}

impl<E: Into<InstallError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}
