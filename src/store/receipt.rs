//! Receipts: what is written down of an installed plugin in `.state/<directory>.json` (`docs/spec/store.md`, section 3).
//!
//! The file is an envelope, `{schemaVersion, change, next, current}`. At rest it holds `current` alone. While a change is
//! under way it holds the receipts of both trees and, in `change`, what the next writer needs to finish or undo it; see
//! [`super::commit`]. `schema/receipt.schema.json` describes it.
//!
//! The lists of files come last, and those that the gate does not look at come last of all: [`ReceiptFile::read_head`] stops
//! before them, so that running one script of a plugin with ten thousand files does not read ten thousand lines.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::files::{self, AllowedWriters, UntrustedFile};
use crate::intake::provenance::{Evidence, Signature};
use crate::policy::{Proof, SourceLocation};
use crate::text::masked_source;

use super::tree::{FileRecord, TreeId};
use super::{disk, private};

/// The version of the format that is written; newer ones are refused, since a rule may hide in what is not understood.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// Bytes of a receipt: 100,000 files with paths of 1,024 bytes in both lists of an update fit.
const MAX_BYTES: u64 = 512 << 20;

/// Read first, in the hope that everything that the gate needs is in it.
const HEAD_BYTES: usize = 32 << 10;

/// What stands before the list of files that the gate does not look at. In a JSON string the quotes would be escaped.
const OTHER_FILES: &[u8] = b",\"files\":[";

/// How a file at rest begins, as we write it.
const AT_REST: &[u8] = b"{\"schemaVersion\":1,\"current\":{";

/// What is written down of one installed version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The plugin's name.
    pub name: String,
    /// Its version; none where a legacy manifest has none.
    pub version: Option<String>,
    /// Its type, such as `cli/v1`.
    #[serde(rename = "type")]
    pub plugin_type: String,
    /// Its runtime, such as `subprocess`.
    pub runtime: String,
    /// How it came here.
    pub kind: InstallKind,
    /// Where it came from.
    pub source: RecordedSource,
    /// The version or range that the user asked for.
    pub constraint: Option<String>,
    /// How its server is reached, as far as that had to be said.
    #[serde(default, skip_serializing_if = "NetworkSettings::is_default")]
    pub network: NetworkSettings,
    /// Whether updates skip it.
    #[serde(rename = "pinned")]
    pub held: bool,
    /// The archive that it was unpacked from.
    pub archive: Option<Archive>,
    /// Why it is trusted.
    pub verified: VerifiedBy,
    /// The host that installed it, and its version.
    pub host: HostVersion,
    /// When a plugin of this name was first installed.
    #[serde(with = "time")]
    pub installed_at: Timestamp,
    /// When this version was put in place.
    #[serde(with = "time")]
    pub updated_at: Timestamp,
    /// Where the life-cycle hook of this version stands; absent where none ran or is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookState>,
    /// The files whose changes the user accepted, those that are gone included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
    /// The directory that this receipt speaks of.
    pub tree: TreeId,
    /// When the stamps of the files were last taken, in nanoseconds since 1970.
    pub stamped_at: i64,
    /// The files that can be executed: those that the gate checks before every run.
    pub executables: Vec<FileRecord>,
    /// All other files.
    pub files: Vec<FileRecord>,
}

/// How a plugin came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InstallKind {
    /// From a package.
    Package,
    /// As a copy of a directory.
    Copy,
    /// As a link to a directory where it is developed; its files are nobody's business.
    Link,
}

/// Where a plugin came from. User names and passwords of URLs are never in it; queries are in memory alone, are kept apart on disk,
/// and are masked by [`Receipt::shown_source`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedSource {
    /// As the user named it.
    pub asked: String,
    /// What that came to be: a URL after its redirects, an absolute path.
    pub resolved: Option<String>,
    /// The commit or the OCI digest, where the source has one.
    pub revision: Option<String>,
    /// What tells a web server's version of it from another: an entity tag, else a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
}

/// How a server is reached, as far as the user had to say it: what the next fetch from the same source goes by. Never a user
/// name or a password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkSettings {
    /// By HTTP without TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plain_http: bool,
    /// Without a look at the server's certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_tls_verify: bool,
    /// The file of certificates that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The file of the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// The file of that certificate's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

