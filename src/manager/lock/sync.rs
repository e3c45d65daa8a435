//! `plugin sync`: makes the store equal to a lock file. Packages are fetched, verified and unpacked at once, within
//! `http.parallel`; each takes its place as soon as it is ready, one after the other.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::obtain::{Ways, source_of};
use super::verify::Obtained;
use super::{LockFile, LockFileError, Locked, ObtainError, Vouched};
use crate::audit::{AuditError, Event};
use crate::intake::provenance::Evidence;
use crate::intake::source::FetchOptions;
use crate::manager::admit::{Arriving, Word, pin_source};
use crate::manager::parallel::{Together, each};
use crate::manager::record::Note;
use crate::manager::{AdmitError, InstallError, Manager, Trust, UninstallError, UpdateError};
use crate::policy::Place;
use crate::report::Report;
use crate::settings::Gate;
use crate::store::{Arrival, Kind, Means, Receipt, Staged, StoreError, StoreLock, interrupt};
use crate::text::Plain;

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
    pub trust: Trust,
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
    pub change: Change,
}

/// What was done with one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
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
    Obtain(#[from] ObtainError),
    /// It may not come in.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The package is another plugin, or another version of it.
    #[error("the package of plugin `{name}` is `{}`, but the lock file says `{}`; write the lock file anew", Plain(.found), Plain(.locked))]
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

/// What became of each plugin, by its name.
pub type SyncResults = Vec<(String, Result<Synced, SyncError>)>;

/// What is in the place of a locked plugin.
struct There {
    version: Option<String>,
    receipt: Option<Receipt>,
}

/// A plugin that is ready to take its place.
struct Brought {
    staged: Staged,
    /// Everywhere that it came from.
    places: Vec<Place>,
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
            match self.is_as_locked(locked) {
                Ok(true) => {
                    let version = locked.version.as_ref().map(ToString::to_string);
                    let (from, to) = (version.clone(), version);
                    let name = locked.name.to_string();
                    results.push((name.clone(), Ok(Synced { name, from, to, change: Change::None })));
                }
                Ok(false) => wanted.push(locked),
                Err(e) => results.push((locked.name.to_string(), Err(e.into()))),
            }
        }
        if request.check {
            results.extend(wanted.iter().map(|locked| (locked.name.to_string(), self.would_bring(locked))));
        } else if !wanted.is_empty() {
            results.extend(self.bring(&wanted, request)?);
        }
        // They come in any order: the first failure, which makes the exit code, must not be a matter of chance.
        results.sort_by(|(a, was), (b, is)| was.is_err().cmp(&is.is_err()).then_with(|| a.cmp(b)));
        if request.prune && !interrupt::requested() {
            for name in self.names_to_update()? {
                if file.plugins.keys().all(|kept| kept.as_str() != name) {
                    let removed = match request.check {
                        true => self.would_remove(&name),
                        false => self.remove_unnamed(&name, request.hooks),
                    };
                    results.push((name, removed));
                }
            }
        }
        Ok(results)
    }

    fn would_bring(&self, locked: &Locked) -> Result<Synced, SyncError> {
        let found = self.store().find(locked.name.as_str())?;
        let change = if found.is_some() { Change::Replaced } else { Change::Installed };
        let from = found.map(|found| found.version_text()).filter(|version| !version.is_empty());
        let to = locked.version.as_ref().map(ToString::to_string);
        Ok(Synced { name: locked.name.to_string(), from, to, change })
    }

    fn would_remove(&self, name: &str) -> Result<Synced, SyncError> {
        let version = self.store().find(name)?.map(|found| found.version_text());
        let from = version.filter(|version| !version.is_empty());
        Ok(Synced { name: name.to_owned(), from, to: None, change: Change::Removed })
    }

    fn remove_unnamed(&self, name: &str, hooks: bool) -> Result<Synced, SyncError> {
        let removed = self.uninstall(name, hooks).map_err(|e| SyncError::Uninstall(Box::new(e)))?;
        let from = Some(removed.version).filter(|version| !version.is_empty());
        Ok(Synced { name: removed.name, from, to: None, change: Change::Removed })
    }

    /// Whether exactly this is installed, with its files as they were installed.
    fn is_as_locked(&self, locked: &Locked) -> Result<bool, StoreError> {
        let store = self.store();
        let name = locked.name.as_str();
        let Some(found) = store.find(name)? else { return Ok(false) };
        let Some(receipt) = store.receipt(&found)? else { return Ok(false) };
        let version = locked.version.as_ref().map(ToString::to_string);
        if found.link || receipt.kind != Kind::Package || receipt.version != version {
            return Ok(false);
        }
        let archive = receipt.archive.as_ref().map(|archive| archive.sha256);
        let revision = source_of(locked, &receipt.source).revision;
        let same = match (locked.archive(), revision) {
            (Some(digest), _) if archive == Some(digest) => true,
            // The same commit may be packed differently by another version of this program.
            (_, Some(revision)) => receipt.source.revision.as_ref() == Some(&revision),
            (Some(_), None) => false,
            // The file settles nothing: the version is all there is.
            (None, None) => true,
        };
        let proven = match (&locked.verified, receipt.verified.by) {
            (Vouched::Nothing, _) | (Vouched::Digest, Means::Signature) => true,
            (Vouched::Signature(signer), Means::Signature) => {
                let own = receipt.verified.fingerprint.as_deref();
                own.is_some_and(|own| own.eq_ignore_ascii_case(&signer.fingerprint))
            }
            // A machine without keys has no more than the digest.
            (Vouched::Signature(_) | Vouched::Digest, Means::Digest) => true,
            (Vouched::Signature(_) | Vouched::Digest, Means::Local | Means::None) => false,
        };
        Ok(same && proven && store.open_plugin(name, Gate::Require).is_ok())
    }

    /// Fetches, verifies and stages at once, and puts in place one after the other.
    fn bring(&self, wanted: &[&Locked], request: &SyncRequest) -> Result<SyncResults, SyncError> {
        let ways = Ways {
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
        let together = Together::start(
            self.report,
            &match wanted.len() {
                1 => "getting one plugin".to_owned(),
                many => format!("getting {many} plugins"),
            },
        );
        let mut results = Vec::new();
        each(
            wanted,
            self.settings.http.parallel,
            |locked| self.stage_locked(&lock, locked, &ways, &together),
            |at, brought| {
                let Some(locked) = wanted.get(at) else { return };
                let mut note = Note::of_plugin(Event::Install, locked.name.as_str());
                note.about.source = Some(locked.source.clone());
                let name = locked.name.as_str();
                let present = present.contains(name) || store.directory().join(name).symlink_metadata().is_ok();
                if present {
                    note.event = Some(Event::Update);
                }
                let settled = self.recorded(note, |note| {
                    brought.and_then(|brought| self.settle_locked(&lock, brought, locked, present, request, note))
                });
                results.push((locked.name.to_string(), settled));
            },
        );
        drop(together);
        Ok(results)
    }

    fn stage_locked(
        &self,
        lock: &StoreLock<'_>,
        locked: &Locked,
        ways: &Ways<'_>,
        together: &Together<'_>,
    ) -> Result<Brought, SyncError> {
        let spool = lock.spool()?;
        let part = together.part();
        let Obtained { verified, evidence } = self.obtain(locked, ways, spool.path(), &part)?;
        // Where it is said to come from counts as much as where it was had.
        let origin = &verified.fetched().origin;
        let places = match self.parse_source(&locked.source) {
            Ok(source) => self.places_of_fetched(&source, origin),
            Err(_) => vec![Place::of(&locked.source), Place::of(&origin.resolved)],
        };
        // What is fetched is counted, what is unpacked is not counted again.
        let staged = lock.stage(verified, &Muted(self.report));
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
        Ok(Brought { staged, places, evidence })
    }

    fn settle_locked(
        &self,
        lock: &StoreLock<'_>,
        brought: Brought,
        locked: &Locked,
        present: bool,
        request: &SyncRequest,
        note: &mut Note,
    ) -> Result<Synced, SyncError> {
        let Brought { staged, places, evidence } = brought;
        let hooks = request.hooks;
        let name = locked.name.to_string();
        let found = if present { lock.store().find(&name)? } else { None };
        let there = match found {
            Some(found) => {
                let version = Some(found.version_text()).filter(|version| !version.is_empty());
                // A damaged receipt is replaced with the rest.
                Some(There { version, receipt: lock.store().receipt(&found).unwrap_or_default() })
            }
            None => None,
        };
        let source = self.parse_source(&locked.source);
        let admitted = self.admit(&Arriving {
            name: &name,
            places: &places,
            source: source.map_or_else(|_| locked.source.clone(), |source| pin_source(&source)),
            evidence: Some(&evidence),
            word: Word::Another,
            replaced: there.as_ref().and_then(|there| there.receipt.as_ref()),
            accept_signer: request.accept_signer,
        })?;
        let to = staged.metadata().version.as_ref().map(ToString::to_string);
        let pinned = there.as_ref().and_then(|there| there.receipt.as_ref()).is_some_and(|receipt| receipt.pinned);
        let source = Some(source_of(locked, staged.source()));
        let constraint = locked.constraint.clone();
        let network = self.network_of(locked, &request.fetch);
        let arrival = Arrival { source, constraint, network, pinned };
        let synced = match there {
            Some(There { version, .. }) => {
                self.replace(lock, staged, arrival, version.as_deref(), hooks, note)
                    .map_err(|e| SyncError::Update(Box::new(e)))?;
                Synced { name, from: version, to, change: Change::Replaced }
            }
            None => {
                self.put(lock, staged, arrival, false, hooks, note)
                    .map_err(|source| SyncError::Install { name: name.clone(), source: Box::new(source) })?;
                Synced { name, from: None, to, change: Change::Installed }
            }
        };
        self.remember(admitted);
        Ok(synced)
    }
}

/// Passes on warnings and notices alone.
struct Muted<'a>(&'a dyn Report);

impl Report for Muted<'_> {
    fn event(&self, event: crate::report::Event<'_>) {
        use crate::report::Event;
        if matches!(event, Event::Notice(_) | Event::Warning(_) | Event::Detail(_) | Event::Step(_)) {
            self.0.event(event);
        }
    }
}
