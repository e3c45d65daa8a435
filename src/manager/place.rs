//! How a staged plugin takes its place: its hook is agreed to, the trees change place, the hook runs, and the change is final. What it
//! replaces decides which hook that is.

use std::path::PathBuf;

use crate::runtime::{HookError, HookEvent};
use crate::store::{GateError, InstallDetails, StagedPlugin, StoreError, StoreLock, VerificationMethod};

use super::Manager;
use super::audit::AuditNote;
use super::hooks::HookFailure;

/// What a staged plugin takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaces {
    /// Nothing may be there.
    Nothing,
    /// Whatever is there.
    Anything,
    /// Another version of the plugin: this is an update.
    Version,
}

/// Why a staged plugin did not take its place. What was there is there again.
#[derive(Debug)]
pub(super) enum PlaceError {
    /// The store could not be changed.
    Store(StoreError),
    /// What was put in place may not be run, and so neither may its hook.
    Gate(GateError),
    /// The hook must not run, or failed.
    Hook(HookError),
}

impl From<StoreError> for PlaceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<HookFailure> for PlaceError {
    fn from(failure: HookFailure) -> Self {
        match failure {
            HookFailure::Gate(error) => Self::Gate(error),
            HookFailure::Hook(error) => Self::Hook(error),
        }
    }
}

impl Manager<'_> {
    /// Puts `staged` in its place, runs its hook if `hooks` are wanted, and says where it is.
    pub(super) fn place(
        &self,
        lock: &StoreLock<'_>,
        staged: StagedPlugin,
        details: InstallDetails,
        replaces: Replaces,
        hooks: bool,
        note: &mut AuditNote,
    ) -> Result<PathBuf, PlaceError> {
        note.staged(&staged);
        let name = staged.metadata().name.clone();
        let (event, replace) = match replaces {
            Replaces::Nothing => (HookEvent::Install, false),
            Replaces::Anything => (HookEvent::Install, true),
            Replaces::Version => (HookEvent::Update, true),
        };
        let verified = VerificationMethod::of(staged.evidence());
        let hook = self.agreed_hook(staged.metadata(), event, verified, hooks).map_err(PlaceError::Hook)?;
        let transaction = lock.commit(staged, details, replace, hook)?;
        let directory = transaction.directory();
        transaction.receipt().into_iter().for_each(|receipt| note.receipt(receipt));
        if hook && let Err(failure) = self.run_hook(lock.store(), name.as_str(), event) {
            transaction.undo()?;
            return Err(failure.into());
        }
        transaction.finish()?;
        Ok(directory)
    }
}
