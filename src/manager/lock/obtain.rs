//! The very package that a lock file names: from a mirror, or from its source, verified by what the file says of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Locked;
use crate::manager::network::{remembered, with_remembered};
use crate::manager::{InstallError, Manager, Trust};
use crate::provenance::{Evidence, Requirement, Verified};
use crate::report::Report;
use crate::source::version::Range;
use crate::source::{FetchOptions, OciReference, Source};
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
    /// How a package is verified that the file does not settle.
    pub(super) trust: &'a Trust,
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
        "plugin `{name}` cannot be had offline: it comes from {} and {}; write a mirror with `plugin export`, or leave out `--offline`",
        Plain(.from), mirror_lacks(.mirror)
    )]
    Offline {
        /// The plugin's name.
        name: String,
        /// Its source, safe to show.
        from: String,
        /// What the mirror would have had to hold.
        mirror: Option<PathBuf>,
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
        let store = self.store();
        let found = store.find(locked.name.as_str()).ok().flatten();
        let receipt = found.and_then(|found| store.receipt(&found).ok().flatten());
        let is_there = |receipt: &store::Receipt| {
            let installed = self.parse_source(&receipt.source.asked);
            source.server().is_some() && installed.is_ok_and(|installed| installed.server() == source.server())
        };
        match receipt.filter(is_there) {
            Some(receipt) => with_remembered(fetch, &receipt.network),
            None => fetch.clone(),
        }
    }

    /// What the receipt of `locked` is to remember of how its server was reached.
    pub(super) fn network_of(&self, locked: &Locked, fetch: &FetchOptions) -> store::Network {
        let source = self.parse_source(&locked.source).ok();
        source.map_or_else(Default::default, |source| remembered(&self.options_of(locked, &source, fetch), &source))
    }

    /// Fetches the package of `locked` into `spool`, and verifies it.
    pub(super) fn obtain(
        &self,
        locked: &Locked,
        ways: &Ways<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<Verified, ObtainError> {
        let name = locked.name.to_string();
        let failed = |source: InstallError| ObtainError::Failed { name: name.clone(), source: Box::new(source) };
        let known = locked.archive();
        let unsettled = || ObtainError::Unsettled { name: name.clone(), platform: Locked::platform() };
        let parsed = self.parse_source(&locked.source);
        let verify = |fetched, requirement: &Requirement, source: &Source| {
            self.verify_under_policy(fetched, requirement, source, Some(&name)).map_err(|e| failed(e.into()))
        };

        let in_mirror = ways.mirror.map(|mirror| mirror.join("packages").join(locked.file_name()));
        if let Some(path) = in_mirror.as_ref().filter(|path| path.exists()) {
            let Some(digest) = known else { return Err(unsettled()) };
            let options = FetchOptions { want_provenance: true, ..local(ways.fetch) };
            let mirror = Source::Archive(path.clone());
            let fetched = self.fetch(&mirror, &options, spool, report).map_err(|e| failed(e.into()))?;
            return verify(fetched, &Requirement::Digest(digest), parsed.as_ref().unwrap_or(&mirror));
        }

        let offline =
            || ObtainError::Offline { name: name.clone(), from: masked_source(&locked.source), mirror: in_mirror.clone() };
        let source = match parsed {
            Ok(source) if ways.offline && source.is_remote() => return Err(offline()),
            Err(_) if ways.offline => return Err(offline()),
            Ok(source) => source,
            Err(e) => return Err(failed(e.into())),
        };
        if let Source::Directory(path) = source {
            return Err(ObtainError::Directory { name, path });
        }
        let mut options = if source.is_remote() { self.options_of(locked, &source, ways.fetch) } else { local(ways.fetch) };
        options.digest = None;
        options.want_provenance = false;
        let (source, version) = settled(source, locked);
        options.version = version;
        let hangs_on_id = source.is_pinned(options.version.as_deref());
        if known.is_none() && !hangs_on_id {
            if ways.frozen {
                return Err(unsettled());
            }
            return self.obtain_signed(locked, &source, options, ways, spool, report);
        }
        let fetched = self.fetch(&source, &options, spool, report).map_err(|e| failed(e.into()))?;
        let requirement = match known {
            // Every byte hangs on the commit; how it is packed may differ between versions of this program.
            _ if fetched.origin.pinned && fetched.origin.git.is_some() => Requirement::Digest(fetched.digest()),
            Some(digest) => Requirement::Digest(digest),
            None if fetched.origin.pinned => Requirement::Digest(fetched.digest()),
            None => return Err(unsettled()),
        };
        verify(fetched, &requirement, &source)
    }

    /// Fetches what the file does not settle for this platform: the same version, signed by the locked signer.
    fn obtain_signed(
        &self,
        locked: &Locked,
        source: &Source,
        options: FetchOptions,
        ways: &Ways<'_>,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<Verified, ObtainError> {
        let name = locked.name.to_string();
        let failed = |source: InstallError| ObtainError::Failed { name: name.clone(), source: Box::new(source) };
        let options = FetchOptions { want_provenance: matches!(ways.trust, Trust::Signature { .. }), ..options };
        let fetched = self.fetch(source, &options, spool, report).map_err(|e| failed(e.into()))?;
        let requirement = match ways.trust {
            // What was signed on the machine that was locked is signed for this one.
            Trust::Signature { .. } if locked.signer.is_none() && fetched.is_vouched_for() => {
                Requirement::Digest(fetched.digest())
            }
            trust => self.requirement(trust).map_err(|e| failed(e.into()))?,
        };
        let verified = self.verify_under_policy(fetched, &requirement, source, Some(&name)).map_err(|e| failed(e.into()))?;
        match (verified.evidence(), &locked.signer) {
            (Evidence::Signature(found), Some(signer)) if !found.fingerprint.eq_ignore_ascii_case(&signer.fingerprint) => {
                let locked = signer.fingerprint.clone();
                Err(ObtainError::OtherSigner { name, found: found.to_string(), locked })
            }
            _ => Ok(verified),
        }
    }
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
