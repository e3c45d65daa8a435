//! What the user trusts: `<config>/trust.yaml` (`docs/using.md#whom-you-trust-and-for-what`).
//!
//! Which names and sources a key may sign for, who signed a plugin when it was first installed, and which changes of installed
//! files were accepted. The file is written by the program, private to the user, and may be edited by hand: an unknown key
//! or a value that means nothing is an error that names its line, since a limit that was mistyped must not be no limit.
//!
//! What follows from it is decided in [`crate::manager`].

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::files::{self, AllowedWriters, UntrustedFile};
use crate::policy::{Pattern, SourceLocation};
use crate::text::Sanitized;
use crate::yaml::{self, Node, Position, Value, YamlError};

/// The file's name in the host's configuration directory.
pub const FILE_NAME: &str = "trust.yaml";

/// Bytes of `trust.yaml`: a hundred thousand known signers.
const MAX_BYTES: u64 = 32 << 20;

/// What `trust.yaml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct TrustFile {
    /// The version of the format: there is one.
    api_version: Version,
    /// Which names and sources some keys may sign for. A key that is not here may sign for all.
    pub signers: Vec<SignerLimit>,
    /// Who signed a plugin when it was first installed from a source, or whom the user accepted since.
    #[serde(rename = "pins")]
    pub known_signers: Vec<KnownSigner>,
    /// Changes of installed files that the user accepted.
    pub accepted: Vec<AcceptedChanges>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    #[default]
    #[serde(rename = "v1")]
    V1,
}

/// What a key may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct SignerLimit {
    /// The fingerprint of its certificate.
    pub fingerprint: String,
    /// Names of plugins, or patterns for them; where there are none, any name.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "names")]
    pub names: Vec<String>,
    /// Patterns for sources; where there are none, any source.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "sources")]
    pub sources: Vec<String>,
}

/// Who signs a plugin from a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct KnownSigner {
    /// The plugin's name.
    pub name: String,
    /// The source without what changes from one version to the next.
    pub source: String,
    /// The fingerprint of the signer's certificate.
    pub fingerprint: String,
    /// The signer's user id, not yet safe to show.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_id: String,
    /// Since when.
    #[serde(with = "time")]
    pub since: Timestamp,
}

/// The changes of one plugin's files that were accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct AcceptedChanges {
    /// The plugin's name.
    pub name: String,
    /// When the last of them was accepted.
    #[serde(with = "time")]
    pub since: Timestamp,
    /// The files.
    pub files: Vec<AcceptedFile>,
}

/// A file that differs from what was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct AcceptedFile {
    /// Its path in the plugin's directory.
    pub path: String,
    /// Its digest as it was accepted; none where its absence was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    /// What was installed; none where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<InstalledFile>,
}

/// A file as it was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct InstalledFile {
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// Whether it was a symbolic link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link: bool,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustFileError {
    /// It cannot be read.
    #[error("cannot read {}, which says whom you trust; check its permissions", Sanitized(&.path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}, which says whom you trust", Sanitized(&.path.to_string_lossy()))]
    Write {
        /// The file, or its directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is far too large.
    #[error("{} has more than {MAX_BYTES} bytes; is it the right file?", Sanitized(&.path.to_string_lossy()))]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Others may change it.
    #[error(transparent)]
    Changeable(#[from] UntrustedFile),
    /// Its text means nothing.
    #[error("{}:{}:{}: {}", Sanitized(&.path.to_string_lossy()), .error.at().line, .error.at().column, .error.reason())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        error: YamlError,
    },
}

impl Classified for TrustFileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

