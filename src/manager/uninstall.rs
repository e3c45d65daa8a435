//! `plugin uninstall`: the delete hook while its files are there, then the plugin, its package and its receipt.

use crate::audit::{AuditError, AuditEvent};
use crate::error::{Classified, ErrorKind};
use crate::runtime::{HookError, HookEvent};
use crate::store::{GateError, RemovedPlugin, StoreError, VerificationMethod};

use super::Manager;
use super::audit::AuditNote;
use super::hooks::HookFailure;

/// Why an uninstall failed. The plugin is still there then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store could not be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plugin's files are not what was installed, so its delete hook must not run.
    #[error("the delete hook of plugin `{name}` must not run; `--no-hooks` uninstalls without it")]
    Gate {
        /// The plugin's name.
        name: String,
        /// Why not.
        source: GateError,
    },
    /// The delete hook failed.
    #[error("the delete hook of plugin `{name}` {}, so the plugin stays; `--no-hooks` uninstalls without it", .source.what())]
    Hook {
        /// The plugin's name.
        name: String,
        /// How it failed.
        source: HookError,
    },
}

impl Classified for UninstallError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Audit(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Gate { source, .. } => source.kind().once_begun(),
            Self::Hook { source, .. } => source.kind(),
        }
    }
}

impl Manager<'_> {
    /// Uninstalls the plugin `name`; a broken one by the name of its directory, without a hook.
    ///
    /// # Errors
    /// Any [`UninstallError`]; the plugin is then as it was.
    pub fn uninstall(&self, name: &str, hooks: bool) -> Result<RemovedPlugin, UninstallError> {
        self.with_audit(AuditNote::of_plugin(AuditEvent::Uninstall, name), |note| self.remove(name, hooks, note))
    }

    fn remove(&self, name: &str, hooks: bool, note: &mut AuditNote) -> Result<RemovedPlugin, UninstallError> {
        let store = self.store();
        // Without a look first, a wrong name would make an empty store.
        store.installed(name)?;
        let lock = store.lock(self.report)?;
        let found = store.installed(name)?;
        // A damaged receipt must not keep its plugin, and has nothing to tell. What was copied in by hand is the user's own.
        let receipt = store.receipt(&found).ok().flatten();
        receipt.iter().for_each(|receipt| note.receipt(receipt));
        let verified = receipt.map_or(VerificationMethod::Local, |receipt| receipt.verified.by);
        let failed = |source| UninstallError::Hook { name: name.to_owned(), source };
        if let Ok(metadata) = &found.metadata
            && self.agreed_hook(metadata, HookEvent::Delete, verified, hooks).map_err(failed)?
        {
            self.run_hook(&store, name, HookEvent::Delete).map_err(|failure| match failure {
                HookFailure::Gate(source) => UninstallError::Gate { name: name.to_owned(), source },
                HookFailure::Hook(source) => failed(source),
            })?;
        }
        let removed = lock.remove(name)?;
        self.forget_accepted(&removed.name);
        Ok(removed)
    }
}
