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
mod intake;
mod keyring;
mod lock_file;
mod network;
mod package;
mod parallel;
mod place;
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
pub use package::Packaged;
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

/// The verbs, with what each of them needs: who the host is, where its files are, what the user set, and who listens.
pub struct Manager<'a> {
    host: &'a Host,
    homes: &'a Homes,
    settings: &'a Settings,
    policy: &'a Policy,
    report: &'a dyn Report,
    debug: bool,
}

impl<'a> Manager<'a> {
    /// The verbs for `host`, whose files are in `homes`, with the `settings` of its user and under the `policy` of the organisation,
    /// which [`Policy::load`] reads. Progress and warnings go to `report`.
    pub fn new(
        host: &'a Host,
        homes: &'a Homes,
        settings: &'a Settings,
        policy: &'a Policy,
        report: &'a dyn Report,
    ) -> Self {
        Self { host, homes, settings, policy, report, debug: false }
    }

    /// The same; with `debug`, plugins are told to say everything.
    #[must_use]
    pub fn with_debug(self, debug: bool) -> Self {
        Self { debug, ..self }
    }

    /// The plugins on disk.
    pub fn store(&self) -> Store {
        Store::open(self.host, self.homes, self.settings.limits.clone()).with_policy(self.policy.clone())
    }
}