impl NetworkSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The archive of an installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// The name under which it is kept beside the plugins; none where the plugin has no version.
    pub file: Option<String>,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its provenance is kept beside it.
    pub provenance: bool,
}

/// Why a plugin is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedBy {
    /// The means.
    pub by: VerificationMethod,
    /// The signer's user id.
    pub signer: Option<String>,
    /// The fingerprint of the signer's certificate.
    pub fingerprint: Option<String>,
    /// The fingerprint of the key that signed, where it is a subkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subkey: Option<String>,
    /// When it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_time")]
    pub signed_at: Option<Timestamp>,
    /// Whether the key had expired when it was verified, which the user allowed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_expired: bool,
    /// The name under which the provenance lists the archive, where it is not the archive's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_name: Option<String>,
}

/// The means of verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VerificationMethod {
    /// A signature.
    Signature,
    /// A digest that the user, a lock file or an index named.
    Digest,
    /// It is a directory of this machine.
    Local,
    /// Nothing: the user said `--verify=false`.
    None,
}

impl VerificationMethod {
    /// The means that `evidence` is of; without evidence it is a directory of this machine.
    pub fn of(evidence: Option<&Evidence>) -> Self {
        match evidence {
            None => Self::Local,
            Some(Evidence::Skipped) => Self::None,
            Some(Evidence::Digest(_)) => Self::Digest,
            Some(Evidence::Signature(_)) => Self::Signature,
        }
    }

    /// The word that receipts and `-o json` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Digest => "digest",
            Self::Local => "local",
            Self::None => "none",
        }
    }
}

impl VerifiedBy {
    /// What the receipt keeps of `evidence`; without evidence it is a directory of this machine.
    pub(super) fn new(evidence: Option<&Evidence>) -> Self {
        let bare = Self {
            by: VerificationMethod::of(evidence),
            signer: None,
            fingerprint: None,
            subkey: None,
            signed_at: None,
            key_expired: false,
            other_name: None,
        };
        match evidence {
            None | Some(Evidence::Skipped | Evidence::Digest(_)) => bare,
            Some(Evidence::Signature(signature)) => Self {
                signer: Some(signature.user_id.clone()),
                fingerprint: Some(signature.fingerprint.clone()),
                subkey: signature.subkey.clone(),
                signed_at: Some(signature.signed_at),
                key_expired: signature.key_expired,
                other_name: signature.other_name.clone(),
                ..bare
            },
        }
    }
}

impl VerifiedBy {
    /// What it is to a policy.
    pub fn proof(&self) -> Proof<'_> {
        match (self.by, &self.fingerprint) {
            (VerificationMethod::Signature, Some(fingerprint)) => {
                Proof::Signature { fingerprint: fingerprint.as_str(), subkey: self.subkey.as_deref() }
            }
            (VerificationMethod::Digest, _) => Proof::Digest,
            (VerificationMethod::Signature | VerificationMethod::Local | VerificationMethod::None, _) => Proof::Nothing,
        }
    }

    /// Fingerprint and user id of whoever signed it, as far as is known: of what a lock file's digest vouches for, the file says.
    pub fn signed_by(&self) -> Option<(&str, &str)> {
        let fingerprint = self
            .fingerprint
            .as_deref()
            .filter(|_| matches!(self.by, VerificationMethod::Signature | VerificationMethod::Digest))?;
        Some((fingerprint, self.signer.as_deref().unwrap_or_default()))
    }

    /// The signature that made it trusted, where one did.
    pub fn signature(&self) -> Option<Signature> {
        Some(Signature {
            fingerprint: self.fingerprint.clone().filter(|_| self.by == VerificationMethod::Signature)?,
            user_id: self.signer.clone().unwrap_or_default(),
            subkey: self.subkey.clone(),
            signed_at: self.signed_at?,
            key_expired: self.key_expired,
            other_name: self.other_name.clone(),
        })
    }
}

/// A host at a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostVersion {
    /// The host's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Where a life-cycle hook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookState {
    /// It has not ended yet: the next writer undoes the change.
    Pending,
    /// It succeeded.
    Done,
}

