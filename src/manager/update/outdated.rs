//! `plugin outdated`: what an update would bring, without changing or verifying anything.

use std::path::Path;

use serde::Serialize;

use super::look::Glance;
use super::{Installed, Origin, Subjected, UpdateError, UpdateRequest, scratch};
use crate::manager::parallel::{Together, each};
use crate::manager::record::Note;
use crate::manager::{InstallError, Manager, Trust};
use crate::manifest;
use crate::package;
use crate::source::version::tag_version;
use crate::store::StoreError;

/// A plugin of which there is something newer, as `plugin outdated -o json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outdated {
    /// The plugin's name.
    pub name: String,
    /// The installed version.
    pub version: Option<String>,
    /// The version that an update would bring; of a branch, its commit.
    pub available: Option<String>,
    /// Where it comes from, as it may be shown.
    pub source: String,
    /// The version or range that it follows.
    pub constraint: Option<String>,
    /// Whether updates skip it.
    pub pinned: bool,
}

impl Manager<'_> {
    /// Looks up all of `names` at once, in their order: `None` for one that is up to date or cannot be updated. With `verify` what
    /// an update would bring is fetched and verified as the update would: then it is an error where that would be one.
    pub fn outdated(
        &self,
        names: &[String],
        request: &UpdateRequest,
        verify: bool,
    ) -> Vec<Result<Option<Outdated>, UpdateError>> {
        let mut results: Vec<Option<Result<Option<Outdated>, UpdateError>>> = names.iter().map(|_| None).collect();
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
                Manager { report: &part, ..*self }.look_up(name, request, verify).map_err(|error| match error {
                    // Nothing was to be updated.
                    UpdateError::Failed { name, version, source } => UpdateError::Unavailable { name, version, source },
                    other => other,
                })
            },
            |at, result| {
                if let Some(place) = results.get_mut(at) {
                    *place = Some(result);
                }
            },
        );
        drop(together);
        // What an interrupt left out was not looked up.
        results.into_iter().map(|result| result.unwrap_or(Ok(None))).collect()
    }

    fn look_up(&self, name: &str, request: &UpdateRequest, verify: bool) -> Result<Option<Outdated>, UpdateError> {
        let Subjected::Yes(installed) = self.subject_to_update(name, true)? else { return Ok(None) };
        let pinned = installed.receipt.pinned;
        let receipt = &installed.receipt;
        let failed = |source: InstallError| UpdateError::failed(&receipt.name, receipt.version.as_deref(), source);
        let source = self.parse_source(&receipt.source.asked).map_err(|e| failed(e.into()))?;
        let origin = Origin::new(source, receipt.constraint.as_deref());
        let wanted = request;
        // No provenance is fetched for a look.
        let request = UpdateRequest { trust: Some(Trust::Nothing), all: true, ..request.clone() };
        let scratch = scratch().map_err(|e| failed(e.into()))?;
        let available = match self.available(&installed, &origin, &request, scratch.path()) {
            // An older version is none that an update would bring.
            Err(UpdateError::Older { .. }) => None,
            available => available?,
        };
        if verify && available.is_some() {
            let another = super::scratch().map_err(|e| failed(e.into()))?;
            let wanted = UpdateRequest { all: true, dry_run: true, ..wanted.clone() };
            // Nothing changes, so there is nothing to write down.
            self.advance(&installed, &wanted, another.path(), None, &mut Note::default())?;
        }
        Ok(available.map(|available| Outdated {
            name: receipt.name.clone(),
            version: receipt.version.clone(),
            available: available.version,
            source: receipt.shown_source(),
            constraint: origin.version.clone(),
            pinned,
        }))
    }

    /// What an update would bring, where it would bring anything.
    fn available(
        &self,
        installed: &Installed,
        origin: &Origin,
        request: &UpdateRequest,
        scratch: &Path,
    ) -> Result<Option<Available>, UpdateError> {
        let receipt = &installed.receipt;
        let failed = |source: InstallError| UpdateError::failed(&receipt.name, receipt.version.as_deref(), source);
        let mut options = self.options(receipt, origin, request);
        let (metadata, fetched) = match self.glance(installed, origin, request, &mut options, scratch)? {
            Glance::Nothing(_) => return Ok(None),
            Glance::Resolved(resolved) => {
                let version = resolved.version.as_deref().and_then(tag_version).map(|version| version.to_string());
                let commit = resolved.revision.as_deref().and_then(|revision| revision.get(..12)).map(str::to_owned);
                let version = version.or(commit).or(resolved.version);
                return Ok(Some(Available { version }));
            }
            Glance::Directory(directory) => {
                let metadata = manifest::load(&directory, &self.settings.limits);
                (metadata.map_err(|e| failed(StoreError::from(e).into()))?, None)
            }
            Glance::Unknown => {
                let fetched = self.fetch(&origin.source, &options, scratch, self.report).map_err(|e| failed(e.into()))?;
                if receipt.archive.as_ref().is_some_and(|archive| archive.sha256 == fetched.digest()) {
                    return Ok(None);
                }
                let metadata = package::inspect(&fetched.path, &self.settings.limits);
                (metadata.map_err(|e| failed(StoreError::from(e).into()))?, Some(fetched.origin))
            }
        };
        let why = self.judge(installed, &metadata, fetched.as_ref(), origin, request)?;
        Ok(why.is_none().then(|| Available { version: metadata.version.as_ref().map(ToString::to_string) }))
    }
}

/// What an update would bring.
struct Available {
    /// Its version, where it has one.
    version: Option<String>,
}
