//! `plugin update` and `plugin outdated` (`docs/using.md#keep-plugins-up-to-date`): from the receipt's source and constraint to a newer version,
//! verified as the first one was and by the same signer. The old version stays until the new one and its update hook
//! succeeded, and is kept for a rollback.

mod error;
mod lookup;
mod outdated;
mod tracked;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};

use semver::Version;

use self::lookup::AvailableUpdate;
use self::tracked::{TrackedSource, installed_version};
use super::admit::Admission;
use super::audit::AuditNote;
use super::install::InstallError;
use super::network::network_settings;
use super::place::Replaces;
use super::{Manager, VerificationMode};
use crate::audit::AuditEvent;
use crate::digest::Sha256Digest;
use crate::intake::package;
use crate::intake::provenance::{Evidence, VerifiedPackage};
use crate::intake::source::version::tag_version;
use crate::intake::source::{FetchOptions, ResolvedVersion};
use crate::manifest::{self, Metadata};
use crate::store::{self, InstallDetails, Receipt, Spool, StagedPlugin, Status, StoreError, StoreLock};
use crate::text::Sanitized;

use error::Stopped;
pub use error::UpdateError;
pub use outdated::{Outdated, OutdatedResult, UpdateBlocker};

/// How plugins are updated.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// How to fetch. Its version is not used: that is the receipt's, or [`Self::to`].
    pub fetch: FetchOptions,
    /// What makes the new version trusted, where the user said so; else what made the installed one trusted.
    pub trust: Option<VerificationMode>,
    /// Whether a signature made while its key was valid is good after the key expired.
    pub allow_expired_key: bool,
    /// Another signer than that of the installed version is fine.
    pub accept_signer: bool,
    /// The version to go to, also back; else the newest that fits.
    pub to: Option<String>,
    /// Whether pre-releases count.
    pub pre: bool,
    /// Whether the update hook runs.
    pub hooks: bool,
    /// Whether everything is done but the change itself.
    pub dry_run: bool,
    /// Whether this is one of many plugins that nobody named: what cannot be updated is passed over.
    pub all: bool,
}

/// What became of a plugin that was to be updated.
#[derive(Debug, Clone)]
pub struct Update {
    /// The plugin's name.
    pub name: String,
    /// The version before.
    pub from: Option<String>,
    /// What happened.
    pub outcome: UpdateOutcome,
}

/// How an update ended.
#[derive(Debug, Clone)]
pub enum UpdateOutcome {
    /// The new version is in place, or would be without `dry_run`.
    Changed {
        /// The new version.
        to: Option<String>,
        /// Why it is trusted; `None` for a copy of a directory of the user's own.
        evidence: Option<Evidence>,
    },
    /// Nothing was done.
    Unchanged(Unchanged),
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unchanged {
    /// It is what its source has.
    Newest,
    /// It follows an exact version, tag or commit, which does not move.
    Exact(String),
    /// What its source has is not in the range that it follows.
    OutOfRange {
        /// The version there.
        offered: String,
        /// The range.
        range: String,
    },
    /// What its source has is a pre-release.
    PreRelease(String),
    /// It is a link to a directory, whose files are used as they are.
    Link(PathBuf),
    /// The user went back from this version, which is what its source has.
    RolledBack(String),
    /// It is held.
    Held,
    /// It was copied in by hand or by another program.
    NoReceipt,
    /// It lies in a directory that is only read.
    ReadOnly(PathBuf),
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("is up to date"),
            Self::Exact(version) => {
                write!(f, "stays: it was installed as exactly `{}`; `--to VERSION` moves it", Sanitized(version))
            }
            Self::OutOfRange { offered, range } => write!(
                f,
                "stays: its source has {}, which is not in `{}` as it was installed; `--to VERSION` moves it",
                Sanitized(offered),
                Sanitized(range)
            ),
            Self::PreRelease(offered) => {
                write!(f, "stays: its source has {}, a pre-release; `--pre` takes it", Sanitized(offered))
            }
            Self::Link(directory) => {
                write!(f, "is a link to {}, whose files are used as they are", Sanitized(&directory.to_string_lossy()))
            }
            Self::RolledBack(offered) => {
                write!(
                    f,
                    "stays: you went back from {}, and its source has nothing newer; named, it is updated",
                    Sanitized(offered)
                )
            }
            Self::Held => f.write_str("is pinned, and skipped"),
            Self::NoReceipt => {
                f.write_str("has no receipt, since it was copied in by hand or by another program, and is skipped")
            }
            Self::ReadOnly(directory) => {
                write!(f, "is in {}, which is not written to, and is skipped", Sanitized(&directory.to_string_lossy()))
            }
        }
    }
}