impl TrustFileError {
    /// The file that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::TooLarge { path }
            | Self::Changeable(UntrustedFile { path, .. })
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

impl TrustFile {
    /// Reads `trust.yaml` in `config_home`; without one nothing is limited, remembered or accepted.
    ///
    /// # Errors
    /// See [`TrustFileError`].
    pub fn load(config_home: &Path) -> Result<Self, TrustFileError> {
        let path = config_home.join(FILE_NAME);
        let read = |source| TrustFileError::Read { path: path.clone(), source };
        let (bytes, metadata) = match files::read_bounded_with_metadata(&path, MAX_BYTES) {
            Ok(Some(read)) => read,
            Ok(None) => return Err(TrustFileError::TooLarge { path }),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            Err(e) => return Err(read(e)),
        };
        files::refuse_untrusted(&path, &metadata, AllowedWriters::Nobody, 1)?;
        Self::parse(&bytes).map_err(|error| TrustFileError::Invalid { path, error })
    }

    /// Reads the bytes of a `trust.yaml`.
    ///
    /// # Errors
    /// They are no YAML, or have a key or value that means nothing.
    pub fn parse(bytes: &[u8]) -> Result<Self, YamlError> {
        let root = yaml::parse(bytes)?;
        if root.is_null() {
            return Ok(Self::default());
        }
        refuse_nothing(&root)?;
        let trusted: Self = yaml::from_node(&root)?;
        // Without names and sources it would be no limit, and was meant to be one.
        let limits = root.get("signers").and_then(Node::as_sequence).unwrap_or_default();
        match limits.iter().zip(&trusted.signers).find(|(_, limit)| limit.names.is_empty() && limit.sources.is_empty()) {
            Some((node, _)) => {
                Err(YamlError::Decode { at: node.at, reason: "a limit needs `names` or `sources`".to_owned() })
            }
            None => Ok(trusted),
        }
    }

    /// Changes `trust.yaml` in `config_home`, which is made where it is missing; others wait meanwhile. Nothing is written where
    /// nothing changes.
    ///
    /// # Errors
    /// See [`TrustFileError`]; the file is then as it was.
    pub fn change<R>(config_home: &Path, change: impl FnOnce(&mut Self) -> R) -> Result<R, TrustFileError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TrustFileError::Write { path, source }
        };
        files::create_private_dir(config_home).map_err(failed(config_home))?;
        let _lock = lock(config_home).map_err(failed(config_home))?;
        let before = Self::load(config_home)?;
        let mut trusted = before.clone();
        let result = change(&mut trusted);
        if trusted != before {
            trusted.sort();
            let path = config_home.join(FILE_NAME);
            let text = yaml::to_string(&trusted).map_err(io::Error::other).map_err(failed(&path))?;
            let text = format!("# Whom you trust, and for what: the command `trust` shows it.\n{text}");
            files::write_private(&path, text.as_bytes()).map_err(failed(&path))?;
        }
        Ok(result)
    }

    /// The same lines in the same order each time.
    fn sort(&mut self) {
        self.signers.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        self.known_signers.sort_by(|a, b| (&a.name, &a.source).cmp(&(&b.name, &b.source)));
        self.accepted.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// What the key `fingerprint` may sign, where that is limited.
    pub fn limit(&self, fingerprint: &str) -> Option<&SignerLimit> {
        self.signers.iter().find(|limit| limit.fingerprint.eq_ignore_ascii_case(fingerprint))
    }

    /// Sets what the key `fingerprint` may sign; without names and sources, everything. Says whether that is news.
    pub fn set_limit(&mut self, fingerprint: &str, names: Vec<String>, sources: Vec<String>) -> bool {
        let before = self.limit(fingerprint).cloned();
        self.signers.retain(|limit| !limit.fingerprint.eq_ignore_ascii_case(fingerprint));
        let limit = SignerLimit { fingerprint: fingerprint.to_owned(), names, sources };
        let limit = (!limit.names.is_empty() || !limit.sources.is_empty()).then_some(limit);
        self.signers.extend(limit.clone());
        limit != before
    }

    /// Who signs the plugin `name` from `source`, where that is known.
    pub fn known_signer(&self, name: &str, source: &str) -> Option<&KnownSigner> {
        self.known_signers.iter().find(|signer| signer.name == name && signer.source == source)
    }

    /// The paths of the files of the plugin `name` whose changes were accepted.
    pub fn accepted_files(&self, name: &str) -> Vec<String> {
        let of_it = self.accepted.iter().filter(|accepted| accepted.name == name);
        of_it.flat_map(|accepted| accepted.files.iter().map(|file| file.path.clone())).collect()
    }

    /// Remembers who signs a plugin from a source, in the place of whoever did before.
    pub fn set_known_signer(&mut self, signer: KnownSigner) {
        self.known_signers.retain(|other| (&other.name, &other.source) != (&signer.name, &signer.source));
        self.known_signers.push(signer);
    }
}

