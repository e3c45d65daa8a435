//! The very package that a lock file names: from a mirror, or from its source, verified by what the file says of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Locked;
use super::verify::Obtained;
use crate::intake::package::Fetched;
use crate::intake::provenance::Otherwise;
use crate::intake::provenance::having;
use crate::intake::source::version::Range;
use crate::intake::source::{FetchOptions, OciReference, Source};
use crate::manager::network::{remembered, with_remembered};
use crate::manager::{AdmitError, InstallError, Manager, Trust};
use crate::report::Report;
use crate::store;
use crate::text::{Plain, masked_source, plain};

/// Where packages may come from, and how.
#[derive(Debug, Clone)]
pub(super) struct Ways<'a> {
    /// How to reach servers.
    pub(super) fetch: &'a FetchOptions,
    /// A directory that `plugin export` wrote.
    pub(super) mirror: Option<&'a Path>,
    /// Whether the network is out of bounds.
    pub(super) offline: bool,
    /// Whether only what the file settles counts; else a signature by the locked signer, too.
    pub(super) frozen: bool,
    /// Whose signatures count.
    pub(super) trust: &'a Trust,
    /// Whether another signer than before is fine, and none.
    pub(super) accept_signer: bool,
}

/// A package that is the one that the file means, and that nobody verified.
#[derive(Debug)]
pub(super) struct Had {
    /// The package.
    pub(super) fetched: Fetched,
    /// Where the file says that it comes from; the mirror, where that is no source any more.
    pub(super) source: Source,
    /// Whether it came from a mirror.
    pub(super) from_mirror: bool,
}

impl Had {
    /// Whether the file says which bytes it is.
    pub(super) fn is_settled(&self, locked: &Locked) -> bool {
        locked.archive().is_some() || self.fetched.origin.pinned
    }
}

