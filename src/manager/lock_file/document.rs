//! The lock file itself (`docs/spec/lock.md`, section 1): TOML, sorted by name, the same bytes for the same plugins.
//! `schema/lock.schema.json` describes it.
//!
//! It is read as what somebody else wrote: every name, version, digest and commit is checked before anything is done with it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::files;
use crate::manifest::PluginName;
use crate::manifest::platform::Platform;
use crate::text::{Sanitized, sanitized_block};

/// The name of the file where nobody names another.
pub const FILE_NAME: &str = "plugins.lock";

/// The version of the format.
const VERSION: u32 = 1;

/// Bytes of a lock file: some ten thousand plugins.
const MAX_BYTES: u64 = 16 << 20;

/// The key of an archive that is the same on every platform.
const ANY: &str = "any";

/// What a lock file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    /// The plugins by name.
    pub plugins: BTreeMap<PluginName, LockedPlugin>,
}

/// One plugin of a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPlugin {
    /// Its name.
    pub name: PluginName,
    /// Its exact version; none where its manifest has none.
    pub version: Option<semver::Version>,
    /// Where it comes from, without user name and password.
    pub source: String,
    /// The version or range that updates follow.
    pub constraint: Option<String>,
    /// The id of the git commit that it was made from.
    pub commit: Option<String>,
    /// The digest of its manifest in an OCI registry.
    pub manifest: Option<Sha256Digest>,
    /// How it was verified.
    pub verified: LockedVerification,
    /// The digests of its archives: by `<os>/<arch>`, or under `any`.
    pub archives: BTreeMap<String, Sha256Digest>,
}

/// How a locked plugin was verified: what comes of the entry is trusted for no more than that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockedVerification {
    /// By a signature.
    Signature(LockedSigner),
    /// By its digest, which somebody named.
    Digest,
    /// By nothing: the digest says which bytes are meant, and nobody said that they are good.
    Nothing,
}

impl LockedVerification {
    /// The word that the file uses.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Digest => "digest",
            Self::Nothing => "none",
        }
    }

    fn read(word: Option<&str>, signer: Option<LockedSigner>) -> Result<Self, String> {
        match (word, signer) {
            // Older files do not say it: a signer is named where there was a signature.
            (Some("signature") | None, Some(signer)) => Ok(Self::Signature(signer)),
            (Some("digest") | None, None) => Ok(Self::Digest),
            (Some("none"), None) => Ok(Self::Nothing),
            (Some("signature"), None) => Err("it was verified by a signature, and no signer is named".to_owned()),
            (Some("digest" | "none"), Some(_)) => Err("a signer is named, but no signature was verified".to_owned()),
            (Some(other), _) => {
                Err(format!("`verified` is `{}`: expected `signature`, `digest` or `none`", Sanitized(other)))
            }
        }
    }
}

/// Who signed a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LockedSigner {
    /// The fingerprint of the certificate.
    pub fingerprint: String,
    /// Its user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockFileError {
    /// There is none.
    #[error("there is no lock file {}; `{}` writes one, and `{host} plugin sync --lock-file FILE` reads one elsewhere", path.display(), lock_command(host, path))]
    Missing {
        /// Where it would be.
        path: PathBuf,
        /// The host's name.
        host: String,
    },
    /// It cannot be read or written.
    #[error("cannot {action} the lock file {}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is far too large.
    #[error("the lock file {} has more than {MAX_BYTES} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no lock file.
    #[error("{} is not a lock file: {reason}; remove it and write it anew with `{host} plugin lock`, or name the right file with `--lock-file`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The host's name.
        host: String,
        /// What is wrong, and where; safe to show.
        reason: String,
    },
    /// A newer version of this program wrote it.
    #[error("the lock file {} has version {found}, but this program knows version {VERSION}; use the newer program that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
}

impl Classified for LockFileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Io { .. } | Self::TooLarge { .. } | Self::Malformed { .. } | Self::Newer { .. } => ErrorKind::Failed,
        }
    }
}

