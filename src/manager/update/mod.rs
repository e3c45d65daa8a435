//! `plugin update` and `plugin outdated` (life cycle, section 4): from the receipt's source and constraint to a newer version,
//! verified as the first one was and by the same signer. The old version stays until the new one and its update hook
//! succeeded, and is kept for a rollback.

mod error;
mod origin;
mod outdated;

use std::fmt;
use std::path::{Path, PathBuf};

use semver::Version;

use self::origin::{Origin, installed_version, options_for, with_pre_releases};
use super::install::InstallError;
use super::{Manager, Trust};
use crate::manifest::Metadata;
use crate::package::{self, Fetched};
use crate::provenance::{self, Evidence, Requirement, Verified, VerifyError};
use crate::runtime::{Environment, HookEvent, Subject, run_hook};
use crate::source::version::{Range, tag_version};
use crate::source::{self, FetchOptions, Resolved, Source};
use crate::store::{self, Arrival, Means, Receipt, Staged, Status, StoreError, StoreLock};
use crate::text::Plain;

pub use error::UpdateError;
pub use outdated::Outdated;

/// How plugins are updated.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// How to fetch. Its version is not used: that is the receipt's, or [`Self::to`].
    pub fetch: FetchOptions,
    /// What makes the new version trusted, where the user said so; else what made the installed one trusted.
    pub trust: Option<Trust>,
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
    pub outcome: Outcome,
}

/// How an update ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
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
#[non_exhaustive]
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
    /// It is pinned.
    Pinned,
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
                write!(f, "stays: it was installed as exactly `{}`; `--to VERSION` moves it", Plain(version))
            }
            Self::OutOfRange { offered, range } => write!(
                f,
                "stays: its source has {}, which is not in `{}` as it was installed; `--to VERSION` moves it",
                Plain(offered),
                Plain(range)
            ),
            Self::PreRelease(offered) => {
                write!(f, "stays: its source has {}, a pre-release; `--pre` takes it", Plain(offered))
            }
            Self::Link(directory) => {
                write!(f, "is a link to {}, whose files are used as they are", Plain(&directory.to_string_lossy()))
            }
            Self::Pinned => f.write_str("is pinned, and skipped"),
            Self::NoReceipt => {
                f.write_str("has no receipt, since it was copied in by hand or by another program, and is skipped")
            }
            Self::ReadOnly(directory) => {
                write!(f, "is in {}, which is not written to, and is skipped", Plain(&directory.to_string_lossy()))
            }
        }
    }
}

/// An installed plugin with its receipt.
struct Installed {
    receipt: Receipt,
    version: Option<Version>,
}

/// A plugin that can be updated, or why not.
enum Subjected {
    Yes(Box<Installed>),
    No(Option<String>, Unchanged),
}

/// What comes in the place of the installed version.
enum Next {
    Staged(Box<Staged>),
    /// A dry run stops here.
    Known {
        metadata: Box<Metadata>,
        evidence: Option<Evidence>,
    },
}

/// What can be told of a source without fetching.
enum Glance {
    Nothing(Unchanged),
    /// A directory of this machine, whose files have changed.
    Directory(PathBuf),
    /// Another commit or manifest than the installed one.
    Resolved(Resolved),
    /// Only fetching tells.
    Unknown,
}

/// What the source has for an installed plugin.
enum Offer {
    Nothing(Unchanged),
    /// Fetched, and not verified.
    Package(Box<Fetched>),
    /// A directory of this machine.
    Directory(PathBuf),
}

