//! What an organisation allows: `policy.yaml` (`docs/spec/policy.md`).
//!
//! Up to three files count, and all that exist count together: `<config>/policy.yaml`, `/etc/<host>/policy.yaml`, and the one that
//! `<HOST>_POLICY` names. Every rule of every file must be kept, so that adding a file can only tighten; no flag, setting or
//! environment variable takes a rule away. A file that cannot be read, or that somebody else may write to, is an error
//! rather than no policy.
//!
//! | file | what it decides |
//! |---|---|
//! | `read` | what the text of a file means |
//! | `pattern`, `location` | whether a rule for sources is about a source, however that is written |
//! | `judge` | what all rules together say about a plugin |
//!
//! Asking is the part of others: [`crate::store`]'s gate before every run, [`crate::manager`] before anything comes in.

mod judge;
mod location;
mod pattern;
mod read;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;

use crate::files::{self, AllowedWriters, UntrustedFile};
use crate::host::{Homes, Host};
use crate::text::Sanitized;
use crate::yaml::{Position, YamlError};

pub use judge::{Decision, PolicyRequest, Proof, Refusal, RuleVerdict};
pub use location::SourceLocation;
pub use pattern::Pattern;

/// The name of a policy in a directory of its own.
pub const FILE_NAME: &str = "policy.yaml";

/// Bytes of a policy: far more than anybody writes.
const MAX_BYTES: u64 = 1 << 20;

/// All policies that are in force. Copies are cheap.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    files: Arc<[PolicyFile]>,
    /// The version of the host, which a policy may find too old.
    host: Option<(String, Version)>,
}

/// One file of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFile {
    /// Sources that are allowed, where only some are; an empty list allows none.
    pub allow: Option<Rule<Vec<Rule<Pattern>>>>,
    /// Sources that are not.
    pub deny: Vec<Rule<Pattern>>,
    /// The least that counts as verified.
    pub verification: Option<Rule<VerificationLevel>>,
    /// Who may sign what.
    pub signers: Vec<Rule<SignerRule>>,
    /// Names of plugins that must not be there.
    pub plugins: Vec<Rule<Pattern>>,
    /// What hooks may do.
    pub hooks: Option<Rule<HookPolicy>>,
    /// The oldest host that may have plugins.
    pub minimum_host_version: Option<Rule<Version>>,
    /// The audit log must be written.
    pub audit: Option<Rule<()>>,
}

/// A rule's content, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<T> {
    /// The content.
    pub value: T,
    /// Where it stands.
    pub at: RulePosition,
}

/// A line of a policy, shown as `file:line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePosition {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for RulePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Sanitized(&self.file.to_string_lossy()), self.line)
    }
}

/// How well a plugin is verified, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerificationLevel {
    /// Not at all.
    None,
    /// By a digest that somebody named.
    Digest,
    /// By a signature.
    Signature,
}

/// What hooks may do, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookPolicy {
    /// Run as the settings say.
    Allow,
    /// Run only confined to the files of their plugin.
    Sandbox,
    /// Not run.
    Forbid,
}

/// Who may sign what a source has, or what bears a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerRule {
    /// The sources that it is about.
    pub source: Option<Pattern>,
    /// The names that it is about.
    pub name: Option<Pattern>,
    /// The only keys that may have signed: fingerprints in upper case, those of SSH keys as they are.
    pub fingerprints: Vec<String>,
}

/// Why the policy is not known. Nothing that it could be about may be done then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A file is there and cannot be read.
    #[error("cannot read the policy {}{}; nothing is done without it, so make it readable", Sanitized(&.path.to_string_lossy()), named(.named_by))]
    Read {
        /// The file.
        path: PathBuf,
        /// The variable that names it.
        named_by: Option<String>,
        /// Why.
        source: io::Error,
    },
    /// A variable names a file that is not there.
    #[error("the policy {}{} is not there; nothing is done without it", Sanitized(&.path.to_string_lossy()), named(.named_by))]
    Missing {
        /// The file.
        path: PathBuf,
        /// The variable that names it.
        named_by: Option<String>,
    },
    /// What is there is no regular file.
    #[error("the policy {}{} is not a regular file", Sanitized(&.path.to_string_lossy()), named(.named_by))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The variable that names it.
        named_by: Option<String>,
    },
    /// Others may change it.
    #[error(transparent)]
    Changeable(#[from] UntrustedFile),
    /// It is far too large.
    #[error("the policy {} has more than {MAX_BYTES} bytes; is it the right file?", Sanitized(&.path.to_string_lossy()))]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its text is no policy.
    #[error("{}:{}:{}: {}; nothing is done before the policy is put right", Sanitized(&.path.to_string_lossy()), .error.at().line, .error.at().column, .error.reason())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        error: YamlError,
    },
}

