//! The very package that a lock file names: from a mirror, or from its source, verified by what the file says of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::LockedPlugin;
use super::verify::VerifiedLocked;
use crate::error::{Classified, ErrorKind};
use crate::intake::package::FetchedPackage;
use crate::intake::provenance::Alternatives;
use crate::intake::provenance::expect_digest;
use crate::intake::source::version::Range;
use crate::intake::source::{FetchOptions, OciReference, Source, Wanted};
use crate::manager::network::{network_settings, with_network_settings};
use crate::manager::{AdmitError, InstallError, Manager, VerificationMode};
use crate::report::Report;
use crate::store;
use crate::text::{Sanitized, masked_source, sanitized};

/// Where packages may come from, and how.
#[derive(Debug, Clone)]
pub(super) struct FetchContext<'a> {
    /// How to reach servers.
    pub(super) fetch: &'a FetchOptions,
    /// A directory that `plugin export` wrote.
    pub(super) mirror: Option<&'a Path>,
    /// Whether the network is out of bounds.
    pub(super) offline: bool,
    /// Whether only what the file settles counts; else a signature by the locked signer, too.
    pub(super) frozen: bool,
    /// Whose signatures count.
    pub(super) trust: &'a VerificationMode,
    /// Whether another signer than before is fine, and none.
    pub(super) accept_signer: bool,
}

/// A package that is the one that the file means, and that nobody verified.
#[derive(Debug)]
pub(super) struct FetchedLocked {
    /// The package.
    pub(super) fetched: FetchedPackage,
    /// Where the file says that it comes from; the mirror, where that is no source any more.
    pub(super) source: Source,
    /// Whether it came from a mirror.
    pub(super) from_mirror: bool,
}

impl FetchedLocked {
    /// Whether the file says which bytes it is.
    pub(super) fn has_known_digest(&self, locked: &LockedPlugin) -> bool {
        locked.archive().is_some() || self.fetched.is_named_by_id()
    }
}

/// Why a locked package cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchLockedError {
    /// The file does not say which archive it is.
    #[error(
        "the lock file does not settle plugin `{name}`: it has no digest for {platform}; lock it on a machine of this kind, or leave out `--frozen`"
    )]
    NoDigest {
        /// The plugin's name.
        name: String,
        /// This platform.
        platform: String,
    },
    /// The network would be needed.
    #[error(
        "plugin `{name}` cannot be had offline: it comes from {} and {}; write a mirror where the network is, with `{host} plugin export DIR`, or leave out `--offline`",
        Sanitized(.from), mirror_lacks(.mirror)
    )]
    Offline {
        /// The plugin's name.
        name: String,
        /// Its source, safe to show.
        from: String,
        /// What the mirror would have had to hold.
        mirror: Option<PathBuf>,
        /// The host's name.
        host: String,
    },
    /// A user name and password were given, and there are several servers that they could go to.
    #[error(
        "`--username` is about one server, and the plugins come from several ({servers}); put the passwords into ~/.netrc, which names its servers"
    )]
    Credentials {
        /// The servers, safe to show.
        servers: String,
    },
    /// A directory is named as a source.
    #[error("plugin `{name}` cannot be had from {}: a directory has no digest", path.display())]
    Directory {
        /// The plugin's name.
        name: String,
        /// The directory.
        path: PathBuf,
    },
    /// Somebody else signed it.
    #[error("plugin `{name}` is signed by {found}, but the lock file says {}", Sanitized(.locked))]
    OtherSigner {
        /// The plugin's name.
        name: String,
        /// Who signed it, safe to show.
        found: String,
        /// Who should have.
        locked: String,
    },
    /// There is no signature where the lock file names who signed.
    #[error(
        "plugin `{name}` was signed by {} as the lock file has it, and this is not signed ({} does not exist); put its provenance there, or lock it anew as it is",
        Sanitized(.signer), Sanitized(.at)
    )]
    Unsigned {
        /// The plugin's name.
        name: String,
        /// Who should have signed it.
        signer: String,
        /// Where the signature would be.
        at: String,
    },
    /// It may not come in.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// It could not be fetched or verified.
    #[error("cannot get plugin `{name}` as the lock file has it")]
    Failed {
        /// The plugin's name.
        name: String,
        /// What failed.
        source: Box<InstallError>,
    },
}

impl Classified for FetchLockedError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoDigest { .. } | Self::Unsigned { .. } | Self::OtherSigner { .. } => ErrorKind::Unverified,
            Self::Admit(error) => error.kind(),
            Self::Offline { .. } => ErrorKind::NotFound,
            Self::Credentials { .. } => ErrorKind::Usage,
            Self::Failed { source, .. } => source.kind(),
            Self::Directory { .. } => ErrorKind::Failed,
        }
    }
}

