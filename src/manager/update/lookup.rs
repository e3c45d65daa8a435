//! What the source of an installed plugin has now, and whether that is wanted.

use std::path::{Path, PathBuf};

use semver::Version;

use super::error::Stopped;
use super::tracked::{TrackedSource, options_for, with_pre_releases};
use super::{Unchanged, UpdateError, UpdateRequest, UpdateTarget};
use crate::error::{Classified as _, ErrorKind};
use crate::intake::package::{self, FetchedPackage};
use crate::intake::source::version::{Range, tag_version};
use crate::intake::source::{self, FetchOptions, ResolvedVersion, Source, Wanted};
use crate::manager::network::with_network_settings;
use crate::manager::{InstallError, Manager};
use crate::manifest::Metadata;
use crate::store::{self, Receipt, StoreError, VerificationMethod};

/// What can be told of a source without fetching.
pub(super) enum SourceState {
    Unchanged(Unchanged),
    /// A directory of this machine, whose files have changed.
    Directory(PathBuf),
    /// Another commit or manifest than the installed one.
    Changed(ResolvedVersion),
    /// Only fetching tells.
    Unknown,
}

/// What the source has for an installed plugin.
pub(super) enum AvailableUpdate {
    Unchanged(Unchanged),
    /// Fetched, and not verified.
    Package(Box<FetchedPackage>),
    /// A directory of this machine.
    Directory(PathBuf),
}

