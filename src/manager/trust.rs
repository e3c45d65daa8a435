//! `plugin trust`, `plugin untrust` and the limits of keys: what the user accepts, and taking that back.

use jiff::Timestamp;

use super::Manager;
use super::keyring::OwnKeyringError;
use super::record::Note;
use crate::audit::{AuditError, Event};
use crate::intake::provenance::FullFingerprint;
use crate::spelling::did_you_mean;
use crate::store::{ChangedFile, Difference, Found, Receipt, Store, StoreError, TakenBack};
use crate::text::Plain;
use crate::trust::{Accepted, AcceptedFile, Limit, Pin, Trusted, TrustedError};

/// What was taken back.
#[derive(Debug, Clone, Default)]
pub struct Untrusted {
    /// The files whose changes are no longer accepted.
    pub files: Vec<String>,
    /// The signers who are no longer pinned.
    pub pins: Vec<Pin>,
}

/// Why trust was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Nothing of that name is trusted, and nothing is installed.
    #[error(
        "plugin `{}` is not installed, and nothing is trusted under this name; {}",
        Plain(.name), did_you_mean(.nearest).unwrap_or_else(|| format!("`{host} plugin trust` shows what is"))
    )]
    Unknown {
        /// The name.
        name: String,
        /// The host's name.
        host: String,
        /// Installed plugins whose names are near, safe to show.
        nearest: Vec<String>,
    },
    /// Changes are still accepted, since nobody knows any more what they replaced.
    #[error(
        "what was installed of plugin `{}` in place of {} is not written down any more; `{restore}` puts it back",
        Plain(.name),
        .paths.iter().map(|path| format!("`{}`", Plain(path))).collect::<Vec<_>>().join(", ")
    )]
    NotKnown {
        /// The plugin's name.
        name: String,
        /// The files whose changes are accepted.
        paths: Vec<String>,
        /// The command that puts the files back.
        restore: String,
    },
    /// The store cannot be read or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `trust.yaml` cannot be read or written.
    #[error(transparent)]
    File(#[from] TrustedError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Why a key's limits were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// No key is meant, or several are.
    #[error(transparent)]
    Key(#[from] OwnKeyringError),
    /// `trust.yaml` cannot be read or written.
    #[error(transparent)]
    File(#[from] TrustedError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl Manager<'_> {
    /// What the user trusts.
    ///
    /// # Errors
    /// See [`TrustedError`].
    pub fn trusted(&self) -> Result<Trusted, TrustedError> {
        Trusted::load(&self.homes.config.path)
    }

    /// Accepts the changes that were made to the files of the plugin `name`, and says which they were. What was installed is
    /// remembered, so that [`Manager::untrust`] can take that back.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn trust(&self, name: &str) -> Result<Vec<Difference>, TrustError> {
        self.recorded(Note::of_plugin(Event::Trust, name), |note| {
            let store = self.store();
            store.installed(name)?;
            // A file that cannot be used is said before anything is accepted.
            self.trusted()?;
            let accepted = store.lock(self.report)?.trust(name)?;
            if accepted.differences.is_empty() {
                note.event = None;
                return Ok(Vec::new());
            }
            if let Some(receipt) = store.receipt(&store.installed(name)?)? {
                note.receipt(&receipt);
                if let Some(rule) = self.policy.least(Some(name), &receipt.places()) {
                    let way_out = store.restore_command(&receipt.name);
                    self.report.warning(&format!(
                        "the policy {} wants what was verified, so plugin `{}` does not run with the change; restore it with `{way_out}`",
                        rule.at,
                        Plain(name)
                    ));
                }
            }
            let changed = Trusted::change(&self.homes.config.path, |trusted| accept(trusted, name, accepted.files));
            if let Err(error) = changed {
                self.report.warning(&format!("the change is accepted, but cannot be taken back: {error}"));
            }
            Ok(accepted.differences)
        })
    }

    /// Takes back what was trusted under the name `name`: accepted changes of its files, and the pins of its signers.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn untrust(&self, name: &str) -> Result<Untrusted, TrustError> {
        self.recorded(Note::of_plugin(Event::Trust, name), |note| {
            let untrusted = self.take_back(name)?;
            if untrusted.files.is_empty() && untrusted.pins.is_empty() {
                note.event = None;
            }
            Ok(untrusted)
        })
    }

    fn take_back(&self, name: &str) -> Result<Untrusted, TrustError> {
        let store = self.store();
        let trusted = self.trusted()?;
        let accepted = trusted.accepted.iter().find(|accepted| accepted.name == name);
        let found = store.find(name)?;
        if found.is_none() && accepted.is_none() && trusted.pins.iter().all(|pin| pin.name != name) {
            let (host, nearest) = (self.host.name().to_owned(), store.near(name));
            return Err(TrustError::Unknown { name: name.to_owned(), host, nearest });
        }
        let files = accepted.map(|accepted| accepted.files.clone()).unwrap_or_default();
        let taken = match found {
            Some(found) if !files.is_empty() || has_accepted(&store, &found)? => {
                store.lock(self.report)?.take_back(name, &files)?
            }
            _ => TakenBack::default(),
        };
        let pins = Trusted::change(&self.homes.config.path, |trusted| {
            trusted.accepted.retain(|accepted| accepted.name != name);
            let (gone, kept) = std::mem::take(&mut trusted.pins).into_iter().partition(|pin| pin.name == name);
            trusted.pins = kept;
            gone
        })?;
        if taken.unknown.is_empty() {
            return Ok(Untrusted { files: taken.files, pins });
        }
        let (name, paths) = (name.to_owned(), taken.unknown);
        let restore = store.restore_command(&name);
        Err(TrustError::NotKnown { name, paths, restore })
    }

    /// Forgets which changes of the plugin `name` were accepted, since it is gone. Its signer is remembered: it may come back.
    pub(super) fn forget_accepted(&self, name: &str) {
        let is_it = |accepted: &Accepted| accepted.name == name;
        // Where that cannot be done nothing is lost by it: `doctor` tells of what is left.
        if self.trusted().is_ok_and(|trusted| trusted.accepted.iter().any(is_it)) {
            let _ = Trusted::change(&self.homes.config.path, |trusted| trusted.accepted.retain(|one| !is_it(one)));
        }
    }

    /// Pins the signer of `restored` wherever that of `replaced` was pinned for the plugin `name`: whoever goes back takes back
    /// that another signer was accepted, so that the next version must be signed as the one that is there.
    pub(super) fn follow_signer(&self, name: &str, replaced: Option<&Receipt>, restored: Option<&Receipt>) {
        let signer = |receipt: Option<&Receipt>| {
            let (fingerprint, user_id) = receipt?.verified.signed_by()?;
            Some((fingerprint.to_owned(), user_id.to_owned()))
        };
        let (Some((from, _)), Some((to, user_id))) = (signer(replaced), signer(restored)) else { return };
        let is_it = |pin: &Pin| pin.name == name && pin.fingerprint.eq_ignore_ascii_case(&from);
        if from.eq_ignore_ascii_case(&to) || !self.trusted().is_ok_and(|trusted| trusted.pins.iter().any(is_it)) {
            return;
        }
        let changed = Trusted::change(&self.homes.config.path, |trusted| {
            for pin in trusted.pins.iter_mut().filter(|pin| is_it(pin)) {
                (pin.fingerprint, pin.user_id, pin.since) = (to.clone(), user_id.clone(), Timestamp::now());
            }
        });
        if let Err(error) = changed {
            self.report.warning(&format!("the signer is not remembered: {error}"));
        }
    }

    /// Lets the key that `selector` means sign plugins of these names from these sources alone; without either, all. Gives its
    /// fingerprint.
    ///
    /// # Errors
    /// See [`LimitError`].
    pub fn limit_key(&self, selector: &str, names: &[String], sources: &[String]) -> Result<String, LimitError> {
        // A key need not be in our own keyring: others count too.
        let fingerprint = match selector.parse::<FullFingerprint>() {
            Ok(fingerprint) => fingerprint.to_string(),
            Err(_) if selector.starts_with("SHA256:") => selector.to_owned(),
            Err(_) => self.select_key(selector)?.fingerprint,
        };
        self.set_limit(&fingerprint, names, sources)?;
        Ok(fingerprint)
    }

    /// Lets the key `fingerprint` sign plugins of these names from these sources alone; without either, all.
    ///
    /// # Errors
    /// See [`LimitError`].
    pub fn set_limit(&self, fingerprint: &str, names: &[String], sources: &[String]) -> Result<(), LimitError> {
        // Without a limit there is nothing to lift.
        if names.is_empty() && sources.is_empty() && self.trusted()?.limit(fingerprint).is_none() {
            return Ok(());
        }
        let mut note = Note { event: Some(Event::Keyring), ..Note::default() };
        note.about.signer = Some(fingerprint.to_owned());
        self.recorded(note, |note| {
            let set = |trusted: &mut Trusted| trusted.set_limit(fingerprint, names.to_vec(), sources.to_vec());
            if !Trusted::change(&self.homes.config.path, set)? {
                note.event = None;
            }
            Ok(())
        })
    }

    /// What the key `fingerprint` may sign, where that is limited.
    ///
    /// # Errors
    /// See [`TrustedError`].
    pub fn limit_of(&self, fingerprint: &str) -> Result<Option<Limit>, TrustedError> {
        Ok(self.trusted()?.limit(fingerprint).cloned())
    }
}