impl Receipt {
    /// Where it came from, to a policy: as it was asked for, and as that was resolved.
    pub fn locations(&self) -> Vec<SourceLocation> {
        let texts = std::iter::once(&self.source.asked).chain(&self.source.resolved);
        texts.map(|text| SourceLocation::of(text)).collect()
    }

    /// What [`Self::locations`] speaks of, as it may be shown: it means the same places.
    pub(super) fn shown_sources(&self) -> Vec<String> {
        let texts = std::iter::once(&self.source.asked).chain(&self.source.resolved);
        texts.map(|text| masked_source(text)).collect()
    }

    /// The source as it may be shown: a URL's query masked.
    pub fn shown_source(&self) -> String {
        masked_source(&self.source.asked)
    }

    /// The record of the file at `path`, relative to the plugin's directory.
    pub fn file(&self, path: &str) -> Option<&FileRecord> {
        self.executables.iter().chain(&self.files).find(|file| file.path == path)
    }

    /// All files, sorted by path.
    pub fn all_files(&self) -> Vec<&FileRecord> {
        let mut files: Vec<_> = self.executables.iter().chain(&self.files).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }
}

/// A change of the store that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingChange {
    /// What is being done.
    pub(super) kind: ChangeKind,
    /// The plugin's name: whose packages are kept beside the plugins.
    pub(super) plugin: String,
    /// Where the other tree is, relative to `.state`: the new one before the exchange, the old one after it.
    pub(super) staged: PathBuf,
    /// The tree that comes; none comes when a plugin is removed.
    pub(super) new: Option<TreeId>,
    /// The tree that goes; none goes when a plugin is new.
    pub(super) old: Option<TreeId>,
    /// Whether the old tree becomes the version before, for rollback.
    pub(super) keep_old: bool,
}

/// Kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ChangeKind {
    /// A staged tree takes a place.
    Install,
    /// The version before changes place with the present one.
    Rollback,
    /// A tree goes.
    Remove,
}

/// A receipt's file as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiptFile {
    schema_version: u32,
    /// What is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) change: Option<PendingChange>,
    /// The receipt of the tree that comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<Receipt>,
    /// The receipt of the tree that is there, or that goes; none for a plugin that was copied in by hand.
    pub(super) current: Option<Receipt>,
}

/// Why a receipt cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The file cannot be read or written.
    #[error("cannot {action} the receipt {}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The file is no receipt.
    #[error("the receipt {} is damaged; install the plugin anew in its place", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Others may change it.
    #[error(transparent)]
    Changeable(#[from] UntrustedFile),
    /// The file is larger than any receipt.
    #[error("the receipt {} is larger than {MAX_BYTES} bytes; install the plugin anew in its place", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error("the receipt {} has schema version {found}, but this program knows up to {SCHEMA_VERSION}; use the newer program that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
}

impl Classified for ReceiptError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

impl ReceiptFile {
    /// A file at rest.
    pub(super) fn at_rest(current: Receipt) -> Self {
        Self { schema_version: SCHEMA_VERSION, change: None, next: None, current: Some(current) }
    }

    /// A file that is written ahead of a change.
    pub(super) fn with_change(change: PendingChange, current: Option<Receipt>, next: Option<Receipt>) -> Self {
        Self { schema_version: SCHEMA_VERSION, change: Some(change), next, current }
    }