impl Manager<'_> {
    /// Looks at the source of an installed plugin without fetching, as far as it can be looked at.
    pub(super) fn query_source(
        &self,
        installed: &UpdateTarget,
        origin: &TrackedSource,
        request: &UpdateRequest,
        options: &mut FetchOptions,
        spool: &Path,
    ) -> Result<SourceState, Stopped> {
        let UpdateTarget { receipt, .. } = installed;
        let to = request.to.as_deref();
        if let (None, Some(version), true) = (to, &origin.version, origin.is_exact()) {
            return Ok(SourceState::Unchanged(Unchanged::Exact(version.clone())));
        }
        let source = &origin.source;
        self.admit_source(source)?;
        if let Source::Directory(directory) = source {
            options.check(source)?;
            let same = self.is_same_directory(directory, receipt)?;
            return Ok(if same {
                SourceState::Unchanged(Unchanged::Newest)
            } else {
                SourceState::Directory(directory.clone())
            });
        }
        if let (None, Some(validator)) = (to, &receipt.source.validator)
            && source::is_unchanged(source, validator, options, self.report)
        {
            return Ok(SourceState::Unchanged(Unchanged::Newest));
        }
        let resolved = match source::resolve(source, options, spool, self.report) {
            // There is no version at all, with or without pre-releases: then it is the branch that is followed.
            Err(e) if e.kind() == ErrorKind::NotFound && request.pre && to.is_none() && origin.version.is_none() => {
                options.version = None;
                source::resolve(source, options, spool, self.report)
            }
            resolved => resolved,
        };
        let Some(resolved) = resolved? else { return Ok(SourceState::Unknown) };
        if resolved.exact && to.is_none() {
            return Ok(SourceState::Unchanged(Unchanged::Exact(origin.version.clone().unwrap_or_default())));
        }
        let archive = receipt.archive.as_ref().map(|archive| archive.sha256);
        let same_revision = resolved.revision.is_some() && receipt.source.revision == resolved.revision;
        let same_archive = resolved.archive.is_some() && archive == resolved.archive;
        let offered = resolved.version.as_deref().and_then(tag_version);
        // Where nothing else tells one package from another, its version does.
        let same_version =
            resolved.revision.is_none() && resolved.archive.is_none() && offered.is_some() && offered == installed.version;
        if same_revision || same_archive || same_version {
            return Ok(SourceState::Unchanged(Unchanged::Newest));
        }
        let why = match &offered {
            Some(offered) => self.compare_versions(installed, offered, origin, request)?,
            None => None,
        };
        let why = why.or_else(|| installed.rolled_back_from(&resolved).filter(|_| request.all));
        Ok(match why {
            Some(why) => SourceState::Unchanged(why),
            None => SourceState::Changed(resolved),
        })
    }

    /// What the source has for an installed plugin now. What can be told without fetching is; nothing is verified.
    pub(super) fn fetch_update(
        &self,
        installed: &UpdateTarget,
        origin: &TrackedSource,
        request: &UpdateRequest,
        spool: &Path,
    ) -> Result<AvailableUpdate, Stopped> {
        let UpdateTarget { receipt, .. } = installed;
        let mut options = self.update_options(receipt, origin, request);
        match self.query_source(installed, origin, request, &mut options, spool)? {
            SourceState::Unchanged(why) => return Ok(AvailableUpdate::Unchanged(why)),
            SourceState::Directory(directory) => return Ok(AvailableUpdate::Directory(directory)),
            SourceState::Changed(_) | SourceState::Unknown => {}
        }
        let fetched = self.fetch(&origin.source, &options, spool, self.report)?;
        if receipt.archive.as_ref().is_some_and(|archive| archive.sha256 == fetched.digest()) {
            check_asked_version(fetched.origin(), installed.version.as_ref(), request)?;
            return Ok(AvailableUpdate::Unchanged(Unchanged::Newest));
        }
        if let Some(why) = installed.rolled_back_from_package(fetched.digest()).filter(|_| request.all) {
            return Ok(AvailableUpdate::Unchanged(why));
        }
        Ok(AvailableUpdate::Package(Box::new(fetched)))
    }

    /// The options with which a source is asked.
    pub(super) fn update_options(&self, receipt: &Receipt, origin: &TrackedSource, request: &UpdateRequest) -> FetchOptions {
        let mut options = options_for(
            &with_network_settings(&request.fetch, &receipt.network),
            &origin.source,
            self.wanted_version(origin, request),
            request.all,
        );
        options.wanted = match (&request.trust, receipt.verified.by) {
            (Some(trust), _) => trust.wanted(),
            (None, VerificationMethod::Signature | VerificationMethod::Digest) => Wanted::default(),
            (None, VerificationMethod::None | VerificationMethod::Local) => Wanted::package(),
        };
        options
    }

    /// The version that is fetched.
    fn wanted_version(&self, origin: &TrackedSource, request: &UpdateRequest) -> Option<String> {
        match &request.to {
            Some(to) => Some(to.clone()),
            // A source with one package gives that one: whether its version fits is judged once it is known.
            None if !origin.has_versions() => None,
            None if request.pre => Some(with_pre_releases(origin.version.as_deref())),
            None => origin.version.clone(),
        }
    }

    /// Whether the files of `directory` are those that were copied.
    fn is_same_directory(&self, directory: &Path, receipt: &Receipt) -> Result<bool, StoreError> {
        let files = receipt.all_files().into_iter().filter(|file| file.made_by.is_none());
        let files = files.map(|file| (file.path.clone(), file.sha256, file.size));
        // Nothing has run in the directory of its author that would not be copied: whatever was added counts.
        let mut differences = store::compare_with_package(directory, files, None, &self.settings.limits)?.differences;
        differences.retain(|difference| difference.path.split('/').all(|part| part != ".git"));
        Ok(differences.is_empty())
    }

    /// Judges what was fetched by its manifest: `Some` where it is not wanted.
    pub(super) fn reason_to_stay(
        &self,
        installed: &UpdateTarget,
        offered: &Metadata,
        fetched: Option<&package::PackageOrigin>,
        origin: &TrackedSource,
        request: &UpdateRequest,
    ) -> Result<Option<Unchanged>, Stopped> {
        let receipt = &installed.receipt;
        if offered.name.as_str() != receipt.name {
            let (name, offered) = (receipt.name.clone(), offered.name.to_string());
            return Err(UpdateError::OtherName { name, offered }.into());
        }
        if let Some(fetched) = fetched {
            check_asked_version(fetched, offered.version.as_ref(), request)?;
        }
        match &offered.version {
            Some(version) => self.compare_versions(installed, version, origin, request),
            None => Ok(None),
        }
    }

    /// Compares an offered version with the installed one and with what is followed: `Some` where it is not wanted.
    fn compare_versions(
        &self,
        installed: &UpdateTarget,
        offered: &Version,
        origin: &TrackedSource,
        request: &UpdateRequest,
    ) -> Result<Option<Unchanged>, Stopped> {
        if request.to.is_some() {
            return Ok(None);
        }
        let range = origin.version.as_deref().and_then(|version| Range::parse(version).ok());
        let fits = range.as_ref().is_some_and(|range| range.matches(offered));
        if !origin.has_versions() && range.is_some() && !fits {
            let with_pre = Range::parse(&with_pre_releases(origin.version.as_deref()));
            if !(request.pre && with_pre.is_ok_and(|range| range.matches(offered))) {
                let range = origin.version.clone().unwrap_or_default();
                return Ok(Some(Unchanged::OutOfRange { offered: offered.to_string(), range }));
            }
        }
        let Some(present) = &installed.version else { return Ok(None) };
        if !offered.pre.is_empty() && present.pre.is_empty() && !request.pre && !fits && !origin.has_versions() {
            return Ok(Some(Unchanged::PreRelease(offered.to_string())));
        }
        if offered.cmp_precedence(present).is_lt() {
            // Somebody who took a pre-release is ahead of the releases for a while.
            if !present.pre.is_empty() && origin.has_versions() {
                return Ok(Some(Unchanged::Newest));
            }
            return Err(UpdateError::Older {
                name: installed.receipt.name.clone(),
                installed: present.to_string(),
                offered: offered.to_string(),
            }
            .into());
        }
        Ok(None)
    }
}

/// Checks that what came is the version that `--to` asks for, where it is given: a source with one package has no other.
fn check_asked_version(
    fetched: &package::PackageOrigin,
    came: Option<&Version>,
    request: &UpdateRequest,
) -> Result<(), Stopped> {
    let Some(to) = &request.to else { return Ok(()) };
    let options = FetchOptions { version: Some(to.clone()), ..FetchOptions::default() };
    Ok(options.check_version(fetched, came).map_err(InstallError::from)?)
}
