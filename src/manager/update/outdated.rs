//! `plugin outdated`: what an update would bring, and what there is beyond that, without changing or verifying anything.

use std::path::Path;

use serde::Serialize;

use super::look::Glance;
use super::origin::with_pre_releases;
use super::{Installed, Origin, Subjected, Unchanged, UpdateError, UpdateRequest, scratch};
use crate::intake::package;
use crate::intake::source::version::tag_version;
use crate::intake::source::{self, Resolved, Source};
use crate::manager::parallel::{Together, each};
use crate::manager::record::Note;
use crate::manager::{InstallError, Manager, Trust};
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
    pub held: Option<Held>,
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
pub enum Held {
    /// It follows an exact version, tag, commit or digest.
    #[serde(rename = "exact version")]
    ExactVersion,
    /// It comes from the URL or file of one version.
    #[serde(rename = "exact URL")]
    ExactUrl,
    /// It is pinned.
    #[serde(rename = "pin")]
    Pin,
    /// The user went back from what its source has.
    #[serde(rename = "rollback")]
    Rollback,
}

impl Held {
    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactVersion => "exact version",
            Self::ExactUrl => "exact URL",
            Self::Pin => "pin",
            Self::Rollback => "rollback",
        }
    }
}

impl Outdated {
    /// Whether its source was asked, and has nothing that is not installed.
    pub fn is_up_to_date(&self) -> bool {
        self.problem.is_none() && self.held.is_none() && !self.is_newer && self.latest == self.installed
    }
}

/// What came of looking one plugin up.
#[derive(Debug)]
pub struct LookedUp {
    /// What is known of it; without a `problem` where there is an [error](Self::error), which says more.
    pub row: Outdated,
    /// Why its source could not be asked, where it should have been.
    pub error: Option<UpdateError>,
}

/// What an update would do.
enum Look {
    /// Nothing.
    Stays(Unchanged),
    /// It would bring this version, where it has one.
    Newer(Option<String>),
}

