//! `plugin trust`, `plugin untrust` and the limits of keys: what the user accepts, and taking that back.

use jiff::Timestamp;

use super::Manager;
use super::audit::AuditNote;
use super::keyring::OwnKeyringError;
use crate::audit::{AuditError, AuditEvent};
use crate::error::{Classified, ErrorKind};
use crate::intake::provenance::FullFingerprint;
use crate::spelling::did_you_mean;
use crate::store::{ChangedFile, Difference, InstalledPlugin, Receipt, Store, StoreError, WithdrawnChanges};
use crate::text::Sanitized;
use crate::trust::{AcceptedChanges, AcceptedFile, KnownSigner, SignerLimit, TrustFile, TrustFileError};

/// What was taken back.
#[derive(Debug, Clone, Default)]
pub struct UntrustedPlugin {
    /// The files whose changes are no longer accepted.
    pub files: Vec<String>,
    /// The signers who are no longer known.
    pub signers: Vec<KnownSigner>,
}

/// Why trust was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Nothing of that name is trusted, and nothing is installed.
    #[error(
        "plugin `{}` is not installed, and nothing is trusted under this name; {}",
        Sanitized(.name), did_you_mean(.nearest).unwrap_or_else(|| format!("`{host} plugin trust` shows what is"))
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
        Sanitized(.name),
        .paths.iter().map(|path| format!("`{}`", Sanitized(path))).collect::<Vec<_>>().join(", ")
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
    File(#[from] TrustFileError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl Classified for TrustError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } => ErrorKind::NotInstalled,
            Self::Store(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Audit(error) => error.kind(),
            Self::NotKnown { .. } => ErrorKind::Failed,
        }
    }
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
    File(#[from] TrustFileError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl Classified for LimitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Key(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Audit(error) => error.kind(),
        }
    }
}