    /// Reads the file at `path`; `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ReceiptError> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        read_more(&mut file, &mut bytes, MAX_BYTES + 1, path)?;
        let mut parsed = parse(&bytes, path)?;
        private::fill(&mut parsed, path);
        Ok(Some(parsed))
    }

    /// Like [`Self::read`], but without the queries of sources, and where the file is at rest the `files` of its receipt may be left out.
    pub(super) fn read_head(path: &Path) -> Result<Option<Self>, ReceiptError> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        let mut scanned = 0;
        loop {
            let more = HEAD_BYTES.max(bytes.len()) as u64;
            if read_more(&mut file, &mut bytes, more, path)? == 0 {
                return parse(&bytes, path).map(Some);
            }
            if let Some(at) = find(&bytes[scanned..], OTHER_FILES) {
                bytes.truncate(scanned + at);
                bytes.extend_from_slice(OTHER_FILES);
                bytes.extend_from_slice(b"]}}");
                // A file that was written ahead has two such lists, or ends otherwise: then all of it is read.
                return match serde_json::from_slice::<Self>(&bytes) {
                    Ok(file) if file.schema_version == SCHEMA_VERSION && file.change.is_none() => Ok(Some(file)),
                    _ => Self::read(path),
                };
            }
            scanned = bytes.len().saturating_sub(OTHER_FILES.len());
        }
    }

    /// Whether the file at `path` was written ahead of a change, or may have been: told from its first bytes, since the next
    /// writer asks this of every receipt.
    pub(super) fn may_have_change(path: &Path) -> Result<bool, ReceiptError> {
        let Some(mut file) = open(path)? else { return Ok(false) };
        let mut bytes = Vec::with_capacity(AT_REST.len());
        read_more(&mut file, &mut bytes, AT_REST.len() as u64, path)?;
        Ok(bytes != AT_REST)
    }

    /// Writes the file at `path` in one rename, and the queries of its sources to a place of their own.
    pub(super) fn write(&self, path: &Path) -> Result<(), ReceiptError> {
        let failed = |source| ReceiptError::Io { action: "write", path: path.to_owned(), source };
        let public = private::split(self, path).map_err(failed)?;
        let mut bytes = serde_json::to_vec(public.as_ref().unwrap_or(self)).map_err(|e| failed(e.into()))?;
        bytes.push(b'\n');
        disk::write(path, &bytes).map_err(failed)
    }
}

/// Opens a receipt; what is no regular file is refused, so that a fifo cannot hang us.
fn open(path: &Path) -> Result<Option<File>, ReceiptError> {
    let failed = |source| ReceiptError::Io { action: "read", path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            files::refuse_untrusted(path, &metadata, AllowedWriters::Group, 0)?;
            path.parent().map_or(Ok(()), refuse_untrusted_directory)?;
            File::open(path).map(Some).map_err(failed)
        }
        Ok(_) => Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

/// Refuses a directory of receipts in which everybody may write: a sticky one too, where anybody could add some. So is one that
/// another user put where everybody may put things.
pub(super) fn refuse_untrusted_directory(directory: &Path) -> Result<(), UntrustedFile> {
    match directory.metadata() {
        Ok(metadata) => {
            files::refuse_untrusted(directory, &metadata, AllowedWriters::Group, 0)?;
            files::refuse_foreign_owner(directory)
        }
        Err(_) => Ok(()),
    }
}

/// Reads up to `more` bytes behind those in `bytes`.
fn read_more(file: &mut File, bytes: &mut Vec<u8>, more: u64, path: &Path) -> Result<usize, ReceiptError> {
    let read = file.take(more).read_to_end(bytes).map_err(|source| ReceiptError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReceiptError::TooLarge { path: path.to_owned() });
    }
    Ok(read)
}

fn parse(bytes: &[u8], path: &Path) -> Result<ReceiptFile, ReceiptError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        schema_version: u32,
    }
    let damaged = |source| ReceiptError::Damaged { path: path.to_owned(), source };
    match serde_json::from_slice::<ReceiptFile>(bytes) {
        Ok(file) if file.schema_version == SCHEMA_VERSION => Ok(file),
        Ok(file) => Err(ReceiptError::Newer { path: path.to_owned(), found: file.schema_version }),
        // Something that does not fit may be newer rather than damaged.
        Err(source) => match serde_json::from_slice::<Version>(bytes) {
            Ok(Version { schema_version }) if schema_version > SCHEMA_VERSION => {
                Err(ReceiptError::Newer { path: path.to_owned(), found: schema_version })
            }
            _ => Err(damaged(source)),
        },
    }
}

/// Reads `data` as a receipt, for the fuzz targets: see [`crate::intake::source::read_foreign`].
#[doc(hidden)]
pub fn read_foreign(data: &[u8]) {
    let _ = parse(data, Path::new("receipt.json"));
}

/// Where `needle` first is in `bytes`.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// The current time, in nanoseconds since 1970.
pub(super) fn now_ns() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Times as ISO 8601 in whole seconds, UTC.
pub(super) mod time {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::store) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{time:.0}"))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// [`time`] where there may be none.
pub(super) mod optional_time {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::store) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::time::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}