impl Manager<'_> {
    /// Looks up all of `names` at once, in their order. With `verify` what an update would bring is fetched and verified as the
    /// update would: then it is an error where that would be one.
    pub fn outdated(&self, names: &[String], request: &UpdateRequest, verify: bool) -> Vec<LookedUp> {
        let mut results: Vec<Option<LookedUp>> = names.iter().map(|_| None).collect();
        let what = match names.len() {
            1 => "looking up one plugin".to_owned(),
            many => format!("looking up {many} plugins"),
        };
        let together = Together::start(self.report, &what);
        each(
            names,
            self.settings.http.parallel,
            |name| {
                let part = together.part();
                Manager { report: &part, ..*self }.look_up_or_not(name, request, verify)
            },
            |at, result| {
                if let Some(place) = results.get_mut(at) {
                    *place = Some(result);
                }
            },
        );
        drop(together);
        // What an interrupt left out was not looked up.
        results.into_iter().flatten().collect()
    }

    fn look_up_or_not(&self, name: &str, request: &UpdateRequest, verify: bool) -> LookedUp {
        let mut row = Outdated { name: name.to_owned(), ..Outdated::default() };
        let error = self.look_up(&mut row, request, verify).err();
        let error = error.map(|error| match error {
            // Nothing was to be updated.
            UpdateError::Failed { name, version, source } => {
                let command = format!("{} plugin update {}", self.host.name(), quoted(&name));
                UpdateError::Unavailable { name, version, source: Box::new(source.for_looking(&command)) }
            }
            other => other,
        });
        LookedUp { row, error }
    }

    /// Fills in `row`, which has the plugin's name, as far as it comes.
    fn look_up(&self, row: &mut Outdated, request: &UpdateRequest, verify: bool) -> Result<(), UpdateError> {
        let installed = match self.subject_to_update(&row.name, true)? {
            Subjected::Yes(installed) => installed,
            Subjected::No(version, why) => {
                row.installed = version;
                row.problem = Some(why.to_string());
                return Ok(());
            }
        };
        let receipt = &installed.receipt;
        row.installed.clone_from(&receipt.version);
        row.source = Some(receipt.shown_source());
        let failed = |source: InstallError| UpdateError::failed(&receipt.name, receipt.version.as_deref(), source);
        let source = self.parse_source(&receipt.source.asked).map_err(|e| failed(e.into()))?;
        let origin = Origin::new(source, receipt.constraint.as_deref());
        // No provenance is fetched for a look.
        let look = UpdateRequest { trust: Some(Trust::Nothing), all: true, ..request.clone() };
        let spool = scratch().map_err(|e| failed(e.into()))?;
        row.fill(&installed, &origin, self.look_at_source(&installed, &origin, &look, spool.path()))?;
        if origin.version.is_some() {
            let spool = scratch().map_err(|e| failed(e.into()))?;
            row.latest = self.latest(&installed, &origin, &look, spool.path())?.or_else(|| row.latest.take());
        }
        if verify && row.is_newer {
            let spool = scratch().map_err(|e| failed(e.into()))?;
            let wanted = UpdateRequest { all: true, dry_run: true, ..request.clone() };
            // Nothing changes, so there is nothing to write down.
            self.advance(&installed, &wanted, spool.path(), None, &mut Note::default())?;
        }
        Ok(())
    }

    /// The newest version that the source has, whatever is followed there; `None` where it has one package, or only fetching tells.
    fn latest(
        &self,
        installed: &Installed,
        origin: &Origin,
        request: &UpdateRequest,
        spool: &Path,
    ) -> Result<Option<String>, UpdateError> {
        let receipt = &installed.receipt;
        let failed = |source: InstallError| UpdateError::failed(&receipt.name, receipt.version.as_deref(), source);
        if !matches!(origin.source, Source::Git(_) | Source::Oci(_) | Source::GitHub { .. }) {
            return Ok(None);
        }
        self.admit_source(&origin.source).map_err(|e| failed(e.into()))?;
        let mut options = self.options(receipt, origin, request);
        options.version = request.pre.then(|| with_pre_releases(None));
        match source::resolve(&origin.source, &options, spool, self.report) {
            Ok(resolved) => Ok(resolved.and_then(|resolved| version_of(&resolved))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// What an update would do.
    fn look_at_source(
        &self,
        installed: &Installed,
        origin: &Origin,
        request: &UpdateRequest,
        spool: &Path,
    ) -> Result<Look, UpdateError> {
        let receipt = &installed.receipt;
        let failed = |source: InstallError| UpdateError::failed(&receipt.name, receipt.version.as_deref(), source);
        let mut options = self.options(receipt, origin, request);
        let (metadata, fetched) = match self.glance(installed, origin, request, &mut options, spool)? {
            Glance::Nothing(why) => return Ok(Look::Stays(why)),
            Glance::Resolved(resolved) => return Ok(Look::Newer(version_of(&resolved))),
            Glance::Directory(directory) => {
                let metadata = manifest::load(&directory, &self.settings.limits);
                (metadata.map_err(|e| failed(StoreError::from(e).into()))?, None)
            }
            Glance::Unknown => {
                let fetched = self.fetch(&origin.source, &options, spool, self.report).map_err(|e| failed(e.into()))?;
                if receipt.archive.as_ref().is_some_and(|archive| archive.sha256 == fetched.digest()) {
                    return Ok(Look::Stays(Unchanged::Newest));
                }
                if let Some(why) = installed.went_back_from_package(fetched.digest()) {
                    return Ok(Look::Stays(why));
                }
                let metadata = package::inspect(&fetched.path, &self.settings.limits);
                (metadata.map_err(|e| failed(StoreError::from(e).into()))?, Some(fetched.origin))
            }
        };
        let version = metadata.version.as_ref().map(ToString::to_string);
        let why = self.judge(installed, &metadata, fetched.as_ref(), origin, request)?;
        Ok(why.map_or(Look::Newer(version), Look::Stays))
    }
}

impl Outdated {
    /// Takes in what an update would do.
    fn fill(&mut self, installed: &Installed, origin: &Origin, look: Result<Look, UpdateError>) -> Result<(), UpdateError> {
        self.wanted.clone_from(&self.installed);
        match look {
            Ok(Look::Newer(version)) => {
                self.latest.clone_from(&version);
                self.is_newer = !installed.receipt.pinned;
                if self.is_newer {
                    self.wanted = version;
                }
            }
            Ok(Look::Stays(Unchanged::Newest)) if origin.names_version(self.installed.as_deref()) => {
                self.held = Some(Held::ExactUrl);
            }
            Ok(Look::Stays(Unchanged::Newest | Unchanged::PreRelease(_))) => self.latest.clone_from(&self.installed),
            Ok(Look::Stays(Unchanged::Exact(_))) => self.held = Some(Held::ExactVersion),
            Ok(Look::Stays(Unchanged::OutOfRange { offered, .. })) => self.latest = Some(offered),
            Ok(Look::Stays(Unchanged::RolledBack(offered))) => {
                self.held = Some(Held::Rollback);
                self.latest = Some(offered);
            }
            Ok(Look::Stays(
                why @ (Unchanged::Link(_) | Unchanged::Pinned | Unchanged::NoReceipt | Unchanged::ReadOnly(_)),
            )) => self.problem = Some(why.to_string()),
            // An older version is none that an update would bring.
            Err(UpdateError::Older { offered, .. }) => self.latest = Some(offered),
            Err(error) => {
                self.wanted = None;
                return Err(error);
            }
        }
        if installed.receipt.pinned {
            self.held = Some(Held::Pin);
        }
        Ok(())
    }
}

/// The version that a tag names; of a branch, the beginning of its commit's id.
fn version_of(resolved: &Resolved) -> Option<String> {
    let version = resolved.version.as_deref().and_then(tag_version).map(|version| version.to_string());
    let commit = || resolved.revision.as_deref().and_then(|revision| revision.get(..12)).map(str::to_owned);
    version.or_else(commit).or_else(|| resolved.version.clone())
}
