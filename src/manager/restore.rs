//! `plugin restore`: puts the files of the installed version back, from the package that is kept, else from where it came from. It is
//! the same version with the same proof: no hook runs, and nothing else of the plugin changes.

use std::path::Path;

use crate::audit::{AuditError, AuditEvent};
use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::intake::provenance::{self, Requirement};
use crate::intake::source::{self, FetchOptions, GitHubAccess, Source, SourceError};
use crate::store::{Damage, Difference, InstallKind, PreviousDamage, Receipt, StagedPlugin, StoreError, StoreLock};
use crate::text::{Sanitized, quoted};

use super::audit::AuditNote;
use super::network::with_network_settings;
use super::{AdmitError, FetchLockedError, Manager};

/// What became of a plugin that was to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The plugin's name.
    pub name: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// Whether it is a link to a directory, whose files are used as they are.
    pub link: bool,
    /// The files that were not as they were installed and are so again, and how they differed.
    pub files: Vec<Difference>,
    /// Those of the version before, which is kept for a rollback.
    pub previous: Vec<Difference>,
    /// Whether its package, which is kept for verification, was put back.
    pub package: bool,
}

impl Restored {
    /// Whether anything was put back.
    pub fn is_changed(&self) -> bool {
        self.package || !self.files.is_empty() || !self.previous.is_empty()
    }
}

/// Why a plugin was not restored. It is then as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The store cannot be read or changed, or what was had is not what was installed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// It could not be installed any more.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// Its source cannot be understood.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The kept package is gone, and its source gave none.
    #[error(
        "the package of plugin `{}` is no longer kept, and its source does not give it; `{host} plugin trust {}` accepts the files as they are",
        Sanitized(name),
        quoted(name)
    )]
    Unavailable {
        /// The plugin's name.
        name: String,
        /// The host's name.
        host: String,
        /// Why the source does not give it.
        source: Box<FetchLockedError>,
    },
}

impl Classified for RestoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Audit(error) => error.kind(),
            Self::Admit(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Unavailable { source, .. } => source.kind(),
        }
    }
}

