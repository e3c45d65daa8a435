//! Downloads: through the built-in sources, or through the getter plugin that serves a URL's scheme. `get` is one for its own
//! sake.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Classified, ErrorKind};
use crate::intake::package::FetchedPackage;
use crate::intake::source::{self, FetchOptions, Source, SourceContext, SourceError, Wanted};
use crate::policy::SourceLocation;
use crate::report::Report;
use crate::runtime::{self, Environment, InvokeError, InvokeInput};
use crate::store::{GateError, Spool, StoreError};
use crate::text::Sanitized;

use super::audit::AuditNote;
use super::{AdmitError, Manager};

/// Why something was not downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The argument could not be understood, or a built-in source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A policy does not let it in.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The getter plugin may not be run.
    #[error("the getter plugin `{plugin}` must not run, so nothing was downloaded")]
    Gate {
        /// The plugin.
        plugin: String,
        /// Why not.
        source: Box<GateError>,
    },
    /// The getter plugin failed.
    #[error("cannot download `{url}` with the getter plugin `{plugin}`; what it needs is in its own documentation")]
    Getter {
        /// The plugin.
        plugin: String,
        /// The URL, safe to show.
        url: String,
        /// How it failed.
        source: Box<InvokeError>,
    },
    /// The getter plugin did not bring the provenance. It cannot say whether there is one.
    #[error(
        "the getter plugin `{plugin}` cannot download the provenance `{at}`: put it there, name the package's digest with \
         `--digest sha256:...`, or do without verification with `--verify=false`"
    )]
    Provenance {
        /// The plugin.
        plugin: String,
        /// Its URL, safe to show.
        at: String,
        /// How it failed.
        source: Box<InvokeError>,
    },
    /// There is no place to download to.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was downloaded cannot be put in its place.
    #[error("cannot write `{}`", Sanitized(&path.to_string_lossy()))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Classified for GetError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Admit(error) => error.kind(),
            Self::Gate { source, .. } => source.kind().once_begun(),
            Self::Getter { source, .. } => source.kind(),
            Self::Provenance { .. } => ErrorKind::Unverified,
            Self::Store(error) => error.kind().once_begun(),
            Self::Write { .. } => ErrorKind::Failed,
        }
    }
}

/// A file that was downloaded for its own sake, in a private place; it goes with this.
#[derive(Debug)]
pub struct DownloadedFile {
    fetched: FetchedPackage,
    _spool: Spool,
}

impl DownloadedFile {
    /// Where it is for now.
    pub fn path(&self) -> &Path {
        self.fetched.path()
    }

    /// How it is called at its source.
    pub fn file_name(&self) -> &str {
        self.fetched.file_name()
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.fetched.size()
    }

    /// Puts it at `path`, where others may read it as far as the user's umask lets them; a file that is there is replaced.
    ///
    /// # Errors
    /// [`GetError::Write`].
    pub fn keep(self, path: &Path) -> Result<(), GetError> {
        let failed = |source| GetError::Write { path: path.to_owned(), source };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // The umask shows in what a new file gets; asking for it outright would change it for other threads.
            let probe = self.fetched.path().with_file_name("mode");
            let mode = std::fs::File::create(&probe).and_then(|file| file.metadata()).map_err(failed)?.permissions().mode();
            let mode = std::fs::Permissions::from_mode(mode & 0o666);
            std::fs::set_permissions(self.fetched.path(), mode).map_err(failed)?;
        }
        std::fs::rename(self.fetched.path(), path).map_err(failed)
    }
}

