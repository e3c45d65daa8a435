//! `plugin pin`, `plugin unpin` and `plugin rollback`: which version of a plugin is meant to be there.

use crate::audit::Event;
use crate::store::StoreError;

use super::record::Note;
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
    /// Makes updates skip the plugin `name`, or no longer. Says whether that is news.
    ///
    /// # Errors
    /// See [`StoreError`]: it is not installed, or has no receipt.
    pub fn set_pinned(&self, name: &str, pinned: bool) -> Result<bool, StoreError> {
        let store = self.store();
        // Without this look a wrong name would make an empty store, only to be locked.
        store.installed(name)?;
        store.lock(self.report)?.set_pinned(name, pinned)
    }

    /// Puts the version before of the plugin `name` back in its place; done again, it goes forward.
    ///
    /// # Errors
    /// See [`ChangeError`]: it is not installed, or there is no version before.
    pub fn rollback(&self, name: &str) -> Result<RolledBack, ChangeError> {
        self.recorded(Note::of_plugin(Event::Rollback, name), |note| {
            let store = self.store();
            let found = store.installed(name)?;
            let from = Some(found.version_text()).filter(|version| !version.is_empty());
            let lock = store.lock(self.report)?;
            let replaced = store.receipt(&found)?;
            if let Some(kept) = store.previous_receipt(&found)? {
                self.admit_kept(&kept)?;
            }
            let committed = lock.rollback(name)?;
            let metadata = committed.metadata();
            let to = metadata.version.as_ref().map(ToString::to_string);
            note.about.version.clone_from(&to);
            let restored = committed.receipt().cloned();
            restored.iter().for_each(|receipt| note.receipt(receipt));
            let done = RolledBack { name: metadata.name.to_string(), from, to };
            committed.finish()?;
            self.follow_signer(name, replaced.as_ref(), restored.as_ref());
            Ok(done)
        })
    }
}