/// An installed plugin with its receipt.
struct UpdateTarget {
    receipt: Receipt,
    version: Option<Version>,
    /// The receipt of the version before, which after a rollback is the newer one.
    previous: Option<Receipt>,
}

impl UpdateTarget {
    /// Whether `resolved` is what the user went back from.
    fn rolled_back_from(&self, resolved: &ResolvedVersion) -> Option<Unchanged> {
        let before = self.previous.as_ref()?;
        let archive = before.archive.as_ref().map(|archive| archive.sha256);
        let version = || resolved.version.as_deref().and_then(tag_version) == installed_version(before);
        let is_it = match (&resolved.revision, resolved.archive) {
            (Some(revision), _) => before.source.revision.as_ref() == Some(revision),
            (None, Some(digest)) => archive == Some(digest),
            (None, None) => resolved.version.is_some() && version(),
        };
        is_it.then(|| Unchanged::RolledBack(before.version.clone().unwrap_or_default()))
    }

    /// Whether the package with this digest is what the user went back from.
    fn rolled_back_from_package(&self, digest: Sha256Digest) -> Option<Unchanged> {
        let before = self.previous.as_ref()?;
        let is_it = before.archive.as_ref().is_some_and(|archive| archive.sha256 == digest);
        is_it.then(|| Unchanged::RolledBack(before.version.clone().unwrap_or_default()))
    }
}

/// A plugin that can be updated, or why not.
enum Updatable {
    Yes(Box<UpdateTarget>),
    No(Option<String>, Unchanged),
}

/// What comes in the place of the installed version.
enum NewVersion<'l> {
    Staged(Box<StagedPlugin>, &'l StoreLock<'l>),
    /// A dry run stops here.
    Preview {
        metadata: Box<Metadata>,
        evidence: Option<Evidence>,
    },
}

