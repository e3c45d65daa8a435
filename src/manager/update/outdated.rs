//! `plugin outdated`: what an update would bring, and what there is beyond that, without changing or verifying anything.

use serde::Serialize;

use super::error::Stopped;
use super::lookup::SourceState;
use super::tracked::with_pre_releases;
use super::{TrackedSource, Unchanged, Updatable, UpdateError, UpdateRequest, UpdateTarget, scratch};
use crate::error::{Classified as _, ErrorKind};
use crate::intake::package;
use crate::intake::source::version::tag_version;
use crate::intake::source::{self, ResolvedVersion, Source};
use crate::manager::audit::AuditNote;
use crate::manager::parallel::{SharedProgress, for_each};
use crate::manager::{Manager, VerificationMode};
use crate::manifest;
use crate::store::StoreError;
use crate::text::quoted;

/// An installed plugin and what its source has, as `plugin outdated -o json` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outdated {
    /// The plugin's name.
    pub name: String,
    /// The installed version.
    pub installed: Option<String>,
    /// The version that would be installed after an update; of a branch that has moved, its commit.
    pub wanted: Option<String>,
    /// The newest version that its source has, where that is known.
    pub latest: Option<String>,
    /// Why an update leaves it as it is, whatever there is.
    #[serde(rename = "held")]
    pub blocker: Option<UpdateBlocker>,
    /// Where it comes from, as it may be shown.
    pub source: Option<String>,
    /// Why its source could not be asked.
    pub problem: Option<String>,
    /// Whether an update would bring something, which may bear the same version.
    #[serde(skip)]
    pub is_newer: bool,
}

/// Why an update leaves a plugin as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum UpdateBlocker {
    /// It follows an exact version, tag, commit or digest.
    #[serde(rename = "exact version")]
    ExactVersion,
    /// It comes from the URL or file of one version.
    #[serde(rename = "exact URL")]
    ExactUrl,
    /// It is held.
    #[serde(rename = "pin")]
    Held,
    /// The user went back from what its source has.
    #[serde(rename = "rollback")]
    Rollback,
}

impl UpdateBlocker {
    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactVersion => "exact version",
            Self::ExactUrl => "exact URL",
            Self::Held => "pin",
            Self::Rollback => "rollback",
        }
    }
}

impl Outdated {
    /// Whether its source was asked, and has nothing that is not installed.
    pub fn is_up_to_date(&self) -> bool {
        self.problem.is_none() && self.blocker.is_none() && !self.is_newer && self.latest == self.installed
    }
}

/// What came of looking one plugin up.
#[derive(Debug)]
pub struct OutdatedResult {
    /// What is known of it; without a `problem` where there is an [error](Self::error), which says more.
    pub row: Outdated,
    /// Why its source could not be asked, where it should have been.
    pub error: Option<UpdateError>,
}

/// What an update would do.
enum UpdatePreview {
    /// Nothing.
    Stays(Unchanged),
    /// It would bring this version, where it has one.
    Newer(Option<String>),
}

