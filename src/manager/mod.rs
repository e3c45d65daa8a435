//! The verbs: what a user asks for, put together from the rooms below. Install, update, uninstall, list, info, verify, lock, sync.
//!
//! Nothing is printed here and no argument is read: `plugsmith-cli` does both.

mod admit;
mod create;
mod doctor;
mod getter;
mod hooks;
mod install;
mod installed;
mod keyring;
mod lock;
mod network;
mod parallel;
mod pin;
mod present;
mod pull;
mod push;
mod record;
mod restore;
mod sign;
mod trust;
mod uninstall;
mod update;
mod verify;

pub use admit::{AdmitError, UnverifiedError};
pub use create::{CreateError, CreateRequest, Created, Readiness};
pub use doctor::{Diagnosis, ExplainError, Explained, ExplainedGate, ExplainedRule, Finding, Severity};
pub use getter::{Downloaded, GetError};
pub use install::{InstallError, InstallRequest, Installation, Trust};
pub use installed::{DetailedCommand, DetailedFile, Details, InfoError, Reach};
pub use keyring::{AddedKey, KeyChange, KeySource, OwnKeyringError};
#[doc(hidden)]
pub use lock::read_foreign;
pub use lock::{
    Change, ExportError, Exported, LOCK_FILE_NAME, LeftOut, LockError, LockFile, LockFileError, LockWritten, Locked,
    ObtainError, Signer, SyncError, SyncRequest, SyncResults, Synced, Vouched,
};
pub use pin::RolledBack;
pub use pull::{PullError, PullRequest, Pulled};
pub use push::{PushError, PushRequest};
pub use record::ChangeError;
pub use restore::{RestoreError, Restored};
pub use sign::SignPackageError;
pub use trust::{LimitError, TrustError, Untrusted};
pub use uninstall::UninstallError;
pub use update::{Held, LookedUp, Outcome, Outdated, Unchanged, Update, UpdateError, UpdateRequest};
pub use verify::{VerifiedPackage, VerifiedPlugin, VerifyInstalledError, VerifyPackageError};

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
        Store::open(self.host, self.homes, self.settings.limits.clone()).under(self.policy.clone())
    }
}