/// The command that writes the lock file `path`.
fn lock_command(host: &str, path: &Path) -> String {
    match path.to_string_lossy() {
        path if path == FILE_NAME => format!("{host} plugin lock"),
        path => format!("{host} plugin lock --lock-file {}", crate::text::quoted(&path)),
    }
}

/// The file as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "plugin", skip_serializing_if = "Vec::is_empty")]
    plugins: Vec<PluginEntry>,
}

/// A plugin as it is written. Tables come last, as TOML wants it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PluginEntry {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    constraint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signer: Option<LockedSigner>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    archives: BTreeMap<String, String>,
}

impl LockFile {
    /// Reads the file at `path`; `host` is the name of the host, whose commands write such files.
    ///
    /// # Errors
    /// See [`LockFileError`].
    pub fn read(path: &Path, host: &str) -> Result<Self, LockFileError> {
        let bytes = match files::read_bounded(path, MAX_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(LockFileError::TooLarge { path: path.to_owned() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(LockFileError::Missing { path: path.to_owned(), host: host.to_owned() });
            }
            Err(source) => return Err(LockFileError::Io { action: "read", path: path.to_owned(), source }),
        };
        let malformed = |reason: String| LockFileError::Malformed { path: path.to_owned(), host: host.to_owned(), reason };
        let text = String::from_utf8(bytes).map_err(|_| malformed("it is no text".to_owned()))?;
        match Self::parse(&text) {
            Ok(file) => Ok(file),
            Err(EntryProblem::Newer(found)) => Err(LockFileError::Newer { path: path.to_owned(), found }),
            Err(EntryProblem::Malformed(reason)) => Err(malformed(reason)),
        }
    }

    /// Reads the text of a lock file.
    fn parse(text: &str) -> Result<Self, EntryProblem> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        if let Ok(Head { version }) = toml::from_str(text)
            && version > VERSION
        {
            return Err(EntryProblem::Newer(version));
        }
        let document: Document = toml::from_str(text).map_err(|e| EntryProblem::Malformed(located(text, &e)))?;
        if document.version != VERSION {
            return Err(EntryProblem::Malformed(format!("its version is {}", document.version)));
        }
        let mut plugins = BTreeMap::new();
        for entry in document.plugins {
            let name = entry.name.clone();
            let wrong = |reason: String| EntryProblem::Malformed(format!("plugin `{}`: {reason}", Sanitized(&name)));
            let locked = LockedPlugin::read(entry).map_err(wrong)?;
            // Two plugins of one name, in one case of letters or another, would be one directory.
            if plugins.keys().any(|other: &PluginName| other.as_str().eq_ignore_ascii_case(&name)) {
                return Err(wrong("it is there twice".to_owned()));
            }
            plugins.insert(locked.name.clone(), locked);
        }
        Ok(Self { plugins })
    }

    /// The file's text.
    fn render(&self, host: &str) -> String {
        let plugins = self.plugins.values().map(LockedPlugin::write).collect();
        // Strings, numbers and tables with names: TOML has a form for all of it.
        let text = toml::to_string(&Document { version: VERSION, plugins }).unwrap_or_default();
        format!("# Written by `{host} plugin lock`; `{host} plugin sync` makes the installed plugins equal to it.\n\n{text}")
    }