impl PolicyError {
    /// The file that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::Missing { path, .. }
            | Self::NotAFile { path, .. }
            | Self::Changeable(UntrustedFile { path, .. })
            | Self::TooLarge { path }
            | Self::Invalid { path, .. } => path,
        }
    }

    /// Where in the file it is, where it has a place.
    pub fn mark(&self) -> Option<Position> {
        match self {
            Self::Invalid { error, .. } => Some(error.at()),
            _ => None,
        }
    }
}

fn named(named_by: &Option<String>) -> String {
    named_by.as_ref().map(|variable| format!(" (named by {variable})")).unwrap_or_default()
}

/// Where a policy may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPath {
    /// The file.
    pub path: PathBuf,
    /// The variable that names it; such a file must be there.
    pub named_by: Option<String>,
}

impl Policy {
    /// The policy of nobody: everything is allowed.
    pub fn none() -> Self {
        Self::default()
    }

    /// Where policies for `host` are looked for.
    pub fn candidates(host: &Host, homes: &Homes) -> Vec<PolicyPath> {
        let usual = [homes.config.path.join(FILE_NAME), system_directory(host.name()).join(FILE_NAME)];
        let mut candidates: Vec<_> = usual.into_iter().map(|path| PolicyPath { path, named_by: None }).collect();
        if let Some((name, value)) = host.variable("POLICY") {
            let path = PathBuf::from(value);
            let path = std::path::absolute(&path).unwrap_or(path);
            candidates.push(PolicyPath { path, named_by: Some(name) });
        }
        candidates
    }

    /// Reads all policies for `host`. Where there are none, that costs one look at each place.
    ///
    /// # Errors
    /// See [`PolicyError`]: one file that cannot be used is enough.
    pub fn load(host: &Host, homes: &Homes) -> Result<Self, PolicyError> {
        let mut files = Vec::new();
        for candidate in Self::candidates(host, homes) {
            files.extend(PolicyFile::read(&candidate)?);
        }
        Ok(Self::of(files, host))
    }

    /// These files as the policy for `host`.
    pub fn of(files: Vec<PolicyFile>, host: &Host) -> Self {
        let host = (!files.is_empty()).then(|| (host.name().to_owned(), host.version().clone()));
        Self { files: files.into(), host }
    }

    /// Whether there is no policy at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What hooks may do, and who says so; `None` where nobody does.
    pub fn hooks(&self) -> Option<&Rule<HookPolicy>> {
        // Of equals the first: it is the one that is named.
        self.files.iter().rev().filter_map(|file| file.hooks.as_ref()).max_by_key(|rule| rule.value)
    }

    /// The line that says that the audit log must be written, where one does.
    pub fn audit_required(&self) -> Option<&RulePosition> {
        self.files.iter().find_map(|file| file.audit.as_ref()).map(|rule| &rule.at)
    }
}

impl PolicyFile {
    /// Reads the file at `candidate`; `None` where there is none and nobody says that there is.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn read(candidate: &PolicyPath) -> Result<Option<Self>, PolicyError> {
        let PolicyPath { path, named_by } = candidate;
        let read = |source| PolicyError::Read { path: path.clone(), named_by: named_by.clone(), source };
        // Before every run this is all that happens where there is no policy. A link that leads nowhere was meant to be one.
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return match named_by {
                    None => Ok(None),
                    Some(_) => Err(PolicyError::Missing { path: path.clone(), named_by: named_by.clone() }),
                };
            }
            Err(e) => return Err(read(e)),
        }
        let mut options = OpenOptions::new();
        options.read(true);
        // A pipe must not keep us waiting for its other end.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits() as i32);
        let file = options.open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(PolicyError::NotAFile { path: path.clone(), named_by: named_by.clone() });
        }
        files::refuse_untrusted(path, &metadata, AllowedWriters::Nobody, 1)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(PolicyError::TooLarge { path: path.clone() });
        }
        match Self::parse(&bytes, path) {
            Ok(file) => Ok(Some(file)),
            Err(error) => Err(PolicyError::Invalid { path: path.clone(), error }),
        }
    }
}

/// Where an administrator keeps the settings of the program `host` for all users.
#[cfg(not(windows))]
fn system_directory(host: &str) -> PathBuf {
    Path::new("/etc").join(host)
}

#[cfg(windows)]
fn system_directory(host: &str) -> PathBuf {
    std::env::var_os("ProgramData").map_or_else(|| PathBuf::from("C:\\ProgramData"), PathBuf::from).join(host)
}

impl VerificationLevel {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Digest => "digest",
            Self::Signature => "signature",
        }
    }
}

impl HookPolicy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Sandbox => "sandbox",
            Self::Forbid => "forbid",
        }
    }
}

#[cfg(test)]
mod tests;