/// Whether changes of the plugin in `found`, or of the version before it, were accepted.
fn has_accepted(store: &Store, found: &Found) -> Result<bool, StoreError> {
    let receipts = [store.receipt(found)?, store.previous_receipt(found)?];
    Ok(receipts.iter().flatten().any(|receipt| !receipt.accepted.is_empty()))
}

/// Notes that `files` of the plugin `name` were accepted.
fn accept(trusted: &mut Trusted, name: &str, files: Vec<ChangedFile>) {
    let since = Timestamp::now();
    let at = match trusted.accepted.iter().position(|accepted| accepted.name == name) {
        Some(at) => at,
        None => {
            trusted.accepted.push(Accepted { name: name.to_owned(), since, files: Vec::new() });
            trusted.accepted.len() - 1
        }
    };
    let Some(accepted) = trusted.accepted.get_mut(at) else { return };
    accepted.since = since;
    for ChangedFile { mut file, again } in files {
        let earlier = accepted.files.iter().position(|other| other.path == file.path);
        if let Some(earlier) = earlier.map(|at| accepted.files.remove(at)) {
            // What was installed is what the first of several changes replaced; a file whose removal was accepted has come back.
            let returned = file.installed.is_none() && earlier.sha256.is_none();
            if again || returned {
                file.installed = earlier.installed;
            }
        }
        accepted.files.push(file);
    }
    // A file that came and went again leaves nothing to take back.
    accepted.files.retain(|file: &AcceptedFile| file.sha256.is_some() || file.installed.is_some());
    accepted.files.sort_by(|a, b| a.path.cmp(&b.path));
    trusted.accepted.retain(|accepted| !accepted.files.is_empty());
}
