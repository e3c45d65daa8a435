//! `plugin pin`, `plugin unpin` and `plugin rollback`: which version of a plugin is meant to be there.

use crate::audit::AuditEvent;
use crate::store::StoreError;

use super::audit::AuditNote;
use super::{ChangeError, Manager};

/// A plugin that went back to the version before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The plugin's name.
    pub name: String,
    /// The version that was there, which now is the version before.
    pub from: Option<String>,
    /// The version that is there now.
    pub to: Option<String>,
}

impl Manager<'_> {
    /// Makes updates skip the plugin `name`, or no longer: it is held. Says whether that is news.
    ///
    /// # Errors
    /// See [`StoreError`]: it is not installed, or has no receipt.
    pub fn set_held(&self, name: &str, held: bool) -> Result<bool, StoreError> {
        let store = self.store();
        // Without this look a wrong name would make an empty store, only to be locked.
        store.installed(name)?;
        store.lock(self.report)?.set_held(name, held)
    }

    /// Puts the version before of the plugin `name` back in its place; done again, it goes forward.
    ///
    /// # Errors
    /// See [`ChangeError`]: it is not installed, or there is no version before.
    pub fn rollback(&self, name: &str) -> Result<RolledBack, ChangeError> {
        self.with_audit(AuditNote::of_plugin(AuditEvent::Rollback, name), |note| {
            let store = self.store();
            let found = store.installed(name)?;
            let from = Some(found.version_text()).filter(|version| !version.is_empty());
            let lock = store.lock(self.report)?;
            let replaced = store.receipt(&found)?;
            if let Some(kept) = store.previous_receipt(&found)? {
                self.admit_previous(&kept)?;
            }
            let transaction = lock.rollback(name)?;
            let metadata = transaction.metadata();
            let to = metadata.version.as_ref().map(ToString::to_string);
            note.about.version.clone_from(&to);
            let restored = transaction.receipt().cloned();
            restored.iter().for_each(|receipt| note.receipt(receipt));
            let done = RolledBack { name: metadata.name.to_string(), from, to };
            transaction.finish()?;
            self.follow_signer(name, replaced.as_ref(), restored.as_ref());
            Ok(done)
        })
    }
}
