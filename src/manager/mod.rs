//! The verbs: what a user asks for, put together from the rooms below. Install, update, uninstall, list, info, verify, lock, sync.
//!
//! Nothing is printed here and no argument is read: `plugsmith-cli` does both.

mod admit;
mod audit;
mod conflict;
mod create;
mod doctor;
mod getter;
mod hooks;
mod install;
mod installed;
mod keyring;
mod lock_file;
mod network;
mod parallel;
mod pull;
mod push;
mod restore;
mod sign;
mod trust;
mod uninstall;
mod update;
mod verify;
mod versions;

pub use admit::{AdmitError, UnverifiedError};
pub use audit::ChangeError;
pub use create::{CreateError, CreateRequest, Created, Readiness};
pub use doctor::{Diagnosis, ExplainError, ExplainedGate, ExplainedRule, Finding, FindingSeverity, PolicyExplanation};
pub use getter::{DownloadedFile, GetError};
pub use install::{InstallError, InstallRequest, Installation, VerificationMode};
pub use installed::{DetailedCommand, DetailedFile, InfoError, ModuleAccess, PluginDetails};
pub use keyring::{AddedKey, KeyChange, KeySource, OwnKeyringError};
#[doc(hidden)]
pub use lock_file::read_foreign;
pub use lock_file::{
    ExportError, Exported, FetchLockedError, LOCK_FILE_NAME, LockFile, LockFileError, LockFileWritten, LockedPlugin,
    LockedSigner, LockedVerification, SyncChange, SyncError, SyncRequest, SyncResults, Synced, UnlockablePlugin,
    WriteLockFileError,
};
pub use pull::{PullError, PullRequest, Pulled};
pub use push::{PushError, PushRequest};
pub use restore::{RestoreError, Restored};
pub use sign::SignPackageError;
pub use trust::{LimitError, TrustError, UntrustedPlugin};
pub use uninstall::UninstallError;
pub use update::{Outdated, OutdatedResult, Unchanged, Update, UpdateBlocker, UpdateError, UpdateOutcome, UpdateRequest};
pub use verify::{PackageVerification, PluginVerification, VerifyInstalledError, VerifyPackageError};
pub use versions::RolledBack;

use crate::host::{Homes, Host};
use crate::policy::Policy;
use crate::report::Report;
use crate::settings::Settings;
use crate::store::Store;

/// What every verb needs: who the host is, where its files are, what the user set, and who listens.
pub struct Manager<'a> {
    /// The program with plugins.
    pub host: &'a Host,
    /// Its directories.
    pub homes: &'a Homes,
    /// Its settings.
    pub settings: &'a Settings,
    /// The rules of the organisation: [`Policy::load`] reads them.
    pub policy: &'a Policy,
    /// Who hears of progress and warnings.
    pub report: &'a dyn Report,
    /// Whether plugins are told to say everything.
    pub debug: bool,
}

impl Manager<'_> {
    /// The plugins on disk.
    pub fn store(&self) -> Store {
        Store::open(self.host, self.homes, self.settings.limits.clone()).with_policy(self.policy.clone())
    }
}