impl SignerLimit {
    /// Whether the key may sign the plugin `name`, which comes from all of `places`.
    pub fn allows(&self, name: &str, places: &[SourceLocation]) -> bool {
        let by_name = self.names.is_empty() || self.names.iter().any(|own| own == name || name_matches(own, name));
        let patterns: Vec<Pattern> = self.sources.iter().filter_map(|text| Pattern::source(text).ok()).collect();
        let allowed = |place: &SourceLocation| patterns.iter().any(|pattern| pattern.surely_matches(place));
        by_name && (self.sources.is_empty() || (!places.is_empty() && places.iter().all(allowed)))
    }
}

/// What the key may sign, in words; not yet safe to show.
impl fmt::Display for SignerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.names.is_empty() {
            write!(f, "plugins called {}", self.names.join(", "))?;
        }
        match (self.names.is_empty(), self.sources.is_empty()) {
            (_, true) => Ok(()),
            (true, false) => write!(f, "plugins from {}", self.sources.join(", ")),
            (false, false) => write!(f, " that come from {}", self.sources.join(", ")),
        }
    }
}

/// A limit allows something, so upper and lower case differ in it, unlike in what forbids.
fn name_matches(pattern: &str, name: &str) -> bool {
    Pattern::name(pattern).is_ok_and(|pattern| pattern.matches_exact_name(name))
}

/// Keeps other writers out as long as the file lives. The directory itself is locked, so that no file is left behind; where it
/// cannot be opened or has no locks, the last writer wins.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    let file = File::open(directory)?;
    match file.lock() {
        Err(e) if e.kind() != io::ErrorKind::Unsupported => Err(e),
        _ => Ok(Some(file)),
    }
}

/// Refuses keys and items that say nothing: to leave a limit empty is not to lift it.
fn refuse_nothing(node: &Node) -> Result<(), YamlError> {
    let nothing = |at| Err(YamlError::Decode { at, reason: "it has no value; give it one, or take it out".to_owned() });
    match &node.value {
        _ if node.is_null() => nothing(node.at),
        Value::Scalar(_) => Ok(()),
        Value::Sequence(items) => items.iter().try_for_each(refuse_nothing),
        Value::Mapping(entries) => entries
            .iter()
            .try_for_each(|entry| if entry.value.is_null() { nothing(entry.at) } else { refuse_nothing(&entry.value) }),
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    checked(deserializer, Pattern::name)
}

fn sources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    checked(deserializer, Pattern::source)
}

fn checked<'de, D: Deserializer<'de>>(
    deserializer: D,
    read: fn(&str) -> Result<Pattern, String>,
) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().try_for_each(|text| read(text).map(drop)).map_err(D::Error::custom)?;
    Ok(texts)
}

/// Times as ISO 8601 in whole seconds, UTC.
mod time {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{time:.0}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KEY: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";