/// Why a locked package cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObtainError {
    /// The file does not say which archive it is.
    #[error(
        "the lock file does not settle plugin `{name}`: it has no digest for {platform}; lock it on a machine of this kind, or leave out `--frozen`"
    )]
    Unsettled {
        /// The plugin's name.
        name: String,
        /// This platform.
        platform: String,
    },
    /// The network would be needed.
    #[error(
        "plugin `{name}` cannot be had offline: it comes from {} and {}; write a mirror where the network is, with `{host} plugin export DIR`, or leave out `--offline`",
        Plain(.from), mirror_lacks(.mirror)
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
    #[error("plugin `{name}` is signed by {found}, but the lock file says {}", Plain(.locked))]
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
        Plain(.signer), Plain(.at)
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
        wanted: impl Iterator<Item = &'l Locked>,
        fetch: &FetchOptions,
    ) -> Result<(), ObtainError> {
        if fetch.username.is_none() {
            return Ok(());
        }
        let servers: BTreeSet<String> =
            wanted.filter_map(|locked| self.parse_source(&locked.source).ok()?.server()).collect();
        if servers.len() <= 1 {
            return Ok(());
        }
        let servers: Vec<String> = servers.into_iter().collect();
        Err(ObtainError::Credentials { servers: plain(&servers.join(", ")).into_owned() })
    }

    /// The options of a fetch of `locked`, with what the receipt of the installed plugin knows of that server.
    fn options_of(&self, locked: &Locked, source: &Source, fetch: &FetchOptions) -> FetchOptions {
        let is_there = |receipt: &store::Receipt| {
            let installed = self.parse_source(&receipt.source.asked);
            source.server().is_some() && installed.is_ok_and(|installed| installed.server() == source.server())
        };
        match self.installed_receipt(locked).filter(is_there) {
            Some(receipt) => with_remembered(fetch, &receipt.network),
            None => fetch.clone(),
        }
    }

    /// What the receipt of `locked` is to remember of how its server was reached.
    pub(super) fn network_of(&self, locked: &Locked, fetch: &FetchOptions) -> store::Network {
        let source = self.parse_source(&locked.source).ok();
        source.map_or_else(Default::default, |source| remembered(&self.options_of(locked, &source, fetch), &source))
    }

    /// Fetches the package of `locked` into `spool`, and verifies it as the file says, and as this machine knows to expect.
    pub(super) fn obtain(
        &self,
        locked: &Locked,
        ways: &Ways<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<Obtained, ObtainError> {
        let known = if ways.accept_signer { Vec::new() } else { self.known_signers_of(locked)? };
        let had = match ways.mirror.map(|mirror| mirror.join("packages").join(locked.file_name())) {
            Some(path) if path.exists() => self.get_from_mirror(locked, path, ways, spool, report)?,
            absent => {
                let is_signed = locked.signer().is_some() || !known.is_empty();
                self.get_from_source(locked, absent, is_signed, ways, spool, report)?
            }
        };
        self.verify_locked(locked, &known, had, ways, report)
    }

    /// Fetches once more what `locked` was made of, an installed plugin: with its digest, or of its commit.
    pub(in crate::manager) fn fetch_again(
        &self,
        locked: &Locked,
        signed: bool,
        fetch: &FetchOptions,
        spool: &Path,
    ) -> Result<Fetched, ObtainError> {
        let trust = &Trust::Nothing;
        let ways = Ways { fetch, mirror: None, offline: false, frozen: true, trust, accept_signer: false };
        Ok(self.get_from_source(locked, None, signed, &ways, spool, self.report)?.fetched)
    }

    fn get_from_mirror(
        &self,
        locked: &Locked,
        path: PathBuf,
        ways: &Ways<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<Had, ObtainError> {
        let digest = locked.archive().ok_or_else(|| unsettled(locked))?;
        let options = FetchOptions { want_provenance: true, ..local(ways.fetch) };
        let mirror = Source::Archive(path);
        let fetched = self.fetch(&mirror, &options, spool, report).map_err(|e| failed(locked, e.into()))?;
        let fetched = having(fetched, &digest).map_err(|e| failed(locked, e.into()))?;
        Ok(Had { fetched, source: self.parse_source(&locked.source).unwrap_or(mirror), from_mirror: true })
    }

    fn get_from_source(
        &self,
        locked: &Locked,
        not_in_mirror: Option<PathBuf>,
        is_signed: bool,
        ways: &Ways<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<Had, ObtainError> {
        let name = locked.name.to_string();
        let source = match self.parse_source(&locked.source) {
            Ok(source) if !(ways.offline && source.is_remote()) => source,
            Err(error) if !ways.offline => return Err(failed(locked, error.into())),
            _ => {
                let (from, host) = (masked_source(&locked.source), self.host.name().to_owned());
                return Err(ObtainError::Offline { name, from, mirror: not_in_mirror, host });
            }
        };
        if let Source::Directory(path) = source {
            return Err(ObtainError::Directory { name, path });
        }
        let mut options = if source.is_remote() { self.options_of(locked, &source, ways.fetch) } else { local(ways.fetch) };
        let (source, version) = settled(source, locked);
        let digest = locked.archive();
        let is_settled = digest.is_some() || source.is_pinned(version.as_deref());
        if !is_settled && ways.frozen {
            return Err(unsettled(locked));
        }
        options.digest = None;
        options.want_provenance = is_signed || (!is_settled && matches!(ways.trust, Trust::Signature { .. }));
        options.version = version;
        let fetched = self.fetch(&source, &options, spool, report).map_err(|e| failed(locked, e.into()))?;
        let fetched = match digest {
            // Every byte hangs on the commit; how it is packed may differ between versions of this program.
            Some(digest) if !(fetched.origin.pinned && fetched.origin.git.is_some()) => {
                having(fetched, &digest).map_err(|e| failed(locked, e.into()))?
            }
            _ => fetched,
        };
        Ok(Had { fetched, source, from_mirror: false })
    }

    /// The receipt of what is installed under the name of `locked`; a damaged one knows nothing.
    pub(super) fn installed_receipt(&self, locked: &Locked) -> Option<store::Receipt> {
        let store = self.store();
        let found = store.find(locked.name.as_str()).ok().flatten()?;
        store.receipt(&found).ok().flatten()
    }
}

/// What failed for `locked`.
pub(super) fn failed(locked: &Locked, source: InstallError) -> ObtainError {
    ObtainError::Failed { name: locked.name.to_string(), source: Box::new(source.otherwise(Otherwise::Nothing)) }
}

/// The file does not say which bytes `locked` is on this platform.
pub(super) fn unsettled(locked: &Locked) -> ObtainError {
    ObtainError::Unsettled { name: locked.name.to_string(), platform: Locked::platform() }
}

/// The source and version that can only mean what is locked, as far as the file says so.
fn settled(source: Source, locked: &Locked) -> (Source, Option<String>) {
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
pub(super) fn local(options: &FetchOptions) -> FetchOptions {
    FetchOptions { http: options.http.clone(), limits: options.limits.clone(), ..FetchOptions::default() }
}

/// What the receipt keeps as the source of a locked plugin, wherever its bytes `came` from this time.
pub(super) fn source_of(locked: &Locked, came: &store::Source) -> store::Source {
    let manifest = locked.manifest.map(|digest| format!("sha256:{digest}"));
    let asked = locked.source.clone();
    // What came from a mirror knows nothing of the source.
    let came = if came.asked == asked { came.clone() } else { store::Source::default() };
    store::Source { asked, revision: locked.commit.clone().or(manifest), ..came }
}