    /// Writes the file to `path` in one rename: a symbolic link there is replaced, never written through (CVE-2025-53547).
    ///
    /// # Errors
    /// [`LockFileError::Io`]; an older file is then as it was.
    pub fn write(&self, path: &Path, host: &str) -> Result<(), LockFileError> {
        files::write_public(path, self.render(host).as_bytes()).map_err(|source| LockFileError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }
}

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
enum EntryProblem {
    Newer(u32),
    Malformed(String),
}

/// The parser's message with its line.
fn located(text: &str, error: &toml::de::Error) -> String {
    let message = sanitized_block(error.message()).replace('\n', " ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

impl LockedPlugin {
    /// The key under which this platform's archive stands, where it differs from platform to platform.
    pub(super) fn platform() -> String {
        let Platform { os, arch } = Platform::current();
        format!("{os}/{arch}")
    }

    /// The digest of the archive for this platform.
    pub fn archive(&self) -> Option<Sha256Digest> {
        self.archives.get(&Self::platform()).or_else(|| self.archives.get(ANY)).copied()
    }

    /// Who signed it.
    pub fn signer(&self) -> Option<&LockedSigner> {
        match &self.verified {
            LockedVerification::Signature(signer) => Some(signer),
            LockedVerification::Digest | LockedVerification::Nothing => None,
        }
    }

    /// Whether its signature is in a file of its own, and not in a git repository.
    pub(super) fn has_provenance(&self) -> bool {
        self.signer().is_some() && self.commit.is_none()
    }

    /// Notes the archive of this platform, or of every one.
    pub(super) fn set_archive(&mut self, digest: Sha256Digest, for_any: bool) {
        let key = if for_any { ANY.to_owned() } else { Self::platform() };
        self.archives.insert(key, digest);
    }

    /// The file's name in a mirror.
    pub fn file_name(&self) -> String {
        match &self.version {
            Some(version) => format!("{}-{version}.tgz", self.name),
            None => format!("{}.tgz", self.name),
        }
    }

    fn read(entry: PluginEntry) -> Result<Self, String> {
        let name = PluginName::new(&entry.name).map_err(|e| e.to_string())?;
        let version = entry.version.as_deref().map(semver::Version::parse).transpose();
        let version = version.map_err(|e| format!("its version is none: {e}"))?;
        if entry.source.is_empty() {
            return Err("it has no source".to_owned());
        }
        let digest = |text: &str| text.parse::<Sha256Digest>().map_err(|e| e.to_string());
        if let Some(commit) = &entry.commit
            && !(matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err("its commit is no full commit id".to_owned());
        }
        if entry.commit.is_some() && entry.manifest.is_some() {
            return Err("it has a commit and a manifest".to_owned());
        }
        let mut archives = BTreeMap::new();
        for (platform, text) in entry.archives {
            archives.insert(platform, digest(&text)?);
        }
        Ok(Self {
            name,
            version,
            source: entry.source,
            constraint: entry.constraint,
            commit: entry.commit,
            manifest: entry.manifest.as_deref().map(digest).transpose()?,
            verified: LockedVerification::read(entry.verified.as_deref(), entry.signer)?,
            archives,
        })
    }

    fn write(&self) -> PluginEntry {
        let digest = |digest: &Sha256Digest| format!("sha256:{digest}");
        PluginEntry {
            name: self.name.to_string(),
            version: self.version.as_ref().map(ToString::to_string),
            source: self.source.clone(),
            constraint: self.constraint.clone(),
            commit: self.commit.clone(),
            manifest: self.manifest.as_ref().map(digest),
            verified: Some(self.verified.as_str().to_owned()),
            signer: self.signer().cloned(),
            archives: self.archives.iter().map(|(platform, one)| (platform.clone(), digest(one))).collect(),
        }
    }
}

/// Reads `data` as a lock file, and again what was written of it, for the fuzz targets: see [`crate::intake::source::read_foreign`].
#[doc(hidden)]
pub fn read_foreign(data: &[u8]) {
    let _ = LockFile::parse(&String::from_utf8_lossy(data));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn locked(name: &str) -> LockedPlugin {
        LockedPlugin {
            name: PluginName::new(name).unwrap(),
            version: Some(semver::Version::new(1, 2, 3)),
            source: "https://example.com/p.tgz?v=1".to_owned(),
            constraint: Some("~1.2".to_owned()),
            commit: None,
            manifest: Some(Sha256Digest::of(b"m")),
            verified: LockedVerification::Signature(LockedSigner {
                fingerprint: "ABCD".to_owned(),
                user_id: Some("A \"B\" <a@b>\n".to_owned()),
            }),
            archives: BTreeMap::from([("any".to_owned(), Sha256Digest::of(b"a"))]),
        }
    }

    #[test]
    fn what_is_written_is_read_and_is_sorted() {
        let bare = LockedPlugin {
            version: None,
            constraint: None,
            manifest: None,
            commit: Some("a".repeat(40)),
            verified: LockedVerification::Nothing,
            archives: BTreeMap::new(),
            ..locked("bare")
        };
        let plugins = [locked("zeta"), bare, locked("alpha")].map(|one| (one.name.clone(), one));
        let file = LockFile { plugins: plugins.into() };
        let text = file.render("tool");
        assert_eq!(LockFile::parse(&text).unwrap(), file);
        assert_eq!(file.render("tool"), text);
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        assert_eq!(names, ["\"alpha\"", "\"bare\"", "\"zeta\""]);
        assert_eq!(LockFile::parse(&LockFile::default().render("tool")).unwrap(), LockFile::default());
    }

    #[test]
    fn how_a_plugin_was_verified_is_kept_and_older_files_are_read() {
        let entry = |more: &str| format!("version = 1\n[[plugin]]\nname = \"p\"\nsource = \"s\"\n{more}");
        let signer = "signer = {fingerprint = \"AB\"}\n";
        for (more, word) in [
            ("verified = \"digest\"\n".to_owned(), "digest"),
            ("verified = \"none\"\n".to_owned(), "none"),
            (format!("verified = \"signature\"\n{signer}"), "signature"),
            (String::new(), "digest"),
            (signer.to_owned(), "signature"),
        ] {
            let file = LockFile::parse(&entry(&more)).unwrap();
            let again = file.render("tool");
            assert!(again.contains(&format!("verified = \"{word}\"")), "{more}: {again}");
            assert_eq!(LockFile::parse(&again).unwrap(), file);
        }
    }

    #[test]
    fn what_is_no_lock_file_is_refused_with_its_line() {
        let entry = |more: &str| format!("version = 1\n[[plugin]]\nname = \"p\"\nsource = \"s\"\n{more}");
        assert!(LockFile::parse(&entry("")).is_ok());
        for (text, part) in [
            (String::new(), "version"),
            ("version = 0\n".to_owned(), "version is 0"),
            ("version = 1\nnope = 2\n".to_owned(), "line 2: unknown field `nope`"),
            (entry("nope = 1\n"), "line 5: unknown field `nope`"),
            (entry("version = \"x\"\n"), "plugin `p`: its version"),
            (entry("commit = \"--upload-pack=x\"\n"), "full commit id"),
            (entry("verified = \"yes\"\n"), "`verified` is `yes`"),
            (entry("verified = \"signature\"\n"), "no signer is named"),
            (entry("verified = \"none\"\nsigner = {fingerprint = \"AB\"}\n"), "no signature was verified"),
            (entry("archives = {any = \"sha256:12\"}\n"), "plugin `p`: "),
            (entry("[[plugin]]\nname = \"P\"\nsource = \"s\"\n"), "twice"),
            ("version = 1\n[[plugin]]\nname = \"../p\"\nsource = \"s\"\n".to_owned(), "../p"),
            ("version = 1\n[[plugin]]\nname = \"p\"\nsource = \"\"\n".to_owned(), "no source"),
            (entry("[[plugin]\n"), "line 5"),
        ] {
            match LockFile::parse(&text).unwrap_err() {
                EntryProblem::Malformed(reason) => assert!(reason.contains(part), "{text:?}: {reason}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
        assert_eq!(LockFile::parse("version = 2\nnew = true\n"), Err(EntryProblem::Newer(2)));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = LockFile::parse(&text);
        }

        #[test]
        fn any_source_and_signer_survive(source in "[^\0]+", user_id in ".*") {
            let mut one = locked("p");
            one.source = source;
            one.verified = LockedVerification::Signature(LockedSigner { fingerprint: "F".to_owned(), user_id: Some(user_id) });
            let file = LockFile { plugins: [(one.name.clone(), one)].into() };
            prop_assert_eq!(LockFile::parse(&file.render("tool")).unwrap(), file);
        }
    }
}