fn mirror_lacks(mirror: &Option<PathBuf>) -> String {
    match mirror {
        Some(path) => format!("the mirror has no {}", path.display()),
        None => "there is no mirror".to_owned(),
    }
}

impl Manager<'_> {
    /// A lock file is what somebody else wrote: no source in it may get a password that was meant for another one.
    pub(super) fn check_credentials<'l>(
        &self,
        wanted: impl Iterator<Item = &'l LockedPlugin>,
        fetch: &FetchOptions,
    ) -> Result<(), FetchLockedError> {
        if fetch.username.is_none() {
            return Ok(());
        }
        let servers: BTreeSet<String> =
            wanted.filter_map(|locked| self.parse_source(&locked.source).ok()?.server()).collect();
        if servers.len() <= 1 {
            return Ok(());
        }
        let servers: Vec<String> = servers.into_iter().collect();
        Err(FetchLockedError::Credentials { servers: sanitized(&servers.join(", ")).into_owned() })
    }

    /// The options of a fetch of `locked`, with what the receipt of the installed plugin knows of that server.
    fn fetch_options_for(&self, locked: &LockedPlugin, source: &Source, fetch: &FetchOptions) -> FetchOptions {
        let is_there = |receipt: &store::Receipt| {
            let installed = self.parse_source(&receipt.source.asked);
            source.server().is_some() && installed.is_ok_and(|installed| installed.server() == source.server())
        };
        match self.installed_receipt(locked).filter(is_there) {
            Some(receipt) => with_network_settings(fetch, &receipt.network),
            None => fetch.clone(),
        }
    }

    /// What the receipt of `locked` is to remember of how its server was reached.
    pub(super) fn network_settings_for(&self, locked: &LockedPlugin, fetch: &FetchOptions) -> store::NetworkSettings {
        let source = self.parse_source(&locked.source).ok();
        source.map_or_else(Default::default, |source| {
            network_settings(&self.fetch_options_for(locked, &source, fetch), &source)
        })
    }

    /// Fetches the package of `locked` into `spool`, and verifies it as the file says, and as this machine knows to expect.
    pub(super) fn fetch_and_verify_locked(
        &self,
        locked: &LockedPlugin,
        context: &FetchContext<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<VerifiedLocked, FetchLockedError> {
        let known = if context.accept_signer { Vec::new() } else { self.known_signers_of(locked)? };
        let package = match context.mirror.map(|mirror| mirror.join("packages").join(locked.file_name())) {
            Some(path) if path.exists() => self.fetch_from_mirror(locked, path, context, spool, report)?,
            absent => {
                let is_signed = locked.signer().is_some() || !known.is_empty();
                self.fetch_from_source(locked, absent, is_signed, context, spool, report)?
            }
        };
        self.verify_locked(locked, &known, package, context, report)
    }

    /// Fetches once more what `locked` was made of, an installed plugin: with its digest, or of its commit.
    pub(in crate::manager) fn refetch(
        &self,
        locked: &LockedPlugin,
        signed: bool,
        fetch: &FetchOptions,
        spool: &Path,
    ) -> Result<FetchedPackage, FetchLockedError> {
        let trust = &VerificationMode::Nothing;
        let context = FetchContext { fetch, mirror: None, offline: false, frozen: true, trust, accept_signer: false };
        Ok(self.fetch_from_source(locked, None, signed, &context, spool, self.report)?.fetched)
    }

    fn fetch_from_mirror(
        &self,
        locked: &LockedPlugin,
        path: PathBuf,
        context: &FetchContext<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<FetchedLocked, FetchLockedError> {
        let digest = locked.archive().ok_or_else(|| no_digest(locked))?;
        let options = local_options(context.fetch);
        let mirror = Source::Archive(path);
        let fetched = self.fetch(&mirror, &options, spool, report).map_err(|e| fetch_failed(locked, e.into()))?;
        let fetched = expect_digest(fetched, &digest).map_err(|e| fetch_failed(locked, e.into()))?;
        Ok(FetchedLocked { fetched, source: self.parse_source(&locked.source).unwrap_or(mirror), from_mirror: true })
    }

    fn fetch_from_source(
        &self,
        locked: &LockedPlugin,
        not_in_mirror: Option<PathBuf>,
        is_signed: bool,
        context: &FetchContext<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<FetchedLocked, FetchLockedError> {
        let name = locked.name.to_string();
        let source = match self.parse_source(&locked.source) {
            Ok(source) if !(context.offline && source.is_remote()) => source,
            Err(error) if !context.offline => return Err(fetch_failed(locked, error.into())),
            _ => {
                let (from, host) = (masked_source(&locked.source), self.host.name().to_owned());
                return Err(FetchLockedError::Offline { name, from, mirror: not_in_mirror, host });
            }
        };
        if let Source::Directory(path) = source {
            return Err(FetchLockedError::Directory { name, path });
        }
        let mut options = if source.is_remote() {
            self.fetch_options_for(locked, &source, context.fetch)
        } else {
            local_options(context.fetch)
        };
        let (source, version) = locked_source(source, locked);
        let digest = locked.archive();
        let has_digest = digest.is_some() || source.is_exact(version.as_deref());
        if !has_digest && context.frozen {
            return Err(no_digest(locked));
        }
        let by_signature = !has_digest && matches!(context.trust, VerificationMode::Signature { .. });
        options.wanted = if is_signed || by_signature { Wanted::default() } else { Wanted::package() };
        options.version = version;
        let fetched = self.fetch(&source, &options, spool, report).map_err(|e| fetch_failed(locked, e.into()))?;
        let fetched = match digest {
            // Every byte hangs on the commit; how it is packed may differ between versions of this program.
            Some(digest) if !(fetched.is_named_by_id() && fetched.origin().git.is_some()) => {
                expect_digest(fetched, &digest).map_err(|e| fetch_failed(locked, e.into()))?
            }
            _ => fetched,
        };
        Ok(FetchedLocked { fetched, source, from_mirror: false })
    }

    /// The receipt of what is installed under the name of `locked`; a damaged one knows nothing.
    pub(super) fn installed_receipt(&self, locked: &LockedPlugin) -> Option<store::Receipt> {
        let store = self.store();
        let found = store.find(locked.name.as_str()).ok().flatten()?;
        store.receipt(&found).ok().flatten()
    }
}

/// What failed for `locked`.
pub(super) fn fetch_failed(locked: &LockedPlugin, source: InstallError) -> FetchLockedError {
    FetchLockedError::Failed {
        name: locked.name.to_string(),
        source: Box::new(source.with_alternatives(Alternatives::Nothing)),
    }
}

/// The file does not say which bytes `locked` is on this platform.
pub(super) fn no_digest(locked: &LockedPlugin) -> FetchLockedError {
    FetchLockedError::NoDigest { name: locked.name.to_string(), platform: LockedPlugin::platform() }
}

/// The source and version that can only mean what is locked, as far as the file says so.
fn locked_source(source: Source, locked: &LockedPlugin) -> (Source, Option<String>) {
    let version = || locked.version.as_ref().map(ToString::to_string);
    match source {
        Source::Git(_) | Source::Web(_) => (source, locked.commit.clone()),
        Source::Oci(reference) => match locked.manifest {
            Some(digest) => (Source::Oci(OciReference { tag: None, digest: Some(digest), ..reference }), None),
            None if reference.tag.is_some() || reference.digest.is_some() => (Source::Oci(reference), None),
            None => (Source::Oci(reference), version()),
        },
        // It came out of the git repository.
        Source::GitHub { owner, repo, .. } if locked.commit.is_some() => {
            (Source::GitHub { owner, repo, version: None }, locked.commit.clone())
        }
        Source::GitHub { owner, repo, version: asked } => {
            // A tag that is no version says more than the version of the manifest.
            let tag =
                asked.or_else(|| locked.constraint.clone()).filter(|tag| Range::parse(tag).is_err() && tag != "latest");
            (Source::GitHub { owner, repo, version: None }, tag.or_else(version))
        }
        Source::Index { index, name, .. } => (Source::Index { index, name, version: None }, version()),
        other => (other, None),
    }
}

/// The options for a file of this machine: those that speak of a network have nothing to say.
pub(super) fn local_options(options: &FetchOptions) -> FetchOptions {
    FetchOptions { http: options.http.clone(), limits: options.limits.clone(), ..FetchOptions::default() }
}

/// What the receipt keeps as the source of a locked plugin, wherever its bytes `came` from this time.
pub(super) fn receipt_source(locked: &LockedPlugin, came: &store::RecordedSource) -> store::RecordedSource {
    let manifest = locked.manifest.map(|digest| format!("sha256:{digest}"));
    let asked = locked.source.clone();
    // What came from a mirror knows nothing of the source.
    let came = if came.asked == asked { came.clone() } else { store::RecordedSource::default() };
    store::RecordedSource { asked, revision: locked.commit.clone().or(manifest), ..came }
}