    fn parse(text: &str) -> TrustFile {
        TrustFile::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("config");
        assert_eq!(TrustFile::load(&home).unwrap(), TrustFile::default());
        let since: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let signer = |name: &str, fingerprint: &str| KnownSigner {
            name: name.to_owned(),
            source: "https://h/".to_owned(),
            fingerprint: fingerprint.to_owned(),
            user_id: "Ann: \"x\" <a@h>".to_owned(),
            since,
        };
        TrustFile::change(&home, |trusted| {
            trusted.set_limit(KEY, vec!["secrets".to_owned(), "s3-*".to_owned()], vec!["https://h/**".to_owned()]);
            trusted.set_known_signer(signer("z", "A"));
            trusted.set_known_signer(signer("a", "B"));
            trusted.set_known_signer(signer("a", "C"));
            let installed = InstalledFile { sha256: Sha256Digest::of(b"x"), size: 1, mode: 0o755, link: false };
            let file = AcceptedFile { path: "run.sh".to_owned(), sha256: None, installed: Some(installed) };
            trusted.accepted.push(AcceptedChanges { name: "a".to_owned(), since, files: vec![file] });
        })
        .unwrap();
        let trusted = TrustFile::load(&home).unwrap();
        assert_eq!(trusted.known_signers, [signer("a", "C"), signer("z", "A")]);
        assert_eq!(trusted.limit(&KEY.to_lowercase()).unwrap().names, ["secrets", "s3-*"]);
        assert_eq!(trusted.accepted[0].files[0].path, "run.sh");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode(&home), mode(&home.join(FILE_NAME))), (0o700, 0o600));
            fs::set_permissions(home.join(FILE_NAME), PermissionsExt::from_mode(0o666)).unwrap();
            let error = TrustFile::load(&home).unwrap_err();
            assert!(matches!(error, TrustFileError::Changeable(_)), "{error}");
        }
    }

    #[test]
    fn a_limit_is_kept_by_name_and_by_every_place() {
        let limit = |names: &[&str], sources: &[&str]| SignerLimit {
            fingerprint: KEY.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        };
        let both = limit(&["secrets", "s3-*"], &["https://h/**"]);
        let (home, away) = (SourceLocation::of("https://h/x.tgz"), SourceLocation::of("https://cdn.test/x.tgz"));
        assert!(both.allows("secrets", std::slice::from_ref(&home)));
        assert!(both.allows("s3-get", std::slice::from_ref(&home)));
        assert!(!both.allows("Secrets", std::slice::from_ref(&home)));
        assert!(!both.allows("other", std::slice::from_ref(&home)));
        assert!(!both.allows("secrets", &[home.clone(), away.clone()]));
        assert!(!both.allows("secrets", &[]));
        assert!(limit(&["secrets"], &[]).allows("secrets", &[away]));
        assert!(limit(&[], &["https://h/**"]).allows("anything", &[home]));
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, line, why) in [
            ("foo: 1", 1, "unknown field `foo`"),
            ("apiVersion: v2", 1, "unknown variant `v2`"),
            ("signers:\n- {fingerprint: A}", 2, "needs `names` or `sources`"),
            ("signers:\n- fingerprint: A\n  names:", 3, "has no value"),
            ("signers:\n- {fingerprint: A, names: [a/b]}", 2, "name"),
            ("signers:\n- {fingerprint: A, sources: [\"https://h\"]}", 2, "no path"),
            ("signers:\n- {fingerprint: A, sources: [~]}", 2, "has no value"),
            ("signers:\n- {names: [a]}", 2, "missing field `fingerprint`"),
            ("pins: [{name: a, source: b, fingerprint: c, since: yesterday}]", 1, "year"),
            ("signers: {}", 1, "invalid type"),
        ] {
            let error = TrustFile::parse(text.as_bytes()).unwrap_err();
            assert!(error.reason().contains(why), "{text}: {error}");
            assert_eq!(error.at().line, line, "{text}: {error}");
        }
        assert_eq!(parse(""), TrustFile::default());
        assert_eq!(parse("apiVersion: v1"), TrustFile::default());
    }

    #[test]
    fn a_limit_can_be_lifted() {
        let mut trusted = TrustFile::default();
        assert!(trusted.set_limit(KEY, vec!["a".to_owned()], Vec::new()));
        assert!(!trusted.set_limit(KEY, vec!["a".to_owned()], Vec::new()));
        assert!(trusted.set_limit(KEY, Vec::new(), Vec::new()));
        assert!(trusted.signers.is_empty());
    }
}