impl Manager<'_> {
    /// The names of all plugins that `update --all` looks at, sorted: those in whose place another one is used are not among them.
    ///
    /// # Errors
    /// The plugin directory cannot be read.
    pub fn names_to_update(&self) -> Result<Vec<String>, StoreError> {
        let listing = self.store().list()?;
        let mut names: Vec<String> =
            listing.plugins.into_iter().filter(|one| one.status != Status::Shadowed).map(|one| one.name).collect();
        names.dedup();
        Ok(names)
    }

    /// Updates the plugin `name`.
    ///
    /// # Errors
    /// Any [`UpdateError`]; the installed version is then in place as it was.
    pub fn update(&self, name: &str, request: &UpdateRequest) -> Result<Update, UpdateError> {
        // A dry run changes nothing, but what it finds that is not to be trusted is worth a record.
        let note = AuditNote::of_plugin(AuditEvent::Update, name);
        let note = AuditNote { event: note.event.filter(|_| !request.dry_run), ..note };
        self.with_audit(note, |note| {
            let update = self.update_if_newer(name, request, note)?;
            if matches!(update.outcome, UpdateOutcome::Unchanged(_)) {
                note.event = None;
            }
            Ok(update)
        })
    }

    fn update_if_newer(&self, name: &str, request: &UpdateRequest, note: &mut AuditNote) -> Result<Update, UpdateError> {
        // Looked at without the lock: a wrong name, or a plugin that stays, must not need a store that can be written.
        let installed = match self.updatable_unless_held(name, request.all)? {
            Updatable::Yes(installed) => installed,
            Updatable::No(from, why) => return Ok(unchanged(name, from, why)),
        };
        if request.dry_run {
            return self.preview_replacement(&installed, request, note).map_err(|stopped| stopped.about(&installed.receipt));
        }
        let store = self.store();
        let lock = store.lock(self.report).map_err(|e| Stopped::from(e).about(&installed.receipt))?;
        // Another program may have changed it while we waited.
        let installed = match self.updatable_unless_held(name, request.all)? {
            Updatable::Yes(installed) => installed,
            Updatable::No(from, why) => return Ok(unchanged(name, from, why)),
        };
        let spool = lock.spool().map_err(|e| Stopped::from(e).about(&installed.receipt))?;
        self.fetch_and_replace(&installed, request, spool.path(), Some(&lock), note)
            .map_err(|stopped| stopped.about(&installed.receipt))
    }

    /// Everything that an update does, but the change itself.
    fn preview_replacement(
        &self,
        installed: &UpdateTarget,
        request: &UpdateRequest,
        note: &mut AuditNote,
    ) -> Result<Update, Stopped> {
        let scratch = scratch()?;
        self.fetch_and_replace(installed, request, scratch.path(), None, note)
    }

    /// [`Self::updatable`], unless it is held.
    fn updatable_unless_held(&self, name: &str, all: bool) -> Result<Updatable, UpdateError> {
        match self.updatable(name, all)? {
            Updatable::Yes(installed) if installed.receipt.held => {
                if all {
                    return Ok(Updatable::No(installed.receipt.version, Unchanged::Held));
                }
                Err(UpdateError::Held { name: installed.receipt.name, host: self.host.name().to_owned() })
            }
            subject => Ok(subject),
        }
    }

    /// Finds the plugin `name`, and whether it can be updated at all.
    fn updatable(&self, name: &str, all: bool) -> Result<Updatable, UpdateError> {
        let store = self.store();
        let found = store.installed(name)?;
        let receipt = store.receipt(&found)?;
        let version = receipt.as_ref().and_then(|receipt| receipt.version.clone());
        let version = version.or_else(|| Some(found.version_text()).filter(|text| !text.is_empty()));
        let no = |why| Ok(Updatable::No(version.clone(), why));
        if found.link {
            let target = std::fs::read_link(&found.directory).unwrap_or_else(|_| found.directory.clone());
            return no(Unchanged::Link(target));
        }
        let Some(receipt) = receipt else {
            return if all { no(Unchanged::NoReceipt) } else { Err(store.no_receipt(name).into()) };
        };
        let directory = found.directory.parent().unwrap_or(Path::new("")).to_owned();
        if directory != store.directory() {
            if all {
                return no(Unchanged::ReadOnly(directory));
            }
            let written = store.directory().to_owned();
            return Err(StoreError::ReadOnlyRoot { name: name.to_owned(), directory, written }.into());
        }
        if receipt.source.lacks_query() {
            return Err(StoreError::QueryLost { name: name.to_owned(), from: receipt.shown_source() }.into());
        }
        let version = installed_version(&receipt);
        let previous = store.previous_receipt(&found)?;
        Ok(Updatable::Yes(Box::new(UpdateTarget { receipt, version, previous })))
    }

    /// Fetches, verifies and, with the lock, puts in place.
    fn fetch_and_replace<'l>(
        &self,
        installed: &UpdateTarget,
        request: &UpdateRequest,
        spool: &Path,
        lock: Option<&'l StoreLock<'l>>,
        note: &mut AuditNote,
    ) -> Result<Update, Stopped> {
        let UpdateTarget { receipt, .. } = installed;
        note.about.source = Some(receipt.source.asked.clone());
        let name = receipt.name.as_str();
        let stays = |why| Ok(unchanged(name, receipt.version.clone(), why));
        let source = self.parse_source(&receipt.source.asked)?;
        let origin = TrackedSource::new(source, receipt.constraint.as_deref());

        let mut arrived_from = store::RecordedSource::default();
        let mut admission = Admission::default();
        let (next, fetched_from) = match self.fetch_update(installed, &origin, request, spool)? {
            AvailableUpdate::Unchanged(why) => return stays(why),
            AvailableUpdate::Directory(directory) => {
                self.admit_package(name, &self.locations_of(&origin.source), None)?;
                (self.next_from_directory(&directory, lock)?, None)
            }
            AvailableUpdate::Package(fetched) => {
                let from = fetched.origin().clone();
                note.about.digest = Some(format!("sha256:{}", fetched.digest()));
                arrived_from.resolved = Some(from.resolved.clone()).filter(|resolved| !resolved.is_empty());
                arrived_from.revision.clone_from(&from.revision);
                arrived_from.validator.clone_from(&from.validator);
                let verified;
                (verified, admission) = self.verify_as_before(receipt, *fetched, &origin.source, request)?;
                (self.next_from_package(verified, lock)?, Some(from))
            }
        };
        let (metadata, evidence) = match &next {
            NewVersion::Staged(staged, _) => (staged.metadata(), staged.evidence()),
            NewVersion::Preview { metadata, evidence } => (&**metadata, evidence.as_ref()),
        };
        if let Some(why) = self.reason_to_stay(installed, metadata, fetched_from.as_ref(), &origin, request)? {
            return stays(why);
        }
        let to = metadata.version.as_ref().map(ToString::to_string);
        let outcome = UpdateOutcome::Changed { to, evidence: evidence.cloned() };
        if let NewVersion::Staged(staged, lock) = next {
            let followed = request.to.as_deref().map_or_else(|| origin.clone(), |to| origin.moved_to(to));
            let (asked, constraint) = followed.recorded();
            let source = Some(store::RecordedSource { asked, ..arrived_from });
            let network = network_settings(&self.update_options(receipt, &origin, request), &origin.source);
            let details = InstallDetails { source, constraint, network, held: receipt.held };
            self.place(lock, *staged, details, Replaces::Version, request.hooks, note)
                .map_err(|error| UpdateError::placed(name, receipt.version.as_deref(), error))?;
            self.remember_signer(admission);
        }
        Ok(Update { name: name.to_owned(), from: receipt.version.clone(), outcome })
    }

    /// Stages a copy of a directory; without a lock, only reads what it is.
    fn next_from_directory<'l>(
        &self,
        directory: &Path,
        lock: Option<&'l StoreLock<'l>>,
    ) -> Result<NewVersion<'l>, InstallError> {
        if let Some(lock) = lock {
            return Ok(NewVersion::Staged(Box::new(lock.stage_directory_copy(directory, self.report)?), lock));
        }
        let metadata = manifest::load(directory, &self.settings.limits).map_err(StoreError::from)?;
        Ok(NewVersion::Preview { metadata: Box::new(metadata), evidence: None })
    }

    /// Stages a package; without a lock, only checks that it is what was signed.
    fn next_from_package<'l>(
        &self,
        verified: VerifiedPackage,
        lock: Option<&'l StoreLock<'l>>,
    ) -> Result<NewVersion<'l>, InstallError> {
        if let Some(lock) = lock {
            return Ok(NewVersion::Staged(Box::new(lock.stage(verified, self.report)?), lock));
        }
        let metadata = package::inspect(verified.fetched().path(), &self.settings.limits).map_err(StoreError::from)?;
        verified.check_manifest(&metadata)?;
        Ok(NewVersion::Preview { metadata: Box::new(metadata), evidence: Some(verified.evidence().clone()) })
    }
}

fn unchanged(name: &str, from: Option<String>, why: Unchanged) -> Update {
    Update { name: name.to_owned(), from, outcome: UpdateOutcome::Unchanged(why) }
}

/// A private directory outside of the store, for looking without changing; an interrupt clears it.
pub(super) fn scratch() -> Result<Spool, StoreError> {
    Spool::within(&std::env::temp_dir())
}