impl Manager<'_> {
    /// What the argument of an install means here.
    ///
    /// # Errors
    /// [`SourceError`], where it means nothing.
    pub fn parse_source(&self, argument: &str) -> Result<Source, SourceError> {
        Source::parse(argument, &self.known(argument))
    }

    /// Downloads `url` into a new private directory in `directory`, whatever it is: nothing is verified. Of a reference to a
    /// registry it is the package.
    ///
    /// # Errors
    /// See [`GetError`]; nothing is left then.
    pub fn get(&self, url: &str, options: &FetchOptions, directory: &Path) -> Result<DownloadedFile, GetError> {
        self.with_refusal_audit(AuditNote::of_source(None, url), |_| self.download(url, options, directory))
    }

    fn download(&self, url: &str, options: &FetchOptions, directory: &Path) -> Result<DownloadedFile, GetError> {
        let source = Source::parse_download(url, &self.known(url))?;
        if options.version.is_some() && !matches!(source, Source::Oci(_)) {
            let reason = "a URL names one file; only a registry has several versions of it";
            return Err(SourceError::Option { option: "--version", what: source.to_string(), reason }.into());
        }
        // What is allowed is about plugins; what is denied is not fetched at all.
        let judge = |locations: &[SourceLocation]| {
            let what = format!("the source `{source}`");
            self.policy.judge_denied(locations).map_err(|source| AdmitError::Policy { what, source: Box::new(source) })
        };
        judge(&self.locations_of(&source))?;
        let spool = Spool::within(directory)?;
        let fetched = self.fetch_any(&source, &options.wanting(Wanted::package()), spool.path(), self.report)?;
        judge(&self.locations_of_fetched(&source, fetched.origin()))?;
        Ok(DownloadedFile { fetched, _spool: spool })
    }

    /// Fetches the package of `source` into `spool`, a private directory: [`source::fetch`], and getter plugins too. The policy is
    /// asked before, and again once it is known where the bytes came from.
    ///
    /// # Errors
    /// See [`GetError`].
    pub fn fetch(
        &self,
        source: &Source,
        options: &FetchOptions,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<FetchedPackage, GetError> {
        self.admit_source(source)?;
        let fetched = self.fetch_any(source, &self.options_under_policy(options, source), spool, report)?;
        self.admit_origin(source, fetched.origin())?;
        Ok(fetched)
    }

    /// [`Manager::fetch`] of anything.
    fn fetch_any(
        &self,
        source: &Source,
        options: &FetchOptions,
        spool: &Path,
        report: &dyn Report,
    ) -> Result<FetchedPackage, GetError> {
        let Source::Getter { plugin: name, url } = source else {
            return Ok(source::fetch(source, options, spool, report)?);
        };
        options.check(source)?;
        let plugin = self
            .store()
            .open_plugin(name, self.settings.gate)
            .map_err(|source| GetError::Gate { plugin: name.clone(), source: source.into() })?;
        plugin.warnings.iter().for_each(|warning| report.warning(warning));
        let environment = Environment::new(self.host, self.homes, self.debug);
        source::fetch_by_getter(source, url, options, spool, report, |asked, into| {
            let request = runtime::GetterRequest {
                url: asked.url.clone(),
                cert_file: asked.cert_file.clone(),
                key_file: asked.key_file.clone(),
                ca_file: asked.ca_file.clone(),
                username: asked.username.clone(),
                password: asked.password.as_ref().map(|password| password.expose().to_owned()),
                pass_credentials_all: false,
                max_bytes: asked.max_bytes,
                timeout: asked.timeout,
            };
            match plugin.invoke(InvokeInput::Getter { request: &request, into }, &environment, report) {
                Ok(_) => Ok(()),
                Err(source) if asked.is_provenance => {
                    Err(GetError::Provenance { plugin: name.clone(), at: asked.shown(), source: source.into() })
                }
                Err(source) => Err(GetError::Getter { plugin: name.clone(), url: asked.shown(), source: source.into() }),
            }
        })
    }

    /// What the grammar has to know for `argument`. The plugins are looked at only where one of them may be meant.
    fn known(&self, argument: &str) -> SourceContext {
        let mut known = SourceContext::default();
        if !Source::wants_getter(argument) || self.host.plugins_off().is_some() {
            return known;
        }
        // A store that cannot be read serves no scheme; who wants to know more asks for a list.
        let listing = self.store().list().unwrap_or_default();
        listing.warnings.iter().for_each(|warning| self.report.warning(warning));
        for plugin in listing.plugins.into_iter().filter(|plugin| plugin.status.is_in_use()) {
            for scheme in &plugin.protocols {
                // Sorted by name, so that of two that serve one scheme it is always the same that is asked.
                known.getters.entry(scheme.to_ascii_lowercase()).or_insert_with(|| plugin.name.clone());
            }
        }
        known
    }
}