impl Manager<'_> {
    /// The names of all plugins that `update --all` looks at, sorted: broken and shadowed ones are not among them.
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
        // Looked at without the lock: a wrong name, or a plugin that stays, must not need a store that can be written.
        let installed = match self.unpinned_subject(name, request.all)? {
            Subjected::Yes(installed) => installed,
            Subjected::No(from, why) => return Ok(unchanged(name, from, why)),
        };
        let failed = |source: InstallError| UpdateError::failed(name, installed.receipt.version.as_deref(), source);
        if request.dry_run {
            let scratch = scratch().map_err(|e| failed(e.into()))?;
            return self.advance(&installed, request, scratch.path(), None);
        }
        let store = self.store();
        let lock = store.lock(self.report).map_err(|e| failed(e.into()))?;
        // Another program may have changed it while we waited.
        let installed = match self.unpinned_subject(name, request.all)? {
            Subjected::Yes(installed) => installed,
            Subjected::No(from, why) => return Ok(unchanged(name, from, why)),
        };
        let spool = lock.spool().map_err(|e| failed(e.into()))?;
        self.advance(&installed, request, spool.path(), Some(&lock))
    }

    /// The same, where a pin counts.
    fn unpinned_subject(&self, name: &str, all: bool) -> Result<Subjected, UpdateError> {
        match self.subject_to_update(name, all)? {
            Subjected::Yes(installed) if installed.receipt.pinned => {
                if all {
                    return Ok(Subjected::No(installed.receipt.version, Unchanged::Pinned));
                }
                Err(UpdateError::Pinned { name: installed.receipt.name, host: self.host.name().to_owned() })
            }
            subject => Ok(subject),
        }
    }

    /// Finds the plugin `name`, and whether it can be updated at all.
    fn subject_to_update(&self, name: &str, all: bool) -> Result<Subjected, UpdateError> {
        let store = self.store();
        let found = store
            .find(name)?
            .ok_or_else(|| UpdateError::NotInstalled { name: Plain(name).to_string(), host: self.host.name().to_owned() })?;
        let receipt = store.receipt(&found)?;
        let version = receipt.as_ref().and_then(|receipt| receipt.version.clone());
        let version = version.or_else(|| Some(found.version_text()).filter(|text| !text.is_empty()));
        let no = |why| Ok(Subjected::No(version.clone(), why));
        if found.link {
            let target = std::fs::read_link(&found.directory).unwrap_or_else(|_| found.directory.clone());
            return no(Unchanged::Link(target));
        }
        let Some(receipt) = receipt else {
            return if all { no(Unchanged::NoReceipt) } else { Err(StoreError::NoReceipt { name: name.to_owned() }.into()) };
        };
        let directory = found.directory.parent().unwrap_or(Path::new("")).to_owned();
        if directory != store.directory() {
            if all {
                return no(Unchanged::ReadOnly(directory));
            }
            let written = store.directory().to_owned();
            return Err(StoreError::ReadOnlyRoot { name: name.to_owned(), directory, written }.into());
        }
        let version = installed_version(&receipt);
        Ok(Subjected::Yes(Box::new(Installed { receipt, version })))
    }

    /// Fetches, verifies and, with the lock, puts in place.
    fn advance(
        &self,
        installed: &Installed,
        request: &UpdateRequest,
        spool: &Path,
        lock: Option<&StoreLock<'_>>,
    ) -> Result<Update, UpdateError> {
        let Installed { receipt, .. } = installed;
        let name = receipt.name.as_str();
        let failed = |source: InstallError| UpdateError::failed(name, receipt.version.as_deref(), source);
        let stays = |why| Ok(unchanged(name, receipt.version.clone(), why));
        let source = self.parse_source(&receipt.source.asked).map_err(|e| failed(e.into()))?;
        let origin = Origin::new(source, receipt.constraint.as_deref());

        let mut source_of_arrival = store::Source::default();
        let next = match self.offer(installed, &origin, request, spool)? {
            Offer::Nothing(why) => return stays(why),
            Offer::Directory(directory) => match lock {
                Some(lock) => {
                    let staged = lock.stage_directory_copy(&directory).map_err(|e| failed(e.into()))?;
                    if let Some(why) = self.judge(installed, staged.metadata(), None, &origin, request)? {
                        return stays(why);
                    }
                    Next::Staged(Box::new(staged))
                }
                None => {
                    let metadata = crate::manifest::load(&directory, &self.settings.limits)
                        .map_err(|e| failed(StoreError::from(e).into()))?;
                    if let Some(why) = self.judge(installed, &metadata, None, &origin, request)? {
                        return stays(why);
                    }
                    Next::Known { metadata: Box::new(metadata), evidence: None }
                }
            },
            Offer::Package(fetched) => {
                let from = fetched.origin.clone();
                source_of_arrival.resolved = Some(from.resolved.clone()).filter(|resolved| !resolved.is_empty());
                source_of_arrival.revision.clone_from(&from.revision);
                let verified = self.verify_as_before(installed, *fetched, request)?;
                let next = match lock {
                    Some(lock) => Next::Staged(Box::new(lock.stage(verified, self.report).map_err(|e| failed(e.into()))?)),
                    None => {
                        let fetched = verified.fetched();
                        let metadata = package::inspect(&fetched.path, &self.settings.limits)
                            .map_err(|e| failed(StoreError::from(e).into()))?;
                        verified.check_manifest(&metadata).map_err(|e| failed(e.into()))?;
                        Next::Known { metadata: Box::new(metadata), evidence: Some(verified.evidence().clone()) }
                    }
                };
                let metadata = match &next {
                    Next::Staged(staged) => staged.metadata(),
                    Next::Known { metadata, .. } => metadata,
                };
                if let Some(why) = self.judge(installed, metadata, Some(&from), &origin, request)? {
                    return stays(why);
                }
                next
            }
        };
        let (staged, lock) = match (next, lock) {
            (Next::Staged(staged), Some(lock)) => (*staged, lock),
            (Next::Staged(staged), None) => {
                let outcome = changed(staged.metadata(), staged.evidence().cloned());
                return Ok(Update { name: name.to_owned(), from: receipt.version.clone(), outcome });
            }
            (Next::Known { metadata, evidence }, _) => {
                let outcome = changed(&metadata, evidence);
                return Ok(Update { name: name.to_owned(), from: receipt.version.clone(), outcome });
            }
        };

        let followed = request.to.as_deref().map_or_else(|| origin.clone(), |to| origin.moved_to(to));
        let (asked, constraint) = followed.recorded();
        source_of_arrival.asked = asked;
        let arrival = Arrival { source: Some(source_of_arrival), constraint, pinned: receipt.pinned };
        let outcome = changed(staged.metadata(), staged.evidence().cloned());
        self.replace(lock, staged, arrival, receipt.version.as_deref(), request.hooks)?;
        Ok(Update { name: name.to_owned(), from: receipt.version.clone(), outcome })
    }

    /// Puts a staged plugin in the place of the installed one, of the version `before`, and runs its update hook.
    pub(super) fn replace(
        &self,
        lock: &StoreLock<'_>,
        staged: Staged,
        arrival: Arrival,
        before: Option<&str>,
        hooks: bool,
    ) -> Result<(), UpdateError> {
        let name = staged.metadata().name.to_string();
        let name = name.as_str();
        let failed = |source: InstallError| UpdateError::failed(name, before, source);
        let hook = hooks && staged.metadata().subprocess().is_some_and(|s| s.hooks.contains_key(HookEvent::Update.as_str()));
        let committed = lock.commit(staged, arrival, true, hook).map_err(|e| failed(e.into()))?;
        if hook {
            let ran = lock
                .store()
                .open_plugin(name, self.settings.gate)
                .map_err(|source| UpdateError::Gate { name: name.to_owned(), source })
                .and_then(|plugin| {
                    let environment = Environment::new(self.host, self.homes, self.debug);
                    let subject = Subject { metadata: &plugin.metadata, dir: &plugin.dir };
                    run_hook(subject, HookEvent::Update, &environment, &self.settings.hooks).map_err(|source| {
                        UpdateError::Hook { name: name.to_owned(), version: before.unwrap_or("before").to_owned(), source }
                    })
                });
            if let Err(error) = ran {
                committed.undo().map_err(|e| failed(e.into()))?;
                return Err(error);
            }
        }
        committed.finish().map_err(|e| failed(e.into()))
    }

    /// Looks at the source of an installed plugin without fetching, as far as it can be looked at.
    fn glance(
        &self,
        installed: &Installed,
        origin: &Origin,
        request: &UpdateRequest,
        options: &mut FetchOptions,
        spool: &Path,
    ) -> Result<Glance, UpdateError> {
        let Installed { receipt, .. } = installed;
        let failed = |source: InstallError| UpdateError::failed(&receipt.name, receipt.version.as_deref(), source);
        let to = request.to.as_deref();
        if let (None, Some(version), true) = (to, &origin.version, origin.is_exact()) {
            return Ok(Glance::Nothing(Unchanged::Exact(version.clone())));
        }
        let source = &origin.source;
        if let Source::Directory(directory) = source {
            options.check(source).map_err(|e| failed(e.into()))?;
            let same = self.is_same_directory(directory, receipt).map_err(|e| failed(e.into()))?;
            return Ok(if same { Glance::Nothing(Unchanged::Newest) } else { Glance::Directory(directory.clone()) });
        }
        let resolved = match source::resolve(source, options, spool, self.report) {
            // There is no version at all, with or without pre-releases: then it is the branch that is followed.
            Err(e) if e.is_not_found() && request.pre && to.is_none() && origin.version.is_none() => {
                options.version = None;
                source::resolve(source, options, spool, self.report)
            }
            resolved => resolved,
        };
        let Some(resolved) = resolved.map_err(|e| failed(e.into()))? else { return Ok(Glance::Unknown) };
        if resolved.exact && to.is_none() {
            return Ok(Glance::Nothing(Unchanged::Exact(origin.version.clone().unwrap_or_default())));
        }
        if receipt.source.revision.as_ref() == Some(&resolved.revision) {
            return Ok(Glance::Nothing(Unchanged::Newest));
        }
        let offered = resolved.version.as_deref().and_then(tag_version);
        let why = match &offered {
            Some(offered) => self.compare(installed, offered, origin, request)?,
            None => None,
        };
        Ok(match why {
            Some(why) => Glance::Nothing(why),
            None => Glance::Resolved(resolved),
        })
    }

    /// What the source has for an installed plugin now. What can be told without fetching is; nothing is verified.
    fn offer(
        &self,
        installed: &Installed,
        origin: &Origin,
        request: &UpdateRequest,
        spool: &Path,
    ) -> Result<Offer, UpdateError> {
        let Installed { receipt, .. } = installed;
        let failed = |source: InstallError| UpdateError::failed(&receipt.name, receipt.version.as_deref(), source);
        let mut options = self.options(receipt, origin, request);
        match self.glance(installed, origin, request, &mut options, spool)? {
            Glance::Nothing(why) => return Ok(Offer::Nothing(why)),
            Glance::Directory(directory) => return Ok(Offer::Directory(directory)),
            Glance::Resolved(_) | Glance::Unknown => {}
        }
        let fetched = self.fetch(&origin.source, &options, spool, self.report).map_err(|e| failed(e.into()))?;
        if receipt.archive.as_ref().is_some_and(|archive| archive.sha256 == fetched.digest()) {
            return Ok(Offer::Nothing(Unchanged::Newest));
        }
        Ok(Offer::Package(Box::new(fetched)))
    }

    /// The options with which a source is asked.
    fn options(&self, receipt: &Receipt, origin: &Origin, request: &UpdateRequest) -> FetchOptions {
        let mut options = options_for(&request.fetch, &origin.source, self.wanted(origin, request), request.all);
        options.want_provenance = match (&request.trust, receipt.verified.by) {
            (Some(trust), _) => matches!(trust, Trust::Signature { .. }),
            (None, by) => matches!(by, Means::Signature | Means::Digest),
        };
        options
    }

    /// The version that is fetched.
    fn wanted(&self, origin: &Origin, request: &UpdateRequest) -> Option<String> {
        match &request.to {
            Some(to) => Some(to.clone()),
            // A source with one package gives that one: whether its version fits is judged once it is known.
            None if !origin.has_several() => None,
            None if request.pre => Some(with_pre_releases(origin.version.as_deref())),
            None => origin.version.clone(),
        }
    }

    /// Whether the files of `directory` are those that were copied.
    fn is_same_directory(&self, directory: &Path, receipt: &Receipt) -> Result<bool, StoreError> {
        let files = receipt.all_files().into_iter().filter(|file| file.made_by.is_none());
        let files = files.map(|file| (file.path.clone(), file.sha256, file.size));
        let mut differences = store::compare_with_package(directory, files, &self.settings.limits)?;
        differences.retain(|difference| difference.path.split('/').all(|part| part != ".git"));
        Ok(differences.is_empty())
    }

    /// Judges what was fetched by its manifest: `Some` where it is not wanted.
    fn judge(
        &self,
        installed: &Installed,
        offered: &Metadata,
        fetched: Option<&package::Origin>,
        origin: &Origin,
        request: &UpdateRequest,
    ) -> Result<Option<Unchanged>, UpdateError> {
        let receipt = &installed.receipt;
        if offered.name.as_str() != receipt.name {
            let (name, offered) = (receipt.name.clone(), offered.name.to_string());
            return Err(UpdateError::OtherName { name, offered });
        }
        if let (Some(fetched), Some(to)) = (fetched, &request.to) {
            let options = FetchOptions { version: Some(to.clone()), ..FetchOptions::default() };
            options
                .check_version(fetched, offered.version.as_ref())
                .map_err(|e| UpdateError::failed(&receipt.name, receipt.version.as_deref(), e.into()))?;
        }
        match &offered.version {
            Some(version) => self.compare(installed, version, origin, request),
            None => Ok(None),
        }
    }

    /// Compares an offered version with the installed one and with what is followed: `Some` where it is not wanted.
    fn compare(
        &self,
        installed: &Installed,
        offered: &Version,
        origin: &Origin,
        request: &UpdateRequest,
    ) -> Result<Option<Unchanged>, UpdateError> {
        if request.to.is_some() {
            return Ok(None);
        }
        let range = origin.version.as_deref().and_then(|version| Range::parse(version).ok());
        let fits = range.as_ref().is_some_and(|range| range.matches(offered));
        if !origin.has_several() && range.is_some() && !fits {
            let with_pre = Range::parse(&with_pre_releases(origin.version.as_deref()));
            if !(request.pre && with_pre.is_ok_and(|range| range.matches(offered))) {
                let range = origin.version.clone().unwrap_or_default();
                return Ok(Some(Unchanged::OutOfRange { offered: offered.to_string(), range }));
            }
        }
        let Some(present) = &installed.version else { return Ok(None) };
        if !offered.pre.is_empty() && present.pre.is_empty() && !request.pre && !fits && !origin.has_several() {
            return Ok(Some(Unchanged::PreRelease(offered.to_string())));
        }
        if offered.cmp_precedence(present).is_lt() {
            // Somebody who took a pre-release is ahead of the releases for a while.
            if !present.pre.is_empty() && origin.has_several() {
                return Ok(Some(Unchanged::Newest));
            }
            return Err(UpdateError::Older {
                name: installed.receipt.name.clone(),
                installed: present.to_string(),
                offered: offered.to_string(),
            });
        }
        Ok(None)
    }

    /// Verifies a fetched package as the installed one was, or as the user asked, and by the same signer.
    fn verify_as_before(
        &self,
        installed: &Installed,
        fetched: Fetched,
        request: &UpdateRequest,
    ) -> Result<Verified, UpdateError> {
        let receipt = &installed.receipt;
        let name = receipt.name.as_str();
        let failed = |source: InstallError| UpdateError::failed(name, receipt.version.as_deref(), source);
        let before = &receipt.verified;
        let signature = || Trust::Signature {
            keyrings: Vec::new(),
            allowed_signers: None,
            allow_expired_key: request.allow_expired_key,
        };
        let by_digest = request.trust.is_none() && before.by == Means::Digest;
        if by_digest && fetched.provenance.is_none() && fetched.origin.git.is_none() && !fetched.origin.pinned {
            // Said before a keyring is asked for: there is nothing that it could verify.
            return Err(UpdateError::NeedsDigest {
                name: name.to_owned(),
                found: fetched.digest(),
                at: fetched.provenance_at.clone(),
            });
        }
        let trust = match (&request.trust, before.by) {
            (Some(trust), _) => trust.clone(),
            (None, Means::Signature | Means::Digest) => signature(),
            (None, Means::None | Means::Local) => Trust::Nothing,
        };
        let requirement = match &trust {
            Trust::Signature { .. } if fetched.origin.pinned => Requirement::Digest(fetched.digest()),
            trust => self.requirement(trust).map_err(|e| failed(e.into()))?,
        };
        let verified =
            provenance::verify(fetched, &requirement, &self.settings.limits).map_err(|e: VerifyError| failed(e.into()))?;
        let (Means::Signature, Some(fingerprint)) = (before.by, &before.fingerprint) else {
            if matches!(verified.evidence(), Evidence::Skipped) {
                self.report.warning(&format!("the new version of {} is not verified", Plain(name)));
            }
            return Ok(verified);
        };
        let old = match before.signer.as_deref() {
            None | Some("") => fingerprint.clone(),
            Some(signer) => format!("{} ({fingerprint})", Plain(signer)),
        };
        match verified.evidence() {
            Evidence::Signature(signature) if signature.fingerprint.eq_ignore_ascii_case(fingerprint) => {}
            Evidence::Signature(signature) if request.accept_signer => self.report.notice(&format!(
                "the signer of {} was {old} and is now {signature}, which you accepted",
                Plain(name)
            )),
            Evidence::Signature(signature) => {
                return Err(UpdateError::OtherSigner { name: name.to_owned(), old, new: signature.to_string() });
            }
            Evidence::Digest(_) => self.report.warning(&format!(
                "the version of {} that is installed was signed by {old}; the new one is verified by the digest that you named",
                Plain(name)
            )),
            Evidence::Skipped => self.report.warning(&format!(
                "the version of {} that is installed was signed by {old}; the new one is not verified, as you asked",
                Plain(name)
            )),
        }
        Ok(verified)
    }
}

fn unchanged(name: &str, from: Option<String>, why: Unchanged) -> Update {
    Update { name: name.to_owned(), from, outcome: Outcome::Unchanged(why) }
}

fn changed(metadata: &Metadata, evidence: Option<Evidence>) -> Outcome {
    Outcome::Changed { to: metadata.version.as_ref().map(ToString::to_string), evidence }
}

/// A private directory outside of the store, for looking without changing.
pub(super) fn scratch() -> Result<tempfile::TempDir, StoreError> {
    tempfile::Builder::new().prefix("plugsmith-").tempdir().map_err(|source| StoreError::Io {
        action: "create a directory in",
        path: std::env::temp_dir(),
        source,
    })
}