impl Manager<'_> {
    /// Looks up all of `names` at once, in their order. With `verify` what an update would bring is fetched and verified as the
    /// update would: then it is an error where that would be one.
    pub fn outdated(&self, names: &[String], request: &UpdateRequest, verify: bool) -> Vec<OutdatedResult> {
        let mut results: Vec<Option<OutdatedResult>> = names.iter().map(|_| None).collect();
        let what = match names.len() {
            1 => "looking up one plugin".to_owned(),
            many => format!("looking up {many} plugins"),
        };
        let progress = SharedProgress::start(self.report, &what);
        for_each(
            names,
            self.settings.http.parallel,
            |name| {
                let part = progress.part();
                Manager { report: &part, ..*self }.look_up_with_error(name, request, verify)
            },
            |at, result| {
                if let Some(place) = results.get_mut(at) {
                    *place = Some(result);
                }
            },
        );
        drop(progress);
        // What an interrupt left out was not looked up.
        results.into_iter().flatten().collect()
    }

    fn look_up_with_error(&self, name: &str, request: &UpdateRequest, verify: bool) -> OutdatedResult {
        let mut row = Outdated { name: name.to_owned(), ..Outdated::default() };
        let error = self.look_up(&mut row, request, verify).err();
        let error = error.map(|error| match error {
            // Nothing was to be updated.
            UpdateError::Failed { name, version, source } => {
                let command = format!("{} plugin update {}", self.host.name(), quoted(&name));
                UpdateError::Unavailable { name, version, source: Box::new(source.for_preview(&command)) }
            }
            other => other,
        });
        OutdatedResult { row, error }
    }

    /// Fills in `row`, which has the plugin's name, as far as it comes.
    fn look_up(&self, row: &mut Outdated, request: &UpdateRequest, verify: bool) -> Result<(), UpdateError> {
        let installed = match self.updatable(&row.name, true)? {
            Updatable::Yes(installed) => installed,
            Updatable::No(version, why) => {
                row.installed = version;
                row.problem = Some(why.to_string());
                return Ok(());
            }
        };
        let receipt = &installed.receipt;
        row.installed.clone_from(&receipt.version);
        row.source = Some(receipt.shown_source());
        let about = |stopped: Stopped| stopped.about(receipt);
        let source = self.parse_source(&receipt.source.asked).map_err(|e| about(e.into()))?;
        let origin = TrackedSource::new(source, receipt.constraint.as_deref());
        // No provenance is fetched for a look.
        let look = UpdateRequest { trust: Some(VerificationMode::Nothing), all: true, ..request.clone() };
        row.fill(&installed, &origin, self.preview_update(&installed, &origin, &look).map_err(about))?;
        if origin.version.is_some() {
            row.latest = self.latest_version(&installed, &origin, &look).map_err(about)?.or_else(|| row.latest.take());
        }
        if verify && row.is_newer {
            let wanted = UpdateRequest { all: true, dry_run: true, ..request.clone() };
            // Nothing changes, so there is nothing to write down.
            self.preview_replacement(&installed, &wanted, &mut AuditNote::default()).map_err(about)?;
        }
        Ok(())
    }

    /// The newest version that the source has, whatever is followed there; `None` where it has one package, or only fetching tells.
    fn latest_version(
        &self,
        installed: &UpdateTarget,
        origin: &TrackedSource,
        request: &UpdateRequest,
    ) -> Result<Option<String>, Stopped> {
        let receipt = &installed.receipt;
        if !matches!(origin.source, Source::Git(_) | Source::Oci(_) | Source::GitHub { .. }) {
            return Ok(None);
        }
        self.admit_source(&origin.source)?;
        let mut options = self.update_options(receipt, origin, request);
        options.version = request.pre.then(|| with_pre_releases(None));
        let spool = scratch()?;
        match source::resolve(&origin.source, &options, spool.path(), self.report) {
            Ok(resolved) => Ok(resolved.and_then(|resolved| version_of(&resolved))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What an update would do.
    fn preview_update(
        &self,
        installed: &UpdateTarget,
        origin: &TrackedSource,
        request: &UpdateRequest,
    ) -> Result<UpdatePreview, Stopped> {
        let receipt = &installed.receipt;
        let mut options = self.update_options(receipt, origin, request);
        let spool = scratch()?;
        let (metadata, fetched) = match self.query_source(installed, origin, request, &mut options, spool.path())? {
            SourceState::Unchanged(why) => return Ok(UpdatePreview::Stays(why)),
            SourceState::Changed(resolved) => return Ok(UpdatePreview::Newer(version_of(&resolved))),
            SourceState::Directory(directory) => {
                let metadata = manifest::load(&directory, &self.settings.limits);
                (metadata.map_err(StoreError::from)?, None)
            }
            SourceState::Unknown => {
                let fetched = self.fetch(&origin.source, &options, spool.path(), self.report)?;
                if receipt.archive.as_ref().is_some_and(|archive| archive.sha256 == fetched.digest()) {
                    return Ok(UpdatePreview::Stays(Unchanged::Newest));
                }
                if let Some(why) = installed.rolled_back_from_package(fetched.digest()) {
                    return Ok(UpdatePreview::Stays(why));
                }
                let metadata = package::inspect(fetched.path(), &self.settings.limits);
                (metadata.map_err(StoreError::from)?, Some(fetched.origin().clone()))
            }
        };
        let version = metadata.version.as_ref().map(ToString::to_string);
        let why = self.reason_to_stay(installed, &metadata, fetched.as_ref(), origin, request)?;
        Ok(why.map_or(UpdatePreview::Newer(version), UpdatePreview::Stays))
    }
}

impl Outdated {
    /// Takes in what an update would do.
    fn fill(
        &mut self,
        installed: &UpdateTarget,
        origin: &TrackedSource,
        look: Result<UpdatePreview, UpdateError>,
    ) -> Result<(), UpdateError> {
        self.wanted.clone_from(&self.installed);
        match look {
            Ok(UpdatePreview::Newer(version)) => {
                self.latest.clone_from(&version);
                self.is_newer = !installed.receipt.held;
                if self.is_newer {
                    self.wanted = version;
                }
            }
            Ok(UpdatePreview::Stays(Unchanged::Newest)) if origin.names_version(self.installed.as_deref()) => {
                self.blocker = Some(UpdateBlocker::ExactUrl);
            }
            Ok(UpdatePreview::Stays(Unchanged::Newest | Unchanged::PreRelease(_))) => {
                self.latest.clone_from(&self.installed);
            }
            Ok(UpdatePreview::Stays(Unchanged::Exact(_))) => self.blocker = Some(UpdateBlocker::ExactVersion),
            Ok(UpdatePreview::Stays(Unchanged::OutOfRange { offered, .. })) => self.latest = Some(offered),
            Ok(UpdatePreview::Stays(Unchanged::RolledBack(offered))) => {
                self.blocker = Some(UpdateBlocker::Rollback);
                self.latest = Some(offered);
            }
            Ok(UpdatePreview::Stays(
                why @ (Unchanged::Link(_) | Unchanged::Held | Unchanged::NoReceipt | Unchanged::ReadOnly(_)),
            )) => self.problem = Some(why.to_string()),
            // An older version is none that an update would bring.
            Err(UpdateError::Older { offered, .. }) => self.latest = Some(offered),
            Err(error) => {
                self.wanted = None;
                return Err(error);
            }
        }
        if installed.receipt.held {
            self.blocker = Some(UpdateBlocker::Held);
        }
        Ok(())
    }
}

/// The version that a tag names; of a branch, the beginning of its commit's id.
fn version_of(resolved: &ResolvedVersion) -> Option<String> {
    let version = resolved.version.as_deref().and_then(tag_version).map(|version| version.to_string());
    let commit = || resolved.revision.as_deref().and_then(|revision| revision.get(..12)).map(str::to_owned);
    version.or_else(commit).or_else(|| resolved.version.clone())
}
