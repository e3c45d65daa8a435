//! `plugin sync`: makes the store equal to a lock file. Packages are fetched, verified and unpacked at once, within
//! `http.parallel`; each takes its place as soon as it is ready, one after the other.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::fetch::{FetchContext, receipt_source};
use super::verify::VerifiedLocked;
use super::{FetchLockedError, LockFile, LockFileError, LockedPlugin, LockedVerification};
use crate::audit::{AuditError, AuditEvent};
use crate::error::{Classified, ErrorKind};
use crate::intake::provenance::Evidence;
use crate::intake::source::FetchOptions;
use crate::manager::admit::{AdmissionRequest, Voucher, source_identity};
use crate::manager::audit::AuditNote;
use crate::manager::parallel::{SharedProgress, for_each};
use crate::manager::place::Replaces;
use crate::manager::{AdmitError, InstallError, Manager, UninstallError, UpdateError, VerificationMode};
use crate::policy::SourceLocation;
use crate::report::Report;
use crate::settings::GateMode;
use crate::store::{
    InstallDetails, InstallKind, Receipt, StagedPlugin, StoreError, StoreLock, VerificationMethod, interrupt,
};
use crate::text::Sanitized;

/// What to make the store equal to, and how.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The lock file.
    pub lock_file: PathBuf,
    /// A directory that `plugin export` wrote, which is looked into first.
    pub mirror: Option<PathBuf>,
    /// Whether the network is out of bounds.
    pub offline: bool,
    /// Whether what the file does not settle is an error.
    pub frozen: bool,
    /// Whether what the file does not name goes.
    pub prune: bool,
    /// Whether hooks run.
    pub hooks: bool,
    /// How to reach servers.
    pub fetch: FetchOptions,
    /// Whose signatures count.
    pub trust: VerificationMode,
    /// Whether another signer than before is fine.
    pub accept_signer: bool,
    /// Whether nothing is changed, and nothing fetched: the results say what would be done.
    pub check: bool,
}

/// What became of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Its name.
    pub name: String,
    /// The version before, where it was there.
    pub from: Option<String>,
    /// Its version now, where it has one.
    pub to: Option<String>,
    /// What was done.
    pub change: SyncChange,
}

/// What was done with one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncChange {
    /// It was there as the file has it.
    None,
    /// It came.
    Installed,
    /// It took the place of another version, or of something else.
    Replaced,
    /// It went, since the file does not name it.
    Removed,
}

/// Why a plugin is not as the lock file has it. What was there is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The lock file cannot be used.
    #[error(transparent)]
    File(#[from] LockFileError),
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store cannot be read or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its package cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchLockedError),
    /// It may not come in.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The package is another plugin, or another version of it.
    #[error("the package of plugin `{name}` is `{}`, but the lock file says `{}`; write the lock file anew", Sanitized(.found), Sanitized(.locked))]
    OtherPlugin {
        /// The plugin's name.
        name: String,
        /// What the package is.
        found: String,
        /// What it should be.
        locked: String,
    },
    /// It could not be put in place.
    #[error("cannot install plugin `{name}` as the lock file has it")]
    Install {
        /// The plugin's name.
        name: String,
        /// What failed.
        source: Box<InstallError>,
    },
    /// It could not take the place of another version.
    #[error(transparent)]
    Update(Box<UpdateError>),
    /// It could not be removed.
    #[error(transparent)]
    Uninstall(Box<UninstallError>),
}

impl Classified for SyncError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Audit(error) => error.kind(),
            Self::Store(error) => error.kind().once_begun(),
            Self::Fetch(error) => error.kind(),
            Self::Admit(error) => error.kind(),
            Self::OtherPlugin { .. } => ErrorKind::Unverified,
            Self::Install { source, .. } => source.kind(),
            Self::Update(error) => error.kind(),
            Self::Uninstall(error) => error.kind(),
        }
    }
}