impl Manager<'_> {
    /// What the user trusts.
    ///
    /// # Errors
    /// See [`TrustFileError`].
    pub fn trusted(&self) -> Result<TrustFile, TrustFileError> {
        TrustFile::load(&self.homes.config.path)
    }

    /// Accepts the changes that were made to the files of the plugin `name`, and says which they were. What was installed is
    /// remembered, so that [`Manager::untrust`] can take that back.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn trust(&self, name: &str) -> Result<Vec<Difference>, TrustError> {
        self.with_audit(AuditNote::of_plugin(AuditEvent::Trust, name), |note| {
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
                if let Some(rule) = self.policy.required_level(Some(name), &receipt.locations()) {
                    let way_out = store.restore_command(&receipt.name);
                    self.report.warning(&format!(
                        "the policy {} wants what was verified, so plugin `{}` does not run with the change; restore it with `{way_out}`",
                        rule.at,
                        Sanitized(name)
                    ));
                }
            }
            let changed = TrustFile::change(&self.homes.config.path, |trusted| accept(trusted, name, accepted.files));
            if let Err(error) = changed {
                self.report.warning(&format!("the change is accepted, but cannot be taken back: {error}"));
            }
            Ok(accepted.differences)
        })
    }

    /// Takes back what was trusted under the name `name`: accepted changes of its files, and its known signers.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn untrust(&self, name: &str) -> Result<UntrustedPlugin, TrustError> {
        self.with_audit(AuditNote::of_plugin(AuditEvent::Trust, name), |note| {
            let untrusted = self.withdraw_trust(name)?;
            if untrusted.files.is_empty() && untrusted.signers.is_empty() {
                note.event = None;
            }
            Ok(untrusted)
        })
    }

    fn withdraw_trust(&self, name: &str) -> Result<UntrustedPlugin, TrustError> {
        let store = self.store();
        let trusted = self.trusted()?;
        let accepted = trusted.accepted.iter().find(|accepted| accepted.name == name);
        let found = store.find(name)?;
        if found.is_none() && accepted.is_none() && trusted.known_signers.iter().all(|known| known.name != name) {
            let (host, nearest) = (self.host.name().to_owned(), store.near(name));
            return Err(TrustError::Unknown { name: name.to_owned(), host, nearest });
        }
        let files = accepted.map(|accepted| accepted.files.clone()).unwrap_or_default();
        let taken = match found {
            Some(found) if !files.is_empty() || has_accepted(&store, &found)? => {
                store.lock(self.report)?.withdraw_accepted(name, &files)?
            }
            _ => WithdrawnChanges::default(),
        };
        let signers = TrustFile::change(&self.homes.config.path, |trusted| {
            trusted.accepted.retain(|accepted| accepted.name != name);
            let (gone, kept) = std::mem::take(&mut trusted.known_signers).into_iter().partition(|known| known.name == name);
            trusted.known_signers = kept;
            gone
        })?;
        if taken.unknown.is_empty() {
            return Ok(UntrustedPlugin { files: taken.files, signers });
        }
        let (name, paths) = (name.to_owned(), taken.unknown);
        let restore = store.restore_command(&name);
        Err(TrustError::NotKnown { name, paths, restore })
    }

    /// Forgets which changes of the plugin `name` were accepted, since it is gone. Its signer is remembered: it may come back.
    pub(super) fn forget_accepted(&self, name: &str) {
        let is_it = |accepted: &AcceptedChanges| accepted.name == name;
        // Where that cannot be done nothing is lost by it: `doctor` tells of what is left.
        if self.trusted().is_ok_and(|trusted| trusted.accepted.iter().any(is_it)) {
            let _ = TrustFile::change(&self.homes.config.path, |trusted| trusted.accepted.retain(|one| !is_it(one)));
        }
    }

    /// Remembers the signer of `restored` wherever that of `replaced` was known for the plugin `name`: whoever goes back takes back
    /// that another signer was accepted, so that the next version must be signed as the one that is there.
    pub(super) fn follow_signer(&self, name: &str, replaced: Option<&Receipt>, restored: Option<&Receipt>) {
        let signer = |receipt: Option<&Receipt>| {
            let (fingerprint, user_id) = receipt?.verified.signed_by()?;
            Some((fingerprint.to_owned(), user_id.to_owned()))
        };
        let (Some((from, _)), Some((to, user_id))) = (signer(replaced), signer(restored)) else { return };
        let is_it = |known: &KnownSigner| known.name == name && known.fingerprint.eq_ignore_ascii_case(&from);
        if from.eq_ignore_ascii_case(&to) || !self.trusted().is_ok_and(|trusted| trusted.known_signers.iter().any(is_it)) {
            return;
        }
        let changed = TrustFile::change(&self.homes.config.path, |trusted| {
            for known in trusted.known_signers.iter_mut().filter(|known| is_it(known)) {
                (known.fingerprint, known.user_id, known.since) = (to.clone(), user_id.clone(), Timestamp::now());
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
        let mut note = AuditNote { event: Some(AuditEvent::Keyring), ..AuditNote::default() };
        note.about.signer = Some(fingerprint.to_owned());
        self.with_audit(note, |note| {
            let set = |trusted: &mut TrustFile| trusted.set_limit(fingerprint, names.to_vec(), sources.to_vec());
            if !TrustFile::change(&self.homes.config.path, set)? {
                note.event = None;
            }
            Ok(())
        })
    }

    /// What the key `fingerprint` may sign, where that is limited.
    ///
    /// # Errors
    /// See [`TrustFileError`].
    pub fn limit_of(&self, fingerprint: &str) -> Result<Option<SignerLimit>, TrustFileError> {
        Ok(self.trusted()?.limit(fingerprint).cloned())
    }
}

/// Whether changes of the plugin in `found`, or of the version before it, were accepted.
fn has_accepted(store: &Store, found: &InstalledPlugin) -> Result<bool, StoreError> {
    let receipts = [store.receipt(found)?, store.previous_receipt(found)?];
    Ok(receipts.iter().flatten().any(|receipt| !receipt.accepted.is_empty()))
}

/// Notes that `files` of the plugin `name` were accepted.
fn accept(trusted: &mut TrustFile, name: &str, files: Vec<ChangedFile>) {
    let since = Timestamp::now();
    let at = match trusted.accepted.iter().position(|accepted| accepted.name == name) {
        Some(at) => at,
        None => {
            trusted.accepted.push(AcceptedChanges { name: name.to_owned(), since, files: Vec::new() });
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