impl Manager<'_> {
    /// The names of all plugins that have a receipt by which they can be restored, sorted.
    ///
    /// # Errors
    /// The plugin directory cannot be read.
    pub fn names_to_restore(&self) -> Result<Vec<String>, StoreError> {
        let listing = self.store().list()?;
        let mut names: Vec<String> = listing.plugins.into_iter().filter(|one| one.has_receipt).map(|one| one.name).collect();
        names.dedup();
        Ok(names)
    }

    /// The options of a fetch that the settings alone say.
    pub(super) fn default_fetch_options(&self) -> FetchOptions {
        FetchOptions {
            http: self.settings.http.clone(),
            limits: self.settings.limits.clone(),
            github: GitHubAccess::of(self.host),
            registries: self.settings.registries.clone(),
            ..FetchOptions::default()
        }
    }

    /// Puts the files of the installed plugin `name` back, and says which differed. `fetch` is how its source is reached, where its
    /// package is no longer kept.
    ///
    /// # Errors
    /// Any [`RestoreError`].
    pub fn restore(&self, name: &str, fetch: &FetchOptions) -> Result<Restored, RestoreError> {
        self.with_audit(AuditNote::of_plugin(AuditEvent::Restore, name), |note| {
            let restored = self.restore_files(name, fetch, note)?;
            if !restored.is_changed() {
                note.event = None;
            }
            Ok(restored)
        })
    }

    fn restore_files(&self, name: &str, fetch: &FetchOptions, note: &mut AuditNote) -> Result<Restored, RestoreError> {
        let store = self.store();
        // Looked at without the lock: where there is nothing to do, nothing must be writable.
        let damage = store.damage(name)?;
        note.receipt(&damage.receipt);
        if damage.is_none() || damage.receipt.kind == InstallKind::Link {
            return Ok(restored(&damage));
        }
        self.admit_restored(&damage.receipt)?;
        let lock = store.lock(self.report)?;
        // Another program may have changed it while we waited.
        lock.restore_directory_name(name)?;
        let damage = store.damage(name)?;
        let done = restored(&damage);
        if let Some(previous) = &damage.previous {
            self.restore_previous_files(&lock, &damage, previous)?;
        }
        if !damage.differences.is_empty() || damage.lacks_package() {
            let staged = self.stage_again(&lock, &damage, fetch)?;
            lock.restore(staged, damage)?;
            self.forget_accepted(&done.name);
        }
        Ok(done)
    }

    /// Refuses what a policy, a limit of its signer's key or that key's revocation would keep out today.
    fn admit_restored(&self, receipt: &Receipt) -> Result<(), RestoreError> {
        self.admit_package(&receipt.name, &receipt.locations(), receipt.evidence().as_ref())?;
        Ok(self.admit_previous(receipt)?)
    }

    /// The installed version in staging once more.
    fn stage_again(
        &self,
        lock: &StoreLock<'_>,
        damage: &Damage,
        fetch: &FetchOptions,
    ) -> Result<StagedPlugin, RestoreError> {
        let receipt = &damage.receipt;
        if receipt.kind == InstallKind::Copy {
            return Ok(lock.stage_directory_copy(Path::new(&receipt.source.asked), self.report)?);
        }
        match (&damage.package, &receipt.archive) {
            (Some(package), Some(archive)) => self.stage_kept(lock, package, archive.sha256),
            _ => self.stage_from_source(lock, receipt, fetch),
        }
    }

    fn restore_previous_files(
        &self,
        lock: &StoreLock<'_>,
        damage: &Damage,
        previous: &PreviousDamage,
    ) -> Result<(), RestoreError> {
        let (Some(package), Some(archive)) = (&previous.package, &previous.receipt.archive) else { return Ok(()) };
        Ok(lock.restore_previous(self.stage_kept(lock, package, archive.sha256)?, damage)?)
    }

    /// The package that is kept at `path`, which must have `digest`: it came in under the policy, and was verified then.
    fn stage_kept(&self, lock: &StoreLock<'_>, path: &Path, digest: Sha256Digest) -> Result<StagedPlugin, RestoreError> {
        let spool = lock.spool()?;
        let options = self.default_fetch_options();
        let fetched = source::fetch(&Source::Archive(path.to_owned()), &options, spool.path(), self.report)?;
        let verified = provenance::verify(fetched, &Requirement::Digest(digest), &self.settings.limits);
        Ok(lock.stage(verified.map_err(StoreError::from)?, self.report)?)
    }

    /// The package of `receipt` from its source, with the digest or of the commit that was installed.
    fn stage_from_source(
        &self,
        lock: &StoreLock<'_>,
        receipt: &Receipt,
        fetch: &FetchOptions,
    ) -> Result<StagedPlugin, RestoreError> {
        let spool = lock.spool()?;
        let fetch = with_network_settings(fetch, &receipt.network);
        let name = receipt.name.clone();
        let locked = self.entry(receipt).map_err(|_| self.store().no_receipt(&name))?;
        let signed = receipt.archive.as_ref().is_some_and(|archive| archive.provenance);
        let host = self.host.name().to_owned();
        let fetched = self.refetch(&locked, signed, &fetch, spool.path());
        let fetched = fetched.map_err(|source| RestoreError::Unavailable { name, host, source: Box::new(source) })?;
        let requirement = Requirement::Digest(fetched.digest());
        let verified = provenance::verify(fetched, &requirement, &self.settings.limits).map_err(StoreError::from)?;
        Ok(lock.stage(verified, self.report)?)
    }
}

/// What is put back of `damage`.
fn restored(damage: &Damage) -> Restored {
    let Damage { receipt, differences, previous, .. } = damage;
    let link = receipt.kind == InstallKind::Link;
    let previous = previous.iter().filter(|previous| previous.package.is_some());
    Restored {
        name: receipt.name.clone(),
        version: receipt.version.clone(),
        link,
        files: if link { Vec::new() } else { differences.clone() },
        previous: previous.flat_map(|previous| previous.differences.clone()).collect(),
        package: !link && damage.lacks_package(),
    }
}