/// What became of each plugin, by its name.
pub type SyncResults = Vec<(String, Result<Synced, SyncError>)>;

/// What is in the place of a locked plugin.
struct ExistingPlugin {
    version: Option<String>,
    receipt: Option<Receipt>,
}

/// A plugin that is ready to take its place.
struct StagedLocked {
    staged: StagedPlugin,
    /// Everywhere that it came from.
    locations: Vec<SourceLocation>,
    /// What was found out of its signer.
    evidence: Evidence,
}

impl Manager<'_> {
    /// Makes the store equal to a lock file: all its plugins are tried. The results, each with its plugin's name, are sorted by
    /// name: first those that are as they should be, then those that failed, then those that were to be removed.
    ///
    /// # Errors
    /// The lock file or the store cannot be used; what fails for one plugin is its result.
    pub fn sync(&self, request: &SyncRequest) -> Result<SyncResults, SyncError> {
        let file = LockFile::read(&request.lock_file, self.host.name())?;
        let mut results = Vec::new();
        let mut wanted = Vec::new();
        for locked in file.plugins.values() {
            match self.matches_lock(locked) {
                Ok(true) => {
                    let version = locked.version.as_ref().map(ToString::to_string);
                    let (from, to) = (version.clone(), version);
                    let name = locked.name.to_string();
                    results.push((name.clone(), Ok(Synced { name, from, to, change: SyncChange::None })));
                }
                Ok(false) => wanted.push(locked),
                Err(e) => results.push((locked.name.to_string(), Err(e.into()))),
            }
        }
        if request.check {
            results.extend(wanted.iter().map(|locked| (locked.name.to_string(), self.preview_install(locked))));
        } else if !wanted.is_empty() {
            results.extend(self.install_locked(&wanted, request)?);
        }
        // They come in any order: the first failure, which makes the exit code, must not be a matter of chance.
        results.sort_by(|(a, was), (b, is)| was.is_err().cmp(&is.is_err()).then_with(|| a.cmp(b)));
        if request.prune && !interrupt::requested() {
            for name in self.names_to_update()? {
                if file.plugins.keys().all(|kept| kept.as_str() != name) {
                    let removed = match request.check {
                        true => self.preview_removal(&name),
                        false => self.remove_unlisted(&name, request.hooks),
                    };
                    results.push((name, removed));
                }
            }
        }
        Ok(results)
    }

    fn preview_install(&self, locked: &LockedPlugin) -> Result<Synced, SyncError> {
        let found = self.store().find(locked.name.as_str())?;
        let change = if found.is_some() { SyncChange::Replaced } else { SyncChange::Installed };
        let from = found.map(|found| found.version_text()).filter(|version| !version.is_empty());
        let to = locked.version.as_ref().map(ToString::to_string);
        Ok(Synced { name: locked.name.to_string(), from, to, change })
    }

    fn preview_removal(&self, name: &str) -> Result<Synced, SyncError> {
        let version = self.store().find(name)?.map(|found| found.version_text());
        let from = version.filter(|version| !version.is_empty());
        Ok(Synced { name: name.to_owned(), from, to: None, change: SyncChange::Removed })
    }

    fn remove_unlisted(&self, name: &str, hooks: bool) -> Result<Synced, SyncError> {
        let removed = self.uninstall(name, hooks).map_err(|e| SyncError::Uninstall(Box::new(e)))?;
        let from = Some(removed.version).filter(|version| !version.is_empty());
        Ok(Synced { name: removed.name, from, to: None, change: SyncChange::Removed })
    }

    /// Whether exactly this is installed, with its files as they were installed.
    fn matches_lock(&self, locked: &LockedPlugin) -> Result<bool, StoreError> {
        let store = self.store();
        let name = locked.name.as_str();
        let Some(found) = store.find(name)? else { return Ok(false) };
        let Some(receipt) = store.receipt(&found)? else { return Ok(false) };
        let version = locked.version.as_ref().map(ToString::to_string);
        if found.link || receipt.kind != InstallKind::Package || receipt.version != version {
            return Ok(false);
        }
        let archive = receipt.archive.as_ref().map(|archive| archive.sha256);
        let revision = receipt_source(locked, &receipt.source).revision;
        let same = match (locked.archive(), revision) {
            (Some(digest), _) if archive == Some(digest) => true,
            // The same commit may be packed differently by another version of this program.
            (_, Some(revision)) => receipt.source.revision.as_ref() == Some(&revision),
            (Some(_), None) => false,
            // The file settles nothing: the version is all there is.
            (None, None) => true,
        };
        let proven = match (&locked.verified, receipt.verified.by) {
            (LockedVerification::Nothing, _) | (LockedVerification::Digest, VerificationMethod::Signature) => true,
            (LockedVerification::Signature(signer), VerificationMethod::Signature) => {
                let own = receipt.verified.fingerprint.as_deref();
                own.is_some_and(|own| own.eq_ignore_ascii_case(&signer.fingerprint))
            }
            // A machine without keys has no more than the digest.
            (LockedVerification::Signature(_) | LockedVerification::Digest, VerificationMethod::Digest) => true,
            (
                LockedVerification::Signature(_) | LockedVerification::Digest,
                VerificationMethod::Local | VerificationMethod::None,
            ) => false,
        };
        Ok(same && proven && store.open_plugin(name, GateMode::Require).is_ok())
    }

    /// Fetches, verifies and stages at once, and puts in place one after the other.
    fn install_locked(&self, wanted: &[&LockedPlugin], request: &SyncRequest) -> Result<SyncResults, SyncError> {
        let context = FetchContext {
            fetch: &request.fetch,
            mirror: request.mirror.as_deref(),
            offline: request.offline,
            frozen: request.frozen,
            trust: &request.trust,
            accept_signer: request.accept_signer,
        };
        self.check_credentials(wanted.iter().copied(), &request.fetch)?;
        let store = self.store();
        let lock = store.lock(self.report)?;
        // Under the lock nobody else brings a plugin: who was not there at the beginning need not be looked for among all others
        // each time one comes.
        let present: BTreeSet<String> = store.list()?.plugins.into_iter().map(|plugin| plugin.name).collect();
        let progress = SharedProgress::start(
            self.report,
            &match wanted.len() {
                1 => "getting one plugin".to_owned(),
                many => format!("getting {many} plugins"),
            },
        );
        let mut results = Vec::new();
        for_each(
            wanted,
            self.settings.http.parallel,
            |locked| self.stage_locked(&lock, locked, &context, &progress),
            |at, ready| {
                let Some(locked) = wanted.get(at) else { return };
                let mut note = AuditNote::of_plugin(AuditEvent::Install, locked.name.as_str());
                note.about.source = Some(locked.source.clone());
                let name = locked.name.as_str();
                let present = present.contains(name) || store.directory().join(name).symlink_metadata().is_ok();
                if present {
                    note.event = Some(AuditEvent::Update);
                }
                let committed = self.with_audit(note, |note| {
                    ready.and_then(|ready| self.commit_locked(&lock, ready, locked, present, request, note))
                });
                results.push((locked.name.to_string(), committed));
            },
        );
        drop(progress);
        Ok(results)
    }

    fn stage_locked(
        &self,
        lock: &StoreLock<'_>,
        locked: &LockedPlugin,
        context: &FetchContext<'_>,
        progress: &SharedProgress<'_>,
    ) -> Result<StagedLocked, SyncError> {
        let spool = lock.spool()?;
        let part = progress.part();
        let VerifiedLocked { verified, evidence } = self.fetch_and_verify_locked(locked, context, spool.path(), &part)?;
        // Where it is said to come from counts as much as where it was had.
        let origin = verified.fetched().origin();
        let locations = match self.parse_source(&locked.source) {
            Ok(source) => self.locations_of_fetched(&source, origin),
            Err(_) => vec![SourceLocation::of(&locked.source), SourceLocation::of(&origin.resolved)],
        };
        // What is fetched is counted, what is unpacked is not counted again.
        let staged = lock.stage(verified, &WithoutProgress(self.report));
        let staged = staged.map_err(|e| SyncError::Install { name: locked.name.to_string(), source: Box::new(e.into()) })?;
        let metadata = staged.metadata();
        if metadata.name != locked.name || metadata.version != locked.version {
            let label = |name: &str, version: Option<&semver::Version>| match version {
                Some(version) => format!("{name} {version}"),
                None => name.to_owned(),
            };
            return Err(SyncError::OtherPlugin {
                name: locked.name.to_string(),
                found: label(metadata.name.as_str(), metadata.version.as_ref()),
                locked: label(locked.name.as_str(), locked.version.as_ref()),
            });
        }
        Ok(StagedLocked { staged, locations, evidence })
    }

    fn commit_locked(
        &self,
        lock: &StoreLock<'_>,
        ready: StagedLocked,
        locked: &LockedPlugin,
        present: bool,
        request: &SyncRequest,
        note: &mut AuditNote,
    ) -> Result<Synced, SyncError> {
        let StagedLocked { staged, locations, evidence } = ready;
        let hooks = request.hooks;
        let name = locked.name.to_string();
        let found = if present { lock.store().find(&name)? } else { None };
        let existing = match found {
            Some(found) => {
                let version = Some(found.version_text()).filter(|version| !version.is_empty());
                // A damaged receipt is replaced with the rest.
                Some(ExistingPlugin { version, receipt: lock.store().receipt(&found).unwrap_or_default() })
            }
            None => None,
        };
        let source = self.parse_source(&locked.source);
        let admission = self.admit(&AdmissionRequest {
            name: &name,
            locations: &locations,
            source: source.map_or_else(|_| locked.source.clone(), |source| source_identity(&source)),
            evidence: Some(&evidence),
            voucher: Voucher::ThirdParty,
            replaced: existing.as_ref().and_then(|existing| existing.receipt.as_ref()),
            accept_signer: request.accept_signer,
        })?;
        let to = staged.metadata().version.as_ref().map(ToString::to_string);
        let held = existing.as_ref().and_then(|existing| existing.receipt.as_ref()).is_some_and(|receipt| receipt.held);
        let source = Some(receipt_source(locked, staged.source()));
        let constraint = locked.constraint.clone();
        let network = self.network_settings_for(locked, &request.fetch);
        let details = InstallDetails { source, constraint, network, held };
        let synced = match existing {
            Some(ExistingPlugin { version, .. }) => {
                self.place(lock, staged, details, Replaces::Version, hooks, note)
                    .map_err(|e| SyncError::Update(Box::new(UpdateError::placed(&name, version.as_deref(), e))))?;
                Synced { name, from: version, to, change: SyncChange::Replaced }
            }
            None => {
                self.place(lock, staged, details, Replaces::Nothing, hooks, note).map_err(|error| {
                    let source = Box::new(InstallError::placed(&locked.name, error));
                    SyncError::Install { name: name.clone(), source }
                })?;
                Synced { name, from: None, to, change: SyncChange::Installed }
            }
        };
        self.remember_signer(admission);
        Ok(synced)
    }
}

/// Passes on warnings and notices alone.
struct WithoutProgress<'a>(&'a dyn Report);

impl Report for WithoutProgress<'_> {
    fn event(&self, event: crate::report::ReportEvent<'_>) {
        use crate::report::ReportEvent;
        if matches!(event, ReportEvent::Notice(_) | ReportEvent::Warning(_) | ReportEvent::Detail(_) | ReportEvent::Step(_))
        {
            self.0.event(event);
        }
    }
}
